//! Each test states its bill as lines: `kind period from–until quantity × price = amount`, times on the station's clock.

use super::*;

#[test]
fn energy_flows_evenly_between_readings_and_is_cut_where_the_period_changes() {
    let session = usage(&[("2026-03-02T07:30:00+08:00", "0"), ("2026-03-02T09:00:00+08:00", "30")]);
    is_billed(
        &four_periods(),
        SHANGHAI,
        &session,
        &[
            "energy valley 02 07:30:00–02 08:00:00 10.0000 × 0.30000 = 3.00",
            "service valley 02 07:30:00–02 08:00:00 10.0000 × 0.40000 = 4.00",
            "energy peak 02 08:00:00–02 09:00:00 20.0000 × 0.90000 = 18.00",
            "service peak 02 08:00:00–02 09:00:00 20.0000 × 0.40000 = 8.00",
        ],
    );
}

#[test]
fn readings_within_a_period_make_no_lines() {
    let session = usage(&[
        ("2026-03-02T08:00:00+08:00", "0"),
        ("2026-03-02T08:20:00+08:00", "0.333"),
        ("2026-03-02T08:40:00+08:00", "0.667"),
        ("2026-03-02T11:00:00+08:00", "1"),
    ]);
    is_billed(&flat("0.005"), SHANGHAI, &session, &["energy flat 02 08:00:00–02 11:00:00 1.0000 × 0.00500 = 0.01"]);
}

#[test]
fn a_session_across_midnight_in_one_period_is_one_line() {
    let session = usage(&[("2026-03-02T23:00:00+08:00", "0"), ("2026-03-03T01:00:00+08:00", "8")]);
    is_billed(
        &four_periods(),
        SHANGHAI,
        &session,
        &[
            "energy valley 02 23:00:00–03 01:00:00 8.0000 × 0.30000 = 2.40",
            "service valley 02 23:00:00–03 01:00:00 8.0000 × 0.40000 = 3.20",
        ],
    );
}

#[test]
fn the_last_piece_has_what_rounding_left() {
    // Thirds of 0.0001 kWh: the cuts are at 0.00003 and 0.00007, half up 0.0000 and 0.0001.
    let session = usage(&[("2026-03-02T07:00:00+08:00", "0"), ("2026-03-02T10:00:00+08:00", "0.0001")]);
    is_billed(
        &four_periods(),
        SHANGHAI,
        &session,
        &["energy peak 02 08:00:00–02 10:00:00 0.0001 × 0.90000 = 0.00", "service peak 02 08:00:00–02 10:00:00 0.0001 × 0.40000 = 0.00"],
    );
}

#[test]
fn a_pause_in_another_period_parts_two_stretches() {
    let session = usage(&[
        ("2026-03-02T07:00:00+08:00", "0"),
        ("2026-03-02T07:30:00+08:00", "5"),
        ("2026-03-02T21:00:00+08:00", "5"),
        ("2026-03-02T22:00:00+08:00", "5"),
        ("2026-03-02T23:00:00+08:00", "9"),
    ]);
    is_billed(
        &four_periods(),
        SHANGHAI,
        &session,
        &[
            "energy valley 02 07:00:00–02 08:00:00 5.0000 × 0.30000 = 1.50",
            "service valley 02 07:00:00–02 08:00:00 5.0000 × 0.40000 = 2.00",
            "energy valley 02 22:00:00–02 23:00:00 4.0000 × 0.30000 = 1.20",
            "service valley 02 22:00:00–02 23:00:00 4.0000 × 0.40000 = 1.60",
        ],
    );
}

#[test]
fn energy_at_an_instant_is_priced_at_that_instant() {
    let session = usage(&[("2026-03-02T08:00:00+08:00", "0"), ("2026-03-02T08:00:00+08:00", "10")]);
    is_billed(
        &four_periods(),
        SHANGHAI,
        &session,
        &["energy peak 02 08:00:00–02 08:00:00 10.0000 × 0.90000 = 9.00", "service peak 02 08:00:00–02 08:00:00 10.0000 × 0.40000 = 4.00"],
    );
}

#[test]
fn a_session_without_energy_has_a_bill_without_lines() {
    let bill = priced(&four_periods(), SHANGHAI, &usage(&[("2026-03-02T08:00:00Z", "0"), ("2026-03-02T09:00:00Z", "0")]));
    assert_eq!((bill.bill_number.as_str(), bill.total, bill.energy), ("20260301", Money::ZERO, Energy::ZERO));
    assert!(bill.lines.is_empty() && bill.fees.is_empty());
}

#[test]
fn a_free_session_has_its_energy_lines() {
    let session = usage(&[("2026-03-02T08:00:00+08:00", "0"), ("2026-03-02T09:00:00+08:00", "10")]);
    is_billed(&flat("0"), SHANGHAI, &session, &["energy flat 02 08:00:00–02 09:00:00 10.0000 × 0.00000 = 0.00"]);
}

#[test]
fn a_step_of_the_tariff_is_reached_at_a_point_in_time() {
    let first = Restrictions { energy_below: Some("10".parse().unwrap()), ..Restrictions::default() };
    let middle =
        Restrictions { energy_from: Some("10".parse().unwrap()), energy_below: Some("20".parse().unwrap()), ..Restrictions::default() };
    let all = HalfHours::all(TouPeriod::Flat);
    let tariff = snapshot(vec![
        element(first, all, ["1"; 4], "0"),
        element(middle, all, ["2"; 4], "0"),
        element(Restrictions::default(), all, ["3"; 4], "0"),
    ]);
    let session = usage(&[("2026-03-02T08:00:00+08:00", "0"), ("2026-03-02T09:00:00+08:00", "30")]);
    let lines = [
        "energy flat 02 08:00:00–02 08:20:00 10.0000 × 1.00000 = 10.00",
        "energy flat 02 08:20:00–02 08:40:00 10.0000 × 2.00000 = 20.00",
        "energy flat 02 08:40:00–02 09:00:00 10.0000 × 3.00000 = 30.00",
    ];
    is_billed(&tariff, SHANGHAI, &session, &lines);
    // All at once it costs the same.
    let at_once = usage(&[("2026-03-02T08:00:00+08:00", "0"), ("2026-03-02T08:00:00+08:00", "30")]);
    assert_eq!(priced(&tariff, SHANGHAI, &at_once).total, "60".parse().unwrap());
}

#[test]
fn a_step_reached_just_before_the_period_changes_still_has_the_period_before() {
    // 4 units in 2 microseconds, of which the first is reached half a microsecond before 08:00.
    let first = Restrictions { energy_below: Some("0.0001".parse().unwrap()), ..Restrictions::default() };
    let prices = ["1.2", "0.9", "0.6", "0.3"];
    let tariff = snapshot(vec![element(first, day(), prices, "0"), element(Restrictions::default(), day(), prices, "0")]);
    let session = usage(&[("2026-03-02T07:59:59.999999+08:00", "0"), ("2026-03-02T08:00:00.000001+08:00", "0.0004")]);
    let bill = priced(&tariff, SHANGHAI, &session);
    let rules: Vec<String> = bill.lines.iter().map(|line| format!("{} {}", line.rule, line.quantity)).collect();
    assert_eq!(rules, ["element 1, valley 0.0001", "element 2, valley 0.0001", "element 2, peak 0.0002"]);
    assert_eq!(explain(&bill, &tariff, &ZoneName::shanghai(), None).disagreements, []);
}

#[test]
fn an_element_holds_on_its_weekdays_and_dates_of_the_stations_calendar() {
    let all = HalfHours::all(TouPeriod::Flat);
    let first = "2026-03-02".parse().unwrap();
    let holiday = Restrictions { dates: Some(DateRange { first, last: first }), ..Restrictions::default() };
    let weekend = Restrictions { weekdays: vec![6, 7], ..Restrictions::default() };
    let tariff = snapshot(vec![
        element(holiday, all, ["0.1"; 4], "0"),
        element(weekend, all, ["0.5"; 4], "0"),
        element(Restrictions::default(), all, ["1"; 4], "0"),
    ]);
    // Sunday, the holiday on Monday, and Tuesday.
    let session = usage(&[("2026-03-01T23:00:00+08:00", "0"), ("2026-03-03T01:00:00+08:00", "26")]);
    let lines = [
        "energy flat 01 23:00:00–02 00:00:00 1.0000 × 0.50000 = 0.50",
        "energy flat 02 00:00:00–03 00:00:00 24.0000 × 0.10000 = 2.40",
        "energy flat 03 00:00:00–03 01:00:00 1.0000 × 1.00000 = 1.00",
    ];
    is_billed(&tariff, SHANGHAI, &session, &lines);
    assert_eq!(priced(&tariff, SHANGHAI, &session).lines[1].rule, "element 1, flat");
}

/// Peak from 02:00 to 02:30, sharp from 02:30 to 03:00, else valley.
fn night() -> TariffSnapshot {
    let table = format!("VVVVPS{}", "V".repeat(42)).parse().unwrap();
    snapshot(vec![element(Restrictions::default(), table, ["3", "2", "1", "0.5"], "0")])
}

#[test]
fn when_half_past_two_comes_twice_both_are_priced_as_half_past_two() {
    // 01:30 to 03:30 in Berlin, when the clock goes back from 03:00 to 02:00: three hours.
    let session = usage(&[("2026-10-24T23:30:00Z", "0"), ("2026-10-25T02:30:00Z", "6")]);
    let lines = [
        "energy valley 25 01:30:00–25 02:00:00 1.0000 × 0.50000 = 0.50",
        "energy peak 25 02:00:00–25 02:30:00 1.0000 × 2.00000 = 2.00",
        "energy sharp 25 02:30:00–25 02:00:00 1.0000 × 3.00000 = 3.00",
        "energy peak 25 02:00:00–25 02:30:00 1.0000 × 2.00000 = 2.00",
        "energy sharp 25 02:30:00–25 03:00:00 1.0000 × 3.00000 = 3.00",
        "energy valley 25 03:00:00–25 03:30:00 1.0000 × 0.50000 = 0.50",
    ];
    is_billed(&night(), BERLIN, &session, &lines);
}

#[test]
fn when_half_past_two_never_comes_nothing_is_priced_as_half_past_two() {
    // 01:30 to 03:30 in Berlin, when the clock goes forward from 02:00 to 03:00: one hour.
    let session = usage(&[("2026-03-29T00:30:00Z", "0"), ("2026-03-29T01:30:00Z", "6")]);
    is_billed(&night(), BERLIN, &session, &["energy valley 29 01:30:00–29 03:30:00 6.0000 × 0.50000 = 3.00"]);
}

#[test]
fn a_clock_that_changes_by_half_an_hour_and_one_that_is_off_by_a_quarter_cut_where_they_show_it() {
    // Lord Howe goes back from 02:00 to 01:30: valley 01:30 comes twice, and 02:00 an hour after the first 01:30.
    let session = usage(&[("2026-04-04T14:30:00Z", "0"), ("2026-04-04T16:00:00Z", "3")]);
    let lines =
        ["energy valley 05 01:30:00–05 02:00:00 2.0000 × 0.50000 = 1.00", "energy peak 05 02:00:00–05 02:30:00 1.0000 × 2.00000 = 2.00"];
    is_billed(&night(), "Australia/Lord_Howe", &session, &lines);
    // Nepal is 5 h 45 min ahead.
    let session = usage(&[("2026-04-04T20:00:00Z", "0"), ("2026-04-04T20:30:00Z", "2")]);
    let lines =
        ["energy valley 05 01:45:00–05 02:00:00 1.0000 × 0.50000 = 0.50", "energy peak 05 02:00:00–05 02:15:00 1.0000 × 2.00000 = 2.00"];
    is_billed(&night(), "Asia/Kathmandu", &session, &lines);
}

#[test]
fn a_change_of_the_clock_within_a_half_hour_ends_it() {
    // In Chatham the clock goes forward from 02:45 to 03:45: sharp 02:30 lasts a quarter of an hour.
    let session = usage(&[("2026-09-26T13:30:00Z", "0"), ("2026-09-26T14:30:00Z", "4")]);
    let lines = [
        "energy peak 27 02:15:00–27 02:30:00 1.0000 × 2.00000 = 2.00",
        "energy sharp 27 02:30:00–27 03:45:00 1.0000 × 3.00000 = 3.00",
        "energy valley 27 03:45:00–27 04:15:00 2.0000 × 0.50000 = 1.00",
    ];
    is_billed(&night(), "Pacific/Chatham", &session, &lines);
}

#[test]
fn a_day_without_a_midnight_begins_at_one() {
    // In Beirut the clock went from 24:00 on Saturday to 01:00 on Sunday.
    let weekend = Restrictions { weekdays: vec![7], ..Restrictions::default() };
    let all = HalfHours::all(TouPeriod::Flat);
    let tariff = snapshot(vec![element(weekend, all, ["0.5"; 4], "0"), element(Restrictions::default(), all, ["1"; 4], "0")]);
    let session = usage(&[("2026-03-28T21:00:00Z", "0"), ("2026-03-28T23:00:00Z", "2")]);
    let lines =
        ["energy flat 28 23:00:00–29 01:00:00 1.0000 × 1.00000 = 1.00", "energy flat 29 01:00:00–29 02:00:00 1.0000 × 0.50000 = 0.50"];
    is_billed(&tariff, "Asia/Beirut", &session, &lines);
}

#[test]
fn idle_minutes_count_after_the_grace_time_and_never_as_charging() {
    let session = usage(&[("2026-03-02T08:00:00+08:00", "0"), ("2026-03-02T09:00:00+08:00", "10")])
        .idle_until(at("2026-03-02T09:45:30+08:00"))
        .unwrap();
    let lines =
        ["energy flat 02 08:00:00–02 09:00:00 10.0000 × 1.00000 = 10.00", "idle - 02 09:15:00–02 09:45:30 30.5000 × 0.50000 = 15.25"];
    is_billed(&with_idle("0.5", 15, None), SHANGHAI, &session, &lines);
}

#[test]
fn idle_time_within_the_grace_time_costs_nothing() {
    let session = usage(&[("2026-03-02T08:00:00+08:00", "0"), ("2026-03-02T09:00:00+08:00", "0")]);
    for unplugged in ["2026-03-02T08:30:00+08:00", "2026-03-02T09:00:00+08:00", "2026-03-02T09:15:00+08:00"] {
        is_billed(&with_idle("0.5", 15, None), SHANGHAI, &session.clone().idle_until(at(unplugged)).unwrap(), &[]);
    }
    assert_eq!(session.idle_until(at("2026-03-02T08:30:00+08:00")).unwrap().idle(), None);
}

#[test]
fn idle_time_never_costs_more_than_its_most_and_the_rule_says_so() {
    let session = usage(&[("2026-03-02T08:00:00+08:00", "0"), ("2026-03-02T09:00:00+08:00", "0")])
        .idle_until(at("2026-03-03T09:00:00+08:00"))
        .unwrap();
    let bill = priced(&with_idle("0.5", 0, Some("30")), SHANGHAI, &session);
    assert_eq!(written(&bill, SHANGHAI), ["idle - 02 09:00:00–03 09:00:00 1440.0000 × 0.50000 = 30.00"]);
    assert_eq!(bill.lines[0].rule, "idle after 0 minutes, at most 30.00");
}

#[test]
fn a_tariff_without_an_idle_fee_bills_no_idle_time() {
    let session = usage(&[("2026-03-02T08:00:00Z", "0"), ("2026-03-02T09:00:00Z", "0")]).idle_until(at("2026-03-03T09:00:00Z")).unwrap();
    is_billed(&flat("1"), SHANGHAI, &session, &[]);
}

#[test]
fn the_bill_parts_its_total_into_kinds_and_each_into_revenue_and_tax() {
    let session = usage(&[("2026-03-02T07:30:00+08:00", "0"), ("2026-03-02T09:00:00+08:00", "30")]);
    let bill = priced(&four_periods(), SHANGHAI, &session);
    let fees: Vec<String> =
        bill.fees.iter().map(|fee| format!("{} {} = {} + {}", fee.kind.as_str(), fee.gross, fee.net, fee.tax)).collect();
    assert_eq!(fees, ["energy 21.00 = 18.58 + 2.42", "service 12.00 = 11.32 + 0.68"]);
    assert_eq!(bill.total, "33".parse().unwrap());
}

#[test]
fn a_reading_that_does_not_lie_between_start_and_end_is_left_out() {
    let session = |points: &[(&str, &str)]| {
        let mut all = vec![("2026-03-02T07:30:00Z", "0")];
        all.extend(points);
        all.push(("2026-03-02T09:00:00Z", "30"));
        usage(&all)
    };
    let fitting = session(&[("2026-03-02T08:00:00Z", "12")]);
    let unfit = [
        ("2026-03-02T07:29:59Z", "1"),
        ("2026-03-02T08:00:00Z", "12"),
        ("2026-03-02T07:59:59Z", "12"),
        ("2026-03-02T08:01:00Z", "11.9999"),
        ("2026-03-02T08:02:00Z", "30.0001"),
        ("2026-03-02T09:00:01Z", "30"),
    ];
    assert_eq!(session(&unfit), fitting);
}

#[test]
fn charging_that_ends_before_it_begins_has_no_price() {
    let (started_at, ended_at) = (at("2026-03-02T08:00:00Z"), at("2026-03-02T07:59:59Z"));
    assert_eq!(Usage::new(started_at, ended_at, Energy::ZERO, []), Err(PricingError::EndsBeforeStart { started_at, ended_at }));
}

#[test]
fn a_session_beyond_the_longest_has_no_price_without_a_person() {
    let from = at("1970-01-01T00:00:00Z");
    let longest = from.plus_seconds(31 * 86_400);
    assert!(Usage::new(from, longest, Energy::ZERO, []).is_ok());
    for until in [longest.plus_seconds(1), at("2026-03-02T08:00:00Z"), from.plus_seconds(i64::MAX)] {
        assert_eq!(Usage::new(from, until, Energy::ZERO, []), Err(PricingError::TooLong { from, until }));
    }
    let session = Usage::new(from, from, Energy::ZERO, []).unwrap();
    let until = longest.plus_seconds(1);
    assert_eq!(session.idle_until(until), Err(PricingError::TooLong { from, until }));
}

#[test]
fn a_bill_beyond_the_largest_amount_is_an_error() {
    let session = usage(&[("2026-03-02T08:00:00Z", "0"), ("2026-03-02T09:00:00Z", "9999999999.9999")]);
    let result = price("n".into(), &flat("9999999.99999"), &ZoneName::shanghai(), &session);
    assert_eq!(result, Err(PricingError::AmountOutOfRange));
}

#[test]
fn a_moment_without_an_element_is_an_error() {
    let mut tariff = flat("1");
    tariff.terms.elements[0].restrictions.weekdays = vec![0, 9];
    let session = usage(&[("2026-03-02T08:00:00Z", "0"), ("2026-03-02T09:00:00Z", "1")]);
    let result = price("n".into(), &tariff, &ZoneName::shanghai(), &session);
    assert_eq!(result, Err(PricingError::NoElementHolds { at: at("2026-03-02T08:00:00Z") }));
}

#[test]
fn an_estimate_is_the_bill_of_the_same_energy_at_that_power() {
    let zone = ZoneName::shanghai();
    let from = at("2026-03-02T07:30:00+08:00");
    let estimated = estimate(&four_periods(), &zone, from, "30".parse().unwrap(), Some("20".parse().unwrap())).unwrap();
    let session = usage(&[("2026-03-02T07:30:00+08:00", "0"), ("2026-03-02T09:00:00+08:00", "30")]);
    assert_eq!(estimated.lines, priced(&four_periods(), SHANGHAI, &session).lines);
    let at_once = estimate(&four_periods(), &zone, from, "30".parse().unwrap(), None).unwrap();
    assert_eq!(written(&at_once, SHANGHAI)[0], "energy valley 02 07:30:00–02 07:30:00 30.0000 × 0.30000 = 9.00");
    let slow = estimate(&four_periods(), &zone, from, "9999999999".parse().unwrap(), Some("0.001".parse().unwrap()));
    assert!(matches!(slow, Err(PricingError::TooLong { .. })));
}
