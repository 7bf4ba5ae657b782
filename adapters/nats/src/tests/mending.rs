//! Comparing, filling, making again: what is wrong with a stream is named, mended, and handled once by who consumes it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::log::{EventStore, Position};
use tokio::sync::watch;

use super::{all, caught_up, grow, is_the_log, log, messages, start};
use crate::again::rebuild;
use crate::connect::Nats;
use crate::progress::Progress;
use crate::publish::Window;
use crate::reconcile::{Verified, fill, verify};
use crate::stream::{FeedStream, StreamSettings};
use crate::testing::{Servers, delete_message, until};
use crate::wire::{self, Purpose};

fn settings() -> StreamSettings {
    StreamSettings::events(1, None)
}

async fn delete(nats: &Nats, sequences: impl IntoIterator<Item = u64>) {
    for sequence in sequences {
        delete_message(nats, "LEDGER_EVENTS", sequence).await;
    }
}

fn holes(verified: &Verified) -> Vec<(u64, u64, u64)> {
    verified.holes.iter().map(|hole| (hole.first.0, hole.last.0, hole.events)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holes_are_named_and_filled_at_the_end_beside_a_publisher_that_goes_on() {
    let Some(servers) = Servers::start(1) else { return };
    let (nats, log) = (servers.connect().await, log(100).await);
    let publisher = start(&nats, &settings(), &log);
    caught_up(&publisher, &log).await;
    let stream = FeedStream::open(&nats, &settings()).await.unwrap();
    assert!(verify(&stream, &*log, |_, _| {}).await.unwrap().is_fine());
    // In the middle, at the beginning and at the end; the ids of those messages are still in the server's window.
    delete(&nats, [1, 10, 11, 12, 50, 99, 100]).await;
    let verified = verify(&stream, &*log, |_, _| {}).await.unwrap();
    assert_eq!(holes(&verified), [(1, 1, 1), (10, 12, 3), (50, 50, 1), (99, 100, 2)]);
    assert_eq!((verified.missing, verified.behind, verified.differing, verified.messages), (7, 0, 0, 93));

    let dynamic: Arc<dyn EventStore> = log.clone();
    assert_eq!(fill(&stream, &dynamic, &verified, |_, _| {}).await.unwrap(), 7);
    let verified = verify(&stream, &*log, |_, _| {}).await.unwrap();
    assert!(verified.is_fine(), "{verified:?}");
    assert_eq!((verified.late, verified.behind, verified.events), (7, 0, 100));
    // The publisher goes on after what was filled in, and a new one does, too.
    grow(&log, 50).await;
    caught_up(&publisher, &log).await;
    publisher.stop().await;
    grow(&log, 1).await;
    let publisher = start(&nats, &settings(), &log);
    caught_up(&publisher, &log).await;
    let found = messages(&nats, &settings()).await;
    let in_turn: Vec<u64> =
        found.iter().filter(|(_, message)| message.purpose == Purpose::Publish).map(|(_, message)| message.event.position.0).collect();
    assert!(in_turn.is_sorted() && in_turn.len() == 144 && in_turn.last() == Some(&151), "{in_turn:?}");
    assert!(verify(&stream, &*log, |_, _| {}).await.unwrap().is_fine());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_else_put_into_the_stream_is_named() {
    let Some(servers) = Servers::start(1) else { return };
    let (nats, log) = (servers.connect().await, log(20).await);
    let publisher = start(&nats, &settings(), &log);
    caught_up(&publisher, &log).await;
    publisher.stop().await;
    let events = all(&*log).await;
    let put = async |headers: async_nats::HeaderMap, payload: Vec<u8>| {
        let sent = nats.client.request_with_headers("ledger.events.session.meter_read", headers, payload.into()).await.unwrap();
        assert!(sent.payload.starts_with(br#"{"stream""#), "{sent:?}");
    };
    let headers = |event: usize, id: &str| {
        let mut headers = wire::headers(&events[event], "00000000-0000-0000-0000-000000000000", Purpose::Publish, events[event].position);
        headers.insert(wire::MESSAGE_ID, id);
        headers
    };
    put(async_nats::HeaderMap::new(), b"x".to_vec()).await;
    put(headers(3, "a"), events[3].payload.clone()).await;
    put(headers(4, "b"), b"altered".to_vec()).await;
    let mut beyond = headers(5, "c");
    beyond.insert(wire::POSITION, "77");
    put(beyond, events[5].payload.clone()).await;
    let stream = FeedStream::open(&nats, &settings()).await.unwrap();
    let verified = verify(&stream, &*log, |_, _| {}).await.unwrap();
    let named: Vec<(u64, &str)> = verified.differences.iter().map(|one| (one.sequence, one.what.as_str())).collect();
    assert_eq!(
        named,
        [
            (21, "not a message of the feed: it has no headers"),
            (23, "it is not what its hash says"),
            (24, "the log has no event at this position"),
            (22, "it was published before"),
        ]
    );
    assert!(!verified.is_fine() && verified.missing == 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_feed_is_made_again_while_a_publisher_publishes() {
    let Some(servers) = Servers::start(1) else { return };
    let (nats, log) = (servers.connect().await, log(500).await);
    let publisher = start(&nats, &settings(), &log);
    caught_up(&publisher, &log).await;
    delete(&nats, 100..=200).await;
    let writing = tokio::spawn({
        let log = log.clone();
        async move {
            for _ in 0..200 {
                grow(&log, 2).await;
                tokio::task::yield_now().await;
            }
        }
    });
    let dynamic: Arc<dyn EventStore> = log.clone();
    let (progress, began) = (watch::Sender::new(Progress::default()), Instant::now());
    let published = rebuild(&nats, &settings(), &dynamic, false, Window::default(), &progress).await.unwrap();
    assert!(published >= 500);
    // The server still remembers the ids of what was there, and nobody waits for each one by itself.
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    writing.await.unwrap();
    grow(&log, 1).await;
    until("the publisher goes on", async || {
        let messages = FeedStream::open(&nats, &settings()).await.unwrap().state().await.unwrap().messages;
        messages == log.head().await.unwrap().events
    })
    .await;
    is_the_log(&nats, &settings(), &log).await;
    caught_up(&publisher, &log).await;
    // With a new stream, and nobody who publishes.
    publisher.stop().await;
    let progress = watch::Sender::new(Progress::default());
    assert_eq!(rebuild(&nats, &settings(), &dynamic, true, Window::default(), &progress).await.unwrap(), 901);
    assert_eq!(FeedStream::open(&nats, &settings()).await.unwrap().state().await.unwrap().first_sequence, 1);
    is_the_log(&nats, &settings(), &log).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_is_found_in_a_stream_with_holes_and_late_messages() {
    let Some(servers) = Servers::start(1) else { return };
    let (nats, log) = (servers.connect().await, log(60).await);
    let publisher = start(&nats, &settings(), &log);
    caught_up(&publisher, &log).await;
    publisher.stop().await;
    let stream = FeedStream::open(&nats, &settings()).await.unwrap();
    delete(&nats, [1, 2, 20, 30, 31, 32]).await;
    let verified = verify(&stream, &*log, |_, _| {}).await.unwrap();
    let dynamic: Arc<dyn EventStore> = log.clone();
    fill(&stream, &dynamic, &verified, |_, _| {}).await.unwrap();
    for (after, sequence) in [(0, 3), (1, 3), (10, 11), (19, 21), (29, 33), (31, 33), (59, 60), (60, 67)] {
        let found = stream.sequence_after(Position(after)).await.unwrap();
        let is_right = found == sequence
            || (found < sequence && (found..sequence).all(|gone| [1, 2, 20, 30, 31, 32, 61, 62, 63, 64, 65, 66].contains(&gone)));
        assert!(is_right, "after {after}: {found} instead of {sequence}");
    }
}
