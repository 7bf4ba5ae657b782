//! One row folded again from its events, compared with the row that is there, and put in its place.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::log::{EventStore, Filter, Position};
use serde::{Deserialize, Serialize};

use super::RebuildError;
use super::past::context_to;
use super::port::BuildStore;
use crate::feed::Entry;
use crate::fold::{Changes, Moment, Projection};
use crate::port::BuildState;
use crate::quarantine::{Fate, Quarantined, Sorting};
use crate::stretch::{describe, halt_at};
use crate::table::ColumnShape;
use crate::value::Value;

const PAGE: usize = 8_192;

/// What a repair found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Repaired {
    /// The projection.
    pub name: String,
    /// The build that serves.
    pub build: i64,
    /// The row's key.
    pub key: serde_json::Value,
    /// Whose row it is, if it is one operator's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_id: Option<String>,
    /// Up to where it was folded.
    pub position: Position,
    /// How many events touched it.
    pub events: u64,
    /// The cells that were wrong: what was there, and what belongs there. Empty when the row was right.
    pub cells: BTreeMap<String, (serde_json::Value, serde_json::Value)>,
    /// Whether there was a row.
    pub was_there: bool,
    /// Whether there is to be one.
    pub belongs_there: bool,
    /// Whether it was written.
    pub written: bool,
}

impl Repaired {
    /// Whether the row was as its events make it.
    #[must_use]
    pub fn was_right(&self) -> bool {
        self.cells.is_empty() && self.was_there == self.belongs_there
    }
}

/// Folds the row of one key again, and puts it in the place of the one that serves. Its projector waits for the last of it only.
///
/// `key` has the key's cells as text, in the key's order, separated by commas. Without `write`, the difference is only shown.
///
/// # Errors
/// When the key is none, the log or the database cannot be read, or an event cannot be applied.
pub async fn repair(
    log: &dyn EventStore,
    store: &dyn BuildStore,
    projection: Arc<dyn Projection>,
    key: &str,
    write: bool,
) -> Result<Repaired, RebuildError> {
    let definition = projection.definition();
    let name = definition.name.to_owned();
    let no_row = |reason: String| RebuildError::NoRow { name: name.clone(), reason };
    let key = parse_key(definition.table.key(), key).map_err(no_row)?;
    let sorting = Sorting::new(&definition, Arc::new(Quarantined::read(log).await?));
    let mut row =
        Refolding { projection: projection.clone(), sorting, key: key.clone(), rows: Vec::new(), position: Position(0), events: 0 };
    // The long way first, while the projector goes on; the rest while it waits.
    let head = log.head().await?.position;
    row.follow(log, head).await?;
    let held = store.hold(&definition).await?;
    let serving = held.serving().filter(|build| build.version == definition.version && build.state == BuildState::Serving);
    let Some(build) = serving.cloned() else { return Err(no_row("no build of this version serves".to_owned())) };
    if build.position < row.position {
        // The build stands still before the head: the row is folded for where it stands.
        row = Refolding { rows: Vec::new(), position: Position(0), events: 0, ..row };
    }
    row.follow(log, build.position).await?;
    let there = store.load(&definition, &build, std::slice::from_ref(&key)).await?.pop();
    let belongs = row.rows.pop();
    if there.is_none() && belongs.is_none() {
        return Err(no_row("none is there, and no event makes one".to_owned()));
    }
    let columns = definition.table.columns;
    let whose = columns.iter().position(|column| column.name == "operator_id");
    let whose = whose.and_then(|at| belongs.as_ref().or(there.as_ref())?.get(at).map(|cell| cell.to_json(columns[at].column_type)));
    let mut repaired = Repaired {
        name,
        build: build.number,
        key: as_json(definition.table.key(), &key),
        operator_id: whose.as_ref().and_then(serde_json::Value::as_str).map(str::to_owned),
        position: build.position,
        events: row.events,
        cells: differing(columns, there.as_deref(), belongs.as_deref()),
        was_there: there.is_some(),
        belongs_there: belongs.is_some(),
        written: false,
    };
    if write && !repaired.was_right() {
        let mut changes = Changes::default();
        match (there, belongs) {
            (Some(_), Some(row)) => changes.updates.push(row),
            (None, Some(row)) => changes.inserts.push(row),
            (Some(_), None) => changes.deletes.push(key),
            (None, None) => {}
        }
        held.correct(&definition, &build, &changes).await?;
        repaired.written = true;
    }
    Ok(repaired)
}

/// The row of one key, on its way through the log.
struct Refolding {
    projection: Arc<dyn Projection>,
    sorting: Sorting,
    key: Vec<Value>,
    rows: Vec<Vec<Value>>,
    position: Position,
    events: u64,
}

impl Refolding {
    async fn follow(&mut self, log: &dyn EventStore, until: Position) -> Result<(), RebuildError> {
        let definition = self.projection.definition();
        let context = context_to(log, until).await?;
        let wanted = Filter::types(definition.handles.iter().copied());
        while self.position < until {
            let page = log.read_all(self.position, &wanted, PAGE).await?;
            if page.scanned_to <= self.position {
                break;
            }
            self.position = page.scanned_to.min(until);
            let entries: Vec<Entry> = page.events.into_iter().filter(|event| event.position <= until).map(Entry::decode).collect();
            for entry in &entries {
                if self.sorting.fate(entry.event_type.as_str(), entry.event_id) != Fate::Handled {
                    continue;
                }
                let halted = |error: &dyn std::error::Error| RebuildError::Halted {
                    name: definition.name.to_owned(),
                    halt: Box::new(halt_at(entry, &describe(error))),
                };
                let recorded = entry.recorded.as_ref().map_err(|error| halted(error))?;
                let moment = Moment { recorded, event_type: entry.event_type.as_str(), context: &context };
                let (rows, touches) =
                    self.projection.refold(&self.key, std::mem::take(&mut self.rows), &moment).map_err(|error| halted(&error))?;
                self.rows = rows;
                self.events += u64::from(touches);
            }
        }
        Ok(())
    }
}

fn parse_key(columns: &'static [ColumnShape], key: &str) -> Result<Vec<Value>, String> {
    let parts: Vec<&str> = key.split(',').collect();
    let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
    if parts.len() != columns.len() {
        return Err(format!("its key has {}, separated by commas: {}", columns.len(), names.join(",")));
    }
    let part = |(column, text): (&ColumnShape, &str)| {
        Value::parse(column.column_type, text.trim()).map_err(|error| format!("{}: {error}", column.name))
    };
    columns.iter().zip(parts).map(part).collect()
}

fn as_json(columns: &[ColumnShape], cells: &[Value]) -> serde_json::Value {
    columns.iter().zip(cells).map(|(column, cell)| (column.name.to_owned(), cell.to_json(column.column_type))).collect()
}

fn differing(
    columns: &[ColumnShape],
    there: Option<&[Value]>,
    belongs: Option<&[Value]>,
) -> BTreeMap<String, (serde_json::Value, serde_json::Value)> {
    let cell = |row: Option<&[Value]>, at: usize, column: &ColumnShape| {
        row.and_then(|row| row.get(at)).map_or(serde_json::Value::Null, |cell| cell.to_json(column.column_type))
    };
    let both =
        columns.iter().enumerate().map(|(at, column)| (column.name.to_owned(), (cell(there, at, column), cell(belongs, at, column))));
    both.filter(|(_, (there, belongs))| there != belongs).collect()
}
