//! How a projection is: as its task knows it, and as people see it.

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use domain::log::{Filter, Position, StoreError};
use domain::time::Timestamp;

use crate::feed::Feed;
use crate::port::{Build, Counted, Halt};
use crate::rate::Rate;
use crate::registry::Seen;

/// What a projection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Not opened yet.
    #[default]
    Starting,
    /// Behind the head, and working.
    CatchingUp,
    /// At the head.
    Live,
    /// Another process keeps it up to date; this one takes over when that one is gone.
    Standby,
    /// The database or the log is not there; it tries again by itself.
    Waiting,
    /// It met an event that it cannot apply, and waits for people.
    Halted,
    /// A build of another version of the fold serves, and stands still until a rebuild takes its place.
    Outdated,
    /// Nothing serves yet: the first build is being filled by a rebuild.
    Rebuilding,
}

impl State {
    /// All of them.
    pub const ALL: [State; 8] = [
        State::Starting,
        State::CatchingUp,
        State::Live,
        State::Standby,
        State::Waiting,
        State::Halted,
        State::Outdated,
        State::Rebuilding,
    ];

    /// The word that stands for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            State::Starting => "starting",
            State::CatchingUp => "catching_up",
            State::Live => "live",
            State::Standby => "standby",
            State::Waiting => "waiting",
            State::Halted => "halted",
            State::Outdated => "outdated",
            State::Rebuilding => "rebuilding",
        }
    }
}

/// How far a projection is, as its task knows it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress {
    pub(crate) state: State,
    pub(crate) build: i64,
    /// The rows hold every event up to here.
    pub(crate) position: Position,
    /// And the checkpoint says so up to here.
    pub(crate) written: Position,
    pub(crate) counted: Counted,
    pub(crate) recorded_at: Option<Timestamp>,
    pub(crate) error: Option<String>,
    pub(crate) halt: Option<Halt>,
    /// How often the watchdog started it again.
    pub(crate) restarts: u64,
    rate: Rate,
}

impl Progress {
    pub(crate) fn opened(&mut self, build: &Build) {
        self.state = State::CatchingUp;
        self.stands_at(build);
        self.error = None;
        self.halt = None;
    }

    /// Another process leads, or nobody can at the moment: what is known is what the registry says.
    pub(crate) fn stands_by(&mut self, seen: &Seen, name: &str) {
        if let Some(error) = &seen.error {
            self.state = State::Waiting;
            self.error = Some(error.clone());
            return;
        }
        self.state = State::Standby;
        self.error = None;
        if let Some(build) = seen.serving(name) {
            self.stands_at(build);
            self.recorded_at = None;
            self.halt.clone_from(&build.halt);
            self.error = build.halt.as_ref().map(|halt| halt.error.clone());
        }
    }

    fn stands_at(&mut self, build: &Build) {
        self.build = build.number;
        self.position = build.position;
        self.written = build.position;
        self.counted = build.counted;
    }

    pub(crate) fn without_build(&mut self, state: State, serving: Option<&Build>) {
        if let Some(build) = serving {
            self.opened(build);
        }
        self.state = state;
    }

    pub(crate) fn reached(&mut self, position: Position, counted: Counted, events: u64, recorded_at: Option<Timestamp>, began: Instant) {
        self.position = position;
        self.counted = counted;
        self.recorded_at = recorded_at.or(self.recorded_at);
        self.rate.measured(events, began.elapsed().as_secs_f64());
    }
}

/// A projection as people see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Which.
    pub name: String,
    /// The version of its fold.
    pub version: u32,
    /// The build that is written on; 0 before it is opened.
    pub build: i64,
    /// What it is doing.
    pub state: State,
    /// How far it is.
    pub position: Position,
    /// How far the log is.
    pub head: Position,
    /// How many events are missing.
    pub lag_events: u64,
    /// By how many seconds of the log's own time.
    pub lag_seconds: i64,
    /// What became of the events so far.
    pub counted: Counted,
    /// Events per second, lately; 0 when nothing comes.
    pub events_per_s: u64,
    /// How often the watchdog started it again, since the process began.
    pub restarts: u64,
    /// What is the matter, if something is.
    pub error: Option<String>,
    /// The event that it cannot apply, if there is one.
    pub halt: Option<Halt>,
}

/// How projections are, each with its name and version.
/// `away` is what is the matter with the database, if it does not answer: who is in the middle of asking it does not know yet.
pub(crate) async fn look(
    feed: &Feed,
    progress: Vec<(&'static str, u32, Progress)>,
    away: Option<String>,
) -> Result<Vec<Status>, StoreError> {
    let head = feed.store().head().await?;
    let is_behind = |progress: &Progress| head.events > progress.counted.total();
    let newest = match progress.iter().any(|(_, _, progress)| is_behind(progress)) {
        true => recorded_at(feed, head.position).await?,
        false => None,
    };
    let mut statuses = Vec::with_capacity(progress.len());
    for (name, version, progress) in progress {
        let lag_events = head.events.saturating_sub(progress.counted.total());
        let mine = match progress.recorded_at {
            // Who has applied nothing itself asks the log when that was.
            None if lag_events > 0 => recorded_at(feed, progress.position).await?,
            known => known,
        };
        let (state, error) = match (&away, progress.state) {
            (Some(away), State::Starting | State::CatchingUp | State::Live) if lag_events > 0 => (State::Waiting, Some(away.clone())),
            (_, state) => (state, progress.error.clone()),
        };
        let lag = newest.zip(mine).map_or(0, |(newest, mine)| newest.seconds_since(mine).max(0));
        statuses.push(Status {
            name: name.to_owned(),
            version,
            build: progress.build,
            state,
            position: progress.position,
            head: head.position,
            lag_events,
            lag_seconds: if lag_events == 0 { 0 } else { lag },
            counted: progress.counted,
            events_per_s: progress.rate.events_per_s(),
            restarts: progress.restarts,
            error,
            halt: progress.halt,
        });
    }
    Ok(statuses)
}

/// When the event at a position was recorded, or the next one after it.
async fn recorded_at(feed: &Feed, position: Position) -> Result<Option<Timestamp>, StoreError> {
    let page = feed.store().read_all(Position(position.0.saturating_sub(1)), &Filter::All, 1).await?;
    Ok(page.events.first().map(|event| event.metadata.recorded_at))
}
