//! Process managers: what spans streams. Event in, commands out, and nothing else: each is a pure function, so that a repetition, a crash and a rebuild
//! all come to the same. What they send carries the id of the event that caused it; doing it again changes nothing.
//!
//! | manager | what |
//! |---|---|
//! | [`start`] | money first, then the connector, then the device; else everything back |
//! | [`settle`] | record → bill → apply what is there → the rest back |
//! | [`refund`] | channels are told and retried under the same number |
//! | [`deadlines`] | what must not wait for ever; time is an input |
//!
//! [`runner`] reads the log, carries the reactions out and keeps how far it came in `process-…` streams.

pub mod deadlines;
mod made_up;
pub mod perform;
pub mod refund;
pub mod runner;
pub mod settle;
pub mod start;

use domain::connector::ConnectorCommand;
use domain::event::Event;
use domain::ids::{ConnectorId, PaymentId, RefundId, SessionId, UserId};
use domain::log::Recorded;
use domain::payment::{Channel, PaymentCommand};
use domain::session::{SessionCommand, SessionRefs, StopReason};
use domain::time::Timestamp;
use domain::units::Money;
use domain::wallet::WalletCommand;

/// What a process manager wants done.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// A command for a session.
    Session(SessionId, SessionCommand),
    /// A command for a payment.
    Payment(PaymentId, PaymentCommand),
    /// A command for a wallet.
    Wallet(UserId, WalletCommand),
    /// A command for a connector.
    Connector(ConnectorId, ConnectorCommand),
    /// The device is to begin, unless it is too late or has begun.
    StartDevice {
        /// Who and where.
        refs: SessionRefs,
        /// After this it must not begin any more.
        expires_at: Timestamp,
    },
    /// The device is to end.
    StopDevice {
        /// Who and where.
        refs: SessionRefs,
        /// Why.
        reason: StopReason,
    },
    /// The channel is to collect a payment.
    Collect {
        /// Which.
        payment_id: PaymentId,
        /// Through which channel.
        channel: Channel,
        /// How much.
        amount: Money,
        /// Unpaid at this time, it closes.
        expires_at: Timestamp,
    },
    /// The channel is asked what became of a payment.
    AskAfterPayment {
        /// Which.
        payment_id: PaymentId,
    },
    /// An unpaid payment is to close: at the channel first, so that nobody pays into a closed one. Refused when it has been paid after all.
    ClosePayment {
        /// Which.
        payment_id: PaymentId,
    },
    /// The channel is to give money back.
    GiveBack {
        /// Of which payment.
        payment_id: PaymentId,
        /// Through which channel.
        channel: Channel,
        /// Our number for it.
        refund_no: String,
        /// How much.
        amount: Money,
        /// Why.
        reason: String,
    },
    /// The channel is asked what became of a refund; it is told again when it knows nothing of it.
    AskAfterRefund {
        /// Of which payment.
        payment_id: PaymentId,
        /// Which.
        refund_id: RefundId,
    },
}

/// One step of a reaction.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Tells it apart from the other steps of the same cause; never changes, because the command's id derives from it.
    pub name: &'static str,
    /// What is to be done.
    pub action: Action,
    /// What is to be done instead when it is refused. Empty: the refusal is an answer, and all is well.
    pub otherwise: Vec<Step>,
}

impl Step {
    /// A step whose refusal is an answer.
    #[must_use]
    pub const fn new(name: &'static str, action: Action) -> Step {
        Step { name, action, otherwise: Vec::new() }
    }

    /// With another way, for when it is refused.
    #[must_use]
    pub fn or(mut self, otherwise: Step) -> Step {
        self.otherwise.push(otherwise);
        self
    }
}

/// What all process managers together want done because of an event, in this order.
#[must_use]
pub fn react(event: &Recorded<Event>) -> Vec<Step> {
    let mut steps = start::react(event);
    steps.extend(settle::react(event));
    steps.extend(refund::react(event));
    steps
}

/// The types of events that [`react`] looks at.
pub const REACTS_TO: &[&str] = &[
    "session.requested",
    "session.authorised",
    "session.refused",
    "session.starting",
    "session.start_timed_out",
    "session.stop_requested",
    "session.unplugged",
    "session.abandoned",
    "session.record_accepted",
    "session.record_disputed",
    "session.closed_by_operator",
    "session.billed",
    "session.bill_corrected",
    "session.settled",
    "session.receivable_paid",
    "payment.initiated",
    "payment.succeeded",
    "payment.failed",
    "payment.closed",
    "payment.received_late",
    "payment.receipt_applied",
    "payment.refund_requested",
    "payment.refund_succeeded",
    "payment.refund_failed",
    "wallet.held",
    "wallet.captured",
    "wallet.refund_requested",
    "connector.occupied",
];
