//! Who asks, and a client's idempotency key.

use domain::ids::{CommandId, OperatorId};
use domain::log::{Actor, Revision, StreamId};
use domain::request::{Request, RequestCommand};
use domain::time::Timestamp;
use sha2::{Digest as _, Sha256};
use uuid::{Builder, Uuid};

use crate::Commands;
use crate::envelope::Envelope;
use crate::error::CommandError;

/// On whose behalf, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Whose books.
    pub operator_id: OperatorId,
    /// Who.
    pub actor: Actor,
    /// When it happened in the world.
    pub at: Timestamp,
}

impl Caller {
    /// The envelope of one command of this caller.
    #[must_use]
    pub fn envelope(&self, command_id: CommandId, correlation_id: Uuid) -> Envelope {
        Envelope {
            command_id,
            causation_id: None,
            correlation_id,
            actor: self.actor.clone(),
            operator_id: self.operator_id,
            occurred_at: self.at,
        }
    }
}

/// The ids of one request: the same request finds the same ids again, and so the same streams and the same outcome. And the revision that it is tied to, if it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestIds {
    seed: Uuid,
    only_at: Option<Revision>,
}

impl RequestIds {
    /// All ids derive from this one, a UUIDv7.
    #[must_use]
    pub const fn new(seed: Uuid) -> RequestIds {
        RequestIds { seed, only_at: None }
    }

    /// The same request, to be done only while what it changes is at this revision.
    #[must_use]
    pub const fn only_at(self, revision: Option<Revision>) -> RequestIds {
        RequestIds { only_at: revision, ..self }
    }

    /// The revision at which it is to be done; none when any will do.
    #[must_use]
    pub const fn revision(&self) -> Option<Revision> {
        self.only_at
    }

    /// An id for something new: in the form of a UUIDv7 with the request's time, so that inserts stay local.
    #[must_use]
    pub fn id<T: From<Uuid>>(&self, name: &str) -> T {
        let mut bytes = Uuid::new_v5(&self.seed, name.as_bytes()).into_bytes();
        bytes[..6].copy_from_slice(&self.seed.into_bytes()[..6]);
        T::from(Builder::from_bytes(bytes).with_version(uuid::Version::SortRand).with_variant(uuid::Variant::RFC4122).into_uuid())
    }

    /// The id of one command of the request.
    #[must_use]
    pub fn command(&self, name: &str) -> CommandId {
        CommandId(Uuid::new_v5(&self.seed, name.as_bytes()))
    }
}

impl Commands {
    /// The ids of a request. Without an idempotency key they are fresh; with one they are kept for as long as the ledger, and found again.
    ///
    /// # Errors
    /// [`domain::request::RequestError::KeyReused`] when the key came with another body before.
    pub async fn accept(&self, caller: &Caller, principal: &str, key: Option<&str>, body_sha256: &str) -> Result<RequestIds, CommandError> {
        let fresh = self.ledger.ids().uuid();
        let Some(key) = key else { return Ok(RequestIds::new(fresh)) };
        let digest = Sha256::digest(key.as_bytes());
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let stream = StreamId::request(&format!("{principal}-{hex}"));
        let command = RequestCommand::Accept { body_sha256: body_sha256.to_owned(), seed: fresh };
        let envelope = caller.envelope(CommandId(fresh), fresh);
        let done = self.ledger.handle::<Request>(&stream, command, &envelope).await?;
        Ok(RequestIds::new(done.state.seed().unwrap_or(fresh)))
    }
}
