//! Why a store does not open, and what SQLite's errors mean to a caller of the port.

use std::path::PathBuf;

use domain::log::{Position, StoreError};
use rusqlite::ErrorCode;

/// Why a store does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process writes it. Reading is always allowed.
    #[error("{path} is being written by process {pid}; stop that one first, go through it, or open for reading only", path = path.display())]
    Locked {
        /// The store.
        path: PathBuf,
        /// The writing process.
        pid: String,
    },
    /// There is nothing to read.
    #[error("there is no event store at {path}", path = path.display())]
    Missing {
        /// Where.
        path: PathBuf,
    },
    /// There is something already, and it is not overwritten.
    #[error("{path} exists already and is not overwritten", path = path.display())]
    Exists {
        /// Where.
        path: PathBuf,
    },
    /// Somebody has it open who would not notice that it goes.
    #[error("{path} is in use: stop every server and command of this ledger first", path = path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// Some other program's database.
    #[error("{path} is a database, but not one of this ledger", path = path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Written by a newer release, which knows what this one does not.
    #[error("{path} has schema version {found}, this release knows {known}: use the newer release", path = path.display())]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest that we know.
        known: u32,
    },
    /// The operating system refuses.
    #[error("cannot open {path}", path = path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The engine refuses, or the end of the log is damaged.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What an error of SQLite's means to a caller.
#[allow(clippy::needless_pass_by_value, reason = "the form that map_err asks for")]
pub(crate) fn store_error(error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => {
            StoreError::Unavailable { reason: "the disk is full: free some space, nothing is lost and appends work again".to_owned() }
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            StoreError::Damaged { position: Position(0), reason: format!("the file is no sound database: {error}") }
        }
        Some(_) | None => StoreError::Unavailable { reason: error.to_string() },
    }
}

/// What a row says that no row of ours says.
pub(crate) fn damaged(position: u64, reason: impl Into<String>) -> StoreError {
    StoreError::Damaged { position: Position(position), reason: reason.into() }
}
