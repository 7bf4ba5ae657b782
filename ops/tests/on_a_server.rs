//! A ledger whose log lies on an event store server, played here by the stand-in of its protocol: imported, served by several processes, audited, and moved.

mod database;

#[path = "../../adapters/eventstore/tests/standin/mod.rs"]
mod standin;

use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use database::Database;
use serde_json::{Value, json};
use standin::StandIn;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

const SESSIONS: &str = "start_date;station_name;charging_time_hh_mm_ss;energy_kwh;address_1;address_2;city;state_province;zip_postal_code;fee;model_number;latitude;longitude;geopoint
2021-03-29T16:39:10+00:00;BOND PARK;01:00:00;3.5;801 High House Road;;Cary;North Carolina;27513;0.0;CT4020-HD-GW;35.781303;-78.825554;-
2021-03-30T16:39:10+00:00;BOND PARK;01:00:00;3.5;801 High House Road;;Cary;North Carolina;27513;0.0;CT4020-HD-GW;35.781303;-78.825554;-
";

/// A directory with the file to import, and where the ledger is.
struct Ledger {
    directory: TempDir,
    event_store: String,
    database: Option<Database>,
}

impl Ledger {
    fn on(event_store: String, database: Option<Database>) -> Ledger {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("sessions.csv"), SESSIONS).unwrap();
        Ledger { directory, event_store, database }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chargeledger"));
        command.args(arguments).current_dir(self.directory.path()).env_clear();
        command.env("CHARGELEDGER_EVENT_STORE", &self.event_store).env("CHARGELEDGER_DATA_DIR", "beside");
        if let Some(database) = &self.database {
            command.env("CHARGELEDGER_DATABASE_URL", database.url());
        }
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--json"]].concat());
        assert!(output.status.success(), "{arguments:?}: {}", text_of(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// What it says when it does not do it.
    #[track_caller]
    fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", text_of(&output));
        text_of(&output)
    }

    fn import(&self) -> Value {
        self.json(&["import", "sessions", "sessions.csv", "--format", "cary"])
    }

    fn key(&self, operator: &str, role: &str) -> String {
        let made = self.json(&["key", "create", "--role", role, "--operator", operator]);
        made["secret"].as_str().unwrap().to_owned()
    }

    /// Every event, without its place in the log.
    fn events(&self) -> Vec<Value> {
        let exported = self.run(&["store", "export"]);
        assert!(exported.status.success(), "{}", text_of(&exported));
        let without_place = |line: &str| {
            let mut event: Value = serde_json::from_str(line).unwrap();
            event["position"] = Value::Null;
            event
        };
        String::from_utf8(exported.stdout).unwrap().lines().map(without_place).collect()
    }

    /// The first id of this name in an event of this type.
    fn id(&self, event_type: &str, name: &str) -> String {
        let events = self.events();
        let event = events.iter().find(|event| event["type"] == event_type).unwrap();
        event["data"][name].as_str().unwrap().to_owned()
    }

    fn serve(&self, roles: &str) -> Serving {
        self.serve_with(roles, &[])
    }

    /// Serves with these settings, too.
    fn serve_with(&self, roles: &str, environment: &[(&str, &str)]) -> Serving {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let mut command = self.command(&["serve", "--roles", roles, "--listen", &address]);
        let child = command.envs(environment.iter().copied()).spawn().unwrap();
        Serving { child, url: format!("http://{address}"), client: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    #[track_caller]
    fn balances(&self) -> String {
        let balance = self.json(&["audit", "trial-balance"])["trial_balance"].clone();
        assert_eq!(balance["debit"], balance["credit"], "{balance}");
        balance["debit"].as_str().unwrap().to_owned()
    }
}

struct Serving {
    child: Child,
    url: String,
    client: reqwest::Client,
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have been killed before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Serving {
    async fn until_ready(&self) {
        let began = Instant::now();
        while self.client.get(format!("{}/readyz", self.url)).send().await.is_err() {
            assert!(began.elapsed() < PATIENCE);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn post(&self, key: &str, path: &str, body: &Value) -> (u16, Value) {
        let request = self.client.post(format!("{}{path}", self.url)).bearer_auth(key).json(body);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    async fn get(&self, key: &str, path: &str) -> (u16, Value) {
        let response = self.client.get(format!("{}{path}", self.url)).bearer_auth(key).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// Plugs in, charges, and settles: from plug to trial balance.
    async fn play(&self, app: &str, gateway: &str, connector: &str, user: &str) {
        let start = json!({"connector_id": connector, "user_id": user, "payment": {"mode": "postpaid"}});
        let (status, started) = self.post(app, "/v1/sessions", &start).await;
        assert!(matches!(status, 201 | 202), "{status} {started}");
        let session = started["session_id"].as_str().unwrap().to_owned();
        let events = format!("/v1/sessions/{session}/events?limit=200");
        self.until(app, &events, "session.started").await;
        let now = jiff::Timestamp::now();
        let record = json!({
            "type": "transaction_record", "connector_id": connector, "transaction_number": session.replace('-', ""),
            "started_at": (now - jiff::SignedDuration::from_secs(5)).to_string(), "ended_at": now.to_string(),
            "meter_start_kwh": "100", "meter_end_kwh": "101", "energy_kwh": "1",
        });
        let (status, recorded) = self.post(gateway, "/v1/device-events", &record).await;
        assert_eq!(status, 200, "{recorded}");
        self.until(app, &events, "session.settled").await;
    }

    async fn until(&self, key: &str, path: &str, event_type: &str) {
        let began = Instant::now();
        loop {
            let (_, events) = self.get(key, path).await;
            if events["items"].as_array().is_some_and(|items| items.iter().any(|event| event["type"] == event_type)) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{event_type} in {events}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn text_of(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_played_by_two_processes_on_a_server_and_the_books_balance() {
    let stand_in = StandIn::start().await;
    let ledger = Ledger::on(stand_in.url(), None);
    let imported = ledger.import();
    assert_eq!(imported["played"], 2);
    assert_eq!(ledger.import()["played"], 0, "what is there is not imported again");
    let operator = imported["operator_id"].as_str().unwrap();
    let (app, gateway) = (ledger.key(operator, "app"), ledger.key(operator, "gateway"));
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
    let ledger = Ledger::on(stand_in.url(), Some(database));
    let operator = ledger.import()["operator_id"].as_str().unwrap().to_owned();
    let (app, gateway) = (ledger.key(&operator, "app"), ledger.key(&operator, "gateway"));
    let (connector, user) = (ledger.id("connector.registered", "connector_id"), ledger.id("user.registered", "user_id"));
    let api = ledger.serve("api,projector");
    let mut first = ledger.serve("processes");
    api.until_ready().await;
    api.play(&app, &gateway, &connector, &user).await;
    let _second = ledger.serve("processes");
    // SIGKILL: no chance to hand anything over; and the leader of the cluster goes, too.
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    stand_in.kill(0);
    stand_in.lead(1);
    let finance = ledger.key(&operator, "finance");
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
    let ledger = Ledger::on(stand_in.url(), None);
    ledger.import();
    let api = ledger.serve("api");
    api.until_ready().await;
    let measured = async |line: &str| {
        let began = Instant::now();
        loop {
            let text = api.client.get(format!("{}/metrics", api.url)).send().await.unwrap().text().await.unwrap();
            if text.lines().any(|known| known == line) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{line} in {text}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    measured("chargeledger_engine_breaker_open{engine=\"esdb\"} 0").await;
    stand_in.be_silent(true);
    measured("chargeledger_engine_breaker_open{engine=\"esdb\"} 1").await;
    stand_in.be_silent(false);
    measured("chargeledger_engine_breaker_open{engine=\"esdb\"} 0").await;
    stand_in.assert_no_sins();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_driver_whom_one_server_registered_is_known_to_another_that_shares_its_keys() {
    let Some(keys) = Database::new() else { return };
    let stand_in = StandIn::start().await;
    let ledger = Ledger::on(stand_in.url(), None);
    let app = ledger.key(ledger.import()["operator_id"].as_str().unwrap(), "app");
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
    let here = Ledger::on("embedded:first".to_owned(), None);
    here.import();
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

    let there = Ledger::on(url.clone(), None);
    assert_eq!(there.events()[..events.len()], events);
    assert!(there.events().len() <= events.len() + 1, "no more than the process managers' place is added");
    assert_eq!(there.json(&["audit", "verify"])["audit"], "ok");
    assert_eq!(there.balances(), here.balances());

    move_it(&url, "embedded:second");
    let back = Ledger::on(format!("embedded:{}", here.directory.path().join("second").display()), None);
    assert_eq!(back.events()[..events.len()], events);
    assert_eq!(back.json(&["audit", "verify"])["audit"], "ok");

    // Neither into another ledger nor beside one.
    let other = Ledger::on("embedded:other".to_owned(), None);
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
    let ledger = Ledger::on(url, None);
    let refused = ledger.refused(&["audit", "verify"]);
    assert!(refused.contains("does not answer") && refused.contains("is it running") && !refused.contains("secret"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_to_a_server_are_measured_in_a_ledger_of_their_own() {
    let stand_in = StandIn::start().await;
    let ledger = Ledger::on("embedded:here".to_owned(), None);
    let measured = ledger.json(&["bench", "append", "--seconds", "1", "--event-store", &stand_in.url()]);
    assert!(measured["figures"].as_array().unwrap().iter().all(|one| one["events_per_s"].as_u64().unwrap() > 0), "{measured}");
    let there = Ledger::on(stand_in.url(), None);
    assert_eq!(there.json(&["store", "info"])["events"], 0);
}
