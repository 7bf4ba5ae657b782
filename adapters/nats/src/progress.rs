//! How the publisher is: as it knows it, and as people see it.

use std::time::{SystemTime, UNIX_EPOCH};

use domain::log::{EventStore, Filter, Position, StoreError};
use projections::rate::Rate;
use serde::Serialize;
use tokio::time::Instant;

/// What the publisher is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Not connected yet.
    #[default]
    Starting,
    /// Behind the head, and working.
    CatchingUp,
    /// At the head.
    Live,
    /// Another process publishes; this one takes over when that one is gone.
    Standby,
    /// NATS is away, or is not as it should be; it tries again by itself.
    Waiting,
    /// It has stopped, and waits for people.
    Stopped,
}

impl State {
    /// All of them.
    pub const ALL: [State; 6] = [State::Starting, State::CatchingUp, State::Live, State::Standby, State::Waiting, State::Stopped];

    /// The word that stands for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            State::Starting => "starting",
            State::CatchingUp => "catching_up",
            State::Live => "live",
            State::Standby => "standby",
            State::Waiting => "waiting",
            State::Stopped => "stopped",
        }
    }
}

/// How far the publisher is, as it knows it.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// What it is doing.
    pub state: State,
    /// The last event that the stream has acknowledged.
    pub position: Position,
    /// How many of the log's events there are up to that one.
    pub counted: u64,
    /// The sequence of that event.
    pub sequence: u64,
    /// How many events this run has published.
    pub published: u64,
    /// How often the stream was not as expected.
    pub displaced: u64,
    /// What is the matter, if something is.
    pub error: Option<String>,
    rate: Rate,
    batch: Option<(Instant, u64)>,
}

impl Progress {
    pub(crate) fn acknowledged(&mut self, sequence: u64, position: Position, events: u64) {
        self.sequence = sequence;
        self.position = position;
        self.counted += events;
        self.published += events;
        let (since, sum) = self.batch.get_or_insert((Instant::now(), 0));
        *sum += events;
        let seconds = since.elapsed().as_secs_f64();
        if seconds >= 0.5 {
            self.rate.measured(*sum, seconds);
            self.batch = None;
        }
    }

    pub(crate) fn placed(&mut self, sequence: u64, position: Position, counted: u64) {
        (self.sequence, self.position, self.counted, self.error) = (sequence, position, counted, None);
        self.state = State::CatchingUp;
    }

    /// Whether that is news.
    pub(crate) fn is(&mut self, state: State) -> bool {
        let is_news = self.state != state;
        self.state = state;
        is_news
    }
}

/// The publisher as people see it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// What it is doing.
    pub state: State,
    /// The last event that the stream has acknowledged.
    pub position: Position,
    /// How far the log is.
    pub head: Position,
    /// How many events are missing.
    pub lag_events: u64,
    /// For how long the oldest of them has been waiting.
    pub lag_seconds: i64,
    /// Events per second, lately.
    pub events_per_s: u64,
    /// How many events this run has published.
    pub published: u64,
    /// How often the stream was not as expected.
    pub displaced: u64,
    /// What is the matter, if something is.
    pub error: Option<String>,
}

/// How far the feed is behind the log.
///
/// # Errors
/// When the log cannot be read.
pub async fn status(log: &dyn EventStore, progress: &Progress) -> Result<Status, StoreError> {
    let head = log.head().await?;
    let is_behind = head.position > progress.position;
    let lag_events = if is_behind { head.events.saturating_sub(progress.counted).max(1) } else { 0 };
    let lag_seconds = if is_behind { waits_since(log, progress.position).await? } else { 0 };
    let state = match progress.state {
        // Who finds its place at the head is live, though nothing has come since.
        State::CatchingUp if !is_behind => State::Live,
        state => state,
    };
    Ok(Status {
        state,
        position: progress.position,
        head: head.position,
        lag_events,
        lag_seconds,
        events_per_s: progress.rate.events_per_s(),
        published: progress.published,
        displaced: progress.displaced,
        error: progress.error.clone(),
    })
}

/// How many seconds ago the event after a position was recorded.
///
/// # Errors
/// When the log cannot be read.
pub async fn waits_since(log: &dyn EventStore, position: Position) -> Result<i64, StoreError> {
    let page = log.read_all(position, &Filter::All, 1).await?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX));
    Ok(page.events.first().map_or(0, |oldest| (now - oldest.metadata.recorded_at.micros()).max(0) / 1_000_000))
}

/// Shows how the publisher is, to whatever recorder the process has.
#[allow(clippy::cast_precision_loss, reason = "a gauge is a float; no money in it")]
pub(crate) fn measure(status: &Status) {
    metrics::gauge!("chargeledger_feed_position").set(status.position.0 as f64);
    metrics::gauge!("chargeledger_feed_lag_events").set(status.lag_events as f64);
    metrics::gauge!("chargeledger_feed_lag_seconds").set(status.lag_seconds as f64);
    metrics::gauge!("chargeledger_feed_events_per_second").set(status.events_per_s as f64);
    metrics::counter!("chargeledger_feed_events_published_total").absolute(status.published);
    metrics::counter!("chargeledger_feed_displaced_total").absolute(status.displaced);
    metrics::counter!("chargeledger_feed_reconnects_total").increment(0);
    for state in State::ALL {
        metrics::gauge!("chargeledger_feed_state", "state" => state.as_str()).set(f64::from(u8::from(status.state == state)));
    }
}
