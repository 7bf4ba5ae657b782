//! A ledger in a directory of its own, with or without a database and servers, and processes that serve it: the binary, as an operator runs it.

// Each test binary uses its part of this.
#![allow(dead_code)]

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::database::{self, Database};

/// How long a condition is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A ledger, and what it is told.
pub(crate) struct Ledger {
    pub(crate) directory: tempfile::TempDir,
    /// Whose sessions were imported.
    pub(crate) operator: String,
    database: Option<Database>,
    settings: Vec<(String, String)>,
}

/// A process, killed when it is no longer needed.
pub(crate) struct Serving {
    pub(crate) child: Child,
    pub(crate) url: String,
    client: reqwest::Client,
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have been killed before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) const SESSIONS: &str = "start_date;station_name;charging_time_hh_mm_ss;energy_kwh;address_1;address_2;city;state_province;zip_postal_code;fee;model_number;latitude;longitude;geopoint
2021-03-29T16:39:10+00:00;BOND PARK;01:00:00;3.5;801 High House Road;;Cary;North Carolina;27513;0.0;CT4020-HD-GW;35.781303;-78.825554;-
2021-03-30T16:39:10+00:00;BOND PARK;01:00:00;3.5;801 High House Road;;Cary;North Carolina;27513;0.0;CT4020-HD-GW;35.781303;-78.825554;-
";

impl Ledger {
    /// With two sessions in it, and a database.
    pub(crate) fn new() -> Option<Ledger> {
        Ledger::of(SESSIONS)
    }

    /// With these sessions in it, and a database.
    pub(crate) fn of(sessions: &str) -> Option<Ledger> {
        Some(Ledger::on(Database::new()?, sessions))
    }

    pub(crate) fn on(database: Database, sessions: &str) -> Ledger {
        Ledger::empty().with_database(database).imported(sessions)
    }

    /// Nothing is in it, and it has no database.
    pub(crate) fn empty() -> Ledger {
        Ledger { directory: tempfile::tempdir().unwrap(), operator: String::new(), database: None, settings: Vec::new() }
    }

    /// With a setting: `with("NATS_URL", …)`.
    pub(crate) fn with(mut self, setting: &str, value: impl Into<String>) -> Ledger {
        self.settings.push((format!("CHARGELEDGER_{setting}"), value.into()));
        self
    }

    pub(crate) fn with_database(mut self, database: Database) -> Ledger {
        self.database = Some(database);
        self
    }

    pub(crate) fn imported(mut self, sessions: &str) -> Ledger {
        self.operator = self.import(sessions)["operator_id"].as_str().unwrap().to_owned();
        self
    }

    pub(crate) fn import(&self, sessions: &str) -> Value {
        let file = self.directory.path().join("sessions.csv");
        std::fs::write(&file, sessions).unwrap();
        self.json(&["import", "sessions", file.to_str().unwrap(), "--format", "cary"])
    }

    /// The database that it was given.
    pub(crate) fn database(&self) -> &Database {
        self.database.as_ref().expect("it has a database")
    }

    /// Its data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.directory.path().join("ledger")
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chargeledger"));
        command.args(arguments).current_dir(self.directory.path()).env_clear().env("CHARGELEDGER_DATA_DIR", self.data());
        if let Some(database) = &self.database {
            command.env("CHARGELEDGER_DATABASE_URL", database.url());
        }
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What it answers when it does it.
    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--json"]].concat());
        assert!(output.status.success(), "{arguments:?}: {}", text_of(&output));
        json_of(&output)
    }

    /// What it says when it does not do it.
    #[track_caller]
    pub(crate) fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", text_of(&output));
        text_of(&output)
    }

    /// An API key's secret.
    pub(crate) fn key(&self, role: &str) -> String {
        let made = self.json(&["key", "create", "--role", role, "--operator", &self.operator]);
        made["secret"].as_str().unwrap().to_owned()
    }

    /// Every event, without its place in the log.
    pub(crate) fn events(&self) -> Vec<Value> {
        let without_place = |mut event: Value| {
            event["position"] = Value::Null;
            event
        };
        self.exported().into_iter().map(without_place).collect()
    }

    /// Every event, as it is exported.
    pub(crate) fn exported(&self) -> Vec<Value> {
        let exported = self.run(&["store", "export"]);
        assert!(exported.status.success(), "{}", text_of(&exported));
        lines_of(&exported)
    }

    /// The first id of this name in an event of this type.
    pub(crate) fn id(&self, event_type: &str, name: &str) -> String {
        let events = self.events();
        let event = events.iter().find(|event| event["type"] == event_type).unwrap();
        event["data"][name].as_str().unwrap().to_owned()
    }

    /// What all accounts of the trial balance have on either side.
    #[track_caller]
    pub(crate) fn balances(&self) -> String {
        let balance = self.json(&["audit", "trial-balance"])["trial_balance"].clone();
        assert_eq!(balance["debit"], balance["credit"], "{balance}");
        balance["debit"].as_str().unwrap().to_owned()
    }

    pub(crate) fn serve(&self, roles: &str) -> Serving {
        self.serve_with(roles, &[])
    }

    /// Serves with these settings, too.
    pub(crate) fn serve_with(&self, roles: &str, environment: &[(&str, &str)]) -> Serving {
        self.start(&["--roles", roles], environment)
    }

    /// One process for all that is configured.
    pub(crate) fn serve_everything(&self) -> Serving {
        self.start(&[], &[])
    }

    fn start(&self, roles: &[&str], environment: &[(&str, &str)]) -> Serving {
        // Free a moment ago, and nobody else asks for ports here.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let mut command = self.command(&[&["serve", "--listen", &address], roles].concat());
        let child = command.envs(environment.iter().copied()).stderr(Stdio::null()).spawn().unwrap();
        Serving { child, url: format!("http://{address}"), client: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    /// The builds, once it is so.
    pub(crate) async fn until(&self, is_so: impl Fn(&Value) -> bool) -> Value {
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
    /// SIGKILL: no chance to hand anything over.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until it answers.
    pub(crate) async fn until_ready(&self) {
        let began = Instant::now();
        while self.plain("/readyz").await.is_none() {
            assert!(began.elapsed() < PATIENCE);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What anybody may ask; nothing while nobody answers.
    pub(crate) async fn plain(&self, path: &str) -> Option<(u16, String)> {
        let answer = self.client.get(format!("{}{path}", self.url)).send().await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    }

    pub(crate) async fn get(&self, key: &str, path: &str) -> (u16, Value) {
        let response = self.client.get(format!("{}{path}", self.url)).bearer_auth(key).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    pub(crate) async fn post(&self, key: &str, path: &str, body: &Value) -> (u16, Value) {
        let request = self.client.post(format!("{}{path}", self.url)).bearer_auth(key).json(body);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// What it says to who asks whether it is ready.
    pub(crate) async fn readiness(&self, query: &str) -> (u16, Value) {
        let (status, text) = self.plain(&format!("/readyz{query}")).await.unwrap_or_default();
        (status, serde_json::from_str(&text).unwrap_or_default())
    }

    /// Waits until a role is in this state, and says what the whole process says then.
    pub(crate) async fn until_role(&self, role: &str, state: &str) -> (u16, Value) {
        let began = Instant::now();
        loop {
            let (status, said) = self.readiness("").await;
            if said["roles"][role]["state"] == state {
                return (status, said);
            }
            assert!(began.elapsed() < PATIENCE, "{role} {state}: {status} {said}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until its metrics have this line.
    pub(crate) async fn until_measured(&self, line: &str) {
        let began = Instant::now();
        while !self.plain("/metrics").await.is_some_and(|(_, text)| text.lines().any(|known| known == line)) {
            assert!(began.elapsed() < PATIENCE, "{line} in {:?}", self.plain("/metrics").await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Plugs in, charges, and settles: from plug to trial balance.
    pub(crate) async fn play(&self, app: &str, gateway: &str, connector: &str, user: &str) {
        let start = json!({"connector_id": connector, "user_id": user, "payment": {"mode": "postpaid"}});
        let (status, started) = self.post(app, "/v1/sessions", &start).await;
        assert!(matches!(status, 201 | 202), "{status} {started}");
        let session = started["session_id"].as_str().unwrap().to_owned();
        let events = format!("/v1/sessions/{session}/events?limit=200");
        self.until_happened(app, &events, "session.started").await;
        let now = jiff::Timestamp::now();
        let record = json!({
            "type": "transaction_record", "connector_id": connector, "transaction_number": session.replace('-', ""),
            "started_at": (now - jiff::SignedDuration::from_secs(5)).to_string(), "ended_at": now.to_string(),
            "meter_start_kwh": "100", "meter_end_kwh": "101", "energy_kwh": "1",
        });
        let (status, recorded) = self.post(gateway, "/v1/device-events", &record).await;
        assert_eq!(status, 200, "{recorded}");
        self.until_happened(app, &events, "session.settled").await;
    }

    /// Waits for an event of this type in a list of them.
    async fn until_happened(&self, key: &str, path: &str, event_type: &str) {
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

/// What a command printed with `--json`.
pub(crate) fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// The objects that a command printed, one a line.
pub(crate) fn lines_of(output: &Output) -> Vec<Value> {
    String::from_utf8_lossy(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub(crate) fn all_are_at_the_head(listed: &Value) -> bool {
    let builds = listed["projections"].as_array().unwrap();
    builds.len() > 20 && builds.iter().all(|build| build["lag"] == 0 && build["position"] == listed["head"])
}

pub(crate) fn text_of(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

pub(crate) fn of<'a>(listed: &'a Value, name: &str) -> &'a Value {
    listed["projections"].as_array().unwrap().iter().find(|build| build["name"] == name).unwrap_or(&Value::Null)
}

impl Database {
    /// Everything in it is gone, as if it had never been there.
    pub(crate) async fn lose(&self) {
        database::drop_database(&self.server, &self.name).await;
    }

    /// The one number that a query answers.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        let (client, connection) = tokio_postgres::connect(&self.url(), tokio_postgres::NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        let number = client.query_one(sql, &[]).await.unwrap().get(0);
        connection.abort();
        number
    }
}

/// So many sessions, an hour apart.
pub(crate) fn many_sessions(count: u32) -> String {
    let (head, rest) = SESSIONS.split_once('\n').unwrap();
    let row = rest.lines().next().unwrap();
    let rows = (0..count).map(|number| {
        let (day, hour) = (number / 24 % 28 + 1, number % 24);
        row.replace("2021-03-29T16:39:10", &format!("2021-04-{day:02}T{hour:02}:10:00")).replace("01:00:00", "00:40:00")
    });
    std::iter::once(head.to_owned()).chain(rows).collect::<Vec<_>>().join("\n")
}

pub(crate) fn all_are_at_the_head_but_shadows(listed: &Value) -> bool {
    let serving: Vec<_> = listed["projections"].as_array().unwrap().iter().filter(|build| build["state"] == "serving").collect();
    serving.len() == projections::all().len() && serving.iter().all(|build| build["halt"].is_null())
}

pub(crate) fn all_are_at_the_head_but_shadows_of(listed: &Value) -> bool {
    let builds = listed["projections"].as_array().unwrap();
    all_are_at_the_head_but_shadows(listed)
        && builds.iter().filter(|build| build["state"] == "serving").all(|build| build["position"] == listed["head"])
}
