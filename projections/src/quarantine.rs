//! Which events a projection steps over, by an operator's decision: a fold over `projection.event_quarantined`.
//!
//! The whole log's decisions hold for every event, wherever they stand: a decision comes after its event, so that whoever folds reads them all first.
//! That is how a live projector and a rebuild step over the same. Nothing is ever quarantined by itself.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use serde::Serialize;

use domain::event::Event;
use domain::ids::{EventId, OperatorId};
use domain::log::{EventStore, Position, Recorded, Revision, StoreError, StreamId};
use domain::projection::ProjectionEvent;
use domain::time::Timestamp;

use crate::fold::Definition;

/// How many decisions are read at once.
const PAGE: usize = 512;

/// One event that a projection steps over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// Which projection.
    pub projection: String,
    /// Where the event is.
    pub position: Position,
    /// Which event.
    pub event_id: EventId,
    /// Its stored name.
    pub event_type: String,
    /// Why.
    pub reason: String,
    /// Who decided it.
    pub decided_by: String,
    /// When.
    pub decided_at: Timestamp,
    /// For whose books.
    pub operator_id: OperatorId,
}

/// All decisions that a log holds.
#[derive(Debug, Clone, Default)]
pub struct Quarantined {
    events: HashMap<String, HashSet<EventId>>,
    decisions: BTreeMap<Position, Decision>,
}

impl Quarantined {
    /// The events that it is folded from.
    pub const HANDLES: &'static [&'static str] = &["projection.event_quarantined"];

    /// Reads every decision about any projection that is in a log now: from their streams, so that it takes no longer for a long log.
    ///
    /// # Errors
    /// When the log, or a decision in it, cannot be read: nobody may fold on without knowing what to step over.
    pub async fn read(store: &dyn EventStore) -> Result<Quarantined, StoreError> {
        let mut quarantined = Quarantined::default();
        for projection in crate::all() {
            quarantined.take(store, projection.definition().name).await?;
        }
        Ok(quarantined)
    }

    /// Reads every decision about one projection.
    ///
    /// # Errors
    /// As [`Quarantined::read`].
    pub async fn of(store: &dyn EventStore, projection: &str) -> Result<Quarantined, StoreError> {
        let mut quarantined = Quarantined::default();
        quarantined.take(store, projection).await?;
        Ok(quarantined)
    }

    async fn take(&mut self, store: &dyn EventStore, projection: &str) -> Result<(), StoreError> {
        let stream = StreamId::projection(projection);
        let mut from = Revision(0);
        loop {
            let page = store.read_stream(&stream, from, PAGE).await?;
            let is_last = page.len() < PAGE;
            for stored in page {
                from = stored.revision.next();
                let position = stored.position;
                let recorded = stored.decode().map_err(|error| StoreError::Damaged { position, reason: error.to_string() })?;
                self.apply(&recorded);
            }
            if is_last {
                return Ok(());
            }
        }
    }

    /// Takes in one more event; any but a decision changes nothing, and so does a repetition.
    pub fn apply(&mut self, recorded: &Recorded<Event>) {
        let Event::Projection(ProjectionEvent::EventQuarantined { projection, position, event_id, event_type, reason }) = &recorded.event
        else {
            return;
        };
        if !self.events.entry(projection.clone()).or_default().insert(*event_id) {
            return;
        }
        let decision = Decision {
            projection: projection.clone(),
            position: *position,
            event_id: *event_id,
            event_type: event_type.clone(),
            reason: reason.clone(),
            decided_by: recorded.metadata.actor.to_string(),
            decided_at: recorded.metadata.occurred_at,
            operator_id: recorded.metadata.operator_id,
        };
        self.decisions.insert(recorded.position, decision);
    }

    /// Whether a projection steps over an event.
    #[must_use]
    pub fn contains(&self, projection: &str, event_id: EventId) -> bool {
        self.events.get(projection).is_some_and(|events| events.contains(&event_id))
    }

    /// The decisions, in the order in which they were taken.
    pub fn decisions(&self) -> impl Iterator<Item = &Decision> {
        self.decisions.values()
    }
}

/// What a projection does with an event, before it looks at what the event says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Not of a type that it handles.
    Ignored,
    /// Stepped over by an operator's decision.
    Quarantined,
    /// To be applied.
    Handled,
}

/// Sorts the log's events for one projection. The live projector and a rebuild sort with this, so that they count alike.
#[derive(Debug, Clone)]
pub struct Sorting {
    name: &'static str,
    handles: HashSet<&'static str>,
    quarantined: Arc<Quarantined>,
}

impl Sorting {
    /// For a projection, with every decision of the log.
    #[must_use]
    pub fn new(definition: &Definition, quarantined: Arc<Quarantined>) -> Sorting {
        Sorting { name: definition.name, handles: definition.handles.iter().copied().collect(), quarantined }
    }

    /// What becomes of an event. A type that is not handled is ignored, whatever was decided while it was.
    #[must_use]
    pub fn fate(&self, event_type: &str, event_id: EventId) -> Fate {
        if !self.handles.contains(event_type) {
            Fate::Ignored
        } else if self.quarantined.contains(self.name, event_id) {
            Fate::Quarantined
        } else {
            Fate::Handled
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fold::keyed;
    use crate::wallets::Wallets;
    use domain::ids::CommandId;
    use domain::log::{Actor, Metadata, Revision};
    use domain::testing::{at, id};

    fn decided(position: u64, event: u128, reason: &str) -> Recorded<Event> {
        let projection = "wallets".to_owned();
        let event_type = "wallet.held".to_owned();
        let decided =
            ProjectionEvent::EventQuarantined { projection, position: Position(3), event_id: id(event), event_type, reason: reason.into() };
        Recorded {
            position: Position(position),
            stream: "projection-wallets".into(),
            revision: Revision(0),
            metadata: Metadata {
                event_id: id(900 + u128::from(position)),
                command_id: id::<CommandId>(1),
                causation_id: None,
                correlation_id: id(1),
                actor: Actor::system("test"),
                operator_id: id(2),
                occurred_at: at("2026-03-01T08:00:00Z"),
                recorded_at: at("2026-03-01T08:00:00Z"),
            },
            event: decided.into(),
        }
    }

    #[test]
    fn an_event_is_stepped_over_by_the_projection_it_was_decided_for_and_by_no_other() {
        let mut quarantined = Quarantined::default();
        quarantined.apply(&decided(8, 1, "booked by hand"));
        assert!(quarantined.contains("wallets", id(1)));
        assert!(!quarantined.contains("wallets", id(2)) && !quarantined.contains("journal", id(1)));
    }

    #[test]
    fn the_first_reason_stands() {
        let mut quarantined = Quarantined::default();
        quarantined.apply(&decided(8, 1, "booked by hand"));
        quarantined.apply(&decided(9, 1, "another reason"));
        assert_eq!(quarantined.decisions().map(|decision| decision.reason.as_str()).collect::<Vec<_>>(), ["booked by hand"]);
    }

    #[test]
    fn each_event_has_one_fate() {
        let mut quarantined = Quarantined::default();
        quarantined.apply(&decided(8, 1, "booked by hand"));
        let sorting = Sorting::new(&keyed::<Wallets>().definition(), Arc::new(quarantined));
        assert_eq!(sorting.fate("wallet.held", id(1)), Fate::Quarantined);
        assert_eq!(sorting.fate("wallet.held", id(2)), Fate::Handled);
        assert_eq!(sorting.fate("station.registered", id(1)), Fate::Ignored);
    }
}
