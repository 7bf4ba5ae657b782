//! API keys: made, revoked, and recognised. The secret is shown once and is nowhere in the ledger.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use domain::event::Event;
use domain::ids::{ApiKeyId, OperatorId};
use domain::key::{Key, KeyCommand, KeyError, KeyEvent, Role};
use domain::log::{EventStore, Filter, Position, Recorded, StoreError, StreamId};
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tracing::error;

use crate::Commands;
use crate::error::CommandError;
use crate::following::{Following, follow};
use crate::handle::Done;
use crate::request::{Caller, RequestIds};

/// What every secret begins with, so that people and scanners recognise one.
const PREFIX: &str = "clk_";

/// A key as it was just made.
#[derive(Clone, PartialEq, Eq)]
pub struct FreshKey {
    /// Its id.
    pub key_id: ApiKeyId,
    /// The bearer token. Shown once.
    pub secret: String,
    /// Where the log says so: from there on it opens something.
    pub position: Option<Position>,
}

/// Who a bearer token stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The key.
    pub key_id: ApiKeyId,
    /// Whose data it sees.
    pub operator_id: OperatorId,
    /// What it may do.
    pub role: Role,
    /// Its name, for people.
    pub name: String,
}

impl Commands {
    /// Makes an API key for the caller's operator.
    ///
    /// # Errors
    /// When the name cannot be, or the operator does not exist.
    pub async fn create_key(&self, caller: &Caller, ids: &RequestIds, role: Role, name: String) -> Result<FreshKey, CommandError> {
        let operator = StreamId::operator(caller.operator_id);
        self.owned("operator", &operator, caller.operator_id).await?;
        let key_id: ApiKeyId = ids.id("api key");
        let random: String = self.ledger.ids().secret().iter().map(|byte| format!("{byte:02x}")).collect();
        let secret = format!("{PREFIX}{random}");
        let secret_sha256 = digest(&secret);
        let command = KeyCommand::Create { key_id, operator_id: caller.operator_id, role, name, secret_sha256 };
        let envelope = caller.envelope(ids.command("create key"), key_id.0);
        let done = self.ledger.handle::<Key>(&StreamId::api_key(key_id), command, &envelope).await?;
        if done.repeated {
            // The secret was shown then, and nobody knows it any more.
            return Err(KeyError::AlreadyCreated.into());
        }
        Ok(FreshKey { key_id, secret, position: done.position })
    }

    /// Takes a key's power away.
    ///
    /// # Errors
    /// When there is none.
    pub async fn revoke_key(&self, caller: &Caller, ids: &RequestIds, key_id: ApiKeyId) -> Result<Done<Key>, CommandError> {
        let stream = StreamId::api_key(key_id);
        self.owned("key", &stream, caller.operator_id).await?;
        let envelope = caller.envelope(ids.command("revoke key"), key_id.0);
        Ok(self.ledger.handle_at::<Key>(&stream, KeyCommand::Revoke, &envelope, ids.revision()).await?)
    }
}

/// The keys that open something, folded from the log: authentication works without a database.
#[derive(Debug, Default)]
pub struct KeyDirectory {
    by_digest: RwLock<HashMap<String, Principal>>,
    seen: watch::Sender<Position>,
    follower: OnceLock<Following>,
}

impl KeyDirectory {
    /// Reads the keys that are there, and follows the log from then on in a task of its own.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn follow(store: Arc<dyn EventStore>) -> Result<Arc<KeyDirectory>, StoreError> {
        let directory = Arc::new(KeyDirectory::default());
        let following = follow(store, Filter::types(["key.created", "key.revoked"]), "keys", &directory, KeyDirectory::read).await?;
        // It is set once, here.
        let _ = directory.follower.set(following);
        Ok(directory)
    }

    fn read(&self, stored: domain::log::StoredEvent) {
        let position = stored.position;
        match stored.decode() {
            Ok(recorded) => self.observe(&recorded),
            Err(error) => error!(%error, "an API key's event cannot be read"),
        }
        self.seen.send_replace(position);
    }

    /// Waits until the key event at `position` holds here, so that who made or revoked a key is answered when it is so; false when it took longer than `most`.
    pub async fn caught_up(&self, position: Position, most: Duration) -> bool {
        let mut seen = self.seen.subscribe();
        tokio::time::timeout(most, seen.wait_for(|seen| *seen >= position)).await.is_ok_and(|seen| seen.is_ok())
    }

    /// Takes in one event.
    pub fn observe(&self, recorded: &Recorded<Event>) {
        let Event::Key(event) = &recorded.event else { return };
        let mut keys = self.by_digest.write().unwrap_or_else(PoisonError::into_inner);
        match event {
            KeyEvent::Created { key_id, operator_id, role, name, secret_sha256 } => {
                let principal = Principal { key_id: *key_id, operator_id: *operator_id, role: *role, name: name.clone() };
                keys.insert(secret_sha256.clone(), principal);
            }
            KeyEvent::Revoked { key_id } => keys.retain(|_, principal| principal.key_id != *key_id),
        }
    }

    /// Who this token stands for; nobody when it is unknown or revoked. Looked up by digest, so that the time taken tells nothing about a secret.
    #[must_use]
    pub fn authenticate(&self, token: &str) -> Option<Principal> {
        self.by_digest.read().unwrap_or_else(PoisonError::into_inner).get(&digest(token)).cloned()
    }

    /// The keys of one operator, by id.
    #[must_use]
    pub fn of_operator(&self, operator_id: OperatorId) -> Vec<Principal> {
        let keys = self.by_digest.read().unwrap_or_else(PoisonError::into_inner);
        let mut found: Vec<Principal> = keys.values().filter(|principal| principal.operator_id == operator_id).cloned().collect();
        found.sort_by_key(|principal| principal.key_id);
        found
    }
}

fn digest(secret: &str) -> String {
    Sha256::digest(secret.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}
