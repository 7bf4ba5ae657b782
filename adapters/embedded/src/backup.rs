//! Copies of a store while it is being written to, and the way back. A copy counts only once every hash in it was computed again.
//!
//! The log is copied first and the keys after it, so that no event of the copy lacks the key it was sealed with. A key that is destroyed
//! in between is missing in the copy, and that is right.

use std::fs::File;
use std::path::{Path, PathBuf};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use crate::database::{KEYS, LOG, make_for_owner};
use crate::error::{OpenError, store_error};
use crate::reader::Reader;
use crate::verify::Verified;
use crate::{Info, Progress};

/// Pages in one step: between steps the progress is told.
const STEP: i32 = 2_048;

/// What a copy holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// The log of the copy.
    pub log: Info,
    /// What a look at all of it found: never a fault, since such a copy is refused.
    pub verified: Verified,
    /// Whether there were keys to copy.
    pub has_keys: bool,
}

/// Copies the store in `from` to `to`, a directory that holds no store yet, beside whoever writes it. Progress counts pages, then events.
///
/// # Errors
/// When there is no store in `from`, when `to` holds one, when the disk is full, or when what was copied is damaged.
pub fn backup(from: &Path, to: &Path, progress: impl FnMut(Progress)) -> Result<Copied, OpenError> {
    copy(from, to, progress)
}

/// Copies a backup to where a store is to be opened. Nothing is overwritten: a store that is there must be moved away first.
///
/// # Errors
/// As [`backup`].
pub fn restore(from: &Path, to: &Path, progress: impl FnMut(Progress)) -> Result<Copied, OpenError> {
    copy(from, to, progress)
}

fn copy(from: &Path, to: &Path, mut progress: impl FnMut(Progress)) -> Result<Copied, OpenError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::Io { path, source }
    };
    let has_log = from.join(LOG).exists();
    if !has_log {
        return Err(OpenError::Missing { path: from.to_owned() });
    }
    refuse_what_is_there(to)?;
    // Half a copy must not look like one: it is made in a directory beside its place, and moved when it is proven.
    let partial = to.join("partial");
    if partial.exists() {
        std::fs::remove_dir_all(&partial).map_err(io(&partial))?;
    }
    std::fs::create_dir_all(&partial).map_err(io(&partial))?;
    copy_file(&from.join(LOG), &partial.join(LOG), &mut progress)?;
    let has_keys = from.join(KEYS).exists();
    if has_keys {
        copy_file(&from.join(KEYS), &partial.join(KEYS), &mut progress)?;
    }
    let mut reader = Reader::open(&partial)?;
    let verified = reader.verify(&mut progress)?;
    if let Some(fault) = verified.fault {
        return Err(OpenError::Store(crate::error::damaged(fault.position.0, fault.reason)));
    }
    let log = Info { path: to.to_owned(), ..reader.info()? };
    drop(reader);
    // The log comes last: where it is, all is.
    for name in [KEYS, LOG].into_iter().filter(|name| has_keys || *name == LOG) {
        std::fs::rename(partial.join(name), to.join(name)).map_err(io(to))?;
    }
    std::fs::remove_dir_all(&partial).map_err(io(&partial))?;
    File::open(to).and_then(|directory| directory.sync_all()).map_err(io(to))?;
    Ok(Copied { log, verified, has_keys })
}

/// Also what SQLite leaves beside a file: an old write-ahead log would be applied to the new file.
fn refuse_what_is_there(to: &Path) -> Result<(), OpenError> {
    let there = [LOG, KEYS].into_iter().flat_map(|name| ["", "-wal", "-shm", "-journal"].map(|end| to.join(format!("{name}{end}"))));
    match there.into_iter().find(|path| path.exists()) {
        Some(path) => Err(OpenError::Exists { path }),
        None => Ok(()),
    }
}

fn copy_file(from: &Path, to: &PathBuf, progress: &mut impl FnMut(Progress)) -> Result<(), OpenError> {
    make_for_owner(to)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let source = Connection::open_with_flags(from, flags).map_err(store_error)?;
    let mut target = Connection::open(to).map_err(store_error)?;
    // One read from beginning to end: without it every write of somebody else would begin the copy anew.
    source.execute_batch("PRAGMA busy_timeout = 5000; BEGIN; SELECT 1 FROM sqlite_schema;").map_err(store_error)?;
    let copying = Backup::new(&source, &mut target).map_err(store_error)?;
    while let StepResult::More = copying.step(STEP).map_err(store_error)? {
        let pages = copying.progress();
        let count = |pages: i32| u64::try_from(pages).unwrap_or_default();
        progress(Progress { done: count(pages.pagecount - pages.remaining), total: count(pages.pagecount) });
    }
    drop(copying);
    // A copy is one file, readable where nothing can be written. Opening it as a store makes it a store's again.
    target.pragma_update(None, "journal_mode", "DELETE").map_err(store_error)?;
    target.close().map_err(|(_, error)| store_error(error))?;
    File::open(to).and_then(|file| file.sync_all()).map_err(|source| OpenError::Io { path: to.clone(), source })
}
