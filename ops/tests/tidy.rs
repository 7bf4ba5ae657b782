//! The code checks itself: the arrows between crates, the bans, and where things live. Each rule is a function over the texts of the tree, and is shown
//! bad samples first, so that it is known to be able to fail.
//!
//! Text, not syntax: a rule that needs a parser belongs to a lint.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

const TOP_LEVEL: &[&str] =
    &["Cargo.toml", "README.md", "domain", "commands", "projections", "adapters", "schemas", "ops", "docs", "Cargo.lock"];

/// All that the domain may lean on: nothing of it does I/O, runs tasks, reads a clock or throws dice. A new name here is a decision.
const DOMAIN_DEPENDENCIES: &[&str] =
    &["async-trait", "futures", "jiff", "rmp-serde", "rust_decimal", "schemars", "serde", "sha2", "thiserror", "uuid"];

/// What only the outer rings do. Commands and projections may run tasks, but they reach disks, databases and networks through ports.
const OUTSIDE_ONLY: &[&str] = &["rusqlite", "tokio-postgres", "deadpool-postgres", "axum", "reqwest", "clap", "fs4", "rustix", "csv"];

/// Words that read a clock, throw dice or leave the process.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "SystemTime",
    "Instant",
    "now_v7",
    "new_v4",
    "rand",
    "tokio",
    "rusqlite",
];

/// Where money is counted, and the modules there that may use floats: a place on the globe is no amount.
const EXACT: &[&str] = &["domain/src/", "commands/src/"];
const FLOATS_ALLOWED: &[&str] = &["domain/src/geo"];

const LINES_MAX: usize = 700;
/// Longer than that, and why.
const LONG_FILES: &[(&str, &str)] = &[("schemas/sql/read_models.sql", "it is made from the row types, all of them in one file")];

/// The texts of the project, by path from its root.
struct Tree(BTreeMap<String, String>);

impl Tree {
    fn of_this_project() -> Tree {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut files = BTreeMap::new();
        collect(root, "", &mut files);
        assert!(files.len() > 50, "the project's files were not found at {}", root.display());
        Tree(files)
    }

    fn sample(files: &[(&str, &str)]) -> Tree {
        Tree(files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect())
    }

    /// All texts but this file, which is no witness: it names what it bans.
    fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter(|(path, _)| *path != "ops/tests/tidy.rs").map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The lines of the Rust sources with their places, without comments.
    fn code(&self) -> impl Iterator<Item = (&str, usize, &str)> {
        self.texts().filter(|(path, _)| path.ends_with(".rs")).flat_map(|(path, text)| {
            text.lines().enumerate().map(move |(index, line)| (path, index + 1, line.split_once("//").map_or(line, |(code, _)| code)))
        })
    }

    /// The members' manifests: the crate's folder and what its manifest says.
    fn manifests(&self) -> impl Iterator<Item = (&str, toml::Table)> {
        self.0.iter().filter_map(|(path, text)| {
            let folder = path.strip_suffix("/Cargo.toml")?;
            Some((folder, text.parse().unwrap_or_else(|error| panic!("{path}: {error}"))))
        })
    }
}

fn collect(folder: &Path, prefix: &str, files: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        if entry.file_type().unwrap().is_dir() {
            if !matches!(name.as_str(), ".git" | ".local" | "target") {
                collect(&entry.path(), &format!("{path}/"), files);
            }
        } else if name != ".git" {
            // Data files are not text; their names still count.
            files.insert(path, fs::read_to_string(entry.path()).unwrap_or_default());
        }
    }
}

/// Section, name and what stands behind it.
fn dependencies(manifest: &toml::Table) -> Vec<(&'static str, String, toml::Value)> {
    ["dependencies", "dev-dependencies", "build-dependencies"]
        .into_iter()
        .filter_map(|section| Some((section, manifest.get(section)?.as_table()?)))
        .flat_map(|(section, table)| table.iter().map(move |(name, value)| (section, name.clone(), value.clone())))
        .collect()
}

/// ops → adapters/* → commands | projections → domain.
fn arrows_point_inward(tree: &Tree) -> Vec<String> {
    let package = |manifest: &toml::Table| Some(manifest.get("package")?.get("name")?.as_str()?.to_owned());
    let homes: BTreeMap<String, &str> = tree.manifests().filter_map(|(folder, manifest)| Some((package(&manifest)?, folder))).collect();
    let mut found = Vec::new();
    for (folder, manifest) in tree.manifests() {
        let allowed: &[&str] = match folder.split('/').next().unwrap_or_default() {
            "ops" => &["domain", "commands", "projections", "adapters"],
            "adapters" => &["domain", "commands", "projections"],
            "commands" | "projections" => &["domain"],
            _ => &[],
        };
        for (section, name, _) in dependencies(&manifest) {
            let Some(home) = homes.get(&name) else { continue };
            let ring = home.split('/').next().unwrap_or_default();
            // Tests may run on the memory engine anywhere: it is the port's reference.
            let is_reference = section == "dev-dependencies" && *home == "adapters/memory";
            if !allowed.contains(&ring) && !is_reference {
                found.push(format!("{folder} must not know {home}"));
            }
        }
    }
    found
}

fn the_domain_is_pure(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for (folder, manifest) in tree.manifests() {
        for (_, name, _) in dependencies(&manifest).iter().filter(|(section, ..)| *section == "dependencies") {
            if folder == "domain" && !DOMAIN_DEPENDENCIES.contains(&name.as_str()) {
                found.push(format!("the domain must not depend on {name}"));
            }
            if matches!(folder, "commands" | "projections") && OUTSIDE_ONLY.contains(&name.as_str()) {
                found.push(format!("{folder} must not depend on {name}: that is an adapter's"));
            }
        }
    }
    // The testing module runs the port's contract on whatever runtime the engine's tests have.
    let pure = |path: &str| path.starts_with("domain/src/") && !path.starts_with("domain/src/testing/");
    for (path, number, line) in tree.code().filter(|(path, ..)| pure(path)) {
        for word in IMPURE.iter().filter(|word| has_word(line, word)) {
            found.push(format!("{path}:{number}: {word} is not for the domain"));
        }
    }
    found
}

fn money_knows_no_floats(tree: &Tree) -> Vec<String> {
    let begins_in = |path: &str, places: &[&str]| places.iter().any(|place| path.starts_with(place));
    tree.code()
        .filter(|(path, ..)| begins_in(path, EXACT) && !begins_in(path, FLOATS_ALLOWED))
        .filter(|(_, _, line)| has_word(line, "f32") || has_word(line, "f64"))
        .map(|(path, number, _)| format!("{path}:{number}: a float near money or energy"))
        .collect()
}

fn the_core_never_panics(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for name in ["domain", "commands", "projections"] {
        let path = format!("{name}/src/lib.rs");
        let Some(text) = tree.0.get(&path).filter(|text| text.contains("mod ")) else { continue };
        let denied: String = text.lines().filter(|line| line.starts_with("#![") && line.contains("deny")).collect();
        for lint in ["unwrap_used", "expect_used", "panic"] {
            if !denied.contains(&format!("clippy::{lint}")) {
                found.push(format!("{path} must deny clippy::{lint}"));
            }
        }
    }
    found
}

fn nothing_is_put_off(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for (path, number, line) in tree.code() {
        for word in ["todo!", "unimplemented!", "#[ignore"].iter().filter(|word| line.contains(*word)) {
            found.push(format!("{path}:{number}: {word} puts off what has to be decided"));
        }
    }
    for (path, text) in tree.texts().filter(|(path, _)| !path.ends_with(".lock")) {
        for (index, _) in text.lines().enumerate().filter(|(_, line)| ["FIXME", "TODO", "XXX"].iter().any(|word| has_word(line, word))) {
            found.push(format!("{path}:{}: write an issue, or nothing", index + 1));
        }
    }
    found
}

fn files_stay_readable(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in tree.texts().filter(|(path, _)| [".rs", ".sh", ".sql"].iter().any(|end| path.ends_with(end))) {
        let lines = text.lines().count();
        let is_excused = LONG_FILES.iter().any(|(long, _)| *long == path);
        if lines > LINES_MAX && !is_excused {
            found.push(format!("{path} has {lines} lines; {LINES_MAX} are the most"));
        }
        if lines <= LINES_MAX && is_excused {
            found.push(format!("{path} has become short enough: strike it off LONG_FILES"));
        }
    }
    found
}

fn modules_have_names_of_the_field(tree: &Tree) -> Vec<String> {
    let vague = ["utils", "util", "common", "helpers", "helper", "misc"];
    let is_vague = |path: &str| path.split('/').any(|part| vague.contains(&part.split('.').next().unwrap_or_default()));
    tree.texts().filter(|(path, _)| is_vague(path)).map(|(path, _)| format!("{path}: a name that says nothing")).collect()
}

fn modules_say_what_they_are_for(tree: &Tree) -> Vec<String> {
    tree.texts()
        .filter(|(path, text)| path.ends_with(".rs") && !path.ends_with("/tests.rs") && !text.starts_with("//!"))
        .map(|(path, _)| format!("{path} must open with //!: what it is for"))
        .collect()
}

fn versions_stand_in_one_place(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for (folder, manifest) in tree.manifests() {
        for (_, name, value) in dependencies(&manifest) {
            if value.get("workspace").and_then(toml::Value::as_bool) != Some(true) {
                found.push(format!("{folder} names a version of {name}: it belongs into the root's [workspace.dependencies]"));
            }
        }
        if manifest.get("lints").and_then(|lints| lints.get("workspace")?.as_bool()) != Some(true) {
            found.push(format!("{folder} must take the workspace's lints"));
        }
    }
    found
}

fn the_top_level_is_nine_names_and_the_lock_file(tree: &Tree) -> Vec<String> {
    let names: BTreeSet<&str> = tree.0.keys().map(|path| path.split('/').next().unwrap_or_default()).collect();
    let foreign = names.iter().filter(|name| !name.starts_with('.') && !TOP_LEVEL.contains(name));
    let foreign = foreign.map(|name| format!("{name} does not belong to the top level"));
    let missing = TOP_LEVEL.iter().filter(|name| !names.contains(*name)).map(|name| format!("{name} is missing at the top level"));
    foreign.chain(missing).collect()
}

fn no_machine_is_named(tree: &Tree) -> Vec<String> {
    // Put together here, so that this file does not name one itself.
    let places = ["work", "root", "home", "Users"].map(|name| format!("/{name}/"));
    let mut found = Vec::new();
    for (path, text) in tree.texts() {
        for (index, line) in text.lines().enumerate().filter(|(_, line)| places.iter().any(|place| line.contains(place.as_str()))) {
            found.push(format!("{path}:{}: {}", index + 1, line.trim()));
        }
    }
    found
}

/// Whether `word` stands in `line` on its own, not as a part of a longer name.
fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        let after = line[start + word.len()..].chars().next();
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

/// One test per rule: it sees each bad sample, and the project keeps it.
macro_rules! rules {
    ($($rule:ident refuses [$($sample:expr),+ $(,)?])*) => {$(
        #[test]
        fn $rule() {
            $({
                let sample: &[(&str, &str)] = $sample;
                assert!(!super::$rule(&Tree::sample(sample)).is_empty(), "the rule does not see what is wrong with {sample:?}");
            })+
            let found = super::$rule(&Tree::of_this_project());
            assert!(found.is_empty(), "\n{}", found.join("\n"));
        }
    )*};
}

mod rules {
    use super::Tree;

    const DOMAIN: (&str, &str) = ("domain/Cargo.toml", "package.name = 'domain'");
    const COMMANDS: (&str, &str) = ("commands/Cargo.toml", "package.name = 'commands'");
    const EMBEDDED: (&str, &str) = ("adapters/embedded/Cargo.toml", "package.name = 'embedded'");

    const NINE: [(&str, &str); 9] = [
        ("docs/README.md", ""),
        ("Cargo.toml", ""),
        ("README.md", ""),
        ("domain/Cargo.toml", ""),
        ("commands/Cargo.toml", ""),
        ("projections/Cargo.toml", ""),
        ("adapters/http/Cargo.toml", ""),
        ("schemas/openapi.json", ""),
        ("ops/run", ""),
    ];

    rules! {
        arrows_point_inward refuses [
            &[COMMANDS, ("domain/Cargo.toml", "package.name = 'domain'\n[dependencies]\ncommands.workspace = true")],
            &[COMMANDS, ("projections/Cargo.toml", "package.name = 'projections'\n[dependencies]\ncommands.workspace = true")],
            &[EMBEDDED, ("commands/Cargo.toml", "package.name = 'commands'\n[dependencies]\nembedded.workspace = true")],
            &[EMBEDDED, ("commands/Cargo.toml", "package.name = 'commands'\n[dev-dependencies]\nembedded.workspace = true")],
            &[EMBEDDED, ("adapters/http/Cargo.toml", "package.name = 'http-api'\n[dependencies]\nembedded.workspace = true")],
        ]
        the_domain_is_pure refuses [
            &[("domain/Cargo.toml", "package.name = 'domain'\n[dependencies]\ntokio.workspace = true")],
            &[("commands/Cargo.toml", "package.name = 'commands'\n[dependencies]\nrusqlite.workspace = true")],
            &[DOMAIN, ("domain/src/time.rs", "let now = std::time::SystemTime::now();")],
        ]
        money_knows_no_floats refuses [
            &[("domain/src/units.rs", "fn rate() -> f64")],
            &[("commands/src/session.rs", "let half = amount as f32;")],
        ]
        the_core_never_panics refuses [
            &[("domain/src/lib.rs", "pub mod log;")],
            &[("domain/src/lib.rs", "#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::panic))]\npub mod log;")],
        ]
        nothing_is_put_off refuses [
            &[("commands/src/session.rs", "todo!()")],
            &[("commands/src/session.rs", "#[ignore = \"slow\"]")],
            &[("docs/pricing.md", "FIXME later")],
        ]
        files_stay_readable refuses [
            &[("domain/src/log.rs", &"\n".repeat(701))],
            &[("schemas/sql/read_models.sql", "")],
        ]
        modules_have_names_of_the_field refuses [
            &[("domain/src/utils.rs", "")],
            &[("adapters/http/src/common/mod.rs", "")],
        ]
        modules_say_what_they_are_for refuses [
            &[("domain/src/log.rs", "use std::fmt;")],
        ]
        versions_stand_in_one_place refuses [
            &[("domain/Cargo.toml", "[lints]\nworkspace = true\n[dependencies]\nserde = '1'")],
            &[("domain/Cargo.toml", "[lints]\nworkspace = true\n[dependencies]\nserde = { version = '1' }")],
            &[DOMAIN],
        ]
        the_top_level_is_nine_names_and_the_lock_file refuses [
            &[&NINE[..], &[("Cargo.lock", ""), ("scripts/build.sh", "")]].concat(),
            &[&NINE[1..], &[("Cargo.lock", "")]].concat(),
        ]
        no_machine_is_named refuses [
            &[("docs/tour.md", "cd /home/somebody/ledger")],
        ]
    }
}

#[test]
fn a_missing_room_is_missed_and_a_whole_top_level_is_not() {
    let whole: Vec<(&str, &str)> = TOP_LEVEL.iter().map(|name| (*name, "")).collect();
    assert_eq!(the_top_level_is_nine_names_and_the_lock_file(&Tree::sample(&whole)), Vec::<String>::new());
    assert_eq!(the_top_level_is_nine_names_and_the_lock_file(&Tree::sample(&whole[1..])), ["Cargo.toml is missing at the top level"]);
}

#[test]
fn a_comment_is_not_code_and_a_word_is_not_a_part_of_one() {
    let tree = Tree::sample(&[("domain/src/units.rs", "// never f64\nlet f64_free = true;")]);
    assert_eq!(money_knows_no_floats(&tree), Vec::<String>::new());
}
