//! `import sessions`.

use std::path::Path;

use anyhow::Context as _;
use serde_json::json;

use crate::cli::ImportSessions;
use crate::compose::{World, Writing};
use crate::config::Config;
use crate::import::plan::{Account, Plan};
use crate::import::{self, Format, Report, Rows, estate};
use crate::output::{Answer, grouped};

/// Rejected rows that are listed for people; JSON has all of them.
const LISTED: usize = 20;

pub(crate) async fn run(config: &Config, options: &ImportSessions) -> anyhow::Result<Answer> {
    let format = import::format(&options.format)?;
    let rows = read(format, &options.file)?;
    let operator_id = options.operator.unwrap_or_else(|| estate::operator_of(format));
    let plan = Plan::of(format, operator_id, rows);
    if options.dry_run {
        let account = plan.account();
        return Answer::new(&json!({ "operator_id": operator_id, "plan": account }), text(&account));
    }
    let writing = Writing::open(config, World::Imported, None).await?;
    let done = async {
        if options.operator.is_none() {
            estate::register_operator(&writing.commands, format, plan.opened_at()).await?;
        }
        import::carry_out(&writing, format, plan, options.seed).await
    }
    .await;
    writing.close().await;
    answer(&done?)
}

pub(crate) fn read(format: &dyn Format, file: &Path) -> anyhow::Result<Rows> {
    let bytes = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    import::read(format, &bytes).with_context(|| file.display().to_string())
}

fn answer(report: &Report) -> anyhow::Result<Answer> {
    let known = report.account.imported + report.account.flagged - report.played;
    let text = format!(
        "{}\n{} sessions were played and {} were there already: {} events in {:.1} s",
        text(&report.account),
        grouped(report.played),
        grouped(known),
        grouped(report.events),
        report.seconds,
    );
    Answer::new(report, text)
}

fn text(account: &Account) -> String {
    let mut text = format!(
        "{} rows: {} imported, {} imported with something odd about them, {} rejected; {} kWh",
        grouped(account.rows),
        grouped(account.imported),
        grouped(account.flagged),
        grouped(account.rejected),
        account.energy_kwh,
    );
    for (oddity, count) in &account.oddities {
        let word = serde_json::to_value(oddity).ok();
        text.push_str(&format!("\n  {:>7}  {}", grouped(*count), word.as_ref().and_then(|word| word.as_str()).unwrap_or_default()));
    }
    for rejected in account.rejections.iter().take(LISTED) {
        text.push_str(&format!("\n  line {}: {}", rejected.line, rejected.reason));
    }
    if account.rejections.len() > LISTED {
        text.push_str(&format!("\n  and {} more; --json lists all", account.rejections.len() - LISTED));
    }
    text
}
