//! The embedded event store and key store: SQLite, one writing process, group commit.
//!
//! | module | what |
//! |---|---|
//! | [`store`] | [`EmbeddedStore`], the port's engine: opening, and handing work to the writer and the readers |
//! | `writer`, `tails` | the one writing thread, and what it knows of the ends of streams |
//! | [`reader`] | a connection that only reads, for threads: pages of the log, `info` |
//! | [`key_store`] | the keys of personal data, in a file of their own beside the log |
//!
//! One directory holds it all: `log.db`, `keys.db`, and `writer.lock`, which names the writing process. Why SQLite, and why these
//! settings, stands in `docs/adr`.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod database;
mod error;
pub mod key_store;
mod lock;
mod pool;
pub mod reader;
mod row;
pub mod store;
mod tails;
mod writer;

pub use error::OpenError;
pub use key_store::{KeyStore, KeysInfo};
pub use reader::{Info, Reader};
pub use store::{EmbeddedStore, Options};
