//! The log's newest stretch, in memory: whoever follows the log reads what was just committed from here, without a connection and without leaving the runtime.
//!
//! Only what is durable comes in. Bounded: whoever is further behind reads the file.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use domain::log::{Filter, Page, Position, StoredEvent};

/// How much is kept.
const EVENTS_MAX: usize = 8_192;
const BYTES_MAX: usize = 8 << 20;
/// How far one page looks for what its filter wants.
const STRETCH: usize = 4_096;

/// What one commit wrote, in order.
pub(crate) type Commit = Arc<Vec<StoredEvent>>;

/// The newest commits, without a hole between them.
#[derive(Debug, Default)]
pub(crate) struct Recent(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    commits: VecDeque<Commit>,
    events: usize,
    bytes: usize,
}

impl Recent {
    /// Takes in what has been committed; answers what has to make room for it, so that the caller need not be the one who frees it.
    pub(crate) fn push(&self, commit: Vec<StoredEvent>) -> Vec<Commit> {
        let mut evicted = Vec::new();
        if commit.is_empty() {
            return evicted;
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.events += commit.len();
        kept.bytes += bytes(&commit);
        kept.commits.push_back(Arc::new(commit));
        while kept.events > EVENTS_MAX || kept.bytes > BYTES_MAX {
            let Some(oldest) = kept.commits.pop_front() else { break };
            kept.events -= oldest.len();
            kept.bytes -= bytes(&oldest);
            evicted.push(oldest);
        }
        evicted
    }

    /// A page of what was committed after a position, up to the head; none when not all of it is here.
    pub(crate) fn page(&self, after: Position, head: u64, filter: &Filter, limit: usize) -> Option<Page> {
        let commits = self.commits_after(after, limit)?;
        let mut page = Page { events: Vec::new(), scanned_to: after };
        let new = commits.iter().flat_map(|commit| commit.iter());
        for event in new.skip_while(|event| event.position <= after).take_while(|event| event.position.0 <= head) {
            page.scanned_to = event.position;
            if filter.wants(&event.event_type) {
                page.events.push(event.clone());
                if page.events.len() >= limit {
                    break;
                }
            }
        }
        (page.scanned_to > after).then_some(page)
    }

    /// The commits from the one that holds the next position on, as many as a page looks at.
    fn commits_after(&self, after: Position, limit: usize) -> Option<Vec<Commit>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first = kept.commits.front()?.first()?.position;
        if first > after.next() {
            return None;
        }
        let from = kept.commits.partition_point(|commit| commit.last().is_some_and(|last| last.position <= after));
        let mut events = 0;
        let enough = STRETCH.max(limit);
        let wanted = kept.commits.iter().skip(from).take_while(|commit| {
            let is_wanted = events < enough;
            events += commit.len();
            is_wanted
        });
        Some(wanted.cloned().collect())
    }
}

fn bytes(commit: &[StoredEvent]) -> usize {
    commit.iter().map(|event| event.payload.len() + size_of::<StoredEvent>()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::log::{Hash, Revision};
    use domain::testing::event_store::{event, stream};

    fn commit(positions: std::ops::RangeInclusive<u64>) -> Vec<StoredEvent> {
        positions
            .map(|position| StoredEvent::link(event(position.into()), Position(position), stream(1), Revision(position - 1), Hash::START))
            .collect()
    }

    fn positions(page: Option<Page>) -> Option<Vec<u64>> {
        page.map(|page| page.events.iter().map(|event| event.position.0).collect())
    }

    #[test]
    fn a_reader_gets_what_follows_its_place_and_nothing_beyond_the_head() {
        let recent = Recent::default();
        recent.push(commit(5..=6));
        recent.push(commit(7..=9));
        assert_eq!(positions(recent.page(Position(4), 9, &Filter::All, 10)), Some(vec![5, 6, 7, 8, 9]));
        assert_eq!(positions(recent.page(Position(5), 8, &Filter::All, 10)), Some(vec![6, 7, 8]));
        assert_eq!(positions(recent.page(Position(6), 9, &Filter::All, 2)), Some(vec![7, 8]));
        assert_eq!(positions(recent.page(Position(9), 9, &Filter::All, 2)), None);
    }

    #[test]
    fn a_reader_who_is_further_behind_is_sent_to_the_file() {
        let recent = Recent::default();
        assert_eq!(recent.page(Position(0), 9, &Filter::All, 10), None);
        recent.push(commit(5..=6));
        assert_eq!(recent.page(Position(3), 6, &Filter::All, 10), None);
    }

    #[test]
    fn what_nobody_wants_has_been_looked_through_all_the_same() {
        let recent = Recent::default();
        recent.push(commit(1..=3));
        let page = recent.page(Position(0), 3, &Filter::types(["nobody.wants"]), 10).unwrap();
        assert_eq!((page.events.len(), page.scanned_to), (0, Position(3)));
    }

    #[test]
    fn the_oldest_makes_room() {
        let recent = Recent::default();
        let each = 100;
        let mut evicted = 0;
        for first in (1..=2 * EVENTS_MAX as u64).step_by(each) {
            evicted += recent.push(commit(first..=first + each as u64 - 1)).iter().map(|commit| commit.len()).sum::<usize>();
        }
        assert!(evicted >= EVENTS_MAX);
        assert_eq!(recent.page(Position(0), u64::MAX, &Filter::All, 10), None);
        let newest = Position(2 * EVENTS_MAX as u64 - 50);
        assert!(recent.page(newest, u64::MAX, &Filter::All, 10).is_some());
    }
}
