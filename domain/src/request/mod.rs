//! A client's `Idempotency-Key`, kept for as long as the ledger: the same key finds the same seed, so the same ids, streams and outcome.

mod decide;
mod event;
#[cfg(test)]
mod tests;

pub use decide::*;
pub use event::*;
