use super::*;
use crate::ids::{PaymentId, RefundId, SessionId, UserId};
use crate::testing::{at, given as given_events, id};
use crate::units::Money;

pub(super) fn given(events: impl IntoIterator<Item = PaymentEvent>) -> crate::testing::Given<Payment> {
    given_events(events)
}

pub(super) fn yuan(text: &str) -> Money {
    text.parse().unwrap()
}

pub(super) fn payment_id() -> PaymentId {
    id(1)
}

pub(super) fn user_id() -> UserId {
    id(2)
}

pub(super) fn prepayment() -> Purpose {
    Purpose::Prepayment { session_id: id::<SessionId>(3) }
}

pub(super) fn refund(number: u128) -> RefundId {
    id(0x100 + number)
}

fn initiate(amount: &str) -> PaymentCommand {
    PaymentCommand::Initiate {
        payment_id: payment_id(),
        user_id: user_id(),
        channel: Channel::Sandbox,
        purpose: prepayment(),
        amount: yuan(amount),
        payment_no: "P1".to_owned(),
        expires_at: at("2026-03-01T08:45:00+08:00"),
    }
}

fn initiated_for(purpose: Purpose) -> PaymentEvent {
    PaymentEvent::Initiated {
        payment_id: payment_id(),
        user_id: user_id(),
        channel: Channel::Sandbox,
        purpose,
        amount: yuan("50.00"),
        payment_no: "P1".to_owned(),
        expires_at: at("2026-03-01T08:45:00+08:00"),
    }
}

pub(super) fn initiated() -> PaymentEvent {
    initiated_for(prepayment())
}

fn prepare(token: &str) -> PaymentCommand {
    PaymentCommand::Prepare { payment_id: payment_id(), pay_token: token.to_owned() }
}

fn prepared(token: &str) -> PaymentEvent {
    PaymentEvent::Prepared { payment_id: payment_id(), pay_token: token.to_owned() }
}

pub(super) fn report_succeeded(transaction: &str, amount: &str) -> PaymentCommand {
    PaymentCommand::ReportSucceeded { payment_id: payment_id(), amount: yuan(amount), channel_transaction: transaction.to_owned() }
}

fn succeeded_for(purpose: Purpose) -> PaymentEvent {
    PaymentEvent::Succeeded {
        payment_id: payment_id(),
        user_id: user_id(),
        channel: Channel::Sandbox,
        purpose,
        amount: yuan("50.00"),
        channel_transaction: "T1".to_owned(),
    }
}

pub(super) fn succeeded() -> PaymentEvent {
    succeeded_for(prepayment())
}

pub(super) fn received_late() -> PaymentEvent {
    PaymentEvent::ReceivedLate {
        payment_id: payment_id(),
        user_id: user_id(),
        channel: Channel::Sandbox,
        amount: yuan("50.00"),
        channel_transaction: "T1".to_owned(),
    }
}

fn disputed(transaction: &str, amount: &str, reason: &str) -> PaymentEvent {
    PaymentEvent::Disputed {
        payment_id: payment_id(),
        reported: yuan(amount),
        channel_transaction: transaction.to_owned(),
        reason: reason.to_owned(),
    }
}

fn report_failed() -> PaymentCommand {
    PaymentCommand::ReportFailed { payment_id: payment_id(), reason: "PAYERROR".to_owned() }
}

fn failed() -> PaymentEvent {
    PaymentEvent::Failed { payment_id: payment_id(), purpose: prepayment(), reason: "PAYERROR".to_owned() }
}

fn close() -> PaymentCommand {
    PaymentCommand::Close { payment_id: payment_id() }
}

pub(super) fn closed() -> PaymentEvent {
    PaymentEvent::Closed { payment_id: payment_id(), purpose: prepayment() }
}

fn request_refund(number: u128, amount: &str) -> PaymentCommand {
    PaymentCommand::RequestRefund {
        payment_id: payment_id(),
        refund_id: refund(number),
        amount: yuan(amount),
        refund_no: format!("R{number}"),
        reason: "not used".to_owned(),
    }
}

fn give_again(number: u128, amount: &str) -> PaymentCommand {
    PaymentCommand::GiveAgain {
        payment_id: payment_id(),
        refund_id: refund(number),
        amount: yuan(amount),
        refund_no: format!("R{number}"),
        reason: "not used".to_owned(),
    }
}

fn given_again(number: u128, amount: &str) -> PaymentEvent {
    let mut event = refund_requested(number, amount);
    if let PaymentEvent::RefundRequested { again, .. } = &mut event {
        *again = true;
    }
    event
}

pub(super) fn refund_requested(number: u128, amount: &str) -> PaymentEvent {
    PaymentEvent::RefundRequested {
        payment_id: payment_id(),
        refund_id: refund(number),
        user_id: user_id(),
        channel: Channel::Sandbox,
        amount: yuan(amount),
        refund_no: format!("R{number}"),
        reason: "not used".to_owned(),
        again: false,
    }
}

pub(super) fn report_refunded(number: u128, amount: &str, channel_refund: &str) -> PaymentCommand {
    PaymentCommand::ReportRefundSucceeded {
        payment_id: payment_id(),
        refund_id: refund(number),
        amount: yuan(amount),
        channel_refund: channel_refund.to_owned(),
    }
}

pub(super) fn refunded_for(purpose: Purpose, number: u128, amount: &str, of_late_receipt: bool) -> PaymentEvent {
    PaymentEvent::RefundSucceeded {
        payment_id: payment_id(),
        refund_id: refund(number),
        user_id: user_id(),
        channel: Channel::Sandbox,
        purpose,
        amount: yuan(amount),
        of_late_receipt,
        channel_refund: format!("C{number}"),
    }
}

fn refunded(number: u128, amount: &str) -> PaymentEvent {
    refunded_for(prepayment(), number, amount, false)
}

fn report_refund_failed(number: u128) -> PaymentCommand {
    PaymentCommand::ReportRefundFailed { payment_id: payment_id(), refund_id: refund(number), reason: "CLOSED".to_owned() }
}

fn refund_failed_for(purpose: Purpose, number: u128, amount: &str) -> PaymentEvent {
    PaymentEvent::RefundFailed {
        payment_id: payment_id(),
        refund_id: refund(number),
        user_id: user_id(),
        purpose,
        amount: yuan(amount),
        reason: "CLOSED".to_owned(),
    }
}

pub(super) fn refund_failed(number: u128, amount: &str) -> PaymentEvent {
    refund_failed_for(prepayment(), number, amount)
}

fn refund_disputed(number: u128, reported: Option<(&str, &str)>, reason: &str) -> PaymentEvent {
    PaymentEvent::RefundDisputed {
        payment_id: payment_id(),
        refund_id: refund(number),
        reported: reported.map(|(amount, _)| yuan(amount)),
        channel_refund: reported.map(|(_, channel_refund)| channel_refund.to_owned()),
        reason: reason.to_owned(),
    }
}

#[test]
fn a_payment_begins_once() {
    given([]).when(initiate("50.00")).then([initiated()]);
    given([initiated(), succeeded()]).when(initiate("50.00")).then_nothing();
    given([initiated()]).when(initiate("60.00")).then_refused(PaymentError::AlreadyInitiated { payment_id: payment_id() });
}

#[test]
fn a_payment_of_nothing_or_less_is_refused() {
    for amount in ["0.00", "-50.00"] {
        given([]).when(initiate(amount)).then_refused(PaymentError::AmountNotPositive { amount: yuan(amount) });
    }
}

#[test]
fn a_new_token_replaces_the_old_one_and_the_same_changes_nothing() {
    given([initiated()]).when(prepare("a")).then([prepared("a")]);
    given([initiated(), prepared("a")]).when(prepare("a")).then_nothing();
    given([initiated(), prepared("a")]).when(prepare("b")).then([prepared("b")]);
}

#[test]
fn a_token_that_comes_after_the_end_changes_nothing() {
    for end in [succeeded(), received_late(), failed(), closed()] {
        given([initiated(), end]).when(prepare("a")).then_nothing();
    }
}

#[test]
fn what_does_not_exist_cannot_be_prepared_closed_or_refunded() {
    let refused = PaymentError::NotFound { payment_id: payment_id() };
    given([]).when(prepare("a")).then_refused(refused.clone());
    given([]).when(close()).then_refused(refused.clone());
    given([]).when(request_refund(1, "1.00")).then_refused(refused);
}

#[test]
fn a_payment_succeeds_once_however_often_the_channel_says_so() {
    given([initiated()]).when(report_succeeded("T1", "50.00")).then([succeeded()]);
    given([initiated(), prepared("a")]).when(report_succeeded("T1", "50.00")).then([succeeded()]);
    given([initiated(), succeeded()]).when(report_succeeded("T1", "50.00")).then_nothing();
}

#[test]
fn another_amount_is_disputed_once() {
    let reason = "the amount is not the agreed one";
    for before in [vec![initiated()], vec![initiated(), succeeded()], vec![initiated(), closed()], vec![initiated(), received_late()]] {
        let dispute = disputed("T1", "49.99", reason);
        given(before.clone()).when(report_succeeded("T1", "49.99")).then([dispute.clone()]);
        given(before.into_iter().chain([dispute])).when(report_succeeded("T1", "49.99")).then_nothing();
    }
}

#[test]
fn a_second_transaction_number_is_disputed_once_and_each_by_itself() {
    let reason = "it has been paid already, under another transaction number";
    let second = disputed("T2", "50.00", reason);
    given([initiated(), succeeded()]).when(report_succeeded("T2", "50.00")).then([second.clone()]);
    given([initiated(), succeeded(), second.clone()]).when(report_succeeded("T2", "50.00")).then_nothing();
    given([initiated(), succeeded(), second]).when(report_succeeded("T3", "50.00")).then([disputed("T3", "50.00", reason)]);
}

#[test]
fn a_disputed_payment_can_still_succeed() {
    given([initiated(), disputed("T1", "49.99", "the amount is not the agreed one")])
        .when(report_succeeded("T1", "50.00"))
        .then([succeeded()]);
}

#[test]
fn money_for_a_payment_that_nobody_knows_is_disputed() {
    let dispute = disputed("T1", "50.00", "there is no such payment");
    given([]).when(report_succeeded("T1", "50.00")).then([dispute.clone()]);
    given([dispute.clone()]).when(report_succeeded("T1", "50.00")).then_nothing();
    given([dispute]).when(initiate("50.00")).then([initiated()]);
}

#[test]
fn money_that_comes_after_the_end_is_received_late_once() {
    given([initiated(), closed()]).when(report_succeeded("T1", "50.00")).then([received_late()]);
    given([initiated(), failed()]).when(report_succeeded("T1", "50.00")).then([received_late()]);
    given([initiated(), closed(), received_late()]).when(report_succeeded("T1", "50.00")).then_nothing();
}

#[test]
fn a_payment_fails_once_and_not_after_its_end() {
    given([initiated()]).when(report_failed()).then([failed()]);
    for end in [succeeded(), received_late(), failed(), closed()] {
        given([initiated(), end]).when(report_failed()).then_nothing();
    }
    given([]).when(report_failed()).then_nothing();
}

#[test]
fn an_unpaid_payment_closes_once_and_a_paid_one_does_not() {
    given([initiated()]).when(close()).then([closed()]);
    given([initiated(), closed()]).when(close()).then_nothing();
    given([initiated(), failed()]).when(close()).then_nothing();
    for end in [succeeded(), received_late()] {
        given([initiated(), end]).when(close()).then_refused(PaymentError::AlreadyPaid { payment_id: payment_id() });
    }
}

#[test]
fn an_unpaid_payment_cannot_be_refunded() {
    let refused = PaymentError::NotPaid { payment_id: payment_id() };
    given([initiated()]).when(request_refund(1, "1.00")).then_refused(refused.clone());
    given([initiated(), failed()]).when(request_refund(1, "1.00")).then_refused(refused.clone());
    given([initiated(), closed()]).when(request_refund(1, "1.00")).then_refused(refused);
}

#[test]
fn a_refund_of_nothing_or_less_is_refused() {
    for amount in ["0.00", "-1.00"] {
        given([initiated(), succeeded()])
            .when(request_refund(1, amount))
            .then_refused(PaymentError::AmountNotPositive { amount: yuan(amount) });
    }
}

#[test]
fn refunds_never_sum_above_the_payment() {
    given([initiated(), succeeded()]).when(request_refund(1, "50.00")).then([refund_requested(1, "50.00")]);
    given([initiated(), succeeded(), refund_requested(1, "20.00"), refunded(1, "20.00"), refund_requested(2, "20.00")])
        .when(request_refund(3, "10.01"))
        .then_refused(PaymentError::ExceedsRefundable { amount: yuan("10.01"), refundable: yuan("10.00") });
}

#[test]
fn two_equal_refunds_with_two_ids_are_two_refunds() {
    given([initiated(), succeeded(), refund_requested(1, "20.00")]).when(request_refund(2, "20.00")).then([refund_requested(2, "20.00")]);
}

#[test]
fn the_same_refund_id_is_the_same_refund() {
    let history = [initiated(), succeeded(), refund_requested(1, "20.00")];
    given(history.clone()).when(request_refund(1, "20.00")).then_nothing();
    given(history.clone())
        .when(request_refund(1, "30.00"))
        .then_refused(PaymentError::RefundIdReused { refund_id: refund(1), amount: yuan("20.00") });
    given(history.into_iter().chain([refund_failed(1, "20.00")])).when(request_refund(1, "20.00")).then_nothing();
}

#[test]
fn a_refund_number_belongs_to_one_refund() {
    let PaymentCommand::RequestRefund { payment_id, amount, reason, .. } = request_refund(1, "20.00") else { unreachable!() };
    given([initiated(), succeeded(), refund_requested(1, "20.00")])
        .when(PaymentCommand::RequestRefund { payment_id, refund_id: refund(2), amount, refund_no: "R1".to_owned(), reason })
        .then_refused(PaymentError::RefundNumberReused { refund_no: "R1".to_owned(), refund_id: refund(1) });
}

#[test]
fn a_failed_refund_gives_its_amount_free() {
    given([initiated(), succeeded(), refund_requested(1, "50.00"), refund_failed(1, "50.00")])
        .when(request_refund(2, "50.00"))
        .then([refund_requested(2, "50.00")]);
}

#[test]
fn a_refund_succeeds_once() {
    let history = [initiated(), succeeded(), refund_requested(1, "20.00")];
    given(history.clone()).when(report_refunded(1, "20.00", "C1")).then([refunded(1, "20.00")]);
    given(history.into_iter().chain([refunded(1, "20.00")])).when(report_refunded(1, "20.00", "C1")).then_nothing();
}

#[test]
fn a_refund_of_a_late_receipt_says_so() {
    given([initiated(), closed(), received_late(), refund_requested(1, "50.00")])
        .when(report_refunded(1, "50.00", "C1"))
        .then([refunded_for(prepayment(), 1, "50.00", true)]);
}

#[test]
fn a_refund_of_another_amount_or_under_a_second_number_is_disputed_once() {
    let history = [initiated(), succeeded(), refund_requested(1, "20.00")];
    let amount = refund_disputed(1, Some(("20.01", "C1")), "the amount is not the one asked for");
    given(history.clone()).when(report_refunded(1, "20.01", "C1")).then([amount.clone()]);
    given(history.clone().into_iter().chain([amount])).when(report_refunded(1, "20.01", "C1")).then_nothing();
    let number = refund_disputed(1, Some(("20.00", "C2")), "it has gone back already, under another number");
    given(history.into_iter().chain([refunded(1, "20.00")])).when(report_refunded(1, "20.00", "C2")).then([number]);
}

#[test]
fn a_refund_that_nobody_asked_for_is_disputed() {
    let reason = "nobody asked for this refund";
    for before in [vec![], vec![initiated()], vec![initiated(), succeeded()]] {
        given(before).when(report_refunded(9, "20.00", "C9")).then([refund_disputed(9, Some(("20.00", "C9")), reason)]);
    }
    given([initiated(), succeeded()]).when(report_refund_failed(9)).then([refund_disputed(
        9,
        None,
        &format!("{reason}; the channel's reason is CLOSED"),
    )]);
}

#[test]
fn a_refund_fails_once() {
    let history = [initiated(), succeeded(), refund_requested(1, "20.00")];
    given(history.clone()).when(report_refund_failed(1)).then([refund_failed(1, "20.00")]);
    given(history.into_iter().chain([refund_failed(1, "20.00")])).when(report_refund_failed(1)).then_nothing();
}

#[test]
fn a_refund_that_went_back_cannot_have_failed() {
    let dispute = refund_disputed(1, None, "it had gone back before; the channel's reason is CLOSED");
    let history = [initiated(), succeeded(), refund_requested(1, "20.00"), refunded(1, "20.00")];
    given(history.clone()).when(report_refund_failed(1)).then([dispute.clone()]);
    given(history.into_iter().chain([dispute])).when(report_refund_failed(1)).then_nothing();
}

#[test]
fn a_failed_refund_that_went_back_after_all_counts_while_its_amount_is_there() {
    let history = [initiated(), succeeded(), refund_requested(1, "40.00"), refund_failed(1, "40.00")];
    given(history.clone()).when(report_refunded(1, "40.00", "C1")).then([refunded(1, "40.00")]);
    // Its amount has been asked for again: together they would be above the payment.
    given(history.into_iter().chain([refund_requested(2, "40.00")])).when(report_refunded(1, "40.00", "C1")).then([refund_disputed(
        1,
        Some(("40.00", "C1")),
        "it had failed, and its amount has been given free for other use",
    )]);
}

#[test]
fn only_what_a_channel_has_refused_is_given_again_and_once() {
    let exceeds = |amount: &str, left: &str| PaymentError::ExceedsRefundable { amount: yuan(amount), refundable: yuan(left) };
    let asked = vec![initiated(), succeeded(), refund_requested(1, "17.90")];
    given(asked.clone()).when(give_again(2, "0.01")).then_refused(exceeds("0.01", "0.00"));
    let refused: Vec<PaymentEvent> = asked.into_iter().chain([refund_failed(1, "17.90")]).collect();
    given(refused.clone()).when(give_again(2, "17.91")).then_refused(exceeds("17.91", "17.90"));
    given(refused.clone()).when(give_again(2, "10.00")).then([given_again(2, "10.00")]);
    let partly: Vec<PaymentEvent> = refused.into_iter().chain([given_again(2, "10.00")]).collect();
    given(partly.clone()).when(give_again(2, "10.00")).then_nothing();
    given(partly.clone()).when(give_again(3, "7.91")).then_refused(exceeds("7.91", "7.90"));
    given(partly.clone()).when(give_again(3, "7.90")).then([given_again(3, "7.90")]);
    // Refused once more, it can be given once more.
    given(partly.into_iter().chain([refund_failed(2, "10.00")])).when(give_again(3, "17.90")).then([given_again(3, "17.90")]);
}

#[test]
fn a_failed_refund_that_went_back_after_all_is_disputed_when_it_was_given_again() {
    let history = [initiated(), succeeded(), refund_requested(1, "17.90"), refund_failed(1, "17.90"), given_again(2, "17.90")];
    let gone = "it had failed, and its amount has been given free for other use";
    given(history.clone()).when(report_refunded(1, "17.90", "C1")).then([refund_disputed(1, Some(("17.90", "C1")), gone)]);
    given(history.into_iter().chain([refunded(2, "17.90")])).when(report_refunded(1, "17.90", "C1")).then([refund_disputed(
        1,
        Some(("17.90", "C1")),
        gone,
    )]);
}

#[test]
fn a_refund_from_before_it_was_noted_is_none_that_is_given_again() {
    let written = serde_json::to_value(given_again(1, "17.90")).unwrap();
    let mut old = written.clone();
    let field = if old.get("again").is_some() { Some(&mut old) } else { old.as_object_mut().unwrap().values_mut().next() };
    field.unwrap().as_object_mut().unwrap().remove("again").unwrap();
    assert_ne!(old, written);
    assert_eq!(serde_json::from_value::<PaymentEvent>(old).unwrap(), refund_requested(1, "17.90"));
}

#[test]
fn a_failed_refund_of_a_top_up_is_in_the_wallet_again_and_so_disputed() {
    given([
        initiated_for(Purpose::TopUp),
        succeeded_for(Purpose::TopUp),
        refund_requested(1, "40.00"),
        refund_failed_for(Purpose::TopUp, 1, "40.00"),
    ])
    .when(report_refunded(1, "40.00", "C1"))
    .then([refund_disputed(1, Some(("40.00", "C1")), "it had failed, and its amount has been given free for other use")]);
}

#[test]
fn its_state_says_what_the_front_end_and_the_processes_ask() {
    let fold = |events: &[PaymentEvent]| events.iter().fold(Payment::default(), crate::Decider::evolve);
    let open = fold(&[initiated(), prepared("a")]);
    assert_eq!((open.status(), open.pay_token(), open.refundable()), (PaymentStatus::Open, Some("a"), Money::ZERO));
    let paid = fold(&[initiated(), prepared("a"), succeeded(), refund_requested(1, "20.00")]);
    assert_eq!((paid.status(), paid.pay_token(), paid.refundable()), (PaymentStatus::Succeeded, None, yuan("30.00")));
    assert_eq!(fold(&[initiated(), closed(), received_late()]).status(), PaymentStatus::ReceivedLate);
}
