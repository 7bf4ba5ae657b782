//! The embedded event store and key store: SQLite, one writing process, group commit.
//!
//! | module | what |
//! |---|---|
//! | [`store`] | [`EmbeddedStore`], the port's engine: opening, and handing work to the writer and the readers |
//! | `writer`, `tails` | the one writing thread, and what it knows of the ends of streams |
//! | `recent` | what was just committed, for whoever follows the log |
//! | [`reader`] | a connection that only reads, for threads: pages of the log, `info` |
//! | [`replay`] | the whole log on all cores, in order |
//! | [`verify`] | every hash and every place, computed again |
//! | [`backup`] | copies while it is being written to, and the way back |
//! | [`key_store`] | the keys of personal data, in a file of their own beside the log |
//! | [`snapshots`] | states of streams that grow for years, in a file that may be lost |
//! | [`disk`] | what room is left where it lies |
//! | [`bench`] | durable appends against the bound of the same disk |
//!
//! One directory holds it all: `log.db`, `keys.db`, `snapshots.db`, and `writer.lock`, which names the writing process. Why SQLite, and why these
//! settings, stands in `docs/adr`.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod backup;
pub mod bench;
mod database;
pub mod disk;
mod error;
pub mod held_keys;
pub mod key_store;
mod lock;
mod pool;
pub mod reader;
mod recent;
pub mod replay;
mod row;
pub mod snapshots;
pub mod store;
mod tails;
pub mod verify;
mod writer;

pub use backup::{Copied, backup, restore};
pub use error::OpenError;
pub use held_keys::HeldKeys;
pub use key_store::{KeyStore, KeysInfo};
pub use reader::{Info, Reader};
pub use replay::{Replay, replay};
pub use snapshots::SnapshotFile;
pub use store::{EmbeddedStore, Options};
pub use verify::{Fault, Verified};

/// How far long work has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is done: pages, or events.
    pub done: u64,
    /// Of how many.
    pub total: u64,
}
