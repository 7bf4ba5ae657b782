//! A database of its own for each test, on the server that CHARGELEDGER_TEST_DATABASE_URL names; and a log in memory to fold.

#![allow(dead_code, unreachable_pub)]

pub mod history;
pub mod tampered;
pub mod way;

use std::collections::HashMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::event::Event;
use domain::ids::{CommandId, EventId, OperatorId};
use domain::log::{Actor, EventStore, Expected, Filter, Metadata, NewEvent, Position, Revision, StreamId};
use domain::time::Timestamp;
use futures::FutureExt as _;
use memory::MemoryStore;
use projections::context::Context;
use projections::fold::{Moment, Projection};
use projections::port::{Opened, ReadStore};
use projections::quarantine::{Fate, Quarantined, Sorting};
use projections::runner::{Options, Runner};
use projections::value::Value;
use read_models::{ReadModels, Settings};
use tokio_postgres::NoTls;
use uuid::Uuid;

/// How long a test waits for a projection.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Runs a test on a database of its own, and drops it. Without a server: loudly skipped on a laptop, a failure in CI.
pub fn on_postgres<F: Future<Output = ()>>(test: impl FnOnce(Database) -> F) {
    let Ok(server) = std::env::var("CHARGELEDGER_TEST_DATABASE_URL") else {
        assert!(std::env::var("CI").is_err(), "CHARGELEDGER_TEST_DATABASE_URL is not set");
        eprintln!("SKIPPED: CHARGELEDGER_TEST_DATABASE_URL is not set, so nothing was tested on PostgreSQL");
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let database = Database { server, name: format!("chargeledger_test_{}", Uuid::now_v7().simple()) };
        let outcome = AssertUnwindSafe(test(database.clone())).catch_unwind().await;
        database.drop_it().await;
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    });
}

/// A test's own database.
#[derive(Clone)]
pub struct Database {
    server: String,
    name: String,
}

impl Database {
    /// The database's URL: the server's with another name.
    pub fn url(&self) -> String {
        let (server, options) = self.server.split_once('?').map_or((self.server.as_str(), ""), |(server, options)| (server, options));
        let after_host = server.find("://").map_or(0, |at| at + 3);
        let server = server[after_host..].find('/').map_or(server, |at| &server[..after_host + at]);
        let options = if options.is_empty() { String::new() } else { format!("?{options}") };
        format!("{server}/{}{options}", self.name)
    }

    /// The adapter under test. It makes the database by itself.
    pub fn read_models(&self) -> Arc<ReadModels> {
        Arc::new(ReadModels::new(&self.url(), Settings::default()).unwrap())
    }

    /// Runs SQL in the database, as somebody with psql would.
    pub async fn sql(&self, sql: &str) {
        let (client, connection) = tokio_postgres::connect(&self.url(), NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        client.batch_execute(sql).await.unwrap();
        drop(client);
        connection.await.unwrap().unwrap();
    }

    /// The one number that a query answers.
    pub async fn number(&self, sql: &str) -> i64 {
        let (client, connection) = tokio_postgres::connect(&self.url(), NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        let number = client.query_one(sql, &[]).await.unwrap().get(0);
        drop(client);
        connection.await.unwrap().unwrap();
        number
    }

    /// Cuts every connection to it.
    pub async fn cut_connections(&self) {
        let (client, connection) = tokio_postgres::connect(&self.server, NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1";
        client.execute(cut, &[&self.name]).await.unwrap();
        drop(client);
        connection.await.unwrap().unwrap();
    }

    /// Everything is gone, connections too.
    pub async fn drop_it(&self) {
        let (client, connection) = tokio_postgres::connect(&self.server, NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        client.batch_execute(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name)).await.unwrap();
        drop(client);
        connection.await.unwrap().unwrap();
    }
}

/// A log in memory, written by hand.
#[derive(Clone, Default)]
pub struct Log {
    pub store: Arc<MemoryStore>,
    tails: Arc<Mutex<HashMap<StreamId, Revision>>>,
}

fn metadata(operator_id: OperatorId, occurred_at: Timestamp) -> Metadata {
    let command_id = CommandId(Uuid::now_v7());
    Metadata {
        event_id: EventId::of(command_id, 0),
        command_id,
        causation_id: None,
        correlation_id: command_id.0,
        actor: Actor::system("test"),
        operator_id,
        occurred_at,
        recorded_at: occurred_at,
    }
}

/// The operator whose data most tests write.
pub fn us() -> OperatorId {
    OperatorId(Uuid::from_u128(1))
}

impl Log {
    /// Appends one event to its stream, as if it had just happened.
    pub async fn append(&self, stream: StreamId, event: impl Into<Event>, occurred_at: Timestamp) -> Position {
        self.append_for(us(), stream, event, occurred_at).await
    }

    /// Appends one event of an operator.
    pub async fn append_for(&self, operator_id: OperatorId, stream: StreamId, event: impl Into<Event>, occurred_at: Timestamp) -> Position {
        self.append_raw(stream, NewEvent::encode(&event.into(), metadata(operator_id, occurred_at))).await
    }

    /// An event that says nothing, to be made wrong.
    pub fn raw(&self, name: &str, version: u16, occurred_at: Timestamp) -> NewEvent {
        NewEvent { event_type: name.into(), version, metadata: metadata(us(), occurred_at), payload: vec![0x80] }
    }

    /// Appends whatever it is.
    pub async fn append_raw(&self, stream: StreamId, new: NewEvent) -> Position {
        let expected = self.tails.lock().unwrap().get(&stream).map_or(Expected::NoStream, |revision| Expected::Exact(*revision));
        let appended = self.store.append(&stream, expected, vec![new]).await.unwrap();
        self.tails.lock().unwrap().insert(stream, appended.revision);
        appended.position
    }

    /// The state of an aggregate.
    pub async fn state<D: domain::Decider>(&self, stream: &StreamId) -> D {
        let there = self.store.read_stream(stream, Revision(0), usize::MAX).await.unwrap();
        there.into_iter().fold(D::default(), |state, stored| state.apply(&stored.decode().unwrap()))
    }

    /// The rows of a projection, folded in memory from the whole log.
    pub async fn folded(&self, projection: &dyn Projection) -> Vec<Vec<Value>> {
        let page = self.store.read_all(Position(0), &Filter::All, usize::MAX).await.unwrap();
        let recorded: Vec<_> = page.events.into_iter().map(|stored| (stored.event_type.clone(), stored.decode().unwrap())).collect();
        let mut context = Context::default();
        for (_, event) in &recorded {
            context.apply(event);
        }
        let mut rows = projection.in_memory(0..projections::fold::PLACES);
        let sorting = Sorting::new(&projection.definition(), Arc::new(Quarantined::read(&*self.store).await.unwrap()));
        let is_handled = |event_type: &str, event_id| sorting.fate(event_type, event_id) == Fate::Handled;
        for (event_type, recorded) in recorded.iter().filter(|(name, recorded)| is_handled(name.as_str(), recorded.metadata.event_id)) {
            rows.apply(&Moment { recorded, event_type: event_type.as_str(), context: &context }).unwrap();
        }
        rows.rows()
    }

    /// Starts projections on this log.
    pub fn run(&self, read_models: &Arc<ReadModels>, projections: Vec<Arc<dyn Projection>>, options: Options) -> Runner {
        let store: Arc<dyn ReadStore> = read_models.clone();
        Runner::start(self.store.clone(), &store, projections, options)
    }

    /// Runs projections until they are at the head.
    pub async fn catch_up(&self, read_models: &Arc<ReadModels>, projections: Vec<Arc<dyn Projection>>) {
        let runner = self.run(read_models, projections, Options::default());
        if let Err(error) = runner.wait_for_head(PATIENCE).await.unwrap() {
            panic!("{error}: {:#?}", runner.status().await.unwrap());
        }
        runner.stop().await;
    }
}

/// The rows of a projection's serving build, sorted by key.
pub async fn stored(read_models: &ReadModels, projection: &dyn Projection) -> Vec<Vec<Value>> {
    let definition = projection.definition();
    let opened = read_models.open(&definition, true).await.unwrap();
    let Opened::Build(build) = opened else { panic!("{opened:?}") };
    read_models.rows(&definition, &build).await.unwrap()
}
