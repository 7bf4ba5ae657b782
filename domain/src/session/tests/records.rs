//! The device's record: the basis of the bill, if it is believed.

use super::*;
use crate::testing::given;

fn begun() -> Vec<SessionEvent> {
    with(charging(prepaid()), [read("112.5", "10:20", "12.5")])
}

fn stopped_as(record: &TransactionRecord, time: &str) -> SessionEvent {
    SessionEvent::Stopped { refs: refs(), reason: record.reason, meter: None, stopped_at: clock(time) }
}

#[test]
fn a_record_is_accepted_wherever_the_session_stands() {
    for before in [
        vec![requested(prepaid())],
        vec![requested(prepaid()), authorised()],
        told(prepaid()),
        begun(),
        with(begun(), [stopped("10:30")]),
        with(begun(), [faulted("10:30")]),
    ] {
        given::<Session>(before).when(report_record(record("20"))).then([accepted("20", [])]);
    }
}

#[test]
fn the_same_record_again_changes_nothing() {
    for after in [vec![accepted("20", [])], vec![accepted("20", []), billed(prepaid(), "20")]] {
        given::<Session>([begun(), after].concat()).when(report_record(record("20"))).then_nothing();
    }
}

#[test]
fn a_contradicting_record_is_kept_once_and_changes_nothing() {
    let contradiction = || record_disputed(record("21"), DisputeReason::ContradictsFirst);
    for after in [vec![accepted("20", [])], vec![accepted("20", []), billed(prepaid(), "20")]] {
        let finished = [begun(), after].concat();
        given::<Session>(finished.clone()).when(report_record(record("21"))).then([contradiction()]);
        given::<Session>(with(finished.clone(), [contradiction()])).when(report_record(record("21"))).then_nothing();
        given::<Session>(with(finished.clone(), [contradiction()])).when(report_record(record("20"))).then_nothing();
        assert_eq!(state(with(finished.clone(), [contradiction()])).basis(), state(finished).basis());
    }
}

#[test]
fn a_record_below_the_last_reading_is_disputed_and_ends_the_charging() {
    let low = || record("12.4999");
    given::<Session>(begun())
        .when(report_record(low()))
        .then([stopped_as(&low(), "10:30"), record_disputed(low(), DisputeReason::BelowLastReading)]);
    given::<Session>(begun()).when(report_record(record("12.5"))).then([accepted("12.5", [])]);
    given::<Session>(with(begun(), [stopped("10:30")]))
        .when(report_record(low()))
        .then([record_disputed(low(), DisputeReason::BelowLastReading)]);
}

#[test]
fn registers_that_do_not_give_the_energy_dispute_the_record() {
    let off_by = |register: &str| TransactionRecord { meter_end: register.parse().unwrap(), ..record("20") };
    let dispute = |register: &str| record_disputed(off_by(register), DisputeReason::RegistersDisagree);
    let ended = || with(begun(), [stopped("10:30")]);
    for register in ["120.0101", "119.9899", "99"] {
        given::<Session>(ended()).when(report_record(off_by(register))).then([dispute(register)]);
    }
    // Some devices add their own losses to one of the two.
    for register in ["120.0100", "119.9900"] {
        let oddities = vec![];
        let kept = SessionEvent::RecordAccepted { refs: refs(), record: off_by(register), energy: kwh("20"), oddities };
        given::<Session>(ended()).when(report_record(off_by(register))).then([kept]);
    }
}

#[test]
fn numbers_that_are_no_energy_dispute_the_record() {
    let odd = "-1".parse().unwrap();
    let fine = "20.00001".parse().unwrap();
    for unread in [
        TransactionRecord { energy: odd, ..record("20") },
        TransactionRecord { energy: fine, ..record("20") },
        TransactionRecord { meter_start: odd, ..record("20") },
        TransactionRecord { meter_end: odd, ..record("20") },
    ] {
        given::<Session>(with(begun(), [stopped("10:30")]))
            .when(report_record(unread.clone()))
            .then([record_disputed(unread, DisputeReason::NotAnEnergy)]);
    }
}

#[test]
fn a_record_that_ends_before_it_begins_is_disputed_and_ends_nothing_before_the_last_reading() {
    let reversed = TransactionRecord { ended_at: clock("09:59"), ..record("20") };
    given::<Session>(begun())
        .when(report_record(reversed.clone()))
        .then([stopped_as(&reversed, "10:20"), record_disputed(reversed.clone(), DisputeReason::EndsBeforeStart)]);
    given::<Session>(told(prepaid()))
        .when(report_record(reversed.clone()))
        .then([stopped_as(&reversed, "09:59"), record_disputed(reversed, DisputeReason::EndsBeforeStart)]);
}

#[test]
fn a_record_that_has_no_price_is_for_a_person_to_decide() {
    // From a clock that was never set: longer than anything that is billed without a person looking at it.
    let never_set = TransactionRecord { started_at: crate::testing::at("2000-01-01T00:00:00Z"), ..record("20") };
    let disputed = || [stopped_as(&never_set, "10:30"), record_disputed(never_set.clone(), DisputeReason::Unpriceable)];
    given::<Session>(begun()).when(report_record(never_set.clone())).then(disputed());
    given::<Session>(told(prepaid())).when(report_record(never_set.clone())).then(disputed());
    given::<Session>(with(begun(), disputed())).when(close("20", "10:30")).then([closed("20", "10:30")]);
}

#[test]
fn a_disputed_record_is_kept_once_and_a_believable_one_may_follow() {
    let disputed = || vec![stopped_as(&record("12"), "10:30"), record_disputed(record("12"), DisputeReason::BelowLastReading)];
    let waiting = || [begun(), disputed()].concat();
    given::<Session>(waiting()).when(report_record(record("12"))).then_nothing();
    given::<Session>(waiting()).when(report_record(record("20"))).then([accepted("20", [])]);
    given::<Session>(waiting()).when(report_stop("10:30")).then_nothing();
    given::<Session>(waiting()).when(SessionCommand::Abandon).then([abandoned()]);
    given::<Session>(waiting()).when(close("20", "10:30")).then([closed("20", "10:30")]);
    given::<Session>(with(waiting(), [accepted("20", [])])).when(report_record(record("12"))).then_nothing();
}

#[test]
fn a_disputed_record_does_not_come_back_as_the_truth_after_an_operator_has_decided() {
    let decided = with(
        begun(),
        [stopped("10:30"), record_disputed(record("12"), DisputeReason::BelowLastReading), closed("20", "10:30"), billed(prepaid(), "20")],
    );
    given::<Session>(decided.clone()).when(report_record(record("12"))).then_nothing();
    given::<Session>(decided).when(report_record(record("11"))).then([record_disputed(record("11"), DisputeReason::BelowLastReading)]);
}

#[test]
fn every_contradicting_record_is_kept_however_many_there_are() {
    let mut session = state(with(begun(), [accepted("20", [])]));
    for n in 21..61 {
        let events = session.decide(report_record(record(&n.to_string()))).unwrap();
        assert_eq!(events, [record_disputed(record(&n.to_string()), DisputeReason::ContradictsFirst)]);
        session = session.evolve(&events[0]);
    }
    // The last ones are known, so that a device that insists is not written down again and again.
    assert_eq!(session.course().unwrap().disputed_records.len(), 16);
    assert_eq!(session.decide(report_record(record("60"))), Ok(vec![]));
}

#[test]
fn a_record_after_the_operators_close_is_the_truth() {
    given::<Session>(with(begun(), [closed("15", "10:25")])).when(report_record(record("20"))).then([accepted("20", [Oddity::Late])]);
    let closed_by_hand = || with(begun(), [abandoned(), closed("15", "10:25")]);
    given::<Session>(closed_by_hand()).when(report_record(record("20"))).then([accepted("20", [Oddity::Late])]);
    given::<Session>(with(closed_by_hand(), [billed(prepaid(), "15")]))
        .when(report_record(record("20")))
        .then([accepted("20", [Oddity::Late])]);
    given::<Session>(with(closed_by_hand(), [accepted("20", [Oddity::Late])])).when(report_record(record("20"))).then_nothing();
}

#[test]
fn what_is_odd_is_billed_and_can_be_found() {
    let timed = |minutes: i64, energy: &str| TransactionRecord { ended_at: clock("10:00").plus_seconds(minutes * 60), ..record(energy) };
    let kept = |record: &TransactionRecord, oddities: &[Oddity]| {
        let energy = record.energy.judge().unwrap();
        SessionEvent::RecordAccepted { refs: refs(), record: record.clone(), energy, oddities: oddities.to_vec() }
    };
    for (record, oddities) in [
        (timed(30, "0"), &[Oddity::ZeroEnergy][..]),
        (timed(0, "0"), &[Oddity::ZeroEnergy, Oddity::ZeroDuration][..]),
        (timed(0, "20"), &[Oddity::ZeroDuration, Oddity::EnergyAboveRatedPower][..]),
        (timed(24 * 60, "20"), &[][..]),
        (timed(47 * 60, "20"), &[Oddity::LongDuration][..]),
        // The connector gives 60 kW: 30 kWh in half an hour.
        (timed(30, "30"), &[][..]),
        (timed(30, "30.0001"), &[Oddity::EnergyAboveRatedPower][..]),
    ] {
        given::<Session>(charging(prepaid())).when(report_record(record.clone())).then([kept(&record, oddities)]);
    }
}

#[test]
fn less_than_a_second_is_a_duration() {
    let ended_at = Timestamp::from_micros(clock("10:00").micros() + 600_000).unwrap();
    let short = TransactionRecord { ended_at, ..record("0.01") };
    let kept = SessionEvent::RecordAccepted { refs: refs(), record: short.clone(), energy: kwh("0.01"), oddities: vec![] };
    given::<Session>(charging(prepaid())).when(report_record(short)).then([kept]);
}
