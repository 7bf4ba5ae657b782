//! Tariffs: published in versions, withdrawn for good.

use std::sync::Arc;

use axum::extract::State;
use commands::{CommandError, Done};
use domain::ids::TariffId;
use domain::log::{Position, Revision, StreamId};
use domain::tariff::Tariff;
use projections::query::Query;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::Api;
use crate::answer::Answer;
use crate::asked::{Id, IfMatch, Params};
use crate::auth::Asker;
use crate::idempotency::{Nothing, Order};
use crate::problem::Problem;
use crate::reading::{Listed, Look, Page, PageParams, Shown};
use crate::rows::TariffRow;
use crate::terms::TermsBody;
use crate::wire::{TariffName, Time};

pub(crate) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(list, publish)).routes(routes!(one)).routes(routes!(publish_version)).routes(routes!(withdraw))
}

/// A version of a tariff to be published.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PublishTariffBody {
    /// Its name.
    name: TariffName,
    /// From when on it holds. A later version may not begin before it is published.
    effective_from_at: Time,
    /// The prices.
    terms: TermsBody,
}

/// One version of a tariff.
#[derive(Debug, Serialize, ToSchema)]
pub struct TariffVersionAnswer {
    /// Counts up from 1.
    version: u32,
    /// Its name.
    name: String,
    /// From when on it holds.
    effective_from_at: Time,
    /// The prices.
    terms: TermsBody,
}

/// A tariff with all its versions.
#[derive(Debug, Serialize, ToSchema)]
pub struct TariffAnswer {
    /// The tariff.
    tariff_id: Uuid,
    /// Whether no session may start under it any more.
    withdrawn: bool,
    /// The first first.
    versions: Vec<TariffVersionAnswer>,
    /// The revision of its stream.
    revision: u64,
    /// What `X-Min-Position` of a query waits for; none when nothing changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
}

fn answer(tariff_id: TariffId, tariff: &Tariff, revision: Option<Revision>, position: Option<Position>) -> TariffAnswer {
    let versions = tariff.versions().iter().map(|version| TariffVersionAnswer {
        version: version.version,
        name: version.name.clone(),
        effective_from_at: Time(version.effective_from),
        terms: TermsBody::of(&version.terms),
    });
    TariffAnswer {
        tariff_id: tariff_id.0,
        withdrawn: matches!(tariff, Tariff::Withdrawn { .. }),
        versions: versions.collect(),
        revision: revision.unwrap_or_default().0,
        position: position.map(|position| position.0),
    }
}

fn answered(tariff_id: TariffId, done: &Done<Tariff>) -> Answer<TariffAnswer> {
    let answer = answer(tariff_id, &done.state, done.revision, done.position);
    Answer::ok(answer).revision(done.revision).position(done.position)
}

async fn known(api: &Api, asker: &Asker, tariff_id: TariffId) -> Result<commands::Loaded<Tariff>, Problem> {
    let stream = StreamId::tariff(tariff_id);
    api.commands.owned("tariff", &stream, asker.operator_id()).await?;
    Ok(api.commands.ledger.load::<Tariff>(&stream).await.map_err(CommandError::from)?)
}

/// Tariffs, by name
#[utoipa::path(get, path = "/v1/tariffs", operation_id = "tariffs", tag = "tariffs", params(PageParams),
    extensions(("x-read-model" = json!("tariffs"))),
    responses((status = 200, description = "With the version published last.", body = Page<TariffRow>)))]
async fn list(State(api): State<Arc<Api>>, look: Look, Params(params): Params<PageParams>) -> Result<Listed, Problem> {
    let query = Query::of("tariffs", look.operator_id()).earliest("name");
    Ok(look.list(&api, query, params.limit, params.cursor.as_deref()).await?.without(TariffRow::HIDDEN))
}

/// Publish a tariff
///
/// Its first version. A version never changes; terms that would leave a moment without a price are refused.
#[utoipa::path(post, path = "/v1/tariffs", operation_id = "publishTariff", tag = "tariffs", request_body = PublishTariffBody,
    responses((status = 201, description = "It is published.", body = TariffAnswer)))]
async fn publish(
    State(api): State<Arc<Api>>,
    Order { asker, ids, body }: Order<PublishTariffBody>,
) -> Result<Answer<TariffAnswer>, Problem> {
    let tariff_id: TariffId = ids.id("tariff");
    let PublishTariffBody { name, effective_from_at, terms } = body;
    let done = api.commands.publish_tariff(&asker.caller, &ids, tariff_id, name.0, effective_from_at.0, terms.read()?).await?;
    let answer = answer(tariff_id, &done.state, done.revision, done.position);
    Ok(Answer::created(&format!("/v1/tariffs/{tariff_id}"), answer).revision(done.revision).position(done.position))
}

/// A tariff with all its versions
#[utoipa::path(get, path = "/v1/tariffs/{tariff_id}", operation_id = "tariff", tag = "tariffs", params(("tariff_id" = Uuid, Path, description = "Which.")),
    responses((status = 200, description = "As it was published.", body = TariffAnswer)))]
async fn one(State(api): State<Arc<Api>>, Id(tariff_id): Id<TariffId>, look: Look) -> Result<Shown, Problem> {
    let loaded = known(&api, &look.asker, tariff_id).await?;
    Ok(look.shown(answer(tariff_id, &loaded.state, loaded.revision, None)))
}

/// Publish another version of a tariff
///
/// Sessions that start after it begins to hold take it; those that run keep their prices.
#[utoipa::path(post, path = "/v1/tariffs/{tariff_id}/versions", operation_id = "publishTariffVersion", tag = "tariffs", request_body = PublishTariffBody,
    params(("tariff_id" = Uuid, Path, description = "Which.")),
    responses((status = 200, description = "It is published.", body = TariffAnswer)))]
async fn publish_version(
    State(api): State<Arc<Api>>,
    Id(tariff_id): Id<TariffId>,
    precondition: IfMatch,
    Order { asker, ids, body }: Order<PublishTariffBody>,
) -> Result<Answer<TariffAnswer>, Problem> {
    let ids = precondition.tie(ids, known(&api, &asker, tariff_id).await?.revision)?;
    let PublishTariffBody { name, effective_from_at, terms } = body;
    let done = api.commands.publish_tariff(&asker.caller, &ids, tariff_id, name.0, effective_from_at.0, terms.read()?).await?;
    Ok(answered(tariff_id, &done))
}

/// Withdraw a tariff
///
/// No session starts under it any more.
#[utoipa::path(post, path = "/v1/tariffs/{tariff_id}/withdraw", operation_id = "withdrawTariff", tag = "tariffs", request_body = Option<Nothing>,
    params(("tariff_id" = Uuid, Path, description = "Which.")),
    responses((status = 200, description = "It is withdrawn.", body = TariffAnswer)))]
async fn withdraw(
    State(api): State<Arc<Api>>,
    Id(tariff_id): Id<TariffId>,
    precondition: IfMatch,
    Order { asker, ids, body: Nothing {} }: Order<Nothing>,
) -> Result<Answer<TariffAnswer>, Problem> {
    let ids = precondition.tie(ids, known(&api, &asker, tariff_id).await?.revision)?;
    let done = api.commands.withdraw_tariff(&asker.caller, &ids, tariff_id).await?;
    Ok(answered(tariff_id, &done))
}
