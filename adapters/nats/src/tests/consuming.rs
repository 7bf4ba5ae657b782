//! Consuming: each event handled once, whatever happens to the consumer and to the stream.

use std::sync::Arc;
use std::time::Duration;

use domain::log::{EventStore, StoredEvent};
use rusqlite::Connection;
use tokio::sync::watch;

use super::{all, caught_up, grow, log, start};
use crate::again::rebuild;
use crate::error::FeedError;
use crate::progress::Progress;
use crate::publish::Window;
use crate::stream::{FeedStream, StreamSettings};
use crate::subscribe::{ConsumerSettings, Handle, Inbox as _, MemoryInbox, SqliteInbox, Subscriber, consume};
use crate::testing::Servers;
use crate::walk::Start;

fn settings() -> StreamSettings {
    StreamSettings::events(1, None)
}

/// A consumer that keeps a ledger of its own, and fails at some events the first time.
fn keeping(fails_at: u64) -> Handle {
    let mut failed = false;
    Box::new(move |transaction, published| {
        transaction.execute_batch("CREATE TABLE IF NOT EXISTS ledger (position INTEGER, hash TEXT)")?;
        let position = published.event.position.0;
        transaction.execute("INSERT INTO ledger VALUES (?1, ?2)", (i64::try_from(position).unwrap(), published.event.hash.to_string()))?;
        if position == fails_at && !failed {
            failed = true;
            return Err(rusqlite::Error::InvalidQuery);
        }
        Ok(())
    })
}

/// What the consumer has kept, in the order of positions.
fn kept(path: &std::path::Path) -> Vec<(i64, String)> {
    let connection = Connection::open(path).unwrap();
    let mut query = connection.prepare("SELECT position, hash FROM ledger ORDER BY position").unwrap();
    query.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
}

fn expected(events: &[StoredEvent]) -> Vec<(i64, String)> {
    events.iter().map(|event| (i64::try_from(event.position.0).unwrap(), event.hash.to_string())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_s_ledger_is_the_log_after_crashes_and_after_the_feed_was_made_again() {
    let Some(servers) = Servers::start(1) else { return };
    let (nats, log) = (servers.connect().await, log(300).await);
    let publisher = start(&nats, &settings(), &log);
    caught_up(&publisher, &log).await;
    let stream = FeedStream::open(&nats, &settings()).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("inbox.db");
    let consumer = ConsumerSettings { ack_wait: Duration::from_millis(500), ..ConsumerSettings::new("books") };
    let mut handled = 0;
    // Each round ends without a word, with events that were delivered and not acknowledged.
    for (round, fails_at) in [(60, 30), (120, 90), (200, 150)] {
        let mut subscriber = Subscriber::durable(&stream, &consumer).await.unwrap();
        let mut inbox = SqliteInbox::open(&path, keeping(fails_at)).unwrap();
        while handled < round {
            match consume(&mut subscriber, &mut inbox).await {
                Ok((_, is_new)) => handled += u64::from(is_new),
                Err(FeedError::Inbox { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        let delivered = subscriber.next().await.unwrap();
        inbox.once(&delivered.published).await.unwrap();
        handled += 1;
    }
    let dynamic: Arc<dyn EventStore> = log.clone();
    publisher.stop().await;
    rebuild(&nats, &settings(), &dynamic, false, Window::default(), &watch::Sender::new(Progress::default())).await.unwrap();
    let publisher = start(&nats, &settings(), &log);
    grow(&log, 50).await;
    caught_up(&publisher, &log).await;
    let mut subscriber = Subscriber::durable(&stream, &consumer).await.unwrap();
    let mut inbox = SqliteInbox::open(&path, keeping(0)).unwrap();
    let mut again = 0;
    while handled < 350 {
        let (_, is_new) = consume(&mut subscriber, &mut inbox).await.unwrap();
        handled += u64::from(is_new);
        again += u64::from(!is_new);
    }
    assert!(again > 150, "the feed brought events again, and they were known: {again}");
    assert_eq!(kept(&path), expected(&all(&*log).await));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_begins_where_it_says_and_takes_the_types_it_says() {
    let Some(servers) = Servers::start(1) else { return };
    let (nats, log) = (servers.connect().await, log(20).await);
    let publisher = start(&nats, &settings(), &log);
    caught_up(&publisher, &log).await;
    let stream = FeedStream::open(&nats, &settings()).await.unwrap();
    let later = ConsumerSettings { start: Start::Sequence(15), types: Some("session.>".to_owned()), ..ConsumerSettings::new("later") };
    let mut subscriber = Subscriber::durable(&stream, &later).await.unwrap();
    let (first, is_new) = consume(&mut subscriber, &mut MemoryInbox::default()).await.unwrap();
    assert_eq!((first.sequence, first.published.event.position.0, is_new), (15, 15, true));
    let none = ConsumerSettings { types: Some("payment.>".to_owned()), ..ConsumerSettings::new("none") };
    let mut none = Subscriber::durable(&stream, &none).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(300), none.next()).await.is_err(), "there are no payments");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_was_made_otherwise_is_named_and_left_as_it_is() {
    let Some(servers) = Servers::start(1) else { return };
    let nats = servers.connect().await;
    let stream = FeedStream::open(&nats, &settings()).await.unwrap();
    Subscriber::durable(&stream, &ConsumerSettings::new("books")).await.unwrap();
    Subscriber::durable(&stream, &ConsumerSettings { start: Start::New, ..ConsumerSettings::new("books") }).await.unwrap();
    let other = ConsumerSettings { types: Some("session.>".to_owned()), unacknowledged_max: 5, ..ConsumerSettings::new("books") };
    let text = Subscriber::durable(&stream, &other).await.err().unwrap().to_string();
    for part in [
        "the consumer books",
        "filter is \"\" instead of \"ledger.events.session.>\"",
        "max-pending is \"1000\" instead of \"5\"",
        "nats consumer rm LEDGER_EVENTS books",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}
