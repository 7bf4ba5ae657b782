//! Several processes on one ledger: one writes, others project, and any of them may be killed, cut off, or out of room.

#[path = "../database/mod.rs"]
mod database;
mod disk_full;
mod moved_keys;
#[path = "../serving/mod.rs"]
mod serving;
mod wrong_folds;

use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use domain::ids::ApiKeyId;
use domain::key::KeyEvent;
use domain::log::{Actor, EventStore as _, Expected, Metadata, NewEvent, StreamId};
use domain::testing::{at, id};
use embedded::EmbeddedStore;
use rand::{RngExt as _, SeedableRng as _};
use reqwest::Method;
use serde_json::{Value, json};
use serving::{
    Ledger, all_are_at_the_head, all_are_at_the_head_but_shadows, all_are_at_the_head_but_shadows_of, json_of, many_sessions, of, text_of,
};

impl Ledger {
    /// An event that the read model of the keys cannot apply: it takes away a key that was never made.
    async fn poison(&self, number: u128) -> u64 {
        let store = EmbeddedStore::open(self.data()).unwrap();
        let key_id: ApiKeyId = id(number);
        let metadata = Metadata {
            event_id: id(1_000 + number),
            command_id: id(2_000 + number),
            causation_id: None,
            correlation_id: key_id.0,
            actor: Actor::system("test"),
            operator_id: self.operator.parse().unwrap(),
            occurred_at: at("2026-03-01T08:00:00Z"),
            recorded_at: at("2026-03-01T08:00:00Z"),
        };
        let poison = NewEvent::encode(&KeyEvent::Revoked { key_id }.into(), metadata);
        store.append(&StreamId::api_key(key_id), Expected::NoStream, vec![poison]).await.unwrap().position.0
    }
}

const LEADS: &str = "chargeledger_projection_state{projection=\"sessions\",state=\"live\"} 1";
const STANDS_BY: &str = "chargeledger_projection_state{projection=\"sessions\",state=\"standby\"} 1";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_projector_that_is_killed_is_replaced_within_five_seconds_and_nothing_is_applied_twice() {
    let Some(ledger) = Ledger::new() else { return };
    let key = ledger.key("app");
    let writer = ledger.serve("api,processes");
    let mut leader = ledger.serve("projector");
    leader.until_measured(LEADS).await;
    let other = ledger.serve("projector");
    other.until_measured(STANDS_BY).await;
    ledger.until(all_are_at_the_head).await;

    leader.kill();
    let killed = Instant::now();
    writer.until_ready().await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let made = client
        .request(Method::POST, format!("{}/v1/users", writer.url))
        .bearer_auth(&key)
        .json(&json!({"phone": "13800138000"}))
        .send()
        .await
        .unwrap();
    assert_eq!(made.status(), 201);
    let position: u64 = made.headers()["x-position"].to_str().unwrap().parse().unwrap();
    let listed = ledger.until(|listed| listed["head"].as_u64() >= Some(position) && all_are_at_the_head(listed)).await;
    assert!(killed.elapsed() < Duration::from_secs(5), "{:?}", killed.elapsed());
    other.until_measured(LEADS).await;
    let events = json_of(&ledger.run(&["store", "info", "--json"]))["events"].as_u64().unwrap();
    for build in listed["projections"].as_array().unwrap() {
        let counted: u64 = build["counted"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
        assert_eq!((counted, build["number"].as_i64()), (events, Some(1)), "each event once: {build}");
    }
    // The process that writes projects nothing, and answers queries that wait for what another has written.
    let user = client
        .get(format!("{}/v1/users", writer.url))
        .bearer_auth(&key)
        .header("x-min-position", position.to_string())
        .send()
        .await
        .unwrap();
    assert_eq!(user.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_that_would_write_is_told_what_can_run_beside_the_first() {
    let Some(ledger) = Ledger::new() else { return };
    let writer = ledger.serve("api,processes");
    writer.until_ready().await;
    for roles in ["api", "processes,projector"] {
        let refused = ledger.run(&["serve", "--roles", roles, "--listen", "127.0.0.1:0"]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(said.contains("only --roles projector,publisher can be served") && said.contains("is being written by process"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_halted_projection_is_shown_resumed_and_told_to_go_on_without_an_event() {
    let Some(ledger) = Ledger::new() else { return };
    let (admin, staff) = (ledger.key("admin"), ledger.key("operator"));
    let other = json_of(&ledger.run(&["operator", "register", "--code", "OTHER0001", "--name", "other", "--json"]));
    let (first, second, third) = (ledger.poison(1).await, ledger.poison(2).await, ledger.poison(3).await);
    let projector = ledger.serve("projector");
    projector.until_ready().await;
    let ready: Value = serde_json::from_str(&projector.plain("/readyz").await.unwrap().1).unwrap();
    assert_eq!(ready["status"], "ready");
    let is_halted_at = |listed: &Value, position: u64| of(listed, "api_keys")["halt"]["position"] == position;
    ledger.until(|listed| is_halted_at(listed, first)).await;

    let shown = ledger.run(&["projection", "show", "api_keys"]);
    assert_eq!(shown.status.code(), Some(1), "a halt is something wrong");
    for part in
        ["the event changes a row that is not there", "key.revoked", "00000000-0000-0000-0000-000000000001", "projection resume api_keys"]
    {
        assert!(text_of(&shown).contains(part), "{part} in {}", text_of(&shown));
    }
    // Nothing has been mended: it comes back to the same event.
    assert_eq!(json_of(&ledger.run(&["projection", "resume", "api_keys", "--json"]))["resumed"], true);
    ledger.until(|listed| is_halted_at(listed, first)).await;
    assert_eq!(json_of(&ledger.run(&["projection", "resume", "sessions", "--json"]))["resumed"], false);

    let refused = |arguments: &[&str], says: &str| {
        let output = ledger.run(&[&["projection", "quarantine"], arguments].concat());
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(text_of(&output).contains(says), "{says} in {}", text_of(&output));
    };
    refused(&["api_keys", "--reason", " "], "reason is empty");
    refused(&["api_keys", "--reason", "x", "--position", "1"], &format!("api_keys stands at position {first}, not at 1"));
    refused(&["sessions", "--reason", "x"], "sessions has not halted");
    refused(&["horoscopes", "--reason", "x"], "there is no projection horoscopes");

    // Nobody writes: straight into the store.
    let position = first.to_string();
    let quarantine = ["projection", "quarantine", "api_keys", "--reason", "made by a test", "--position", &position, "--json"];
    assert_eq!(json_of(&ledger.run(&quarantine))["position"], first);
    let listed = ledger.until(|listed| is_halted_at(listed, second)).await;
    assert_eq!(of(&listed, "api_keys")["counted"]["quarantined"], 1);
    let again = ["projection", "quarantine", "api_keys", "--reason", "another", "--position", &position, "--json"];
    assert_eq!(json_of(&ledger.run(&again))["reason"], "made by a test", "the first decision stands");

    // A server writes: through it.
    let server = ledger.serve("api,processes");
    server.until_ready().await;
    refused(&["api_keys", "--reason", "x"], "CHARGELEDGER_API_KEY");
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let ask = async |method: Method, path: &str, key: &str, body: Option<Value>| {
        let request = client.request(method, format!("{}{path}", server.url)).bearer_auth(key);
        let response = body.into_iter().fold(request, |request, body| request.json(&body)).send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    let (_, quoted) = ask(Method::GET, "/v1/projections/api_keys", &admin, None).await;
    assert_eq!(quoted["halted_at"]["event"]["key"]["revoked"]["key_id"], id::<ApiKeyId>(2).to_string(), "{quoted}");
    let (_, kept_back) = ask(Method::GET, "/v1/projections/api_keys", &staff, None).await;
    assert_eq!((&kept_back["halted_at"]["position"], &kept_back["halted_at"]["event"]), (&second.into(), &Value::Null));
    let body = json!({"reason": "made by a test, too"});
    let theirs = other["secret"].as_str().or(other["key"]["secret"].as_str()).unwrap();
    assert_eq!(ask(Method::POST, "/v1/projections/api_keys/quarantine", theirs, Some(body.clone())).await.0, 403, "not their event");
    assert_eq!(ask(Method::POST, "/v1/projections/sessions/quarantine", &admin, Some(body.clone())).await.0, 409, "it has not halted");
    assert_eq!(ask(Method::POST, "/v1/projections/api_keys/resume", &admin, None).await.1["resumed"], true);
    ledger.until(|listed| is_halted_at(listed, second)).await;
    let through = ["projection", "quarantine", "api_keys", "--reason", "made by a test, too", "--server", &server.url, "--json"];
    let done = ledger.command(&through).env("CHARGELEDGER_API_KEY", &admin).output().unwrap();
    assert_eq!(json_of(&done)["position"], second, "{done:?}");
    ledger.until(|listed| is_halted_at(listed, third)).await;
    for _ in 0..2 {
        // The second is the first one whose answer was lost.
        let request = client.request(Method::POST, format!("{}/v1/projections/api_keys/quarantine", server.url)).bearer_auth(&admin);
        let answered = request.header("idempotency-key", "once").json(&json!({"reason": "the third"})).send().await.unwrap();
        assert_eq!(answered.status(), 200);
        assert_eq!(answered.json::<Value>().await.unwrap()["position"], third);
        ledger.until(all_are_at_the_head).await;
    }
    let listed = ledger.until(all_are_at_the_head).await;
    assert_eq!(of(&listed, "api_keys")["counted"]["quarantined"], 3);

    let (status, both) = ask(Method::GET, "/v1/projections/quarantined", &admin, None).await;
    assert_eq!((status, both["items"].as_array().map(Vec::len)), (200, Some(3)));
    assert_eq!(both["items"][1]["reason"], "made by a test, too");
    let (_, seen_by_others) = ask(Method::GET, "/v1/projections/quarantined", theirs, None).await;
    assert_eq!((&seen_by_others["items"][1]["position"], &seen_by_others["items"][1]["reason"]), (&second.into(), &Value::Null));
    let shown = ledger.run(&["projection", "show", "api_keys"]);
    assert_eq!(shown.status.code(), Some(0));
    assert!(text_of(&shown).contains("\"made by a test, too\""), "{}", text_of(&shown));
}

/// Every read model rebuilt, proved, and found to be as it was.
fn assert_rebuilt_alike(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rebuilt = json_of(output);
    let jobs = rebuilt["rebuilt"].as_array().unwrap();
    assert_eq!(jobs.len(), projections::all().len(), "{rebuilt}");
    for job in jobs {
        let diff = &job["diff"];
        assert_eq!(job["phase"], "swapped", "{job}");
        assert_eq!((&diff["only_here"], &diff["only_there"], &diff["changed"]), (&json!(0), &json!(0), &json!(0)), "{job}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_that_is_killed_goes_on_where_it_was() {
    let Some(ledger) = Ledger::of(&many_sessions(120)) else { return };
    let serving = ledger.serve("projector");
    ledger.until(all_are_at_the_head).await;
    // Printed, so that a failure can be played again.
    let seed: u64 = std::env::var("CHARGELEDGER_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("seed {seed}");
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let mut phases = std::collections::BTreeSet::new();
    for _ in 0..15 {
        let slowly = ["projection", "rebuild", "--all", "--max-db-rows-per-s", "4000", "--json"];
        let mut killed = ledger.command(&slowly).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        tokio::time::sleep(Duration::from_millis(random.random_range(50..2_500))).await;
        killed.kill().unwrap();
        killed.wait().unwrap();
        let listed = json_of(&ledger.run(&["projection", "list", "--json"]));
        phases.extend(listed["rebuilds"].as_array().unwrap().iter().map(|job| job["phase"].to_string()));
        // Whatever was killed: what serves, serves, and goes on.
        assert!(all_are_at_the_head_but_shadows(&listed), "{listed}");
    }
    println!("killed while {phases:?}");
    assert_rebuilt_alike(&ledger.run(&["projection", "rebuild", "--all", "--json"]));
    let past = |until: &str| {
        let refused = ledger.run(&["projection", "rebuild", "sessions", "--until", until, "--as", "sessions_then"]);
        (refused.status.code(), String::from_utf8_lossy(&refused.stderr).into_owned())
    };
    for (until, code, said) in [
        ("99999999", 1, "the ledger's last position is "),
        ("2001-01-01T00:00:00Z", 1, "nothing had been recorded by 2001-01-01T00:00:00Z"),
        ("0", 2, "the first position is 1"),
        ("tomorrow", 2, "neither a position nor a time"),
    ] {
        let (status, stderr) = past(until);
        assert!(status == Some(code) && stderr.contains(said), "{until}: {status:?} {stderr}");
    }
    assert_eq!(past("5").0, Some(0));
    ledger.until(all_are_at_the_head_but_shadows_of).await;
    drop(serving);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_lost_comes_back_by_itself() {
    let Some(ledger) = Ledger::of(&many_sessions(40)) else { return };
    let serving = ledger.serve("projector");
    ledger.until(all_are_at_the_head).await;
    let settled = "SELECT count(*) FROM read.sessions WHERE status = 'settled'";
    let before = ledger.database().number(settled).await;
    assert_eq!(before, 40);
    ledger.database().lose().await;
    ledger.until(all_are_at_the_head).await;
    assert_eq!(ledger.database().number(settled).await, before);
    drop(serving);
}
