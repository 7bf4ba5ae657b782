//! What can be asked of an operator, and what it refuses.

use super::{BookingMode, OperatorEvent};
use crate::Decider;
use crate::event::Event;
use crate::ids::{OperatorCode, OperatorId};
use crate::text::{self, TextError};
use crate::time::ZoneName;

/// What is known of an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorFacts {
    /// Which.
    pub operator_id: OperatorId,
    /// Its nine-character code; order numbers begin with it.
    pub code: OperatorCode,
    /// Its name.
    pub name: String,
    /// The zone of its books.
    pub books_zone: ZoneName,
    /// How its books treat other owners' stations.
    pub booking: BookingMode,
}

/// An operator.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Operator {
    /// Not registered.
    #[default]
    Absent,
    /// In business.
    Active(OperatorFacts),
    /// It left. Its data stays.
    Closed(OperatorFacts),
}

/// What somebody asks of an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperatorCommand {
    /// It joins. The same again changes nothing.
    Register {
        /// Which.
        operator_id: OperatorId,
        /// Its nine-character code.
        code: OperatorCode,
        /// Its name.
        name: String,
        /// The zone of its books.
        books_zone: ZoneName,
        /// How its books treat other owners' stations.
        booking: BookingMode,
    },
    /// Change its name.
    Rename {
        /// The new name.
        name: String,
    },
    /// Let its books treat other owners' stations otherwise, for the sessions that begin from now on.
    SetBooking {
        /// How.
        booking: BookingMode,
    },
    /// It leaves.
    Close,
}

/// Why an operator refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperatorError {
    /// It was never registered.
    #[error("the operator is not registered")]
    Absent,
    /// It is registered. Its name and its booking can be changed; code and books' zone never: closed books depend on them.
    #[error("the operator is already registered")]
    AlreadyRegistered,
    /// It left.
    #[error("the operator is closed")]
    Closed,
    /// A text is not one.
    #[error(transparent)]
    Text(#[from] TextError),
}

impl Operator {
    /// What is known of it, closed or not.
    #[must_use]
    pub const fn facts(&self) -> Option<&OperatorFacts> {
        match self {
            Operator::Absent => None,
            Operator::Active(facts) | Operator::Closed(facts) => Some(facts),
        }
    }

    /// Its nine-character code.
    #[must_use]
    pub fn code(&self) -> Option<&OperatorCode> {
        self.facts().map(|facts| &facts.code)
    }

    /// The zone of its books.
    #[must_use]
    pub fn books_zone(&self) -> Option<&ZoneName> {
        self.facts().map(|facts| &facts.books_zone)
    }

    fn changed(mut self, change: impl FnOnce(&mut OperatorFacts)) -> Operator {
        match &mut self {
            Operator::Absent => {}
            Operator::Active(facts) | Operator::Closed(facts) => change(facts),
        }
        self
    }

    /// Whether it left.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self, Operator::Closed(_))
    }
}

impl Decider for Operator {
    type Command = OperatorCommand;
    type Event = OperatorEvent;
    type Error = OperatorError;

    fn decide(&self, command: OperatorCommand) -> Result<Vec<OperatorEvent>, OperatorError> {
        match command {
            OperatorCommand::Register { operator_id, code, name, books_zone, booking } => {
                text::required("operator name", &name, 50)?;
                register(self, OperatorFacts { operator_id, code, name, books_zone, booking })
            }
            OperatorCommand::Rename { name } => match self {
                Operator::Absent => Err(OperatorError::Absent),
                Operator::Closed(_) => Err(OperatorError::Closed),
                Operator::Active(facts) if facts.name == name => Ok(vec![]),
                Operator::Active(facts) => {
                    text::required("operator name", &name, 50)?;
                    Ok(vec![OperatorEvent::Changed { operator_id: facts.operator_id, name }])
                }
            },
            OperatorCommand::SetBooking { booking } => match self {
                Operator::Absent => Err(OperatorError::Absent),
                Operator::Closed(_) => Err(OperatorError::Closed),
                Operator::Active(facts) if facts.booking == booking => Ok(vec![]),
                Operator::Active(facts) => Ok(vec![OperatorEvent::BookingChanged { operator_id: facts.operator_id, booking }]),
            },
            OperatorCommand::Close => match self {
                Operator::Absent => Err(OperatorError::Absent),
                Operator::Active(facts) => Ok(vec![OperatorEvent::Closed { operator_id: facts.operator_id }]),
                Operator::Closed(_) => Ok(vec![]),
            },
        }
    }

    fn evolve(self, event: &OperatorEvent) -> Operator {
        match event.clone() {
            OperatorEvent::Registered { operator_id, code, name, books_zone, booking } => {
                Operator::Active(OperatorFacts { operator_id, code, name, books_zone, booking })
            }
            OperatorEvent::Changed { name, .. } => self.changed(|facts| facts.name = name),
            OperatorEvent::BookingChanged { booking, .. } => self.changed(|facts| facts.booking = booking),
            OperatorEvent::Closed { .. } => match self {
                Operator::Absent => Operator::Absent,
                Operator::Active(facts) | Operator::Closed(facts) => Operator::Closed(facts),
            },
        }
    }

    fn event(event: &Event) -> Option<&OperatorEvent> {
        if let Event::Operator(event) = event { Some(event) } else { None }
    }
}

fn register(operator: &Operator, asked: OperatorFacts) -> Result<Vec<OperatorEvent>, OperatorError> {
    match operator {
        Operator::Absent => {
            let OperatorFacts { operator_id, code, name, books_zone, booking } = asked;
            Ok(vec![OperatorEvent::Registered { operator_id, code, name, books_zone, booking }])
        }
        Operator::Active(facts) if *facts == asked => Ok(vec![]),
        Operator::Active(_) => Err(OperatorError::AlreadyRegistered),
        Operator::Closed(_) => Err(OperatorError::Closed),
    }
}
