//! What can happen to an API key. The secret itself is never in the log.

use serde::{Deserialize, Serialize};

use crate::ids::{ApiKeyId, OperatorId};

/// What the bearer of a key may do. Each endpoint says which roles may call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The app's backend: users' sessions, payments, wallets.
    App,
    /// The finance team: the books, refunds.
    Finance,
    /// The operator's staff: stations, tariffs, disputes, projections.
    Operator,
    /// A device gateway: device events.
    Gateway,
    /// A regulator: reads only.
    Regulator,
    /// A partner platform: reads only.
    Partner,
    /// Everything within the operator, and keys.
    Admin,
}

/// What can happen to an API key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum KeyEvent {
    /// It was made.
    Created {
        /// Which.
        key_id: ApiKeyId,
        /// Whose data it sees; no other.
        operator_id: OperatorId,
        /// What its bearer may do.
        role: Role,
        /// A name for people.
        name: String,
        /// SHA-256 of the secret, in hex. The secret has 256 random bits, so a slow hash would add nothing.
        secret_sha256: String,
    },
    /// It no longer opens anything.
    Revoked {
        /// Which.
        key_id: ApiKeyId,
    },
}
