//! The keys of personal data: a second file beside the log, because it must be able to forget what the log must not.
//!
//! Destroying a key overwrites it, and empties the write-ahead log that may still hold it. Copies that were made before keep it: old
//! backups of this file are to be deleted on a schedule, and a restored one is to be followed by the erasures that the log records.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use commands::port::{SubjectKeyError, SubjectKeys};
use domain::ids::UserId;
use domain::sealed::LookupHash;
use rusqlite::{Connection, OptionalExtension as _, params};
use uuid::Uuid;

use crate::database::{KEYS, KEYS_KIND, make_for_owner, open_reading, open_writing, unsigned};
use crate::error::{OpenError, store_error};

/// The key store of one ledger. Several processes may open it: each operation is one short transaction.
#[derive(Debug, Clone)]
pub struct KeyStore(Arc<Keys>);

#[derive(Debug)]
struct Keys {
    path: PathBuf,
    connection: Mutex<Connection>,
}

/// How much there is in a key store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeysInfo {
    /// The file.
    pub path: PathBuf,
    /// Subjects with a key.
    pub subjects: u64,
    /// Entries of the index.
    pub lookups: u64,
    /// What it takes on disk.
    pub bytes: u64,
}

impl KeyStore {
    /// Opens the key store in a store's directory, creating it when it is not there, readable by its owner alone.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(directory: impl AsRef<Path>) -> Result<KeyStore, OpenError> {
        let directory = directory.as_ref();
        std::fs::create_dir_all(directory).map_err(|source| OpenError::Io { path: directory.to_owned(), source })?;
        let path = directory.join(KEYS);
        make_for_owner(&path)?;
        let connection = open_writing(&path, KEYS_KIND)?;
        connection.execute_batch("PRAGMA secure_delete = ON").map_err(store_error)?;
        Ok(KeyStore::over(path, connection))
    }

    /// Opens the key store in a store's directory for reading: nothing can be created or destroyed through it.
    ///
    /// # Errors
    /// When there is none, or it cannot be opened.
    pub fn open_read_only(directory: impl AsRef<Path>) -> Result<KeyStore, OpenError> {
        let path = directory.as_ref().join(KEYS);
        let connection = open_reading(&path, KEYS_KIND, false)?;
        Ok(KeyStore::over(path, connection))
    }

    /// A key store that nothing survives, for tests.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn in_memory() -> Result<KeyStore, OpenError> {
        let path = PathBuf::from(":memory:");
        let connection = open_writing(&path, KEYS_KIND)?;
        Ok(KeyStore::over(path, connection))
    }

    fn over(path: PathBuf, connection: Connection) -> KeyStore {
        KeyStore(Arc::new(Keys { path, connection: Mutex::new(connection) }))
    }

    /// How much there is.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn info(&self) -> Result<KeysInfo, SubjectKeyError> {
        let path = self.0.path.clone();
        self.run(move |connection| {
            let count = |sql: &str| Ok::<_, Failure>(unsigned(connection.query_row(sql, [], |row| row.get(0))?));
            let (subjects, lookups) = (count("SELECT count(*) FROM subjects")?, count("SELECT count(*) FROM lookups")?);
            let bytes = std::fs::metadata(&path).map_or(0, |file| file.len());
            Ok(KeysInfo { path, subjects, lookups, bytes })
        })
        .await
    }

    async fn run<T, F>(&self, work: F) -> Result<T, SubjectKeyError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, Failure> + Send + 'static,
    {
        let keys = self.0.clone();
        let done = tokio::task::spawn_blocking(move || {
            // A transaction that panicked was rolled back when it was dropped.
            let mut connection = keys.connection.lock().unwrap_or_else(PoisonError::into_inner);
            work(&mut connection).map_err(|Failure(error)| error)
        });
        done.await.map_err(|error| SubjectKeyError::Unavailable { reason: format!("the key store is closing: {error}") })?
    }
}

/// So that `?` takes SQLite's errors and ours alike.
struct Failure(SubjectKeyError);

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Failure {
        let reason = match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::ReadOnly) => "it is open for reading only".to_owned(),
            Some(_) | None => store_error(error).to_string(),
        };
        Failure(SubjectKeyError::Unavailable { reason })
    }
}

fn blob(subject: UserId) -> [u8; 16] {
    *subject.0.as_bytes()
}

#[async_trait]
impl SubjectKeys for KeyStore {
    async fn get_or_create(&self, subject: UserId, fresh: [u8; 32]) -> Result<[u8; 32], SubjectKeyError> {
        if let Some(key) = self.get(subject).await? {
            return Ok(key);
        }
        self.run(move |connection| {
            let insert = "INSERT INTO subjects (subject, key) VALUES (?, ?) ON CONFLICT DO NOTHING";
            connection.prepare_cached(insert)?.execute(params![blob(subject), fresh])?;
            Ok(connection.prepare_cached("SELECT key FROM subjects WHERE subject = ?")?.query_row([blob(subject)], |row| row.get(0))?)
        })
        .await
    }

    async fn get(&self, subject: UserId) -> Result<Option<[u8; 32]>, SubjectKeyError> {
        self.run(move |connection| {
            let mut find = connection.prepare_cached("SELECT key FROM subjects WHERE subject = ?")?;
            Ok(find.query_row([blob(subject)], |row| row.get(0)).optional()?)
        })
        .await
    }

    async fn destroy(&self, subject: UserId) -> Result<(), SubjectKeyError> {
        self.run(move |connection| {
            let transaction = connection.transaction()?;
            transaction.execute("UPDATE subjects SET key = zeroblob(32) WHERE subject = ?", [blob(subject)])?;
            transaction.execute("DELETE FROM subjects WHERE subject = ?", [blob(subject)])?;
            transaction.execute("DELETE FROM lookups WHERE subject = ?", [blob(subject)])?;
            transaction.commit()?;
            let is_busy: bool = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
            if is_busy {
                // Not an answer of success while the old bytes are still on disk. Repeating it changes nothing else.
                let reason = "the key is destroyed, but a reader holds the file that may still contain it: ask again".to_owned();
                return Err(Failure(SubjectKeyError::Unavailable { reason }));
            }
            Ok(())
        })
        .await
    }

    async fn claim(&self, lookup: &LookupHash, subject: UserId) -> Result<(), SubjectKeyError> {
        let lookup = lookup.0.clone();
        self.run(move |connection| {
            let insert = "INSERT INTO lookups (lookup, subject) VALUES (?, ?) ON CONFLICT DO NOTHING";
            connection.prepare_cached(insert)?.execute(params![lookup, blob(subject)])?;
            let mut find = connection.prepare_cached("SELECT subject FROM lookups WHERE lookup = ?")?;
            let owner = UserId(Uuid::from_bytes(find.query_row([&lookup], |row| row.get(0))?));
            if owner == subject { Ok(()) } else { Err(Failure(SubjectKeyError::Taken { owner })) }
        })
        .await
    }

    async fn find(&self, lookup: &LookupHash) -> Result<Option<UserId>, SubjectKeyError> {
        let lookup = lookup.0.clone();
        self.run(move |connection| {
            let mut find = connection.prepare_cached("SELECT subject FROM lookups WHERE lookup = ?")?;
            let owner: Option<[u8; 16]> = find.query_row([lookup], |row| row.get(0)).optional()?;
            Ok(owner.map(|owner| UserId(Uuid::from_bytes(owner))))
        })
        .await
    }

    async fn lookup_key(&self, fresh: [u8; 32]) -> Result<[u8; 32], SubjectKeyError> {
        self.run(move |connection| {
            let find = "SELECT key FROM lookup_key";
            if let Some(key) = connection.query_row(find, [], |row| row.get(0)).optional()? {
                return Ok(key);
            }
            connection.execute("INSERT INTO lookup_key (one, key) VALUES (1, ?) ON CONFLICT DO NOTHING", [fresh])?;
            Ok(connection.query_row(find, [], |row| row.get(0))?)
        })
        .await
    }
}
