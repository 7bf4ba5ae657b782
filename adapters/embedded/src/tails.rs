//! What the writer knows of the ends of streams, so that most appends ask the file nothing. Bounded: what was not written to for
//! long is forgotten, and read again from the file when it is.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use domain::ids::EventId;
use domain::log::{Hash, NewEvent, Revision, StreamId};

/// How many of a stream's last ids are known. An id that returns from further back is caught by its handler, which looks for its own
/// command in the stream before it decides.
pub(crate) const RECENT: usize = 128;
/// How many streams a generation holds; there are two.
const STREAMS_MAX: usize = 32_768;

/// The end of one stream.
#[derive(Debug, Clone)]
pub(crate) struct Tail {
    /// The stream's number in the file.
    pub(crate) no: i64,
    /// The next event's revision.
    pub(crate) next: u64,
    /// The last event's hash.
    pub(crate) hash: Hash,
    recent: VecDeque<u64>,
}

impl Tail {
    /// The end of a stream with events so far: its last ones, newest first.
    pub(crate) fn new(no: i64, next: u64, hash: Hash, newest_first: impl IntoIterator<Item = EventId>) -> Tail {
        let mut recent: VecDeque<u64> = newest_first.into_iter().take(RECENT).map(short).collect();
        recent.make_contiguous().reverse();
        Tail { no, next, hash, recent }
    }

    /// The last event's revision; none before the first.
    pub(crate) fn revision(&self) -> Option<Revision> {
        self.next.checked_sub(1).map(Revision)
    }

    /// One more event at the end.
    pub(crate) fn push(&mut self, id: EventId, hash: Hash) {
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(short(id));
        self.next += 1;
        self.hash = hash;
    }

    /// The events whose ids may be among the last ones; the file knows for certain.
    pub(crate) fn perhaps_there<'a>(&'a self, events: &'a [NewEvent]) -> impl Iterator<Item = &'a NewEvent> {
        events.iter().filter(|new| self.recent.contains(&short(new.metadata.event_id)))
    }
}

/// Ids are hashes or end in random bits: half of one tells them apart well enough to ask the file.
fn short(id: EventId) -> u64 {
    id.0.as_u64_pair().1
}

/// The ends of the streams that were last written to. Two generations: when the young one is full it becomes the old one.
#[derive(Debug, Default)]
pub(crate) struct Tails {
    young: HashMap<StreamId, Tail>,
    old: HashMap<StreamId, Tail>,
}

impl Tails {
    /// The end of a stream: what is known of it, or else what `find` finds.
    pub(crate) fn get_or_find<E>(
        &mut self,
        stream: &StreamId,
        find: impl FnOnce() -> Result<Option<Tail>, E>,
    ) -> Result<Option<&mut Tail>, E> {
        self.make_room();
        match self.young.entry(stream.clone()) {
            Entry::Occupied(known) => Ok(Some(known.into_mut())),
            Entry::Vacant(place) => {
                let found = match self.old.remove(stream) {
                    Some(tail) => Some(tail),
                    None => find()?,
                };
                Ok(found.map(|tail| place.insert(tail)))
            }
        }
    }

    /// Remembers the end of a stream.
    pub(crate) fn put(&mut self, stream: StreamId, tail: Tail) -> &mut Tail {
        self.make_room();
        self.young.entry(stream).insert_entry(tail).into_mut()
    }

    fn make_room(&mut self) {
        if self.young.len() >= STREAMS_MAX {
            self.old = std::mem::take(&mut self.young);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::testing::event_store::{event, stream};
    use domain::testing::id;

    #[test]
    fn only_the_last_ids_of_a_stream_are_kept() {
        let mut tail = Tail::new(1, 2, Hash::START, [id(2), id(1)]);
        assert!(tail.perhaps_there(&[event(1)]).next().is_some());
        for n in 3..=RECENT as u128 + 1 {
            tail.push(id(n), Hash::START);
        }
        assert!(tail.perhaps_there(&[event(1)]).next().is_none());
        assert!(tail.perhaps_there(&[event(2)]).next().is_some());
        assert_eq!(tail.revision(), Some(Revision(RECENT as u64)));
    }

    #[test]
    fn what_was_written_to_long_ago_is_forgotten_and_the_rest_is_not() {
        let mut tails = Tails::default();
        for n in 0..3 * STREAMS_MAX as u128 {
            tails.put(stream(n), Tail::new(1, 1, Hash::START, []));
        }
        let mut is_known = |number| tails.get_or_find(&stream(number), || Ok::<_, ()>(None)).unwrap().is_some();
        assert!(!is_known(0));
        assert!(is_known(2 * STREAMS_MAX as u128));
        assert!(tails.young.len() + tails.old.len() <= 2 * STREAMS_MAX);
    }
}
