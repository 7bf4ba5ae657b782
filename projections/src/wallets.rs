//! Wallets: what each user has, and how much of it is set aside. How it came to that stands in `wallet_statement`.

use domain::event::Event;
use domain::ids::{OperatorId, UserId};
use domain::log::{Position, Revision};
use domain::time::Timestamp;
use domain::units::Money;

use crate::fold::{Keyed, Moment, ProjectionError};
use crate::row;

row! {
    /// A wallet (钱包).
    pub struct WalletRow in "wallets" {
        key {
            /// Whose.
            user_id: UserId,
        }
        /// Whose books: the tenant.
        operator_id: OperatorId,
        /// What is in it.
        balance_yuan: Money,
        /// The part that is set aside.
        held_yuan: Money,
        /// The part that is free.
        available_yuan: Money,
        /// When it last changed.
        updated_at: Timestamp,
        /// The revision of its stream that this row holds.
        revision: Revision,
        /// The position that this row holds.
        position: Position,
    }
    index(operator_id, updated_at);
}

/// The projection of [`WalletRow`].
#[derive(Debug)]
pub struct Wallets;

impl Keyed for Wallets {
    type Row = WalletRow;
    const VERSION: u32 = 1;
    const HANDLES: &'static [&'static str] = HANDLES;

    fn keys(moment: &Moment<'_>) -> Result<Vec<(UserId,)>, ProjectionError> {
        let Event::Wallet(event) = moment.event() else { return Ok(Vec::new()) };
        Ok(vec![(event.user_id(),)])
    }

    fn evolve(_: &(UserId,), row: Option<WalletRow>, moment: &Moment<'_>) -> Result<Option<WalletRow>, ProjectionError> {
        let Event::Wallet(event) = moment.event() else { return Ok(row) };
        Ok(Some(WalletRow {
            user_id: event.user_id(),
            operator_id: moment.operator_id(),
            balance_yuan: event.balance(),
            held_yuan: event.held(),
            available_yuan: event.balance() - event.held(),
            updated_at: moment.occurred_at(),
            revision: moment.recorded.revision,
            position: moment.position(),
        }))
    }
}

/// All events of a wallet.
pub(crate) const HANDLES: &[&str] = &[
    "wallet.topped_up",
    "wallet.held",
    "wallet.released",
    "wallet.captured",
    "wallet.credited",
    "wallet.refund_requested",
    "wallet.refund_part_succeeded",
    "wallet.refund_part_failed",
];
