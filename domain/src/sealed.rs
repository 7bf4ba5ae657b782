//! Personal data as events carry it: encrypted with a key of its subject alone. Sealing and opening need a key and randomness,
//! so they happen in `commands::seal`; here is only the form.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An encrypted personal field: XChaCha20-Poly1305, the nonce in front. Without the subject's key it is noise for ever.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Sealed {
    /// Hex of nonce (24 bytes), ciphertext and tag (16 bytes).
    pub sealed: String,
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealed(…)")
    }
}

/// HMAC-SHA256 of a normalised personal field under the ledger's look-up key, in hex: finds equal values without showing them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct LookupHash(pub String);
