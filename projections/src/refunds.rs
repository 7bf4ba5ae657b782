//! Refunds: money going back to the payment that it came from.

use domain::event::Event;
use domain::ids::{OperatorId, PaymentId, RefundId, UserId};
use domain::log::Position;
use domain::payment::PaymentEvent;
use domain::time::Timestamp;
use domain::units::Money;

use crate::fold::{Keyed, Moment, ProjectionError};
use crate::row;
use crate::value::words;

words! {
    /// Where a refund is on its way.
    pub enum RefundStatus {
        /// The channel has been, or will be, told.
        Requested => "requested",
        /// The money is back.
        Succeeded => "succeeded",
        /// The channel refused for good.
        Failed => "failed",
        /// The channel speaks of it, and nobody asked for it.
        Disputed => "disputed",
    }
}

row! {
    /// A refund (退款单).
    pub struct RefundRow in "refunds" {
        key {
            /// Of which payment.
            payment_id: PaymentId,
            /// Which.
            refund_id: RefundId,
        }
        /// Whose books: the tenant.
        operator_id: OperatorId,
        /// Who gets it.
        user_id: Option<UserId>,
        /// Through which channel.
        channel: Option<String>,
        /// Where it is on its way.
        status: RefundStatus,
        /// How much.
        amount_yuan: Money,
        /// The merchant's number at the channel.
        refund_no: Option<String>,
        /// The channel's own number.
        channel_refund: Option<String>,
        /// Why it was asked for.
        reason: Option<String>,
        /// Why it failed, or what the channel says that does not fit.
        problem: Option<String>,
        /// Whether the payment had come late.
        of_late_receipt: bool,
        /// When it was asked for.
        requested_at: Timestamp,
        /// When it was done, or refused for good.
        finished_at: Option<Timestamp>,
        /// Whether a generator of sample data made it up.
        generated: bool,
        /// The position that this row holds.
        position: Position,
    }
    index(operator_id, requested_at);
    index(operator_id, status, requested_at);
    index(operator_id, user_id, requested_at);
}

/// The projection of [`RefundRow`].
#[derive(Debug)]
pub struct Refunds;

impl Keyed for Refunds {
    type Row = RefundRow;
    const VERSION: u32 = 1;
    const HANDLES: &'static [&'static str] =
        &["payment.refund_requested", "payment.refund_succeeded", "payment.refund_failed", "payment.refund_disputed"];

    fn keys(moment: &Moment<'_>) -> Result<Vec<(PaymentId, RefundId)>, ProjectionError> {
        Ok(match moment.event() {
            Event::Payment(
                PaymentEvent::RefundRequested { payment_id, refund_id, .. }
                | PaymentEvent::RefundSucceeded { payment_id, refund_id, .. }
                | PaymentEvent::RefundFailed { payment_id, refund_id, .. }
                | PaymentEvent::RefundDisputed { payment_id, refund_id, .. },
            ) => vec![(*payment_id, *refund_id)],
            _ => vec![],
        })
    }

    fn evolve(key: &(PaymentId, RefundId), row: Option<RefundRow>, moment: &Moment<'_>) -> Result<Option<RefundRow>, ProjectionError> {
        let Event::Payment(event) = moment.event() else { return Ok(row) };
        let mut row = match (event, row) {
            (_, Some(row)) => row,
            (PaymentEvent::RefundRequested { .. } | PaymentEvent::RefundDisputed { .. }, None) => RefundRow {
                payment_id: key.0,
                refund_id: key.1,
                operator_id: moment.operator_id(),
                user_id: None,
                channel: None,
                status: RefundStatus::Disputed,
                amount_yuan: Money::ZERO,
                refund_no: None,
                channel_refund: None,
                reason: None,
                problem: None,
                of_late_receipt: false,
                requested_at: moment.occurred_at(),
                finished_at: None,
                generated: moment.generated(),
                position: moment.position(),
            },
            (_, None) => return Err(ProjectionError::no_row(key)),
        };
        match event {
            PaymentEvent::RefundRequested { user_id, channel, amount, refund_no, reason, .. } => {
                row.user_id = Some(*user_id);
                row.channel = Some(channel.as_str().to_owned());
                row.amount_yuan = *amount;
                row.refund_no = Some(refund_no.clone());
                row.reason = Some(reason.clone());
                row.requested_at = moment.occurred_at();
                row.status = RefundStatus::Requested;
            }
            PaymentEvent::RefundSucceeded { channel_refund, of_late_receipt, .. } => {
                row.channel_refund = Some(channel_refund.clone());
                row.of_late_receipt = *of_late_receipt;
                row.finished_at = Some(moment.occurred_at());
                row.status = RefundStatus::Succeeded;
            }
            PaymentEvent::RefundFailed { reason, .. } => {
                row.problem = Some(reason.clone());
                row.finished_at = Some(moment.occurred_at());
                row.status = RefundStatus::Failed;
            }
            PaymentEvent::RefundDisputed { reported, reason, .. } => {
                row.problem = Some(match reported {
                    Some(amount) => format!("{reason}; the channel reports {amount}"),
                    None => reason.clone(),
                });
            }
            _ => {}
        }
        row.position = moment.position();
        Ok(Some(row))
    }
}
