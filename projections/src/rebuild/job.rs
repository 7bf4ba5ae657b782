//! A rebuild from its beginning to filled and indexed tables. Each phase can be interrupted and gone on with.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use domain::log::{EventStore, Position, StoreError};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tracing::{info, warn};

use super::RebuildError;
use super::board::{Board, NOTE_EVERY};
use super::control::Control;
use super::past::{Census, context_to};
use super::port::{Begin, Begun, BuildStore, Job, Lease, Phase, Wanted};
use super::replay::{Replay, Tally, Target, Trouble};
use super::waiting::Patience;
use crate::fold::{Definition, Projection};
use crate::measure;
use crate::port::{Build, BuildState, Counted, ReadStoreError};
use crate::quarantine::{Quarantined, Sorting};

/// How often the right to rebuild is asked for before another process is taken to have it.
const LEASE_TRIES: u32 = 5;
const LEASE_EVERY: Duration = Duration::from_millis(200);

/// What happens to a build that is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// It takes its place by itself.
    Swap,
    /// It takes its place when somebody has agreed to the difference.
    Approve,
    /// It stays beside the one that serves.
    Keep,
}

/// How a rebuild works.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Threads that read and threads that fold.
    pub cores: usize,
    /// About how much memory the rows of keyed projections may take.
    pub memory_bytes: usize,
    /// How many rows it may write in a second.
    pub db_rows_per_s_max: Option<u64>,
    /// What happens at the end.
    pub finish: Finish,
    /// Events that are read and decoded at once by each thread.
    pub stretch_events: u64,
}

impl Default for Options {
    fn default() -> Options {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Options { cores, memory_bytes: 512 << 20, db_rows_per_s_max: None, finish: Finish::Swap, stretch_events: 4_096 }
    }
}

/// Hears how far a rebuild is.
pub type Watcher = Arc<dyn Fn(&Job) + Send + Sync>;

/// Rebuilds read models.
pub struct Rebuilder {
    pub(super) log: Arc<dyn EventStore>,
    pub(super) store: Arc<dyn BuildStore>,
    pub(super) options: Options,
    pub(super) census: Census,
    watcher: Watcher,
}

/// The rebuild of one projection, under way.
pub(super) struct Work {
    pub(super) projection: Arc<dyn Projection>,
    pub(super) definition: Definition,
    pub(super) sorting: Sorting,
    pub(super) build: Build,
    pub(super) job: Job,
    /// What was counted while folding, by type, as far as this process did it.
    pub(super) applied: Option<BTreeMap<String, u64>>,
    pub(super) lease: Arc<dyn Lease>,
}

/// Ends the threads of a replay that nobody waits for any more.
struct StopOnDrop(Arc<Control>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.want(Wanted::Cancel);
    }
}

impl Rebuilder {
    /// A rebuilder of the read models in a database, from a log. `watcher` hears how far each rebuild is.
    #[must_use]
    pub fn new(log: Arc<dyn EventStore>, store: Arc<dyn BuildStore>, options: Options, watcher: Watcher) -> Rebuilder {
        Rebuilder { log, store, options, census: Census::default(), watcher }
    }

    /// Rebuilds these projections: the log is read for all of them together, then each is finished by itself. One that cannot be rebuilt holds up no other.
    ///
    /// # Errors
    /// When the log cannot be read. What became of each projection stands in its own result.
    pub async fn rebuild(&self, projections: Vec<Arc<dyn Projection>>, by: &str) -> Result<Vec<Result<Job, RebuildError>>, RebuildError> {
        let head = self.log.head().await?;
        let mut works = Vec::new();
        let mut results = Vec::new();
        for projection in projections {
            let name = projection.definition().name.to_owned();
            match self
                .begin(projection, Begin { name, until: head.position, events: head.events, is_as_of: false, by: by.to_owned() })
                .await
            {
                Ok(begun) => works.push(begun),
                Err(error) => results.push(Err(error)),
            }
        }
        // A rebuild that goes on ends its replay where it was going to.
        let mut by_end: BTreeMap<Position, Vec<(Work, Begun)>> = BTreeMap::new();
        for (work, begun) in works {
            by_end.entry(work.job.until).or_default().push((work, begun));
        }
        for (until, group) in by_end {
            for replayed in self.replay(until, group).await? {
                results.push(match replayed {
                    Ok(work) => self.finish(work).await,
                    Err(error) => Err(error),
                });
            }
        }
        Ok(results)
    }

    /// Builds a projection as it was at a position, under another name, for people to look at.
    ///
    /// # Errors
    /// As [`RebuildError`] says.
    pub async fn rebuild_as_of(&self, projection: Arc<dyn Projection>, until: Position, name: &str, by: &str) -> Result<Job, RebuildError> {
        let head = self.log.head().await?;
        // Only how the log is cut into stretches depends on it: gaps between positions are spread evenly.
        let events =
            u64::try_from(u128::from(head.events) * u128::from(until.0) / u128::from(head.position.0.max(1))).unwrap_or(head.events);
        let begin = Begin { name: name.to_owned(), until, events, is_as_of: true, by: by.to_owned() };
        let begun = self.begin(projection, begin).await?;
        let mut replayed = self.replay(until, vec![begun]).await?;
        let mut work = match replayed.pop() {
            Some(replayed) => replayed?,
            None => return Err(RebuildError::Cancelled { name: name.to_owned() }),
        };
        self.account(&mut work).await?;
        self.store.show_as_of(&work.definition, &work.build).await?;
        self.enter(&mut work, Phase::Ready).await?;
        Ok(work.job)
    }

    async fn begin(&self, projection: Arc<dyn Projection>, begin: Begin) -> Result<(Work, Begun), RebuildError> {
        let definition = projection.definition();
        let lease = self.lease(&begin.name).await?;
        let begun = self.patiently(None, || self.store.begin(&definition, &begin)).await?;
        let quarantined = Arc::new(Quarantined::read(&*self.log).await?);
        let sorting = Sorting::new(&definition, quarantined);
        let (build, job) = (begun.build.clone(), begun.job.clone());
        info!(projection = begin.name, build = build.number, until = %job.until, filled = begun.filled.len(), "rebuild begins");
        Ok((Work { projection, definition, sorting, build, job, applied: None, lease }, begun))
    }

    /// The right to rebuild. A process that has just ended may have it for a moment longer.
    pub(super) async fn lease(&self, name: &str) -> Result<Arc<dyn Lease>, RebuildError> {
        for _ in 0..LEASE_TRIES {
            if let Some(lease) = self.patiently(None, || self.store.lease(name)).await? {
                return Ok(Arc::from(lease));
            }
            tokio::time::sleep(LEASE_EVERY).await;
        }
        Err(RebuildError::Busy { name: name.to_owned() })
    }

    /// Fills the fresh tables, in as many readings of the log as memory asks for, and makes the indexes.
    async fn replay(&self, until: Position, group: Vec<(Work, Begun)>) -> Result<Vec<Result<Work, RebuildError>>, RebuildError> {
        let (mut works, mut filling, mut results) = (Vec::new(), Vec::new(), Vec::new());
        for (work, begun) in group {
            // Whoever stands somewhere has been filled and indexed before it was interrupted.
            if work.build.position > Position(0) {
                results.push(Ok(work));
                continue;
            }
            let Work { projection, sorting, build, .. } = &work;
            filling.push(Target { projection: projection.clone(), sorting: sorting.clone(), build: build.clone(), filled: begun.filled });
            works.push(work);
        }
        if works.is_empty() {
            return Ok(results);
        }
        let control = Arc::new(Control::new(self.options.db_rows_per_s_max));
        let replay = Arc::new(Replay {
            log: self.log.clone(),
            store: self.store.clone(),
            runtime: Handle::current(),
            context: Arc::new(context_to(&*self.log, until).await?),
            control: control.clone(),
            cores: self.options.cores.max(1),
            memory_bytes: self.options.memory_bytes,
            stretch_events: self.options.stretch_events.max(1),
            until,
            events: works.iter().map(|work| work.job.events_total).max().unwrap_or_default(),
        });
        let board = Arc::new(Board::new(works.iter().map(|work| work.job.clone()).collect(), control.clone()));
        // Whoever drops this future ends its threads and its task, too.
        let _stopping = StopOnDrop(control.clone());
        let mut noting = JoinSet::new();
        noting.spawn(board.clone().keep_noting(self.store.clone(), self.watcher.clone()));
        let replayed = self.passes(replay, &board, filling, &mut works).await;
        noting.abort_all();
        let jobs = board.jobs();
        for (work, error) in replayed.1 {
            results.push(Err(self.failed(work, error).await));
        }
        let tally = match replayed.0 {
            Ok(tally) => tally,
            Err(error) => {
                for work in works {
                    results.push(Err(self.failed(work, error.clone()).await));
                }
                return Ok(results);
            }
        };
        let rows = control.rows.load(Ordering::Relaxed);
        for (number, mut work) in works.into_iter().enumerate() {
            work.job.rows = rows;
            if let Some(job) = jobs.iter().find(|job| job.name == work.job.name) {
                (work.job.passes, work.job.wanted) = (job.passes, job.wanted);
            }
            let applied = tally.applied.get(number).cloned().unwrap_or_default();
            let quarantined = tally.quarantined.get(number).copied().unwrap_or_default();
            results.push(self.index(work, &tally, applied, quarantined, until).await);
        }
        Ok(results)
    }

    /// Reads the log until nothing is missing; a database that is away is waited for. Projections that cannot apply an event are taken out of `works`, and
    /// returned with what stopped them.
    async fn passes(
        &self,
        replay: Arc<Replay>,
        board: &Board,
        mut filling: Vec<Target>,
        works: &mut Vec<Work>,
    ) -> (Result<Tally, RebuildError>, Vec<(Work, RebuildError)>) {
        let (mut failed, mut patience) = (Vec::new(), Patience::default());
        let mut counted: Option<Tally> = None;
        loop {
            let is_filled = filling.iter().all(|target| target.gaps(replay.until).is_empty());
            match counted.take() {
                Some(tally) if is_filled => return (Ok(tally), failed),
                None if filling.is_empty() => return (Ok(Tally::default()), failed),
                Some(_) | None => {}
            }
            board.next_pass();
            replay.control.begin_pass();
            let (pass, mut targets) = (replay.clone(), std::mem::take(&mut filling));
            // The right to rebuild lasts for as long as there are threads at work.
            let leases: Vec<_> = works.iter().map(|work| work.lease.clone()).collect();
            let passed = tokio::task::spawn_blocking(move || {
                let passed = pass.pass(&mut targets);
                drop(leases);
                (passed, targets)
            });
            let trouble = match passed.await {
                Ok((Ok(tally), targets)) => {
                    (counted, filling) = (Some(tally), targets);
                    patience = Patience::default();
                    board.trouble(None);
                    continue;
                }
                Ok((Err(trouble), targets)) => {
                    filling = targets;
                    trouble
                }
                Err(error) => Trouble::Failed(StoreError::Unavailable { reason: error.to_string() }.into()),
            };
            match trouble {
                Trouble::Halted { target, halt } => {
                    filling.remove(target);
                    let work = works.remove(target);
                    board.leave(&work.job.name);
                    let name = work.job.name.clone();
                    failed.push((work, RebuildError::Halted { name, halt }));
                }
                Trouble::Stopped => {
                    let name = works.first().map(|work| work.job.name.clone()).unwrap_or_default();
                    return (Err(RebuildError::Cancelled { name }), failed);
                }
                Trouble::Failed(RebuildError::Database(error @ ReadStoreError::Full { .. })) => {
                    let builds: Vec<Build> = works.iter().map(|work| work.build.clone()).collect();
                    let (said, wait) = self.ask_for_room(&builds, &error, &mut patience).await;
                    board.trouble(Some(&said));
                    if let Err(error) = self.stand_still(&board.jobs(), wait, false).await {
                        return (Err(error), failed);
                    }
                }
                Trouble::Failed(RebuildError::Database(error)) if error.is_retryable() => {
                    warn!(%error, "a rebuild waits");
                    board.trouble(Some(&error.to_string()));
                    patience.wait().await;
                }
                Trouble::Failed(error) => return (Err(error), failed),
            }
            if let Err(error) = self.look_again(&replay, &mut filling, works).await {
                return (Err(error), failed);
            }
        }
    }

    /// After trouble: what was committed is filled, also where nobody heard of it; and the right to rebuild may have gone with its connection.
    async fn look_again(&self, replay: &Replay, filling: &mut [Target], works: &mut [Work]) -> Result<(), RebuildError> {
        for (work, target) in works.iter_mut().zip(filling) {
            let begin = Begin {
                name: work.job.name.clone(),
                until: replay.until,
                events: replay.events,
                is_as_of: work.build.state == BuildState::AsOf,
                by: work.job.by.clone(),
            };
            let begun = self.patiently(None, || self.store.begin(&work.definition, &begin)).await?;
            if begun.build.number != work.build.number {
                return Err(RebuildError::Cancelled { name: begin.name });
            }
            target.filled = begun.filled;
            if !work.lease.is_held().await {
                work.lease = self.lease(&begin.name).await?;
            }
        }
        Ok(())
    }

    async fn index(
        &self,
        mut work: Work,
        tally: &Tally,
        applied: BTreeMap<String, u64>,
        quarantined: u64,
        until: Position,
    ) -> Result<Work, RebuildError> {
        let indexed = async {
            self.enter(&mut work, Phase::Indexing).await?;
            self.patiently(Some(&mut work.job), || self.store.make_indexes(&work.definition, &work.build)).await?;
            let handled: u64 = applied.values().sum();
            let events: u64 = tally.events.values().sum();
            let counted = Counted { applied: handled, ignored: events - handled - quarantined, quarantined };
            let last = tally.last.map(|(_, event_id)| event_id);
            let build = &work.build;
            let stands = self.patiently(None, || self.store.filled_to(build, until, last, counted)).await?;
            work.build = stands;
            work.applied = Some(applied);
            Ok(())
        };
        match indexed.await {
            Ok(()) => Ok(work),
            Err(error) => Err(self.failed(work, error).await),
        }
    }

    /// Writes down that it could not go on.
    pub(super) async fn failed(&self, mut work: Work, error: RebuildError) -> RebuildError {
        work.job.phase = match &error {
            RebuildError::Cancelled { .. } => Phase::Cancelled,
            _ => Phase::Failed,
        };
        work.job.error = Some(error.to_string());
        if let RebuildError::Halted { halt, .. } = &error {
            work.job.halt = Some((**halt).clone());
        }
        warn!(projection = work.job.name, %error, "rebuild ends");
        if let Err(unnoted) = self.store.note(&work.job).await {
            warn!(projection = work.job.name, error = %unnoted, "the end of a rebuild could not be written down");
        }
        if work.job.phase == Phase::Cancelled
            && let Err(left) = self.store.drop_build(&work.build).await
        {
            warn!(projection = work.job.name, error = %left, "a cancelled build could not be dropped");
        }
        self.tell(&work.job);
        error
    }

    pub(super) async fn enter(&self, work: &mut Work, phase: Phase) -> Result<(), RebuildError> {
        work.job.phase = phase;
        (work.job.events_done, work.job.events_per_s, work.job.eta_s, work.job.error) = (0, 0, None, None);
        self.steer(work).await
    }

    pub(super) fn tell(&self, job: &Job) {
        measure::rebuilding(job);
        (self.watcher)(job);
    }

    /// Says how far it is, and does what people want.
    pub(super) async fn steer(&self, work: &mut Work) -> Result<(), RebuildError> {
        loop {
            let job = work.job.clone();
            work.job.wanted = self.patiently(None, || self.store.note(&job)).await?;
            self.tell(&work.job);
            match work.job.wanted {
                Wanted::Run => return Ok(()),
                Wanted::Cancel if work.job.phase != Phase::Swapped => return Err(RebuildError::Cancelled { name: work.job.name.clone() }),
                Wanted::Cancel => return Ok(()),
                Wanted::Pause => tokio::time::sleep(NOTE_EVERY).await,
            }
        }
    }
}
