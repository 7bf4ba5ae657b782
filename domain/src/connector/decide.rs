//! What a connector can be asked and told, and what it refuses.

use super::{Connector, ConnectorEvent, ConnectorFacts};
use crate::Decider;
use crate::event::Event;
use crate::ids::{ConnectorId, PileId, SessionId, StationId};
use crate::snapshot;

/// What somebody asks of a connector, or its device reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectorCommand {
    /// Put it into service. The same again changes nothing.
    Register {
        /// Which.
        connector_id: ConnectorId,
        /// On which pile.
        pile_id: PileId,
        /// At which station.
        station_id: StationId,
        /// Its number on the pile, from 1.
        number: u8,
    },
    /// Take it for a session. The session that has it already has it.
    Occupy {
        /// Which.
        session_id: SessionId,
    },
    /// Give it back. From a session that does not have it, this changes nothing: a release that is repeated late must not free
    /// the connector under the next session.
    Release {
        /// Which.
        session_id: SessionId,
    },
    /// A fact: the device reports a fault.
    ReportFaulted {
        /// The device's own code.
        code: String,
    },
    /// A fact: the device reports that the fault is over.
    ReportFaultCleared,
    /// A fact: nothing has been heard of it for too long, or it said goodbye.
    ReportOffline,
    /// A fact: it is heard of again.
    ReportOnline,
    /// Take it out of service.
    Retire,
}

/// Why a connector refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectorError {
    /// It was never registered. Reports about it are refused, too: without its station they would be nobody's.
    #[error("the connector is not registered")]
    Absent,
    /// It is registered with other facts.
    #[error("the connector is already registered, with other facts")]
    AlreadyRegistered,
    /// Numbers on a pile start at 1; 0 means the whole pile on most wires.
    #[error("a connector's number is 1 or more")]
    NumberZero,
    /// A session has it.
    #[error("the connector is occupied by session {session}")]
    Occupied {
        /// Which.
        session: SessionId,
    },
    /// Its device reports a fault.
    #[error("the connector is faulted: {code}")]
    Faulted {
        /// The device's own code.
        code: String,
    },
    /// Nothing is heard of it.
    #[error("the connector is offline")]
    Offline,
    /// It is out of service for good.
    #[error("the connector is retired")]
    Retired,
}

impl Decider for Connector {
    type Command = ConnectorCommand;
    type Event = ConnectorEvent;
    type Error = ConnectorError;

    const SHAPE: Option<u64> =
        Some(snapshot::shape_of(&[include_bytes!("event.rs"), include_bytes!("state.rs"), include_bytes!("decide.rs")]));

    fn to_bytes(&self) -> Option<Vec<u8>> {
        snapshot::to_bytes(self)
    }

    fn of_bytes(bytes: &[u8]) -> Option<Connector> {
        snapshot::of_bytes(bytes)
    }

    fn decide(&self, command: ConnectorCommand) -> Result<Vec<ConnectorEvent>, ConnectorError> {
        match command {
            ConnectorCommand::Register { connector_id, pile_id, station_id, number } => {
                register(self, connector_id, pile_id, station_id, number)
            }
            ConnectorCommand::Occupy { session_id } => occupy(self, session_id),
            ConnectorCommand::Release { session_id } => Ok(release(self, session_id)),
            ConnectorCommand::ReportFaulted { code } => self.reported(|facts| {
                let (connector_id, station_id) = (facts.connector_id, facts.station_id);
                (facts.fault.as_ref() != Some(&code)).then_some(ConnectorEvent::Faulted { connector_id, station_id, code })
            }),
            ConnectorCommand::ReportFaultCleared => self.reported(|facts| {
                let (connector_id, station_id) = (facts.connector_id, facts.station_id);
                facts.fault.is_some().then_some(ConnectorEvent::FaultCleared { connector_id, station_id })
            }),
            ConnectorCommand::ReportOffline => self.reported(|facts| {
                let (connector_id, station_id) = (facts.connector_id, facts.station_id);
                (!facts.offline).then_some(ConnectorEvent::WentOffline { connector_id, station_id })
            }),
            ConnectorCommand::ReportOnline => self.reported(|facts| {
                let (connector_id, station_id) = (facts.connector_id, facts.station_id);
                facts.offline.then_some(ConnectorEvent::CameOnline { connector_id, station_id })
            }),
            ConnectorCommand::Retire => retire(self),
        }
    }

    fn evolve(self, event: &ConnectorEvent) -> Connector {
        self.after(event)
    }

    fn event(event: &Event) -> Option<&ConnectorEvent> {
        if let Event::Connector(event) = event { Some(event) } else { None }
    }
}

impl Connector {
    /// Devices repeat what they report, so a report is an event only when it says something new; a retired connector's device still reports.
    fn reported(&self, news: impl FnOnce(&ConnectorFacts) -> Option<ConnectorEvent>) -> Result<Vec<ConnectorEvent>, ConnectorError> {
        let facts = self.facts().ok_or(ConnectorError::Absent)?;
        Ok(news(facts).into_iter().collect())
    }
}

fn register(
    connector: &Connector,
    connector_id: ConnectorId,
    pile_id: PileId,
    station_id: StationId,
    number: u8,
) -> Result<Vec<ConnectorEvent>, ConnectorError> {
    if number == 0 {
        return Err(ConnectorError::NumberZero);
    }
    match connector {
        Connector::Absent => Ok(vec![ConnectorEvent::Registered { connector_id, pile_id, station_id, number }]),
        Connector::InService(facts)
            if (facts.connector_id, facts.pile_id, facts.station_id, facts.number) == (connector_id, pile_id, station_id, number) =>
        {
            Ok(vec![])
        }
        Connector::InService(_) => Err(ConnectorError::AlreadyRegistered),
        Connector::Retired(_) => Err(ConnectorError::Retired),
    }
}

fn occupy(connector: &Connector, session_id: SessionId) -> Result<Vec<ConnectorEvent>, ConnectorError> {
    let facts = match connector {
        Connector::Absent => return Err(ConnectorError::Absent),
        Connector::Retired(_) => return Err(ConnectorError::Retired),
        Connector::InService(facts) => facts,
    };
    let ConnectorFacts { connector_id, station_id, .. } = *facts;
    match (facts.occupant, facts.offline, &facts.fault) {
        (Some(session), _, _) if session == session_id => Ok(vec![]),
        (Some(session), _, _) => Err(ConnectorError::Occupied { session }),
        (None, true, _) => Err(ConnectorError::Offline),
        (None, false, Some(code)) => Err(ConnectorError::Faulted { code: code.clone() }),
        (None, false, None) => Ok(vec![ConnectorEvent::Occupied { connector_id, station_id, session_id }]),
    }
}

fn release(connector: &Connector, session_id: SessionId) -> Vec<ConnectorEvent> {
    match connector.facts() {
        Some(&ConnectorFacts { connector_id, station_id, occupant: Some(occupant), .. }) if occupant == session_id => {
            vec![ConnectorEvent::Released { connector_id, station_id, session_id }]
        }
        Some(_) | None => vec![],
    }
}

fn retire(connector: &Connector) -> Result<Vec<ConnectorEvent>, ConnectorError> {
    match connector {
        Connector::Absent => Err(ConnectorError::Absent),
        Connector::Retired(_) => Ok(vec![]),
        Connector::InService(ConnectorFacts { occupant: Some(session), .. }) => Err(ConnectorError::Occupied { session: *session }),
        Connector::InService(ConnectorFacts { connector_id, station_id, occupant: None, .. }) => {
            Ok(vec![ConnectorEvent::Retired { connector_id: *connector_id, station_id: *station_id }])
        }
    }
}
