//! What people read is true: links lead somewhere, every setting and every command is written down, and nothing is written down that is not there.
//!
//! Deliberately absent: whether the prose is right. Commands and their answers in the guides were run; a test cannot tell whether a sentence still holds.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn project() -> PathBuf {
    let ops = Path::new(env!("CARGO_MANIFEST_DIR"));
    ops.parent().map(Path::to_owned).unwrap_or_default()
}

/// Every Markdown file, by its path from the project's root.
fn pages() -> Vec<(PathBuf, String)> {
    let root = project();
    let mut pages = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            if name.starts_with('.') || name == "target" {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if name.ends_with(".md") {
                let text = std::fs::read_to_string(&path).unwrap();
                pages.push((path.strip_prefix(&root).unwrap().to_owned(), text));
            }
        }
    }
    pages.sort();
    assert!(pages.len() > 10, "the pages were not found");
    pages
}

/// What a page says outside its blocks of code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_fence && !is_code
    })
}

/// The targets of `[text](target)`.
fn links(text: &str) -> Vec<&str> {
    let targets =
        |line| -> Vec<&str> { str::split(line, "](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(to, _)| to).collect() };
    prose(text).flat_map(targets).collect()
}

/// A heading as links name it: `## The disk is full` is `#the-disk-is-full`.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_')).map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn anchors(text: &str) -> BTreeSet<String> {
    prose(text).filter(|line| line.starts_with('#')).map(|line| anchor(line.trim_start_matches('#'))).collect()
}

/// The links of a page that lead nowhere.
fn dead_links(root: &Path, page: &Path, text: &str) -> Vec<String> {
    let folder = root.join(page).parent().map(Path::to_owned).unwrap_or_default();
    let leads_somewhere = |link: &str| {
        let (path, heading) = link.split_once('#').map_or((link, None), |(path, heading)| (path, Some(heading)));
        if path.is_empty() {
            return heading.is_some_and(|heading| anchors(text).contains(heading));
        }
        let there = folder.join(path);
        let has = |heading: &str| std::fs::read_to_string(&there).is_ok_and(|other| anchors(&other).contains(heading));
        there.exists() && heading.is_none_or(has)
    };
    let ours = links(text).into_iter().filter(|link| !link.contains("://") && !link.starts_with("mailto:"));
    ours.filter(|link| !leads_somewhere(link)).map(|link| format!("{} links to {link}", page.display())).collect()
}

/// The fields of a struct, as its source has them.
fn fields<'a>(source: &'a str, name: &str) -> BTreeSet<&'a str> {
    let body = source.split_once(&format!("struct {name} {{")).and_then(|(_, rest)| rest.split_once('}')).map_or("", |(body, _)| body);
    body.lines().filter_map(|line| line.split_once(':')).map(|(field, _)| field.trim()).collect()
}

/// The first column of a page's tables, where it is a word in code: `` | `listen` | ``.
fn first_column(text: &str) -> BTreeSet<&str> {
    let word = |line| str::strip_prefix(line, "| `").and_then(|rest| rest.split_once('`')).map(|(word, _)| word);
    prose(text).filter_map(word).collect()
}

/// The commands that a `--help` lists.
fn listed(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // What goes on in the next line is indented further.
    let entries = lines.filter_map(|line| line.strip_prefix("  ").filter(|entry| !entry.starts_with(' ')));
    entries.filter_map(|entry| entry.split_whitespace().next()).filter(|word| *word != "help").map(str::to_owned).collect()
}

/// Every command of the binary with its words, like `audit verify`: those that have no more words after them.
fn commands() -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![String::new()];
    while let Some(words) = open.pop() {
        let asked = Command::new(env!("CARGO_BIN_EXE_chargeledger")).args(words.split_whitespace()).arg("--help").output().unwrap();
        assert!(asked.status.success(), "chargeledger {words} --help");
        let below = listed(&String::from_utf8(asked.stdout).unwrap());
        if below.is_empty() {
            found.push(words.trim().to_owned());
        }
        open.extend(below.into_iter().map(|word| format!("{words} {word}")));
    }
    found
}

/// Guides: what a reader who does not change the code has.
fn guides() -> String {
    let is_guide = |page: &Path| page == Path::new("README.md") || page.parent() == Some(Path::new("docs"));
    pages().into_iter().filter(|(page, _)| is_guide(page)).map(|(_, text)| text).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_link_leads_somewhere() {
    let root = project();
    let dead: Vec<String> = pages().iter().flat_map(|(page, text)| dead_links(&root, page, text)).collect();
    assert!(dead.is_empty(), "\n{}", dead.join("\n"));
}

/// The runbooks that an alarm file names, like `operators.md#backup`, and how many alarms it has.
fn runbooks(text: &str) -> (Vec<&str>, usize) {
    let linked = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("runbook_url: '{{ or $externalLabels.runbooks \"docs\" }}/")?.strip_suffix('\''));
    (linked.collect(), text.lines().filter(|line| line.trim().starts_with("- alert: ")).count())
}

#[test]
fn every_alarm_has_a_runbook_and_every_runbook_is_a_section() {
    let text = std::fs::read_to_string(project().join("ops/prometheus/alerts.yml")).unwrap();
    let (runbooks, alarms) = runbooks(&text);
    assert!(alarms > 10 && runbooks.len() == alarms, "{alarms} alarms, {} runbooks", runbooks.len());
    for runbook in runbooks {
        let (page, section) = runbook.split_once('#').unwrap_or((runbook, ""));
        let page = std::fs::read_to_string(project().join("docs").join(page)).unwrap_or_default();
        assert!(anchors(&page).contains(section), "no page has the section {runbook}");
    }
}

#[test]
fn every_setting_is_on_the_configuration_page_and_nothing_else_is() {
    let source = std::fs::read_to_string(project().join("ops/src/config.rs")).unwrap();
    let page = std::fs::read_to_string(project().join("docs/configuration.md")).unwrap();
    let settings = fields(&source, "Settings");
    assert!(settings.contains("listen"), "the settings were not found");
    assert_eq!(settings, first_column(&page));
    for setting in settings {
        let variable = format!("`CHARGELEDGER_{}`", setting.to_uppercase());
        assert!(page.contains(&variable), "docs/configuration.md does not name {variable}");
    }
}

#[test]
fn every_command_is_in_a_guide() {
    let (guides, commands) = (guides(), commands());
    assert!(commands.contains(&"audit verify".to_owned()), "{commands:?}");
    let missing: Vec<&String> = commands.iter().filter(|words| !guides.contains(words.as_str())).collect();
    assert!(missing.is_empty(), "no guide names {missing:?}");
}

#[test]
fn every_command_in_a_guide_is_one() {
    let guides = guides();
    let known = commands();
    let is_word =
        |word: &&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-') && !word.starts_with('-');
    for line in guides.lines().filter_map(|line| line.trim_start().strip_prefix("chargeledger ")) {
        let words: Vec<&str> = line.split_whitespace().take_while(is_word).take(2).collect();
        let is_known = known.iter().any(|command| {
            let command: Vec<&str> = command.split(' ').collect();
            words.starts_with(&command)
        });
        // Options may stand in front: then nothing is said about the words.
        assert!(is_known || words.is_empty(), "there is no command like: chargeledger {line}");
    }
}

#[test]
fn the_checks_see_what_is_wrong() {
    let (root, page) = (project(), Path::new("docs/sample.md"));
    let text = "# A title\n[here](#a-title) [there](../README.md) [out](https://example.org)\n```\n[code](no-such)\n```\n";
    assert_eq!(dead_links(&root, page, text), Vec::<String>::new());
    let broken = "[gone](no-such.md) and [elsewhere](../Cargo.toml) [wrong](#nothing)";
    assert_eq!(dead_links(&root, page, broken), ["docs/sample.md links to no-such.md", "docs/sample.md links to #nothing"]);
    let alarms = "  - alert: A\n    runbook_url: '{{ or $externalLabels.runbooks \"docs\" }}/operators.md#backup'\n  - alert: B\n";
    assert_eq!(runbooks(alarms), (vec!["operators.md#backup"], 2));
    assert_eq!(anchor(" PostgreSQL is away: what now? "), "postgresql-is-away-what-now");
    assert_eq!(fields("struct A {\n    b: u8,\n    c_d: u8,\n}\n", "A"), BTreeSet::from(["b", "c_d"]));
    assert_eq!(first_column("| `listen` | `X` |\n| no | `code` |\n"), BTreeSet::from(["listen"]));
    assert_eq!(listed("Usage\n\nCommands:\n  serve  Serves\n  help   Helps\n\nOptions:\n  -h"), ["serve"]);
}
