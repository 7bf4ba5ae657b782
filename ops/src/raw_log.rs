//! The log as commands see it that read all of it, beside whoever writes: the embedded one from its file on all cores, a server's page by page.
//!
//! These are blocking calls, for threads that may wait; nothing here writes.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::log::{EventStore, Filter, Hash, Head, Page, Position, Revision, StoreError, StoredEvent, StreamId};
use domain::time::Timestamp;
use embedded::{Fault, Progress, Reader, Verified};
use projections::rebuild::position_at;
use tokio::runtime::Handle;

use crate::command::audit::threads;
use crate::compose::{open_reading, store_path};
use crate::config::{Config, EventStoreUrl};

/// Events in one page of a server.
const PAGE: usize = 1_024;

/// Where the events are, and what lies beside them.
#[derive(Clone)]
pub(crate) struct RawLog {
    directory: PathBuf,
    server: Option<Server>,
}

#[derive(Clone)]
pub(crate) struct Server {
    store: Arc<dyn EventStore>,
    runtime: Handle,
}

impl Server {
    fn page(&self, after: Position, filter: &Filter, limit: usize) -> Result<Page, StoreError> {
        self.runtime.block_on(self.store.read_all(after, filter, limit))
    }
}

impl RawLog {
    pub(crate) async fn open(config: &Config) -> anyhow::Result<RawLog> {
        let server = match &config.event_store {
            EventStoreUrl::Embedded(_) => None,
            EventStoreUrl::Server(_) => Some(Server { store: open_reading(config).await?, runtime: Handle::current() }),
        };
        Ok(RawLog { directory: store_path(config).to_owned(), server })
    }

    /// An embedded log, without a runtime.
    #[cfg(test)]
    pub(crate) fn embedded(directory: &Path) -> RawLog {
        RawLog { directory: directory.to_owned(), server: None }
    }

    /// Where the sandbox's books and the like are.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// A connection that reads.
    pub(crate) fn reader(&self) -> anyhow::Result<RawReader> {
        Ok(match &self.server {
            None => RawReader::Embedded(Box::new(Reader::open(&self.directory)?)),
            Some(server) => RawReader::Server(server.clone()),
        })
    }

    /// Every matching event that is there when this begins, in stretches, each worked on as it is read; the results come in the order of the log.
    pub(crate) fn replay<T, F>(&self, filter: &Filter, work: F) -> anyhow::Result<Box<dyn Iterator<Item = Result<T, StoreError>>>>
    where
        T: Send + 'static,
        F: Fn(Page) -> T + Send + Sync + 'static,
    {
        let Some(server) = self.server.clone() else {
            return Ok(Box::new(embedded::replay(&self.directory, Position(0), filter, threads(), work)?));
        };
        let head = server.runtime.block_on(server.store.head())?.position;
        let (filter, mut at) = (filter.clone(), Position(0));
        Ok(Box::new(std::iter::from_fn(move || {
            if at >= head {
                return None;
            }
            let page = server.page(at, &filter, PAGE).map(|mut page| {
                page.events.retain(|event| event.position <= head);
                page
            });
            // Nothing comes after an error, nor after a log that has become shorter.
            at = page.as_ref().map_or(head, |page| if page.scanned_to > at { page.scanned_to } else { head });
            Some(page.map(&work))
        })))
    }
}

/// A reader of either log.
pub(crate) enum RawReader {
    Embedded(Box<Reader>),
    Server(Server),
}

impl RawReader {
    /// The log's end.
    pub(crate) fn head(&mut self) -> Result<Head, StoreError> {
        match self {
            RawReader::Embedded(reader) => reader.head(),
            RawReader::Server(server) => server.runtime.block_on(server.store.head()),
        }
    }

    /// A page of the log.
    pub(crate) fn scan(&mut self, after: Position, filter: &Filter, limit: usize) -> Result<Page, StoreError> {
        match self {
            RawReader::Embedded(reader) => reader.scan(after, filter, limit),
            RawReader::Server(server) => server.page(after, filter, limit),
        }
    }

    /// A page of a stream.
    pub(crate) fn stream(&mut self, stream: &StreamId, from: Revision, limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
        match self {
            RawReader::Embedded(reader) => reader.stream(stream, from, limit),
            RawReader::Server(server) => server.runtime.block_on(server.store.read_stream(stream, from, limit)),
        }
    }

    /// The last position that had been recorded at a time.
    pub(crate) fn position_at(&mut self, time: Timestamp) -> anyhow::Result<Position> {
        match self {
            RawReader::Embedded(reader) => Ok(reader.position_at(time)?),
            RawReader::Server(server) => Ok(server.runtime.block_on(position_at(&*server.store, time))?),
        }
    }

    /// Every hash and every place, computed again.
    pub(crate) fn verify(&mut self, mut progress: impl FnMut(Progress)) -> Result<Verified, StoreError> {
        let server = match self {
            RawReader::Embedded(reader) => return reader.verify(progress),
            RawReader::Server(server) => server,
        };
        let head = server.runtime.block_on(server.store.head())?;
        let mut chains = Chains::default();
        let mut at = Position(0);
        while at < head.position {
            let page = match server.page(at, &Filter::All, PAGE) {
                Ok(page) => page,
                Err(StoreError::Damaged { position, reason }) => return Ok(chains.verified(head, Some(Fault { position, reason }))),
                Err(error) => return Err(error),
            };
            if page.scanned_to <= at {
                let reason = "the log ends before its head".to_owned();
                return Ok(chains.verified(head, Some(Fault { position: at, reason })));
            }
            at = page.scanned_to;
            for event in page.events.iter().take_while(|event| event.position <= head.position) {
                if let Err(reason) = chains.event(event) {
                    return Ok(chains.verified(head, Some(Fault { position: event.position, reason })));
                }
            }
            progress(Progress { done: chains.events, total: head.events });
        }
        Ok(chains.verified(head, None))
    }
}

/// What a look at the log knows of its streams' ends.
#[derive(Default)]
pub(crate) struct Chains {
    ends: HashMap<StreamId, (Revision, Hash)>,
    pub(crate) events: u64,
}

impl Chains {
    /// Whether an event is its stream's next, and says what was hashed.
    pub(crate) fn event(&mut self, event: &StoredEvent) -> Result<(), String> {
        let (next, hash) = self.ends.get(&event.stream).copied().unwrap_or((Revision(0), Hash::START));
        if event.revision != next {
            return Err(format!("{} has revision {} where {next} comes next", event.stream, event.revision));
        }
        if event.prev_hash != hash {
            return Err(format!("{} does not continue the chain of {}", event.prev_hash, event.stream));
        }
        if event.hash != event.computed_hash() {
            return Err(format!("what {} says at revision {} is not what was hashed", event.stream, event.revision));
        }
        self.ends.insert(event.stream.clone(), (next.next(), event.hash));
        self.events += 1;
        Ok(())
    }

    /// How many streams.
    pub(crate) fn streams(&self) -> u64 {
        self.ends.len() as u64
    }

    fn verified(&self, head: Head, fault: Option<Fault>) -> Verified {
        Verified { events: self.events, streams: self.streams(), head: head.position, fault }
    }
}
