//! One reading of the log into fresh tables, on all cores.
//!
//! Reading threads take stretches of the log in turn, decode them, and copy the rows of [`Form::Journal`] projections, whose order does not matter,
//! straight into their tables. Folding threads get every stretch in the order of the log and keep the rows of [`Form::Keyed`] projections in memory, each
//! thread the keys of its own range of places. When the rows become too many, a thread halves its range and lets the other half go to a later
//! reading; at the end of the reading it copies what it has. Each part is filled in one transaction together with the note that it is.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use domain::ids::EventId;
use domain::log::{EventStore, Filter, Position, StoreError, StoredEvent};
use tokio::runtime::Handle;

use super::RebuildError;
use super::control::Control;
use super::port::{BuildStore, Filler};
use crate::context::Context;
use crate::feed::Entry;
use crate::fold::{Form, InMemory, Moment, PLACES, Part, Projection, ProjectionError, until_panic};
use crate::port::{Build, Halt};
use crate::quarantine::{Fate, Sorting};
use crate::stretch::{describe, halt_at};
use crate::value::Value;

/// Stretches of one reading thread that wait for a folding thread.
const AHEAD: usize = 2;
/// Between two looks at how much memory the rows take.
const WEIGH_EVERY: u64 = 4;

/// One projection to be filled.
pub(crate) struct Target {
    pub(crate) projection: Arc<dyn Projection>,
    pub(crate) sorting: Sorting,
    pub(crate) build: Build,
    /// What is filled: places of a keyed projection, positions of a journal.
    pub(crate) filled: Vec<Part>,
}

impl Target {
    fn whole(&self, until: Position) -> Part {
        match self.projection.form() {
            Form::Keyed => 0..PLACES,
            Form::Journal => 1..until.0 + 1,
        }
    }

    /// What is missing.
    pub(crate) fn gaps(&self, until: Position) -> Vec<Part> {
        without(&self.whole(until), &self.filled)
    }
}

/// What one reading of the log counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Every event, by type.
    pub(crate) events: BTreeMap<String, u64>,
    /// For each target, the events that were applied, by type.
    pub(crate) applied: Vec<BTreeMap<String, u64>>,
    /// For each target, the events that were stepped over.
    pub(crate) quarantined: Vec<u64>,
    /// The last event.
    pub(crate) last: Option<(Position, EventId)>,
}

impl Tally {
    fn of(targets: usize) -> Tally {
        Tally { applied: vec![BTreeMap::new(); targets], quarantined: vec![0; targets], ..Tally::default() }
    }

    fn add(&mut self, other: Tally) {
        let add = |to: &mut BTreeMap<String, u64>, from: BTreeMap<String, u64>| {
            for (name, count) in from {
                *to.entry(name).or_default() += count;
            }
        };
        add(&mut self.events, other.events);
        for (to, from) in self.applied.iter_mut().zip(other.applied) {
            add(to, from);
        }
        for (to, from) in self.quarantined.iter_mut().zip(other.quarantined) {
            *to += from;
        }
        self.last = self.last.max(other.last);
    }
}

/// Why a reading ended early.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// People gave the rebuild up, or another thread failed.
    Stopped,
    /// A projection cannot apply an event.
    Halted {
        target: usize,
        halt: Box<Halt>,
    },
    Failed(RebuildError),
}

impl<E: Into<RebuildError>> From<E> for Trouble {
    fn from(error: E) -> Trouble {
        Trouble::Failed(error.into())
    }
}

/// A stretch of the log, decoded, with the places that its events touch.
struct Stretch {
    /// The events that some target handles.
    entries: Vec<Entry>,
    /// For each target, the entry and the place of each row that is touched.
    places: Vec<Vec<(u32, u64)>>,
}

/// What a folding thread keeps of one target.
struct Kept {
    target: usize,
    part: Part,
    rows: Box<dyn InMemory>,
}

/// Reads the log into fresh tables.
pub(crate) struct Replay {
    pub(crate) log: Arc<dyn EventStore>,
    pub(crate) store: Arc<dyn BuildStore>,
    pub(crate) runtime: Handle,
    pub(crate) context: Arc<Context>,
    pub(crate) control: Arc<Control>,
    pub(crate) cores: usize,
    pub(crate) memory_bytes: usize,
    pub(crate) stretch_events: u64,
    pub(crate) until: Position,
    /// How many events there are up to `until`: positions may have gaps.
    pub(crate) events: u64,
}

impl Replay {
    /// Reads the log once, and fills what fits into memory. Blocks.
    pub(crate) fn pass(&self, targets: &mut [Target]) -> Result<Tally, Trouble> {
        let cores = self.cores.max(1);
        let assigned = assign(targets, self.until, cores);
        let folds = assigned.iter().any(|kept| !kept.is_empty());
        let mut senders: Vec<Vec<SyncSender<Arc<Stretch>>>> = (0..cores).map(|_| Vec::new()).collect();
        let mut receivers: Vec<Vec<Receiver<Arc<Stretch>>>> = Vec::new();
        if folds {
            for _ in 0..cores {
                let (to, from): (Vec<_>, Vec<_>) = (0..cores).map(|_| sync_channel(AHEAD)).unzip();
                for (of_reader, sender) in senders.iter_mut().zip(to) {
                    of_reader.push(sender);
                }
                receivers.push(from);
            }
        }
        let shared: &[Target] = targets;
        let (tally, parts) = std::thread::scope(|scope| {
            let readers: Vec<_> =
                senders.into_iter().enumerate().map(|(at, to)| scope.spawn(move || self.stopping(|| self.read(at, shared, &to)))).collect();
            let folders: Vec<_> = receivers
                .into_iter()
                .zip(assigned)
                .map(|(from, kept)| scope.spawn(move || self.stopping(|| self.fold(shared, &from, kept))))
                .collect();
            let mut tally = Tally::of(shared.len());
            let mut parts = Vec::new();
            let mut trouble = None;
            for reader in readers {
                match reader.join().unwrap_or_else(|_| Err(panicked())) {
                    Ok((counted, filled)) => {
                        tally.add(counted);
                        parts.extend(filled);
                    }
                    Err(error) => trouble = worse(trouble, error),
                }
            }
            for folder in folders {
                match folder.join().unwrap_or_else(|_| Err(panicked())) {
                    Ok(filled) => parts.extend(filled),
                    Err(error) => trouble = worse(trouble, error),
                }
            }
            trouble.map_or(Ok((tally, parts)), Err)
        })?;
        for (target, part) in parts {
            targets[target].filled.push(part);
        }
        Ok(tally)
    }

    /// Whoever fails stops the others.
    fn stopping<T>(&self, work: impl FnOnce() -> Result<T, Trouble>) -> Result<T, Trouble> {
        let done = work();
        if done.is_err() {
            self.control.stop();
        }
        done
    }

    /// Positions in a stretch: the same for the same rebuild, also after an interruption.
    fn stretch_positions(&self) -> u64 {
        self.stretch_events * (self.until.0 / self.events.max(1)).max(1)
    }

    /// Reads every so-manieth stretch.
    fn read(&self, at: usize, targets: &[Target], to: &[SyncSender<Arc<Stretch>>]) -> Result<(Tally, Vec<(usize, Part)>), Trouble> {
        let handled: HashSet<&str> = targets.iter().flat_map(|target| target.projection.definition().handles).copied().collect();
        let mut fillers: Vec<Option<Box<dyn Filler>>> = targets.iter().map(|_| None).collect();
        let (mut tally, mut filled) = (Tally::of(targets.len()), Vec::new());
        let size = self.stretch_positions();
        let stretches = self.until.0.div_ceil(size);
        for stretch in (at as u64..stretches).step_by(self.cores.max(1)) {
            if !self.control.go_on() {
                return Err(Trouble::Stopped);
            }
            let part = stretch * size + 1..((stretch + 1) * size).min(self.until.0) + 1;
            let stored = self.read_part(&part)?;
            let read = stored.len() as u64;
            let mut entries = Vec::with_capacity(stored.len());
            for event in stored {
                count(&mut tally.events, event.event_type.as_str());
                tally.last = tally.last.max(Some((event.position, event.metadata.event_id)));
                if handled.contains(event.event_type.as_str()) {
                    entries.push(Entry::decode(event));
                }
            }
            let mut places = Vec::with_capacity(targets.len());
            for (number, target) in targets.iter().enumerate() {
                let taken = self.take_in(&mut tally, number, target, &entries)?;
                let Form::Journal = target.projection.form() else {
                    places.push(self.touched(number, target, &entries, &taken)?);
                    continue;
                };
                places.push(Vec::new());
                for missing in without(&part, &target.filled) {
                    let rows = self.rows(number, target, &entries, &taken, &missing)?;
                    let filler = match &mut fillers[number] {
                        Some(filler) => filler,
                        none => none.insert(self.store.filler(&target.projection.definition(), &target.build)?),
                    };
                    filler.fill(&missing, &mut rows.into_iter().inspect(|_| self.control.writes_row()))?;
                    filled.push((number, missing));
                }
            }
            let decoded = Arc::new(Stretch { entries, places });
            if to.iter().any(|folder| folder.send(decoded.clone()).is_err()) {
                return Err(Trouble::Stopped);
            }
            self.control.events.fetch_add(read, Ordering::Relaxed);
        }
        Ok((tally, filled))
    }

    /// Which entries one target applies, counted. One that cannot be read is among them: whoever folds it finds it in its place.
    fn take_in(&self, tally: &mut Tally, number: usize, target: &Target, entries: &[Entry]) -> Result<Vec<u32>, Trouble> {
        let mut taken = Vec::with_capacity(entries.len());
        for (index, entry) in (0_u32..).zip(entries) {
            match target.sorting.fate(entry.event_type.as_str(), entry.event_id) {
                Fate::Ignored => {}
                Fate::Quarantined => tally.quarantined[number] += 1,
                Fate::Handled => {
                    if let Err(error) = &entry.recorded {
                        return Err(halted(number, entry, &ProjectionError::Decode(error.clone())));
                    }
                    count(&mut tally.applied[number], entry.event_type.as_str());
                    taken.push(index);
                }
            }
        }
        Ok(taken)
    }

    /// The entries of a keyed projection, with the place of each row that they touch.
    fn touched(&self, number: usize, target: &Target, entries: &[Entry], taken: &[u32]) -> Result<Vec<(u32, u64)>, Trouble> {
        let (places, applied, stopped) = target.projection.places(&self.moments(entries, taken));
        match stopped {
            Some(error) => Err(stopped_at(number, entries, taken, applied, &error)),
            // From the index among the moments to the index among the entries.
            None => Ok(places.into_iter().filter_map(|(moment, place)| Some((*taken.get(moment as usize)?, place))).collect()),
        }
    }

    /// The rows that the events of a part add to a journal.
    fn rows(&self, number: usize, target: &Target, entries: &[Entry], taken: &[u32], part: &Part) -> Result<Vec<Vec<Value>>, Trouble> {
        let inside = |index: &&u32| entries.get(**index as usize).is_some_and(|entry| part.contains(&entry.position.0));
        let taken: Vec<u32> = taken.iter().filter(inside).copied().collect();
        let folded = target.projection.fold(Vec::new(), &self.moments(entries, &taken));
        match folded.stopped {
            Some(error) => Err(stopped_at(number, entries, &taken, folded.applied, &error)),
            None => Ok(folded.changes.inserts),
        }
    }

    fn moments<'a>(&'a self, entries: &'a [Entry], taken: &[u32]) -> Vec<Moment<'a>> {
        let entry = |index: &u32| entries.get(*index as usize);
        let moment = |entry: &'a Entry| {
            let recorded = entry.recorded.as_ref().ok()?;
            Some(Moment { recorded, event_type: entry.event_type.as_str(), context: &self.context })
        };
        taken.iter().filter_map(entry).filter_map(moment).collect()
    }

    fn read_part(&self, part: &Part) -> Result<Vec<StoredEvent>, StoreError> {
        let (mut after, last) = (Position(part.start - 1), Position(part.end - 1));
        let limit = usize::try_from(self.stretch_events).unwrap_or(usize::MAX);
        let mut events = Vec::new();
        while after < last {
            let page = self.runtime.block_on(self.log.read_all(after, &Filter::All, limit))?;
            if page.scanned_to <= after {
                break;
            }
            after = page.scanned_to;
            events.extend(page.events.into_iter().take_while(|event| event.position <= last));
        }
        Ok(events)
    }

    /// Folds every stretch in order, and at the end copies what it has.
    fn fold(&self, targets: &[Target], from: &[Receiver<Arc<Stretch>>], mut kept: Vec<Kept>) -> Result<Vec<(usize, Part)>, Trouble> {
        let stretches = self.until.0.div_ceil(self.stretch_positions());
        let share = self.memory_bytes / self.cores.max(1);
        for (stretch, receiver) in (0..stretches).zip(from.iter().cycle()) {
            let Ok(decoded) = receiver.recv() else { return Err(Trouble::Stopped) };
            for one in &mut kept {
                self.apply(one, &decoded)?;
            }
            if stretch % WEIGH_EVERY == 0 {
                lighten(&mut kept, share);
            }
        }
        let mut filled = Vec::new();
        for mut one in kept {
            if !self.control.go_on() {
                return Err(Trouble::Stopped);
            }
            let target = &targets[one.target];
            let mut filler = self.store.filler(&target.projection.definition(), &target.build)?;
            filler.fill(&one.part, &mut one.rows.drain().inspect(|_| self.control.writes_row()))?;
            filled.push((one.target, one.part));
        }
        Ok(filled)
    }

    fn apply(&self, kept: &mut Kept, stretch: &Stretch) -> Result<(), Trouble> {
        let Some(places) = stretch.places.get(kept.target) else { return Ok(()) };
        let mut wanted: Vec<u32> = places.iter().filter(|(_, place)| kept.part.contains(place)).map(|(index, _)| *index).collect();
        wanted.dedup();
        let moments = self.moments(&stretch.entries, &wanted);
        let (applied, stopped) = until_panic(&moments, |moment| kept.rows.apply(moment));
        match stopped {
            Some(error) => Err(stopped_at(kept.target, &stretch.entries, &wanted, applied, &error)),
            None => Ok(()),
        }
    }
}

fn halted(target: usize, entry: &Entry, error: &ProjectionError) -> Trouble {
    Trouble::Halted { target, halt: Box::new(halt_at(entry, &describe(error))) }
}

/// A fold stopped at the event after those that it applied.
fn stopped_at(target: usize, entries: &[Entry], taken: &[u32], applied: usize, error: &ProjectionError) -> Trouble {
    let entry = taken.get(applied).and_then(|index| entries.get(*index as usize));
    entry.map_or(Trouble::Stopped, |entry| halted(target, entry, error))
}

/// What is left of a range without these others.
fn without(whole: &Part, filled: &[Part]) -> Vec<Part> {
    let mut filled: Vec<&Part> = filled.iter().filter(|part| part.start < whole.end && part.end > whole.start).collect();
    filled.sort_by_key(|part| part.start);
    let (mut gaps, mut at) = (Vec::new(), whole.start);
    for part in filled {
        if at < part.start {
            gaps.push(at..part.start);
        }
        at = at.max(part.end);
    }
    if at < whole.end {
        gaps.push(at..whole.end);
    }
    gaps
}

/// Which part of which projection each folding thread keeps.
fn assign(targets: &[Target], until: Position, cores: usize) -> Vec<Vec<Kept>> {
    let mut assigned: Vec<Vec<Kept>> = (0..cores).map(|_| Vec::new()).collect();
    for (number, target) in targets.iter().enumerate().filter(|(_, target)| target.projection.form() == Form::Keyed) {
        let mut gaps = target.gaps(until);
        while gaps.len() < cores {
            let Some(widest) = (0..gaps.len()).max_by_key(|at| gaps[*at].end - gaps[*at].start) else { break };
            let part = gaps[widest].clone();
            if part.end - part.start < 2 {
                break;
            }
            let middle = part.start + (part.end - part.start) / 2;
            gaps[widest] = part.start..middle;
            gaps.push(middle..part.end);
        }
        for (of_thread, part) in assigned.iter_mut().zip(gaps) {
            let rows = target.projection.in_memory(part.clone());
            of_thread.push(Kept { target: number, part, rows });
        }
    }
    assigned
}

/// While the rows take too much memory, the heaviest projection keeps half of its places; the others are for a later reading.
fn lighten(kept: &mut [Kept], share: usize) {
    loop {
        let weights: Vec<usize> = kept.iter().map(|one| one.rows.weight()).collect();
        if weights.iter().sum::<usize>() <= share {
            return;
        }
        let narrowable = (0..kept.len()).filter(|at| kept[*at].part.end - kept[*at].part.start > 1);
        let Some(heaviest) = narrowable.max_by_key(|at| weights[*at]) else { return };
        let one = &mut kept[heaviest];
        one.part.end = one.part.start + (one.part.end - one.part.start) / 2;
        one.rows.narrow(&one.part);
    }
}

/// What people should hear of: an event that cannot be applied before an error, an error before what only followed from it.
fn worse(known: Option<Trouble>, new: Trouble) -> Option<Trouble> {
    let rank = |trouble: &Trouble| match trouble {
        Trouble::Stopped => 0,
        Trouble::Failed(_) => 1,
        Trouble::Halted { .. } => 2,
    };
    match known {
        Some(known) if rank(&known) >= rank(&new) => Some(known),
        Some(_) | None => Some(new),
    }
}

fn panicked() -> Trouble {
    Trouble::Failed(RebuildError::Log(StoreError::Unavailable { reason: "a thread of the rebuild has ended".to_owned() }))
}

/// Counts one more of a name. Names are few and events many, so that a name is copied once.
fn count(counts: &mut BTreeMap<String, u64>, name: &str) {
    match counts.get_mut(name) {
        Some(count) => *count += 1,
        None => drop(counts.insert(name.to_owned(), 1)),
    }
}
