//! What can happen to a wallet. Its balance is money that users have prepaid; holds set a part of it aside.

use serde::{Deserialize, Serialize};

use crate::ids::{PaymentId, RefundId, SessionId, UserId};
use crate::units::Money;

/// A part of a wallet refund: it goes back to the payment that the money came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RefundPart {
    /// The payment.
    pub payment_id: PaymentId,
    /// The refund of that payment.
    pub refund_id: RefundId,
    /// How much of it.
    pub amount: Money,
}

/// What can happen to a wallet. Every variant says the balance and the held sum after it, so that a statement needs no memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum WalletEvent {
    /// A payment came in. Posted by `payment.succeeded`, not here.
    ToppedUp {
        /// Whose.
        user_id: UserId,
        /// From which payment.
        payment_id: PaymentId,
        /// How much.
        amount: Money,
        /// The balance after it.
        balance: Money,
        /// The held sum after it.
        held: Money,
    },
    /// A part was set aside for a session.
    Held {
        /// Whose.
        user_id: UserId,
        /// For which session.
        session_id: SessionId,
        /// How much.
        amount: Money,
        /// The balance after it (unchanged).
        balance: Money,
        /// The held sum after it.
        held: Money,
    },
    /// What was set aside is free again.
    Released {
        /// Whose.
        user_id: UserId,
        /// Of which session.
        session_id: SessionId,
        /// How much.
        amount: Money,
        /// The balance after it (unchanged).
        balance: Money,
        /// The held sum after it.
        held: Money,
    },
    /// A bill was paid from it: the hold first, then what was available. Posted.
    Captured {
        /// Whose.
        user_id: UserId,
        /// For which session.
        session_id: SessionId,
        /// How much was due.
        due: Money,
        /// How much was taken; what is missing stays receivable.
        amount: Money,
        /// The balance after it.
        balance: Money,
        /// The held sum after it.
        held: Money,
    },
    /// A bill that had been paid from it was corrected downwards. Posted: 1122 to 2205.
    Credited {
        /// Whose.
        user_id: UserId,
        /// For which session.
        session_id: SessionId,
        /// How much came back.
        amount: Money,
        /// The balance after it.
        balance: Money,
        /// The held sum after it.
        held: Money,
    },
    /// The user wants money back: it leaves the balance now and goes to the source payments, oldest first.
    RefundRequested {
        /// Whose.
        user_id: UserId,
        /// Which request.
        refund_id: RefundId,
        /// How much.
        amount: Money,
        /// To which payments.
        parts: Vec<RefundPart>,
        /// Why, when somebody said so.
        reason: Option<String>,
        /// The balance after it.
        balance: Money,
        /// The held sum after it.
        held: Money,
    },
    /// A part went back. Posted by `payment.refund_succeeded`, not here.
    RefundPartSucceeded {
        /// Whose.
        user_id: UserId,
        /// Of which payment.
        payment_id: PaymentId,
        /// Which refund of it.
        refund_id: RefundId,
        /// How much.
        amount: Money,
        /// The balance after it (unchanged).
        balance: Money,
        /// The held sum after it.
        held: Money,
    },
    /// A part could not go back, and is in the balance again.
    RefundPartFailed {
        /// Whose.
        user_id: UserId,
        /// Of which payment.
        payment_id: PaymentId,
        /// Which refund of it.
        refund_id: RefundId,
        /// How much.
        amount: Money,
        /// The balance after it.
        balance: Money,
        /// The held sum after it.
        held: Money,
    },
}

impl WalletEvent {
    /// Whose.
    #[must_use]
    pub const fn user_id(&self) -> UserId {
        match self {
            WalletEvent::ToppedUp { user_id, .. }
            | WalletEvent::Held { user_id, .. }
            | WalletEvent::Released { user_id, .. }
            | WalletEvent::Captured { user_id, .. }
            | WalletEvent::Credited { user_id, .. }
            | WalletEvent::RefundRequested { user_id, .. }
            | WalletEvent::RefundPartSucceeded { user_id, .. }
            | WalletEvent::RefundPartFailed { user_id, .. } => *user_id,
        }
    }

    /// The balance after it.
    #[must_use]
    pub const fn balance(&self) -> Money {
        match self {
            WalletEvent::ToppedUp { balance, .. }
            | WalletEvent::Held { balance, .. }
            | WalletEvent::Released { balance, .. }
            | WalletEvent::Captured { balance, .. }
            | WalletEvent::Credited { balance, .. }
            | WalletEvent::RefundRequested { balance, .. }
            | WalletEvent::RefundPartSucceeded { balance, .. }
            | WalletEvent::RefundPartFailed { balance, .. } => *balance,
        }
    }

    /// The held sum after it.
    #[must_use]
    pub const fn held(&self) -> Money {
        match self {
            WalletEvent::ToppedUp { held, .. }
            | WalletEvent::Held { held, .. }
            | WalletEvent::Released { held, .. }
            | WalletEvent::Captured { held, .. }
            | WalletEvent::Credited { held, .. }
            | WalletEvent::RefundRequested { held, .. }
            | WalletEvent::RefundPartSucceeded { held, .. }
            | WalletEvent::RefundPartFailed { held, .. } => *held,
        }
    }
}
