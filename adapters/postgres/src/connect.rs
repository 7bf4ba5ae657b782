//! The pools, and everything that is missing on the server: the database itself, the schemas, the registry.
//!
//! Two pools, so that queries never wait for projectors nor projectors for queries. Commits do not wait for the disk: after a crash of
//! the server, rows and checkpoint go back together, and the log brings them forward again.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use projections::port::ReadStoreError;
use tokio::sync::Mutex;
use tokio_postgres::error::SqlState;
use tracing::info;

use crate::error;
use crate::gate::{Asking, Gate};
use crate::server::Server;

mod migrations {
    refinery::embed_migrations!("../../schemas/sql");
}

/// Serialises what makes schemas and builds, between processes too.
pub(crate) const SCHEMA_LOCK: i64 = 0x6368_6c65_6467; // "chledg"

/// A server that takes a connection and says nothing on it for so long is away.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// How the read models' database is used.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Connections for queries.
    pub query_connections_max: usize,
    /// Connections for projectors.
    pub projector_connections_max: usize,
    /// A query that takes longer is cut off.
    pub query_timeout: Duration,
    /// A projector's statement that takes longer is cut off, and tried again.
    pub projector_timeout: Duration,
    /// How long a free connection is waited for.
    pub wait_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            query_connections_max: 16,
            projector_connections_max: 8,
            query_timeout: Duration::from_secs(5),
            projector_timeout: Duration::from_secs(120),
            wait_timeout: Duration::from_secs(10),
        }
    }
}

/// The read models' database.
pub struct ReadModels {
    pub(crate) server: Server,
    pub(crate) queries: Pool,
    pub(crate) projectors: Pool,
    pub(crate) gate: Arc<Gate>,
    is_ready: Mutex<bool>,
}

impl ReadModels {
    /// Takes `postgres://user@host/database`. Connects when it is first needed: a server that is down is not an error yet.
    ///
    /// # Errors
    /// When the URL is none.
    pub fn new(url: &str, settings: Settings) -> Result<ReadModels, ReadStoreError> {
        let mut server =
            Server::of(url).map_err(|reason| ReadStoreError::Refused { reason: format!("CHARGELEDGER_DATABASE_URL: {reason}") })?;
        let config = &mut server.config;
        config.application_name("chargeledger").connect_timeout(CONNECT_MAX);
        // A server that has vanished without a word, as in a fail-over, is noticed in seconds, and not when TCP gives up after a quarter of an hour.
        config.keepalives(true).keepalives_idle(Duration::from_secs(10)).keepalives_interval(Duration::from_secs(2)).keepalives_retries(3);
        config.tcp_user_timeout(Duration::from_secs(15));
        if config.get_user().is_none() {
            config.user("postgres");
        }
        let derived = server.with_options("-c synchronous_commit=off");
        let queries = pool(&derived, settings.query_connections_max, settings.query_timeout, settings.wait_timeout)?;
        // A projector that waits for a connection is only late.
        let projectors = pool(&derived, settings.projector_connections_max, settings.projector_timeout, Duration::from_secs(300))?;
        let gate = Arc::new(Gate::new("postgres", settings.query_timeout));
        Ok(ReadModels { server, queries, projectors, gate, is_ready: Mutex::new(false) })
    }

    /// A connection for one query, for whoever gets through.
    pub(crate) async fn query_client(&self) -> Result<(Object, Asking<'_>), ReadStoreError> {
        self.gate.connection(&self.queries).await
    }

    /// A connection for projectors.
    pub(crate) async fn projector_client(&self) -> Result<Object, ReadStoreError> {
        self.projectors.get().await.map_err(|error| {
            self.gate.note_pool(&error);
            error::pool(&error)
        })
    }

    /// Whether the server answers, for readiness.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), ReadStoreError> {
        let (client, asking) = self.query_client().await?;
        asking.answer(client.simple_query("SELECT 1")).await.map(drop)
    }

    /// Whether those who ask get an answer, as far as is known without asking.
    #[must_use]
    pub fn answers(&self) -> bool {
        self.gate.lets_in()
    }

    /// Makes the database, the schemas and the registry, if they are missing.
    ///
    /// # Errors
    /// When the server is down, or the role may not.
    pub async fn prepare(&self) -> Result<(), ReadStoreError> {
        let mut ready = self.is_ready.lock().await;
        if *ready {
            return Ok(());
        }
        match self.projector_client().await {
            Err(ReadStoreError::Missing { .. }) => create_database(&self.server).await?,
            Err(error) => return Err(error),
            Ok(_) => {}
        }
        self.migrate().await?;
        *ready = true;
        Ok(())
    }

    /// Drops the database, with every connection to it: it can be made again from the log. For benches; nothing else needs it.
    ///
    /// # Errors
    /// When the server does not answer, or the role may not.
    pub async fn drop_database(&self) -> Result<(), ReadStoreError> {
        let Some(name) = self.server.config.get_dbname() else { return Ok(()) };
        let (client, connection) = beside(&self.server).connect().await.map_err(|error| error::database(&error))?;
        let connection = tokio::spawn(connection);
        let quoted = name.replace('"', "\"\"");
        let dropped = client.batch_execute(&format!("DROP DATABASE IF EXISTS \"{quoted}\" WITH (FORCE)")).await;
        drop(client);
        connection.abort();
        self.forget().await;
        dropped.map_err(|error| error::database(&error))
    }

    /// The next [`ReadModels::prepare`] looks again.
    pub(crate) async fn forget(&self) {
        *self.is_ready.lock().await = false;
    }

    async fn migrate(&self) -> Result<(), ReadStoreError> {
        let mut client = self.projector_client().await?;
        let lock = |sql: &'static str| sql;
        client.execute(lock("SELECT pg_advisory_lock($1)"), &[&SCHEMA_LOCK]).await.map_err(|error| error::database(&error))?;
        let history =
            client.query_one("SELECT to_regclass('build.registry') IS NULL", &[]).await.map_err(|error| error::database(&error))?;
        if history.get::<_, bool>(0) {
            // Schemas were dropped under a history that says they are there: the views are derived, so they are simply made again.
            client.batch_execute("DROP TABLE IF EXISTS public.chargeledger_migrations").await.map_err(|error| error::database(&error))?;
        }
        let mut runner = migrations::migrations::runner();
        runner.set_migration_table_name("chargeledger_migrations");
        let report = runner.run_async(&mut **client.as_mut()).await;
        client.execute(lock("SELECT pg_advisory_unlock($1)"), &[&SCHEMA_LOCK]).await.map_err(|error| error::database(&error))?;
        match report {
            Ok(report) if report.applied_migrations().is_empty() => Ok(()),
            Ok(report) => {
                info!(migrations = report.applied_migrations().len(), "the read models' schema is up to date");
                Ok(())
            }
            Err(error) => Err(ReadStoreError::Unavailable { reason: format!("the read models' schema cannot be made: {error}") }),
        }
    }
}

/// The database that every server has, from which others are made and dropped.
fn beside(server: &Server) -> Server {
    server.with(|config| {
        config.dbname("postgres");
    })
}

/// Makes the database that a URL names, if its server is there and the role may.
pub(crate) async fn create_database(server: &Server) -> Result<(), ReadStoreError> {
    let Some(name) = server.config.get_dbname() else { return Ok(()) };
    let (client, connection) = beside(server).connect().await.map_err(|error| error::database(&error))?;
    let connection = tokio::spawn(connection);
    let quoted = name.replace('"', "\"\"");
    let created = client.batch_execute(&format!("CREATE DATABASE \"{quoted}\"")).await;
    drop(client);
    connection.abort();
    // Two that make it at once: the one that comes second finds it there, or is told so by the catalogue's own index.
    let is_there = [&SqlState::DUPLICATE_DATABASE, &SqlState::UNIQUE_VIOLATION];
    match created {
        Ok(()) => {
            info!(database = name, "made the read models' database");
            Ok(())
        }
        Err(error) if error.code().is_some_and(|code| is_there.contains(&code)) => Ok(()),
        Err(error) => Err(ReadStoreError::Unavailable {
            reason: format!("the database \"{name}\" is missing and cannot be made: {}", error::database(&error)),
        }),
    }
}

pub(crate) fn pool(server: &Server, connections_max: usize, timeout: Duration, wait: Duration) -> Result<Pool, ReadStoreError> {
    let server = server.with_options(&format!(
        "-c statement_timeout={} -c idle_in_transaction_session_timeout=60000 -c timezone=UTC -c client_min_messages=warning",
        timeout.as_millis()
    ));
    let manager = Manager::from_config(server.config, server.tls, ManagerConfig { recycling_method: RecyclingMethod::Fast });
    Pool::builder(manager)
        .max_size(connections_max.max(1))
        .wait_timeout(Some(wait))
        .create_timeout(Some(CONNECT_MAX))
        .runtime(Runtime::Tokio1)
        .build()
        .map_err(|error| ReadStoreError::Unavailable { reason: error.to_string() })
}
