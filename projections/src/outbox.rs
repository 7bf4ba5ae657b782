//! Hands: what goes out of a read model. Folds have none, and neither has a build: only a sender has, and it takes from the build that serves, from where it was.
//!
//! How far it has sent belongs to the projection's *name*, not to a build. A rebuild fills another build and moves nothing; the swap takes the same row that a sender
//! holds while it sends, so that the one waits for the other, and hands over at exactly one position: what stands at or before it came from the build before and
//! never goes out again, also where a corrected fold would say something else; what stands after it comes from the new build.
//!
//! Between sending and noting it a process may end. So a receiver says how far it has received, if it knows, and every message has an id that makes its repetition
//! harmless.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::ids::EventId;
use domain::log::Position;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::fold::{Definition, Journal};
use crate::port::ReadStoreError;
use crate::table::Row;
use crate::value::Value;

/// Rows that are sent at once.
const BATCH_ROWS: usize = 256;
/// A view in which nothing is waiting is looked at this often.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Between two attempts there is no more than this.
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// A journal whose rows go out. The rows of one event go out together.
pub trait Effects: Journal {
    /// What a row says to a receiver.
    fn message(row: Self::Row) -> Message;
}

/// What goes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Where the event stands that it comes from.
    pub position: Position,
    /// By this a receiver knows a repetition, for ever.
    pub id: EventId,
    /// What it is about, in one word.
    pub kind: String,
    /// What it says.
    pub body: serde_json::Value,
}

/// Why nothing went out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The receiver does not take it now. Some of it may have arrived.
    #[error("the receiver is unavailable: {reason}")]
    Receiver {
        /// What is the matter.
        reason: String,
    },
    /// The database did not do it.
    #[error(transparent)]
    Database(#[from] ReadStoreError),
}

/// Whoever receives: takes messages in their order.
#[async_trait]
pub trait Receiver: Send {
    /// The position of the last message that it has; nothing when it has none, or cannot tell.
    async fn received(&mut self) -> Result<Option<Position>, SendError>;

    /// Takes messages, all of them or an error. One that it has already is not taken again.
    async fn send(&mut self, messages: &[Message]) -> Result<(), SendError>;
}

/// The right to send what comes next, held until it is noted or dropped.
#[async_trait]
pub trait Hand: Send {
    /// Up to here everything has been sent.
    fn sent_to(&self) -> Position;

    /// Up to here the rows go.
    fn until(&self) -> Position;

    /// The rows, in the order of their positions.
    fn rows(&mut self) -> Vec<Vec<Value>>;

    /// Notes that everything up to [`Hand::until`] has been sent.
    async fn note(self: Box<Self>) -> Result<(), ReadStoreError>;
}

/// Where rows wait to be sent, and where it is kept how far that has come.
#[async_trait]
pub trait Outbox: Send + Sync + 'static {
    /// Takes the hand of a projection: what its serving build has after what was sent. Nothing when another sender has it, or no build of this version serves.
    /// Where nothing has ever been sent, it begins after `begins_after`, or, without that, after what the build has: what is past is not announced.
    async fn take(
        &self,
        definition: &Definition,
        begins_after: Option<Position>,
        rows_max: usize,
    ) -> Result<Option<Box<dyn Hand>>, ReadStoreError>;
}

/// Sends the rows of one projection to one receiver.
pub struct Sender<E, R> {
    outbox: Arc<dyn Outbox>,
    receiver: R,
    definition: Definition,
    effects: PhantomData<fn() -> E>,
}

impl<E: Effects, R: Receiver> Sender<E, R> {
    /// A sender that has sent nothing yet.
    #[must_use]
    pub fn new(outbox: Arc<dyn Outbox>, receiver: R) -> Sender<E, R> {
        let table = E::Row::TABLE;
        let definition = Definition { name: table.name, version: E::VERSION, handles: E::HANDLES, table };
        Sender { outbox, receiver, definition, effects: PhantomData }
    }

    /// Sends what is waiting, at most one batch. Says how far everything has been sent, and whether there may be more; nothing when it is not this sender's turn.
    ///
    /// # Errors
    /// When the receiver or the database does not take it: then it is tried again, and what has arrived is not sent twice.
    pub async fn send(&mut self) -> Result<Option<(Position, bool)>, SendError> {
        // Asked first, so that nothing is held while a receiver that is away is waited for.
        let received = self.receiver.received().await?;
        let Some(mut hand) = self.outbox.take(&self.definition, received, BATCH_ROWS).await? else { return Ok(None) };
        let (sent_to, until) = (hand.sent_to(), hand.until());
        if until <= sent_to {
            return Ok(Some((sent_to, false)));
        }
        let rows = hand.rows();
        let has_more = rows.len() >= BATCH_ROWS / 2;
        let mut messages = Vec::with_capacity(rows.len());
        for row in rows {
            let row = E::Row::from_values(row).map_err(|error| ReadStoreError::Refused { reason: error.to_string() })?;
            messages.push(E::message(row));
        }
        // Sent by a process that did not come to note it. While the hand is held nobody else sends.
        let received = self.receiver.received().await?;
        messages.retain(|message| received.is_none_or(|received| message.position > received));
        if !messages.is_empty() {
            self.receiver.send(&messages).await?;
            metrics::counter!("chargeledger_outbox_sent_total", "projection" => self.definition.name).increment(messages.len() as u64);
        }
        hand.note().await?;
        Ok(Some((until, has_more)))
    }

    /// Sends until it is told to stop.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut backoff = LOOK_EVERY;
        let mut was_refused = None;
        while !*stop.borrow() {
            let pause = match self.send().await {
                Ok(sent) => {
                    if was_refused.take().is_some() {
                        info!(projection = self.definition.name, "what is waiting goes out again");
                    }
                    backoff = LOOK_EVERY;
                    if let Some((position, _)) = sent {
                        #[allow(clippy::cast_precision_loss, reason = "a gauge is a float; no money in it")]
                        metrics::gauge!("chargeledger_outbox_position", "projection" => self.definition.name).set(position.0 as f64);
                    }
                    if sent.is_some_and(|(_, has_more)| has_more) { Duration::ZERO } else { LOOK_EVERY }
                }
                Err(error) => {
                    let message = error.to_string();
                    if was_refused.as_ref() != Some(&message) {
                        warn!(projection = self.definition.name, error = message, "what is waiting does not go out");
                    }
                    was_refused = Some(message);
                    metrics::counter!("chargeledger_outbox_refused_total", "projection" => self.definition.name).increment(1);
                    backoff = (backoff * 2).min(BACKOFF_MAX);
                    backoff
                }
            };
            tokio::select! {
                () = sleep(pause) => {}
                _ = stop.changed() => {}
            }
        }
    }
}
