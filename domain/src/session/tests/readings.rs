//! Starts and meter readings: facts, kept and judged.

use super::*;
use crate::testing::given;

#[test]
fn a_start_repeated_in_a_new_message_changes_nothing() {
    given::<Session>(told(prepaid())).when(report_start("100", "10:00")).then([started()]);
    given::<Session>(charging(prepaid())).when(report_start("100", "10:00")).then_nothing();
    given::<Session>(with(charging(prepaid()), [read("110", "10:15", "10")])).when(report_start("100", "10:00")).then_nothing();
    for over in [vec![stopped("10:30")], vec![accepted("20", [])], vec![accepted("20", []), billed(prepaid(), "20")]] {
        given::<Session>([charging(prepaid()), over].concat()).when(report_start("100", "10:00")).then_nothing();
    }
}

#[test]
fn another_start_of_the_same_session_is_kept_once_and_not_believed() {
    let contradiction = || disputed("101", "10:02", DisputeReason::ContradictsFirst);
    given::<Session>(charging(prepaid())).when(report_start("101", "10:02")).then([contradiction()]);
    given::<Session>(with(charging(prepaid()), [contradiction()])).when(report_start("101", "10:02")).then_nothing();
}

#[test]
fn a_device_that_begins_before_it_was_told_is_charging() {
    given::<Session>([requested(PaymentMode::Postpaid)]).when(report_start("100", "10:00")).then([started()]);
    given::<Session>([requested(prepaid()), authorised()]).when(report_start("100", "10:00")).then([started()]);
}

#[test]
fn a_device_that_begins_before_the_money_came_is_stopped() {
    for mode in [prepaid(), wallet()] {
        given::<Session>([requested(mode)])
            .when(report_start("100", "10:00"))
            .then([started(), stop_requested(StopReason::FundsExhausted)]);
    }
}

#[test]
fn a_reading_shows_that_energy_flows_when_the_start_was_lost() {
    let begun = SessionEvent::Started { refs: refs(), meter: meter("105", "10:05") };
    given::<Session>(told(prepaid())).when(report_meter("105", "10:05")).then([begun.clone()]);
    let heard = with(told(prepaid()), [begun]);
    given::<Session>(heard.clone()).when(report_meter("105", "10:05")).then_nothing();
    given::<Session>(heard.clone()).when(report_meter("110", "10:15")).then([read("110", "10:15", "5")]);
    given::<Session>(heard.clone()).when(report_start("100", "10:00")).then([disputed("100", "10:00", DisputeReason::ContradictsFirst)]);
    // The record knows the whole of it.
    given::<Session>(heard).when(report_record(record("20"))).then([accepted("20", [])]);
}

#[test]
fn a_meter_that_does_not_know_its_register_starts_all_the_same() {
    let begun = || SessionEvent::Started { refs: refs(), meter: meter("-1", "10:00") };
    let unknown = || disputed("-1", "10:00", DisputeReason::NotAnEnergy);
    given::<Session>(told(prepaid())).when(report_start("-1", "10:00")).then([begun(), unknown()]);
    let heard = with(told(prepaid()), [begun(), unknown()]);
    given::<Session>(heard.clone()).when(report_start("-1", "10:00")).then_nothing();
    let many = (1..20).map(|minute| disputed("-1", &format!("10:{minute:02}"), DisputeReason::NotAnEnergy)).collect();
    given::<Session>([heard.clone(), many].concat()).when(report_start("-1", "10:00")).then_nothing();
    // Counted from the first register that is believed, or a lifetime total would be billed as one session.
    given::<Session>(heard.clone()).when(report_meter("34567", "10:01")).then([read("34567", "10:01", "0")]);
    given::<Session>(with(heard, [read("34567", "10:01", "0")]))
        .when(report_meter("34568.5", "10:02"))
        .then([read("34568.5", "10:02", "1.5")]);
}

#[test]
fn a_reading_counts_from_the_start() {
    given::<Session>(charging(prepaid())).when(report_meter("110.5", "10:15")).then([read("110.5", "10:15", "10.5")]);
    given::<Session>(charging(prepaid())).when(report_meter("100", "10:05")).then([read("100", "10:05", "0")]);
}

#[test]
fn a_reading_repeated_in_a_new_message_changes_nothing() {
    let twice = || with(charging(prepaid()), [read("110", "10:15", "10"), read("115", "10:20", "15")]);
    given::<Session>(twice()).when(report_meter("115", "10:20")).then_nothing();
    given::<Session>(twice()).when(report_meter("110", "10:15")).then_nothing();
    given::<Session>(twice()).when(report_meter("100", "10:00")).then_nothing();
}

#[test]
fn a_meter_that_goes_backwards_is_not_believed() {
    let read_once = || with(charging(prepaid()), [read("110", "10:15", "10")]);
    given::<Session>(read_once()).when(report_meter("109.9999", "10:20")).then([disputed(
        "109.9999",
        "10:20",
        DisputeReason::MeterBackwards,
    )]);
    // What was believed stands, and goes on from there.
    given::<Session>(with(read_once(), [disputed("109.9999", "10:20", DisputeReason::MeterBackwards)]))
        .when(report_meter("111", "10:25"))
        .then([read("111", "10:25", "11")]);
}

#[test]
fn a_meter_that_was_reset_is_not_believed() {
    given::<Session>(with(charging(prepaid()), [read("110", "10:15", "10")])).when(report_meter("0.5", "10:20")).then([disputed(
        "0.5",
        "10:20",
        DisputeReason::MeterReset,
    )]);
}

#[test]
fn a_register_that_is_no_energy_is_kept_digit_for_digit() {
    for register in ["-1", "100.00001", "99999999999"] {
        given::<Session>(charging(prepaid())).when(report_meter(register, "10:20")).then([disputed(
            register,
            "10:20",
            DisputeReason::NotAnEnergy,
        )]);
    }
}

#[test]
fn an_old_reading_is_out_of_order_and_no_fault_of_the_meter() {
    let read_once = || with(charging(prepaid()), [read("110", "10:15", "10")]);
    for register in ["105", "112", "50"] {
        given::<Session>(read_once()).when(report_meter(register, "10:10")).then([disputed(register, "10:10", DisputeReason::OutOfOrder)]);
    }
}

#[test]
fn what_is_not_believed_is_kept_once() {
    let dispute = || disputed("-1", "10:20", DisputeReason::NotAnEnergy);
    given::<Session>(with(charging(prepaid()), [dispute()])).when(report_meter("-1", "10:20")).then_nothing();
    given::<Session>(with(charging(prepaid()), [dispute()])).when(report_meter("-1", "10:21")).then([disputed(
        "-1",
        "10:21",
        DisputeReason::NotAnEnergy,
    )]);
}

#[test]
fn a_batch_without_an_energy_does_not_wipe_the_total() {
    // Such a batch is no reading at all, or one that says nothing: the last energy stands and the next one counts on.
    let read_once = || with(charging(prepaid()), [read("110", "10:15", "10")]);
    given::<Session>(read_once()).when(report_meter("0", "10:16")).then([disputed("0", "10:16", DisputeReason::MeterReset)]);
    let after = with(read_once(), [disputed("0", "10:16", DisputeReason::MeterReset)]);
    let cost = state(after.clone()).cost_so_far(clock("10:17")).unwrap().unwrap();
    assert_eq!((cost.energy, cost.total), (kwh("10"), money("10.00")));
    given::<Session>(after).when(report_meter("111", "10:17")).then([read("111", "10:17", "11")]);
}

#[test]
fn a_reading_after_the_end_is_kept_and_counts_for_nothing() {
    for end in [
        vec![stopped("10:30")],
        vec![faulted("10:30")],
        vec![stopped("10:30"), abandoned()],
        vec![accepted("20", [])],
        vec![closed("20", "10:30")],
        vec![accepted("20", []), billed(prepaid(), "20")],
    ] {
        let ended = [with(charging(prepaid()), [read("120", "10:30", "20")]), end].concat();
        let late = || disputed("121", "10:31", DisputeReason::NotCharging);
        given::<Session>(ended.clone()).when(report_meter("121", "10:31")).then([late()]);
        given::<Session>(with(ended.clone(), [late()])).when(report_meter("121", "10:31")).then_nothing();
        // The last reading often comes once more after the stop.
        given::<Session>(ended).when(report_meter("120", "10:30")).then_nothing();
    }
}

#[test]
fn a_device_that_was_silent_goes_on_charging() {
    let silent = || with(charging(prepaid()), [read("110", "10:15", "10"), abandoned()]);
    given::<Session>(silent()).when(report_meter("120", "12:00")).then([read("120", "12:00", "20")]);
    given::<Session>(silent())
        .when(report_meter("151", "12:00"))
        .then([read("151", "12:00", "51"), stop_requested(StopReason::FundsExhausted)]);
    let back = || with(silent(), [read("120", "12:00", "20")]);
    assert!(matches!(state(back()), Session::Charging(_)));
    given::<Session>(back()).when(report_stop("12:05")).then([stopped("12:05")]);
    // It had not been given up for good, so that its record is not late.
    given::<Session>(back()).when(report_record(record("20"))).then([accepted("20", [])]);
}

#[test]
fn used_up_funds_stop_it_once() {
    for mode in [prepaid(), wallet()] {
        given::<Session>(charging(mode)).when(report_meter("149.99", "10:40")).then([read("149.99", "10:40", "49.99")]);
        given::<Session>(charging(mode))
            .when(report_meter("150", "10:40"))
            .then([read("150", "10:40", "50"), stop_requested(StopReason::FundsExhausted)]);
        let used_up = with(charging(mode), [read("150", "10:40", "50"), stop_requested(StopReason::FundsExhausted)]);
        given::<Session>(used_up).when(report_meter("151", "10:41")).then([read("151", "10:41", "51")]);
    }
    given::<Session>(charging(PaymentMode::Postpaid)).when(report_meter("5100", "10:40")).then([read("5100", "10:40", "5000")]);
}
