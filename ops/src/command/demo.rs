//! `demo`: what `./ops/run` runs. Real sessions in, a summary out, then the API.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use domain::ids::{OperatorId, SessionId};
use domain::key::Role;
use domain::log::EventStore;

use super::audit::look_at_everything;
use super::{import as importing, key, serve};
use crate::cli::Demo;
use crate::compose::{World, Writing, read_models, staff, start_projections, store_path};
use crate::config::Config;
use crate::import::plan::Plan;
use crate::import::{self, estate, generate, shenzhen};
use crate::output::{Answer, say};
use crate::raw_log::RawLog;
use crate::summary::{Figures, Summary};

/// The keys that are made ready, so that everything can be tried at once.
const ROLES: [Role; 5] = [Role::App, Role::Finance, Role::Operator, Role::Gateway, Role::Admin];
/// A first start folds the whole log into every read model.
const PROJECTIONS_WAIT: Duration = Duration::from_secs(600);

pub(crate) async fn run(config: &Config, options: &Demo, as_json: bool) -> anyhow::Result<Answer> {
    // The address first: it would be a pity to import everything and then find it taken.
    let listener = if options.once { None } else { Some(serve::bind(config.listen).await?) };
    let url = match &listener {
        Some(listener) => format!("http://{}", listener.local_addr()?),
        None => format!("http://{}", config.listen),
    };
    let summary = tokio::select! {
        summary = fill(config, options, &url) => summary?,
        () = serve::told_to_stop() => bail!("stopped before it was done; the next run goes on where this one stopped"),
    };
    let Some(listener) = listener else { return Ok(summary) };
    say(if as_json { summary.json.to_string() } else { summary.text.trim_end().to_owned() }.as_str());
    if !as_json {
        say("serving; Ctrl-C stops everything");
    }
    serve::serve(config, serve::Roles::ALL, Some(listener)).await?;
    Ok(Answer { is_fine: summary.is_fine, ..Answer::silent() })
}

/// Imports what is missing, waits until every read model has it, and looks at everything.
async fn fill(config: &Config, options: &Demo, url: &str) -> anyhow::Result<Answer> {
    let format = import::format(&options.format)?;
    let rows = importing::read(format, &options.input)?;
    let writing = Writing::open(config, World::Imported, None).await?;
    let log: Arc<dyn EventStore> = writing.store.clone();
    let database = read_models(config)?;
    let projections = database.as_ref().map(|database| start_projections(config, log.clone(), database, None));

    let plan = Plan::of(format, estate::operator_of(format), rows);
    let imported: HashSet<SessionId> = plan.sessions.iter().map(|session| session.session_id).collect();
    let operator_id = estate::register_operator(&writing.commands, format, plan.opened_at()).await?;
    let report = import::carry_out(&writing, format, plan, generate::SEED).await?;
    let mut operators = vec![("", operator_id, &ROLES[..])];
    if let Some(file) = &options.stations {
        shenzhen::register(&writing.commands, file).await?;
        operators.push(("shenzhen ", shenzhen::operator(), &[Role::App]));
    }
    let keys = keys(&writing, store_path(config), &operators).await?;

    let mut statuses = Vec::new();
    if let Some(runner) = projections {
        // Whether every one came is what the summary says; a halted one must not hide the rest of it.
        if let Err(error) = runner.wait_for_head(PROJECTIONS_WAIT).await? {
            tracing::warn!(%error, "a projection is not at the head");
        }
        statuses = runner.status().await?;
        runner.stop().await;
    }
    let head = writing.store.head().await?.position;
    let raw = RawLog::open(config).await?;
    let (figures, verdict) =
        tokio::task::spawn_blocking(move || Ok::<_, anyhow::Error>((Figures::of(&raw)?, look_at_everything(&raw)?))).await??;
    drop(log);
    writing.close().await;

    let summary = Summary {
        report: &report,
        imported: &imported,
        figures: &figures,
        verdict: &verdict,
        head,
        projections: &statuses,
        url,
        keys: &keys,
    };
    Ok(Answer { json: summary.json(), text: summary.text(), is_fine: summary.faults().is_empty() })
}

/// A key for each role, with its secret. The ledger does not keep secrets, so a demonstration keeps its own, in a file that only its owner can read.
async fn keys(writing: &Writing, directory: &Path, operators: &[(&str, OperatorId, &[Role])]) -> anyhow::Result<Vec<(String, String)>> {
    let path = directory.join("demo-keys.json");
    let log: Arc<dyn EventStore> = writing.store.clone();
    if let Some(known) = std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Vec<(String, String)>>(&bytes).ok())
        && key::open_something(log.as_ref(), &known).await?
    {
        return Ok(known);
    }
    let mut keys = Vec::new();
    for (name, operator_id, roles) in operators {
        for role in *roles {
            let (caller, ids) = staff(&writing.commands, *operator_id);
            let made = writing.commands.create_key(&caller, &ids, *role, "made by the demonstration".to_owned()).await?;
            let word = serde_json::to_value(role)?;
            keys.push((format!("{name}{}", word.as_str().unwrap_or_default()), made.secret));
        }
    }
    write_private(&path, &serde_json::to_vec_pretty(&keys)?).with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(keys)
}

fn write_private(path: &PathBuf, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?.write_all(bytes)
}
