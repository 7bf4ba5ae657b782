//! An event as it is stored: what surrounds it, its place, and the hash chain of its stream.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::StreamId;
use crate::event::{DecodeError, Event};
use crate::ids::{CommandId, EventId, OperatorId};
use crate::time::Timestamp;

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
