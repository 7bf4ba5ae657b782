//! The dashboards' SQL runs on the read models of this release, by the account that only reads, and that account can do nothing else.

use std::fs;

use serde_json::Value;
use tokio_postgres::{Client, NoTls};

use crate::database::Database;
use crate::{panels, project};

fn sql(path: &str) -> String {
    fs::read_to_string(project().join(path)).unwrap()
}

/// What Grafana puts in for its words.
fn filled_in(query: &str) -> String {
    let (from, to) = ("'2026-01-01T00:00:00Z'", "'2026-02-01T00:00:00Z'");
    let mut text =
        query.replace("$__timeFrom()", from).replace("$__timeTo()", to).replace("$operator", "0190a6c2-7b1e-7c3a-9d54-3f2a1b0c9e8d");
    while let Some(start) = text.find("$__timeFilter(") {
        let column = text[start..].split(['(', ')']).nth(1).unwrap_or_default().to_owned();
        text = text.replacen(&format!("$__timeFilter({column})"), &format!("{column} BETWEEN {from} AND {to}"), 1);
    }
    assert!(!text.contains('$'), "{text}");
    text
}

fn queries() -> Vec<(String, String)> {
    let boards = panels();
    let targets =
        boards.iter().flat_map(|(panel, content)| content["targets"].as_array().into_iter().flatten().map(move |target| (panel, target)));
    let mut found: Vec<_> = targets.filter_map(|(panel, target)| Some((panel.clone(), filled_in(target["rawSql"].as_str()?)))).collect();
    let finance: Value = serde_json::from_str(&sql("ops/grafana/dashboards/finance.json")).unwrap();
    found.extend(
        finance["templating"]["list"]
            .as_array()
            .unwrap()
            .iter()
            .map(|list| ("the choice of the operator".to_owned(), list["query"].as_str().unwrap().to_owned())),
    );
    assert!(found.len() > 10, "the queries were not found");
    found
}

async fn connected(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

#[tokio::test]
async fn grafana_reads_the_views_of_this_release_and_nothing_else() {
    let Some(database) = Database::new() else { return };
    connected(&database.server).await.batch_execute(&format!("CREATE DATABASE {}", database.name)).await.unwrap();
    let client = connected(&database.url()).await;
    // All of it in one transaction that is never committed: accounts belong to the whole server, and none is to stay behind.
    let accounts =
        "BEGIN; DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'ledger') THEN CREATE ROLE ledger; END IF; END $$;";
    client.batch_execute(accounts).await.unwrap();
    client.batch_execute(&format!("GRANT CREATE ON DATABASE {} TO ledger", database.name)).await.unwrap();
    client.batch_execute(&sql("ops/grafana/reader.sql")).await.unwrap();
    client.batch_execute("SET ROLE ledger").await.unwrap();
    for schema in ["schemas/sql/V1__registry.sql", "schemas/sql/V2__rebuilds.sql", "schemas/sql/read_models.sql"] {
        client.batch_execute(&sql(schema)).await.unwrap();
    }
    client.batch_execute("SET ROLE ledger_reader").await.unwrap();
    for (panel, query) in queries() {
        client.query(&query, &[]).await.unwrap_or_else(|error| panic!("{panel}: {error:?}\n{query}"));
    }
    for forbidden in ["SELECT * FROM build.bills__b1", "DELETE FROM read.bills", "CREATE TABLE read.mine (a int)"] {
        client.batch_execute("SAVEPOINT before").await.unwrap();
        let refused = client.batch_execute(forbidden).await.expect_err(forbidden);
        assert_eq!(refused.code().map(tokio_postgres::error::SqlState::code), Some("42501"), "{forbidden}: {refused:?}");
        client.batch_execute("ROLLBACK TO before").await.unwrap();
    }
    client.batch_execute("ROLLBACK").await.unwrap();
}
