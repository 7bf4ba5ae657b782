//! Connectors: which there are, how they are, registered and retired.

use std::sync::Arc;

use axum::extract::State;
use commands::CommandError;
use domain::connector::Connector;
use domain::ids::{ConnectorId, PileId};
use domain::log::StreamId;
use domain::pile::Pile;
use projections::query::Query;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::Api;
use crate::answer::Answer;
use crate::asked::{Id, IfMatch, Limit, Params, word};
use crate::idempotency::{Nothing, Order};
use crate::problem::{Kind, Problem};
use crate::reading::{Listed, Look, Narrow as _, Page, Shown};
use crate::rows::ConnectorRow;
use crate::wire::ConnectorNumber;

pub(crate) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(one)).routes(routes!(register)).routes(routes!(retire))
}

/// How a connector is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Availability {
    /// It takes a session.
    Available,
    /// A session has it.
    Occupied,
    /// It reports a fault.
    Faulted,
    /// Nothing is heard of it.
    Offline,
    /// It is out of service for good.
    Retired,
}

/// Which connectors.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ConnectorParams {
    /// Of this station.
    station_id: Option<Uuid>,
    /// Of this pile.
    pile_id: Option<Uuid>,
    /// In this state.
    #[param(inline)]
    status: Option<Availability>,
    /// At most this many.
    #[param(inline)]
    limit: Option<Limit>,
    /// Where the page before ended: its `next`.
    cursor: Option<String>,
}

/// Connectors and how they are
#[utoipa::path(get, path = "/v1/connectors", operation_id = "connectors", tag = "stations", params(ConnectorParams),
    extensions(("x-read-model" = json!("connectors"))),
    responses((status = 200, description = "By id.", body = Page<ConnectorRow>)))]
async fn list(State(api): State<Arc<Api>>, look: Look, Params(params): Params<ConnectorParams>) -> Result<Listed, Problem> {
    let status = params.status.map(word);
    let query = Query::of("connectors", look.operator_id())
        .by_id("station_id", params.station_id)
        .by_id("pile_id", params.pile_id)
        .by_text("status", status.as_deref());
    look.list(&api, query, params.limit, params.cursor.as_deref()).await
}

/// A connector
#[utoipa::path(get, path = "/v1/connectors/{connector_id}", operation_id = "connector", tag = "stations",
    params(("connector_id" = Uuid, Path, description = "Which.")), extensions(("x-read-model" = json!("connectors"))),
    responses((status = 200, description = "As it is known.", body = ConnectorRow)))]
async fn one(State(api): State<Arc<Api>>, Id(connector_id): Id<Uuid>, look: Look) -> Result<Shown, Problem> {
    look.one(&api, "connectors", "connector", connector_id).await
}

/// A connector to be put into service.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterConnectorBody {
    /// Its number on the pile, from 1.
    number: ConnectorNumber,
}

/// A connector as the command left it.
#[derive(Debug, Serialize, ToSchema)]
pub struct ConnectorAnswer {
    /// The connector.
    connector_id: Uuid,
    /// Its pile.
    pile_id: Uuid,
    /// Its station.
    station_id: Uuid,
    /// Its number on the pile.
    number: u8,
    /// How it is.
    status: Availability,
    /// The session that has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<Uuid>,
    /// The revision of its stream.
    revision: u64,
    /// What `X-Min-Position` of a query waits for; none when nothing changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
}

fn answer(done: &commands::Done<Connector>) -> Result<ConnectorAnswer, Problem> {
    use domain::connector::ConnectorStatus;
    let missing = || Problem::bare(Kind::NotFound);
    let (facts, status) = (done.state.facts().ok_or_else(missing)?, done.state.status().ok_or_else(missing)?);
    Ok(ConnectorAnswer {
        connector_id: facts.connector_id.0,
        pile_id: facts.pile_id.0,
        station_id: facts.station_id.0,
        number: facts.number,
        status: match status {
            ConnectorStatus::Available => Availability::Available,
            ConnectorStatus::Occupied => Availability::Occupied,
            ConnectorStatus::Faulted => Availability::Faulted,
            ConnectorStatus::Offline => Availability::Offline,
            ConnectorStatus::Retired => Availability::Retired,
        },
        session_id: facts.occupant.map(Uuid::from),
        revision: done.revision.unwrap_or_default().0,
        position: done.position.map(|position| position.0),
    })
}

/// Put a connector into service
#[utoipa::path(post, path = "/v1/piles/{pile_id}/connectors", operation_id = "registerConnector", tag = "stations", request_body = RegisterConnectorBody,
    params(("pile_id" = Uuid, Path, description = "On which pile.")),
    responses((status = 201, description = "It is in service.", body = ConnectorAnswer)))]
async fn register(
    State(api): State<Arc<Api>>,
    Id(pile_id): Id<PileId>,
    precondition: IfMatch,
    Order { asker, ids, body }: Order<RegisterConnectorBody>,
) -> Result<Answer<ConnectorAnswer>, Problem> {
    let pile = StreamId::pile(pile_id);
    api.commands.owned("pile", &pile, asker.operator_id()).await?;
    precondition.check(api.commands.ledger.load::<Pile>(&pile).await.map_err(CommandError::from)?.revision)?;
    let connector_id: ConnectorId = ids.id("connector");
    let done = api.commands.register_connector(&asker.caller, &ids, connector_id, pile_id, body.number.0).await?;
    Ok(Answer::created(&format!("/v1/connectors/{connector_id}"), answer(&done)?).revision(done.revision).position(done.position))
}

/// Take a connector out of service
///
/// For good; its history stays. Refused while a session has it.
#[utoipa::path(post, path = "/v1/connectors/{connector_id}/retire", operation_id = "retireConnector", tag = "stations", request_body = Option<Nothing>,
    params(("connector_id" = Uuid, Path, description = "Which.")),
    responses((status = 200, description = "It is out of service.", body = ConnectorAnswer)))]
async fn retire(
    State(api): State<Arc<Api>>,
    Id(connector_id): Id<ConnectorId>,
    precondition: IfMatch,
    Order { asker, ids, body: Nothing {} }: Order<Nothing>,
) -> Result<Answer<ConnectorAnswer>, Problem> {
    let stream = StreamId::connector(connector_id);
    api.commands.owned("connector", &stream, asker.operator_id()).await?;
    let ids = precondition.tie(ids, api.commands.ledger.load::<Connector>(&stream).await.map_err(CommandError::from)?.revision)?;
    let done = api.commands.retire_connector(&asker.caller, &ids, connector_id).await?;
    Ok(Answer::ok(answer(&done)?).revision(done.revision).position(done.position))
}
