//! One projection's life: open its build, gather a batch, fold, commit rows and checkpoint, again and again.
//!
//! It stops alone on an event it cannot apply, and waits for ever on a database or a log that is down. It never skips.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use domain::log::{Filter, Position, StoreError};

use crate::feed::{Entry, Feed, Page};
use crate::fold::{Definition, Folded, Moment, Projection, ProjectionError};
use crate::port::{Batch, Build, BuildState, Counted, Halt, ReadStore, ReadStoreError};
use crate::runner::{Progress, State};

const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// After this many events, the database looks at its tables anew when the projection has caught up.
const MANY_EVENTS: u64 = 10_000;
const BACKOFF_MAX: Duration = Duration::from_secs(5);

pub(crate) struct Projector {
    pub(crate) projection: Arc<dyn Projection>,
    pub(crate) feed: Arc<Feed>,
    pub(crate) store: Arc<dyn ReadStore>,
    pub(crate) batch_events_max: usize,
    pub(crate) progress: watch::Sender<Progress>,
    pub(crate) resume: Arc<Notify>,
    pub(crate) stop: watch::Receiver<bool>,
    /// How many events there were when the database last looked at its tables.
    pub(crate) looked_at: Option<u64>,
}

/// Why a run of a projector ended without being told to.
enum Trouble {
    Log(StoreError),
    Database(ReadStoreError),
    Halted(Box<Halt>),
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

/// Part of the log, as it is folded at once. Pages may overlap, because each reader asks from where it stands: of each, only what comes after the
/// one before it counts.
#[derive(Clone)]
struct Stretch {
    pages: Vec<(Position, Arc<Page>)>,
    after: Position,
    events_max: usize,
}

impl Stretch {
    fn entries(&self) -> impl Iterator<Item = (&Entry, &Page)> {
        let fresh = |(after, page): &'_ (Position, Arc<Page>)| page.entries.partition_point(|entry| entry.position <= *after);
        let all = self.pages.iter().flat_map(move |part| part.1.entries[fresh(part)..].iter().map(|entry| (entry, &*part.1)));
        all.take(self.events_max)
    }

    fn moments(&self, handles: &HashSet<&str>) -> Vec<Moment<'_>> {
        let handled = self.entries().filter(|(entry, _)| handles.contains(entry.event_type.as_str()));
        // What cannot be decoded ends the stretch: `outcome` finds it in its place.
        handled
            .map_while(|(entry, page)| {
                let recorded = entry.recorded.as_ref().ok()?;
                Some(Moment { recorded, event_type: entry.event_type.as_str(), context: &page.context })
            })
            .collect()
    }

    /// How far it reaches.
    fn end(&self) -> Position {
        let cut = self.entries().count() >= self.events_max;
        let last = if cut { self.entries().last().map(|(entry, _)| entry.position) } else { None };
        last.or_else(|| self.pages.last().map(|(_, page)| page.scanned_to)).unwrap_or(self.after)
    }
}

impl Projector {
    /// Runs until it is told to stop.
    pub(crate) async fn run(mut self) {
        let name = self.projection.definition().name;
        let mut backoff = BACKOFF_MIN;
        let mut troubled = false;
        loop {
            let before = self.progress.borrow().position;
            let trouble = match self.follow().await {
                Ok(()) => return,
                Err(trouble) => trouble,
            };
            if self.progress.borrow().position > before {
                backoff = BACKOFF_MIN;
                troubled = false;
            }
            match trouble {
                Trouble::Halted(halt) => {
                    error!(projection = name, position = %halt.position, event_type = halt.event_type, error = halt.error, "projection halted");
                    self.progress.send_modify(|progress| {
                        progress.state = State::Halted;
                        progress.error = Some(halt.error.clone());
                        progress.halt = Some(*halt);
                    });
                    tokio::select! {
                        () = self.resume.notified() => info!(projection = name, "projection resumed"),
                        _ = self.stop.wait_for(|stop| *stop) => return,
                    }
                }
                Trouble::Database(ReadStoreError::Superseded { build, from }) => {
                    debug!(projection = name, build, %from, "another projector was faster");
                }
                Trouble::Log(_)
                | Trouble::Database(ReadStoreError::Unavailable { .. } | ReadStoreError::Missing { .. } | ReadStoreError::Refused { .. }) =>
                {
                    let reason = match &trouble {
                        Trouble::Log(error) => error.to_string(),
                        Trouble::Database(error) => error.to_string(),
                        Trouble::Halted(_) => String::new(),
                    };
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

    /// Follows the log until it is told to stop.
    async fn follow(&mut self) -> Result<(), Trouble> {
        let definition = self.projection.definition();
        let handles: Arc<HashSet<&'static str>> = Arc::new(definition.handles.iter().copied().collect());
        let mut build = self.store.open(&definition).await?;
        self.check_ledger(&build).await?;
        self.progress.send_modify(|progress| progress.opened(&build));
        let total = build.counted.total();
        self.looked_at = Some(self.looked_at.map_or(total, |at| at.min(total)));
        let mut events_max = self.batch_events_max;
        loop {
            if *self.stop.borrow() || self.stop.has_changed().is_err() {
                return Ok(());
            }
            let Some(stretch) = self.gather(&definition, &mut build, events_max).await? else { return Ok(()) };
            let began = Instant::now();
            let (batch, halt) = self.fold(&definition, &build, &stretch, &handles).await?;
            if batch.to > batch.from {
                match self.store.commit(&definition, &build, &batch).await {
                    Ok(()) => {}
                    // The database names no event: one at a time, until the one that it refuses is found.
                    Err(ReadStoreError::Refused { .. }) if batch.counted.total() > 1 => {
                        events_max = 1;
                        continue;
                    }
                    Err(ReadStoreError::Refused { reason }) => {
                        let halt = stretch.entries().next().map(|(entry, _)| halt_at(entry, &reason));
                        return Err(self.halt(&build, halt, ReadStoreError::Refused { reason }).await);
                    }
                    Err(error) => return Err(error.into()),
                }
                build.position = batch.to;
                build.last_event = batch.last_event.or(build.last_event);
                build.counted.applied += batch.counted.applied;
                build.counted.ignored += batch.counted.ignored;
                events_max = (events_max * 2).min(self.batch_events_max);
                let recorded_at =
                    stretch.entries().take_while(|(entry, _)| entry.position <= batch.to).last().map(|(entry, _)| entry.recorded_at);
                self.progress.send_modify(|progress| progress.committed(&build, batch.counted.total(), recorded_at, began));
            }
            if let Some(halt) = halt {
                let error = ReadStoreError::Refused { reason: halt.error.clone() };
                return Err(self.halt(&build, Some(halt), error).await);
            }
        }
    }

    /// The next events: as many as are there, up to a batch. Few while it is live, so that the lag is small; many while it catches up.
    async fn gather(&mut self, definition: &Definition, build: &mut Build, events_max: usize) -> Result<Option<Stretch>, Trouble> {
        let mut stretch = Stretch { pages: Vec::new(), after: build.position, events_max };
        let mut events = 0;
        let mut at = build.position;
        while events < events_max {
            match self.feed.after(at).await? {
                Some(page) => {
                    events += page.entries.iter().filter(|entry| entry.position > at).count();
                    let after = std::mem::replace(&mut at, page.scanned_to);
                    stretch.pages.push((after, page));
                }
                None if stretch.pages.is_empty() => {
                    let total = build.counted.total();
                    if self.looked_at.is_some_and(|at| total - at >= MANY_EVENTS) {
                        self.store.caught_up(definition, build).await?;
                        self.looked_at = Some(total);
                    }
                    if build.state == BuildState::Filling {
                        self.store.serve(definition, build).await?;
                        build.state = BuildState::Serving;
                    }
                    self.progress.send_modify(|progress| progress.state = State::Live);
                    tokio::select! {
                        waited = self.feed.wait_past(at) => waited?,
                        _ = self.stop.wait_for(|stop| *stop) => return Ok(None),
                    }
                }
                None => break,
            }
        }
        Ok(Some(stretch))
    }

    async fn fold(
        &self,
        definition: &Definition,
        build: &Build,
        stretch: &Stretch,
        handles: &Arc<HashSet<&'static str>>,
    ) -> Result<(Batch, Option<Halt>), Trouble> {
        let keys = self.blocking(stretch, handles, |projection, moments| projection.keys(moments)).await?;
        let rows = if keys.is_empty() { Vec::new() } else { self.store.load(definition, build, &keys).await? };
        let folded = self.blocking(stretch, handles, move |projection, moments| projection.fold(rows, moments)).await?;
        Ok(outcome(build, stretch, handles, folded))
    }

    /// Folding is pure work; large stretches leave the runtime's threads free.
    async fn blocking<T: Send + 'static>(
        &self,
        stretch: &Stretch,
        handles: &Arc<HashSet<&'static str>>,
        work: impl FnOnce(&dyn Projection, &[Moment<'_>]) -> T + Send + 'static,
    ) -> Result<T, Trouble> {
        let (projection, stretch, handles) = (self.projection.clone(), stretch.clone(), handles.clone());
        tokio::task::spawn_blocking(move || work(&*projection, &stretch.moments(&handles)))
            .await
            .map_err(|error| Trouble::Log(StoreError::Unavailable { reason: error.to_string() }))
    }

    /// A view of another ledger is worse than none: the last event that it holds must be in its place.
    async fn check_ledger(&self, build: &Build) -> Result<(), Trouble> {
        let (Some(expected), Some(before)) = (build.last_event, build.position.0.checked_sub(1)) else { return Ok(()) };
        let page = self.feed.store().read_all(Position(before), &Filter::All, 1).await?;
        // With gaps in the positions, the checkpoint may stand behind the last event; then nothing can be said.
        let found = page.events.first().filter(|event| event.position == build.position);
        let other = match found {
            Some(event) => event.metadata.event_id != expected,
            None => self.feed.store().head().await?.position < build.position,
        };
        if other {
            let error = "the build holds events that this ledger does not have: it was made from another one".to_owned();
            let halt = Halt {
                position: build.position,
                event_id: expected,
                event_type: String::new(),
                stream: String::new(),
                error,
                event: serde_json::Value::Null,
            };
            return Err(Trouble::Halted(Box::new(halt)));
        }
        Ok(())
    }

    async fn halt(&self, build: &Build, halt: Option<Halt>, error: ReadStoreError) -> Trouble {
        let Some(halt) = halt else { return Trouble::Database(error) };
        match self.store.note_halt(build, Some(&halt)).await {
            Ok(()) => Trouble::Halted(Box::new(halt)),
            // Not written down is not visible to everybody: try again, and come back here.
            Err(error) => Trouble::Database(error),
        }
    }
}

fn halt_at(entry: &Entry, error: &str) -> Halt {
    Halt {
        position: entry.position,
        event_id: entry.event_id,
        event_type: entry.event_type.as_str().to_owned(),
        stream: entry.stream.as_str().to_owned(),
        error: error.to_owned(),
        event: entry
            .recorded
            .as_ref()
            .map_or(serde_json::Value::Null, |recorded| serde_json::to_value(&recorded.event).unwrap_or_default()),
    }
}

/// What to write, and where it ends: at the end of the stretch, or before the event that could not be applied.
fn outcome(build: &Build, stretch: &Stretch, handles: &HashSet<&'static str>, folded: Folded) -> (Batch, Option<Halt>) {
    let mut batch =
        Batch { from: build.position, to: build.position, last_event: None, changes: folded.changes, counted: Counted::default() };
    let applied = folded.applied as u64;
    let mut stopped = folded.stopped;
    for (entry, _) in stretch.entries() {
        if !handles.contains(entry.event_type.as_str()) {
            batch.counted.ignored += 1;
        } else if batch.counted.applied < applied {
            batch.counted.applied += 1;
        } else {
            let error = stopped.take().or_else(|| entry.recorded.as_ref().err().map(|error| ProjectionError::Decode(error.clone())));
            let error = error.map_or_else(|| "the fold ended early".to_owned(), |error| describe(&error));
            return (batch, Some(halt_at(entry, &error)));
        }
        batch.to = entry.position;
        batch.last_event = Some(entry.event_id);
    }
    batch.to = stretch.end();
    (batch, None)
}

/// The error with its causes.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::testing::id;

    fn page(after: u64, to: u64) -> Arc<Page> {
        let entry = |position| Entry {
            position: Position(position),
            event_id: id(u128::from(position)),
            event_type: "key.revoked".into(),
            stream: "key-1".into(),
            recorded_at: domain::time::Timestamp::default(),
            recorded: Err(domain::event::DecodeError::UnknownType { name: String::new(), version: 1 }),
        };
        let entries = (after + 1..=to).map(entry).collect();
        Arc::new(Page { after: Position(after), scanned_to: Position(to), entries, context: Arc::default() })
    }

    #[test]
    fn pages_that_overlap_give_each_event_once() {
        let pages = vec![(Position(2), page(0, 5)), (Position(5), page(3, 9))];
        let mut stretch = Stretch { pages, after: Position(2), events_max: 100 };
        let positions = |stretch: &Stretch| stretch.entries().map(|(entry, _)| entry.position.0).collect::<Vec<_>>();
        assert_eq!((positions(&stretch), stretch.end()), (vec![3, 4, 5, 6, 7, 8, 9], Position(9)));
        stretch.events_max = 4;
        assert_eq!((positions(&stretch), stretch.end()), (vec![3, 4, 5, 6], Position(6)));
    }
}
