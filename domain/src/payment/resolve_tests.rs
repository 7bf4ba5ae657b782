//! What staff decide about receipts that belong to nothing, and about contradictions.

use super::resolve::Resolution;
use super::tests::*;
use super::*;
use crate::decider::Decider as _;
use crate::text::TextError;
use crate::units::Money;

fn fold(events: &[PaymentEvent]) -> Payment {
    events.iter().fold(Payment::default(), Payment::evolve)
}

const NOTE: &str = "the account is closed";

fn resolve(channel_transaction: &str, resolution: Resolution) -> PaymentCommand {
    let (channel_transaction, note) = (channel_transaction.to_owned(), NOTE.to_owned());
    PaymentCommand::ResolveReceipt { payment_id: payment_id(), channel_transaction, resolution, note }
}

fn back() -> Resolution {
    Resolution::Return { refund_id: refund(9), refund_no: "R9".to_owned() }
}

fn requested_back(amount: &str) -> PaymentEvent {
    PaymentEvent::RefundRequested {
        payment_id: payment_id(),
        refund_id: refund(9),
        user_id: user_id(),
        channel: Channel::Sandbox,
        amount: yuan(amount),
        refund_no: "R9".to_owned(),
        reason: NOTE.to_owned(),
        again: false,
    }
}

fn accepted(amount: &str, channel_transaction: &str) -> PaymentEvent {
    PaymentEvent::ReceiptAccepted {
        payment_id: payment_id(),
        user_id: user_id(),
        channel: Channel::Sandbox,
        amount: yuan(amount),
        channel_transaction: channel_transaction.to_owned(),
        note: NOTE.to_owned(),
    }
}

fn applied(amount: &str) -> PaymentEvent {
    PaymentEvent::ReceiptApplied { payment_id: payment_id(), user_id: user_id(), amount: yuan(amount), note: NOTE.to_owned() }
}

/// Closed, then paid, and the channel would not take it back.
fn stuck() -> Vec<PaymentEvent> {
    vec![initiated(), closed(), received_late(), refund_requested(1, "50.00"), refund_failed(1, "50.00")]
}

/// Closed, after another amount than was agreed had come.
fn disputed_and_closed(amount: &str) -> Vec<PaymentEvent> {
    let report = report_succeeded("T1", amount);
    let disputes = fold(&[initiated()]).decide(report).unwrap();
    [vec![initiated()], disputes, vec![closed()]].concat()
}

#[test]
fn a_late_receipt_that_its_channel_kept_becomes_a_prepayment_or_goes_back_once_more() {
    given(stuck()).when(resolve("T1", Resolution::Apply)).then([applied("50.00")]);
    given(stuck()).when(resolve("T1", back())).then([requested_back("50.00")]);
    given(stuck()).when(resolve("T2", back())).then_refused(PaymentError::NotUnidentified { channel_transaction: "T2".to_owned() });
}

#[test]
fn what_is_on_its_way_back_or_has_gone_cannot_be_given_twice() {
    let on_its_way = || given([initiated(), closed(), received_late(), refund_requested(1, "50.00")]);
    on_its_way().when(resolve("T1", Resolution::Apply)).then_refused(PaymentError::RefundUnderWay { payment_id: payment_id() });
    on_its_way().when(resolve("T1", back())).then_refused(PaymentError::RefundUnderWay { payment_id: payment_id() });
    let gone = PaymentError::ExceedsRefundable { amount: Money::ZERO, refundable: yuan("0.00") };
    given([initiated(), closed(), received_late(), refund_requested(1, "50.00"), refunded_for(prepayment(), 1, "50.00", true)])
        .when(resolve("T1", Resolution::Apply))
        .then_refused(gone);
}

#[test]
fn only_what_is_left_of_a_late_receipt_becomes_a_prepayment() {
    given([initiated(), closed(), received_late(), refund_requested(1, "20.00"), refunded_for(prepayment(), 1, "20.00", true)])
        .when(resolve("T1", Resolution::Apply))
        .then([applied("30.00")]);
}

#[test]
fn an_applied_receipt_is_a_top_up_from_then_on() {
    let events = || [stuck(), vec![applied("50.00")]].concat();
    let payment = fold(&events());
    assert_eq!(
        (payment.status(), payment.terms().unwrap().purpose, payment.refundable()),
        (PaymentStatus::Succeeded, Purpose::TopUp, yuan("50.00"))
    );
    given(events())
        .when(resolve("T1", Resolution::Apply))
        .then_refused(PaymentError::NotUnidentified { channel_transaction: "T1".to_owned() });
    // What leaves the wallet for it goes back as a top-up does.
    given([events(), vec![refund_requested(2, "10.00")]].concat()).when(report_refunded(2, "10.00", "C2")).then([refunded_for(
        Purpose::TopUp,
        2,
        "10.00",
        false,
    )]);
}

#[test]
fn a_receipt_of_another_amount_is_accepted_and_goes_one_way_or_the_other() {
    given(disputed_and_closed("49.00")).when(resolve("T1", back())).then([accepted("49.00", "T1"), requested_back("49.00")]);
    given(disputed_and_closed("60.00")).when(resolve("T1", Resolution::Apply)).then([accepted("60.00", "T1"), applied("60.00")]);
    let later = [disputed_and_closed("49.00"), vec![accepted("49.00", "T1"), requested_back("49.00")]].concat();
    assert_eq!(fold(&later).refundable(), yuan("0.00"));
    given(later).when(report_succeeded("T1", "49.00")).then_nothing();
}

#[test]
fn what_never_came_and_what_may_still_come_as_agreed_is_not_resolved() {
    given([]).when(resolve("T1", back())).then_refused(PaymentError::NotFound { payment_id: payment_id() });
    given([initiated(), closed()])
        .when(resolve("T1", back()))
        .then_refused(PaymentError::NotUnidentified { channel_transaction: "T1".to_owned() });
    let open = disputed_and_closed("49.00")[..2].to_vec();
    given(open).when(resolve("T1", back())).then_refused(PaymentError::StillOpen { payment_id: payment_id() });
    given([initiated(), succeeded()])
        .when(resolve("T1", back()))
        .then_refused(PaymentError::NotUnidentified { channel_transaction: "T1".to_owned() });
    given(disputed_and_closed("0.00")).when(resolve("T1", back())).then_refused(PaymentError::AmountNotPositive { amount: yuan("0.00") });
}

#[test]
fn a_second_receipt_is_closed_once_it_has_been_dealt_with_at_the_channel() {
    let disputes = fold(&[initiated(), succeeded()]).decide(report_succeeded("T2", "50.00")).unwrap();
    let twice = || [vec![initiated(), succeeded()], disputes.clone()].concat();
    let close = || PaymentCommand::CloseDisputes { payment_id: payment_id(), note: NOTE.to_owned() };
    let over = PaymentEvent::DisputesClosed { payment_id: payment_id(), note: NOTE.to_owned() };
    given(twice()).when(resolve("T2", back())).then_refused(PaymentError::NotUnidentified { channel_transaction: "T2".to_owned() });
    given(twice()).when(close()).then([over.clone()]);
    given([twice(), vec![over.clone()]].concat()).when(close()).then_nothing();
    // The channel repeats itself: that has been looked into.
    given([twice(), vec![over]].concat()).when(report_succeeded("T2", "50.00")).then_nothing();
    given([]).when(close()).then_refused(PaymentError::NotFound { payment_id: payment_id() });
}

#[test]
fn a_decision_needs_a_note() {
    let unsaid = PaymentCommand::CloseDisputes { payment_id: payment_id(), note: " ".to_owned() };
    given([initiated()]).when(unsaid).then_refused(TextError::Empty { field: "note" }.into());
    let long = PaymentCommand::ResolveReceipt {
        payment_id: payment_id(),
        channel_transaction: "T1".to_owned(),
        resolution: Resolution::Apply,
        note: "x".repeat(81),
    };
    given(stuck()).when(long).then_refused(TextError::TooLong { field: "note", length: 81, most: 80 }.into());
}
