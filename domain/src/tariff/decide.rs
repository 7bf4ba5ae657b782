//! What may be asked of a tariff, and what comes of it.

use super::{Tariff, TariffEvent, TariffTerms, TermsError, Version};
use crate::decider::Decider;
use crate::event::Event;
use crate::ids::{OperatorId, TariffId};
use crate::time::Timestamp;

/// The longest name of a tariff, in characters.
pub const LONGEST_NAME: usize = 100;

/// The most versions of one tariff: one every week for ten years. A longer history belongs to a new tariff.
pub const MOST_VERSIONS: usize = 520;

/// What may be asked of a tariff.
#[derive(Debug, Clone, PartialEq)]
pub enum TariffCommand {
    /// Publish a version: the first, or one more.
    Publish {
        /// Which tariff.
        tariff_id: TariffId,
        /// Whose.
        operator_id: OperatorId,
        /// Its name.
        name: String,
        /// When it is to begin to hold.
        effective_from: Timestamp,
        /// The prices.
        terms: TariffTerms,
        /// When it is published: a version after the first may not begin before that.
        published_at: Timestamp,
    },
    /// Let no session start under it any more. For ever: prices come back as a new tariff.
    Withdraw {
        /// Which tariff.
        tariff_id: TariffId,
    },
}

/// Why a request about a tariff is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TariffError {
    /// There is no such tariff.
    #[error("the tariff has never been published")]
    NeverPublished,
    /// It has been withdrawn.
    #[error("the tariff has been withdrawn")]
    Withdrawn,
    /// It is somebody else's.
    #[error("the tariff belongs to another operator")]
    OtherOperator,
    /// It has no name.
    #[error("the tariff has no name")]
    NoName,
    /// Its name is too long.
    #[error("the tariff's name has {length} characters, more than {LONGEST_NAME}")]
    NameTooLong {
        /// How many.
        length: usize,
    },
    /// The terms are not fit to be published.
    #[error(transparent)]
    Terms(#[from] TermsError),
    /// Versions take effect in the order of their numbers.
    #[error("it would take effect at {effective_from}, before version {version}, which does at {version_effective_from}")]
    BeforeEarlierVersion {
        /// When it was to begin to hold.
        effective_from: Timestamp,
        /// The newest version.
        version: u32,
        /// When that begins to hold.
        version_effective_from: Timestamp,
    },
    /// Drivers have been shown the version before; a price is published before it holds.
    #[error("it would have taken effect at {effective_from}, before it was published at {published_at}")]
    EffectiveBeforePublished {
        /// When it was to begin to hold.
        effective_from: Timestamp,
        /// When it was published.
        published_at: Timestamp,
    },
    /// More versions than a tariff may have.
    #[error("the tariff has {MOST_VERSIONS} versions, and cannot have more")]
    TooManyVersions,
}

impl Decider for Tariff {
    type Command = TariffCommand;
    type Event = TariffEvent;
    type Error = TariffError;

    fn decide(&self, command: TariffCommand) -> Result<Vec<TariffEvent>, TariffError> {
        match command {
            TariffCommand::Publish { tariff_id, operator_id, name, effective_from, terms, published_at } => {
                let version = self.next_version(operator_id, &name, effective_from, &terms, published_at)?;
                let published = |version| TariffEvent::VersionPublished { tariff_id, operator_id, name, version, effective_from, terms };
                Ok(version.map(published).into_iter().collect())
            }
            TariffCommand::Withdraw { tariff_id } => match self {
                Tariff::Absent => Err(TariffError::NeverPublished),
                Tariff::Published { .. } => Ok(vec![TariffEvent::Withdrawn { tariff_id }]),
                Tariff::Withdrawn { .. } => Ok(vec![]),
            },
        }
    }

    fn evolve(self, event: &TariffEvent) -> Tariff {
        match event {
            TariffEvent::VersionPublished { tariff_id, operator_id, name, version, effective_from, terms } => {
                let mut versions = self.into_versions();
                let version =
                    Version { version: *version, name: name.clone(), effective_from: *effective_from, terms: terms.clone().into() };
                versions.push(version);
                Tariff::Published { tariff_id: *tariff_id, operator_id: *operator_id, versions }
            }
            TariffEvent::Withdrawn { tariff_id } => Tariff::Withdrawn { tariff_id: *tariff_id, versions: self.into_versions() },
        }
    }

    fn event(event: &Event) -> Option<&TariffEvent> {
        if let Event::Tariff(event) = event { Some(event) } else { None }
    }
}

impl Tariff {
    /// The number that the version would have; none when it says what the newest one says already.
    fn next_version(
        &self,
        operator: OperatorId,
        name: &str,
        effective_from: Timestamp,
        terms: &TariffTerms,
        published_at: Timestamp,
    ) -> Result<Option<u32>, TariffError> {
        let newest = match self {
            Tariff::Absent => None,
            Tariff::Published { operator_id, .. } if *operator_id != operator => return Err(TariffError::OtherOperator),
            Tariff::Published { versions, .. } => versions.last(),
            Tariff::Withdrawn { .. } => return Err(TariffError::Withdrawn),
        };
        check_name(name)?;
        terms.check()?;
        // The first version may look back: sessions are imported that were charged before this ledger was there.
        let Some(newest) = newest else { return Ok(Some(1)) };
        if newest.effective_from == effective_from && newest.name == name && *newest.terms == *terms {
            return Ok(None);
        }
        if effective_from < newest.effective_from {
            let (version, version_effective_from) = (newest.version, newest.effective_from);
            return Err(TariffError::BeforeEarlierVersion { effective_from, version, version_effective_from });
        }
        if effective_from < published_at {
            return Err(TariffError::EffectiveBeforePublished { effective_from, published_at });
        }
        if self.versions().len() >= MOST_VERSIONS {
            return Err(TariffError::TooManyVersions);
        }
        Ok(Some(newest.version.saturating_add(1)))
    }
}

fn check_name(name: &str) -> Result<(), TariffError> {
    let length = name.chars().count();
    if name.trim().is_empty() {
        return Err(TariffError::NoName);
    }
    if length > LONGEST_NAME {
        return Err(TariffError::NameTooLong { length });
    }
    Ok(())
}
