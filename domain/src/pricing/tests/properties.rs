//! What holds for every session and every tariff.

use jiff::civil::Weekday;
use proptest::prelude::*;
use rust_decimal::Decimal;

use super::super::lines::{self, Stretch};
use super::super::rules::{Rules, ten_thousandths};
use super::*;

const ZONES: [&str; 6] = ["Asia/Shanghai", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Asia/Beirut"];

/// Mondays to Sundays of half a year, so that dates, weekdays and both changes of the clock are met.
fn start() -> impl Strategy<Value = Timestamp> {
    let anywhere = 1_767_000_000_000_000..1_798_000_000_000_000_i64;
    // The hours around the changes in Berlin, New York, Lord Howe, Beirut and Chatham in 2026.
    let change = proptest::sample::select(vec![
        "2026-03-29T01:00:00Z",
        "2026-10-25T01:00:00Z",
        "2026-03-08T07:00:00Z",
        "2026-11-01T06:00:00Z",
        "2026-04-04T15:00:00Z",
        "2026-10-03T15:30:00Z",
        "2026-03-28T22:00:00Z",
        "2026-10-24T21:00:00Z",
        "2026-04-04T14:00:00Z",
        "2026-09-26T14:00:00Z",
    ]);
    let near = (change, -7_200_000_000..7_200_000_000_i64).prop_map(|(change, micros)| at(change).micros() + micros);
    prop_oneof![anywhere, near].prop_map(|micros| Timestamp::from_micros(micros).unwrap())
}

fn duration() -> impl Strategy<Value = i64> {
    prop_oneof![Just(0), 0..7_200_000_000_i64, 0..180_000_000_000_i64, 0..=LONGEST_DAYS * 86_400_000_000]
}

fn energy() -> impl Strategy<Value = Energy> {
    prop_oneof![Just(0), 0..20_i64, 0..1_000_000_i64, 0..10_000_000_i64].prop_map(kwh)
}

fn kwh(ten_thousandths: i64) -> Energy {
    Energy::new(Decimal::new(ten_thousandths, 4)).unwrap()
}

/// Any session that can be priced, with readings anywhere, also where they do not fit.
fn session() -> impl Strategy<Value = Usage> {
    let readings = proptest::collection::vec((0..=1_000_i64, 0..=1_000_i64), 0..6);
    let idle = prop_oneof![Just(-1), 0..10_000_000_000_i64];
    (start(), duration(), energy(), readings, idle).prop_map(|(start, duration, energy, mut readings, idle)| {
        readings.sort_unstable();
        let time = |micros| Timestamp::from_micros(start.micros() + micros).unwrap();
        let total = ten_thousandths(energy);
        let point = |(t, e): (i64, i64)| EnergyPoint { at: time(duration / 1_000 * t), energy: kwh(total * e / 1_000) };
        let usage = Usage::new(start, time(duration), energy, readings.into_iter().map(point)).unwrap();
        usage.idle_until(time(duration + idle)).unwrap()
    })
}

fn table() -> impl Strategy<Value = HalfHours> {
    let any = proptest::collection::vec(proptest::sample::select(vec!["S", "P", "F", "V"]), 48);
    prop_oneof![Just(day()), any.prop_map(|letters| letters.concat().parse().unwrap())]
}

fn rates() -> impl Strategy<Value = Rates> {
    let rate = || {
        (0..300_000_u32, prop_oneof![Just(0), 0..100_000_u32])
            .prop_map(|(energy, service)| Rate { energy: yuan(energy), service: yuan(service) })
    };
    (rate(), rate(), rate(), rate()).prop_map(|(sharp, peak, flat, valley)| Rates { sharp, peak, flat, valley })
}

fn yuan(hundred_thousandths: u32) -> crate::units::PricePerKwh {
    crate::units::PricePerKwh::new(Decimal::new(hundred_thousandths.into(), 5)).unwrap()
}

fn restrictions(steps: bool) -> impl Strategy<Value = Restrictions> {
    let weekdays = prop_oneof![Just(vec![]), Just(vec![6, 7]), Just(vec![1, 3, 5])];
    let first: jiff::civil::Date = "2026-03-28".parse().unwrap();
    let dates = proptest::option::of((0..250_i64, 0..9_i64).prop_map(move |(day, days)| {
        let first = first.saturating_add(jiff::Span::new().days(day));
        DateRange { first, last: first.saturating_add(jiff::Span::new().days(days)) }
    }));
    let step = prop_oneof![Just(None), (0..i64::from(steps) * 500_000 + 1).prop_map(move |step| steps.then_some(step))];
    (weekdays, dates, step, 1..500_000_i64, any::<bool>()).prop_map(|(weekdays, dates, from, more, open)| Restrictions {
        weekdays,
        dates,
        energy_from: from.map(kwh),
        energy_below: from.filter(|_| !open).map(|from| kwh(from + more)),
    })
}

/// Any tariff that may be published, with energy steps or without.
fn tariff(steps: bool) -> impl Strategy<Value = TariffSnapshot> {
    let part = || (table(), rates());
    let restricted = proptest::collection::vec((restrictions(steps), part()), 0..4);
    let idle = proptest::option::of((0..100_000_u32, 0..60_u32, proptest::option::of(0..5_000_i64)));
    (restricted, part(), idle).prop_map(|(restricted, last, idle)| {
        let element = |(restrictions, (half_hours, rates))| TariffElement { restrictions, half_hours, rates };
        let mut elements: Vec<TariffElement> = restricted.into_iter().map(element).collect();
        elements.retain(|element| element.restrictions != Restrictions::default());
        elements.push(element((Restrictions::default(), last)));
        let mut tariff = snapshot(elements);
        tariff.terms.idle = idle.map(|(price, grace_minutes, most)| IdleFee {
            price: crate::units::PricePerMinute::new(Decimal::new(price.into(), 5)).unwrap(),
            grace_minutes,
            most: most.map(Money::from_fen),
        });
        tariff.terms.check().unwrap();
        tariff
    })
}

fn zone() -> impl Strategy<Value = ZoneName> {
    proptest::sample::select(ZONES.to_vec()).prop_map(|zone| zone.parse().unwrap())
}

fn bill(tariff: &TariffSnapshot, zone: &ZoneName, usage: &Usage) -> Bill {
    price("n".to_owned(), tariff, zone, usage).unwrap()
}

fn stretches(tariff: &TariffSnapshot, zone: &ZoneName, usage: &Usage) -> Vec<Stretch> {
    lines::stretches(&Rules::of(&tariff.terms), zone, usage).unwrap()
}

/// What a line may move when another reading lies on the straight line: the documented bound.
fn most_per_line(tariff: &TariffSnapshot) -> Decimal {
    let rates =
        tariff.terms.elements.iter().map(|element| element.rates).flat_map(|rates| [rates.sharp, rates.peak, rates.flat, rates.valley]);
    let dearest = rates.map(|rate| rate.energy.value().max(rate.service.value())).max().unwrap();
    Decimal::new(1, 2) + Decimal::new(2, 4) * dearest
}

/// How many lines two bills of the same session have, taken together.
fn lines_of_both(one: &Bill, other: &Bill) -> Decimal {
    let key = |line: &BillLine| (line.kind, line.rule.clone(), line.from);
    let mut keys: Vec<_> = one.lines.iter().chain(&other.lines).map(key).collect();
    keys.sort();
    keys.dedup();
    keys.len().into()
}

proptest! {
    #[test]
    fn lines_sum_to_the_bill(tariff in tariff(true), zone in zone(), usage in session()) {
        let bill = bill(&tariff, &zone, &usage);
        let amounts: Money = bill.lines.iter().map(|line| line.amount).sum();
        let net_and_tax: Money = bill.fees.iter().flat_map(|fee| [fee.net, fee.tax]).sum();
        prop_assert_eq!((amounts, net_and_tax), (bill.total, bill.total));
        let energy: Decimal = bill.lines.iter().filter(|line| line.kind == FeeKind::Energy).map(|line| line.quantity).sum();
        prop_assert_eq!((energy, bill.energy), (usage.energy().value(), usage.energy()));
        prop_assert!(bill.lines.iter().all(|line| line.quantity > Decimal::ZERO && !line.amount.is_negative()));
    }

    #[test]
    fn pieces_cover_the_session_and_sum_to_its_energy(tariff in tariff(true), zone in zone(), usage in session()) {
        let stretches = stretches(&tariff, &zone, &usage);
        prop_assert_eq!(stretches.iter().map(|stretch| stretch.energy).sum::<i64>(), ten_thousandths(usage.energy()));
        prop_assert!(stretches.iter().all(|stretch| stretch.energy >= 0 && stretch.from <= stretch.until));
        prop_assert!(stretches.windows(2).all(|pair| pair[0].until == pair[1].from && pair[0].rule != pair[1].rule));
        if let (Some(first), Some(last)) = (stretches.first(), stretches.last()) {
            let ends = (usage.points()[0].at.micros(), usage.ended_at().micros());
            prop_assert_eq!((first.from, last.until), ends);
        } else {
            prop_assert!(usage.energy().is_zero() && usage.points()[0].at == usage.ended_at());
        }
    }

    /// Against the calendar of another hand: at any instant of a line the zone's own civil time falls into the line's
    /// period, its element fits that day, and none before it does.
    #[test]
    fn every_instant_of_a_line_has_the_period_and_the_element_of_the_stations_clock(
        tariff in tariff(false), zone in zone(), usage in session(), share in 0..1_000_i64,
    ) {
        for line in bill(&tariff, &zone, &usage).lines.iter().filter(|line| line.kind == FeeKind::Energy) {
            let micros = line.from.micros() + (line.until.micros() - line.from.micros()) / 1_000 * share;
            let civil = jiff::Timestamp::from_microsecond(micros).unwrap().to_zoned(zone.zone()).datetime();
            let fits = |element: &TariffElement| {
                let Restrictions { weekdays, dates, .. } = &element.restrictions;
                let weekday = u8::try_from(civil.weekday().since(Weekday::Monday) + 1).unwrap();
                (weekdays.is_empty() || weekdays.contains(&weekday))
                    && dates.is_none_or(|dates| dates.first <= civil.date() && civil.date() <= dates.last)
            };
            let element = tariff.terms.elements.iter().position(fits).unwrap();
            let slot = usize::try_from(civil.hour()).unwrap() * 2 + usize::from(civil.minute() >= 30);
            let period = tariff.terms.elements[element].half_hours.0[slot];
            prop_assert_eq!(line.period, Some(period));
            prop_assert_eq!(&line.rule, &format!("element {}, {}", element + 1, period.as_str()));
        }
    }

    #[test]
    fn a_further_reading_on_the_straight_line_moves_a_line_by_no_more_than_rounding(
        tariff in tariff(true), zone in zone(), usage in session(), place in any::<prop::sample::Index>(), share in 0..=1_000_i64,
    ) {
        let points = usage.points();
        let (start, end) = { let at = place.index(points.len() - 1); (points[at], points[at + 1]) };
        let (micros, energy) = (end.at.micros() - start.at.micros(), end.energy.since(start.energy).unwrap());
        let at_share = Timestamp::from_micros(start.at.micros() + micros / 1_000 * share).unwrap();
        // On the line, as near as a reading of four places can be.
        let part = energy.share(at_share.micros() - start.at.micros(), micros);
        prop_assume!(micros > 0);
        let mut more = points.to_vec();
        more.push(EnergyPoint { at: at_share, energy: start.energy + part });
        more.sort_by_key(|point| (point.at, point.energy));
        let split = Usage::new(points[0].at, usage.ended_at(), usage.energy(), more).unwrap();
        let (before, after) = (bill(&tariff, &zone, &usage), bill(&tariff, &zone, &split));
        let charging = |bill: &Bill| bill.gross(FeeKind::Energy) + bill.gross(FeeKind::Service);
        let moved = (charging(&after) - charging(&before)).value().abs();
        prop_assert!(moved <= most_per_line(&tariff) * lines_of_both(&before, &after), "{before:#?} {after:#?}");
    }

    #[test]
    fn more_energy_after_the_end_never_makes_a_bill_cheaper(
        tariff in tariff(true), zone in zone(), usage in session(), more in energy(), seconds in 0..90_000_i64,
    ) {
        let points = usage.points();
        let longer = Usage::new(points[0].at, usage.ended_at().plus_seconds(seconds), usage.energy() + more, points.to_vec());
        prop_assume!(longer.is_ok());
        let charging = |usage: &Usage| { let bill = bill(&tariff, &zone, usage); bill.gross(FeeKind::Energy) + bill.gross(FeeKind::Service) };
        prop_assert!(charging(&longer.unwrap()) >= charging(&usage));
    }

    /// With steps it may: a step that is reached earlier moves dear energy into a cheaper element.
    #[test]
    fn more_energy_in_the_same_time_never_makes_a_bill_without_steps_cheaper_than_rounding(
        tariff in tariff(false), zone in zone(), start in start(), duration in duration(), less in energy(), more in energy(),
    ) {
        let until = Timestamp::from_micros(start.micros() + duration).unwrap();
        let bill = |energy| bill(&tariff, &zone, &Usage::new(start, until, energy, []).unwrap());
        let (less, more) = (bill(less), bill(less + more));
        let rounding = most_per_line(&tariff) * lines_of_both(&less, &more);
        prop_assert!(more.total.value() + rounding >= less.total.value());
    }

    #[test]
    fn every_bill_agrees_with_its_explanation(tariff in tariff(true), zone in zone(), usage in session()) {
        let bill = bill(&tariff, &zone, &usage);
        let explanation = explain(&bill, &tariff, &zone, None);
        prop_assert_eq!(&explanation.disagreements, &vec![]);
        for line in &explanation.lines {
            prop_assert_eq!(line.product_yuan + line.rounding_yuan + line.reduction_yuan.value(), line.amount_yuan.value());
        }
    }

    #[test]
    fn whatever_a_device_says_there_is_a_bill_or_an_error(
        tariff in tariff(true),
        zone in zone(),
        times in proptest::collection::vec(-62_135_596_800_000_000..=253_402_207_199_999_999_i64, 4),
        near in any::<bool>(),
        energy in 0..100_000_000_000_000_i64,
        weekdays in proptest::collection::vec(any::<u8>(), 0..3),
        grace_minutes in any::<u32>(),
    ) {
        let time = |micros: i64| Timestamp::from_micros(micros).unwrap();
        let (from, until) = (time(times[0]), if near { time(times[0]).plus_seconds(times[1] % 2_000_000) } else { time(times[1]) });
        let mut tariff = tariff;
        tariff.terms.elements[0].restrictions.weekdays = weekdays;
        if let Some(idle) = &mut tariff.terms.idle {
            idle.grace_minutes = grace_minutes;
        }
        let reading = EnergyPoint { at: time(times[2]), energy: kwh(energy / 3) };
        if let Ok(usage) = Usage::new(from, until, kwh(energy), [reading]) {
            let usage = usage.clone().idle_until(if near { until.plus_seconds(times[3] % 2_000_000) } else { time(times[3]) }).unwrap_or(usage);
            if let Ok(bill) = price("n".to_owned(), &tariff, &zone, &usage) {
                prop_assert_eq!(explain(&bill, &tariff, &zone, None).disagreements, vec![]);
            }
        }
    }
}
