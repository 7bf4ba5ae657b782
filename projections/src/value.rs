//! What a cell of a read model can hold, and how the domain's types become cells and come back.
//!
//! Exact decimals stay decimals all the way into SQL's `numeric`. The only floating point is the pair of degrees that distances
//! are computed from; no money or energy has a way into it.

use jiff::civil::Date;
use rust_decimal::Decimal;
use uuid::Uuid;

use domain::ids::{
    ApiKeyId, CommandId, ConnectorId, EventId, OperatorCode, OperatorId, OrderNumber, PaymentId, PileId, RefundId, SessionId, StationId,
    TariffId, UserId,
};
use domain::log::{Position, Revision};
use domain::time::{Timestamp, ZoneName};
use domain::units::{Energy, Minutes, Money, Percent, Power, PricePerKwh, PricePerMinute};

/// One cell.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// An identity.
    Uuid(Uuid),
    /// Text.
    Text(String),
    /// An exact decimal; its column says the scale.
    Decimal(Decimal),
    /// A whole number.
    Int(i64),
    /// Degrees or metres, for distances only.
    Float(f64),
    /// Yes or no.
    Bool(bool),
    /// An instant.
    Timestamp(Timestamp),
    /// A date on some calendar.
    Date(Date),
    /// Anything nested: lines of a bill, reasons.
    Json(serde_json::Value),
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    /// `uuid`.
    Uuid,
    /// `text`.
    Text,
    /// `numeric(precision, scale)`.
    Decimal {
        /// Digits in all.
        precision: u32,
        /// Digits after the point.
        scale: u32,
    },
    /// `bigint`.
    Int,
    /// `double precision`.
    Float,
    /// `boolean`.
    Bool,
    /// `timestamptz`.
    Timestamp,
    /// `date`.
    Date,
    /// `jsonb`.
    Json,
}

/// A cell that does not hold what its column says.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ValueError {
    /// Another kind of value.
    #[error("expected {expected}, found {found:?}")]
    Unexpected {
        /// What was asked for.
        expected: &'static str,
        /// What was there.
        found: Value,
    },
    /// The right kind, and not a value of the domain's type.
    #[error("{value:?} is not a {expected}: {reason}")]
    Unfit {
        /// What was asked for.
        expected: &'static str,
        /// What was there.
        value: Value,
        /// What does not fit.
        reason: String,
    },
    /// A row of another width.
    #[error("a row of {found} cells where the table has {expected}")]
    Width {
        /// Columns of the table.
        expected: usize,
        /// Cells of the row.
        found: usize,
    },
}

/// A type that can stand in a column.
pub trait Column: Sized {
    /// The column's type.
    const TYPE: ColumnType;
    /// Whether a cell may be empty.
    const NULLABLE: bool = false;

    /// As a cell.
    fn to_value(&self) -> Value;

    /// Back from a cell.
    ///
    /// # Errors
    /// When the cell holds something else.
    fn from_value(value: Value) -> Result<Self, ValueError>;
}

impl Value {
    /// About how many bytes of memory it takes beside itself.
    #[must_use]
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Value::Text(text) => text.len() + 32,
            Value::Json(json) => json_bytes(json),
            Value::Null
            | Value::Uuid(_)
            | Value::Decimal(_)
            | Value::Int(_)
            | Value::Float(_)
            | Value::Bool(_)
            | Value::Timestamp(_)
            | Value::Date(_) => 0,
        }
    }

    /// As people and programs outside see it: decimals as text with the column's scale, instants and dates as text.
    #[must_use]
    pub fn to_json(&self, column: ColumnType) -> serde_json::Value {
        match self {
            Value::Null => serde_json::Value::Null,
            Value::Uuid(id) => id.to_string().into(),
            Value::Text(text) => text.as_str().into(),
            Value::Decimal(number) => match column {
                ColumnType::Decimal { scale, .. } => format!("{number:.*}", scale as usize).into(),
                _ => number.to_string().into(),
            },
            Value::Int(number) => (*number).into(),
            Value::Float(number) => (*number).into(),
            Value::Bool(yes) => (*yes).into(),
            Value::Timestamp(time) => time.to_string().into(),
            Value::Date(date) => date.to_string().into(),
            Value::Json(json) => json.clone(),
        }
    }

    /// Reads the text form of a cell, as it stands in a query's parameters.
    ///
    /// # Errors
    /// When the text is none of that type.
    pub fn parse(column: ColumnType, text: &str) -> Result<Value, ValueError> {
        let unfit = |expected: &'static str| {
            move |reason: String| ValueError::Unfit { expected, value: Value::Text(text.chars().take(64).collect()), reason }
        };
        Ok(match column {
            ColumnType::Uuid => Value::Uuid(text.parse().map_err(|error: uuid::Error| unfit("UUID")(error.to_string()))?),
            ColumnType::Text => Value::Text(text.to_owned()),
            ColumnType::Decimal { .. } => {
                Value::Decimal(Decimal::from_str_exact(text).map_err(|error| unfit("decimal number")(error.to_string()))?)
            }
            ColumnType::Int => Value::Int(text.parse().map_err(|error: std::num::ParseIntError| unfit("whole number")(error.to_string()))?),
            ColumnType::Float => Value::Float(text.parse().map_err(|error: std::num::ParseFloatError| unfit("number")(error.to_string()))?),
            ColumnType::Bool => {
                Value::Bool(text.parse().map_err(|error: std::str::ParseBoolError| unfit("true or false")(error.to_string()))?)
            }
            ColumnType::Timestamp => {
                Value::Timestamp(text.parse().map_err(|error: domain::time::TimeError| unfit("RFC 3339 time")(error.to_string()))?)
            }
            ColumnType::Date => Value::Date(text.parse().map_err(|error: jiff::Error| unfit("date")(error.to_string()))?),
            ColumnType::Json => {
                Value::Json(serde_json::from_str(text).map_err(|error: serde_json::Error| unfit("JSON")(error.to_string()))?)
            }
        })
    }
}

/// Declares plain columns: the Rust type, the column's type, the cell, and the way there and back.
macro_rules! columns {
    ($($rust:ty: $column:expr, $variant:ident($binding:ident) $to:expr, $from:expr;)*) => {$(
        impl Column for $rust {
            const TYPE: ColumnType = $column;
            fn to_value(&self) -> Value {
                let $binding = self;
                Value::$variant($to)
            }
            fn from_value(value: Value) -> Result<$rust, ValueError> {
                match value {
                    Value::$variant($binding) => $from,
                    found => Err(ValueError::Unexpected { expected: stringify!($rust), found }),
                }
            }
        }
    )*};
}

columns! {
    Uuid: ColumnType::Uuid, Uuid(v) *v, Ok(v);
    String: ColumnType::Text, Text(v) shown(v), Ok(v);
    bool: ColumnType::Bool, Bool(v) *v, Ok(v);
    i64: ColumnType::Int, Int(v) *v, Ok(v);
    f64: ColumnType::Float, Float(v) *v, Ok(v);
    Timestamp: ColumnType::Timestamp, Timestamp(v) *v, Ok(v);
    Date: ColumnType::Date, Date(v) *v, Ok(v);
    serde_json::Value: ColumnType::Json, Json(v) shown_json(v), Ok(v);
}

macro_rules! ids {
    ($($name:ident),*) => {
        columns! { $($name: ColumnType::Uuid, Uuid(v) v.0, Ok($name(v));)* }
    };
}
ids!(OperatorId, StationId, PileId, ConnectorId, TariffId, UserId, SessionId, PaymentId, RefundId, ApiKeyId, CommandId, EventId);

macro_rules! quantities {
    ($($name:ident, $precision:literal;)*) => {
        columns! {
            $($name: ColumnType::Decimal { precision: $precision, scale: $name::SCALE }, Decimal(v) v.value(),
                $name::new(v).map_err(|error| unfit(stringify!($name), Value::Decimal(v), &error));)*
        }
    };
}
quantities! {
    Money, 18;
    Energy, 14;
    PricePerKwh, 12;
    PricePerMinute, 12;
    Power, 10;
    Minutes, 14;
    Percent, 7;
}

macro_rules! numbers {
    ($($rust:ty, $number:ident => $raw:expr, $back:expr;)*) => {
        columns! {
            $($rust: ColumnType::Int, Int($number) i64::try_from($raw).unwrap_or(i64::MAX),
                $back.map_err(|error: std::num::TryFromIntError| unfit(stringify!($rust), Value::Int($number), &error));)*
        }
    };
}
// Counts and positions stay far below 2^63: at a million events a second, that is 292,000 years.
numbers! {
    u64, n => *n, u64::try_from(n);
    u32, n => *n, u32::try_from(n);
    Position, n => n.0, u64::try_from(n).map(Position);
    Revision, n => n.0, u64::try_from(n).map(Revision);
}

macro_rules! texts {
    ($($name:ident),*) => {
        columns! {
            $($name: ColumnType::Text, Text(v) v.to_string(),
                v.parse().map_err(|error| unfit(stringify!($name), Value::Text(v), &error));)*
        }
    };
}
texts!(OrderNumber, OperatorCode, ZoneName);

impl<T: Column> Column for Option<T> {
    const TYPE: ColumnType = T::TYPE;
    const NULLABLE: bool = true;
    fn to_value(&self) -> Value {
        self.as_ref().map_or(Value::Null, Column::to_value)
    }
    fn from_value(value: Value) -> Result<Option<T>, ValueError> {
        match value {
            Value::Null => Ok(None),
            value => T::from_value(value).map(Some),
        }
    }
}

/// A map's tree has nodes with room for eleven fields, half full at least, however few there are.
const FIELDS_OF_A_NODE: usize = 8;
const NODE_BYTES: usize = 640;

/// About what a JSON value takes: maps are trees of nodes with room to spare.
fn json_bytes(json: &serde_json::Value) -> usize {
    let inside: usize = match json {
        serde_json::Value::String(text) => text.len() + 32,
        serde_json::Value::Array(items) => items.iter().map(json_bytes).sum(),
        serde_json::Value::Object(fields) => {
            let nodes = fields.len().div_ceil(FIELDS_OF_A_NODE).max(1) * NODE_BYTES;
            nodes + fields.iter().map(|(name, value)| name.len() + 32 + json_bytes(value)).sum::<usize>()
        }
        serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::Number(_) => 0,
    };
    inside + size_of::<serde_json::Value>()
}

/// Databases' text holds no NUL; what a device sends may. It is shown as U+FFFD, and the log keeps the original.
fn shown(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

fn shown_json(json: &serde_json::Value) -> serde_json::Value {
    match json {
        serde_json::Value::String(text) => shown(text).into(),
        serde_json::Value::Array(items) => items.iter().map(shown_json).collect(),
        serde_json::Value::Object(fields) => {
            fields.iter().map(|(name, value)| (shown(name), shown_json(value))).collect::<serde_json::Map<_, _>>().into()
        }
        serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::Number(_) => json.clone(),
    }
}

/// The word that a plain enum of the domain has in JSON: `vehicle_full`.
#[must_use]
pub fn word<T: serde::Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        // No enum that is shown to people has fields; if one gets some, its whole form is shown.
        Ok(other) => other.to_string(),
        Err(_) => String::new(),
    }
}

/// Declares an enum that stands in a column as one of a few words.
macro_rules! words {
    ($(#[$doc:meta])* pub enum $name:ident { $($(#[$variant_doc:meta])* $variant:ident => $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// The word in the column.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word,)+ }
            }
        }

        impl $crate::value::Column for $name {
            const TYPE: $crate::value::ColumnType = $crate::value::ColumnType::Text;
            fn to_value(&self) -> $crate::value::Value {
                $crate::value::Value::Text(self.as_str().to_owned())
            }
            fn from_value(value: $crate::value::Value) -> Result<$name, $crate::value::ValueError> {
                match &value {
                    $($crate::value::Value::Text(text) if text == $word => Ok($name::$variant),)+
                    _ => Err($crate::value::ValueError::Unexpected { expected: stringify!($name), found: value }),
                }
            }
        }
    };
}
pub(crate) use words;

fn unfit(expected: &'static str, value: Value, reason: &dyn std::fmt::Display) -> ValueError {
    ValueError::Unfit { expected, value, reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back<T: Column + PartialEq + std::fmt::Debug>(value: T) {
        assert_eq!(T::from_value(value.to_value()), Ok(value));
    }

    #[test]
    fn a_cell_gives_back_what_was_put_in() {
        there_and_back::<Money>("12.50".parse().unwrap());
        there_and_back::<Energy>("0.0001".parse().unwrap());
        there_and_back(SessionId(Uuid::from_u128(7)));
        there_and_back(Position(u64::MAX >> 1));
        there_and_back(Some("text".to_owned()));
        there_and_back(None::<Money>);
        there_and_back(ZoneName::shanghai());
    }

    #[test]
    fn money_leaves_as_text_with_its_scale() {
        assert_eq!(Value::Decimal(Decimal::new(125, 1)).to_json(Money::TYPE), "12.50");
    }

    #[test]
    fn a_cell_of_another_kind_is_refused() {
        assert!(Money::from_value(Value::Int(3)).is_err());
        assert!(Energy::from_value(Value::Decimal(Decimal::NEGATIVE_ONE)).is_err());
        assert!(SessionId::from_value(Value::Null).is_err());
    }
}
