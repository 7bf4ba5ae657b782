//! The stored form of every event: a JSON Schema and a golden file for each type and version, committed under `schemas/events/`.
//!
//! Events are stored for ever, so a form, once committed, is never edited: it stays readable, and a new form is a new version
//! (`docs/howto/add-an-event.md`). `UPDATE_GOLDEN=1` writes what is new; it refuses to overwrite a form with one that does not read it.

#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use domain::event::{AGGREGATES, Event};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

mod samples;
mod shape;

const HOW: &str = "cargo test -p chargeledger --test event_schemas";

/// One event as it is stored, beside what people read in it.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct Golden {
    name: String,
    version: u16,
    /// What it carries, in the form of its version.
    payload: Value,
    /// Of an old version: what it carries once it is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reads_as: Option<Value>,
    /// The stored bytes in hex, in lines of 32, so that a diff shows where they differ.
    messagepack: Vec<String>,
}

/// An event in its newest form.
struct Newest {
    name: String,
    version: u16,
    payload: Vec<u8>,
    event: Event,
    schema: Value,
}

#[test]
fn every_event_has_one_sample() {
    let known: BTreeSet<String> = schemas().into_iter().map(|(name, _)| name).collect();
    let sampled: Vec<String> = samples::all().iter().map(Event::name).collect();
    let without: Vec<_> = known.iter().filter(|name| !sampled.contains(name)).collect();
    assert!(without.is_empty(), "no sample in ops/tests/samples/ of {without:?}; add one, every field filled, and UPDATE_GOLDEN=1 {HOW}");
    assert_eq!(sampled.len(), known.len(), "more than one sample of one event in ops/tests/samples/: {sampled:?}");
}

#[test]
fn every_sample_fits_its_schema() {
    for newest in newest() {
        shape::fits(&newest.schema, &content(&newest.event))
            .unwrap_or_else(|why| panic!("{} does not fit its own schema: {why}", newest.name));
    }
}

#[test]
fn the_newest_schema_of_every_event_is_committed() {
    report(newest().iter().filter_map(|newest| {
        let path = newest.file("json");
        let committed = read::<Value>(&path);
        if committed.as_ref() == Some(&newest.schema) {
            return None;
        }
        let breaks = committed.as_ref().map(|committed| shape::breaks(committed, &newest.schema)).unwrap_or_default();
        if !breaks.is_empty() {
            return Some(changed_without_a_version(newest, &breaks));
        }
        written_or_told(&path, &newest.schema, || match committed {
            None => format!("{} version {} has no committed schema yet", newest.name, newest.version),
            Some(_) => {
                format!("{}: its schema has new words, an optional field or a further value; what is stored still reads", newest.name)
            }
        })
    }));
}

#[test]
fn the_newest_golden_of_every_event_is_what_it_is_stored_as() {
    report(newest().iter().filter_map(|newest| {
        let path = newest.file("golden.json");
        let committed = read::<Golden>(&path);
        let golden = newest.golden();
        if committed.as_ref() == Some(&golden) {
            return None;
        }
        let read = committed.as_ref().map(|committed| Event::decode(&newest.name, newest.version, &committed.bytes()));
        if let Some(Err(why)) = read {
            return Some(changed_without_a_version(newest, &[why.to_string()]));
        }
        written_or_told(&path, &golden, || match committed {
            None => format!("{} version {} has no golden file yet", newest.name, newest.version),
            Some(_) => format!("{}: its sample, or the way it is stored, changed; the committed bytes still read", newest.name),
        })
    }));
}

#[test]
fn every_form_that_was_ever_stored_still_reads_as_it_did() {
    for path in goldens() {
        let golden: Golden = read(&path).unwrap();
        assert_eq!(path, file(&golden.name, golden.version, "golden.json"), "the golden file lies where its name and version say");
        let event = Event::decode(&golden.name, golden.version, &golden.bytes()).unwrap_or_else(|why| {
            panic!("{}: {why}. Stored events are for ever: bring the type back, or write an upcaster.", path.display())
        });
        let reads_as = content(&event);
        if *golden.reads_as.as_ref().unwrap_or(&golden.payload) == reads_as {
            continue;
        }
        // What an old version reads as moves on with the newest form; the diff shows whether the upcaster means it.
        assert!(updating() && golden.version < event.encode().1, "{} reads as {reads_as:#}", path.display());
        write(&path, &Golden { reads_as: Some(reads_as), ..golden });
    }
}

#[test]
fn no_version_of_an_event_is_missing_and_no_file_is_left_over() {
    let expected: BTreeSet<PathBuf> = newest()
        .iter()
        .flat_map(|newest| (1..=newest.version).flat_map(|version| ["json", "golden.json"].map(|kind| file(&newest.name, version, kind))))
        .collect();
    let found: BTreeSet<PathBuf> = AGGREGATES.iter().flat_map(|aggregate| list(&root().join(aggregate))).collect();
    let missing: Vec<_> = expected.difference(&found).collect();
    let unknown: Vec<_> = found.difference(&expected).collect();
    assert!(missing.is_empty() || updating(), "not committed: {missing:#?}");
    assert!(unknown.is_empty(), "no event of this build is stored like this: {unknown:#?}");
}

#[test]
fn every_committed_golden_fits_the_schema_of_its_version() {
    for path in goldens() {
        let golden: Golden = read(&path).unwrap();
        let schema: Value = read(&PathBuf::from(path.to_str().unwrap().replace(".golden.json", ".json"))).unwrap();
        shape::fits(&schema, &golden.payload).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    }
}

/// Fails with everything that was found, so that one run shows all that one change touches.
#[track_caller]
fn report(found: impl Iterator<Item = String>) {
    let found: Vec<String> = found.collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

fn written_or_told(path: &Path, content: &impl Serialize, told: impl Fn() -> String) -> Option<String> {
    if updating() {
        write(path, content);
        return None;
    }
    Some(format!("{}. UPDATE_GOLDEN=1 {HOW}", told()))
}

fn changed_without_a_version(Newest { name, version, .. }: &Newest, why: &[String]) -> String {
    let next = version + 1;
    let module = format!("{}_v{version}", name.replace('.', "_"));
    let why = why.join("; ");
    format!(
        "{name} changed its shape, but not its version: {why}.\n\
         What ledgers have stored as version {version} must stay readable. One of:\n\
         - let a new field join as an Option;\n\
         - write the upcaster domain/src/upcast/{module}.rs, list it in UPCASTERS, and UPDATE_GOLDEN=1 {HOW}: that is version {next};\n\
         - only if no ledger has ever stored version {version}: delete its two files under schemas/events/ and UPDATE_GOLDEN=1.\n\
         docs/howto/add-an-event.md tells more.\n"
    )
}

/// Every event's name and the schema of what it carries.
fn schemas() -> Vec<(String, Value)> {
    Event::schemas().into_iter().flat_map(|(aggregate, schema)| shape::variants(aggregate, schema.as_value())).collect()
}

impl Newest {
    fn file(&self, kind: &str) -> PathBuf {
        file(&self.name, self.version, kind)
    }

    fn golden(&self) -> Golden {
        let messagepack = hex(&self.payload);
        Golden { name: self.name.clone(), version: self.version, payload: content(&self.event), reads_as: None, messagepack }
    }
}

fn newest() -> Vec<Newest> {
    let schemas = schemas();
    samples::all()
        .into_iter()
        .map(|event| {
            let (name, version, payload) = event.encode();
            let name = name.to_string();
            let (_, schema) = schemas.iter().find(|(of, _)| *of == name).unwrap();
            let mut schema = schema.clone();
            schema["title"] = json!(format!("{name} version {version}"));
            Newest { name, version, payload, event, schema }
        })
        .collect()
}

/// What an event carries, as people read it: the JSON inside its two tags.
fn content(event: &Event) -> Value {
    let inside = |value: Value| value.as_object().unwrap().values().next().unwrap().clone();
    inside(inside(serde_json::to_value(event).unwrap()))
}

fn hex(bytes: &[u8]) -> Vec<String> {
    bytes.chunks(32).map(|line| line.iter().map(|byte| format!("{byte:02x}")).collect()).collect()
}

impl Golden {
    fn bytes(&self) -> Vec<u8> {
        let digits = self.messagepack.concat();
        digits.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }
}

fn updating() -> bool {
    std::env::var_os("UPDATE_GOLDEN").is_some()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("schemas/events")
}

/// `session.record_accepted` of version 1 lies at `session/record_accepted.v1.json`.
fn file(name: &str, version: u16, kind: &str) -> PathBuf {
    let (aggregate, variant) = name.split_once('.').unwrap();
    root().join(aggregate).join(format!("{variant}.v{version}.{kind}"))
}

fn goldens() -> Vec<PathBuf> {
    let files = AGGREGATES.iter().flat_map(|aggregate| list(&root().join(aggregate)));
    files.filter(|path| path.to_str().unwrap().ends_with(".golden.json")).collect()
}

fn list(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).map(|files| files.map(|file| file.unwrap().path()).collect()).unwrap_or_default()
}

fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let text = fs::read_to_string(path).ok()?;
    Some(serde_json::from_str(&text).unwrap_or_else(|why| panic!("{}: {why}", path.display())))
}

fn write(path: &Path, content: &impl Serialize) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, serde_json::to_string_pretty(content).unwrap() + "\n").unwrap();
}
