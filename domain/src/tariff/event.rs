//! What can happen to a tariff.

use serde::{Deserialize, Serialize};

use super::TariffTerms;
use crate::ids::{OperatorId, TariffId};
use crate::time::Timestamp;

/// What can happen to a tariff. A version, once published, never changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum TariffEvent {
    /// A version was published: sessions that start at or after `effective_from` take it.
    VersionPublished {
        /// Which.
        tariff_id: TariffId,
        /// Whose.
        operator_id: OperatorId,
        /// Its name.
        name: String,
        /// From 1, without a gap.
        version: u32,
        /// When it begins to hold. Never before an earlier version's.
        effective_from: Timestamp,
        /// The prices.
        terms: TariffTerms,
    },
    /// No session may start under it any more.
    Withdrawn {
        /// Which.
        tariff_id: TariffId,
    },
}
