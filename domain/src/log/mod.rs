//! The log: what an event looks like once it is stored, the hash chain over it, and the port of every engine that
//! keeps it. Commands append through this port and projections read through it; neither knows an engine.

mod event;
mod stream;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _};

use crate::ids::EventId;

pub use event::{Actor, ActorError, ActorKind, EventType, Hash, Metadata, NewEvent, Position, Recorded, Revision, StoredEvent};
pub use stream::StreamId;

/// What a writer believes about the stream it appends to. There is no "any": a chain needs its tail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// The stream does not exist yet.
    NoStream,
    /// Its last event has this revision.
    Exact(Revision),
}

impl Expected {
    /// The revision that the next event will have.
    #[must_use]
    pub const fn next(self) -> Revision {
        match self {
            Expected::NoStream => Revision(0),
            Expected::Exact(revision) => revision.next(),
        }
    }
}

/// What one append may carry, payloads and metadata together. All engines have the same limit, so that a log can move between them.
pub const APPEND_BYTES_MAX: usize = 1 << 20;

/// Refuses what no engine takes: an append without events, above the limit, or with one id twice.
///
/// # Errors
/// [`StoreError::Empty`], [`StoreError::TooLarge`] or [`AppendError::IdReused`].
pub fn check_append(stream: &StreamId, events: &[NewEvent]) -> Result<(), AppendError> {
    if events.is_empty() {
        return Err(StoreError::Empty.into());
    }
    let bytes = events.iter().map(NewEvent::size).sum();
    if bytes > APPEND_BYTES_MAX {
        return Err(StoreError::TooLarge { bytes, bytes_max: APPEND_BYTES_MAX }.into());
    }
    let twice =
        events.iter().enumerate().find(|(n, new)| events[..*n].iter().any(|other| other.metadata.event_id == new.metadata.event_id));
    match twice {
        Some((_, new)) => Err(AppendError::IdReused { stream: stream.clone(), event_id: new.metadata.event_id }),
        None => Ok(()),
    }
}

/// Judges an append whose `expected` is not the stream's tail. `there` are the stored events at the revisions that the append would
/// have had. Every engine asks here, so that all answer alike: all of it there already is a repeat, a part of it is a loud
/// refusal, none of it is a conflict.
///
/// # Errors
/// [`AppendError::IdReused`] or [`AppendError::Conflict`].
pub fn judge_repeat(
    stream: &StreamId,
    expected: Expected,
    actual: Option<Revision>,
    events: &[NewEvent],
    there: &[StoredEvent],
) -> Result<Appended, AppendError> {
    let repeats = events.len() == there.len() && events.iter().zip(there).all(|(new, stored)| new.is_repeated_by(stored));
    if let (true, [first, ..], [.., last]) = (repeats, there, there) {
        return Ok(Appended { revision: last.revision, first_position: first.position, position: last.position, repeated: true });
    }
    match events.iter().find(|new| there.iter().any(|stored| stored.metadata.event_id == new.metadata.event_id)) {
        Some(new) => Err(AppendError::IdReused { stream: stream.clone(), event_id: new.metadata.event_id }),
        None => Err(AppendError::Conflict { stream: stream.clone(), expected, actual }),
    }
}

/// Where an append landed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Of the last event.
    pub revision: Revision,
    /// Of the first event.
    pub first_position: Position,
    /// Of the last event: what `X-Min-Position` waits for.
    pub position: Position,
    /// Whether all of it was there already.
    pub repeated: bool,
}

/// Why nothing was appended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Somebody else appended first. Load again and decide again.
    #[error("{stream}: expected {expected:?}, the last event is {actual:?}")]
    Conflict {
        /// The stream.
        stream: StreamId,
        /// What the writer believed.
        expected: Expected,
        /// What is so; `None` when the stream does not exist.
        actual: Option<Revision>,
    },
    /// The id is there already, saying something else: a fault of the caller, never retried.
    #[error("{stream}: event {event_id} is there already and says something else")]
    IdReused {
        /// The stream.
        stream: StreamId,
        /// The id.
        event_id: EventId,
    },
    /// The engine could not.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why an engine could not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Not now: the disk is full, the engine is closing, the connection is down. Nothing was written, unless it was an answer that was lost: the same append
    /// with the same ids tells, and harms nothing.
    #[error("the event store is unavailable: {reason}")]
    Unavailable {
        /// What is the matter, and what to do.
        reason: String,
    },
    /// Opened for reading only.
    #[error("the event store is open for reading only")]
    ReadOnly,
    /// What it holds is not what it should hold.
    #[error("the event store is damaged at position {position}: {reason}")]
    Damaged {
        /// Where.
        position: Position,
        /// What is wrong.
        reason: String,
    },
    /// There is nothing to append: a fault of the caller.
    #[error("an append without events")]
    Empty,
    /// More than one append may carry.
    #[error("an append of {bytes} bytes is above the limit of {bytes_max}")]
    TooLarge {
        /// What was given.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
}

/// Which events a reader wants.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Filter {
    /// All of them.
    #[default]
    All,
    /// Those of these types. Filtered by the stored name, before anything is decoded.
    Types(Arc<[EventType]>),
}

impl Filter {
    /// Only these types.
    pub fn types<'a>(names: impl IntoIterator<Item = &'a str>) -> Filter {
        Filter::Types(names.into_iter().map(EventType::from).collect())
    }

    /// Whether an event of this type is wanted.
    #[must_use]
    pub fn wants(&self, event_type: &EventType) -> bool {
        match self {
            Filter::All => true,
            Filter::Types(types) => types.contains(event_type),
        }
    }
}

/// A stretch of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The events that the filter wants, in order.
    pub events: Vec<StoredEvent>,
    /// How far the log was looked through, also where nothing matched.
    pub scanned_to: Position,
}

/// The end of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Head {
    /// Of the last ledger event; 0 when there is none.
    pub position: Position,
    /// How many ledger events there are.
    pub events: u64,
}

/// How many events are counted at once.
const COUNT_PAGE: usize = 8_192;

/// The port of every engine that keeps the log. Its contract is `testing::event_store` (feature "testing"), and every engine passes it.
///
/// - Optimistic concurrency: of two writers that expect the same revision, one wins.
/// - Idempotence inside the stream: the same ids with the same bodies at the expected revisions answer `repeated` with their first place;
///   the same id with another body is [`AppendError::IdReused`]. An id is also refused when the end of its stream has it already.
/// - Durable before it answers; all of an append or nothing.
/// - Positions strictly increase in commit order, so that a reader that has seen one will never see a lower one appear.
#[async_trait]
pub trait EventStore: Send + Sync + 'static {
    /// Appends events to one stream, all or none. `events` is not empty.
    async fn append(&self, stream: &StreamId, expected: Expected, events: Vec<NewEvent>) -> Result<Appended, AppendError>;

    /// At most `limit` events of one stream, from a revision on; none when the stream does not exist or ends before.
    async fn read_stream(&self, stream: &StreamId, from: Revision, limit: usize) -> Result<Vec<StoredEvent>, StoreError>;

    /// At most `limit` matching events after a position. An empty page with `scanned_to` at the head means the end.
    async fn read_all(&self, after: Position, filter: &Filter, limit: usize) -> Result<Page, StoreError>;

    /// The end of the log.
    async fn head(&self) -> Result<Head, StoreError>;

    /// Returns once there may be an event after `position`; may return early.
    async fn wait_past(&self, position: Position) -> Result<(), StoreError>;

    /// Counts the ledger's events after one position up to another, by type.
    async fn count_types(&self, after: Position, until: Position) -> Result<BTreeMap<EventType, u64>, StoreError> {
        let (mut counts, mut at) = (BTreeMap::new(), after);
        while at < until {
            let page = self.read_all(at, &Filter::All, COUNT_PAGE).await?;
            if page.scanned_to <= at {
                break;
            }
            at = page.scanned_to;
            for event in page.events.into_iter().filter(|event| event.position <= until) {
                *counts.entry(event.event_type).or_default() += 1;
            }
        }
        Ok(counts)
    }

    /// Every matching event after a position, first those that are there, then those that come, without a hole, at the reader's speed.
    /// A page without events says how far the log has been looked through.
    fn subscribe_all(self: Arc<Self>, after: Position, filter: Filter, page: usize) -> BoxStream<'static, Result<Page, StoreError>> {
        futures::stream::unfold((self, after, filter), move |(store, after, filter)| {
            async move {
                loop {
                    match store.read_all(after, &filter, page).await {
                        Ok(found) if found.scanned_to > after => {
                            let next = found.scanned_to;
                            return Some((Ok(found), (store, next, filter)));
                        }
                        Ok(_) => {
                            if let Err(error) = store.wait_past(after).await {
                                return Some((Err(error), (store, after, filter)));
                            }
                        }
                        Err(error) => return Some((Err(error), (store, after, filter))),
                    }
                }
            }
            .boxed()
        })
        .boxed()
    }
}
