//! The feed on real servers: what is in the stream is counted event by event, after whatever happened to the servers, the publisher or the stream.

mod away;
mod cluster;
mod consuming;
mod measuring;
mod mending;
mod publishing;

use std::sync::Arc;

use domain::log::{EventStore, Expected, Filter, Position, Revision, StoredEvent, StreamId};
use domain::testing::event_store::{event, stream};
use memory::MemoryStore;

use crate::publisher::Publisher;
use crate::testing::until;
use crate::wire::Published;
use crate::{FeedStream, Nats, StreamSettings, Window};

/// A log of this many events, spread over a few streams.
async fn log(events: u128) -> Arc<MemoryStore> {
    let log = Arc::new(MemoryStore::default());
    grow(&log, events).await;
    log
}

/// Appends events to it.
async fn grow(log: &MemoryStore, events: u128) {
    const STREAMS: u128 = 5;
    let first = u128::from(log.head().await.unwrap().events);
    for number in first..first + events {
        let revision = u64::try_from(number / STREAMS).unwrap();
        let expected = revision.checked_sub(1).map_or(Expected::NoStream, |last| Expected::Exact(Revision(last)));
        let stream: StreamId = stream(number % STREAMS);
        log.append(&stream, expected, vec![event(number)]).await.unwrap();
    }
}

/// All that the log has.
async fn all(log: &dyn EventStore) -> Vec<StoredEvent> {
    log.read_all(Position(0), &Filter::All, usize::MAX).await.unwrap().events
}

fn start(nats: &Nats, settings: &StreamSettings, log: &Arc<MemoryStore>) -> Publisher {
    let window = Window { events_max: 256, ack_every: 16, page_events: 50, ..Window::default() };
    Publisher::start(nats.clone(), settings.clone(), log.clone(), None, window)
}

/// Waits until the publisher is at the log's head.
async fn caught_up(publisher: &Publisher, log: &MemoryStore) {
    let progress = publisher.progress();
    until("the feed catches up", async || progress.borrow().position == log.head().await.unwrap().position).await;
}

/// Every message of the stream, in its order.
async fn messages(nats: &Nats, settings: &StreamSettings) -> Vec<(u64, Published)> {
    let stream = FeedStream::find(nats, settings).await.unwrap().unwrap();
    let state = stream.state().await.unwrap();
    let mut found = Vec::new();
    for sequence in state.first_sequence..=state.last_sequence {
        if let Some(message) = stream.message(sequence).await.unwrap() {
            found.push((sequence, message));
        }
    }
    found
}

/// The stream is the log: each event once, in order, as it is stored.
async fn is_the_log(nats: &Nats, settings: &StreamSettings, log: &MemoryStore) {
    let published: Vec<StoredEvent> = messages(nats, settings).await.into_iter().map(|(_, message)| message.event).collect();
    let logged = all(log).await;
    let places = |events: &[StoredEvent]| events.iter().map(|event| event.position.0).collect::<Vec<_>>();
    assert_eq!(places(&published), places(&logged));
    assert!(published == logged, "the same places, but not the same events");
}
