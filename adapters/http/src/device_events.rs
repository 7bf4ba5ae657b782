//! What device gateways report. Facts are recorded and judged, never refused for what they say; only what cannot be placed is.
//!
//! Devices repeat themselves, with new message ids: an event that says the same of the same time is the same event. A transaction number that the ledger gave out
//! leads back to its session; another opens one.

use std::sync::Arc;

use axum::extract::State;
use commands::device::ConnectorReport;
use commands::handle::Done;
use commands::{Caller, CommandError, RequestIds};
use domain::connector::Connector;
use domain::ids::{CommandId, ConnectorId, PileId, SessionId};
use domain::log::StreamId;
use domain::session::{DeviceFact, DisputeReason, MeterReading, Session, SessionEvent, StopReason, TransactionRecord};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::openapi::schema::{ArrayBuilder, OneOfBuilder, Schema};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::Api;
use crate::answer::Answer;
use crate::auth::Asker;
use crate::idempotency::Order;
use crate::presence::report_pile;
use crate::problem::{Kind, Problem};
use crate::sessions::SessionStatus;
use crate::wire::{DeviceCode, ReportedKwh, Time, TransactionNumber};

pub(crate) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(report))
}

/// One thing that a device reports. Without `occurred_at` it happened now.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum DeviceEvent {
    /// The pile is there.
    Heartbeat {
        /// Which.
        pile_id: Uuid,
        /// When.
        occurred_at: Option<Time>,
    },
    /// What a connector says of itself.
    Status {
        /// Which.
        connector_id: Uuid,
        /// How it is.
        status: ConnectorStatusName,
        /// The device's own code, for a fault.
        fault_code: Option<DeviceCode>,
        /// When.
        occurred_at: Option<Time>,
    },
    /// Energy flows.
    SessionStarted {
        /// Where.
        connector_id: Uuid,
        /// The number of the transaction: ours, or the device's own.
        transaction_number: TransactionNumber,
        /// What the meter's register shows.
        register_kwh: ReportedKwh,
        /// When.
        occurred_at: Option<Time>,
    },
    /// A reading.
    Meter {
        /// Where.
        connector_id: Uuid,
        /// The number of the transaction.
        transaction_number: TransactionNumber,
        /// What the meter's register shows.
        register_kwh: ReportedKwh,
        /// When it was read.
        occurred_at: Option<Time>,
    },
    /// Energy no longer flows.
    SessionStopped {
        /// Where.
        connector_id: Uuid,
        /// The number of the transaction.
        transaction_number: TransactionNumber,
        /// Why.
        reason: Option<StopReasonName>,
        /// The last reading.
        register_kwh: Option<ReportedKwh>,
        /// When.
        occurred_at: Option<Time>,
    },
    /// The vehicle left.
    Unplugged {
        /// Where.
        connector_id: Uuid,
        /// The number of the transaction.
        transaction_number: TransactionNumber,
        /// When.
        occurred_at: Option<Time>,
    },
    /// Something broke in the middle of a session.
    Fault {
        /// Where.
        connector_id: Uuid,
        /// The number of the transaction.
        transaction_number: TransactionNumber,
        /// The device's own code.
        fault_code: DeviceCode,
        /// When.
        occurred_at: Option<Time>,
    },
    /// What the device claims at the end (交易记录): the basis of the bill.
    TransactionRecord {
        /// Where.
        connector_id: Uuid,
        /// The number of the transaction.
        transaction_number: TransactionNumber,
        /// When charging began.
        started_at: Time,
        /// When charging ended.
        ended_at: Time,
        /// The register at the beginning.
        meter_start_kwh: ReportedKwh,
        /// The register at the end.
        meter_end_kwh: ReportedKwh,
        /// The energy delivered.
        energy_kwh: ReportedKwh,
        /// Why it ended.
        reason: Option<StopReasonName>,
    },
}

/// How a connector is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConnectorStatusName {
    /// Heard of again.
    Online,
    /// It said goodbye, or its gateway lost it.
    Offline,
    /// Broken; with a fault code.
    Faulted,
    /// The fault is over.
    FaultCleared,
}

/// Why energy stopped flowing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StopReasonName {
    /// The driver, in the app.
    User,
    /// The driver, at the pile or by unplugging.
    Local,
    /// The vehicle is full.
    VehicleFull,
    /// The funds are used up.
    FundsExhausted,
    /// The operator's staff.
    Operator,
    /// A fault of the pile.
    DeviceFault,
    /// A fault of the vehicle.
    VehicleFault,
    /// Power was lost, or the pile restarted.
    PowerLoss,
    /// The device does not say.
    Unknown,
}

impl From<StopReasonName> for StopReason {
    fn from(name: StopReasonName) -> StopReason {
        match name {
            StopReasonName::User => StopReason::User,
            StopReasonName::Local => StopReason::Local,
            StopReasonName::VehicleFull => StopReason::VehicleFull,
            StopReasonName::FundsExhausted => StopReason::FundsExhausted,
            StopReasonName::Operator => StopReason::Operator,
            StopReasonName::DeviceFault => StopReason::DeviceFault,
            StopReasonName::VehicleFault => StopReason::VehicleFault,
            StopReasonName::PowerLoss => StopReason::PowerLoss,
            StopReasonName::Unknown => StopReason::Unknown,
        }
    }
}

/// One event, or several in their order: what the document says of a body that is read as JSON first, so that each event is answered for itself.
#[derive(Debug)]
pub struct DeviceEventsBody;

impl PartialSchema for DeviceEventsBody {
    fn schema() -> RefOr<Schema> {
        let event = || Ref::from_schema_name("DeviceEvent");
        let several = ArrayBuilder::new().items(event()).min_items(Some(1)).max_items(Some(200));
        OneOfBuilder::new().item(event()).item(several).into()
    }
}

impl ToSchema for DeviceEventsBody {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push(("DeviceEvent".to_owned(), DeviceEvent::schema()));
        DeviceEvent::schemas(schemas);
    }
}

/// How an event was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is believed.
    Accepted,
    /// It is kept, and not believed.
    Disputed,
    /// It says nothing new.
    Repeated,
}

/// What became of an event.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeviceEventAnswer {
    /// How it was judged.
    outcome: Outcome,
    /// Why it is not believed.
    #[serde(skip_serializing_if = "Option::is_none")]
    dispute_reason: Option<String>,
    /// The session that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<Uuid>,
    /// Where that session is on its way.
    #[serde(skip_serializing_if = "Option::is_none")]
    session_status: Option<SessionStatus>,
    /// What `X-Min-Position` of a query waits for; none when nothing new was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
}

/// What became of one event, or of each of several in their order; an event that could not be placed has a problem in its place.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum DeviceEventsAnswer {
    /// Of one.
    One(DeviceEventAnswer),
    /// Of several.
    Many {
        /// In the order of the events.
        results: Vec<DeviceEventResult>,
    },
}

/// What became of one of several events.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum DeviceEventResult {
    /// It was recorded.
    Answer(DeviceEventAnswer),
    /// It could not be placed.
    Problem {
        /// Why.
        #[schema(value_type = crate::docs::ProblemDocument)]
        problem: Value,
    },
}

/// Report what devices say
///
/// One event, or an array of up to 200 that are recorded in their order and answered one by one. Reporting again changes nothing, whatever the message it comes in.
#[utoipa::path(post, path = "/v1/device-events", operation_id = "reportDeviceEvents", tag = "devices", request_body = DeviceEventsBody,
    responses((status = 200, description = "Recorded and judged.", body = DeviceEventsAnswer)))]
async fn report(State(api): State<Arc<Api>>, Order { asker, ids, body }: Order<Value>) -> Result<Answer<DeviceEventsAnswer>, Problem> {
    let Value::Array(events) = body else {
        let answer = one(&api, &asker, &ids, 0, body).await?;
        let position = answer.position.map(domain::log::Position);
        return Ok(Answer::ok(DeviceEventsAnswer::One(answer)).position(position));
    };
    let most = api.limits.device_events_max;
    if events.is_empty() || events.len() > most {
        return Err(Problem::new(Kind::InvalidBody, format!("1 to {most} events are taken at once")));
    }
    let mut results = Vec::with_capacity(events.len());
    for (index, event) in events.into_iter().enumerate() {
        results.push(match one(&api, &asker, &ids, index, event).await {
            Ok(answer) => DeviceEventResult::Answer(answer),
            Err(problem) => DeviceEventResult::Problem { problem: problem.to_json() },
        });
    }
    let last = results.iter().filter_map(|result| match result {
        DeviceEventResult::Answer(answer) => answer.position,
        DeviceEventResult::Problem { .. } => None,
    });
    let position = last.max().map(domain::log::Position);
    Ok(Answer::ok(DeviceEventsAnswer::Many { results }).position(position))
}

async fn one(api: &Api, asker: &Asker, ids: &RequestIds, index: usize, event: Value) -> Result<DeviceEventAnswer, Problem> {
    let text = event.to_string();
    let event: DeviceEvent = serde_json::from_value(event).map_err(|error| Problem::new(Kind::InvalidBody, error.to_string()))?;
    // What carries its own time is recognised by what it says; what does not, by the request it came in.
    let command = |scope: Uuid, occurred_at: Option<Time>| match occurred_at {
        Some(_) => CommandId(Uuid::new_v5(&scope, text.as_bytes())),
        None => ids.command(&format!("device event {index}")),
    };
    let place = |connector_id: Uuid, transaction_number: TransactionNumber, occurred_at: Option<Time>| Place {
        connector_id: ConnectorId(connector_id),
        transaction_number: transaction_number.0,
        command_id: command(connector_id, occurred_at),
        caller: asker.at(occurred_at.map_or(asker.caller.at, |time| time.0)),
    };
    match event {
        DeviceEvent::Heartbeat { pile_id, occurred_at: _ } => heartbeat(api, asker, PileId(pile_id)).await,
        DeviceEvent::Status { connector_id, status, fault_code, occurred_at } => {
            let report = connector_report(status, fault_code);
            let caller = asker.at(occurred_at.map_or(asker.caller.at, |time| time.0));
            let command_id = command(connector_id, occurred_at);
            let position = api.commands.connector_report(&caller, command_id, ConnectorId(connector_id), report).await?;
            Ok(DeviceEventAnswer::of_report(position))
        }
        DeviceEvent::SessionStarted { connector_id, transaction_number, register_kwh, occurred_at } => {
            let place = place(connector_id, transaction_number, occurred_at);
            let meter = MeterReading { register: register_kwh.0, read_at: place.caller.at };
            fact(api, place, DeviceFact::Started { meter }).await
        }
        DeviceEvent::Meter { connector_id, transaction_number, register_kwh, occurred_at } => {
            let place = place(connector_id, transaction_number, occurred_at);
            let reading = MeterReading { register: register_kwh.0, read_at: place.caller.at };
            fact(api, place, DeviceFact::Meter { reading }).await
        }
        DeviceEvent::SessionStopped { connector_id, transaction_number, reason, register_kwh, occurred_at } => {
            let place = place(connector_id, transaction_number, occurred_at);
            let stopped_at = place.caller.at;
            let meter = register_kwh.map(|register| MeterReading { register: register.0, read_at: stopped_at });
            let reason = reason.map_or(StopReason::Unknown, StopReason::from);
            fact(api, place, DeviceFact::Stopped { reason, meter, stopped_at }).await
        }
        DeviceEvent::Unplugged { connector_id, transaction_number, occurred_at } => {
            let place = place(connector_id, transaction_number, occurred_at);
            let unplugged_at = place.caller.at;
            fact(api, place, DeviceFact::Unplugged { unplugged_at }).await
        }
        DeviceEvent::Fault { connector_id, transaction_number, fault_code, occurred_at } => {
            let place = place(connector_id, transaction_number, occurred_at);
            let faulted_at = place.caller.at;
            fact(api, place, DeviceFact::Faulted { code: fault_code.0, faulted_at }).await
        }
        DeviceEvent::TransactionRecord {
            connector_id,
            transaction_number,
            started_at,
            ended_at,
            meter_start_kwh,
            meter_end_kwh,
            energy_kwh,
            reason,
        } => {
            let record = TransactionRecord {
                transaction_number: transaction_number.0.clone(),
                started_at: started_at.0,
                ended_at: ended_at.0,
                meter_start: meter_start_kwh.0,
                meter_end: meter_end_kwh.0,
                energy: energy_kwh.0,
                reason: reason.map_or(StopReason::Unknown, StopReason::from),
            };
            fact(api, place(connector_id, transaction_number, Some(ended_at)), DeviceFact::Record { record }).await
        }
    }
}

/// Where a fact belongs.
struct Place {
    connector_id: ConnectorId,
    transaction_number: String,
    command_id: CommandId,
    caller: Caller,
}

async fn fact(api: &Api, place: Place, fact: DeviceFact) -> Result<DeviceEventAnswer, Problem> {
    let Place { connector_id, transaction_number, command_id, caller } = place;
    let (session_id, pile_id) = session_of(api, &caller, connector_id, &transaction_number).await?;
    let now = api.commands.ledger.clock().now();
    if let Some(pile_id) = pile_id {
        api.presence.also_heard(pile_id, now);
    }
    let done = api.commands.device_fact(&caller, command_id, connector_id, session_id, fact).await?;
    Ok(DeviceEventAnswer::of_fact(session_id, &done))
}

/// The session behind a transaction number, and the pile: the session that the ledger gave this number, or the one that the device's own number opens.
async fn session_of(api: &Api, caller: &Caller, connector_id: ConnectorId, number: &str) -> Result<(SessionId, Option<PileId>), Problem> {
    let stream = StreamId::connector(connector_id);
    api.commands.owned("connector", &stream, caller.operator_id).await?;
    let connector = api.commands.ledger.load::<Connector>(&stream).await.map_err(CommandError::from)?.state;
    let pile_id = connector.pile_id();
    if let Some(ours) = (number.len() == 32).then(|| Uuid::try_parse(number).ok().map(SessionId)).flatten() {
        let known = api.commands.ledger.load::<Session>(&StreamId::session(ours)).await.map_err(CommandError::from)?;
        if known.state != Session::Absent {
            return Ok((ours, pile_id));
        }
    }
    let pile = pile_id.ok_or_else(|| Problem::not_found("connector", &connector_id.to_string()))?;
    Ok((SessionId::of_transaction(pile, number), pile_id))
}

async fn heartbeat(api: &Api, asker: &Asker, pile_id: PileId) -> Result<DeviceEventAnswer, Problem> {
    api.commands.owned("pile", &StreamId::pile(pile_id), asker.operator_id()).await?;
    let mut position = None;
    if api.presence.heard(pile_id, asker.operator_id(), asker.caller.at) {
        position = report_pile(&api.presence, &api.commands, &asker.caller, pile_id, &ConnectorReport::Online).await?;
    }
    Ok(DeviceEventAnswer { outcome: Outcome::Accepted, ..DeviceEventAnswer::of_report(position) })
}

/// A fault code with another status says nothing, and is no reason to lose the rest.
fn connector_report(status: ConnectorStatusName, fault_code: Option<DeviceCode>) -> ConnectorReport {
    match status {
        ConnectorStatusName::Online => ConnectorReport::Online,
        ConnectorStatusName::Offline => ConnectorReport::Offline,
        ConnectorStatusName::FaultCleared => ConnectorReport::FaultCleared,
        ConnectorStatusName::Faulted => ConnectorReport::Faulted { code: fault_code.map_or_else(|| "unknown".to_owned(), |code| code.0) },
    }
}

impl DeviceEventAnswer {
    fn of_report(position: Option<domain::log::Position>) -> DeviceEventAnswer {
        DeviceEventAnswer {
            outcome: if position.is_some() { Outcome::Accepted } else { Outcome::Repeated },
            dispute_reason: None,
            session_id: None,
            session_status: None,
            position: position.map(|position| position.0),
        }
    }

    fn of_fact(session_id: SessionId, done: &Done<Session>) -> DeviceEventAnswer {
        let disputed = done.events.iter().find_map(|event| match event {
            SessionEvent::MeterDisputed { reason, .. } | SessionEvent::RecordDisputed { reason, .. } => Some(*reason),
            _ => None,
        });
        let outcome = match disputed {
            Some(_) => Outcome::Disputed,
            None if done.events.is_empty() || done.repeated => Outcome::Repeated,
            None => Outcome::Accepted,
        };
        DeviceEventAnswer {
            outcome,
            dispute_reason: disputed.map(dispute_name),
            session_id: Some(session_id.0),
            session_status: SessionStatus::of(&done.state),
            position: done.position.map(|position| position.0),
        }
    }
}

fn dispute_name(reason: DisputeReason) -> String {
    serde_json::to_value(reason).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}
