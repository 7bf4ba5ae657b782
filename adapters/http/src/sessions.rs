//! Sessions: start, stop, close, estimate.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use commands::CommandError;
use commands::handle::Loaded;
use commands::session::{StartPayment, StartSession};
use domain::event::Event;
use domain::ids::{ConnectorId, SessionId, TariffId, UserId};
use domain::key::Role;
use domain::log::{Position, Revision, StreamId};
use domain::payment::{Channel, Payment};
use domain::session::{Ending, PaymentMode, Session, SessionEvent, StopReason};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::Api;
use crate::answer::Answer;
use crate::asked::{Id, IfMatch, patience};
use crate::auth::Asker;
use crate::bills::BillAnswer;
use crate::idempotency::{Nothing, Order};
use crate::payments::ChannelName;
use crate::problem::{Kind, Problem, refusal};
use crate::reading::{Look, Shown};
use crate::wire::{Kwh, Note, PositiveYuan, Time};

pub(crate) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(start))
        .routes(routes!(estimate))
        .routes(routes!(stop))
        .routes(routes!(close))
        .routes(routes!(assign_tariff))
        .routes(routes!(bill))
}

/// Somebody wants to charge.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StartSessionBody {
    /// Where.
    connector_id: Uuid,
    /// Who.
    user_id: Uuid,
    /// How it will be paid.
    payment: StartPaymentBody,
}

/// How a session will be paid.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(tag = "mode", rename_all = "snake_case", deny_unknown_fields)]
pub enum StartPaymentBody {
    /// Before (预付): the rest goes back.
    Prepaid {
        /// How much.
        amount_yuan: PositiveYuan,
        /// Through which channel.
        channel: ChannelName,
    },
    /// From the wallet: a hold (冻结) first, captured at the end.
    Wallet {
        /// How much to hold.
        hold_yuan: PositiveYuan,
    },
    /// Afterwards.
    Postpaid {},
}

/// Where a session is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SessionStatus {
    /// Somebody wants to charge.
    Requested,
    /// The money is in order.
    Authorised,
    /// The device was told to start.
    Starting,
    /// It did not come about, or only a device has heard of it so far.
    NotStarted,
    /// Energy flows.
    Charging,
    /// Energy no longer flows.
    Stopped,
    /// The device reported a fault in the middle of it.
    Faulted,
    /// Nothing has been heard of it for too long.
    Abandoned,
    /// Its record is not believed; people decide.
    Disputed,
    /// What it delivered is certain.
    Recorded,
    /// It has its price.
    Billed,
    /// It is paid, or what is left is receivable.
    Settled,
}

impl SessionStatus {
    /// Of a session; none when there is none.
    #[must_use]
    pub fn of(session: &Session) -> Option<SessionStatus> {
        Some(match session {
            Session::Absent => return None,
            Session::Requested(_) => SessionStatus::Requested,
            Session::Authorised(_) => SessionStatus::Authorised,
            Session::Starting { .. } => SessionStatus::Starting,
            Session::NotStarted(_) => SessionStatus::NotStarted,
            Session::Charging(_) => SessionStatus::Charging,
            Session::Ended { course, .. } if !course.disputed_records.is_empty() => SessionStatus::Disputed,
            Session::Ended { how: Ending::Stopped, .. } => SessionStatus::Stopped,
            Session::Ended { how: Ending::Faulted, .. } => SessionStatus::Faulted,
            Session::Ended { how: Ending::Abandoned, .. } => SessionStatus::Abandoned,
            Session::Finished { .. } => SessionStatus::Recorded,
            Session::Billed { is_settled: false, .. } => SessionStatus::Billed,
            Session::Billed { is_settled: true, .. } => SessionStatus::Settled,
        })
    }
}

/// A session as the command left it.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionAnswer {
    /// The session.
    session_id: Uuid,
    /// The number that people see: 27 characters as T/CEC 102 asks for.
    order_number: String,
    /// Where it is on its way.
    status: SessionStatus,
    /// The driver.
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<Uuid>,
    /// The station.
    station_id: Uuid,
    /// The pile.
    pile_id: Uuid,
    /// The connector.
    connector_id: Uuid,
    /// The payment that has to succeed first, for a prepaid session.
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_id: Option<Uuid>,
    /// What the front end hands to the channel, while the payment waits for its money.
    #[serde(skip_serializing_if = "Option::is_none")]
    pay_token: Option<String>,
    /// The revision of the session's stream.
    revision: u64,
    /// What `X-Min-Position` of a query waits for; none when nothing happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
}

impl SessionAnswer {
    fn of(session: &Session, revision: Option<Revision>, position: Option<Position>) -> Result<SessionAnswer, Problem> {
        let (Some(terms), Some(status)) = (session.terms(), SessionStatus::of(session)) else {
            return Err(Problem::bare(Kind::NotFound));
        };
        let refs = terms.refs;
        Ok(SessionAnswer {
            session_id: refs.session_id.0,
            order_number: terms.order_number.to_string(),
            status,
            user_id: refs.user_id.map(Uuid::from),
            station_id: refs.station_id.0,
            pile_id: refs.pile_id.0,
            connector_id: refs.connector_id.0,
            payment_id: match terms.mode {
                PaymentMode::Prepaid { payment_id, .. } => Some(payment_id.0),
                PaymentMode::Wallet { .. } | PaymentMode::Postpaid => None,
            },
            pay_token: None,
            revision: revision.unwrap_or_default().0,
            position: position.map(|position| position.0),
        })
    }

    fn location(&self) -> String {
        format!("/v1/sessions/{}", self.session_id)
    }
}

/// Start a session
///
/// Holds or collects the money, takes the connector, tells the device; answers once energy flows or it is certain that it will not. After ten seconds, or after
/// `Prefer: wait=SECONDS`, it answers 202 with what is known so far: for a prepaid session the token with which the driver pays.
#[utoipa::path(post, path = "/v1/sessions", operation_id = "startSession", tag = "sessions", request_body = StartSessionBody, responses(
    (status = 201, description = "It has started.", body = SessionAnswer),
    (status = 202, description = "It is on its way; look at `Location`.", body = SessionAnswer),
))]
async fn start(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    Order { asker, ids, body }: Order<StartSessionBody>,
) -> Result<Answer<SessionAnswer>, Problem> {
    let payment = match body.payment {
        StartPaymentBody::Prepaid { amount_yuan, channel } => {
            StartPayment::Prepaid { amount: amount_yuan.0, channel: Channel::from(channel) }
        }
        StartPaymentBody::Wallet { hold_yuan } => StartPayment::Wallet { hold: hold_yuan.0 },
        StartPaymentBody::Postpaid {} => StartPayment::Postpaid,
    };
    let start = StartSession { connector_id: ConnectorId(body.connector_id), user_id: UserId(body.user_id), payment };
    let requested = api.commands.start_session(&asker.caller, &ids, start).await?;
    let wait = patience(&headers, api.limits.start_wait);
    let Loaded { state, revision } = api.commands.await_start(requested.session_id, wait).await?;
    if let Session::NotStarted(_) = state {
        return Err(why_not(&api, requested.session_id).await?.with("session_id", requested.session_id.to_string()));
    }
    let head = api.commands.ledger.store().head().await?.position;
    let mut answer = SessionAnswer::of(&state, revision, Some(head))?;
    let is_under_way = matches!(state, Session::Requested(_) | Session::Authorised(_) | Session::Starting { .. });
    if let (true, Some(payment_id)) = (is_under_way, requested.payment_id) {
        let payment = api.commands.ledger.load::<Payment>(&StreamId::payment(payment_id)).await.map_err(CommandError::from)?;
        answer.pay_token = payment.state.pay_token().map(str::to_owned);
    }
    let location = answer.location();
    let answer = if is_under_way { Answer::accepted(&location, answer) } else { Answer::created(&location, answer) };
    Ok(answer.revision(revision).position(Some(head)))
}

/// Why a session did not come about.
async fn why_not(api: &Api, session_id: SessionId) -> Result<Problem, Problem> {
    let events = api.commands.ledger.store().read_stream(&StreamId::session(session_id), Revision(0), 64).await?;
    for stored in events.into_iter().rev() {
        let recorded = stored.decode().map_err(|error| Problem::broken(Kind::Internal, &error))?;
        match recorded.event {
            Event::Session(SessionEvent::Refused { reason, .. }) => return Ok(refusal(&reason)),
            Event::Session(SessionEvent::StartTimedOut { .. }) => return Ok(Problem::bare(Kind::StartTimedOut)),
            _ => {}
        }
    }
    Ok(Problem::bare(Kind::SessionDidNotStart))
}

/// Stop a session
///
/// Asks the device to end it; a session that has ended already is answered as it is.
#[utoipa::path(post, path = "/v1/sessions/{session_id}/stop", operation_id = "stopSession", tag = "sessions", request_body = Option<Nothing>,
    params(("session_id" = Uuid, Path, description = "Which.")),
    responses((status = 202, description = "The device is being asked.", body = SessionAnswer)))]
async fn stop(
    State(api): State<Arc<Api>>,
    Id(session_id): Id<SessionId>,
    precondition: IfMatch,
    Order { asker, ids, body: Nothing {} }: Order<Nothing>,
) -> Result<Answer<SessionAnswer>, Problem> {
    let ids = precondition.tie(ids, api.commands.session(&asker.caller, session_id).await?.revision)?;
    let reason = match asker.principal.role {
        Role::App => StopReason::User,
        Role::Finance | Role::Operator | Role::Gateway | Role::Regulator | Role::Partner | Role::Admin => StopReason::Operator,
    };
    let done = api.commands.stop_session(&asker.caller, &ids, session_id, reason).await?;
    let answer = SessionAnswer::of(&done.state, done.revision, done.position)?;
    Ok(Answer::accepted(&answer.location(), answer).revision(done.revision).position(done.position))
}

/// What an operator decides about a session.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CloseSessionBody {
    /// The energy that will be billed.
    energy_kwh: Kwh,
    /// When charging ended.
    ended_at: Time,
    /// Why, for whoever asks later.
    note: Note,
}

/// Close a session by hand
///
/// For one whose record never comes, or whose record is disputed. The true record may still come, and then corrects the bill.
#[utoipa::path(post, path = "/v1/sessions/{session_id}/close", operation_id = "closeSession", tag = "sessions", request_body = CloseSessionBody,
    params(("session_id" = Uuid, Path, description = "Which.")),
    responses((status = 200, description = "It is closed, and will be billed.", body = SessionAnswer)))]
async fn close(
    State(api): State<Arc<Api>>,
    Id(session_id): Id<SessionId>,
    precondition: IfMatch,
    Order { asker, ids, body }: Order<CloseSessionBody>,
) -> Result<Answer<SessionAnswer>, Problem> {
    let ids = precondition.tie(ids, api.commands.session(&asker.caller, session_id).await?.revision)?;
    let CloseSessionBody { energy_kwh, ended_at, note } = body;
    let done = api.commands.close_session(&asker.caller, &ids, session_id, energy_kwh.0, ended_at.0, note.0).await?;
    let answer = SessionAnswer::of(&done.state, done.revision, done.position)?;
    Ok(Answer::ok(answer).revision(done.revision).position(done.position))
}

/// Prices for a session that has none.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AssignSessionTariffBody {
    /// Which tariff: the version that held when the session began, or its first one.
    tariff_id: Uuid,
    /// Why this one, for whoever asks later.
    note: Note,
}

/// Give a session its prices
///
/// For one that a device reported at a station without a tariff, once: prices never change afterwards. What it delivered is billed with them.
#[utoipa::path(post, path = "/v1/sessions/{session_id}/tariff", operation_id = "assignSessionTariff", tag = "sessions", request_body = AssignSessionTariffBody,
    params(("session_id" = Uuid, Path, description = "Which.")),
    responses((status = 200, description = "It has them, and its bill if what it delivered is certain.", body = SessionAnswer)))]
async fn assign_tariff(
    State(api): State<Arc<Api>>,
    Id(session_id): Id<SessionId>,
    precondition: IfMatch,
    Order { asker, ids, body }: Order<AssignSessionTariffBody>,
) -> Result<Answer<SessionAnswer>, Problem> {
    let ids = precondition.tie(ids, api.commands.session(&asker.caller, session_id).await?.revision)?;
    let AssignSessionTariffBody { tariff_id, note } = body;
    let done = api.commands.assign_session_tariff(&asker.caller, &ids, session_id, TariffId(tariff_id), note.0).await?;
    let answer = SessionAnswer::of(&done.state, done.revision, done.position)?;
    Ok(Answer::ok(answer).revision(done.revision).position(done.position))
}

/// What is to be estimated.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PriceEstimateBody {
    /// Where.
    connector_id: Uuid,
    /// How much energy.
    energy_kwh: Kwh,
    /// From when on; now, when not given.
    starts_at: Option<Time>,
}

/// What charging would cost
///
/// By the same formula as the bill, at the connector's rated power.
#[utoipa::path(post, path = "/v1/sessions/price-estimate", operation_id = "estimatePrice", tag = "sessions", request_body = PriceEstimateBody,
    responses((status = 200, description = "What it would cost.", body = BillAnswer)))]
async fn estimate(
    State(api): State<Arc<Api>>,
    asker: Asker,
    crate::idempotency::Body(body): crate::idempotency::Body<PriceEstimateBody>,
) -> Result<Answer<BillAnswer>, Problem> {
    let at = body.starts_at.map_or(asker.caller.at, |time| time.0);
    let connector_id = ConnectorId(body.connector_id);
    let spot = api.commands.spot(&asker.caller, connector_id, SessionId(Uuid::nil()), None, at).await?;
    let bill = api.commands.estimate(&asker.caller, connector_id, body.energy_kwh.0, at).await?;
    Ok(Answer::ok(BillAnswer::of(&bill, &spot.zone)))
}

/// The bill of a session
///
/// The one that holds; earlier ones stand among its events.
#[utoipa::path(get, path = "/v1/sessions/{session_id}/bill", operation_id = "sessionBill", tag = "sessions",
    params(("session_id" = Uuid, Path, description = "Which.")),
    responses((status = 200, description = "Its lines and their sums.", body = BillAnswer)))]
async fn bill(State(api): State<Arc<Api>>, Id(session_id): Id<SessionId>, look: Look) -> Result<Shown, Problem> {
    let session = api.commands.session(&look.asker.caller, session_id).await?;
    match (session.state.bill(), session.state.terms()) {
        (Some(bill), Some(terms)) => Ok(look.shown(BillAnswer::of(bill, &terms.zone))),
        _ => Err(Problem::new(Kind::SessionNotBilled, "the session has not been billed")),
    }
}
