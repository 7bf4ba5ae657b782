//! A session while it happens.

use std::time::Duration;

use domain::key::Role;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::harness::{World, send};

/// The messages of a stream, read until it ends or `enough` of them are there.
async fn messages(response: &mut Response, enough: usize) -> Vec<Value> {
    let mut text = String::new();
    loop {
        let found: Vec<Value> =
            text.lines().filter_map(|line| line.strip_prefix("data: ")).map(|data| serde_json::from_str(data).unwrap()).collect();
        if found.len() >= enough {
            return found;
        }
        match tokio::time::timeout(Duration::from_secs(5), response.chunk()).await.expect("the stream fell silent").unwrap() {
            Some(bytes) => text.push_str(std::str::from_utf8(&bytes).unwrap()),
            None => return found,
        }
    }
}

fn happened(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|message| message["happened"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_live_session_shows_what_was_then_what_comes_and_ends_when_it_is_settled() {
    let world = World::new().await;
    let session = world.charging().await;
    let path = format!("/v1/sessions/{session}/live");
    let mut stream = world.request(Role::App, Method::GET, &path).send().await.unwrap();
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    assert_eq!(happened(&messages(&mut stream, 4).await), ["requested", "authorised", "starting", "started"]);
    let meter = json!({
        "type": "meter", "connector_id": world.connector, "transaction_number": session.replace('-', ""),
        "register_kwh": "110", "occurred_at": "2026-03-01T10:30:00+08:00",
    });
    world.device(meter).await.is(200);
    let reading = messages(&mut stream, 1).await.remove(0);
    assert_eq!(
        (&reading["energy_kwh"], &reading["cost_yuan"], &reading["status"]),
        (&json!("10.0000"), &json!("12.00"), &json!("charging"))
    );
    world.device(world.record(&session, "20")).await.is(200);
    let rest = messages(&mut stream, usize::MAX).await;
    assert_eq!(happened(&rest), ["record_accepted", "billed", "settled"]);
    assert_eq!(rest.last().unwrap()["cost_yuan"], "24.00");
}

#[tokio::test]
async fn a_client_that_comes_back_goes_on_after_the_last_message_that_it_has_seen() {
    let world = World::new().await;
    let session = world.charging().await;
    let path = format!("/v1/sessions/{session}/live");
    let mut stream = world.request(Role::App, Method::GET, &path).header("last-event-id", "2").send().await.unwrap();
    assert_eq!(happened(&messages(&mut stream, 1).await), ["started"]);
    send(world.request(Role::App, Method::GET, &path).header("last-event-id", "x")).await.is_problem(400, "invalid-header");
    send(world.foreign(Role::App, Method::GET, &path)).await.is_problem(404, "not-found");
}

#[tokio::test]
async fn a_hundred_clients_watch_one_session() {
    let world = World::new().await;
    let session = world.charging().await;
    let path = format!("/v1/sessions/{session}/live");
    let mut streams = Vec::new();
    for _ in 0..100 {
        streams.push(world.request(Role::App, Method::GET, &path).send().await.unwrap());
    }
    world.device(world.record(&session, "20")).await.is(200);
    for mut stream in streams {
        assert_eq!(happened(&messages(&mut stream, usize::MAX).await).last(), Some(&"settled"));
    }
}

#[tokio::test]
async fn the_events_of_a_session_come_in_pages_with_their_hashes() {
    let world = World::new().await;
    let session = world.charging().await;
    let path = format!("/v1/sessions/{session}/events");
    let first = world.get(Role::Finance, &format!("{path}?limit=3")).await;
    let page = first.is(200);
    assert_eq!(page["items"][0]["type"], "session.requested");
    assert_eq!(first.header("link"), format!("<{path}?limit=3&cursor=3>; rel=\"next\""));
    let rest = world.get(Role::Finance, &format!("{path}?limit=3&cursor={}", page["next"].as_str().unwrap())).await.is(200);
    assert_eq!(rest["items"][0]["prev_hash"], page["items"][2]["hash"]);
    assert_eq!(rest["next"], Value::Null);
    world.get(Role::Finance, &format!("{path}?cursor=x")).await.is_problem(400, "invalid-cursor");
    send(world.foreign(Role::Admin, Method::GET, &path)).await.is_problem(404, "not-found");
}
