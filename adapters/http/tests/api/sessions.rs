//! Sessions: start, stop, close, estimate, bill.

use std::sync::atomic::Ordering;

use domain::key::Role;
use reqwest::Method;
use serde_json::json;

use crate::harness::{World, send};

#[tokio::test]
async fn a_session_is_started_stopped_billed_and_its_bill_is_shown() {
    let world = World::new().await;
    let session = world.charging().await;
    let stop = world.post(Role::App, &format!("/v1/sessions/{session}/stop"), json!({})).await;
    assert_eq!(stop.is(202)["status"], "charging");
    assert_eq!(stop.header("location"), format!("/v1/sessions/{session}"));
    assert_eq!(world.device(world.record(&session, "20")).await.is(200)["outcome"], "accepted");
    let bill = world.until(Role::App, &format!("/v1/sessions/{session}/bill"), |answered| answered.status == 200).await.json();
    assert_eq!(bill["total_yuan"], "24.00");
    assert_eq!(bill["lines"][0]["from_at"], "2026-03-01T10:00:00+08:00");
    assert_eq!(world.devices.stopped().len(), 1);
}

#[tokio::test]
async fn a_started_session_says_where_it_is_and_at_which_position() {
    let world = World::new().await;
    let starting = tokio::spawn(send(world.start(&json!({"mode": "postpaid"}))));
    let number = world.devices.started().await.simple().to_string();
    let event = json!({"type": "session_started", "connector_id": world.connector, "transaction_number": number, "register_kwh": "0"});
    world.device(event).await.is(200);
    let answered = starting.await.unwrap();
    let body = answered.is(201);
    assert_eq!(body["status"], "charging");
    assert_eq!(body["order_number"].as_str().unwrap().len(), 27);
    assert_eq!(answered.header("location"), format!("/v1/sessions/{}", body["session_id"].as_str().unwrap()));
    assert_eq!(answered.header("etag"), format!("\"r{}\"", body["revision"]));
    assert_eq!(answered.header("x-position"), body["position"].to_string());
    assert!(!answered.header("x-request-id").is_empty());
}

#[tokio::test]
async fn a_device_that_is_not_connected_refuses_the_session() {
    let world = World::new().await;
    world.devices.are_gone.store(true, Ordering::SeqCst);
    let problem = send(world.start(&json!({"mode": "postpaid"}))).await.is_problem(409, "device-unreachable");
    assert!(problem["session_id"].is_string());
}

#[tokio::test]
async fn a_second_session_on_the_same_connector_is_refused_and_told_by_which() {
    let world = World::new().await;
    let session = world.charging().await;
    let problem = send(world.start(&json!({"mode": "postpaid"}))).await.is_problem(409, "connector-occupied");
    assert_eq!(problem["session_id"], session);
}

#[tokio::test]
async fn a_wallet_that_is_empty_refuses_the_hold() {
    let world = World::new().await;
    send(world.start(&json!({"mode": "wallet", "hold_yuan": "10"}))).await.is_problem(409, "insufficient-funds");
}

#[tokio::test]
async fn a_client_that_will_not_wait_is_answered_at_once_with_what_the_driver_pays_by() {
    let world = World::new().await;
    let start = json!({"mode": "prepaid", "amount_yuan": "50", "channel": "sandbox"});
    let answered = send(world.start(&start).header("prefer", "wait=1")).await;
    let body = answered.is(202);
    assert_eq!(body["status"], "requested");
    assert!(body["pay_token"].as_str().unwrap().starts_with("pay "), "{body}");
    world.pay(body["payment_id"].as_str().unwrap(), "50").await.is(200);
    assert_eq!(world.devices.started().await.to_string(), body["session_id"].as_str().unwrap());
}

#[tokio::test]
async fn the_same_idempotency_key_starts_one_session_and_another_body_under_it_is_refused() {
    let world = World::new().await;
    let start = || world.start(&json!({"mode": "postpaid"})).header("idempotency-key", "k1").header("prefer", "wait=0");
    let first = send(start()).await.is(202);
    let second = send(start()).await.is(202);
    assert_eq!(first["session_id"], second["session_id"]);
    let other = world.start(&json!({"mode": "wallet", "hold_yuan": "1"})).header("idempotency-key", "k1");
    send(other).await.is_problem(422, "idempotency-key-reused");
}

#[tokio::test]
async fn another_operator_neither_sees_nor_stops_a_session() {
    let world = World::new().await;
    let session = world.charging().await;
    for (method, path, body) in [
        (Method::POST, "stop", json!({})),
        (Method::POST, "close", json!({"energy_kwh": "1", "ended_at": "2026-03-01T11:00:00+08:00", "note": "n"})),
        (Method::GET, "bill", json!({})),
    ] {
        let request = world.foreign(Role::Admin, method, &format!("/v1/sessions/{session}/{path}")).json(&body);
        send(request).await.is_problem(404, "not-found");
    }
    let start = json!({"connector_id": world.connector, "user_id": world.user, "payment": {"mode": "postpaid"}});
    send(world.foreign(Role::App, Method::POST, "/v1/sessions").json(&start)).await.is_problem(404, "not-found");
}

#[tokio::test]
async fn an_operator_closes_a_session_by_hand_and_the_app_may_not() {
    let world = World::new().await;
    let session = world.charging().await;
    let path = format!("/v1/sessions/{session}/close");
    let body = json!({"energy_kwh": "12.5", "ended_at": "2026-03-01T11:00:00+08:00", "note": "read from the meter"});
    let problem = world.post(Role::App, &path, body.clone()).await.is_problem(403, "forbidden");
    assert_eq!(problem["roles"], json!(["operator", "admin"]));
    let early = json!({"energy_kwh": "12.5", "ended_at": "2026-03-01T09:00:00+08:00", "note": "n"});
    world.post(Role::Operator, &path, early).await.is_problem(422, "ends-before-start");
    assert_eq!(world.post(Role::Operator, &path, body).await.is(200)["status"], "recorded");
    let bill = world.until(Role::Finance, &format!("/v1/sessions/{session}/bill"), |answered| answered.status == 200).await;
    assert_eq!(bill.json()["total_yuan"], "15.00");
}

#[tokio::test]
async fn a_session_that_was_found_at_a_station_without_a_tariff_is_billed_with_the_one_that_staff_give_it() {
    let world = World::new().await;
    let session = world.unpriced().await;
    world.get(Role::App, &format!("/v1/sessions/{session}/bill")).await.is_problem(409, "session-not-billed");
    let station =
        world.commands.ledger.load::<domain::station::Station>(&domain::log::StreamId::station(world.station.into())).await.unwrap();
    let body = json!({"tariff_id": station.state.tariff_id().unwrap().0, "note": "it had none yet"});
    let path = format!("/v1/sessions/{session}/tariff");
    world.post(Role::App, &path, body.clone()).await.is_problem(403, "forbidden");
    send(world.foreign(Role::Admin, Method::POST, &path).json(&body)).await.is_problem(404, "not-found");
    let unknown = json!({"tariff_id": uuid::Uuid::now_v7(), "note": "n"});
    world.post(Role::Operator, &path, unknown).await.is_problem(404, "not-found");
    world.post(Role::Operator, &path, body.clone()).await.is(200);
    let bill = world.get(Role::Finance, &format!("/v1/sessions/{session}/bill")).await.is(200);
    assert_eq!((&bill["total_yuan"], &bill["energy_kwh"]), (&json!("24.00"), &json!("20.0000")));
    world
        .until(Role::App, &format!("/v1/sessions/{session}/events?limit=200"), |answered| {
            answered.json()["items"].as_array().unwrap().last().unwrap()["type"] == "session.settled"
        })
        .await;
    // The same tariff again changes nothing.
    world.post(Role::Operator, &path, body).await.is(200);
}

#[tokio::test]
async fn a_command_on_a_state_that_the_client_has_not_seen_is_refused() {
    let world = World::new().await;
    let session = world.charging().await;
    let stop =
        |tag: &str| world.request(Role::App, Method::POST, &format!("/v1/sessions/{session}/stop")).header("if-match", tag.to_owned());
    send(stop("\"r0\"")).await.is_problem(412, "precondition-failed");
    send(stop("\"r0\", \"r1\"")).await.is_problem(412, "precondition-failed");
    send(stop("r0")).await.is_problem(400, "invalid-header");
    send(stop("*")).await.is(202);
}

#[tokio::test]
async fn an_estimate_prices_by_the_tariff_in_force() {
    let world = World::new().await;
    let body = json!({"connector_id": world.connector, "energy_kwh": "10", "starts_at": "2026-03-01T10:00:00+08:00"});
    let bill = world.post(Role::App, "/v1/sessions/price-estimate", body.clone()).await.is(200);
    assert_eq!((&bill["total_yuan"], &bill["bill_number"]), (&json!("12.00"), &json!("estimate")));
    let foreign = world.foreign(Role::App, Method::POST, "/v1/sessions/price-estimate").json(&body);
    send(foreign).await.is_problem(404, "not-found");
}

#[tokio::test]
async fn a_session_that_has_no_bill_says_so() {
    let world = World::new().await;
    let session = world.charging().await;
    world.get(Role::App, &format!("/v1/sessions/{session}/bill")).await.is_problem(409, "session-not-billed");
}
