//! Stations and their piles: found, registered, changed, given a tariff, retired.

use std::sync::Arc;

use axum::extract::State;
use commands::CommandError;
use commands::estate::NewStation;
use commands::handle::Loaded;
use domain::ids::{PileId, StationId, TariffId};
use domain::log::{Position, StreamId};
use domain::pile::{CurrentKind, Pile, PileDetails};
use domain::station::{Datum, Place, Station, StationDetails};
use projections::query::{Near, Query, StationSearch};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::Api;
use crate::answer::Answer;
use crate::asked::{Id, IfMatch, Limit, Params};
use crate::idempotency::{Nothing, Order};
use crate::ownership::{OwnershipAnswer, OwnershipBody};
use crate::problem::{Kind, Problem};
use crate::reading::{Listed, Look, Narrow as _, Page, PageParams, Shown, cursor_of};
use crate::rows::{FoundStation, PileRow, StationRow};
use crate::wire::{Address, Degrees, Kilowatts, PileCode, PileModel, SearchText, StationCode, StationName, Zone};

pub(crate) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(find, register))
        .routes(routes!(one, change))
        .routes(routes!(assign_tariff))
        .routes(routes!(retire))
        .routes(routes!(piles, register_pile))
        .routes(routes!(pile))
        .routes(routes!(retire_pile))
}

/// Which stations.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StationParams {
    /// Longitude and latitude in WGS 84, with a comma between: the nearest come first.
    #[param(pattern = r"^-?[0-9]{1,3}(\.[0-9]{1,12})?,-?[0-9]{1,2}(\.[0-9]{1,12})?$", example = "114.0579,22.5431")]
    near: Option<String>,
    /// How far around `near`, in metres; 5,000 when not given.
    #[param(minimum = 1, maximum = 20_000_000)]
    radius_m: Option<u32>,
    /// A part of the name, the address or the code.
    #[param(value_type = Option<String>, min_length = 1, max_length = 100)]
    text: Option<SearchText>,
    /// Only with a free connector.
    available: Option<bool>,
    /// At most this many.
    #[param(inline)]
    limit: Option<Limit>,
    /// Where the page before ended: its `next`.
    cursor: Option<String>,
}

/// Find stations
///
/// Around a place, the nearest first, or by name; each with how many of its connectors are free.
#[utoipa::path(get, path = "/v1/stations", operation_id = "findStations", tag = "stations", params(StationParams),
    extensions(("x-read-model" = json!("stations"))),
    responses((status = 200, description = "Those in service.", body = Page<FoundStation>)))]
async fn find(State(api): State<Arc<Api>>, look: Look, Params(params): Params<StationParams>) -> Result<Listed, Problem> {
    let search = StationSearch {
        operator_id: look.operator_id(),
        near: near(params.near.as_deref(), params.radius_m)?,
        text: params.text.map(|text| text.0),
        only_available: params.available.unwrap_or(false),
        cursor: cursor_of(params.cursor.as_deref())?,
        limit: params.limit.unwrap_or_default().0,
    };
    // How many connectors are free is the connectors' to say.
    look.queries(&api, "connectors").await?;
    Ok(look.listed(look.queries(&api, "stations").await?.stations(&search).await?))
}

fn near(text: Option<&str>, radius_m: Option<u32>) -> Result<Option<Near>, Problem> {
    let unfit = |reason: &str| Problem::new(Kind::InvalidQuery, reason.to_owned());
    let Some(text) = text else {
        return if radius_m.is_some() { Err(unfit("radius_m needs near")) } else { Ok(None) };
    };
    let degrees = |text: &str| text.parse::<Degrees>().ok().and_then(|degrees| degrees.0.to_string().parse::<f64>().ok());
    let place = text.split_once(',').and_then(|(longitude, latitude)| Some((degrees(longitude)?, degrees(latitude)?)));
    let place = place.filter(|(longitude, latitude)| longitude.abs() <= 180.0 && latitude.abs() <= 90.0);
    let (longitude, latitude) = place.ok_or_else(|| unfit("near is a longitude and a latitude in degrees, like 114.0579,22.5431"))?;
    let radius_m = f64::from(radius_m.unwrap_or(5_000));
    if !(1.0..=20_000_000.0).contains(&radius_m) {
        return Err(unfit("radius_m is 1 to 20000000"));
    }
    Ok(Some(Near { longitude, latitude, radius_m }))
}

/// A place on the earth, exactly as published.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlaceBody {
    /// East of Greenwich, −180 to 180.
    #[schema(value_type = String, pattern = r"^-?(0|[1-9][0-9]?|1[0-7][0-9])(\.[0-9]{1,12})?$", example = "114.0579")]
    longitude: Degrees,
    /// North of the equator, −90 to 90.
    #[schema(value_type = String, pattern = r"^-?(0|[1-9]|[1-8][0-9])(\.[0-9]{1,12})?$", example = "22.5431")]
    latitude: Degrees,
    /// What the two refer to.
    datum: DatumName,
}

/// What degrees refer to.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, ToSchema)]
pub enum DatumName {
    /// GPS.
    #[serde(rename = "WGS-84")]
    Wgs84,
    /// Chinese maps.
    #[serde(rename = "GCJ-02")]
    Gcj02,
}

/// What people need to find a station.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StationDetailsBody {
    /// Its name.
    name: StationName,
    /// Its address, as people write it.
    address: Address,
    /// Where it is.
    place: PlaceBody,
}

/// A station to be put into service.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterStationBody {
    /// The operator's own code for it.
    code: StationCode,
    /// Its name.
    name: StationName,
    /// Its address, as people write it.
    address: Address,
    /// Where it is.
    place: PlaceBody,
    /// Prices and statistics follow this clock.
    zone: Zone,
    /// Whose it is and on which terms the operator runs it; nothing for a station of the operator's own.
    ownership: Option<OwnershipBody>,
}

/// A station as the command left it.
#[derive(Debug, Serialize, ToSchema)]
pub struct StationAnswer {
    /// The station.
    station_id: Uuid,
    /// The operator's own code for it.
    code: String,
    /// Its name.
    name: String,
    /// Its address.
    address: String,
    /// Where it is.
    place: PlaceBody,
    /// Its clock.
    zone: String,
    /// The tariff that sessions take here.
    #[serde(skip_serializing_if = "Option::is_none")]
    tariff_id: Option<Uuid>,
    /// Whose it is; none for a station of the operator's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    ownership: Option<OwnershipAnswer>,
    /// Whether it is out of service for good.
    retired: bool,
    /// The revision of its stream.
    revision: u64,
    /// What `X-Min-Position` of a query waits for; none when nothing changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
}

fn details(name: StationName, address: Address, place: &PlaceBody) -> StationDetails {
    let datum = match place.datum {
        DatumName::Wgs84 => Datum::Wgs84,
        DatumName::Gcj02 => Datum::Gcj02,
    };
    StationDetails { name: name.0, address: address.0, place: Place { longitude: place.longitude.0, latitude: place.latitude.0, datum } }
}

fn station_answer(Loaded { state, revision }: &Loaded<Station>, position: Option<Position>) -> Result<StationAnswer, Problem> {
    let facts = state.facts().ok_or_else(|| Problem::bare(Kind::NotFound))?;
    let Place { longitude, latitude, datum } = facts.details.place;
    Ok(StationAnswer {
        station_id: facts.station_id.0,
        code: facts.code.clone(),
        name: facts.details.name.clone(),
        address: facts.details.address.clone(),
        place: PlaceBody {
            longitude: Degrees(longitude),
            latitude: Degrees(latitude),
            datum: match datum {
                Datum::Wgs84 => DatumName::Wgs84,
                Datum::Gcj02 => DatumName::Gcj02,
            },
        },
        zone: facts.zone.to_string(),
        tariff_id: facts.tariff_id.map(Uuid::from),
        ownership: facts.ownership.as_ref().map(OwnershipAnswer::of),
        retired: state.is_retired(),
        revision: revision.unwrap_or_default().0,
        position: position.map(|position| position.0),
    })
}

fn answered(done: commands::Done<Station>) -> Result<Answer<StationAnswer>, Problem> {
    let (revision, position) = (done.revision, done.position);
    let answer = station_answer(&Loaded { state: done.state, revision }, position)?;
    Ok(Answer::ok(answer).revision(revision).position(position))
}

async fn known(api: &Api, asker: &crate::auth::Asker, station_id: StationId) -> Result<Loaded<Station>, Problem> {
    let stream = StreamId::station(station_id);
    api.commands.owned("station", &stream, asker.operator_id()).await?;
    Ok(api.commands.ledger.load::<Station>(&stream).await.map_err(CommandError::from)?)
}

/// Put a station into service
#[utoipa::path(post, path = "/v1/stations", operation_id = "registerStation", tag = "stations", request_body = RegisterStationBody,
    responses((status = 201, description = "It is in service.", body = StationAnswer)))]
async fn register(
    State(api): State<Arc<Api>>,
    Order { asker, ids, body }: Order<RegisterStationBody>,
) -> Result<Answer<StationAnswer>, Problem> {
    let RegisterStationBody { code, name, address, place, zone, ownership } = body;
    let station_id: StationId = ids.id("station");
    let details = details(name, address, &place);
    let ownership = ownership.map(OwnershipBody::read);
    let new = NewStation { station_id, code: code.0, details, zone: zone.0, ownership };
    let done = api.commands.register_station_of(&asker.caller, &ids, new).await?;
    let (revision, position) = (done.revision, done.position);
    let answer = station_answer(&Loaded { state: done.state, revision }, position)?;
    Ok(Answer::created(&format!("/v1/stations/{station_id}"), answer).revision(revision).position(position))
}

/// A station
#[utoipa::path(get, path = "/v1/stations/{station_id}", operation_id = "station", tag = "stations",
    params(("station_id" = Uuid, Path, description = "Which.")), extensions(("x-read-model" = json!("stations"))),
    responses((status = 200, description = "As it is known.", body = StationRow)))]
async fn one(State(api): State<Arc<Api>>, Id(station_id): Id<Uuid>, look: Look) -> Result<Shown, Problem> {
    look.one(&api, "stations", "station", station_id).await
}

/// Change what people need to find a station
///
/// Whole: what is not given is not kept. Its code, zone and operator stay.
#[utoipa::path(put, path = "/v1/stations/{station_id}", operation_id = "changeStation", tag = "stations", request_body = StationDetailsBody,
    params(("station_id" = Uuid, Path, description = "Which.")),
    responses((status = 200, description = "It is changed.", body = StationAnswer)))]
async fn change(
    State(api): State<Arc<Api>>,
    Id(station_id): Id<StationId>,
    precondition: IfMatch,
    Order { asker, ids, body }: Order<StationDetailsBody>,
) -> Result<Answer<StationAnswer>, Problem> {
    let ids = precondition.tie(ids, known(&api, &asker, station_id).await?.revision)?;
    let details = details(body.name, body.address, &body.place);
    answered(api.commands.change_station(&asker.caller, &ids, station_id, details).await?)
}

/// A station's tariff.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AssignTariffBody {
    /// Which.
    tariff_id: Uuid,
}

/// Give a station a tariff
///
/// Sessions that start from now on take it; those that run keep theirs.
#[utoipa::path(post, path = "/v1/stations/{station_id}/tariff", operation_id = "assignTariff", tag = "stations", request_body = AssignTariffBody,
    params(("station_id" = Uuid, Path, description = "Which.")),
    responses((status = 200, description = "It holds from now on.", body = StationAnswer)))]
async fn assign_tariff(
    State(api): State<Arc<Api>>,
    Id(station_id): Id<StationId>,
    precondition: IfMatch,
    Order { asker, ids, body }: Order<AssignTariffBody>,
) -> Result<Answer<StationAnswer>, Problem> {
    let ids = precondition.tie(ids, known(&api, &asker, station_id).await?.revision)?;
    answered(api.commands.assign_tariff(&asker.caller, &ids, station_id, TariffId(body.tariff_id)).await?)
}

/// Take a station out of service
///
/// For good; its history stays.
#[utoipa::path(post, path = "/v1/stations/{station_id}/retire", operation_id = "retireStation", tag = "stations", request_body = Option<Nothing>,
    params(("station_id" = Uuid, Path, description = "Which.")),
    responses((status = 200, description = "It is out of service.", body = StationAnswer)))]
async fn retire(
    State(api): State<Arc<Api>>,
    Id(station_id): Id<StationId>,
    precondition: IfMatch,
    Order { asker, ids, body: Nothing {} }: Order<Nothing>,
) -> Result<Answer<StationAnswer>, Problem> {
    let ids = precondition.tie(ids, known(&api, &asker, station_id).await?.revision)?;
    answered(api.commands.retire_station(&asker.caller, &ids, station_id).await?)
}

/// The piles of a station
#[utoipa::path(get, path = "/v1/stations/{station_id}/piles", operation_id = "stationPiles", tag = "stations",
    params(("station_id" = Uuid, Path, description = "Which."), PageParams), extensions(("x-read-model" = json!("piles"))),
    responses((status = 200, description = "Its piles.", body = Page<PileRow>)))]
async fn piles(
    State(api): State<Arc<Api>>,
    Id(station_id): Id<Uuid>,
    look: Look,
    Params(params): Params<PageParams>,
) -> Result<Listed, Problem> {
    api.commands.owned("station", &StreamId::station(StationId(station_id)), look.operator_id()).await?;
    let query = Query::of("piles", look.operator_id()).by_id("station_id", Some(station_id));
    look.list(&api, query, params.limit, params.cursor.as_deref()).await
}

/// What kind of current a pile gives.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CurrentName {
    /// Alternating (慢充).
    Ac,
    /// Direct (快充).
    Dc,
}

/// A pile to be put into service.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterPileBody {
    /// The code that it gives itself on the wire, or the operator's own.
    code: PileCode,
    /// The maker's model; empty when unknown.
    model: PileModel,
    /// Alternating or direct current.
    current: CurrentName,
    /// The most that one connector gives.
    rated_power_kw: Kilowatts,
}

/// A pile as the command left it.
#[derive(Debug, Serialize, ToSchema)]
pub struct PileAnswer {
    /// The pile.
    pile_id: Uuid,
    /// Its station.
    station_id: Uuid,
    /// Its code.
    code: String,
    /// Its model.
    model: String,
    /// Its current.
    current: CurrentName,
    /// The most that one connector gives.
    rated_power_kw: Kilowatts,
    /// Whether it is out of service for good.
    retired: bool,
    /// The revision of its stream.
    revision: u64,
    /// What `X-Min-Position` of a query waits for; none when nothing changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
}

fn pile_answer(done: &commands::Done<Pile>) -> Result<PileAnswer, Problem> {
    let facts = done.state.facts().ok_or_else(|| Problem::bare(Kind::NotFound))?;
    Ok(PileAnswer {
        pile_id: facts.pile_id.0,
        station_id: facts.station_id.0,
        code: facts.code.clone(),
        model: facts.details.model.clone(),
        current: match facts.details.current {
            CurrentKind::Ac => CurrentName::Ac,
            CurrentKind::Dc => CurrentName::Dc,
        },
        rated_power_kw: Kilowatts(facts.details.rated_power),
        retired: done.state.is_retired(),
        revision: done.revision.unwrap_or_default().0,
        position: done.position.map(|position| position.0),
    })
}

/// Put a pile into service
#[utoipa::path(post, path = "/v1/stations/{station_id}/piles", operation_id = "registerPile", tag = "stations", request_body = RegisterPileBody,
    params(("station_id" = Uuid, Path, description = "Where.")),
    responses((status = 201, description = "It is in service.", body = PileAnswer)))]
async fn register_pile(
    State(api): State<Arc<Api>>,
    Id(station_id): Id<StationId>,
    precondition: IfMatch,
    Order { asker, ids, body }: Order<RegisterPileBody>,
) -> Result<Answer<PileAnswer>, Problem> {
    precondition.check(known(&api, &asker, station_id).await?.revision)?;
    let current = match body.current {
        CurrentName::Ac => CurrentKind::Ac,
        CurrentName::Dc => CurrentKind::Dc,
    };
    let pile_id: PileId = ids.id("pile");
    let details = PileDetails { model: body.model.0, current, rated_power: body.rated_power_kw.0 };
    let done = api.commands.register_pile(&asker.caller, &ids, pile_id, station_id, body.code.0, details).await?;
    Ok(Answer::created(&format!("/v1/piles/{pile_id}"), pile_answer(&done)?).revision(done.revision).position(done.position))
}

/// A pile
#[utoipa::path(get, path = "/v1/piles/{pile_id}", operation_id = "pile", tag = "stations",
    params(("pile_id" = Uuid, Path, description = "Which.")), extensions(("x-read-model" = json!("piles"))),
    responses((status = 200, description = "As it is known.", body = PileRow)))]
async fn pile(State(api): State<Arc<Api>>, Id(pile_id): Id<Uuid>, look: Look) -> Result<Shown, Problem> {
    look.one(&api, "piles", "pile", pile_id).await
}

/// Take a pile out of service
///
/// For good; its history stays.
#[utoipa::path(post, path = "/v1/piles/{pile_id}/retire", operation_id = "retirePile", tag = "stations", request_body = Option<Nothing>,
    params(("pile_id" = Uuid, Path, description = "Which.")),
    responses((status = 200, description = "It is out of service.", body = PileAnswer)))]
async fn retire_pile(
    State(api): State<Arc<Api>>,
    Id(pile_id): Id<PileId>,
    precondition: IfMatch,
    Order { asker, ids, body: Nothing {} }: Order<Nothing>,
) -> Result<Answer<PileAnswer>, Problem> {
    let stream = StreamId::pile(pile_id);
    api.commands.owned("pile", &stream, asker.operator_id()).await?;
    let ids = precondition.tie(ids, api.commands.ledger.load::<Pile>(&stream).await.map_err(CommandError::from)?.revision)?;
    let done = api.commands.retire_pile(&asker.caller, &ids, pile_id).await?;
    Ok(Answer::ok(pile_answer(&done)?).revision(done.revision).position(done.position))
}
