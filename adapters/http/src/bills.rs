//! A bill as people read it: times on the station's clock, units in the names.

use domain::pricing::{Bill, FeeKind};
use domain::tariff::TouPeriod;
use domain::time::ZoneName;
use serde::Serialize;
use utoipa::ToSchema;

use crate::wire::{Kwh, Quantity, Yuan, in_zone};

/// A bill, or what one would be.
#[derive(Debug, Serialize, ToSchema)]
pub struct BillAnswer {
    /// Its number; `estimate` for an estimate.
    bill_number: String,
    /// The energy.
    energy_kwh: Kwh,
    /// What it comes to, tax included.
    total_yuan: Yuan,
    /// By kind of fee.
    fees: Vec<FeeAnswer>,
    /// Each stretch under one rule.
    lines: Vec<BillLineAnswer>,
}

/// The sum of one kind of fee.
#[derive(Debug, Serialize, ToSchema)]
pub struct FeeAnswer {
    /// Which.
    kind: FeeName,
    /// With tax.
    gross_yuan: Yuan,
    /// Without.
    net_yuan: Yuan,
    /// The tax.
    tax_yuan: Yuan,
}

/// One stretch under one rule.
#[derive(Debug, Serialize, ToSchema)]
pub struct BillLineAnswer {
    /// For what.
    kind: FeeName,
    /// In which time-of-use period.
    #[serde(skip_serializing_if = "Option::is_none")]
    period: Option<PeriodName>,
    /// From when.
    #[schema(format = DateTime)]
    from_at: String,
    /// Until when.
    #[schema(format = DateTime)]
    until_at: String,
    /// Kilowatt-hours, or minutes for idle time.
    quantity: Quantity,
    /// Yuan for one of them.
    unit_price_yuan: Quantity,
    /// Which rule of the tariff gave the price.
    rule: String,
    /// Quantity times price, half up to the fen.
    amount_yuan: Yuan,
}

/// A kind of fee.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FeeName {
    /// Energy (电费).
    Energy,
    /// Service (服务费).
    Service,
    /// Idle time (占位费).
    Idle,
}

/// A time-of-use period.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PeriodName {
    /// 尖.
    Sharp,
    /// 峰.
    Peak,
    /// 平.
    Flat,
    /// 谷.
    Valley,
}

impl From<FeeKind> for FeeName {
    fn from(kind: FeeKind) -> FeeName {
        match kind {
            FeeKind::Energy => FeeName::Energy,
            FeeKind::Service => FeeName::Service,
            FeeKind::Idle => FeeName::Idle,
        }
    }
}

impl From<TouPeriod> for PeriodName {
    fn from(period: TouPeriod) -> PeriodName {
        match period {
            TouPeriod::Sharp => PeriodName::Sharp,
            TouPeriod::Peak => PeriodName::Peak,
            TouPeriod::Flat => PeriodName::Flat,
            TouPeriod::Valley => PeriodName::Valley,
        }
    }
}

impl BillAnswer {
    /// A bill with its times on this clock.
    #[must_use]
    pub fn of(bill: &Bill, zone: &ZoneName) -> BillAnswer {
        let fees = bill.fees.iter().map(|fee| FeeAnswer {
            kind: fee.kind.into(),
            gross_yuan: Yuan(fee.gross),
            net_yuan: Yuan(fee.net),
            tax_yuan: Yuan(fee.tax),
        });
        let lines = bill.lines.iter().map(|line| BillLineAnswer {
            kind: line.kind.into(),
            period: line.period.map(PeriodName::from),
            from_at: in_zone(line.from, zone),
            until_at: in_zone(line.until, zone),
            quantity: Quantity(line.quantity),
            unit_price_yuan: Quantity(line.unit_price),
            rule: line.rule.clone(),
            amount_yuan: Yuan(line.amount),
        });
        BillAnswer {
            bill_number: bill.bill_number.clone(),
            energy_kwh: Kwh(bill.energy),
            total_yuan: Yuan(bill.total),
            fees: fees.collect(),
            lines: lines.collect(),
        }
    }
}
