//! What a pile can be asked, and what it refuses.

use super::{PileDetails, PileEvent};
use crate::Decider;
use crate::event::Event;
use crate::ids::{PileId, StationId};
use crate::text::{self, TextError};
use crate::units::Power;

/// What is known of a pile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PileFacts {
    /// Which.
    pub pile_id: PileId,
    /// Where.
    pub station_id: StationId,
    /// The code that it gives itself on the wire, or the operator's own.
    pub code: String,
    /// What it is.
    pub details: PileDetails,
}

/// A pile.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Pile {
    /// Not registered.
    #[default]
    Absent,
    /// It may be charged at.
    InService(PileFacts),
    /// Out of service for good. Its history stays.
    Retired(PileFacts),
}

/// What somebody asks of a pile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PileCommand {
    /// Put it into service. The same again changes nothing.
    Register {
        /// Which.
        pile_id: PileId,
        /// Where.
        station_id: StationId,
        /// The code that it gives itself on the wire, or the operator's own.
        code: String,
        /// What it is.
        details: PileDetails,
    },
    /// Change what it is.
    Change {
        /// The new details, whole.
        details: PileDetails,
    },
    /// Take it out of service.
    Retire,
}

/// Why a pile refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PileError {
    /// It was never registered.
    #[error("the pile is not registered")]
    Absent,
    /// It is registered with other facts. To change what it is, change it; its code and station stay.
    #[error("the pile is already registered, with other facts")]
    AlreadyRegistered,
    /// It is out of service for good.
    #[error("the pile is retired")]
    Retired,
    /// A text is not one.
    #[error(transparent)]
    Text(#[from] TextError),
    /// Against no power, every record would look odd.
    #[error("a pile's rated power is more than 0 kW")]
    NoPower,
}

impl Pile {
    /// What is known of it, retired or not.
    #[must_use]
    pub const fn facts(&self) -> Option<&PileFacts> {
        match self {
            Pile::Absent => None,
            Pile::InService(facts) | Pile::Retired(facts) => Some(facts),
        }
    }

    /// Where it stands.
    #[must_use]
    pub fn station_id(&self) -> Option<StationId> {
        self.facts().map(|facts| facts.station_id)
    }

    /// The most that one connector gives.
    #[must_use]
    pub fn rated_power(&self) -> Option<Power> {
        self.facts().map(|facts| facts.details.rated_power)
    }

    /// Whether it is out of service for good.
    #[must_use]
    pub const fn is_retired(&self) -> bool {
        matches!(self, Pile::Retired(_))
    }
}

impl Decider for Pile {
    type Command = PileCommand;
    type Event = PileEvent;
    type Error = PileError;

    fn decide(&self, command: PileCommand) -> Result<Vec<PileEvent>, PileError> {
        match command {
            PileCommand::Register { pile_id, station_id, code, details } => {
                text::required("pile code", &code, 23)?;
                check(&details)?;
                register(self, PileFacts { pile_id, station_id, code, details })
            }
            PileCommand::Change { details } => match self {
                Pile::Absent => Err(PileError::Absent),
                Pile::Retired(_) => Err(PileError::Retired),
                Pile::InService(facts) if facts.details == details => Ok(vec![]),
                Pile::InService(facts) => {
                    check(&details)?;
                    Ok(vec![PileEvent::Changed { pile_id: facts.pile_id, details }])
                }
            },
            PileCommand::Retire => match self {
                Pile::Absent => Err(PileError::Absent),
                Pile::InService(facts) => Ok(vec![PileEvent::Retired { pile_id: facts.pile_id }]),
                Pile::Retired(_) => Ok(vec![]),
            },
        }
    }

    fn evolve(self, event: &PileEvent) -> Pile {
        match event.clone() {
            PileEvent::Registered { pile_id, station_id, code, details } => {
                Pile::InService(PileFacts { pile_id, station_id, code, details })
            }
            PileEvent::Changed { details, .. } => match self {
                Pile::Absent => Pile::Absent,
                Pile::InService(facts) => Pile::InService(PileFacts { details, ..facts }),
                Pile::Retired(facts) => Pile::Retired(PileFacts { details, ..facts }),
            },
            PileEvent::Retired { .. } => match self {
                Pile::Absent => Pile::Absent,
                Pile::InService(facts) | Pile::Retired(facts) => Pile::Retired(facts),
            },
        }
    }

    fn event(event: &Event) -> Option<&PileEvent> {
        if let Event::Pile(event) = event { Some(event) } else { None }
    }
}

fn register(pile: &Pile, asked: PileFacts) -> Result<Vec<PileEvent>, PileError> {
    match pile {
        Pile::Absent => {
            let PileFacts { pile_id, station_id, code, details } = asked;
            Ok(vec![PileEvent::Registered { pile_id, station_id, code, details }])
        }
        Pile::InService(facts) if *facts == asked => Ok(vec![]),
        Pile::InService(_) => Err(PileError::AlreadyRegistered),
        Pile::Retired(_) => Err(PileError::Retired),
    }
}

/// Whether this text can be a pile's model: up to 50 characters, or nothing.
///
/// # Errors
/// When it cannot.
pub fn check_model(model: &str) -> Result<(), TextError> {
    text::optional("pile model", model, 50)
}

fn check(details: &PileDetails) -> Result<(), PileError> {
    check_model(&details.model)?;
    if details.rated_power.is_zero() {
        return Err(PileError::NoPower);
    }
    Ok(())
}
