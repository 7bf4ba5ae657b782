//! What a projection is: a pure fold from events to rows. The live projector, a rebuild and the tests all run this same code.
//!
//! Two forms. [`Keyed`]: an event changes the rows of its keys. [`Journal`]: an event adds rows, and nothing changes them.
//! [`Projection`] is either one with its row type forgotten, as the runner handles them.

use std::cell::Cell;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::panic::{AssertUnwindSafe, catch_unwind};

use domain::event::Event;
use domain::ids::{OperatorId, StationId};
use domain::log::{Position, Recorded};
use domain::time::{Timestamp, ZoneName};

use crate::context::{Books, Context};
use crate::table::{Row, RowKey as _, Table};
use crate::value::{Value, ValueError};

/// So many rows are looked at to guess what all of them weigh.
const WEIGHED: usize = 32;

/// An event, with what was known when it happened: all that a fold may look at.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    /// The event.
    pub recorded: &'a Recorded<Event>,
    /// Its stored name.
    pub event_type: &'a str,
    /// What the log had said before it.
    pub context: &'a Context,
}

impl<'a> Moment<'a> {
    /// What happened.
    #[must_use]
    pub fn event(&self) -> &'a Event {
        &self.recorded.event
    }

    /// Whose data it is.
    #[must_use]
    pub fn operator_id(&self) -> OperatorId {
        self.recorded.metadata.operator_id
    }

    /// Its place in the log.
    #[must_use]
    pub fn position(&self) -> Position {
        self.recorded.position
    }

    /// When the world did it.
    #[must_use]
    pub fn occurred_at(&self) -> Timestamp {
        self.recorded.metadata.occurred_at
    }

    /// When we recorded it.
    #[must_use]
    pub fn recorded_at(&self) -> Timestamp {
        self.recorded.metadata.recorded_at
    }

    /// Whether a generator of sample data made it up.
    #[must_use]
    pub fn generated(&self) -> bool {
        self.recorded.metadata.actor.is_generator()
    }

    /// How the books of its operator are kept.
    ///
    /// # Errors
    /// When the operator was not registered before it.
    pub fn books(&self) -> Result<Books, ProjectionError> {
        let operator = self.operator_id();
        self.context
            .books(operator, self.position())
            .ok_or_else(|| ProjectionError::Unknown { what: format!("operator {operator}, which is not registered") })
    }

    /// The zone of a station.
    ///
    /// # Errors
    /// When the station was not registered before it.
    pub fn station_zone(&self, station: StationId) -> Result<&'a ZoneName, ProjectionError> {
        self.context
            .station_zone(station, self.position())
            .ok_or_else(|| ProjectionError::Unknown { what: format!("station {station}, which is not registered") })
    }
}

/// Why a projection cannot apply an event. It stops there; nothing is skipped.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ProjectionError {
    /// The event changes a row that is not there.
    #[error("the event changes a row that is not there: {key}")]
    NoRow {
        /// The row's key.
        key: String,
    },
    /// The event speaks of something that the log has not said.
    #[error("the event speaks of {what}")]
    Unknown {
        /// Of what.
        what: String,
    },
    /// The posting rules refuse it.
    #[error("the event cannot be posted: {reason}")]
    NotPosted {
        /// Why.
        reason: String,
    },
    /// A stored row is not one.
    #[error("a stored row cannot be read")]
    Row(#[from] ValueError),
    /// The stored event cannot be read.
    #[error(transparent)]
    Decode(#[from] domain::event::DecodeError),
    /// The fold has a fault.
    #[error("the fold panicked: {message}")]
    Panicked {
        /// What it said.
        message: String,
    },
}

impl ProjectionError {
    /// For a fold that finds no row where its event needs one.
    #[must_use]
    pub fn no_row(key: impl std::fmt::Debug) -> ProjectionError {
        ProjectionError::NoRow { key: format!("{key:?}") }
    }
}

/// A projection in which an event changes the rows of its keys.
pub trait Keyed: Send + Sync + 'static {
    /// A row; its table's name is the projection's name.
    type Row: Row;
    /// Counts up whenever the fold or the row changes: a build of an older version is not written on.
    const VERSION: u32;
    /// The stored names of the events that it handles.
    const HANDLES: &'static [&'static str];

    /// The keys of the rows that an event touches.
    ///
    /// # Errors
    /// When the event cannot be applied.
    fn keys(moment: &Moment<'_>) -> Result<Vec<<Self::Row as Row>::Key>, ProjectionError>;

    /// The row of a key after one more event; `None` when there is none, or none any more.
    ///
    /// # Errors
    /// When the event cannot be applied.
    fn evolve(key: &<Self::Row as Row>::Key, row: Option<Self::Row>, moment: &Moment<'_>) -> Result<Option<Self::Row>, ProjectionError>;
}

/// A projection in which an event adds rows for ever.
pub trait Journal: Send + Sync + 'static {
    /// A row; its table's name is the projection's name.
    type Row: Row;
    /// Counts up whenever the fold or the row changes: a build of an older version is not written on.
    const VERSION: u32;
    /// The stored names of the events that it handles.
    const HANDLES: &'static [&'static str];

    /// The rows that an event adds.
    ///
    /// # Errors
    /// When the event cannot be applied.
    fn rows(moment: &Moment<'_>) -> Result<Vec<Self::Row>, ProjectionError>;
}

/// What is known of a projection without running it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Definition {
    /// Its name: of the view, of the builds, of the checkpoint. Never changes.
    pub name: &'static str,
    /// Counts up whenever the fold or the row changes.
    pub version: u32,
    /// The stored names of the events that it handles.
    pub handles: &'static [&'static str],
    /// Its table.
    pub table: &'static Table,
}

/// What a batch does to a table. Cells stand in the table's order; a key's cells in the key's.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Changes {
    /// Rows that were not there. That they were not is certain: the checkpoint stands where they were looked for.
    pub inserts: Vec<Vec<Value>>,
    /// Rows to put in the place of what is there under their keys, sorted by key.
    pub updates: Vec<Vec<Value>>,
    /// Keys whose rows go, sorted.
    pub deletes: Vec<Vec<Value>>,
}

/// What became of a batch of events.
#[derive(Debug, Default)]
pub struct Folded {
    /// What the applied events change.
    pub changes: Changes,
    /// How many events, from the first, were applied.
    pub applied: usize,
    /// Why the next one could not be.
    pub stopped: Option<ProjectionError>,
}

/// A read model, or the part of one whose keys have their places in a range, folded in memory: what a rebuild copies into fresh tables, and what
/// tests compare with.
pub trait InMemory: Send {
    /// Takes in one event, of a type that the projection handles.
    ///
    /// # Errors
    /// When the event cannot be applied.
    fn apply(&mut self, moment: &Moment<'_>) -> Result<(), ProjectionError>;

    /// The rows, sorted by key.
    fn rows(&self) -> Vec<Vec<Value>>;

    /// About how many bytes of memory it takes.
    fn weight(&self) -> usize;

    /// From here on only these places count; rows that have theirs elsewhere are let go.
    fn narrow(&mut self, part: &Part);

    /// Gives the rows away, sorted by key, one by one, so that they are never there twice.
    fn drain(&mut self) -> Box<dyn Iterator<Item = Vec<Value>> + '_>;
}

/// A range of the places of a read model, from `0` to below [`PLACES`]. Each key has one place, always the same one, and keys are
/// spread over the places evenly.
pub type Part = std::ops::Range<u64>;

/// How many places there are.
pub const PLACES: u64 = 1 << 32;

/// What an allocator takes for that much: it rounds up, and keeps what one thread gave back for that thread. Measured, not derived.
const fn with_what_is_lost(bytes: usize) -> usize {
    bytes + bytes / 2
}

/// The place of a key.
fn place(key: &impl Hash) -> u64 {
    // Without a seed of the process: a rebuild that was interrupted goes on with the parts that it has not filled.
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish() % PLACES
}

/// How an event changes rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// It changes the rows of its keys: the order of the events counts.
    Keyed,
    /// It adds rows, and nothing changes them: any order will do.
    Journal,
}

/// A projection with its row type forgotten.
pub trait Projection: Send + Sync + 'static {
    /// What is known of it.
    fn definition(&self) -> Definition;

    /// The keys of the rows that these events need, each once. Events that cannot be applied are left to [`Projection::fold`].
    fn keys(&self, moments: &[Moment<'_>]) -> Vec<Vec<Value>>;

    /// Folds events, all of types that it handles, onto the rows that are there.
    fn fold(&self, rows: Vec<Vec<Value>>, moments: &[Moment<'_>]) -> Folded;

    /// An empty read model in memory: the part of it with these places.
    fn in_memory(&self, part: Part) -> Box<dyn InMemory>;

    /// How events change its rows.
    fn form(&self) -> Form;

    /// The places of the keys whose rows each of these events touches, by the event's index, as far as the events can be applied; how many were, and why
    /// the next one cannot. Of a [`Form::Journal`] there are none.
    fn places(&self, moments: &[Moment<'_>]) -> (Vec<(u32, u64)>, usize, Option<ProjectionError>);

    /// The rows of one key after one more event, and whether the event has to do with it. Of a keyed projection there is at most one.
    ///
    /// # Errors
    /// When the event cannot be applied.
    fn refold(&self, key: &[Value], rows: Vec<Vec<Value>>, moment: &Moment<'_>) -> Result<(Vec<Vec<Value>>, bool), ProjectionError>;
}

/// A [`Keyed`] projection as a [`Projection`].
#[derive(Debug, Default)]
pub struct KeyedProjection<P>(std::marker::PhantomData<fn() -> P>);

/// A [`Journal`] projection as a [`Projection`].
#[derive(Debug, Default)]
pub struct JournalProjection<P>(std::marker::PhantomData<fn() -> P>);

/// A [`Keyed`] projection, boxed.
#[must_use]
pub fn keyed<P: Keyed>() -> std::sync::Arc<dyn Projection> {
    std::sync::Arc::new(KeyedProjection::<P>(std::marker::PhantomData))
}

/// A [`Journal`] projection, boxed.
#[must_use]
pub fn journal<P: Journal>() -> std::sync::Arc<dyn Projection> {
    std::sync::Arc::new(JournalProjection::<P>(std::marker::PhantomData))
}

/// The rows that a fold works on.
struct Rows<P: Keyed> {
    slots: HashMap<<P::Row as Row>::Key, Slot<P::Row>>,
    /// The places of the keys that count; all of them without it.
    part: Option<Part>,
}

struct Slot<R> {
    /// Beside the map, so that a map that grows copies no rows.
    row: Option<Box<R>>,
    /// Whether the database has a row under the key.
    stored: bool,
    changed: bool,
}

impl<P: Keyed> Rows<P> {
    /// All rows of the event change, or none.
    fn apply(&mut self, moment: &Moment<'_>) -> Result<(), ProjectionError> {
        let keys = P::keys(moment)?;
        let mut evolved = Vec::with_capacity(keys.len());
        for key in keys.into_iter().filter(|key| self.part.as_ref().is_none_or(|part| part.contains(&place(key)))) {
            let row = self.slots.get(&key).and_then(|slot| slot.row.as_deref().cloned());
            let next = P::evolve(&key, row, moment)?;
            evolved.push((key, next));
        }
        for (key, next) in evolved {
            let slot = self.slots.entry(key).or_insert(Slot { row: None, stored: false, changed: false });
            if slot.row.as_deref() != next.as_ref() {
                slot.row = next.map(Box::new);
                slot.changed = true;
            }
        }
        Ok(())
    }
}

impl<P: Keyed> InMemory for Rows<P> {
    fn apply(&mut self, moment: &Moment<'_>) -> Result<(), ProjectionError> {
        Rows::apply(self, moment)
    }

    fn rows(&self) -> Vec<Vec<Value>> {
        let mut rows: Vec<_> = self.slots.iter().filter_map(|(key, slot)| slot.row.as_ref().map(|row| (key, row))).collect();
        rows.sort_by_key(|(key, _)| *key);
        rows.into_iter().map(|(_, row)| row.to_values()).collect()
    }

    fn weight(&self) -> usize {
        let inline = size_of::<(<P::Row as Row>::Key, Slot<P::Row>)>() + 1;
        // A hash map's order is as good as a random sample.
        let sample = self.slots.values().take(WEIGHED).filter_map(|slot| slot.row.as_ref());
        let heap: usize = sample.map(|row| row.to_values().iter().map(Value::heap_bytes).sum::<usize>()).sum();
        let each = size_of::<P::Row>() + heap / self.slots.len().clamp(1, WEIGHED);
        with_what_is_lost(self.slots.capacity() * inline + each * self.slots.len())
    }

    fn narrow(&mut self, part: &Part) {
        self.slots.retain(|key, _| part.contains(&place(key)));
        self.slots.shrink_to_fit();
        self.part = Some(part.clone());
    }

    fn drain(&mut self) -> Box<dyn Iterator<Item = Vec<Value>> + '_> {
        let mut keys: Vec<_> = self.slots.iter().filter(|(_, slot)| slot.row.is_some()).map(|(key, _)| key.clone()).collect();
        keys.sort();
        Box::new(keys.into_iter().filter_map(|key| Some(self.slots.remove(&key)?.row?.to_values())))
    }
}

impl<P: Keyed> Projection for KeyedProjection<P> {
    fn definition(&self) -> Definition {
        Definition { name: P::Row::TABLE.name, version: P::VERSION, handles: P::HANDLES, table: P::Row::TABLE }
    }

    fn keys(&self, moments: &[Moment<'_>]) -> Vec<Vec<Value>> {
        let mut keys = Vec::new();
        until_panic(moments, |moment| {
            keys.extend(P::keys(moment)?);
            Ok(())
        });
        keys.sort();
        keys.dedup();
        keys.iter().map(crate::table::RowKey::to_values).collect()
    }

    fn fold(&self, rows: Vec<Vec<Value>>, moments: &[Moment<'_>]) -> Folded {
        let mut folding: Rows<P> = Rows { slots: HashMap::with_capacity(rows.len()), part: None };
        for values in rows {
            match P::Row::from_values(values) {
                Ok(row) => folding.slots.insert(row.key(), Slot { row: Some(Box::new(row)), stored: true, changed: false }),
                Err(error) => return Folded { stopped: Some(error.into()), ..Folded::default() },
            };
        }
        let (applied, stopped) = until_panic(moments, |moment| folding.apply(moment));
        let mut changed: Vec<_> = folding.slots.into_iter().filter(|(_, slot)| slot.changed).collect();
        changed.sort_by(|(left, _), (right, _)| left.cmp(right));
        let mut changes = Changes::default();
        for (key, slot) in changed {
            match slot.row {
                Some(row) if slot.stored => changes.updates.push(row.to_values()),
                Some(row) => changes.inserts.push(row.to_values()),
                None if slot.stored => changes.deletes.push(key.to_values()),
                None => {}
            }
        }
        Folded { changes, applied, stopped }
    }

    fn in_memory(&self, part: Part) -> Box<dyn InMemory> {
        Box::new(Rows::<P> { slots: HashMap::new(), part: Some(part) })
    }

    fn form(&self) -> Form {
        Form::Keyed
    }

    fn places(&self, moments: &[Moment<'_>]) -> (Vec<(u32, u64)>, usize, Option<ProjectionError>) {
        let mut places = Vec::with_capacity(moments.len());
        let mut index = 0;
        let (applied, stopped) = until_panic(moments, |moment| {
            places.extend(P::keys(moment)?.iter().map(|key| (index, place(key))));
            index += 1;
            Ok(())
        });
        (places, applied, stopped)
    }

    fn refold(&self, key: &[Value], mut rows: Vec<Vec<Value>>, moment: &Moment<'_>) -> Result<(Vec<Vec<Value>>, bool), ProjectionError> {
        let Some(key) = P::keys(moment)?.into_iter().find(|touched| touched.to_values() == key) else { return Ok((rows, false)) };
        let row = rows.pop().map(P::Row::from_values).transpose()?;
        Ok((P::evolve(&key, row, moment)?.iter().map(Row::to_values).collect(), true))
    }
}

/// The rows that a journal's events added.
struct Appended<P: Journal>(Vec<P::Row>);

impl<P: Journal> InMemory for Appended<P> {
    fn apply(&mut self, moment: &Moment<'_>) -> Result<(), ProjectionError> {
        self.0.extend(P::rows(moment)?);
        Ok(())
    }

    fn rows(&self) -> Vec<Vec<Value>> {
        let mut rows: Vec<_> = self.0.iter().map(|row| (row.key(), row)).collect();
        rows.sort_by(|(left, _), (right, _)| left.cmp(right));
        rows.into_iter().map(|(_, row)| row.to_values()).collect()
    }

    fn weight(&self) -> usize {
        let heap: usize = self.0.iter().take(WEIGHED).flat_map(|row| row.to_values()).map(|value| value.heap_bytes()).sum();
        with_what_is_lost(self.0.capacity() * size_of::<P::Row>() + heap / self.0.len().clamp(1, WEIGHED) * self.0.len())
    }

    fn narrow(&mut self, part: &Part) {
        self.0.retain(|row| part.contains(&place(&row.key())));
    }

    fn drain(&mut self) -> Box<dyn Iterator<Item = Vec<Value>> + '_> {
        self.0.sort_by_key(Row::key);
        Box::new(self.0.drain(..).map(|row| row.to_values()))
    }
}

impl<P: Journal> Projection for JournalProjection<P> {
    fn definition(&self) -> Definition {
        Definition { name: P::Row::TABLE.name, version: P::VERSION, handles: P::HANDLES, table: P::Row::TABLE }
    }

    fn keys(&self, _: &[Moment<'_>]) -> Vec<Vec<Value>> {
        Vec::new()
    }

    fn fold(&self, _: Vec<Vec<Value>>, moments: &[Moment<'_>]) -> Folded {
        let mut inserts = Vec::with_capacity(moments.len());
        let (applied, stopped) = until_panic(moments, |moment| {
            inserts.extend(P::rows(moment)?.iter().map(Row::to_values));
            Ok(())
        });
        Folded { changes: Changes { inserts, ..Changes::default() }, applied, stopped }
    }

    fn in_memory(&self, _: Part) -> Box<dyn InMemory> {
        Box::new(Appended::<P>(Vec::new()))
    }

    fn form(&self) -> Form {
        Form::Journal
    }

    fn places(&self, moments: &[Moment<'_>]) -> (Vec<(u32, u64)>, usize, Option<ProjectionError>) {
        (Vec::new(), moments.len(), None)
    }

    fn refold(&self, key: &[Value], mut rows: Vec<Vec<Value>>, moment: &Moment<'_>) -> Result<(Vec<Vec<Value>>, bool), ProjectionError> {
        let found = P::rows(moment)?.iter().map(Row::to_values).find(|row| row.starts_with(key));
        let touches = found.is_some();
        rows.extend(found);
        Ok((rows, touches))
    }
}

/// Applies events until one cannot be. A fold with a fault stops its own projection, and nobody else.
pub(crate) fn until_panic(
    moments: &[Moment<'_>],
    mut apply: impl FnMut(&Moment<'_>) -> Result<(), ProjectionError>,
) -> (usize, Option<ProjectionError>) {
    let applied = Cell::new(0);
    let run = catch_unwind(AssertUnwindSafe(|| {
        for moment in moments {
            apply(moment)?;
            applied.set(applied.get() + 1);
        }
        Ok(())
    }));
    let stopped = match run {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error),
        Err(panic) => {
            let said = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Some(ProjectionError::Panicked { message: said.unwrap_or_default() })
        }
    };
    (applied.get(), stopped)
}
