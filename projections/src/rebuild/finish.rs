//! From filled tables to the view: catching up, accounting, comparing, swapping; and the way back.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::log::Position;
use tracing::info;

use super::RebuildError;
use super::job::{Finish, Rebuilder, Work};
use super::port::{Account, Diff, Held, Job, Phase, Wanted};
use super::waiting::Patience;
use crate::feed::{Entry, Feed};
use crate::fold::{Changes, Projection};
use crate::port::{Batch, Build, BuildState, Counted, ReadStoreError};
use crate::quarantine::{Fate, Quarantined, Sorting};
use crate::stretch::{Stretch, outcome};

/// Events that are read, and applied at once, while catching up.
const PAGE_EVENTS: usize = 4_096;
/// So near to the serving build that the rest is applied while its projector waits.
const NEAR_EVENTS: u64 = 512;

impl Rebuilder {
    /// From filled tables to the view.
    pub(super) async fn finish(&self, mut work: Work) -> Result<Job, RebuildError> {
        match self.finishing(&mut work).await {
            Ok(()) => Ok(work.job),
            Err(error) => Err(self.failed(work, error).await),
        }
    }

    async fn finishing(&self, work: &mut Work) -> Result<(), RebuildError> {
        let feed = Feed::new(self.log.clone(), PAGE_EVENTS);
        self.catch_up(&feed, work).await?;
        self.account(work).await?;
        self.compare(&feed, work).await?;
        match self.options.finish {
            Finish::Swap => self.swap(&feed, work, false).await,
            Finish::Approve if work.job.diff.as_ref().is_some_and(|diff| diff.rows_differing() > 0) => {
                self.enter(work, Phase::AwaitingApproval).await
            }
            Finish::Approve => self.swap(&feed, work, false).await,
            Finish::Keep => self.enter(work, Phase::Ready).await,
        }
    }

    /// Puts a build that is ready behind the view, once it has caught up: what a rebuild kept, or left for approval.
    ///
    /// # Errors
    /// When there is none, and as [`RebuildError`] says.
    pub async fn swap_in(&self, projection: Arc<dyn Projection>) -> Result<Job, RebuildError> {
        let name = projection.definition().name;
        let ready = |build: &Build| build.state == BuildState::Filling && build.position > Position(0);
        let Some(build) = self.newest(name, ready).await? else {
            return Err(RebuildError::NoBuild { name: name.to_owned(), reason: "no rebuilt build waits to be swapped in".to_owned() });
        };
        self.take_place(projection, build, false).await
    }

    /// Puts the build that served before behind the view again, and pins it there. One that this version of the fold fills is caught up first; one of
    /// another version is served as it was left.
    ///
    /// # Errors
    /// When there is none, and as [`RebuildError`] says.
    pub async fn roll_back(&self, projection: Arc<dyn Projection>) -> Result<Job, RebuildError> {
        let definition = projection.definition();
        let Some(build) = self.newest(definition.name, |build| build.state == BuildState::Retired).await? else {
            return Err(RebuildError::NoBuild {
                name: definition.name.to_owned(),
                reason: "no build that served before is kept".to_owned(),
            });
        };
        if build.version == definition.version {
            return self.take_place(projection, build, true).await;
        }
        let mut work = self.resume(projection, build).await?;
        let held = self.patiently(None, || self.store.hold(&work.definition)).await?;
        held.swap(&work.definition, &work.build, true).await?;
        self.enter(&mut work, Phase::Swapped).await?;
        Ok(work.job)
    }

    /// How a projection's builds differ: the one that waits, or else the one that serves, from another.
    ///
    /// # Errors
    /// When there is no such build, and as [`RebuildError`] says.
    pub async fn diff(&self, projection: Arc<dyn Projection>, against: Option<i64>) -> Result<Diff, RebuildError> {
        let definition = projection.definition();
        let name = definition.name;
        let none = |reason: &str| RebuildError::NoBuild { name: name.to_owned(), reason: reason.to_owned() };
        let serving = self.newest(name, |build| build.state == BuildState::Serving).await?.ok_or_else(|| none("none serves"))?;
        let waiting = self.newest(name, |build| build.state == BuildState::Filling && build.position > Position(0)).await?;
        let (here, there) = match (against, waiting) {
            (None, Some(waiting)) if waiting.version == definition.version => {
                let feed = Feed::new(self.log.clone(), PAGE_EVENTS);
                let mut work = self.resume(projection, waiting).await?;
                let phase = work.job.phase;
                self.catch_up(&feed, &mut work).await?;
                self.compare(&feed, &mut work).await?;
                self.enter(&mut work, phase).await?;
                return work.job.diff.ok_or_else(|| none("none serves"));
            }
            (None, waiting) => {
                let kept = self.newest(name, |build| build.state == BuildState::Retired).await?;
                (serving, waiting.or(kept).ok_or_else(|| none("there is only one build"))?)
            }
            (Some(number), _) => {
                let other = self.newest(name, |build| build.number == number).await?;
                (serving, other.ok_or_else(|| none("there is no build of that number"))?)
            }
        };
        self.patiently(None, || self.store.compare(&definition, &here, &there, false)).await
    }

    /// How the build that serves differs from a view of the past.
    ///
    /// # Errors
    /// When there is no such view, and as [`RebuildError`] says.
    pub async fn diff_as_of(&self, projection: Arc<dyn Projection>, view: &str) -> Result<Diff, RebuildError> {
        let definition = projection.definition();
        let none = |reason: &str| RebuildError::NoBuild { name: definition.name.to_owned(), reason: reason.to_owned() };
        let serving = self.newest(definition.name, |build| build.state == BuildState::Serving).await?.ok_or_else(|| none("none serves"))?;
        let past = self.newest(view, |build| build.state == BuildState::AsOf && build.projection == definition.name).await?;
        let past = past.ok_or_else(|| none("there is no such view of the past"))?;
        self.patiently(None, || self.store.compare(&definition, &serving, &past, true)).await
    }

    /// The newest build of a name that is so.
    async fn newest(&self, name: &str, is_so: impl Fn(&Build) -> bool) -> Result<Option<Build>, RebuildError> {
        let builds = self.patiently(None, || self.store.builds()).await?;
        Ok(builds.into_iter().filter(|build| build.name == name && is_so(build)).max_by_key(|build| build.number))
    }

    async fn take_place(&self, projection: Arc<dyn Projection>, build: Build, pinned: bool) -> Result<Job, RebuildError> {
        let mut work = self.resume(projection, build).await?;
        let feed = Feed::new(self.log.clone(), PAGE_EVENTS);
        let swapped = async {
            self.catch_up(&feed, &mut work).await?;
            self.account(&mut work).await?;
            self.swap(&feed, &mut work, pinned).await
        };
        match swapped.await {
            Ok(()) => Ok(work.job),
            Err(error) => Err(self.failed(work, error).await),
        }
    }

    /// Goes on with a build that is filled.
    async fn resume(&self, projection: Arc<dyn Projection>, build: Build) -> Result<Work, RebuildError> {
        let definition = projection.definition();
        let lease = self.lease(definition.name).await?;
        let jobs = self.patiently(None, || self.store.jobs()).await?;
        let found = jobs.into_iter().find(|job| job.name == build.name && job.number == build.number);
        let job = Job { wanted: Wanted::Run, ..found.unwrap_or_else(|| Job::of(&build)) };
        let sorting = Sorting::new(&definition, Arc::new(Quarantined::read(&*self.log).await?));
        Ok(Work { projection, definition, sorting, build, job, applied: None, lease })
    }

    /// Applies what was appended meanwhile, until it is where the serving build is, or at the head where that one stands still.
    async fn catch_up(&self, feed: &Feed, work: &mut Work) -> Result<(), RebuildError> {
        self.enter(work, Phase::CatchingUp).await?;
        loop {
            let goal = self.goal(work).await?;
            work.job.events_total = goal.0.saturating_sub(work.build.position.0);
            if work.build.position >= goal || goal.0 - work.build.position.0 <= NEAR_EVENTS {
                return Ok(());
            }
            self.follow(feed, work, goal).await?;
        }
    }

    async fn goal(&self, work: &mut Work) -> Result<Position, RebuildError> {
        let builds = self.patiently(None, || self.store.builds()).await?;
        let serving = builds.iter().find(|build| build.name == work.definition.name && build.state == BuildState::Serving);
        Ok(match serving {
            Some(build) if build.halt.is_none() && build.version == work.definition.version => build.position,
            Some(_) | None => self.log.head().await?.position,
        })
    }

    /// Applies events up to a position, and no further.
    async fn follow(&self, feed: &Feed, work: &mut Work, until: Position) -> Result<(), RebuildError> {
        while work.build.position < until {
            let after = work.build.position;
            let Some(page) = feed.after(after).await? else { return Ok(()) };
            let events_max = page.entries.iter().filter(|entry| entry.position > after && entry.position <= until).count();
            let ends = page.scanned_to.min(until);
            let stretch = Stretch { pages: vec![(after, page)], after, events_max };
            let mut batch = if events_max == 0 {
                Batch { from: after, to: ends, last_event: None, changes: Changes::default(), counted: Counted::default() }
            } else {
                self.fold(work, &stretch).await?
            };
            // Where the positions have gaps, nothing may stand between the last event and the end.
            batch.to = batch.to.max(ends);
            match self.patiently(Some(&mut work.job), || self.store.commit(&work.definition, &work.build, &batch)).await {
                Ok(()) => {
                    if let Some(applied) = &mut work.applied {
                        let handled = |entry: &Entry| work.sorting.fate(entry.event_type.as_str(), entry.event_id) == Fate::Handled;
                        for (entry, _) in stretch.entries().filter(|(entry, _)| handled(entry)) {
                            *applied.entry(entry.event_type.as_str().to_owned()).or_default() += 1;
                        }
                    }
                    let last_event = batch.last_event.or(work.build.last_event);
                    work.build =
                        Build { position: batch.to, last_event, counted: work.build.counted + batch.counted, ..work.build.clone() };
                    work.job.events_done += batch.counted.total();
                    self.steer(work).await?;
                }
                // The answer to a commit was lost: the build stands where it stands.
                Err(RebuildError::Database(ReadStoreError::Superseded { .. })) => {
                    let builds = self.patiently(None, || self.store.builds()).await?;
                    let found = builds.into_iter().find(|build| build.name == work.build.name && build.number == work.build.number);
                    work.build = found.ok_or_else(|| RebuildError::Cancelled { name: work.job.name.clone() })?;
                    work.applied = None;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn fold(&self, work: &Work, stretch: &Stretch) -> Result<Batch, RebuildError> {
        let keys = work.projection.keys(&stretch.moments(&work.sorting));
        let rows = match keys.is_empty() {
            true => Vec::new(),
            false => self.patiently(None, || self.store.load(&work.definition, &work.build, &keys)).await?,
        };
        let folded = work.projection.fold(rows, &stretch.moments(&work.sorting));
        let (batch, halt) = outcome(stretch, &work.sorting, folded);
        match halt {
            Some(halt) => Err(RebuildError::Halted { name: work.job.name.clone(), halt: Box::new(halt) }),
            None => Ok(batch),
        }
    }

    /// The proof that no event is missing, by a count of its own.
    pub(super) async fn account(&self, work: &mut Work) -> Result<(), RebuildError> {
        self.enter(work, Phase::Accounting).await?;
        let account = self.accounted(work).await?;
        work.job.account = Some(account.clone());
        if account.is_complete() {
            return Ok(());
        }
        Err(RebuildError::NotAccounted { name: work.job.name.clone(), account: Box::new(account) })
    }

    async fn accounted(&self, work: &Work) -> Result<Account, RebuildError> {
        let position = work.build.position;
        let logged = self.census.until(&*self.log, position).await?;
        let handles = |name: &str| work.definition.handles.contains(&name);
        let Counted { applied, ignored: passed_over, quarantined } = work.build.counted;
        let mut differing = BTreeMap::new();
        let ignored: BTreeMap<String, u64> =
            logged.iter().filter(|(name, _)| !handles(name)).map(|(name, count)| (name.clone(), *count)).collect();
        let not_handled: u64 = ignored.values().sum();
        if not_handled != passed_over {
            differing.insert("events of other types".to_owned(), (passed_over, not_handled));
        }
        // Quarantined events are few: which of a type were stepped over is not kept, so that types are compared where there are none.
        if let (Some(by_type), 0) = (&work.applied, quarantined) {
            for name in work.definition.handles {
                let (folded, there) = (by_type.get(*name).copied().unwrap_or(0), logged.get(*name).copied().unwrap_or(0));
                if folded != there {
                    differing.insert((*name).to_owned(), (folded, there));
                }
            }
        }
        Ok(Account { position, applied, ignored, quarantined, events: logged.values().sum(), differing })
    }

    /// What would change for readers.
    async fn compare(&self, feed: &Feed, work: &mut Work) -> Result<(), RebuildError> {
        self.enter(work, Phase::Comparing).await?;
        let mut patience = Patience::default();
        loop {
            let held = self.hold_level(feed, work).await?;
            if held.serving().is_none() {
                return Ok(());
            }
            match held.compare(&work.definition, &work.build).await {
                Ok(diff) => {
                    work.job.diff = Some(diff);
                    return Ok(());
                }
                // The database went away, or had no room for what it sorts.
                Err(error) if error.is_retryable() => self.wait_out(Some(&mut work.job), &error, &mut patience).await?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Holds the serving build still, with this one beside it at the same position.
    async fn hold_level(&self, feed: &Feed, work: &mut Work) -> Result<Box<dyn Held>, RebuildError> {
        loop {
            let held = self.patiently(None, || self.store.hold(&work.definition)).await?;
            let Some(serving) = held.serving() else { return Ok(held) };
            let goal = serving.position;
            if goal.0.saturating_sub(work.build.position.0) <= NEAR_EVENTS {
                self.follow(feed, work, goal).await?;
                return Ok(held);
            }
            // Too much to let the projector wait for.
            drop(held);
            self.catch_up(feed, work).await?;
        }
    }

    async fn swap(&self, feed: &Feed, work: &mut Work, pinned: bool) -> Result<(), RebuildError> {
        let mut patience = Patience::default();
        loop {
            let held = self.hold_level(feed, work).await?;
            self.account_since(work).await?;
            match held.swap(&work.definition, &work.build, pinned).await {
                Ok(()) => break,
                // Somebody reads the view for long, or the database went away: nothing has changed.
                Err(error) if error.is_retryable() => {
                    self.wait_out(Some(&mut work.job), &error, &mut patience).await?;
                    if self
                        .newest(work.definition.name, |build| build.state == BuildState::Serving)
                        .await?
                        .is_some_and(|now| now.number == work.build.number)
                    {
                        break;
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        work.build.state = BuildState::Serving;
        info!(projection = work.definition.name, build = work.build.number, position = %work.build.position, "the rebuilt view serves");
        self.enter(work, Phase::Swapped).await
    }

    /// What was applied since the build was accounted for is counted as well.
    async fn account_since(&self, work: &mut Work) -> Result<(), RebuildError> {
        let known = work.job.account.as_ref().map_or(Position(0), |account| account.position);
        if work.build.position <= known {
            return Ok(());
        }
        let events: u64 = self.census.until(&*self.log, work.build.position).await?.values().sum();
        if events == work.build.counted.total() {
            return Ok(());
        }
        let account = Box::new(self.accounted(work).await?);
        Err(RebuildError::NotAccounted { name: work.job.name.clone(), account })
    }
}
