//! How it comes to an end: asked for, reported, given up, or closed by hand.

use super::*;
use crate::testing::given;

fn stop(reason: StopReason) -> SessionCommand {
    SessionCommand::RequestStop { reason }
}

#[test]
fn a_stop_is_asked_for_once() {
    given::<Session>([]).when(stop(StopReason::User)).then_refused(SessionError::Unknown);
    given::<Session>(charging(prepaid())).when(stop(StopReason::User)).then([stop_requested(StopReason::User)]);
    given::<Session>(with(charging(prepaid()), [stop_requested(StopReason::User)])).when(stop(StopReason::Operator)).then_nothing();
    for over in [vec![stopped("10:30")], vec![accepted("20", [])], vec![accepted("20", []), billed(prepaid(), "20")]] {
        given::<Session>([charging(prepaid()), over].concat()).when(stop(StopReason::User)).then_nothing();
    }
}

#[test]
fn what_does_not_charge_is_not_stopped() {
    for idle in [
        vec![requested(prepaid())],
        vec![requested(prepaid()), authorised()],
        vec![requested(prepaid()), refused(prepaid(), RefusalReason::Cancelled)],
        with(told(prepaid()), [timed_out(prepaid())]),
    ] {
        given::<Session>(idle).when(stop(StopReason::User)).then_refused(SessionError::NotCharging);
    }
}

#[test]
fn a_stop_while_it_starts_is_kept_for_a_device_that_starts_after_all() {
    let waiting = || with(told(prepaid()), [stop_requested(StopReason::User)]);
    given::<Session>(told(prepaid())).when(stop(StopReason::User)).then([stop_requested(StopReason::User)]);
    given::<Session>(waiting()).when(stop(StopReason::User)).then_nothing();
    given::<Session>(waiting()).when(SessionCommand::TimeOutStart).then([timed_out(prepaid())]);
    given::<Session>(waiting()).when(report_start("100", "10:00")).then([started(), stop_requested(StopReason::User)]);
}

#[test]
fn the_last_reading_comes_with_the_stop() {
    let stop = |register: &str| DeviceFact::Stopped {
        reason: StopReason::Local,
        meter: Some(meter(register, "10:30")),
        stopped_at: clock("10:30"),
    };
    let stopped = |register: &str| SessionEvent::Stopped {
        refs: refs(),
        reason: StopReason::Local,
        meter: Some(meter(register, "10:30")),
        stopped_at: clock("10:30"),
    };
    given::<Session>(charging(prepaid())).when(report(stop("120"))).then([read("120", "10:30", "20"), stopped("120")]);
    given::<Session>(with(charging(prepaid()), [read("120", "10:30", "20")])).when(report(stop("120"))).then([stopped("120")]);
    given::<Session>(charging(prepaid()))
        .when(report(stop("-1")))
        .then([disputed("-1", "10:30", DisputeReason::NotAnEnergy), stopped("-1")]);
    given::<Session>(with(charging(prepaid()), [abandoned()])).when(report(stop("120"))).then([read("120", "10:30", "20"), stopped("120")]);
    given::<Session>(told(prepaid())).when(report(stop("120"))).then([stopped("120")]);
}

#[test]
fn a_stop_reported_twice_is_one() {
    given::<Session>(charging(prepaid())).when(report_stop("10:30")).then([stopped("10:30")]);
    for over in [
        vec![stopped("10:30")],
        vec![stopped("10:30"), abandoned()],
        vec![accepted("20", [])],
        vec![closed("20", "10:30")],
        vec![accepted("20", []), billed(prepaid(), "20")],
    ] {
        given::<Session>([charging(prepaid()), over].concat()).when(report_stop("10:31")).then_nothing();
    }
}

#[test]
fn a_stop_before_its_start_ends_it_and_the_start_is_kept_aside() {
    for mode in MODES {
        for early in [vec![requested(mode())], vec![requested(mode()), authorised()], told(mode()), with(told(mode()), [timed_out(mode())])]
        {
            given::<Session>(early.clone()).when(report_stop("10:30")).then([stopped("10:30")]);
            given::<Session>(with(early.clone(), [stopped("10:30")])).when(report_start("100", "10:00")).then([disputed(
                "100",
                "10:00",
                DisputeReason::OutOfOrder,
            )]);
        }
    }
    given::<Session>(with(told(prepaid()), [stopped("10:30")])).when(report_record(record("20"))).then([accepted("20", [])]);
}

#[test]
fn a_fault_ends_it_once_and_its_stop_may_still_come() {
    given::<Session>(charging(prepaid())).when(report_fault("10:20")).then([faulted("10:20")]);
    let broken = || with(charging(prepaid()), [faulted("10:20")]);
    given::<Session>(broken()).when(report_fault("10:25")).then_nothing();
    given::<Session>(broken()).when(report_stop("10:21")).then([stopped("10:21")]);
    given::<Session>(with(broken(), [abandoned()])).when(report_stop("10:21")).then([stopped("10:21")]);
    given::<Session>(with(broken(), [abandoned()])).when(report_fault("10:20")).then_nothing();
    given::<Session>(with(charging(prepaid()), [abandoned()])).when(report_fault("10:20")).then([faulted("10:20")]);
    for over in [vec![stopped("10:30")], vec![accepted("20", [])], vec![accepted("20", []), billed(prepaid(), "20")]] {
        given::<Session>([charging(prepaid()), over].concat()).when(report_fault("10:40")).then_nothing();
    }
}

#[test]
fn silence_abandons_what_charges_or_waits_for_its_record() {
    for silent in [vec![], vec![stopped("10:30")], vec![faulted("10:20")]] {
        given::<Session>([charging(prepaid()), silent].concat()).when(SessionCommand::Abandon).then([abandoned()]);
    }
    for other in [
        vec![],
        vec![requested(prepaid())],
        told(prepaid()),
        with(told(prepaid()), [timed_out(prepaid())]),
        with(charging(prepaid()), [abandoned()]),
        with(charging(prepaid()), [accepted("20", [])]),
        with(charging(prepaid()), [accepted("20", []), billed(prepaid(), "20")]),
    ] {
        given::<Session>(other).when(SessionCommand::Abandon).then_nothing();
    }
}

#[test]
fn the_vehicle_leaves_once() {
    given::<Session>(charging(prepaid())).when(report_unplugged("10:40")).then([unplugged("10:40")]);
    given::<Session>(with(charging(prepaid()), [stopped("10:30"), unplugged("10:40")])).when(report_unplugged("10:50")).then_nothing();
    for over in [vec![accepted("20", [])], vec![accepted("20", []), billed(prepaid(), "20")]] {
        given::<Session>([charging(prepaid()), over].concat()).when(report_unplugged("10:40")).then([unplugged("10:40")]);
    }
}

#[test]
fn an_operator_closes_what_never_ended() {
    for stuck in [
        vec![],
        vec![stopped("10:30")],
        vec![faulted("10:20")],
        vec![abandoned()],
        vec![stopped("10:30"), record_disputed(record("20"), DisputeReason::BelowLastReading)],
    ] {
        given::<Session>([charging(prepaid()), stuck].concat()).when(close("12.5", "10:25")).then([closed("12.5", "10:25")]);
    }
    given::<Session>(with(told(prepaid()), [stopped("10:30")])).when(close("12.5", "10:25")).then([closed("12.5", "10:25")]);
}

#[test]
fn an_operator_closes_nothing_that_never_charged_or_is_finished() {
    given::<Session>([]).when(close("1", "10:25")).then_refused(SessionError::Unknown);
    for idle in [vec![requested(prepaid())], told(prepaid()), with(told(prepaid()), [timed_out(prepaid())])] {
        given::<Session>(idle).when(close("1", "10:25")).then_refused(SessionError::NotCharging);
    }
    for finished in [vec![accepted("20", [])], vec![closed("20", "10:30")], vec![accepted("20", []), billed(prepaid(), "20")]] {
        given::<Session>([charging(prepaid()), finished].concat()).when(close("1", "10:25")).then_refused(SessionError::AlreadyFinished);
    }
}

#[test]
fn closing_by_hand_needs_a_note() {
    let noted = |note: String| SessionCommand::CloseByOperator { energy: kwh("1"), ended_at: clock("10:25"), note };
    for note in [String::new(), "  \n".to_owned(), "桩".repeat(501)] {
        given::<Session>(charging(prepaid())).when(noted(note)).then_refused(SessionError::NoteMissing);
    }
    let note = "桩".repeat(500);
    given::<Session>(charging(prepaid())).when(noted(note.clone())).then([SessionEvent::ClosedByOperator {
        refs: refs(),
        energy: kwh("1"),
        ended_at: clock("10:25"),
        note,
    }]);
}

#[test]
fn closing_by_hand_does_not_end_it_before_it_began() {
    given::<Session>(charging(prepaid()))
        .when(close("1", "09:59"))
        .then_refused(SessionError::EndsBeforeStart { started_at: clock("10:00"), ended_at: clock("09:59") });
    given::<Session>(charging(prepaid())).when(close("0", "10:00")).then([closed("0", "10:00")]);
}
