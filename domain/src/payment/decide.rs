//! What may be asked of a payment, and what becomes of what its channel reports.

use super::state::{Dispute, Stage};
use super::{Channel, Payment, PaymentEvent, Purpose, Receipt, Refund, RefundOutcome, Resolution, Terms};
use crate::decider::Decider;
use crate::event::Event;
use crate::ids::{PaymentId, RefundId, UserId};
use crate::text::TextError;
use crate::time::Timestamp;
use crate::units::Money;

/// What somebody asks of a payment, or what its channel reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PaymentCommand {
    /// Somebody is to pay.
    Initiate {
        /// Which.
        payment_id: PaymentId,
        /// Who pays.
        user_id: UserId,
        /// Through which channel.
        channel: Channel,
        /// What for.
        purpose: Purpose,
        /// How much.
        amount: Money,
        /// The merchant's number at the channel.
        payment_no: String,
        /// Unpaid at this time, it closes.
        expires_at: Timestamp,
    },
    /// The channel knows it now. A second token replaces the first: they grow old.
    Prepare {
        /// Which.
        payment_id: PaymentId,
        /// What the front end hands to the channel.
        pay_token: String,
    },
    /// The channel says the money is there.
    ReportSucceeded {
        /// Which.
        payment_id: PaymentId,
        /// How much.
        amount: Money,
        /// The channel's own number.
        channel_transaction: String,
    },
    /// The channel says it will not come.
    ReportFailed {
        /// Which.
        payment_id: PaymentId,
        /// The channel's reason.
        reason: String,
    },
    /// Nobody is to pay any more. The channel has been told first.
    Close {
        /// Which.
        payment_id: PaymentId,
    },
    /// Money is to go back.
    RequestRefund {
        /// Of which payment.
        payment_id: PaymentId,
        /// Which. The same id is the same refund; two equal refunds have two ids.
        refund_id: RefundId,
        /// How much.
        amount: Money,
        /// The merchant's number at the channel.
        refund_no: String,
        /// Why, for people.
        reason: String,
    },
    /// What the channel would not take back is to go back all the same: once more, under a number of its own.
    GiveAgain {
        /// Of which payment.
        payment_id: PaymentId,
        /// Which. The same id is the same refund.
        refund_id: RefundId,
        /// How much: no more than was given up.
        amount: Money,
        /// The merchant's number at the channel.
        refund_no: String,
        /// Why, for people.
        reason: String,
    },
    /// Staff say what is to become of money that belongs to nothing: all that is left of it.
    ResolveReceipt {
        /// Of which payment.
        payment_id: PaymentId,
        /// The channel's own number of the receipt.
        channel_transaction: String,
        /// Back, or into the wallet.
        resolution: Resolution,
        /// Why; the payer is told when it goes back.
        note: String,
    },
    /// Staff have looked into everything that the channel has reported in contradiction.
    CloseDisputes {
        /// Of which payment.
        payment_id: PaymentId,
        /// What came of it.
        note: String,
    },
    /// The channel says the money is back.
    ReportRefundSucceeded {
        /// Of which payment.
        payment_id: PaymentId,
        /// Which.
        refund_id: RefundId,
        /// How much.
        amount: Money,
        /// The channel's own number.
        channel_refund: String,
    },
    /// The channel refused for good. Not for a refund that is merely stuck and needs hands: that one is still on its way.
    ReportRefundFailed {
        /// Of which payment.
        payment_id: PaymentId,
        /// Which.
        refund_id: RefundId,
        /// The channel's reason.
        reason: String,
    },
}

impl PaymentCommand {
    /// Whose stream it goes to.
    #[must_use]
    pub const fn payment_id(&self) -> PaymentId {
        match self {
            PaymentCommand::Initiate { payment_id, .. }
            | PaymentCommand::Prepare { payment_id, .. }
            | PaymentCommand::ReportSucceeded { payment_id, .. }
            | PaymentCommand::ReportFailed { payment_id, .. }
            | PaymentCommand::Close { payment_id }
            | PaymentCommand::RequestRefund { payment_id, .. }
            | PaymentCommand::GiveAgain { payment_id, .. }
            | PaymentCommand::ResolveReceipt { payment_id, .. }
            | PaymentCommand::CloseDisputes { payment_id, .. }
            | PaymentCommand::ReportRefundSucceeded { payment_id, .. }
            | PaymentCommand::ReportRefundFailed { payment_id, .. } => *payment_id,
        }
    }
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PaymentError {
    /// There is no such payment.
    #[error("there is no payment {payment_id}")]
    NotFound {
        /// What was asked for.
        payment_id: PaymentId,
    },
    /// The id is in use for other terms.
    #[error("payment {payment_id} exists already, with other terms")]
    AlreadyInitiated {
        /// Which.
        payment_id: PaymentId,
    },
    /// Nothing, or less.
    #[error("an amount of {amount} is not more than nothing")]
    AmountNotPositive {
        /// What was asked for.
        amount: Money,
    },
    /// Money that is there cannot be closed away; it can be refunded.
    #[error("payment {payment_id} has been paid; refund it instead")]
    AlreadyPaid {
        /// Which.
        payment_id: PaymentId,
    },
    /// Nothing came, so nothing can go back.
    #[error("payment {payment_id} has not been paid")]
    NotPaid {
        /// Which.
        payment_id: PaymentId,
    },
    /// More than is left of the payment.
    #[error("a refund of {amount} is above the {refundable} that may still go back")]
    ExceedsRefundable {
        /// What was asked for.
        amount: Money,
        /// What may still go back.
        refundable: Money,
    },
    /// It can still be paid as agreed; it closes by itself.
    #[error("payment {payment_id} is still open; what came for it is decided about once it has closed")]
    StillOpen {
        /// Which.
        payment_id: PaymentId,
    },
    /// A receipt that the books have a place for, that was never heard of, or that came beside another one.
    #[error(
        "receipt {channel_transaction} is not one that belongs to nothing; one beside another is given back at the channel, and closed"
    )]
    NotUnidentified {
        /// The channel's own number.
        channel_transaction: String,
    },
    /// Whether it goes back is the channel's to say first.
    #[error("a refund of payment {payment_id} is under way")]
    RefundUnderWay {
        /// Of which payment.
        payment_id: PaymentId,
    },
    /// A text is not one.
    #[error(transparent)]
    Text(#[from] TextError),
    /// The refund's id is in use for another amount.
    #[error("refund {refund_id} exists already, of {amount}")]
    RefundIdReused {
        /// Which.
        refund_id: RefundId,
        /// What it is of.
        amount: Money,
    },
    /// The refund's number is in use: the channel would take the two for one.
    #[error("refund number {refund_no} belongs to refund {refund_id}")]
    RefundNumberReused {
        /// Which number.
        refund_no: String,
        /// Whose it is.
        refund_id: RefundId,
    },
}

type Decision = Result<Vec<PaymentEvent>, PaymentError>;

impl Decider for Payment {
    type Command = PaymentCommand;
    type Event = PaymentEvent;
    type Error = PaymentError;

    fn decide(&self, command: PaymentCommand) -> Decision {
        match command {
            PaymentCommand::Initiate { payment_id, user_id, channel, purpose, amount, payment_no, expires_at } => {
                self.initiate(Terms { payment_id, user_id, channel, purpose, amount, payment_no, expires_at })
            }
            PaymentCommand::Prepare { payment_id, pay_token } => self.prepare(payment_id, pay_token),
            PaymentCommand::ReportSucceeded { payment_id, amount, channel_transaction } => {
                Ok(self.report_succeeded(payment_id, amount, channel_transaction))
            }
            PaymentCommand::ReportFailed { payment_id, reason } => Ok(self.report_failed(payment_id, reason)),
            PaymentCommand::Close { payment_id } => self.close(payment_id),
            PaymentCommand::RequestRefund { payment_id, refund_id, amount, refund_no, reason } => self.request_refund(
                payment_id,
                refund_id,
                Refund { amount, refund_no, reason, outcome: RefundOutcome::Pending, again: false },
            ),
            PaymentCommand::GiveAgain { payment_id, refund_id, amount, refund_no, reason } => self.request_refund(
                payment_id,
                refund_id,
                Refund { amount, refund_no, reason, outcome: RefundOutcome::Pending, again: true },
            ),
            PaymentCommand::ResolveReceipt { payment_id, channel_transaction, resolution, note } => {
                self.resolve(payment_id, &channel_transaction, resolution, note)
            }
            PaymentCommand::CloseDisputes { payment_id, note } => self.close_disputes(payment_id, note),
            PaymentCommand::ReportRefundSucceeded { payment_id, refund_id, amount, channel_refund } => {
                Ok(self.report_refund_succeeded(payment_id, refund_id, amount, channel_refund))
            }
            PaymentCommand::ReportRefundFailed { payment_id, refund_id, reason } => {
                Ok(self.report_refund_failed(payment_id, refund_id, reason))
            }
        }
    }

    fn evolve(self, event: &PaymentEvent) -> Payment {
        self.after(event)
    }

    fn event(event: &Event) -> Option<&PaymentEvent> {
        if let Event::Payment(event) = event { Some(event) } else { None }
    }
}

impl Payment {
    fn initiate(&self, terms: Terms) -> Decision {
        let payment_id = terms.payment_id;
        match self.terms() {
            Some(first) if *first == terms => return Ok(vec![]),
            Some(_) => return Err(PaymentError::AlreadyInitiated { payment_id }),
            None => {}
        }
        if !terms.amount.is_positive() {
            return Err(PaymentError::AmountNotPositive { amount: terms.amount });
        }
        let Terms { payment_id, user_id, channel, purpose, amount, payment_no, expires_at } = terms;
        Ok(vec![PaymentEvent::Initiated { payment_id, user_id, channel, purpose, amount, payment_no, expires_at }])
    }

    fn prepare(&self, payment_id: PaymentId, pay_token: String) -> Decision {
        match &self.stage {
            Stage::Absent => Err(PaymentError::NotFound { payment_id }),
            Stage::Open { pay_token: Some(known), .. } if *known == pay_token => Ok(vec![]),
            Stage::Open { .. } => Ok(vec![PaymentEvent::Prepared { payment_id, pay_token }]),
            // The answer came after the end: nobody will pay with it.
            Stage::Failed { .. } | Stage::Closed { .. } | Stage::Received { .. } => Ok(vec![]),
        }
    }

    fn report_succeeded(&self, payment_id: PaymentId, reported: Money, channel_transaction: String) -> Vec<PaymentEvent> {
        let dispute = |channel_transaction, reason: &str| {
            self.dispute(payment_id, Dispute::Receipt { reported, channel_transaction }, reason.to_owned())
        };
        match &self.stage {
            Stage::Absent => dispute(channel_transaction, "there is no such payment"),
            // A channel repeats itself until it is answered; the same report twice changes nothing.
            Stage::Received { receipt, .. } if receipt.channel_transaction == channel_transaction => {
                if receipt.amount == reported {
                    vec![]
                } else {
                    dispute(channel_transaction, "the amount is not the agreed one")
                }
            }
            Stage::Received { .. } => dispute(channel_transaction, "it has been paid already, under another transaction number"),
            Stage::Open { terms, .. } | Stage::Failed { terms } | Stage::Closed { terms } if terms.amount != reported => {
                dispute(channel_transaction, "the amount is not the agreed one")
            }
            Stage::Open { terms, .. } => {
                let &Terms { user_id, channel, purpose, amount, .. } = terms;
                vec![PaymentEvent::Succeeded { payment_id, user_id, channel, purpose, amount, channel_transaction }]
            }
            // What the payment was for has been given up: the money is not the user's prepayment any more.
            Stage::Failed { terms } | Stage::Closed { terms } => {
                let &Terms { user_id, channel, amount, .. } = terms;
                vec![PaymentEvent::ReceivedLate { payment_id, user_id, channel, amount, channel_transaction }]
            }
        }
    }

    fn report_failed(&self, payment_id: PaymentId, reason: String) -> Vec<PaymentEvent> {
        match &self.stage {
            Stage::Open { terms, .. } => vec![PaymentEvent::Failed { payment_id, purpose: terms.purpose, reason }],
            // No money is spoken of: an attempt that failed before or after another one changes nothing.
            Stage::Absent | Stage::Failed { .. } | Stage::Closed { .. } | Stage::Received { .. } => vec![],
        }
    }

    fn close(&self, payment_id: PaymentId) -> Decision {
        match &self.stage {
            Stage::Absent => Err(PaymentError::NotFound { payment_id }),
            Stage::Open { terms, .. } => Ok(vec![PaymentEvent::Closed { payment_id, purpose: terms.purpose }]),
            Stage::Failed { .. } | Stage::Closed { .. } => Ok(vec![]),
            Stage::Received { .. } => Err(PaymentError::AlreadyPaid { payment_id }),
        }
    }

    pub(super) fn request_refund(&self, payment_id: PaymentId, refund_id: RefundId, refund: Refund) -> Decision {
        let (terms, refunds) = match &self.stage {
            Stage::Absent => return Err(PaymentError::NotFound { payment_id }),
            Stage::Open { .. } | Stage::Failed { .. } | Stage::Closed { .. } => return Err(PaymentError::NotPaid { payment_id }),
            Stage::Received { terms, refunds, .. } => (terms, refunds),
        };
        let Refund { amount, refund_no, reason, outcome: _, again } = refund;
        match refunds.get(&refund_id) {
            Some(first) if first.amount == amount => return Ok(vec![]),
            Some(first) => return Err(PaymentError::RefundIdReused { refund_id, amount: first.amount }),
            None => {}
        }
        if !amount.is_positive() {
            return Err(PaymentError::AmountNotPositive { amount });
        }
        if let Some((&owner, _)) = refunds.iter().find(|(_, other)| other.refund_no == refund_no) {
            return Err(PaymentError::RefundNumberReused { refund_no, refund_id: owner });
        }
        let refundable = if again { self.given_up() } else { self.refundable() };
        if amount > refundable {
            return Err(PaymentError::ExceedsRefundable { amount, refundable });
        }
        let &Terms { user_id, channel, .. } = terms;
        Ok(vec![PaymentEvent::RefundRequested { payment_id, refund_id, user_id, channel, amount, refund_no, reason, again }])
    }

    fn report_refund_succeeded(
        &self,
        payment_id: PaymentId,
        refund_id: RefundId,
        reported: Money,
        channel_refund: String,
    ) -> Vec<PaymentEvent> {
        let dispute = |channel_refund, reason: &str| {
            let dispute = Dispute::Refund { refund_id, reported: Some(reported), channel_refund: Some(channel_refund) };
            self.dispute(payment_id, dispute, reason.to_owned())
        };
        let (Stage::Received { terms, receipt, .. }, Some(refund)) = (&self.stage, self.refund(refund_id)) else {
            return dispute(channel_refund, "nobody asked for this refund");
        };
        if refund.amount != reported {
            return dispute(channel_refund, "the amount is not the one asked for");
        }
        match &refund.outcome {
            RefundOutcome::Succeeded { channel_refund: first } if *first == channel_refund => vec![],
            RefundOutcome::Succeeded { .. } => dispute(channel_refund, "it has gone back already, under another number"),
            RefundOutcome::Failed if self.failed_amount_is_gone(refund, terms, receipt) => {
                dispute(channel_refund, "it had failed, and its amount has been given free for other use")
            }
            // The money did move, also where the channel had first said that it would not.
            RefundOutcome::Pending | RefundOutcome::Failed => {
                let &Terms { user_id, channel, purpose, amount: _, .. } = terms;
                let (amount, of_late_receipt) = (refund.amount, receipt.late);
                vec![PaymentEvent::RefundSucceeded {
                    payment_id,
                    refund_id,
                    user_id,
                    channel,
                    purpose,
                    amount,
                    of_late_receipt,
                    channel_refund,
                }]
            }
        }
    }

    /// Whether a failed refund's amount can no longer be what went back: it was given again, another refund has taken it, or it is in the wallet again, and
    /// perhaps spent.
    fn failed_amount_is_gone(&self, refund: &Refund, terms: &Terms, receipt: &Receipt) -> bool {
        let in_the_wallet = match terms.purpose {
            Purpose::TopUp => !receipt.late,
            Purpose::Prepayment { .. } | Purpose::Postpaid { .. } => false,
        };
        in_the_wallet || refund.amount > self.given_up()
    }

    fn report_refund_failed(&self, payment_id: PaymentId, refund_id: RefundId, reason: String) -> Vec<PaymentEvent> {
        let dispute = |what: &str| {
            let reason = format!("{what}; the channel's reason is {reason}");
            self.dispute(payment_id, Dispute::Refund { refund_id, reported: None, channel_refund: None }, reason)
        };
        let (Some(terms), Some(refund)) = (self.terms(), self.refund(refund_id)) else {
            return dispute("nobody asked for this refund");
        };
        match &refund.outcome {
            RefundOutcome::Pending => {
                let &Terms { user_id, purpose, .. } = terms;
                vec![PaymentEvent::RefundFailed { payment_id, refund_id, user_id, purpose, amount: refund.amount, reason }]
            }
            RefundOutcome::Failed => vec![],
            RefundOutcome::Succeeded { .. } => dispute("it had gone back before"),
        }
    }

    /// A contradiction is recorded once, however often the channel repeats it.
    fn dispute(&self, payment_id: PaymentId, dispute: Dispute, reason: String) -> Vec<PaymentEvent> {
        if self.disputes.contains(&dispute) {
            return vec![];
        }
        vec![match dispute {
            Dispute::Receipt { reported, channel_transaction } => {
                PaymentEvent::Disputed { payment_id, reported, channel_transaction, reason }
            }
            Dispute::Refund { refund_id, reported, channel_refund } => {
                PaymentEvent::RefundDisputed { payment_id, refund_id, reported, channel_refund, reason }
            }
        }]
    }
}
