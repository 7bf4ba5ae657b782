//! Reading, in bounded pages: a stream's events, and stretches of the server's `$all`, from which what is not ours is left out.

use domain::log::{Position, Revision, StoreError, StreamId};
use eventstore::{Error, ReadAllOptions, ReadStreamOptions, RecordedEvent, StreamPosition};

use crate::cursor::Cursor;
use crate::link::{Link, Trouble};
use crate::wire::{self, Held};

/// What one call asks for at most: bounded in time by the deadline, in memory by this.
pub(crate) const PAGE_MAX: usize = 1_024;

/// A stretch of `$all`.
pub(crate) struct Stretch {
    /// Each event's place, and the event if it is the ledger's.
    pub(crate) events: Vec<(Cursor, Option<Held>)>,
    /// Whether the log ended there when it was read.
    pub(crate) is_end: bool,
}

impl Link {
    /// Events of `$all` from a place on, that place included.
    pub(crate) async fn read_all(&self, from: Cursor, count: usize) -> Result<Stretch, StoreError> {
        let count = count.clamp(1, PAGE_MAX);
        let read = self.call("read $all", |line| async move {
            let options =
                ReadAllOptions::default().position(from.wire()).forwards().max_count(count).requires_leader(true).deadline(line.deadline);
            let mut stream = line.client.read_all(&options).await?;
            let mut events = Vec::new();
            while let Some(resolved) = stream.next().await? {
                events.extend(resolved.event);
            }
            Ok(events)
        });
        let events = read.await.map_err(|trouble| self.store_error(trouble))?;
        let is_end = events.len() < count;
        let events = events.into_iter().map(|event| self.placed(event)).collect::<Result<_, _>>()?;
        Ok(Stretch { events, is_end })
    }

    /// The last events of `$all`, newest first, that lie before a place; from the end when there is none.
    pub(crate) async fn read_all_back(&self, before: Option<Cursor>, count: usize) -> Result<Vec<(Cursor, Option<Held>)>, StoreError> {
        let from = before.map_or(StreamPosition::End, Cursor::wire);
        let read = self.call("read $all backwards", |line| async move {
            let options =
                ReadAllOptions::default().position(from).backwards().max_count(count).requires_leader(true).deadline(line.deadline);
            let mut stream = line.client.read_all(&options).await?;
            let mut events = Vec::new();
            while let Some(resolved) = stream.next().await? {
                events.extend(resolved.event);
            }
            Ok(events)
        });
        read.await.map_err(|trouble| self.store_error(trouble))?.into_iter().map(|event| self.placed(event)).collect()
    }

    /// Events of a stream from a revision on; none when there is no such stream.
    pub(crate) async fn read_stream(&self, stream: &StreamId, from: Revision, count: usize) -> Result<Vec<Held>, StoreError> {
        let held = self.stream_page(stream, StreamPosition::Position(from.0), count.min(PAGE_MAX), true).await?;
        // Revisions are dense: a hole is an event that somebody else wrote, or that was scavenged.
        for (held, expected) in held.iter().zip(from.0..) {
            if held.stored.revision.0 != expected {
                let reason =
                    format!("{stream} has revision {} where {expected} should be: truncated, or written by others", held.stored.revision);
                return Err(StoreError::Damaged { position: held.stored.position, reason });
            }
        }
        Ok(held)
    }

    /// The end of a stream, newest first.
    pub(crate) async fn read_tail(&self, stream: &StreamId, count: usize) -> Result<Vec<Held>, StoreError> {
        self.stream_page(stream, StreamPosition::End, count, false).await
    }

    /// One event of a stream, with the place that the server says it has.
    pub(crate) async fn event_at(&self, stream: &StreamId, revision: Revision) -> Result<Option<Held>, StoreError> {
        let page = self.unplaced_page(stream, StreamPosition::Position(revision.0), 1, true).await?;
        Ok(page.into_iter().next().filter(|held| held.stored.revision == revision))
    }

    async fn stream_page(
        &self,
        stream: &StreamId,
        from: StreamPosition<u64>,
        count: usize,
        forwards: bool,
    ) -> Result<Vec<Held>, StoreError> {
        let mut held = self.unplaced_page(stream, from, count, forwards).await?;
        if held.iter().any(|held| !wire::is_placed(&held.stored)) {
            self.place(&mut held).await?;
        }
        Ok(held)
    }

    async fn unplaced_page(
        &self,
        stream: &StreamId,
        from: StreamPosition<u64>,
        count: usize,
        forwards: bool,
    ) -> Result<Vec<Held>, StoreError> {
        let name = &self.ledger().outside(stream);
        let read = self.call("read a stream", |line| async move {
            let options = ReadStreamOptions::default().position(from);
            let options = if forwards { options.forwards() } else { options.backwards() };
            let options = options.max_count(count).requires_leader(true).deadline(line.deadline);
            let mut page = line.client.read_stream(name.as_str(), &options).await?;
            let mut events = Vec::new();
            while let Some(resolved) = page.next().await? {
                events.extend(resolved.event);
            }
            Ok(events)
        });
        let events = match read.await {
            Ok(events) => events,
            Err(Trouble::Answer(Error::ResourceNotFound)) => return Ok(Vec::new()),
            Err(trouble) => return Err(self.store_error(trouble)),
        };
        events.into_iter().map(|event| self.ours(stream, event)).collect()
    }

    /// Servers before 22.6 do not say where a stream's events are in the log. The log's last event is never too low, which is what matters to whoever waits.
    async fn place(&self, held: &mut [Held]) -> Result<(), StoreError> {
        let mut before = None;
        let last = loop {
            let events = self.read_all_back(before, PAGE_MAX).await?;
            let Some((oldest, _)) = events.last() else { break None };
            before = Some(*oldest);
            if let Some(last) = events.iter().find_map(|(_, held)| held.as_ref()) {
                break Some(last.stored.position);
            }
        };
        for held in held.iter_mut().filter(|held| !wire::is_placed(&held.stored)) {
            held.stored.position = last.unwrap_or_default();
        }
        Ok(())
    }

    fn placed(&self, event: RecordedEvent) -> Result<(Cursor, Option<Held>), StoreError> {
        Ok((event.position.into(), wire::held(self.ledger(), event)?))
    }

    /// In a stream of the ledger there is nothing else.
    fn ours(&self, stream: &StreamId, event: RecordedEvent) -> Result<Held, StoreError> {
        let (position, revision) = (Position(event.position.commit), event.revision);
        let foreign = || StoreError::Damaged { position, reason: format!("revision {revision} of {stream} was not written by the ledger") };
        wire::held(self.ledger(), event)?.ok_or_else(foreign)
    }
}
