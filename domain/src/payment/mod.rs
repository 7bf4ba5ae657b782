//! What can happen to a payment and its refunds.

mod event;

pub use event::*;
