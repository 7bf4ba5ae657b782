//! What staff decide about money that belongs to nothing (2241), and about contradictions that a channel has reported.
//!
//! A late receipt goes back by itself; what is left here is what its channel would not take back, and money of another amount than was agreed, which has not been
//! booked at all. It goes back to the payer, or it becomes the user's prepayment: then the payment is a top-up from there on.
//!
//! Deliberately absent: a second receipt of one payment. Channels give back by our number, which is that of the first one: it is given back at the channel, and the
//! contradiction is closed.

use super::state::{Dispute, Stage};
use super::{Payment, PaymentError, PaymentEvent, Refund, RefundOutcome, Terms};
use crate::ids::{PaymentId, RefundId};
use crate::text;
use crate::units::Money;

/// A note is at most as long as the reason that a channel takes.
const NOTE_CHARS_MAX: usize = 80;

/// What is to become of money that belongs to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// It goes back to the payer, who is told the note.
    Return {
        /// Under which id.
        refund_id: RefundId,
        /// Under which number at the channel.
        refund_no: String,
    },
    /// It becomes the user's prepayment: it goes into the wallet.
    Apply,
}

type Decision = Result<Vec<PaymentEvent>, PaymentError>;

impl Payment {
    pub(super) fn resolve(&self, payment_id: PaymentId, channel_transaction: &str, resolution: Resolution, note: String) -> Decision {
        text::required("note", &note, NOTE_CHARS_MAX)?;
        let not_unidentified = || PaymentError::NotUnidentified { channel_transaction: channel_transaction.to_owned() };
        match &self.stage {
            Stage::Absent => Err(PaymentError::NotFound { payment_id }),
            // It may still be paid as agreed.
            Stage::Open { .. } => Err(PaymentError::StillOpen { payment_id }),
            Stage::Received { receipt, .. } if receipt.late && receipt.channel_transaction == channel_transaction => {
                self.dispose(payment_id, resolution, note)
            }
            Stage::Received { .. } => Err(not_unidentified()),
            Stage::Failed { terms } | Stage::Closed { terms } => {
                let amount = self.disputed_receipt(channel_transaction).ok_or_else(not_unidentified)?;
                if !amount.is_positive() {
                    return Err(PaymentError::AmountNotPositive { amount });
                }
                let &Terms { user_id, channel, .. } = terms;
                let channel_transaction = channel_transaction.to_owned();
                let accepted =
                    PaymentEvent::ReceiptAccepted { payment_id, user_id, channel, amount, channel_transaction, note: note.clone() };
                let disposed = self.clone().after(&accepted).dispose(payment_id, resolution, note)?;
                Ok([accepted].into_iter().chain(disposed).collect())
            }
        }
    }

    /// Everything that is left of an unidentified receipt goes one way.
    fn dispose(&self, payment_id: PaymentId, resolution: Resolution, note: String) -> Decision {
        let Stage::Received { terms, refunds, .. } = &self.stage else { return Err(PaymentError::NotPaid { payment_id }) };
        if refunds.values().any(|refund| refund.outcome == RefundOutcome::Pending) {
            return Err(PaymentError::RefundUnderWay { payment_id });
        }
        let amount = self.refundable();
        if !amount.is_positive() {
            return Err(PaymentError::ExceedsRefundable { amount: Money::ZERO, refundable: amount });
        }
        match resolution {
            Resolution::Return { refund_id, refund_no } => self.request_refund(
                payment_id,
                refund_id,
                Refund { amount, refund_no, reason: note, outcome: RefundOutcome::Pending, again: false },
            ),
            Resolution::Apply => Ok(vec![PaymentEvent::ReceiptApplied { payment_id, user_id: terms.user_id, amount, note }]),
        }
    }

    fn disputed_receipt(&self, transaction: &str) -> Option<Money> {
        self.disputes.iter().find_map(|dispute| match dispute {
            Dispute::Receipt { reported, channel_transaction } if channel_transaction == transaction => Some(*reported),
            Dispute::Receipt { .. } | Dispute::Refund { .. } => None,
        })
    }

    pub(super) fn close_disputes(&self, payment_id: PaymentId, note: String) -> Decision {
        text::required("note", &note, NOTE_CHARS_MAX)?;
        if self.stage == Stage::Absent && self.disputes.is_empty() {
            return Err(PaymentError::NotFound { payment_id });
        }
        Ok(if self.open_disputes.is_empty() { vec![] } else { vec![PaymentEvent::DisputesClosed { payment_id, note }] })
    }
}
