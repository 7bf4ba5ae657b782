//! Whatever a client sends, it is answered with a problem document, and never with a 5xx.

use domain::key::Role;
use http_api::{Limits, auth};
use reqwest::Method;
use serde_json::json;

use crate::harness::{World, send};

/// A path with something in its places.
fn filled(path: &str, with: &str) -> String {
    path.split('/').map(|part| if part.starts_with('{') { with } else { part }).collect::<Vec<_>>().join("/")
}

fn a_role_for(method: &str, path: &str) -> Role {
    auth::roles(method, path).unwrap()[0]
}

#[tokio::test]
async fn every_path_asks_for_a_valid_key() {
    let world = World::new().await;
    for (method, path, _) in auth::ACCESS {
        let path = filled(path, "0190a6c2-7b1e-7c3a-9d54-3f2a1b0c9e8d");
        let method: Method = method.parse().unwrap();
        let answered = send(world.anonymous(method.clone(), &path)).await;
        answered.is_problem(401, "unauthenticated");
        assert_eq!(answered.header("www-authenticate"), "Bearer");
        send(world.anonymous(method, &path).bearer_auth("clk_0")).await.is_problem(401, "unauthenticated");
    }
}

#[tokio::test]
async fn every_path_refuses_the_roles_that_its_table_does_not_name() {
    let world = World::new().await;
    for (method, path, roles) in auth::ACCESS {
        for role in [Role::App, Role::Finance, Role::Operator, Role::Gateway, Role::Regulator, Role::Partner, Role::Admin] {
            if !roles.contains(&role) {
                let path = filled(path, "0190a6c2-7b1e-7c3a-9d54-3f2a1b0c9e8d");
                send(world.request(role, method.parse().unwrap(), &path)).await.is_problem(403, "forbidden");
            }
        }
    }
}

#[tokio::test]
async fn malformed_requests_at_every_path_are_answered_with_problems() {
    let world = World::with(Limits { body_bytes_max: 10_000, ..Limits::default() }).await;
    let bodies: &[(&str, &[u8])] = &[
        ("application/json", b"{"),
        ("application/json", b"\xff\xfe"),
        ("application/json", b"[]"),
        ("application/json", b"null"),
        ("application/json", b"\"text\""),
        ("application/json", b"{\"surprise\": 1}"),
        ("application/json", b"{\"connector_id\": 5, \"user_id\": {}, \"payment\": {\"mode\": \"gold\"}}"),
        ("text/plain", b"{}"),
        ("application/json", &[b'['; 5_000]),
        ("application/json", &[b' '; 20_000]),
    ];
    for (method, path, _) in auth::ACCESS {
        let role = a_role_for(method, path);
        let parsed: Method = method.parse().unwrap();
        for id in ["0190a6c2-7b1e-7c3a-9d54-3f2a1b0c9e8d", "x", "%00", "%ff", "-1", "{}"] {
            let place = filled(path, id);
            for (content_type, body) in bodies {
                let request = world.request(role, parsed.clone(), &place).header("content-type", *content_type).body(body.to_vec());
                let answered = send(request).await;
                if !answered.status.is_success() {
                    answered.problem();
                    assert!(answered.status.is_client_error() || answered.status == 503, "{method} {place}: {answered:?}");
                }
            }
            for query in ["limit=0", "limit=x", "cursor=!!", "cursor=e30", "surprise=1", "near=1", "from=yesterday", "limit=1&limit=2"] {
                let answered = send(world.request(role, parsed.clone(), &format!("{place}?{query}"))).await;
                assert!(answered.status.as_u16() < 500 || answered.status == 503, "{method} {place}?{query}: {answered:?}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_body_is_said() {
    let world = World::with(Limits { body_bytes_max: 1_000, ..Limits::default() }).await;
    let post = |content_type: &str, body: &str| {
        world.request(Role::App, Method::POST, "/v1/sessions").header("content-type", content_type.to_owned()).body(body.to_owned())
    };
    send(post("application/json", "{")).await.is_problem(400, "malformed-json");
    send(post("text/plain", "{}")).await.is_problem(415, "unsupported-media-type");
    send(post("application/json", &" ".repeat(2_000))).await.is_problem(413, "body-too-large");
    let missing = send(post("application/json", "{}")).await.is_problem(422, "invalid-body");
    assert!(missing["detail"].as_str().unwrap().contains("connector_id"), "{missing}");
    let start =
        |payment: serde_json::Value| json!({"connector_id": world.connector, "user_id": world.user, "payment": payment}).to_string();
    let number = send(post("application/json", &start(json!({"mode": "wallet", "hold_yuan": 5})))).await.is_problem(422, "invalid-body");
    assert!(number["detail"].as_str().unwrap().contains("decimal text"), "{number}");
    let extra = send(post("application/json", &start(json!({"mode": "postpaid", "tip": 5})))).await.is_problem(422, "invalid-body");
    assert!(extra["detail"].as_str().unwrap().contains("tip"), "{extra}");
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems_too() {
    let world = World::new().await;
    send(world.anonymous(Method::GET, "/nowhere")).await.is_problem(404, "no-such-path");
    let answered = send(world.anonymous(Method::DELETE, "/v1/sessions")).await;
    answered.is_problem(405, "method-not-allowed");
    assert!(answered.header("allow").contains("POST"));
}

#[tokio::test]
async fn an_idempotency_key_is_visible_ascii_and_not_too_long() {
    let world = World::new().await;
    let start = |key: &str| world.start(&json!({"mode": "postpaid"})).header("idempotency-key", key.to_owned());
    send(start(&"k".repeat(256))).await.is_problem(400, "invalid-header");
    send(start(" ")).await.is_problem(400, "invalid-header");
}

#[tokio::test]
async fn a_key_that_asks_too_often_is_told_when_to_come_back() {
    let world = World::with(Limits { requests_per_s: 0.001, requests_burst: 3.0, ..Limits::default() }).await;
    let path = format!("/v1/payments/{}", world.user);
    for _ in 0..3 {
        world.get(Role::App, &path).await.is_problem(404, "not-found");
    }
    let answered = world.get(Role::App, &path).await;
    answered.is_problem(429, "too-many-requests");
    assert_eq!(answered.header("retry-after"), "1");
}

#[tokio::test]
async fn health_the_document_and_its_page_need_no_key() {
    let world = World::new().await;
    assert_eq!(send(world.anonymous(Method::GET, "/healthz")).await.is(200)["status"], "ok");
    assert_eq!(send(world.anonymous(Method::GET, "/readyz")).await.is(200)["status"], "ready");
    let document = send(world.anonymous(Method::GET, "/openapi.json")).await.is(200);
    assert_eq!(document["openapi"], "3.1.0");
    let page = send(world.anonymous(Method::GET, "/docs/")).await;
    assert_eq!(page.status, 200);
    assert!(page.text.contains("swagger-ui"));
    assert!(!page.text.contains("//unpkg") && !page.text.contains("https://"), "the page must work without internet");
}

#[tokio::test]
async fn without_read_models_queries_say_so_and_commands_go_on() {
    let world = World::new().await;
    let answered = world.get(Role::App, "/v1/sessions").await;
    answered.is_problem(503, "read-models-unavailable");
    assert_eq!(answered.header("retry-after"), "1");
    assert!(answered.json().get("detail").is_none(), "a 5xx shows nothing of our insides");
    world.charging().await;
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_ended_and_its_key_finds_the_outcome_again() {
    let limits = Limits { request_time_max: std::time::Duration::from_millis(300), ..Limits::default() };
    let world = World::with(limits).await;
    let start = |wait: &str| world.start(&json!({"mode": "postpaid"})).header("idempotency-key", "k").header("prefer", wait.to_owned());
    send(start("wait=5")).await.is_problem(503, "timed-out");
    let session = world.devices.started().await;
    assert_eq!(send(start("wait=0")).await.is(202)["session_id"], session.to_string());
}
