//! The read models and how far they are. The figures are of the process, not of one operator; nothing of any operator stands in them, but for the event that an
//! admin of its operator is shown.

use std::sync::Arc;

use axum::extract::State as Held;
use domain::log::Head;
use projections::port::{Build, Halt};
use projections::rebuild::port::Job;
use projections::runner::{State, Status};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Api;
use crate::asked::{Segment, word};
use crate::builds::{BuildAnswer, RebuildAnswer};
use crate::halts::{quoted, serving, unread};
use crate::problem::{Kind, Problem};
use crate::reading::{Look, Shown};

pub(crate) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(one))
}

/// A read model and how far it is.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProjectionAnswer {
    /// Its name.
    name: String,
    /// The position that its rows hold.
    position: u64,
    /// The ledger's last position.
    head: u64,
    /// How many ledger events it has still to look at; none where this process does not keep it up to date.
    #[serde(skip_serializing_if = "Option::is_none")]
    lag_events: Option<u64>,
    /// How far it is behind in time.
    #[serde(skip_serializing_if = "Option::is_none")]
    lag_seconds: Option<i64>,
    /// What it is doing.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    /// The version of the fold.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u32>,
    /// The build that it writes on; where this process does not keep it up to date, the one that serves.
    #[serde(skip_serializing_if = "Option::is_none")]
    build: Option<i64>,
    /// Events handled.
    #[serde(skip_serializing_if = "Option::is_none")]
    applied: Option<u64>,
    /// Events of types that it does not handle.
    #[serde(skip_serializing_if = "Option::is_none")]
    ignored: Option<u64>,
    /// Events stepped over by an operator's decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    quarantined: Option<u64>,
    /// Events a second, of late.
    #[serde(skip_serializing_if = "Option::is_none")]
    events_per_s: Option<u64>,
    /// How often the watchdog started it again, since the process began.
    #[serde(skip_serializing_if = "Option::is_none")]
    restarts: Option<u64>,
    /// The event that it cannot apply: where it is, not what it says, for it may be another operator's.
    #[serde(skip_serializing_if = "Option::is_none")]
    halted_at: Option<HaltAnswer>,
    /// Its builds, and the views of the past that are made from its fold; none while their database is away.
    #[serde(skip_serializing_if = "Option::is_none")]
    builds: Option<Vec<BuildAnswer>>,
    /// Its newest rebuild, if there ever was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    rebuild: Option<RebuildAnswer>,
}

/// An event that a projection cannot apply.
#[derive(Debug, Serialize, ToSchema)]
pub struct HaltAnswer {
    /// Where.
    position: u64,
    /// Which.
    event_id: String,
    /// Of which type.
    event_type: String,
    /// What is the matter; for an admin of the event's operator, at the single read model.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// What the event says; for an admin of its operator, at the single read model.
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<Value>,
}

impl From<&Halt> for HaltAnswer {
    fn from(halt: &Halt) -> HaltAnswer {
        let (position, event_id, event_type) = (halt.position.0, halt.event_id.to_string(), halt.event_type.clone());
        HaltAnswer { position, event_id, event_type, error: None, event: None }
    }
}

/// All of them.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProjectionsAnswer {
    /// By name.
    items: Vec<ProjectionAnswer>,
    /// Whether somebody has to agree to what differs before a rebuilt view serves.
    swap_approval: bool,
}

impl From<Status> for ProjectionAnswer {
    fn from(status: Status) -> ProjectionAnswer {
        ProjectionAnswer {
            name: status.name,
            position: status.position.0,
            head: status.head.0,
            lag_events: Some(status.lag_events),
            lag_seconds: Some(status.lag_seconds),
            state: Some(word(status.state)),
            version: Some(status.version),
            build: Some(status.build),
            applied: Some(status.counted.applied),
            ignored: Some(status.counted.ignored),
            quarantined: Some(status.counted.quarantined),
            events_per_s: Some(status.events_per_s),
            restarts: Some(status.restarts),
            halted_at: status.halt.as_ref().map(HaltAnswer::from),
            builds: None,
            rebuild: None,
        }
    }
}

async fn all(api: &Api) -> Result<Vec<(ProjectionAnswer, Option<Halt>)>, Problem> {
    let registry = registry(api).await;
    let mut found: Vec<(ProjectionAnswer, Option<Halt>)> = match (&api.runner, &registry) {
        (Some(runner), _) => runner
            .status()
            .await?
            .into_iter()
            .map(|status| (status.halt.clone(), status))
            .map(|(halt, status)| (status.into(), halt))
            .collect(),
        // Another process keeps them up to date: what the registry says.
        (None, Ok((builds, _))) => {
            let head = api.commands.ledger.store().head().await?;
            let known = projections::all().into_iter().map(|projection| projection.definition());
            known
                .filter_map(|definition| serving(builds, definition.name))
                .map(|build| (of_build(build, head), build.halt.clone()))
                .collect()
        }
        (None, Err(problem)) => return Err(problem.clone()),
    };
    if let Ok((builds, jobs)) = registry {
        for (answer, _) in &mut found {
            let of_it = builds.iter().filter(|build| build.projection == answer.name);
            answer.builds = Some(of_it.map(|build| BuildAnswer::of(build, &jobs)).collect());
            answer.rebuild = jobs.iter().find(|job| job.name == answer.name).map(RebuildAnswer::from);
        }
    }
    Ok(found)
}

/// Every build there is, and every rebuild, the newest of each name first.
async fn registry(api: &Api) -> Result<(Vec<Build>, Vec<Job>), Problem> {
    let store = api.builds.as_deref().ok_or_else(|| Problem::bare(Kind::ReadModelsUnavailable))?;
    let builds = store.builds().await.map_err(unread)?;
    Ok((builds, store.jobs().await.map_err(unread)?))
}

fn of_build(build: &Build, head: Head) -> ProjectionAnswer {
    ProjectionAnswer {
        name: build.name.clone(),
        position: build.position.0,
        head: head.position.0,
        lag_events: Some(head.events.saturating_sub(build.counted.total())),
        lag_seconds: None,
        state: build.halt.is_some().then(|| word(State::Halted)),
        version: Some(build.version),
        build: Some(build.number),
        applied: Some(build.counted.applied),
        ignored: Some(build.counted.ignored),
        quarantined: Some(build.counted.quarantined),
        events_per_s: None,
        restarts: None,
        halted_at: build.halt.as_ref().map(HaltAnswer::from),
        builds: None,
        rebuild: None,
    }
}

/// The read models and how far they are
#[utoipa::path(get, path = "/v1/projections", operation_id = "projections", tag = "projections",
    responses((status = 200, description = "By name.", body = ProjectionsAnswer)))]
async fn list(Held(api): Held<Arc<Api>>, look: Look) -> Result<Shown, Problem> {
    let items = all(&api).await?.into_iter().map(|(answer, _)| answer).collect();
    Ok(look.shown(ProjectionsAnswer { items, swap_approval: api.swap_approval }))
}

/// A read model and how far it is
#[utoipa::path(get, path = "/v1/projections/{name}", operation_id = "projection", tag = "projections",
    params(("name" = String, Path, description = "Its name, like `sessions`.", pattern = "^[a-z_]{1,40}$")),
    responses((status = 200, description = "How far it is.", body = ProjectionAnswer)))]
async fn one(Held(api): Held<Arc<Api>>, Segment(name): Segment, look: Look) -> Result<Shown, Problem> {
    let found = all(&api).await?.into_iter().find(|(projection, _)| projection.name == name);
    let (mut shown, halt) = found.ok_or_else(|| Problem::not_found("projection", &name))?;
    if let (Some(halt), Some(answer)) = (halt, &mut shown.halted_at)
        && let Some((error, event)) = quoted(&api, &look.asker, &halt).await?
    {
        (answer.error, answer.event) = (Some(error), Some(event));
    }
    Ok(look.shown(shown))
}
