//! What one request or one fact does: load, decide, append; and the process managers that span streams.
//!
//! | module | what |
//! |---|---|
//! | [`port`] | clock, ids, payment channels, devices, keys of personal data |
//! | [`handle`] | load → decide → append, retry on conflict |

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod handle;
pub mod port;

pub use handle::{Done, Envelope, HandleError, Ledger, Loaded};
