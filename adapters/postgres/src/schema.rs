//! The tables of builds, as SQL, from the projections' row types.
//!
//! Only names that the row types declare come into the text; nothing that anybody sends does.

use std::fmt::Write as _;

use projections::table::{Search, Table};
use projections::value::ColumnType;

/// The type's name in SQL.
#[must_use]
pub fn sql_type(column_type: ColumnType) -> String {
    match column_type {
        ColumnType::Uuid => "uuid".to_owned(),
        ColumnType::Text => "text".to_owned(),
        ColumnType::Decimal { precision, scale } => format!("numeric({precision},{scale})"),
        ColumnType::Int => "bigint".to_owned(),
        ColumnType::Float => "double precision".to_owned(),
        ColumnType::Bool => "boolean".to_owned(),
        ColumnType::Timestamp => "timestamptz".to_owned(),
        ColumnType::Date => "date".to_owned(),
        ColumnType::Json => "jsonb".to_owned(),
    }
}

/// The type's name as the element of an array parameter.
pub(crate) fn array_type(column_type: ColumnType) -> &'static str {
    match column_type {
        ColumnType::Uuid => "uuid[]",
        ColumnType::Text => "text[]",
        ColumnType::Decimal { .. } => "numeric[]",
        ColumnType::Int => "bigint[]",
        ColumnType::Float => "double precision[]",
        ColumnType::Bool => "boolean[]",
        ColumnType::Timestamp => "timestamptz[]",
        ColumnType::Date => "date[]",
        ColumnType::Json => "jsonb[]",
    }
}

/// What ends a word, for the index as for those who search: else `2026-03` would be a year and a negative month.
pub(crate) const WORD_ENDS: &str = r"-_./:+#@,;()[]";

/// The words of a row, as the index and the search see them.
pub(crate) fn words_expression(columns: &[&str]) -> String {
    let parts: Vec<String> = columns.iter().map(|column| format!("coalesce({column}, '')")).collect();
    let spaces = " ".repeat(WORD_ENDS.len());
    format!("to_tsvector('simple', translate({}, '{WORD_ENDS}', '{spaces}'))", parts.join(" || ' ' || "))
}

/// Makes the table of a build. `build` is the table's name without its schema.
#[must_use]
pub fn create_table(table: &Table, build: &str) -> String {
    format!("CREATE TABLE build.{build} (\n{},\n    {}\n) WITH (fillfactor = 85);\n", columns(table), key(table, build))
}

/// Makes the table of a build that is to be filled before it has a key or an index.
#[must_use]
pub(crate) fn create_bare_table(table: &Table, build: &str) -> String {
    format!("CREATE TABLE build.{build} (\n{}\n) WITH (fillfactor = 85);\n", columns(table))
}

/// Gives a filled table its key.
#[must_use]
pub(crate) fn add_key(table: &Table, build: &str) -> String {
    format!("ALTER TABLE build.{build} ADD {};\n", key(table, build))
}

fn columns(table: &Table) -> String {
    let line = |column: &projections::table::ColumnShape| {
        format!("    {} {}{}", column.name, sql_type(column.column_type), if column.nullable { "" } else { " NOT NULL" })
    };
    table.columns.iter().map(line).collect::<Vec<_>>().join(",\n")
}

fn key(table: &Table, build: &str) -> String {
    let key: Vec<&str> = table.key().iter().map(|column| column.name).collect();
    format!("CONSTRAINT {build}_key PRIMARY KEY ({})", key.join(", "))
}

/// Makes the indexes of a build's table.
#[must_use]
pub fn create_indexes(table: &Table, build: &str) -> String {
    let mut sql = String::new();
    for index in table.indexes {
        // The key at the end gives pages a stable order out of the same index.
        let rest = table.key().iter().map(|column| column.name).filter(|name| !index.columns.contains(name));
        let columns: Vec<&str> = index.columns.iter().copied().chain(rest).collect();
        let _ = writeln!(sql, "CREATE INDEX {build}_{} ON build.{build} ({});", index.columns.join("_"), columns.join(", "));
    }
    if let Search::Words(columns) = table.search {
        // Without a list of pending words that every search after a large batch would have to read.
        let _ = writeln!(
            sql,
            "CREATE INDEX {build}_words ON build.{build} USING gin (({})) WITH (fastupdate = off);",
            words_expression(columns)
        );
    }
    sql
}

/// Says what the table and its columns mean, for whoever looks with psql.
#[must_use]
pub fn comments(table: &Table, build: &str) -> String {
    let quoted = |text: &str| text.trim().replace('\'', "''");
    let mut sql = format!("COMMENT ON TABLE build.{build} IS '{}';\n", quoted(table.doc));
    for column in table.columns {
        let _ = writeln!(sql, "COMMENT ON COLUMN build.{build}.{} IS '{}';", column.name, quoted(column.doc));
    }
    sql
}

/// Puts a build behind its view. The columns may have changed, so the view is made anew.
#[must_use]
pub fn replace_view(name: &str, build: &str) -> String {
    format!("DROP VIEW IF EXISTS read.{name};\nCREATE VIEW read.{name} AS SELECT * FROM build.{build};\n")
}

/// The same for a build whose columns are the ones that the view shows: those who are about to read it do not notice.
#[must_use]
pub(crate) fn repoint_view(name: &str, build: &str) -> String {
    format!("CREATE OR REPLACE VIEW read.{name} AS SELECT * FROM build.{build};\n")
}

/// All of it for the first build: what `schemas/sql/read_models.sql` shows.
#[must_use]
pub fn first_build(table: &Table) -> String {
    let build = format!("{}__b1", table.name);
    [create_table(table, &build), create_indexes(table, &build), comments(table, &build), replace_view(table.name, &build)].concat()
}

/// What a build's table looks like, to tell whether one that is there fits. Meanings may change; columns and indexes may not.
#[must_use]
pub fn shape(table: &Table) -> String {
    [create_table(table, "t"), create_indexes(table, "t")].concat()
}
