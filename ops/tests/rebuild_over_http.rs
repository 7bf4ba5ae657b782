//! A view rebuilt over HTTP, on PostgreSQL, while clients read it: progress, pause, what differs, the swap, and the way back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use domain::key::Role;
use http_api::Limits;
use read_models::{ReadModels, Settings};
use reqwest::Method;
use serde_json::{Value, json};

#[path = "../../adapters/http/tests/api/harness.rs"]
mod harness;

mod database;

use database::Database;
use harness::{Answered, Reading, World, send};

/// A world with read models in a database of its own, dropped afterwards, and a connection to that.
fn on_postgres<F: Future<Output = ()>>(swap_approval: bool, test: impl FnOnce(World, tokio_postgres::Client) -> F) {
    let Some(database) = Database::new() else { return };
    let url = database.url();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        runtime.block_on(async {
            let read_models = Arc::new(ReadModels::new(&url, Settings::default()).unwrap());
            let reading = Reading { queries: Arc::clone(&read_models) as _, store: read_models, swap_approval };
            let world = World::reading(Limits::default(), Some(reading)).await;
            let is_live = |answered: &Answered| answered.status == 200 && items(answered).iter().all(|one| one["state"] == "live");
            world.until(Role::Operator, "/v1/projections", is_live).await;
            let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
            tokio::spawn(connection);
            test(world, client).await;
        });
    }));
    // What still holds a connection goes first.
    drop(runtime);
    drop(database);
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

fn items(answered: &Answered) -> Vec<Value> {
    answered.json()["items"].as_array().unwrap().clone()
}

/// A settled session that every read model has.
async fn settled(world: &World) -> String {
    let session = world.charging().await;
    world.device(world.record(&session, "20")).await.is(200);
    let is_settled = |answered: &Answered| answered.status == 200 && answered.json()["status"] == "settled";
    world.until(Role::App, &format!("/v1/sessions/{session}"), is_settled).await;
    let is_level = |answered: &Answered| items(answered).iter().all(|one| one["lag_events"] == 0);
    world.until(Role::Operator, "/v1/projections", is_level).await;
    session
}

const SESSIONS: &str = "/v1/projections/sessions";

async fn in_phase(world: &World, phase: &'static str) -> Value {
    world.until(Role::Operator, SESSIONS, |answered| answered.json()["rebuild"]["phase"] == phase).await.json()
}

fn serving(projection: &Value) -> i64 {
    let builds = projection["builds"].as_array().unwrap();
    builds.iter().find(|build| build["state"] == "serving").unwrap()["number"].as_i64().unwrap()
}

#[test]
fn a_wrong_view_is_rebuilt_looked_at_swapped_in_and_gone_back_from_while_it_is_read() {
    on_postgres(true, |world, client| async move {
        let session = settled(&world).await;
        client.batch_execute("UPDATE build.sessions__b1 SET total_yuan = total_yuan + 1").await.unwrap();
        let (world, stop, reads) = (Arc::new(world), Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let reader = tokio::spawn({
            let (world, stop, reads, path) = (world.clone(), stop.clone(), reads.clone(), format!("/v1/sessions/{session}"));
            async move {
                while !stop.load(Ordering::Relaxed) {
                    let row = world.get(Role::App, &path).await.is(200);
                    assert!(["24.00", "25.00"].contains(&row["total_yuan"].as_str().unwrap()), "{row}");
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let refused = world.post(Role::Admin, &format!("{SESSIONS}/rebuild"), json!({"finish": "swap"})).await;
        refused.is_problem(422, "invalid-body");
        let ordered = world.post(Role::Admin, &format!("{SESSIONS}/rebuild"), json!({"cores": 1})).await;
        assert_eq!(ordered.header("location"), SESSIONS);
        assert_eq!(ordered.is(202)["rebuild"]["build"], 2);

        let waiting = in_phase(&world, "awaiting_approval").await;
        let rebuild = &waiting["rebuild"];
        assert_eq!((serving(&waiting), &rebuild["account"]["complete"]), (1, &json!(true)), "{rebuild}");
        assert_eq!((&rebuild["diff"]["changed"], &rebuild["diff"]["only_here"]), (&json!(1), &json!(0)));
        assert!(rebuild["by"].as_str().unwrap().starts_with("key/"));
        let diff = world.get(Role::Admin, &format!("{SESSIONS}/diff")).await.is(200);
        assert_eq!(
            (&diff["fields"], diff["samples"][0]["key"]["session_id"].as_str()),
            (&json!({"total_yuan": 1}), Some(session.as_str()))
        );
        assert_eq!(
            (&diff["samples"][0]["here"], &diff["samples"][0]["there"]),
            (&json!({"total_yuan": "24.00"}), &json!({"total_yuan": "25.00"}))
        );
        assert_eq!((&diff["totals"][0]["here_yuan"], &diff["totals"][0]["there_yuan"]), (&json!("24.00"), &json!("25.00")));
        let foreign = send(world.foreign(Role::Admin, Method::GET, &format!("{SESSIONS}/diff"))).await.is(200);
        assert_eq!((&foreign["rows"]["changed"], &foreign["samples_withheld"], &foreign["totals"]), (&json!(1), &json!(1), &json!([])));
        world.post(Role::Admin, &format!("{SESSIONS}/rebuild/pause"), json!({})).await.is_problem(409, "rebuild-not-running");

        world.post(Role::Admin, &format!("{SESSIONS}/swap"), json!({})).await.is_problem(422, "note-missing");
        world.post(Role::Admin, &format!("{SESSIONS}/swap"), json!({"build": 7, "note": "x"})).await.is_problem(409, "no-such-build");
        let swap = json!({"build": 2, "note": "a yuan too much, case 17"});
        let swapped = world.post(Role::Admin, &format!("{SESSIONS}/swap"), swap.clone()).await;
        assert_eq!(
            (&swapped.is(200)["serves"], swapped.header("x-position").is_empty()),
            (&json!(true), false),
            "the approval is an event"
        );
        assert_eq!(world.post(Role::Admin, &format!("{SESSIONS}/swap"), swap).await.is(200)["serves"], true, "again, it is so already");
        let after = in_phase(&world, "swapped").await;
        assert_eq!(serving(&after), 2);
        assert_eq!(world.get(Role::App, &format!("/v1/sessions/{session}")).await.is(200)["total_yuan"], "24.00");

        let back = world.post(Role::Admin, &format!("{SESSIONS}/rollback"), json!({"build": 1})).await.is(200);
        assert_eq!((&back["build"], &back["serves"]), (&json!(1), &json!(true)));
        assert_eq!(world.get(Role::App, &format!("/v1/sessions/{session}")).await.is(200)["total_yuan"], "25.00");
        world.post(Role::Admin, &format!("{SESSIONS}/rollback"), json!({"build": 1})).await.is(200);
        let pinned = world.get(Role::Operator, SESSIONS).await.is(200);
        assert_eq!(serving(&pinned), 1, "a repeated order goes nowhere");

        let body = json!({"key": session, "dry_run": true});
        let found = world.post(Role::Admin, &format!("{SESSIONS}/repair"), body).await.is(200);
        assert_eq!((&found["written"], &found["cells"]), (&json!(false), &json!({"total_yuan": {"here": "24.00", "there": "25.00"}})));
        let theirs =
            world.foreign(Role::Admin, Method::POST, &format!("{SESSIONS}/repair")).json(&json!({"key": session, "dry_run": true}));
        assert!(send(theirs).await.is(200).get("cells").is_none());
        let mended = world.post(Role::Admin, &format!("{SESSIONS}/repair"), json!({"key": session})).await.is(200);
        assert_eq!(mended["written"], true);
        assert_eq!(world.get(Role::App, &format!("/v1/sessions/{session}")).await.is(200)["total_yuan"], "24.00");
        world.post(Role::Admin, &format!("{SESSIONS}/repair"), json!({"key": "x"})).await.is_problem(422, "invalid-body");

        let drop_build = |number: i64| world.request(Role::Admin, Method::DELETE, &format!("{SESSIONS}/builds/{number}"));
        send(drop_build(1)).await.is_problem(409, "build-serves");
        send(drop_build(9)).await.is_problem(404, "not-found");
        send(drop_build(2)).await.is(200);
        world.post(Role::Admin, &format!("{SESSIONS}/rollback"), json!({})).await.is_problem(409, "no-such-build");
        stop.store(true, Ordering::Relaxed);
        reader.await.unwrap();
        assert!(reads.load(Ordering::Relaxed) > 10);
    });
}

#[test]
fn a_rebuild_is_paused_gone_on_with_and_given_up_over_http() {
    on_postgres(false, |world, _client| async move {
        settled(&world).await;
        let order = |path: &str, body: Value| {
            let path = format!("/v1/projections/audit_trail/{path}");
            let world = &world;
            async move { world.post(Role::Admin, &path, body).await }
        };
        order("rebuild/pause", json!({})).await.is_problem(409, "rebuild-not-running");
        // Four rows a second take longer than what follows.
        order("rebuild", json!({"max_db_rows_per_s": 4, "finish": "keep"})).await.is(202);
        order("rebuild", json!({})).await.is_problem(409, "rebuild-running");
        assert_eq!(order("rebuild/pause", json!({})).await.is(200)["rebuild"]["wanted"], "pause");
        let rebuild = world.get(Role::Operator, "/v1/projections/audit_trail").await.is(200)["rebuild"].clone();
        assert_eq!(rebuild["wanted"], "pause");
        order("rebuild/resume", json!({})).await.is(202);
        order("rebuild/cancel", json!({})).await.is(200);
        let nothing_is_left = |answered: &Answered| {
            let projection = answered.json();
            projection["rebuild"]["phase"] == "cancelled" && projection["builds"].as_array().unwrap().len() == 1
        };
        world.until(Role::Operator, "/v1/projections/audit_trail", nothing_is_left).await;
    });
}

#[test]
fn a_view_of_the_past_is_built_compared_listed_and_dropped() {
    on_postgres(false, |world, _client| async move {
        settled(&world).await;
        let head = world.get(Role::Operator, SESSIONS).await.is(200)["head"].as_u64().unwrap();
        let body = json!({"until": head / 2, "as": "sessions_before"});
        world.post(Role::Admin, &format!("{SESSIONS}/rebuild"), body).await.is(202);
        let is_ready = |answered: &Answered| {
            let builds = answered.json()["builds"].as_array().unwrap().clone();
            builds.iter().any(|build| build["name"] == "sessions_before" && build["rebuild"]["phase"] == "ready")
        };
        let shown = world.until(Role::Operator, SESSIONS, is_ready).await.json();
        let past = shown["builds"].as_array().unwrap().iter().find(|build| build["state"] == "as_of").unwrap().clone();
        assert_eq!(past["position"], head / 2);
        let diff = world.get(Role::Admin, &format!("{SESSIONS}/diff?as_of=sessions_before")).await.is(200);
        assert_eq!(diff["rows"]["only_here"].as_u64().unwrap() + diff["rows"]["changed"].as_u64().unwrap(), 1);
        world.get(Role::Admin, &format!("{SESSIONS}/diff?as_of=nobody")).await.is_problem(409, "no-such-build");
        world.get(Role::Admin, &format!("{SESSIONS}/diff?as_of=x&against=1")).await.is_problem(400, "invalid-query");
        let path = format!("/v1/projections/sessions_before/builds/{}", past["number"]);
        send(world.request(Role::Admin, Method::DELETE, &path)).await.is(200);
        let after = world.get(Role::Operator, SESSIONS).await.is(200);
        assert_eq!(after["builds"].as_array().unwrap().len(), 1);
    });
}
