//! The elements of a tariff, laid out so that the one that holds is found quickly: the first that fits.

use jiff::civil::Date;

use super::clock::HalfHour;
use crate::tariff::{Rate, TariffElement, TariffTerms, TouPeriod};
use crate::units::Energy;

/// What prices a moment: the element's place in the tariff, and the period of its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) element: usize,
    pub(super) period: TouPeriod,
}

impl Rule {
    /// For people; elements count from 1.
    pub(super) fn text(self) -> String {
        format!("element {}, {}", self.element + 1, self.period.as_str())
    }
}

pub(super) struct Rules<'a> {
    elements: Vec<Element<'a>>,
    /// Where the energy since the start may change the element, ascending, in ten-thousandths.
    steps: Vec<i64>,
}

struct Element<'a> {
    element: &'a TariffElement,
    /// Bit 1 is Monday. Days that do not exist have no bit, so that an element for them never holds.
    weekdays: u8,
    days: (i64, i64),
    energy: (i64, i64),
}

impl<'a> Rules<'a> {
    pub(super) fn of(terms: &'a TariffTerms) -> Rules<'a> {
        let elements: Vec<Element<'a>> = terms.elements.iter().map(Element::of).collect();
        let mut steps: Vec<i64> =
            elements.iter().flat_map(|element| [element.energy.0, element.energy.1]).filter(|step| *step > 0 && *step < i64::MAX).collect();
        steps.sort_unstable();
        steps.dedup();
        Rules { elements, steps }
    }

    /// What prices the energy that flows in this half-hour once `energy` has flowed.
    pub(super) fn at(&self, half_hour: HalfHour, energy: i64) -> Option<Rule> {
        let element = self.elements.iter().position(|element| element.holds(half_hour.day, energy))?;
        let period = *self.elements.get(element)?.element.half_hours.0.get(half_hour.slot)?;
        Some(Rule { element, period })
    }

    /// The next step of the tariff above this energy.
    pub(super) fn step_above(&self, energy: i64) -> Option<i64> {
        self.steps.get(self.steps.partition_point(|step| *step <= energy)).copied()
    }

    pub(super) fn rate(&self, rule: Rule) -> Option<Rate> {
        self.elements.get(rule.element).map(|element| element.element.rates.of(rule.period))
    }
}

impl<'a> Element<'a> {
    fn of(element: &'a TariffElement) -> Element<'a> {
        let when = &element.restrictions;
        let weekdays = match when.weekdays.as_slice() {
            [] => u8::MAX,
            days => days.iter().filter(|day| (1..=7).contains(*day)).fold(0, |bits, day| bits | 1 << day),
        };
        Element {
            element,
            weekdays,
            days: when.dates.map_or((i64::MIN, i64::MAX), |dates| (day_number(dates.first), day_number(dates.last))),
            energy: (when.energy_from.map_or(0, ten_thousandths), when.energy_below.map_or(i64::MAX, ten_thousandths)),
        }
    }

    fn holds(&self, day: i64, energy: i64) -> bool {
        // 1970-01-01 was a Thursday.
        let weekday = (day + 3).rem_euclid(7) + 1;
        self.weekdays & (1 << weekday) != 0
            && (self.days.0..=self.days.1).contains(&day)
            && energy >= self.energy.0
            && energy < self.energy.1
    }
}

/// Ten-thousandths of a kWh: what an energy is counted in.
pub(super) fn ten_thousandths(energy: Energy) -> i64 {
    // The type promises a value, not the number of its places; the count must not depend on them.
    let mut value = energy.value();
    value.rescale(Energy::SCALE);
    i64::try_from(value.mantissa()).unwrap_or(i64::MAX)
}

fn day_number(date: Date) -> i64 {
    date.duration_since(Date::constant(1970, 1, 1)).as_hours() / 24
}
