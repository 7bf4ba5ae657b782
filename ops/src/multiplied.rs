//! A long history with the shape of a real one: the log of a store, copied again and again with new ids for its sessions, payments and people. Every copied
//! event says that it is generated. For benches only.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use domain::ids::{CommandId, EventId};
use domain::log::{Actor, ActorKind, AppendError, EventStore as _, Expected, Filter, NewEvent, Position, Revision, StoredEvent, StreamId};
use embedded::{EmbeddedStore, Reader};
use tokio::task::JoinSet;
use uuid::Uuid;

/// Events of the model that are copied side by side: so far apart, events of different streams stay in order.
const WINDOW: usize = 4_096;
/// The streams that each copy has for itself; stations and tariffs are there once.
const COPIED: [&str; 4] = ["session-", "payment-", "wallet-", "user-"];
/// The streams that events of other streams rely on.
const SPOKEN_OF: [&str; 4] = ["operator-", "journal", "station-", "tariff-"];
/// How MessagePack writes sixteen bytes: an id.
const ID_MARK: [u8; 2] = [0xC4, 16];

/// Copies `model` into a new store until it holds so many events.
pub(crate) async fn multiply(model: &Path, into: &Path, events: u64, progress: impl Fn(u64)) -> anyhow::Result<Arc<EmbeddedStore>> {
    let mut history = Multiplied::of(model)?;
    let store = Arc::new(EmbeddedStore::open(into)?);
    let mut written = 0;
    while written < events {
        let left = usize::try_from(events - written).unwrap_or(usize::MAX);
        written += history.go_on(&store, left.min(WINDOW)).await?;
        progress(written);
    }
    Ok(store)
}

/// A history without an end.
pub(crate) struct Multiplied {
    reader: Reader,
    has: u64,
    ids: HashSet<[u8; 16]>,
    copy: u64,
    after: Position,
    tails: HashMap<StreamId, Revision>,
}

impl Multiplied {
    pub(crate) fn of(model: &Path) -> anyhow::Result<Multiplied> {
        let mut reader = Reader::open(model)?;
        let has = reader.head()?.events;
        anyhow::ensure!(has > 1_000, "the store at {} has {has} events: import something first, with ./ops/run --once", model.display());
        let ids = copied_ids(&mut reader)?;
        Ok(Multiplied { reader, has, ids, copy: 0, after: Position(0), tails: HashMap::new() })
    }

    /// Appends the next events, at most so many. Says how many.
    pub(crate) async fn go_on(&mut self, store: &Arc<EmbeddedStore>, events_max: usize) -> anyhow::Result<u64> {
        loop {
            if self.after.0 >= self.has {
                (self.copy, self.after) = (self.copy + 1, Position(0));
            }
            let page = self.reader.scan(self.after, &Filter::All, events_max)?;
            self.after = page.scanned_to;
            let events = copied(page.events, self.copy, &self.ids);
            if !events.is_empty() {
                return append(store, events, &mut self.tails).await;
            }
        }
    }
}

/// The ids that are new in each copy.
fn copied_ids(reader: &mut Reader) -> anyhow::Result<HashSet<[u8; 16]>> {
    let mut ids = HashSet::new();
    let mut after = Position(0);
    let head = reader.head()?.position;
    while after < head {
        let page = reader.scan(after, &Filter::All, WINDOW)?;
        after = page.scanned_to;
        ids.extend(page.events.iter().filter_map(|event| Some(*id_of(&event.stream)?.as_bytes())));
    }
    Ok(ids)
}

/// The id of a stream that each copy has for itself.
fn id_of(stream: &StreamId) -> Option<Uuid> {
    COPIED.iter().find_map(|kind| stream.as_str().strip_prefix(kind))?.parse().ok()
}

/// Another id, and the same one for the same copy. Its time stays, so that ids stay in their order.
fn renamed(id: Uuid, copy: u64) -> Uuid {
    Uuid::from_u128(id.as_u128() ^ u128::from(copy & 0xFFFF_FFFF_FFFF))
}

fn copied(events: Vec<StoredEvent>, copy: u64, ids: &HashSet<[u8; 16]>) -> Vec<(StreamId, NewEvent)> {
    let is_copied = |event: &StoredEvent| copy == 0 || id_of(&event.stream).is_some();
    events.into_iter().filter(is_copied).map(|event| renew(event, copy, ids)).collect()
}

fn renew(event: StoredEvent, copy: u64, ids: &HashSet<[u8; 16]>) -> (StreamId, NewEvent) {
    let StoredEvent { stream, event_type, version, mut metadata, mut payload, .. } = event;
    let stream = match (id_of(&stream), stream.as_str().split_once('-')) {
        (Some(id), Some((kind, _))) => StreamId::from(format!("{kind}-{}", renamed(id, copy)).as_str()),
        _ => stream,
    };
    metadata.event_id = EventId(renamed(metadata.event_id.0, copy));
    metadata.command_id = CommandId(renamed(metadata.command_id.0, copy));
    metadata.correlation_id = renamed(metadata.correlation_id, copy);
    metadata.causation_id = metadata.causation_id.map(|id| EventId(renamed(id.0, copy)));
    metadata.actor = Actor::new(ActorKind::System, "generated for a bench");
    let mut at = 0;
    while at + 18 <= payload.len() {
        let id: Option<[u8; 16]> = payload[at..].strip_prefix(&ID_MARK).and_then(|rest| rest.get(..16)?.try_into().ok());
        match id.filter(|id| ids.contains(id)) {
            Some(id) => {
                payload[at + 2..at + 18].copy_from_slice(renamed(Uuid::from_bytes(id), copy).as_bytes());
                at += 18;
            }
            None => at += 1,
        }
    }
    (stream, NewEvent { event_type, version, metadata, payload })
}

/// Appends what there is of each stream, all streams side by side; but first those that the others speak of.
async fn append(
    store: &Arc<EmbeddedStore>,
    events: Vec<(StreamId, NewEvent)>,
    tails: &mut HashMap<StreamId, Revision>,
) -> anyhow::Result<u64> {
    let written = events.len() as u64;
    let (spoken_of, others): (Vec<_>, Vec<_>) =
        events.into_iter().partition(|(stream, _)| SPOKEN_OF.iter().any(|kind| stream.as_str().starts_with(kind)));
    for (stream, event) in spoken_of {
        let tail = store.append(&stream, expected(tails, &stream), vec![event]).await.with_context(|| format!("{stream}"))?;
        tails.insert(stream, tail.revision);
    }
    let mut streams: HashMap<StreamId, Vec<NewEvent>> = HashMap::new();
    for (stream, event) in others {
        streams.entry(stream).or_default().push(event);
    }
    let mut appending: JoinSet<(StreamId, Result<Revision, AppendError>)> = JoinSet::new();
    for (stream, events) in streams {
        let expected = expected(tails, &stream);
        let store = store.clone();
        appending.spawn(async move {
            let appended = store.append(&stream, expected, events).await;
            (stream, appended.map(|appended| appended.revision))
        });
    }
    while let Some(appended) = appending.join_next().await {
        let (stream, tail) = appended?;
        let tail = tail.with_context(|| format!("{stream}"))?;
        tails.insert(stream, tail);
    }
    Ok(written)
}

fn expected(tails: &HashMap<StreamId, Revision>, stream: &StreamId) -> Expected {
    tails.get(stream).map_or(Expected::NoStream, |tail| Expected::Exact(*tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_copy_has_its_own_ids_in_the_same_order() {
        let (first, second) = (Uuid::now_v7(), Uuid::now_v7());
        assert_eq!(renamed(first, 0), first);
        assert_ne!(renamed(first, 3), renamed(first, 4));
        assert_eq!(renamed(first, 3), renamed(first, 3));
        assert_eq!(renamed(first, 3).as_bytes()[..8], first.as_bytes()[..8], "its time stays");
        assert_ne!(renamed(first, 3), renamed(second, 3));
    }
}
