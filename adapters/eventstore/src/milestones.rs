//! How many events the log has up to places of it, kept on the server: so that a process that starts counts what came after the last of them, however long the
//! log is.
//!
//! They are events of a stream beside the ledger's, in no form of the ledger's: whoever reads the ledger passes them over, as all that others keep on the server.
//! Whoever counts past one writes it, if nobody has. They say nothing that cannot be counted again, so that nothing depends on them: without the right to write,
//! or with milestones that do not fit the log, a process counts for itself.

use std::sync::Arc;

use domain::log::{Head, Position, Revision, StoreError, StreamId};
use eventstore::{AppendToStreamOptions, CurrentRevision, Error, EventData, ExpectedRevision, ReadStreamOptions, StreamPosition};
use serde::{Deserialize, Serialize};
use tracing::{debug, warn};
use uuid::Uuid;

use crate::link::{Link, Trouble};
use crate::read::PAGE_MAX;
use crate::wire::{Held, is_placed};

/// A start reads a page for four million events, and then counts fewer than this.
pub(crate) const EVERY: u64 = 4_096;
/// The stream's name in the ledger's part of the server, and its events' type.
const STREAM: &str = "chargeledger.milestones";
const TYPE: &str = "chargeledger.milestone";

/// One of them. Its number is [`EVERY`] times one more than its revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Milestone {
    /// How many events of the ledger there are up to this one, and where it lies.
    pub(crate) events: u64,
    pub(crate) position: u64,
    /// Which event it is: a stream can be asked for it on every server, also where the place means something else.
    stream: String,
    revision: u64,
    event_id: Uuid,
}

impl Milestone {
    /// At this event, which is the ledger's so many-th.
    pub(crate) fn at(held: &Held, events: u64) -> Milestone {
        let stored = &held.stored;
        Milestone {
            events,
            position: stored.position.0,
            stream: stored.stream.as_str().to_owned(),
            revision: stored.revision.0,
            event_id: stored.metadata.event_id.0,
        }
    }

    pub(crate) const fn head(&self) -> Head {
        Head { position: Position(self.position), events: self.events }
    }

    /// The same for whoever writes it.
    fn id(&self) -> Uuid {
        Uuid::new_v5(&self.event_id, TYPE.as_bytes())
    }

    /// Whether its event is where it says.
    async fn is_true(&self, link: &Link) -> Result<bool, StoreError> {
        let there = link.event_at(&StreamId::from(self.stream.as_str()), Revision(self.revision)).await?;
        // Servers before 22.6 do not say where a stream's event is.
        let is_there = |held: &Held| !is_placed(&held.stored) || held.stored.position.0 == self.position;
        Ok(there.is_some_and(|held| held.stored.metadata.event_id.0 == self.event_id && is_there(&held)))
    }
}

/// Those that the server keeps, and those that it is still to keep.
#[derive(Debug, Default)]
pub(crate) struct Milestones {
    kept: u64,
    new: Vec<Milestone>,
    /// Those that are there are not this log's.
    are_foreign: bool,
}

impl Milestones {
    /// All that the server keeps, oldest first.
    pub(crate) async fn read(&mut self, link: &Link) -> Result<Vec<Milestone>, StoreError> {
        let mut found: Vec<Milestone> = Vec::new();
        loop {
            let page = read_page(link, found.len() as u64).await?;
            let is_end = page.len() < PAGE_MAX;
            found.extend(page);
            if is_end {
                break;
            }
        }
        let are_counted = found.iter().zip(1..).all(|(one, number)| one.events == number * EVERY);
        let is_true = match found.last() {
            Some(last) => are_counted && found.is_sorted_by(|one, next| one.position < next.position) && last.is_true(link).await?,
            None => true,
        };
        if !is_true {
            warn!(
                server = link.shown(),
                stream = STREAM,
                "the milestones on the server are not this log's: it is counted from its beginning"
            );
            (self.are_foreign, found) = (true, Vec::new());
        }
        self.kept = found.len() as u64;
        Ok(found)
    }

    /// One that this process has come to.
    pub(crate) fn passed(&mut self, milestone: Milestone) {
        if !self.are_foreign {
            self.new.push(milestone);
        }
    }

    /// Writes down what is new. That it cannot be done harms nothing: it is tried again at the next one.
    pub(crate) async fn keep(&mut self, link: &Link) {
        if self.new.is_empty() {
            return;
        }
        let expected = match self.kept.checked_sub(1) {
            Some(last) => ExpectedRevision::Exact(last),
            None => ExpectedRevision::NoStream,
        };
        let data = |one: &Milestone| serde_json::to_vec(one).map(|data| (one.id(), data));
        // No more than one append takes: they pile up where they cannot be kept.
        let Ok(new) = self.new.iter().take(PAGE_MAX).map(data).collect::<Result<Vec<_>, _>>() else { return };
        let (name, new) = (&link.ledger().outside(&stream()), &new);
        let sent = link.call("keep milestones", |line| async move {
            let options = AppendToStreamOptions::default().expected_revision(expected).requires_leader(true).deadline(line.deadline);
            let events = new.iter().map(|(id, data)| EventData::binary(TYPE, data.clone().into()).id(*id)).collect::<Vec<_>>();
            line.client.append_to_stream(name.as_str(), &options, events).await
        });
        let kept = match sent.await {
            Ok(_) => self.kept + new.len() as u64,
            // Another process was there before.
            Err(Trouble::Answer(Error::WrongExpectedVersion { current: CurrentRevision::Current(last), .. })) => last + 1,
            Err(trouble) => {
                debug!(?trouble, "milestones are not kept");
                return;
            }
        };
        self.kept = kept;
        self.new.retain(|one| one.events > kept * EVERY);
    }
}

fn stream() -> StreamId {
    StreamId::from(Arc::<str>::from(STREAM))
}

async fn read_page(link: &Link, from: u64) -> Result<Vec<Milestone>, StoreError> {
    let name = &link.ledger().outside(&stream());
    let read = link.call("read milestones", |line| async move {
        let options = ReadStreamOptions::default().position(StreamPosition::Position(from)).forwards().max_count(PAGE_MAX);
        let options = options.requires_leader(true).deadline(line.deadline);
        let mut page = line.client.read_stream(name.as_str(), &options).await?;
        let mut events = Vec::new();
        while let Some(resolved) = page.next().await? {
            events.extend(resolved.event);
        }
        Ok(events)
    });
    match read.await {
        // What is not one is found out by its number.
        Ok(events) => Ok(events.iter().map_while(|event| serde_json::from_slice(&event.data).ok()).collect()),
        Err(Trouble::Answer(error)) => {
            debug!(%error, "there are no milestones");
            Ok(Vec::new())
        }
        Err(trouble) => Err(link.store_error(trouble)),
    }
}
