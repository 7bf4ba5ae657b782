//! The way to the server: one client, made anew when it is of no use any more.
//!
//! What is known of the client, and handled here: its connection task ends for good when it finds no node, and everything then answers "closed"; when the node
//! that it has chosen dies, it stays with that node; it does not enforce a deadline itself, and leaves a server that says nothing alone; some answers make it
//! panic. So each call has a deadline here, too, a panic is an error, and after every trouble but a change of the leader that it has been told of, the next try
//! has a fresh client that looks at the cluster again.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use domain::log::StoreError;
use eventstore::{Client, ClientSettings, Error};
use futures::FutureExt as _;
use projections::breaker::Breaker;
use tokio::sync::Semaphore;
use tracing::{debug, warn};

use crate::tls::claim_tls;
use crate::url::{EsdbUrl, UrlError};
use crate::wire::Ledger;

/// How long a call may take, and how long it is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// One try.
    pub deadline: Duration,
    /// All tries of one call: long enough for a cluster to elect a leader.
    pub total: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience { deadline: Duration::from_secs(5), total: Duration::from_secs(12) }
    }
}

/// Between two tries.
const PAUSE_MIN: Duration = Duration::from_millis(25);
const PAUSE_MAX: Duration = Duration::from_millis(800);
/// Calls under way at once. The server takes 100 on a connection; whoever waits for a place has not begun, and has its whole deadline before it.
const CALLS_MAX: usize = 90;
/// Tries in a row without an answer, of all calls together, after which callers are turned away: one call in trouble makes several.
const FAILURES_MAX: u32 = 8;
/// How often a client follows the leader that it has been told of, before the cluster is looked at again.
const FOLLOWS_MAX: u32 = 2;

/// Why there is no event store.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The address cannot be read.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// Somebody else was first.
    #[error("another part of this process has set up TLS before the event store's client: it has to come first")]
    TlsTaken,
    /// The client did not come up.
    #[error("the event store's client could not set up TLS")]
    TlsNotReady,
    /// The client could not be made.
    #[error("the event store's client could not be made: {reason}")]
    Client {
        /// Why.
        reason: String,
    },
    /// The server could not be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What became of a call.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The server has decided: asking again changes nothing.
    Answer(Error),
    /// It is not there, or does not say. `is_unclear` when a try was sent that may have been carried out.
    Away { reason: String, is_unclear: bool },
}

/// A connection to a server or a cluster.
pub(crate) struct Link {
    shown: String,
    ledger: Ledger,
    is_encrypted: bool,
    settings: ClientSettings,
    has_account: bool,
    patience: Patience,
    breaker: Breaker,
    places: Semaphore,
    slot: Mutex<Slot>,
}

struct Slot {
    client: Client,
    generation: u64,
}

/// The client of one try.
pub(crate) struct Line {
    pub(crate) client: Client,
    pub(crate) deadline: Duration,
}

/// What a failed try means for the next one.
enum Verdict {
    /// The server has decided.
    Final,
    /// The client knows the new leader and goes there.
    Follow,
    /// The server is there and busy: the same client may ask again.
    Again,
    /// The client is of no use.
    Renew,
}

impl Link {
    pub(crate) async fn open(url: &EsdbUrl, patience: Patience) -> Result<Link, OpenError> {
        claim_tls().await?;
        let settings = url.settings()?;
        let slot = Mutex::new(Slot { client: client(&settings)?, generation: 0 });
        Ok(Link {
            shown: url.to_string(),
            ledger: Ledger(url.ledger().map(str::to_owned)),
            is_encrypted: url.is_encrypted(),
            settings,
            has_account: url.has_account(),
            patience,
            breaker: Breaker::new("esdb", FAILURES_MAX),
            places: Semaphore::new(CALLS_MAX),
            slot,
        })
    }

    /// Where it leads.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    /// Which ledger, if there are several.
    pub(crate) const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Carries out one call. `what` is for people.
    pub(crate) async fn call<T, F>(&self, what: &str, attempt: impl Fn(Line) -> F) -> Result<T, Trouble>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut begun = None;
        let (mut pause, mut follows, mut is_unclear) = (PAUSE_MIN, 0, false);
        loop {
            let pass = match self.breaker.admit(Instant::now()) {
                Ok(pass) => pass,
                Err(refused) => return Err(Trouble::Away { reason: self.advice(&refused.reason), is_unclear }),
            };
            // It is never closed.
            let place = self.places.acquire().await;
            let begun = *begun.get_or_insert_with(Instant::now);
            let (line, generation) = self.line();
            let tried = AssertUnwindSafe(attempt(line)).catch_unwind();
            let (verdict, reason) = match tokio::time::timeout(self.patience.deadline, tried).await {
                Ok(Ok(Ok(value))) => {
                    pass.answered();
                    return Ok(value);
                }
                Ok(Ok(Err(error))) => {
                    let verdict = judge(&error);
                    if matches!(verdict, Verdict::Final) {
                        pass.answered();
                        return Err(Trouble::Answer(error));
                    }
                    (verdict, error.to_string())
                }
                Ok(Err(_)) => (Verdict::Renew, "the client panicked over an answer".to_owned()),
                Err(_) => (Verdict::Renew, format!("no answer within {} ms", self.patience.deadline.as_millis())),
            };
            // Nobody waits behind a pause.
            drop(place);
            is_unclear = true;
            pass.failed(Instant::now(), &reason);
            match verdict {
                Verdict::Follow if follows < FOLLOWS_MAX => follows += 1,
                Verdict::Again => {}
                Verdict::Final | Verdict::Follow | Verdict::Renew => self.renew(generation),
            }
            if begun.elapsed() + pause >= self.patience.total {
                warn!(server = self.shown, what, reason, "the event store does not answer");
                return Err(Trouble::Away { reason: self.advice(&reason), is_unclear });
            }
            debug!(server = self.shown, what, reason, "tried again");
            tokio::time::sleep(pause.mul_f64(0.5 + rand::random::<f64>() / 2.0)).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn line(&self) -> (Line, u64) {
        let slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        let line = Line { client: slot.client.clone(), deadline: self.patience.deadline };
        (line, slot.generation)
    }

    /// Makes a fresh client, once for all calls that failed with the old one.
    fn renew(&self, generation: u64) {
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.generation == generation {
            match client(&self.settings) {
                Ok(client) => *slot = Slot { client, generation: generation + 1 },
                Err(error) => warn!(%error, "the old client stays"),
            }
        }
    }

    /// What is the matter, and what to look at.
    fn advice(&self, reason: &str) -> String {
        let lower = reason.to_lowercase();
        let hint = if ["certificate", "tls", "handshake", "invalidcontenttype", "corrupt"].iter().any(|word| lower.contains(word)) {
            "check the certificates (tlsCaFile=…), or whether the server speaks TLS at all (tls=false)"
        } else if self.is_encrypted {
            "is it running, and does it speak TLS? a server that runs --insecure wants ?tls=false"
        } else {
            "is it running, and does it speak plain text? a secure server wants tls=true and its certificate authority (tlsCaFile=…)"
        };
        format!("{} does not answer: {}; {hint}", self.shown, reason.chars().take(300).collect::<String>())
    }

    /// A call that failed, as the port says it.
    pub(crate) fn store_error(&self, trouble: Trouble) -> StoreError {
        let reason = match trouble {
            Trouble::Away { reason, is_unclear: false } => reason,
            Trouble::Away { reason, is_unclear: true } => {
                format!("{reason} (what was asked may have been done; ask again with the same ids)")
            }
            Trouble::Answer(Error::AccessDenied) => match self.has_account {
                true => format!(
                    "{} refuses the account: is the password right, and may it read $all and write (a member of $admins, or by $settings)?",
                    self.shown
                ),
                false => format!("{} wants an account: esdb://user:password@…", self.shown),
            },
            Trouble::Answer(Error::UnsupportedFeature) => {
                format!("{} is too old, or not an event store: 20.6.1 is the oldest that will do", self.shown)
            }
            Trouble::Answer(Error::ResourceDeleted) => {
                format!("{} says that the stream has been deleted there, which the ledger never does", self.shown)
            }
            Trouble::Answer(error) => format!("{} refused: {error}", self.shown),
        };
        StoreError::Unavailable { reason }
    }
}

fn client(settings: &ClientSettings) -> Result<Client, OpenError> {
    Client::new(settings.clone()).map_err(|error| OpenError::Client { reason: error.to_string() })
}

fn judge(error: &Error) -> Verdict {
    match error {
        Error::WrongExpectedVersion { .. }
        | Error::ResourceNotFound
        | Error::ResourceDeleted
        | Error::ResourceAlreadyExists
        | Error::AccessDenied
        | Error::UnsupportedFeature
        | Error::InternalParsingError(_)
        | Error::IllegalStateError(_)
        | Error::InitializationError(_) => Verdict::Final,
        Error::NotLeaderException(_) => Verdict::Follow,
        // By number, so that the two versions of tonic in the tree need not be the same.
        Error::Grpc { code, .. } => match i32::from(*code) {
            // Cancelled, resource exhausted, aborted: the server's own timeouts, and its being busy.
            1 | 8 | 10 => Verdict::Again,
            _ => Verdict::Final,
        },
        Error::ServerError(_)
        | Error::ConnectionClosed
        | Error::GrpcConnectionError(_)
        | Error::InternalClientError
        | Error::DeadlineExceeded => Verdict::Renew,
    }
}
