//! Cells to parameters, columns to cells.
//!
//! Many rows travel as one array per column, so that a statement has as many parameters as the table has columns, whatever the batch.

use std::borrow::Cow;

use projections::table::ColumnShape;
use projections::value::{ColumnType, Value};
use rust_decimal::Decimal;
use tokio_postgres::Row;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{IsNull, Json, ToSql, Type};
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
        ColumnType::Json => collect!(Json(json) => Json(json), Json<&'a serde_json::Value>),
    }
}

/// One cell of a column.
pub(crate) fn parameter(column_type: ColumnType, cell: &Value) -> Parameter<'_> {
    match cell {
        Value::Null => null(column_type),
        Value::Uuid(id) => Box::new(*id),
        Value::Text(text) => Box::new(clean(text)),
        Value::Decimal(number) => Box::new(*number),
        Value::Int(number) => Box::new(*number),
        Value::Float(number) => Box::new(*number),
        Value::Bool(yes) => Box::new(*yes),
        Value::Timestamp(time) => Box::new(time.jiff()),
        Value::Date(date) => Box::new(*date),
        Value::Json(json) => Box::new(Json(json)),
    }
}

fn null<'a>(column_type: ColumnType) -> Parameter<'a> {
    match column_type {
        ColumnType::Uuid => Box::new(None::<Uuid>),
        ColumnType::Text => Box::new(None::<&str>),
        ColumnType::Decimal { .. } => Box::new(None::<Decimal>),
        ColumnType::Int => Box::new(None::<i64>),
        ColumnType::Float => Box::new(None::<f64>),
        ColumnType::Bool => Box::new(None::<bool>),
        ColumnType::Timestamp => Box::new(None::<jiff::Timestamp>),
        ColumnType::Date => Box::new(None::<jiff::civil::Date>),
        ColumnType::Json => Box::new(None::<serde_json::Value>),
    }
}

/// A cell on its way into `COPY`, where it stands.
#[derive(Debug)]
pub(crate) struct Cell<'a>(pub(crate) &'a Value);

impl ToSql for Cell<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self.0 {
            Value::Null => Ok(IsNull::Yes),
            Value::Uuid(id) => id.to_sql(ty, out),
            Value::Text(text) => text.as_str().to_sql(ty, out),
            Value::Decimal(number) => number.to_sql(ty, out),
            Value::Int(number) => number.to_sql(ty, out),
            Value::Float(number) => number.to_sql(ty, out),
            Value::Bool(yes) => yes.to_sql(ty, out),
            Value::Timestamp(time) => time.jiff().to_sql(ty, out),
            Value::Date(date) => date.to_sql(ty, out),
            Value::Json(json) => json.to_sql(ty, out),
        }
    }

    // A row's cells are of its columns' types: the row types see to it.
    fn accepts(_: &Type) -> bool {
        true
    }

    tokio_postgres::types::to_sql_checked!();
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

/// PostgreSQL's text holds no NUL. Rows have none (`projections::value`); what people ask for may.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}
