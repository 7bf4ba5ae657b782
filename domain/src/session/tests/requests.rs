//! What is asked before energy flows.

use super::*;
use crate::testing::given;

const STARTED_OR_OVER: [fn(PaymentMode) -> Vec<SessionEvent>; 5] = [
    charging,
    |mode| with(charging(mode), [stopped("10:30")]),
    |mode| with(charging(mode), [abandoned()]),
    |mode| with(charging(mode), [accepted("20", [])]),
    |mode| with(charging(mode), [accepted("20", []), billed(mode, "20")]),
];

fn refuse(reason: RefusalReason) -> SessionCommand {
    SessionCommand::Refuse { reason }
}

fn begin() -> SessionCommand {
    SessionCommand::BeginStart { expires_at: clock("10:01") }
}

#[test]
fn a_session_is_requested_once() {
    for mode in MODES {
        given::<Session>([]).when(request(mode())).then([requested(mode())]);
        given::<Session>([requested(mode())]).when(request(mode())).then_refused(SessionError::AlreadyRequested);
        given::<Session>(charging(mode())).when(request(mode())).then_refused(SessionError::AlreadyRequested);
    }
}

#[test]
fn what_is_set_aside_is_more_than_nothing() {
    for amount in ["0.00", "-0.01"] {
        let amount = money(amount);
        let mode = PaymentMode::Prepaid { payment_id: prepayment(), amount, channel: Channel::Sandbox };
        given::<Session>([]).when(request(mode)).then_refused(SessionError::AmountNotPositive { amount });
        given::<Session>([]).when(request(PaymentMode::Wallet { hold: amount })).then_refused(SessionError::AmountNotPositive { amount });
    }
}

#[test]
fn it_is_authorised_once() {
    given::<Session>([]).when(SessionCommand::Authorise).then_refused(SessionError::Unknown);
    given::<Session>([requested(prepaid())]).when(SessionCommand::Authorise).then([authorised()]);
    given::<Session>([requested(prepaid()), authorised()]).when(SessionCommand::Authorise).then_nothing();
    given::<Session>(told(prepaid())).when(SessionCommand::Authorise).then_nothing();
    for started in STARTED_OR_OVER {
        for mode in MODES {
            given::<Session>(started(mode())).when(SessionCommand::Authorise).then_nothing();
        }
    }
}

#[test]
fn money_for_a_session_that_did_not_come_about_goes_back() {
    for over in [refused(prepaid(), RefusalReason::Cancelled), timed_out(prepaid())] {
        given::<Session>(with(told(prepaid()), [over])).when(SessionCommand::Authorise).then_refused(SessionError::DidNotStart);
    }
}

#[test]
fn a_prepayment_that_comes_after_the_device_began_on_its_own_goes_back() {
    let began = || vec![requested(prepaid()), started(), stop_requested(StopReason::FundsExhausted)];
    given::<Session>(began()).when(SessionCommand::Authorise).then_refused(SessionError::DidNotStart);
    given::<Session>(with(began(), [accepted("20", []), billed(prepaid(), "20")]))
        .when(SessionCommand::Authorise)
        .then_refused(SessionError::DidNotStart);
    given::<Session>([requested(wallet()), started()]).when(SessionCommand::Authorise).then_nothing();
    given::<Session>([requested(PaymentMode::Postpaid), started()]).when(SessionCommand::Authorise).then_nothing();
}

#[test]
fn it_is_refused_until_the_device_is_told() {
    let reason = RefusalReason::PaymentFailed;
    given::<Session>([]).when(refuse(reason.clone())).then_refused(SessionError::Unknown);
    given::<Session>([requested(prepaid())]).when(refuse(reason.clone())).then([refused(prepaid(), reason.clone())]);
    given::<Session>([requested(prepaid()), authorised()])
        .when(refuse(RefusalReason::ConnectorOccupied))
        .then([refused(prepaid(), RefusalReason::ConnectorOccupied)]);
    given::<Session>([requested(prepaid()), refused(prepaid(), reason.clone())]).when(refuse(reason.clone())).then_nothing();
    given::<Session>(with(told(prepaid()), [timed_out(prepaid())])).when(refuse(reason.clone())).then_nothing();
    for started in STARTED_OR_OVER {
        given::<Session>(started(prepaid())).when(refuse(reason.clone())).then_refused(SessionError::AlreadyStarted);
    }
}

#[test]
fn once_told_only_the_device_refuses() {
    for reason in [RefusalReason::DeviceRefused, RefusalReason::DeviceUnreachable] {
        given::<Session>(told(prepaid())).when(refuse(reason.clone())).then([refused(prepaid(), reason)]);
    }
    for reason in [
        RefusalReason::Cancelled,
        RefusalReason::InsufficientFunds,
        RefusalReason::PaymentFailed,
        RefusalReason::ConnectorOccupied,
        RefusalReason::ConnectorUnavailable,
    ] {
        given::<Session>(told(prepaid())).when(refuse(reason)).then_refused(SessionError::AlreadyStarted);
    }
}

#[test]
fn the_device_is_told_once_and_only_when_the_money_is_in_order() {
    given::<Session>([]).when(begin()).then_refused(SessionError::Unknown);
    given::<Session>([requested(prepaid())]).when(begin()).then_refused(SessionError::NotAuthorised);
    given::<Session>([requested(prepaid()), authorised()]).when(begin()).then([starting()]);
    given::<Session>(told(prepaid())).when(begin()).then_nothing();
    given::<Session>(with(told(prepaid()), [timed_out(prepaid())])).when(begin()).then_refused(SessionError::DidNotStart);
    for started in STARTED_OR_OVER {
        given::<Session>(started(prepaid())).when(begin()).then_nothing();
    }
}

#[test]
fn only_a_start_times_out() {
    given::<Session>(told(prepaid())).when(SessionCommand::TimeOutStart).then([timed_out(prepaid())]);
    for other in [vec![], vec![requested(prepaid())], vec![requested(prepaid()), authorised()]] {
        given::<Session>(other).when(SessionCommand::TimeOutStart).then_nothing();
    }
    given::<Session>(with(told(prepaid()), [timed_out(prepaid())])).when(SessionCommand::TimeOutStart).then_nothing();
    for started in STARTED_OR_OVER {
        given::<Session>(started(prepaid())).when(SessionCommand::TimeOutStart).then_nothing();
    }
}

#[test]
fn a_fault_or_an_unplugging_before_the_start_leaves_the_start_to_time_out() {
    for fact in [report_fault("10:00"), report_unplugged("10:00")] {
        given::<Session>(told(prepaid())).when(fact.clone()).then_nothing();
        given::<Session>([requested(prepaid())]).when(fact.clone()).then_nothing();
        given::<Session>(with(told(prepaid()), [timed_out(prepaid())])).when(fact).then_nothing();
    }
}
