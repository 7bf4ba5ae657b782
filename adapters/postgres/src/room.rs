//! Room on a disk that is full: what a fill that was rolled back leaves in its table is given back to those who need it.
//!
//! PostgreSQL does that with `VACUUM`, which needs a few pages itself; on a disk that is really full it could not even begin. So a megabyte is kept for that moment, and is free
//! for those who serve until the rebuild goes on.

use deadpool_postgres::Object;
use projections::port::Build;
use projections::rebuild::port::Room;
use tracing::{debug, info};

/// Rows that are too short to be compressed, seven to a page.
const RESERVE: &str =
    "CREATE UNLOGGED TABLE IF NOT EXISTS build.reserve AS SELECT repeat('-', 1000) AS nothing FROM generate_series(1, 1000)";

/// Keeps a megabyte. Not worth failing for.
pub(crate) async fn reserve(client: &Object) {
    if let Err(error) = client.batch_execute(RESERVE).await {
        debug!(%error, "no room is kept for a full disk");
    }
}

/// Gives back what these builds do not hold, and lists what else could go.
pub(crate) async fn make(client: &Object, builds: &[Build]) -> Result<Room, tokio_postgres::Error> {
    client.batch_execute("DROP TABLE IF EXISTS build.reserve").await?;
    client.batch_execute("SET statement_timeout = 0").await?;
    let given_back = give_back(client, builds).await;
    client.batch_execute("RESET statement_timeout").await?;
    let given_back_bytes = given_back?;
    info!(given_back_bytes, "gave back what was not finished");
    let sql = "SELECT name, number, pg_total_relation_size(to_regclass(format('build.%I', name || '__b' || number))) FROM build.registry
               WHERE state IN ('retired', 'as_of') ORDER BY 3 DESC NULLS LAST LIMIT 3";
    let rows = client.query(sql, &[]).await?;
    let droppable = rows.iter().map(|row| (row.get(0), row.get(1), row.get::<_, Option<i64>>(2).unwrap_or(0).unsigned_abs())).collect();
    Ok(Room { given_back_bytes, droppable })
}

async fn give_back(client: &Object, builds: &[Build]) -> Result<u64, tokio_postgres::Error> {
    let mut given_back_bytes = 0;
    for build in builds {
        let table = build.table_name();
        let before = size(client, &table).await?;
        // The first ones may find too little room yet, and get it from the others the next time.
        if let Err(error) = client.batch_execute(&format!("VACUUM build.{table}")).await {
            debug!(%error, table, "nothing is given back");
        }
        given_back_bytes += before.saturating_sub(size(client, &table).await?);
    }
    Ok(given_back_bytes)
}

async fn size(client: &Object, table: &str) -> Result<u64, tokio_postgres::Error> {
    let sql = "SELECT coalesce(pg_total_relation_size(to_regclass(format('build.%I', $1::text))), 0)";
    Ok(client.query_one(sql, &[&table]).await?.get::<_, i64>(0).unsigned_abs())
}
