//! A ledger whose log lies on an event store server, played here by the stand-in of its protocol: imported, served by several processes, audited, and moved.

mod database;
mod serving;

#[path = "../../adapters/eventstore/tests/standin/mod.rs"]
mod standin;

use std::process::Stdio;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use database::Database;
use domain::log::{EventStore as _, Filter, Position, StoredEvent};
use esdb::{EsdbStore, Patience};
use nats_feed::testing::{Servers, delete_message, until};
use nats_feed::walk::{Start, Walk};
use nats_feed::{FeedStream, Nats, StreamSettings};
use serde_json::{Value, json};
use serving::{Ledger, PATIENCE, SESSIONS, lines_of, many_sessions};
use standin::StandIn;

/// A ledger whose log lies there; nothing is in it.
fn ledger_on(event_store: impl Into<String>) -> Ledger {
    Ledger::empty().with("EVENT_STORE", event_store)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_played_by_two_processes_on_a_server_and_the_books_balance() {
    let stand_in = StandIn::start().await;
    let ledger = ledger_on(stand_in.url()).imported(SESSIONS);
    assert_eq!(ledger.import(SESSIONS)["played"], 0, "what is there is not imported again");
    assert_eq!(ledger.events().iter().filter(|event| event["type"] == "session.settled").count(), 2);
    let (app, gateway) = (ledger.key("app"), ledger.key("gateway"));
    let (connector, user) = (ledger.id("connector.registered", "connector_id"), ledger.id("user.registered", "user_id"));
    let before = ledger.balances();

    let (api, managers) = (ledger.serve("api"), ledger.serve("processes"));
    api.until_ready().await;
    api.play(&app, &gateway, &connector, &user).await;
    drop((api, managers));

    assert_ne!(ledger.balances(), before, "the session is in the books");
    let verified = ledger.json(&["audit", "verify"]);
    assert_eq!(verified["audit"], "ok", "{verified}");
    let info = ledger.json(&["store", "info"]);
    assert_eq!((info["events"].as_u64(), ledger.events().len() as u64), (verified["events"].as_u64(), info["events"].as_u64().unwrap()));
    let refused = ledger.refused(&["store", "backup", "copy"]);
    assert!(refused.contains("by its server's own means") && refused.contains("keys.db"), "{refused}");
    stand_in.assert_no_sins();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_processes_with_the_role_processes_one_works_and_the_other_takes_over() {
    let Some(database) = Database::new() else { return };
    let stand_in = StandIn::cluster(3).await;
    let ledger = ledger_on(stand_in.url()).with_database(database).imported(SESSIONS);
    let (app, gateway) = (ledger.key("app"), ledger.key("gateway"));
    let (connector, user) = (ledger.id("connector.registered", "connector_id"), ledger.id("user.registered", "user_id"));
    let api = ledger.serve("api,projector");
    let mut first = ledger.serve("processes");
    api.until_ready().await;
    api.play(&app, &gateway, &connector, &user).await;
    let second = ledger.serve("processes");
    first.until_role("processes", "live").await;
    second.until_role("processes", "standby").await;
    // And the leader of the cluster goes, too.
    first.kill();
    stand_in.kill(0);
    stand_in.lead(1);
    second.until_role("processes", "live").await;
    let finance = ledger.key("finance");
    api.play(&app, &gateway, &connector, &user).await;
    let began = Instant::now();
    loop {
        let (status, balance) = api.get(&finance, "/v1/ledger/trial-balance").await;
        if status == 200 && balance["debit_yuan"] == ledger.json(&["audit", "trial-balance"])["trial_balance"]["debit"] {
            assert_eq!(balance["balanced"], true, "{balance}");
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{balance}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(ledger.json(&["audit", "verify"])["audit"], "ok");
    let types: Vec<Value> = ledger.events().into_iter().map(|event| event["type"].clone()).collect();
    assert_eq!(types.iter().filter(|name| *name == "session.billed").count(), 4, "each session once");
    stand_in.assert_no_sins();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_says_nothing_is_a_metric_until_it_answers_again() {
    let stand_in = StandIn::start().await;
    let ledger = ledger_on(stand_in.url()).imported(SESSIONS);
    let api = ledger.serve("api");
    api.until_ready().await;
    api.until_measured("chargeledger_engine_breaker_open{engine=\"esdb\"} 0").await;
    stand_in.be_silent(true);
    api.until_measured("chargeledger_engine_breaker_open{engine=\"esdb\"} 1").await;
    stand_in.be_silent(false);
    api.until_measured("chargeledger_engine_breaker_open{engine=\"esdb\"} 0").await;
    stand_in.assert_no_sins();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_driver_whom_one_server_registered_is_known_to_another_that_shares_its_keys() {
    let Some(keys) = Database::new() else { return };
    let stand_in = StandIn::start().await;
    let ledger = ledger_on(stand_in.url()).imported(SESSIONS);
    let app = ledger.key("app");
    let key_store = keys.url();
    // As on two machines: each has a directory of its own.
    let server = |data_dir: &str| ledger.serve_with("api", &[("CHARGELEDGER_KEY_STORE", &key_store), ("CHARGELEDGER_DATA_DIR", data_dir)]);
    let (one, other) = (server("one"), server("other"));
    one.until_ready().await;
    other.until_ready().await;

    let person = json!({"phone": "13800138000", "name": "王小明", "plate": "粤B12345"});
    let (status, registered) = one.post(&app, "/v1/users", &person).await;
    assert_eq!(status, 201, "{registered}");
    let user = registered["user_id"].as_str().unwrap();
    let (status, known) = other.get(&app, &format!("/v1/users/{user}")).await;
    assert_eq!((status, &known["name"], &known["plate"]), (200, &json!("王小明"), &json!("粤B12345")), "{known}");
    let (status, taken) = other.post(&app, "/v1/users", &person).await;
    assert_eq!(status, 409, "the number has an owner: {taken}");
    for directory in ["one", "other"] {
        assert!(!ledger.directory.path().join(directory).join("keys.db").exists(), "no second key store");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_moves_to_a_server_and_back_with_every_hash_and_time() {
    let stand_in = StandIn::start().await;
    let here = ledger_on("embedded:first").imported(SESSIONS);
    let (events, url) = (here.events(), stand_in.url());
    let move_it = |from: &str, to: &str| here.json(&["store", "migrate", "--from", from, "--to", to]);

    // Killed in the middle, more than once, and begun again.
    for _ in 0..4 {
        let mut child =
            here.command(&["store", "migrate", "--from", "embedded:first", "--to", &url]).stderr(Stdio::null()).spawn().unwrap();
        let goal = stand_in.cluster.log.lock().unwrap().records.len() + events.len() / 8;
        while stand_in.cluster.log.lock().unwrap().records.len() < goal && child.try_wait().unwrap().is_none() {
            tokio::task::yield_now().await;
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let moved = move_it("embedded:first", &url);
    assert_eq!((moved["events"].as_u64(), &moved["verified"]), (Some(events.len() as u64), &json!(true)));
    assert!(moved["copied"].as_u64().unwrap() < events.len() as u64, "what was there was not copied again: {moved}");
    assert_eq!(move_it("embedded:first", &url)["copied"], 0, "all of it is there");

    let there = ledger_on(url.clone());
    assert_eq!(there.events()[..events.len()], events);
    assert!(there.events().len() <= events.len() + 1, "no more than the process managers' place is added");
    assert_eq!(there.json(&["audit", "verify"])["audit"], "ok");
    assert_eq!(there.balances(), here.balances());

    move_it(&url, "embedded:second");
    let back = ledger_on(format!("embedded:{}", here.directory.path().join("second").display()));
    assert_eq!(back.events()[..events.len()], events);
    assert_eq!(back.json(&["audit", "verify"])["audit"], "ok");

    // Neither into another ledger nor beside one.
    let other = ledger_on("embedded:other");
    other.json(&["operator", "register", "--code", "OTHER0001", "--name", "other"]);
    let other_url = format!("embedded:{}", other.directory.path().join("other").display());
    let refused = here.refused(&["store", "migrate", "--from", &other_url, "--to", &url]);
    assert!(refused.contains("holds something else"), "{refused}");
    assert_eq!(there.events()[..events.len()], events);
    stand_in.assert_no_sins();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_leads_nowhere_says_so_without_the_password() {
    let stand_in = StandIn::start().await;
    let url = stand_in.url().replacen("://", "://admin:secret@", 1);
    stand_in.kill(0);
    let ledger = ledger_on(url);
    let refused = ledger.refused(&["audit", "verify"]);
    assert!(refused.contains("does not answer") && refused.contains("is it running") && !refused.contains("secret"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_to_a_server_are_measured_in_a_ledger_of_their_own() {
    let stand_in = StandIn::start().await;
    let ledger = ledger_on("embedded:here");
    let measured = ledger.json(&["bench", "append", "--seconds", "1", "--event-store", &stand_in.url()]);
    assert!(measured["figures"].as_array().unwrap().iter().all(|one| one["events_per_s"].as_u64().unwrap() > 0), "{measured}");
    let there = ledger_on(stand_in.url());
    assert_eq!(there.json(&["store", "info"])["events"], 0);
}

async fn stream(nats: &Nats) -> Option<FeedStream> {
    FeedStream::find(nats, &StreamSettings::events(1, None)).await.unwrap()
}

async fn messages(nats: &Nats) -> u64 {
    match stream(nats).await {
        Some(stream) => stream.state().await.unwrap().messages,
        None => 0,
    }
}

/// What the messages of the feed say, in the order of their arrival: position, hashes and all the rest stand in their headers.
async fn fed(nats: &Nats) -> Vec<StoredEvent> {
    let stream = stream(nats).await.expect("there is a feed");
    let (mut walk, mut events) = (Walk::start(&stream, Start::Beginning, None).await.unwrap(), Vec::new());
    loop {
        let step = walk.next().await.unwrap();
        let message = step.message.unwrap();
        assert!(message.is_intact(), "sequence {}", step.sequence);
        events.push(message.event);
        if step.pending == 0 {
            return events;
        }
    }
}

/// The log, as another process reads it.
async fn logged(stand_in: &StandIn) -> Vec<StoredEvent> {
    let store = EsdbStore::open(&stand_in.url().parse().unwrap(), Patience::default()).await.unwrap();
    let (mut after, mut events) = (Position(0), Vec::new());
    loop {
        let page = store.read_all(after, &Filter::All, 1_000).await.unwrap();
        if page.scanned_to <= after {
            return events;
        }
        after = page.scanned_to;
        events.extend(page.events);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_feed_of_a_log_on_a_server_has_each_event_once_and_in_order_whatever_is_killed_or_cut() {
    let Some(servers) = Servers::start(1) else { return };
    let stand_in = StandIn::cluster(3).await;
    let ledger = ledger_on(stand_in.url()).with("NATS_URL", servers.urls()).imported(&many_sessions(6));
    let (app, gateway) = (ledger.key("app"), ledger.key("gateway"));
    let (connector, user) = (ledger.id("connector.registered", "connector_id"), ledger.id("user.registered", "user_id"));
    let nats = servers.connect().await;
    let writer = ledger.serve("api,processes");
    writer.until_ready().await;

    // Each publisher is killed while it has something to do.
    for round in 0..4 {
        let before = messages(&nats).await;
        let mut publisher = ledger.serve("publisher");
        writer.play(&app, &gateway, &connector, &user).await;
        until("it publishes", async || messages(&nats).await > before).await;
        publisher.kill();
        match round {
            0 => stand_in.faults().lose_answers.store(2, Ordering::SeqCst),
            1 => stand_in.drop_connections(),
            // A fresh process asks where the log ends, and hears of half of it.
            2 => stand_in.faults().end_reads.store(3, Ordering::SeqCst),
            _ => {}
        }
    }
    let publisher = ledger.serve("publisher");
    stand_in.faults().lose_answers.store(2, Ordering::SeqCst);
    writer.play(&app, &gateway, &connector, &user).await;
    stand_in.kill(0);
    stand_in.lead(1);
    writer.play(&app, &gateway, &connector, &user).await;
    drop(writer);
    let log = logged(&stand_in).await;
    until("everything is published", async || messages(&nats).await >= log.len() as u64).await;
    assert_eq!(fed(&nats).await, log, "each once, in the log's order, with its position and its hashes");
    let steps: Vec<u64> = log.windows(2).map(|pair| pair[1].position.0 - pair[0].position.0).collect();
    assert!(steps.iter().all(|step| *step > 1), "positions of that server have gaps");
    publisher.until_measured("chargeledger_feed_lag_events 0").await;
    let verified = ledger.json(&["feed", "verify"]);
    assert_eq!((&verified["messages"], &verified["events"], &verified["is_fine"]), (&json!(log.len()), &json!(log.len()), &json!(true)));

    // Messages are taken out; the holes are named by the events that are missing, and filled.
    for sequence in [5, 6, 40] {
        delete_message(&nats, "LEDGER_EVENTS", sequence).await;
    }
    let broken = ledger.refused(&["feed", "verify"]);
    let hole = |first: usize, last: usize| {
        let positions = (&log[first].position, &log[last].position);
        format!("missing: positions {} to {}, {} events", positions.0, positions.1, last - first + 1)
    };
    assert!(broken.contains(&hole(4, 5)) && broken.contains(&hole(39, 39)), "{broken}");
    let filled = ledger.json(&["feed", "verify", "--fill"]);
    assert_eq!((&filled["filled"], &filled["late"], &filled["is_fine"]), (&json!(3), &json!(3), &json!(true)), "{filled}");
    let rebuilt = ledger.json(&["feed", "rebuild"]);
    assert_eq!(rebuilt["published"], log.len());
    assert_eq!(fed(&nats).await, log);
    let verified = ledger.json(&["feed", "verify"]);
    assert_eq!((&verified["late"], &verified["is_fine"]), (&json!(0), &json!(true)), "{verified}");

    let info = ledger.json(&["feed", "info"]);
    assert_eq!((&info["position"], &info["lag_events"]), (&json!(log[log.len() - 1].position), &json!(0)), "{info}");
    let (from, tail) = (log[99].position.to_string(), ["feed", "tail", "--json", "--limit", "3", "--from"]);
    let shown = lines_of(&ledger.run(&[&tail[..], &[&from]].concat()));
    let ids: Vec<&Value> = shown.iter().map(|event| &event["event_id"]).collect();
    assert_eq!(ids, log[100..103].iter().map(|event| json!(event.metadata.event_id)).collect::<Vec<_>>().iter().collect::<Vec<_>>());
    stand_in.assert_no_sins();
}
