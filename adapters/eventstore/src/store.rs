//! The engine, as the port wants it.

use std::sync::Arc;

use async_trait::async_trait;
use domain::log::{
    AppendError, Appended, EventStore, Expected, Filter, Head, NewEvent, Page, Position, Revision, StoreError, StoredEvent, StreamId,
};
use domain::recorded::RecordedLog;

use crate::append;
use crate::cursor::Cursor;
use crate::link::{Link, OpenError, Patience};
use crate::marks::Marks;
use crate::read::PAGE_MAX;
use crate::tails::Tails;
use crate::url::EsdbUrl;
use crate::waiting::Waiting;

/// How many events of the log one page looks through before it answers with what it has.
const SCAN_MAX: usize = 8_192;
/// How often the head is read again when it lies before what this process has written: an answer may have been cut short.
const HEAD_TRIES: usize = 5;

/// A ledger on EventStoreDB or KurrentDB.
pub struct EsdbStore {
    pub(crate) link: Arc<Link>,
    pub(crate) tails: Tails,
    marks: Arc<Marks>,
    waiting: Waiting,
}

impl EsdbStore {
    /// Makes a client, and asks the server whether it is one: an address that leads nowhere is heard of here.
    ///
    /// # Errors
    /// When the address cannot be read, or its server does not answer, refuses the account, or speaks no TLS.
    pub async fn open(url: &EsdbUrl, patience: Patience) -> Result<EsdbStore, OpenError> {
        let link = Arc::new(Link::open(url, patience).await?);
        link.read_all_back(None, 1).await?;
        Ok(EsdbStore { link, tails: Tails::default(), marks: Arc::default(), waiting: Waiting::default() })
    }

    /// The address, without its password.
    #[must_use]
    pub fn shown(&self) -> &str {
        self.link.shown()
    }

    /// An event of the ledger is at this place.
    pub(crate) fn saw(&self, position: Position) {
        self.marks.learn(position, Cursor::of_event(position.0));
        self.waiting.saw(position);
    }
}

#[async_trait]
impl RecordedLog for EsdbStore {
    async fn append_as_recorded(&self, events: Vec<StoredEvent>) -> Result<(), AppendError> {
        self.append_recorded(events).await
    }
}

#[async_trait]
impl EventStore for EsdbStore {
    async fn append(&self, stream: &StreamId, expected: Expected, events: Vec<NewEvent>) -> Result<Appended, AppendError> {
        self.append_new(stream, expected, events).await
    }

    async fn read_stream(&self, stream: &StreamId, from: Revision, limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
        let (mut events, mut from) = (Vec::new(), from);
        while events.len() < limit {
            let count = (limit - events.len()).min(PAGE_MAX);
            let page = self.link.read_stream(stream, from, count).await?;
            let is_end = page.len() < count;
            events.extend(append::stored(&page));
            let Some(last) = events.last().filter(|_| !is_end) else { break };
            from = last.revision.next();
        }
        Ok(events)
    }

    async fn read_all(&self, after: Position, filter: &Filter, limit: usize) -> Result<Page, StoreError> {
        let limit = limit.max(1);
        let mut at = self.marks.cursor(&self.link, after).await?;
        let mut page = Page { events: Vec::new(), scanned_to: after };
        let mut scanned = 0;
        // Where nothing of ours is found, more is asked for at a time.
        let mut stride = 1;
        loop {
            // One more than is wanted: the event at the place itself comes along.
            let count = match filter {
                Filter::All => stride.max(limit - page.events.len() + 1),
                Filter::Types(_) => PAGE_MAX,
            };
            stride = PAGE_MAX.min(stride * 8);
            let stretch = self.link.read_all(at, count).await?;
            scanned += stretch.events.len();
            for (place, held) in stretch.events {
                if place <= at {
                    continue;
                }
                at = place;
                let Some(held) = held.filter(|held| held.stored.position > after) else { continue };
                page.scanned_to = held.stored.position;
                if filter.wants(&held.stored.event_type) {
                    page.events.push(held.stored);
                    if page.events.len() == limit {
                        break;
                    }
                }
            }
            // Where nothing of ours was found, the next read does not look again.
            self.marks.learn(page.scanned_to, at);
            if page.events.len() == limit || stretch.is_end || (scanned >= SCAN_MAX && page.scanned_to > after) {
                if page.scanned_to > after {
                    self.waiting.saw(page.scanned_to);
                }
                return Ok(page);
            }
        }
    }

    async fn head(&self) -> Result<Head, StoreError> {
        for _ in 0..HEAD_TRIES {
            let (written, head) = (self.waiting.seen(), self.marks.head(&self.link).await?);
            if head.position >= written {
                self.waiting.saw(head.position);
                return Ok(head);
            }
        }
        let reason = format!("{} does not show what it has acknowledged; is it the same server as before?", self.shown());
        Err(StoreError::Unavailable { reason })
    }

    async fn wait_past(&self, position: Position) -> Result<(), StoreError> {
        self.waiting.wait_past(&self.link, &self.marks, position).await
    }
}
