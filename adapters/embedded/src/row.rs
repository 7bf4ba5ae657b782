//! An event as a row: the blob `meta`, whose layout `schema.sql` documents, and the columns.
//!
//! A fixed layout instead of a serialised map, because every replay reads every one of them.

use domain::ids::{CommandId, EventId, OperatorId};
use domain::log::{Actor, ActorKind, EventType, Hash, Metadata, Position, Revision, StoreError, StoredEvent, StreamId};
use domain::time::Timestamp;
use rusqlite::Row;
use uuid::Uuid;

use crate::database::unsigned;
use crate::error::{damaged, store_error};

/// The columns that [`Fields`] reads, in its order.
pub(crate) const COLUMNS: &str = "pos, stream, rev, id, type, version, occurred, recorded, meta, data";

const LAYOUT: u8 = 1;
const CAUSATION_FLAG: usize = 114;

/// Writes `meta` into `blob`.
pub(crate) fn write_meta(event: &StoredEvent, blob: &mut Vec<u8>) {
    let meta = &event.metadata;
    blob.clear();
    blob.push(LAYOUT);
    blob.push(match meta.actor.kind {
        ActorKind::User => 0,
        ActorKind::Partner => 1,
        ActorKind::Device => 2,
        ActorKind::System => 3,
        ActorKind::Staff => 4,
    });
    blob.extend_from_slice(&event.prev_hash.0);
    blob.extend_from_slice(&event.hash.0);
    blob.extend_from_slice(meta.command_id.0.as_bytes());
    blob.extend_from_slice(meta.correlation_id.as_bytes());
    blob.extend_from_slice(meta.operator_id.0.as_bytes());
    blob.push(u8::from(meta.causation_id.is_some()));
    if let Some(causation) = meta.causation_id {
        blob.extend_from_slice(causation.0.as_bytes());
    }
    blob.extend_from_slice(meta.actor.id.as_bytes());
}

/// A row's fields, borrowed from SQLite.
pub(crate) struct Fields<'row> {
    pub(crate) position: u64,
    pub(crate) stream: i64,
    pub(crate) revision: u64,
    pub(crate) event_type: i64,
    id: &'row [u8],
    version: i64,
    occurred: i64,
    recorded: i64,
    meta: &'row [u8],
    data: &'row [u8],
}

impl<'row> Fields<'row> {
    /// Reads a row of [`COLUMNS`].
    pub(crate) fn read(row: &'row Row<'_>) -> Result<Fields<'row>, StoreError> {
        let get = || -> rusqlite::Result<Fields<'row>> {
            Ok(Fields {
                position: unsigned(row.get_ref(0)?.as_i64()?),
                stream: row.get_ref(1)?.as_i64()?,
                revision: unsigned(row.get_ref(2)?.as_i64()?),
                id: row.get_ref(3)?.as_blob()?,
                event_type: row.get_ref(4)?.as_i64()?,
                version: row.get_ref(5)?.as_i64()?,
                occurred: row.get_ref(6)?.as_i64()?,
                recorded: row.get_ref(7)?.as_i64()?,
                meta: row.get_ref(8)?.as_blob()?,
                data: row.get_ref(9)?.as_blob()?,
            })
        };
        get().map_err(store_error)
    }

    /// How much memory the event will take, about.
    pub(crate) fn size(&self) -> usize {
        self.meta.len() + self.data.len()
    }

    /// The event. `actors` spares making an actor's name again when the last event had the same.
    pub(crate) fn event(&self, stream: StreamId, event_type: EventType, actors: &mut LastActor) -> Result<StoredEvent, StoreError> {
        let bad = |reason: &str| damaged(self.position, reason);
        let meta = self.meta;
        let fixed = meta.get(..=CAUSATION_FLAG).ok_or_else(|| bad("its metadata is cut short"))?;
        if fixed[0] != LAYOUT {
            return Err(bad("its metadata has a layout that this release does not know"));
        }
        let (causation_id, actor_at) = match fixed[CAUSATION_FLAG] {
            0 => (None, CAUSATION_FLAG + 1),
            1 if meta.len() >= CAUSATION_FLAG + 17 => (Some(EventId(uuid_at(meta, CAUSATION_FLAG + 1))), CAUSATION_FLAG + 17),
            _ => return Err(bad("its metadata is cut short")),
        };
        let kind = match fixed[1] {
            0 => ActorKind::User,
            1 => ActorKind::Partner,
            2 => ActorKind::Device,
            3 => ActorKind::System,
            4 => ActorKind::Staff,
            _ => return Err(bad("its actor is of no kind")),
        };
        let time = |micros| Timestamp::from_micros(micros).map_err(|error| bad(&error.to_string()));
        let metadata = Metadata {
            event_id: EventId(Uuid::from_slice(self.id).map_err(|_| bad("its id is no id"))?),
            command_id: CommandId(uuid_at(fixed, 66)),
            causation_id,
            correlation_id: uuid_at(fixed, 82),
            actor: actors.get(kind, &meta[actor_at..]).ok_or_else(|| bad("its actor is no text"))?,
            operator_id: OperatorId(uuid_at(fixed, 98)),
            occurred_at: time(self.occurred)?,
            recorded_at: time(self.recorded)?,
        };
        Ok(StoredEvent {
            position: Position(self.position),
            stream,
            revision: Revision(self.revision),
            event_type,
            version: u16::try_from(self.version).map_err(|_| bad("its version is none"))?,
            metadata,
            payload: self.data.to_vec(),
            prev_hash: hash_at(fixed, 2),
            hash: hash_at(fixed, 34),
        })
    }
}

/// Neighbours in the log often have one actor.
#[derive(Debug, Default)]
pub(crate) struct LastActor(Option<Actor>);

impl LastActor {
    fn get(&mut self, kind: ActorKind, id: &[u8]) -> Option<Actor> {
        match &self.0 {
            Some(last) if last.kind == kind && last.id.as_bytes() == id => {}
            Some(_) | None => self.0 = Some(Actor::new(kind, std::str::from_utf8(id).ok()?)),
        }
        self.0.clone()
    }
}

fn uuid_at(bytes: &[u8], at: usize) -> Uuid {
    let mut id = [0; 16];
    id.copy_from_slice(&bytes[at..at + 16]);
    Uuid::from_bytes(id)
}

fn hash_at(bytes: &[u8], at: usize) -> Hash {
    let mut hash = [0; 32];
    hash.copy_from_slice(&bytes[at..at + 32]);
    Hash(hash)
}
