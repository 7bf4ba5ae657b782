//! Operators: the tenants. A key sees its own alone; one that registers another is given the first key of the new one, and sees nothing of it itself.

use std::sync::Arc;

use axum::extract::State;
use commands::CommandError;
use domain::ids::{OperatorCode, OperatorId};
use domain::log::{Position, Revision, StreamId};
use domain::operator::{BookingMode, Operator};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::Api;
use crate::answer::Answer;
use crate::asked::{Id, IfMatch};
use crate::idempotency::Order;
use crate::keys::settled;
use crate::problem::{Kind, Problem};
use crate::reading::{Look, Shown};
use crate::wire::{OperatorName, Zone};

pub(crate) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(list, register)).routes(routes!(set_booking))
}

/// An operator's nine-character code.
#[derive(Debug)]
pub struct Code(pub(crate) OperatorCode);

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Code, D::Error> {
        String::deserialize(deserializer)?.parse().map(Code).map_err(D::Error::custom)
    }
}

impl PartialSchema for Code {
    fn schema() -> RefOr<Schema> {
        let code = ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[0-9A-Za-z]{9}$")).examples(["MA5GXX12T"]);
        code.description(Some("An operator's code, nine letters or digits (T/CEC 102, the organisation code).")).into()
    }
}
impl ToSchema for Code {}

/// How the books treat a session at a station that somebody else owns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BookingName {
    /// Gross revenue is ours; the owner's share is cost.
    #[default]
    Principal,
    /// The owner's part is a payable; only the commission is revenue.
    Agent,
}

impl From<BookingMode> for BookingName {
    fn from(booking: BookingMode) -> BookingName {
        match booking {
            BookingMode::Principal => BookingName::Principal,
            BookingMode::Agent => BookingName::Agent,
        }
    }
}

impl From<BookingName> for BookingMode {
    fn from(booking: BookingName) -> BookingMode {
        match booking {
            BookingName::Principal => BookingMode::Principal,
            BookingName::Agent => BookingMode::Agent,
        }
    }
}

/// An operator to be registered.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterOperatorBody {
    /// Its code: order numbers begin with it. It never changes, and joins once.
    code: Code,
    /// Its name.
    name: OperatorName,
    /// Business dates are dates on this clock. It never changes.
    books_zone: Zone,
    /// How its books treat other owners' stations; `principal` when not given.
    #[serde(default)]
    #[schema(inline)]
    booking: BookingName,
}

/// An operator.
#[derive(Debug, Serialize, ToSchema)]
pub struct OperatorAnswer {
    /// The operator.
    operator_id: Uuid,
    /// Its code.
    code: String,
    /// Its name.
    name: String,
    /// The zone of its books.
    books_zone: String,
    /// How its books treat other owners' stations.
    booking: BookingName,
    /// Whether it left.
    closed: bool,
    /// The revision of its stream.
    revision: u64,
}

/// The first key of a new operator.
#[derive(Serialize, ToSchema)]
pub struct FirstKeyAnswer {
    /// The key.
    key_id: Uuid,
    /// The bearer token. This is the only time that it is shown.
    secret: String,
}

/// An operator as it was just registered.
#[derive(Serialize, ToSchema)]
pub struct RegisteredOperatorAnswer {
    /// It.
    operator: OperatorAnswer,
    /// Its first key, of role `admin`. Null when this request had been done before: the secret was shown then.
    admin_key: Option<FirstKeyAnswer>,
    /// What `X-Min-Position` of a query waits for.
    position: Option<u64>,
}

/// The operators that a key sees: its own.
#[derive(Debug, Serialize, ToSchema)]
pub struct OperatorsAnswer {
    /// One.
    items: Vec<OperatorAnswer>,
}

fn answer(state: &Operator, revision: Option<Revision>) -> Result<OperatorAnswer, Problem> {
    let facts = state.facts().ok_or_else(|| Problem::bare(Kind::NotFound))?;
    Ok(OperatorAnswer {
        operator_id: facts.operator_id.0,
        code: facts.code.to_string(),
        name: facts.name.clone(),
        books_zone: facts.books_zone.to_string(),
        booking: facts.booking.into(),
        closed: state.is_closed(),
        revision: revision.unwrap_or_default().0,
    })
}

/// The operator of this key
///
/// A list, and never of more than one: nobody sees another.
#[utoipa::path(get, path = "/v1/operators", operation_id = "operators", tag = "keys",
    responses((status = 200, description = "As the ledger knows it.", body = OperatorsAnswer)))]
async fn list(State(api): State<Arc<Api>>, look: Look) -> Result<Shown, Problem> {
    let own = api.commands.ledger.load::<Operator>(&StreamId::operator(look.operator_id())).await.map_err(CommandError::from)?;
    Ok(look.shown(OperatorsAnswer { items: vec![answer(&own.state, own.revision)?] }))
}

/// Register an operator
///
/// A new tenant, with its first key: what has to be handed to it. The key that asks sees nothing of it. The secret is in this answer and nowhere else; when the
/// answer got lost, `chargeledger key create` makes another one beside a stopped server.
#[utoipa::path(post, path = "/v1/operators", operation_id = "registerOperator", tag = "keys", request_body = RegisterOperatorBody,
    responses((status = 201, description = "It has joined.", body = RegisteredOperatorAnswer)))]
async fn register(
    State(api): State<Arc<Api>>,
    Order { asker, ids, body }: Order<RegisterOperatorBody>,
) -> Result<Answer<RegisteredOperatorAnswer>, Problem> {
    let RegisterOperatorBody { code, name, books_zone, booking } = body;
    let joined = api.commands.join_operator(&asker.caller, &ids, code.0, name.0, books_zone.0, booking.into()).await?;
    let position: Option<Position> = joined.admin_key.as_ref().map_or(joined.operator.position, |key| key.position);
    if joined.admin_key.is_some() {
        settled(&api, position).await;
    }
    let answer = RegisteredOperatorAnswer {
        operator: answer(&joined.operator.state, joined.operator.revision)?,
        admin_key: joined.admin_key.map(|key| FirstKeyAnswer { key_id: key.key_id.0, secret: key.secret }),
        position: position.map(|position| position.0),
    };
    Ok(Answer::created("/v1/operators", answer).position(position))
}

/// How an operator's books treat a session at a station that somebody else owns.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BookingBody {
    /// As principal or as agent.
    booking: BookingName,
}

/// An operator as the command left it.
#[derive(Debug, Serialize, ToSchema)]
pub struct BookingAnswer {
    /// It.
    operator: OperatorAnswer,
    /// What `X-Min-Position` of a query waits for; none when nothing changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
}

/// Book as principal or as agent
///
/// For the sessions that begin from now on; what has been posted stays. As agent the books first adopt posting rules that divide bills, if theirs do not. Only of the
/// key's own operator.
#[utoipa::path(put, path = "/v1/operators/{operator_id}/booking", operation_id = "setBooking", tag = "keys", request_body = BookingBody,
    params(("operator_id" = Uuid, Path, description = "Which: the key's own.")),
    responses((status = 200, description = "It holds from now on.", body = BookingAnswer)))]
async fn set_booking(
    State(api): State<Arc<Api>>,
    Id(operator_id): Id<OperatorId>,
    precondition: IfMatch,
    Order { asker, ids, body }: Order<BookingBody>,
) -> Result<Answer<BookingAnswer>, Problem> {
    if operator_id != asker.operator_id() {
        return Err(Problem::not_found("operator", &operator_id.to_string()));
    }
    let known = api.commands.ledger.load::<Operator>(&StreamId::operator(operator_id)).await.map_err(CommandError::from)?;
    let ids = precondition.tie(ids, known.revision)?;
    let done = api.commands.set_booking(&asker.caller, &ids, body.booking.into()).await?;
    let position = done.position.map(|position| position.0);
    let answer = BookingAnswer { operator: answer(&done.state, done.revision)?, position };
    Ok(Answer::ok(answer).revision(done.revision).position(done.position))
}
