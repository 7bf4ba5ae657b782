//! Cells to parameters, columns to cells.
//!
//! Many rows travel as one array per column, so that a statement has as many parameters as the table has columns, whatever the batch.

use std::borrow::Cow;

use projections::table::ColumnShape;
use projections::value::{ColumnType, Value};
use rust_decimal::Decimal;
use tokio_postgres::Row;
use tokio_postgres::types::{Json, ToSql};
use uuid::Uuid;

/// A parameter on its way.
pub(crate) type Parameter<'a> = Box<dyn ToSql + Sync + Send + 'a>;

/// One column of many rows. A cell of another kind becomes NULL, which the column's constraint refuses.
pub(crate) fn array<'a>(column_type: ColumnType, cells: impl Iterator<Item = &'a Value>) -> Parameter<'a> {
    macro_rules! collect {
        ($variant:ident($binding:ident) => $value:expr, $element:ty) => {
            Box::new(
                cells
                    .map(|cell| match cell {
                        Value::$variant($binding) => Some($value),
                        _ => None,
                    })
                    .collect::<Vec<Option<$element>>>(),
            )
        };
    }
    match column_type {
        ColumnType::Uuid => collect!(Uuid(id) => *id, Uuid),
        ColumnType::Text => collect!(Text(text) => clean(text), Cow<'a, str>),
        ColumnType::Decimal { .. } => collect!(Decimal(number) => *number, Decimal),
        ColumnType::Int => collect!(Int(number) => *number, i64),
        ColumnType::Float => collect!(Float(number) => *number, f64),
        ColumnType::Bool => collect!(Bool(yes) => *yes, bool),
        ColumnType::Timestamp => collect!(Timestamp(time) => time.jiff(), jiff::Timestamp),
        ColumnType::Date => collect!(Date(date) => *date, jiff::civil::Date),
        ColumnType::Json => collect!(Json(json) => Json(clean_json(json)), Json<Cow<'a, serde_json::Value>>),
    }
}

/// The cells of a row whose first columns are these.
pub(crate) fn cells(row: &Row, columns: &[ColumnShape]) -> Result<Vec<Value>, tokio_postgres::Error> {
    columns.iter().enumerate().map(|(at, column)| cell(row, at, column.column_type)).collect()
}

/// One cell of a row.
pub(crate) fn cell(row: &Row, at: usize, column_type: ColumnType) -> Result<Value, tokio_postgres::Error> {
    macro_rules! get {
        ($element:ty, $variant:ident($binding:ident) => $value:expr) => {
            row.try_get::<_, Option<$element>>(at)?.map(|$binding| Value::$variant($value))
        };
    }
    let value = match column_type {
        ColumnType::Uuid => get!(Uuid, Uuid(id) => id),
        ColumnType::Text => get!(String, Text(text) => text),
        ColumnType::Decimal { .. } => get!(Decimal, Decimal(number) => number),
        ColumnType::Int => get!(i64, Int(number) => number),
        ColumnType::Float => get!(f64, Float(number) => number),
        ColumnType::Bool => get!(bool, Bool(yes) => yes),
        ColumnType::Timestamp => get!(jiff::Timestamp, Timestamp(time) => time.into()),
        ColumnType::Date => get!(jiff::civil::Date, Date(date) => date),
        ColumnType::Json => get!(serde_json::Value, Json(json) => json),
    };
    Ok(value.unwrap_or(Value::Null))
}

/// PostgreSQL's text holds no NUL; what a device sends may. It is shown as U+FFFD, and the log keeps the original.
fn clean(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}

fn clean_json(json: &serde_json::Value) -> Cow<'_, serde_json::Value> {
    if has_nul(json) { Cow::Owned(without_nul(json)) } else { Cow::Borrowed(json) }
}

fn has_nul(json: &serde_json::Value) -> bool {
    match json {
        serde_json::Value::String(text) => text.contains('\0'),
        serde_json::Value::Array(items) => items.iter().any(has_nul),
        serde_json::Value::Object(fields) => fields.iter().any(|(name, value)| name.contains('\0') || has_nul(value)),
        serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::Number(_) => false,
    }
}

fn without_nul(json: &serde_json::Value) -> serde_json::Value {
    match json {
        serde_json::Value::String(text) => clean(text).into(),
        serde_json::Value::Array(items) => items.iter().map(without_nul).collect(),
        serde_json::Value::Object(fields) => {
            fields.iter().map(|(name, value)| (clean(name).into_owned(), without_nul(value))).collect::<serde_json::Map<_, _>>().into()
        }
        other => other.clone(),
    }
}
