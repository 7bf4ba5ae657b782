//! Where in the server's log is what. The server gives no count of events, and takes only places of events that are there; the port wants both a count and a read
//! after any number.
//!
//! - *Marks*: a process counts on from the last milestone that the server keeps, page by page, and every so many events their place is kept. Then a count costs one
//!   read of what is new, and any number has a mark or a milestone before it.
//! - *Known*: for the numbers that readers stand at, the place to read on from; behind a stretch of the server's own events, that is its end.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use domain::log::{Head, Position, StoreError};
use lru::LruCache;
use tracing::info;

use crate::cursor::Cursor;
use crate::link::Link;
use crate::milestones::{self, Milestone, Milestones};
use crate::read::PAGE_MAX;

/// At most so many events are read in vain to get to a number that this process has counted past.
const MARK_EVERY: u64 = 256;
const KNOWN_MAX: NonZeroUsize = NonZeroUsize::new(16_384).unwrap();
/// How often a long count tells how far it is.
const TELL_EVERY: u64 = 1_000_000;

/// What is known of the log's places.
#[derive(Debug)]
pub(crate) struct Marks {
    counted: tokio::sync::Mutex<Counted>,
    known: Mutex<LruCache<Position, Cursor>>,
}

#[derive(Debug, Default)]
struct Counted {
    /// The last event of the ledger that is counted, and how many there are up to it.
    head: Head,
    /// The last event of any kind that was looked at.
    at: Cursor,
    /// Places of events, in order: milestones first, then what this process has counted past.
    marks: Vec<Position>,
    milestones: Milestones,
    has_begun: bool,
}

impl Default for Marks {
    fn default() -> Marks {
        Marks { counted: tokio::sync::Mutex::default(), known: Mutex::new(LruCache::new(KNOWN_MAX)) }
    }
}

impl Marks {
    /// Counts what is new; the end of the log.
    pub(crate) async fn head(self: &Arc<Marks>, link: &Arc<Link>) -> Result<Head, StoreError> {
        self.count(link, None).await
    }

    /// Counts on in a task of its own: whoever asks may stop listening half-way, and would else keep all others from counting.
    async fn count(self: &Arc<Marks>, link: &Arc<Link>, until: Option<Position>) -> Result<Head, StoreError> {
        let (marks, link) = (self.clone(), link.clone());
        let counting = tokio::spawn(async move {
            let mut counted = marks.counted.lock().await;
            counted.begin(&link).await?;
            if until.is_none_or(|until| counted.head.position < until) {
                counted.go_on(&link, until).await?;
            }
            marks.learn(counted.head.position, counted.at);
            Ok(counted.head)
        });
        counting.await.unwrap_or_else(|error| Err(StoreError::Unavailable { reason: error.to_string() }))
    }

    /// From where to read what comes after a number, whether or not an event has it. What is read there may begin before it.
    pub(crate) async fn cursor(self: &Arc<Marks>, link: &Arc<Link>, after: Position) -> Result<Cursor, StoreError> {
        if after == Position(0) {
            return Ok(Cursor::Start);
        }
        if let Some(cursor) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&after) {
            return Ok(*cursor);
        }
        self.count(link, Some(after)).await?;
        let counted = self.counted.lock().await;
        let before = counted.marks.partition_point(|mark| *mark <= after);
        Ok(before.checked_sub(1).map_or(Cursor::Start, |last| Cursor::of_event(counted.marks[last].0)))
    }

    /// Everything after this number is found from this place on.
    pub(crate) fn learn(&self, after: Position, from: Cursor) {
        if after != Position(0) {
            self.known.lock().unwrap_or_else(PoisonError::into_inner).put(after, from);
        }
    }
}

impl Counted {
    /// Where others have counted to.
    async fn begin(&mut self, link: &Link) -> Result<(), StoreError> {
        if self.has_begun {
            return Ok(());
        }
        let found = self.milestones.read(link).await?;
        if let Some(last) = found.last() {
            (self.head, self.at) = (last.head(), Cursor::of_event(last.position));
        }
        self.marks = found.iter().map(|one| Position(one.position)).collect();
        self.has_begun = true;
        Ok(())
    }

    /// Counts on to the end, or until a number is passed.
    async fn go_on(&mut self, link: &Link, until: Option<Position>) -> Result<(), StoreError> {
        loop {
            let stretch = link.read_all(self.at, PAGE_MAX).await?;
            for (at, held) in stretch.events {
                if at <= self.at {
                    continue;
                }
                self.at = at;
                if let Some(held) = held {
                    self.head = Head { position: held.stored.position, events: self.head.events + 1 };
                    if self.head.events.is_multiple_of(MARK_EVERY) {
                        self.marks.push(held.stored.position);
                    }
                    if self.head.events.is_multiple_of(milestones::EVERY) {
                        self.milestones.passed(Milestone::at(&held, self.head.events));
                    }
                    if self.head.events.is_multiple_of(TELL_EVERY) {
                        info!(server = link.shown(), events = self.head.events, "the log is being counted");
                    }
                }
            }
            self.milestones.keep(link).await;
            if stretch.is_end || until.is_some_and(|until| self.head.position >= until) {
                return Ok(());
            }
        }
    }
}
