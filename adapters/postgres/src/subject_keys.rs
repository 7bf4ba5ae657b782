//! The keys of personal data in a database that several processes share: for a ledger whose engine they share, too.
//!
//! It is not the read models' database: those may be dropped and folded again, and these may not. A destroyed key is overwritten, deleted and vacuumed away; write-ahead
//! log and backups that were made before still have it, for as long as the server keeps them.

use std::time::Duration;

use async_trait::async_trait;
use commands::port::{SubjectKeyError, SubjectKeys};
use deadpool_postgres::{Object, Pool};
use domain::ids::UserId;
use domain::sealed::LookupHash;
use projections::port::ReadStoreError;
use tokio::sync::OnceCell;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use tracing::warn;

use crate::connect::{create_database, pool};
use crate::error;
use crate::gate::{Asking, Gate};
use crate::server::Server;

mod migrations {
    refinery::embed_migrations!("../../schemas/keys");
}

/// Serialises who makes the schema.
const SCHEMA_LOCK: i64 = 0x6368_6b65_7973; // "chkeys"
const CONNECTIONS_MAX: usize = 8;
/// A look at one row: whoever waits longer is better told to come back.
const STATEMENT_MAX: Duration = Duration::from_secs(5);
const CONNECTION_WAIT_MAX: Duration = Duration::from_secs(5);

type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// The key store of one ledger, for all its processes.
pub struct SharedKeys {
    server: Server,
    pool: Pool,
    gate: Gate,
    ready: OnceCell<()>,
}

/// How much there is in a shared key store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SharedKeysInfo {
    /// Subjects with a key.
    pub subjects: u64,
    /// Entries of the index.
    pub lookups: u64,
}

impl SharedKeys {
    /// Takes `postgresql://user@host/database`. Connects when it is first needed; the database and its tables are made if they are missing.
    ///
    /// # Errors
    /// What is wrong with the URL, without its password.
    pub fn new(url: &str) -> Result<SharedKeys, String> {
        let mut server = Server::of(url)?;
        server
            .config
            .application_name("chargeledger keys")
            .connect_timeout(Duration::from_secs(5))
            .tcp_user_timeout(Duration::from_secs(15));
        // Each commit is on the disk before it is answered: nothing could make a key again.
        let pool = pool(&server.with_options("-c synchronous_commit=on"), CONNECTIONS_MAX, STATEMENT_MAX, CONNECTION_WAIT_MAX);
        let (pool, gate) = (pool.map_err(|error| error.to_string())?, Gate::new("keys", STATEMENT_MAX));
        Ok(SharedKeys { server, pool, gate, ready: OnceCell::new() })
    }

    /// How much there is.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn info(&self) -> Result<SharedKeysInfo, SubjectKeyError> {
        let counts = "SELECT (SELECT count(*) FROM subject_keys.subjects), (SELECT count(*) FROM subject_keys.lookups)";
        let (client, asking) = self.client().await?;
        let row = asking.answer(client.query_one(counts, &[])).await.map_err(read)?;
        let count = |column: usize| u64::try_from(row.get::<_, i64>(column)).unwrap_or_default();
        Ok(SharedKeysInfo { subjects: count(0), lookups: count(1) })
    }

    /// A connection for as long as its work takes.
    pub(crate) async fn whole(&self) -> Result<Object, SubjectKeyError> {
        let (client, asking) = self.client().await?;
        asking.answer(client.simple_query("SELECT 1")).await.map_err(read)?;
        Ok(client)
    }

    async fn client(&self) -> Result<(Object, Asking<'_>), SubjectKeyError> {
        self.ready.get_or_try_init(|| self.prepare()).await?;
        self.gate.connection(&self.pool).await.map_err(read)
    }

    /// Makes what is missing.
    async fn prepare(&self) -> Result<(), SubjectKeyError> {
        // Whoever is turned away here does not wait behind those who wait.
        let (mut client, asking) = match self.gate.connection(&self.pool).await {
            Err(ReadStoreError::Missing { .. }) => {
                create_database(&self.server).await.map_err(read)?;
                self.gate.connection(&self.pool).await.map_err(read)?
            }
            connected => connected.map_err(read)?,
        };
        asking.answer(client.simple_query("SELECT 1")).await.map_err(read)?;
        client.execute("SELECT pg_advisory_lock($1)", &[&SCHEMA_LOCK]).await.map_err(unavailable)?;
        let mut runner = migrations::migrations::runner();
        runner.set_migration_table_name("chargeledger_keys_migrations");
        let made = runner.run_async(&mut **client.as_mut()).await;
        client.execute("SELECT pg_advisory_unlock($1)", &[&SCHEMA_LOCK]).await.map_err(unavailable)?;
        made.map(drop).map_err(|error| SubjectKeyError::Unavailable { reason: format!("its tables cannot be made: {error}") })
    }

    async fn execute(&self, sql: &str, parameters: Parameters<'_>) -> Result<(), SubjectKeyError> {
        let (client, asking) = self.client().await?;
        asking.answer(client.execute(sql, parameters)).await.map(drop).map_err(read)
    }

    async fn row(&self, sql: &str, parameters: Parameters<'_>) -> Result<Option<Row>, SubjectKeyError> {
        let (client, asking) = self.client().await?;
        asking.answer(client.query_opt(sql, parameters)).await.map_err(read)
    }

    /// The 32 bytes that a query answers, if it does.
    async fn key(&self, sql: &str, parameters: Parameters<'_>) -> Result<Option<[u8; 32]>, SubjectKeyError> {
        let damaged = |_| SubjectKeyError::Unavailable { reason: "a key in it does not have 32 bytes".to_owned() };
        self.row(sql, parameters).await?.map(|row| row.get::<_, Vec<u8>>(0).try_into().map_err(damaged)).transpose()
    }
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn unavailable(error: tokio_postgres::Error) -> SubjectKeyError {
    read(error::database(&error))
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn read(error: ReadStoreError) -> SubjectKeyError {
    SubjectKeyError::Unavailable { reason: error.to_string() }
}

/// A row that is there already is left as it is, and answered by the query after it.
const MADE: &str = "the key store answered nothing where it had just written";

#[async_trait]
impl SubjectKeys for SharedKeys {
    async fn get_or_create(&self, subject: UserId, fresh: [u8; 32]) -> Result<[u8; 32], SubjectKeyError> {
        if let Some(key) = self.get(subject).await? {
            return Ok(key);
        }
        let insert = "INSERT INTO subject_keys.subjects (subject, key) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        self.execute(insert, &[&subject.0, &&fresh[..]]).await?;
        self.get(subject).await?.ok_or_else(|| SubjectKeyError::Unavailable { reason: MADE.to_owned() })
    }

    async fn get(&self, subject: UserId) -> Result<Option<[u8; 32]>, SubjectKeyError> {
        self.key("SELECT key FROM subject_keys.subjects WHERE subject = $1", &[&subject.0]).await
    }

    async fn destroy(&self, subject: UserId) -> Result<(), SubjectKeyError> {
        let overwrite = "UPDATE subject_keys.subjects SET key = decode(repeat('00', 32), 'hex') WHERE subject = $1";
        let (mut client, asking) = self.client().await?;
        let destroyed = asking.answer(async {
            let transaction = client.transaction().await?;
            transaction.execute(overwrite, &[&subject.0]).await?;
            transaction.execute("DELETE FROM subject_keys.subjects WHERE subject = $1", &[&subject.0]).await?;
            transaction.execute("DELETE FROM subject_keys.lookups WHERE subject = $1", &[&subject.0]).await?;
            transaction.commit().await
        });
        destroyed.await.map_err(read)?;
        // What is dead is cleared away now, and not when the server gets to it. Somebody else's long transaction may hold it up; the server comes back to it.
        if let Err(error) = client.batch_execute("VACUUM subject_keys.subjects, subject_keys.lookups").await {
            warn!(error = %error::database(&error), "a destroyed key is still to be vacuumed away");
        }
        Ok(())
    }

    async fn claim(&self, lookup: &LookupHash, subject: UserId) -> Result<(), SubjectKeyError> {
        let insert = "INSERT INTO subject_keys.lookups (lookup, subject) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        self.execute(insert, &[&lookup.0, &subject.0]).await?;
        match self.find(lookup).await? {
            Some(owner) if owner == subject => Ok(()),
            Some(owner) => Err(SubjectKeyError::Taken { owner }),
            None => Err(SubjectKeyError::Unavailable { reason: MADE.to_owned() }),
        }
    }

    async fn find(&self, lookup: &LookupHash) -> Result<Option<UserId>, SubjectKeyError> {
        let find = "SELECT subject FROM subject_keys.lookups WHERE lookup = $1";
        Ok(self.row(find, &[&lookup.0]).await?.map(|row| UserId(row.get(0))))
    }

    async fn lookup_key(&self, fresh: [u8; 32]) -> Result<[u8; 32], SubjectKeyError> {
        let insert = "INSERT INTO subject_keys.lookup_key (key) VALUES ($1) ON CONFLICT DO NOTHING";
        self.execute(insert, &[&&fresh[..]]).await?;
        self.key("SELECT key FROM subject_keys.lookup_key", &[])
            .await?
            .ok_or_else(|| SubjectKeyError::Unavailable { reason: MADE.to_owned() })
    }
}
