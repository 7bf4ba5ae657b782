//! Connectors: what each can be used for now. Occupation, fault and silence are kept apart, as the connector itself keeps them.

use domain::connector::ConnectorEvent;
use domain::event::Event;
use domain::ids::{ConnectorId, OperatorId, PileId, SessionId, StationId};
use domain::log::{Position, Revision};
use domain::time::Timestamp;

use crate::fold::{Keyed, Moment, ProjectionError};
use crate::row;
use crate::value::words;

words! {
    /// What a connector can be used for now, in one word.
    pub enum Status {
        /// A session may have it.
        Available => "available",
        /// A session has it.
        Occupied => "occupied",
        /// Its device reports a fault.
        Faulted => "faulted",
        /// Nothing is heard of it.
        Offline => "offline",
        /// Out of service for good.
        Retired => "retired",
    }
}

row! {
    /// A connector (充电枪).
    pub struct ConnectorRow in "connectors" {
        key {
            /// Which.
            connector_id: ConnectorId,
        }
        /// Whose: the tenant.
        operator_id: OperatorId,
        /// Its station.
        station_id: StationId,
        /// Its pile.
        pile_id: PileId,
        /// Its number on the pile, from 1.
        number: u32,
        /// What it can be used for now.
        status: Status,
        /// The session that has it.
        session_id: Option<SessionId>,
        /// The device's own code of the fault that it reports.
        fault_code: Option<String>,
        /// Whether nothing is heard of it.
        offline: bool,
        /// Whether it was taken out of service.
        retired: bool,
        /// When any of this last changed.
        changed_at: Timestamp,
        /// The revision of its stream that this row holds.
        revision: Revision,
        /// The position that this row holds.
        position: Position,
    }
    index(operator_id, station_id);
    index(operator_id, pile_id);
    index(operator_id, status);
}

/// The projection of [`ConnectorRow`].
#[derive(Debug)]
pub struct Connectors;

impl Keyed for Connectors {
    type Row = ConnectorRow;
    const VERSION: u32 = 1;
    const HANDLES: &'static [&'static str] = &[
        "connector.registered",
        "connector.occupied",
        "connector.released",
        "connector.faulted",
        "connector.fault_cleared",
        "connector.went_offline",
        "connector.came_online",
        "connector.retired",
    ];

    fn keys(moment: &Moment<'_>) -> Result<Vec<(ConnectorId,)>, ProjectionError> {
        let Event::Connector(event) = moment.event() else { return Ok(Vec::new()) };
        let id = match event {
            ConnectorEvent::Registered { connector_id, .. }
            | ConnectorEvent::Occupied { connector_id, .. }
            | ConnectorEvent::Released { connector_id, .. }
            | ConnectorEvent::Faulted { connector_id, .. }
            | ConnectorEvent::FaultCleared { connector_id, .. }
            | ConnectorEvent::WentOffline { connector_id, .. }
            | ConnectorEvent::CameOnline { connector_id, .. }
            | ConnectorEvent::Retired { connector_id, .. } => *connector_id,
        };
        Ok(vec![(id,)])
    }

    fn evolve(key: &(ConnectorId,), row: Option<ConnectorRow>, moment: &Moment<'_>) -> Result<Option<ConnectorRow>, ProjectionError> {
        let Event::Connector(event) = moment.event() else { return Ok(row) };
        let mut row = match (event, row) {
            (ConnectorEvent::Registered { connector_id, pile_id, station_id, number }, None) => ConnectorRow {
                connector_id: *connector_id,
                operator_id: moment.operator_id(),
                station_id: *station_id,
                pile_id: *pile_id,
                number: u32::from(*number),
                status: Status::Available,
                session_id: None,
                fault_code: None,
                offline: false,
                retired: false,
                changed_at: moment.occurred_at(),
                revision: moment.recorded.revision,
                position: moment.position(),
            },
            (_, Some(row)) => row,
            (_, None) => return Err(ProjectionError::no_row(key)),
        };
        match event {
            ConnectorEvent::Registered { .. } => {}
            ConnectorEvent::Occupied { session_id, .. } => row.session_id = Some(*session_id),
            ConnectorEvent::Released { .. } => row.session_id = None,
            ConnectorEvent::Faulted { code, .. } => row.fault_code = Some(code.clone()),
            ConnectorEvent::FaultCleared { .. } => row.fault_code = None,
            ConnectorEvent::WentOffline { .. } => row.offline = true,
            ConnectorEvent::CameOnline { .. } => row.offline = false,
            ConnectorEvent::Retired { .. } => row.retired = true,
        }
        row.status = status(&row);
        row.changed_at = moment.occurred_at();
        row.revision = moment.recorded.revision;
        row.position = moment.position();
        Ok(Some(row))
    }
}

fn status(row: &ConnectorRow) -> Status {
    match (row.retired, row.offline, &row.fault_code, row.session_id) {
        (true, ..) => Status::Retired,
        (_, true, ..) => Status::Offline,
        (_, _, Some(_), _) => Status::Faulted,
        (_, _, _, Some(_)) => Status::Occupied,
        (_, _, None, None) => Status::Available,
    }
}
