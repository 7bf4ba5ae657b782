//! How two builds of a projection differ, counted by the database in one snapshot: rows only in one, cells that differ, money by operator and day.

use std::collections::BTreeMap;

use deadpool_postgres::{Object, Transaction};
use projections::fold::Definition;
use projections::port::{Build, ReadStoreError};
use projections::rebuild::port::{Diff, MoneyDifference, Sample};
use projections::table::{ColumnShape, Table};
use projections::value::ColumnType;
use tokio_postgres::IsolationLevel;

use crate::cells::cell;
use crate::error::database;
use crate::store::unsigned;

/// How many differing rows are shown.
const SAMPLES: i64 = 20;
/// How many sums are.
const TOTALS: i64 = 1_000;

/// A view of the database in which nothing moves any more.
pub(crate) async fn snapshot(client: &mut Object) -> Result<Transaction<'_>, ReadStoreError> {
    let transaction =
        client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).start().await.map_err(|error| database(&error))?;
    // Its first statement takes the snapshot. Large builds take longer than a projector's statement may.
    transaction
        .batch_execute("SET LOCAL statement_timeout = 0; SELECT count(*) FROM build.registry")
        .await
        .map_err(|error| database(&error))?;
    Ok(transaction)
}

/// Compares. Rows that one build has changed after the other one's position are left out, unless `everything` is asked for.
pub(crate) async fn compare(
    transaction: &Transaction<'_>,
    definition: &Definition,
    here: &Build,
    there: &Build,
    everything: bool,
) -> Result<Diff, ReadStoreError> {
    let positions = [position(transaction, here).await?, position(transaction, there).await?];
    let (columns_here, columns_there) = (columns(transaction, here).await?, columns(transaction, there).await?);
    let only = |mine: &BTreeMap<String, String>, other: &BTreeMap<String, String>| {
        mine.iter().filter(|(name, kind)| other.get(*name) != Some(*kind)).map(|(name, _)| name.clone()).collect::<Vec<_>>()
    };
    let both =
        |column: &&ColumnShape| columns_here.contains_key(column.name) && columns_there.get(column.name) == columns_here.get(column.name);
    let mut diff = Diff {
        here: here.table_name(),
        here_position: domain::log::Position(unsigned(positions[0])),
        there: there.table_name(),
        there_position: domain::log::Position(unsigned(positions[1])),
        columns_only_here: only(&columns_here, &columns_there),
        columns_only_there: only(&columns_there, &columns_here),
        ..Diff::default()
    };
    let comparison = Comparison {
        transaction,
        table: definition.table,
        here: here.table_name(),
        there: there.table_name(),
        columns: definition.table.columns.iter().filter(both).collect(),
        until: if everything { i64::MAX } else { positions[0].min(positions[1]) },
    };
    if !definition.table.key().iter().all(|key| both(&key)) {
        // Without a common key no row has a counterpart.
        (diff.only_here, diff.only_there) = (comparison.count(&diff.here).await?, comparison.count(&diff.there).await?);
        return Ok(diff);
    }
    comparison.rows(&mut diff).await?;
    if diff.rows_differing() > 0 {
        diff.samples = comparison.samples().await?;
        diff.totals = comparison.totals().await?;
    }
    Ok(diff)
}

async fn position(transaction: &Transaction<'_>, build: &Build) -> Result<i64, ReadStoreError> {
    let sql = "SELECT position FROM build.registry WHERE name = $1 AND number = $2";
    let row = transaction.query_one(sql, &[&build.name, &build.number]).await.map_err(|error| database(&error))?;
    Ok(row.get(0))
}

/// The columns that a build's table has, with their types: another version's may be others.
async fn columns(transaction: &Transaction<'_>, build: &Build) -> Result<BTreeMap<String, String>, ReadStoreError> {
    let sql = "SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute
               WHERE attrelid = to_regclass(format('build.%I', $1::text)) AND attnum > 0 AND NOT attisdropped";
    let rows = transaction.query(sql, &[&build.table_name()]).await.map_err(|error| database(&error))?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

struct Comparison<'a> {
    transaction: &'a Transaction<'a>,
    table: &'static Table,
    here: String,
    there: String,
    /// What both have.
    columns: Vec<&'static ColumnShape>,
    /// Rows that were changed after this are not compared.
    until: i64,
}

impl Comparison<'_> {
    fn joined(&self) -> String {
        let on: Vec<String> = self.table.key().iter().map(|key| format!("a.{0} = b.{0}", key.name)).collect();
        format!("build.{} a FULL JOIN build.{} b ON {}", self.here, self.there, on.join(" AND "))
    }

    /// Whether neither side has changed the row since.
    fn settled(&self) -> String {
        format!("(coalesce(a.position, 0) <= {0} AND coalesce(b.position, 0) <= {0})", self.until)
    }

    fn key(&self) -> &'static str {
        self.table.key().first().map_or("position", |key| key.name)
    }

    fn differ(&self) -> String {
        let side = |side: &str| self.columns.iter().map(|column| format!("{side}.{}", column.name)).collect::<Vec<_>>().join(", ");
        format!("(ROW({}) IS DISTINCT FROM ROW({}))", side("a"), side("b"))
    }

    async fn count(&self, build: &str) -> Result<u64, ReadStoreError> {
        let row =
            self.transaction.query_one(&format!("SELECT count(*) FROM build.{build}"), &[]).await.map_err(|error| database(&error))?;
        Ok(unsigned(row.get(0)))
    }

    async fn rows(&self, diff: &mut Diff) -> Result<(), ReadStoreError> {
        let (key, settled, differ) = (self.key(), self.settled(), self.differ());
        let fields: String = self
            .columns
            .iter()
            .map(|column| {
                format!(
                    ", count(*) FILTER (WHERE a.{key} IS NOT NULL AND b.{key} IS NOT NULL AND {settled} AND a.{0} IS DISTINCT FROM b.{0})",
                    column.name
                )
            })
            .collect();
        let sql = format!(
            "SELECT count(*) FILTER (WHERE a.{key} IS NOT NULL AND b.{key} IS NOT NULL AND {settled} AND NOT {differ}),
                    count(*) FILTER (WHERE b.{key} IS NULL AND {settled}),
                    count(*) FILTER (WHERE a.{key} IS NULL AND {settled}),
                    count(*) FILTER (WHERE a.{key} IS NOT NULL AND b.{key} IS NOT NULL AND {settled} AND {differ}),
                    count(*) FILTER (WHERE NOT {settled}){fields}
             FROM {}",
            self.joined()
        );
        let row = self.transaction.query_one(&sql, &[]).await.map_err(|error| database(&error))?;
        let number = |at: usize| unsigned(row.get(at));
        (diff.same, diff.only_here, diff.only_there, diff.changed, diff.not_compared) =
            (number(0), number(1), number(2), number(3), number(4));
        let counts = self.columns.iter().enumerate().map(|(at, column)| (column.name.to_owned(), number(at + 5)));
        diff.fields = counts.filter(|(_, count)| *count > 0).collect();
        Ok(())
    }

    async fn samples(&self) -> Result<Vec<Sample>, ReadStoreError> {
        let sides: Vec<String> =
            ["a", "b"].iter().flat_map(|side| self.columns.iter().map(move |column| format!("{side}.{}", column.name))).collect();
        let order: Vec<String> = self.table.key().iter().map(|key| format!("coalesce(a.{0}, b.{0})", key.name)).collect();
        let sql = format!(
            "SELECT {} FROM {} WHERE {} AND {} ORDER BY {} LIMIT {SAMPLES}",
            sides.join(", "),
            self.joined(),
            self.settled(),
            self.differ(),
            order.join(", ")
        );
        let rows = self.transaction.query(&sql, &[]).await.map_err(|error| database(&error))?;
        rows.iter().map(|row| self.sample(row).map_err(|error| database(&error))).collect()
    }

    fn sample(&self, row: &tokio_postgres::Row) -> Result<Sample, tokio_postgres::Error> {
        let width = self.columns.len();
        let mut sides = [serde_json::Map::new(), serde_json::Map::new()];
        for (side, cells) in sides.iter_mut().enumerate() {
            for (at, column) in self.columns.iter().enumerate() {
                let value = cell(row, side * width + at, column.column_type)?;
                cells.insert(column.name.to_owned(), value.to_json(column.column_type));
            }
        }
        let [mut here, mut there] = sides;
        let is_there = |side: &serde_json::Map<String, serde_json::Value>| !side.get(self.key()).is_none_or(serde_json::Value::is_null);
        let (has_here, has_there) = (is_there(&here), is_there(&there));
        let of_key = if has_here { &here } else { &there };
        let key = self.table.key().iter().map(|key| (key.name.to_owned(), of_key.get(key.name).cloned().unwrap_or_default())).collect();
        let operator_id = of_key.get("operator_id").and_then(serde_json::Value::as_str).map(str::to_owned);
        if has_here && has_there {
            let same: Vec<String> =
                here.iter().filter(|(name, value)| there.get(*name) == Some(*value)).map(|(name, _)| name.clone()).collect();
            for name in same {
                here.remove(&name);
                there.remove(&name);
            }
        }
        Ok(Sample { key, operator_id, here: has_here.then(|| here.into()), there: has_there.then(|| there.into()) })
    }

    /// The money of the rows that differ.
    async fn totals(&self) -> Result<Vec<MoneyDifference>, ReadStoreError> {
        let money: Vec<&str> = self.columns.iter().filter(|column| is_money(column)).map(|column| column.name).collect();
        if money.is_empty() {
            return Ok(Vec::new());
        }
        let operator = if self.columns.iter().any(|column| column.name == "operator_id") { "operator_id::text" } else { "NULL::text" };
        let of_type = |wanted: ColumnType| self.columns.iter().find(move |column| column.column_type == wanted).map(|column| column.name);
        let day = match (of_type(ColumnType::Date), of_type(ColumnType::Timestamp)) {
            (Some(date), _) => format!("{date}::text"),
            (None, Some(time)) => format!("({time} AT TIME ZONE 'UTC')::date::text"),
            (None, None) => "NULL::text".to_owned(),
        };
        let key = self.key();
        let side = |side: &str, sign: i32| {
            let sums: String = money.iter().map(|column| format!(", {column}")).collect();
            format!(
                "SELECT {operator} AS operator, {day} AS day, {sign} AS side{sums} FROM (SELECT {side}.* FROM {} WHERE {} AND {} AND {side}.{key} IS NOT NULL) t",
                self.joined(),
                self.settled(),
                self.differ()
            )
        };
        let sums: String = money
            .iter()
            .map(|column| {
                format!(
                    ", coalesce(sum({column}) FILTER (WHERE side = 1), 0)::text, coalesce(sum({column}) FILTER (WHERE side = -1), 0)::text"
                )
            })
            .collect();
        let sql = format!(
            "SELECT operator, day{sums} FROM ({} UNION ALL {}) d GROUP BY operator, day ORDER BY operator, day LIMIT {TOTALS}",
            side("a", 1),
            side("b", -1)
        );
        let rows = self.transaction.query(&sql, &[]).await.map_err(|error| database(&error))?;
        let mut totals = Vec::new();
        for row in &rows {
            for (at, column) in money.iter().enumerate() {
                let (here_yuan, there_yuan): (String, String) = (row.get(2 + 2 * at), row.get(3 + 2 * at));
                if here_yuan.parse::<rust_decimal::Decimal>().ok() != there_yuan.parse().ok() {
                    totals.push(MoneyDifference {
                        operator_id: row.get(0),
                        day: row.get(1),
                        column: (*column).to_owned(),
                        here_yuan,
                        there_yuan,
                    });
                }
            }
        }
        Ok(totals)
    }
}

fn is_money(column: &ColumnShape) -> bool {
    matches!(column.column_type, ColumnType::Decimal { scale: 2, .. }) && column.name.ends_with("_yuan")
}
