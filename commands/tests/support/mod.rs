//! What tests of commands run on: the memory engine behind a store that can be made to fail, a clock that is moved by hand, and ids that repeat.

#![allow(dead_code, reason = "each test takes what it needs")]

pub(crate) mod keys;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use commands::port::{Clock, DeviceError, DeviceGateway, IdSource, StartOrder, StopOrder};
use commands::{Commands, Envelope, Ledger};
use domain::ids::{CommandId, OperatorId};
use domain::log::{
    Actor, AppendError, Appended, EventStore, Expected, Filter, Head, NewEvent, Page, Position, Revision, StoreError, StoredEvent, StreamId,
};
use domain::testing::{at, id};
use domain::time::Timestamp;
use uuid::Uuid;

/// A clock that stands until it is moved.
pub(crate) struct HandClock(AtomicI64);

impl HandClock {
    pub(crate) fn at(text: &str) -> Arc<HandClock> {
        Arc::new(HandClock(AtomicI64::new(at(text).micros())))
    }

    pub(crate) fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst)).unwrap()
    }
}

/// Ids that count.
#[derive(Default)]
pub(crate) struct CountedIds(AtomicUsize);

impl IdSource for CountedIds {
    fn uuid(&self) -> Uuid {
        let count = self.0.fetch_add(1, Ordering::SeqCst) as u128;
        Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 | count)
    }
    fn secret(&self) -> [u8; 32] {
        [7; 32]
    }
}

/// What happens to one append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is carried out.
    None,
    /// It is not carried out.
    Before,
    /// It is carried out, and its answer is lost.
    LostAnswer,
    /// Its answer is lost, and it is carried out later: when it is [let go](BreakableStore::land).
    Late,
    /// It is told that another writer was faster, though there was none.
    Conflict,
}

/// The memory engine behind a wire that can break.
#[derive(Default)]
pub(crate) struct BreakableStore {
    pub(crate) inner: memory::MemoryStore,
    faults: Mutex<VecDeque<Fault>>,
    always: Mutex<Option<Fault>>,
    late: Mutex<Option<(StreamId, Expected, Vec<NewEvent>)>>,
    pub(crate) appends: AtomicUsize,
    pub(crate) reads: AtomicUsize,
}

impl BreakableStore {
    pub(crate) fn new() -> Arc<BreakableStore> {
        Arc::default()
    }

    /// What happens to the next appends, one after the other; then nothing happens to them.
    pub(crate) fn next(&self, faults: impl IntoIterator<Item = Fault>) {
        self.faults.lock().unwrap().extend(faults);
    }

    pub(crate) fn always(&self, fault: Fault) {
        *self.always.lock().unwrap() = Some(fault);
    }

    /// The append that was late arrives.
    pub(crate) async fn land(&self) {
        let (stream, expected, events) = self.late.lock().unwrap().take().unwrap();
        self.inner.append(&stream, expected, events).await.unwrap();
    }

    pub(crate) async fn stream(&self, stream: &StreamId) -> Vec<StoredEvent> {
        self.inner.read_stream(stream, Revision(0), 10_000).await.unwrap()
    }

    pub(crate) async fn types(&self, stream: &StreamId) -> Vec<String> {
        self.stream(stream).await.iter().map(|event| event.event_type.to_string()).collect()
    }

    pub(crate) async fn log(&self) -> Vec<StoredEvent> {
        self.inner.read_all(Position(0), &Filter::All, 100_000).await.unwrap().events
    }
}

pub(crate) fn broken() -> StoreError {
    StoreError::Unavailable { reason: "the wire broke".to_owned() }
}

#[async_trait]
impl EventStore for BreakableStore {
    async fn append(&self, stream: &StreamId, expected: Expected, events: Vec<NewEvent>) -> Result<Appended, AppendError> {
        self.appends.fetch_add(1, Ordering::SeqCst);
        let fault = self.always.lock().unwrap().or_else(|| self.faults.lock().unwrap().pop_front()).unwrap_or(Fault::None);
        match fault {
            Fault::None => self.inner.append(stream, expected, events).await,
            Fault::Before => Err(broken().into()),
            Fault::LostAnswer => {
                self.inner.append(stream, expected, events).await?;
                Err(broken().into())
            }
            Fault::Late => {
                *self.late.lock().unwrap() = Some((stream.clone(), expected, events));
                Err(broken().into())
            }
            Fault::Conflict => Err(AppendError::Conflict { stream: stream.clone(), expected, actual: None }),
        }
    }
    async fn read_stream(&self, stream: &StreamId, from: Revision, limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.inner.read_stream(stream, from, limit).await
    }
    async fn read_all(&self, after: Position, filter: &Filter, limit: usize) -> Result<Page, StoreError> {
        self.inner.read_all(after, filter, limit).await
    }
    async fn head(&self) -> Result<Head, StoreError> {
        self.inner.head().await
    }
    async fn wait_past(&self, position: Position) -> Result<(), StoreError> {
        self.inner.wait_past(position).await
    }
}

/// A ledger with a cache of its own, as a process of its own has.
pub(crate) fn ledger(store: &Arc<BreakableStore>) -> Ledger {
    ledger_with_cache(store, 1_000)
}

pub(crate) fn ledger_with_cache(store: &Arc<BreakableStore>, hot_streams_max: usize) -> Ledger {
    Ledger::new(Arc::clone(store) as _, HandClock::at("2026-03-01T08:00:00Z"), Arc::<CountedIds>::default(), hot_streams_max)
}

/// The surroundings of the command with this number.
pub(crate) fn command(number: u128) -> Envelope {
    Envelope {
        command_id: id::<CommandId>(number),
        causation_id: None,
        correlation_id: Uuid::from_u128(number),
        actor: Actor::system("test"),
        operator_id: id::<OperatorId>(1),
        occurred_at: at("2026-03-01T08:00:00Z"),
    }
}

/// All commands, over this store and these keys; no channel is configured and no device is connected.
pub(crate) fn commands(store: &Arc<BreakableStore>, keys: &Arc<keys::Keys>) -> Commands {
    Commands { ledger: Arc::new(ledger(store)), channels: vec![], devices: Arc::new(NoDevices), subjects: Arc::clone(keys) as _ }
}

struct NoDevices;

#[async_trait]
impl DeviceGateway for NoDevices {
    async fn start(&self, _: StartOrder) -> Result<(), DeviceError> {
        Err(DeviceError::Unreachable)
    }
    async fn stop(&self, _: StopOrder) -> Result<(), DeviceError> {
        Err(DeviceError::Unreachable)
    }
}
