//! PostgreSQL's errors as the port's: what may be tried again, what is gone, and what is refused for good.

use deadpool_postgres::PoolError;
use projections::port::ReadStoreError;
use tokio_postgres::error::SqlState;

/// Codes after which the tables have to be made again.
const MISSING: &[&SqlState] = &[
    &SqlState::UNDEFINED_TABLE,
    &SqlState::INVALID_SCHEMA_NAME,
    &SqlState::INVALID_CATALOG_NAME,
    // A build that an older version of its fold has filled serves until a rebuild takes its place.
    &SqlState::UNDEFINED_COLUMN,
];

/// Classes whose errors come from the values that were given: trying again will not help.
const REFUSED: &[&str] = &["21", "22", "23", "42", "54"];

/// Errors of a server that is on its way up or down, or that something in between speaks for.
const AWAY: &[&SqlState] = &[
    &SqlState::ADMIN_SHUTDOWN,
    &SqlState::CRASH_SHUTDOWN,
    &SqlState::CANNOT_CONNECT_NOW,
    &SqlState::CONNECTION_EXCEPTION,
    &SqlState::CONNECTION_DOES_NOT_EXIST,
    &SqlState::CONNECTION_FAILURE,
    &SqlState::SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION,
];

/// Whether a server that is at work has said this. What the driver cannot send is not the server's fault either.
pub(crate) fn is_answer(error: &tokio_postgres::Error) -> bool {
    match error.code() {
        Some(code) => !AWAY.contains(&code),
        None => is_unsendable(error),
    }
}

/// A value that the driver cannot send is the caller's fault; a broken connection is not.
fn is_unsendable(error: &tokio_postgres::Error) -> bool {
    !error.is_closed() && describe(error).contains("serializing parameter")
}

pub(crate) fn database(error: &tokio_postgres::Error) -> ReadStoreError {
    let reason = describe(error);
    match error.code() {
        Some(code) if MISSING.contains(&code) => ReadStoreError::Missing { reason },
        Some(&SqlState::DISK_FULL) => ReadStoreError::Full { reason },
        Some(&SqlState::INTERNAL_ERROR) if writes_init_file(error) => ReadStoreError::Full { reason },
        Some(code) if REFUSED.iter().any(|class| code.code().starts_with(class)) => ReadStoreError::Refused { reason },
        None if is_unsendable(error) => ReadStoreError::Refused { reason },
        Some(_) | None => ReadStoreError::Unavailable { reason },
    }
}

/// What a server answers to a new connection when its disk has not a page left: an internal error, by its code. The words may be in another language.
fn writes_init_file(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_some_and(|error| (error.file(), error.routine()) == (Some("relcache.c"), Some("write_item")))
}

pub(crate) fn pool(error: &PoolError) -> ReadStoreError {
    match error {
        PoolError::Backend(error) => database(error),
        other => ReadStoreError::Unavailable { reason: other.to_string() },
    }
}

pub(crate) fn describe(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(
        || {
            let mut text = error.to_string();
            let mut source = std::error::Error::source(error);
            while let Some(cause) = source {
                text = format!("{text}: {cause}");
                source = cause.source();
            }
            text
        },
        |error| match error.detail() {
            Some(detail) => format!("{} ({detail})", error.message()),
            None => error.message().to_owned(),
        },
    )
}
