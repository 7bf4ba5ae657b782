//! The keys of a whole ledger, taken over from where they were before: all of them in one transaction, each read back before it commits.

use commands::port::{AllKeys, SubjectKeyError};
use tokio_postgres::Transaction;

use crate::error;
use crate::subject_keys::SharedKeys;

/// Rows that one statement writes.
const ROWS_MAX: usize = 10_000;

/// Why keys are not taken over. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// What is there already is not what is to come.
    #[error("the database holds other keys: {what}. An empty one is wanted, or one with keys of this ledger only")]
    Other {
        /// Which.
        what: String,
    },
    /// What was written is not what was to be written.
    #[error("the database does not show what was written to it")]
    Differs,
    /// The database cannot be used.
    #[error(transparent)]
    Keys(#[from] SubjectKeyError),
    /// The database refuses.
    #[error("the key store's database: {reason}")]
    Database {
        /// Why.
        reason: String,
    },
}

impl From<tokio_postgres::Error> for TakeError {
    fn from(error: tokio_postgres::Error) -> TakeError {
        TakeError::Database { reason: error::describe(&error) }
    }
}

impl SharedKeys {
    /// Takes these keys over. Says how many of the subjects were there before.
    ///
    /// # Errors
    /// When there are others, or the database fails: then nothing is taken.
    pub async fn take(&self, keys: &AllKeys) -> Result<usize, TakeError> {
        let mut client = self.whole().await?;
        let transaction = client.transaction().await?;
        transaction.batch_execute("SET LOCAL statement_timeout = 0; LOCK TABLE subject_keys.subjects, subject_keys.lookups, subject_keys.lookup_key IN EXCLUSIVE MODE").await?;
        let there = all(&transaction).await?;
        is_part(&there, keys)?;
        insert(&transaction, keys).await?;
        // Byte by byte, before anybody else can see them.
        if all(&transaction).await? != *keys {
            return Err(TakeError::Differs);
        }
        transaction.commit().await?;
        Ok(there.subjects.len())
    }
}

/// Refuses what is there and not to come.
fn is_part(there: &AllKeys, keys: &AllKeys) -> Result<(), TakeError> {
    let other = |what: String| Err(TakeError::Other { what });
    if there.lookup_key.is_some() && there.lookup_key != keys.lookup_key {
        return other("phone numbers are looked up with another key there".to_owned());
    }
    let subjects = there.subjects.iter().filter(|(subject, key)| keys.subjects.get(subject) != Some(key)).count();
    if subjects > 0 {
        return other(format!("{subjects} of its persons have none or another key here; have they been erased since an earlier attempt?"));
    }
    let lookups = there.lookups.iter().filter(|(lookup, subject)| keys.lookups.get(*lookup) != Some(subject)).count();
    match lookups {
        0 => Ok(()),
        _ => other(format!("{lookups} of its phone numbers belong to somebody else here, or to nobody")),
    }
}

async fn insert(transaction: &Transaction<'_>, keys: &AllKeys) -> Result<(), TakeError> {
    if let Some(key) = &keys.lookup_key {
        let insert = "INSERT INTO subject_keys.lookup_key (key) VALUES ($1) ON CONFLICT DO NOTHING";
        transaction.execute(insert, &[&&key[..]]).await?;
    }
    let insert = "INSERT INTO subject_keys.subjects (subject, key) SELECT * FROM unnest($1::uuid[], $2::bytea[]) ON CONFLICT DO NOTHING";
    let subjects: Vec<_> = keys.subjects.iter().collect();
    for rows in subjects.chunks(ROWS_MAX) {
        let (subjects, keys): (Vec<_>, Vec<_>) = rows.iter().map(|(subject, key)| (**subject, &key[..])).unzip();
        transaction.execute(insert, &[&subjects, &keys]).await?;
    }
    let insert = "INSERT INTO subject_keys.lookups (lookup, subject) SELECT * FROM unnest($1::text[], $2::uuid[]) ON CONFLICT DO NOTHING";
    let lookups: Vec<_> = keys.lookups.iter().collect();
    for rows in lookups.chunks(ROWS_MAX) {
        let (lookups, subjects): (Vec<_>, Vec<_>) = rows.iter().map(|(lookup, subject)| (lookup.as_str(), **subject)).unzip();
        transaction.execute(insert, &[&lookups, &subjects]).await?;
    }
    Ok(())
}

async fn all(transaction: &Transaction<'_>) -> Result<AllKeys, TakeError> {
    let key =
        |bytes: Vec<u8>| bytes.try_into().map_err(|_| TakeError::Database { reason: "a key in it does not have 32 bytes".to_owned() });
    let mut all = AllKeys::default();
    if let Some(row) = transaction.query_opt("SELECT key FROM subject_keys.lookup_key", &[]).await? {
        all.lookup_key = Some(key(row.get(0))?);
    }
    for row in transaction.query("SELECT subject, key FROM subject_keys.subjects", &[]).await? {
        all.subjects.insert(row.get(0), key(row.get(1))?);
    }
    let lookups = transaction.query("SELECT lookup, subject FROM subject_keys.lookups", &[]).await?;
    all.lookups.extend(lookups.iter().map(|row| (row.get(0), row.get(1))));
    Ok(all)
}
