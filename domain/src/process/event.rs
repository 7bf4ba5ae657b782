//! The progress of a process manager.

use serde::{Deserialize, Serialize};

use crate::log::Position;

/// What can happen to a process manager.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ProcessEvent {
    /// Everything up to here has been reacted to. What comes after may have been, too: each reaction carries the id of its cause,
    /// so doing it again changes nothing.
    Advanced {
        /// Which process manager.
        process: String,
        /// How far.
        position: Position,
    },
}
