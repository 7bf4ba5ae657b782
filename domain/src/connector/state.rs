//! What is known of a connector, and what it can be used for now.

use serde::{Deserialize, Serialize};

use super::ConnectorEvent;
use crate::ids::{ConnectorId, PileId, SessionId, StationId};

/// A connector.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Connector {
    /// Not registered.
    #[default]
    Absent,
    /// In service, whatever its device reports.
    InService(ConnectorFacts),
    /// Out of service for good. Its history stays.
    Retired(ConnectorFacts),
}

/// What is known of a connector. Occupation, fault and silence are three things: a fault in the middle of a session takes
/// nothing from the session, and a connector that comes back may still be faulted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectorFacts {
    /// Which.
    pub connector_id: ConnectorId,
    /// On which pile.
    pub pile_id: PileId,
    /// At which station.
    pub station_id: StationId,
    /// Its number on the pile, from 1.
    pub number: u8,
    /// The session that has it.
    pub occupant: Option<SessionId>,
    /// The device's own code of the fault that it reports.
    pub fault: Option<String>,
    /// Whether nothing is heard of it.
    pub offline: bool,
}

/// What a connector can be used for now, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectorStatus {
    /// A session may have it.
    Available,
    /// A session has it.
    Occupied,
    /// Its device reports a fault. A session may have it all the same: ask [`Connector::occupant`].
    Faulted,
    /// Nothing is heard of it. A session may have it all the same: ask [`Connector::occupant`].
    Offline,
    /// Out of service for good.
    Retired,
}

impl ConnectorStatus {
    /// The word in JSON and in SQL.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            ConnectorStatus::Available => "available",
            ConnectorStatus::Occupied => "occupied",
            ConnectorStatus::Faulted => "faulted",
            ConnectorStatus::Offline => "offline",
            ConnectorStatus::Retired => "retired",
        }
    }
}

impl ConnectorFacts {
    /// Silence goes first, because a fault heard of before it may be over; a fault goes before the occupant, because people must look after it.
    #[must_use]
    pub const fn status(&self) -> ConnectorStatus {
        match self {
            ConnectorFacts { offline: true, .. } => ConnectorStatus::Offline,
            ConnectorFacts { fault: Some(_), .. } => ConnectorStatus::Faulted,
            ConnectorFacts { occupant: Some(_), .. } => ConnectorStatus::Occupied,
            ConnectorFacts { .. } => ConnectorStatus::Available,
        }
    }
}

impl Connector {
    /// What is known of it, retired or not.
    #[must_use]
    pub const fn facts(&self) -> Option<&ConnectorFacts> {
        match self {
            Connector::Absent => None,
            Connector::InService(facts) | Connector::Retired(facts) => Some(facts),
        }
    }

    /// What it can be used for now; none for one that is not registered.
    #[must_use]
    pub const fn status(&self) -> Option<ConnectorStatus> {
        match self {
            Connector::Absent => None,
            Connector::InService(facts) => Some(facts.status()),
            Connector::Retired(_) => Some(ConnectorStatus::Retired),
        }
    }

    /// The session that has it.
    #[must_use]
    pub fn occupant(&self) -> Option<SessionId> {
        self.facts().and_then(|facts| facts.occupant)
    }

    /// On which pile it is.
    #[must_use]
    pub fn pile_id(&self) -> Option<PileId> {
        self.facts().map(|facts| facts.pile_id)
    }

    /// At which station it is.
    #[must_use]
    pub fn station_id(&self) -> Option<StationId> {
        self.facts().map(|facts| facts.station_id)
    }

    pub(super) fn after(self, event: &ConnectorEvent) -> Connector {
        match event {
            ConnectorEvent::Registered { connector_id, pile_id, station_id, number } => Connector::InService(ConnectorFacts {
                connector_id: *connector_id,
                pile_id: *pile_id,
                station_id: *station_id,
                number: *number,
                occupant: None,
                fault: None,
                offline: false,
            }),
            ConnectorEvent::Occupied { session_id, .. } => self.changed(|facts| facts.occupant = Some(*session_id)),
            ConnectorEvent::Released { .. } => self.changed(|facts| facts.occupant = None),
            ConnectorEvent::Faulted { code, .. } => self.changed(|facts| facts.fault = Some(code.clone())),
            ConnectorEvent::FaultCleared { .. } => self.changed(|facts| facts.fault = None),
            ConnectorEvent::WentOffline { .. } => self.changed(|facts| facts.offline = true),
            ConnectorEvent::CameOnline { .. } => self.changed(|facts| facts.offline = false),
            ConnectorEvent::Retired { .. } => match self {
                Connector::Absent => Connector::Absent,
                Connector::InService(facts) | Connector::Retired(facts) => Connector::Retired(facts),
            },
        }
    }

    fn changed(mut self, change: impl FnOnce(&mut ConnectorFacts)) -> Connector {
        match &mut self {
            Connector::Absent => {}
            Connector::InService(facts) | Connector::Retired(facts) => change(facts),
        }
        self
    }
}
