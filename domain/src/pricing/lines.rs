//! Usage → stretches under one rule → lines. Whole numbers of microseconds and of ten-thousandths of a kWh until a line
//! is made, so that nothing is rounded on the way but the energy at a cut.

use rust_decimal::Decimal;

use super::PricingError;
use super::bill::{BillLine, FeeKind};
use super::clock::WallClock;
use super::rules::{Rule, Rules, ten_thousandths};
use super::usage::Usage;
use crate::tariff::{IdleFee, TariffTerms};
use crate::time::{Timestamp, ZoneName};
use crate::units::{Energy, Minutes, Money, PricePerKwh};

/// The lines of a bill: by time, energy before service, idle last.
pub(super) fn of(terms: &TariffTerms, zone: &ZoneName, usage: &Usage) -> Result<Vec<BillLine>, PricingError> {
    let rules = Rules::of(terms);
    let stretches = stretches(&rules, zone, usage)?;
    let mut lines = Vec::with_capacity(stretches.len() * 2 + 1);
    for stretch in stretches.iter().filter(|stretch| stretch.energy > 0) {
        stretch.bill(&rules, &mut lines)?;
    }
    if let (Some(fee), Some((from, until))) = (terms.idle, usage.idle()) {
        lines.extend(idle_line(fee, from, until));
    }
    Ok(lines)
}

/// Time under one rule without a gap, and the energy that flowed in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) from: i64,
    pub(super) until: i64,
    pub(super) energy: i64,
    pub(super) rule: Rule,
}

/// Where a session stands: how much energy had flowed at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Point {
    micros: i64,
    energy: i64,
}

/// All of the session's time, apart by rule.
pub(super) fn stretches(rules: &Rules<'_>, zone: &ZoneName, usage: &Usage) -> Result<Vec<Stretch>, PricingError> {
    let mut clock = WallClock::new(zone);
    let mut stretches: Vec<Stretch> = Vec::new();
    let mut points = usage.points().iter().map(|point| Point { micros: point.at.micros(), energy: ten_thousandths(point.energy) });
    let Some(mut start) = points.next() else { return Ok(stretches) };
    for end in points {
        let mut now = start;
        loop {
            let half_hour = clock.at(now.micros);
            let cut = if half_hour.until < end.micros { point_at(start, end, half_hour.until) } else { end };
            // Within the half-hour only a step of the tariff can change the price.
            while now != cut {
                let step = rules.step_above(now.energy).filter(|step| *step < cut.energy);
                let next = step.map_or(cut, |step| point_of(start, end, step));
                let rule = rules.at(half_hour, now.energy).ok_or_else(|| PricingError::NoElementHolds { at: instant(now.micros) })?;
                add(&mut stretches, now, next, rule);
                now = next;
            }
            if cut == end {
                break;
            }
        }
        start = end;
    }
    Ok(stretches)
}

fn add(stretches: &mut Vec<Stretch>, from: Point, until: Point, rule: Rule) {
    let energy = until.energy - from.energy;
    match stretches.last_mut() {
        Some(last) if last.rule == rule => {
            last.until = until.micros;
            last.energy += energy;
        }
        Some(_) | None => stretches.push(Stretch { from: from.micros, until: until.micros, energy, rule }),
    }
}

/// The point at an instant between two others: the energy is half up, so that it never falls from cut to cut.
fn point_at(start: Point, end: Point, micros: i64) -> Point {
    let (part, whole) = (i128::from(micros - start.micros), i128::from(end.micros - start.micros));
    let energy = (2 * i128::from(end.energy - start.energy) * part + whole).checked_div(2 * whole).unwrap_or(0);
    Point { micros, energy: start.energy + i64::try_from(energy).unwrap_or(0) }
}

/// The point of an energy between two others: the microsecond in which it is reached, so never one of the half-hour after.
fn point_of(start: Point, end: Point, energy: i64) -> Point {
    let (part, whole) = (i128::from(energy - start.energy), i128::from(end.energy - start.energy));
    let micros = (i128::from(end.micros - start.micros) * part).checked_div(whole).unwrap_or(0);
    Point { micros: start.micros + i64::try_from(micros).unwrap_or(0), energy }
}

impl Stretch {
    fn bill(&self, rules: &Rules<'_>, lines: &mut Vec<BillLine>) -> Result<(), PricingError> {
        let (from, until) = (instant(self.from), instant(self.until));
        let rate = rules.rate(self.rule).ok_or(PricingError::NoElementHolds { at: from })?;
        let quantity = Energy::new(Decimal::new(self.energy, Energy::SCALE)).map_err(|_| PricingError::AmountOutOfRange)?;
        let mut line = |kind, price: PricePerKwh| {
            lines.push(BillLine {
                kind,
                period: Some(self.rule.period),
                from,
                until,
                quantity: quantity.value(),
                unit_price: price.value(),
                rule: self.rule.text(),
                amount: Money::of(quantity, price),
            });
        };
        line(FeeKind::Energy, rate.energy);
        if !rate.service.is_zero() {
            line(FeeKind::Service, rate.service);
        }
        Ok(())
    }
}

/// The idle fee: the minutes after the grace time, up to the most that a session pays. No line within the grace time, nor
/// where a minute costs nothing.
fn idle_line(fee: IdleFee, from: Timestamp, until: Timestamp) -> Option<BillLine> {
    let from = from.plus_seconds(i64::from(fee.grace_minutes) * 60);
    let minutes = Minutes::new(minutes_between(from, until)).unwrap_or_default();
    if minutes.is_zero() || fee.price.is_zero() {
        return None;
    }
    let amount = Money::of_minutes(minutes, fee.price);
    Some(BillLine {
        kind: FeeKind::Idle,
        period: None,
        from,
        until,
        quantity: minutes.value(),
        unit_price: fee.price.value(),
        rule: idle_rule(fee),
        amount: fee.most.map_or(amount, |most| amount.min(most.max(Money::ZERO))),
    })
}

/// The minutes from one time to another, half up to a ten-thousandth; negative, and so no [`Minutes`], when it is the earlier.
pub(super) fn minutes_between(from: Timestamp, until: Timestamp) -> Decimal {
    // A ten-thousandth of a minute is 6,000 microseconds.
    Decimal::new((until.micros() - from.micros() + 3_000).div_euclid(6_000), Minutes::SCALE)
}

/// The idle fee in words, the most included: it explains an amount below quantity times price.
pub(super) fn idle_rule(fee: IdleFee) -> String {
    match fee.most {
        Some(most) => format!("idle after {} minutes, at most {most}", fee.grace_minutes),
        None => format!("idle after {} minutes", fee.grace_minutes),
    }
}

fn instant(micros: i64) -> Timestamp {
    // Every instant here lies between two that were checked.
    Timestamp::from_micros(micros).unwrap_or_default()
}
