//! What a client's idempotency key takes, and what it refuses.

use uuid::Uuid;

use super::RequestEvent;
use crate::Decider;
use crate::event::Event;

/// A client's idempotency key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Request {
    /// Never used.
    #[default]
    Absent,
    /// Used, and bound to one body for ever.
    Accepted {
        /// SHA-256 of method, path and body, in hex.
        body_sha256: String,
        /// All ids of this request derive from this one.
        seed: Uuid,
    },
}

/// What a client asks with its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestCommand {
    /// Bind the key to this body. The same body again changes nothing and finds the first seed, whatever seed it brings.
    Accept {
        /// SHA-256 of method, path and body, in hex.
        body_sha256: String,
        /// A fresh id, to be used if the key is.
        seed: Uuid,
    },
}

/// Why a key is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The client made a mistake: answering the first request's outcome would hide that the second was never done.
    #[error("this idempotency key was used before with another request")]
    KeyReused,
}

impl Request {
    /// The seed of the first use.
    #[must_use]
    pub const fn seed(&self) -> Option<Uuid> {
        match self {
            Request::Absent => None,
            Request::Accepted { seed, .. } => Some(*seed),
        }
    }
}

impl Decider for Request {
    type Command = RequestCommand;
    type Event = RequestEvent;
    type Error = RequestError;

    fn decide(&self, command: RequestCommand) -> Result<Vec<RequestEvent>, RequestError> {
        match command {
            RequestCommand::Accept { body_sha256, seed } => match self {
                Request::Absent => Ok(vec![RequestEvent::Accepted { body_sha256, seed }]),
                Request::Accepted { body_sha256: first, .. } if *first == body_sha256 => Ok(vec![]),
                Request::Accepted { .. } => Err(RequestError::KeyReused),
            },
        }
    }

    fn evolve(self, event: &RequestEvent) -> Request {
        match event.clone() {
            RequestEvent::Accepted { body_sha256, seed } => Request::Accepted { body_sha256, seed },
        }
    }

    fn event(event: &Event) -> Option<&RequestEvent> {
        if let Event::Request(event) = event { Some(event) } else { None }
    }
}
