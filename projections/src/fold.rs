//! What a projection is: a pure fold from events to rows. The live projector, a rebuild and the tests all run this same code.
//!
//! Two forms. [`Keyed`]: an event changes the rows of its keys. [`Journal`]: an event adds rows, and nothing changes them.
//! [`Projection`] is either one with its row type forgotten, as the runner handles them.

use std::cell::Cell;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use domain::event::Event;
use domain::ids::{OperatorId, StationId};
use domain::log::{Position, Recorded};
use domain::time::{Timestamp, ZoneName};

use crate::context::{Books, Context};
use crate::table::{Row, RowKey as _, Table};
use crate::value::{Value, ValueError};

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

/// A whole read model, or a partition of one, folded in memory: what a rebuild copies into fresh tables, and what tests compare with.
pub trait InMemory: Send {
    /// Takes in one event, of a type that the projection handles.
    ///
    /// # Errors
    /// When the event cannot be applied.
    fn apply(&mut self, moment: &Moment<'_>) -> Result<(), ProjectionError>;

    /// The rows, sorted by key.
    fn rows(&self) -> Vec<Vec<Value>>;
}

/// A projection with its row type forgotten.
pub trait Projection: Send + Sync + 'static {
    /// What is known of it.
    fn definition(&self) -> Definition;

    /// The keys of the rows that these events need, each once. Events that cannot be applied are left to [`Projection::fold`].
    fn keys(&self, moments: &[Moment<'_>]) -> Vec<Vec<Value>>;

    /// Folds events, all of types that it handles, onto the rows that are there.
    fn fold(&self, rows: Vec<Vec<Value>>, moments: &[Moment<'_>]) -> Folded;

    /// An empty read model in memory.
    fn in_memory(&self) -> Box<dyn InMemory>;
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
struct Rows<P: Keyed>(HashMap<<P::Row as Row>::Key, Slot<P::Row>>);

struct Slot<R> {
    row: Option<R>,
    /// Whether the database has a row under the key.
    stored: bool,
    changed: bool,
}

impl<P: Keyed> Rows<P> {
    /// All rows of the event change, or none.
    fn apply(&mut self, moment: &Moment<'_>) -> Result<(), ProjectionError> {
        let keys = P::keys(moment)?;
        let mut evolved = Vec::with_capacity(keys.len());
        for key in keys {
            let row = self.0.get(&key).and_then(|slot| slot.row.clone());
            let next = P::evolve(&key, row, moment)?;
            evolved.push((key, next));
        }
        for (key, next) in evolved {
            let slot = self.0.entry(key).or_insert(Slot { row: None, stored: false, changed: false });
            if slot.row != next {
                slot.row = next;
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
        let mut rows: Vec<_> = self.0.iter().filter_map(|(key, slot)| slot.row.as_ref().map(|row| (key, row))).collect();
        rows.sort_by_key(|(key, _)| *key);
        rows.into_iter().map(|(_, row)| row.to_values()).collect()
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
        let mut folding: Rows<P> = Rows(HashMap::with_capacity(rows.len()));
        for values in rows {
            match P::Row::from_values(values) {
                Ok(row) => folding.0.insert(row.key(), Slot { row: Some(row), stored: true, changed: false }),
                Err(error) => return Folded { stopped: Some(error.into()), ..Folded::default() },
            };
        }
        let (applied, stopped) = until_panic(moments, |moment| folding.apply(moment));
        let mut changed: Vec<_> = folding.0.into_iter().filter(|(_, slot)| slot.changed).collect();
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

    fn in_memory(&self) -> Box<dyn InMemory> {
        Box::new(Rows::<P>(HashMap::new()))
    }
}

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

    fn in_memory(&self) -> Box<dyn InMemory> {
        Box::new(Appended::<P>(Vec::new()))
    }
}

/// Applies events until one cannot be. A fold with a fault stops its own projection, and nobody else.
fn until_panic(
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
