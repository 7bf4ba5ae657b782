//! The one reader of the log that feeds all projections.
//!
//! Projections pull; the feed reads and decodes each page once and keeps the newest pages for all that stand near the head. Pulling means
//! that a slow or halted projection holds nobody up, and that one that starts from nothing reads by itself until it has caught up.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use domain::event::{DecodeError, Event};
use domain::ids::EventId;
use domain::log::{EventStore, EventType, Filter, Position, Recorded, StoreError, StoredEvent, StreamId};
use domain::time::Timestamp;

use crate::context::Context;

/// How many decoded events the feed keeps while projections catch up: some 100 MB. Who falls behind further decodes for itself.
const CACHED_EVENTS_MAX: usize = 32_768;
/// How many it keeps once the end of the log was seen: enough for those who are a little behind.
const LIVE_EVENTS_MAX: usize = 1_024;
/// How many pages it keeps: at the head, pages are small.
const CACHED_PAGES_MAX: usize = 512;

/// One event of the log, decoded if it can be.
#[derive(Debug)]
pub struct Entry {
    /// Its place.
    pub position: Position,
    /// Which.
    pub event_id: EventId,
    /// Its stored name.
    pub event_type: EventType,
    /// Its stream.
    pub stream: StreamId,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// The event. A projection that does not handle its type never looks.
    pub recorded: Result<Recorded<Event>, DecodeError>,
}

impl Entry {
    pub(crate) fn decode(stored: StoredEvent) -> Entry {
        Entry {
            position: stored.position,
            event_id: stored.metadata.event_id,
            event_type: stored.event_type.clone(),
            stream: stored.stream.clone(),
            recorded_at: stored.metadata.recorded_at,
            recorded: stored.decode(),
        }
    }
}

/// A stretch of the log, decoded.
#[derive(Debug)]
pub struct Page {
    /// It begins after this.
    pub after: Position,
    /// The log has been looked through up to here.
    pub scanned_to: Position,
    /// The events.
    pub entries: Vec<Entry>,
    /// What the log has said at least up to here.
    pub context: Arc<Context>,
}

/// The one reader.
pub struct Feed {
    store: Arc<dyn EventStore>,
    page_events: usize,
    cache: Mutex<VecDeque<Arc<Page>>>,
    reader: tokio::sync::Mutex<Reader>,
    /// How far the log was found to reach.
    reaches: AtomicU64,
    /// One waits at the log, the others for that one.
    waiting: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Reader {
    context: Arc<Context>,
    context_to: Position,
}

impl Feed {
    /// A feed that reads pages of at most this many events.
    #[must_use]
    pub fn new(store: Arc<dyn EventStore>, page_events: usize) -> Feed {
        Feed {
            store,
            page_events,
            cache: Mutex::default(),
            reader: tokio::sync::Mutex::default(),
            reaches: AtomicU64::new(0),
            waiting: tokio::sync::Mutex::default(),
        }
    }

    /// The log that it reads.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn EventStore> {
        &self.store
    }

    /// The page with the first event after a position; `None` at the end of the log. It may begin before that position.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn after(&self, position: Position) -> Result<Option<Arc<Page>>, StoreError> {
        self.reaches.fetch_max(position.0, Ordering::Relaxed);
        if let Some(page) = self.cached(position) {
            return Ok(Some(page));
        }
        let mut reader = self.reader.lock().await;
        // Somebody else may have read it while this one waited for its turn.
        if let Some(page) = self.cached(position) {
            return Ok(Some(page));
        }
        let read = self.store.read_all(position, &Filter::All, self.page_events).await?;
        if read.scanned_to <= position {
            self.keep(None, LIVE_EVENTS_MAX);
            return Ok(None);
        }
        self.reaches.fetch_max(read.scanned_to.0, Ordering::Relaxed);
        let events = read.events;
        let entries = tokio::task::spawn_blocking(move || events.into_iter().map(Entry::decode).collect::<Vec<_>>())
            .await
            .map_err(|error| StoreError::Unavailable { reason: error.to_string() })?;
        self.learn(&mut reader, position, read.scanned_to, &entries).await?;
        let page = Arc::new(Page { after: position, scanned_to: read.scanned_to, entries, context: reader.context.clone() });
        self.keep(Some(page.clone()), CACHED_EVENTS_MAX);
        Ok(Some(page))
    }

    /// Returns once there may be an event after a position.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn wait_past(&self, position: Position) -> Result<(), StoreError> {
        // Beside a writing process, waiting is looking again and again: once for all, not once for each projection.
        // Whoever waits stands no further than the log is known to reach, so that nobody who stands before it waits for that one.
        if self.reaches.load(Ordering::Relaxed) > position.0 {
            return Ok(());
        }
        let _turn = self.waiting.lock().await;
        if self.reaches.load(Ordering::Relaxed) > position.0 {
            return Ok(());
        }
        self.store.wait_past(position).await
    }

    /// Brings the context up to the end of the page that was just read.
    async fn learn(&self, reader: &mut Reader, after: Position, scanned_to: Position, entries: &[Entry]) -> Result<(), StoreError> {
        let wanted = Filter::types(Context::HANDLES.iter().copied());
        while reader.context_to < after {
            // Reading began in the middle of the log: only the few events that the context is made of are read from before.
            let page = self.store.read_all(reader.context_to, &wanted, self.page_events).await?;
            if page.scanned_to <= reader.context_to {
                break;
            }
            for recorded in page.events.into_iter().filter_map(|stored| stored.decode().ok()) {
                Arc::make_mut(&mut reader.context).apply(&recorded);
            }
            reader.context_to = page.scanned_to;
        }
        for entry in entries.iter().filter(|entry| entry.position > reader.context_to) {
            if let (true, Ok(recorded)) = (Context::HANDLES.contains(&entry.event_type.as_str()), &entry.recorded) {
                Arc::make_mut(&mut reader.context).apply(recorded);
            }
        }
        reader.context_to = reader.context_to.max(scanned_to);
        Ok(())
    }

    fn cached(&self, position: Position) -> Option<Arc<Page>> {
        let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.iter().rev().find(|page| page.after <= position && position < page.scanned_to).cloned()
    }

    /// Takes in a page, and lets the oldest go.
    fn keep(&self, page: Option<Arc<Page>>, events_max: usize) {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.extend(page);
        let mut events: usize = cache.iter().map(|page| page.entries.len()).sum();
        while cache.len() > CACHED_PAGES_MAX || (events > events_max && cache.len() > 1) {
            events -= cache.pop_front().map_or(0, |page| page.entries.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context as Polling, Waker};

    use super::*;
    use async_trait::async_trait;
    use domain::log::{AppendError, Appended, Expected, Head, NewEvent, Page as Stored, Revision};

    /// A log without events, that counts how many wait at it.
    #[derive(Default)]
    struct Quiet(AtomicU64);

    #[async_trait]
    impl EventStore for Quiet {
        async fn append(&self, _: &StreamId, _: Expected, _: Vec<NewEvent>) -> Result<Appended, AppendError> {
            Err(StoreError::ReadOnly.into())
        }
        async fn read_stream(&self, _: &StreamId, _: Revision, _: usize) -> Result<Vec<StoredEvent>, StoreError> {
            Ok(Vec::new())
        }
        async fn read_all(&self, after: Position, _: &Filter, _: usize) -> Result<Stored, StoreError> {
            Ok(Stored { events: Vec::new(), scanned_to: after })
        }
        async fn head(&self) -> Result<Head, StoreError> {
            Ok(Head::default())
        }
        async fn wait_past(&self, _: Position) -> Result<(), StoreError> {
            self.0.fetch_add(1, Ordering::SeqCst);
            std::future::pending().await
        }
    }

    #[tokio::test]
    async fn one_waits_at_the_log_for_all_and_nobody_for_one_who_is_further() {
        let store = Arc::new(Quiet::default());
        let feed = Feed::new(store.clone(), 10);
        let mut polling = Polling::from_waker(Waker::noop());
        assert!(feed.after(Position(5)).await.unwrap().is_none());
        let (mut one, mut another) = (pin!(feed.wait_past(Position(5))), pin!(feed.wait_past(Position(5))));
        assert!(one.as_mut().poll(&mut polling).is_pending() && another.as_mut().poll(&mut polling).is_pending());
        assert_eq!(store.0.load(Ordering::SeqCst), 1);
        assert_eq!(feed.wait_past(Position(4)).await, Ok(()), "the log is known to reach further");
    }
}
