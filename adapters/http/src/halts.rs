//! What people decide about a projection that stands at an event: let it try again, or let it step over the event for ever.
//!
//! A projection is of all operators, an event is of one: only a key of that operator may have it stepped over, and sees what it says.

use std::sync::Arc;

use axum::extract::State;
use commands::projection::Poison;
use domain::log::StoredEvent;
use domain::projection::ProjectionEvent;
use projections::halted::{NotHalted, event_of, lift, standing_at};
use projections::port::{Build, Halt, ReadStore, ReadStoreError};
use projections::quarantine::{Decision, Quarantined};
use projections::query::QueryError;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tracing::info;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::Api;
use crate::answer::Answer;
use crate::asked::Segment;
use crate::auth::Asker;
use crate::idempotency::{Nothing, Order};
use crate::problem::{Kind, Problem};
use crate::reading::{Look, Shown};
use crate::wire::{Note, Time};

pub(crate) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(quarantined)).routes(routes!(resume)).routes(routes!(quarantine))
}

/// A projection that may try again.
#[derive(Debug, Serialize, ToSchema)]
pub struct ResumedAnswer {
    /// Which.
    projection: String,
    /// Whether it stood still; when it did not, nothing was done.
    resumed: bool,
}

/// An event that a projection is to step over.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QuarantineBody {
    /// Why, for whoever asks later.
    reason: Note,
    /// Where the projection stands, to be sure that it is this event. Without it: the event at which it stands.
    position: Option<u64>,
}

/// An event that a projection steps over.
#[derive(Debug, Serialize, ToSchema)]
pub struct QuarantinedAnswer {
    /// Which projection.
    projection: String,
    /// Where the event is.
    position: u64,
    /// Which event.
    event_id: Uuid,
    /// Its type.
    event_type: String,
    /// Why; none when it is another operator's event.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Who decided it; none when it is another operator's event.
    #[serde(skip_serializing_if = "Option::is_none")]
    decided_by: Option<String>,
    /// When it was decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Time>)]
    decided_at: Option<Time>,
}

/// All of them.
#[derive(Debug, Serialize, ToSchema)]
pub struct QuarantinesAnswer {
    /// In the order in which they were decided.
    items: Vec<QuarantinedAnswer>,
}

impl QuarantinedAnswer {
    fn of(decision: &Decision, asker: &Asker) -> QuarantinedAnswer {
        let own = decision.operator_id == asker.operator_id();
        QuarantinedAnswer {
            projection: decision.projection.clone(),
            position: decision.position.0,
            event_id: decision.event_id.0,
            event_type: decision.event_type.clone(),
            reason: own.then(|| decision.reason.clone()),
            decided_by: own.then(|| decision.decided_by.clone()),
            decided_at: Some(Time(decision.decided_at)),
        }
    }

    /// As it was decided just now, or when the same request came first.
    fn decided(event: ProjectionEvent) -> Option<QuarantinedAnswer> {
        let ProjectionEvent::EventQuarantined { projection, position, event_id, event_type, reason } = event else { return None };
        let (position, event_id, reason) = (position.0, event_id.0, Some(reason));
        Some(QuarantinedAnswer { projection, position, event_id, event_type, reason, decided_by: None, decided_at: None })
    }
}

/// The events that read models step over
#[utoipa::path(get, path = "/v1/projections/quarantined", operation_id = "quarantined", tag = "projections",
    responses((status = 200, description = "In the order in which they were decided.", body = QuarantinesAnswer)))]
async fn quarantined(State(api): State<Arc<Api>>, look: Look) -> Result<Shown, Problem> {
    let items = decisions(&api).await?.decisions().map(|decision| QuarantinedAnswer::of(decision, &look.asker)).collect();
    Ok(look.shown(QuarantinesAnswer { items }))
}

/// Let a halted read model try again
///
/// For when what was the matter has been mended. Whichever process leads it notices within a second.
#[utoipa::path(post, path = "/v1/projections/{name}/resume", operation_id = "resumeProjection", tag = "projections", request_body = Option<Nothing>,
    params(("name" = String, Path, description = "Its name, like `sessions`.", pattern = "^[a-z_]{1,40}$")),
    responses((status = 200, description = "It tries again.", body = ResumedAnswer)))]
async fn resume(
    State(api): State<Arc<Api>>,
    Segment(name): Segment,
    Order { asker, body: Nothing {}, .. }: Order<Nothing>,
) -> Result<Answer<ResumedAnswer>, Problem> {
    let store = known(&api, &name)?;
    let builds = store.builds().await.map_err(unread)?;
    let lifted = lift(store, &builds, &name, None).await.map_err(unread)?;
    wake(&api, &name);
    info!(projection = name, key = %asker.principal.key_id, lifted, "a halt was lifted by request");
    Ok(Answer::ok(ResumedAnswer { projection: name, resumed: lifted > 0 }))
}

/// Let a halted read model step over the event at which it stands
///
/// For ever, and in every later build: the decision is an event of the ledger, with its reason. Only the event at which it stands now; only a key of the event's
/// operator. The event stays in the ledger, and in every other read model.
#[utoipa::path(post, path = "/v1/projections/{name}/quarantine", operation_id = "quarantineEvent", tag = "projections", request_body = QuarantineBody,
    params(("name" = String, Path, description = "Its name, like `sessions`.", pattern = "^[a-z_]{1,40}$")),
    responses((status = 200, description = "It goes on without the event.", body = QuarantinedAnswer)))]
async fn quarantine(
    State(api): State<Arc<Api>>,
    Segment(name): Segment,
    Order { asker, ids, body }: Order<QuarantineBody>,
) -> Result<Answer<QuarantinedAnswer>, Problem> {
    let store = known(&api, &name)?;
    let position = body.position.map(domain::log::Position);
    if let Some(answer) = api.commands.quarantined_before(&ids, &name).await?.and_then(QuarantinedAnswer::decided) {
        return Ok(Answer::ok(answer));
    }
    let builds = store.builds().await.map_err(unread)?;
    let halt = match standing_at(&builds, &name, position) {
        Ok(halt) => halt,
        // It stood there, and this was decided: the first decision is the answer.
        Err(refusal) => return decided_at(&api, &asker, &name, position).await?.map(Answer::ok).ok_or_else(|| refused(&refusal)),
    };
    let event = event_of(api.commands.ledger.store().as_ref(), halt).await?;
    let event = event
        .ok_or_else(|| Problem::new(Kind::ProjectionNotHalted, format!("{name} stands at an event that this ledger does not have")))?;
    if event.metadata.operator_id != asker.operator_id() {
        return Err(Problem::new(Kind::Forbidden, "the event is another operator's: an admin key of that operator decides about it"));
    }
    let poison = Poison { position: halt.position, event_id: halt.event_id, event_type: halt.event_type.clone() };
    let done = api.commands.quarantine_event(&asker.caller, &ids, &name, poison, body.reason.0).await?;
    lift(store, &builds, &name, Some(halt.event_id)).await.map_err(unread)?;
    wake(&api, &name);
    let reason = done.state.reason(halt.event_id).map(str::to_owned);
    let answer = QuarantinedAnswer {
        projection: name,
        position: halt.position.0,
        event_id: halt.event_id.0,
        event_type: halt.event_type.clone(),
        reason,
        decided_by: None,
        decided_at: None,
    };
    Ok(Answer::ok(answer).position(done.position))
}

/// What an admin sees of an event at which a projection stands: all of it, if it is of their operator.
pub(crate) async fn quoted(api: &Api, asker: &Asker, halt: &Halt) -> Result<Option<(String, serde_json::Value)>, Problem> {
    if asker.principal.role != domain::key::Role::Admin {
        return Ok(None);
    }
    let event: Option<StoredEvent> = event_of(api.commands.ledger.store().as_ref(), halt).await?;
    let own = event.is_some_and(|event| event.metadata.operator_id == asker.operator_id());
    Ok(own.then(|| (halt.error.clone(), json!(halt.event))))
}

/// The database of a projection that there is.
fn known<'a>(api: &'a Api, name: &str) -> Result<&'a dyn ReadStore, Problem> {
    if projections::definition(name).is_none() {
        return Err(Problem::not_found("projection", name));
    }
    let store = api.builds.as_deref().ok_or_else(|| Problem::bare(Kind::ReadModelsUnavailable))?;
    Ok(store)
}

async fn decisions(api: &Api) -> Result<Quarantined, Problem> {
    Ok(Quarantined::read(api.commands.ledger.store().as_ref()).await?)
}

async fn decided_at(
    api: &Api,
    asker: &Asker,
    name: &str,
    position: Option<domain::log::Position>,
) -> Result<Option<QuarantinedAnswer>, Problem> {
    let Some(position) = position else { return Ok(None) };
    let decisions = decisions(api).await?;
    let found = decisions.decisions().find(|decision| decision.projection == name && decision.position == position);
    Ok(found.map(|decision| QuarantinedAnswer::of(decision, asker)))
}

/// A projection of this process need not wait until it looks at the registry.
fn wake(api: &Api, name: &str) {
    if let Some(runner) = &api.runner {
        runner.resume(name);
    }
}

pub(crate) fn unread(error: ReadStoreError) -> Problem {
    QueryError::Store(error).into()
}

/// The build behind a view.
pub(crate) fn serving<'a>(builds: &'a [Build], name: &str) -> Option<&'a Build> {
    builds.iter().find(|build| build.name == name && build.state == projections::port::BuildState::Serving)
}

fn refused(refusal: &NotHalted) -> Problem {
    match refusal {
        NotHalted::Unknown { name } => Problem::not_found("projection", name),
        NotHalted::Running { .. } | NotHalted::Elsewhere { .. } | NotHalted::NoEvent { .. } => {
            Problem::new(Kind::ProjectionNotHalted, refusal.to_string())
        }
    }
}
