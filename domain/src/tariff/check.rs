//! What the terms of a tariff must be before they are published. A version never changes, so that a mistake is refused
//! here or holds for ever; pricing can then rely on one element holding at any moment.

use jiff::civil::Date;
use rust_decimal::Decimal;

use super::{Restrictions, TariffTerms};
use crate::units::{Energy, Money, Percent};

/// The most elements a tariff may have. Real ones have fewer than ten; it bounds the size of every session's snapshot.
pub const MOST_ELEMENTS: usize = 64;

/// What is wrong with the terms of a tariff. Elements count from 1, as in a bill line's rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TermsError {
    /// There is nothing to price with.
    #[error("the tariff has no elements")]
    NoElements,
    /// More than a tariff may have.
    #[error("the tariff has {count} elements, more than {MOST_ELEMENTS}")]
    TooManyElements {
        /// How many.
        count: usize,
    },
    /// Some moments would have no price.
    #[error("the last element has restrictions, so that some moments would have no price")]
    LastElementRestricted,
    /// An earlier element without restrictions always holds first.
    #[error("element {element} has no restrictions, so that the ones after it would never hold")]
    LaterElementsNeverHold {
        /// The one without restrictions.
        element: usize,
    },
    /// Not a day of the week.
    #[error("element {element}: weekday {weekday} is not one of 1 (Monday) to 7 (Sunday)")]
    NotAWeekday {
        /// Which.
        element: usize,
        /// What it names.
        weekday: u8,
    },
    /// The same day twice.
    #[error("element {element}: weekday {weekday} is named twice")]
    WeekdayTwice {
        /// Which.
        element: usize,
        /// What it names twice.
        weekday: u8,
    },
    /// The last date lies before the first.
    #[error("element {element}: the dates from {first} to {last} are none")]
    NoDates {
        /// Which.
        element: usize,
        /// The first.
        first: Date,
        /// The last.
        last: Date,
    },
    /// No energy lies in the range.
    #[error("element {element}: no energy is from {from} and below {below} kWh")]
    NoEnergyBetween {
        /// Which.
        element: usize,
        /// From.
        from: Energy,
        /// Below.
        below: Energy,
    },
    /// The most that a session pays for idle time is less than nothing.
    #[error("the most that a session pays for idle time is {most}, less than nothing")]
    NegativeIdleMost {
        /// The most.
        most: Money,
    },
    /// More tax than price: a slipped decimal point.
    #[error("a tax rate of {rate} % is more than 100 %")]
    TaxAboveWhole {
        /// The rate.
        rate: Percent,
    },
}

impl TariffTerms {
    /// Whether these terms may be published: at any moment exactly one element holds, and each can hold at some moment.
    ///
    /// # Errors
    /// What is wrong with them first.
    pub fn check(&self) -> Result<(), TermsError> {
        let count = self.elements.len();
        if count > MOST_ELEMENTS {
            return Err(TermsError::TooManyElements { count });
        }
        let unrestricted = Restrictions::default();
        let last = self.elements.last().ok_or(TermsError::NoElements)?;
        for (element, terms) in (1..).zip(&self.elements) {
            terms.restrictions.check(element)?;
            if terms.restrictions == unrestricted && element < count {
                return Err(TermsError::LaterElementsNeverHold { element });
            }
        }
        if last.restrictions != unrestricted {
            return Err(TermsError::LastElementRestricted);
        }
        if let Some(most) = self.idle.and_then(|idle| idle.most).filter(|most| most.is_negative()) {
            return Err(TermsError::NegativeIdleMost { most });
        }
        match [self.tax.energy, self.tax.service, self.tax.idle].into_iter().find(|rate| rate.value() > Decimal::ONE_HUNDRED) {
            Some(rate) => Err(TermsError::TaxAboveWhole { rate }),
            None => Ok(()),
        }
    }
}

impl Restrictions {
    fn check(&self, element: usize) -> Result<(), TermsError> {
        for (index, &weekday) in self.weekdays.iter().enumerate() {
            if !(1..=7).contains(&weekday) {
                return Err(TermsError::NotAWeekday { element, weekday });
            }
            if self.weekdays[..index].contains(&weekday) {
                return Err(TermsError::WeekdayTwice { element, weekday });
            }
        }
        if let Some(dates) = self.dates.filter(|dates| dates.last < dates.first) {
            return Err(TermsError::NoDates { element, first: dates.first, last: dates.last });
        }
        let from = self.energy_from.unwrap_or_default();
        match self.energy_below.filter(|below| *below <= from) {
            Some(below) => Err(TermsError::NoEnergyBetween { element, from, below }),
            None => Ok(()),
        }
    }
}
