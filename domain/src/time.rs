//! Instants, dates and zones. Nothing here reads a clock: time is an input.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A UTC instant to the microsecond. RFC 3339 where people read it, whole microseconds where machines store it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

/// Why a text or number is no instant, date or zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// Not RFC 3339, or without an offset.
    #[error("\"{text}\" is not an RFC 3339 time with an offset, like 2026-03-01T08:30:12+08:00")]
    NotATime {
        /// What was given.
        text: String,
    },
    /// Outside the years 0001 to 9999.
    #[error("{micros} microseconds lie outside the years 0001 to 9999")]
    OutOfRange {
        /// What was given.
        micros: i64,
    },
    /// Not a zone of the tz database.
    #[error("\"{name}\" is not a zone of the tz database, like Asia/Shanghai")]
    UnknownZone {
        /// What was given.
        name: String,
    },
}

impl Timestamp {
    /// From microseconds since 1970-01-01T00:00:00Z.
    ///
    /// # Errors
    /// Outside the years 0001 to 9999.
    pub fn from_micros(micros: i64) -> Result<Timestamp, TimeError> {
        match jiff::Timestamp::from_microsecond(micros) {
            Ok(time) if time.as_second() >= -62_135_596_800 => Ok(Timestamp(micros)),
            _ => Err(TimeError::OutOfRange { micros }),
        }
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Whole seconds from `earlier` to this, negative when this is the earlier.
    #[must_use]
    pub const fn seconds_since(self, earlier: Timestamp) -> i64 {
        (self.0 - earlier.0).div_euclid(1_000_000)
    }

    /// This many seconds later (or earlier, when negative); stays inside the years 0001 to 9999.
    #[must_use]
    pub fn plus_seconds(self, seconds: i64) -> Timestamp {
        let micros = self.0.saturating_add(seconds.saturating_mul(1_000_000));
        Timestamp(micros.clamp(-62_135_596_800_000_000, 253_402_207_199_999_999))
    }

    /// `yyMMddHHmmss` in UTC, as order numbers carry it.
    #[must_use]
    pub fn compact(self) -> String {
        self.jiff().strftime("%y%m%d%H%M%S").to_string()
    }

    /// Back from it; none when it is no such text.
    #[must_use]
    pub fn of_compact(text: &str) -> Option<Timestamp> {
        let time = jiff::civil::DateTime::strptime("%y%m%d%H%M%S", text).ok()?;
        Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp().into())
    }

    /// For calendar arithmetic.
    #[must_use]
    pub fn jiff(self) -> jiff::Timestamp {
        // Every constructor has checked the range.
        jiff::Timestamp::from_microsecond(self.0).unwrap_or(jiff::Timestamp::MIN)
    }
}

impl From<jiff::Timestamp> for Timestamp {
    fn from(time: jiff::Timestamp) -> Timestamp {
        Timestamp(time.as_microsecond().max(-62_135_596_800_000_000))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.jiff().fmt(f)
    }
}

impl FromStr for Timestamp {
    type Err = TimeError;
    fn from_str(text: &str) -> Result<Timestamp, TimeError> {
        let time: jiff::Timestamp = text.parse().map_err(|_| TimeError::NotATime { text: text.chars().take(64).collect() })?;
        Timestamp::from_micros(time.as_microsecond())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { serializer.serialize_i64(self.0) }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
        } else {
            Timestamp::from_micros(i64::deserialize(deserializer)?).map_err(D::Error::custom)
        }
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Timestamp {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "date-time" })
    }
}

/// A zone of the tz database, by name. The database is compiled in; an event that names a zone prices alike everywhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct ZoneName(String);

impl ZoneName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// For calendar arithmetic.
    #[must_use]
    pub fn zone(&self) -> TimeZone {
        TimeZone::get(&self.0).unwrap_or(TimeZone::UTC)
    }

    /// The date at `time` on this zone's calendar.
    #[must_use]
    pub fn date(&self, time: Timestamp) -> Date {
        time.jiff().to_zoned(self.zone()).date()
    }

    /// China Standard Time.
    #[must_use]
    pub fn shanghai() -> ZoneName {
        ZoneName("Asia/Shanghai".to_owned())
    }
}

impl FromStr for ZoneName {
    type Err = TimeError;
    fn from_str(name: &str) -> Result<ZoneName, TimeError> {
        match TimeZone::get(name) {
            Ok(_) => Ok(ZoneName(name.to_owned())),
            Err(_) => Err(TimeError::UnknownZone { name: name.chars().take(64).collect() }),
        }
    }
}

impl<'de> Deserialize<'de> for ZoneName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ZoneName, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl fmt::Display for ZoneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
