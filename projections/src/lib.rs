//! The read models: each a fold over events, and the runner that keeps them up to date.
//!
//! | module | what |
//! |---|---|
//! | [`fold`], [`context`] | what a projection is, and the little it may know beside its event |
//! | [`table`], [`value`] | the shape of a row; cells |
//! | [`port`] | the database of the read models, and the way builds are written |
//! | [`query`] | the port of those who read |
//! | [`runner`], [`feed`] | one reader of the log, a task for each projection |
//!
//! Adding one is a file and a line in [`all`]: docs/howto/add-a-projection.md.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod context;
pub mod feed;
pub mod fold;
pub mod port;
mod projector;
pub mod query;
pub mod runner;
pub mod table;
pub mod value;

pub mod sessions;

use std::sync::Arc;

use fold::{Projection, keyed};

/// Every projection there is.
#[must_use]
pub fn all() -> Vec<Arc<dyn Projection>> {
    vec![keyed::<sessions::Sessions>()]
}
