//! How fast the publisher is, beside a bare one: the same payloads into a stream of the same kind, with the message's id and nothing else, no log read, nothing
//! checked but that all of it is there.

use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::header::HeaderName;
use domain::log::{EventStore, Filter, Position};
use futures::StreamExt as _;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use crate::connect::Nats;
use crate::error::FeedError;
use crate::place::Place;
use crate::progress::Progress;
use crate::publish::{Ended, Pump, Stored, Window, stored};
use crate::stream::{FeedStream, StreamSettings};
use crate::wire::{MESSAGE_ID, Purpose};

/// What both came to.
#[derive(Debug, Clone, Copy)]
pub struct Figures {
    /// How many events.
    pub events: u64,
    /// By the publisher: read from the log, with all headers, in order, fenced, acknowledged.
    pub took: Duration,
    /// By the bare one.
    pub bound: Duration,
}

/// Publishes a log twice, into streams of its own that are gone afterwards.
///
/// # Errors
/// When NATS or the log fails, or something was not published.
pub async fn publish(nats: &Nats, log: &Arc<dyn EventStore>, window: Window) -> Result<Figures, FeedError> {
    let settings = |name: &str| StreamSettings {
        name: format!("BENCH_{name}"),
        prefix: format!("ledger.bench.{}.", name.to_lowercase()),
        description: "a measurement of chargeledger bench feed; may be deleted".to_owned(),
        replicas: 1,
        bytes_max: None,
    };
    let head = log.head().await?;
    let bare = FeedStream::mend(nats, &settings("BARE"), true).await?;
    let bound = bare_publisher(&bare, &**log, head.position, window).await;
    let removed = remove(nats, &bare).await;
    let bound = bound?;
    removed?;
    let whole = FeedStream::mend(nats, &settings("FEED"), true).await?;
    let took = publisher(&whole, log, head.position, window).await;
    let messages = whole.state().await?.messages;
    remove(nats, &whole).await?;
    let took = took?;
    if messages != head.events {
        return Err(FeedError::Refused { reason: format!("{messages} of {} events were published", head.events) });
    }
    Ok(Figures { events: head.events, took, bound })
}

async fn remove(nats: &Nats, stream: &FeedStream) -> Result<(), FeedError> {
    nats.ask::<serde_json::Value>(format!("STREAM.DELETE.{}", stream.settings.name), &json!({})).await?;
    Ok(())
}

async fn publisher(stream: &FeedStream, log: &Arc<dyn EventStore>, until: Position, window: Window) -> Result<Duration, FeedError> {
    let progress = watch::Sender::new(Progress::default());
    let (_stop, stop) = watch::channel(false);
    let (_lead, leads) = watch::channel(true);
    let pump =
        Pump { log, stream, run: Uuid::now_v7(), purpose: Purpose::Publish, window, until: Some(until), progress: &progress, stop, leads };
    let began = Instant::now();
    match pump.run(Place { sequence: 0, position: Position(0) }, Position(0)).await? {
        Ended::Finished => Ok(began.elapsed()),
        Ended::Displaced => Err(FeedError::Refused { reason: "somebody else writes the bench's stream".to_owned() }),
    }
}

async fn bare_publisher(stream: &FeedStream, log: &dyn EventStore, until: Position, window: Window) -> Result<Duration, FeedError> {
    let client = &stream.nats.client;
    let inbox = client.new_inbox();
    let mut acks = client.subscribe(inbox.clone()).await.map_err(|error| FeedError::unavailable(&error))?;
    let subject = stream.subject("event");
    let mut took = Duration::ZERO;
    let (mut after, mut asked, mut answered, mut sent) = (Position(0), 0_usize, 0_usize, 0_usize);
    while after < until {
        // Reading is not what is measured.
        let page = log.read_all(after, &Filter::All, 16_384).await?;
        after = page.scanned_to;
        let messages: Vec<_> = page.events.into_iter().map(|event| (event.metadata.event_id.to_string(), event.payload)).collect();
        let began = Instant::now();
        for (id, payload) in messages {
            let mut headers = HeaderMap::new();
            headers.insert(HeaderName::from_static(MESSAGE_ID), id);
            sent += 1;
            let published = if sent.is_multiple_of(window.ack_every) {
                asked += 1;
                client.publish_with_reply_and_headers(subject.clone(), inbox.clone(), headers, payload.into()).await
            } else {
                client.publish_with_headers(subject.clone(), headers, payload.into()).await
            };
            published.map_err(|error| FeedError::unavailable(&error))?;
            while (asked - answered) * window.ack_every >= window.events_max {
                answered += answer(&mut acks).await?;
            }
        }
        took += began.elapsed();
    }
    let began = Instant::now();
    while answered < asked {
        answered += answer(&mut acks).await?;
    }
    Ok(took + began.elapsed())
}

async fn answer(acks: &mut async_nats::Subscriber) -> Result<usize, FeedError> {
    let answer = acks.next().await.ok_or_else(|| FeedError::Unavailable { reason: "the connection is closed".to_owned() })?;
    match stored(&answer)? {
        Stored::At(_) => Ok(1),
        Stored::Known(_) | Stored::Displaced => Err(FeedError::Refused { reason: "somebody else writes the bench's stream".to_owned() }),
    }
}
