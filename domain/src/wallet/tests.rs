use super::*;
use crate::ids::{PaymentId, RefundId, SessionId, UserId};
use crate::testing::{given as given_events, id};
use crate::units::Money;

fn given(events: impl IntoIterator<Item = WalletEvent>) -> crate::testing::Given<Wallet> {
    given_events(events)
}

fn yuan(text: &str) -> Money {
    text.parse().unwrap()
}

fn user() -> UserId {
    id(1)
}

fn payment(number: u128) -> PaymentId {
    id(0x100 + number)
}

fn session(number: u128) -> SessionId {
    id(0x200 + number)
}

fn refund(number: u128) -> RefundId {
    id(0x300 + number)
}

fn part(refund_number: u128, payment_number: u128, amount: &str) -> RefundPart {
    let payment_id = payment(payment_number);
    RefundPart { payment_id, refund_id: RefundId::derived(refund(refund_number).0, &payment_id.to_string()), amount: yuan(amount) }
}

fn topped_up(number: u128, amount: &str, balance: &str, held: &str) -> WalletEvent {
    WalletEvent::ToppedUp { user_id: user(), payment_id: payment(number), amount: yuan(amount), balance: yuan(balance), held: yuan(held) }
}

fn set_aside(number: u128, amount: &str, balance: &str, held: &str) -> WalletEvent {
    WalletEvent::Held { user_id: user(), session_id: session(number), amount: yuan(amount), balance: yuan(balance), held: yuan(held) }
}

fn released(number: u128, amount: &str, balance: &str, held: &str) -> WalletEvent {
    WalletEvent::Released { user_id: user(), session_id: session(number), amount: yuan(amount), balance: yuan(balance), held: yuan(held) }
}

fn captured(number: u128, due: &str, amount: &str, balance: &str, held: &str) -> WalletEvent {
    WalletEvent::Captured {
        user_id: user(),
        session_id: session(number),
        due: yuan(due),
        amount: yuan(amount),
        balance: yuan(balance),
        held: yuan(held),
    }
}

fn credited(number: u128, amount: &str, balance: &str, held: &str) -> WalletEvent {
    WalletEvent::Credited { user_id: user(), session_id: session(number), amount: yuan(amount), balance: yuan(balance), held: yuan(held) }
}

/// What somebody wrote is kept as it is.
fn reason() -> Option<String> {
    Some("moved away".to_owned())
}

fn refund_requested(number: u128, amount: &str, parts: Vec<RefundPart>, balance: &str, held: &str) -> WalletEvent {
    WalletEvent::RefundRequested {
        user_id: user(),
        refund_id: refund(number),
        amount: yuan(amount),
        parts,
        reason: reason(),
        balance: yuan(balance),
        held: yuan(held),
    }
}

fn part_succeeded(part: RefundPart, balance: &str) -> WalletEvent {
    let RefundPart { payment_id, refund_id, amount } = part;
    WalletEvent::RefundPartSucceeded { user_id: user(), payment_id, refund_id, amount, balance: yuan(balance), held: Money::ZERO }
}

fn part_failed(part: RefundPart, balance: &str) -> WalletEvent {
    let RefundPart { payment_id, refund_id, amount } = part;
    WalletEvent::RefundPartFailed { user_id: user(), payment_id, refund_id, amount, balance: yuan(balance), held: Money::ZERO }
}

fn top_up(number: u128, amount: &str) -> WalletCommand {
    WalletCommand::TopUp { user_id: user(), payment_id: payment(number), amount: yuan(amount) }
}

fn hold(number: u128, amount: &str) -> WalletCommand {
    WalletCommand::Hold { user_id: user(), session_id: session(number), amount: yuan(amount) }
}

fn capture(number: u128, due: &str) -> WalletCommand {
    WalletCommand::Capture { user_id: user(), session_id: session(number), due: yuan(due) }
}

fn release(number: u128) -> WalletCommand {
    WalletCommand::Release { user_id: user(), session_id: session(number) }
}

fn credit(number: u128, amount: &str) -> WalletCommand {
    WalletCommand::Credit { user_id: user(), session_id: session(number), amount: yuan(amount) }
}

fn request_refund(number: u128, amount: &str) -> WalletCommand {
    WalletCommand::RequestRefund { user_id: user(), refund_id: refund(number), amount: yuan(amount), reason: reason() }
}

fn report_succeeded(part: RefundPart) -> WalletCommand {
    WalletCommand::ReportRefundPartSucceeded { user_id: user(), refund_id: part.refund_id }
}

fn report_failed(part: RefundPart) -> WalletCommand {
    WalletCommand::ReportRefundPartFailed { user_id: user(), refund_id: part.refund_id }
}

#[test]
fn a_top_up_raises_the_balance() {
    given([topped_up(1, "50.00", "50.00", "0.00")]).when(top_up(2, "20.00")).then([topped_up(2, "20.00", "70.00", "0.00")]);
}

#[test]
fn the_same_payment_tops_up_once() {
    given([topped_up(1, "50.00", "50.00", "0.00")]).when(top_up(1, "50.00")).then_nothing();
}

#[test]
fn one_payment_cannot_bring_two_amounts() {
    given([topped_up(1, "50.00", "50.00", "0.00")])
        .when(top_up(1, "60.00"))
        .then_refused(WalletError::TopUpDiffers { payment_id: payment(1), amount: yuan("50.00") });
}

#[test]
fn amounts_of_nothing_or_less_are_refused() {
    for amount in ["0.00", "-1.00"] {
        let refused = WalletError::AmountNotPositive { amount: yuan(amount) };
        let funds = || given([topped_up(1, "50.00", "50.00", "0.00")]);
        funds().when(top_up(2, amount)).then_refused(refused.clone());
        funds().when(hold(1, amount)).then_refused(refused.clone());
        funds().when(credit(1, amount)).then_refused(refused.clone());
        funds().when(request_refund(1, amount)).then_refused(refused);
    }
    given([topped_up(1, "50.00", "50.00", "0.00")]).when(capture(1, "-1.00")).then_refused(WalletError::DueNegative { due: yuan("-1.00") });
}

#[test]
fn a_hold_sets_a_part_aside() {
    given([topped_up(1, "50.00", "50.00", "0.00")]).when(hold(1, "30.00")).then([set_aside(1, "30.00", "50.00", "30.00")]);
}

#[test]
fn a_hold_above_what_is_available_is_refused() {
    given([topped_up(1, "50.00", "50.00", "0.00"), set_aside(1, "30.00", "50.00", "30.00")])
        .when(hold(2, "20.01"))
        .then_refused(WalletError::InsufficientFunds { amount: yuan("20.01"), available: yuan("20.00") });
    given([]).when(hold(1, "0.01")).then_refused(WalletError::InsufficientFunds { amount: yuan("0.01"), available: Money::ZERO });
}

#[test]
fn a_session_holds_once() {
    let history = [topped_up(1, "50.00", "50.00", "0.00"), set_aside(1, "30.00", "50.00", "30.00")];
    given(history.clone()).when(hold(1, "30.00")).then_nothing();
    given(history).when(hold(1, "10.00")).then_refused(WalletError::HoldDiffers { session_id: session(1), held: yuan("30.00") });
}

#[test]
fn a_hold_that_comes_after_its_release_is_refused() {
    given([topped_up(1, "50.00", "50.00", "0.00"), set_aside(1, "30.00", "50.00", "30.00"), released(1, "30.00", "50.00", "0.00")])
        .when(hold(1, "30.00"))
        .then_refused(WalletError::HoldOver { session_id: session(1) });
}

#[test]
fn a_release_frees_the_hold_once() {
    let history = [topped_up(1, "50.00", "50.00", "0.00"), set_aside(1, "30.00", "50.00", "30.00")];
    let over = released(1, "30.00", "50.00", "0.00");
    given(history.clone()).when(release(1)).then([over.clone()]);
    given(history.into_iter().chain([over])).when(release(1)).then_nothing();
}

#[test]
fn a_capture_below_the_hold_frees_the_rest() {
    given([topped_up(1, "50.00", "50.00", "0.00"), set_aside(1, "30.00", "50.00", "30.00")])
        .when(capture(1, "12.34"))
        .then([captured(1, "12.34", "12.34", "37.66", "17.66"), released(1, "17.66", "37.66", "0.00")]);
}

#[test]
fn a_capture_of_exactly_the_hold_leaves_nothing_to_free() {
    given([topped_up(1, "50.00", "50.00", "0.00"), set_aside(1, "30.00", "50.00", "30.00")])
        .when(capture(1, "30.00"))
        .then([captured(1, "30.00", "30.00", "20.00", "0.00")]);
}

#[test]
fn a_capture_above_the_hold_takes_what_is_available_and_leaves_the_rest_receivable() {
    let history =
        [topped_up(1, "50.00", "50.00", "0.00"), set_aside(1, "30.00", "50.00", "30.00"), set_aside(2, "15.00", "50.00", "45.00")];
    // The other session's hold is not touched.
    given(history).when(capture(1, "40.00")).then([captured(1, "40.00", "35.00", "15.00", "15.00")]);
}

#[test]
fn a_capture_without_a_hold_takes_what_is_available() {
    given([topped_up(1, "50.00", "50.00", "0.00")]).when(capture(1, "12.00")).then([captured(1, "12.00", "12.00", "38.00", "0.00")]);
    given([]).when(capture(1, "12.00")).then([captured(1, "12.00", "0.00", "0.00", "0.00")]);
}

#[test]
fn a_record_that_comes_after_the_release_is_captured_from_what_is_available() {
    given([topped_up(1, "50.00", "50.00", "0.00"), set_aside(1, "30.00", "50.00", "30.00"), released(1, "30.00", "50.00", "0.00")])
        .when(capture(1, "12.00"))
        .then([captured(1, "12.00", "12.00", "38.00", "0.00")]);
}

#[test]
fn a_free_session_is_captured_too_and_frees_its_hold() {
    given([topped_up(1, "50.00", "50.00", "0.00"), set_aside(1, "30.00", "50.00", "30.00")])
        .when(capture(1, "0.00"))
        .then([captured(1, "0.00", "0.00", "50.00", "30.00"), released(1, "30.00", "50.00", "0.00")]);
}

#[test]
fn a_session_whose_rest_was_freed_is_captured_once() {
    given([
        topped_up(1, "50.00", "50.00", "0.00"),
        set_aside(1, "30.00", "50.00", "30.00"),
        captured(1, "12.00", "12.00", "38.00", "18.00"),
        released(1, "18.00", "38.00", "0.00"),
    ])
    .when(capture(1, "12.00"))
    .then_nothing();
}

#[test]
fn a_session_is_captured_once() {
    let history = [topped_up(1, "50.00", "50.00", "0.00"), captured(1, "12.00", "12.00", "38.00", "0.00")];
    given(history.clone()).when(capture(1, "12.00")).then_nothing();
    given(history).when(hold(1, "12.00")).then_refused(WalletError::HoldOver { session_id: session(1) });
}

#[test]
fn a_credit_gives_back_at_most_what_was_taken() {
    let history = [topped_up(1, "50.00", "50.00", "0.00"), captured(1, "12.00", "12.00", "38.00", "0.00")];
    let first = credited(1, "5.00", "43.00", "0.00");
    given(history.clone()).when(credit(1, "5.00")).then([first.clone()]);
    given(history.into_iter().chain([first])).when(credit(1, "7.01")).then_refused(WalletError::CreditExceedsCapture {
        session_id: session(1),
        amount: yuan("7.01"),
        captured: yuan("7.00"),
    });
}

#[test]
fn a_credit_for_a_session_that_took_nothing_is_refused() {
    let refused = WalletError::CreditExceedsCapture { session_id: session(1), amount: yuan("5.00"), captured: Money::ZERO };
    let history = [topped_up(1, "50.00", "50.00", "0.00")];
    given(history.clone()).when(credit(1, "5.00")).then_refused(refused.clone());
    let freed = [set_aside(1, "30.00", "50.00", "30.00"), released(1, "30.00", "50.00", "0.00")];
    given(history.into_iter().chain(freed)).when(credit(1, "5.00")).then_refused(refused);
}

#[test]
fn a_refund_goes_to_the_oldest_payments_first() {
    given([topped_up(1, "50.00", "50.00", "0.00"), topped_up(2, "20.00", "70.00", "0.00")])
        .when(request_refund(1, "60.00"))
        .then([refund_requested(1, "60.00", vec![part(1, 1, "50.00"), part(1, 2, "10.00")], "10.00", "0.00")]);
}

#[test]
fn spent_money_is_the_oldest_and_does_not_go_back() {
    given([topped_up(1, "50.00", "50.00", "0.00"), topped_up(2, "20.00", "70.00", "0.00"), captured(1, "45.00", "45.00", "25.00", "0.00")])
        .when(request_refund(1, "25.00"))
        .then([refund_requested(1, "25.00", vec![part(1, 1, "5.00"), part(1, 2, "20.00")], "0.00", "0.00")]);
}

#[test]
fn a_credit_comes_back_to_the_payment_that_was_spent_last() {
    given([
        topped_up(1, "50.00", "50.00", "0.00"),
        topped_up(2, "20.00", "70.00", "0.00"),
        captured(1, "55.00", "55.00", "15.00", "0.00"),
        credited(1, "10.00", "25.00", "0.00"),
    ])
    .when(request_refund(1, "25.00"))
    .then([refund_requested(1, "25.00", vec![part(1, 1, "5.00"), part(1, 2, "20.00")], "0.00", "0.00")]);
}

#[test]
fn held_money_does_not_go_back() {
    given([topped_up(1, "50.00", "50.00", "0.00"), set_aside(1, "30.00", "50.00", "30.00")])
        .when(request_refund(1, "20.01"))
        .then_refused(WalletError::InsufficientFunds { amount: yuan("20.01"), available: yuan("20.00") });
}

#[test]
fn a_refund_is_requested_once() {
    let history = [topped_up(1, "50.00", "50.00", "0.00"), refund_requested(1, "20.00", vec![part(1, 1, "20.00")], "30.00", "0.00")];
    given(history.clone()).when(request_refund(1, "20.00")).then_nothing();
    given(history.clone())
        .when(request_refund(1, "10.00"))
        .then_refused(WalletError::RefundIdReused { refund_id: refund(1), amount: yuan("20.00") });
    given(history).when(request_refund(2, "20.00")).then([refund_requested(2, "20.00", vec![part(2, 1, "20.00")], "10.00", "0.00")]);
}

#[test]
fn a_part_arrives_once() {
    let sent = part(1, 1, "20.00");
    let history = [topped_up(1, "50.00", "50.00", "0.00"), refund_requested(1, "20.00", vec![sent], "30.00", "0.00")];
    let arrived = part_succeeded(sent, "30.00");
    given(history.clone()).when(report_succeeded(sent)).then([arrived.clone()]);
    given(history.clone().into_iter().chain([arrived.clone()])).when(report_succeeded(sent)).then_nothing();
    given(history.into_iter().chain([arrived])).when(report_failed(sent)).then_nothing();
}

#[test]
fn a_part_that_cannot_go_back_is_in_the_balance_again_and_can_be_asked_for_again() {
    let sent = part(1, 1, "20.00");
    let history = [topped_up(1, "50.00", "50.00", "0.00"), refund_requested(1, "20.00", vec![sent], "30.00", "0.00")];
    let failed = part_failed(sent, "50.00");
    given(history.clone()).when(report_failed(sent)).then([failed.clone()]);
    given(history.clone().into_iter().chain([failed.clone()])).when(report_failed(sent)).then_nothing();
    given(history.into_iter().chain([failed])).when(request_refund(2, "50.00")).then([refund_requested(
        2,
        "50.00",
        vec![part(2, 1, "50.00")],
        "0.00",
        "0.00",
    )]);
}

#[test]
fn a_report_of_a_strange_part_changes_nothing() {
    given([topped_up(1, "50.00", "50.00", "0.00")]).when(report_failed(part(9, 9, "1.00"))).then_nothing();
    given([topped_up(1, "50.00", "50.00", "0.00")]).when(report_succeeded(part(9, 9, "1.00"))).then_nothing();
}
