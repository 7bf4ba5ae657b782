//! The wallet's statement: each movement, with the balance after it.

use domain::event::Event;
use domain::ids::{OperatorId, PaymentId, RefundId, SessionId, UserId};
use domain::log::Position;
use domain::time::Timestamp;
use domain::units::Money;
use domain::wallet::WalletEvent;

use crate::fold::{Journal, Moment, ProjectionError};
use crate::row;

row! {
    /// A movement of a wallet (钱包流水).
    pub struct MovementRow in "wallet_statement" {
        key {
            /// The position of its event.
            position: Position,
        }
        /// Whose books: the tenant.
        operator_id: OperatorId,
        /// Whose wallet.
        user_id: UserId,
        /// What happened: `topped_up`, `held`, `released`, `captured`, `credited`, `refund_requested`, `refund_part_succeeded`, `refund_part_failed`.
        kind: String,
        /// How much the event speaks of.
        amount_yuan: Money,
        /// What it changes the balance by.
        change_yuan: Money,
        /// The balance after it.
        balance_yuan: Money,
        /// The held sum after it.
        held_yuan: Money,
        /// For which session.
        session_id: Option<SessionId>,
        /// By which payment.
        payment_id: Option<PaymentId>,
        /// By which refund.
        refund_id: Option<RefundId>,
        /// When.
        occurred_at: Timestamp,
    }
    index(operator_id, user_id);
}

/// The projection of [`MovementRow`].
#[derive(Debug)]
pub struct WalletStatement;

impl Journal for WalletStatement {
    type Row = MovementRow;
    const VERSION: u32 = 1;
    const HANDLES: &'static [&'static str] = crate::wallets::HANDLES;

    fn rows(moment: &Moment<'_>) -> Result<Vec<MovementRow>, ProjectionError> {
        let Event::Wallet(event) = moment.event() else { return Ok(Vec::new()) };
        let (amount, change) = moved(event);
        let (session_id, payment_id, refund_id) = about(event);
        Ok(vec![MovementRow {
            position: moment.position(),
            operator_id: moment.operator_id(),
            user_id: event.user_id(),
            kind: moment.event_type.trim_start_matches("wallet.").to_owned(),
            amount_yuan: amount,
            change_yuan: change,
            balance_yuan: event.balance(),
            held_yuan: event.held(),
            session_id,
            payment_id,
            refund_id,
            occurred_at: moment.occurred_at(),
        }])
    }
}

/// What an event speaks of, and what it changes the balance by.
fn moved(event: &WalletEvent) -> (Money, Money) {
    match event {
        WalletEvent::ToppedUp { amount, .. } | WalletEvent::Credited { amount, .. } | WalletEvent::RefundPartFailed { amount, .. } => {
            (*amount, *amount)
        }
        WalletEvent::Captured { amount, .. } | WalletEvent::RefundRequested { amount, .. } => (*amount, -*amount),
        WalletEvent::Held { amount, .. } | WalletEvent::Released { amount, .. } | WalletEvent::RefundPartSucceeded { amount, .. } => {
            (*amount, Money::ZERO)
        }
    }
}

fn about(event: &WalletEvent) -> (Option<SessionId>, Option<PaymentId>, Option<RefundId>) {
    match event {
        WalletEvent::ToppedUp { payment_id, .. } => (None, Some(*payment_id), None),
        WalletEvent::Held { session_id, .. }
        | WalletEvent::Released { session_id, .. }
        | WalletEvent::Captured { session_id, .. }
        | WalletEvent::Credited { session_id, .. } => (Some(*session_id), None, None),
        WalletEvent::RefundRequested { refund_id, .. } => (None, None, Some(*refund_id)),
        WalletEvent::RefundPartSucceeded { payment_id, refund_id, .. } | WalletEvent::RefundPartFailed { payment_id, refund_id, .. } => {
            (None, Some(*payment_id), Some(*refund_id))
        }
    }
}
