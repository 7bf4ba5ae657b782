//! All projections, running: a task for each, one feed of the log for all, one look at the registry, one connection that leads.
//!
//! Several processes may run the same projections. One of them leads each; the others stand by, know how far it is, and take over when it is gone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use domain::log::{EventStore, Position, StoreError};

use crate::feed::Feed;
use crate::fold::Projection;
use crate::observer::Observer;
use crate::port::ReadStore;
use crate::projector::Projector;
use crate::registry::{self, Seen};
use crate::status::{self, Progress};
use crate::supervisor::{Task, supervise};

pub use crate::status::{State, Status};

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
#[derive(Debug, Clone)]
pub struct Options {
    /// Events that are read from the log at once.
    pub page_events: usize,
    /// Events that a projection writes at once while it catches up.
    pub batch_events_max: usize,
    /// A projection without any build begins one by itself where the log has no more events than this; else it waits for a rebuild.
    pub first_build_events_max: u64,
    /// A projection that stands still for this long while the log moves on is started again.
    pub stuck_after: Duration,
    /// Projections that fold and write a large batch at the same time: no more than there are processors, or else whoever writes the log, and whoever asks,
    /// would wait behind all of them.
    pub large_batches_at_once: usize,
    /// Is told of events once a view holds them.
    pub observer: Option<Arc<dyn Observer>>,
}

impl Default for Options {
    fn default() -> Options {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Options {
            page_events: 1_024,
            batch_events_max: 4_096,
            first_build_events_max: u64::MAX,
            stuck_after: Duration::from_secs(30),
            large_batches_at_once: processors,
            observer: None,
        }
    }
}

/// All projections, running.
pub struct Runner {
    feed: Arc<Feed>,
    running: Arc<Running>,
    stop: watch::Sender<bool>,
    supervisor: JoinHandle<()>,
    /// Looks at the registry, and leads. It ends with this.
    watching: Watching,
}

/// What is known of each projection's task.
pub(crate) struct Running {
    each: BTreeMap<&'static str, One>,
    seen: watch::Receiver<Arc<Seen>>,
}

struct One {
    version: u32,
    progress: watch::Receiver<Progress>,
    resume: Arc<Notify>,
}

impl Running {
    pub(crate) fn progress(&self) -> Vec<(&'static str, u32, Progress)> {
        self.each.iter().map(|(name, one)| (*name, one.version, one.progress.borrow().clone())).collect()
    }

    /// What is the matter with the database, if it is away.
    pub(crate) fn away(&self) -> Option<String> {
        self.seen.borrow().away().map(str::to_owned)
    }
}

/// Dropping it gives leadership up.
struct Watching(JoinHandle<()>);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.abort();
    }
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
        let Options { page_events, batch_events_max, first_build_events_max, stuck_after, large_batches_at_once, observer } = options;
        let feed = Arc::new(Feed::new(log, page_events));
        let (stop, stopped) = watch::channel(false);
        let (look, seen) = watch::channel(Arc::new(Seen::default()));
        let mut running = BTreeMap::new();
        let mut tasks = Vec::new();
        let turns = Arc::new(Semaphore::new(large_batches_at_once.max(1)));
        for projection in projections {
            let definition = projection.definition();
            let (sender, progress) = watch::channel(Progress::default());
            let resume = Arc::new(Notify::new());
            let projector = Projector {
                projection,
                feed: feed.clone(),
                store: store.clone(),
                batch_events_max: batch_events_max.max(1),
                first_build_events_max,
                progress: sender,
                resume: resume.clone(),
                seen: seen.clone(),
                stop: stopped.clone(),
                looked_at: None,
                gather_until: None,
                turns: turns.clone(),
                observer: observer.clone(),
            };
            running.insert(definition.name, One { version: definition.version, progress, resume });
            tasks.push(Task::start(projector, stuck_after));
        }
        let led = running.iter().map(|(name, running)| (*name, running.version)).collect();
        let running = Arc::new(Running { each: running, seen });
        let watching = Watching(tokio::spawn(registry::watch(store.clone(), store.leadership(), led, look)));
        let supervisor = tokio::spawn(supervise(tasks, running.clone(), feed.clone(), stuck_after, stopped));
        Runner { feed, running, stop, supervisor, watching }
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
        let names: Vec<&str> = self.running.each.keys().copied().collect();
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
            let running = self.running.each.get(name).ok_or_else(|| WaitError::Unknown { name: (*name).to_owned() })?;
            let mut progress = running.progress.clone();
            // One that stands by shows the halt of the process that leads.
            let there = progress.wait_for(|progress| place(progress) >= position || progress.halt.is_some());
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
        status::look(&self.feed, self.running.progress(), self.running.away()).await
    }

    /// Whether the read models' database was away when it was last looked at.
    #[must_use]
    pub fn is_away(&self) -> bool {
        self.running.away().is_some()
    }

    /// Lets a halted projection try again at once. Says whether it runs here. A halt that is lifted in the registry is noticed by itself, a moment later.
    pub fn resume(&self, name: &str) -> bool {
        self.running.each.get(name).map(|one| one.resume.notify_one()).is_some()
    }

    /// Lets every projection finish its batch, and ends. A runner that is dropped instead ends them by themselves, a little later.
    pub async fn stop(self) {
        let Runner { stop, supervisor, mut watching, .. } = self;
        // Without receivers there is nothing to stop.
        let _ = stop.send(true);
        let _ = supervisor.await;
        // Others may lead from here on: not a moment before the last row is written, and not long after.
        watching.0.abort();
        let _ = (&mut watching.0).await;
    }
}
