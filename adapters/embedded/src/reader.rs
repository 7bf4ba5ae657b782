//! A connection that only reads, for threads: pages of the log, one stream, what there is. Each answer is one short read, because a
//! read that stays open for minutes keeps the file from being tidied.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::log::{EventType, Filter, Head, Page, Position, Revision, StoreError, StoredEvent, StreamId};
use domain::time::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::database::{LOG, LOG_KIND, open_reading, signed, unsigned};
use crate::error::{OpenError, damaged, store_error};
use crate::row::{COLUMNS, Fields, LastActor};

/// How far one page looks for what its filter wants, so that no page takes long.
const STRETCH: u64 = 65_536;
/// How many positions are counted in one read.
const COUNTED: u64 = 262_144;
/// A page ends early when it holds this much, so that large events do not make a large page.
const PAGE_BYTES: usize = 32 << 20;

/// Reads a log on the calling thread, beside the process that writes it.
#[derive(Debug)]
pub struct Reader {
    directory: PathBuf,
    connection: Connection,
    rows: Rows,
}

/// What there is in a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// The store's directory.
    pub path: PathBuf,
    /// The version of the file's tables.
    pub schema_version: u32,
    /// The last event.
    pub head: Position,
    /// How many events.
    pub events: u64,
    /// How many streams.
    pub streams: u64,
    /// How many types of events.
    pub types: u64,
    /// What it takes on disk, the write-ahead log with it.
    pub bytes: u64,
    /// When the first event was recorded.
    pub first_recorded_at: Option<Timestamp>,
    /// When the last one was.
    pub last_recorded_at: Option<Timestamp>,
}

impl Reader {
    /// Opens the store in this directory for reading, mapped into memory: for scans of the whole log.
    ///
    /// # Errors
    /// When there is no store, or not one of ours.
    pub fn open(directory: impl AsRef<Path>) -> Result<Reader, OpenError> {
        Reader::open_with(directory.as_ref(), true)
    }

    pub(crate) fn open_with(directory: &Path, mapped: bool) -> Result<Reader, OpenError> {
        let connection = open_reading(&directory.join(LOG), LOG_KIND, mapped)?;
        Ok(Reader { directory: directory.to_owned(), connection, rows: Rows::default() })
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) fn parts(&mut self) -> (&Connection, &mut Rows) {
        (&self.connection, &mut self.rows)
    }

    /// The end of the log.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn head(&self) -> Result<Head, StoreError> {
        let mut last = self.connection.prepare_cached("SELECT coalesce(max(pos), 0) FROM events").map_err(store_error)?;
        let events = unsigned(last.query_row([], |row| row.get(0)).map_err(store_error)?);
        Ok(Head { position: Position(events), events })
    }

    /// At most `limit` matching events after a position, filtered by type before anything is copied.
    ///
    /// # Errors
    /// When the file cannot be read, or a row is damaged.
    pub fn scan(&mut self, after: Position, filter: &Filter, limit: usize) -> Result<Page, StoreError> {
        let head = self.head()?.position;
        self.rows.scan(&self.connection, after, head, filter, limit)
    }

    /// The same up to `end`, which is at most the head.
    pub(crate) fn scan_until(&mut self, after: Position, end: Position, filter: &Filter, limit: usize) -> Result<Page, StoreError> {
        self.rows.scan(&self.connection, after, end, filter, limit)
    }

    /// At most `limit` events of one stream from a revision on.
    ///
    /// # Errors
    /// When the file cannot be read, or a row is damaged.
    pub fn stream(&mut self, stream: &StreamId, from: Revision, limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
        self.rows.stream(&self.connection, stream, from, limit)
    }

    /// How many events of each type there are after one position up to another: only the rows' heads are read.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn count_types(&mut self, after: Position, until: Position) -> Result<BTreeMap<EventType, u64>, StoreError> {
        let sql =
            "SELECT types.name, count(*) FROM events JOIN types ON types.no = events.type WHERE pos > ? AND pos <= ? GROUP BY types.no";
        let mut counts = BTreeMap::new();
        let mut from = after.0;
        while from < until.0 {
            // In short reads: one that stays open for long keeps the file from being tidied.
            let end = from.saturating_add(COUNTED).min(until.0);
            let mut statement = self.connection.prepare_cached(sql).map_err(store_error)?;
            let mut rows = statement.query(params![signed(from), signed(end)]).map_err(store_error)?;
            while let Some(row) = rows.next().map_err(store_error)? {
                let name: String = row.get(0).map_err(store_error)?;
                *counts.entry(EventType(name.into())).or_default() += unsigned(row.get(1).map_err(store_error)?);
            }
            from = end;
        }
        Ok(counts)
    }

    /// The last position that was recorded at `time` or before: what was known then.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn position_at(&self, time: Timestamp) -> Result<Position, StoreError> {
        // Positions are dense and recorded_at never runs backwards along them, so that halving finds the place.
        let mut recorded = self.connection.prepare_cached("SELECT recorded FROM events WHERE pos = ?").map_err(store_error)?;
        let (mut known, mut beyond) = (0, self.head()?.position.0 + 1);
        while beyond - known > 1 {
            let middle = known + (beyond - known) / 2;
            let at: i64 = recorded.query_row([signed(middle)], |row| row.get(0)).map_err(store_error)?;
            *(if at <= time.micros() { &mut known } else { &mut beyond }) = middle;
        }
        Ok(Position(known))
    }

    /// What there is.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn info(&self) -> Result<Info, StoreError> {
        let number = |sql: &str| self.connection.query_row(sql, [], |row| row.get(0)).map(unsigned).map_err(store_error);
        let recorded_at = |sql: &str| -> Result<Option<Timestamp>, StoreError> {
            let micros: Option<i64> = self.connection.query_row(sql, [], |row| row.get(0)).optional().map_err(store_error)?;
            micros.map(|micros| Timestamp::from_micros(micros).map_err(|error| damaged(0, error.to_string()))).transpose()
        };
        let head = self.head()?;
        let bytes = |name: &str| std::fs::metadata(self.directory.join(name)).map_or(0, |file| file.len());
        Ok(Info {
            path: self.directory.clone(),
            schema_version: u32::try_from(number("PRAGMA user_version")?).unwrap_or(u32::MAX),
            head: head.position,
            events: head.events,
            streams: number("SELECT coalesce(max(no), 0) FROM streams")?,
            types: number("SELECT count(*) FROM types")?,
            bytes: bytes(LOG) + bytes("log.db-wal"),
            first_recorded_at: recorded_at("SELECT recorded FROM events ORDER BY pos LIMIT 1")?,
            last_recorded_at: recorded_at("SELECT recorded FROM events ORDER BY pos DESC LIMIT 1")?,
        })
    }
}

/// What turns rows into events: the names behind the numbers, as far as they are known.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    types: Vec<EventType>,
    names: Names,
    actors: LastActor,
}

impl Rows {
    pub(crate) fn scan(
        &mut self,
        connection: &Connection,
        after: Position,
        head: Position,
        filter: &Filter,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let limit = limit.max(1) as u64;
        let (wanted, stretch) = match filter {
            Filter::All => (String::new(), limit),
            Filter::Types(types) => (self.type_numbers(connection, types)?, STRETCH.max(limit)),
        };
        let end = after.0.saturating_add(stretch).min(head.0);
        let mut page = Page { events: Vec::new(), scanned_to: Position(end.max(after.0)) };
        if end <= after.0 {
            return Ok(page);
        }
        let sql = format!("SELECT {COLUMNS} FROM events WHERE pos > ? AND pos <= ?{wanted} ORDER BY pos LIMIT ?");
        let mut statement = connection.prepare_cached(&sql).map_err(store_error)?;
        let mut rows = statement.query(params![signed(after.0), signed(end), signed(limit)]).map_err(store_error)?;
        let mut bytes = 0;
        while let Some(row) = rows.next().map_err(store_error)? {
            let fields = Fields::read(row)?;
            bytes += fields.size();
            let event = self.event(connection, &fields)?;
            let position = event.position;
            page.events.push(event);
            if page.events.len() as u64 == limit || bytes > PAGE_BYTES {
                page.scanned_to = position;
                break;
            }
        }
        Ok(page)
    }

    pub(crate) fn stream(
        &mut self,
        connection: &Connection,
        stream: &StreamId,
        from: Revision,
        limit: usize,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let mut find = connection.prepare_cached("SELECT no FROM streams WHERE name = ?").map_err(store_error)?;
        let Some(no) = find.query_row([stream.as_str()], |row| row.get::<_, i64>(0)).optional().map_err(store_error)? else {
            return Ok(Vec::new());
        };
        let sql = format!("SELECT {COLUMNS} FROM events WHERE stream = ? AND rev >= ? ORDER BY rev LIMIT ?");
        let mut statement = connection.prepare_cached(&sql).map_err(store_error)?;
        let mut rows = statement.query(params![no, signed(from.0), signed(limit as u64)]).map_err(store_error)?;
        let mut events = Vec::new();
        while let Some(row) = rows.next().map_err(store_error)? {
            let fields = Fields::read(row)?;
            let event_type = self.event_type(connection, &fields)?;
            events.push(fields.event(stream.clone(), event_type, &mut self.actors)?);
        }
        Ok(events)
    }

    /// The event that a row is.
    pub(crate) fn event(&mut self, connection: &Connection, fields: &Fields<'_>) -> Result<StoredEvent, StoreError> {
        let event_type = self.event_type(connection, fields)?;
        let stream = self.names.get(connection, fields.stream)?.ok_or_else(|| damaged(fields.position, "its stream has no name"))?;
        fields.event(stream, event_type, &mut self.actors)
    }

    fn event_type(&mut self, connection: &Connection, fields: &Fields<'_>) -> Result<EventType, StoreError> {
        let index = unsigned(fields.event_type.wrapping_sub(1));
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        if index >= self.types.len() {
            self.learn_types(connection)?;
        }
        self.types.get(index).cloned().ok_or_else(|| damaged(fields.position, "its type has no name"))
    }

    /// Types are numbered densely from 1 and never change.
    fn learn_types(&mut self, connection: &Connection) -> Result<(), StoreError> {
        let mut statement = connection.prepare_cached("SELECT name FROM types WHERE no > ? ORDER BY no").map_err(store_error)?;
        let mut rows = statement.query([signed(self.types.len() as u64)]).map_err(store_error)?;
        while let Some(row) = rows.next().map_err(store_error)? {
            let name: String = row.get(0).map_err(store_error)?;
            self.types.push(EventType(name.into()));
        }
        Ok(())
    }

    /// The condition for these types. The head was read before, so that a type that is not there yet is in no event before it.
    fn type_numbers(&mut self, connection: &Connection, wanted: &[EventType]) -> Result<String, StoreError> {
        if !wanted.iter().all(|wanted| self.types.contains(wanted)) {
            self.learn_types(connection)?;
        }
        let numbers: Vec<String> =
            self.types.iter().zip(1_u64..).filter(|(known, _)| wanted.contains(known)).map(|(_, no)| no.to_string()).collect();
        Ok(format!(" AND type IN ({})", numbers.join(",")))
    }
}

/// Names of streams by number, in a table of fixed size: neighbours in the log have neighbouring numbers.
#[derive(Debug)]
struct Names(Vec<Option<(i64, StreamId)>>);

/// A power of two, so that a number's place in the table is its last bits.
const NAMES: usize = 8_192;
/// Streams are begun in the order in which a scan meets them: on a miss the next ones are fetched too.
const AHEAD: i64 = 64;

impl Default for Names {
    fn default() -> Names {
        Names(vec![None; NAMES])
    }
}

impl Names {
    fn get(&mut self, connection: &Connection, no: i64) -> Result<Option<StreamId>, StoreError> {
        if let Some((known, name)) = &self.0[place(no)]
            && *known == no
        {
            return Ok(Some(name.clone()));
        }
        let mut statement =
            connection.prepare_cached("SELECT no, name FROM streams WHERE no >= ? ORDER BY no LIMIT ?").map_err(store_error)?;
        let mut rows = statement.query([no, AHEAD]).map_err(store_error)?;
        let mut found = None;
        while let Some(row) = rows.next().map_err(store_error)? {
            let other: i64 = row.get(0).map_err(store_error)?;
            let name: Arc<str> = row.get(1).map_err(store_error)?;
            let name = StreamId::from(name);
            if other == no {
                found = Some(name.clone());
            }
            self.0[place(other)] = Some((other, name));
        }
        Ok(found)
    }
}

fn place(no: i64) -> usize {
    // The mask keeps it below the table's size.
    usize::try_from(unsigned(no) & (NAMES as u64 - 1)).unwrap_or_default()
}
