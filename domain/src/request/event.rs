//! A client's `Idempotency-Key`, kept for as long as the ledger.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What can happen to a client's request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RequestEvent {
    /// The key was used for the first time. The same key finds the same ids again, and so the same streams and outcome.
    Accepted {
        /// SHA-256 of method, path and body, in hex. The same key with another body is refused.
        body_sha256: String,
        /// All ids of this request derive from this one.
        seed: Uuid,
    },
}
