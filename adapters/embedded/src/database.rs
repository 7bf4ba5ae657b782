//! Connections to a file of ours: how they are opened, and how a file is known to be ours.

use std::fs::OpenOptions;
use std::path::Path;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::error::{OpenError, store_error};

/// The log's file in a store's directory.
pub(crate) const LOG: &str = "log.db";
/// The schema that this release writes.
pub(crate) const SCHEMA_VERSION: u32 = 1;
/// "CLGR": what `file` and SQLite's tools show of a file of ours.
const APPLICATION_ID: u32 = 0x434c_4752;

/// A kind of file: its tables, and the version of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) application_id: u32,
    pub(crate) version: u32,
    pub(crate) tables: &'static str,
}

/// The key store's file in a store's directory.
pub(crate) const KEYS: &str = "keys.db";
/// The key store's kind.
pub(crate) const KEYS_KIND: Kind = Kind { application_id: APPLICATION_ID + 1, version: 1, tables: include_str!("keys.sql") };
/// The snapshots' file in a store's directory.
pub(crate) const SNAPSHOTS: &str = "snapshots.db";
/// The snapshots' kind.
pub(crate) const SNAPSHOTS_KIND: Kind = Kind { application_id: APPLICATION_ID + 2, version: 1, tables: include_str!("snapshots.sql") };
/// The log's kind.
pub(crate) const LOG_KIND: Kind = Kind { application_id: APPLICATION_ID, version: SCHEMA_VERSION, tables: include_str!("schema.sql") };

/// Makes an empty file that its owner alone reads and writes, where there is none: SQLite would make one that everybody may read. What it puts beside the file
/// gets the file's own permissions.
pub(crate) fn make_for_owner(path: &Path) -> Result<(), OpenError> {
    let mut file = OpenOptions::new();
    file.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut file, 0o600);
    file.open(path).map(drop).map_err(|source| OpenError::Io { path: path.to_owned(), source })
}

/// Opens for writing, creating the tables in a new file. Durable at each commit.
pub(crate) fn open_writing(path: &Path, kind: Kind) -> Result<Connection, OpenError> {
    let mut connection = Connection::open(path).map_err(store_error)?;
    let settings = "PRAGMA busy_timeout = 5000; PRAGMA page_size = 4096; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 16000;
        PRAGMA journal_size_limit = 67108864; PRAGMA cache_size = -16384; PRAGMA trusted_schema = OFF;";
    connection.execute_batch(settings).map_err(store_error)?;
    if is_empty(&connection)? {
        create(&mut connection, kind)?;
    }
    check_kind(&connection, path, kind)?;
    Ok(connection)
}

fn is_empty(connection: &Connection) -> Result<bool, OpenError> {
    let tables: u32 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(store_error)?;
    Ok(tables == 0)
}

fn create(connection: &mut Connection, kind: Kind) -> Result<(), OpenError> {
    let Kind { application_id, version, tables } = kind;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(store_error)?;
    // Another process may have created them while this one waited.
    if is_empty(&transaction)? {
        let script = format!("{tables} PRAGMA application_id = {application_id}; PRAGMA user_version = {version};");
        transaction.execute_batch(&script).map_err(store_error)?;
    }
    transaction.commit().map_err(store_error)?;
    Ok(())
}

/// Opens for reading. `mapped` reads through a memory map, which is faster for a scan and counts as memory of the process.
pub(crate) fn open_reading(path: &Path, kind: Kind, mapped: bool) -> Result<Connection, OpenError> {
    if !path.exists() {
        return Err(OpenError::Missing { path: path.to_owned() });
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(path, flags).map_err(store_error)?;
    let map_bytes: u64 = if mapped { 1 << 40 } else { 0 };
    let settings =
        format!("PRAGMA mmap_size = {map_bytes}; PRAGMA cache_size = -4096; PRAGMA trusted_schema = OFF; PRAGMA busy_timeout = 5000;");
    connection.execute_batch(&settings).map_err(store_error)?;
    check_kind(&connection, path, kind)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

fn check_kind(connection: &Connection, path: &Path, kind: Kind) -> Result<(), OpenError> {
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, u32>(0)).map_err(store_error);
    if pragma("application_id")? != kind.application_id {
        return Err(OpenError::Foreign { path: path.to_owned() });
    }
    let found = pragma("user_version")?;
    if found > kind.version {
        return Err(OpenError::TooNew { path: path.to_owned(), found, known: kind.version });
    }
    Ok(())
}

/// SQLite's integers are signed; a count of ours never comes near the end of them.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The other way round. A negative number can only come from a file that somebody else has written, and is nowhere ours.
pub(crate) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
