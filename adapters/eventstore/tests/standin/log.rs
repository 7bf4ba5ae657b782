//! The stand-in's log: positions with gaps, events of its own and of strangers in between, and the rules of an append.

use std::collections::HashMap;

/// One event.
#[derive(Debug, Clone)]
pub struct Record {
    pub position: u64,
    pub stream: String,
    pub revision: u64,
    pub id: uuid::Uuid,
    pub metadata: HashMap<String, String>,
    pub custom_metadata: Vec<u8>,
    pub data: Vec<u8>,
}

/// An event on its way.
#[derive(Debug, Clone)]
pub struct Proposal {
    pub id: uuid::Uuid,
    pub metadata: HashMap<String, String>,
    pub custom_metadata: Vec<u8>,
    pub data: Vec<u8>,
}

/// What a writer believes.
#[derive(Debug, Clone, Copy)]
pub enum Believed {
    NoStream,
    Revision(u64),
    Anything,
}

#[derive(Debug)]
pub struct Log {
    pub records: Vec<Record>,
    streams: HashMap<String, Vec<usize>>,
    /// Where the next record will be.
    pub end: u64,
    appends: u64,
}

/// After so many appends, the server writes something of its own.
const OWN_EVERY: u64 = 3;

impl Default for Log {
    fn default() -> Log {
        let mut log = Log { records: Vec::new(), streams: HashMap::new(), end: 1_317, appends: 0 };
        log.own("$settings", "$metadata");
        log.stranger();
        log
    }
}

impl Log {
    /// An event of the server's own.
    pub fn own(&mut self, stream: &str, event_type: &str) {
        self.push(stream, proposal(event_type, "application/json", b"{}", b"{}"));
    }

    /// An event of another application.
    pub fn stranger(&mut self) {
        self.push("order-1", proposal("order.placed", "application/json", b"{\"userId\":1}", b"{}"));
    }

    fn push(&mut self, stream: &str, event: Proposal) {
        let places = self.streams.entry(stream.to_owned()).or_default();
        let revision = places.len() as u64;
        places.push(self.records.len());
        let position = self.end;
        self.end += 117 + (event.data.len() + event.custom_metadata.len()) as u64;
        let Proposal { id, metadata, custom_metadata, data } = event;
        self.records.push(Record { position, stream: stream.to_owned(), revision, id, metadata, custom_metadata, data });
    }

    pub fn stream(&self, stream: &str) -> impl DoubleEndedIterator<Item = &Record> {
        self.streams.get(stream).into_iter().flatten().map(|place| &self.records[*place])
    }

    /// All or none. The last event's revision and position; or the stream's last revision, when that is not what was believed. Ids that are known at these
    /// revisions make a repeat, whatever the events say; a part of a repeat is none.
    pub fn append(&mut self, stream: &str, believed: Believed, events: Vec<Proposal>) -> Result<(u64, u64), Option<u64>> {
        let length = self.streams.get(stream).map_or(0, Vec::len) as u64;
        let next = match believed {
            Believed::NoStream => 0,
            Believed::Revision(revision) => revision + 1,
            Believed::Anything => length,
        };
        if next < length {
            let there: Vec<&Record> = self.stream(stream).skip(usize::try_from(next).unwrap()).take(events.len()).collect();
            let is_repeat = there.len() == events.len() && there.iter().zip(&events).all(|(there, event)| there.id == event.id);
            return match there.last() {
                Some(last) if is_repeat => Ok((last.revision, last.position)),
                _ => Err(length.checked_sub(1)),
            };
        }
        if next > length {
            return Err(length.checked_sub(1));
        }
        for event in events {
            self.push(stream, event);
        }
        let last = &self.records[self.records.len() - 1];
        let landed = (last.revision, last.position);
        self.appends += 1;
        if self.appends.is_multiple_of(OWN_EVERY) {
            self.own("$stats-127.0.0.1:2113", "$statsCollected");
        }
        Ok(landed)
    }

    /// Whether reading may begin there: at a record, or at the end.
    pub fn is_a_place(&self, position: u64) -> bool {
        position == self.end || self.records.binary_search_by_key(&position, |record| record.position).is_ok()
    }
}

pub fn proposal(event_type: &str, content_type: &str, custom_metadata: &[u8], data: &[u8]) -> Proposal {
    let metadata = [("type", event_type), ("content-type", content_type)].map(|(key, value)| (key.to_owned(), value.to_owned()));
    Proposal { id: uuid::Uuid::now_v7(), metadata: metadata.into(), custom_metadata: custom_metadata.to_vec(), data: data.to_vec() }
}
