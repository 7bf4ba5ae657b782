//! The event store on EventStoreDB and KurrentDB, by the official client: a server, or a cluster of three, that several processes share.
//!
//! - [`EsdbStore`] is the engine. An append is read back and compared, because the server takes an id that it knows for a repeat without looking at what it says.
//! - A position is the server's commit position; `wire.rs` says how an event is stored, `marks.rs` how events are counted and a place in the log is found.
//! - `link.rs` is the only way to the server: a deadline on every call, bounded retries with growing pauses, a fresh client after a broken one, and a breaker.
//!
//! Deliberately absent: the client's subscriptions and batch appends. A subscription that ends politely spins inside one poll, where nothing can stop it, and
//! one conflict ends a batch session; the log is followed by reading on from our own place (`waiting.rs`), and appends are single calls.

mod append;
mod cursor;
mod link;
mod marks;
mod milestones;
mod read;
mod store;
mod tails;
mod tls;
mod url;
mod waiting;
mod wire;

pub use link::{OpenError, Patience};
pub use store::EsdbStore;
pub use tls::claim_tls;
pub use url::{EsdbUrl, UrlError};
