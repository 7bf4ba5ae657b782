//! What a command answers: text for people, one JSON object for programs, on standard output; errors on standard error.

use std::io::Write as _;

use serde::Serialize;
use serde_json::{Value, json};

/// Nothing was done, because what was asked for, or the configuration, cannot be meant: the exit status is 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct WrongUsage(pub(crate) String);

/// Ends a command with [`WrongUsage`].
macro_rules! wrong_usage {
    ($($said:tt)*) => {
        return Err($crate::output::WrongUsage(format!($($said)*)).into())
    };
}
pub(crate) use wrong_usage;

/// What a command answers.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) json: Value,
    pub(crate) text: String,
    /// False when the command did its work and found something wrong.
    pub(crate) is_fine: bool,
}

impl Answer {
    pub(crate) fn new(json: &impl Serialize, text: impl Into<String>) -> anyhow::Result<Answer> {
        Ok(Answer { json: serde_json::to_value(json)?, text: text.into(), is_fine: true })
    }

    /// Everything has been said already.
    pub(crate) fn silent() -> Answer {
        Answer { json: Value::Null, text: String::new(), is_fine: true }
    }
}

/// Says how it went.
pub(crate) fn report(result: &anyhow::Result<Answer>, as_json: bool) {
    match result {
        Ok(Answer { json: Value::Null, text, .. }) if text.is_empty() => {}
        Ok(answer) if as_json => say(&answer.json.to_string()),
        Ok(answer) => say(answer.text.trim_end()),
        Err(error) => {
            let message = format!("{error:#}");
            if as_json {
                say(&json!({ "error": message }).to_string());
            }
            // Nobody reads standard error any more: there is nobody left to tell.
            let _ = writeln!(std::io::stderr(), "error: {message}");
        }
    }
}

/// One line on standard output. A reader that has gone away is not an error.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Two columns, the second one aligned.
pub(crate) fn table(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    rows.iter().map(|(name, value)| format!("{name:width$}  {value}\n")).collect()
}

/// 1234567 as 1,234,567.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_in_threes() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
