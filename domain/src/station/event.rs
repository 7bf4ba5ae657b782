//! What can happen to a station.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::agency::Ownership;
use crate::ids::{OperatorId, StationId, TariffId};
use crate::time::ZoneName;

/// The datum of a coordinate. Queries are in WGS 84; what was published in another datum is stored as published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Datum {
    /// GPS.
    #[serde(rename = "WGS-84")]
    Wgs84,
    /// The datum of Chinese maps, some hundred metres off.
    #[serde(rename = "GCJ-02")]
    Gcj02,
}

/// A place on the earth, in degrees, exactly as published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Place {
    /// East of Greenwich, −180 to 180.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub longitude: Decimal,
    /// North of the equator, −90 to 90.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub latitude: Decimal,
    /// What the two refer to.
    pub datum: Datum,
}

/// What people need to find a station.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StationDetails {
    /// Its name.
    pub name: String,
    /// Its address, as people write it.
    pub address: String,
    /// Where it is.
    pub place: Place,
}

/// What can happen to a station.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum StationEvent {
    /// It was put into service.
    Registered {
        /// Which.
        station_id: StationId,
        /// Whose.
        operator_id: OperatorId,
        /// The operator's own code for it, at most 20 characters (T/CEC 102 `StationID`).
        code: String,
        /// What people need to find it.
        details: StationDetails,
        /// Its zone: prices and statistics follow this clock.
        zone: ZoneName,
    },
    /// What people need to find it changed.
    Changed {
        /// Which.
        station_id: StationId,
        /// The new details.
        details: StationDetails,
    },
    /// Sessions that start here from now on take this tariff.
    TariffAssigned {
        /// Which.
        station_id: StationId,
        /// The tariff; the version in force is chosen when a session starts.
        tariff_id: TariffId,
    },
    /// Whose it is, and what its operator keeps for running it, from now on. Sessions that have begun keep the terms that they began under.
    OwnershipChanged {
        /// Which.
        station_id: StationId,
        /// The owner and the terms; none for a station of the operator's own.
        ownership: Option<Ownership>,
    },
    /// It was taken out of service. Its history stays.
    Retired {
        /// Which.
        station_id: StationId,
    },
}
