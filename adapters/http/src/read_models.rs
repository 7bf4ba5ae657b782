//! The read models and how far they are. The figures are of the process, not of one operator; nothing of any operator stands in them.

use std::sync::Arc;

use axum::extract::State;
use projections::runner::Status;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Api;
use crate::asked::{Segment, word};
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
    /// The build that serves.
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
    /// The event that it cannot apply: where it is, not what it says, for it may be another operator's.
    #[serde(skip_serializing_if = "Option::is_none")]
    halted_at: Option<HaltAnswer>,
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
}

/// All of them.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProjectionsAnswer {
    /// By name.
    items: Vec<ProjectionAnswer>,
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
            halted_at: status.halt.map(|halt| HaltAnswer {
                position: halt.position.0,
                event_id: halt.event_id.to_string(),
                event_type: halt.event_type,
            }),
        }
    }
}

async fn all(api: &Api) -> Result<Vec<ProjectionAnswer>, Problem> {
    if let Some(runner) = &api.runner {
        return Ok(runner.status().await?.into_iter().map(ProjectionAnswer::from).collect());
    }
    let Some(queries) = api.queries.as_deref() else { return Err(Problem::bare(Kind::ReadModelsUnavailable)) };
    let head = api.commands.ledger.store().head().await?.position.0;
    let mut answers = Vec::new();
    for projection in projections::all() {
        let name = projection.definition().name;
        let position = queries.position(name).await?.0;
        let none = ProjectionAnswer {
            name: name.to_owned(),
            position,
            head,
            lag_events: None,
            lag_seconds: None,
            state: None,
            version: None,
            build: None,
            applied: None,
            ignored: None,
            quarantined: None,
            events_per_s: None,
            halted_at: None,
        };
        answers.push(none);
    }
    Ok(answers)
}

/// The read models and how far they are
#[utoipa::path(get, path = "/v1/projections", operation_id = "projections", tag = "projections",
    responses((status = 200, description = "By name.", body = ProjectionsAnswer)))]
async fn list(State(api): State<Arc<Api>>, look: Look) -> Result<Shown, Problem> {
    Ok(look.shown(ProjectionsAnswer { items: all(&api).await? }))
}

/// A read model and how far it is
#[utoipa::path(get, path = "/v1/projections/{name}", operation_id = "projection", tag = "projections",
    params(("name" = String, Path, description = "Its name, like `sessions`.", pattern = "^[a-z_]{1,40}$")),
    responses((status = 200, description = "How far it is.", body = ProjectionAnswer)))]
async fn one(State(api): State<Arc<Api>>, Segment(name): Segment, look: Look) -> Result<Shown, Problem> {
    let found = all(&api).await?.into_iter().find(|projection| projection.name == name);
    let shown: Value = serde_json::to_value(found.ok_or_else(|| Problem::not_found("projection", &name))?).unwrap_or_default();
    Ok(look.shown(shown))
}
