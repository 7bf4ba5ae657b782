//! The publisher: every event of the log into the stream, in the log's order, each at the sequence that this publisher expects it to have.
//!
//! Each message names the sequence and the id of the one before it (`Nats-Expected-Last-Sequence`, `Nats-Expected-Last-Msg-Id`), so that the server refuses whatever is
//! out of order: a message that was lost, and everything after it, or a second publisher. The sequence alone would not do while many messages are under way: where
//! somebody else has written three, the fourth of them would fit again. That chain is also why one acknowledgement for many messages will do: a message that is
//! stored proves all before it.
//!
//! Deliberately absent: a checkpoint. How far the feed is stands in its last message.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_nats::client::RequestErrorKind;
use async_nats::header::{HeaderName, NATS_EXPECTED_STREAM};
use async_nats::{Message, StatusCode};
use domain::ids::EventId;
use domain::log::{EventStore, Filter, Page, Position, StoreError, StoredEvent};
use futures::StreamExt as _;
use serde::Deserialize;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, interval, timeout};
use tracing::{info, warn};
use uuid::Uuid;

use crate::connect::ANSWER_MAX;
use crate::error::FeedError;
use crate::place::{Place, Placed};
use crate::progress::{Progress, State};
use crate::stream::FeedStream;
use crate::wire::{self, MESSAGE_ID, Purpose};

pub(crate) const EXPECTED_LAST_SEQUENCE: HeaderName = HeaderName::from_static("Nats-Expected-Last-Sequence");
const EXPECTED_LAST_ID: HeaderName = HeaderName::from_static("Nats-Expected-Last-Msg-Id");
/// The server's words for: the last message is not the one that was expected.
const WRONG_LAST_MESSAGE: [u64; 3] = [10_070, 10_071, 10_164];
/// How often it is looked whether everything is as it should be.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often a stream in which nothing is published is looked at: somebody may have emptied it.
const LOOK_WHEN_IDLE: Duration = Duration::from_secs(5);

/// How much is under way at once.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// Events that are not acknowledged yet.
    pub events_max: usize,
    /// Their payloads together.
    pub bytes_max: usize,
    /// After so many messages an acknowledgement is asked for.
    pub ack_every: usize,
    /// Events that are read at once.
    pub page_events: usize,
}

impl Default for Window {
    fn default() -> Window {
        Window { events_max: 4_096, bytes_max: 8 << 20, ack_every: 64, page_events: 1_024 }
    }
}

/// Why a stretch of publishing ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It was told to stop, or had come to where it was to end; everything is acknowledged.
    Finished,
    /// What the stream holds has to be looked at again.
    Displaced,
}

/// One stretch of publishing.
pub(crate) struct Pump<'a> {
    pub(crate) log: &'a Arc<dyn EventStore>,
    pub(crate) stream: &'a FeedStream,
    pub(crate) run: Uuid,
    pub(crate) purpose: Purpose,
    pub(crate) window: Window,
    /// To publish up to here, and no further; for ever without it.
    pub(crate) until: Option<Position>,
    pub(crate) progress: &'a watch::Sender<Progress>,
    pub(crate) stop: watch::Receiver<bool>,
    /// Whether this process may publish.
    pub(crate) leads: watch::Receiver<bool>,
}

/// Messages of which the last was asked to be acknowledged.
struct Asked {
    sequence: u64,
    position: Position,
    events: u64,
    bytes: usize,
}

/// The server's answer to a message.
#[derive(Debug, Deserialize)]
pub(crate) struct Ack {
    #[serde(default)]
    pub(crate) seq: u64,
    #[serde(default)]
    pub(crate) duplicate: bool,
    pub(crate) error: Option<Refusal>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Refusal {
    #[serde(default)]
    code: u64,
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

/// What became of a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    /// It stands there.
    At(u64),
    /// A message of this id stands there, or stood there a short while ago.
    Known(u64),
    /// Its place is another's.
    Displaced,
}

/// What the server answered.
pub(crate) fn stored(answer: &Message) -> Result<Stored, FeedError> {
    if answer.status == Some(StatusCode::NO_RESPONDERS) {
        return Err(FeedError::Unavailable { reason: "no server has the stream at the moment".to_owned() });
    }
    let ack: Ack = serde_json::from_slice(&answer.payload)
        .map_err(|error| FeedError::Refused { reason: format!("an answer that cannot be read: {error}") })?;
    match ack.error {
        None if ack.duplicate => Ok(Stored::Known(ack.seq)),
        None => Ok(Stored::At(ack.seq)),
        Some(refusal) if WRONG_LAST_MESSAGE.contains(&refusal.err_code) => Ok(Stored::Displaced),
        Some(refusal) if refusal.code == 503 => Err(FeedError::Unavailable { reason: refusal.description }),
        Some(refusal) => Err(FeedError::Refused { reason: format!("{} ({})", refusal.description, refusal.err_code) }),
    }
}

/// Returns when the process is to stop, or nobody is left to say so.
pub(crate) async fn told(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

/// Reads ahead of what is published, by two pages.
struct Reading {
    pages: mpsc::Receiver<Result<Page, StoreError>>,
    task: AbortHandle,
}

impl Reading {
    fn start(log: Arc<dyn EventStore>, after: Position, page_events: usize) -> Reading {
        let (sender, pages) = mpsc::channel(2);
        let task = tokio::spawn(async move {
            let mut log = log.subscribe_all(after, Filter::All, page_events);
            while let Some(page) = log.next().await {
                let failed = page.is_err();
                if sender.send(page).await.is_err() || failed {
                    return;
                }
            }
        });
        Reading { pages, task: task.abort_handle() }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Pump<'_> {
    /// Publishes from a place on. Events up to `remembered` go under ids that no message has had, because the server may know their own from messages that are gone.
    pub(crate) async fn run(&self, place: Place, remembered: Position) -> Result<Ended, FeedError> {
        let client = self.stream.nats.client.clone();
        let inbox = client.new_inbox();
        let mut acks = client.subscribe(format!("{inbox}.*")).await.map_err(|error| FeedError::unavailable(&error))?;
        let mut reading = Reading::start(self.log.clone(), place.position, self.window.page_events);
        let mut page: VecDeque<StoredEvent> = VecDeque::new();
        let mut flight: VecDeque<Asked> = VecDeque::new();
        let (mut events, mut bytes) = (0_u64, 0);
        let mut open = Asked { sequence: place.sequence, position: place.position, events: 0, bytes: 0 };
        // Of the message before, if it is of this stretch.
        let mut last_id = None;
        let mut last_answer = Instant::now();
        let mut looked = Instant::now();
        let mut look = interval(LOOK_EVERY);
        let run = self.run.to_string();
        let mut stop = self.stop.clone();
        loop {
            let is_full = |events: u64, bytes: usize| events >= self.window.events_max as u64 || bytes >= self.window.bytes_max;
            while !is_full(events, bytes) && self.until.is_none_or(|until| open.position < until) {
                let Some(event) = page.pop_front() else { break };
                if flight.is_empty() && open.events == 0 {
                    last_answer = Instant::now();
                }
                let id = match event.position <= remembered {
                    true => another_id(event.metadata.event_id, open.sequence),
                    false => event.metadata.event_id.to_string(),
                };
                let headers = self.headers(&event, open.sequence, last_id.replace(id.clone()), id, &run);
                let (size, position) = (event.payload.len() + 1_024, event.position);
                (events, bytes) = (events + 1, bytes + size);
                open = Asked { sequence: open.sequence + 1, position, events: open.events + 1, bytes: open.bytes + size };
                let asks = open.events >= self.window.ack_every as u64
                    || page.is_empty()
                    || is_full(events, bytes)
                    || self.until == Some(position);
                let subject = self.stream.subject(event.event_type.as_str());
                let sent = match asks {
                    true => {
                        let reply = format!("{inbox}.{}", open.sequence);
                        let rest = Asked { events: 0, bytes: 0, ..open };
                        flight.push_back(std::mem::replace(&mut open, rest));
                        client.publish_with_reply_and_headers(subject, reply, headers, event.payload.into()).await
                    }
                    false => client.publish_with_headers(subject, headers, event.payload.into()).await,
                };
                sent.map_err(|error| FeedError::unavailable(&error))?;
            }
            // What was read behind it is somebody else's to publish.
            if flight.is_empty() && self.until.is_some_and(|until| open.position >= until) {
                return Ok(Ended::Finished);
            }
            tokio::select! {
                biased;
                answer = acks.next() => {
                    let answer = answer.ok_or_else(|| FeedError::Unavailable { reason: "the connection is closed".to_owned() })?;
                    last_answer = Instant::now();
                    self.stream.nats.breaker.answered();
                    let Some(asked) = flight.pop_front() else { continue };
                    let expected = answer.subject.rsplit('.').next().and_then(|end| end.parse().ok()) == Some(asked.sequence);
                    match stored(&answer)? {
                        Stored::At(sequence) if expected && sequence == asked.sequence => {
                            events -= asked.events;
                            bytes -= asked.bytes;
                            self.progress.send_modify(|progress| progress.acknowledged(asked.sequence, asked.position, asked.events));
                        }
                        Stored::At(_) | Stored::Known(_) | Stored::Displaced => return Ok(Ended::Displaced),
                    }
                }
                next = reading.pages.recv(), if page.is_empty() && !is_full(events, bytes) => {
                    let next = next.ok_or_else(|| StoreError::Unavailable { reason: "reading has ended".to_owned() })??;
                    page = next.events.into();
                    let caught_up = page.is_empty() || page.len() < self.window.page_events;
                    self.progress.send_if_modified(|progress| progress.is(if caught_up { State::Live } else { State::CatchingUp }));
                }
                () = told(&mut stop) => {
                    self.land(&mut acks, flight).await;
                    return Ok(Ended::Finished);
                }
                _ = look.tick() => {
                    let waits = !flight.is_empty();
                    if waits && last_answer.elapsed() > ANSWER_MAX {
                        let reason = format!("nothing was acknowledged for {} s", ANSWER_MAX.as_secs());
                        self.stream.nats.breaker.failed(Instant::now().into_std(), &reason);
                        return Err(FeedError::Unavailable { reason });
                    }
                    if !*self.leads.borrow() {
                        self.land(&mut acks, flight).await;
                        return Ok(Ended::Displaced);
                    }
                    if !waits && looked.elapsed() > LOOK_WHEN_IDLE {
                        looked = Instant::now();
                        if self.stream.state().await?.last_sequence != open.sequence || self.is_empty_before(open.sequence).await? {
                            return Ok(Ended::Displaced);
                        }
                    }
                }
            }
        }
    }

    /// Whether somebody emptied the stream.
    async fn is_empty_before(&self, sequence: u64) -> Result<bool, FeedError> {
        Ok(sequence > 0 && self.stream.state().await?.messages == 0 && self.log.head().await?.events > 0)
    }

    fn headers(&self, event: &StoredEvent, last_sequence: u64, last_id: Option<String>, id: String, run: &str) -> async_nats::HeaderMap {
        let mut headers = wire::headers(event, run, self.purpose, event.position);
        headers.insert(MESSAGE_ID, id);
        headers.insert(EXPECTED_LAST_SEQUENCE, last_sequence.to_string());
        if let Some(id) = last_id {
            headers.insert(EXPECTED_LAST_ID, id);
        }
        headers.insert(NATS_EXPECTED_STREAM, self.stream.settings.name.as_str());
        headers
    }

    /// Waits a moment for what is under way.
    async fn land(&self, acks: &mut async_nats::Subscriber, mut flight: VecDeque<Asked>) {
        let landing = async {
            while let Some(asked) = flight.pop_front() {
                match acks.next().await.map(|answer| stored(&answer)) {
                    Some(Ok(Stored::At(sequence))) if sequence == asked.sequence => {
                        self.progress.send_modify(|progress| progress.acknowledged(asked.sequence, asked.position, asked.events));
                    }
                    _ => return,
                }
            }
        };
        if timeout(ANSWER_MAX, landing).await.is_err() {
            warn!("some of what was published is not acknowledged; it is looked after at the next start");
        }
    }

    /// Publishes what comes next by itself, and finds out what is the matter where the server takes it for a repetition: it knows the ids of messages that were
    /// deleted a short while ago. Says where to go on, and up to where it may know more of them.
    pub(crate) async fn carefully(&self, mut place: Place) -> Result<(Place, Position), FeedError> {
        loop {
            if self.until.is_some_and(|until| place.position >= until) {
                return Ok((place, Position(0)));
            }
            let page = self.log.read_all(place.position, &Filter::All, 1).await?;
            let Some(event) = page.events.into_iter().next() else { return Ok((place, Position(0))) };
            let position = event.position;
            let placed = publish_one(self.stream, &event, self.run, self.purpose, position, place.sequence).await?;
            match placed {
                Placed::At(sequence) | Placed::Again(sequence) => {
                    self.progress.send_modify(|progress| progress.acknowledged(sequence, position, 1));
                    place = Place { sequence, position };
                    if placed == Placed::At(sequence) {
                        return Ok((place, Position(0)));
                    }
                    info!(position = %position, sequence, "the server had taken an event for a repetition of a message that is gone");
                    // What is not in the log yet was never published.
                    return Ok((place, self.log.head().await?.position));
                }
                Placed::There => place.position = event.position,
                Placed::Displaced => return Ok((place, Position(0))),
            }
        }
    }
}

/// An id that no message has had: the sequence is new each time. Consumers go by the event's id.
fn another_id(id: EventId, last_sequence: u64) -> String {
    format!("{id}/{}", last_sequence + 1)
}

/// Publishes one event at the end of the stream, if that is where its end is, and waits for the answer.
pub(crate) async fn publish_one(
    stream: &FeedStream,
    event: &StoredEvent,
    run: Uuid,
    purpose: Purpose,
    reached: Position,
    last_sequence: u64,
) -> Result<Placed, FeedError> {
    let mut headers = wire::headers(event, &run.to_string(), purpose, reached);
    headers.insert(EXPECTED_LAST_SEQUENCE, last_sequence.to_string());
    headers.insert(NATS_EXPECTED_STREAM, stream.settings.name.as_str());
    let subject = stream.subject(event.event_type.as_str());
    let mut again = false;
    loop {
        let request = stream.nats.client.request_with_headers(subject.clone(), headers.clone(), event.payload.clone().into());
        let answer = stream.nats.asked(request, |error| error.kind() == RequestErrorKind::NoResponders).await?;
        match stored(&answer)? {
            Stored::At(sequence) if again => return Ok(Placed::Again(sequence)),
            Stored::At(sequence) => return Ok(Placed::At(sequence)),
            Stored::Displaced => return Ok(Placed::Displaced),
            Stored::Known(sequence) => {
                let there = stream.message(sequence).await?;
                if there.is_some_and(|there| there.event.metadata.event_id == event.metadata.event_id) || again {
                    return Ok(Placed::There);
                }
                headers.insert(MESSAGE_ID, another_id(event.metadata.event_id, last_sequence));
                again = true;
            }
        }
    }
}
