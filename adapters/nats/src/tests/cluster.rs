//! A cluster of three: members are killed under load and started again, and what a consumer has kept is the log, event by event.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use domain::log::EventStore as _;
use rusqlite::Connection;

use super::{all, caught_up, grow, log, start};
use crate::error::FeedError;
use crate::reconcile::verify;
use crate::stream::{FeedStream, StreamSettings};
use crate::subscribe::{ConsumerSettings, SqliteInbox, Subscriber, consume};
use crate::testing::{Servers, until};

fn settings() -> StreamSettings {
    StreamSettings::events(3, None)
}

/// Consumes for as long as it is wanted, through whatever happens to the servers, into a ledger of its own.
async fn consuming(urls: String, path: std::path::PathBuf, handled: Arc<AtomicU64>, stop: Arc<AtomicBool>) {
    let consumer = ConsumerSettings { ack_wait: Duration::from_secs(2), ..ConsumerSettings::new("books") };
    let mut inbox = SqliteInbox::open(
        &path,
        Box::new(|transaction, published| {
            let position = i64::try_from(published.event.position.0).unwrap_or(i64::MAX);
            assert!(published.is_intact());
            transaction.execute("INSERT INTO ledger VALUES (?1, ?2)", (position, published.event.hash.to_string())).map(|_| ())
        }),
    )
    .unwrap();
    while !stop.load(Ordering::SeqCst) {
        // One connection after another: a consumer that has lost its server comes back to another.
        let round = async {
            let nats = crate::Nats::connect(&urls, "consumer", None).await?;
            let stream = FeedStream::open(&nats, &settings()).await?;
            let mut subscriber = Subscriber::durable(&stream, &consumer).await?;
            loop {
                let next = tokio::time::timeout(Duration::from_secs(5), consume(&mut subscriber, &mut inbox)).await;
                let Ok(next) = next else { return Ok::<(), FeedError>(()) };
                handled.fetch_add(u64::from(next?.1), Ordering::SeqCst);
                if stop.load(Ordering::SeqCst) {
                    return Ok(());
                }
            }
        };
        if round.await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_that_are_killed_and_come_back_under_load_cost_no_event() {
    let Some(mut servers) = Servers::start(3) else { return };
    let log = log(50).await;
    let nats = servers.connect().await;
    until("three servers make a stream", async || FeedStream::open(&nats, &settings()).await.is_ok()).await;
    let publisher = start(&nats, &settings(), &log);
    caught_up(&publisher, &log).await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("books.db");
    Connection::open(&path).unwrap().execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE ledger (position INTEGER, hash TEXT)").unwrap();
    let (handled, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let consumer = tokio::spawn(consuming(servers.urls(), path.clone(), handled.clone(), stop.clone()));
    let writing = tokio::spawn({
        let (log, stop, handled) = (log.clone(), stop.clone(), handled.clone());
        async move {
            while !stop.load(Ordering::SeqCst) {
                // Never done, so that there is always something to go on with; and never far ahead of the consumer.
                if log.head().await.unwrap().events < handled.load(Ordering::SeqCst) + 1_000 {
                    grow(&log, 20).await;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    });
    // The leader first, then each of the others; and at last all of them at once.
    let leader = FeedStream::open(&nats, &settings()).await.unwrap().members().await.unwrap();
    let leader = leader.iter().find_map(|one| Servers::index(one.strip_suffix(" leads")?)).unwrap_or(0);
    let progress = publisher.progress();
    let count = servers.count();
    for member in (0..count).map(|index| (leader + index) % count) {
        let before = progress.borrow().published;
        servers.kill(member);
        until("it goes on with two", async || progress.borrow().published > before + 100).await;
        servers.restart(member);
        let before = handled.load(Ordering::SeqCst);
        until("the consumer goes on", async || handled.load(Ordering::SeqCst) > before + 100).await;
        until("all three are there again", async || {
            let members = FeedStream::open(&nats, &settings()).await;
            let members = match members {
                Ok(stream) => stream.members().await.unwrap_or_default(),
                Err(_) => Vec::new(),
            };
            members.len() == 3 && members.iter().all(|one| one.ends_with("leads") || one.ends_with("is current"))
        })
        .await;
    }
    for member in 0..count {
        servers.kill(member);
    }
    for member in 0..count {
        servers.restart(member);
    }
    let before = progress.borrow().published;
    until("it goes on after all of them were gone", async || progress.borrow().published > before + 100).await;
    stop.store(true, Ordering::SeqCst);
    writing.await.unwrap();
    caught_up(&publisher, &log).await;
    consumer.await.unwrap();

    // What the consumer has left.
    let last = Arc::new(AtomicBool::new(false));
    let consumer = tokio::spawn(consuming(servers.urls(), path.clone(), handled.clone(), last.clone()));
    let events = log.head().await.unwrap().events;
    until("the consumer has everything", async || handled.load(Ordering::SeqCst) >= events).await;
    last.store(true, Ordering::SeqCst);
    consumer.await.unwrap();
    let connection = Connection::open(&path).unwrap();
    let mut query = connection.prepare("SELECT position, hash FROM ledger ORDER BY position").unwrap();
    let kept: Vec<(i64, String)> = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect();
    let logged = all(&*log).await;
    assert_eq!(kept.len(), logged.len());
    for (kept, event) in kept.iter().zip(&logged) {
        assert_eq!(*kept, (i64::try_from(event.position.0).unwrap(), event.hash.to_string()));
    }
    let stream = FeedStream::open(&nats, &settings()).await.unwrap();
    let verified = verify(&stream, &*log, |_, _| {}).await.unwrap();
    assert!(verified.is_fine() && verified.behind == 0, "{verified:?}");
    publisher.stop().await;
}
