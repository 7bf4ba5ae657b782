//! `projection show|resume|quarantine`: a projection that stands at an event, and what can be decided about it.
//!
//! `resume` changes nothing but the registry of builds, so that it works beside a server as without one. `quarantine` is an event of the ledger: while a server writes,
//! it goes through the server.

use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::anyhow;
use commands::projection::Poison;
use domain::ids::OperatorId;
use domain::log::{Head, Position};
use projections::halted::{event_of, lift, standing_at};
use projections::port::{Build, BuildState, Halt, ReadStore};
use projections::quarantine::{Decision, Quarantined};
use serde_json::{Value, json};

use crate::cli::Through;
use crate::compose::{Writing, needed_read_models, open_reading, staff};
use crate::config::Config;
use crate::output::{Answer, grouped, wrong_usage};
use crate::server::{Server, Way};

/// One projection, with what halted it and what it steps over.
pub(crate) async fn show(config: &Config, builds: &[Build], head: Head, name: &str) -> anyhow::Result<Answer> {
    let found: Vec<&Build> = builds.iter().filter(|build| build.name == name).collect();
    if found.is_empty() {
        let mut known: Vec<&str> = builds.iter().map(|build| build.name.as_str()).collect();
        known.dedup();
        wrong_usage!("there is no projection {name}; there are: {}", known.join(", "));
    }
    let quarantined = Quarantined::read(open_reading(config).await?.as_ref()).await?;
    let decisions: Vec<&Decision> = quarantined.decisions().filter(|decision| decision.projection == name).collect();
    let mut text = format!("{name}, of {} events up to {}\n", grouped(head.events), grouped(head.position.0));
    let mut values = Vec::with_capacity(found.len());
    for build in &found {
        let lag = head.events.saturating_sub(build.counted.total());
        let _ = writeln!(
            text,
            "  build {}, version {}, {}: position {}, lag {}; applied {}, ignored {}, quarantined {}",
            build.number,
            build.version,
            state(build),
            grouped(build.position.0),
            grouped(lag),
            grouped(build.counted.applied),
            grouped(build.counted.ignored),
            grouped(build.counted.quarantined),
        );
        if let Some(halt) = &build.halt {
            text.push_str(&quote(name, halt)?);
        }
        let mut value = serde_json::to_value(build)?;
        value["lag"] = lag.into();
        value["head"] = head.position.0.into();
        values.push(value);
    }
    for decision in &decisions {
        let Decision { position, event_type, event_id, reason, decided_by, decided_at, .. } = decision;
        let _ = writeln!(
            text,
            "  steps over {event_type} at {}, event {event_id}: \"{reason}\" ({decided_by}, {decided_at})",
            grouped(position.0)
        );
    }
    let mut answer = Answer::new(&json!({ "name": name, "builds": values, "quarantined": decisions }), text)?;
    answer.is_fine = found.iter().all(|build| build.halt.is_none() || build.state == BuildState::Retired);
    Ok(answer)
}

/// What a build is there for. One that serves although this release folds it in another way stands still until a rebuild takes its place.
pub(crate) fn state(build: &Build) -> &'static str {
    let is_outdated = projections::definition(&build.name).is_some_and(|definition| definition.version != build.version);
    match build.state {
        BuildState::Serving if is_outdated => "outdated",
        BuildState::Filling => "filling",
        BuildState::Serving => "serving",
        BuildState::Retired => "retired",
        BuildState::AsOf => "as_of",
    }
}

fn quote(name: &str, halt: &Halt) -> anyhow::Result<String> {
    let mut text = format!("  halted at {}: {}\n", grouped(halt.position.0), halt.error);
    if halt.event_type.is_empty() {
        return Ok(text);
    }
    let _ = writeln!(text, "    {} in {}, event {}", halt.event_type, halt.stream, halt.event_id);
    for line in serde_json::to_string_pretty(&halt.event)?.lines() {
        let _ = writeln!(text, "    {line}");
    }
    let _ = writeln!(text, "    once it is mended: chargeledger projection resume {name}");
    let _ = writeln!(text, "    to go on without this event, for ever: chargeledger projection quarantine {name} --reason \"…\"");
    Ok(text)
}

async fn database(config: &Config) -> anyhow::Result<Arc<dyn ReadStore>> {
    Ok(needed_read_models(config)?)
}

/// Lets a halted projection try again.
pub(crate) async fn resume(config: &Config, name: &str) -> anyhow::Result<Answer> {
    let database = database(config).await?;
    let builds = database.builds().await?;
    if !builds.iter().any(|build| build.name == name) {
        wrong_usage!("there is no projection {name}");
    }
    let lifted = lift(&*database, &builds, name, None).await?;
    let text = match lifted {
        0 => format!("{name} has not halted"),
        _ => format!("{name} tries again: the process that keeps it up to date notices within a second, or when it starts"),
    };
    Answer::new(&json!({ "projection": name, "resumed": lifted > 0 }), text)
}

/// Lets a halted projection step over the event at which it stands.
pub(crate) async fn quarantine(
    config: &Config,
    name: &str,
    reason: &str,
    position: Option<Position>,
    through: &Through,
) -> anyhow::Result<Answer> {
    match Way::find(config, through).await? {
        Way::Through(server) => quarantine_through(&server, name, reason, position).await,
        Way::Direct(writing) => {
            let done = quarantine_here(config, &writing, name, reason, position).await;
            writing.close().await;
            done
        }
    }
}

async fn quarantine_through(server: &Server, name: &str, reason: &str, position: Option<Position>) -> anyhow::Result<Answer> {
    let path = format!("/v1/projections/{name}/quarantine");
    let answer = server.post(&path, &json!({ "reason": reason, "position": position })).await?;
    let text = |field: &str| answer[field].as_str().unwrap_or_default();
    let position = Position(answer["position"].as_u64().unwrap_or_default());
    said(text("projection"), position, &answer["event_id"], text("event_type"), text("reason"))
}

async fn quarantine_here(
    config: &Config,
    writing: &Writing,
    name: &str,
    reason: &str,
    position: Option<Position>,
) -> anyhow::Result<Answer> {
    let database = database(config).await?;
    let builds = database.builds().await?;
    let halt = match standing_at(&builds, name, position) {
        Ok(halt) => halt,
        Err(refusal) => {
            let quarantined = Quarantined::read(writing.store.as_ref()).await?;
            let before = |decision: &&Decision| decision.projection == name && Some(decision.position) == position;
            let Some(Decision { position, event_id, event_type, reason, .. }) = quarantined.decisions().find(before) else {
                return Err(refusal.into());
            };
            return said(name, *position, &json!(event_id), event_type, reason);
        }
    };
    let event = event_of(writing.store.as_ref(), halt).await?;
    let event = event.ok_or_else(|| anyhow!("{name} stands at an event that this ledger does not have"))?;
    // Whose event it is, in whose books it is decided.
    let operator_id: OperatorId = event.metadata.operator_id;
    let (caller, ids) = staff(&writing.commands, operator_id);
    let poison = Poison { position: halt.position, event_id: halt.event_id, event_type: halt.event_type.clone() };
    let done = writing.commands.quarantine_event(&caller, &ids, name, poison, reason.to_owned()).await?;
    lift(&*database, &builds, name, Some(halt.event_id)).await?;
    let reason = done.state.reason(halt.event_id).unwrap_or(reason).to_owned();
    said(name, halt.position, &json!(halt.event_id), &halt.event_type, &reason)
}

fn said(name: &str, position: Position, event_id: &Value, event_type: &str, reason: &str) -> anyhow::Result<Answer> {
    let json = json!({ "projection": name, "position": position, "event_id": event_id, "event_type": event_type, "reason": reason });
    Answer::new(&json, format!("{name} steps over {event_type} at {} from now on: \"{reason}\"", grouped(position.0)))
}
