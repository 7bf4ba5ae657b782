//! Rebuilding a read model while it serves: a shadow build is filled from the log on all cores, catches up, accounts for every event, is compared
//! with the build that serves, and takes its place in one transaction. The build before it stays for the way back.
//!
//! | module | what |
//! |---|---|
//! | [`port`] | the database, as a rebuild needs it; what a rebuild says about itself |
//! | `replay` | one reading of the log into fresh tables |
//! | `control` | pausing, cancelling, the budget |
//! | `job`, `board` | from the beginning to filled and indexed tables; what can be seen of it |
//! | `finish` | catching up, accounting, comparing, swapping; the way back |
//! | `waiting` | what it does while the database is away, or has no room |
//! | `past` | what the log was at a time, and how many events of which type it has |
//! | `repair` | one row folded again |
//! | `auto` | what is rebuilt without being asked for |
//!
//! A shadow has no hands: nothing here sends anything outside.

mod auto;
mod board;
mod control;
mod finish;
mod job;
mod past;
pub mod port;
mod repair;
mod replay;
mod waiting;

pub use auto::keep_built;
pub use job::{Finish, Options, Rebuilder, Watcher};
pub use past::position_at;
pub use repair::{Repaired, repair};

use domain::log::StoreError;

use crate::port::{Halt, ReadStoreError};
use port::Account;

/// Why a rebuild did not come to its end. The build that serves is as it was.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RebuildError {
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] StoreError),
    /// The database cannot.
    #[error(transparent)]
    Database(#[from] ReadStoreError),
    /// The fold cannot apply an event.
    #[error("{name} cannot apply the event at position {}: {}", halt.position, halt.error)]
    Halted {
        /// The projection.
        name: String,
        /// The event, quoted.
        halt: Box<Halt>,
    },
    /// Another process rebuilds it.
    #[error("{name} is being rebuilt by another process")]
    Busy {
        /// The projection.
        name: String,
    },
    /// People gave it up.
    #[error("the rebuild of {name} was cancelled")]
    Cancelled {
        /// The projection.
        name: String,
    },
    /// Some event is not accounted for: the build may not serve.
    #[error("the build of {name} does not account for every event: {}", unaccounted(account))]
    NotAccounted {
        /// The projection.
        name: String,
        /// What was counted.
        account: Box<Account>,
    },
    /// There is no build to do it with.
    #[error("{name}: {reason}")]
    NoBuild {
        /// The projection.
        name: String,
        /// What is missing.
        reason: String,
    },
    /// There is no such row and no event that would make one.
    #[error("{name} has no such row: {reason}")]
    NoRow {
        /// The projection.
        name: String,
        /// What does not fit.
        reason: String,
    },
}

fn unaccounted(account: &Account) -> String {
    let differing = account.differing.iter().map(|(name, (folded, logged))| format!("{name}: {folded} folded, {logged} in the log"));
    let ignored: u64 = account.ignored.values().sum();
    let sum =
        format!("{} applied + {ignored} ignored + {} quarantined, of {} events", account.applied, account.quarantined, account.events);
    std::iter::once(sum).chain(differing).collect::<Vec<_>>().join("; ")
}
