//! Several processes on one ledger: one writes, others project, and any of them may be killed.

mod database;

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use database::Database;
use reqwest::Method;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);

/// A ledger with two sessions in it.
struct Ledger {
    directory: tempfile::TempDir,
    database: Database,
    operator: String,
}

/// A process, killed when it is no longer needed.
struct Serving {
    child: Child,
    url: String,
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have been killed before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const SESSIONS: &str = "start_date;station_name;charging_time_hh_mm_ss;energy_kwh;address_1;address_2;city;state_province;zip_postal_code;fee;model_number;latitude;longitude;geopoint
2021-03-29T16:39:10+00:00;BOND PARK;01:00:00;3.5;801 High House Road;;Cary;North Carolina;27513;0.0;CT4020-HD-GW;35.781303;-78.825554;-
2021-03-30T16:39:10+00:00;BOND PARK;01:00:00;3.5;801 High House Road;;Cary;North Carolina;27513;0.0;CT4020-HD-GW;35.781303;-78.825554;-
";

impl Ledger {
    fn new() -> Option<Ledger> {
        let database = Database::new()?;
        let directory = tempfile::tempdir().unwrap();
        let mut ledger = Ledger { directory, database, operator: String::new() };
        let file = ledger.directory.path().join("sessions.csv");
        std::fs::write(&file, SESSIONS).unwrap();
        let imported = ledger.run(&["import", "sessions", file.to_str().unwrap(), "--format", "cary", "--json"]);
        let imported = json_of(&imported);
        ledger.operator = imported["operator_id"].as_str().unwrap().to_owned();
        Some(ledger)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let directory: &Path = self.directory.path();
        let mut command = Command::new(env!("CARGO_BIN_EXE_chargeledger"));
        command.args(arguments).current_dir(directory).env_clear();
        command.env("CHARGELEDGER_DATA_DIR", directory.join("ledger")).env("CHARGELEDGER_DATABASE_URL", self.database.url());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn serve(&self, roles: &str) -> Serving {
        // Free a moment ago, and nobody else asks for ports here.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let arguments = ["serve", "--roles", roles, "--listen", &address];
        let child = self.command(&arguments).stderr(Stdio::null()).spawn().unwrap();
        Serving { child, url: format!("http://{address}") }
    }

    /// The builds, once it is so.
    async fn until(&self, is_so: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let output = self.run(&["projection", "list", "--json"]);
            let listed = serde_json::from_slice::<Value>(&output.stdout).unwrap_or_default();
            if listed["projections"].as_array().is_some_and(|builds| !builds.is_empty() && is_so(&listed)) {
                return listed;
            }
            assert!(began.elapsed() < PATIENCE, "{listed}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Serving {
    async fn get(&self, path: &str) -> Option<String> {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        client.get(format!("{}{path}", self.url)).send().await.ok()?.text().await.ok()
    }

    /// Waits until its metrics have this line.
    async fn until_measured(&self, line: &str) {
        let began = Instant::now();
        while !self.get("/metrics").await.is_some_and(|text| text.lines().any(|known| known == line)) {
            assert!(began.elapsed() < PATIENCE, "{line} in {:?}", self.get("/metrics").await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn all_are_at_the_head(listed: &Value) -> bool {
    let builds = listed["projections"].as_array().unwrap();
    builds.len() > 20 && builds.iter().all(|build| build["lag"] == 0 && build["position"] == listed["head"])
}

const LEADS: &str = "projection_state{projection=\"sessions\",state=\"live\"} 1";
const STANDS_BY: &str = "projection_state{projection=\"sessions\",state=\"standby\"} 1";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_projector_that_is_killed_is_replaced_within_five_seconds_and_nothing_is_applied_twice() {
    let Some(ledger) = Ledger::new() else { return };
    let key = json_of(&ledger.run(&["key", "create", "--role", "app", "--operator", &ledger.operator, "--json"]));
    let writer = ledger.serve("api,processes");
    let mut leader = ledger.serve("projector");
    leader.until_measured(LEADS).await;
    let other = ledger.serve("projector");
    other.until_measured(STANDS_BY).await;
    ledger.until(all_are_at_the_head).await;

    // SIGKILL: no chance to give anything up.
    leader.child.kill().unwrap();
    leader.child.wait().unwrap();
    let killed = Instant::now();
    let began = Instant::now();
    while writer.get("/readyz").await.is_none() {
        assert!(began.elapsed() < PATIENCE);
    }
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let made = client
        .request(Method::POST, format!("{}/v1/users", writer.url))
        .bearer_auth(key["secret"].as_str().unwrap())
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
        .bearer_auth(key["secret"].as_str().unwrap())
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
    let began = Instant::now();
    while writer.get("/readyz").await.is_none() {
        assert!(began.elapsed() < PATIENCE);
    }
    for roles in ["api", "processes,projector"] {
        let refused = ledger.run(&["serve", "--roles", roles, "--listen", "127.0.0.1:0"]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(said.contains("only --roles projector can be served") && said.contains("is being written by process"), "{said}");
    }
}
