//! What the channel reports reaches the ledger: once in effect, also after the process has died in between.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use commands::port::{Clock, IdSource, PayOrder, PaymentChannel as _, SubjectKeyError, SubjectKeys, payment_no};
use commands::{Caller, Commands, Ledger};
use domain::ids::{CommandId, PaymentId, UserId};
use domain::log::{
    Actor, AppendError, Appended, EventStore, Expected, Filter, Head, NewEvent, Page, Position, Revision, StoreError, StoredEvent, StreamId,
};
use domain::payment::{Channel, Payment, PaymentCommand, PaymentStatus, Purpose};
use domain::sealed::LookupHash;
use domain::testing::{at, id};
use domain::time::Timestamp;
use sandbox::{Behaviour, DeviceMood, SandboxChannel, SimulatedGateway, deliver};
use uuid::Uuid;

struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        at("2026-03-01T12:00:00Z")
    }
}

impl IdSource for Noon {
    fn uuid(&self) -> Uuid {
        Uuid::nil()
    }
    fn secret(&self) -> [u8; 32] {
        [0; 32]
    }
}

#[async_trait]
impl SubjectKeys for Noon {
    async fn get_or_create(&self, _: UserId, fresh: [u8; 32]) -> Result<[u8; 32], SubjectKeyError> {
        Ok(fresh)
    }
    async fn get(&self, _: UserId) -> Result<Option<[u8; 32]>, SubjectKeyError> {
        Ok(None)
    }
    async fn destroy(&self, _: UserId) -> Result<(), SubjectKeyError> {
        Ok(())
    }
    async fn claim(&self, _: &LookupHash, _: UserId) -> Result<(), SubjectKeyError> {
        Ok(())
    }
    async fn find(&self, _: &LookupHash) -> Result<Option<UserId>, SubjectKeyError> {
        Ok(None)
    }
    async fn lookup_key(&self, fresh: [u8; 32]) -> Result<[u8; 32], SubjectKeyError> {
        Ok(fresh)
    }
}

/// A memory engine that cannot be written to for a while.
#[derive(Default)]
struct Store {
    inner: memory::MemoryStore,
    failures_left: AtomicU32,
}

#[async_trait]
impl EventStore for Store {
    async fn append(&self, stream: &StreamId, expected: Expected, events: Vec<NewEvent>) -> Result<Appended, AppendError> {
        if self.failures_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            return Err(StoreError::Unavailable { reason: "the disk is full".to_owned() }.into());
        }
        self.inner.append(stream, expected, events).await
    }
    async fn read_stream(&self, stream: &StreamId, from: Revision, limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
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

fn payment() -> PaymentId {
    id(50)
}

async fn ledger_with_an_open_payment(store: &Arc<Store>) -> Arc<Commands> {
    let ledger = Arc::new(Ledger::new(Arc::clone(store) as _, Arc::new(Noon), Arc::new(Noon), 100));
    let caller = Caller { operator_id: id(1), actor: Actor::system("test"), at: Noon.now() };
    let initiate = PaymentCommand::Initiate {
        payment_id: payment(),
        user_id: id(6),
        channel: Channel::Sandbox,
        purpose: Purpose::TopUp,
        amount: "50".parse().unwrap(),
        payment_no: payment_no(payment()),
        expires_at: Noon.now().plus_seconds(900),
    };
    let envelope = caller.envelope(id::<CommandId>(9), payment().0);
    ledger.handle::<Payment>(&StreamId::payment(payment()), initiate, &envelope).await.unwrap();
    let devices = Arc::new(SimulatedGateway::new(DeviceMood::Silent).0);
    Arc::new(Commands { ledger, channels: vec![], devices, subjects: Arc::new(Noon) })
}

async fn order(channel: &SandboxChannel) {
    let order = PayOrder {
        payment_no: payment_no(payment()),
        amount: "50".parse().unwrap(),
        description: "charging".to_owned(),
        expires_at: Noon.now().plus_seconds(900),
        ordered_at: Noon.now(),
        is_made_up: false,
    };
    channel.prepare(order).await.unwrap();
}

async fn status(commands: &Commands) -> PaymentStatus {
    commands.ledger.load::<Payment>(&StreamId::payment(payment())).await.unwrap().state.status()
}

#[tokio::test(start_paused = true)]
async fn a_report_reaches_the_ledger() {
    let commands = ledger_with_an_open_payment(&Arc::default()).await;
    let (channel, reports) = SandboxChannel::in_memory(Behaviour::Prompt, true).unwrap();
    tokio::spawn(deliver(Arc::clone(&channel), reports, Arc::clone(&commands)));
    order(&channel).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(status(&commands).await, PaymentStatus::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn a_report_that_is_not_taken_comes_again() {
    let store = Arc::<Store>::default();
    let commands = ledger_with_an_open_payment(&store).await;
    let (channel, reports) = SandboxChannel::in_memory(Behaviour::Prompt, true).unwrap();
    tokio::spawn(deliver(Arc::clone(&channel), reports, Arc::clone(&commands)));
    store.failures_left.store(3, Ordering::SeqCst);
    order(&channel).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(status(&commands).await, PaymentStatus::Open);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(status(&commands).await, PaymentStatus::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn what_was_not_taken_before_the_end_comes_at_the_next_start_and_not_at_the_one_after() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sandbox.db");
    let store = Arc::<Store>::default();
    let commands = ledger_with_an_open_payment(&store).await;
    {
        let (channel, _reports) = SandboxChannel::open(&path, Behaviour::Prompt, true).unwrap();
        order(&channel).await;
    }
    assert_eq!(status(&commands).await, PaymentStatus::Open);
    for _ in 0..2 {
        let (channel, reports) = SandboxChannel::open(&path, Behaviour::Prompt, true).unwrap();
        let before = channel.untaken().unwrap().len();
        let task = tokio::spawn(deliver(Arc::clone(&channel), reports, Arc::clone(&commands)));
        tokio::time::sleep(Duration::from_secs(1)).await;
        task.abort();
        assert_eq!(status(&commands).await, PaymentStatus::Succeeded);
        assert!(channel.untaken().unwrap().is_empty(), "of {before} all have been taken");
        assert_eq!(channel.statement().unwrap().balance().to_string(), "50.00");
    }
    assert_eq!(store.inner.head().await.unwrap().events, 2);
}

#[tokio::test(start_paused = true)]
async fn a_report_that_nobody_waits_for_is_said_again_at_the_next_start() {
    // It belongs to another ledger: not ours to take, and not ours to forget.
    let commands = ledger_with_an_open_payment(&Arc::default()).await;
    let (channel, reports) = SandboxChannel::in_memory(Behaviour::Prompt, true).unwrap();
    tokio::spawn(deliver(Arc::clone(&channel), reports, commands));
    let foreign = PayOrder {
        payment_no: payment_no(id(51)),
        amount: "50".parse().unwrap(),
        description: "charging".to_owned(),
        expires_at: Noon.now(),
        ordered_at: Noon.now(),
        is_made_up: false,
    };
    channel.prepare(foreign).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(channel.untaken().unwrap().len(), 1);
}
