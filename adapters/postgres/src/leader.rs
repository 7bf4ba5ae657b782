//! Which process leads which projection: advisory locks of one session.
//!
//! The locks live exactly as long as their connection. A process that is killed, or whose machine is gone, has none any more, and nothing has to be cleaned
//! up; both ends look after the connection with keep-alives, so that a cable that was pulled is noticed in seconds. A connection pooler in between must pool
//! sessions, not transactions.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use projections::port::{Leadership, ReadStoreError};
use tokio_postgres::Client;
use tracing::{debug, warn};

use crate::connect::create_database;
use crate::error::database;
use crate::gate::Gate;
use crate::server::Server;

/// After this much silence, the other end is asked whether it is still there, every second, three times.
const SILENCE_MAX: Duration = Duration::from_secs(3);

/// Takes the locks that nobody has. All of a process's locks are of one session, which nothing else uses.
const TRY: &str = "SELECT name FROM unnest($1::text[], $2::bigint[]) AS p(name, version)
     WHERE pg_try_advisory_lock(hashtextextended('chargeledger projector ' || name || ' ' || version, 0))";

/// A claim to lead projections.
pub struct Leader {
    server: Server,
    /// Hears what becomes of asking, and holds nobody up here: only one asks.
    gate: Arc<Gate>,
    session: Option<Client>,
    led: HashSet<&'static str>,
}

impl Leader {
    /// Connects when it is first asked.
    pub(crate) fn new(server: &Server, gate: Arc<Gate>) -> Leader {
        // The server's own ends of it: what lets go of the locks when this machine has vanished.
        let mut server = server.with_options(
            "-c tcp_keepalives_idle=3 -c tcp_keepalives_interval=1 -c tcp_keepalives_count=3 -c statement_timeout=4000 \
             -c idle_session_timeout=0 -c client_min_messages=warning",
        );
        let config = &mut server.config;
        config.application_name("chargeledger leader").keepalives(true).keepalives_idle(SILENCE_MAX).tcp_user_timeout(SILENCE_MAX * 2);
        config.keepalives_interval(Duration::from_secs(1)).keepalives_retries(3);
        Leader { server, gate, session: None, led: HashSet::new() }
    }

    /// A new session, which leads nothing yet.
    async fn connect(&mut self) -> Result<(), ReadStoreError> {
        if !self.led.is_empty() {
            warn!(projections = self.led.len(), "the connection that leads is lost");
        }
        self.give_up();
        let (client, connection) = match self.server.connect().await.map_err(|error| self.failed(&error)) {
            Err(ReadStoreError::Missing { .. }) => {
                create_database(&self.server).await?;
                self.server.connect().await.map_err(|error| self.failed(&error))?
            }
            connected => connected?,
        };
        self.gate.answered();
        // It ends when the client is dropped, or the server hangs up; then the client says that it is closed.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!(%error, "the connection that leads has ended");
            }
        });
        self.session = Some(client);
        Ok(())
    }

    fn failed(&self, error: &tokio_postgres::Error) -> ReadStoreError {
        self.gate.note(error);
        database(error)
    }

    fn give_up(&mut self) {
        self.session = None;
        self.led.clear();
    }
}

#[async_trait]
impl Leadership for Leader {
    async fn lead(&mut self, projections: &[(&'static str, u32)]) -> Result<HashSet<&'static str>, ReadStoreError> {
        if self.session.as_ref().is_none_or(Client::is_closed) {
            self.connect().await?;
        }
        let (wanted, versions): (Vec<&'static str>, Vec<i64>) =
            projections.iter().filter(|(name, _)| !self.led.contains(name)).map(|(name, version)| (*name, i64::from(*version))).unzip();
        if let (Some(session), false) = (&self.session, wanted.is_empty()) {
            match session.query(TRY, &[&wanted, &versions]).await {
                Ok(rows) => {
                    let taken: HashSet<String> = rows.iter().map(|row| row.get(0)).collect();
                    self.led.extend(wanted.into_iter().filter(|name| taken.contains(*name)));
                }
                Err(error) => {
                    self.give_up();
                    return Err(self.failed(&error));
                }
            }
        }
        Ok(self.led.clone())
    }
}
