//! How a bill's division comes about, for people: worked out again from the session's terms, never taken from the bill.

use std::fmt;

use serde::Serialize;

use super::AgencyTerms;
use crate::ids::OperatorId;
use crate::pricing::{FeeKind, FeeSum};
use crate::units::{Money, Percent};

/// A bill's division, worked out again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainedDivision {
    /// Whose the station was.
    pub owner_id: OperatorId,
    /// The total less all commissions.
    pub owner_part_yuan: Money,
    /// The tax rate in the commissions.
    pub commission_tax_percent: Percent,
    /// What the operator keeps, by kind of fee.
    pub commissions: Vec<ExplainedCommission>,
}

/// `fee × rate = commission`, half up to the fen; `commission / (1 + tax) = net`, half up, and the tax is the rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainedCommission {
    /// Of which kind of fee.
    pub kind: FeeKind,
    /// What the customer pays.
    pub fee_yuan: Money,
    /// The rate.
    pub percent: Percent,
    /// What the operator keeps, tax included.
    pub commission_yuan: Money,
    /// Without tax.
    pub net_yuan: Money,
    /// The tax.
    pub tax_yuan: Money,
}

impl AgencyTerms {
    /// Divides the sums of a bill, and says how.
    #[must_use]
    pub fn explain(&self, fees: &[FeeSum]) -> ExplainedDivision {
        let division = self.divide(fees);
        let commissions = division.commissions.iter().zip(fees).map(|(commission, fee)| ExplainedCommission {
            kind: commission.kind,
            fee_yuan: fee.gross,
            percent: commission.percent,
            commission_yuan: commission.gross,
            net_yuan: commission.net,
            tax_yuan: commission.tax,
        });
        ExplainedDivision {
            owner_id: division.owner_id,
            owner_part_yuan: division.owner_part,
            commission_tax_percent: division.commission_tax,
            commissions: commissions.collect(),
        }
    }
}

impl fmt::Display for ExplainedDivision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for commission in &self.commissions {
            let ExplainedCommission { kind, fee_yuan, percent, commission_yuan, net_yuan, tax_yuan } = commission;
            write!(f, "commission on {}: {fee_yuan} × {} % → {commission_yuan}; ", kind.as_str(), percent.value().normalize())?;
            writeln!(f, "net of {} % tax {net_yuan}, tax {tax_yuan}", self.commission_tax_percent.value().normalize())?;
        }
        writeln!(f, "owner {}: the rest, {} yuan", self.owner_id, self.owner_part_yuan)
    }
}
