//! From a basis to a bill, its correction, and the cost so far.

use super::*;
use crate::pricing::PricingError;
use crate::testing::given;

fn recorded(mode: PaymentMode) -> Vec<SessionEvent> {
    with(charging(mode), [stopped("10:30"), accepted("20", [])])
}

fn recorded_with_idle_fee() -> Vec<SessionEvent> {
    vec![requested_under(prepaid(), tariff_with_idle_fee()), authorised(), starting(), started(), stopped("10:30"), accepted("20", [])]
}

fn bill_until(time: &str) -> SessionCommand {
    SessionCommand::Bill { plugged_until: Some(clock(time)) }
}

fn billed_as(bill: Bill) -> SessionEvent {
    SessionEvent::Billed { refs: refs(), mode: prepaid(), bill }
}

#[test]
fn a_record_is_billed_once() {
    for mode in MODES {
        given::<Session>(recorded(mode())).when(BILL).then([billed(mode(), "20")]);
        given::<Session>(with(recorded(mode()), [billed(mode(), "20")])).when(BILL).then_nothing();
    }
    assert_eq!(bill("", "10:30", "20").total, money("20.00"));
}

#[test]
fn what_is_not_finished_is_not_billed_yet() {
    given::<Session>([]).when(BILL).then_refused(SessionError::Unknown);
    for open in [
        vec![requested(prepaid())],
        vec![requested(prepaid()), authorised()],
        told(prepaid()),
        with(told(prepaid()), [timed_out(prepaid())]),
        charging(prepaid()),
        with(charging(prepaid()), [stopped("10:30")]),
    ] {
        given::<Session>(open).when(BILL).then_nothing();
    }
}

#[test]
fn a_free_session_has_a_bill() {
    given::<Session>(with(charging(prepaid()), [accepted("0", [Oddity::ZeroEnergy])])).when(BILL).then([billed(prepaid(), "0")]);
    assert_eq!(bill("", "10:30", "0").total, Money::ZERO);
}

#[test]
fn the_operators_close_is_billed_as_it_was_decided() {
    given::<Session>(with(charging(prepaid()), [read("110", "10:15", "10"), closed("8", "10:20")]))
        .when(BILL)
        .then([billed_as(bill("", "10:20", "8"))]);
    // Nobody knows when it began, so that all of it falls into the moment in which it ended.
    let unseen = with(told(prepaid()), [stopped("10:30"), closed("8", "10:20")]);
    let events = state(unseen).decide(BILL).unwrap();
    assert!(matches!(&events[..], [SessionEvent::Billed { bill, .. }] if bill.total == money("8.00")));
}

#[test]
fn the_true_record_after_a_close_by_hand_corrects_the_bill_once() {
    for mode in MODES {
        let (first, second) = (bill("", "10:20", "8"), bill("-2", "10:30", "20"));
        let first_bill = SessionEvent::Billed { refs: refs(), mode: mode(), bill: first.clone() };
        let late = with(charging(mode()), [closed("8", "10:20"), first_bill, accepted("20", [Oddity::Late])]);
        given::<Session>(late.clone()).when(BILL).then([corrected(mode(), first.clone(), second.clone())]);
        given::<Session>(with(late, [corrected(mode(), first, second)])).when(BILL).then_nothing();
    }
}

#[test]
fn a_record_that_says_what_the_operator_said_corrects_nothing() {
    let late = with(charging(prepaid()), [closed("20", "10:30"), billed(prepaid(), "20"), accepted("20", [Oddity::Late])]);
    given::<Session>(late).when(BILL).then_nothing();
}

#[test]
fn each_correction_has_a_number_of_its_own() {
    let first = bill_with_idle("", "8", "10:40");
    let closed_bill = with(
        recorded_with_idle_fee()[..4].to_vec(),
        [closed("8", "10:30"), billed_as(first.clone()), accepted("20", [Oddity::Late]), unplugged("10:50")],
    );
    let second = bill_with_idle("-2", "20", "10:50");
    given::<Session>(closed_bill).when(BILL).then([corrected(prepaid(), first.clone(), second.clone())]);
    let numbers = [first.bill_number, second.bill_number];
    assert_eq!(numbers, [ORDER.to_owned(), format!("{ORDER}-2")]);
}

#[test]
fn an_idle_fee_waits_for_the_vehicle_to_leave() {
    given::<Session>(recorded_with_idle_fee()).when(BILL).then_nothing();
    given::<Session>(with(recorded_with_idle_fee(), [unplugged("10:40")])).when(BILL).then([billed_as(bill_with_idle("", "20", "10:40"))]);
    // It has left, whatever somebody assumes.
    given::<Session>(with(recorded_with_idle_fee(), [unplugged("10:40")]))
        .when(bill_until("12:00"))
        .then([billed_as(bill_with_idle("", "20", "10:40"))]);
    assert_eq!(bill_with_idle("", "20", "10:40").total, money("25.00"));
}

#[test]
fn an_idle_fee_waits_also_when_only_the_stop_was_seen() {
    let fee = requested_under(prepaid(), tariff_with_idle_fee());
    given::<Session>([fee, authorised(), starting(), stopped("10:30"), accepted("20", [])]).when(BILL).then_nothing();
}

#[test]
fn an_unplugging_before_the_end_of_charging_is_no_idle_time() {
    given::<Session>(with(recorded_with_idle_fee(), [unplugged("10:29")])).when(BILL).then([billed_as(bill_with_idle("", "20", "10:30"))]);
}

#[test]
fn who_waits_no_longer_bills_until_now_and_asking_again_later_adds_nothing() {
    given::<Session>(recorded_with_idle_fee()).when(bill_until("11:00")).then([billed_as(bill_with_idle("", "20", "11:00"))]);
    let billed = || with(recorded_with_idle_fee(), [billed_as(bill_with_idle("", "20", "11:00"))]);
    given::<Session>(billed()).when(bill_until("12:00")).then_nothing();
    given::<Session>(billed()).when(BILL).then_nothing();
}

#[test]
fn a_vehicle_that_left_at_another_time_than_billed_corrects_the_bill() {
    let first = bill_with_idle("", "20", "11:00");
    for left in ["10:40", "11:30"] {
        let billed = with(recorded_with_idle_fee(), [billed_as(first.clone()), unplugged(left)]);
        let note = "the vehicle left at another time than was billed".to_owned();
        let (replaced, bill) = (first.clone(), bill_with_idle("-2", "20", left));
        given::<Session>(billed).when(BILL).then([SessionEvent::BillCorrected { refs: refs(), mode: prepaid(), replaced, bill, note }]);
    }
}

#[test]
fn a_correction_keeps_the_idle_time_that_was_billed() {
    let first = bill_with_idle("", "8", "11:00");
    let late =
        with(recorded_with_idle_fee()[..4].to_vec(), [closed("8", "10:30"), billed_as(first.clone()), accepted("20", [Oddity::Late])]);
    given::<Session>(late).when(bill_until("13:00")).then([corrected(prepaid(), first, bill_with_idle("-2", "20", "11:00"))]);
}

#[test]
fn idle_time_that_nobody_watched_is_not_billed() {
    let fee = || requested_under(prepaid(), tariff_with_idle_fee());
    let by_record_alone = vec![fee(), authorised(), starting(), accepted("20", [])];
    let after_silence = vec![fee(), authorised(), starting(), started(), abandoned(), accepted("20", [Oddity::Late])];
    for unwatched in [by_record_alone, after_silence] {
        given::<Session>(unwatched.clone()).when(BILL).then([billed_as(bill_with_idle("", "20", "10:30"))]);
        given::<Session>(unwatched.clone()).when(bill_until("15:00")).then([billed_as(bill_with_idle("", "20", "10:30"))]);
        given::<Session>(with(unwatched, [unplugged("10:40")])).when(BILL).then([billed_as(bill_with_idle("", "20", "10:40"))]);
    }
}

#[test]
fn an_unplugging_from_a_clock_that_was_never_set_is_not_billed() {
    let never = SessionEvent::Unplugged { refs: refs(), unplugged_at: at("2099-01-01T00:00:00Z"), claimed_at: None };
    given::<Session>(with(recorded_with_idle_fee(), [never.clone()])).when(BILL).then_nothing();
    given::<Session>(with(recorded_with_idle_fee(), [never]))
        .when(bill_until("11:00"))
        .then([billed_as(bill_with_idle("", "20", "11:00"))]);
}

#[test]
fn an_unplugging_from_the_future_happened_when_it_came_and_no_idle_time_is_billed_beyond_that() {
    // Local time sent as UTC: eight hours ahead. The record is disputed for it, and a person closes the session.
    let [claim, came] = [clock("18:40"), clock("10:40")];
    let before = || with(recorded_with_idle_fee()[..4].to_vec(), [stopped("10:30"), closed("20", "10:30")]);
    let received = |unplugged_at, time: &str| {
        let fact = DeviceFact::Unplugged { unplugged_at };
        SessionCommand::Receive { fact, received_at: clock(time), discovery: None }
    };
    let judged = SessionEvent::Unplugged { refs: refs(), unplugged_at: came, claimed_at: Some(claim) };
    given::<Session>(before()).when(received(claim, "10:40")).then([judged.clone()]);
    given::<Session>(with(before(), [judged.clone()])).when(received(claim, "10:50")).then_nothing();
    given::<Session>(with(before(), [judged])).when(BILL).then([billed_as(bill_with_idle("", "20", "10:40"))]);
    // A clock that is a little ahead is believed.
    given::<Session>(before()).when(received(clock("10:55"), "10:40")).then([unplugged("10:55")]);
}

#[test]
fn an_operators_word_is_priced_before_it_is_taken() {
    given::<Session>(charging(prepaid())).when(close("9999999999", "10:30")).then([closed("9999999999", "10:30")]);
    let mut dear = tariff();
    dear.terms.elements[0].rates.flat.energy = "9999999".parse().unwrap();
    given::<Session>([requested_under(prepaid(), dear), authorised(), starting(), started()])
        .when(close("9999999999", "10:30"))
        .then_refused(SessionError::Price(PricingError::AmountOutOfRange));
}

#[test]
fn a_start_from_a_clock_that_was_never_set_can_be_closed_by_hand_and_used_up() {
    let never_set = MeterReading { register: kwh("100").into(), read_at: at("2000-01-01T00:00:00Z") };
    let begun = || with(told(prepaid()), [SessionEvent::Started { refs: refs(), meter: never_set }]);
    given::<Session>(begun()).when(report_meter("149.99", "10:40")).then([read("149.99", "10:40", "49.99")]);
    given::<Session>(begun())
        .when(report_meter("150", "10:40"))
        .then([read("150", "10:40", "50"), stop_requested(StopReason::FundsExhausted)]);
    given::<Session>(begun()).when(close("8", "10:20")).then([closed("8", "10:20")]);
    let events = state(with(begun(), [closed("8", "10:20")])).decide(BILL).unwrap();
    assert!(matches!(&events[..], [SessionEvent::Billed { bill, .. }] if bill.total == money("8.00")));
}

#[test]
fn idle_time_that_is_long_over_is_not_billed() {
    let much_later = SessionCommand::Bill { plugged_until: Some(at("2026-04-03T00:00:00Z")) };
    given::<Session>(recorded_with_idle_fee()).when(much_later).then([billed_as(bill_with_idle("", "20", "10:30"))]);
}

#[test]
fn the_cost_so_far_is_the_bill_so_far() {
    let cost = |events: Vec<SessionEvent>, time: &str| state(events).cost_so_far(clock(time)).unwrap().map(|bill| bill.total);
    let running = || with(charging(prepaid()), [read("110", "10:15", "10")]);
    assert_eq!(cost(vec![], "10:00"), None);
    assert_eq!(cost(told(prepaid()), "10:00"), None);
    assert_eq!(cost(charging(prepaid()), "10:10"), Some(Money::ZERO));
    assert_eq!(cost(running(), "10:20"), Some(money("10.00")));
    assert_eq!(cost(with(running(), [accepted("20", [])]), "10:40"), Some(money("20.00")));
    assert_eq!(cost(with(running(), [accepted("20", []), billed(prepaid(), "20")]), "10:40"), Some(money("20.00")));
    assert_eq!(cost(with(told(prepaid()), [stopped("10:30")]), "10:40"), None);
}

#[test]
fn the_cost_so_far_counts_idle_time_after_the_end_alone() {
    let cost = |events: Vec<SessionEvent>, time: &str| state(events).cost_so_far(clock(time)).unwrap().map(|bill| bill.total);
    let fee = || vec![requested_under(prepaid(), tariff_with_idle_fee()), authorised(), starting(), started(), read("110", "10:15", "10")];
    assert_eq!(cost(fee(), "11:00"), Some(money("10.00")));
    assert_eq!(cost(with(fee(), [stopped("10:20")]), "10:30"), Some(money("15.00")));
    assert_eq!(cost(with(fee(), [faulted("10:20")]), "10:30"), Some(money("15.00")));
    assert_eq!(cost(with(fee(), [stopped("10:20"), unplugged("10:22")]), "10:30"), Some(money("11.00")));
    assert_eq!(cost(with(fee(), [stopped("10:20"), accepted("20", [])]), "10:40"), Some(money("25.00")));
}

fn credit(amount: &str) -> SessionCommand {
    SessionCommand::Credit { amount: money(amount), note: "the pile was noisy".to_owned() }
}

/// What came of one command, as the total and the amounts that were taken off.
fn credited(events: Vec<SessionEvent>, command: SessionCommand) -> (Money, Vec<Money>) {
    match &state(events).decide(command).unwrap()[..] {
        [SessionEvent::BillCorrected { bill, .. }] => {
            (bill.total, bill.lines.iter().map(|line| line.amount).filter(|amount| amount.is_negative()).collect())
        }
        other => panic!("one correction was expected, not {other:?}"),
    }
}

#[test]
fn an_amount_is_taken_off_a_bill_idle_time_first_and_never_more_than_all_of_it() {
    let billed = || with(recorded_with_idle_fee(), [unplugged("10:40"), billed_as(bill_with_idle("", "20", "10:40"))]);
    assert_eq!(credited(billed(), credit("7")), (money("18.00"), vec![money("-5.00"), money("-2.00")]));
    assert_eq!(credited(billed(), credit("25")), (Money::ZERO, vec![money("-5.00"), money("-20.00")]));
    for amount in ["25.01", "0.00", "-1.00"] {
        let (amount, total) = (money(amount), money("25.00"));
        given::<Session>(billed())
            .when(SessionCommand::Credit { amount, note: "sorry".to_owned() })
            .then_refused(SessionError::CreditNotWithinBill { amount, total });
    }
}

#[test]
fn a_credit_needs_a_bill_and_a_note() {
    given::<Session>([]).when(credit("1")).then_refused(SessionError::Unknown);
    given::<Session>(recorded(prepaid())).when(credit("1")).then_refused(SessionError::NotBilled);
    given::<Session>(with(recorded(prepaid()), [billed(prepaid(), "20")]))
        .when(SessionCommand::Credit { amount: money("1"), note: " ".to_owned() })
        .then_refused(SessionError::NoteMissing);
}

#[test]
fn a_new_price_does_not_undo_a_credit_nor_make_the_bill_negative() {
    let closed_and_billed = with(charging(prepaid()), [closed("20", "10:30"), billed(prepaid(), "20")]);
    let credits = state(closed_and_billed.clone()).decide(credit("15")).unwrap();
    let credited_bill = [closed_and_billed, credits].concat();
    given::<Session>(credited_bill.clone()).when(BILL).then_nothing();
    for (energy, total, off) in [("30", "15.00", "-15.00"), ("16", "1.00", "-15.00"), ("12", "0.00", "-12.00")] {
        let true_record = with(credited_bill.clone(), [accepted(energy, [Oddity::Late])]);
        assert_eq!(credited(true_record.clone(), BILL), (money(total), vec![money(off)]));
        let corrections = state(true_record.clone()).decide(BILL).unwrap();
        given::<Session>([true_record, corrections].concat()).when(BILL).then_nothing();
    }
}

#[test]
fn a_credit_on_idle_time_leaves_the_idle_time_that_was_billed() {
    let first = bill_with_idle("", "20", "10:40");
    let closed_and_billed = with(recorded_with_idle_fee()[..4].to_vec(), [closed("20", "10:30"), billed_as(first)]);
    let credits = state(closed_and_billed.clone()).decide(credit("5")).unwrap();
    let credited_bill = [closed_and_billed, credits].concat();
    given::<Session>(credited_bill.clone()).when(BILL).then_nothing();
    // 22 for the energy, 5 for ten minutes, and 5 taken off.
    assert_eq!(credited(with(credited_bill, [accepted("22", [Oddity::Late])]), BILL), (money("22.00"), vec![money("-5.00")]));
}
