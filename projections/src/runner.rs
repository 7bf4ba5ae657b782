//! Keeps all projections up to date: one reader of the log, a task for each projection, a status for people and a wait for requests.
//!
//! A projection that halts halts alone. Rebuilding is not done here; a build of a new version is filled beside the old one and
//! put behind the view when it has caught up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use domain::log::{EventStore, Position, StoreError};
use domain::time::Timestamp;

use crate::feed::Feed;
use crate::fold::Projection;
use crate::port::{Build, Counted, Halt, ReadStore};
use crate::projector::Projector;

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
    /// The database or the log is not there; it tries again by itself.
    Waiting,
    /// It met an event that it cannot apply, and waits for people.
    Halted,
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
    rate: Option<(Instant, f64)>,
}

impl Progress {
    pub(crate) fn opened(&mut self, build: &Build) {
        self.state = State::CatchingUp;
        self.build = build.number;
        self.position = build.position;
        self.written = build.position;
        self.counted = build.counted;
        self.error = None;
        self.halt = None;
    }

    pub(crate) fn reached(&mut self, position: Position, counted: Counted, events: u64, recorded_at: Option<Timestamp>, began: Instant) {
        self.position = position;
        self.counted = counted;
        self.recorded_at = recorded_at.or(self.recorded_at);
        let seconds = began.elapsed().as_secs_f64().max(0.000_001);
        #[allow(clippy::cast_precision_loss)]
        let now = events as f64 / seconds;
        let smooth = self.rate.map_or(now, |(_, before)| before * 0.7 + now * 0.3);
        self.rate = Some((Instant::now(), smooth));
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
    /// What is the matter, if something is.
    pub error: Option<String>,
    /// The event that it cannot apply, if there is one.
    pub halt: Option<Halt>,
}

/// Why a wait ended before the projection was there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WaitError {
    /// Not in time.
    #[error("{name} has not reached position {position} yet")]
    TimedOut {
        /// Which.
        name: String,
        /// Where it should be.
        position: Position,
    },
    /// It will not come by itself.
    #[error("{name} has halted before position {position}")]
    Halted {
        /// Which.
        name: String,
        /// Where it should be.
        position: Position,
    },
    /// No such projection runs here.
    #[error("no projection {name} runs here")]
    Unknown {
        /// What was asked for.
        name: String,
    },
}

/// How the runner works.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Events that are read from the log at once.
    pub page_events: usize,
    /// Events that a projection writes at once while it catches up.
    pub batch_events_max: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options { page_events: 1_024, batch_events_max: 4_096 }
    }
}

/// All projections, running.
pub struct Runner {
    feed: Arc<Feed>,
    projections: BTreeMap<&'static str, Running>,
    stop: watch::Sender<bool>,
}

struct Running {
    version: u32,
    progress: watch::Receiver<Progress>,
    resume: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Runner {
    /// Starts a task for each projection. Returns at once: a database that is down is waited for.
    #[must_use]
    pub fn start(
        log: Arc<dyn EventStore>,
        store: &Arc<dyn ReadStore>,
        projections: impl IntoIterator<Item = Arc<dyn Projection>>,
        options: Options,
    ) -> Runner {
        let feed = Arc::new(Feed::new(log, options.page_events));
        let (stop, stopped) = watch::channel(false);
        let start = |projection: Arc<dyn Projection>| {
            let definition = projection.definition();
            let (sender, progress) = watch::channel(Progress::default());
            let resume = Arc::new(Notify::new());
            let projector = Projector {
                projection,
                feed: feed.clone(),
                store: store.clone(),
                batch_events_max: options.batch_events_max.max(1),
                progress: sender,
                resume: resume.clone(),
                stop: stopped.clone(),
                looked_at: None,
            };
            (definition.name, Running { version: definition.version, progress, resume, task: tokio::spawn(projector.run()) })
        };
        let projections = projections.into_iter().map(start).collect();
        Runner { feed, projections, stop }
    }

    /// Waits until these projections have applied everything up to a position: what `X-Min-Position` asks for.
    ///
    /// # Errors
    /// When one is not there in time, has halted, or does not run here.
    pub async fn wait_for(&self, names: &[&str], position: Position, timeout: Duration) -> Result<(), WaitError> {
        self.wait_until(names, position, timeout, |progress| progress.position).await
    }

    /// Waits until every projection has applied everything that is in the log now, and has written its checkpoint.
    ///
    /// # Errors
    /// When the log cannot be read, or as [`Runner::wait_for`].
    pub async fn wait_for_head(&self, timeout: Duration) -> Result<Result<Position, WaitError>, StoreError> {
        let head = self.feed.store().head().await?.position;
        let names: Vec<&str> = self.projections.keys().copied().collect();
        Ok(self.wait_until(&names, head, timeout, |progress| progress.written).await.map(|()| head))
    }

    async fn wait_until(
        &self,
        names: &[&str],
        position: Position,
        timeout: Duration,
        place: fn(&Progress) -> Position,
    ) -> Result<(), WaitError> {
        let deadline = Instant::now() + timeout;
        for name in names {
            let running = self.projections.get(name).ok_or_else(|| WaitError::Unknown { name: (*name).to_owned() })?;
            let mut progress = running.progress.clone();
            let there = progress.wait_for(|progress| place(progress) >= position || progress.state == State::Halted);
            let name = (*name).to_owned();
            match tokio::time::timeout_at(deadline, there).await {
                Ok(Ok(progress)) if place(&progress) >= position => {}
                Ok(Ok(_)) => return Err(WaitError::Halted { name, position }),
                Ok(Err(_)) | Err(_) => return Err(WaitError::TimedOut { name, position }),
            }
        }
        Ok(())
    }

    /// How each projection is.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn status(&self) -> Result<Vec<Status>, StoreError> {
        let head = self.feed.store().head().await?;
        let newest = self.projections.values().filter_map(|running| running.progress.borrow().recorded_at).max();
        let status = |(name, running): (&&'static str, &Running)| {
            let progress = running.progress.borrow().clone();
            let lag_events = head.events.saturating_sub(progress.counted.total());
            let lag = |newest: Timestamp| progress.recorded_at.map_or(0, |mine| newest.seconds_since(mine));
            let recent = progress.rate.filter(|(when, _)| when.elapsed() < Duration::from_secs(5));
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let events_per_s = recent.map_or(0, |(_, rate)| rate as u64);
            Status {
                name: (*name).to_owned(),
                version: running.version,
                build: progress.build,
                state: progress.state,
                position: progress.position,
                head: head.position,
                lag_events,
                lag_seconds: if lag_events == 0 { 0 } else { newest.map_or(0, lag) },
                counted: progress.counted,
                events_per_s,
                error: progress.error,
                halt: progress.halt,
            }
        };
        Ok(self.projections.iter().map(status).collect())
    }

    /// Lets a halted projection try again. Says whether it runs here.
    pub fn resume(&self, name: &str) -> bool {
        self.projections.get(name).map(|running| running.resume.notify_one()).is_some()
    }

    /// Lets every projection finish its batch, and ends. A runner that is dropped instead ends them by themselves, a little later.
    pub async fn stop(self) {
        // Without receivers there is nothing to stop.
        let _ = self.stop.send(true);
        join_all(self.projections.into_values().map(|running| running.task)).await;
    }
}
