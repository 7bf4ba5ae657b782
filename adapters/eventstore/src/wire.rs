//! How an event lies on the server, and back.
//!
//! - The server's event id is ours, the type is ours, the data are the stored payload, byte for byte: MessagePack, which the server does not look into.
//! - The rest is custom metadata as JSON, so that an operator reads it in the server's own pages; `$correlationId` and `$causationId` are the server's own words
//!   for them. `ledger` says which form it is, and tells our events from those of others who share the server.
//! - `append_id` is new for each append: what tells an event that this call wrote from one that was there. It is no part of the hash.

use std::sync::Arc;

use domain::ids::{CommandId, EventId, OperatorId};
use domain::log::{EventType, Hash, Metadata, Position, Revision, StoreError, StoredEvent, StreamId};
use domain::time::Timestamp;
use eventstore::{EventData, RecordedEvent};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The form of the metadata.
const FORM: u8 = 1;
/// How ours begin, and nobody else's.
const MARK: &[u8] = b"{\"ledger\":";
/// What a server before 22.6 says for a position that it does not know.
const UNKNOWN: u64 = u64::MAX;

#[derive(Debug, Serialize, Deserialize)]
struct Beside<'a> {
    ledger: u8,
    #[serde(rename = "$correlationId")]
    correlation_id: Uuid,
    #[serde(rename = "$causationId", default, skip_serializing_if = "Option::is_none")]
    causation_id: Option<Uuid>,
    command_id: Uuid,
    #[serde(borrow)]
    actor: std::borrow::Cow<'a, str>,
    operator_id: Uuid,
    version: u16,
    occurred_at: Timestamp,
    recorded_at: Timestamp,
    prev_hash: String,
    hash: String,
    append_id: Uuid,
}

/// Which of several ledgers on one server. Its name and a colon stand before its streams' names; a ledger without a name has no colon there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ledger(pub(crate) Option<String>);

impl Ledger {
    /// A stream's name on the server.
    pub(crate) fn outside(&self, stream: &StreamId) -> String {
        match &self.0 {
            Some(name) => format!("{name}:{stream}"),
            None => stream.as_str().to_owned(),
        }
    }

    /// A stream's name in the ledger, if it is one of this ledger's.
    fn inside<'a>(&self, name: &'a str) -> Option<&'a str> {
        let category = name.split('-').next().unwrap_or_default();
        match (&self.0, category.split_once(':')) {
            (None, None) => Some(name),
            (Some(ledger), Some((prefix, _))) if ledger == prefix => name.get(prefix.len() + 1..),
            _ => None,
        }
    }
}

/// What one call writes, in the server's form.
pub(crate) struct Proposed {
    pub(crate) events: Vec<EventData>,
    /// As the server reckons it.
    pub(crate) bytes: usize,
}

/// An event as the server holds it.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) stored: StoredEvent,
    pub(crate) append_id: Uuid,
}

/// Puts events into the server's form.
pub(crate) fn propose(events: &[StoredEvent], append_id: Uuid) -> Result<Proposed, StoreError> {
    let mut proposed = Proposed { events: Vec::with_capacity(events.len()), bytes: 0 };
    for event in events {
        let meta = &event.metadata;
        let beside = Beside {
            ledger: FORM,
            correlation_id: meta.correlation_id,
            causation_id: meta.causation_id.map(|id| id.0),
            command_id: meta.command_id.0,
            actor: meta.actor.to_string().into(),
            operator_id: meta.operator_id.0,
            version: event.version,
            occurred_at: meta.occurred_at,
            recorded_at: meta.recorded_at,
            prev_hash: event.prev_hash.to_string(),
            hash: event.hash.to_string(),
            append_id,
        };
        let beside = serde_json::to_vec(&beside).map_err(|error| StoreError::Unavailable { reason: error.to_string() })?;
        let name = event.event_type.as_str();
        // The server's own reckoning: two bytes for each character of the type.
        proposed.bytes += event.payload.len() + beside.len() + name.encode_utf16().count() * 2;
        let data = EventData::binary(name, event.payload.clone().into()).id(meta.event_id.0).metadata(beside.into());
        proposed.events.push(data);
    }
    Ok(proposed)
}

/// Reads an event of the ledger; none when it is the server's own, or somebody else's.
pub(crate) fn held(ledger: &Ledger, event: RecordedEvent) -> Result<Option<Held>, StoreError> {
    if event.event_type.starts_with('$') || event.stream_id.starts_with('$') || !event.custom_metadata.starts_with(MARK) {
        return Ok(None);
    }
    let Some(stream) = ledger.inside(&event.stream_id).map(|name| StreamId::from(Arc::<str>::from(name))) else { return Ok(None) };
    let position = Position(event.position.commit);
    let damaged = |reason: String| StoreError::Damaged { position, reason: format!("{} in {}: {reason}", event.id, event.stream_id) };
    let beside: Beside<'_> = serde_json::from_slice(&event.custom_metadata).map_err(|error| damaged(error.to_string()))?;
    if beside.ledger != FORM {
        return Err(damaged(format!("its metadata have form {}, which a newer release has written", beside.ledger)));
    }
    let hash = |text: &str| from_hex(text).ok_or_else(|| damaged("a hash that is none".to_owned()));
    let metadata = Metadata {
        event_id: EventId(event.id),
        command_id: CommandId(beside.command_id),
        causation_id: beside.causation_id.map(EventId),
        correlation_id: beside.correlation_id,
        actor: beside.actor.parse().map_err(|error: domain::log::ActorError| damaged(error.to_string()))?,
        operator_id: OperatorId(beside.operator_id),
        occurred_at: beside.occurred_at,
        recorded_at: beside.recorded_at,
    };
    let stored = StoredEvent {
        position,
        stream,
        revision: Revision(event.revision),
        event_type: EventType(event.event_type.as_str().into()),
        version: beside.version,
        metadata,
        prev_hash: hash(&beside.prev_hash)?,
        hash: hash(&beside.hash)?,
        payload: event.data.into(),
    };
    Ok(Some(Held { stored, append_id: beside.append_id }))
}

/// Whether the server said where the event is. Servers before 22.6 do so only when the whole log is read.
pub(crate) const fn is_placed(event: &StoredEvent) -> bool {
    event.position.0 != UNKNOWN
}

fn from_hex(text: &str) -> Option<Hash> {
    let mut hash = Hash::START;
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, at) in hash.0.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::testing::event_store::{event, stream};

    #[test]
    fn a_ledger_sees_its_own_streams_only() {
        let (nameless, named) = (Ledger(None), Ledger(Some("a".to_owned())));
        let outside = named.outside(&stream(1));
        assert_eq!(named.inside(&outside), Some(stream(1).as_str()));
        assert_eq!((nameless.inside(&outside), named.inside(stream(1).as_str())), (None, None));
        assert_eq!(nameless.inside("request-a:b-1"), Some("request-a:b-1"), "a colon in the key is no name");
        assert_eq!(Ledger(Some("b".to_owned())).inside(&outside), None);
    }

    #[test]
    fn what_the_port_lets_through_fits_the_server() {
        let mut new = event(2);
        new.metadata.actor.id = "x".repeat(100).into();
        let size = new.size();
        let linked = StoredEvent::link(new, Position(0), stream(1), Revision(0), Hash::START);
        let proposed = propose(&[linked], Uuid::max()).unwrap();
        assert!(proposed.bytes <= size, "{} bytes are reckoned as {size}", proposed.bytes);
    }

    #[test]
    fn a_hash_comes_back_and_what_is_none_does_not() {
        let hash = Hash([0xa7; 32]);
        assert_eq!(from_hex(&hash.to_string()), Some(hash));
        assert_eq!((from_hex("a7"), from_hex(&"g".repeat(64))), (None, None));
    }
}
