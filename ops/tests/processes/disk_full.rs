//! PostgreSQL's disk runs full, while read models follow the log and while they are rebuilt: those who read notice nothing, everybody is told, and with room again
//! everything goes on.
//!
//! The database lies on a file system of its own, of a few megabytes, on a server of its own. Whoever may not mount one sees the tests skipped, with the reason.

use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::database::Database;
use crate::serving::{Ledger, PATIENCE, Serving, all_are_at_the_head, all_are_at_the_head_but_shadows_of, json_of, many_sessions, text_of};

const DISK_MIB: u64 = 64;
/// Enough for those who serve; not for a rebuild beside them.
const LEFT_KIB: u64 = 500;

/// A server of its own with a tablespace on a small file system: on a full disk a server cannot even make a checkpoint, which others would feel. Gone with this.
struct Disk {
    home: tempfile::TempDir,
    bin: PathBuf,
    owner: (u32, u32),
    server: Child,
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(text_of(&output).trim().to_owned()) }
}

async fn client(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

impl Disk {
    /// Mounts one, starts a server like the one that is there, and makes the database on it.
    async fn mounted_for(database: &mut Database) -> Result<Disk, String> {
        let data: String =
            client(&database.server).await.query_one("SHOW data_directory", &[]).await.map_err(|error| error.to_string())?.get(0);
        let owner = std::fs::metadata(&data).map_err(|_| "the server runs on another machine".to_owned())?;
        let process =
            std::fs::read_to_string(format!("{data}/postmaster.pid")).map_err(|_| "the server's directory cannot be read".to_owned())?;
        let program = std::fs::read_link(format!("/proc/{}/exe", process.lines().next().unwrap_or_default()));
        let bin = program.map_err(|_| "the server runs on another machine".to_owned())?.parent().unwrap().to_owned();
        let owner = (owner.uid(), owner.gid());
        let home = tempfile::Builder::new().prefix("full-").tempdir_in("/tmp").unwrap();
        let small = home.path().join("small");
        std::fs::create_dir(&small).unwrap();
        let options = format!("size={DISK_MIB}m,mode=0700,uid={},gid={}", owner.0, owner.1);
        run(Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&small))
            .map_err(|reason| format!("no file system may be mounted here: {reason}"))?;
        std::os::unix::fs::chown(home.path(), Some(owner.0), Some(owner.1)).unwrap();
        let owned = |program: &str| {
            let mut command = Command::new(bin.join(program));
            command.current_dir("/").uid(owner.0).gid(owner.1).env("PGDATA", home.path().join("data"));
            command
        };
        run(owned("initdb").args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"])).unwrap();
        let mut postgres = owned("postgres");
        postgres.arg("-k").arg(home.path()).args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=100"]);
        let server = postgres.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        database.server = format!("postgresql://postgres@{}/postgres", home.path().to_str().unwrap().replace('/', "%2F"));
        let disk = Disk { home, bin, owner, server };
        let began = Instant::now();
        while tokio_postgres::connect(&database.server, tokio_postgres::NoTls).await.is_err() {
            assert!(began.elapsed() < PATIENCE, "the server does not start");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let postgres = client(&database.server).await;
        postgres.batch_execute(&format!("CREATE TABLESPACE small LOCATION '{}'", small.display())).await.unwrap();
        postgres.batch_execute(&format!("CREATE DATABASE {} TABLESPACE small", database.name)).await.unwrap();
        // What has no place on the disk yet gets it now.
        postgres.batch_execute("CHECKPOINT").await.unwrap();
        Ok(disk)
    }

    fn small(&self) -> PathBuf {
        self.home.path().join("small")
    }

    /// Takes all room but so much; what is left moves while the database works.
    fn fill(&self, left_kib: u64) {
        self.free();
        let output = Command::new("df").arg("--output=avail").arg(self.small()).output().unwrap();
        let available: u64 = String::from_utf8_lossy(&output.stdout).lines().last().unwrap().trim().parse().unwrap();
        let zeros = vec![0; usize::try_from(available.saturating_sub(left_kib) << 10).unwrap()];
        // The database may take some of it in the same moment.
        let _ = std::fs::write(self.small().join("ballast"), zeros);
    }

    fn free(&self) {
        let _ = std::fs::remove_file(self.small().join("ballast"));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let mut stop = Command::new(self.bin.join("pg_ctl"));
        stop.current_dir("/").uid(self.owner.0).gid(self.owner.1).arg("--pgdata").arg(self.home.path().join("data"));
        let _ = run(stop.args(["stop", "--mode=immediate", "--silent"]));
        let _ = self.server.wait();
        let _ = run(Command::new("umount").arg(self.small()));
    }
}

/// A ledger whose read models lie on a small disk; nothing, with the reason printed, where there can be none.
async fn on_a_small_disk(sessions: u32) -> Option<(Disk, Ledger)> {
    let mut database = Database::new()?;
    match Disk::mounted_for(&mut database).await {
        Ok(disk) => Some((disk, Ledger::on(database, &many_sessions(sessions)))),
        Err(reason) => {
            eprintln!("SKIPPED: {reason}, so a full disk was not tested");
            None
        }
    }
}

/// Brings the log, which is on another disk, to so many sessions: those that are there already are recognised.
fn go_on(ledger: &Ledger, sessions: u32) {
    ledger.import(&many_sessions(sessions));
}

async fn measured(serving: &Serving, is_so: impl Fn(&str) -> bool) -> String {
    let began = Instant::now();
    loop {
        if let Some((_, text)) = serving.plain("/metrics").await
            && text.lines().any(&is_so)
        {
            return text;
        }
        assert!(began.elapsed() < PATIENCE, "{:?}", serving.plain("/metrics").await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn each_event_once(ledger: &Ledger, listed: &Value) {
    let events = json_of(&ledger.run(&["store", "info", "--json"]))["events"].as_u64().unwrap();
    for build in listed["projections"].as_array().unwrap().iter().filter(|build| build["state"] == "serving") {
        let counted: u64 = build["counted"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
        assert_eq!(counted, events, "{build}");
    }
}

async fn settled(reader: &tokio_postgres::Client) -> i64 {
    reader.query_one("SELECT count(*) FROM read.sessions WHERE status = 'settled'", &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_models_wait_for_room_say_so_and_catch_up() {
    let Some((disk, ledger)) = on_a_small_disk(20).await else { return };
    let serving = ledger.serve("projector");
    ledger.until(all_are_at_the_head).await;
    let reader = client(&ledger.database().url()).await;
    disk.fill(0);
    go_on(&ledger, 300);
    let waits =
        |line: &str| line.starts_with("chargeledger_projection_state{") && line.contains("state=\"waiting\"") && line.ends_with(" 1");
    measured(&serving, waits).await;
    // On a connection that is there: a new one may be refused, because PostgreSQL itself writes a file for it.
    assert!(settled(&reader).await >= 20, "what was there is served");
    disk.free();
    let listed = ledger.until(all_are_at_the_head).await;
    each_event_once(&ledger, &listed);
    assert_eq!(settled(&reader).await, 300);
    assert!(serving.plain("/healthz").await.is_some(), "the process has stayed up");
}

/// A rebuild as its own process, with what it says.
fn rebuilding(ledger: &Ledger, names: &[&str]) -> Child {
    let arguments = [&["projection", "rebuild"], names, &["--json"]].concat();
    ledger.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn job<'a>(listed: &'a Value, name: &str) -> &'a Value {
    listed["rebuilds"].as_array().unwrap().iter().find(|job| job["name"] == name).unwrap_or(&Value::Null)
}

fn waits_for_room(listed: &Value, name: &str) -> bool {
    let job = job(listed, name);
    job["wanted"] == "pause" && job["error"].as_str().is_some_and(|error| error.contains("the disk of the read models' database is full"))
}

async fn ended(mut child: Child) -> Output {
    let began = Instant::now();
    while child.try_wait().unwrap().is_none() {
        assert!(began.elapsed() < PATIENCE, "the rebuild does not end");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    child.wait_with_output().unwrap()
}

/// A rebuild on a full disk, which goes on with room: when it is told to, or by itself.
async fn paused_and_gone_on_with(is_told: bool) {
    let Some((disk, ledger)) = on_a_small_disk(400).await else { return };
    let serving = ledger.serve("projector");
    ledger.until(all_are_at_the_head).await;
    let reader = client(&ledger.database().url()).await;
    let names = ["sessions", "bills"];
    // From here on something is kept for the moment when the disk is full.
    assert!(ended(rebuilding(&ledger, &names)).await.status.success());
    disk.fill(LEFT_KIB);
    let child = rebuilding(&ledger, &names);
    ledger.until(|listed| names.iter().all(|name| waits_for_room(listed, name))).await;
    let listed = text_of(&ledger.run(&["projection", "list"]));
    assert!(listed.contains("paused: the disk of the read models' database is full: could not"), "{listed}");
    // Who serves goes on meanwhile, with the room that was given back.
    go_on(&ledger, 402);
    ledger.until(all_are_at_the_head_but_shadows_of).await;
    assert_eq!(settled(&reader).await, 402);
    disk.free();
    if is_told {
        assert!(ledger.run(&["projection", "resume", "sessions"]).status.success());
    }
    let output = ended(child).await;
    assert!(output.status.success(), "{}", text_of(&output));
    for job in json_of(&output)["rebuilt"].as_array().unwrap() {
        let diff = &job["diff"];
        assert_eq!((&job["phase"], &job["error"]), (&"swapped".into(), &Value::Null), "{job}");
        assert_eq!((&diff["only_here"], &diff["only_there"], &diff["changed"]), (&0.into(), &0.into(), &0.into()), "{job}");
    }
    let listed = ledger.until(all_are_at_the_head_but_shadows_of).await;
    each_event_once(&ledger, &listed);
    assert!(serving.plain("/healthz").await.is_some(), "the process has stayed up");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_pauses_on_a_full_disk_and_goes_on_when_it_is_told_that_there_is_room() {
    paused_and_gone_on_with(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_pauses_on_a_full_disk_and_goes_on_by_itself() {
    paused_and_gone_on_with(false).await;
}
