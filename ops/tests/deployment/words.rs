//! Names in texts: settings, and the metrics in a question to Prometheus.

use std::collections::BTreeSet;

/// What an expression of PromQL has besides metrics, functions and labels.
const KEYWORDS: &[&str] = &["and", "or", "unless", "bool", "offset", "inf", "nan"];
/// Behind these stand labels in brackets.
const GROUPINGS: &[&str] = &["by", "without", "on", "ignoring", "group_left", "group_right"];

/// The words of these letters that begin so.
pub(crate) fn names_in(text: &str, is_letter: impl Fn(char) -> bool, start: &str) -> BTreeSet<String> {
    text.split(|letter| !is_letter(letter)).filter(|word| word.len() > start.len() && word.starts_with(start)).map(str::to_owned).collect()
}

/// Every `CHARGELEDGER_…`.
pub(crate) fn settings_in(text: &str) -> BTreeSet<String> {
    let mut found = names_in(text, |letter| letter.is_ascii_uppercase() || letter == '_', "CHARGELEDGER_");
    // Tests set it, and nobody else.
    found.remove("CHARGELEDGER_TEST_DATABASE_URL");
    found
}

/// The metrics that an expression asks for.
pub(crate) fn metrics_of(expression: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut rest = expression;
    while let Some(letter) = rest.chars().next() {
        let end =
            |closing: char| rest[letter.len_utf8()..].find(closing).map_or(rest.len(), |at| at + letter.len_utf8() + closing.len_utf8());
        if letter.is_ascii_alphabetic() || letter == '_' {
            let length = rest.find(|letter: char| !letter.is_ascii_alphanumeric() && !matches!(letter, '_' | ':')).unwrap_or(rest.len());
            let (word, behind) = rest.split_at(length);
            rest = behind;
            if GROUPINGS.contains(&word) {
                rest = behind.split_once(')').map_or("", |(_, behind)| behind);
            } else if !is_called(behind) && !KEYWORDS.contains(&word) {
                found.insert(word.to_owned());
            }
            continue;
        }
        rest = match letter {
            '"' => &rest[end('"')..],
            '{' => labels_end(rest),
            '[' => &rest[end(']')..],
            // A number, with what belongs to it: 10e9, 5m.
            '0'..='9' => rest.trim_start_matches(|letter: char| letter.is_ascii_alphanumeric() || letter == '.'),
            _ => &rest[letter.len_utf8()..],
        };
    }
    found
}

/// Whether what stands before is a function or an aggregation.
fn is_called(behind: &str) -> bool {
    let behind = behind.trim_start();
    ["(", "by ", "by(", "without ", "without("].iter().any(|start| behind.starts_with(start))
}

/// What follows the labels' closing brace: one between quotation marks is a part of a value.
fn labels_end(text: &str) -> &str {
    let mut is_quoted = false;
    for (at, letter) in text.char_indices() {
        is_quoted ^= letter == '"';
        if letter == '}' && !is_quoted {
            return &text[at + 1..];
        }
    }
    ""
}

#[test]
fn metrics_are_told_from_functions_labels_and_words() {
    let names = |expression: &str| metrics_of(expression).into_iter().collect::<Vec<_>>();
    assert_eq!(names(r#"sum by (le, route) (rate(a_total{route!~"/x/{id}/b"}[5m])) / c > 10e9"#), ["a_total", "c"]);
    assert_eq!(names(r"max(a unless on (instance, projection) (b == 1)) or vector(0)"), ["a", "b"]);
    assert_eq!(names("time() - max(at_seconds) > 30 * 3600"), ["at_seconds"]);
}

#[test]
fn settings_are_found_wherever_they_stand() {
    let found = settings_in("- CHARGELEDGER_LOG=info\n`CHARGELEDGER_OTLP_ENDPOINT` $CHARGELEDGER_");
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["CHARGELEDGER_LOG", "CHARGELEDGER_OTLP_ENDPOINT"]);
}
