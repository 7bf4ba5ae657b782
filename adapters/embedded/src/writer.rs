//! The one thread that writes. It takes all that is queued, commits it in one transaction, and answers after the commit: many
//! writers share one wait for the disk, and nobody hears "appended" before it is so.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::thread::JoinHandle;

use domain::ids::EventId;
use domain::log::{
    AppendError, Appended, EventType, Expected, Hash, NewEvent, Position, Revision, StoreError, StoredEvent, StreamId, judge_repeat,
};
use domain::time::Timestamp;
use rusqlite::{CachedStatement, Connection, OptionalExtension as _, params};
use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

use crate::database::{signed, unsigned};
use crate::error::{damaged, store_error};
use crate::reader::Rows;
use crate::recent::{Commit, Recent};
use crate::row::write_meta;
use crate::tails::{RECENT, Tail, Tails};

/// Commands in one commit: more would only make the first of them wait.
pub(crate) const COMMANDS_MAX: usize = 4_096;
/// Bytes in one commit, about.
const BYTES_MAX: usize = 8 << 20;
/// Commands that wait for the writer; beyond that, whoever appends waits to be queued.
const QUEUE_MAX: usize = 8_192;

/// One append, and where its answer goes.
pub(crate) struct Append {
    pub(crate) stream: StreamId,
    pub(crate) expected: Expected,
    pub(crate) events: Vec<NewEvent>,
    /// What they were hashed to elsewhere, for events that keep their times.
    pub(crate) recorded: Option<Vec<Hash>>,
    pub(crate) answer: oneshot::Sender<Result<Appended, AppendError>>,
}

/// The way to the writing thread.
#[derive(Debug)]
pub(crate) struct Writer {
    queue: Option<mpsc::Sender<Append>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread. After each commit, what it wrote is in `recent`, and then `head` is bumped.
    pub(crate) fn start(connection: Connection, head: watch::Sender<u64>, recent: Arc<Recent>) -> Result<Writer, StoreError> {
        let (queue, requests) = mpsc::channel(QUEUE_MAX);
        let mut log = Log::load(&connection)?;
        head.send_replace(log.end.position);
        let (answers, answered) = std::sync::mpsc::channel::<(Vec<Answer>, Vec<Commit>)>();
        // Waking hundreds of callers takes a while, in which the next commit can be on its way to the disk; so does freeing what nobody needs any more.
        let answering = move || {
            for (answers, _evicted) in answered {
                for (answer, result) in answers {
                    // A caller that no longer listens will ask again, and hear that it is a repeat.
                    let _ = answer.send(result);
                }
            }
        };
        let work = move || {
            let mut requests: mpsc::Receiver<Append> = requests;
            let (mut arrived, mut waiting, mut batch) = (Vec::new(), VecDeque::new(), Vec::new());
            while !waiting.is_empty() || requests.blocking_recv_many(&mut arrived, COMMANDS_MAX) > 0 {
                waiting.extend(arrived.drain(..));
                let mut bytes = 0;
                while let Some(next) = waiting.pop_front_if(|_| bytes < BYTES_MAX) {
                    bytes += size(&next);
                    batch.push(next);
                }
                // The other thread is there as long as this one has something to hand to it.
                let _ = answers.send(commit(&connection, &mut log, &mut batch, &head, &recent));
            }
        };
        let thread = |name: &str, work: Box<dyn FnOnce() + Send>| {
            let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(work);
            spawned.map_err(|error| StoreError::Unavailable { reason: format!("no thread to write with: {error}") })
        };
        thread("ledger-answers", Box::new(answering))?;
        Ok(Writer { queue: Some(queue), thread: Some(thread("ledger-writer", Box::new(work))?) })
    }

    /// Appends, durably when it answers.
    pub(crate) async fn append(&self, stream: &StreamId, expected: Expected, events: Vec<NewEvent>) -> Result<Appended, AppendError> {
        let gone = || StoreError::Unavailable { reason: "the writer has stopped".to_owned() };
        let (answer, answered) = oneshot::channel();
        let queue = self.queue.as_ref().ok_or_else(gone)?;
        queue.send(Append { stream: stream.clone(), expected, events, recorded: None, answer }).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

impl Writer {
    /// Appends what another log has recorded: its times and hashes stay.
    pub(crate) async fn append_as_recorded(
        &self,
        stream: &StreamId,
        expected: Expected,
        events: Vec<StoredEvent>,
    ) -> Result<Appended, AppendError> {
        let gone = || StoreError::Unavailable { reason: "the writer has stopped".to_owned() };
        let (answer, answered) = oneshot::channel();
        let queue = self.queue.as_ref().ok_or_else(gone)?;
        let recorded = Some(events.iter().map(|event| event.hash).collect());
        let new = |event: StoredEvent| {
            let StoredEvent { event_type, version, metadata, payload, .. } = event;
            NewEvent { event_type, version, metadata, payload }
        };
        let events = events.into_iter().map(new).collect();
        queue.send(Append { stream: stream.clone(), expected, events, recorded, answer }).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // What is queued is still written, and the file is closed before the lock is given back.
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn size(append: &Append) -> usize {
    append.events.iter().map(NewEvent::size).sum()
}

type Answer = (oneshot::Sender<Result<Appended, AppendError>>, Result<Appended, AppendError>);

/// Commits a batch. The answers may be given only now; what had to make room for its events comes with them.
fn commit(
    connection: &Connection,
    log: &mut Log,
    batch: &mut Vec<Append>,
    head: &watch::Sender<u64>,
    recent: &Recent,
) -> (Vec<Answer>, Vec<Commit>) {
    let mut answers = Vec::with_capacity(batch.len());
    log.end.written.reserve(batch.len());
    match transaction(connection, log, batch, &mut answers) {
        Ok(()) => {
            let evicted = recent.push(std::mem::take(&mut log.end.written));
            head.send_replace(log.end.position);
            (answers, evicted)
        }
        Err(error) => {
            tracing::error!(%error, commands = answers.len() + batch.len(), "nothing of this commit was written");
            log.forget(connection);
            answers.extend(batch.drain(..).map(|append| (append.answer, Err(error.clone().into()))));
            for (_, answer) in &mut answers {
                *answer = Err(error.clone().into());
            }
            (answers, Vec::new())
        }
    }
}

fn transaction(connection: &Connection, log: &mut Log, batch: &mut Vec<Append>, answers: &mut Vec<Answer>) -> Result<(), StoreError> {
    if log.is_stale {
        *log = Log::load(connection)?;
    }
    let run = |sql: &str| connection.prepare_cached(sql).and_then(|mut statement| statement.execute([])).map_err(store_error);
    run("BEGIN IMMEDIATE")?;
    let mut statements = Statements::prepare(connection)?;
    for Append { stream, expected, events, recorded, answer } in batch.drain(..) {
        match log.append(&mut statements, stream, expected, events, recorded.as_deref()) {
            Ok(result) => answers.push((answer, result)),
            Err(error) => {
                // The others of this batch hear the same: all or none of it is committed.
                answers.push((answer, Err(error.clone().into())));
                return Err(error);
            }
        }
    }
    drop(statements);
    run("COMMIT").map(drop)
}

struct Statements<'c> {
    connection: &'c Connection,
    insert: CachedStatement<'c>,
    begin: CachedStatement<'c>,
    find: CachedStatement<'c>,
}

impl<'c> Statements<'c> {
    fn prepare(connection: &'c Connection) -> Result<Statements<'c>, StoreError> {
        let prepare = |sql| connection.prepare_cached(sql).map_err(store_error);
        Ok(Statements {
            connection,
            insert: prepare(
                "INSERT INTO events (pos, stream, rev, id, type, version, occurred, recorded, meta, data) VALUES (?,?,?,?,?,?,?,?,?,?)",
            )?,
            begin: prepare("INSERT INTO streams (no, name) VALUES (?, ?)")?,
            find: prepare("SELECT no FROM streams WHERE name = ?")?,
        })
    }
}

/// What the writer knows of the log.
struct Log {
    end: End,
    tails: Tails,
    rows: Rows,
    /// A commit failed: what is noted here may not be in the file.
    is_stale: bool,
}

impl Log {
    fn load(connection: &Connection) -> Result<Log, StoreError> {
        Ok(Log { end: End::load(connection)?, tails: Tails::default(), rows: Rows::default(), is_stale: false })
    }

    /// Undoes a transaction that did not commit.
    fn forget(&mut self, connection: &Connection) {
        if !connection.is_autocommit()
            && let Err(error) = connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "cannot roll back");
        }
        self.end.written.clear();
        self.is_stale = true;
    }

    /// One append inside the transaction. An outer error means that the transaction cannot go on.
    fn append(
        &mut self,
        statements: &mut Statements<'_>,
        stream: StreamId,
        expected: Expected,
        events: Vec<NewEvent>,
        recorded: Option<&[Hash]>,
    ) -> Result<Result<Appended, AppendError>, StoreError> {
        let Log { end, tails, rows, .. } = self;
        let connection = statements.connection;
        let known = tails.get_or_find(&stream, || find_tail(statements, &stream))?;
        let actual = known.as_ref().and_then(|tail| tail.revision());
        if expected.next() != actual.map_or(Revision(0), Revision::next) {
            let there = rows.stream(connection, &stream, expected.next(), events.len())?;
            return Ok(judge_repeat(&stream, expected, actual, &events, &there));
        }
        let (hash, next) = known.as_ref().map_or((Hash::START, 0), |tail| (tail.hash, tail.next));
        if let Some(hashes) = recorded
            && !continues(hash, Revision(next), &stream, &events, hashes)
        {
            let reason = format!("{stream} has another chain than what was recorded elsewhere");
            return Ok(Err(StoreError::Damaged { position: Position(end.position + 1), reason }.into()));
        }
        let tail = match known {
            Some(tail) => {
                if let Some(event_id) = already_there(connection, tail, &events)? {
                    return Ok(Err(AppendError::IdReused { stream, event_id }));
                }
                tail
            }
            None => tails.put(stream.clone(), end.begin(statements, &stream)?),
        };
        end.write(statements, &stream, tail, events, recorded.is_some()).map(Ok)
    }
}

/// The log's end: what the next event gets.
struct End {
    position: u64,
    recorded_at: Option<Timestamp>,
    streams: i64,
    types: HashMap<EventType, i64>,
    meta: Vec<u8>,
    /// What the transaction under way has written.
    written: Vec<StoredEvent>,
}

impl End {
    fn load(connection: &Connection) -> Result<End, StoreError> {
        let last: Option<(i64, i64)> = connection
            .query_row("SELECT pos, recorded FROM events ORDER BY pos DESC LIMIT 1", [], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
            .map_err(store_error)?;
        let position = last.map_or(0, |(position, _)| unsigned(position));
        let recorded_at = match last {
            Some((_, micros)) => Some(Timestamp::from_micros(micros).map_err(|error| damaged(position, error.to_string()))?),
            None => None,
        };
        let streams = connection.query_row("SELECT coalesce(max(no), 0) FROM streams", [], |row| row.get(0)).map_err(store_error)?;
        let mut types = HashMap::new();
        let mut statement = connection.prepare("SELECT name, no FROM types").map_err(store_error)?;
        let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?))).map_err(store_error)?;
        for row in rows {
            let (name, no) = row.map_err(store_error)?;
            types.insert(EventType(name.into()), no);
        }
        Ok(End { position, recorded_at, streams, types, meta: Vec::new(), written: Vec::new() })
    }

    fn write(
        &mut self,
        statements: &mut Statements<'_>,
        stream: &StreamId,
        tail: &mut Tail,
        events: Vec<NewEvent>,
        is_recorded: bool,
    ) -> Result<Appended, StoreError> {
        let first_position = Position(self.position + 1);
        for mut new in events {
            let latest = self.recorded_at.map_or(new.metadata.recorded_at, |last| last.max(new.metadata.recorded_at));
            self.recorded_at = Some(latest);
            // What was recorded elsewhere keeps its time: the clocks of several writers need not have agreed.
            let recorded_at = if is_recorded { new.metadata.recorded_at } else { latest };
            new.metadata.recorded_at = recorded_at;
            self.position += 1;
            let event_type = self.type_no(statements.connection, &new.event_type)?;
            let stored = StoredEvent::link(new, Position(self.position), stream.clone(), Revision(tail.next), tail.hash);
            write_meta(&stored, &mut self.meta);
            let values = params![
                signed(self.position),
                tail.no,
                signed(tail.next),
                stored.metadata.event_id.0.as_bytes().as_slice(),
                event_type,
                stored.version,
                stored.metadata.occurred_at.micros(),
                recorded_at.micros(),
                self.meta,
                stored.payload
            ];
            statements.insert.execute(values).map_err(store_error)?;
            tail.push(stored.metadata.event_id, stored.hash);
            self.written.push(stored);
        }
        let revision = tail.revision().unwrap_or_default();
        Ok(Appended { revision, first_position, position: Position(self.position), repeated: false })
    }

    fn begin(&mut self, statements: &mut Statements<'_>, stream: &StreamId) -> Result<Tail, StoreError> {
        self.streams += 1;
        statements.begin.execute(params![self.streams, stream.as_str()]).map_err(store_error)?;
        Ok(Tail::new(self.streams, 0, Hash::START, []))
    }

    fn type_no(&mut self, connection: &Connection, event_type: &EventType) -> Result<i64, StoreError> {
        if let Some(no) = self.types.get(event_type) {
            return Ok(*no);
        }
        let no = signed(self.types.len() as u64 + 1);
        connection.execute("INSERT INTO types (no, name) VALUES (?, ?)", params![no, event_type.as_str()]).map_err(store_error)?;
        self.types.insert(event_type.clone(), no);
        Ok(no)
    }
}

/// Whether events become exactly what they were elsewhere when they are appended to this stream.
fn continues(mut hash: Hash, mut revision: Revision, stream: &StreamId, events: &[NewEvent], hashes: &[Hash]) -> bool {
    events.len() == hashes.len()
        && events.iter().zip(hashes).all(|(new, expected)| {
            hash = StoredEvent::link(new.clone(), Position(0), stream.clone(), revision, hash).hash;
            revision = revision.next();
            hash == *expected
        })
}

/// The end of a stream, from the file.
fn find_tail(statements: &mut Statements<'_>, stream: &StreamId) -> Result<Option<Tail>, StoreError> {
    let no = statements.find.query_row([stream.as_str()], |row| row.get::<_, i64>(0)).optional().map_err(store_error)?;
    let Some(no) = no else { return Ok(None) };
    let last = "SELECT rev, substr(meta, 35, 32), id FROM events WHERE stream = ? ORDER BY rev DESC LIMIT ?";
    let mut last = statements.connection.prepare_cached(last).map_err(store_error)?;
    let mut rows = last.query(params![no, signed(RECENT as u64)]).map_err(store_error)?;
    let (mut end, mut ids) = (None, Vec::new());
    while let Some(row) = rows.next().map_err(store_error)? {
        ids.push(EventId(Uuid::from_bytes(row.get(2).map_err(store_error)?)));
        if end.is_none() {
            end = Some((unsigned(row.get(0).map_err(store_error)?) + 1, Hash(row.get(1).map_err(store_error)?)));
        }
    }
    let (next, hash) = end.unwrap_or((0, Hash::START));
    Ok(Some(Tail::new(no, next, hash, ids)))
}

/// The first of these events whose id the stream has already.
fn already_there(connection: &Connection, tail: &Tail, events: &[NewEvent]) -> Result<Option<EventId>, StoreError> {
    for new in tail.perhaps_there(events) {
        let id = new.metadata.event_id;
        let mut find = connection.prepare_cached("SELECT 1 FROM events WHERE stream = ? AND id = ?").map_err(store_error)?;
        if find.exists(params![tail.no, id.0.as_bytes().as_slice()]).map_err(store_error)? {
            return Ok(Some(id));
        }
    }
    Ok(None)
}
