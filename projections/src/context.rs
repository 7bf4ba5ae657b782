//! The little that some folds need beside the event: the books' zone of an operator, a station's zone, the posting rules in force.
//!
//! It is folded from the log itself and asked *at a position*: it answers with what was known there, however much further it has
//! seen. A live projector and a rebuild that has read the whole log therefore get the same answer.

use std::collections::HashMap;

use domain::event::Event;
use domain::ids::{OperatorId, StationId};
use domain::journal::JournalEvent;
use domain::log::{Position, Recorded};
use domain::operator::OperatorEvent;
use domain::station::StationEvent;
use domain::time::ZoneName;

/// How an operator's books are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Books {
    /// Business dates are dates here.
    pub zone: ZoneName,
    /// Which version of the posting rules holds; 0 before any was adopted.
    pub rules_version: u16,
}

#[derive(Debug, Clone)]
struct Operator {
    registered: Position,
    zone: ZoneName,
}

/// What the log has said so far about operators and stations. Codes and zones never change after registration, so that a first
/// word is the only one; rules are adopted again and again.
#[derive(Debug, Clone, Default)]
pub struct Context {
    operators: HashMap<OperatorId, Operator>,
    rules: HashMap<OperatorId, Vec<(Position, u16)>>,
    stations: HashMap<StationId, (Position, ZoneName)>,
}

impl Context {
    /// The events that it is folded from.
    pub const HANDLES: &'static [&'static str] = &["operator.registered", "journal.rules_adopted", "station.registered"];

    /// Takes in one more event. Events come in the order of the log; one that was there before changes nothing.
    pub fn apply(&mut self, recorded: &Recorded<Event>) {
        let position = recorded.position;
        match &recorded.event {
            Event::Operator(OperatorEvent::Registered { operator_id, books_zone, .. }) => {
                let operator = || Operator { registered: position, zone: books_zone.clone() };
                self.operators.entry(*operator_id).or_insert_with(operator);
            }
            Event::Journal(JournalEvent::RulesAdopted { operator_id, rules_version }) => {
                let rules = self.rules.entry(*operator_id).or_default();
                if rules.last().is_none_or(|(last, _)| *last < position) {
                    rules.push((position, *rules_version));
                }
            }
            Event::Station(StationEvent::Registered { station_id, zone, .. }) => {
                self.stations.entry(*station_id).or_insert_with(|| (position, zone.clone()));
            }
            _ => {}
        }
    }

    /// How the operator's books were kept at a position; nothing before it was registered.
    #[must_use]
    pub fn books(&self, operator: OperatorId, at: Position) -> Option<Books> {
        let known = self.operators.get(&operator).filter(|known| known.registered <= at)?;
        let adopted = self.rules.get(&operator).map_or(&[][..], Vec::as_slice);
        let rules_version = adopted.iter().rev().find(|(since, _)| *since <= at).map_or(0, |(_, version)| *version);
        Some(Books { zone: known.zone.clone(), rules_version })
    }

    /// The station's zone, if it was registered at a position.
    #[must_use]
    pub fn station_zone(&self, station: StationId, at: Position) -> Option<&ZoneName> {
        self.stations.get(&station).filter(|(since, _)| *since <= at).map(|(_, zone)| zone)
    }
}
