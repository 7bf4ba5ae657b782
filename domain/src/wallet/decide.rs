//! What may be asked of a wallet.

use super::{RefundPart, Wallet, WalletEvent};
use crate::decider::Decider;
use crate::event::Event;
use crate::ids::{PaymentId, RefundId, SessionId, UserId};
use crate::snapshot;
use crate::units::Money;

/// What somebody asks of a wallet, or what became of its money elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WalletCommand {
    /// A payment for it succeeded.
    TopUp {
        /// Whose wallet.
        user_id: UserId,
        /// Which payment; the same one again changes nothing.
        payment_id: PaymentId,
        /// How much.
        amount: Money,
    },
    /// A part is to be set aside for a session.
    Hold {
        /// Whose wallet.
        user_id: UserId,
        /// For which session; the same hold again changes nothing.
        session_id: SessionId,
        /// How much.
        amount: Money,
    },
    /// A session's bill is to be paid: the hold first, then what is available. What is left of the hold is free again. A session is
    /// captured once; the same again changes nothing.
    Capture {
        /// Whose wallet.
        user_id: UserId,
        /// For which session.
        session_id: SessionId,
        /// How much is due; zero for a free session.
        due: Money,
    },
    /// A session will not be billed. Without a hold there is nothing to release, and that is no fault.
    Release {
        /// Whose wallet.
        user_id: UserId,
        /// Of which session.
        session_id: SessionId,
    },
    /// A bill that was paid from it has been corrected downwards. Only the command's id tells a repetition from a second correction.
    Credit {
        /// Whose wallet.
        user_id: UserId,
        /// For which session.
        session_id: SessionId,
        /// How much comes back.
        amount: Money,
    },
    /// The user wants money back.
    RequestRefund {
        /// Whose wallet.
        user_id: UserId,
        /// Which request; the same one again changes nothing.
        refund_id: RefundId,
        /// How much.
        amount: Money,
        /// Why, when somebody said so.
        reason: Option<String>,
    },
    /// A part has arrived at its payment.
    ReportRefundPartSucceeded {
        /// Whose wallet.
        user_id: UserId,
        /// The part's own id.
        refund_id: RefundId,
    },
    /// A part cannot go back to its payment.
    ReportRefundPartFailed {
        /// Whose wallet.
        user_id: UserId,
        /// The part's own id.
        refund_id: RefundId,
    },
}

impl WalletCommand {
    /// Whose stream it goes to.
    #[must_use]
    pub const fn user_id(&self) -> UserId {
        match self {
            WalletCommand::TopUp { user_id, .. }
            | WalletCommand::Hold { user_id, .. }
            | WalletCommand::Capture { user_id, .. }
            | WalletCommand::Release { user_id, .. }
            | WalletCommand::Credit { user_id, .. }
            | WalletCommand::RequestRefund { user_id, .. }
            | WalletCommand::ReportRefundPartSucceeded { user_id, .. }
            | WalletCommand::ReportRefundPartFailed { user_id, .. } => *user_id,
        }
    }
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WalletError {
    /// Nothing, or less.
    #[error("an amount of {amount} is not more than nothing")]
    AmountNotPositive {
        /// What was asked for.
        amount: Money,
    },
    /// A bill below zero is for [`WalletCommand::Credit`].
    #[error("a bill of {due} cannot be captured")]
    DueNegative {
        /// What was asked for.
        due: Money,
    },
    /// The payment has topped up already, with another amount.
    #[error("payment {payment_id} has topped up {amount} already")]
    TopUpDiffers {
        /// Which.
        payment_id: PaymentId,
        /// What it brought.
        amount: Money,
    },
    /// More than is available.
    #[error("{amount} is above the available {available}")]
    InsufficientFunds {
        /// What was asked for.
        amount: Money,
        /// What is available.
        available: Money,
    },
    /// The session has a hold of another amount.
    #[error("session {session_id} holds {held} already")]
    HoldDiffers {
        /// Which.
        session_id: SessionId,
        /// What it holds.
        held: Money,
    },
    /// The session's hold has been captured or released; a hold that comes now would stay for ever.
    #[error("the hold of session {session_id} is over")]
    HoldOver {
        /// Which.
        session_id: SessionId,
    },
    /// More than the session's bill took.
    #[error("a credit of {amount} is above the {captured} that was taken for session {session_id}")]
    CreditExceedsCapture {
        /// Which.
        session_id: SessionId,
        /// What was asked for.
        amount: Money,
        /// What was taken, less what came back.
        captured: Money,
    },
    /// The money is available, and too little of it can go back to a payment by itself.
    #[error("only {refundable} of {amount} can go back to the payments it came from")]
    NotRefundable {
        /// What was asked for.
        amount: Money,
        /// What could go back.
        refundable: Money,
    },
    /// The refund's id is in use for another amount.
    #[error("refund {refund_id} exists already, of {amount}")]
    RefundIdReused {
        /// Which.
        refund_id: RefundId,
        /// What it is of.
        amount: Money,
    },
}

type Decision = Result<Vec<WalletEvent>, WalletError>;

impl Decider for Wallet {
    type Command = WalletCommand;
    type Event = WalletEvent;
    type Error = WalletError;

    const SHAPE: Option<u64> = Some(snapshot::shape_of(&[
        include_bytes!("event.rs"),
        include_bytes!("state.rs"),
        include_bytes!("sources.rs"),
        include_bytes!("decide.rs"),
    ]));

    fn to_bytes(&self) -> Option<Vec<u8>> {
        snapshot::to_bytes(self)
    }

    fn of_bytes(bytes: &[u8]) -> Option<Wallet> {
        snapshot::of_bytes(bytes)
    }

    fn decide(&self, command: WalletCommand) -> Decision {
        let events = self.decided(command)?;
        for event in &events {
            assert!(event.held() <= event.balance(), "what is available is never negative");
            assert!(!event.held().is_negative(), "what is held is never negative");
        }
        Ok(events)
    }

    fn evolve(self, event: &WalletEvent) -> Wallet {
        self.after(event)
    }

    fn event(event: &Event) -> Option<&WalletEvent> {
        if let Event::Wallet(event) = event { Some(event) } else { None }
    }
}

impl Wallet {
    fn decided(&self, command: WalletCommand) -> Decision {
        match command {
            WalletCommand::TopUp { user_id, payment_id, amount } => self.top_up(user_id, payment_id, amount),
            WalletCommand::Hold { user_id, session_id, amount } => self.set_aside(user_id, session_id, amount),
            WalletCommand::Capture { user_id, session_id, due } => self.capture(user_id, session_id, due),
            WalletCommand::Release { user_id, session_id } => Ok(self.release(user_id, session_id)),
            WalletCommand::Credit { user_id, session_id, amount } => self.credit(user_id, session_id, amount),
            WalletCommand::RequestRefund { user_id, refund_id, amount, reason } => self.request_refund(user_id, refund_id, amount, reason),
            WalletCommand::ReportRefundPartSucceeded { user_id, refund_id } => Ok(self.part_succeeded(user_id, refund_id)),
            WalletCommand::ReportRefundPartFailed { user_id, refund_id } => Ok(self.part_failed(user_id, refund_id)),
        }
    }

    fn top_up(&self, user_id: UserId, payment_id: PaymentId, amount: Money) -> Decision {
        match self.sources.find(payment_id) {
            Some(source) if source.amount == amount => return Ok(vec![]),
            Some(source) => return Err(WalletError::TopUpDiffers { payment_id, amount: source.amount }),
            None => {}
        }
        positive(amount)?;
        let (balance, held) = (self.balance() + amount, self.held());
        Ok(vec![WalletEvent::ToppedUp { user_id, payment_id, amount, balance, held }])
    }

    fn set_aside(&self, user_id: UserId, session_id: SessionId, amount: Money) -> Decision {
        if self.past(session_id).is_some() {
            return Err(WalletError::HoldOver { session_id });
        }
        match self.hold(session_id) {
            Some(held) if held == amount => return Ok(vec![]),
            Some(held) => return Err(WalletError::HoldDiffers { session_id, held }),
            None => {}
        }
        positive(amount)?;
        self.covers(amount)?;
        let (balance, held) = (self.balance(), self.held() + amount);
        Ok(vec![WalletEvent::Held { user_id, session_id, amount, balance, held }])
    }

    fn capture(&self, user_id: UserId, session_id: SessionId, due: Money) -> Decision {
        if due.is_negative() {
            return Err(WalletError::DueNegative { due });
        }
        if self.past(session_id).is_some_and(|past| past.captured.is_some()) {
            return Ok(vec![]);
        }
        let hold = self.hold(session_id).unwrap_or(Money::ZERO);
        let amount = due.min(hold + self.available());
        let from_hold = amount.min(hold);
        let (balance, held) = (self.balance() - amount, self.held() - from_hold);
        // Recorded for a bill of nothing too: whoever waits for the outcome gets one.
        let captured = WalletEvent::Captured { user_id, session_id, due, amount, balance, held };
        let rest = hold - from_hold;
        let released = WalletEvent::Released { user_id, session_id, amount: rest, balance, held: held - rest };
        Ok(if rest.is_zero() { vec![captured] } else { vec![captured, released] })
    }

    fn release(&self, user_id: UserId, session_id: SessionId) -> Vec<WalletEvent> {
        let Some(amount) = self.hold(session_id) else { return vec![] };
        let (balance, held) = (self.balance(), self.held() - amount);
        vec![WalletEvent::Released { user_id, session_id, amount, balance, held }]
    }

    fn credit(&self, user_id: UserId, session_id: SessionId, amount: Money) -> Decision {
        positive(amount)?;
        let captured = match self.past(session_id) {
            Some(past) => past.captured.unwrap_or(Money::ZERO),
            None if self.has_forgotten_sessions() => amount,
            None => Money::ZERO,
        };
        if amount > captured {
            return Err(WalletError::CreditExceedsCapture { session_id, amount, captured });
        }
        let (balance, held) = (self.balance() + amount, self.held());
        Ok(vec![WalletEvent::Credited { user_id, session_id, amount, balance, held }])
    }

    fn request_refund(&self, user_id: UserId, refund_id: RefundId, amount: Money, reason: Option<String>) -> Decision {
        match self.refunds.iter().find(|(id, _)| *id == refund_id) {
            Some((_, first)) if *first == amount => return Ok(vec![]),
            Some((_, first)) => return Err(WalletError::RefundIdReused { refund_id, amount: *first }),
            None => {}
        }
        positive(amount)?;
        self.covers(amount)?;
        let refundable = self.refundable();
        if amount > refundable {
            return Err(WalletError::NotRefundable { amount, refundable });
        }
        let parts = self.sources.parts(refund_id, amount);
        let (balance, held) = (self.balance() - amount, self.held());
        Ok(vec![WalletEvent::RefundRequested { user_id, refund_id, amount, parts, reason, balance, held }])
    }

    /// A part that is not on its way has been reported before, or was no part of this wallet's refunds: the payment's stream says so.
    fn part_succeeded(&self, user_id: UserId, refund_id: RefundId) -> Vec<WalletEvent> {
        let Some(&RefundPart { payment_id, amount, .. }) = self.returning.get(&refund_id) else { return vec![] };
        let (balance, held) = (self.balance(), self.held());
        vec![WalletEvent::RefundPartSucceeded { user_id, payment_id, refund_id, amount, balance, held }]
    }

    fn part_failed(&self, user_id: UserId, refund_id: RefundId) -> Vec<WalletEvent> {
        let Some(&RefundPart { payment_id, amount, .. }) = self.returning.get(&refund_id) else { return vec![] };
        let (balance, held) = (self.balance() + amount, self.held());
        vec![WalletEvent::RefundPartFailed { user_id, payment_id, refund_id, amount, balance, held }]
    }

    fn covers(&self, amount: Money) -> Result<(), WalletError> {
        let available = self.available();
        if amount > available { Err(WalletError::InsufficientFunds { amount, available }) } else { Ok(()) }
    }
}

fn positive(amount: Money) -> Result<(), WalletError> {
    if amount.is_positive() { Ok(()) } else { Err(WalletError::AmountNotPositive { amount }) }
}
