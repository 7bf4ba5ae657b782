//! What is known of a tariff: its versions, all of them, because a record may come for a session of long ago.

use std::sync::Arc;

use super::{TariffSnapshot, TariffTerms};
use crate::ids::{OperatorId, TariffId};
use crate::time::Timestamp;

/// A tariff.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Tariff {
    /// Never published.
    #[default]
    Absent,
    /// Sessions may start under it.
    Published {
        /// Which.
        tariff_id: TariffId,
        /// Whose.
        operator_id: OperatorId,
        /// Oldest first.
        versions: Vec<Version>,
    },
    /// No session may start under it any more.
    Withdrawn {
        /// Which.
        tariff_id: TariffId,
        /// Oldest first.
        versions: Vec<Version>,
    },
}

/// A version of a tariff.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    /// From 1, without a gap.
    pub version: u32,
    /// The tariff's name in it.
    pub name: String,
    /// When it begins to hold.
    pub effective_from: Timestamp,
    /// The prices; shared, because the state is cloned for every session that starts.
    pub terms: Arc<TariffTerms>,
}

impl Tariff {
    /// What a session that starts at `at` is to pay: the newest version that has taken effect by then. None before the
    /// first one, and none at any time once the tariff is withdrawn, because nothing may start under it.
    #[must_use]
    pub fn in_force(&self, at: Timestamp) -> Option<TariffSnapshot> {
        match self {
            Tariff::Absent | Tariff::Withdrawn { .. } => None,
            Tariff::Published { .. } => self.held_at(at),
        }
    }

    /// What a session has to pay that a device started at `at` without asking, and reports afterwards: as [`Self::in_force`],
    /// but a withdrawal since then does not make the energy free.
    #[must_use]
    pub fn held_at(&self, at: Timestamp) -> Option<TariffSnapshot> {
        let tariff_id = match self {
            Tariff::Absent => return None,
            Tariff::Published { tariff_id, .. } | Tariff::Withdrawn { tariff_id, .. } => *tariff_id,
        };
        let version = self.versions().iter().rfind(|version| version.effective_from <= at)?;
        Some(TariffSnapshot { tariff_id, version: version.version, terms: TariffTerms::clone(&version.terms) })
    }

    /// All versions, oldest first.
    #[must_use]
    pub fn versions(&self) -> &[Version] {
        match self {
            Tariff::Absent => &[],
            Tariff::Published { versions, .. } | Tariff::Withdrawn { versions, .. } => versions,
        }
    }

    pub(super) fn into_versions(self) -> Vec<Version> {
        match self {
            Tariff::Absent => Vec::new(),
            Tariff::Published { versions, .. } | Tariff::Withdrawn { versions, .. } => versions,
        }
    }
}
