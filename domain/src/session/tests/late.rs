//! What comes after it was given up, and what comes for a session that nobody heard of.

use super::*;
use crate::testing::given;

const GIVEN_UP: [fn() -> Vec<SessionEvent>; 2] =
    [|| with(told(prepaid()), [timed_out(prepaid())]), || with(told(prepaid()), [refused(prepaid(), RefusalReason::DeviceUnreachable)])];

fn reported(fact: DeviceFact) -> SessionCommand {
    SessionCommand::Report { fact, discovery: discovery(Some(tariff())) }
}

fn found(tariff: Option<TariffSnapshot>) -> SessionEvent {
    let (order_number, zone) = (ORDER.parse().unwrap(), ZoneName::shanghai());
    let refs = SessionRefs { user_id: None, ..refs() };
    SessionEvent::Discovered { refs, order_number, tariff, zone, rated_power: Some("60".parse().unwrap()), agency: None }
}

/// As it happens to a session without a user.
fn unknown_user(mut event: SessionEvent) -> SessionEvent {
    match &mut event {
        SessionEvent::Started { refs, .. }
        | SessionEvent::Stopped { refs, .. }
        | SessionEvent::RecordAccepted { refs, .. }
        | SessionEvent::RecordDisputed { refs, .. }
        | SessionEvent::Billed { refs, .. }
        | SessionEvent::Settled { refs, .. } => refs.user_id = None,
        other => panic!("{other:?} is not expected here"),
    }
    event
}

#[test]
fn a_start_after_the_time_out_is_a_fact_and_is_stopped() {
    for given_up in GIVEN_UP {
        given::<Session>(given_up())
            .when(report_start("100", "10:02"))
            .then([SessionEvent::Started { refs: refs(), meter: meter("100", "10:02") }, stop_requested(StopReason::StartedLate)]);
        given::<Session>(given_up())
            .when(report_meter("100", "10:02"))
            .then([SessionEvent::Started { refs: refs(), meter: meter("100", "10:02") }, stop_requested(StopReason::StartedLate)]);
    }
}

#[test]
fn a_record_after_the_time_out_is_late_and_billed_without_the_money_that_went_back() {
    for given_up in GIVEN_UP {
        given::<Session>(given_up()).when(report_record(record("20"))).then([accepted("20", [Oddity::Late])]);
        let recorded = with(given_up(), [accepted("20", [Oddity::Late])]);
        given::<Session>(recorded.clone()).when(BILL).then([billed(prepaid(), "20")]);
        given::<Session>(with(recorded, [billed(prepaid(), "20")])).when(settle("0")).then([SessionEvent::Settled {
            refs: refs(),
            mode: prepaid(),
            due: money("20.00"),
            prepaid_applied: Money::ZERO,
            captured: Money::ZERO,
            refund: Money::ZERO,
            refund_to: None,
            receivable: money("20.00"),
            note: None,
        }]);
    }
}

#[test]
fn a_session_that_started_late_has_a_late_record_and_no_money() {
    let late = with(GIVEN_UP[0](), [started(), stop_requested(StopReason::StartedLate), stopped("10:30")]);
    given::<Session>(late.clone()).when(report_record(record("20"))).then([accepted("20", [Oddity::Late])]);
    assert!(state(late).course().unwrap().is_unfunded);
}

#[test]
fn a_record_after_a_fault_is_in_time_and_one_after_silence_is_late() {
    given::<Session>(with(charging(prepaid()), [faulted("10:20")])).when(report_record(record("20"))).then([accepted("20", [])]);
    for silent in [vec![abandoned()], vec![stopped("10:30"), abandoned()], vec![abandoned(), stopped("10:30")]] {
        let silent = [charging(prepaid()), silent].concat();
        given::<Session>(silent.clone()).when(report_record(record("20"))).then([accepted("20", [Oddity::Late])]);
        // Silence alone gives no money back.
        assert!(!state(silent).course().unwrap().is_unfunded);
    }
}

#[test]
fn a_record_that_is_not_believed_ends_also_what_was_given_up() {
    let reversed = TransactionRecord { ended_at: clock("09:59"), ..record("20") };
    let stopped = SessionEvent::Stopped { refs: refs(), reason: reversed.reason, meter: None, stopped_at: clock("09:59") };
    for given_up in GIVEN_UP {
        let dispute = || record_disputed(reversed.clone(), DisputeReason::EndsBeforeStart);
        given::<Session>(given_up()).when(report_record(reversed.clone())).then([stopped.clone(), dispute()]);
        given::<Session>(with(given_up(), [stopped.clone(), dispute()])).when(report_record(reversed.clone())).then_nothing();
        given::<Session>(with(given_up(), [stopped.clone(), dispute()])).when(close("20", "10:30")).then([closed("20", "10:30")]);
    }
}

#[test]
fn a_fact_for_a_session_that_nobody_heard_of_opens_one() {
    let start = DeviceFact::Started { meter: meter("100", "10:00") };
    let reading = DeviceFact::Meter { reading: meter("100", "10:00") };
    let stop = DeviceFact::Stopped { reason: StopReason::Local, meter: None, stopped_at: clock("10:30") };
    let found = || found(Some(tariff()));
    given::<Session>([]).when(reported(start.clone())).then([found(), unknown_user(started())]);
    given::<Session>([]).when(reported(reading)).then([found(), unknown_user(started())]);
    given::<Session>([]).when(reported(stop)).then([found(), unknown_user(stopped("10:30"))]);
    given::<Session>([found(), unknown_user(started())]).when(reported(start)).then_nothing();
}

#[test]
fn a_fault_or_an_unplugging_alone_opens_nothing() {
    let fault = DeviceFact::Faulted { code: "0x11".to_owned(), faulted_at: clock("10:00") };
    given::<Session>([]).when(reported(fault)).then_nothing();
    given::<Session>([]).when(reported(DeviceFact::Unplugged { unplugged_at: clock("10:00") })).then_nothing();
}

#[test]
fn without_a_place_nothing_is_opened() {
    given::<Session>([]).when(report_record(record("20"))).then_refused(SessionError::Unknown);
    given::<Session>([]).when(report_start("100", "10:00")).then_refused(SessionError::Unknown);
}

#[test]
fn a_record_for_a_session_that_nobody_heard_of_is_billed_to_be_paid_later() {
    let recorded = || vec![found(Some(tariff())), unknown_user(accepted("20", [Oddity::NotRequested]))];
    given::<Session>([]).when(reported(DeviceFact::Record { record: record("20") })).then(recorded());
    given::<Session>(recorded()).when(reported(DeviceFact::Record { record: record("20") })).then_nothing();
    let billed = unknown_user(billed(PaymentMode::Postpaid, "20"));
    given::<Session>(recorded()).when(BILL).then([billed.clone()]);
    given::<Session>(with(recorded(), [billed])).when(settle("0")).then([unknown_user(SessionEvent::Settled {
        refs: refs(),
        mode: PaymentMode::Postpaid,
        due: money("20.00"),
        prepaid_applied: Money::ZERO,
        captured: Money::ZERO,
        refund: Money::ZERO,
        refund_to: None,
        receivable: money("20.00"),
        note: None,
    })]);
}

#[test]
fn a_record_at_a_station_without_a_tariff_is_kept_and_has_no_price() {
    let reported = SessionCommand::Report { fact: DeviceFact::Record { record: record("20") }, discovery: discovery(None) };
    let recorded = || vec![found(None), unknown_user(accepted("20", [Oddity::NotRequested]))];
    given::<Session>([]).when(reported).then(recorded());
    given::<Session>(recorded()).when(BILL).then_refused(SessionError::NoTariff);
    given::<Session>(recorded()).when(close("20", "10:30")).then_refused(SessionError::AlreadyFinished);
    assert_eq!(state(recorded()).cost_so_far(clock("11:00")), Ok(None));
}

fn assign(tariff: TariffSnapshot) -> SessionCommand {
    SessionCommand::AssignTariff { tariff: Box::new(tariff), note: "the tariff was published late".to_owned() }
}

fn assigned(tariff: TariffSnapshot) -> SessionEvent {
    let refs = SessionRefs { user_id: None, ..refs() };
    SessionEvent::TariffAssigned { refs, tariff, note: "the tariff was published late".to_owned() }
}

#[test]
fn a_session_without_prices_is_billed_with_those_that_staff_give_it() {
    let recorded = vec![found(None), unknown_user(accepted("20", [Oddity::NotRequested]))];
    let billed = || unknown_user(billed(PaymentMode::Postpaid, "20"));
    given::<Session>(recorded.clone()).when(assign(tariff())).then([assigned(tariff()), billed()]);
    // An idle fee charges nobody for the time until somebody noticed.
    let with_idle_fee = given::<Session>(recorded.clone()).when(assign(tariff_with_idle_fee()));
    with_idle_fee.then([assigned(tariff_with_idle_fee()), billed()]);
    let done = with(recorded, [assigned(tariff()), billed()]);
    given::<Session>(done.clone()).when(assign(tariff())).then_nothing();
    given::<Session>(done).when(assign(tariff_with_idle_fee())).then_refused(SessionError::HasTariff);
}

#[test]
fn a_session_that_still_charges_has_its_prices_first_and_its_bill_in_the_end() {
    let charging = vec![found(None), unknown_user(started())];
    given::<Session>(charging.clone()).when(assign(tariff())).then([assigned(tariff())]);
    let done = with(charging, [assigned(tariff()), unknown_user(accepted("20", [Oddity::NotRequested]))]);
    given::<Session>(done).when(BILL).then([unknown_user(billed(PaymentMode::Postpaid, "20"))]);
}

#[test]
fn prices_are_given_with_a_note_and_never_to_a_session_that_has_some() {
    given::<Session>([]).when(assign(tariff())).then_refused(SessionError::Unknown);
    given::<Session>([found(Some(tariff_with_idle_fee()))]).when(assign(tariff())).then_refused(SessionError::HasTariff);
    given::<Session>(charging(prepaid())).when(assign(tariff_with_idle_fee())).then_refused(SessionError::HasTariff);
    let without_note = SessionCommand::AssignTariff { tariff: Box::new(tariff()), note: "  ".to_owned() };
    given::<Session>([found(None)]).when(without_note).then_refused(SessionError::NoteMissing);
}

#[test]
fn prices_that_give_no_bill_are_refused_while_somebody_looks() {
    let year = TransactionRecord { ended_at: at("2027-03-02T10:00:00+08:00"), ..record("20") };
    let accepted = SessionEvent::RecordAccepted { refs: refs(), record: year, energy: kwh("20"), oddities: vec![Oddity::NotRequested] };
    let refused = state([found(None), unknown_user(accepted)]).decide(assign(tariff()));
    assert!(matches!(refused, Err(SessionError::Price(_))), "{refused:?}");
}

#[test]
fn a_record_that_is_not_believed_opens_a_session_all_the_same() {
    let reversed = TransactionRecord { ended_at: clock("09:59"), ..record("20") };
    let stopped = SessionEvent::Stopped { refs: refs(), reason: reversed.reason, meter: None, stopped_at: clock("09:59") };
    given::<Session>([]).when(reported(DeviceFact::Record { record: reversed.clone() })).then([
        found(Some(tariff())),
        unknown_user(stopped),
        unknown_user(record_disputed(reversed, DisputeReason::EndsBeforeStart)),
    ]);
}
