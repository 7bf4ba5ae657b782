//! The serving build held still: its registry row is locked, so that its projector waits before it writes.

use async_trait::async_trait;
use deadpool_postgres::Object;
use projections::fold::{Changes, Definition};
use projections::port::{Build, BuildState, ReadStoreError};
use projections::rebuild::port::{Diff, Held};
use tracing::info;

use crate::ReadModels;
use crate::diff;
use crate::error::database;
use crate::schema;
use crate::store::{BUILD_COLUMNS, drop_table, lock, read_build, write};

/// How long a swap waits for those who are reading the view; then it lets everybody go on, and tries again.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '2s'";

/// A transaction that holds the row. Its connection is closed if it is dropped, which gives the row free.
pub(crate) struct HeldBuild {
    connection: Option<Object>,
    compares_on: Option<Object>,
    serving: Option<Build>,
}

impl HeldBuild {
    pub(crate) async fn hold(read_models: &ReadModels, definition: &Definition) -> Result<HeldBuild, ReadStoreError> {
        let connection = read_models.projector_client().await?;
        let compares_on = read_models.projector_client().await?;
        let mut held = HeldBuild { connection: Some(connection), compares_on: Some(compares_on), serving: None };
        let client = held.client()?;
        client.batch_execute("BEGIN").await.map_err(|error| database(&error))?;
        let sql = format!("SELECT {BUILD_COLUMNS} FROM build.registry WHERE name = $1 AND state = 'serving' FOR UPDATE");
        let row = client.query_opt(&sql, &[&definition.name]).await.map_err(|error| database(&error))?;
        held.serving = row.as_ref().map(read_build).transpose().map_err(|error| database(&error))?;
        Ok(held)
    }

    fn client(&mut self) -> Result<&mut Object, ReadStoreError> {
        self.connection.as_mut().ok_or_else(gone)
    }

    /// Back into the pool, with nothing open.
    async fn end(&mut self, how: &str) -> Result<(), ReadStoreError> {
        self.client()?.batch_execute(how).await.map_err(|error| database(&error))?;
        self.connection = None;
        Ok(())
    }
}

fn gone() -> ReadStoreError {
    ReadStoreError::Unavailable { reason: "the connection that held the build is gone".to_owned() }
}

impl Drop for HeldBuild {
    fn drop(&mut self) {
        // A connection with an open transaction must not go back into the pool.
        if let Some(open) = self.connection.take() {
            drop(Object::take(open));
        }
    }
}

#[async_trait]
impl Held for HeldBuild {
    fn serving(&self) -> Option<&Build> {
        self.serving.as_ref()
    }

    async fn swap(mut self: Box<Self>, definition: &Definition, build: &Build, pinned: bool) -> Result<(), ReadStoreError> {
        let same_shape = self.serving.as_ref().map(|serving| (serving.number, build.number));
        let client = self.client()?;
        client.batch_execute(LOCK_TIMEOUT).await.map_err(|error| database(&error))?;
        lock(&***client).await?;
        let shapes = match same_shape {
            Some((serving, new)) => {
                let sql = "SELECT count(DISTINCT shape) FROM build.registry WHERE name = $1 AND number IN ($2, $3)";
                let row = client.query_one(sql, &[&build.name, &serving, &new]).await.map_err(|error| database(&error))?;
                row.get::<_, i64>(0)
            }
            None => 2,
        };
        let view = if shapes == 1 { schema::repoint_view } else { schema::replace_view };
        let older = "DELETE FROM build.registry WHERE name = $1 AND state = 'retired' AND number <> $2 RETURNING number";
        let older = client.query(older, &[&build.name, &build.number]).await.map_err(|error| database(&error))?;
        let drops: String = older.iter().map(|row| drop_table(&format!("{}__b{}", build.name, row.get::<_, i64>(0)))).collect();
        let swap = format!(
            "UPDATE build.registry SET state = 'retired', pinned = false, updated_at = now() WHERE name = '{0}' AND state = 'serving';
             UPDATE build.registry SET state = 'serving', pinned = {2}, updated_at = now() WHERE name = '{0}' AND number = {1};
             UPDATE build.sent SET build = {1}, handed_over_at = {4}, updated_at = now() WHERE name = '{0}';\n{3}{drops}",
            definition.name,
            build.number,
            pinned,
            view(definition.name, &build.table_name()),
            build.position
        );
        client.batch_execute(&swap).await.map_err(|error| database(&error))?;
        self.end("COMMIT").await?;
        info!(projection = definition.name, build = build.number, "the view shows another build");
        Ok(())
    }

    async fn correct(mut self: Box<Self>, definition: &Definition, build: &Build, changes: &Changes) -> Result<(), ReadStoreError> {
        let Changes { inserts, updates, deletes } = changes;
        let client = self.client()?;
        write(&*client, definition.table, &build.table_name(), inserts, updates, deletes).await.map_err(|error| database(&error))?;
        self.end("COMMIT").await
    }

    async fn compare(mut self: Box<Self>, definition: &Definition, build: &Build) -> Result<Diff, ReadStoreError> {
        let Some(serving) = self.serving.clone().filter(|serving| serving.state == BuildState::Serving) else { return Ok(Diff::default()) };
        let mut snapshot = self.compares_on.take().ok_or_else(gone)?;
        let transaction = diff::snapshot(&mut snapshot).await?;
        self.end("ROLLBACK").await?;
        diff::compare(&transaction, definition, build, &serving, false).await
    }
}
