//! What people can decide about a projection.

use serde::{Deserialize, Serialize};

use crate::ids::EventId;
use crate::log::Position;

/// What people can decide about a projection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ProjectionEvent {
    /// From now on the projection steps over an event that it cannot apply, and counts it, in every build for ever. The event itself stays in the
    /// log, and in every other projection.
    EventQuarantined {
        /// Which projection.
        projection: String,
        /// Where the event is.
        position: Position,
        /// Which event.
        event_id: EventId,
        /// Its stored name.
        event_type: String,
        /// Why, in the words of whoever decided it.
        reason: String,
    },
    /// Somebody looked at what differs between a build and the one that serves, and lets it take its place.
    SwapApproved {
        /// Which projection.
        projection: String,
        /// The build that may serve.
        build: u64,
        /// The two were compared there.
        position: Position,
        /// How many rows differed.
        rows_differing: u64,
        /// What the approver had to say about it; may be empty.
        note: String,
    },
}
