//! Money coming in through a channel, and going back.
//!
//! A payment is initiated, prepared at its channel, and then succeeds, fails or closes; its refunds live in its stream, so that their sum
//! never exceeds it. What a channel says is a fact: it is recorded whatever it says, and judged here. Only requests are refused.
//!
//! | what the channel says | what becomes of it |
//! |---|---|
//! | paid, as agreed | succeeded, once |
//! | paid, after the payment had failed or closed | received late: to be sent back |
//! | paid, with another amount or under a second transaction number | disputed: nothing is posted |
//! | refunded, as asked | succeeded, once |
//! | refunded, after it had said that it could not | succeeded, as long as the money is still there to go back; else disputed |
//! | refunded, another amount, another number, or never asked for | disputed: nothing is posted |
//! | not refunded, after it had said that it was | disputed: nothing is posted |
//!
//! Staff decide about what is left: money that belongs to nothing goes back or becomes the user's prepayment, and a contradiction is closed with a note.
//!
//! Deliberately absent: limits of one channel (50 partial refunds, a year to refund in). They are its adapter's, which reports the
//! refund as failed.

mod decide;
mod event;
mod resolve;
#[cfg(test)]
mod resolve_tests;
mod state;
#[cfg(test)]
mod tests;

pub use decide::{PaymentCommand, PaymentError};
pub use event::*;
pub use resolve::Resolution;
pub use state::{Payment, PaymentStatus, Receipt, Refund, RefundOutcome, Terms};
