//! Devices with a wrong clock: what they say is kept, and judged by when it came.

use super::*;
use crate::testing::given;

fn received(fact: DeviceFact, time: &str) -> SessionCommand {
    SessionCommand::Receive { fact, received_at: clock(time), discovery: None }
}

fn of_another_century(register: &str) -> MeterReading {
    MeterReading { register: register.parse().unwrap(), read_at: at("2099-01-01T00:00:00Z") }
}

fn not_believed(reading: MeterReading) -> SessionEvent {
    SessionEvent::MeterDisputed { session_id: id(9), reading, reason: DisputeReason::InTheFuture }
}

#[test]
fn a_clock_that_is_a_little_ahead_is_believed() {
    let fact = || DeviceFact::Meter { reading: meter("105", "10:15") };
    given::<Session>(charging(prepaid())).when(received(fact(), "10:00")).then([read("105", "10:15", "5")]);
    let claim = meter("105", "10:16");
    let fact = DeviceFact::Meter { reading: claim };
    given::<Session>(charging(prepaid())).when(received(fact, "10:00")).then([read("105", "10:00", "5"), not_believed(claim)]);
}

#[test]
fn a_reading_from_the_future_counts_when_it_came_and_does_not_outdate_those_after_it() {
    let claim = of_another_century("105");
    let first = with(charging(prepaid()), [read("105", "10:10", "5"), not_believed(claim)]);
    let came = received(DeviceFact::Meter { reading: claim }, "10:10");
    given::<Session>(charging(prepaid())).when(came).then(first[4..].to_vec());
    // Under another message id, later: it has been judged.
    given::<Session>(first.clone()).when(received(DeviceFact::Meter { reading: claim }, "10:20")).then_nothing();
    let next = DeviceFact::Meter { reading: meter("110", "10:20") };
    given::<Session>(first).when(received(next, "10:20")).then([read("110", "10:20", "10")]);
}

#[test]
fn a_start_from_the_future_starts_now() {
    let claim = of_another_century("100");
    let came = || received(DeviceFact::Started { meter: claim }, "10:00");
    given::<Session>(told(prepaid())).when(came()).then([started(), not_believed(claim)]);
    given::<Session>(with(told(prepaid()), [started(), not_believed(claim)])).when(came()).then_nothing();
    let refs = SessionRefs { user_id: None, ..refs() };
    let discovery = discovery(Some(tariff()));
    let found =
        state([]).decide(SessionCommand::Receive { fact: DeviceFact::Started { meter: claim }, received_at: clock("10:00"), discovery });
    let started = SessionEvent::Started { refs, meter: meter("100", "10:00") };
    assert_eq!(found.unwrap()[1..], [started, not_believed(claim)]);
}

#[test]
fn the_last_reading_of_a_stop_is_judged_like_any_other() {
    let claim = of_another_century("120");
    let stopped_at = claim.read_at;
    let fact = DeviceFact::Stopped { reason: StopReason::Local, meter: Some(claim), stopped_at };
    let believed = Some(meter("120", "10:30"));
    let stopped = SessionEvent::Stopped { refs: refs(), reason: StopReason::Local, meter: believed, stopped_at };
    given::<Session>(charging(prepaid())).when(received(fact, "10:30")).then([read("120", "10:30", "20"), stopped, not_believed(claim)]);
}

#[test]
fn a_record_from_the_future_is_disputed_and_ends_the_session_when_it_came() {
    let ahead = TransactionRecord { started_at: at("2099-01-01T00:00:00Z"), ended_at: at("2099-01-01T00:30:00Z"), ..record("20") };
    let came = || received(DeviceFact::Record { record: ahead.clone() }, "10:30");
    let stopped = SessionEvent::Stopped { refs: refs(), reason: ahead.reason, meter: None, stopped_at: clock("10:30") };
    let events = [stopped, record_disputed(ahead.clone(), DisputeReason::InTheFuture)];
    given::<Session>(charging(prepaid())).when(came()).then(events.clone());
    given::<Session>(told(prepaid())).when(came()).then(events.clone());
    given::<Session>(with(charging(prepaid()), events.clone())).when(came()).then_nothing();
    // The true one may follow, and is billed.
    let true_one = received(DeviceFact::Record { record: record("20") }, "10:31");
    given::<Session>(with(charging(prepaid()), events)).when(true_one).then([accepted("20", [])]);
}

#[test]
fn a_record_of_long_ago_is_billed_and_can_be_looked_for() {
    let late = |received_at: &str| SessionCommand::Receive {
        fact: DeviceFact::Record { record: record("20") },
        received_at: at(received_at),
        discovery: None,
    };
    given::<Session>(charging(prepaid())).when(late("2026-04-02T10:30:00+08:00")).then([accepted("20", [])]);
    given::<Session>(charging(prepaid())).when(late("2026-04-02T10:30:01+08:00")).then([accepted("20", [Oddity::LongAgo])]);
    // An import knows when it was.
    given::<Session>(charging(prepaid())).when(report_record(record("20"))).then([accepted("20", [])]);
}
