//! The projections' port: builds are made and found, rows loaded, and rows and checkpoint written in one transaction.

use std::pin::pin;

use async_trait::async_trait;
use deadpool_postgres::Transaction;
use domain::ids::EventId;
use domain::log::Position;
use projections::fold::{Changes, Definition};
use projections::port::{Batch, Build, BuildState, Counted, Halt, Leadership, Opened, ReadStore, ReadStoreError};
use projections::table::{ColumnShape, Table};
use projections::value::{ColumnType, Value};
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{Json, Type};
use tokio_postgres::{GenericClient, Row};
use tracing::info;
use uuid::Uuid;

use crate::cells::{Parameter, array, cells, parameter};
use crate::connect::{ReadModels, SCHEMA_LOCK};
use crate::error::database;
use crate::leader::Leader;
use crate::schema;

/// From this many rows on, `COPY` is worth its extra round trips.
const COPY_ROWS_MIN: usize = 64;

pub(crate) const BUILD_COLUMNS: &str = "name, coalesce(projection, name) AS projection, number, version, state, position, last_event, applied, ignored, quarantined, halt, pinned";

#[async_trait]
impl ReadStore for ReadModels {
    async fn open(&self, definition: &Definition, may_begin: bool) -> Result<Opened, ReadStoreError> {
        self.prepare().await?;
        let opened = self.open_build(definition, may_begin).await;
        if let Err(ReadStoreError::Missing { .. }) = opened {
            self.forget().await;
        }
        opened
    }

    async fn load(&self, definition: &Definition, build: &Build, keys: &[Vec<Value>]) -> Result<Vec<Vec<Value>>, ReadStoreError> {
        let table = definition.table;
        let client = self.projector_client().await?;
        let statement = client.prepare_cached(&select_by_keys(table, &build.table_name())).await.map_err(|error| self.failed(&error))?;
        let parameters = arrays(table.key(), keys);
        let rows = client.query(&statement, &borrowed(&parameters)).await.map_err(|error| self.failed(&error))?;
        rows.iter().map(|row| cells(row, table.columns).map_err(|error| self.failed(&error))).collect()
    }

    async fn commit(&self, definition: &Definition, build: &Build, batch: &Batch) -> Result<(), ReadStoreError> {
        let (table, name) = (definition.table, build.table_name());
        let mut client = self.projector_client().await?;
        let transaction = client.transaction().await.map_err(|error| self.failed(&error))?;
        // The checkpoint first: its row is the lock that a second projector waits at, and finds the checkpoint moved.
        let moved = transaction
            .prepare_cached(
                "UPDATE build.registry SET position = $4, last_event = coalesce($5, last_event), applied = applied + $6, ignored = ignored + $7, \
                 quarantined = quarantined + $8, halt = NULL, updated_at = now() \
                 WHERE name = $1 AND number = $2 AND position = $3 AND state = $9",
            )
            .await
            .map_err(|error| self.failed(&error))?;
        let counted = &batch.counted;
        let rows = transaction
            .execute(
                &moved,
                &[
                    &build.name,
                    &build.number,
                    &bigint(batch.from.0),
                    &bigint(batch.to.0),
                    &batch.last_event.map(|id| id.0),
                    &bigint(counted.applied),
                    &bigint(counted.ignored),
                    &bigint(counted.quarantined),
                    // Somebody may have swapped it meanwhile.
                    &state_word(build.state),
                ],
            )
            .await
            .map_err(|error| self.failed(&error))?;
        if rows != 1 {
            return Err(ReadStoreError::Superseded { build: name, from: batch.from });
        }
        let Changes { inserts, updates, deletes } = &batch.changes;
        let many = inserts.len() >= COPY_ROWS_MIN;
        if many {
            copy(&transaction, table, &name, inserts).await.map_err(|error| self.failed(&error))?;
        }
        let few = if many { &[][..] } else { &inserts[..] };
        write(&transaction, table, &name, few, updates, deletes).await.map_err(|error| self.failed(&error))?;
        transaction.commit().await.map_err(|error| self.failed(&error))?;
        self.gate.answered();
        Ok(())
    }

    async fn note_halt(&self, build: &Build, halt: Option<&Halt>) -> Result<(), ReadStoreError> {
        let client = self.projector_client().await?;
        let sql = "UPDATE build.registry SET halt = $3, updated_at = now() WHERE name = $1 AND number = $2";
        client.execute(sql, &[&build.name, &build.number, &halt.map(Json)]).await.map(|_| ()).map_err(|error| self.failed(&error))
    }

    async fn caught_up(&self, _: &Definition, build: &Build) -> Result<(), ReadStoreError> {
        let client = self.projector_client().await?;
        client.batch_execute(&format!("ANALYZE build.{}", build.table_name())).await.map_err(|error| self.failed(&error))
    }

    async fn builds(&self) -> Result<Vec<Build>, ReadStoreError> {
        let (client, asking) = self.query_client().await?;
        let sql = format!("SELECT {BUILD_COLUMNS} FROM build.registry ORDER BY name, number");
        let rows = asking.answer(client.query(&sql, &[])).await?;
        rows.iter().map(|row| read_build(row).map_err(|error| self.failed(&error))).collect()
    }

    fn leadership(&self) -> Box<dyn Leadership> {
        Box::new(Leader::new(&self.server, self.gate.clone()))
    }
}

impl ReadModels {
    pub(crate) fn failed(&self, error: &tokio_postgres::Error) -> ReadStoreError {
        self.gate.note(error);
        database(error)
    }

    /// All rows of a build, sorted by key: for tests and small tables, not for pages.
    ///
    /// # Errors
    /// When the database cannot.
    pub async fn rows(&self, definition: &Definition, build: &Build) -> Result<Vec<Vec<Value>>, ReadStoreError> {
        let client = self.projector_client().await?;
        let (columns, key) = (names(definition.table.columns), names(definition.table.key()));
        let sql = format!("SELECT {columns} FROM build.{} ORDER BY {key}", build.table_name());
        let rows = client.query(&sql, &[]).await.map_err(|error| self.failed(&error))?;
        rows.iter().map(|row| cells(row, definition.table.columns).map_err(|error| self.failed(&error))).collect()
    }

    /// Some rows of a build, in no order: for measuring.
    ///
    /// # Errors
    /// When the database cannot.
    pub async fn some_rows(&self, definition: &Definition, build: &Build, rows: usize) -> Result<Vec<Vec<Value>>, ReadStoreError> {
        let client = self.projector_client().await?;
        let columns = names(definition.table.columns);
        let sql = format!("SELECT {columns} FROM build.{} LIMIT {rows}", build.table_name());
        let rows = client.query(&sql, &[]).await.map_err(|error| self.failed(&error))?;
        rows.iter().map(|row| cells(row, definition.table.columns).map_err(|error| self.failed(&error))).collect()
    }

    /// Finds the build of this version, or makes the first one.
    async fn open_build(&self, definition: &Definition, may_begin: bool) -> Result<Opened, ReadStoreError> {
        let mut client = self.projector_client().await?;
        let transaction = client.transaction().await.map_err(|error| self.failed(&error))?;
        lock(&*transaction).await?;
        let shape = schema::shape(definition.table);
        forget_dropped(&*transaction, definition.name).await?;
        let sql = format!("SELECT {BUILD_COLUMNS}, shape FROM build.registry WHERE name = $1 AND state <> 'as_of'");
        let rows = transaction.query(&sql, &[&definition.name]).await.map_err(|error| self.failed(&error))?;
        let mut builds = Vec::with_capacity(rows.len());
        for row in &rows {
            let build = read_build(row).map_err(|error| self.failed(&error))?;
            builds.push((build, row.get::<_, String>("shape") == shape));
        }
        let fits =
            |(build, same_shape): &&(Build, bool)| build.version == definition.version && *same_shape && build.state != BuildState::Filling;
        let found = builds.iter().filter(fits).max_by_key(|(build, _)| (build.state == BuildState::Serving, build.number));
        let serving = builds.iter().find(|(build, _)| build.state == BuildState::Serving);
        let opened = match (found, serving) {
            (Some((build, _)), _) => Opened::Build(build.clone()),
            (None, Some((serving, _))) => Opened::Outdated(serving.clone()),
            (None, None) if !builds.is_empty() || !may_begin => Opened::Filling,
            (None, None) => {
                let build = new_build(definition, definition.name, 1, BuildState::Serving);
                let name = build.table_name();
                let ddl = [
                    drop_table(&name),
                    schema::create_table(definition.table, &name),
                    schema::create_indexes(definition.table, &name),
                    schema::comments(definition.table, &name),
                ];
                transaction.batch_execute(&ddl.concat()).await.map_err(|error| database(&error))?;
                register(&*transaction, &build, &shape).await?;
                Opened::Build(build)
            }
        };
        if let Opened::Build(build) = &opened
            && build.state == BuildState::Serving
        {
            ensure_view(&*transaction, definition.table, build).await?;
        }
        transaction.commit().await.map_err(|error| self.failed(&error))?;
        Ok(opened)
    }
}

pub(crate) async fn lock(client: &impl GenericClient) -> Result<(), ReadStoreError> {
    client.execute("SELECT pg_advisory_xact_lock($1)", &[&SCHEMA_LOCK]).await.map(|_| ()).map_err(|error| database(&error))
}

/// A build whose table somebody dropped is gone.
pub(crate) async fn forget_dropped(client: &impl GenericClient, name: &str) -> Result<(), ReadStoreError> {
    let gone = "DELETE FROM build.registry WHERE name = $1 AND to_regclass(format('build.%I', name || '__b' || number)) IS NULL";
    client.execute(gone, &[&name]).await.map(|_| ()).map_err(|error| database(&error))
}

/// A build with nothing in it.
pub(crate) fn new_build(definition: &Definition, name: &str, number: i64, state: BuildState) -> Build {
    Build {
        name: name.to_owned(),
        projection: definition.name.to_owned(),
        number,
        version: definition.version,
        state,
        position: Position(0),
        last_event: None,
        counted: Counted::default(),
        halt: None,
        pinned: false,
    }
}

/// A table that no registry knows is left over from one that was dropped.
pub(crate) fn drop_table(build: &str) -> String {
    format!("DROP TABLE IF EXISTS build.{build} CASCADE;\n")
}

/// Writes a new build into the registry.
pub(crate) async fn register(client: &impl GenericClient, build: &Build, shape: &str) -> Result<(), ReadStoreError> {
    let projection = (build.projection != build.name).then_some(&build.projection);
    let sql = "INSERT INTO build.registry (name, number, version, shape, state, projection) VALUES ($1, $2, $3, $4, $5, $6)";
    client
        .execute(sql, &[&build.name, &build.number, &i64::from(build.version), &shape, &state_word(build.state), &projection])
        .await
        .map_err(|error| database(&error))?;
    info!(projection = build.name, build = build.number, version = build.version, "made a build");
    Ok(())
}

async fn ensure_view(client: &impl GenericClient, table: &Table, build: &Build) -> Result<(), ReadStoreError> {
    let sql = "SELECT to_regclass(format('read.%I', $1::text)) IS NULL";
    let missing = client.query_one(sql, &[&table.name]).await.map_err(|error| database(&error))?;
    if missing.get::<_, bool>(0) {
        client.batch_execute(&schema::replace_view(table.name, &build.table_name())).await.map_err(|error| database(&error))?;
    }
    Ok(())
}

pub(crate) fn read_build(row: &Row) -> Result<Build, tokio_postgres::Error> {
    let state = match row.try_get::<_, String>("state")?.as_str() {
        "serving" => BuildState::Serving,
        "filling" => BuildState::Filling,
        "as_of" => BuildState::AsOf,
        _ => BuildState::Retired,
    };
    Ok(Build {
        name: row.try_get("name")?,
        projection: row.try_get("projection")?,
        number: row.try_get("number")?,
        version: u32::try_from(row.try_get::<_, i64>("version")?).unwrap_or(0),
        state,
        position: Position(unsigned(row.try_get("position")?)),
        last_event: row.try_get::<_, Option<Uuid>>("last_event")?.map(EventId),
        counted: Counted {
            applied: unsigned(row.try_get("applied")?),
            ignored: unsigned(row.try_get("ignored")?),
            quarantined: unsigned(row.try_get("quarantined")?),
        },
        halt: row.try_get::<_, Option<Json<Halt>>>("halt")?.map(|Json(halt)| halt),
        pinned: row.try_get("pinned")?,
    })
}

pub(crate) const fn state_word(state: BuildState) -> &'static str {
    match state {
        BuildState::Filling => "filling",
        BuildState::Serving => "serving",
        BuildState::Retired => "retired",
        BuildState::AsOf => "as_of",
    }
}

/// A count or a position, back from `bigint`.
pub(crate) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// Positions and counts stay far below 2^63.
pub(crate) fn bigint(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn arrays<'a>(columns: &[ColumnShape], rows: &'a [Vec<Value>]) -> Vec<Parameter<'a>> {
    let column =
        |(at, column): (usize, &ColumnShape)| array(column.column_type, rows.iter().map(move |row| row.get(at).unwrap_or(&Value::Null)));
    columns.iter().enumerate().map(column).collect()
}

pub(crate) fn borrowed<'a>(parameters: &'a [Parameter<'_>]) -> Vec<&'a (dyn tokio_postgres::types::ToSql + Sync)> {
    parameters.iter().map(|parameter| &**parameter as &(dyn tokio_postgres::types::ToSql + Sync)).collect()
}

pub(crate) fn names(columns: &[ColumnShape]) -> String {
    columns.iter().map(|column| column.name).collect::<Vec<_>>().join(", ")
}

/// `UNNEST($1::uuid[], $2::text[]) AS k(a, b)`.
fn unnest(columns: &[ColumnShape]) -> String {
    let parameter = |(at, column): (usize, &ColumnShape)| format!("${}::{}", at + 1, schema::array_type(column.column_type));
    let parameters: Vec<String> = columns.iter().enumerate().map(parameter).collect();
    format!("UNNEST({}) AS k({})", parameters.join(", "), names(columns))
}

fn on_key(table: &Table) -> String {
    table.key().iter().map(|column| format!("t.{0} = k.{0}", column.name)).collect::<Vec<_>>().join(" AND ")
}

fn select_by_keys(table: &Table, build: &str) -> String {
    let columns: Vec<String> = table.columns.iter().map(|column| format!("t.{}", column.name)).collect();
    format!("SELECT {} FROM {} JOIN build.{build} t ON {}", columns.join(", "), unnest(table.key()), on_key(table))
}

fn delete_by_keys(table: &Table, build: &str) -> String {
    format!("DELETE FROM build.{build} t USING {} WHERE {}", unnest(table.key()), on_key(table))
}

fn insert(table: &Table, build: &str) -> String {
    format!("INSERT INTO build.{build} ({}) SELECT * FROM {}", names(table.columns), unnest(table.columns))
}

fn update(table: &Table, build: &str) -> String {
    let set: Vec<String> = table.columns.iter().skip(table.key_count).map(|column| format!("{0} = k.{0}", column.name)).collect();
    format!("UPDATE build.{build} t SET {} FROM {} WHERE {}", set.join(", "), unnest(table.columns), on_key(table))
}

/// Writes what changes in a build's table, a statement for each kind.
pub(crate) async fn write(
    client: &impl deadpool_postgres::GenericClient,
    table: &Table,
    build: &str,
    inserts: &[Vec<Value>],
    updates: &[Vec<Value>],
    deletes: &[Vec<Value>],
) -> Result<(), tokio_postgres::Error> {
    let statements = [
        (insert(table, build), table.columns, inserts),
        (update(table, build), table.columns, updates),
        (delete_by_keys(table, build), table.key(), deletes),
    ];
    for (sql, columns, rows) in statements.into_iter().filter(|(_, _, rows)| !rows.is_empty()) {
        let statement = client.prepare_cached(&sql).await?;
        let parameters = arrays(columns, rows);
        client.execute(&statement, &borrowed(&parameters)).await?;
    }
    Ok(())
}

/// Binary `COPY`: the fastest way in for rows that are new.
async fn copy(transaction: &Transaction<'_>, table: &Table, build: &str, rows: &[Vec<Value>]) -> Result<(), tokio_postgres::Error> {
    let sink = transaction.copy_in(&format!("COPY build.{build} ({}) FROM STDIN BINARY", names(table.columns))).await?;
    let types: Vec<Type> = table.columns.iter().map(|column| wire_type(column.column_type)).collect();
    let writer = BinaryCopyInWriter::new(sink, &types);
    let mut writer = pin!(writer);
    for row in rows {
        let cells: Vec<Parameter<'_>> = table.columns.iter().zip(row).map(|(column, cell)| parameter(column.column_type, cell)).collect();
        writer.as_mut().write(&borrowed(&cells)).await?;
    }
    writer.finish().await.map(|_| ())
}

pub(crate) fn wire_type(column_type: ColumnType) -> Type {
    match column_type {
        ColumnType::Uuid => Type::UUID,
        ColumnType::Text => Type::TEXT,
        ColumnType::Decimal { .. } => Type::NUMERIC,
        ColumnType::Int => Type::INT8,
        ColumnType::Float => Type::FLOAT8,
        ColumnType::Bool => Type::BOOL,
        ColumnType::Timestamp => Type::TIMESTAMPTZ,
        ColumnType::Date => Type::DATE,
        ColumnType::Json => Type::JSONB,
    }
}
