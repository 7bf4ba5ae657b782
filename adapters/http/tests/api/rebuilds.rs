//! Orders about builds where there is no database, and the page for those who give them.

use domain::key::Role;
use reqwest::Method;
use serde_json::json;

use crate::harness::{World, send};

#[tokio::test]
async fn without_read_models_there_is_nothing_to_rebuild() {
    let world = World::new().await;
    for (path, body) in [
        ("/v1/projections/sessions/rebuild", json!({"cores": 1, "max_db_rows_per_s": 1000, "memory_mb": 64, "finish": "keep"})),
        ("/v1/projections/sessions/rebuild/pause", json!({})),
        ("/v1/projections/sessions/rebuild/resume", json!({"cores": 1})),
        ("/v1/projections/sessions/rebuild/cancel", json!({})),
        ("/v1/projections/sessions/swap", json!({"build": 2, "note": "agreed"})),
        ("/v1/projections/sessions/rollback", json!({"build": 1})),
        ("/v1/projections/sessions/repair", json!({"key": "0190a6c2-7b1e-7c3a-9d54-3f2a1b0c9e8d", "dry_run": true})),
    ] {
        world.post(Role::Admin, path, body).await.is_problem(503, "read-models-unavailable");
    }
    world.get(Role::Admin, "/v1/projections/sessions/diff").await.is_problem(503, "read-models-unavailable");
    let drop = world.request(Role::Admin, Method::DELETE, "/v1/projections/sessions/builds/1");
    send(drop).await.is_problem(503, "read-models-unavailable");
}

#[tokio::test]
async fn an_order_that_cannot_be_is_refused_with_what_is_wrong() {
    let world = World::new().await;
    let refused = async |path: &str, body, kind: &str, says: &str| {
        let status = if kind == "not-found" { 404 } else { 422 };
        let problem = world.post(Role::Admin, path, body).await.is_problem(status, kind);
        assert!(problem["detail"].as_str().unwrap().contains(says), "{problem}");
    };
    let rebuild = "/v1/projections/sessions/rebuild";
    refused("/v1/projections/horoscopes/rebuild", json!({}), "not-found", "horoscopes").await;
    refused(rebuild, json!({"cores": 0}), "invalid-body", "cores is a number from 1 to 256").await;
    refused(rebuild, json!({"max_db_rows_per_s": 0}), "invalid-body", "1 or more").await;
    refused(rebuild, json!({"memory_mb": 1}), "invalid-body", "from 16 to 65536").await;
    refused(rebuild, json!({"finish": "somehow"}), "invalid-body", "finish").await;
    refused(rebuild, json!({"until": 5}), "invalid-body", "go together").await;
    refused(rebuild, json!({"as": "sessions_before"}), "invalid-body", "go together").await;
    refused(rebuild, json!({"until": 1, "as": "bills"}), "invalid-body", "no read model's name").await;
    refused(rebuild, json!({"until": 1, "as": "x; DROP"}), "invalid-body", "small letters").await;
    refused(rebuild, json!({"until": 0, "as": "before"}), "invalid-body", "the first position is 1").await;
    refused(rebuild, json!({"until": "1999-01-01T00:00:00Z", "as": "before"}), "invalid-body", "nothing had been recorded").await;
    refused(rebuild, json!({"until": "yesterday", "as": "before"}), "invalid-body", "until").await;
    world.post(Role::Admin, rebuild, json!({"until": 1_000_000, "as": "before"})).await.is_problem(409, "position-ahead");
}

#[tokio::test]
async fn only_an_admin_gives_orders_about_builds() {
    let world = World::new().await;
    for path in ["rebuild", "rebuild/pause", "rebuild/resume", "rebuild/cancel", "swap", "rollback", "repair"] {
        let path = format!("/v1/projections/sessions/{path}");
        world.post(Role::Operator, &path, json!({})).await.is_problem(403, "forbidden");
    }
    world.get(Role::Operator, "/v1/projections/sessions/diff").await.is_problem(403, "forbidden");
}

#[tokio::test]
async fn the_operators_page_comes_with_all_it_needs_and_takes_nothing_from_elsewhere() {
    let world = World::new().await;
    let get = async |path: &str| send(world.anonymous(Method::GET, path)).await;
    for (path, media) in [
        ("/console/operations", "text/html; charset=utf-8"),
        ("/console/operations.css", "text/css; charset=utf-8"),
        ("/console/operations.js", "text/javascript; charset=utf-8"),
        // The way that people type it.
        ("/console", "text/html; charset=utf-8"),
    ] {
        let answered = get(path).await;
        assert_eq!((answered.status.as_u16(), answered.header("content-type")), (200, media), "{path}");
        let policy = answered.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(answered.header("x-content-type-options"), "nosniff");
        for foreign in ["http://", "https://", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
            assert!(!answered.text.contains(foreign), "{path} has {foreign}");
        }
    }
    let page = get("/console/operations").await.text;
    assert!(!page.contains("style=") && !page.contains("<style") && !page.contains("onclick="), "the policy would refuse it");
}
