//! `projection …`: read from the database, so that it works beside a serving process and without one.

use anyhow::{anyhow, bail};
use domain::log::{Head, Position};
use projections::port::{Build, BuildState, ReadStore as _};
use projections::rebuild::port::Wanted;
use serde_json::{Value, json};

use crate::cli::Projection;
use crate::command::{halts, rebuild};
use crate::compose::{open_reading, read_models};
use crate::config::Config;
use crate::output::{Answer, grouped};

pub(crate) async fn run(config: &Config, what: &Projection) -> anyhow::Result<Answer> {
    match what {
        Projection::List => list(config).await,
        Projection::Show { name } => {
            let (builds, head) = look(config).await?;
            halts::show(config, &builds, head, name).await
        }
        Projection::Rebuild(what) => rebuild::rebuild(config, what).await,
        Projection::Diff { name, against, as_of } => rebuild::diff(config, name, *against, as_of.as_deref()).await,
        Projection::Swap { name, approve, through } => rebuild::swap(config, name, approve.as_deref(), through).await,
        Projection::Rollback { name } => rebuild::rollback(config, name).await,
        Projection::Repair { name, key, dry_run } => rebuild::repair(config, name, key, *dry_run).await,
        Projection::Drop { name, build } => rebuild::drop_build(config, name, *build).await,
        Projection::Pause { name } => steer(config, name, Wanted::Pause).await,
        Projection::Cancel { name } => steer(config, name, Wanted::Cancel).await,
        Projection::Resume { name } => match rebuild::steer(config, name, Wanted::Run).await? {
            Some(answer) => Ok(answer),
            None => halts::resume(config, name).await,
        },
        Projection::Quarantine { name, reason, position, through } => {
            halts::quarantine(config, name, reason, position.map(Position), through).await
        }
    }
}

async fn steer(config: &Config, name: &str, wanted: Wanted) -> anyhow::Result<Answer> {
    let steered = rebuild::steer(config, name, wanted).await?;
    steered.ok_or_else(|| anyhow!("no rebuild of {name} is under way"))
}

/// Every build, and the end of the log.
async fn look(config: &Config) -> anyhow::Result<(Vec<Build>, Head)> {
    let Some(database) = read_models(config)? else { bail!("no database is configured: set CHARGELEDGER_DATABASE_URL") };
    let head = open_reading(config).await?.head().await?;
    Ok((database.builds().await?, head))
}

async fn list(config: &Config) -> anyhow::Result<Answer> {
    let (builds, head) = look(config).await?;
    let one = |build: &Build| {
        let lag = head.events.saturating_sub(build.counted.total());
        let mut value = serde_json::to_value(build)?;
        value["lag"] = lag.into();
        value["head"] = head.position.0.into();
        Ok::<Value, anyhow::Error>(value)
    };
    let values: Vec<Value> = builds.iter().map(one).collect::<Result<_, _>>()?;
    let line = |build: &Build| {
        let lag = head.events.saturating_sub(build.counted.total());
        let state = if build.halt.is_some() { "halted" } else { halts::state(build) };
        format!("{:24}  {:8}  position {:>12}  lag {:>9}", build.table_name(), state, grouped(build.position.0), grouped(lag))
    };
    let under_way = match read_models(config)? {
        Some(database) => rebuild::under_way(&database).await?,
        None => Vec::new(),
    };
    let lines = builds.iter().map(line).chain(under_way.iter().map(rebuild::line));
    let text = lines.collect::<Vec<_>>().join("\n");
    let mut answer = Answer::new(&json!({ "head": head.position, "projections": values, "rebuilds": under_way }), text)?;
    // What a build stood at when it was swapped out is over.
    answer.is_fine = builds.iter().all(|build| build.halt.is_none() || build.state == BuildState::Retired);
    Ok(answer)
}
