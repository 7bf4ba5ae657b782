//! What can happen to a pile.

use serde::{Deserialize, Serialize};

use crate::ids::{PileId, StationId};
use crate::units::Power;

/// What kind of current a pile gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum CurrentKind {
    /// Alternating (慢充).
    Ac,
    /// Direct (快充).
    Dc,
}

/// What a pile is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PileDetails {
    /// The maker's model; empty when unknown.
    pub model: String,
    /// Alternating or direct current.
    pub current: CurrentKind,
    /// The most that one connector gives. Records above it are marked, not refused.
    pub rated_power: Power,
}

/// What can happen to a pile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum PileEvent {
    /// It was put into service.
    Registered {
        /// Which.
        pile_id: PileId,
        /// Where.
        station_id: StationId,
        /// The code that it gives itself on the wire (云快充: 14 digits), or the operator's own.
        code: String,
        /// What it is.
        details: PileDetails,
    },
    /// What it is changed.
    Changed {
        /// Which.
        pile_id: PileId,
        /// The new details.
        details: PileDetails,
    },
    /// It was taken out of service. Its history stays.
    Retired {
        /// Which.
        pile_id: PileId,
    },
}
