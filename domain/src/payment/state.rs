//! What a payment's decisions need to know of its past.

use std::collections::{BTreeMap, BTreeSet};

use super::{Channel, PaymentEvent, Purpose};
use crate::ids::{PaymentId, RefundId, UserId};
use crate::time::Timestamp;
use crate::units::Money;

/// What was agreed when the payment began. It never changes, but for what it is for, when staff make what came too late a prepayment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Which.
    pub payment_id: PaymentId,
    /// Who pays.
    pub user_id: UserId,
    /// Through which channel.
    pub channel: Channel,
    /// What for.
    pub purpose: Purpose,
    /// How much.
    pub amount: Money,
    /// The merchant's number at the channel.
    pub payment_no: String,
    /// Unpaid at this time, it closes.
    pub expires_at: Timestamp,
}

/// The money that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The channel's own number.
    pub channel_transaction: String,
    /// How much: what was agreed, unless staff accepted another amount.
    pub amount: Money,
    /// Whether it came after the payment had failed or closed, and belongs to nothing.
    pub late: bool,
}

/// How a refund stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefundOutcome {
    /// Asked for, not answered.
    Pending,
    /// The money is back.
    Succeeded {
        /// The channel's own number.
        channel_refund: String,
    },
    /// The channel refused for good.
    Failed,
}

/// One refund.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// How much.
    pub amount: Money,
    /// The merchant's number at the channel.
    pub refund_no: String,
    /// Why: asked again under the same number, the channel is told the same.
    pub reason: String,
    /// How it stands.
    pub outcome: RefundOutcome,
    /// Whether it gives once more what an earlier refund did not.
    pub again: bool,
}

impl Refund {
    /// Whether its amount is taken from what may go back.
    pub(super) fn counts(&self) -> bool {
        match self.outcome {
            RefundOutcome::Pending | RefundOutcome::Succeeded { .. } => true,
            RefundOutcome::Failed => false,
        }
    }
}

/// How a payment stands, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PaymentStatus {
    /// There is none.
    Absent,
    /// Waiting for the money.
    Open,
    /// The channel says it will not come.
    Failed,
    /// Closed unpaid.
    Closed,
    /// The money is there.
    Succeeded,
    /// The money came after the payment had failed or closed.
    ReceivedLate,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Stage {
    #[default]
    Absent,
    Open {
        terms: Terms,
        pay_token: Option<String>,
    },
    Failed {
        terms: Terms,
    },
    Closed {
        terms: Terms,
    },
    Received {
        terms: Terms,
        receipt: Receipt,
        refunds: BTreeMap<RefundId, Refund>,
    },
}

/// What a channel said that contradicts what is known; each is recorded once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Dispute {
    Receipt { reported: Money, channel_transaction: String },
    Refund { refund_id: RefundId, reported: Option<Money>, channel_refund: Option<String> },
}

/// A payment with its refunds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Payment {
    pub(super) stage: Stage,
    pub(super) disputes: BTreeSet<Dispute>,
    /// Those that nobody has looked into.
    pub(super) open_disputes: BTreeSet<Dispute>,
}

impl Payment {
    /// How it stands.
    #[must_use]
    pub fn status(&self) -> PaymentStatus {
        match &self.stage {
            Stage::Absent => PaymentStatus::Absent,
            Stage::Open { .. } => PaymentStatus::Open,
            Stage::Failed { .. } => PaymentStatus::Failed,
            Stage::Closed { .. } => PaymentStatus::Closed,
            Stage::Received { receipt: Receipt { late: false, .. }, .. } => PaymentStatus::Succeeded,
            Stage::Received { receipt: Receipt { late: true, .. }, .. } => PaymentStatus::ReceivedLate,
        }
    }

    /// What was agreed; none when there is no payment.
    #[must_use]
    pub fn terms(&self) -> Option<&Terms> {
        match &self.stage {
            Stage::Absent => None,
            Stage::Open { terms, .. } | Stage::Failed { terms } | Stage::Closed { terms } | Stage::Received { terms, .. } => Some(terms),
        }
    }

    /// What the front end hands to the channel, while the payment waits for its money.
    #[must_use]
    pub fn pay_token(&self) -> Option<&str> {
        match &self.stage {
            Stage::Open { pay_token, .. } => pay_token.as_deref(),
            Stage::Absent | Stage::Failed { .. } | Stage::Closed { .. } | Stage::Received { .. } => None,
        }
    }

    /// The money that came.
    #[must_use]
    pub fn receipt(&self) -> Option<&Receipt> {
        match &self.stage {
            Stage::Received { receipt, .. } => Some(receipt),
            Stage::Absent | Stage::Open { .. } | Stage::Failed { .. } | Stage::Closed { .. } => None,
        }
    }

    /// One of its refunds.
    #[must_use]
    pub fn refund(&self, refund_id: RefundId) -> Option<&Refund> {
        match &self.stage {
            Stage::Received { refunds, .. } => refunds.get(&refund_id),
            Stage::Absent | Stage::Open { .. } | Stage::Failed { .. } | Stage::Closed { .. } => None,
        }
    }

    /// What may still go back: what came, less what has gone and what is on its way. A failed refund gives its amount free.
    #[must_use]
    pub fn refundable(&self) -> Money {
        match &self.stage {
            Stage::Received { receipt, refunds, .. } => {
                receipt.amount - refunds.values().filter(|refund| refund.counts()).map(|refund| refund.amount).sum()
            }
            Stage::Absent | Stage::Open { .. } | Stage::Failed { .. } | Stage::Closed { .. } => Money::ZERO,
        }
    }

    /// What the channel would not take back, and nobody has asked for again since.
    #[must_use]
    pub fn given_up(&self) -> Money {
        let Stage::Received { refunds, .. } = &self.stage else { return Money::ZERO };
        let sum = |which: fn(&Refund) -> bool| refunds.values().filter(|refund| which(refund)).map(|refund| refund.amount).sum::<Money>();
        let open = sum(|refund| !refund.again && !refund.counts()) - sum(|refund| refund.again && refund.counts());
        open.min(self.refundable()).max(Money::ZERO)
    }

    pub(super) fn after(self, event: &PaymentEvent) -> Payment {
        match event {
            PaymentEvent::Initiated { payment_id, user_id, channel, purpose, amount, payment_no, expires_at } => {
                let terms = Terms {
                    payment_id: *payment_id,
                    user_id: *user_id,
                    channel: *channel,
                    purpose: *purpose,
                    amount: *amount,
                    payment_no: payment_no.clone(),
                    expires_at: *expires_at,
                };
                Payment { stage: Stage::Open { terms, pay_token: None }, ..self }
            }
            PaymentEvent::Prepared { pay_token, .. } => self.stepped(|terms| Stage::Open { terms, pay_token: Some(pay_token.clone()) }),
            PaymentEvent::Succeeded { channel_transaction, amount, .. } => self.received(channel_transaction, *amount, false),
            PaymentEvent::ReceivedLate { channel_transaction, amount, .. } => self.received(channel_transaction, *amount, true),
            PaymentEvent::ReceiptAccepted { channel_transaction, amount, .. } => {
                let dispute = Dispute::Receipt { reported: *amount, channel_transaction: channel_transaction.clone() };
                self.received(channel_transaction, *amount, true).looked_into(&dispute)
            }
            PaymentEvent::ReceiptApplied { .. } => self.topped_up(),
            PaymentEvent::DisputesClosed { .. } => Payment { open_disputes: BTreeSet::new(), ..self },
            PaymentEvent::Failed { .. } => self.stepped(|terms| Stage::Failed { terms }),
            PaymentEvent::Closed { .. } => self.stepped(|terms| Stage::Closed { terms }),
            PaymentEvent::Disputed { reported, channel_transaction, .. } => {
                self.disputed(Dispute::Receipt { reported: *reported, channel_transaction: channel_transaction.clone() })
            }
            PaymentEvent::RefundRequested { refund_id, amount, refund_no, reason, again, .. } => self.refunding(|refunds| {
                let (refund_no, reason) = (refund_no.clone(), reason.clone());
                refunds.insert(*refund_id, Refund { amount: *amount, refund_no, reason, outcome: RefundOutcome::Pending, again: *again });
            }),
            PaymentEvent::RefundSucceeded { refund_id, channel_refund, .. } => {
                self.refund_ended(*refund_id, RefundOutcome::Succeeded { channel_refund: channel_refund.clone() })
            }
            PaymentEvent::RefundFailed { refund_id, .. } => self.refund_ended(*refund_id, RefundOutcome::Failed),
            PaymentEvent::RefundDisputed { refund_id, reported, channel_refund, .. } => {
                self.disputed(Dispute::Refund { refund_id: *refund_id, reported: *reported, channel_refund: channel_refund.clone() })
            }
        }
    }

    fn stepped(self, next: impl FnOnce(Terms) -> Stage) -> Payment {
        let stage = match self.stage {
            Stage::Open { terms, .. } | Stage::Failed { terms } | Stage::Closed { terms } => next(terms),
            // Neither is undone by an event that only an open payment can have.
            Stage::Absent | Stage::Received { .. } => self.stage,
        };
        Payment { stage, ..self }
    }

    fn received(self, channel_transaction: &str, amount: Money, late: bool) -> Payment {
        let receipt = Receipt { channel_transaction: channel_transaction.to_owned(), amount, late };
        self.stepped(|terms| Stage::Received { terms, receipt, refunds: BTreeMap::new() })
    }

    fn refunding(mut self, change: impl FnOnce(&mut BTreeMap<RefundId, Refund>)) -> Payment {
        match &mut self.stage {
            Stage::Received { refunds, .. } => change(refunds),
            Stage::Absent | Stage::Open { .. } | Stage::Failed { .. } | Stage::Closed { .. } => {}
        }
        self
    }

    fn refund_ended(self, refund_id: RefundId, outcome: RefundOutcome) -> Payment {
        self.refunding(|refunds| {
            if let Some(refund) = refunds.get_mut(&refund_id) {
                refund.outcome = outcome;
            }
        })
    }

    /// What came too late is in the wallet: it is what any top-up is.
    fn topped_up(mut self) -> Payment {
        match &mut self.stage {
            Stage::Received { terms, receipt, .. } => {
                terms.purpose = Purpose::TopUp;
                receipt.late = false;
            }
            Stage::Absent | Stage::Open { .. } | Stage::Failed { .. } | Stage::Closed { .. } => {}
        }
        self
    }

    fn disputed(mut self, dispute: Dispute) -> Payment {
        self.open_disputes.insert(dispute.clone());
        self.disputes.insert(dispute);
        self
    }

    fn looked_into(mut self, dispute: &Dispute) -> Payment {
        self.open_disputes.remove(dispute);
        self
    }
}
