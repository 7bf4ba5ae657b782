//! The log: what an event looks like once it is stored, the hash chain over it, and the port of every engine that
//! keeps it. Commands append through this port and projections read through it; neither knows an engine.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::{self, BoxStream};
use futures::{FutureExt as _, StreamExt as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::event::{DecodeError, Event};
use crate::ids::{ApiKeyId, CommandId, ConnectorId, EventId, OperatorId, PaymentId, PileId, SessionId, StationId, TariffId, UserId};
use crate::time::Timestamp;

/// The name of a stream: a category, a dash, and a key. Everything in one stream is consistent at once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct StreamId(Arc<str>);

macro_rules! streams {
    ($($function:ident($id:ty) $category:literal;)*) => {$(
        #[doc = concat!("`", $category, "-…`")]
        #[must_use]
        pub fn $function(id: $id) -> StreamId {
            StreamId(format!(concat!($category, "-{}"), id).into())
        }
    )*};
}

impl StreamId {
    streams! {
        session(SessionId) "session";
        payment(PaymentId) "payment";
        wallet(UserId) "wallet";
        connector(ConnectorId) "connector";
        pile(PileId) "pile";
        station(StationId) "station";
        tariff(TariffId) "tariff";
        user(UserId) "user";
        operator(OperatorId) "operator";
        api_key(ApiKeyId) "key";
        journal(OperatorId) "journal";
        request(&str) "request";
        process(&str) "process";
        projection(&str) "projection";
    }

    /// The whole name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What comes before the first dash.
    #[must_use]
    pub fn category(&self) -> &str {
        self.0.split_once('-').map_or(&*self.0, |(category, _)| category)
    }

    /// What comes after the first dash.
    #[must_use]
    pub fn key(&self) -> &str {
        self.0.split_once('-').map_or("", |(_, key)| key)
    }
}

impl From<Arc<str>> for StreamId {
    fn from(name: Arc<str>) -> StreamId {
        StreamId(name)
    }
}

impl From<&str> for StreamId {
    fn from(name: &str) -> StreamId {
        StreamId(name.into())
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// The one after this.
            #[must_use]
            pub const fn next(self) -> $name {
                $name(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

counters! {
    /// An event's place in its stream, from 0.
    Revision;
    /// An event's place in the log. Positions strictly increase; the embedded engine's are contiguous from 1, other
    /// engines' have gaps. 0 is before the first event.
    Position;
}

/// A SHA-256 in the hash chain of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// What the first event of a stream has as its `prev_hash`.
    pub const START: Hash = Hash([0; 32]);
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What kind of party acted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    /// A driver.
    User,
    /// A partner platform.
    Partner,
    /// A charging device.
    Device,
    /// The ledger itself, a process manager, or a generator of sample data.
    System,
    /// A person who works for the operator, by API key.
    Staff,
}

impl ActorKind {
    /// The word in the stored form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            ActorKind::User => "user",
            ActorKind::Partner => "partner",
            ActorKind::Device => "device",
            ActorKind::System => "system",
            ActorKind::Staff => "staff",
        }
    }
}

/// Who did it: `device:…`, `user:…`. Data that was generated says so here: `system:generated …`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Actor {
    /// What kind of party.
    pub kind: ActorKind,
    /// Which one.
    pub id: Arc<str>,
}

impl Actor {
    /// An actor of this kind.
    #[must_use]
    pub fn new(kind: ActorKind, id: impl Into<Arc<str>>) -> Actor {
        Actor { kind, id: id.into() }
    }

    /// A part of the ledger itself.
    #[must_use]
    pub fn system(name: &str) -> Actor {
        Actor::new(ActorKind::System, name)
    }

    /// Whether the event was made up by a generator of sample data.
    #[must_use]
    pub fn is_generator(&self) -> bool {
        self.kind == ActorKind::System && self.id.starts_with("generated ")
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.as_str(), self.id)
    }
}

/// A text that names no actor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not an actor like device:42")]
pub struct ActorError(String);

impl FromStr for Actor {
    type Err = ActorError;
    fn from_str(text: &str) -> Result<Actor, ActorError> {
        let unknown = || ActorError(text.chars().take(64).collect());
        let (kind, id) = text.split_once(':').ok_or_else(unknown)?;
        let kind = match kind {
            "user" => ActorKind::User,
            "partner" => ActorKind::Partner,
            "device" => ActorKind::Device,
            "system" => ActorKind::System,
            "staff" => ActorKind::Staff,
            _ => return Err(unknown()),
        };
        Ok(Actor::new(kind, id))
    }
}

/// What is known about an event beside what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// UUIDv5 of (command, index).
    pub event_id: EventId,
    /// The command that became this event.
    pub command_id: CommandId,
    /// The event that caused the command, if one did.
    pub causation_id: Option<EventId>,
    /// One id for all that belongs to one story: the session, or the payment.
    pub correlation_id: Uuid,
    /// Who did it.
    pub actor: Actor,
    /// Whose books: the tenant.
    pub operator_id: OperatorId,
    /// When the world did it.
    pub occurred_at: Timestamp,
    /// When we recorded it. Engines with one writer never let it run backwards along the log.
    pub recorded_at: Timestamp,
}

/// The stored name of a kind of event, `session.record_accepted`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct EventType(pub Arc<str>);

impl EventType {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for EventType {
    fn from(name: &str) -> EventType {
        EventType(name.into())
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An event on its way into the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// The stored name.
    pub event_type: EventType,
    /// The version of the payload's form, from 1.
    pub version: u16,
    /// All but what the log itself gives.
    pub metadata: Metadata,
    /// MessagePack with named fields.
    pub payload: Vec<u8>,
}

impl NewEvent {
    /// Encodes an event in its newest form.
    #[must_use]
    pub fn encode(event: &Event, metadata: Metadata) -> NewEvent {
        let (event_type, version, payload) = event.encode();
        NewEvent { event_type, version, metadata, payload }
    }

    /// What it counts against [`APPEND_BYTES_MAX`]: the payload, and what its metadata take at most in the engine that writes them longest.
    #[must_use]
    pub fn size(&self) -> usize {
        self.payload.len() + 2 * self.event_type.as_str().len() + self.metadata.actor.id.len() + 768
    }

    /// Whether a stored event is this one, repeated: all alike but what the log gave (`recorded_at` and the hashes).
    #[must_use]
    pub fn is_repeated_by(&self, stored: &StoredEvent) -> bool {
        let metadata = Metadata { recorded_at: stored.metadata.recorded_at, ..self.metadata.clone() };
        metadata == stored.metadata
            && self.event_type == stored.event_type
            && self.version == stored.version
            && self.payload == stored.payload
    }
}

/// An event as the log holds it, payload not yet decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its place in the log.
    pub position: Position,
    /// Its stream.
    pub stream: StreamId,
    /// Its place in the stream.
    pub revision: Revision,
    /// The stored name.
    pub event_type: EventType,
    /// The version of the payload's form.
    pub version: u16,
    /// What is known beside what it says.
    pub metadata: Metadata,
    /// The stored bytes, as they were hashed.
    pub payload: Vec<u8>,
    /// The hash of the event before it in its stream.
    pub prev_hash: Hash,
    /// The hash of this one.
    pub hash: Hash,
}

impl StoredEvent {
    /// Gives an event its place: the chain's next link.
    #[must_use]
    pub fn link(new: NewEvent, position: Position, stream: StreamId, revision: Revision, prev_hash: Hash) -> StoredEvent {
        let NewEvent { event_type, version, metadata, payload } = new;
        let mut stored = StoredEvent { position, stream, revision, event_type, version, metadata, payload, prev_hash, hash: Hash::START };
        stored.hash = stored.computed_hash();
        stored
    }

    /// SHA-256 of `prev_hash`, then the fields, each behind its length (four bytes, big-endian): stream, revision,
    /// event id, type, version, operator, actor, command, causation (empty when there is none), correlation, `occurred_at`,
    /// `recorded_at`, payload. Integers have eight bytes, big-endian; times are microseconds.
    #[must_use]
    pub fn computed_hash(&self) -> Hash {
        let meta = &self.metadata;
        let mut bytes = Vec::with_capacity(384 + self.stream.as_str().len() + self.event_type.as_str().len() + meta.actor.id.len());
        bytes.extend_from_slice(&self.prev_hash.0);
        let mut field = |value: &[&[u8]]| {
            // A field is at most a payload, which every engine bounds far below 4 GiB.
            let length: usize = value.iter().map(|part| part.len()).sum();
            bytes.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
            value.iter().for_each(|part| bytes.extend_from_slice(part));
        };
        field(&[self.stream.as_str().as_bytes()]);
        field(&[&self.revision.0.to_be_bytes()]);
        field(&[meta.event_id.0.as_bytes()]);
        field(&[self.event_type.as_str().as_bytes()]);
        field(&[&u64::from(self.version).to_be_bytes()]);
        field(&[meta.operator_id.0.as_bytes()]);
        field(&[meta.actor.kind.as_str().as_bytes(), b":", meta.actor.id.as_bytes()]);
        field(&[meta.command_id.0.as_bytes()]);
        field(&[meta.causation_id.as_ref().map_or(&[][..], |id| id.0.as_bytes())]);
        field(&[meta.correlation_id.as_bytes()]);
        field(&[&meta.occurred_at.micros().to_be_bytes()]);
        field(&[&meta.recorded_at.micros().to_be_bytes()]);
        bytes.extend_from_slice(&u32::try_from(self.payload.len()).unwrap_or(u32::MAX).to_be_bytes());
        // In two pieces: hashing each small field by itself costs more than copying them, and the payload need not be copied.
        let mut sha = Sha256::new();
        sha.update(&bytes);
        sha.update(&self.payload);
        Hash(sha.finalize().into())
    }

    /// Decodes the payload, bringing an old form up to the newest.
    ///
    /// # Errors
    /// When the type or version is unknown, or the payload does not have its form.
    pub fn decode(self) -> Result<Recorded<Event>, DecodeError> {
        let event = Event::decode(self.event_type.as_str(), self.version, &self.payload)?;
        let StoredEvent { position, stream, revision, metadata, .. } = self;
        Ok(Recorded { position, stream, revision, metadata, event })
    }
}

/// A decoded event with its place and metadata: what folds see.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded<E> {
    /// Its place in the log.
    pub position: Position,
    /// Its stream.
    pub stream: StreamId,
    /// Its place in the stream.
    pub revision: Revision,
    /// What is known beside what it says.
    pub metadata: Metadata,
    /// What it says.
    pub event: E,
}

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
        stream::unfold((self, after, filter), move |(store, after, filter)| {
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
