//! A bill: lines, and sums that come from them alone.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::agency::{AgencyTerms, Division};
use crate::tariff::{TaxRates, TouPeriod};
use crate::time::Timestamp;
use crate::units::{Energy, Money, Percent};

/// What a line, or a part of the revenue, is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FeeKind {
    /// Electricity (电费).
    Energy,
    /// Service (服务费).
    Service,
    /// Keeping the connector (占位费).
    Idle,
}

impl FeeKind {
    /// All kinds, in the order of a bill.
    pub const ALL: [FeeKind; 3] = [FeeKind::Energy, FeeKind::Service, FeeKind::Idle];

    /// The word in JSON, and in the account's name: `6001.energy`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            FeeKind::Energy => "energy",
            FeeKind::Service => "service",
            FeeKind::Idle => "idle",
        }
    }

    /// The tax rate of this kind.
    #[must_use]
    pub const fn tax_rate(self, tax: &TaxRates) -> Percent {
        match self {
            FeeKind::Energy => tax.energy,
            FeeKind::Service => tax.service,
            FeeKind::Idle => tax.idle,
        }
    }
}

/// One line: a stretch of time in which one price holds for one kind of fee.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BillLine {
    /// What for.
    pub kind: FeeKind,
    /// In which TOU period; none for idle time.
    pub period: Option<TouPeriod>,
    /// From when.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// How much: kWh, or minutes for idle time, four places.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub quantity: Decimal,
    /// The price of one, five places.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub unit_price: Decimal,
    /// Which rule of the tariff gave the price, for people: `element 2, peak`.
    pub rule: String,
    /// Quantity times price, half up to the fen; for idle time never above the most that the rule names.
    pub amount: Money,
}

/// The rule of a line that no tariff gave.
pub(super) const CREDIT: &str = "credit";

impl BillLine {
    /// A line that takes an amount off a bill.
    #[must_use]
    pub fn credit(kind: FeeKind, at: Timestamp, amount: Money) -> BillLine {
        BillLine {
            kind,
            period: None,
            from: at,
            until: at,
            quantity: Decimal::ONE,
            unit_price: -amount.value(),
            rule: CREDIT.to_owned(),
            amount: -amount,
        }
    }

    /// Whether it takes an amount off. No price is negative, so that nothing else does; its quantity is no energy.
    #[must_use]
    pub fn is_credit(&self) -> bool {
        self.amount.is_negative()
    }
}

/// The sum of the lines of one kind, apart into revenue and tax.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FeeSum {
    /// What for.
    pub kind: FeeKind,
    /// Sum of the lines.
    pub gross: Money,
    /// Without tax.
    pub net: Money,
    /// The tax in it: gross less net.
    pub tax: Money,
}

/// What a session costs. A free session has one too: a gap in the numbers would look like a loss.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Bill {
    /// The order number, `-2` and on for corrections.
    pub bill_number: String,
    /// From the first line to the last.
    pub lines: Vec<BillLine>,
    /// The energy that is billed.
    pub energy: Energy,
    /// One for each kind that has lines.
    pub fees: Vec<FeeSum>,
    /// The sum of the lines, tax included.
    pub total: Money,
    /// What of it is the station owner's, when it is booked as an agent's.
    pub division: Option<Box<Division>>,
}

impl Bill {
    /// Sums the lines up: the only way to make a bill, so that no other total exists.
    #[must_use]
    pub fn of_lines(bill_number: String, energy: Energy, lines: Vec<BillLine>, tax: &TaxRates) -> Bill {
        let fees: Vec<FeeSum> = FeeKind::ALL
            .into_iter()
            .filter(|kind| lines.iter().any(|line| line.kind == *kind))
            .map(|kind| {
                let gross: Money = lines.iter().filter(|line| line.kind == kind).map(|line| line.amount).sum();
                let net = gross.net_of_tax(kind.tax_rate(tax));
                FeeSum { kind, gross, net, tax: gross - net }
            })
            .collect();
        let total = fees.iter().map(|fee| fee.gross).sum();
        Bill { bill_number, lines, energy, fees, total, division: None }
    }

    /// The same bill, divided on a session's terms, if it has any.
    #[must_use]
    pub fn divided(self, terms: Option<&AgencyTerms>) -> Bill {
        let division = terms.map(|terms| Box::new(terms.divide(&self.fees)));
        Bill { division, ..self }
    }

    /// The sum of the lines of one kind.
    #[must_use]
    pub fn gross(&self, kind: FeeKind) -> Money {
        self.fees.iter().find(|fee| fee.kind == kind).map_or(Money::ZERO, |fee| fee.gross)
    }
}
