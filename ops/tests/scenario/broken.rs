//! An event store behind a wire that breaks, and devices that do as they please. Both from a seed.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use commands::port::{Clock, DeviceError, DeviceGateway, StartOrder, StopOrder};
use domain::ids::SessionId;
use domain::log::{
    AppendError, Appended, EventStore, Expected, Filter, Head, NewEvent, Page, Position, Revision, StoreError, StoredEvent, StreamId,
};
use domain::session::SessionRefs;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::world::HandClock;

/// How often something breaks, of a thousand.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rates {
    pub(crate) before: u32,
    pub(crate) lost_answer: u32,
    pub(crate) read: u32,
    /// Every call takes up to this long, so that tasks come between each other.
    pub(crate) delay_ms_max: u64,
    /// Clients, devices and managers share one ledger that does not read again what it has in memory, as the binary does on the embedded engine. A crash of the
    /// managers then leaves the ledger as it is, in the middle of an append.
    pub(crate) is_only_writer: bool,
    /// The engine works on threads of its own.
    pub(crate) has_threads: bool,
}

/// What happens to the next append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is not carried out.
    Before,
    /// It is carried out, and its answer is lost.
    LostAnswer,
}

/// A store whose calls fail before they are carried out, or after.
pub(crate) struct BrokenStore {
    inner: Arc<dyn EventStore>,
    random: Mutex<ChaCha8Rng>,
    rates: Rates,
    is_broken: AtomicBool,
    next: Mutex<Option<Fault>>,
    /// Nothing can be appended to streams of this category.
    blocked: Mutex<Option<&'static str>>,
    has_threads: bool,
}

impl BrokenStore {
    pub(crate) fn new(inner: Arc<dyn EventStore>, seed: u64, rates: Rates) -> Arc<BrokenStore> {
        let random = Mutex::new(ChaCha8Rng::seed_from_u64(seed));
        Arc::new(BrokenStore {
            inner,
            random,
            rates,
            is_broken: AtomicBool::new(false),
            next: Mutex::default(),
            blocked: Mutex::default(),
            has_threads: rates.has_threads,
        })
    }

    pub(crate) fn set_broken(&self, is_broken: bool) {
        self.is_broken.store(is_broken, Ordering::SeqCst);
    }

    pub(crate) fn is_only_writer(&self) -> bool {
        self.rates.is_only_writer
    }

    /// The next append fails so.
    pub(crate) fn fail_next(&self, fault: Fault) {
        *self.next.lock().unwrap() = Some(fault);
    }

    /// Nothing can be appended to the streams of a category until it is unblocked.
    pub(crate) fn block(&self, category: Option<&'static str>) {
        *self.blocked.lock().unwrap() = category;
    }

    /// Whether that append has not come.
    pub(crate) fn take_back(&self) -> bool {
        self.next.lock().unwrap().take().is_some()
    }

    fn happens(&self, per_mille: u32) -> bool {
        self.is_broken.load(Ordering::SeqCst) && self.random.lock().unwrap().random_range(0..1_000) < per_mille
    }

    /// The clock of the runtime leaps when nobody has anything to do, and an engine with threads of its own does not look busy to it. A blocking task does.
    async fn call<T: Send + 'static>(&self, call: impl FnOnce(Arc<dyn EventStore>) -> BoxFuture<'static, T> + Send + 'static) -> T {
        let inner = Arc::clone(&self.inner);
        if !self.has_threads {
            return call(inner).await;
        }
        let runtime = tokio::runtime::Handle::current();
        tokio::task::spawn_blocking(move || runtime.block_on(call(inner))).await.unwrap()
    }

    async fn delay(&self) {
        if self.rates.delay_ms_max > 0 {
            let delay = self.random.lock().unwrap().random_range(0..=self.rates.delay_ms_max);
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
    }
}

fn unavailable() -> StoreError {
    StoreError::Unavailable { reason: "broken on purpose".to_owned() }
}

#[async_trait]
impl EventStore for BrokenStore {
    async fn append(&self, stream: &StreamId, expected: Expected, events: Vec<NewEvent>) -> Result<Appended, AppendError> {
        self.delay().await;
        let next = self.next.lock().unwrap().take();
        let is_blocked = *self.blocked.lock().unwrap() == Some(stream.category());
        if is_blocked || next == Some(Fault::Before) || self.happens(self.rates.before) {
            return Err(unavailable().into());
        }
        let at = stream.clone();
        let appended = self.call(move |inner| async move { inner.append(&at, expected, events).await }.boxed()).await;
        self.delay().await;
        if next == Some(Fault::LostAnswer) || self.happens(self.rates.lost_answer) {
            return Err(unavailable().into());
        }
        appended
    }
    async fn read_stream(&self, stream: &StreamId, from: Revision, limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
        if self.happens(self.rates.read) {
            return Err(unavailable());
        }
        let stream = stream.clone();
        self.call(move |inner| async move { inner.read_stream(&stream, from, limit).await }.boxed()).await
    }
    async fn read_all(&self, after: Position, filter: &Filter, limit: usize) -> Result<Page, StoreError> {
        if self.happens(self.rates.read) {
            return Err(unavailable());
        }
        let filter = filter.clone();
        self.call(move |inner| async move { inner.read_all(after, &filter, limit).await }.boxed()).await
    }
    async fn head(&self) -> Result<Head, StoreError> {
        if self.happens(self.rates.read) {
            return Err(unavailable());
        }
        self.call(|inner| async move { inner.head().await }.boxed()).await
    }
    async fn wait_past(&self, position: Position) -> Result<(), StoreError> {
        self.inner.wait_past(position).await
    }
}

/// What a device does when it is told to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// It starts.
    Willing,
    /// It says no.
    Refusing,
    /// It cannot be reached.
    Unreachable,
    /// As it pleases, from the seed.
    Moody,
}

/// The devices of the world: they remember what they have been told, and the test plays them.
pub(crate) struct Devices {
    clock: Arc<HandClock>,
    mood: Mutex<Mood>,
    random: Mutex<ChaCha8Rng>,
    known: Mutex<HashSet<uuid::Uuid>>,
    begun: Mutex<Vec<SessionRefs>>,
    stopped: Mutex<HashSet<SessionId>>,
    pub(crate) orders: Mutex<Vec<StartOrder>>,
    /// Orders that came after their time: there must be none.
    pub(crate) late: Mutex<Vec<StartOrder>>,
}

impl Devices {
    pub(crate) fn new(clock: Arc<HandClock>, seed: u64) -> Arc<Devices> {
        Arc::new(Devices {
            clock,
            mood: Mutex::new(Mood::Willing),
            random: Mutex::new(ChaCha8Rng::seed_from_u64(seed)),
            known: Mutex::default(),
            begun: Mutex::default(),
            stopped: Mutex::default(),
            orders: Mutex::default(),
            late: Mutex::default(),
        })
    }

    pub(crate) fn set_mood(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// The sessions that devices have begun since this was asked last.
    pub(crate) fn begun(&self) -> Vec<SessionRefs> {
        std::mem::take(&mut self.begun.lock().unwrap())
    }

    pub(crate) fn is_stopped(&self, session: SessionId) -> bool {
        self.stopped.lock().unwrap().contains(&session)
    }

    fn answer(&self) -> Result<(), DeviceError> {
        let mood = *self.mood.lock().unwrap();
        match (mood, if mood == Mood::Moody { self.random.lock().unwrap().random_range(0..20) } else { 9 }) {
            (Mood::Refusing, _) | (_, 0) => Err(DeviceError::Refused { reason: "no".to_owned() }),
            (Mood::Unreachable, _) | (_, 1) => Err(DeviceError::Unreachable),
            (Mood::Willing | Mood::Moody, _) => Ok(()),
        }
    }
}

#[async_trait]
impl DeviceGateway for Devices {
    async fn start(&self, order: StartOrder) -> Result<(), DeviceError> {
        if self.clock.now() > order.expires_at {
            self.late.lock().unwrap().push(order.clone());
        }
        self.orders.lock().unwrap().push(order.clone());
        self.answer()?;
        if self.known.lock().unwrap().insert(order.command_id.0) {
            self.begun.lock().unwrap().push(order.refs);
        }
        Ok(())
    }
    async fn stop(&self, order: StopOrder) -> Result<(), DeviceError> {
        self.answer()?;
        self.stopped.lock().unwrap().insert(order.refs.session_id);
        Ok(())
    }
}
