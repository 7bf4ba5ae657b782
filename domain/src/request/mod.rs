//! A client's `Idempotency-Key`, kept for as long as the ledger.

mod event;

pub use event::*;
