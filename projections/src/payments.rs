//! Payments: money coming in, and how much of it went back. Each refund stands in `refunds`.

use domain::event::Event;
use domain::ids::{OperatorId, PaymentId, RefundId, SessionId, UserId};
use domain::log::{Position, Revision};
use domain::payment::{PaymentEvent, Purpose};
use domain::time::Timestamp;
use domain::units::Money;

use crate::fold::{Keyed, Moment, ProjectionError};
use crate::row;
use crate::value::words;

words! {
    /// Where a payment is on its way.
    pub enum PaymentStatus {
        /// Somebody is to pay.
        Initiated => "initiated",
        /// The channel knows it; the user can pay.
        Prepared => "prepared",
        /// The money is there.
        Succeeded => "succeeded",
        /// The channel says it will not come.
        Failed => "failed",
        /// Closed unpaid.
        Closed => "closed",
        /// The money came after that, and belongs to nothing: it goes back, unless staff decide otherwise.
        ReceivedLate => "received_late",
    }
}

row! {
    /// A payment (支付单).
    pub struct PaymentRow in "payments" {
        key {
            /// Which.
            payment_id: PaymentId,
        }
        /// Whose books: the tenant.
        operator_id: OperatorId,
        /// Who pays.
        user_id: UserId,
        /// Through which channel.
        channel: String,
        /// What for: `prepayment`, `top_up` or `postpaid`.
        purpose: String,
        /// For which session, if for one.
        session_id: Option<SessionId>,
        /// Where it is on its way.
        status: PaymentStatus,
        /// How much: what was agreed, or what came and was accepted.
        amount_yuan: Money,
        /// How much has gone back.
        refunded_yuan: Money,
        /// How much is on its way back.
        refunding_yuan: Money,
        /// The refunds that the channel refused for good. One that goes back after all is not on its way any more.
        refused_refunds: serde_json::Value,
        /// The merchant's number at the channel.
        payment_no: String,
        /// What the front end hands to the channel.
        pay_token: Option<String>,
        /// The channel's own number.
        channel_transaction: Option<String>,
        /// The channel's reason, when it failed or something is disputed.
        reason: Option<String>,
        /// How many contradictions of the channel nobody has looked into.
        dispute_count: u32,
        /// Unpaid at this time, it closes.
        expires_at: Timestamp,
        /// When somebody was asked to pay.
        initiated_at: Timestamp,
        /// When the money was there.
        paid_at: Option<Timestamp>,
        /// Whether a generator of sample data made it up.
        generated: bool,
        /// The revision of its stream that this row holds.
        revision: Revision,
        /// The position that this row holds.
        position: Position,
    }
    index(operator_id, initiated_at);
    index(operator_id, user_id, initiated_at);
    index(operator_id, session_id);
    index(operator_id, payment_no);
    index(operator_id, status, initiated_at);
}

/// The projection of [`PaymentRow`].
#[derive(Debug)]
pub struct Payments;

impl Keyed for Payments {
    type Row = PaymentRow;
    const VERSION: u32 = 3;
    const HANDLES: &'static [&'static str] = &[
        "payment.initiated",
        "payment.prepared",
        "payment.succeeded",
        "payment.failed",
        "payment.closed",
        "payment.received_late",
        "payment.disputed",
        "payment.receipt_accepted",
        "payment.receipt_applied",
        "payment.disputes_closed",
        "payment.refund_requested",
        "payment.refund_succeeded",
        "payment.refund_failed",
        "payment.refund_disputed",
    ];

    fn keys(moment: &Moment<'_>) -> Result<Vec<(PaymentId,)>, ProjectionError> {
        let Event::Payment(event) = moment.event() else { return Ok(Vec::new()) };
        Ok(vec![(payment_id(event),)])
    }

    fn evolve(key: &(PaymentId,), row: Option<PaymentRow>, moment: &Moment<'_>) -> Result<Option<PaymentRow>, ProjectionError> {
        let Event::Payment(event) = moment.event() else { return Ok(row) };
        let mut row = match (event, row) {
            (PaymentEvent::Initiated { payment_id, user_id, channel, purpose, amount, payment_no, expires_at }, None) => {
                let (purpose, session_id) = purpose_word(*purpose);
                PaymentRow {
                    payment_id: *payment_id,
                    operator_id: moment.operator_id(),
                    user_id: *user_id,
                    channel: channel.as_str().to_owned(),
                    purpose: purpose.to_owned(),
                    session_id,
                    status: PaymentStatus::Initiated,
                    amount_yuan: *amount,
                    refunded_yuan: Money::ZERO,
                    refunding_yuan: Money::ZERO,
                    refused_refunds: serde_json::json!([]),
                    payment_no: payment_no.clone(),
                    pay_token: None,
                    channel_transaction: None,
                    reason: None,
                    dispute_count: 0,
                    expires_at: *expires_at,
                    initiated_at: moment.occurred_at(),
                    paid_at: None,
                    generated: moment.generated(),
                    revision: moment.recorded.revision,
                    position: moment.position(),
                }
            }
            (_, Some(row)) => row,
            (_, None) => return Err(ProjectionError::no_row(key)),
        };
        apply(&mut row, event, moment);
        row.revision = moment.recorded.revision;
        row.position = moment.position();
        Ok(Some(row))
    }
}

/// Which payment an event is of.
pub(crate) const fn payment_id(event: &PaymentEvent) -> PaymentId {
    match event {
        PaymentEvent::Initiated { payment_id, .. }
        | PaymentEvent::Prepared { payment_id, .. }
        | PaymentEvent::Succeeded { payment_id, .. }
        | PaymentEvent::Failed { payment_id, .. }
        | PaymentEvent::Closed { payment_id, .. }
        | PaymentEvent::ReceivedLate { payment_id, .. }
        | PaymentEvent::Disputed { payment_id, .. }
        | PaymentEvent::ReceiptAccepted { payment_id, .. }
        | PaymentEvent::ReceiptApplied { payment_id, .. }
        | PaymentEvent::DisputesClosed { payment_id, .. }
        | PaymentEvent::RefundRequested { payment_id, .. }
        | PaymentEvent::RefundSucceeded { payment_id, .. }
        | PaymentEvent::RefundFailed { payment_id, .. }
        | PaymentEvent::RefundDisputed { payment_id, .. } => *payment_id,
    }
}

/// The word for what a payment is for, and the session, if it is for one.
pub(crate) const fn purpose_word(purpose: Purpose) -> (&'static str, Option<SessionId>) {
    match purpose {
        Purpose::Prepayment { session_id } => ("prepayment", Some(session_id)),
        Purpose::TopUp => ("top_up", None),
        Purpose::Postpaid { session_id } => ("postpaid", Some(session_id)),
    }
}

fn apply(row: &mut PaymentRow, event: &PaymentEvent, moment: &Moment<'_>) {
    match event {
        PaymentEvent::Initiated { .. } => {}
        PaymentEvent::Prepared { pay_token, .. } => {
            row.pay_token = Some(pay_token.clone());
            row.status = PaymentStatus::Prepared;
        }
        PaymentEvent::Succeeded { channel_transaction, .. } => {
            row.channel_transaction = Some(channel_transaction.clone());
            row.paid_at = Some(moment.occurred_at());
            row.status = PaymentStatus::Succeeded;
        }
        PaymentEvent::Failed { reason, .. } => {
            row.reason = Some(reason.clone());
            row.status = PaymentStatus::Failed;
        }
        PaymentEvent::Closed { .. } => row.status = PaymentStatus::Closed,
        PaymentEvent::ReceivedLate { channel_transaction, .. } => {
            row.channel_transaction = Some(channel_transaction.clone());
            row.paid_at = Some(moment.occurred_at());
            row.status = PaymentStatus::ReceivedLate;
        }
        PaymentEvent::Disputed { reason, .. } | PaymentEvent::RefundDisputed { reason, .. } => {
            row.reason = Some(reason.clone());
            row.dispute_count += 1;
        }
        PaymentEvent::ReceiptAccepted { channel_transaction, amount, note, .. } => {
            row.channel_transaction = Some(channel_transaction.clone());
            row.amount_yuan = *amount;
            row.reason = Some(note.clone());
            row.dispute_count = row.dispute_count.saturating_sub(1);
            row.paid_at = Some(moment.occurred_at());
            row.status = PaymentStatus::ReceivedLate;
        }
        PaymentEvent::ReceiptApplied { note, .. } => {
            let (purpose, session_id) = purpose_word(Purpose::TopUp);
            row.purpose = purpose.to_owned();
            row.session_id = session_id;
            row.reason = Some(note.clone());
            row.status = PaymentStatus::Succeeded;
        }
        PaymentEvent::DisputesClosed { note, .. } => {
            row.reason = Some(note.clone());
            row.dispute_count = 0;
        }
        PaymentEvent::RefundRequested { amount, .. } => row.refunding_yuan += *amount,
        PaymentEvent::RefundSucceeded { refund_id, amount, .. } => {
            if !refused(row, *refund_id) {
                row.refunding_yuan -= *amount;
            }
            row.refunded_yuan += *amount;
        }
        PaymentEvent::RefundFailed { refund_id, amount, .. } => {
            row.refunding_yuan -= *amount;
            if let Some(refused) = row.refused_refunds.as_array_mut() {
                refused.push(refund_id.to_string().into());
            }
        }
    }
}

/// Whether the channel had refused a refund before: its amount was taken off what is on its way then.
fn refused(row: &PaymentRow, refund_id: RefundId) -> bool {
    row.refused_refunds.as_array().is_some_and(|refused| refused.contains(&refund_id.to_string().into()))
}
