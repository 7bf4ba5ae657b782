//! The path of every fen of a bill, for people: quantity × price = product, what rounding did, which rule gave the price,
//! and how the sums and the tax come about. Everything is worked out again from the tariff, never taken from the bill, so
//! that a bill that does not follow from it says so. Whether the energy is the meter's is another question: price the
//! readings again and compare. A credit is a decision of staff, not of the tariff: only its arithmetic is checked.

use std::fmt;

use rust_decimal::Decimal;
use serde::{Serialize, Serializer};

use super::bill::{Bill, BillLine, CREDIT, FeeKind, FeeSum};
use super::clock::WallClock;
use super::lines::{idle_rule, minutes_between};
use super::rules::{Rule, Rules, ten_thousandths};
use crate::agency::{AgencyTerms, ExplainedDivision};
use crate::ids::TariffId;
use crate::tariff::{TariffSnapshot, TariffTerms};
use crate::time::{Timestamp, ZoneName};
use crate::units::{Energy, Money, Percent, round_half_up};

/// A bill, worked out again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The bill's number.
    pub bill_number: String,
    /// The tariff it was priced with.
    pub tariff_id: TariffId,
    /// Its version.
    pub tariff_version: u32,
    /// The station's zone, whose clock the lines show.
    pub zone: ZoneName,
    /// Each line.
    pub lines: Vec<ExplainedLine>,
    /// Each kind of fee.
    pub fees: Vec<ExplainedFee>,
    /// The energy of the energy lines together.
    pub energy_kwh: Energy,
    /// The amounts of all lines together.
    pub total_yuan: Money,
    /// What of it is the station owner's; none when it is booked whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub division: Option<ExplainedDivision>,
    /// Where the bill says something else than the tariff and the arithmetic; none in a true bill.
    pub disagreements: Vec<Disagreement>,
}

/// A line: `quantity × unit price = product`, and `product + rounding + reduction = amount`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainedLine {
    /// From 1.
    pub line: usize,
    /// What for.
    pub kind: FeeKind,
    /// From when, on the station's clock.
    pub from_at: String,
    /// Until when, on the station's clock.
    pub until_at: String,
    /// How much.
    pub quantity: Decimal,
    /// Of what: `kWh` or `min`; `credit` for what staff took off.
    pub unit: &'static str,
    /// The price of one.
    pub unit_price_yuan: Decimal,
    /// Which rule of the tariff gave the price.
    pub rule: String,
    /// Quantity times price, exact.
    pub product_yuan: Decimal,
    /// What rounding half up to the fen added, or took when negative.
    pub rounding_yuan: Decimal,
    /// What the most for idle time takes off; never positive.
    pub reduction_yuan: Money,
    /// What it comes to.
    pub amount_yuan: Money,
}

/// The sum of one kind: `gross / (1 + rate) = net`, half up to the fen, and the tax is the rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainedFee {
    /// What for.
    pub kind: FeeKind,
    /// The amounts of its lines.
    pub amounts_yuan: Vec<Money>,
    /// Their sum.
    pub gross_yuan: Money,
    /// The tax rate in it.
    pub tax_percent: Percent,
    /// Without tax.
    pub net_yuan: Money,
    /// The tax.
    pub tax_yuan: Money,
}

/// Where a bill does not follow from its tariff.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Disagreement {
    /// The tariff gives another rule, or none, for that time and that energy.
    #[error("line {line} is priced by \"{billed}\", and the tariff says \"{tariff}\"")]
    Rule {
        /// From 1.
        line: usize,
        /// What the bill says.
        billed: String,
        /// What the tariff says.
        tariff: String,
    },
    /// The rule has another price.
    #[error("line {line} has a unit price of {billed}, and the tariff says {tariff}")]
    UnitPrice {
        /// From 1.
        line: usize,
        /// What the bill says.
        billed: Decimal,
        /// What the tariff says.
        tariff: Decimal,
    },
    /// Quantity times price is another amount.
    #[error("line {line} comes to {billed}, and quantity times price to {reckoned}")]
    Amount {
        /// From 1.
        line: usize,
        /// What the bill says.
        billed: Money,
        /// What it comes to.
        reckoned: Money,
    },
    /// Energy and service are billed for the same energy and time: one of the two lines is missing, or another.
    #[error("line {line} has no line of the other kind for the same time and energy")]
    Unpaired {
        /// From 1.
        line: usize,
    },
    /// The idle minutes are not those from the beginning of the line to its end.
    #[error("line {line} bills {billed} minutes, and lasts {reckoned}")]
    IdleTime {
        /// From 1.
        line: usize,
        /// What the bill says.
        billed: Decimal,
        /// What the times say.
        reckoned: Decimal,
    },
    /// The energy lines have another energy than the bill.
    #[error("the bill has {billed} kWh, and its energy lines {reckoned}")]
    Energy {
        /// What the bill says.
        billed: Energy,
        /// What the lines say.
        reckoned: Decimal,
    },
    /// A kind has other sums.
    #[error("the {} fees are not what their lines and the tax rate come to", kind.as_str())]
    Fee {
        /// Of which.
        kind: FeeKind,
    },
    /// The bill is divided otherwise than the session's terms say.
    #[error("the bill is not divided between owner and operator as the session's terms say")]
    Division,
    /// The lines have another sum than the bill.
    #[error("the bill comes to {billed}, and its lines to {reckoned}")]
    Total {
        /// What the bill says.
        billed: Money,
        /// What the lines say.
        reckoned: Money,
    },
}

impl Serialize for Disagreement {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Works a bill out again from the tariff that the session was started under, and the terms on which it is divided, if any.
#[must_use]
pub fn explain(bill: &Bill, tariff: &TariffSnapshot, zone: &ZoneName, agency: Option<&AgencyTerms>) -> Explanation {
    let mut reckoning = Reckoning { terms: &tariff.terms, rules: Rules::of(&tariff.terms), zone, disagreements: Vec::new() };
    let lines = reckoning.lines(bill);
    let fees = reckoning.fees(bill, &lines);
    let total: Money = lines.iter().map(|line| line.amount_yuan).sum();
    if total != bill.total {
        reckoning.disagreements.push(Disagreement::Total { billed: bill.total, reckoned: total });
    }
    let sums: Vec<FeeSum> = fees.iter().map(ExplainedFee::sum).collect();
    if bill.division.as_deref() != agency.map(|terms| terms.divide(&sums)).as_ref() {
        reckoning.disagreements.push(Disagreement::Division);
    }
    Explanation {
        bill_number: bill.bill_number.clone(),
        tariff_id: tariff.tariff_id,
        tariff_version: tariff.version,
        zone: zone.clone(),
        lines,
        fees,
        energy_kwh: bill.energy,
        total_yuan: total,
        division: agency.map(|terms| terms.explain(&sums)),
        disagreements: reckoning.disagreements,
    }
}

impl ExplainedFee {
    fn sum(&self) -> FeeSum {
        FeeSum { kind: self.kind, gross: self.gross_yuan, net: self.net_yuan, tax: self.tax_yuan }
    }
}

struct Reckoning<'a> {
    terms: &'a TariffTerms,
    rules: Rules<'a>,
    zone: &'a ZoneName,
    disagreements: Vec<Disagreement>,
}

/// What the tariff says about a line.
struct Said {
    rule: String,
    unit_price: Option<Decimal>,
    /// Whether a service line belongs to it.
    service: bool,
    most: Option<Money>,
}

impl Reckoning<'_> {
    fn lines(&mut self, bill: &Bill) -> Vec<ExplainedLine> {
        let mut lines = Vec::with_capacity(bill.lines.len());
        // A line's element depends on the energy before it, a service line's on that of its energy line.
        let (mut energy_before, mut energy) = (Decimal::ZERO, Decimal::ZERO);
        for (number, line) in (1..).zip(&bill.lines) {
            if line.kind == FeeKind::Energy && !line.is_credit() {
                energy_before = energy;
                energy = energy.saturating_add(line.quantity);
            }
            let said = self.said(line, energy_before);
            self.check_quantity(number, line, &said, &bill.lines);
            lines.push(self.line(number, line, said));
        }
        if energy != bill.energy.value() {
            self.disagreements.push(Disagreement::Energy { billed: bill.energy, reckoned: energy });
        }
        lines
    }

    fn said(&self, line: &BillLine, energy_before: Decimal) -> Said {
        let nothing = || Said { rule: "nothing".to_owned(), unit_price: None, service: false, most: None };
        if line.is_credit() {
            return Said { rule: CREDIT.to_owned(), ..nothing() };
        }
        if line.kind == FeeKind::Idle {
            let idle = |fee| Said { rule: idle_rule(fee), unit_price: Some(fee.price.value()), service: false, most: fee.most };
            return self.terms.idle.map_or_else(nothing, idle);
        }
        let rate_of = |rule: Rule| self.rules.rate(rule).map(|rate| (rule, rate));
        let half_hour = WallClock::new(self.zone).at(line.from.micros());
        let energy_before = Energy::new(energy_before).map_or(i64::MAX, ten_thousandths);
        let Some((rule, rate)) = self.rules.at(half_hour, energy_before).and_then(rate_of) else { return nothing() };
        let price = if line.kind == FeeKind::Energy { rate.energy } else { rate.service };
        Said { rule: rule.text(), unit_price: Some(price.value()), service: !rate.service.is_zero(), most: None }
    }

    /// The energy of energy lines is checked as a whole; the other quantities follow from their neighbours and times.
    fn check_quantity(&mut self, number: usize, line: &BillLine, said: &Said, lines: &[BillLine]) {
        if line.is_credit() {
            return;
        }
        let (before, after) = (number.checked_sub(2).and_then(|index| lines.get(index)), lines.get(number));
        let paired = |other: Option<&BillLine>, kind| {
            other.is_some_and(|other| {
                other.kind == kind && (other.from, other.until, other.quantity) == (line.from, line.until, line.quantity)
            })
        };
        let alone = match line.kind {
            FeeKind::Energy => said.service && !paired(after, FeeKind::Service),
            FeeKind::Service => !paired(before, FeeKind::Energy),
            FeeKind::Idle => false,
        };
        if alone {
            self.disagreements.push(Disagreement::Unpaired { line: number });
        }
        let minutes = minutes_between(line.from, line.until);
        if line.kind == FeeKind::Idle && line.quantity != minutes {
            self.disagreements.push(Disagreement::IdleTime { line: number, billed: line.quantity, reckoned: minutes });
        }
    }

    fn line(&mut self, number: usize, line: &BillLine, said: Said) -> ExplainedLine {
        // A true bill's product has 26 digits at most; of one that does not fit, no amount can be true.
        let product = line.quantity.checked_mul(line.unit_price).unwrap_or(Decimal::MAX);
        let rounded = Money::new(round_half_up(product, Money::SCALE)).unwrap_or_default();
        let amount = said.most.map_or(rounded, |most| rounded.min(most.max(Money::ZERO)));
        if said.rule != line.rule {
            self.disagreements.push(Disagreement::Rule { line: number, billed: line.rule.clone(), tariff: said.rule });
        }
        if let Some(tariff) = said.unit_price.filter(|price| *price != line.unit_price) {
            self.disagreements.push(Disagreement::UnitPrice { line: number, billed: line.unit_price, tariff });
        }
        if amount != line.amount {
            self.disagreements.push(Disagreement::Amount { line: number, billed: line.amount, reckoned: amount });
        }
        ExplainedLine {
            line: number,
            kind: line.kind,
            from_at: self.clock(line.from),
            until_at: self.clock(line.until),
            quantity: line.quantity,
            unit: unit(line),
            unit_price_yuan: line.unit_price,
            rule: line.rule.clone(),
            product_yuan: product,
            rounding_yuan: rounded.value().saturating_sub(product),
            reduction_yuan: amount - rounded,
            amount_yuan: amount,
        }
    }

    fn fees(&mut self, bill: &Bill, lines: &[ExplainedLine]) -> Vec<ExplainedFee> {
        let mut fees = Vec::new();
        for kind in FeeKind::ALL {
            let amounts: Vec<Money> = lines.iter().filter(|line| line.kind == kind).map(|line| line.amount_yuan).collect();
            let tax_rate = kind.tax_rate(&self.terms.tax);
            let gross: Money = amounts.iter().copied().sum();
            let net = gross.net_of_tax(tax_rate);
            let reckoned = (!amounts.is_empty()).then(|| FeeSum { kind, gross, net, tax: gross - net });
            if !bill.fees.iter().filter(|fee| fee.kind == kind).eq(&reckoned) {
                self.disagreements.push(Disagreement::Fee { kind });
            }
            let explained = |fee: FeeSum| ExplainedFee {
                kind,
                amounts_yuan: amounts,
                gross_yuan: gross,
                tax_percent: tax_rate,
                net_yuan: net,
                tax_yuan: fee.tax,
            };
            fees.extend(reckoned.map(explained));
        }
        fees
    }

    fn clock(&self, time: Timestamp) -> String {
        time.jiff().to_zoned(self.zone.zone()).strftime("%Y-%m-%dT%H:%M:%S%.f%:z").to_string()
    }
}

fn unit(line: &BillLine) -> &'static str {
    match line.kind {
        FeeKind::Energy | FeeKind::Service | FeeKind::Idle if line.is_credit() => CREDIT,
        FeeKind::Energy | FeeKind::Service => "kWh",
        FeeKind::Idle => "min",
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "bill {}, tariff {} version {}, clock of {}", self.bill_number, self.tariff_id, self.tariff_version, self.zone)?;
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        self.fees.iter().try_for_each(|fee| writeln!(f, "{fee}"))?;
        writeln!(f, "total {} yuan for {} kWh", self.total_yuan, self.energy_kwh)?;
        self.division.iter().try_for_each(|division| write!(f, "{division}"))?;
        self.disagreements.iter().try_for_each(|disagreement| writeln!(f, "DISAGREES: {disagreement}"))
    }
}

impl fmt::Display for ExplainedLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>3} {:<7} {} to {}: ", self.line, self.kind.as_str(), self.from_at, self.until_at)?;
        write!(f, "{} {} × {} ({}) = {}", self.quantity, self.unit, self.unit_price_yuan, self.rule, self.product_yuan)?;
        if !self.rounding_yuan.is_zero() {
            write!(f, ", rounding {:+}", self.rounding_yuan)?;
        }
        if !self.reduction_yuan.is_zero() {
            write!(f, ", reduction {}", self.reduction_yuan)?;
        }
        write!(f, " → {}", self.amount_yuan)
    }
}

impl fmt::Display for ExplainedFee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let amounts: Vec<String> = self.amounts_yuan.iter().map(ToString::to_string).collect();
        write!(f, "{}: {} = {}; ", self.kind.as_str(), amounts.join(" + "), self.gross_yuan)?;
        write!(f, "net of {} % tax {}, tax {}", self.tax_percent.value().normalize(), self.net_yuan, self.tax_yuan)
    }
}
