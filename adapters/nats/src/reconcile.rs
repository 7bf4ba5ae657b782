//! The reconciler: walks the log and the stream side by side, names what is different, and fills holes.
//!
//! JetStream gives sequences in the order of arrival, so an event that is filled in stands late: its message says so, and says how far the feed had come. Consumers
//! order by position where order counts to them; those who handle each event once need nothing else.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use domain::log::{EventStore, Filter, Hash, Position, StoreError, StoredEvent};
use serde::Serialize;
use uuid::Uuid;

use crate::error::FeedError;
use crate::place::Placed;
use crate::publish::publish_one;
use crate::stream::FeedStream;
use crate::walk::{Start, Walk};
use crate::wire::{Published, Purpose};

/// Events of the log that are read at once.
const PAGE_EVENTS: usize = 4_096;
/// So many differences are named; all are counted.
const NAMED_MAX: usize = 100;

/// Events of the log that the stream does not have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hole {
    /// The first of them.
    pub first: Position,
    /// The last of them.
    pub last: Position,
    /// How many there are in between.
    pub events: u64,
    /// Those in between that were filled in.
    #[serde(skip)]
    filled: BTreeSet<Position>,
}

/// A message that should not be there, or not like that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Its sequence.
    pub sequence: u64,
    /// The position that it names.
    pub position: Option<Position>,
    /// What is wrong.
    pub what: String,
}

/// What came of comparing the stream with the log.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Verified {
    /// How far the log was looked at.
    pub head: Position,
    /// How many events it has up to there.
    pub events: u64,
    /// How many messages the stream has.
    pub messages: u64,
    /// How many of them were filled in late.
    pub late: u64,
    /// How many events are still to be published.
    pub behind: u64,
    /// How many are missing.
    pub missing: u64,
    /// Where.
    pub holes: Vec<Hole>,
    /// How many messages are not as they should be.
    pub differing: u64,
    /// The first of them.
    pub differences: Vec<Difference>,
}

impl Verified {
    /// Whether the stream is the log, as far as it has come.
    #[must_use]
    pub const fn is_fine(&self) -> bool {
        self.missing == 0 && self.differing == 0
    }

    fn differs(&mut self, sequence: u64, position: Option<Position>, what: impl Into<String>) {
        self.differing += 1;
        if self.differences.len() < NAMED_MAX {
            self.differences.push(Difference { sequence, position, what: what.into() });
        }
    }

    fn misses(&mut self, position: Position, joins: bool) {
        match self.holes.last_mut() {
            Some(hole) if joins => (hole.last, hole.events) = (position, hole.events + 1),
            Some(_) | None => self.holes.push(Hole { first: position, last: position, events: 1, filled: BTreeSet::new() }),
        }
    }
}

/// The log, one event after another.
struct Cursor<'a> {
    log: &'a dyn EventStore,
    page: VecDeque<StoredEvent>,
    scanned_to: Position,
    until: Position,
}

impl<'a> Cursor<'a> {
    fn new(log: &'a dyn EventStore, after: Position, until: Position) -> Cursor<'a> {
        Cursor { log, page: VecDeque::new(), scanned_to: after, until }
    }

    async fn peek(&mut self) -> Result<Option<&StoredEvent>, StoreError> {
        while self.page.is_empty() && self.scanned_to < self.until {
            let page = self.log.read_all(self.scanned_to, &Filter::All, PAGE_EVENTS).await?;
            if page.scanned_to <= self.scanned_to {
                break;
            }
            self.scanned_to = page.scanned_to;
            self.page = page.events.into();
        }
        Ok(self.page.front().filter(|event| event.position <= self.until))
    }

    async fn next(&mut self) -> Result<Option<StoredEvent>, StoreError> {
        let is_there = self.peek().await?.is_some();
        Ok(if is_there { self.page.pop_front() } else { None })
    }
}

/// Compares everything that the stream has with everything that the log has. `progress` hears how many messages were looked at, and of how many.
///
/// # Errors
/// When one of both cannot be read.
pub async fn verify(stream: &FeedStream, log: &dyn EventStore, progress: impl Fn(u64, u64)) -> Result<Verified, FeedError> {
    // The stream first: what is published meanwhile is in the log by then.
    let state = stream.state().await?;
    let head = log.head().await?.position;
    let mut verified = Verified { head, ..Verified::default() };
    let mut cursor = Cursor::new(log, Position(0), head);
    let mut late: BTreeMap<Position, (u64, Hash)> = BTreeMap::new();
    let (mut matched, mut joins, mut last_sequence) = (Position(0), false, 0);
    if state.messages > 0 {
        let mut walk = Walk::start(stream, Start::Beginning, None).await?;
        loop {
            let step = walk.next().await?;
            if step.sequence > state.last_sequence {
                break;
            }
            last_sequence = step.sequence;
            verified.messages += 1;
            progress(verified.messages, state.messages);
            match step.message {
                Err(error) => verified.differs(step.sequence, None, error.to_string()),
                Ok(message) => {
                    let position = message.event.position;
                    if position <= matched || message.purpose == Purpose::Refill {
                        take_late(&mut verified, &mut late, step.sequence, &message);
                    } else {
                        while let Some(event) = cursor.peek().await?.filter(|event| event.position < position) {
                            let missing = event.position;
                            verified.misses(missing, joins);
                            (joins, verified.events) = (true, verified.events + 1);
                            cursor.next().await?;
                        }
                        match cursor.peek().await?.filter(|event| event.position == position) {
                            Some(event) => {
                                if *event != message.event {
                                    verified.differs(step.sequence, Some(position), how(event, &message));
                                }
                                (matched, joins, verified.events) = (position, false, verified.events + 1);
                                cursor.next().await?;
                            }
                            // It may have come after the log was asked how far it goes.
                            None if position > head && log.head().await?.position >= position => {}
                            None => verified.differs(step.sequence, Some(position), "the log has no event at this position"),
                        }
                    }
                }
            }
            if step.pending == 0 || step.sequence >= state.last_sequence {
                break;
            }
        }
    }
    // Messages were taken off the end: what follows was published, and is gone.
    let mut lost = state.last_sequence - last_sequence.min(state.last_sequence);
    lost = if state.messages == 0 { 0 } else { lost };
    joins = false;
    while let Some(event) = cursor.next().await? {
        verified.events += 1;
        if lost > 0 && !late.contains_key(&event.position) {
            verified.misses(event.position, joins);
            (joins, lost) = (true, lost - 1);
        } else if late.contains_key(&event.position) {
            verified.misses(event.position, joins);
            joins = true;
        } else {
            verified.behind += 1;
        }
    }
    settle(&mut verified, log, late).await?;
    Ok(verified)
}

fn take_late(verified: &mut Verified, late: &mut BTreeMap<Position, (u64, Hash)>, sequence: u64, message: &Published) {
    let position = message.event.position;
    if !message.is_intact() {
        verified.differs(sequence, Some(position), "it is not what its hash says");
    } else if late.insert(position, (sequence, message.event.hash)).is_some() {
        verified.differs(sequence, Some(position), "it was published before");
    }
}

/// What is different between an event and its message.
fn how(event: &StoredEvent, message: &Published) -> String {
    let there = &message.event;
    if event.metadata.event_id != there.metadata.event_id {
        format!("it is event {}, and the log has {} there", there.metadata.event_id, event.metadata.event_id)
    } else if event.payload != there.payload {
        "its payload is not the log's".to_owned()
    } else {
        "its headers are not the log's".to_owned()
    }
}

/// What came late fills holes, or was there already.
async fn settle(verified: &mut Verified, log: &dyn EventStore, late: BTreeMap<Position, (u64, Hash)>) -> Result<(), StoreError> {
    for (position, (sequence, hash)) in late {
        let page = log.read_all(Position(position.0.saturating_sub(1)), &Filter::All, 1).await?;
        let logged = page.events.first().filter(|event| event.position == position);
        match logged {
            None => verified.differs(sequence, Some(position), "the log has no event at this position"),
            Some(event) if event.hash != hash => verified.differs(sequence, Some(position), "it is not the log's event at this position"),
            Some(_) => {
                let at = verified.holes.partition_point(|hole| hole.last < position);
                match verified.holes.get_mut(at).filter(|hole| hole.first <= position) {
                    Some(hole) => {
                        hole.filled.insert(position);
                        verified.late += 1;
                    }
                    None => verified.differs(sequence, Some(position), "it was published before"),
                }
            }
        }
    }
    verified.holes.retain(|hole| hole.events > hole.filled.len() as u64);
    verified.missing = verified.holes.iter().map(|hole| hole.events - hole.filled.len() as u64).sum();
    Ok(())
}

/// Publishes what is missing, at the end of the stream, beside whoever publishes in turn. Says how many events it was.
///
/// # Errors
/// When NATS is away, or the log cannot be read. What was filled in stays.
pub async fn fill(
    stream: &FeedStream,
    log: &Arc<dyn EventStore>,
    verified: &Verified,
    progress: impl Fn(u64, u64),
) -> Result<u64, FeedError> {
    let run = Uuid::now_v7();
    let mut done = 0;
    for hole in &verified.holes {
        let mut cursor = Cursor::new(&**log, Position(hole.first.0.saturating_sub(1)), hole.last);
        while let Some(event) = cursor.next().await? {
            if hole.filled.contains(&event.position) {
                continue;
            }
            // Somebody else may publish at the same moment: then the end is looked for again.
            loop {
                let state = stream.state().await?;
                let reached = stream.last_message().await?.map_or(event.position, |(_, last)| last.reached.max(event.position));
                match publish_one(stream, &event, run, Purpose::Refill, reached, state.last_sequence).await? {
                    Placed::Displaced => {}
                    Placed::At(_) | Placed::Again(_) | Placed::There => break,
                }
            }
            done += 1;
            progress(done, verified.missing);
        }
    }
    Ok(done)
}
