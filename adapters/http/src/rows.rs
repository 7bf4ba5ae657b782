//! What rows of the read models look like in the OpenAPI document: taken from the read models' own shapes, so that the two cannot part.

use projections::table::ColumnShape;
use projections::value::ColumnType;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

macro_rules! rows {
    ($($name:ident of $view:literal $(without $($hidden:literal)+)? $(with $more:ident)?;)*) => {$(
        #[doc = concat!("A row of `", $view, "`.")]
        #[derive(Debug, serde::Serialize)]
        pub struct $name;

        impl $name {
            /// The columns that are not shown.
            #[allow(dead_code)]
            pub const HIDDEN: &[&str] = &[$($($hidden),+)?];
        }

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let row = row($view, Self::HIDDEN);
                $(let row = $more(row);)?
                row.into()
            }
        }
        impl ToSchema for $name {}
    )*};
}

rows! {
    SessionRow of "sessions";
    StationRow of "stations";
    FoundStation of "stations" with availability;
    PileRow of "piles";
    ConnectorRow of "connectors";
    ApiKeyRow of "api_keys";
    UserRow of "users" without "phone_sealed" "phone_lookup" "name_sealed" "plate_sealed";
    PaymentRow of "payments" without "pay_token" "refused_refunds";
    RefundRow of "refunds";
    MovementRow of "wallet_statement";
    TariffRow of "tariffs" without "terms";
    AccountRow of "accounts";
    PostingRow of "journal";
    BillRow of "bills" without "lines" "fees";
    ReceivableRow of "receivables";
    SessionErrorRow of "session_errors";
    DailyStatisticsRow of "daily_statistics";
}

fn row(view: &str, hidden: &[&str]) -> ObjectBuilder {
    let Some(definition) = projections::definition(view) else { return ObjectBuilder::new() };
    let table = definition.table;
    let row = ObjectBuilder::new().schema_type(Type::Object).description(Some(table.doc.trim()));
    table
        .columns
        .iter()
        .filter(|column| !hidden.contains(&column.name))
        .fold(row, |row, column| row.property(column.name, column_schema(column)).required(column.name))
}

fn column_schema(column: &ColumnShape) -> ObjectBuilder {
    let (kind, format) = match column.column_type {
        ColumnType::Uuid => (Some(Type::String), Some(KnownFormat::Uuid)),
        ColumnType::Text | ColumnType::Decimal { .. } => (Some(Type::String), None),
        ColumnType::Int => (Some(Type::Integer), Some(KnownFormat::Int64)),
        ColumnType::Float => (Some(Type::Number), Some(KnownFormat::Double)),
        ColumnType::Bool => (Some(Type::Boolean), None),
        ColumnType::Timestamp => (Some(Type::String), Some(KnownFormat::DateTime)),
        ColumnType::Date => (Some(Type::String), Some(KnownFormat::Date)),
        ColumnType::Json => (None, None),
    };
    let schema_type = match kind {
        Some(kind) if column.nullable => SchemaType::Array(vec![kind, Type::Null]),
        Some(kind) => SchemaType::Type(kind),
        None => SchemaType::AnyValue,
    };
    let pattern = match column.column_type {
        ColumnType::Decimal { scale: 0, .. } => Some("^-?[0-9]+$".to_owned()),
        ColumnType::Decimal { scale, .. } => Some(format!("^-?[0-9]+\\.[0-9]{{{scale}}}$")),
        _ => None,
    };
    ObjectBuilder::new()
        .schema_type(schema_type)
        .format(format.map(SchemaFormat::KnownFormat))
        .pattern(pattern)
        .description(Some(column.doc.trim()))
}

fn availability(row: ObjectBuilder) -> ObjectBuilder {
    let count = || ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0));
    let names = ["total", "available", "occupied", "faulted", "offline"];
    let counts = names
        .into_iter()
        .fold(ObjectBuilder::new().schema_type(Type::Object), |counts, name| counts.property(name, count()).required(name));
    let distance = ObjectBuilder::new()
        .schema_type(SchemaType::Array(vec![Type::Number, Type::Null]))
        .description(Some("How far it is from `near`, in metres."));
    row.property("distance_m", distance)
        .required("distance_m")
        .property("connectors", counts.description(Some("How many of its connectors are in which state.")))
        .required("connectors")
}
