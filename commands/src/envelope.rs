//! What surrounds a command, and becomes the metadata of its events.

use domain::ids::{CommandId, EventId, OperatorId};
use domain::log::{Actor, Metadata};
use domain::time::Timestamp;
use uuid::Uuid;

/// What surrounds a command: who, whose books, when, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The command's own id. The same id is the same command.
    pub command_id: CommandId,
    /// The event that caused it, if one did.
    pub causation_id: Option<EventId>,
    /// The story it belongs to.
    pub correlation_id: Uuid,
    /// Who.
    pub actor: Actor,
    /// Whose books.
    pub operator_id: OperatorId,
    /// When the world did it.
    pub occurred_at: Timestamp,
}

impl Envelope {
    /// The envelope of another command within the same request, for another stream.
    #[must_use]
    pub fn step(&self, step: &str) -> Envelope {
        Envelope { command_id: CommandId(Uuid::new_v5(&self.command_id.0, step.as_bytes())), ..self.clone() }
    }

    /// What a process manager sends because of an event: it happened when its cause happened.
    #[must_use]
    pub fn caused_by(cause: &Metadata, process: &'static str, step: &str) -> Envelope {
        Envelope {
            command_id: CommandId::caused_by(cause.event_id, step),
            causation_id: Some(cause.event_id),
            correlation_id: cause.correlation_id,
            actor: Actor::system(process),
            operator_id: cause.operator_id,
            occurred_at: cause.occurred_at,
        }
    }

    /// What stands beside an event that the command becomes.
    pub(crate) fn metadata(&self, event_id: EventId, recorded_at: Timestamp) -> Metadata {
        Metadata {
            event_id,
            command_id: self.command_id,
            causation_id: self.causation_id,
            correlation_id: self.correlation_id,
            actor: self.actor.clone(),
            operator_id: self.operator_id,
            occurred_at: self.occurred_at,
            recorded_at,
        }
    }
}
