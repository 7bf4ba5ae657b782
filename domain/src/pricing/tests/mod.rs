//! Tariffs and sessions to try prices on.

mod bills;
mod explained;
mod properties;

use super::*;
use crate::tariff::{
    DateRange, HalfHours, IdleFee, Rate, Rates, Restrictions, TariffElement, TariffSnapshot, TariffTerms, TaxRates, TouPeriod,
};
use crate::testing::{at, id};

const SHANGHAI: &str = "Asia/Shanghai";
const BERLIN: &str = "Europe/Berlin";

/// One energy price all day, no service price.
fn flat(price: &str) -> TariffSnapshot {
    snapshot(vec![element(Restrictions::default(), HalfHours::all(TouPeriod::Flat), [price; 4], "0")])
}

/// From midnight: valley to 08:00, peak to 12:00, flat to 18:00, sharp to 22:00, valley again; 1.2, 0.9, 0.6 and 0.3.
fn four_periods() -> TariffSnapshot {
    snapshot(vec![element(Restrictions::default(), day(), ["1.2", "0.9", "0.6", "0.3"], "0.4")])
}

fn day() -> HalfHours {
    [("V", 16), ("P", 8), ("F", 12), ("S", 8), ("V", 4)].map(|(letter, count)| letter.repeat(count)).concat().parse().unwrap()
}

/// Prices as sharp, peak, flat, valley.
fn element(restrictions: Restrictions, half_hours: HalfHours, energy: [&str; 4], service: &str) -> TariffElement {
    let [sharp, peak, flat, valley] = energy.map(|price| Rate { energy: price.parse().unwrap(), service: service.parse().unwrap() });
    TariffElement { restrictions, half_hours, rates: Rates { sharp, peak, flat, valley } }
}

fn snapshot(elements: Vec<TariffElement>) -> TariffSnapshot {
    let tax = TaxRates { energy: "13".parse().unwrap(), service: "6".parse().unwrap(), idle: "6".parse().unwrap() };
    TariffSnapshot { tariff_id: id(1), version: 1, terms: TariffTerms { elements, idle: None, tax } }
}

fn with_idle(price: &str, grace_minutes: u32, most: Option<&str>) -> TariffSnapshot {
    let mut tariff = flat("1");
    let most = most.map(|most| most.parse().unwrap());
    tariff.terms.idle = Some(IdleFee { price: price.parse().unwrap(), grace_minutes, most });
    tariff
}

/// A session as `(time, energy since the start)`, the first at zero and the last with all of it.
fn usage(points: &[(&str, &str)]) -> Usage {
    let point = |(time, energy): (&str, &str)| EnergyPoint { at: at(time), energy: energy.parse().unwrap() };
    let points: Vec<EnergyPoint> = points.iter().copied().map(point).collect();
    let (first, last) = (points[0], points[points.len() - 1]);
    Usage::new(first.at, last.at, last.energy, points[1..points.len() - 1].iter().copied()).unwrap()
}

fn priced(tariff: &TariffSnapshot, zone: &str, usage: &Usage) -> Bill {
    price("20260301".to_owned(), tariff, &zone.parse().unwrap(), usage).unwrap()
}

fn written(bill: &Bill, zone: &str) -> Vec<String> {
    let zone: ZoneName = zone.parse().unwrap();
    let clock = |time: Timestamp| time.jiff().to_zoned(zone.zone()).strftime("%d %H:%M:%S").to_string();
    let line = |line: &BillLine| {
        let period = line.period.map_or("-", TouPeriod::as_str);
        let (from, until) = (clock(line.from), clock(line.until));
        format!("{} {period} {from}–{until} {} × {} = {}", line.kind.as_str(), line.quantity, line.unit_price, line.amount)
    };
    bill.lines.iter().map(line).collect()
}

#[track_caller]
fn is_billed(tariff: &TariffSnapshot, zone: &str, usage: &Usage, lines: &[&str]) {
    assert_eq!(written(&priced(tariff, zone, usage), zone), lines);
}
