//! The connection to NATS. It comes back by itself, each time after a longer pause, for as long as it takes.
//!
//! Without it, the client keeps what it is asked and says nothing until the time is over. So those who ask (the publisher that looks for its place, the sender of notices)
//! pass a breaker. It is told of the connection, too: who is connected again is let in at once. The messages of the feed do not pass it: they go out many at a time, without
//! waiting, and whoever publishes them stops by itself when nothing is acknowledged.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::jetstream::context::RequestErrorKind;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::{self, ErrorCode};
use async_nats::{Client, ConnectOptions, Event, ServerAddr};
use percent_encoding::percent_decode_str;
use projections::breaker::Breaker;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::{debug, info, warn};

use crate::credentials::Credentials;
use crate::error::{FeedError, chain};

/// A server that has not answered by then is away.
pub(crate) const ANSWER_MAX: Duration = Duration::from_secs(5);
/// Between two attempts to connect there is no more than this.
const RECONNECT_MAX: Duration = Duration::from_secs(4);
/// Messages on their way from this process to the socket: more than any window, so that publishing never waits where nobody listens.
const CLIENT_CAPACITY: usize = 16_384;
/// Questions in a row without an answer before nobody waits any more: each has waited for [`ANSWER_MAX`].
const FAILURES_MAX: u32 = 2;

/// A connection to a NATS server, or to a cluster of them.
#[derive(Clone, Debug)]
pub struct Nats {
    pub(crate) client: Client,
    pub(crate) context: jetstream::Context,
    pub(crate) breaker: Arc<Breaker>,
}

/// The servers that a setting names: `nats://a:4222,nats://b:4222`.
///
/// # Errors
/// When one is not a URL. The text is not repeated: it may hold a password.
pub fn servers(urls: &str) -> Result<Vec<ServerAddr>, String> {
    let one = |url: &str| url.trim().parse::<ServerAddr>().map_err(|error| error.to_string());
    let found = urls.split(',').map(one).collect::<Result<Vec<_>, _>>();
    match found {
        Ok(servers) if servers.iter().all(|server| !server.is_websocket()) => Ok(servers),
        Ok(_) => Err("web sockets are not spoken here".to_owned()),
        Err(error) => Err(error),
    }
}

impl Nats {
    /// Connects when the servers are there, and goes on trying while they are not. Returns at once.
    ///
    /// # Errors
    /// When the URLs are none.
    pub async fn lazily(urls: &str, name: &str, credentials: Option<&Credentials>) -> Result<Nats, FeedError> {
        Nats::of(urls, credentials, |breaker| options(name, breaker).retry_on_initial_connect()).await
    }

    /// Connects now, or says why not.
    ///
    /// # Errors
    /// When no server can be reached.
    pub async fn connect(urls: &str, name: &str, credentials: Option<&Credentials>) -> Result<Nats, FeedError> {
        let reached = tokio::time::timeout(ANSWER_MAX, Nats::of(urls, credentials, |breaker| options(name, breaker))).await;
        reached.unwrap_or_else(|_| Err(FeedError::Unavailable { reason: "no server has answered".to_owned() }))
    }

    async fn of(
        urls: &str,
        credentials: Option<&Credentials>,
        options: impl FnOnce(Arc<Breaker>) -> ConnectOptions,
    ) -> Result<Nats, FeedError> {
        let servers = servers(urls).map_err(|reason| FeedError::Refused { reason: format!("CHARGELEDGER_NATS_URL: {reason}") })?;
        let breaker = Arc::new(Breaker::new("nats", FAILURES_MAX));
        let options = options(breaker.clone());
        let options = match servers.iter().find(|server| server.has_user_pass()) {
            Some(server) => signed_in(options, server),
            None => options,
        };
        let options = match credentials {
            Some(credentials) => {
                credentials.shown_by(options).map_err(|_| FeedError::Refused { reason: "the credentials cannot be used".to_owned() })?
            }
            None => options,
        };
        let client = options.connect(servers).await.map_err(|error| FeedError::unavailable(&error))?;
        let mut context = jetstream::new(client.clone());
        context.set_timeout(ANSWER_MAX);
        Ok(Nats { client, context, breaker })
    }

    /// Whether there is a connection at the moment.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == async_nats::connection::State::Connected
    }

    /// What the server calls its release; empty before the first connection.
    #[must_use]
    pub fn server_version(&self) -> String {
        self.client.try_server_info().map(|info| info.version).unwrap_or_default()
    }

    /// Everything that was handed over is on its way, as far as there is a way.
    pub async fn flush(&self) {
        // Without a connection there is nothing to wait for.
        let _ = tokio::time::timeout(ANSWER_MAX, self.client.flush()).await;
    }
}

/// With the account that stands in a server's address: the client itself does not look there. A name without a password is a token.
fn signed_in(options: ConnectOptions, server: &ServerAddr) -> ConnectOptions {
    let plain = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    match (server.username(), server.password()) {
        (Some(user), Some(password)) => options.user_and_password(plain(user), plain(password)),
        (Some(token), None) => options.token(plain(token)),
        (None, _) => options,
    }
}

fn options(name: &str, breaker: Arc<Breaker>) -> ConnectOptions {
    let seen = Arc::new(std::sync::atomic::AtomicBool::new(false));
    ConnectOptions::new()
        .name(name)
        .connection_timeout(ANSWER_MAX)
        .request_timeout(Some(ANSWER_MAX))
        // A server that has vanished without a word is noticed after two of these.
        .ping_interval(Duration::from_secs(5))
        .client_capacity(CLIENT_CAPACITY)
        .subscription_capacity(CLIENT_CAPACITY)
        .max_reconnects(None)
        .reconnect_delay_callback(|attempts| {
            let doubled = Duration::from_millis(50) * 2_u32.saturating_pow(u32::try_from(attempts.min(8)).unwrap_or(8));
            // Not all at once: everybody who lost a server comes back to the same ones.
            doubled.min(RECONNECT_MAX).mul_f64(rand::random_range(0.75..1.0))
        })
        .event_callback(move |event| {
            let (seen, breaker) = (seen.clone(), breaker.clone());
            async move {
                match event {
                    Event::Connected => {
                        if seen.swap(true, std::sync::atomic::Ordering::Relaxed) {
                            metrics::counter!("chargeledger_feed_reconnects_total").increment(1);
                        }
                        info!("connected to NATS");
                        breaker.answered();
                    }
                    Event::Disconnected => {
                        warn!("the connection to NATS is lost");
                        breaker.failed(Instant::now(), "the connection is lost");
                    }
                    other => debug!(event = %other, "NATS"),
                }
            }
        })
}

impl Nats {
    /// Asks the JetStream API, whose own refusals are told from no answer at all.
    pub(crate) async fn ask<T: DeserializeOwned>(&self, subject: String, request: &(impl Serialize + Sync)) -> Result<T, Answered> {
        let question = self.context.request(subject, request);
        match self.asked(question, |error| error.kind() == RequestErrorKind::NoResponders).await {
            Ok(Response::Ok(answer)) => Ok(answer),
            Ok(Response::Err { error }) => Err(Answered::Refused(error)),
            Err(error) => Err(Answered::Not(error)),
        }
    }

    /// What is said to one question; at once, that nobody says anything, while that is so. Servers that say that nobody has the stream are there.
    pub(crate) async fn asked<T, E: Error + 'static>(
        &self,
        question: impl Future<Output = Result<T, E>>,
        is_answer: impl Fn(&E) -> bool,
    ) -> Result<T, FeedError> {
        let pass = self.breaker.admit(Instant::now()).map_err(|told| FeedError::Unavailable { reason: told.reason })?;
        let answer = question.await;
        match &answer {
            Err(error) if !is_answer(error) => pass.failed(Instant::now(), &chain(error)),
            Ok(_) | Err(_) => pass.answered(),
        }
        answer.map_err(|error| FeedError::unavailable(&error))
    }
}

/// What came of a request to the JetStream API that did not do what it was to do.
#[derive(Debug)]
pub(crate) enum Answered {
    /// The server said why.
    Refused(jetstream::Error),
    /// There was no answer.
    Not(FeedError),
}

impl Answered {
    pub(crate) fn code(&self) -> Option<ErrorCode> {
        match self {
            Answered::Refused(error) => Some(error.error_code()),
            Answered::Not(_) => None,
        }
    }
}

impl From<Answered> for FeedError {
    fn from(answered: Answered) -> FeedError {
        match answered {
            // The servers are electing, or one is on its way down.
            Answered::Refused(error) if error.code() == 503 => FeedError::Unavailable { reason: error.to_string() },
            Answered::Refused(error) => FeedError::Refused { reason: error.to_string() },
            Answered::Not(error) => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Servers;

    #[tokio::test]
    async fn the_account_in_the_url_is_the_one_that_signs_in() {
        let accounts = "authorization { users: [{ user: ledger, password: \"p@ss:word\" }] }";
        let Some(servers) = Servers::with(1, accounts) else { return };
        let place = servers.urls().replace("nats://", "");
        assert!(Nats::connect(&format!("nats://ledger:p%40ss%3Aword@{place}"), "test", None).await.is_ok());
        for wrong in [place.clone(), format!("nats://ledger:other@{place}"), format!("nats://somebody@{place}")] {
            assert!(Nats::connect(&wrong, "test", None).await.is_err(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn a_name_without_a_password_is_a_token() {
        let Some(servers) = Servers::with(1, "authorization { token: \"a/b\" }") else { return };
        let place = servers.urls().replace("nats://", "");
        assert!(Nats::connect(&format!("nats://a%2Fb@{place}"), "test", None).await.is_ok());
        assert!(Nats::connect(&format!("nats://a@{place}"), "test", None).await.is_err());
    }

    #[test]
    fn several_servers_are_separated_by_commas_and_a_password_is_not_repeated() {
        assert_eq!(servers("nats://a:4222, tls://b:4333").unwrap().len(), 2);
        assert_eq!(servers("127.0.0.1:4222").unwrap().len(), 1);
        let error = servers("nats://me:secret@").unwrap_err();
        assert!(!error.contains("secret"), "{error}");
        assert!(servers("wss://a").is_err());
    }
}
