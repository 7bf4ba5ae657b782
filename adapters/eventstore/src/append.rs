//! Appending. The chain is computed here, before the event leaves: it needs the stream's end, and the server's check of the revision proves that the end was the
//! end.
//!
//! The server takes events whose ids it knows at these revisions for a repeat and answers "done", whatever they say. So what it says it has done is read back: a
//! fresh append has our `append_id` in it, anything else is judged as the port says. That reading back also tells where each event landed.

use domain::log::{
    APPEND_BYTES_MAX, AppendError, Appended, Expected, NewEvent, Position, Revision, StoreError, StoredEvent, StreamId, check_append,
    judge_repeat,
};
use domain::recorded::{check_recorded, judge_recorded};
use eventstore::{AppendToStreamOptions, CurrentRevision, Error, ExpectedRevision};
use uuid::Uuid;

use crate::link::Trouble;
use crate::store::EsdbStore;
use crate::tails::{RECENT, Tail};
use crate::wire::{self, Held};

/// How often what has been acknowledged is asked for.
const READ_BACKS: usize = 5;

/// What the server said to an append.
enum Said {
    /// It is there, newly or from before.
    Done,
    /// The stream ends elsewhere.
    EndsAt(Option<Revision>),
}

impl EsdbStore {
    pub(crate) async fn append_new(&self, stream: &StreamId, expected: Expected, events: Vec<NewEvent>) -> Result<Appended, AppendError> {
        check_append(stream, &events)?;
        let tail = match self.tail(stream, expected).await? {
            Ok(tail) => tail,
            Err(actual) => {
                let there = self.there(stream, expected, events.len()).await?;
                return judge_repeat(stream, expected, actual, &events, &stored(&there));
            }
        };
        if let Some(new) = events.iter().find(|new| tail.has(new.metadata.event_id)) {
            return Err(AppendError::IdReused { stream: stream.clone(), event_id: new.metadata.event_id });
        }
        let linked = link(stream, expected, &tail, &events);
        let append_id = Uuid::now_v7();
        let said = self.send(stream, expected, &linked, append_id).await?;
        let there = self.read_back(stream, expected, events.len(), &said).await?;
        // A try of this very call may have landed although its answer was lost: then the server may say that the stream ends elsewhere.
        let is_ours = there.len() == events.len() && there.iter().all(|held| held.append_id == append_id);
        if !is_ours {
            let actual = match said {
                Said::EndsAt(actual) => actual,
                Said::Done => there.last().map(|held| held.stored.revision),
            };
            return judge_repeat(stream, expected, actual, &events, &stored(&there));
        }
        let there = stored(&there);
        self.remember(stream, tail, &there)?;
        landed(&there)
    }

    /// Appends what was recorded elsewhere, as it was.
    pub(crate) async fn append_recorded(&self, events: Vec<StoredEvent>) -> Result<(), AppendError> {
        let (stream, expected) = check_recorded(&events)?;
        let (first, count) = (events[0].clone(), events.len());
        let tail = match self.tail(&stream, expected).await? {
            Ok(tail) => tail,
            Err(actual) => {
                let there = self.there(&stream, expected, count).await?;
                return judge_recorded(expected, actual, &events, &stored(&there));
            }
        };
        if tail.hash != first.prev_hash {
            let reason = format!("{stream} has another chain than what was recorded elsewhere");
            return Err(StoreError::Damaged { position: first.position, reason }.into());
        }
        let said = self.send(&stream, expected, &events, Uuid::now_v7()).await?;
        let there = stored(&self.read_back(&stream, expected, count, &said).await?);
        let actual = match said {
            Said::EndsAt(actual) => actual,
            Said::Done => there.last().map(|last| last.revision),
        };
        judge_recorded(expected, actual, &events, &there)?;
        Ok(self.remember(&stream, tail, &there)?)
    }

    /// The stream's end, if it is where the writer believes; else where it is.
    async fn tail(&self, stream: &StreamId, expected: Expected) -> Result<Result<Tail, Option<Revision>>, StoreError> {
        let Expected::Exact(revision) = expected else { return Ok(Ok(Tail::none())) };
        if let Some(tail) = self.tails.at(stream, revision) {
            return Ok(Ok(tail));
        }
        let mut last = self.link.read_tail(stream, RECENT).await?;
        last.reverse();
        let tail = Tail::of(last.iter().map(|held| &held.stored));
        Ok(if tail.revision == Some(revision) { Ok(tail) } else { Err(tail.revision) })
    }

    /// What is there after an append. What the server says it has done it has to show: a read may have been cut short.
    async fn read_back(&self, stream: &StreamId, expected: Expected, count: usize, said: &Said) -> Result<Vec<Held>, StoreError> {
        for _ in 0..READ_BACKS {
            let there = self.there(stream, expected, count).await?;
            if there.len() == count || matches!(said, Said::EndsAt(_)) {
                return Ok(there);
            }
        }
        let reason = format!("{} has acknowledged an append to {stream} and does not show it; ask again with the same ids", self.shown());
        Err(StoreError::Unavailable { reason })
    }

    /// What the stream has where the append would have been.
    pub(crate) async fn there(&self, stream: &StreamId, expected: Expected, count: usize) -> Result<Vec<Held>, StoreError> {
        self.link.read_stream(stream, expected.next(), count).await
    }

    /// Sends linked events, all or none; tried again with the same ids until it is known what became of them.
    async fn send(&self, stream: &StreamId, expected: Expected, events: &[StoredEvent], append_id: Uuid) -> Result<Said, StoreError> {
        let proposed = wire::propose(events, append_id)?;
        if proposed.bytes > APPEND_BYTES_MAX {
            return Err(StoreError::TooLarge { bytes: proposed.bytes, bytes_max: APPEND_BYTES_MAX });
        }
        let revision = match expected {
            Expected::NoStream => ExpectedRevision::NoStream,
            Expected::Exact(revision) => ExpectedRevision::Exact(revision.0),
        };
        let (name, events) = (&self.link.ledger().outside(stream), &proposed.events);
        let sent = self.link.call("append", |line| async move {
            let options = AppendToStreamOptions::default().expected_revision(revision).requires_leader(true).deadline(line.deadline);
            line.client.append_to_stream(name.as_str(), &options, events.clone()).await
        });
        match sent.await {
            Ok(_) => Ok(Said::Done),
            Err(Trouble::Answer(Error::WrongExpectedVersion { current, .. })) => Ok(Said::EndsAt(match current {
                CurrentRevision::Current(revision) => Some(Revision(revision)),
                CurrentRevision::NoStream => None,
            })),
            Err(trouble) => Err(self.link.store_error(trouble)),
        }
    }

    /// Keeps what is now known of the stream's end and of the log.
    pub(crate) fn remember(&self, stream: &StreamId, mut tail: Tail, there: &[StoredEvent]) -> Result<(), StoreError> {
        for event in there {
            if event.prev_hash != tail.hash || event.hash != event.computed_hash() {
                let reason = format!("revision {} of {stream} does not go on the chain that was sent", event.revision);
                return Err(StoreError::Damaged { position: event.position, reason });
            }
            tail.push(event);
            self.saw(event.position);
        }
        self.tails.keep(stream, tail);
        Ok(())
    }
}

/// The chain's next links.
fn link(stream: &StreamId, expected: Expected, tail: &Tail, events: &[NewEvent]) -> Vec<StoredEvent> {
    let (mut hash, mut recorded_at, mut revision) = (tail.hash, tail.recorded_at, expected.next());
    let mut linked = Vec::with_capacity(events.len());
    for new in events {
        let mut new = new.clone();
        // A clock that is set back does not reorder a stream.
        new.metadata.recorded_at = recorded_at.map_or(new.metadata.recorded_at, |last| last.max(new.metadata.recorded_at));
        recorded_at = Some(new.metadata.recorded_at);
        let event = StoredEvent::link(new, Position(0), stream.clone(), revision, hash);
        (hash, revision) = (event.hash, revision.next());
        linked.push(event);
    }
    linked
}

pub(crate) fn stored(held: &[Held]) -> Vec<StoredEvent> {
    held.iter().map(|held| held.stored.clone()).collect()
}

fn landed(there: &[StoredEvent]) -> Result<Appended, AppendError> {
    let ([first, ..], [.., last]) = (there, there) else { return Err(StoreError::Empty.into()) };
    Ok(Appended { revision: last.revision, first_position: first.position, position: last.position, repeated: false })
}
