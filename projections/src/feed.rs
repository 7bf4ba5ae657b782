//! The one reader of the log that feeds all projections.
//!
//! Projections pull; the feed reads and decodes each page once and keeps the newest pages for all that stand near the head. Pulling means
//! that a slow or halted projection holds nobody up, and that one that starts from nothing reads by itself until it has caught up.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use domain::event::{DecodeError, Event};
use domain::ids::EventId;
use domain::log::{EventStore, EventType, Filter, Position, Recorded, StoreError, StoredEvent, StreamId};
use domain::time::Timestamp;

use crate::context::Context;
use crate::quarantine::Quarantined;

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
    decisions: tokio::sync::Mutex<Decisions>,
}

#[derive(Default)]
struct Reader {
    context: Arc<Context>,
    context_to: Position,
}

/// Every decision to step over an event, read so far.
#[derive(Default)]
struct Decisions {
    quarantined: Arc<Quarantined>,
    read_to: Position,
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
            decisions: tokio::sync::Mutex::default(),
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
        let events = read.events;
        let entries = tokio::task::spawn_blocking(move || events.into_iter().map(Entry::decode).collect::<Vec<_>>())
            .await
            .map_err(|error| StoreError::Unavailable { reason: error.to_string() })?;
        self.learn(&mut reader, position, read.scanned_to, &entries).await?;
        let page = Arc::new(Page { after: position, scanned_to: read.scanned_to, entries, context: reader.context.clone() });
        self.keep(Some(page.clone()), CACHED_EVENTS_MAX);
        Ok(Some(page))
    }

    /// Every decision that the log holds now, wherever it stands.
    ///
    /// # Errors
    /// When the log, or a decision in it, cannot be read.
    pub async fn quarantined(&self) -> Result<Arc<Quarantined>, StoreError> {
        let mut decisions = self.decisions.lock().await;
        let Decisions { quarantined, read_to } = &mut *decisions;
        // Should reading end early, what was taken in is taken in once more: a repetition changes nothing.
        *read_to = Arc::make_mut(quarantined).read_on(&*self.store, *read_to).await?;
        Ok(quarantined.clone())
    }

    /// Returns once there may be an event after a position.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn wait_past(&self, position: Position) -> Result<(), StoreError> {
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
