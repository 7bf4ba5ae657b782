//! The feed, by the binary alone: published by a process that only reads the ledger, looked at, broken, mended, made again, and consumed.

mod database;

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use database::Database;
use nats_feed::testing::{Servers, delete_message, until};
use serde_json::{Value, json};

const SESSIONS: &str = "start_date;station_name;charging_time_hh_mm_ss;energy_kwh;address_1;address_2;city;state_province;zip_postal_code;fee;model_number;latitude;longitude;geopoint
2021-03-29T16:39:10+00:00;BOND PARK;01:00:00;3.5;801 High House Road;;Cary;North Carolina;27513;0.0;CT4020-HD-GW;35.781303;-78.825554;-
2021-03-30T16:39:10+00:00;BOND PARK;01:00:00;3.5;801 High House Road;;Cary;North Carolina;27513;0.0;CT4020-HD-GW;35.781303;-78.825554;-
";

/// A ledger with two sessions in it, and no database unless a test gives it one.
struct Ledger {
    directory: tempfile::TempDir,
    nats: String,
    database: Option<Database>,
}

/// A process, killed when it is no longer needed.
struct Serving {
    child: Child,
    url: String,
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ledger {
    fn new(nats: String) -> Ledger {
        let ledger = Ledger { directory: tempfile::tempdir().unwrap(), nats, database: None };
        let file = ledger.directory.path().join("sessions.csv");
        std::fs::write(&file, SESSIONS).unwrap();
        ledger.json(&["import", "sessions", file.to_str().unwrap(), "--format", "cary"]);
        ledger
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("ledger")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chargeledger"));
        command.args(arguments).current_dir(self.directory.path()).env_clear();
        command.env("CHARGELEDGER_DATA_DIR", self.data()).env("CHARGELEDGER_NATS_URL", &self.nats);
        if let Some(database) = &self.database {
            command.env("CHARGELEDGER_DATABASE_URL", database.url());
        }
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--json"]].concat());
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {output:?}"))
    }

    fn serve(&self, roles: &[&str]) -> Serving {
        // Free a moment ago, and nobody else asks for ports here.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let child = self.command(&[&["serve", "--listen", &address], roles].concat()).stderr(Stdio::null()).spawn().unwrap();
        Serving { child, url: format!("http://{address}") }
    }

    async fn published(&self) {
        until("everything is published", async || {
            let info = self.run(&["feed", "info", "--json"]);
            let info: Value = serde_json::from_slice(&info.stdout).unwrap_or_default();
            info["lag_events"] == 0 && info["messages"].as_u64() > Some(0)
        })
        .await;
    }
}

impl Serving {
    async fn get(&self, path: &str) -> Option<(u16, String)> {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = client.get(format!("{}{path}", self.url)).send().await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn ids(output: &Output) -> Vec<String> {
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["event_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_feed_is_published_beside_the_writer_looked_at_mended_and_made_again() {
    let Some(servers) = Servers::start(1) else { return };
    let ledger = Ledger::new(servers.urls());
    assert!(said(&ledger.run(&["feed", "info"])).contains("there is no feed yet: the role publisher makes it"));
    let _writer = ledger.serve(&["--roles", "api,processes"]);
    let publisher = ledger.serve(&["--roles", "publisher"]);
    ledger.published().await;
    until("the role is ready", async || publisher.get("/readyz").await.is_some_and(|(status, _)| status == 200)).await;
    let events = ledger.json(&["store", "info"])["events"].as_u64().unwrap();
    let verified = ledger.json(&["feed", "verify"]);
    assert_eq!((&verified["messages"], &verified["is_fine"]), (&json!(events), &json!(true)), "{verified}");
    let is_live = "chargeledger_feed_state{state=\"live\"} 1";
    until("metrics", async || {
        publisher.get("/metrics").await.is_some_and(|(_, text)| text.contains(is_live) && text.contains("chargeledger_feed_lag_events 0"))
    })
    .await;

    // Somebody takes a message out.
    delete_message(&servers.connect().await, "LEDGER_EVENTS", 5).await;
    let broken = ledger.run(&["feed", "verify"]);
    assert_eq!(broken.status.code(), Some(1), "{broken:?}");
    assert!(
        said(&broken).contains("missing: positions 5 to 5, 1 events") && said(&broken).contains("feed verify --fill"),
        "{}",
        said(&broken)
    );
    let filled = ledger.json(&["feed", "verify", "--fill"]);
    assert_eq!((&filled["filled"], &filled["late"], &filled["is_fine"]), (&json!(1), &json!(1), &json!(true)));

    let rebuilt = ledger.json(&["feed", "rebuild"]);
    assert_eq!(rebuilt["published"], events);
    let verified = ledger.json(&["feed", "verify"]);
    assert_eq!((&verified["messages"], &verified["late"], &verified["is_fine"]), (&json!(events), &json!(0), &json!(true)));
    let info = ledger.json(&["feed", "info"]);
    assert_eq!((&info["stream"], &info["position"], &info["lag_events"]), (&json!("LEDGER_EVENTS"), &info["head"], &json!(0)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tail_shows_each_event_once_from_where_it_is_asked_to() {
    let Some(servers) = Servers::start(1) else { return };
    let ledger = Ledger::new(servers.urls());
    let _everything = ledger.serve(&[]);
    ledger.published().await;
    let exported = ids(&ledger.run(&["store", "export"]));
    let (count, tail) = (exported.len().to_string(), |more: &[&str]| ids(&ledger.run(&[&["feed", "tail", "--json"], more].concat())));
    assert_eq!(tail(&["--limit", &count]), exported);
    assert_eq!(tail(&["--from", "7", "--limit", "3"]), exported[7..10]);
    let sessions = ledger.run(&["feed", "tail", "--type", "session.*,user.registered", "--limit", "4"]);
    assert!(said(&sessions).lines().all(|line| line.contains("  session.") || line.contains("  user.registered")), "{}", said(&sessions));
    // A durable consumer goes on where it ended, also when everything is published again.
    assert_eq!(tail(&["--name", "books", "--limit", "4"]), exported[..4]);
    assert_eq!(tail(&["--name", "books", "--limit", "2"]), exported[4..6]);
    ledger.json(&["feed", "rebuild"]);
    assert_eq!(tail(&["--name", "books", "--limit", "3"]), exported[6..9]);
    assert!(said(&ledger.run(&["feed", "tail", "--name", "a b"])).contains("letters, digits"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_nats_the_ledger_goes_on_and_the_role_says_what_is_the_matter() {
    let Some(mut servers) = Servers::start(1) else { return };
    let ledger = Ledger::new(servers.urls());
    servers.kill(0);
    let everything = ledger.serve(&[]);
    until("the ledger is ready", async || everything.get("/readyz").await.is_some_and(|(status, _)| status == 200)).await;
    let publisher = ledger.serve(&["--roles", "publisher"]);
    until("the role is not", async || {
        publisher
            .get("/readyz")
            .await
            .is_some_and(|(status, text)| status == 503 && text.contains("NATS is unavailable") && text.contains("\"lag_events\""))
    })
    .await;
    let info = ledger.run(&["feed", "info"]);
    assert!(info.status.code() == Some(1) && said(&info).contains("NATS is unavailable"), "{}", said(&info));
    servers.restart(0);
    ledger.published().await;
    let unnamed = ledger.command(&["serve", "--roles", "publisher"]).env_remove("CHARGELEDGER_NATS_URL").output().unwrap();
    assert!(
        said(&unnamed).contains("the role publisher publishes to NATS: no NATS is configured: set CHARGELEDGER_NATS_URL"),
        "{}",
        said(&unnamed)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_publishers_one_leads_and_the_other_takes_over_when_it_is_killed() {
    let (Some(servers), Some(database)) = (Servers::start(1), Database::new()) else { return };
    let ledger = Ledger { database: Some(database), ..Ledger::new(servers.urls()) };
    let is = async |publisher: &Serving, state: &str| {
        let said = format!("\"state\":\"{state}\"");
        publisher.get("/readyz").await.is_some_and(|(status, text)| status == 200 && text.contains(&said))
    };
    let mut first = ledger.serve(&["--roles", "publisher"]);
    until("the first one publishes", async || is(&first, "live").await).await;
    let second = ledger.serve(&["--roles", "publisher"]);
    until("the second one stands by", async || is(&second, "standby").await).await;
    first.child.kill().unwrap();
    until("the second one publishes", async || is(&second, "live").await).await;
    ledger.json(&["operator", "register", "--code", "OTHER0001", "--name", "other"]);
    ledger.published().await;
    assert_eq!(ledger.json(&["feed", "verify"])["is_fine"], true);
}
