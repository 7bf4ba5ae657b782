//! What is shipped beside the binary fits it: each setting, role and metric that the manifests, units, alarms and dashboards speak of is one that there is.
//!
//! Deliberately absent: whether the containers start. The tools that can say more without starting anything (promtool, nats-server, openssl) are asked in
//! `tools.rs` where they are installed; PostgreSQL runs the dashboards' queries in `queries.rs`.

mod manifests;
mod queries;
mod tools;
mod words;

#[path = "../database/mod.rs"]
mod database;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use words::{metrics_of, names_in, settings_in};

/// Whose metrics the others are: Prometheus' own, KurrentDB's, those of NATS' exporter.
const FOREIGN_METRICS: &[&str] = &["up", "ALERTS", "kurrentdb_", "jetstream_"];

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every file of these folders of `ops`, by its path from there. What an installation keeps for itself is not looked at.
fn files(folders: &[&str]) -> Vec<(String, String)> {
    let ops = project().join("ops");
    let mut open: Vec<PathBuf> = folders.iter().map(|folder| ops.join(folder)).collect();
    let mut found = Vec::new();
    while let Some(folder) = open.pop() {
        for path in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                if !path.ends_with("compose/secrets") {
                    open.push(path);
                }
            } else if !path.ends_with("compose/.env") {
                let name = path.strip_prefix(&ops).unwrap().to_string_lossy().into_owned();
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "nothing in {folders:?}");
    found
}

fn deployed() -> Vec<(String, String)> {
    files(&["compose", "container", "grafana", "k8s", "prometheus", "systemd"])
}

/// The documents of a YAML file.
fn documents(name: &str, text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn one_document(path: &str) -> Value {
    let text = fs::read_to_string(project().join(path)).unwrap();
    documents(path, &text).into_iter().next().unwrap()
}

fn is_yaml(name: &str) -> bool {
    name.ends_with(".yaml") || name.ends_with(".yml")
}

/// What the page of settings lists: `listen`, and `CHARGELEDGER_LISTEN`.
fn documented_settings() -> BTreeSet<String> {
    let page = fs::read_to_string(project().join("docs/configuration.md")).unwrap();
    settings_in(&page)
}

/// The dashboards' panels.
fn panels() -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for (name, text) in files(&["grafana/dashboards"]) {
        let board: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        found.extend(board["panels"].as_array().unwrap().iter().map(|panel| (format!("{name}: {}", panel["title"]), panel.clone())));
    }
    found
}

/// Every question that alarms and dashboards ask Prometheus, with where it stands.
fn expressions() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for group in one_document("ops/prometheus/alerts.yml")["groups"].as_array().unwrap() {
        for rule in group["rules"].as_array().unwrap() {
            found.push((rule["alert"].to_string(), rule["expr"].as_str().unwrap().to_owned()));
        }
    }
    for (panel, content) in panels() {
        for target in content["targets"].as_array().into_iter().flatten() {
            found.extend(target["expr"].as_str().map(|expr| (panel.clone(), expr.to_owned())));
        }
    }
    assert!(found.len() > 30, "the expressions were not found");
    found
}

/// The metrics that the code and the scripts define.
fn defined_metrics() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open: Vec<PathBuf> =
        ["domain", "commands", "projections", "adapters", "ops/src", "ops/systemd"].map(|room| project().join(room)).into();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).filter(|path| !path.ends_with("target")));
        } else if path.extension().is_none_or(|end| end == "rs") {
            let text = fs::read_to_string(&path).unwrap_or_default();
            found.extend(names_in(&text, |letter| letter.is_ascii_lowercase() || matches!(letter, '0'..='9' | '_'), "chargeledger_"));
        }
    }
    found
}

#[test]
fn every_manifest_can_be_read() {
    let mut count = 0;
    for (name, text) in deployed() {
        if is_yaml(&name) {
            count += 1;
            assert!(!documents(&name, &text).is_empty(), "{name} is empty");
        } else if name.ends_with(".json") {
            serde_json::from_str::<Value>(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
    assert!(count > 20, "{count}");
}

#[test]
fn every_setting_that_is_set_is_one() {
    let known = documented_settings();
    assert!(known.contains("CHARGELEDGER_LISTEN") && known.contains("CHARGELEDGER_CONFIG"), "{known:?}");
    for (name, text) in deployed() {
        for setting in settings_in(&text) {
            assert!(known.contains(&setting), "{name} sets {setting}, which docs/configuration.md does not know");
        }
    }
}

#[test]
fn every_role_that_is_served_is_one() {
    let help = Command::new(env!("CARGO_BIN_EXE_chargeledger")).args(["serve", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let listed = |role: &str| help.lines().any(|line| line.trim_start().starts_with(&format!("- {role}:")));
    assert!(listed("projector") && !listed("projectors"), "{help}");
    let mut served = Vec::new();
    for (name, text) in deployed() {
        for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
            let after = line.split_once("--roles, ").or_else(|| line.split_once("ROLES=").filter(|(before, _)| before.is_empty()));
            let roles = after.map(|(_, roles)| roles.split([']', ' ']).next().unwrap_or_default().trim_end_matches(','));
            served.extend(roles.into_iter().flat_map(|roles| roles.split(',')).map(|role| (name.clone(), role.to_owned())));
        }
    }
    assert!(served.len() >= 12, "{served:?}");
    for (name, role) in served {
        assert!(listed(&role), "{name} serves {role}, which is no role");
    }
}

#[test]
fn every_metric_that_is_asked_for_is_one() {
    let defined = defined_metrics();
    let mut asked = BTreeSet::new();
    for (place, expression) in expressions() {
        for metric in metrics_of(&expression) {
            let stem = ["_bucket", "_sum", "_count"].iter().find_map(|end| metric.strip_suffix(end)).unwrap_or(&metric);
            let is_known = defined.contains(&metric) || defined.contains(stem);
            let is_foreign =
                FOREIGN_METRICS.iter().any(|foreign| metric == *foreign || (foreign.ends_with('_') && metric.starts_with(foreign)));
            assert!(is_known || is_foreign, "{place} asks for {metric}, which nothing measures");
            asked.insert(metric);
        }
    }
    assert!(asked.len() > 25, "{asked:?}");
}

#[test]
fn the_alarms_of_the_prometheus_operator_are_those_of_prometheus() {
    let (plain, rule) = (one_document("ops/prometheus/alerts.yml"), one_document("ops/k8s/monitoring/rules.yaml"));
    assert_eq!(plain["groups"], rule["spec"]["groups"]);
}

#[test]
fn every_job_that_is_asked_about_is_scraped_in_either_place() {
    let config = one_document("ops/prometheus/prometheus.yml");
    let scraped: BTreeSet<&str> =
        config["scrape_configs"].as_array().unwrap().iter().map(|job| job["job_name"].as_str().unwrap()).collect();
    let operator = fs::read_to_string(project().join("ops/k8s/monitoring/scrape.yaml")).unwrap();
    for (place, expression) in expressions() {
        for job in expression.split("job=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(scraped.contains(job), "{place} asks about {job}, which ops/prometheus does not scrape");
            assert!(
                operator.contains(&format!("replacement: {job}\n")),
                "{place} asks about {job}, which ops/k8s/monitoring does not scrape"
            );
        }
    }
}

#[test]
fn every_panel_asks_a_source_that_is_provisioned() {
    let sources = one_document("ops/grafana/provisioning/datasources/ledger.yml");
    let known: BTreeSet<&str> = sources["datasources"].as_array().unwrap().iter().map(|source| source["uid"].as_str().unwrap()).collect();
    for (panel, content) in panels() {
        for target in content["targets"].as_array().into_iter().flatten() {
            let uid = target["datasource"]["uid"].as_str().unwrap_or_default();
            assert!(known.contains(uid), "{panel} asks {uid:?}");
            assert_eq!(target["rawSql"].is_string(), uid == "ledger", "{panel}");
        }
    }
}
