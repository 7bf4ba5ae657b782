//! The read models in PostgreSQL: builds, checkpoints, views and queries.
//!
//! | module | what |
//! |---|---|
//! | `server` | where the database is, and the TLS on the way there |
//! | [`connect`] | the pools, and everything that is missing on the server made |
//! | `gate` | callers turned away while the server does not answer |
//! | [`leader`] | which process leads which projection: advisory locks of one session |
//! | [`schema`] | tables of builds from the projections' row types |
//! | [`cells`] | cells to parameters, columns to cells |
//! | [`store`] | the projections' port: builds, rows and checkpoint in one transaction |
//! | `rebuild`, `fill`, `held`, `diff` | builds beside the one that serves: begun, filled, swapped in, compared |
//! | [`query`], `page`, `near`, `books` | the readers' port: pages of any read model, stations around a point, the books |
//! | `subject_keys` | the keys of personal data, in a database of their own |
//!
//! Nothing here knows what a read model means, and nothing here is the truth: drop the database, and it comes back from the log.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod books;
pub mod cells;
pub mod connect;
mod diff;
mod error;
mod fill;
mod gate;
mod held;
pub mod leader;
mod near;
mod outbox;
mod page;
pub mod query;
mod rebuild;
mod room;
pub mod schema;
mod server;
pub mod store;
mod subject_keys;
mod taken_keys;

pub use connect::{ReadModels, Settings};
pub use server::check_url;
pub use subject_keys::{SharedKeys, SharedKeysInfo};
pub use taken_keys::TakeError;
