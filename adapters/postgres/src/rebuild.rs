//! The rebuilds' port: fresh tables, what is filled of them, how far each rebuild is, and who may do it.

use async_trait::async_trait;
use domain::ids::EventId;
use domain::log::Position;
use projections::fold::Definition;
use projections::port::{Build, BuildState, Counted, ReadStoreError};
use projections::rebuild::port::{Begin, Begun, BuildStore, Diff, Filler, Held, Job, Lease, Room, Wanted, may_name_a_view_of_the_past};
use tokio::task::JoinHandle;
use tokio_postgres::types::Json;
use tokio_postgres::{Client, Row};

use crate::ReadModels;
use crate::diff;
use crate::error::database;
use crate::fill::CopyFiller;
use crate::held::HeldBuild;
use crate::room;
use crate::schema;
use crate::store::{BUILD_COLUMNS, bigint, drop_table, forget_dropped, lock, new_build, read_build, register, unsigned};

/// The class of the advisory locks of rebuilds: "rebd".
const LEASE_LOCK: i32 = 0x7265_6264;

/// What indexes may use while they are made.
const INDEX_SETTINGS: &str = "SET LOCAL statement_timeout = 0; SET LOCAL maintenance_work_mem = '256MB'";

/// An advisory lock of a connection of its own.
struct ConnectionLease {
    client: Client,
    connection: JoinHandle<()>,
}

#[async_trait]
impl Lease for ConnectionLease {
    async fn is_held(&self) -> bool {
        self.client.simple_query("").await.is_ok()
    }
}

impl Drop for ConnectionLease {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

#[async_trait]
impl BuildStore for ReadModels {
    async fn lease(&self, name: &str) -> Result<Option<Box<dyn Lease>>, ReadStoreError> {
        self.prepare().await?;
        let (client, connection) = self.server.connect().await.map_err(|error| database(&error))?;
        let connection = tokio::spawn(async move { drop(connection.await) });
        let lease = ConnectionLease { client, connection };
        let sql = "SELECT pg_try_advisory_lock($1, hashtext($2))";
        let row = lease.client.query_one(sql, &[&LEASE_LOCK, &name]).await.map_err(|error| database(&error))?;
        Ok(row.get::<_, bool>(0).then_some(Box::new(lease) as Box<dyn Lease>))
    }

    async fn begin(&self, definition: &Definition, begin: &Begin) -> Result<Begun, ReadStoreError> {
        self.prepare().await?;
        check_name(definition, begin)?;
        let mut client = self.projector_client().await?;
        let transaction = client.transaction().await.map_err(|error| database(&error))?;
        lock(&*transaction).await?;
        let shape = schema::shape(definition.table);
        forget_dropped(&*transaction, &begin.name).await?;
        let state = if begin.is_as_of { BuildState::AsOf } else { BuildState::Filling };
        let sql = format!("SELECT {BUILD_COLUMNS}, shape FROM build.registry WHERE name = $1 AND state IN ('filling', 'as_of')");
        let rows = transaction.query(&sql, &[&begin.name]).await.map_err(|error| database(&error))?;
        let mut found = None;
        for row in &rows {
            let build = read_build(row).map_err(|error| database(&error))?;
            let job = job_of(&*transaction, &build).await?;
            let fits = build.version == definition.version && row.get::<_, String>("shape") == shape && build.state == state;
            match job.filter(|job| fits && !job.phase.is_over() && (!begin.is_as_of || job.until == begin.until)) {
                Some(job) => found = Some((build, job)),
                // Begun by another version of the fold, or given up.
                None => drop_in(&*transaction, &build).await?,
            }
        }
        if let Some((build, mut job)) = found {
            let sql = "UPDATE build.rebuild SET wanted = 'run', updated_at = now() WHERE name = $1 AND number = $2";
            transaction.execute(sql, &[&build.name, &build.number]).await.map_err(|error| database(&error))?;
            let sql = "SELECT first, beyond FROM build.filled WHERE name = $1 AND number = $2 ORDER BY first";
            let rows = transaction.query(sql, &[&build.name, &build.number]).await.map_err(|error| database(&error))?;
            let filled = rows.iter().map(|row| unsigned(row.get(0))..unsigned(row.get(1))).collect();
            transaction.commit().await.map_err(|error| database(&error))?;
            room::reserve(&client).await;
            (job.wanted, job.error, job.halt) = (Wanted::Run, None, None);
            return Ok(Begun { build, job, filled });
        }
        let sql = "SELECT greatest((SELECT max(number) FROM build.registry WHERE name = $1), (SELECT max(number) FROM build.rebuild WHERE name = $1), 0) + 1";
        let number: i64 = transaction.query_one(sql, &[&begin.name]).await.map_err(|error| database(&error))?.get(0);
        let build = new_build(definition, &begin.name, number, state);
        let name = build.table_name();
        let ddl = [drop_table(&name), schema::create_bare_table(definition.table, &name), schema::comments(definition.table, &name)];
        transaction.batch_execute(&ddl.concat()).await.map_err(|error| database(&error))?;
        register(&*transaction, &build, &shape).await?;
        let job = Job { until: begin.until, events_total: begin.events, by: begin.by.clone(), ..Job::of(&build) };
        let sql = "INSERT INTO build.rebuild (name, number, phase, job) VALUES ($1, $2, $3, $4)";
        transaction.execute(sql, &[&job.name, &number, &word(&job.phase), &Json(&job)]).await.map_err(|error| database(&error))?;
        transaction.commit().await.map_err(|error| database(&error))?;
        room::reserve(&client).await;
        Ok(Begun { build, job, filled: Vec::new() })
    }

    fn filler(&self, definition: &Definition, build: &Build) -> Result<Box<dyn Filler>, ReadStoreError> {
        Ok(Box::new(CopyFiller::connect(&self.server, definition, build)?))
    }

    async fn make_room(&self, builds: &[Build]) -> Result<Room, ReadStoreError> {
        let client = self.projector_client().await?;
        room::make(&client, builds).await.map_err(|error| database(&error))
    }

    async fn make_indexes(&self, definition: &Definition, build: &Build) -> Result<(), ReadStoreError> {
        let mut client = self.projector_client().await?;
        let name = build.table_name();
        let transaction = client.transaction().await.map_err(|error| database(&error))?;
        // All of them or none, so that the key says whether they are there.
        let sql = "SELECT EXISTS (SELECT FROM pg_constraint WHERE conrelid = to_regclass(format('build.%I', $1::text)) AND contype = 'p')";
        let made: bool = transaction.query_one(sql, &[&name]).await.map_err(|error| database(&error))?.get(0);
        if !made {
            let ddl = [schema::add_key(definition.table, &name), schema::create_indexes(definition.table, &name)].concat();
            transaction.batch_execute(&format!("{INDEX_SETTINGS};\n{ddl}")).await.map_err(|error| database(&error))?;
        }
        transaction.batch_execute(&format!("ANALYZE build.{name}")).await.map_err(|error| database(&error))?;
        transaction.commit().await.map_err(|error| database(&error))
    }

    async fn filled_to(
        &self,
        build: &Build,
        position: Position,
        last_event: Option<EventId>,
        counted: Counted,
    ) -> Result<Build, ReadStoreError> {
        let client = self.projector_client().await?;
        let sql =
            "UPDATE build.registry SET position = $3, last_event = $4, applied = $5, ignored = $6, quarantined = $7, updated_at = now()
                   WHERE name = $1 AND number = $2 AND position IN (0, $3)";
        let Counted { applied, ignored, quarantined } = counted;
        let last = last_event.map(|id| id.0);
        let rows = client
            .execute(
                sql,
                &[&build.name, &build.number, &bigint(position.0), &last, &bigint(applied), &bigint(ignored), &bigint(quarantined)],
            )
            .await
            .map_err(|error| database(&error))?;
        if rows != 1 {
            return Err(ReadStoreError::Superseded { build: build.table_name(), from: Position(0) });
        }
        Ok(Build { position, last_event, counted, ..build.clone() })
    }

    async fn note(&self, job: &Job) -> Result<Wanted, ReadStoreError> {
        let client = self.projector_client().await?;
        let sql = "INSERT INTO build.rebuild (name, number, phase, job) VALUES ($1, $2, $3, $4) ON CONFLICT (name, number)
                   DO UPDATE SET phase = $3, job = $4, updated_at = now() RETURNING wanted";
        let row =
            client.query_one(sql, &[&job.name, &job.number, &word(&job.phase), &Json(job)]).await.map_err(|error| database(&error))?;
        Ok(wanted(&row.get::<_, String>(0)))
    }

    async fn jobs(&self) -> Result<Vec<Job>, ReadStoreError> {
        let (client, asking) = self.query_client().await?;
        let sql = "SELECT job, wanted, started_at, updated_at FROM build.rebuild ORDER BY name, number DESC";
        let rows = asking.answer(client.query(sql, &[])).await?;
        rows.iter().map(|row| read_job(row).map_err(|error| database(&error))).collect()
    }

    async fn want(&self, name: &str, wanted: Wanted) -> Result<bool, ReadStoreError> {
        let client = self.projector_client().await?;
        let sql =
            "UPDATE build.rebuild SET wanted = $2, updated_at = now() WHERE name = $1 AND phase NOT IN ('ready', 'swapped', 'cancelled')";
        let rows = client.execute(sql, &[&name, &word(&wanted)]).await.map_err(|error| database(&error))?;
        Ok(rows > 0)
    }

    async fn hold(&self, definition: &Definition) -> Result<Box<dyn Held>, ReadStoreError> {
        Ok(Box::new(HeldBuild::hold(self, definition).await?))
    }

    async fn compare(&self, definition: &Definition, here: &Build, there: &Build, everything: bool) -> Result<Diff, ReadStoreError> {
        let mut client = self.projector_client().await?;
        let transaction = diff::snapshot(&mut client).await?;
        diff::compare(&transaction, definition, here, there, everything).await
    }

    async fn show_as_of(&self, _: &Definition, build: &Build) -> Result<(), ReadStoreError> {
        let client = self.projector_client().await?;
        client.batch_execute(&schema::replace_view(&build.name, &build.table_name())).await.map_err(|error| database(&error))
    }

    async fn drop_build(&self, build: &Build) -> Result<(), ReadStoreError> {
        let mut client = self.projector_client().await?;
        let transaction = client.transaction().await.map_err(|error| database(&error))?;
        lock(&*transaction).await?;
        drop_in(&*transaction, build).await?;
        transaction.commit().await.map_err(|error| database(&error))
    }
}

/// A view of the past has a name of its own, which goes into SQL as it is.
fn check_name(definition: &Definition, begin: &Begin) -> Result<(), ReadStoreError> {
    let fits = if begin.is_as_of { may_name_a_view_of_the_past(&begin.name) } else { begin.name == definition.name };
    if fits {
        return Ok(());
    }
    let reason = format!(
        "{:?} cannot be the name of a view of the past: up to 40 small letters, digits and single _, not a projection's name",
        begin.name
    );
    Err(ReadStoreError::Refused { reason })
}

async fn drop_in(client: &impl tokio_postgres::GenericClient, build: &Build) -> Result<(), ReadStoreError> {
    let sql = "DELETE FROM build.registry WHERE name = $1 AND number = $2 AND state <> 'serving'";
    let dropped = client.execute(sql, &[&build.name, &build.number]).await.map_err(|error| database(&error))?;
    if dropped == 1 {
        // The table of a view of the past takes its view along.
        client.batch_execute(&drop_table(&build.table_name())).await.map_err(|error| database(&error))?;
    }
    Ok(())
}

async fn job_of(client: &impl tokio_postgres::GenericClient, build: &Build) -> Result<Option<Job>, ReadStoreError> {
    let sql = "SELECT job, wanted, started_at, updated_at FROM build.rebuild WHERE name = $1 AND number = $2";
    let row = client.query_opt(sql, &[&build.name, &build.number]).await.map_err(|error| database(&error))?;
    row.as_ref().map(read_job).transpose().map_err(|error| database(&error))
}

fn read_job(row: &Row) -> Result<Job, tokio_postgres::Error> {
    let Json(mut job) = row.try_get::<_, Json<Job>>("job")?;
    job.wanted = wanted(&row.try_get::<_, String>("wanted")?);
    job.started_at = Some(row.try_get::<_, jiff::Timestamp>("started_at")?.into());
    job.updated_at = Some(row.try_get::<_, jiff::Timestamp>("updated_at")?.into());
    Ok(job)
}

fn word<T: serde::Serialize>(value: &T) -> String {
    projections::value::word(value)
}

fn wanted(word: &str) -> Wanted {
    match word {
        "pause" => Wanted::Pause,
        "cancel" => Wanted::Cancel,
        _ => Wanted::Run,
    }
}
