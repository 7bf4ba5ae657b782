//! Agent booking (净额法): whose a station is, what its operator keeps for running it, and how a bill is divided between the two.
//!
//! A station's [`Ownership`] is its own business, whatever the operator's books say. Only an operator that books as agent, under posting rules that
//! know how, divides its bills: a session then takes a snapshot of the [`AgencyTerms`] when it begins, as it takes one of its tariff, and each of its bills says
//! what of it is the owner's ([`Division`]).
//!
//! The commission of a kind of fee is its gross times the rate, half up to the fen, once; the owner has the rest. The tax in the fee is the owner's, who
//! sells and invoices it; ours is the tax in the commission alone.
//!
//! Deliberately absent: paying the owner out, and any right of an owner to look at these books.

mod explain;
#[cfg(test)]
pub(crate) mod tests;

use serde::{Deserialize, Serialize};

pub use explain::{ExplainedCommission, ExplainedDivision};

use crate::ids::{OperatorCode, OperatorId};
use crate::journal::Journal;
use crate::operator::{BookingMode, Operator};
use crate::pricing::{Bill, FeeKind, FeeSum};
use crate::station::Station;
use crate::units::{Money, Percent};

/// What the operator keeps of each kind of fee, in percent of what the customer pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CommissionRates {
    /// Of the energy fee.
    pub energy: Percent,
    /// Of the service fee.
    pub service: Percent,
    /// Of the idle fee.
    pub idle: Percent,
}

impl CommissionRates {
    /// The rate of a kind.
    #[must_use]
    pub const fn of(&self, kind: FeeKind) -> Percent {
        match kind {
            FeeKind::Energy => self.energy,
            FeeKind::Service => self.service,
            FeeKind::Idle => self.idle,
        }
    }
}

/// Whose a station is, when it is not its operator's, and on which terms that runs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Ownership {
    /// Whom the books owe: the id that belongs to the code, so that an owner is the same one when it joins as an operator.
    pub owner_id: OperatorId,
    /// The owner's organisation code.
    pub owner_code: OperatorCode,
    /// The owner's name.
    pub owner_name: String,
    /// What the operator keeps.
    pub commission: CommissionRates,
    /// The tax in the commission, which is a service to the owner whatever kind of fee it is taken from.
    pub commission_tax: Percent,
}

impl Ownership {
    /// Puts the terms together.
    #[must_use]
    pub fn new(owner_code: OperatorCode, owner_name: String, commission: CommissionRates, commission_tax: Percent) -> Ownership {
        Ownership { owner_id: OperatorId::of_code(&owner_code), owner_code, owner_name, commission, commission_tax }
    }

    /// What a session takes of them.
    #[must_use]
    pub const fn terms(&self) -> AgencyTerms {
        AgencyTerms { owner_id: self.owner_id, commission: self.commission, commission_tax: self.commission_tax }
    }
}

/// The terms under which one session was started. How its bills are divided never changes after that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AgencyTerms {
    /// Whose the station was.
    pub owner_id: OperatorId,
    /// What the operator keeps.
    pub commission: CommissionRates,
    /// The tax in the commission.
    pub commission_tax: Percent,
}

/// What the operator keeps of one kind of fee.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Commission {
    /// Of which kind.
    pub kind: FeeKind,
    /// In percent of the fee.
    pub percent: Percent,
    /// Tax included.
    pub gross: Money,
    /// Without tax.
    pub net: Money,
    /// The tax in it: gross less net.
    pub tax: Money,
}

/// How a bill is divided between a station's owner and its operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Division {
    /// Whose the rest is.
    pub owner_id: OperatorId,
    /// The bill's total less all commissions: what the owner is owed.
    pub owner_part: Money,
    /// The tax rate in the commissions.
    pub commission_tax: Percent,
    /// One for each kind that the bill has lines of.
    pub commissions: Vec<Commission>,
}

impl AgencyTerms {
    /// Divides the sums of a bill.
    #[must_use]
    pub fn divide(&self, fees: &[FeeSum]) -> Division {
        let commissions: Vec<Commission> = fees.iter().map(|fee| self.commission_of(fee.kind, fee.gross)).collect();
        let whole: Money = fees.iter().map(|fee| fee.gross).sum();
        let kept = commissions.iter().map(|commission| commission.gross).sum();
        Division { owner_id: self.owner_id, owner_part: whole - kept, commission_tax: self.commission_tax, commissions }
    }

    fn commission_of(&self, kind: FeeKind, fee: Money) -> Commission {
        let percent = self.commission.of(kind);
        let gross = fee.part(percent);
        let net = gross.net_of_tax(self.commission_tax);
        Commission { kind, percent, gross, net, tax: gross - net }
    }
}

impl Division {
    /// The commissions together, tax included.
    #[must_use]
    pub fn commission(&self) -> Money {
        self.commissions.iter().map(|commission| commission.gross).sum()
    }

    /// The owner's part by the bill's lines and the rates alone, not by the sums that stand beside them.
    #[must_use]
    pub fn owner_part_of_lines(&self, bill: &Bill) -> Money {
        let part = |kind: FeeKind| {
            let fee: Money = bill.lines.iter().filter(|line| line.kind == kind).map(|line| line.amount).sum();
            let rate = self.commissions.iter().find(|commission| commission.kind == kind).map(|commission| commission.percent);
            fee - fee.part(rate.unwrap_or_default())
        };
        FeeKind::ALL.into_iter().map(part).sum()
    }
}

/// The terms that a session which begins now takes: none at a station of the operator's own, for an operator that books as principal, or before its books
/// have adopted rules that divide. So no bill is ever divided that rules in force would post whole.
#[must_use]
pub fn terms_of(operator: &Operator, books: &Journal, station: &Station) -> Option<AgencyTerms> {
    let ownership = station.ownership()?;
    match operator.facts()?.booking {
        BookingMode::Principal => None,
        BookingMode::Agent => books.rules().filter(|rules| rules.divide()).map(|_| ownership.terms()),
    }
}
