//! A key store on its way elsewhere: held, so that nobody else has it open, read as a whole, and then put aside.

use std::fs::File;
use std::path::{Path, PathBuf};

use commands::port::AllKeys;
use rusqlite::{Connection, ErrorCode, OptionalExtension as _};
use uuid::Uuid;

use crate::database::{KEYS, KEYS_KIND, open_writing};
use crate::error::{OpenError, store_error};

/// What a key store is called whose keys are elsewhere now.
const MOVED: &str = "keys.db.moved";

/// A key store that this process alone has open.
#[derive(Debug)]
pub struct HeldKeys {
    path: PathBuf,
    connection: Connection,
}

impl HeldKeys {
    /// Whether a directory has a key store.
    #[must_use]
    pub fn are_in(directory: &Path) -> bool {
        directory.join(KEYS).exists()
    }

    /// The key store of a directory that was put aside, if one was and none is in its place.
    #[must_use]
    pub fn put_aside_in(directory: &Path) -> Option<PathBuf> {
        let moved = directory.join(MOVED);
        (moved.exists() && !HeldKeys::are_in(directory)).then_some(moved)
    }

    /// Takes the key store of a directory for this process alone.
    ///
    /// # Errors
    /// When there is none, or somebody else has it open.
    pub fn hold(directory: &Path) -> Result<HeldKeys, OpenError> {
        let path = directory.join(KEYS);
        if !path.exists() {
            return Err(OpenError::Missing { path });
        }
        let connection = open_writing(&path, KEYS_KIND)?;
        let in_use = |error: rusqlite::Error| match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => OpenError::InUse { path: path.clone() },
            _ => store_error(error).into(),
        };
        connection.execute_batch("PRAGMA busy_timeout = 0").map_err(store_error)?;
        // The write-ahead log can only be given up by whoever is alone with the file; then all of it is in one piece, too.
        let mode: String = connection.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get(0)).map_err(in_use)?;
        if mode != "delete" {
            return Err(OpenError::InUse { path });
        }
        connection.execute_batch("BEGIN EXCLUSIVE").map_err(in_use)?;
        Ok(HeldKeys { path, connection })
    }

    /// All that there is.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn all(&self) -> Result<AllKeys, OpenError> {
        let read = || {
            let lookup_key = self.connection.query_row("SELECT key FROM lookup_key", [], |row| row.get(0)).optional()?;
            let mut all = AllKeys { lookup_key, ..AllKeys::default() };
            let mut subjects = self.connection.prepare("SELECT subject, key FROM subjects")?;
            for row in subjects.query_map([], |row| Ok((Uuid::from_bytes(row.get(0)?), row.get(1)?)))? {
                let (subject, key) = row?;
                all.subjects.insert(subject, key);
            }
            let mut lookups = self.connection.prepare("SELECT lookup, subject FROM lookups")?;
            for row in lookups.query_map([], |row| Ok((row.get(0)?, Uuid::from_bytes(row.get(1)?))))? {
                let (lookup, subject) = row?;
                all.lookups.insert(lookup, subject);
            }
            Ok(all)
        };
        read().map_err(|error| store_error(error).into())
    }

    /// Gives the file another name, so that nobody goes on with it: `keys.db.moved`.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn put_aside(self) -> Result<PathBuf, OpenError> {
        let moved = self.path.with_file_name(MOVED);
        let io = |source| OpenError::Io { path: moved.clone(), source };
        std::fs::rename(&self.path, &moved).map_err(io)?;
        if let Some(directory) = moved.parent() {
            File::open(directory).and_then(|directory| directory.sync_all()).map_err(io)?;
        }
        Ok(moved)
    }
}
