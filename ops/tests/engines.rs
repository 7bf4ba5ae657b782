//! How a process says what its engines are like: the room on the log's disk, the engines that do not answer, and which of its roles is ready.

mod database;
mod serving;
#[allow(unreachable_pub, dead_code)]
#[path = "../../adapters/postgres/tests/support/way.rs"]
mod way;

use std::time::{Duration, Instant};

use nats_feed::testing::{Servers, until};
use serde_json::{Value, json};
use serving::{Ledger, PATIENCE, Serving};
use way::{Way, way_to};

/// The number of a metric, once it is there.
async fn measured(serving: &Serving, metric: &str) -> f64 {
    let began = Instant::now();
    loop {
        let (_, text) = serving.plain("/metrics").await.unwrap_or_default();
        if let Some(number) = text.lines().find_map(|line| line.strip_prefix(metric)?.trim().parse().ok()) {
            return number;
        }
        assert!(began.elapsed() < PATIENCE, "{metric} in {text}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_process_on_the_embedded_store_says_what_room_its_disk_has() {
    let Some(ledger) = Ledger::new() else { return };
    for serving in [ledger.serve("api,processes"), ledger.serve("projector")] {
        assert!(measured(&serving, "chargeledger_store_free_bytes ").await > 0.0);
    }
}

/// The line that says whether callers of an engine are turned away.
fn breaker(engine: &str, is_open: u8) -> String {
    format!("chargeledger_engine_breaker_open{{engine=\"{engine}\"}} {is_open}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_database_does_not_answer_queries_are_refused_at_once_and_commands_go_on() {
    let Some(ledger) = Ledger::new() else { return };
    let key = &ledger.key("app");
    let (url, way) = way_to(&ledger.database().url()).await;
    let serving = ledger.serve_with("api,projector", &[("CHARGELEDGER_DATABASE_URL", &url)]);
    serving.until_measured(&breaker("postgres", 0)).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let query = async || {
        let asking = Instant::now();
        let answer = client.get(format!("{}/v1/sessions", serving.url)).bearer_auth(key).send().await.ok()?;
        let retry_after = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        Some((answer.status().as_u16(), retry_after, asking.elapsed()))
    };
    let is_answered = async || query().await.is_some_and(|(status, ..)| status == 200);
    until("queries are answered", is_answered).await;

    way.send_replace(Way::Silent);
    until("queries are refused at once", async || {
        let Some((status, retry_after, took)) = query().await else { return false };
        assert!(status == 503 && retry_after.is_some() || status == 200, "{status}");
        status == 503 && took < Duration::from_millis(500)
    })
    .await;
    serving.until_measured(&breaker("postgres", 1)).await;
    let user = client.post(format!("{}/v1/users", serving.url)).bearer_auth(key).json(&json!({"phone": "13800138000"}));
    assert_eq!(user.send().await.unwrap().status(), 201);

    way.send_replace(Way::Open);
    until("queries are answered again", is_answered).await;
    serving.until_measured(&breaker("postgres", 0)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_without_its_server_is_a_metric_and_goes_on_when_it_is_back() {
    let (Some(ledger), Some(mut servers)) = (Ledger::new(), Servers::start(1)) else { return };
    let publisher = ledger.serve_with("publisher", &[("CHARGELEDGER_NATS_URL", &servers.urls())]);
    publisher.until_measured(&breaker("nats", 0)).await;
    publisher.until_measured("chargeledger_feed_state{state=\"live\"} 1").await;
    servers.kill(0);
    publisher.until_measured(&breaker("nats", 1)).await;
    servers.restart(0);
    publisher.until_measured(&breaker("nats", 0)).await;
    publisher.until_measured("chargeledger_feed_state{state=\"live\"} 1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_process_names_its_roles_and_one_that_waits_says_for_what() {
    let (Some(ledger), Some(mut servers)) = (Ledger::new(), Servers::start(1)) else { return };
    let (url, way) = way_to(&ledger.database().url()).await;
    let settings = [("CHARGELEDGER_DATABASE_URL", &*url), ("CHARGELEDGER_NATS_URL", &*servers.urls())];
    let everything = ledger.serve_with("api,projector,publisher,processes", &settings);
    for role in ["projector", "publisher", "processes"] {
        assert_eq!(everything.until_role(role, "live").await.0, 200);
    }
    let beside = ledger.serve_with("projector,publisher", &settings);
    let (status, said) = beside.until_role("publisher", "standby").await;
    assert_eq!((status, &said["status"]), (200, &json!("ready")), "who stands by is ready");
    beside.until_role("projector", "standby").await;
    let names = |said: &Value| said["roles"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&said), ["projector", "publisher"]);
    let (status, said) = everything.readiness("?from=a-probe").await;
    assert_eq!((status, names(&said)), (200, ["api", "processes", "projector", "publisher"].map(str::to_owned).to_vec()));
    assert_eq!(said["roles"]["api"], json!({"status": "ready", "state": "live"}));
    assert_eq!(said["roles"]["publisher"]["feed"]["lag_events"], 0);
    let (status, said) = beside.readiness("?role=api").await;
    assert_eq!((status, &said["type"]), (404, &json!("urn:ledger:problem:not-found")), "{said}");

    // It would take over what the other one loses.
    drop(beside);
    // Without PostgreSQL the ledger goes on, and so do those who probe it.
    way.send_replace(Way::Silent);
    let (status, said) = everything.until_role("projector", "waiting").await;
    assert_eq!((status, &said["roles"]["projector"]["status"]), (200, &json!("not ready")));
    assert_eq!(said["roles"]["projector"]["detail"], "the read models' database is away");
    assert_eq!(everything.readiness("?role=api").await.0, 200);
    let (status, said) = everything.readiness("?role=projector").await;
    assert_eq!((status, &said["type"], names(&said)), (503, &json!("urn:ledger:problem:not-ready"), vec!["projector".to_owned()]));
    way.send_replace(Way::Open);
    everything.until_role("projector", "live").await;

    // Without NATS as well; a process that is there for the feed alone is not ready.
    servers.kill(0);
    let (status, said) = everything.until_role("publisher", "waiting").await;
    assert_eq!((status, &said["roles"]["publisher"]["status"]), (200, &json!("not ready")), "{said}");
    assert_eq!(everything.readiness("?role=publisher").await.0, 503);
}
