//! For consumers: a durable pull consumer with explicit acknowledgements, and an inbox that knows for ever which events were handled.
//!
//! The server delivers at least once, and recognises a repetition for minutes. Handling an event *once* is the consumer's: what it does and the note that it has done so
//! commit together, under the event's id.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::pull::{Config, Stream};
use async_nats::jetstream::consumer::{AckPolicy, Info, ReplayPolicy};
use async_trait::async_trait;
use domain::ids::EventId;
use futures::StreamExt as _;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use serde_json::json;

use crate::error::FeedError;
use crate::stream::FeedStream;
use crate::walk::Start;
use crate::wire::{self, Published};

/// How a durable consumer is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerSettings {
    /// Its name: letters, digits, `-` and `_`. The server remembers under it what was acknowledged.
    pub name: String,
    /// Only events of these types: `session.settled`, `session.>`. One pattern; servers before 2.10 take no more.
    pub types: Option<String>,
    /// Where it begins the first time. Afterwards it goes on where it was.
    pub start: Start,
    /// What is not acknowledged by then is delivered again.
    pub ack_wait: Duration,
    /// So many events may be delivered and not acknowledged.
    pub unacknowledged_max: u32,
}

impl ConsumerSettings {
    /// A consumer of all events, from the beginning.
    #[must_use]
    pub fn new(name: &str) -> ConsumerSettings {
        ConsumerSettings {
            name: name.to_owned(),
            types: None,
            start: Start::Beginning,
            ack_wait: Duration::from_secs(30),
            unacknowledged_max: 1_000,
        }
    }

    fn config(&self, prefix: &str) -> Config {
        Config {
            durable_name: Some(self.name.clone()),
            deliver_policy: self.start.policy(),
            ack_policy: AckPolicy::Explicit,
            ack_wait: self.ack_wait,
            // For ever: an event that cannot be handled is the consumer's to set aside, not the server's to drop.
            max_deliver: -1,
            filter_subject: self.types.as_ref().map(|types| format!("{prefix}{types}")).unwrap_or_default(),
            replay_policy: ReplayPolicy::Instant,
            max_ack_pending: i64::from(self.unacknowledged_max),
            ..Config::default()
        }
    }

    /// What is different, but for where it began.
    fn differences(&self, prefix: &str, found: &async_nats::jetstream::consumer::Config) -> Vec<String> {
        let wanted = self.config(prefix);
        let pairs = [
            ("ack", format!("{:?}", wanted.ack_policy), format!("{:?}", found.ack_policy)),
            ("wait", format!("{:?}", wanted.ack_wait), format!("{:?}", found.ack_wait)),
            ("max-deliver", wanted.max_deliver.to_string(), found.max_deliver.to_string()),
            ("filter", wanted.filter_subject.clone(), found.filter_subject.clone()),
            ("max-pending", wanted.max_ack_pending.to_string(), found.max_ack_pending.to_string()),
            ("target", String::new(), found.deliver_subject.clone().unwrap_or_default()),
        ];
        let differs = pairs.into_iter().filter(|(_, wanted, found)| wanted != found);
        differs.map(|(what, wanted, found)| format!("{what} is \"{found}\" instead of \"{wanted}\"")).collect()
    }
}

/// An event, delivered.
#[derive(Debug)]
pub struct Delivered {
    /// The event.
    pub published: Published,
    /// The message's place in the stream.
    pub sequence: u64,
    message: Message,
}

impl Delivered {
    /// Tells the server that the event was handled.
    ///
    /// # Errors
    /// When NATS is away: then it is delivered again.
    pub async fn ack(&self) -> Result<(), FeedError> {
        self.message.ack().await.map_err(|error| FeedError::Unavailable { reason: error.to_string() })
    }
}

/// A durable consumer.
pub struct Subscriber {
    messages: Stream,
    prefix: String,
}

impl Subscriber {
    /// Makes the consumer, or goes on with it.
    ///
    /// # Errors
    /// When NATS is away, or a consumer of this name is there and was made otherwise.
    pub async fn durable(stream: &FeedStream, settings: &ConsumerSettings) -> Result<Subscriber, FeedError> {
        let (name, prefix) = (&stream.settings.name, &stream.settings.prefix);
        let asked = stream.nats.ask::<Info>(format!("CONSUMER.INFO.{name}.{}", settings.name), &json!({})).await;
        match asked {
            Ok(found) => {
                let differences = settings.differences(prefix, &found.config);
                if !differences.is_empty() {
                    return Err(FeedError::Differs {
                        what: "the consumer",
                        name: settings.name.clone(),
                        differences: differences.join("; "),
                        mend: format!(
                            "Choose another name, or `nats consumer rm {name} {}` to begin anew: events that were handled stay known by their ids",
                            settings.name
                        ),
                    });
                }
            }
            Err(error) if error.code() == Some(async_nats::jetstream::ErrorCode::CONSUMER_NOT_FOUND) => {
                let request = json!({ "stream_name": name, "config": settings.config(prefix) });
                stream.nats.ask::<Info>(format!("CONSUMER.DURABLE.CREATE.{name}.{}", settings.name), &request).await?;
            }
            Err(error) => return Err(error.into()),
        }
        let handle = stream.nats.context.get_stream_no_info(name).await.map_err(|error| FeedError::unavailable(&error))?;
        let consumer =
            handle.get_consumer::<Config>(&settings.name).await.map_err(|error| FeedError::Unavailable { reason: error.to_string() })?;
        let messages = consumer.messages().await.map_err(|error| FeedError::unavailable(&error))?;
        Ok(Subscriber { messages, prefix: prefix.clone() })
    }

    /// The next event, once there is one. Not acknowledged, it comes again.
    ///
    /// # Errors
    /// When NATS is away for too long, or what came is no event.
    pub async fn next(&mut self) -> Result<Delivered, FeedError> {
        let message = match self.messages.next().await {
            Some(Ok(message)) => message,
            Some(Err(error)) => return Err(FeedError::unavailable(&error)),
            None => return Err(FeedError::Unavailable { reason: "the connection is closed".to_owned() }),
        };
        let sequence = message.info().map_err(|error| FeedError::Refused { reason: error.to_string() })?.stream_sequence;
        let read = wire::read(&self.prefix, &message.subject, message.headers.as_ref(), &message.payload);
        let published = read.map_err(|source| FeedError::Message { sequence, source })?;
        Ok(Delivered { published, sequence, message })
    }
}

/// Where a consumer keeps which events it has handled, for ever.
#[async_trait]
pub trait Inbox: Send {
    /// Handles an event, unless one of its id was handled before. Says whether it was new. What handling does and the note of it commit together, or neither.
    ///
    /// # Errors
    /// When it could not be handled: nothing is noted, and it comes again.
    async fn once(&mut self, published: &Published) -> Result<bool, FeedError>;
}

/// Takes in the next event: handled once, then acknowledged. Says whether it was new.
///
/// # Errors
/// As [`Subscriber::next`] and [`Inbox::once`].
pub async fn consume(subscriber: &mut Subscriber, inbox: &mut dyn Inbox) -> Result<(Delivered, bool), FeedError> {
    let delivered = subscriber.next().await?;
    let is_new = inbox.once(&delivered.published).await?;
    delivered.ack().await?;
    Ok((delivered, is_new))
}

/// An inbox that ends with the process: for looking on.
#[derive(Debug, Default)]
pub struct MemoryInbox {
    handled: HashSet<EventId>,
}

#[async_trait]
impl Inbox for MemoryInbox {
    async fn once(&mut self, published: &Published) -> Result<bool, FeedError> {
        Ok(self.handled.insert(published.event.metadata.event_id))
    }
}

/// What a consumer does with an event, inside the transaction that notes it.
pub type Handle = Box<dyn FnMut(&Transaction<'_>, &Published) -> rusqlite::Result<()> + Send>;

/// An inbox in a SQLite file, beside what handling an event writes there.
pub struct SqliteInbox {
    connection: Connection,
    handle: Handle,
}

impl SqliteInbox {
    /// Opens the file, or makes it. `handle` is called once for each event, in the transaction that notes it.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(path: &Path, handle: Handle) -> Result<SqliteInbox, FeedError> {
        let connection = Connection::open(path).map_err(|error| inbox(&error))?;
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000;
                 CREATE TABLE IF NOT EXISTS handled (event_id BLOB PRIMARY KEY, position INTEGER NOT NULL) STRICT, WITHOUT ROWID;",
            )
            .map_err(|error| inbox(&error))?;
        Ok(SqliteInbox { connection, handle })
    }

    fn take(&mut self, published: &Published) -> rusqlite::Result<bool> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let position = i64::try_from(published.event.position.0).unwrap_or(i64::MAX);
        let sql = "INSERT INTO handled (event_id, position) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        let is_new = transaction.execute(sql, (published.event.metadata.event_id.0.as_bytes().as_slice(), position))? == 1;
        if is_new {
            (self.handle)(&transaction, published)?;
        }
        transaction.commit()?;
        Ok(is_new)
    }
}

#[async_trait]
impl Inbox for SqliteInbox {
    async fn once(&mut self, published: &Published) -> Result<bool, FeedError> {
        tokio::task::block_in_place(|| self.take(published)).map_err(|error| inbox(&error))
    }
}

fn inbox(error: &rusqlite::Error) -> FeedError {
    FeedError::Inbox { reason: error.to_string() }
}
