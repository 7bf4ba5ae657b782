//! What was sent, by projection: one row, which a sender holds while it sends, and a swap while it swaps.

use async_trait::async_trait;
use deadpool_postgres::Object;
use domain::log::Position;
use projections::fold::Definition;
use projections::outbox::{Hand, Outbox};
use projections::port::ReadStoreError;
use projections::value::Value;
use tracing::info;

use crate::ReadModels;
use crate::cells::cells;
use crate::error::database;
use crate::store::{bigint, names, unsigned};

/// A transaction that holds the row. Its connection is closed if it is dropped, which gives the row free.
struct HeldHand {
    connection: Option<Object>,
    name: &'static str,
    build: i64,
    sent_to: Position,
    until: Position,
    rows: Vec<Vec<Value>>,
}

impl HeldHand {
    /// Nothing was begun: the connection goes back into the pool as it is.
    fn let_go(mut self) -> Result<Option<HeldHand>, ReadStoreError> {
        drop(self.connection.take());
        Ok(None)
    }
}

impl Drop for HeldHand {
    fn drop(&mut self) {
        // A connection with an open transaction must not go back into the pool.
        if let Some(open) = self.connection.take() {
            drop(Object::take(open));
        }
    }
}

#[async_trait]
impl Hand for HeldHand {
    fn sent_to(&self) -> Position {
        self.sent_to
    }

    fn until(&self) -> Position {
        self.until
    }

    fn rows(&mut self) -> Vec<Vec<Value>> {
        std::mem::take(&mut self.rows)
    }

    async fn note(mut self: Box<Self>) -> Result<(), ReadStoreError> {
        let Some(client) = &self.connection else { return Ok(()) };
        let sql = "UPDATE build.sent SET position = $2, build = $3, updated_at = now() WHERE name = $1 AND position = $4";
        let noted = client.execute(sql, &[&self.name, &bigint(self.until.0), &self.build, &bigint(self.sent_to.0)]).await;
        if noted.map_err(|error| database(&error))? != 1 {
            return Err(ReadStoreError::Superseded { build: self.name.to_owned(), from: self.sent_to });
        }
        client.batch_execute("COMMIT").await.map_err(|error| database(&error))?;
        self.connection = None;
        Ok(())
    }
}

#[async_trait]
impl Outbox for ReadModels {
    async fn take(
        &self,
        definition: &Definition,
        begins_after: Option<Position>,
        rows_max: usize,
    ) -> Result<Option<Box<dyn Hand>>, ReadStoreError> {
        self.prepare().await?;
        let taken = self.take_hand(definition, begins_after, rows_max).await;
        if let Err(ReadStoreError::Missing { .. }) = taken {
            self.forget().await;
        }
        Ok(taken?.map(|hand| Box::new(hand) as Box<dyn Hand>))
    }
}

impl ReadModels {
    async fn take_hand(
        &self,
        definition: &Definition,
        begins_after: Option<Position>,
        rows_max: usize,
    ) -> Result<Option<HeldHand>, ReadStoreError> {
        let (name, version) = (definition.name, i64::from(definition.version));
        let connection = self.projector_client().await?;
        let mut hand =
            HeldHand { connection: Some(connection), name, build: 0, sent_to: Position(0), until: Position(0), rows: Vec::new() };
        let Some(client) = &hand.connection else { return Ok(None) };
        let serving = "SELECT number, position FROM build.registry WHERE name = $1 AND state = 'serving' AND version = $2";
        let begun = "SELECT FROM build.sent WHERE name = $1";
        if client.query_opt(begun, &[&name]).await.map_err(|error| database(&error))?.is_none() {
            let row = client.query_opt(serving, &[&name, &version]).await.map_err(|error| database(&error))?;
            let Some(row) = row else { return hand.let_go() };
            let begins_at = begins_after.unwrap_or_else(|| Position(unsigned(row.get(1))));
            // By itself, before anything is held: where it begins stands, whether or not something goes out.
            let begin = "INSERT INTO build.sent (name, position, build) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
            client.execute(begin, &[&name, &bigint(begins_at.0), &row.get::<_, i64>(0)]).await.map_err(|error| database(&error))?;
            info!(projection = name, position = %begins_at, "what comes after this goes out");
        }
        let waits = "SELECT s.position, r.position FROM build.sent s JOIN build.registry r USING (name)
             WHERE name = $1 AND r.state = 'serving' AND r.version = $2";
        let row = client.query_opt(waits, &[&name, &version]).await.map_err(|error| database(&error))?;
        let Some(row) = row else { return hand.let_go() };
        let (sent_to, position) = (Position(unsigned(row.get(0))), Position(unsigned(row.get(1))));
        if position <= sent_to {
            // Nothing is waiting, so nothing is held.
            (hand.sent_to, hand.until) = (sent_to, sent_to);
            drop(hand.connection.take());
            return Ok(Some(hand));
        }
        client.batch_execute("BEGIN").await.map_err(|error| database(&error))?;
        let held = "SELECT position FROM build.sent WHERE name = $1 FOR UPDATE SKIP LOCKED";
        let Some(held) = client.query_opt(held, &[&name]).await.map_err(|error| database(&error))? else {
            client.batch_execute("ROLLBACK").await.map_err(|error| database(&error))?;
            return hand.let_go();
        };
        // From here on no swap comes between: it takes the same row. What serves is asked again.
        let row = client.query_opt(serving, &[&name, &version]).await.map_err(|error| database(&error))?;
        let Some(row) = row else { return Ok(None) };
        let (sent_to, position) = (Position(unsigned(held.get(0))), Position(unsigned(row.get(1))));
        let build: i64 = row.get(0);
        let mut until = position.max(sent_to);
        let sql = format!(
            "SELECT {} FROM build.{name}__b{build} WHERE position > $1 AND position <= $2 ORDER BY {} LIMIT {rows_max}",
            names(definition.table.columns),
            names(definition.table.key()),
        );
        let found = client.query(&sql, &[&bigint(sent_to.0), &bigint(until.0)]).await.map_err(|error| database(&error))?;
        let place = |row: &tokio_postgres::Row| Position(unsigned(row.get("position")));
        let mut whole = found.len();
        if let (true, Some(last)) = (found.len() == rows_max, found.last()) {
            // There may be more rows of the last event: they go out together, with the next batch.
            until = Position(place(last).0 - 1);
            whole = found.partition_point(|row| place(row) <= until);
        }
        let rows: Result<Vec<_>, _> = found[..whole].iter().map(|row| cells(row, definition.table.columns)).collect();
        (hand.rows, hand.build, hand.sent_to, hand.until) = (rows.map_err(|error| database(&error))?, build, sent_to, until);
        Ok(Some(hand))
    }
}
