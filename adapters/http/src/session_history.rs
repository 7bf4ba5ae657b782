//! Sessions looked for and looked at: the search, one session, its events.

use std::sync::Arc;

use axum::extract::State;
use domain::event::Event;
use domain::ids::SessionId;
use domain::log::{Revision, StoredEvent, StreamId};
use projections::query::Query;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::Api;
use crate::asked::{Id, Limit, Params, word};
use crate::problem::{Kind, Problem};
use crate::reading::{Listed, Look, Narrow as _, Page, Shown};
use crate::rows::SessionRow;
use crate::wire::{SearchText, Time};

pub(crate) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(search)).routes(routes!(one)).routes(routes!(events))
}

/// Where a session is on its way, as the read model names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the words are the read model's, and are explained there")]
pub enum SessionStage {
    Requested,
    Authorised,
    Refused,
    Starting,
    StartTimedOut,
    Charging,
    Faulted,
    Abandoned,
    Stopped,
    Disputed,
    Recorded,
    Billed,
    Settled,
}

/// Which sessions.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SessionParams {
    /// Of this driver.
    user_id: Option<Uuid>,
    /// At this station.
    station_id: Option<Uuid>,
    /// At this pile.
    pile_id: Option<Uuid>,
    /// On this connector.
    connector_id: Option<Uuid>,
    /// This far on its way.
    #[param(inline)]
    status: Option<SessionStage>,
    /// With this number, the one that people see.
    #[param(pattern = "^[0-9A-Za-z]{27}$")]
    order_number: Option<String>,
    /// First heard of at this time or later.
    #[param(inline)]
    from_at: Option<Time>,
    /// First heard of before this time.
    #[param(inline)]
    until_at: Option<Time>,
    /// Beginnings of words in its numbers, notes, faults and reasons.
    #[param(value_type = Option<String>, min_length = 1, max_length = 100)]
    text: Option<SearchText>,
    /// At most this many.
    #[param(inline)]
    limit: Option<Limit>,
    /// Where the page before ended: its `next`.
    cursor: Option<String>,
}

/// Search sessions
#[utoipa::path(get, path = "/v1/sessions", operation_id = "sessions", tag = "sessions", params(SessionParams),
    extensions(("x-read-model" = json!("sessions"))),
    responses((status = 200, description = "The latest first.", body = Page<SessionRow>)))]
async fn search(State(api): State<Arc<Api>>, look: Look, Params(params): Params<SessionParams>) -> Result<Listed, Problem> {
    let is_number = |number: &String| number.len() == 27 && number.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if params.order_number.as_ref().is_some_and(|number| !is_number(number)) {
        return Err(Problem::new(Kind::InvalidQuery, "order_number has 27 letters or digits"));
    }
    let status = params.status.map(word);
    let query = Query::of("sessions", look.operator_id())
        .by_id("user_id", params.user_id)
        .by_id("station_id", params.station_id)
        .by_id("pile_id", params.pile_id)
        .by_id("connector_id", params.connector_id)
        .by_text("status", status.as_deref())
        .by_text("order_number", params.order_number.as_deref())
        .since_at("opened_at", params.from_at)
        .until_at("opened_at", params.until_at)
        .containing(params.text)
        .latest("opened_at");
    look.list(&api, query, params.limit, params.cursor.as_deref()).await
}

/// A session
///
/// As the read model knows it; its times are on the station's clock. Right after a command, send its position as `X-Min-Position`.
#[utoipa::path(get, path = "/v1/sessions/{session_id}", operation_id = "session", tag = "sessions",
    params(("session_id" = Uuid, Path, description = "Which.")), extensions(("x-read-model" = json!("sessions"))),
    responses((status = 200, description = "As it is known.", body = SessionRow)))]
async fn one(State(api): State<Arc<Api>>, Id(session_id): Id<Uuid>, look: Look) -> Result<Shown, Problem> {
    look.one(&api, "sessions", "session", session_id).await
}

/// Which part of a stream.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventParams {
    /// At most this many.
    #[param(inline)]
    limit: Option<Limit>,
    /// Where the page before ended: its `next`.
    #[param(pattern = "^[0-9]{1,18}$")]
    cursor: Option<String>,
}

/// An event, as it stands in the ledger.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventAnswer {
    /// Its place in its stream.
    revision: u64,
    /// Its place in the log.
    position: u64,
    /// What happened, like `session.started`.
    #[serde(rename = "type")]
    event_type: String,
    /// The version of its stored form.
    version: u16,
    /// Its id.
    event_id: Uuid,
    /// The command that made it.
    command_id: Uuid,
    /// The event that caused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    causation_id: Option<Uuid>,
    /// The story that it belongs to.
    correlation_id: Uuid,
    /// Who.
    actor: String,
    /// When the world did it.
    occurred_at: Time,
    /// When the ledger heard of it.
    recorded_at: Time,
    /// The hash of the event before it in its stream.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    prev_hash: String,
    /// SHA-256 over all of this and the hash before.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    hash: String,
    /// What it says, in its newest form.
    #[schema(value_type = Object)]
    data: Value,
}

impl EventAnswer {
    pub(crate) fn of(stored: StoredEvent) -> Result<EventAnswer, Problem> {
        let (version, prev_hash, hash) = (stored.version, stored.prev_hash.to_string(), stored.hash.to_string());
        let event_type = stored.event_type.as_str().to_owned();
        let recorded = stored.decode().map_err(|error| Problem::broken(Kind::Internal, &error))?;
        let meta = recorded.metadata;
        Ok(EventAnswer {
            revision: recorded.revision.0,
            position: recorded.position.0,
            event_type,
            version,
            event_id: meta.event_id.0,
            command_id: meta.command_id.0,
            causation_id: meta.causation_id.map(Uuid::from),
            correlation_id: meta.correlation_id,
            actor: meta.actor.to_string(),
            occurred_at: Time(meta.occurred_at),
            recorded_at: Time(meta.recorded_at),
            prev_hash,
            hash,
            data: data(&recorded.event),
        })
    }
}

/// What an event says, without its name around it.
fn data(event: &Event) -> Value {
    let tagged = serde_json::to_value(event).unwrap_or_default();
    let inner = tagged.as_object().and_then(|aggregate| aggregate.values().next()).and_then(Value::as_object);
    inner.and_then(|variant| variant.values().next()).cloned().unwrap_or_default()
}

/// The events of a session
///
/// From the ledger itself: all that happened, in its order, each with the hash that binds it to the one before.
#[utoipa::path(get, path = "/v1/sessions/{session_id}/events", operation_id = "sessionEvents", tag = "sessions",
    params(("session_id" = Uuid, Path, description = "Which."), EventParams),
    responses((status = 200, description = "The first first.", body = Page<EventAnswer>)))]
async fn events(
    State(api): State<Arc<Api>>,
    Id(session_id): Id<SessionId>,
    look: Look,
    Params(params): Params<EventParams>,
) -> Result<Listed, Problem> {
    let stream = StreamId::session(session_id);
    api.commands.owned("session", &stream, look.operator_id()).await?;
    let from = match params.cursor.as_deref() {
        None => 0,
        Some(text) => {
            let revision = text.parse::<u64>().ok().filter(|_| text.len() <= 18 && text.bytes().all(|byte| byte.is_ascii_digit()));
            revision.ok_or_else(|| Problem::new(Kind::InvalidCursor, "the cursor is not one of this list"))?
        }
    };
    let limit = params.limit.unwrap_or_default().0 as usize;
    let mut stored = api.commands.ledger.store().read_stream(&stream, Revision(from), limit + 1).await?;
    let next = stored.get(limit).map(|event| event.revision.to_string());
    stored.truncate(limit);
    let mut items = Vec::with_capacity(stored.len());
    for event in stored {
        let Ok(Value::Object(item)) = serde_json::to_value(EventAnswer::of(event)?) else { continue };
        items.push(item);
    }
    Ok(look.listed_until(items, next))
}

#[cfg(test)]
mod tests {
    use projections::sessions::SessionStatus;
    use projections::value::{Column as _, Value as Cell};

    use super::*;

    #[test]
    fn every_stage_is_one_of_the_read_models_words() {
        let stages = [
            "requested",
            "authorised",
            "refused",
            "starting",
            "start_timed_out",
            "charging",
            "faulted",
            "abandoned",
            "stopped",
            "disputed",
            "recorded",
            "billed",
            "settled",
        ];
        for text in stages {
            let stage: SessionStage = serde_json::from_value(text.into()).unwrap();
            assert_eq!(word(stage), text);
            assert!(SessionStatus::from_value(Cell::Text(text.to_owned())).is_ok(), "{text}");
        }
    }
}
