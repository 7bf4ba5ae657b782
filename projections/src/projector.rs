//! One projection's life: open its build, gather a batch, fold, commit rows and checkpoint, again and again.
//!
//! It stops alone on an event it cannot apply, and waits for ever on a database or a log that is down. It never skips.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use domain::log::{Filter, Position, StoreError};

use crate::feed::Feed;
use crate::fold::{Definition, Folded, Moment, Projection};
use crate::observer::{Applied, Observer};
use crate::port::{Batch, Build, Halt, Opened, ReadStore, ReadStoreError};
use crate::quarantine::{Fate, Quarantined, Sorting};
use crate::registry::{Seen, news};
use crate::status::{Progress, State};
use crate::stretch::{Stretch, halt_at, outcome};

const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// After this many events, a checkpoint is written even where no row changed, and the database looks at its tables anew at the head.
const MANY_EVENTS: u64 = 10_000;
/// So few events are folded where they are.
const FEW_EVENTS: usize = 128;
/// A checkpoint without rows is written when nothing has come for this long.
const QUIET: Duration = Duration::from_millis(100);
/// How often it looks whether a rebuild has made a build to write on.
const NO_BUILD: Duration = Duration::from_millis(500);
/// While events keep coming in numbers, the next batch is gathered for this long: fewer and larger batches cost the database a fraction, and leave the machine to
/// whoever writes the log.
const GATHER: Duration = Duration::from_millis(150);
/// A large batch waits for its turn no longer than this: another one that hangs must not hold everybody up.
const TURN_WAIT: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub(crate) struct Projector {
    pub(crate) projection: Arc<dyn Projection>,
    pub(crate) feed: Arc<Feed>,
    pub(crate) store: Arc<dyn ReadStore>,
    pub(crate) batch_events_max: usize,
    pub(crate) first_build_events_max: u64,
    pub(crate) progress: watch::Sender<Progress>,
    pub(crate) resume: Arc<Notify>,
    pub(crate) seen: watch::Receiver<Arc<Seen>>,
    pub(crate) stop: watch::Receiver<bool>,
    /// How many events there were when the database last looked at its tables.
    pub(crate) looked_at: Option<u64>,
    /// Until when the next batch is gathered, when there are many events.
    pub(crate) gather_until: Option<Instant>,
    /// Large batches of all projections take turns.
    pub(crate) turns: Arc<Semaphore>,
    /// Is told of what is committed.
    pub(crate) observer: Option<Arc<dyn Observer>>,
}

/// Why a run of a projector ended without being told to.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Log(StoreError),
    #[error(transparent)]
    Database(ReadStoreError),
    /// The registry says that there is something else to write on, or that another process leads.
    #[error("the registry has changed")]
    Displaced,
    #[error("{}", halt.error)]
    Halted {
        build: Box<Build>,
        halt: Box<Halt>,
        /// What the registry showed before says nothing about it.
        noted: Instant,
    },
    /// There is none to write on: a rebuild has to make one.
    #[error("no build of this version serves")]
    NoBuild(State, Option<Box<Build>>),
}

impl Trouble {
    fn halted(build: &Build, halt: Halt) -> Trouble {
        Trouble::Halted { build: Box::new(build.clone()), halt: Box::new(halt), noted: Instant::now() }
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Trouble {
        Trouble::Log(error)
    }
}

impl From<ReadStoreError> for Trouble {
    fn from(error: ReadStoreError) -> Trouble {
        Trouble::Database(error)
    }
}

impl Projector {
    /// Runs until it is told to stop.
    pub(crate) async fn run(mut self) {
        let name = self.projection.definition().name;
        let mut backoff = BACKOFF_MIN;
        let mut troubled = false;
        let mut superseded = false;
        while self.lead(name).await {
            let before = self.progress.borrow().position;
            let trouble = match self.follow().await {
                Ok(()) => return,
                Err(trouble) => trouble,
            };
            if self.progress.borrow().position > before {
                backoff = BACKOFF_MIN;
                (troubled, superseded) = (false, false);
            }
            match trouble {
                Trouble::Displaced => {
                    info!(projection = name, "the registry has changed: the projection opens its build anew");
                    continue;
                }
                Trouble::Halted { build, halt, noted } => {
                    error!(projection = name, position = %halt.position, event_type = halt.event_type, error = halt.error, "projection halted");
                    self.progress.send_modify(|progress| {
                        progress.state = State::Halted;
                        progress.error = Some(halt.error.clone());
                        progress.halt = Some(*halt);
                    });
                    if !self.lifted(&build, noted).await {
                        return;
                    }
                    info!(projection = name, "projection tries again");
                    continue;
                }
                Trouble::NoBuild(state, serving) => {
                    self.progress.send_modify(|progress| progress.without_build(state, serving.as_deref()));
                    backoff = NO_BUILD;
                }
                Trouble::Database(ReadStoreError::Superseded { build, from }) => {
                    debug!(projection = name, build, %from, "the build was swapped, or another projector was faster");
                    // What is there now is there already: nothing is to be waited for, unless that does not help.
                    if !std::mem::replace(&mut superseded, true) {
                        continue;
                    }
                }
                Trouble::Log(_)
                | Trouble::Database(
                    ReadStoreError::Unavailable { .. }
                    | ReadStoreError::Full { .. }
                    | ReadStoreError::Missing { .. }
                    | ReadStoreError::Refused { .. },
                ) => {
                    let reason = trouble.to_string();
                    // Logged once when it begins; the status says it for as long as it lasts.
                    if !troubled {
                        warn!(projection = name, reason, "projection waits");
                        troubled = true;
                    }
                    self.progress.send_modify(|progress| {
                        progress.state = State::Waiting;
                        progress.error = Some(reason);
                    });
                }
            }
            tokio::select! {
                () = tokio::time::sleep(backoff) => {}
                _ = self.stop.wait_for(|stop| *stop) => return,
            }
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    /// Returns true once this process leads the projection; false when it is told to stop before.
    async fn lead(&mut self, name: &str) -> bool {
        let mut stood_by = false;
        loop {
            let seen = self.seen.borrow_and_update().clone();
            if seen.leads(name) {
                if stood_by {
                    info!(projection = name, "this process leads the projection");
                    self.progress.send_modify(|progress| progress.state = State::Starting);
                }
                return true;
            }
            if seen.is_something() {
                stood_by = true;
                self.progress.send_modify(|progress| progress.stands_by(&seen, name));
            }
            tokio::select! {
                () = news(&mut self.seen) => {}
                _ = self.stop.wait_for(|stop| *stop) => return false,
            }
        }
    }

    /// Returns true once a halted projection may try again: it was told to, the halt was lifted in the registry, another build serves, or another process
    /// leads. False when it is told to stop before.
    async fn lifted(&mut self, build: &Build, noted: Instant) -> bool {
        loop {
            let seen = self.seen.borrow_and_update().clone();
            if seen.lifts(build, noted) || seen.displaces(build, noted) {
                return true;
            }
            tokio::select! {
                () = self.resume.notified() => return true,
                () = news(&mut self.seen) => {}
                _ = self.stop.wait_for(|stop| *stop) => return false,
            }
        }
    }

    /// Follows the log until it is told to stop.
    async fn follow(&mut self) -> Result<(), Trouble> {
        let definition = self.projection.definition();
        let may_begin = self.feed.store().head().await?.events <= self.first_build_events_max;
        let mut build = match self.store.open(&definition, may_begin).await? {
            Opened::Build(build) => build,
            Opened::Outdated(build) => return Err(Trouble::NoBuild(State::Outdated, Some(Box::new(build)))),
            Opened::Filling => return Err(Trouble::NoBuild(State::Rebuilding, None)),
        };
        let opened = Instant::now();
        self.check_ledger(&build).await?;
        // Decisions stand behind their events: all of them are known before anything is folded.
        let mut sorting = Arc::new(Sorting::new(&definition, self.quarantined().await?));
        self.progress.send_modify(|progress| progress.opened(&build));
        let total = build.counted.total();
        self.looked_at = Some(self.looked_at.map_or(total, |at| at.min(total)));
        let mut events_max = self.batch_events_max;
        // Events that are not this projection's change no row: their checkpoint is written with the next rows, or a moment later.
        let mut idle: Option<Batch> = None;
        loop {
            if *self.stop.borrow() || self.stop.has_changed().is_err() {
                return self.write(&definition, &mut build, idle).await;
            }
            if self.seen.borrow_and_update().displaces(&build, opened) {
                return Err(Trouble::Displaced);
            }
            let at = idle.as_ref().map_or(build.position, |idle| idle.to);
            let Some(stretch) = self.gather(&definition, &mut build, at, events_max, idle.is_some()).await? else {
                self.write(&definition, &mut build, idle.take()).await?;
                continue;
            };
            let turns = Arc::clone(&self.turns);
            let is_large = stretch.entries().nth(FEW_EVENTS).is_some();
            let _turn = if is_large { tokio::time::timeout(TURN_WAIT, turns.acquire()).await.ok() } else { None };
            let began = Instant::now();
            let (batch, halt) = self.fold(&definition, &build, &stretch, &sorting).await?;
            let (changes_nothing, events) = (batch.counted.applied == 0 && halt.is_none(), batch.counted.total());
            let recorded_at =
                stretch.entries().take_while(|(entry, _)| entry.position <= batch.to).last().map(|(entry, _)| entry.recorded_at);
            let batch = after_idle(idle.as_ref(), batch);
            if changes_nothing && batch.counted.total() < MANY_EVENTS {
                self.progress.send_modify(|progress| progress.reached(batch.to, after(&build, &batch).counted, events, recorded_at, began));
                idle = Some(batch);
                continue;
            }
            let halt = match self.write(&definition, &mut build, Some(batch)).await {
                Ok(()) => {
                    idle = None;
                    self.tell(&build, &stretch, &sorting, began);
                    events_max = (events_max * 2).min(self.batch_events_max);
                    self.gather_until = is_large.then(|| Instant::now() + GATHER);
                    self.progress.send_modify(|progress| progress.reached(build.position, build.counted, events, recorded_at, began));
                    halt
                }
                // The database names no event: one at a time, until the one that it refuses is found.
                Err(Trouble::Database(ReadStoreError::Refused { .. })) if events > 1 => {
                    events_max = 1;
                    continue;
                }
                Err(Trouble::Database(ReadStoreError::Refused { reason })) => match stretch.entries().next() {
                    Some((entry, _)) => Some(halt_at(entry, &reason)),
                    None => return Err(ReadStoreError::Refused { reason }.into()),
                },
                Err(trouble) => return Err(trouble),
            };
            let Some(halt) = halt else { continue };
            // It may have been decided since this began, through another process that had met the event before.
            let quarantined = self.quarantined().await?;
            if !quarantined.contains(definition.name, halt.event_id) {
                return Err(self.halt(&build, halt).await);
            }
            sorting = Arc::new(Sorting::new(&definition, quarantined));
        }
    }

    /// Tells of the events that the build holds now.
    fn tell(&self, build: &Build, stretch: &Stretch, sorting: &Sorting, began: Instant) {
        let Some(observer) = &self.observer else { return };
        let held = stretch.entries().map(|(entry, _)| entry).take_while(|entry| entry.position <= build.position);
        let mut events = held
            .filter(|entry| sorting.fate(entry.event_type.as_str(), entry.event_id) == Fate::Handled)
            .filter_map(|entry| Some((&entry.event_type, entry.recorded.as_ref().ok()?)));
        let projection = self.projection.definition().name;
        observer.applied(Applied { projection, build: build.number, took: began.elapsed(), events: &mut events });
    }

    /// Every decision about this projection, wherever it stands.
    async fn quarantined(&self) -> Result<Arc<Quarantined>, StoreError> {
        let name = self.projection.definition().name;
        Quarantined::of(self.feed.store().as_ref(), name).await.map(Arc::new)
    }

    /// Rows and checkpoint, together.
    async fn write(&self, definition: &Definition, build: &mut Build, batch: Option<Batch>) -> Result<(), Trouble> {
        let Some(batch) = batch.filter(|batch| batch.to > batch.from) else { return Ok(()) };
        self.store.commit(definition, build, &batch).await?;
        *build = after(build, &batch);
        // All at once: whoever waits for the position must not find the events before it uncounted.
        self.progress.send_modify(|progress| {
            (progress.written, progress.position, progress.counted) = (build.position, build.position, build.counted);
        });
        Ok(())
    }

    /// The next events: as many as are there, up to a batch. Few while it is live, so that the lag is small; many while it catches up. `None` when
    /// there are none for a moment and something waits to be written, or when it is to stop.
    async fn gather(
        &mut self,
        definition: &Definition,
        build: &mut Build,
        mut at: Position,
        events_max: usize,
        is_something_unwritten: bool,
    ) -> Result<Option<Stretch>, Trouble> {
        let mut stretch = Stretch { pages: Vec::new(), after: at, events_max };
        let mut events = 0;
        while events < events_max {
            match self.feed.after(at).await? {
                Some(page) => {
                    events += page.entries.iter().filter(|entry| entry.position > at).count();
                    let after = std::mem::replace(&mut at, page.scanned_to);
                    stretch.pages.push((after, page));
                }
                None if stretch.pages.is_empty() => {
                    if !is_something_unwritten {
                        self.at_the_head(definition, build).await?;
                    }
                    self.progress.send_modify(|progress| progress.state = State::Live);
                    tokio::select! {
                        waited = self.feed.wait_past(at) => waited?,
                        () = tokio::time::sleep(QUIET), if is_something_unwritten => return Ok(None),
                        () = news(&mut self.seen) => return Ok(None),
                        _ = self.stop.wait_for(|stop| *stop) => return Ok(None),
                    }
                }
                None => {
                    let Some(until) = self.gather_until.take() else { break };
                    tokio::select! {
                        () = tokio::time::sleep_until(until) => {}
                        _ = self.stop.wait_for(|stop| *stop) => break,
                    }
                }
            }
        }
        Ok(Some(stretch))
    }

    /// What is done when everything is applied and written.
    async fn at_the_head(&mut self, definition: &Definition, build: &mut Build) -> Result<(), Trouble> {
        let total = build.counted.total();
        if self.looked_at.is_some_and(|at| total - at >= MANY_EVENTS) {
            self.store.caught_up(definition, build).await?;
            self.looked_at = Some(total);
        }
        Ok(())
    }

    async fn fold(
        &self,
        definition: &Definition,
        build: &Build,
        stretch: &Stretch,
        sorting: &Arc<Sorting>,
    ) -> Result<(Batch, Option<Halt>), Trouble> {
        if !stretch.entries().any(|(entry, _)| sorting.fate(entry.event_type.as_str(), entry.event_id) == Fate::Handled) {
            return Ok(outcome(stretch, sorting, Folded::default()));
        }
        let keys = self.work(stretch, sorting, |projection, moments| projection.keys(moments)).await?;
        let rows = if keys.is_empty() { Vec::new() } else { self.store.load(definition, build, &keys).await? };
        let folded = self.work(stretch, sorting, move |projection, moments| projection.fold(rows, moments)).await?;
        Ok(outcome(stretch, sorting, folded))
    }

    /// Folding is pure work; large stretches leave the runtime's threads free.
    async fn work<T: Send + 'static>(
        &self,
        stretch: &Stretch,
        sorting: &Arc<Sorting>,
        work: impl FnOnce(&dyn Projection, &[Moment<'_>]) -> T + Send + 'static,
    ) -> Result<T, Trouble> {
        if stretch.entries().nth(FEW_EVENTS).is_none() {
            return Ok(work(&*self.projection, &stretch.moments(sorting)));
        }
        let (projection, stretch, sorting) = (self.projection.clone(), stretch.clone(), sorting.clone());
        tokio::task::spawn_blocking(move || work(&*projection, &stretch.moments(&sorting)))
            .await
            .map_err(|error| Trouble::Log(StoreError::Unavailable { reason: error.to_string() }))
    }

    /// A view of another ledger is worse than none: the last event that it holds must be in its place.
    async fn check_ledger(&self, build: &Build) -> Result<(), Trouble> {
        let (Some(expected), Some(before)) = (build.last_event, build.position.0.checked_sub(1)) else { return Ok(()) };
        let page = self.feed.store().read_all(Position(before), &Filter::All, 1).await?;
        // A checkpoint is an event's place, on every engine: another number there is another log's, though it be the same ledger.
        let found = page.events.first().filter(|event| event.position == build.position);
        if found.is_none_or(|event| event.metadata.event_id != expected) {
            let error = "the build holds events that this ledger does not have: it was made from another one".to_owned();
            let halt = Halt {
                position: build.position,
                event_id: expected,
                event_type: String::new(),
                stream: String::new(),
                error,
                event: serde_json::Value::Null,
            };
            // Written down, so that whoever asks from another process hears of it too.
            self.store.note_halt(build, Some(&halt)).await?;
            return Err(Trouble::halted(build, halt));
        }
        // An event that cannot be applied stands behind the checkpoint; what was noted at the checkpoint was another ledger, and is over.
        if build.halt.as_ref().is_some_and(|halt| halt.position <= build.position) {
            self.store.note_halt(build, None).await?;
        }
        Ok(())
    }

    async fn halt(&self, build: &Build, halt: Halt) -> Trouble {
        match self.store.note_halt(build, Some(&halt)).await {
            Ok(()) => Trouble::halted(build, halt),
            // Not written down is not visible to everybody: try again, and come back here.
            Err(error) => Trouble::Database(error),
        }
    }
}

/// A build after a batch.
fn after(build: &Build, batch: &Batch) -> Build {
    let counted = build.counted + batch.counted;
    Build { position: batch.to, last_event: batch.last_event.or(build.last_event), counted, ..build.clone() }
}

/// A batch together with the events before it that changed nothing.
fn after_idle(idle: Option<&Batch>, batch: Batch) -> Batch {
    let Some(idle) = idle else { return batch };
    let counted = idle.counted + batch.counted;
    Batch { from: idle.from, last_event: batch.last_event.or(idle.last_event), counted, ..batch }
}
