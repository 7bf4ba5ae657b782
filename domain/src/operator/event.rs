//! What can happen to an operator.

use serde::{Deserialize, Serialize};

use crate::ids::{OperatorCode, OperatorId};
use crate::time::ZoneName;

/// How the books treat a session at a station that somebody else owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum BookingMode {
    /// Gross revenue is ours; the owner's share is cost.
    #[default]
    Principal,
    /// The owner's part is a payable (2202); only the commission is revenue.
    Agent,
}

/// What can happen to an operator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OperatorEvent {
    /// It joined.
    Registered {
        /// Which.
        operator_id: OperatorId,
        /// Its nine-character code.
        code: OperatorCode,
        /// Its name.
        name: String,
        /// The zone of its books: business dates are dates here.
        books_zone: ZoneName,
        /// How its books treat other owners' stations.
        booking: BookingMode,
    },
    /// Its name changed. Code and books' zone never change: closed books depend on them.
    Changed {
        /// Which.
        operator_id: OperatorId,
        /// The new name.
        name: String,
    },
    /// From now on its books treat other owners' stations otherwise. Sessions that have begun keep the terms that they began under.
    BookingChanged {
        /// Which.
        operator_id: OperatorId,
        /// How its books treat other owners' stations.
        booking: BookingMode,
    },
    /// It left. Its data stays.
    Closed {
        /// Which.
        operator_id: OperatorId,
    },
}
