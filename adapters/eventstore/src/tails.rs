//! The ends of streams that were written to lately, so that most appends need not ask for them. What is kept here is never wrong: a stream's event at a revision
//! does not change, and the server checks the revision.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use domain::ids::EventId;
use domain::log::{Hash, Revision, StoredEvent, StreamId};
use domain::time::Timestamp;
use lru::LruCache;

/// How many of a stream's last ids are known. An id that returns from further back is caught by its handler, which looks for its own command first.
pub(crate) const RECENT: usize = 64;
const STREAMS_MAX: NonZeroUsize = NonZeroUsize::new(16_384).unwrap();

/// The end of one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tail {
    /// The last event's revision; none in a stream that does not exist.
    pub(crate) revision: Option<Revision>,
    pub(crate) hash: Hash,
    pub(crate) recorded_at: Option<Timestamp>,
    recent: VecDeque<EventId>,
}

impl Tail {
    /// Of a stream without events.
    pub(crate) fn none() -> Tail {
        Tail { revision: None, hash: Hash::START, recorded_at: None, recent: VecDeque::new() }
    }

    /// Of a stream with these last events, oldest first.
    pub(crate) fn of<'a>(events: impl IntoIterator<Item = &'a StoredEvent>) -> Tail {
        let mut tail = Tail::none();
        events.into_iter().for_each(|event| tail.push(event));
        tail
    }

    /// One more event at the end.
    pub(crate) fn push(&mut self, event: &StoredEvent) {
        self.revision = Some(event.revision);
        self.hash = event.hash;
        self.recorded_at = Some(event.metadata.recorded_at);
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(event.metadata.event_id);
    }

    pub(crate) fn has(&self, id: EventId) -> bool {
        self.recent.contains(&id)
    }
}

/// Those in memory.
#[derive(Debug)]
pub(crate) struct Tails(Mutex<LruCache<StreamId, Tail>>);

impl Default for Tails {
    fn default() -> Tails {
        Tails(Mutex::new(LruCache::new(STREAMS_MAX)))
    }
}

impl Tails {
    /// The end of a stream, if it is known to be at this revision.
    pub(crate) fn at(&self, stream: &StreamId, revision: Revision) -> Option<Tail> {
        self.lock().get(stream).filter(|tail| tail.revision == Some(revision)).cloned()
    }

    /// Keeps the newer of two.
    pub(crate) fn keep(&self, stream: &StreamId, tail: Tail) {
        let mut tails = self.lock();
        if tails.peek(stream).is_none_or(|known| known.revision <= tail.revision) {
            tails.put(stream.clone(), tail);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, LruCache<StreamId, Tail>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
