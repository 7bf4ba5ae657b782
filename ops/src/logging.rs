//! Log lines go to standard error, so that standard output stays the command's result.

use std::io::IsTerminal as _;

use anyhow::anyhow;
use tracing_subscriber::EnvFilter;

use crate::config::{Config, LogFormat};

/// Starts logging. A command for people is quiet unless it is told otherwise; a server tells what it does.
pub(crate) fn start(config: &Config, is_server: bool) -> anyhow::Result<()> {
    let wanted = config.log.as_deref().unwrap_or(if is_server { "info" } else { "warn" });
    let wanted = &quiet(wanted);
    let filter = EnvFilter::builder().parse(wanted).map_err(|error| anyhow!("the log filter \"{wanted}\" cannot be read: {error}"))?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    match config.log_format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    }
    .map_err(|error| anyhow!("logging cannot start: {error}"))
}

/// PostgreSQL's notices ("relation exists already, skipping") come at the level of a server's own lines, and say nothing to whoever runs it; they are shown with
/// everything else that is for finding mistakes.
fn quiet(wanted: &str) -> String {
    let shows_all = ["tokio_postgres", "debug", "trace"].iter().any(|word| wanted.to_lowercase().contains(word));
    if shows_all { wanted.to_owned() } else { format!("tokio_postgres=warn,{wanted}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_of_the_database_are_for_finding_mistakes() {
        assert_eq!(quiet("info"), "tokio_postgres=warn,info");
        for wanted in ["debug", "info,commands=TRACE", "warn,tokio_postgres=info"] {
            assert_eq!(quiet(wanted), wanted);
        }
    }
}
