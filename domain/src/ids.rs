//! Identities. One type per noun, so that a session's id cannot be handed where a payment's is asked for.
//!
//! Ids that we choose are UUIDv7 and come in from outside (`commands::port::IdSource`); ids that must come out the
//! same again are UUIDv5 of what they stand for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// The id that belongs to `name` within `scope`, the same every time.
            #[must_use]
            pub fn derived(scope: Uuid, name: &str) -> $name {
                $name(Uuid::new_v5(&scope, name.as_bytes()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<$name, uuid::Error> {
                text.parse().map($name)
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> $name {
                $name(id)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Uuid {
                id.0
            }
        }
    )*};
}

id! {
    /// A company that operates charging stations: the tenant.
    OperatorId;
    /// A place with piles.
    StationId;
    /// A charging pile (充电桩).
    PileId;
    /// A connector (充电枪), which serves one vehicle at a time.
    ConnectorId;
    /// A tariff (计费模型), of which versions are published.
    TariffId;
    /// A driver.
    UserId;
    /// One charging session (充电过程), plug-in to settlement.
    SessionId;
    /// Money coming in through a channel.
    PaymentId;
    /// Money going back.
    RefundId;
    /// An API key.
    ApiKeyId;
    /// One request, or one fact's arrival.
    CommandId;
    /// One event.
    EventId;
}

impl EventId {
    /// UUIDv5 of (`command`, `index`): the same command gives the same ids, so that its repetition is recognised.
    #[must_use]
    pub fn of(command: CommandId, index: usize) -> EventId {
        EventId(Uuid::new_v5(&command.0, &(index as u64).to_be_bytes()))
    }
}

impl CommandId {
    /// The command that a process manager sends because of `cause`; `step` tells apart several of one cause.
    #[must_use]
    pub fn caused_by(cause: EventId, step: &str) -> CommandId {
        CommandId(Uuid::new_v5(&cause.0, step.as_bytes()))
    }
}

impl SessionId {
    /// The session that an unknown transaction number of a pile opens.
    #[must_use]
    pub fn of_transaction(pile: PileId, transaction_number: &str) -> SessionId {
        SessionId::derived(pile.0, transaction_number)
    }
}

impl OperatorId {
    /// The operator that joins under a code: a code joins once.
    #[must_use]
    pub fn of_code(code: &OperatorCode) -> OperatorId {
        OperatorId::derived(Uuid::NAMESPACE_OID, &format!("chargeledger:operator:{}", code.0))
    }
}

/// The number that people see on a session: 27 characters as T/CEC 102 asks for (`StartChargeSeq`: nine of the operator's code,
/// eighteen unique ones).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct OrderNumber(String);

/// Why a text is no order number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an order number has 27 letters or digits, not \"{text}\"")]
pub struct OrderNumberError {
    text: String,
}

impl OrderNumber {
    /// The order number of `session` under the operator whose nine-character code is `operator_code`: the code, then
    /// the session's start to the second (`yyMMddHHmmss`, UTC) and six digits of the session's id.
    #[must_use]
    pub fn of(operator_code: &OperatorCode, session: SessionId, started_at: crate::time::Timestamp) -> OrderNumber {
        let unique = session.0.as_u128() % 1_000_000;
        OrderNumber(format!("{}{}{unique:06}", operator_code.0, started_at.compact()))
    }

    /// The session's start, to the second, as the number carries it; none in a number that was not made here.
    #[must_use]
    pub fn started_at(&self) -> Option<crate::time::Timestamp> {
        crate::time::Timestamp::of_compact(self.0.get(9..21)?)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for OrderNumber {
    type Err = OrderNumberError;
    fn from_str(text: &str) -> Result<OrderNumber, OrderNumberError> {
        if text.len() == 27 && text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            Ok(OrderNumber(text.to_owned()))
        } else {
            Err(OrderNumberError { text: text.chars().take(64).collect() })
        }
    }
}

impl<'de> Deserialize<'de> for OrderNumber {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<OrderNumber, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for OrderNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An operator's code: nine letters or digits (T/CEC 102 `OperatorID`, the organisation code).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct OperatorCode(String);

/// Why a text is no operator code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an operator code has nine letters or digits, not \"{text}\"")]
pub struct OperatorCodeError {
    text: String,
}

impl FromStr for OperatorCode {
    type Err = OperatorCodeError;
    fn from_str(text: &str) -> Result<OperatorCode, OperatorCodeError> {
        if text.len() == 9 && text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            Ok(OperatorCode(text.to_owned()))
        } else {
            Err(OperatorCodeError { text: text.chars().take(64).collect() })
        }
    }
}

impl<'de> Deserialize<'de> for OperatorCode {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<OperatorCode, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for OperatorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{at, id};

    fn number(session: u128, time: &str) -> OrderNumber {
        OrderNumber::of(&"MA5GXX12T".parse().unwrap(), id(session), at(time))
    }

    #[test]
    fn an_order_number_says_when_its_session_started() {
        for time in ["2026-03-02T02:00:00Z", "2031-12-31T23:59:59Z"] {
            assert_eq!(number(9, time).started_at(), Some(at(time)));
        }
        assert_eq!("MA5GXX12T269902020000000009".parse::<OrderNumber>().unwrap().started_at(), None);
    }
}
