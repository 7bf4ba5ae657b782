//! The memory event store: real code for scenarios and tests, nothing survives it.
//!
//! It is the port's shortest correct reading: one lock, one vector, and for each stream the places of its events in it.

mod snapshots;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use domain::log::{
    AppendError, Appended, EventStore, Expected, Filter, Hash, Head, NewEvent, Page, Position, Revision, StoreError, StoredEvent, StreamId,
    check_append, judge_repeat,
};
use domain::recorded::{RecordedLog, check_recorded, judge_recorded};
use domain::time::Timestamp;
use tokio::sync::watch;

pub use snapshots::MemorySnapshots;

/// A log in memory.
#[derive(Debug)]
pub struct MemoryStore {
    log: RwLock<Log>,
    head: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Log {
    events: Vec<Arc<StoredEvent>>,
    streams: HashMap<StreamId, Vec<usize>>,
    recorded_at: Option<Timestamp>,
}

impl Default for MemoryStore {
    fn default() -> MemoryStore {
        MemoryStore { log: RwLock::default(), head: watch::Sender::new(0) }
    }
}

impl Log {
    fn stream(&self, stream: &StreamId, from: Revision, limit: usize) -> Vec<StoredEvent> {
        let Some(places) = self.streams.get(stream) else { return Vec::new() };
        let from = usize::try_from(from.0).unwrap_or(usize::MAX);
        places.iter().skip(from).take(limit).map(|place| self.events[*place].as_ref().clone()).collect()
    }

    fn append(&mut self, stream: &StreamId, expected: Expected, events: Vec<NewEvent>) -> Result<Appended, AppendError> {
        check_append(stream, &events)?;
        let there = self.streams.get(stream).map_or(&[][..], Vec::as_slice);
        let next = Revision(there.len() as u64);
        if expected.next() != next {
            let actual = next.0.checked_sub(1).map(Revision);
            return judge_repeat(stream, expected, actual, &events, &self.stream(stream, expected.next(), events.len()));
        }
        if let Some(new) =
            events.iter().find(|new| there.iter().any(|place| self.events[*place].metadata.event_id == new.metadata.event_id))
        {
            return Err(AppendError::IdReused { stream: stream.clone(), event_id: new.metadata.event_id });
        }
        let mut prev_hash = there.last().map_or(Hash::START, |place| self.events[*place].hash);
        let first_position = Position(self.events.len() as u64).next();
        let (mut revision, mut position) = (next, first_position);
        for mut new in events {
            revision = Revision(self.streams.get(stream).map_or(0, Vec::len) as u64);
            position = Position(self.events.len() as u64).next();
            let recorded_at = self.recorded_at.map_or(new.metadata.recorded_at, |last| last.max(new.metadata.recorded_at));
            self.recorded_at = Some(recorded_at);
            new.metadata.recorded_at = recorded_at;
            let stored = StoredEvent::link(new, position, stream.clone(), revision, prev_hash);
            prev_hash = stored.hash;
            self.streams.entry(stream.clone()).or_default().push(self.events.len());
            self.events.push(Arc::new(stored));
        }
        Ok(Appended { revision, first_position, position, repeated: false })
    }

    fn page(&self, after: Position, filter: &Filter, limit: usize) -> Page {
        let mut page = Page { events: Vec::new(), scanned_to: after };
        let from = usize::try_from(after.0).unwrap_or(usize::MAX);
        for event in self.events.iter().skip(from) {
            if page.events.len() == limit.max(1) {
                break;
            }
            page.scanned_to = event.position;
            if filter.wants(&event.event_type) {
                page.events.push(event.as_ref().clone());
            }
        }
        page
    }
}

#[async_trait]
impl EventStore for MemoryStore {
    async fn append(&self, stream: &StreamId, expected: Expected, events: Vec<NewEvent>) -> Result<Appended, AppendError> {
        // A writer that panicked has either not begun or pushed whole events: what is there can still be read.
        let mut log = self.log.write().unwrap_or_else(PoisonError::into_inner);
        let appended = log.append(stream, expected, events)?;
        self.head.send_replace(log.events.len() as u64);
        Ok(appended)
    }

    async fn read_stream(&self, stream: &StreamId, from: Revision, limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
        Ok(self.log.read().unwrap_or_else(PoisonError::into_inner).stream(stream, from, limit))
    }

    async fn read_all(&self, after: Position, filter: &Filter, limit: usize) -> Result<Page, StoreError> {
        Ok(self.log.read().unwrap_or_else(PoisonError::into_inner).page(after, filter, limit))
    }

    async fn head(&self) -> Result<Head, StoreError> {
        let events = self.log.read().unwrap_or_else(PoisonError::into_inner).events.len() as u64;
        Ok(Head { position: Position(events), events })
    }

    async fn wait_past(&self, position: Position) -> Result<(), StoreError> {
        let mut head = self.head.subscribe();
        match head.wait_for(|head| *head > position.0).await {
            Ok(_) => Ok(()),
            Err(_) => Err(StoreError::Unavailable { reason: "the memory store is gone".to_owned() }),
        }
    }
}

#[async_trait]
impl RecordedLog for MemoryStore {
    async fn append_as_recorded(&self, events: Vec<StoredEvent>) -> Result<(), AppendError> {
        let (stream, expected) = check_recorded(&events)?;
        let mut log = self.log.write().unwrap_or_else(PoisonError::into_inner);
        let there = log.stream(&stream, Revision(0), usize::MAX);
        let last = there.last();
        if last.map(|last| last.revision.next()).unwrap_or_default() != expected.next() {
            let from = usize::try_from(expected.next().0).unwrap_or(usize::MAX).min(there.len());
            let until = there.len().min(from + events.len());
            return judge_recorded(expected, last.map(|last| last.revision), &events, &there[from..until]);
        }
        if let (Some(last), Some(first)) = (last, events.first())
            && last.hash != first.prev_hash
        {
            let reason = format!("{stream} has another chain");
            return Err(StoreError::Damaged { position: first.position, reason }.into());
        }
        for event in events {
            let position = Position(log.events.len() as u64).next();
            log.recorded_at = log.recorded_at.max(Some(event.metadata.recorded_at));
            let place = log.events.len();
            log.streams.entry(stream.clone()).or_default().push(place);
            log.events.push(Arc::new(StoredEvent { position, ..event }));
        }
        self.head.send_replace(log.events.len() as u64);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::testing::event_store::{contract, event, recorded_at_never_runs_backwards_along_the_log, stream};

    contract!((MemoryStore::default(), ()));
    domain::testing::recorded::contract!((MemoryStore::default(), ()));

    #[tokio::test]
    async fn the_whole_log_is_in_the_order_of_time() {
        recorded_at_never_runs_backwards_along_the_log(Arc::new(MemoryStore::default())).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn of_many_writers_on_many_threads_one_wins_each_revision() {
        let store = Arc::new(MemoryStore::default());
        let writers = (0..8_u128).map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut won = 0;
                for n in 0..100_u64 {
                    let expected = n.checked_sub(1).map_or(Expected::NoStream, |last| Expected::Exact(Revision(last)));
                    won += u64::from(store.append(&stream(1), expected, vec![event(writer * 1_000 + u128::from(n))]).await.is_ok());
                }
                won
            })
        });
        let won: u64 = futures::future::join_all(writers).await.into_iter().map(Result::unwrap).sum();
        assert_eq!(won, store.head().await.unwrap().events);
        assert_eq!(store.read_stream(&stream(1), Revision(0), 1_000).await.unwrap().len() as u64, won);
    }
}
