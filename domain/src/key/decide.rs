//! What can be asked of an API key, and what it refuses.

use super::{KeyEvent, Role};
use crate::Decider;
use crate::event::Event;
use crate::ids::{ApiKeyId, OperatorId};
use crate::text::{self, TextError};

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFacts {
    /// Which.
    pub key_id: ApiKeyId,
    /// Whose data it sees; no other.
    pub operator_id: OperatorId,
    /// What its bearer may do.
    pub role: Role,
    /// A name for people.
    pub name: String,
    /// SHA-256 of the secret, in hex.
    pub secret_sha256: String,
}

/// An API key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Key {
    /// Never made.
    #[default]
    Absent,
    /// It opens what its role may.
    Active(KeyFacts),
    /// It opens nothing, for good.
    Revoked(KeyFacts),
}

/// What somebody asks of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyCommand {
    /// Make it. The same again changes nothing.
    Create {
        /// Which.
        key_id: ApiKeyId,
        /// Whose data it sees.
        operator_id: OperatorId,
        /// What its bearer may do.
        role: Role,
        /// A name for people.
        name: String,
        /// SHA-256 of the secret, in hex.
        secret_sha256: String,
    },
    /// Let it open nothing any more.
    Revoke,
}

/// Why a key refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It was never made.
    #[error("there is no such key")]
    Absent,
    /// It was made with other facts.
    #[error("the key exists already, with other facts")]
    AlreadyCreated,
    /// A revoked key does not come back.
    #[error("the key is revoked")]
    Revoked,
    /// A text is not one.
    #[error(transparent)]
    Text(#[from] TextError),
    /// Nothing would ever open with it.
    #[error("a secret's SHA-256 has 64 lower-case hexadecimal digits")]
    NotADigest,
}

impl Key {
    /// What is known of it, while it opens something.
    #[must_use]
    pub const fn active(&self) -> Option<&KeyFacts> {
        match self {
            Key::Active(facts) => Some(facts),
            Key::Absent | Key::Revoked(_) => None,
        }
    }
}

impl Decider for Key {
    type Command = KeyCommand;
    type Event = KeyEvent;
    type Error = KeyError;

    fn decide(&self, command: KeyCommand) -> Result<Vec<KeyEvent>, KeyError> {
        match command {
            KeyCommand::Create { key_id, operator_id, role, name, secret_sha256 } => {
                text::required("key name", &name, 50)?;
                if secret_sha256.len() != 64 || !secret_sha256.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
                    return Err(KeyError::NotADigest);
                }
                create(self, KeyFacts { key_id, operator_id, role, name, secret_sha256 })
            }
            KeyCommand::Revoke => match self {
                Key::Absent => Err(KeyError::Absent),
                Key::Active(facts) => Ok(vec![KeyEvent::Revoked { key_id: facts.key_id }]),
                Key::Revoked(_) => Ok(vec![]),
            },
        }
    }

    fn evolve(self, event: &KeyEvent) -> Key {
        match event.clone() {
            KeyEvent::Created { key_id, operator_id, role, name, secret_sha256 } => {
                Key::Active(KeyFacts { key_id, operator_id, role, name, secret_sha256 })
            }
            KeyEvent::Revoked { .. } => match self {
                Key::Absent => Key::Absent,
                Key::Active(facts) | Key::Revoked(facts) => Key::Revoked(facts),
            },
        }
    }

    fn event(event: &Event) -> Option<&KeyEvent> {
        if let Event::Key(event) = event { Some(event) } else { None }
    }
}

fn create(key: &Key, asked: KeyFacts) -> Result<Vec<KeyEvent>, KeyError> {
    match key {
        Key::Absent => {
            let KeyFacts { key_id, operator_id, role, name, secret_sha256 } = asked;
            Ok(vec![KeyEvent::Created { key_id, operator_id, role, name, secret_sha256 }])
        }
        Key::Active(facts) if *facts == asked => Ok(vec![]),
        Key::Active(_) => Err(KeyError::AlreadyCreated),
        Key::Revoked(_) => Err(KeyError::Revoked),
    }
}
