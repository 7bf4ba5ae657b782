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
use crate::projection::ProjectionEvent;
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

            /// None when there is no such aggregate or variant.
            fn decode_newest(aggregate: &str, variant: &str, payload: &[u8]) -> Result<Option<Event>, rmp_serde::decode::Error> {
                match aggregate {
                    $($prefix => Ok(from_named::<$inner>(variant, payload)?.map(Event::$variant)),)*
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
    "projection" Projection(ProjectionEvent),
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
        decoded.map_err(|error| malformed(error.to_string()))?.ok_or_else(unknown)
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

/// Reads an enum whose variant's name is known from elsewhere, without putting the two together first. None when it has no such variant.
fn from_named<'de, E: Deserialize<'de>>(variant: &str, payload: &'de [u8]) -> Result<Option<E>, rmp_serde::decode::Error> {
    let mut content = rmp_serde::Deserializer::from_read_ref(payload);
    let mut known = false;
    let named = Named { variant, content: &mut content, known: &mut known };
    match E::deserialize(serde::de::value::EnumAccessDeserializer::new(named)) {
        Ok(event) => Ok(Some(event)),
        Err(error) if known => Err(error),
        Err(_) => Ok(None),
    }
}

struct Named<'a, D> {
    variant: &'a str,
    content: D,
    /// Set once the enum has taken the name, so that what fails after it is the content's fault.
    known: &'a mut bool,
}

impl<'de, D: serde::Deserializer<'de>> EnumAccess<'de> for Named<'_, D> {
    type Error = D::Error;
    type Variant = Content<D>;
    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Content<D>), D::Error> {
        let variant: serde::de::value::StrDeserializer<'_, D::Error> = self.variant.into_deserializer();
        let taken = seed.deserialize(variant)?;
        *self.known = true;
        Ok((taken, Content(self.content)))
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::PileId;
    use crate::payment::Channel;
    use crate::session::{Oddity, PaymentMode, SessionRefs, StopReason, TransactionRecord};
    use crate::testing::{at, id};

    fn refs() -> SessionRefs {
        SessionRefs { session_id: id(1), station_id: id(2), pile_id: id(3), connector_id: id(4), user_id: None }
    }

    fn record_accepted() -> Event {
        let record = TransactionRecord {
            transaction_number: "1".to_owned(),
            started_at: at("2026-03-01T10:00:00+08:00"),
            ended_at: at("1969-12-31T23:59:59.999999Z"),
            meter_start: "-0.00001".parse().unwrap(),
            meter_end: "12.3456789".parse().unwrap(),
            energy: "12.3456".parse().unwrap(),
            reason: StopReason::Unknown,
        };
        let energy = "12.3456".parse().unwrap();
        SessionEvent::RecordAccepted { refs: refs(), record, energy, oddities: vec![Oddity::Late] }.into()
    }

    fn unknown(name: &str, version: u16) -> Result<Event, DecodeError> {
        Err(DecodeError::UnknownType { name: name.to_owned(), version })
    }

    #[track_caller]
    fn reason(read: Result<Event, DecodeError>) -> String {
        match read {
            Err(DecodeError::Malformed { reason, .. }) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_event_reads_back_as_it_was_written() {
        // A tagged value inside the event is read through a buffer that forgets the format: ids in it must come back all the same.
        let mode = PaymentMode::Prepaid { payment_id: id(5), amount: "50.00".parse().unwrap(), channel: Channel::Sandbox };
        for event in [record_accepted(), SessionEvent::StartTimedOut { refs: refs(), mode }.into()] {
            let (name, version, payload) = event.encode();
            assert_eq!(name.as_str(), event.name());
            assert_eq!(Event::decode(name.as_str(), version, &payload), Ok(event));
        }
    }

    #[test]
    fn the_stored_name_is_the_aggregate_and_the_variant() {
        let (name, version, payload) = record_accepted().encode();
        assert_eq!((name.as_str(), version), ("session.record_accepted", 1));
        assert_eq!(payload[0], 0x84, "the payload is the map of the four fields, without the variant's name");
    }

    #[test]
    fn a_type_that_this_build_does_not_have_is_unknown() {
        let (_, _, payload) = record_accepted().encode();
        for name in ["session.teleported", "spaceship.launched", "session", "session.", ".record_accepted", ""] {
            assert_eq!(Event::decode(name, 1, &payload), unknown(name, 1));
        }
    }

    #[test]
    fn a_version_that_this_build_does_not_have_is_unknown() {
        let (_, _, payload) = record_accepted().encode();
        for version in [0, 2, u16::MAX] {
            assert_eq!(Event::decode("session.record_accepted", version, &payload), unknown("session.record_accepted", version));
        }
    }

    #[test]
    fn a_value_that_this_build_does_not_have_is_malformed_not_an_unknown_type() {
        let event: Event = SessionEvent::StopRequested { refs: refs(), reason: StopReason::Local }.into();
        let (name, version, mut payload) = event.encode();
        let value = payload.windows(5).rposition(|bytes| bytes == b"local").unwrap();
        payload[value..value + 5].copy_from_slice(b"alien");
        let reason = reason(Event::decode(name.as_str(), version, &payload));
        assert!(reason.contains("unknown variant `alien`"), "{reason}");
    }

    #[test]
    fn a_payload_cut_short_is_malformed() {
        let (name, version, payload) = record_accepted().encode();
        for length in 0..payload.len() {
            let read = Event::decode(name.as_str(), version, &payload[..length]);
            assert!(matches!(read, Err(DecodeError::Malformed { .. })), "{length} bytes read as {read:?}");
        }
    }

    #[test]
    fn a_missing_field_is_named() {
        assert!(reason(Event::decode("pile.retired", 1, &[0x80])).contains("pile_id"));
    }

    #[test]
    fn a_field_of_a_later_build_is_passed_over() {
        #[derive(Serialize)]
        struct Later {
            pile_id: PileId,
            colour: &'static str,
        }
        let payload = rmp_serde::to_vec_named(&Later { pile_id: id(1), colour: "green" }).unwrap();
        assert_eq!(Event::decode("pile.retired", 1, &payload), Ok(PileEvent::Retired { pile_id: id(1) }.into()));
    }

    proptest! {
        #[test]
        fn bytes_that_are_no_event_never_panic(
            name in prop::sample::select(vec!["session.requested", "session.billed", "pile.registered", "user.changed", "tariff.version_published"]),
            version in 0_u16..4,
            payload in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let _ = Event::decode(name, version, &payload);
        }

        #[test]
        fn an_event_with_a_broken_byte_never_panics(index in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let (name, version, mut payload) = record_accepted().encode();
            let index = index.index(payload.len());
            payload[index] = byte;
            let _ = Event::decode(name.as_str(), version, &payload);
        }

        #[test]
        fn a_name_that_is_none_never_panics(name in ".{0,40}", version in any::<u16>()) {
            prop_assert!(Event::decode(&name, version, &[0x80]).is_err());
        }
    }
}
