//! A user's prepaid money: topped up, set aside for sessions, taken for bills, given back.
//!
//! `available = balance − held`, and never negative: a hold is refused above it, and a capture takes the hold and what is available, and
//! leaves the rest to be paid otherwise.
//!
//! Money is spent oldest top-up first, and goes back oldest top-up first: what a top-up has left is what may go back to its payment.
//! A credit gives back to the top-up that was spent last.
//!
//! The state stays small however long the wallet lives: it keeps what is open (holds, refunds on their way, top-ups with money left),
//! and of what is over the latest [`REMEMBERED_MAX`] sessions, refunds and spent top-ups. A repetition from before that is recognised by its
//! command's id alone, as every repetition is by `commands::handle`.
//!
//! Deliberately absent: the channel. A wallet's refund is a list of parts; each is a refund of its payment, which reports back.

mod decide;
mod event;
#[cfg(test)]
mod properties;
mod sources;
mod state;
#[cfg(test)]
mod tests;

pub use decide::{WalletCommand, WalletError};
pub use event::*;
pub use sources::Source;
pub use state::{REMEMBERED_MAX, Wallet};
