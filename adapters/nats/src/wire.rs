//! An event on the wire: its subject, its headers, and back.
//!
//! The headers carry all that the log knows beside the payload, so that a consumer can compute the hash again and need not ask anybody. The payload is the stored
//! bytes: personal data stays sealed in it.

use std::fmt::Display;
use std::str::FromStr;

use async_nats::header::{HeaderMap, HeaderName};
use domain::ids::{CommandId, EventId, OperatorId};
use domain::log::{Actor, EventType, Hash, Metadata, Position, Revision, StoredEvent, StreamId};
use uuid::Uuid;

/// By what the server knows a repetition, for as long as its window is.
pub const MESSAGE_ID: &str = "Nats-Msg-Id";
/// By what a consumer knows a repetition, for ever: the event's id.
pub const EVENT_ID: &str = "Ledger-Event-Id";
/// The event's place in the log: what consumers order by.
pub const POSITION: &str = "Ledger-Position";
/// The hash of the event.
pub const HASH: &str = "Ledger-Hash";
/// The hash of the event before it in its stream.
pub const PREV_HASH: &str = "Ledger-Prev-Hash";
/// The stream of the log.
pub const STREAM: &str = "Ledger-Stream";
/// The place in that stream.
pub const REVISION: &str = "Ledger-Revision";
/// The version of the payload's form.
pub const VERSION: &str = "Ledger-Version";
/// Whose books.
pub const OPERATOR: &str = "Ledger-Operator";
/// The command that became this event.
pub const COMMAND: &str = "Ledger-Command";
/// The event that caused the command; missing when none did.
pub const CAUSATION: &str = "Ledger-Causation";
/// One id for all that belongs to one story.
pub const CORRELATION: &str = "Ledger-Correlation";
/// Who did it.
pub const ACTOR: &str = "Ledger-Actor";
/// When the world did it.
pub const OCCURRED_AT: &str = "Ledger-Occurred-At";
/// When it was recorded.
pub const RECORDED_AT: &str = "Ledger-Recorded-At";
/// Which run of a publisher wrote the message.
pub const PUBLISHER: &str = "Ledger-Publisher";
/// Why the message was written, where it was not published in its turn: `refill` or `rebuild`.
pub const PURPOSE: &str = "Ledger-Purpose";
/// How far the feed had come when an event was filled in late.
pub const REACHED: &str = "Ledger-Reached";

/// Why a message was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// In its turn.
    Publish,
    /// Because it was missing: its sequence is later than its position says.
    Refill,
    /// The whole feed is being made again.
    Rebuild,
}

impl Purpose {
    const fn word(self) -> Option<&'static str> {
        match self {
            Purpose::Publish => None,
            Purpose::Refill => Some("refill"),
            Purpose::Rebuild => Some("rebuild"),
        }
    }
}

/// A message that is not one of the feed's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a message of the feed: {reason}")]
pub struct WireError {
    /// What is wrong with it.
    pub reason: String,
}

/// An event as it came over the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The event, as the log holds it.
    pub event: StoredEvent,
    /// Which run of a publisher wrote it.
    pub publisher: Option<Uuid>,
    /// Why.
    pub purpose: Purpose,
    /// How far the feed had come with this message.
    pub reached: Position,
}

impl Published {
    /// Whether the event is what its hash says.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        self.event.computed_hash() == self.event.hash
    }
}

/// The headers of an event, without what is between the publisher and the server.
pub(crate) fn headers(event: &StoredEvent, publisher: &str, purpose: Purpose, reached: Position) -> HeaderMap {
    let meta = &event.metadata;
    let mut headers = HeaderMap::new();
    let mut put = |name: &'static str, value: String| headers.insert(HeaderName::from_static(name), value);
    let id = meta.event_id.to_string();
    put(MESSAGE_ID, id.clone());
    put(EVENT_ID, id);
    put(POSITION, event.position.to_string());
    put(HASH, hex(&event.hash));
    put(PREV_HASH, hex(&event.prev_hash));
    put(STREAM, escaped(event.stream.as_str()));
    put(REVISION, event.revision.to_string());
    put(VERSION, event.version.to_string());
    put(OPERATOR, meta.operator_id.to_string());
    put(COMMAND, meta.command_id.to_string());
    if let Some(cause) = meta.causation_id {
        put(CAUSATION, cause.to_string());
    }
    put(CORRELATION, meta.correlation_id.to_string());
    put(ACTOR, escaped(&meta.actor.to_string()));
    put(OCCURRED_AT, meta.occurred_at.to_string());
    put(RECORDED_AT, meta.recorded_at.to_string());
    put(PUBLISHER, publisher.to_owned());
    if let Some(word) = purpose.word() {
        put(PURPOSE, word.to_owned());
    }
    if reached != event.position {
        put(REACHED, reached.to_string());
    }
    headers
}

/// Reads a message back.
pub(crate) fn read(prefix: &str, subject: &str, headers: Option<&HeaderMap>, payload: &[u8]) -> Result<Published, WireError> {
    let wrong = |reason: String| WireError { reason };
    let event_type = subject.strip_prefix(prefix).ok_or_else(|| wrong(format!("subject {subject} does not begin with {prefix}")))?;
    let headers = headers.ok_or_else(|| wrong("it has no headers".to_owned()))?;
    let position: Position = Position(value(headers, POSITION)?);
    let metadata = Metadata {
        event_id: value::<EventId>(headers, EVENT_ID)?,
        command_id: value::<CommandId>(headers, COMMAND)?,
        causation_id: optional::<EventId>(headers, CAUSATION)?,
        correlation_id: value(headers, CORRELATION)?,
        actor: unescaped(text(headers, ACTOR)?).parse::<Actor>().map_err(|error| wrong(error.to_string()))?,
        operator_id: value::<OperatorId>(headers, OPERATOR)?,
        occurred_at: value(headers, OCCURRED_AT)?,
        recorded_at: value(headers, RECORDED_AT)?,
    };
    let event = StoredEvent {
        position,
        stream: StreamId::from(unescaped(text(headers, STREAM)?).as_str()),
        revision: Revision(value(headers, REVISION)?),
        event_type: EventType::from(event_type),
        version: value(headers, VERSION)?,
        metadata,
        payload: payload.to_vec(),
        prev_hash: hash(headers, PREV_HASH)?,
        hash: hash(headers, HASH)?,
    };
    let purpose = match headers.get(PURPOSE).map(async_nats::HeaderValue::as_str) {
        None => Purpose::Publish,
        Some("refill") => Purpose::Refill,
        Some("rebuild") => Purpose::Rebuild,
        Some(other) => return Err(wrong(format!("{PURPOSE} is {other}"))),
    };
    let reached = optional(headers, REACHED)?.map_or(position, Position);
    Ok(Published { event, publisher: optional(headers, PUBLISHER)?, purpose, reached })
}

fn text<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a str, WireError> {
    headers.get(name).map(async_nats::HeaderValue::as_str).ok_or_else(|| WireError { reason: format!("{name} is missing") })
}

fn value<T: FromStr<Err: Display>>(headers: &HeaderMap, name: &'static str) -> Result<T, WireError> {
    text(headers, name)?.parse().map_err(|error| WireError { reason: format!("{name}: {error}") })
}

fn optional<T: FromStr<Err: Display>>(headers: &HeaderMap, name: &'static str) -> Result<Option<T>, WireError> {
    headers.get(name).map(|_| value(headers, name)).transpose()
}

fn hash(headers: &HeaderMap, name: &'static str) -> Result<Hash, WireError> {
    let text = text(headers, name)?;
    let mut bytes = [0; 32];
    let digits = text.as_bytes();
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(WireError { reason: format!("{name} is no SHA-256") });
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        let digit = |digit: u8| (digit as char).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).unwrap_or(0);
        *byte = digit(pair[0]) << 4 | digit(pair[1]);
    }
    Ok(Hash(bytes))
}

/// Faster than formatting byte by byte: two of these stand in every message.
fn hex(hash: &Hash) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    hash.0.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

/// A header's value is one line, and blanks at its ends are lost on the way: those, and the sign of the escape itself, are written as `%XX`.
fn escaped(text: &str) -> String {
    let is_plain = |c: char| !c.is_control() && c != '%';
    if text.chars().all(is_plain) && text.trim() == text {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            c if c.is_control() || c.is_whitespace() || c == '%' => {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    out.push_str(&format!("%{byte:02X}"));
                }
            }
            plain => out.push(plain),
        }
    }
    out
}

fn unescaped(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        let code = more.get(..2).and_then(|code| std::str::from_utf8(code).ok()).and_then(|code| u8::from_str_radix(code, 16).ok());
        match (first, code) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &more[2..];
            }
            _ => {
                bytes.push(*first);
                rest = more;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::log::NewEvent;
    use domain::testing::{at, id};

    fn stored(actor: &str, stream: &str) -> StoredEvent {
        let metadata = Metadata {
            event_id: id(1),
            command_id: id(2),
            causation_id: None,
            correlation_id: id(3),
            actor: actor.parse().unwrap(),
            operator_id: id(4),
            occurred_at: at("2026-03-01T08:00:00.000001Z"),
            recorded_at: at("2026-03-01T08:00:01Z"),
        };
        let new = NewEvent { event_type: "session.started".into(), version: 2, metadata, payload: vec![0, 1, 255, b'\r', b'\n'] };
        StoredEvent::link(new, Position(7), stream.into(), Revision(5), Hash([9; 32]))
    }

    fn there_and_back(event: &StoredEvent) -> Published {
        let headers = headers(event, &Uuid::nil().to_string(), Purpose::Publish, event.position);
        read("ledger.events.", "ledger.events.session.started", Some(&headers), &event.payload).unwrap()
    }

    #[test]
    fn an_event_comes_back_as_the_log_holds_it_and_its_hash_can_be_computed_again() {
        let event = stored("system:generated x", "session-1");
        let back = there_and_back(&event);
        assert_eq!(back.event, event);
        assert!(back.is_intact());
        assert_eq!((back.purpose, back.reached, back.publisher), (Purpose::Publish, Position(7), Some(Uuid::nil())));
        let altered = Published { event: StoredEvent { payload: vec![1], ..back.event.clone() }, ..back };
        assert!(!altered.is_intact());
    }

    #[test]
    fn whatever_an_actor_or_a_stream_is_called_it_comes_back() {
        for name in [" 桩 1 ", "50%", "a\r\nNats-Rollup: all", "%0A", "\t", "tab\tin"] {
            let event = stored(&format!("device:{name}"), &format!("session-{name}"));
            assert!(!escaped(event.stream.as_str()).contains(['\r', '\n']));
            assert_eq!(there_and_back(&event).event, event, "{name:?}");
        }
    }

    #[test]
    fn a_message_of_somebody_else_is_refused_with_what_is_wrong() {
        let event = stored("device:1", "session-1");
        let headers = headers(&event, &Uuid::nil().to_string(), Purpose::Refill, Position(9));
        let refused = |headers: &HeaderMap| read("ledger.events.", "ledger.events.x", Some(headers), &[]).unwrap_err().reason;
        assert_eq!(
            read("ledger.events.", "x.y", Some(&headers), &[]).unwrap_err().reason,
            "subject x.y does not begin with ledger.events."
        );
        assert_eq!(read("ledger.events.", "ledger.events.x", None, &[]).unwrap_err().reason, "it has no headers");
        assert_eq!(refused(&HeaderMap::new()), "Ledger-Position is missing");
        for (name, bad) in [(HASH, "zz"), (REVISION, "-1"), (ACTOR, "nobody"), (PURPOSE, "fun")] {
            let mut broken = headers.clone();
            broken.insert(name, bad);
            assert!(!refused(&broken).is_empty(), "{name}");
        }
        let late = read("ledger.events.", "ledger.events.x", Some(&headers), &[]).unwrap();
        assert_eq!((late.purpose, late.reached), (Purpose::Refill, Position(9)));
    }
}
