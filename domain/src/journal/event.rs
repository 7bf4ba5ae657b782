//! Which posting rules the books follow.

use serde::{Deserialize, Serialize};

use crate::ids::OperatorId;

/// What can happen to an operator's books as a whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum JournalEvent {
    /// From this event's position on, this version of the posting rules holds. Fixing a rule never rewrites closed books.
    RulesAdopted {
        /// Whose books.
        operator_id: OperatorId,
        /// Which version of [`crate::journal::postings`].
        rules_version: u16,
    },
}
