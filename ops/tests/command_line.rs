//! The command line as others use it: what goes where, and the exit status. 0 done, 1 found a difference or failed, 2 wrong usage or configuration.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chargeledger"));
    command.args(arguments).current_dir(directory).env_clear().env("CHARGELEDGER_DATA_DIR", directory.join("ledger"));
    command
}

fn chargeledger(directory: &Path, arguments: &[&str]) -> Output {
    command(directory, arguments).output().unwrap()
}

/// A server that ends with its test.
struct Server(Child, String);

impl Server {
    /// Says on which address it listens once it does.
    fn start(directory: &Path) -> Server {
        Server::with(directory, &["serve", "--listen", "127.0.0.1:0"])
    }

    fn with(directory: &Path, arguments: &[&str]) -> Server {
        let mut serve = command(directory, arguments);
        let mut child = serve.env("CHARGELEDGER_LOG_FORMAT", "json").stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut lines = lines.map(|line| serde_json::from_str::<serde_json::Value>(&line).unwrap_or_default());
        let serving = lines.find(|line| line["message"].as_str().is_some_and(|said| said.starts_with("serving"))).expect("it serves");
        // Whoever writes to a pipe that nobody reads waits for ever.
        std::thread::spawn(move || lines.for_each(drop));
        Server(child, serving["address"].as_str().unwrap().to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

const HEADING: &str = "start_date;station_name;charging_time_hh_mm_ss;energy_kwh;address_1;address_2;city;state_province;zip_postal_code;fee;model_number;latitude;longitude;geopoint";

fn two_sessions_and_a_torn_row(directory: &Path) -> String {
    let row = |start: &str| {
        format!("{start};BOND PARK;01:00:00;3.5;801 High House Road;;Cary;North Carolina;27513;0.0;CT4020-HD-GW;35.781303;-78.825554;-")
    };
    let file = directory.join("sessions.csv");
    let rows = [HEADING.to_owned(), row("2021-03-29T16:39:10+00:00"), "2021-03-29".to_owned(), row("2021-03-30T16:39:10+00:00")];
    std::fs::write(&file, rows.join("\r\n")).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn wrong_usage_and_wrong_configuration_end_with_two() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(chargeledger(directory.path(), &["store", "shrink"]).status.code(), Some(2));
    std::fs::write(directory.path().join("chargeledger.toml"), "listn = \"127.0.0.1:1\"").unwrap();
    let output = chargeledger(directory.path(), &["store", "info", "--json"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(json(&output)["error"].as_str().unwrap().contains("unknown field `listn`"), "{output:?}");
}

#[test]
fn what_is_not_there_ends_with_one_and_says_so_on_standard_error() {
    let directory = tempfile::tempdir().unwrap();
    let output = chargeledger(directory.path(), &["store", "info"]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), String::new()));
    assert!(text(&output.stderr).starts_with("error: there is no event store at "), "{output:?}");
}

#[test]
fn an_import_is_accounted_for_audited_backed_up_and_its_keys_work_once() {
    let directory = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| chargeledger(directory.path(), arguments);
    let file = two_sessions_and_a_torn_row(directory.path());

    let planned = json(&run(&["import", "sessions", &file, "--format", "cary", "--dry-run", "--json"]));
    assert_eq!(planned["plan"]["rows"], 3);
    assert!(!directory.path().join("ledger").exists(), "a dry run writes nothing");

    let imported = json(&run(&["import", "sessions", &file, "--format", "cary", "--json"]));
    assert_eq!((&imported["rows"], &imported["imported"], &imported["rejected"]), (&3.into(), &2.into(), &1.into()));
    assert_eq!(imported["energy_kwh"], "7.0000");
    assert_eq!(imported["rejections"][0]["line"], 3);
    let operator = imported["operator_id"].as_str().unwrap().to_owned();

    let audit = run(&["audit", "verify", "--json"]);
    assert_eq!((audit.status.code(), &json(&audit)["audit"]), (Some(0), &"ok".into()), "{audit:?}");
    let balance = json(&run(&["audit", "trial-balance", "--json"]));
    assert_eq!(balance["trial_balance"]["debit"], balance["trial_balance"]["credit"]);

    let events = text(&run(&["store", "export"]).stdout);
    let info = json(&run(&["store", "info", "--json"]));
    assert_eq!(info["events"], events.lines().count());
    let copy = directory.path().join("copy");
    let backup = json(&run(&["store", "backup", copy.to_str().unwrap(), "--json"]));
    assert_eq!((&backup["events"], &backup["verified"], &backup["has_sandbox"]), (&info["events"], &true.into(), &true.into()));
    let elsewhere = ["--data-dir", "elsewhere"];
    assert_eq!(run(&[&["store", "restore", copy.to_str().unwrap()], &elsewhere[..]].concat()).status.code(), Some(0));
    let audit = run(&[&["audit", "verify"], &elsewhere[..]].concat());
    assert_eq!(audit.status.code(), Some(0), "a restored ledger agrees with the channel's statement: {audit:?}");
    assert_eq!(run(&["store", "restore", copy.to_str().unwrap()]).status.code(), Some(1), "nothing is overwritten");

    let made = json(&run(&["key", "create", "--role", "finance", "--operator", &operator, "--json"]));
    let secret = made["secret"].as_str().unwrap();
    let listed = run(&["key", "list", "--json"]);
    assert_eq!(json(&listed)["keys"][0]["key_id"], made["key_id"]);
    assert!(!text(&listed.stdout).contains(secret) && !text(&run(&["store", "export"]).stdout).contains(secret));
    assert_eq!(json(&run(&["key", "revoke", made["key_id"].as_str().unwrap(), "--json"]))["changed"], true);
    assert_eq!(json(&run(&["key", "list", "--json"]))["keys"].as_array().unwrap().len(), 0);

    let user = events.lines().find(|line| line.contains("\"user.registered\"")).unwrap();
    let user: serde_json::Value = serde_json::from_str(user).unwrap();
    let user = user["data"]["user_id"].as_str().unwrap();
    assert_eq!(run(&["user", "erase", user]).status.code(), Some(2), "only with --yes");
    assert_eq!(json(&run(&["user", "erase", user, "--yes", "--json"]))["changed"], true);
    assert_eq!(run(&["audit", "verify"]).status.code(), Some(0), "hashes and sums stay valid");
}

#[test]
fn beside_a_server_keys_operators_and_erasures_go_through_it_or_say_so() {
    let directory = tempfile::tempdir().unwrap();
    let register = |code: &'static str| ["operator", "register", "--code", code, "--name", "Bay Charging", "--json"];
    let first = json(&chargeledger(directory.path(), &register("MA5GXX12T")));
    let (operator, admin) = (first["operator_id"].as_str().unwrap(), first["secret"].as_str().unwrap());
    let server = Server::start(directory.path());
    let beside = |arguments: &[&str]| command(directory.path(), arguments).env("CHARGELEDGER_LISTEN", &server.1).output().unwrap();
    let create = ["key", "create", "--role", "app", "--operator", operator, "--json"];

    let refused = beside(&create);
    let said = format!("process {} is writing: use --server with its address, and an admin key in CHARGELEDGER_API_KEY", server.0.id());
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains(&said), "{refused:?}");

    // By its configured address, or by the one that is named.
    let with_key = |arguments: &[&str]| {
        json(
            &command(directory.path(), arguments)
                .env("CHARGELEDGER_LISTEN", &server.1)
                .env("CHARGELEDGER_API_KEY", admin)
                .output()
                .unwrap(),
        )
    };
    let made = with_key(&create);
    assert!(made["secret"].as_str().unwrap().starts_with("clk_"), "{made}");
    let named = ["key", "revoke", made["key_id"].as_str().unwrap(), "--server", &format!("http://{}/", server.1), "--json"];
    let revoked = command(directory.path(), &named).env("CHARGELEDGER_API_KEY", admin).output().unwrap();
    assert_eq!(json(&revoked)["changed"], true);
    assert_eq!(with_key(&named)["changed"], false);
    let second = with_key(&register("MA5GXX12U"));
    assert!(with_key(&register("MA5GXX12U"))["error"].as_str().unwrap().contains("already registered"));
    let other = with_key(&["key", "create", "--role", "app", "--operator", second["operator_id"].as_str().unwrap(), "--json"]);
    assert!(other["error"].as_str().unwrap().contains("is made with one of its own"), "{other}");
    let nobody = with_key(&["user", "erase", operator, "--yes", "--json"]);
    assert!(nobody["error"].as_str().unwrap().contains("there is no user"), "{nobody}");
    let listed = json(&beside(&["operator", "list", "--json"]));
    assert_eq!(listed["operators"].as_array().unwrap().len(), 2);
}

#[test]
fn health_ends_with_none_when_a_server_is_ready_and_with_one_when_nobody_answers() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path());
    let url = format!("http://{}", server.1);
    let well = chargeledger(directory.path(), &["health", "--server", &url, "--json"]);
    assert_eq!((well.status.code(), &json(&well)["ready"]), (Some(0), &serde_json::Value::Bool(true)));
    // Without a name it is the configured address on this machine.
    let configured = command(directory.path(), &["health"]).env("CHARGELEDGER_LISTEN", &server.1).output().unwrap();
    let said = text(&configured.stdout);
    assert_eq!((configured.status.code(), said.lines().next()), (Some(0), Some(&*format!("the server at {url} is ready"))));
    assert!(said.contains("\napi  ready, live: no database is configured: queries cannot be answered\n"), "{said}");
    assert!(said.contains("\nprocesses  ready, live\n"), "{said}");
    // One role alone; and one that it does not have.
    let role = |role: &str| chargeledger(directory.path(), &["health", "--server", &url, "--role", role]);
    assert_eq!(role("processes").status.code(), Some(0));
    let missing = role("publisher");
    assert_eq!(missing.status.code(), Some(1));
    assert!(text(&missing.stderr).contains("this process has no role publisher: it has api, processes"), "{missing:?}");
    drop(server);
    let gone = chargeledger(directory.path(), &["health", "--server", &url]);
    assert_eq!(gone.status.code(), Some(1));
    assert!(text(&gone.stderr).contains("cannot be reached"), "{gone:?}");
}

#[test]
fn a_process_of_process_managers_alone_says_that_it_is_ready() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::with(directory.path(), &["serve", "--roles", "processes", "--listen", "127.0.0.1:0"]);
    let well = chargeledger(directory.path(), &["health", "--server", &format!("http://{}", server.1), "--json"]);
    assert_eq!((well.status.code(), &json(&well)["position"]), (Some(0), &serde_json::Value::from(0)));
}

#[test]
fn a_key_for_an_operator_that_is_not_there_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let operator = "0190a6c2-7b1e-7c3a-9d54-3f2a1b0c9e8d";
    assert_eq!(register(directory.path()).status.code(), Some(0));
    let output = chargeledger(directory.path(), &["key", "create", "--role", "app", "--operator", operator]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("operator register"), "{output:?}");
}

fn register(directory: &Path) -> Output {
    chargeledger(directory, &["operator", "register", "--code", "MA5GXX12T", "--name", "Bay Charging", "--json"])
}

#[test]
fn a_mistyped_data_directory_is_no_new_ledger() {
    let directory = tempfile::tempdir().unwrap();
    let id = "0190a6c2-7b1e-7c3a-9d54-3f2a1b0c9e8d";
    let erase = ["user", "erase", id, "--yes"];
    let quarantine = ["projection", "quarantine", "sessions", "--reason", "why"];
    let writing: [&[&str]; 4] = [&["key", "create", "--role", "app", "--operator", id], &["key", "revoke", id], &erase, &quarantine];
    for words in writing {
        let output = chargeledger(directory.path(), words);
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        assert!(text(&output.stderr).starts_with("error: there is no event store at "), "{output:?}");
        assert!(!directory.path().join("ledger").exists(), "{words:?} made one");
    }
    // It is the first thing that is said to a ledger.
    assert_eq!(register(directory.path()).status.code(), Some(0));
}

#[test]
fn what_cannot_be_meant_ends_with_two_and_does_nothing() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(register(directory.path()).status.code(), Some(0));
    let id = "0190a6c2-7b1e-7c3a-9d54-3f2a1b0c9e8d";
    let server = "http://127.0.0.1:1";
    // Nothing is asked of a database before the words are known to mean something.
    let wrong: [(&[&str], &str); 13] = [
        (&["projection", "list"], "no database is configured"),
        (&["projection", "rebuild", "--all"], "no database is configured"),
        (&["projection", "rebuild"], "name the projections to rebuild, or say --all"),
        (&["projection", "rebuild", "sesions"], "there is no projection sesions; there are: "),
        (&["projection", "rebuild", "sessions", "--memory-mb", "0"], "0 is not in 16..=65536"),
        (&["projection", "rebuild", "sessions", "--cores", "0"], "0 is not in 1..=256"),
        (&["projection", "rebuild", "sessions", "--max-db-rows-per-s", "0"], "0 is not in 1.."),
        (&["projection", "rebuild", "sessions", "--until", "1", "--as", "Then"], "--as Then: up to 40 small letters"),
        (&["feed", "info"], "no NATS is configured"),
        (&["import", "sessions", "nowhere.csv", "--format", "paris"], "[possible values: cary]"),
        (&["audit", "trial-balance", "--as-of", "yesterday"], "\"yesterday\" is not a date"),
        (&["key", "revoke", id, "--server", server], "--server needs an admin key"),
        (&["user", "erase", id], "say --yes to go on"),
    ];
    for (words, said) in wrong {
        let output = chargeledger(directory.path(), words);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {output:?}");
        assert!(text(&output.stderr).contains(said), "{words:?}: {output:?}");
    }
}

#[test]
fn the_files_of_a_ledger_its_export_and_its_backup_are_their_owner_s_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(register(directory.path()).status.code(), Some(0));
    assert_eq!(chargeledger(directory.path(), &["store", "backup", "copy"]).status.code(), Some(0));
    assert_eq!(chargeledger(directory.path(), &["store", "export", "--to", "copy/events.jsonl"]).status.code(), Some(0));
    for (folder, least) in [("ledger", 4), ("copy", 3)] {
        let files: Vec<_> = std::fs::read_dir(directory.path().join(folder)).unwrap().map(Result::unwrap).collect();
        assert!(files.len() >= least, "{files:?}");
        for file in files {
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.path());
        }
    }
}

#[test]
fn an_export_whose_reader_has_seen_enough_ends_quietly() {
    let directory = tempfile::tempdir().unwrap();
    let file = two_sessions_and_a_torn_row(directory.path());
    assert_eq!(chargeledger(directory.path(), &["import", "sessions", &file, "--format", "cary"]).status.code(), Some(0));
    let mut export = command(directory.path(), &["store", "export"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(export.stdout.take());
    let output = export.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
}
