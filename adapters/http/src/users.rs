//! Drivers. Their personal data is sealed in the ledger; it is opened here for keys of their own operator that may see it, and nowhere in lists.

use std::sync::Arc;

use axum::extract::State;
use commands::CommandError;
use commands::user::PersonalData;
use domain::event::Event;
use domain::ids::UserId;
use domain::log::{Position, Revision, StreamId};
use domain::sealed::Sealed;
use domain::time::Timestamp;
use domain::user::{User, UserEvent};
use projections::query::Query;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::Api;
use crate::answer::Answer;
use crate::asked::{Id, IfMatch, Limit, Params, word};
use crate::auth::Asker;
use crate::idempotency::{Body, Nothing, Order};
use crate::problem::{Kind, Problem};
use crate::reading::{Listed, Look, Narrow as _, Page, Shown};
use crate::rows::UserRow;
use crate::wire::{PersonalText, Phone, Time};

pub(crate) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(list, register))
        .routes(routes!(look_up))
        .routes(routes!(one, change))
        .routes(routes!(close))
        .routes(routes!(erase))
}

/// How an account stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AccountStatus {
    /// In use.
    Active,
    /// Nothing new may be started.
    Closed,
    /// Its personal data is gone for good.
    Erased,
}

/// A driver to be registered.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterUserBody {
    /// The phone number, by which they are found again.
    phone: Phone,
    /// The real name.
    name: Option<PersonalText>,
    /// The licence plate.
    plate: Option<PersonalText>,
}

/// What changes about a driver; what is not given stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeUserBody {
    /// The phone number.
    phone: Option<Phone>,
    /// The real name.
    name: Option<PersonalText>,
    /// The licence plate.
    plate: Option<PersonalText>,
}

/// A phone number to look for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LookUpUserBody {
    /// The phone number. In a body and not in the address, where every log would keep it.
    phone: Phone,
}

/// A driver.
#[derive(Serialize, ToSchema)]
pub struct UserAnswer {
    /// The driver.
    user_id: Uuid,
    /// How the account stands.
    status: AccountStatus,
    /// The phone number; null once erased.
    phone: Option<String>,
    /// The real name.
    name: Option<String>,
    /// The licence plate.
    plate: Option<String>,
    /// Since when they are known.
    registered_at: Time,
    /// The revision of their stream.
    revision: u64,
    /// What `X-Min-Position` of a query waits for; none when nothing changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
}

/// What the stream says of a user, still sealed.
#[derive(Default)]
struct Known {
    phone: Option<Sealed>,
    name: Option<Sealed>,
    plate: Option<Sealed>,
    registered_at: Option<Timestamp>,
    revision: Revision,
}

/// Reads a user's stream; personal data is opened while its key exists.
async fn opened(api: &Api, user_id: UserId, position: Option<Position>) -> Result<UserAnswer, Problem> {
    let stream = StreamId::user(user_id);
    let mut known = Known::default();
    let mut next = Revision(0);
    loop {
        let events = api.commands.ledger.store().read_stream(&stream, next, 256).await?;
        let is_last = events.len() < 256;
        for stored in events {
            let recorded = stored.decode().map_err(|error| Problem::broken(Kind::Internal, &error))?;
            (known.revision, next) = (recorded.revision, recorded.revision.next());
            if let Event::User(event) = recorded.event {
                known.read(event, recorded.metadata.occurred_at);
            }
        }
        if is_last {
            break;
        }
    }
    let state = api.commands.ledger.load::<User>(&stream).await.map_err(CommandError::from)?.state;
    let status = match state {
        User::Absent => return Err(Problem::not_found("user", &user_id.to_string())),
        User::Active { .. } => AccountStatus::Active,
        User::Closed { .. } => AccountStatus::Closed,
        User::Erased { .. } => AccountStatus::Erased,
    };
    let open = async |sealed: Option<Sealed>| match sealed {
        Some(sealed) => api.commands.unseal(user_id, &sealed).await.map_err(Problem::from),
        None => Ok(None),
    };
    Ok(UserAnswer {
        user_id: user_id.0,
        status,
        phone: open(known.phone).await?,
        name: open(known.name).await?,
        plate: open(known.plate).await?,
        registered_at: Time(known.registered_at.unwrap_or_default()),
        revision: known.revision.0,
        position: position.map(|position| position.0),
    })
}

impl Known {
    fn read(&mut self, event: UserEvent, at: Timestamp) {
        match event {
            UserEvent::Registered { phone, name, plate, .. } => {
                (self.phone, self.name, self.plate, self.registered_at) = (Some(phone), name, plate, Some(at));
            }
            UserEvent::Changed { phone, name, plate, .. } => {
                self.phone = phone.map(|(phone, _)| phone).or(self.phone.take());
                self.name = name.or(self.name.take());
                self.plate = plate.or(self.plate.take());
            }
            UserEvent::Closed { .. } | UserEvent::Erased { .. } => {}
        }
    }
}

async fn revision(api: &Api, asker: &Asker, user_id: UserId) -> Result<Option<Revision>, Problem> {
    let stream = StreamId::user(user_id);
    api.commands.owned("user", &stream, asker.operator_id()).await?;
    Ok(api.commands.ledger.load::<User>(&stream).await.map_err(CommandError::from)?.revision)
}

/// Register a driver
#[utoipa::path(post, path = "/v1/users", operation_id = "registerUser", tag = "users", request_body = RegisterUserBody,
    responses((status = 201, description = "They are known.", body = UserAnswer)))]
async fn register(State(api): State<Arc<Api>>, Order { asker, ids, body }: Order<RegisterUserBody>) -> Result<Answer<UserAnswer>, Problem> {
    let user_id: UserId = ids.id("user");
    let data = PersonalData { phone: Some(body.phone.0), name: body.name.map(|name| name.0), plate: body.plate.map(|plate| plate.0) };
    let done = api.commands.register_user(&asker.caller, &ids, user_id, data).await?;
    let answer = opened(&api, user_id, done.position).await?;
    Ok(Answer::created(&format!("/v1/users/{user_id}"), answer).revision(done.revision).position(done.position))
}

/// Which drivers.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UserParams {
    /// Whose account stands like this.
    #[param(inline)]
    status: Option<AccountStatus>,
    /// At most this many.
    #[param(inline)]
    limit: Option<Limit>,
    /// Where the page before ended: its `next`.
    cursor: Option<String>,
}

/// Drivers, without their personal data
#[utoipa::path(get, path = "/v1/users", operation_id = "users", tag = "users", params(UserParams), extensions(("x-read-model" = json!("users"))),
    responses((status = 200, description = "The newest first.", body = Page<UserRow>)))]
async fn list(State(api): State<Arc<Api>>, look: Look, Params(params): Params<UserParams>) -> Result<Listed, Problem> {
    let status = params.status.map(word);
    let query = Query::of("users", look.operator_id()).by_text("status", status.as_deref()).latest("registered_at");
    Ok(look.list(&api, query, params.limit, params.cursor.as_deref()).await?.without(UserRow::HIDDEN))
}

/// Find a driver by phone number
#[utoipa::path(post, path = "/v1/users/look-up", operation_id = "lookUpUser", tag = "users", request_body = LookUpUserBody,
    responses((status = 200, description = "The one with this number.", body = UserAnswer)))]
async fn look_up(State(api): State<Arc<Api>>, asker: Asker, Body(body): Body<LookUpUserBody>) -> Result<Answer<UserAnswer>, Problem> {
    let missing = || Problem::new(Kind::NotFound, "there is no user with this phone number");
    let user_id = api.commands.find_user(asker.operator_id(), &body.phone.0).await?.ok_or_else(missing)?;
    // Another operator's user must look like none at all.
    api.commands.owned("user", &StreamId::user(user_id), asker.operator_id()).await.map_err(|error| match error {
        CommandError::NotFound { .. } => missing(),
        other => Problem::from(other),
    })?;
    Ok(Answer::ok(opened(&api, user_id, None).await?))
}

/// A driver, with their personal data
#[utoipa::path(get, path = "/v1/users/{user_id}", operation_id = "user", tag = "users", params(("user_id" = Uuid, Path, description = "Who.")),
    responses((status = 200, description = "As the ledger knows them.", body = UserAnswer)))]
async fn one(State(api): State<Arc<Api>>, Id(user_id): Id<UserId>, look: Look) -> Result<Shown, Problem> {
    api.commands.owned("user", &StreamId::user(user_id), look.operator_id()).await?;
    Ok(look.shown(opened(&api, user_id, None).await?))
}

/// Change a driver's personal data
#[utoipa::path(patch, path = "/v1/users/{user_id}", operation_id = "changeUser", tag = "users", request_body = ChangeUserBody,
    params(("user_id" = Uuid, Path, description = "Who.")),
    responses((status = 200, description = "It is changed.", body = UserAnswer)))]
async fn change(
    State(api): State<Arc<Api>>,
    Id(user_id): Id<UserId>,
    precondition: IfMatch,
    Order { asker, ids, body }: Order<ChangeUserBody>,
) -> Result<Answer<UserAnswer>, Problem> {
    let ids = precondition.tie(ids, revision(&api, &asker, user_id).await?)?;
    let ChangeUserBody { phone, name, plate } = body;
    let data = PersonalData { phone: phone.map(|phone| phone.0), name: name.map(|name| name.0), plate: plate.map(|plate| plate.0) };
    let done = api.commands.change_user(&asker.caller, &ids, user_id, data).await?;
    let answer = opened(&api, user_id, done.position).await?;
    Ok(Answer::ok(answer).revision(done.revision).position(done.position))
}

/// Close a driver's account
///
/// Nothing new may be started; what is owed stays owed.
#[utoipa::path(post, path = "/v1/users/{user_id}/close", operation_id = "closeUser", tag = "users", request_body = Option<Nothing>,
    params(("user_id" = Uuid, Path, description = "Who.")),
    responses((status = 200, description = "It is closed.", body = UserAnswer)))]
async fn close(
    State(api): State<Arc<Api>>,
    Id(user_id): Id<UserId>,
    precondition: IfMatch,
    Order { asker, ids, body: Nothing {} }: Order<Nothing>,
) -> Result<Answer<UserAnswer>, Problem> {
    let ids = precondition.tie(ids, revision(&api, &asker, user_id).await?)?;
    let done = api.commands.close_user(&asker.caller, &ids, user_id).await?;
    let answer = opened(&api, user_id, done.position).await?;
    Ok(Answer::ok(answer).revision(done.revision).position(done.position))
}

/// Erase a driver's personal data
///
/// For good: the key that it is sealed with is destroyed, in the ledger and so in every copy of the log. Sessions, payments and books stay, under an id that says
/// nothing about the person.
#[utoipa::path(post, path = "/v1/users/{user_id}/erase", operation_id = "eraseUser", tag = "users", request_body = Option<Nothing>,
    params(("user_id" = Uuid, Path, description = "Who.")),
    responses((status = 200, description = "Nobody can read it any more.", body = UserAnswer)))]
async fn erase(
    State(api): State<Arc<Api>>,
    Id(user_id): Id<UserId>,
    precondition: IfMatch,
    Order { asker, ids, body: Nothing {} }: Order<Nothing>,
) -> Result<Answer<UserAnswer>, Problem> {
    let ids = precondition.tie(ids, revision(&api, &asker, user_id).await?)?;
    let done = api.commands.erase_user(&asker.caller, &ids, user_id).await?;
    let answer = opened(&api, user_id, done.position).await?;
    Ok(Answer::ok(answer).revision(done.revision).position(done.position))
}
