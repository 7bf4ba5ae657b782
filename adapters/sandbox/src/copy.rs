//! A copy of the sandbox's books while they are being written to: its statement belongs to a backup as the ledger's log does, or an audit of the restored ledger
//! has nothing to compare 1012.sandbox with.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use crate::books::make_for_owner;

/// Pages in one step.
const STEP: i32 = 2_048;
/// How long a copy waits for somebody who holds the file.
const BUSY: Duration = Duration::from_secs(5);

/// Why the books are not copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// There is something already, and it is not overwritten.
    #[error("{} exists already and is not overwritten", path.display())]
    Exists {
        /// Where.
        path: PathBuf,
    },
    /// The operating system refuses.
    #[error("cannot write {}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The engine refuses.
    #[error("the sandbox's books cannot be copied")]
    Engine(#[from] rusqlite::Error),
}

/// Copies the books in `from` to `to`, which is not there yet, beside whoever writes them.
///
/// # Errors
/// When `to` is there, or one of the two cannot be used.
pub fn copy(from: &Path, to: &Path) -> Result<(), CopyError> {
    must_not_be_there(to)?;
    let io = |source| CopyError::Io { path: to.to_owned(), source };
    // Half a copy must not look like one.
    let partial = to.with_extension("partial");
    if partial.exists() {
        std::fs::remove_file(&partial).map_err(io)?;
    }
    let source = Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    source.busy_timeout(BUSY)?;
    // One read from beginning to end: without it every write of somebody else would begin the copy anew.
    source.execute_batch("BEGIN; SELECT 1 FROM sqlite_schema;")?;
    make_for_owner(&partial);
    let mut target = Connection::open(&partial)?;
    let copying = Backup::new(&source, &mut target)?;
    while let StepResult::More = copying.step(STEP)? {}
    drop(copying);
    // A copy is one file; opening it as books brings back the write-ahead log.
    target.pragma_update(None, "journal_mode", "DELETE")?;
    target.close().map_err(|(_, error)| error)?;
    std::fs::File::open(&partial).and_then(|file| file.sync_all()).map_err(io)?;
    std::fs::rename(&partial, to).map_err(io)
}

/// Whether nothing is there that a copy would overwrite; also nothing that SQLite leaves beside a file, since an old write-ahead log would be applied to the new one.
///
/// # Errors
/// When something is.
pub fn must_not_be_there(to: &Path) -> Result<(), CopyError> {
    let beside = |end: &str| PathBuf::from(format!("{}{end}", to.display()));
    match ["", "-wal", "-shm", "-journal"].map(beside).into_iter().find(|path| path.exists()) {
        Some(path) => Err(CopyError::Exists { path }),
        None => Ok(()),
    }
}
