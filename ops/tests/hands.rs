//! A shadow has no hands: on a real PostgreSQL and a real NATS, whatever becomes of the view of notices, each notice goes out once, and none is lost.

mod database;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use database::Database;
use domain::connector::ConnectorEvent;
use domain::ids::{ConnectorId, OperatorId};
use domain::log::{Actor, EventStore, Expected, Metadata, NewEvent, Position, StreamId};
use domain::testing::{at, id};
use memory::MemoryStore;
use nats_feed::notices::NoticeStream;
use nats_feed::testing::{Servers, until};
use nats_feed::{FeedStream, StreamSettings};
use projections::fold::{Journal, Moment, Projection, ProjectionError, journal};
use projections::notices::{NoticeRow, Notices};
use projections::outbox::{Effects, Message, Outbox, Receiver, SendError, Sender};
use projections::port::ReadStore;
use projections::rebuild::port::{Job, Phase};
use projections::rebuild::{Finish, Options, Rebuilder};
use projections::runner::{Options as RunnerOptions, Runner};
use read_models::{ReadModels, Settings};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;

const PATIENCE: Duration = Duration::from_secs(60);

/// A log of faults, each of a connector of its own, and so a notice each.
#[derive(Clone, Default)]
struct Log {
    store: Arc<MemoryStore>,
    count: Arc<AtomicU64>,
}

impl Log {
    async fn faults(&self, more: u64) {
        for _ in 0..more {
            let number = u128::from(self.count.fetch_add(1, Ordering::SeqCst)) + 1;
            let connector_id: ConnectorId = id(number);
            let operator_id: OperatorId = id(1);
            let metadata = Metadata {
                event_id: id(1_000_000 + number),
                command_id: id(2_000_000 + number),
                causation_id: None,
                correlation_id: connector_id.0,
                actor: Actor::system("test"),
                operator_id,
                occurred_at: at("2026-03-01T08:00:00Z"),
                recorded_at: at("2026-03-01T08:00:00Z"),
            };
            let event = ConnectorEvent::Faulted { connector_id, station_id: id(7), code: "E1".to_owned() };
            let fault = NewEvent::encode(&event.into(), metadata);
            self.store.append(&StreamId::connector(connector_id), Expected::NoStream, vec![fault]).await.unwrap();
        }
    }

    async fn head(&self) -> Position {
        self.store.head().await.unwrap().position
    }

    fn run(&self, read_models: &Arc<ReadModels>, projection: Arc<dyn Projection>) -> Runner {
        let store: Arc<dyn ReadStore> = read_models.clone();
        Runner::start(self.store.clone(), &store, vec![projection], RunnerOptions::default())
    }
}

/// Ends its process in the middle, now and then: after a message has arrived, and before that is noted.
struct Dying {
    inner: NoticeStream,
    lives: u32,
}

#[async_trait]
impl Receiver for Dying {
    async fn received(&mut self) -> Result<Option<Position>, SendError> {
        self.inner.received().await
    }

    async fn send(&mut self, messages: &[Message]) -> Result<(), SendError> {
        self.lives = self.lives.saturating_sub(1);
        if self.lives > 0 {
            return self.inner.send(messages).await;
        }
        // Part of the batch, and then nothing more.
        self.inner.send(&messages[..messages.len().div_ceil(2)]).await?;
        panic!("killed between sending and noting");
    }
}

/// A process that sends, started again each time it is killed.
fn sending<E: Effects>(read_models: &Arc<ReadModels>, servers: &str, lives: u32) -> (watch::Sender<bool>, JoinHandle<u32>) {
    let (stop, stopped) = watch::channel(false);
    let (read_models, servers) = (read_models.clone(), servers.to_owned());
    let task = tokio::spawn(async move {
        let mut deaths = 0;
        while !*stopped.borrow() {
            let nats = nats_feed::Nats::lazily(&servers, "test", None).await.unwrap();
            let inner = NoticeStream::new(nats, StreamSettings::notices(1, None));
            let outbox: Arc<dyn Outbox> = read_models.clone();
            let sender = Sender::<E, _>::new(outbox, Dying { inner, lives });
            if tokio::spawn(sender.run(stopped.clone())).await.is_err() {
                deaths += 1;
            }
        }
        deaths
    });
    (stop, task)
}

/// The positions of all notices that have arrived, in the order of their arrival.
async fn arrived(servers: &Servers) -> Vec<u64> {
    let nats = servers.connect().await;
    let stream = FeedStream::find(&nats, &StreamSettings::notices(1, None)).await.unwrap().unwrap();
    let mut messages = stream.bodies().await.unwrap().into_iter();
    messages.by_ref().map(|body| body["position"].as_u64().unwrap()).collect()
}

fn rebuilder(log: &Log, read_models: &Arc<ReadModels>, tell: impl Fn(&Job) + Send + Sync + 'static) -> Rebuilder {
    let options = Options { cores: 2, stretch_events: 16, finish: Finish::Swap, ..Options::default() };
    Rebuilder::new(log.store.clone(), read_models.clone(), options, Arc::new(tell))
}

async fn rebuild(log: &Log, read_models: &Arc<ReadModels>, projection: Arc<dyn Projection>) {
    let rebuilt = rebuilder(log, read_models, |_| {}).rebuild(vec![projection], "a test").await.unwrap();
    assert!(rebuilt.into_iter().all(|job| job.unwrap().phase == Phase::Swapped));
}

/// Begins a rebuild, and kills it when it comes to a phase. Whether it came there.
async fn killed_at(log: &Log, read_models: &Arc<ReadModels>, phase: Phase) -> bool {
    let (seen, mut waits) = watch::channel(false);
    let rebuilding = rebuilder(log, read_models, move |job| {
        if job.phase == phase {
            seen.send_replace(true);
        }
    });
    let task = tokio::spawn(async move { rebuilding.rebuild(vec![journal::<Notices>()], "a test").await.map(|_| ()) });
    let came = waits.wait_for(|seen| *seen).await.is_ok();
    task.abort();
    let _ = task.await;
    came
}

/// Begins a rebuild, and kills it as soon as it has tables.
async fn killed_while_filling(log: &Log, read_models: &Arc<ReadModels>, database: &Database) {
    let rebuilding = rebuilder(log, read_models, |_| {});
    let task = tokio::spawn(async move { rebuilding.rebuild(vec![journal::<Notices>()], "a test").await.map(|_| ()) });
    let (client, connection) = tokio_postgres::connect(&database.url(), tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    until("there are tables", async || {
        !client.query("SELECT FROM build.registry WHERE name = 'notices' AND number > 1", &[]).await.unwrap().is_empty()
    })
    .await;
    task.abort();
    let _ = task.await;
    connection.abort();
}

async fn sent_to(database: &Database) -> u64 {
    let (client, connection) = tokio_postgres::connect(&database.url(), tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let row = client.query_opt("SELECT position FROM build.sent WHERE name = 'notices'", &[]).await.unwrap();
    connection.abort();
    row.map_or(0, |row| u64::try_from(row.get::<_, i64>(0)).unwrap())
}

async fn all_is_sent(database: &Database, log: &Log) {
    until("everything goes out", async || sent_to(database).await >= log.head().await.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_notice_goes_out_once_through_rebuilds_that_are_killed_swaps_rollbacks_and_the_loss_of_the_database() {
    let (Some(database), Some(mut servers)) = (Database::new(), Servers::start(1)) else { return };
    let log = Log::default();
    let read_models = Arc::new(ReadModels::new(&database.url(), Settings::default()).unwrap());
    // What is past is not announced.
    log.faults(40).await;
    let runner = log.run(&read_models, journal::<Notices>());
    runner.wait_for_head(PATIENCE).await.unwrap().unwrap();
    let senders: Vec<_> = [2, 3].map(|lives| sending::<Notices>(&read_models, &servers.urls(), lives)).into();
    until("a sender has begun", async || sent_to(&database).await == 40).await;

    let stop = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn({
        let (log, stop) = (log.clone(), stop.clone());
        async move {
            while !stop.load(Ordering::SeqCst) {
                log.faults(3).await;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    });
    killed_while_filling(&log, &read_models, &database).await;
    let phases = [Phase::Indexing, Phase::CatchingUp, Phase::Accounting, Phase::Comparing, Phase::Swapped];
    for (round, phase) in phases.into_iter().enumerate() {
        assert!(killed_at(&log, &read_models, phase).await, "{phase:?} was not come to");
        if round == 2 {
            servers.kill(0);
            servers.restart(0);
        }
        let before = sent_to(&database).await;
        until("it goes on", async || sent_to(&database).await > before).await;
    }
    rebuild(&log, &read_models, journal::<Notices>()).await;
    rebuilder(&log, &read_models, |_| {}).roll_back(journal::<Notices>()).await.unwrap();
    rebuild(&log, &read_models, journal::<Notices>()).await;
    stop.store(true, Ordering::SeqCst);
    writing.await.unwrap();
    all_is_sent(&database, &log).await;
    let head = log.head().await.0;
    assert_eq!(arrived(&servers).await, (41..=head).collect::<Vec<_>>(), "each once, none lost, in order");

    // The whole database is dropped: what has arrived says where to go on.
    runner.stop().await;
    read_models.drop_database().await.unwrap();
    log.faults(5).await;
    let runner = log.run(&read_models, journal::<Notices>());
    log.faults(5).await;
    until("everything goes out again", async || {
        tokio_postgres::connect(&database.url(), tokio_postgres::NoTls).await.is_ok()
            && arrived(&servers).await.len() as u64 == head - 40 + 10
    })
    .await;
    assert_eq!(arrived(&servers).await, (41..=head + 10).collect::<Vec<_>>());
    runner.stop().await;
    let mut deaths = 0;
    for (stop, task) in senders {
        stop.send_replace(true);
        deaths += task.await.unwrap();
    }
    assert!(deaths > 3, "senders were killed between sending and noting: {deaths}");
}

/// The fold as somebody corrects it: another text, and two notices more that should have been there all the time.
struct Corrected;

impl Journal for Corrected {
    type Row = NoticeRow;
    const VERSION: u32 = 2;
    const HANDLES: &'static [&'static str] = Notices::HANDLES;

    fn rows(moment: &Moment<'_>) -> Result<Vec<NoticeRow>, ProjectionError> {
        let rows = Notices::rows(moment)?;
        Ok(rows.into_iter().map(|row| NoticeRow { body: json!({"code": "corrected"}), ..row }).collect())
    }
}

impl Effects for Corrected {
    fn message(row: NoticeRow) -> Message {
        Notices::message(row)
    }
}

/// Counts what it gets.
#[derive(Clone, Default)]
struct Counting(Arc<Mutex<Vec<(u64, String)>>>);

#[async_trait]
impl Receiver for Counting {
    async fn received(&mut self) -> Result<Option<Position>, SendError> {
        // As a partner's HTTP interface: it cannot tell.
        Ok(None)
    }

    async fn send(&mut self, messages: &[Message]) -> Result<(), SendError> {
        let code = |message: &Message| message.body["about"]["code"].as_str().unwrap().to_owned();
        self.0.lock().unwrap().extend(messages.iter().map(|message| (message.position.0, code(message))));
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_corrected_fold_is_sent_from_the_swap_on_and_what_went_out_before_never_again() {
    let Some(database) = Database::new() else { return };
    let log = Log::default();
    let read_models = Arc::new(ReadModels::new(&database.url(), Settings::default()).unwrap());
    let (outbox, counting): (Arc<dyn Outbox>, _) = (read_models.clone(), Counting::default());
    log.faults(3).await;
    let runner = log.run(&read_models, journal::<Notices>());
    runner.wait_for_head(PATIENCE).await.unwrap().unwrap();
    let mut sender = Sender::<Notices, _>::new(outbox.clone(), counting.clone());
    let mut corrected = Sender::<Corrected, _>::new(outbox, counting.clone());
    // What is past is not announced.
    assert_eq!(sender.send().await.unwrap(), Some((Position(3), false)));
    log.faults(10).await;
    runner.wait_for_head(PATIENCE).await.unwrap().unwrap();
    assert_eq!(sender.send().await.unwrap(), Some((Position(13), false)));
    log.faults(5).await;
    runner.wait_for_head(PATIENCE).await.unwrap().unwrap();
    runner.stop().await;
    assert_eq!(corrected.send().await.unwrap(), None, "another version of the fold serves: that is not its to send");

    rebuild(&log, &read_models, journal::<Corrected>()).await;
    assert_eq!(counting.0.lock().unwrap().len(), 10, "a rebuild sends nothing, and a swap neither");
    assert_eq!(sender.send().await.unwrap(), None);
    let runner = log.run(&read_models, journal::<Corrected>());
    log.faults(5).await;
    runner.wait_for_head(PATIENCE).await.unwrap().unwrap();
    assert_eq!(corrected.send().await.unwrap(), Some((Position(23), false)));
    let expected = (4..=13).map(|position| (position, "E1".to_owned())).chain((14..=23).map(|position| (position, "corrected".to_owned())));
    assert_eq!(*counting.0.lock().unwrap(), expected.collect::<Vec<_>>());
    runner.stop().await;
}
