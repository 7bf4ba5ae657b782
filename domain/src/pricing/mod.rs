//! Metered energy × tariff → bill lines: the only price formula of the ledger. A bill, a running cost and an estimate
//! all come out of [`price`], so that no two of them can disagree.
//!
//! How it goes: between two readings energy flows evenly. Each interval is cut where the tariff may change: at every
//! half-hour of the station's wall clock (and with it at midnight and at a clock change), and where the energy since
//! the start reaches a step of the tariff. Pieces under the same element and period that touch become one stretch,
//! whatever readings lie between; each stretch becomes one energy line and, where there is a service price, one service
//! line. Only then is anything rounded to the fen, once per line.
//!
//! What rounding can do, and no more: the energy at a cut is the straight line's, half up to 0.0001 kWh, and the last
//! cut has the exact total, so that the pieces always sum to it and none is negative. A further reading on the straight
//! line therefore moves the energy of a line by at most 0.0002 kWh, and the line by at most 0.01 yuan more than that
//! energy costs.
//!
//! Deliberately absent: deciding which readings are believed (the session's work), time and power prices, step sizes
//! (every ten-thousandth of a kWh is billed as such), and any clock.

mod bill;
mod clock;
mod explain;
mod lines;
mod rules;
#[cfg(test)]
mod tests;
mod usage;

pub use bill::{Bill, BillLine, FeeKind, FeeSum};
pub use explain::{Disagreement, ExplainedFee, ExplainedLine, Explanation, explain};
pub use usage::{EnergyPoint, LONGEST_DAYS, Usage};

use crate::tariff::TariffSnapshot;
use crate::time::{Timestamp, ZoneName};
use crate::units::{Energy, Money, Power};

/// Why there is no price. A person has to decide then: the session is in error, never billed by a guess.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PricingError {
    /// Charging ended before it began.
    #[error("charging ended at {ended_at}, before it began at {started_at}")]
    EndsBeforeStart {
        /// When it is said to have begun.
        started_at: Timestamp,
        /// When it is said to have ended.
        ended_at: Timestamp,
    },
    /// Longer than anything that is billed without a person looking at it: a device whose clock was never set.
    #[error("from {from} until {until} is more than {LONGEST_DAYS} days")]
    TooLong {
        /// From when.
        from: Timestamp,
        /// Until when.
        until: Timestamp,
    },
    /// The tariff has no price for a moment. A published tariff always has one.
    #[error("no element of the tariff holds at {at}")]
    NoElementHolds {
        /// The moment.
        at: Timestamp,
    },
    /// More than an amount of money can be.
    #[error("the bill is beyond the largest amount of money")]
    AmountOutOfRange,
}

/// What a session costs: the bill for this usage under this tariff, on the station's clock.
///
/// A session without energy has a bill too, with no energy lines; a session at price zero has its energy lines, each of
/// 0.00, so that the quantities of the energy lines always sum to the energy of the bill.
///
/// # Errors
/// When no honest price exists: see [`PricingError`].
pub fn price(bill_number: String, tariff: &TariffSnapshot, zone: &ZoneName, usage: &Usage) -> Result<Bill, PricingError> {
    let lines = lines::of(&tariff.terms, zone, usage)?;
    let bill = Bill::of_lines(bill_number, usage.energy(), lines, &tariff.terms.tax);
    // Amounts are never negative, so that the total bounds every line and every sum.
    Money::new(bill.total.value()).map_err(|_| PricingError::AmountOutOfRange)?;
    Ok(bill)
}

/// What this much energy would cost from `at` on: delivered evenly at `power`, or all at once where none is known.
///
/// # Errors
/// When no honest price exists, for one because delivery would take more than [`LONGEST_DAYS`] days.
pub fn estimate(
    tariff: &TariffSnapshot,
    zone: &ZoneName,
    at: Timestamp,
    energy: Energy,
    power: Option<Power>,
) -> Result<Bill, PricingError> {
    let ended_at = power.map_or(at, |power| usage::delivered_by(at, energy, power));
    price("estimate".to_owned(), tariff, zone, &Usage::new(at, ended_at, energy, [])?)
}
