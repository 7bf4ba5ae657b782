//! Whose a station is, and what its operator keeps for running it. Rates are between the two: other keys are told who the owner is, by the station, and no more.

use std::sync::Arc;

use axum::extract::State;
use commands::CommandError;
use domain::agency::{CommissionRates, Ownership};
use domain::ids::StationId;
use domain::log::{Position, Revision, StreamId};
use domain::station::Station;
use domain::units::Percent;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::Api;
use crate::answer::Answer;
use crate::asked::{Id, IfMatch};
use crate::idempotency::Order;
use crate::operators::Code;
use crate::problem::Problem;
use crate::reading::{Look, Shown};
use crate::wire::{OperatorName, PercentText};

pub(crate) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(one, set))
}

/// What the operator keeps of each kind of fee, in percent of what the customer pays; 100 at most.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CommissionBody {
    /// Of the energy fee.
    energy_percent: PercentText,
    /// Of the service fee.
    service_percent: PercentText,
    /// Of the idle fee.
    idle_percent: PercentText,
}

/// Whose a station is, and on which terms the operator runs it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnershipBody {
    /// The owner's organisation code: nobody's own.
    owner_code: Code,
    /// The owner's name.
    owner_name: OperatorName,
    /// What the operator keeps.
    commission: CommissionBody,
    /// The tax in the commission; 6 when not given, the rate of an agent's service.
    #[serde(default = "agents_tax")]
    #[schema(inline, default = "6.0000")]
    commission_tax_percent: PercentText,
}

/// VAT on agency and brokerage (现代服务·经纪代理服务) of a general taxpayer.
fn agents_tax() -> PercentText {
    PercentText(Percent::new(rust_decimal::Decimal::from(6)).unwrap_or_default())
}

impl OwnershipBody {
    /// As the domain knows it.
    pub(crate) fn read(self) -> Ownership {
        let CommissionBody { energy_percent, service_percent, idle_percent } = self.commission;
        let commission = CommissionRates { energy: energy_percent.0, service: service_percent.0, idle: idle_percent.0 };
        Ownership::new(self.owner_code.0, self.owner_name.0, commission, self.commission_tax_percent.0)
    }
}

/// Whose a station is, and on which terms the operator runs it.
#[derive(Debug, Serialize, ToSchema)]
pub struct OwnershipAnswer {
    /// Whom account 2202 is kept by.
    owner_id: Uuid,
    /// The owner's organisation code.
    owner_code: String,
    /// The owner's name.
    owner_name: String,
    /// What the operator keeps.
    commission: CommissionBody,
    /// The tax in the commission.
    commission_tax_percent: PercentText,
}

impl OwnershipAnswer {
    /// As people read it.
    pub(crate) fn of(ownership: &Ownership) -> OwnershipAnswer {
        OwnershipAnswer {
            owner_id: ownership.owner_id.0,
            owner_code: ownership.owner_code.to_string(),
            owner_name: ownership.owner_name.clone(),
            commission: CommissionBody {
                energy_percent: PercentText(ownership.commission.energy),
                service_percent: PercentText(ownership.commission.service),
                idle_percent: PercentText(ownership.commission.idle),
            },
            commission_tax_percent: PercentText(ownership.commission_tax),
        }
    }
}

/// A station's owner.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetOwnershipBody {
    /// The owner and the terms; nothing for a station of the operator's own.
    ownership: Option<OwnershipBody>,
}

/// A station's owner as it stands.
#[derive(Debug, Serialize, ToSchema)]
pub struct StationOwnershipAnswer {
    /// The station.
    station_id: Uuid,
    /// The owner and the terms; null for a station of the operator's own.
    ownership: Option<OwnershipAnswer>,
    /// The revision of the station's stream.
    revision: u64,
    /// What `X-Min-Position` of a query waits for; none when nothing changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
}

fn answer(
    station_id: StationId,
    state: &Station,
    revision: Option<Revision>,
    position: Option<Position>,
) -> Result<StationOwnershipAnswer, Problem> {
    let facts = state.facts().ok_or_else(|| Problem::not_found("station", &station_id.to_string()))?;
    Ok(StationOwnershipAnswer {
        station_id: facts.station_id.0,
        ownership: facts.ownership.as_ref().map(OwnershipAnswer::of),
        revision: revision.unwrap_or_default().0,
        position: position.map(|position| position.0),
    })
}

/// Whose a station is
#[utoipa::path(get, path = "/v1/stations/{station_id}/ownership", operation_id = "stationOwnership", tag = "stations",
    params(("station_id" = Uuid, Path, description = "Which.")),
    responses((status = 200, description = "The owner and the terms.", body = StationOwnershipAnswer)))]
async fn one(State(api): State<Arc<Api>>, Id(station_id): Id<StationId>, look: Look) -> Result<Shown, Problem> {
    let stream = StreamId::station(station_id);
    api.commands.owned("station", &stream, look.operator_id()).await?;
    let known = api.commands.ledger.load::<Station>(&stream).await.map_err(CommandError::from)?;
    Ok(look.shown(answer(station_id, &known.state, known.revision, None)?))
}

/// Say whose a station is
///
/// Whole: what is not given is not kept. For the sessions that begin from now on; those that run keep the terms that they began under. The books divide a bill
/// when the operator books as agent.
#[utoipa::path(put, path = "/v1/stations/{station_id}/ownership", operation_id = "setStationOwnership", tag = "stations", request_body = SetOwnershipBody,
    params(("station_id" = Uuid, Path, description = "Which.")),
    responses((status = 200, description = "It holds from now on.", body = StationOwnershipAnswer)))]
async fn set(
    State(api): State<Arc<Api>>,
    Id(station_id): Id<StationId>,
    precondition: IfMatch,
    Order { asker, ids, body }: Order<SetOwnershipBody>,
) -> Result<Answer<StationOwnershipAnswer>, Problem> {
    let stream = StreamId::station(station_id);
    api.commands.owned("station", &stream, asker.operator_id()).await?;
    let known = api.commands.ledger.load::<Station>(&stream).await.map_err(CommandError::from)?;
    let ids = precondition.tie(ids, known.revision)?;
    let ownership = body.ownership.map(OwnershipBody::read);
    let done = api.commands.set_station_ownership(&asker.caller, &ids, station_id, ownership).await?;
    Ok(Answer::ok(answer(station_id, &done.state, done.revision, done.position)?).revision(done.revision).position(done.position))
}
