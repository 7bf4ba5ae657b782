//! Device events: facts are recorded and judged.

use std::time::Duration;

use domain::key::Role;
use http_api::Limits;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answered, World, send};

#[tokio::test]
async fn a_reading_that_goes_backwards_is_kept_and_disputed() {
    let world = World::new().await;
    let session = world.charging().await;
    let meter = |register: &str, time: &str| json!({"type": "meter", "connector_id": world.connector, "transaction_number": session.replace('-', ""), "register_kwh": register, "occurred_at": time});
    let good = world.device(meter("105.5", "2026-03-01T10:10:00+08:00")).await.is(200);
    assert_eq!((&good["outcome"], &good["session_id"]), (&json!("accepted"), &json!(session)));
    let bad = world.device(meter("104", "2026-03-01T10:20:00+08:00")).await.is(200);
    assert_eq!((&bad["outcome"], &bad["dispute_reason"]), (&json!("disputed"), &json!("meter_backwards")));
}

#[tokio::test]
async fn the_same_event_in_a_new_message_changes_nothing() {
    let world = World::new().await;
    let session = world.charging().await;
    let record = world.record(&session, "20");
    assert_eq!(world.device(record.clone()).await.is(200)["outcome"], "accepted");
    let path = format!("/v1/sessions/{session}/events?limit=200");
    let types = |answered: &Answered| -> Vec<Value> {
        answered.json()["items"].as_array().unwrap().iter().map(|event| event["type"].clone()).collect()
    };
    // With the settlement the story is at its end: nobody has anything left to add to it.
    let settled = world.until(Role::Finance, &path, |answered| types(answered).last().unwrap() == "session.settled").await;
    assert_eq!(world.device(record).await.is(200)["outcome"], "repeated");
    assert_eq!(types(&world.get(Role::Finance, &path).await), types(&settled));
}

#[tokio::test]
async fn a_record_for_an_unknown_number_opens_a_session_and_a_gap_is_left_to_nobody() {
    let world = World::new().await;
    let mut record = world.record("0", "5");
    record["transaction_number"] = json!("offline-17");
    let first = world.device(record.clone()).await.is(200);
    assert_eq!(first["outcome"], "accepted");
    let second = world.device(record).await.is(200);
    assert_eq!((&second["outcome"], &second["session_id"]), (&json!("repeated"), &first["session_id"]));
}

#[tokio::test]
async fn each_event_of_several_is_answered_for_itself() {
    let world = World::new().await;
    let events = json!([
        {"type": "status", "connector_id": world.connector, "status": "faulted", "fault_code": "E12"},
        {"type": "status", "connector_id": "0190a6c2-7b1e-7c3a-9d54-3f2a1b0c9e8d", "status": "online"},
        {"type": "dance", "connector_id": world.connector},
        {"type": "status", "connector_id": world.connector, "status": "fault_cleared"},
    ]);
    let answer = world.device(events).await.is(200);
    let results = answer["results"].as_array().unwrap();
    assert_eq!(results[0]["outcome"], "accepted");
    assert_eq!(results[1]["problem"]["type"], "urn:ledger:problem:not-found");
    assert_eq!(results[2]["problem"]["type"], "urn:ledger:problem:invalid-body");
    assert_eq!(results[3]["outcome"], "accepted");
}

#[tokio::test]
async fn a_pile_that_falls_silent_takes_no_session_until_it_is_heard_of_again() {
    let world = World::with(Limits { silence_max: Duration::from_secs(1), ..Limits::default() }).await;
    let heartbeat = json!({"type": "heartbeat", "pile_id": world.pile});
    assert_eq!(world.device(heartbeat.clone()).await.is(200)["outcome"], "accepted");
    let mut refused = None;
    for _ in 0..60 {
        let answered = send(world.start(&json!({"mode": "wallet", "hold_yuan": "1"}))).await;
        if answered.problem() == "connector-offline" {
            refused = Some(answered);
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(refused.is_some(), "the connector never went offline");
    assert!(world.device(heartbeat).await.is(200)["position"].is_number());
    send(world.start(&json!({"mode": "wallet", "hold_yuan": "1"}))).await.is_problem(409, "insufficient-funds");
}

#[tokio::test]
async fn only_gateways_report_and_only_for_their_own_operator() {
    let world = World::new().await;
    let event = json!({"type": "status", "connector_id": world.connector, "status": "offline"});
    world.post(Role::App, "/v1/device-events", event.clone()).await.is_problem(403, "forbidden");
    let foreign = |event: &serde_json::Value| world.foreign(Role::Gateway, Method::POST, "/v1/device-events").json(event);
    send(foreign(&event)).await.is_problem(404, "not-found");
    send(foreign(&json!({"type": "heartbeat", "pile_id": world.pile}))).await.is_problem(404, "not-found");
    send(foreign(&world.record("0", "1"))).await.is_problem(404, "not-found");
}

#[tokio::test]
async fn a_device_whose_clock_is_ahead_is_answered_and_nothing_is_dated_in_its_future() {
    let world = World::new().await;
    let session = world.charging().await;
    let mut record = world.record(&session, "20");
    (record["started_at"], record["ended_at"]) = (json!("2099-01-01T00:00:00Z"), json!("2099-01-01T01:00:00Z"));
    let answer = world.device(record.clone()).await.is(200);
    assert_eq!((&answer["outcome"], &answer["dispute_reason"]), (&json!("disputed"), &json!("in_the_future")));
    // The same again is told the same, and recorded once.
    assert_eq!(world.device(record).await.is(200)["position"], answer["position"]);
    let events = world.get(Role::Operator, &format!("/v1/sessions/{session}/events?limit=200")).await.is(200);
    let events = events["items"].as_array().unwrap().clone();
    assert_eq!(events.last().unwrap()["data"]["record"]["ended_at"], "2099-01-01T01:00:00Z", "what it said is kept");
    assert!(events.iter().all(|event| event["occurred_at"].as_str().unwrap() < "2090"), "{events:?}");
    let status = json!({"type": "status", "connector_id": world.connector, "status": "offline", "occurred_at": "2099-01-01T00:00:00Z"});
    world.device(status).await.is(200);
}
