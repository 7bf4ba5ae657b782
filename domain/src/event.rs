//! The closed set of everything that can have happened, and its stored form.
//!
//! Stored as MessagePack with named fields; the name (`session.record_accepted`) and the version stand beside the payload.
//! Old forms are brought up to the newest by [`crate::upcast`] while reading; nobody else sees them.

use serde::de::{DeserializeSeed, EnumAccess, IntoDeserializer, VariantAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::connector::ConnectorEvent;
use crate::journal::JournalEvent;
use crate::key::KeyEvent;
use crate::log::EventType;
use crate::operator::OperatorEvent;
use crate::payment::PaymentEvent;
use crate::pile::PileEvent;
use crate::process::ProcessEvent;
use crate::request::RequestEvent;
use crate::session::SessionEvent;
use crate::station::StationEvent;
use crate::tariff::TariffEvent;
use crate::upcast;
use crate::user::UserEvent;
use crate::wallet::WalletEvent;

macro_rules! events {
    ($($prefix:literal $variant:ident($inner:ty),)*) => {
        /// Anything that can have happened.
        #[derive(Debug, Clone, PartialEq, Serialize)]
        #[serde(rename_all = "snake_case")]
        #[allow(missing_docs)]
        pub enum Event {
            $($variant($inner),)*
        }

        /// Every aggregate's name, as it stands before the dot of a stored name.
        pub const AGGREGATES: &[&str] = &[$($prefix),*];

        $(impl From<$inner> for Event {
            fn from(event: $inner) -> Event {
                Event::$variant(event)
            }
        })*

        impl Event {
            /// The stored name's aggregate, and the payload with the variant's name in front.
            fn encode_tagged(&self) -> (&'static str, Vec<u8>) {
                match self {
                    $(Event::$variant(event) => ($prefix, to_named(event)),)*
                }
            }

            fn decode_newest(aggregate: &str, variant: &str, payload: &[u8]) -> Result<Option<Event>, rmp_serde::decode::Error> {
                match aggregate {
                    $($prefix => from_named::<$inner>(variant, payload).map(|event| Some(Event::$variant(event))),)*
                    _ => Ok(None),
                }
            }

            /// The JSON Schema of each aggregate's events, by aggregate.
            #[cfg(feature = "schema")]
            #[must_use]
            pub fn schemas() -> Vec<(&'static str, schemars::Schema)> {
                vec![$(($prefix, schemars::schema_for!($inner))),*]
            }
        }
    };
}

events! {
    "session" Session(SessionEvent),
    "payment" Payment(PaymentEvent),
    "wallet" Wallet(WalletEvent),
    "connector" Connector(ConnectorEvent),
    "pile" Pile(PileEvent),
    "station" Station(StationEvent),
    "tariff" Tariff(TariffEvent),
    "user" User(UserEvent),
    "operator" Operator(OperatorEvent),
    "key" Key(KeyEvent),
    "journal" Journal(JournalEvent),
    "request" Request(RequestEvent),
    "process" Process(ProcessEvent),
}

/// Why stored bytes are not an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// No such type in this build: the log was written by a newer one.
    #[error("unknown event type {name} version {version}; it was written by a newer release")]
    UnknownType {
        /// The stored name.
        name: String,
        /// The stored version.
        version: u16,
    },
    /// The payload does not have the form of its type and version.
    #[error("{name} version {version} cannot be read: {reason}")]
    Malformed {
        /// The stored name.
        name: String,
        /// The stored version.
        version: u16,
        /// What does not fit.
        reason: String,
    },
}

impl Event {
    /// The stored name, the newest version and the payload.
    #[must_use]
    pub fn encode(&self) -> (EventType, u16, Vec<u8>) {
        let (aggregate, tagged) = self.encode_tagged();
        let (variant, start) = split_tag(&tagged);
        let name = format!("{aggregate}.{variant}");
        let version = upcast::newest_version(&name);
        (EventType(name.into()), version, tagged[start..].to_vec())
    }

    /// The stored name, `session.record_accepted`.
    #[must_use]
    pub fn name(&self) -> String {
        let (aggregate, tagged) = self.encode_tagged();
        format!("{aggregate}.{}", split_tag(&tagged).0)
    }

    /// Reads a stored payload of any version.
    ///
    /// # Errors
    /// When the type or version is unknown, or the payload does not have its form.
    pub fn decode(name: &str, version: u16, payload: &[u8]) -> Result<Event, DecodeError> {
        let unknown = || DecodeError::UnknownType { name: name.to_owned(), version };
        let (aggregate, variant) = name.split_once('.').ok_or_else(unknown)?;
        let newest = upcast::newest_version(name);
        if version == 0 || version > newest {
            return Err(unknown());
        }
        let malformed = |reason: String| DecodeError::Malformed { name: name.to_owned(), version, reason };
        let decoded = if version == newest {
            Event::decode_newest(aggregate, variant, payload)
        } else {
            let raised = upcast::raise(name, version, payload).map_err(malformed)?;
            Event::decode_newest(aggregate, variant, &raised)
        };
        match decoded {
            Ok(event) => event.ok_or_else(unknown),
            Err(error) if error.to_string().contains("unknown variant") => Err(unknown()),
            Err(error) => Err(malformed(error.to_string())),
        }
    }
}

fn to_named<E: Serialize>(event: &E) -> Vec<u8> {
    // Writing plain data into a Vec cannot fail: no map has an unknown length and no number is out of range.
    rmp_serde::to_vec_named(event).unwrap_or_default()
}

/// Every event enum is externally tagged, `{"record_accepted": {…}}`: a map of one. The name goes beside the payload, the inner map is the payload.
fn split_tag(tagged: &[u8]) -> (&str, usize) {
    let (length, start) = match tagged {
        [0x81, short @ 0xa0..=0xbf, ..] => (usize::from(short & 0x1f), 2),
        [0x81, 0xd9, length, ..] => (usize::from(*length), 3),
        _ => (0, 0),
    };
    assert!(length > 0, "an event variant has named fields, so that its stored form is a map of one");
    let end = start + length;
    (std::str::from_utf8(&tagged[start..end]).unwrap_or_default(), end)
}

/// Reads an enum whose variant's name is known from elsewhere, without putting the two together first.
fn from_named<'de, E: Deserialize<'de>>(variant: &str, payload: &'de [u8]) -> Result<E, rmp_serde::decode::Error> {
    let mut content = rmp_serde::Deserializer::from_read_ref(payload);
    E::deserialize(serde::de::value::EnumAccessDeserializer::new(Named { variant, content: &mut content }))
}

struct Named<'a, D> {
    variant: &'a str,
    content: D,
}

impl<'de, D: serde::Deserializer<'de>> EnumAccess<'de> for Named<'_, D> {
    type Error = D::Error;
    type Variant = Content<D>;
    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Content<D>), D::Error> {
        let variant: serde::de::value::StrDeserializer<'_, D::Error> = self.variant.into_deserializer();
        Ok((seed.deserialize(variant)?, Content(self.content)))
    }
}

struct Content<D>(D);

impl<'de, D: serde::Deserializer<'de>> VariantAccess<'de> for Content<D> {
    type Error = D::Error;
    fn unit_variant(self) -> Result<(), D::Error> {
        Ok(())
    }
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, D::Error> {
        seed.deserialize(self.0)
    }
    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_tuple(length, visitor)
    }
    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_struct("event", fields, visitor)
    }
}
