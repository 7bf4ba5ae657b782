//! What can happen to a user.

use serde::{Deserialize, Serialize};

use crate::ids::UserId;
use crate::sealed::{LookupHash, Sealed};

/// What can happen to a user. Everything personal is sealed, from the first event on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum UserEvent {
    /// A driver joined.
    Registered {
        /// Which.
        user_id: UserId,
        /// The phone number.
        phone: Sealed,
        /// Its keyed hash, so that it can be looked up.
        phone_lookup: LookupHash,
        /// The real name.
        name: Option<Sealed>,
        /// The licence plate.
        plate: Option<Sealed>,
    },
    /// Personal data changed; `None` leaves a field as it was.
    Changed {
        /// Which.
        user_id: UserId,
        /// The new phone number and its keyed hash.
        phone: Option<(Sealed, LookupHash)>,
        /// The new name.
        name: Option<Sealed>,
        /// The new plate.
        plate: Option<Sealed>,
    },
    /// The account was closed: nothing new may be started.
    Closed {
        /// Which.
        user_id: UserId,
    },
    /// The subject's key was destroyed. What was sealed with it cannot be read any more; hashes and sums stay valid.
    Erased {
        /// Which.
        user_id: UserId,
    },
}
