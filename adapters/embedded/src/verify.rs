//! Every hash and every place in the log, computed again. Nothing here trusts an index or a number that it can derive.
//!
//! What a chain cannot show by itself is a log whose whole end was cut off: seals, kept elsewhere, are for that.

use domain::log::{Hash, Position, Revision, StoreError, StoredEvent};
use domain::time::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::Progress;
use crate::database::{signed, unsigned};
use crate::error::{damaged, store_error};
use crate::reader::{Reader, Rows};
use crate::row::{COLUMNS, Fields};

/// Events in one read. A read that stays open for minutes would keep the file from being tidied.
const PAGE: u64 = 4_096;
/// How far apart the clocks of writers may be.
const CLOCKS_APART_S_MAX: i64 = 3_600;
/// How many of the last events are checked when a store is opened for writing.
const TAIL: u64 = 256;

/// What a look at the whole log found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Events looked at: all of them, or those before the fault.
    pub events: u64,
    /// Streams among them.
    pub streams: u64,
    /// The log's end when the look began.
    pub head: Position,
    /// The first thing that is wrong.
    pub fault: Option<Fault>,
}

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The event's place in the log.
    pub position: Position,
    /// What is wrong with it.
    pub reason: String,
}

/// The end of a stream so far.
#[derive(Debug, Clone, Copy, Default)]
struct Link {
    next: u64,
    hash: Hash,
}

impl Reader {
    /// Looks at the whole log as it is when this begins, beside whoever writes it. It takes 40 bytes of memory a stream.
    ///
    /// # Errors
    /// When the file cannot be read. What is wrong in it is not an error here but the answer.
    pub fn verify(&mut self, mut progress: impl FnMut(Progress)) -> Result<Verified, StoreError> {
        let head = self.head()?.position;
        let mut chain = Chain::default();
        let fault = loop {
            progress(Progress { done: chain.events, total: head.0 });
            if chain.events == head.0 {
                break self.check_index(&chain, head)?;
            }
            let (connection, rows) = self.parts();
            match chain.page(connection, rows, head) {
                Ok(()) => {}
                Err(StoreError::Damaged { position, reason }) => break Some(Fault { position, reason }),
                Err(error) => return Err(error),
            }
        };
        let streams = chain.links.len().saturating_sub(1) as u64;
        Ok(Verified { events: chain.events, streams, head, fault })
    }

    /// The index by stream must hold what the scan of the log has seen: reads of one stream go through it.
    fn check_index(&self, chain: &Chain, head: Position) -> Result<Option<Fault>, StoreError> {
        let count = "SELECT count(*) FROM events INDEXED BY events_stream WHERE stream > 0 AND pos <= ?";
        let indexed = self.connection().query_row(count, [signed(head.0)], |row| row.get(0)).map(unsigned).map_err(store_error)?;
        let reason = || format!("the index by stream has {indexed} of {} events", chain.events);
        Ok((indexed != chain.events).then(|| Fault { position: head, reason: reason() }))
    }
}

/// What a scan of the log knows after the events it has seen.
#[derive(Default)]
struct Chain {
    events: u64,
    recorded_at: Option<Timestamp>,
    /// By the stream's number, which is dense from 1.
    links: Vec<Link>,
}

impl Chain {
    fn page(&mut self, connection: &Connection, rows: &mut Rows, head: Position) -> Result<(), StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM events WHERE pos > ? AND pos <= ? ORDER BY pos LIMIT ?");
        let mut statement = connection.prepare_cached(&sql).map_err(store_error)?;
        let mut found = statement.query(params![signed(self.events), signed(head.0), signed(PAGE)]).map_err(store_error)?;
        let before = self.events;
        while let Some(row) = found.next().map_err(store_error)? {
            let fields = Fields::read(row)?;
            if fields.position != self.events + 1 {
                return Err(damaged(self.events + 1, format!("it is missing; the next one there is {}", fields.position)));
            }
            let event = rows.event(connection, &fields)?;
            self.event(&event, fields.stream)?;
        }
        if self.events == before {
            return Err(damaged(before + 1, "it is missing, and so are all after it"));
        }
        Ok(())
    }

    fn event(&mut self, event: &StoredEvent, stream: i64) -> Result<(), StoreError> {
        let bad = |reason: String| Err(damaged(event.position.0, reason));
        // A new stream has the next number, as it was begun with this event.
        let stream = usize::try_from(stream).unwrap_or(usize::MAX);
        self.links.resize(self.links.len().max(1), Link::default());
        if stream == self.links.len() {
            self.links.push(Link::default());
        }
        let Some(link) = self.links.get_mut(stream).filter(|_| stream > 0) else {
            return bad(format!("stream number {stream} was not begun in order"));
        };
        if event.revision != Revision(link.next) {
            return bad(format!("{} has revision {} where {} comes next", event.stream, event.revision, link.next));
        }
        check_hashes(event, link.hash)?;
        // A little before is what clocks of several writers come to, where the log came from a server that they shared.
        if self.recorded_at.is_some_and(|last| event.metadata.recorded_at.plus_seconds(CLOCKS_APART_S_MAX) < last) {
            return bad("it was recorded long before the event in front of it".to_owned());
        }
        *link = Link { next: link.next + 1, hash: event.hash };
        self.recorded_at = self.recorded_at.max(Some(event.metadata.recorded_at));
        self.events += 1;
        Ok(())
    }
}

fn check_hashes(event: &StoredEvent, prev_hash: Hash) -> Result<(), StoreError> {
    if event.prev_hash != prev_hash {
        return Err(damaged(event.position.0, format!("{} does not continue the chain of {}", event.prev_hash, event.stream)));
    }
    if event.hash != event.computed_hash() {
        return Err(damaged(event.position.0, format!("what {} says at revision {} is not what was hashed", event.stream, event.revision)));
    }
    Ok(())
}

/// Checks the last events: a log that is damaged there is not to be appended to.
pub(crate) fn check_tail(connection: &Connection) -> Result<(), StoreError> {
    let head: i64 = connection.query_row("SELECT coalesce(max(pos), 0) FROM events", [], |row| row.get(0)).map_err(store_error)?;
    let sql = format!("SELECT {COLUMNS} FROM events WHERE pos > ? ORDER BY pos");
    let mut statement = connection.prepare(&sql).map_err(store_error)?;
    let mut last = unsigned(head).saturating_sub(TAIL);
    let mut found = statement.query([signed(last)]).map_err(store_error)?;
    let mut rows = Rows::default();
    while let Some(row) = found.next().map_err(store_error)? {
        let fields = Fields::read(row)?;
        if fields.position != last + 1 {
            return Err(damaged(last + 1, "it is missing"));
        }
        last = fields.position;
        let event = rows.event(connection, &fields)?;
        let prev_hash = match fields.revision.checked_sub(1) {
            None => Hash::START,
            Some(before) => {
                hash_of(connection, fields.stream, before)?.ok_or_else(|| damaged(last, "the event before it in its stream is missing"))?
            }
        };
        check_hashes(&event, prev_hash)?;
    }
    Ok(())
}

fn hash_of(connection: &Connection, stream: i64, revision: u64) -> Result<Option<Hash>, StoreError> {
    let mut find =
        connection.prepare_cached("SELECT substr(meta, 35, 32) FROM events WHERE stream = ? AND rev = ?").map_err(store_error)?;
    find.query_row(params![stream, signed(revision)], |row| row.get(0).map(Hash)).optional().map_err(store_error)
}
