//! A ledger in a directory of its own, with a database, and processes that serve it.

// Each test binary uses its part of this.
#![allow(dead_code)]

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::database::{self, Database};

/// How long a condition is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A ledger with two sessions in it.
pub(crate) struct Ledger {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) database: Database,
    pub(crate) operator: String,
}

/// A process, killed when it is no longer needed.
pub(crate) struct Serving {
    pub(crate) child: Child,
    pub(crate) url: String,
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
    pub(crate) fn new() -> Option<Ledger> {
        Ledger::of(SESSIONS)
    }

    pub(crate) fn of(sessions: &str) -> Option<Ledger> {
        Some(Ledger::on(Database::new()?, sessions))
    }

    pub(crate) fn on(database: Database, sessions: &str) -> Ledger {
        let directory = tempfile::tempdir().unwrap();
        let mut ledger = Ledger { directory, database, operator: String::new() };
        let file = ledger.directory.path().join("sessions.csv");
        std::fs::write(&file, sessions).unwrap();
        let imported = ledger.run(&["import", "sessions", file.to_str().unwrap(), "--format", "cary", "--json"]);
        let imported = json_of(&imported);
        ledger.operator = imported["operator_id"].as_str().unwrap().to_owned();
        ledger
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let directory: &Path = self.directory.path();
        let mut command = Command::new(env!("CARGO_BIN_EXE_chargeledger"));
        command.args(arguments).current_dir(directory).env_clear();
        command.env("CHARGELEDGER_DATA_DIR", directory.join("ledger")).env("CHARGELEDGER_DATABASE_URL", self.database.url());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    pub(crate) fn serve(&self, roles: &str) -> Serving {
        self.serve_with(roles, &[])
    }

    /// Serves with these settings, too.
    pub(crate) fn serve_with(&self, roles: &str, environment: &[(&str, &str)]) -> Serving {
        // Free a moment ago, and nobody else asks for ports here.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let arguments = ["serve", "--roles", roles, "--listen", &address];
        let child = self.command(&arguments).envs(environment.iter().copied()).stderr(Stdio::null()).spawn().unwrap();
        Serving { child, url: format!("http://{address}") }
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
    /// Waits until it answers.
    pub(crate) async fn until_ready(&self) {
        let began = Instant::now();
        while self.get("/readyz").await.is_none() {
            assert!(began.elapsed() < PATIENCE);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Option<String> {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        client.get(format!("{}{path}", self.url)).send().await.ok()?.text().await.ok()
    }

    /// Waits until its metrics have this line.
    pub(crate) async fn until_measured(&self, line: &str) {
        let began = Instant::now();
        while !self.get("/metrics").await.is_some_and(|text| text.lines().any(|known| known == line)) {
            assert!(began.elapsed() < PATIENCE, "{line} in {:?}", self.get("/metrics").await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// What a command printed with `--json`.
pub(crate) fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
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
    serving.len() == 23 && serving.iter().all(|build| build["halt"].is_null())
}

pub(crate) fn all_are_at_the_head_but_shadows_of(listed: &Value) -> bool {
    let builds = listed["projections"].as_array().unwrap();
    all_are_at_the_head_but_shadows(listed)
        && builds.iter().filter(|build| build["state"] == "serving").all(|build| build["position"] == listed["head"])
}
