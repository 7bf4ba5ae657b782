//! Tariffs, and the snapshot and bill that sessions carry.

use domain::event::Event;
use domain::pricing::{Bill, BillLine, FeeKind};
use domain::tariff::{
    DateRange, HalfHours, IdleFee, Rate, Rates, Restrictions, TariffElement, TariffEvent, TariffSnapshot, TariffTerms, TaxRates, TouPeriod,
};
use domain::testing::at;

use super::estate::ownership;
use super::{of, who};

pub fn all() -> Vec<Event> {
    let published = TariffEvent::VersionPublished {
        tariff_id: who::tariff(),
        operator_id: who::operator(),
        name: "工商业分时".to_owned(),
        version: 3,
        effective_from: at("2026-01-01T00:00:00+08:00"),
        terms: terms(),
    };
    vec![published.into(), TariffEvent::Withdrawn { tariff_id: who::tariff() }.into()]
}

pub fn snapshot() -> TariffSnapshot {
    TariffSnapshot { tariff_id: who::tariff(), version: 3, terms: terms() }
}

/// Twelve kilowatt-hours at the peak, and five minutes too long.
pub fn bill(bill_number: &str) -> Bill {
    let line = |kind, period, from, until, quantity, unit_price, rule: &str, amount| BillLine {
        kind,
        period,
        from: at(from),
        until: at(until),
        quantity: of(quantity),
        unit_price: of(unit_price),
        rule: rule.to_owned(),
        amount: of(amount),
    };
    let (plugged, full, gone) = ("2026-03-01T10:00:00+08:00", "2026-03-01T10:30:00+08:00", "2026-03-01T10:50:00+08:00");
    let lines = vec![
        line(FeeKind::Energy, Some(TouPeriod::Peak), plugged, full, "12.0000", "1.10000", "element 2, peak", "13.20"),
        line(FeeKind::Service, Some(TouPeriod::Peak), plugged, full, "12.0000", "0.60000", "element 2, peak", "7.20"),
        line(FeeKind::Idle, None, full, gone, "5.0000", "0.50000", "idle after 15 minutes", "2.50"),
    ];
    Bill::of_lines(bill_number.to_owned(), of("12.0000"), lines, &taxes()).divided(Some(&ownership().terms()))
}

fn terms() -> TariffTerms {
    let holiday = Restrictions {
        weekdays: vec![6, 7],
        dates: Some(DateRange { first: of("2026-10-01"), last: of("2026-10-07") }),
        energy_from: Some(of("0.0000")),
        energy_below: Some(of("100.0000")),
    };
    let elements = vec![
        TariffElement { restrictions: holiday, half_hours: HalfHours::all(TouPeriod::Valley), rates: rates() },
        TariffElement {
            restrictions: Restrictions::default(),
            half_hours: of("VVVVVVVVVVVVVVVVFFFFPPPPSSPPFFFFFFFFPPPPPPFFFFVV"),
            rates: rates(),
        },
    ];
    let idle = IdleFee { price: of("0.50000"), grace_minutes: 15, most: Some(of("60.00")) };
    TariffTerms { elements, idle: Some(idle), tax: taxes() }
}

fn rates() -> Rates {
    let rate = |energy, service| Rate { energy: of(energy), service: of(service) };
    let (sharp, peak) = (rate("1.30000", "0.60000"), rate("1.10000", "0.60000"));
    Rates { sharp, peak, flat: rate("0.70000", "0.50000"), valley: rate("0.30000", "0.40000") }
}

fn taxes() -> TaxRates {
    TaxRates { energy: of("13.0000"), service: of("6.0000"), idle: of("6.0000") }
}
