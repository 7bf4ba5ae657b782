//! Which version of the posting rules an operator's books follow, and since which position of the log.

use std::collections::BTreeMap;

use super::JournalEvent;
use crate::decider::Decider;
use crate::event::Event;
use crate::ids::OperatorId;
use crate::log::{Position, Recorded};

/// A version of the posting rules. What one has posted stays as it is; a better rule is a new version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum RulesVersion {
    /// Where all books begin.
    #[default]
    V1,
    /// Taxes by kind of fee, `2221.energy` and `2221.service`, as a return by tax rate asks for.
    V2,
    /// What version 2 says, and bills that are divided: the owner's part is payable, and only the commission is revenue.
    V3,
}

/// A version that this build does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there are no posting rules of version {version}; the newest here is {}", RulesVersion::NEWEST.number())]
pub struct UnknownRules {
    /// What was asked for.
    pub version: u16,
}

impl RulesVersion {
    /// The newest version of this build.
    pub const NEWEST: RulesVersion = RulesVersion::V3;

    /// The number in events.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            RulesVersion::V1 => 1,
            RulesVersion::V2 => 2,
            RulesVersion::V3 => 3,
        }
    }

    /// Whether a bill that is divided between a station's owner and the operator is posted so. Older rules post it whole, as revenue.
    #[must_use]
    pub const fn divide(self) -> bool {
        match self {
            RulesVersion::V1 | RulesVersion::V2 => false,
            RulesVersion::V3 => true,
        }
    }
}

impl TryFrom<u16> for RulesVersion {
    type Error = UnknownRules;
    fn try_from(version: u16) -> Result<RulesVersion, UnknownRules> {
        match version {
            1 => Ok(RulesVersion::V1),
            2 => Ok(RulesVersion::V2),
            3 => Ok(RulesVersion::V3),
            _ => Err(UnknownRules { version }),
        }
    }
}

/// An operator's books as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Journal {
    /// None until the first adoption: then [`RulesVersion::V1`] holds.
    adopted: Option<u16>,
}

/// What somebody asks of the books.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JournalCommand {
    /// From now on another version of the rules is to hold.
    AdoptRules {
        /// Whose books.
        operator_id: OperatorId,
        /// Which version.
        rules_version: u16,
    },
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// There is no such version.
    #[error(transparent)]
    UnknownRules(#[from] UnknownRules),
    /// Books never go back to rules that they have left.
    #[error("posting rules of version {rules_version} are not newer than the adopted version {adopted}")]
    NotNewer {
        /// What was asked for.
        rules_version: u16,
        /// What holds.
        adopted: u16,
    },
}

impl Journal {
    /// The rules that hold now; none when a newer build's were adopted.
    #[must_use]
    pub fn rules(&self) -> Option<RulesVersion> {
        RulesVersion::try_from(self.rules_version()).ok()
    }

    /// The number of the rules that hold now.
    #[must_use]
    pub fn rules_version(&self) -> u16 {
        self.adopted.unwrap_or(RulesVersion::V1.number())
    }
}

impl Decider for Journal {
    type Command = JournalCommand;
    type Event = JournalEvent;
    type Error = JournalError;

    fn decide(&self, command: JournalCommand) -> Result<Vec<JournalEvent>, JournalError> {
        match command {
            JournalCommand::AdoptRules { operator_id, rules_version } => {
                RulesVersion::try_from(rules_version)?;
                let adopted = self.rules_version();
                if rules_version <= adopted {
                    return Err(JournalError::NotNewer { rules_version, adopted });
                }
                Ok(vec![JournalEvent::RulesAdopted { operator_id, rules_version }])
            }
        }
    }

    fn evolve(self, event: &JournalEvent) -> Journal {
        match event {
            JournalEvent::RulesAdopted { rules_version, .. } => Journal { adopted: Some(*rules_version) },
        }
    }

    fn event(event: &Event) -> Option<&JournalEvent> {
        if let Event::Journal(event) = event { Some(event) } else { None }
    }
}

/// Which rules hold for whom, at every position of the log: a fold over `journal.rules_adopted`, which may run before the events it is asked
/// about. So a rebuild can post from many threads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AdoptedRules(BTreeMap<(OperatorId, Position), RulesVersion>);

impl AdoptedRules {
    /// Takes an event in; any but an adoption changes nothing, and so does a repetition.
    ///
    /// # Errors
    /// When a newer build's rules were adopted: this one cannot post what follows.
    pub fn apply(&mut self, recorded: &Recorded<Event>) -> Result<(), UnknownRules> {
        if let Event::Journal(JournalEvent::RulesAdopted { operator_id, rules_version }) = &recorded.event {
            self.0.insert((*operator_id, recorded.position), RulesVersion::try_from(*rules_version)?);
        }
        Ok(())
    }

    /// The rules for an event of this operator at this position.
    #[must_use]
    pub fn at(&self, operator_id: OperatorId, position: Position) -> RulesVersion {
        let until_then = self.0.range((operator_id, Position(0))..=(operator_id, position));
        until_then.last().map_or(RulesVersion::default(), |(_, version)| *version)
    }
}
