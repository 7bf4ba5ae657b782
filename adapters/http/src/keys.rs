//! API keys: made, listed, revoked, while the server runs. The secret is in the answer that makes a key, and nowhere else.

use std::sync::Arc;

use axum::extract::State;
use commands::CommandError;
use domain::ids::ApiKeyId;
use domain::key::{Key, Role};
use domain::log::{Position, StreamId};
use projections::query::{Query, Test};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::Api;
use crate::answer::Answer;
use crate::asked::{Id, IfMatch, Limit, Params, word};
use crate::idempotency::{Nothing, Order};
use crate::problem::Problem;
use crate::reading::{Listed, Look, Narrow as _, Page, Shown};
use crate::rows::ApiKeyRow;
use crate::wire::KeyName;

pub(crate) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(one)).routes(routes!(revoke))
}

/// What the bearer of a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RoleName {
    /// The app's backend.
    App,
    /// The finance team.
    Finance,
    /// The operator's staff.
    Operator,
    /// A device gateway.
    Gateway,
    /// A regulator; reads only.
    Regulator,
    /// A partner platform; reads only.
    Partner,
    /// Everything within the operator, and keys.
    Admin,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Role {
        match name {
            RoleName::App => Role::App,
            RoleName::Finance => Role::Finance,
            RoleName::Operator => Role::Operator,
            RoleName::Gateway => Role::Gateway,
            RoleName::Regulator => Role::Regulator,
            RoleName::Partner => Role::Partner,
            RoleName::Admin => Role::Admin,
        }
    }
}

/// A key to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateKeyBody {
    /// What its bearer may do.
    role: RoleName,
    /// A name for people.
    name: KeyName,
}

/// A key as it was just made.
#[derive(Serialize, ToSchema)]
pub struct CreatedKeyAnswer {
    /// The key.
    key_id: Uuid,
    /// Whose data it sees.
    operator_id: Uuid,
    /// What its bearer may do.
    role: RoleName,
    /// Its name.
    name: String,
    /// The bearer token. This is the only time that it is shown.
    secret: String,
    /// What `X-Min-Position` of a query waits for.
    position: Option<u64>,
}

/// A key that opens nothing any more.
#[derive(Debug, Serialize, ToSchema)]
pub struct RevokedKeyAnswer {
    /// The key.
    key_id: Uuid,
    /// Always true.
    revoked: bool,
    /// Whether this request did it; false when it had been revoked before.
    changed: bool,
    /// The revision of its stream.
    revision: u64,
    /// What `X-Min-Position` of a query waits for; none when nothing changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
}

/// Make an API key
///
/// For the asking key's own operator. Its secret is in this answer and nowhere else: the same request again is told that the key exists, and not its secret. When
/// the answer got lost, revoke that key and make another.
#[utoipa::path(post, path = "/v1/keys", operation_id = "createKey", tag = "keys", request_body = CreateKeyBody,
    responses((status = 201, description = "It opens what its role may open.", body = CreatedKeyAnswer)))]
async fn create(
    State(api): State<Arc<Api>>,
    Order { asker, ids, body: CreateKeyBody { role, name } }: Order<CreateKeyBody>,
) -> Result<Answer<CreatedKeyAnswer>, Problem> {
    let made = api.commands.create_key(&asker.caller, &ids, role.into(), name.0.clone()).await?;
    settled(&api, made.position).await;
    let (key_id, position) = (made.key_id.0, made.position);
    let operator_id = asker.operator_id().0;
    let answer = CreatedKeyAnswer { key_id, operator_id, role, name: name.0, secret: made.secret, position: position.map(|at| at.0) };
    Ok(Answer::created(&format!("/v1/keys/{key_id}"), answer).position(position))
}

/// Waits until whoever uses the key next meets what was just done to it. When that takes too long the answer is true all the same: the log has it.
pub(crate) async fn settled(api: &Api, position: Option<Position>) {
    if let Some(position) = position {
        let _ = api.keys.caught_up(position, api.limits.read_wait).await;
    }
}

/// Which keys.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct KeyParams {
    /// Of this role.
    #[param(inline)]
    role: Option<RoleName>,
    /// Only those that were (true) or were not (false) revoked.
    revoked: Option<bool>,
    /// At most this many.
    #[param(inline)]
    limit: Option<Limit>,
    /// Where the page before ended: its `next`.
    cursor: Option<String>,
}

/// API keys, without their secrets
#[utoipa::path(get, path = "/v1/keys", operation_id = "keys", tag = "keys", params(KeyParams), extensions(("x-read-model" = json!("api_keys"))),
    responses((status = 200, description = "The newest first.", body = Page<ApiKeyRow>)))]
async fn list(State(api): State<Arc<Api>>, look: Look, Params(params): Params<KeyParams>) -> Result<Listed, Problem> {
    let role = params.role.map(word);
    let query = Query::of("api_keys", look.operator_id()).by_text("role", role.as_deref()).latest("created_at");
    let query = match params.revoked {
        Some(revoked) => query.filter("revoked_at", Test::IsEmpty(!revoked)),
        None => query,
    };
    look.list(&api, query, params.limit, params.cursor.as_deref()).await
}

/// An API key, without its secret
#[utoipa::path(get, path = "/v1/keys/{key_id}", operation_id = "key", tag = "keys", params(("key_id" = Uuid, Path, description = "Which.")),
    extensions(("x-read-model" = json!("api_keys"))),
    responses((status = 200, description = "As it is known.", body = ApiKeyRow)))]
async fn one(State(api): State<Arc<Api>>, Id(key_id): Id<Uuid>, look: Look) -> Result<Shown, Problem> {
    look.one(&api, "api_keys", "key", key_id).await
}

/// Revoke an API key
///
/// For good, and from this answer on. A key may revoke itself.
#[utoipa::path(post, path = "/v1/keys/{key_id}/revoke", operation_id = "revokeKey", tag = "keys", request_body = Option<Nothing>,
    params(("key_id" = Uuid, Path, description = "Which.")),
    responses((status = 200, description = "It opens nothing any more.", body = RevokedKeyAnswer)))]
async fn revoke(
    State(api): State<Arc<Api>>,
    Id(key_id): Id<ApiKeyId>,
    precondition: IfMatch,
    Order { asker, ids, body: Nothing {} }: Order<Nothing>,
) -> Result<Answer<RevokedKeyAnswer>, Problem> {
    let stream = StreamId::api_key(key_id);
    api.commands.owned("key", &stream, asker.operator_id()).await?;
    let ids = precondition.tie(ids, api.commands.ledger.load::<Key>(&stream).await.map_err(CommandError::from)?.revision)?;
    let done = api.commands.revoke_key(&asker.caller, &ids, key_id).await?;
    settled(&api, done.position).await;
    let answer = RevokedKeyAnswer {
        key_id: key_id.0,
        revoked: true,
        changed: !done.events.is_empty(),
        revision: done.revision.unwrap_or_default().0,
        position: done.position.map(|position| position.0),
    };
    Ok(Answer::ok(answer).revision(done.revision).position(done.position))
}
