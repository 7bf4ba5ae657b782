//! `projection …`: read from the database, so that it works beside a serving process and without one.

use anyhow::anyhow;
use domain::log::{Head, Position};
use projections::port::{Build, BuildState, ReadStore as _};
use projections::rebuild::port::{BuildStore as _, Job, Phase, Wanted};
use serde_json::{Value, json};

use crate::cli::Projection;
use crate::command::{halts, rebuild};
use crate::compose::{needed_read_models, open_reading, read_models};
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
    let database = needed_read_models(config)?;
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
    let jobs = match read_models(config)? {
        Some(database) => database.jobs().await?,
        None => Vec::new(),
    };
    let line = |build: &Build| {
        let lag = head.events.saturating_sub(build.counted.total());
        let state = match build.halt {
            Some(_) => "halted",
            None if waits(build, &jobs) => "ready, waits for swap",
            None => halts::state(build),
        };
        format!("{:24}  {state:8}  position {:>12}  lag {:>9}", build.table_name(), grouped(build.position.0), grouped(lag))
    };
    let under_way: Vec<Job> = jobs.iter().filter(|job| !job.phase.is_over()).cloned().collect();
    let lines = builds.iter().map(line).chain(under_way.iter().map(rebuild::line));
    let text = lines.collect::<Vec<_>>().join("\n");
    let mut answer = Answer::new(&json!({ "head": head.position, "projections": values, "rebuilds": under_way }), text)?;
    // What a build stood at when it was swapped out is over.
    answer.is_fine = builds.iter().all(|build| build.halt.is_none() || build.state == BuildState::Retired);
    Ok(answer)
}

/// Whether a build has everything, and somebody has to say that it serves.
fn waits(build: &Build, jobs: &[Job]) -> bool {
    let is_ready = |job: &Job| job.number == build.number && matches!(job.phase, Phase::Ready | Phase::AwaitingApproval);
    build.state == BuildState::Filling && jobs.iter().any(|job| job.name == build.name && is_ready(job))
}

#[cfg(test)]
mod tests {
    use super::*;
    use projections::port::Counted;

    fn build(number: i64, state: BuildState) -> Build {
        let (name, projection, counted) = ("bills".to_owned(), "bills".to_owned(), Counted::default());
        Build { name, projection, number, version: 1, state, position: Position(3), last_event: None, counted, halt: None, pinned: false }
    }

    #[test]
    fn a_build_that_is_finished_is_not_said_to_be_filling() {
        let job = |number, phase| Job { phase, ..Job::of(&build(number, BuildState::Filling)) };
        let filling = build(2, BuildState::Filling);
        assert!(waits(&filling, &[job(2, Phase::Ready)]) && waits(&filling, &[job(2, Phase::AwaitingApproval)]));
        assert!(!waits(&filling, &[job(2, Phase::Replaying)]) && !waits(&filling, &[job(3, Phase::Ready)]) && !waits(&filling, &[]));
        assert!(!waits(&build(1, BuildState::AsOf), &[job(1, Phase::Ready)]), "a view of the past waits for nothing");
    }
}
