//! The feed, by the binary alone: published by a process that only reads the ledger, looked at, broken, mended, made again, and consumed.

mod database;
mod serving;

use std::process::Output;

use database::Database;
use nats_feed::testing::{Servers, delete_message, until};
use serde_json::{Value, json};
use serving::{Ledger, SESSIONS, Serving, lines_of, text_of};

/// A ledger with two sessions in it, published to these servers.
fn ledger_at(servers: &Servers) -> Ledger {
    Ledger::empty().with("NATS_URL", servers.urls()).imported(SESSIONS)
}

async fn published(ledger: &Ledger) {
    until("everything is published", async || {
        let info = ledger.run(&["feed", "info", "--json"]);
        let info: Value = serde_json::from_slice(&info.stdout).unwrap_or_default();
        info["lag_events"] == 0 && info["messages"].as_u64() > Some(0)
    })
    .await;
}

fn ids(output: &Output) -> Vec<String> {
    lines_of(output).iter().map(|event| event["event_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_feed_is_published_beside_the_writer_looked_at_mended_and_made_again() {
    let Some(servers) = Servers::start(1) else { return };
    let ledger = ledger_at(&servers);
    assert!(text_of(&ledger.run(&["feed", "info"])).contains("there is no feed yet: the role publisher makes it"));
    let _writer = ledger.serve("api,processes");
    let publisher = ledger.serve("publisher");
    published(&ledger).await;
    until("the role is ready", async || publisher.plain("/readyz").await.is_some_and(|(status, _)| status == 200)).await;
    let events = ledger.json(&["store", "info"])["events"].as_u64().unwrap();
    let verified = ledger.json(&["feed", "verify"]);
    assert_eq!((&verified["messages"], &verified["is_fine"]), (&json!(events), &json!(true)), "{verified}");
    let is_live = "chargeledger_feed_state{state=\"live\"} 1";
    until("metrics", async || {
        publisher.plain("/metrics").await.is_some_and(|(_, text)| text.contains(is_live) && text.contains("chargeledger_feed_lag_events 0"))
    })
    .await;

    // Somebody takes a message out.
    delete_message(&servers.connect().await, "LEDGER_EVENTS", 5).await;
    let broken = ledger.run(&["feed", "verify"]);
    assert_eq!(broken.status.code(), Some(1), "{broken:?}");
    assert!(
        text_of(&broken).contains("missing: positions 5 to 5, 1 events") && text_of(&broken).contains("feed verify --fill"),
        "{}",
        text_of(&broken)
    );
    let filled = ledger.json(&["feed", "verify", "--fill"]);
    assert_eq!((&filled["filled"], &filled["late"], &filled["is_fine"]), (&json!(1), &json!(1), &json!(true)));

    let rebuilt = ledger.json(&["feed", "rebuild"]);
    assert_eq!(rebuilt["published"], events);
    let verified = ledger.json(&["feed", "verify"]);
    assert_eq!((&verified["messages"], &verified["late"], &verified["is_fine"]), (&json!(events), &json!(0), &json!(true)));
    let info = ledger.json(&["feed", "info"]);
    assert_eq!((&info["stream"], &info["position"], &info["lag_events"]), (&json!("LEDGER_EVENTS"), &info["head"], &json!(0)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tail_shows_each_event_once_from_where_it_is_asked_to() {
    let Some(servers) = Servers::start(1) else { return };
    let ledger = ledger_at(&servers);
    let _everything = ledger.serve_everything();
    published(&ledger).await;
    let exported = ids(&ledger.run(&["store", "export"]));
    let (count, tail) = (exported.len().to_string(), |more: &[&str]| ids(&ledger.run(&[&["feed", "tail", "--json"], more].concat())));
    assert_eq!(tail(&["--limit", &count]), exported);
    assert_eq!(tail(&["--from", "7", "--limit", "3"]), exported[7..10]);
    let sessions = ledger.run(&["feed", "tail", "--type", "session.*,user.registered", "--limit", "4"]);
    assert!(
        text_of(&sessions).lines().all(|line| line.contains("  session.") || line.contains("  user.registered")),
        "{}",
        text_of(&sessions)
    );
    // A durable consumer goes on where it ended, also when everything is published again.
    assert_eq!(tail(&["--name", "books", "--limit", "4"]), exported[..4]);
    assert_eq!(tail(&["--name", "books", "--limit", "2"]), exported[4..6]);
    ledger.json(&["feed", "rebuild"]);
    assert_eq!(tail(&["--name", "books", "--limit", "3"]), exported[6..9]);
    assert!(text_of(&ledger.run(&["feed", "tail", "--name", "a b"])).contains("letters, digits"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_nats_the_ledger_goes_on_and_the_role_says_what_is_the_matter() {
    let Some(mut servers) = Servers::start(1) else { return };
    let ledger = ledger_at(&servers);
    servers.kill(0);
    let everything = ledger.serve_everything();
    until("the ledger is ready", async || everything.plain("/readyz").await.is_some_and(|(status, _)| status == 200)).await;
    let publisher = ledger.serve("publisher");
    until("the role is not", async || {
        publisher
            .plain("/readyz")
            .await
            .is_some_and(|(status, text)| status == 503 && text.contains("NATS is unavailable") && text.contains("\"lag_events\""))
    })
    .await;
    let info = ledger.run(&["feed", "info"]);
    assert!(info.status.code() == Some(1) && text_of(&info).contains("NATS is unavailable"), "{}", text_of(&info));
    servers.restart(0);
    published(&ledger).await;
    let unnamed = ledger.command(&["serve", "--roles", "publisher"]).env_remove("CHARGELEDGER_NATS_URL").output().unwrap();
    assert!(
        text_of(&unnamed).contains("the role publisher publishes to NATS: no NATS is configured: set CHARGELEDGER_NATS_URL"),
        "{}",
        text_of(&unnamed)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_publishers_one_leads_and_the_other_takes_over_when_it_is_killed() {
    let (Some(servers), Some(database)) = (Servers::start(1), Database::new()) else { return };
    let ledger = ledger_at(&servers).with_database(database);
    let is = async |publisher: &Serving, state: &str| {
        let said = format!("\"state\":\"{state}\"");
        publisher.plain("/readyz").await.is_some_and(|(status, text)| status == 200 && text.contains(&said))
    };
    let mut first = ledger.serve("publisher");
    until("the first one publishes", async || is(&first, "live").await).await;
    let second = ledger.serve("publisher");
    until("the second one stands by", async || is(&second, "standby").await).await;
    first.kill();
    until("the second one publishes", async || is(&second, "live").await).await;
    ledger.json(&["operator", "register", "--code", "OTHER0001", "--name", "other"]);
    published(&ledger).await;
    assert_eq!(ledger.json(&["feed", "verify"])["is_fine"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_knows_keys_is_published_to_with_a_seed_and_a_file_that_has_none_is_named() {
    let pair = nkeys::KeyPair::new_user();
    let Some(servers) = Servers::with(1, &format!("authorization {{ users: [{{ nkey: {} }}] }}", pair.public_key())) else { return };
    let seed = pair.seed().unwrap();
    let ledger = ledger_at(&servers).with("NATS_CREDENTIALS", &seed);
    let _everything = ledger.serve_everything();
    published(&ledger).await;
    assert_eq!(ledger.json(&["feed", "verify"])["is_fine"], true);
    let said = |credentials: &str| {
        let info = ledger.command(&["feed", "info"]).env("CHARGELEDGER_NATS_CREDENTIALS", credentials).output().unwrap();
        assert_eq!(info.status.code(), Some(1));
        text_of(&info)
    };
    assert!(said("missing.creds").contains("CHARGELEDGER_NATS_CREDENTIALS: the credentials file missing.creds cannot be read"));
    let cut = said(&format!("{}{}", &seed[..57], if seed.ends_with('A') { 'B' } else { 'A' }));
    assert!(cut.contains("CHARGELEDGER_NATS_CREDENTIALS: ") && !cut.contains(&seed[4..20]), "{cut}");
}
