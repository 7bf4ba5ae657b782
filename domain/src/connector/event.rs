//! What can happen to a connector. That one session occupies it at a time holds because occupying is an event in its own stream.

use serde::{Deserialize, Serialize};

use crate::ids::{ConnectorId, PileId, SessionId, StationId};

/// What can happen to a connector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ConnectorEvent {
    /// It was put into service.
    Registered {
        /// Which.
        connector_id: ConnectorId,
        /// On which pile.
        pile_id: PileId,
        /// At which station.
        station_id: StationId,
        /// Its number on the pile, from 1.
        number: u8,
    },
    /// A session has it, and nobody else can.
    Occupied {
        /// Which.
        connector_id: ConnectorId,
        /// Its station.
        station_id: StationId,
        /// Who has it.
        session_id: SessionId,
    },
    /// The session gave it back.
    Released {
        /// Which.
        connector_id: ConnectorId,
        /// Its station.
        station_id: StationId,
        /// Who had it.
        session_id: SessionId,
    },
    /// The device reports a fault.
    Faulted {
        /// Which.
        connector_id: ConnectorId,
        /// Its station.
        station_id: StationId,
        /// The device's own code.
        code: String,
    },
    /// The device reports that the fault is over.
    FaultCleared {
        /// Which.
        connector_id: ConnectorId,
        /// Its station.
        station_id: StationId,
    },
    /// Nothing has been heard of it for too long, or it said goodbye.
    WentOffline {
        /// Which.
        connector_id: ConnectorId,
        /// Its station.
        station_id: StationId,
    },
    /// It is heard of again.
    CameOnline {
        /// Which.
        connector_id: ConnectorId,
        /// Its station.
        station_id: StationId,
    },
    /// It was taken out of service. Its history stays.
    Retired {
        /// Which.
        connector_id: ConnectorId,
        /// Its station.
        station_id: StationId,
    },
}
