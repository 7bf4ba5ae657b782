//! What the tools of others say to our files, where they are installed: promtool, nats-server, openssl. Where one is missing, that is said loudly; nothing of it is
//! needed to build or run the ledger.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::{documented_settings, expressions, one_document, project};

/// Whether a program is there; said loudly when not.
fn is_installed(program: &str) -> bool {
    let is_there = Command::new(program).arg(if program == "openssl" { "version" } else { "--version" }).output().is_ok();
    if !is_there {
        eprintln!("SKIPPED: {program} is not installed, so nothing was tested with it");
    }
    is_there
}

fn ran(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}\n{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    output
}

/// The secrets of an installation.
fn secrets(folder: &Path) {
    ran(Command::new(project().join("ops/compose/make-secrets")).arg(folder));
}

#[test]
fn the_secrets_are_made_once_and_hold_all_that_compose_asks_for() {
    if !is_installed("openssl") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    secrets(folder.path());
    let compose = one_document("ops/compose/compose.yaml");
    let asked = compose["secrets"].as_object().unwrap().values().map(|secret| secret["file"].as_str().unwrap().to_owned());
    let of_services =
        compose["services"].as_object().unwrap().values().flat_map(|service| service["env_file"].as_array().into_iter().flatten());
    for path in asked.chain(of_services.map(|file| file.as_str().unwrap().to_owned())) {
        let name = path.strip_prefix("secrets/").unwrap();
        assert!(folder.path().join(name).metadata().is_ok_and(|file| file.len() > 0), "{name} is not made");
    }
    let configuration: toml::Table = fs::read_to_string(folder.path().join("chargeledger.toml")).unwrap().parse().unwrap();
    let known = documented_settings();
    for setting in configuration.keys() {
        assert!(known.contains(&format!("CHARGELEDGER_{}", setting.to_uppercase())), "{setting} is no setting");
    }
    for name in ["kurrentdb", "nats", "postgres"] {
        let path = |end: &str| folder.path().join(format!("{name}.{end}"));
        ran(Command::new("openssl").arg("verify").arg("-CAfile").arg(folder.path().join("ca.crt")).arg(path("crt")));
    }
    let before: BTreeMap<_, _> = contents(folder.path());
    secrets(folder.path());
    assert_eq!(contents(folder.path()), before, "a second run changes nothing");
}

fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries.map(|entry| (entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path()).unwrap())).collect()
}

#[test]
fn nats_takes_its_configurations() {
    if !is_installed("openssl") || !is_installed("nats-server") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    secrets(folder.path());
    let version = String::from_utf8(ran(Command::new("nats-server").arg("--version")).stdout).unwrap();
    let minor = version.split('.').nth(1).and_then(|minor| minor.parse::<u32>().ok()).unwrap();
    for (file, certificate) in [("ops/compose/nats/nats.conf", "/run/secrets/nats"), ("ops/k8s/base/nats.conf", "/etc/nats-tls/tls")] {
        let text = fs::read_to_string(project().join(file)).unwrap();
        assert!(text.contains("sync_interval: always"), "{file} acknowledges what is not on disk");
        let place = |end: &str| folder.path().join(end).display().to_string();
        let text = text.replace("/etc/nats-tls/ca.crt", &place("ca.crt")).replace(certificate, &place("nats"));
        // Servers before 2.10 do not know the word.
        let text = if minor < 10 { text.replace("sync_interval: always", "") } else { text };
        let copy = folder.path().join("nats.conf");
        fs::write(&copy, text).unwrap();
        let passwords = [("NATS_LEDGER_PASSWORD", "a"), ("NATS_CONSUMER_PASSWORD", "b"), ("SERVER_NAME", "nats-0")];
        ran(Command::new("nats-server").arg("-t").arg("-c").arg(&copy).envs(passwords));
    }
}

#[test]
fn prometheus_takes_its_configuration_and_the_alarms_ring_when_they_should() {
    if !is_installed("promtool") {
        return;
    }
    let folder = project().join("ops/prometheus");
    ran(Command::new("promtool").args(["check", "config", "--syntax-only", "prometheus.yml"]).current_dir(&folder));
    ran(Command::new("promtool").args(["test", "rules", "alerts.test.yml"]).current_dir(&folder));
    // It reads rules, so what the dashboards ask becomes one, too.
    let rule = |(number, (_, expression)): (usize, (String, String))| json!({ "record": format!("dashboards:{number}"), "expr": expression.replace("$__rate_interval", "5m") });
    let rules: Vec<Value> = expressions().into_iter().enumerate().map(rule).collect();
    let temporary = tempfile::tempdir().unwrap();
    let file = temporary.path().join("dashboards.yml");
    fs::write(&file, json!({ "groups": [{ "name": "dashboards", "rules": rules }] }).to_string()).unwrap();
    ran(Command::new("promtool").args(["check", "rules"]).arg(&file));
}

#[test]
fn every_alarm_has_a_test() {
    let tests = fs::read_to_string(project().join("ops/prometheus/alerts.test.yml")).unwrap();
    for group in one_document("ops/prometheus/alerts.yml")["groups"].as_array().unwrap() {
        for rule in group["rules"].as_array().unwrap() {
            let name = rule["alert"].as_str().unwrap();
            assert!(tests.contains(&format!("alertname: {name}\n")), "{name} has never been heard");
        }
    }
}
