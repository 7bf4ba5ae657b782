//! Real public charging stations of Shenzhen, for searching by place: their positions and how many piles they have are real (UrbanEV, CC0), everything else
//! about them is made up and says so. No session was ever charged here.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use commands::{Caller, Commands, RequestIds};
use domain::ids::{ConnectorId, OperatorId, PileId, StationId};
use domain::log::StreamId;
use domain::operator::BookingMode;
use domain::pile::{CurrentKind, PileDetails};
use domain::station::{Datum, Place, StationDetails};
use domain::time::{Timestamp, ZoneName};
use domain::units::Power;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use rust_decimal::Decimal;
use serde::Deserialize;
use uuid::Uuid;

use super::generate::{Generator, SEED};
use crate::progress::Meter;

/// Registrations under way at once.
const IN_FLIGHT: usize = 256;
/// When all of them open, as far as the demonstration goes: 2022-09-01 in Shenzhen, when the counting began that the file belongs to.
const OPENED_AT: i64 = 1_661_961_600_000_000;

#[derive(Debug, Deserialize)]
struct Row {
    station_id: u32,
    longitude: Decimal,
    latitude: Decimal,
    charge_count: u32,
    #[serde(rename = "TAZID")]
    zone: u32,
}

/// Whose stations they are.
pub(crate) fn operator() -> OperatorId {
    OperatorId::derived(Uuid::NAMESPACE_URL, "chargeledger:demo:shenzhen")
}

/// Registers the file's stations, if that has not been done. Answers how many there are.
pub(crate) async fn register(commands: &Arc<Commands>, file: &Path) -> anyhow::Result<usize> {
    let mut reader = csv::Reader::from_path(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let rows: Vec<Row> = reader.deserialize().collect::<Result<_, _>>().with_context(|| file.display().to_string())?;
    let generator = Generator::new("shenzhen", operator(), SEED);
    let at = Timestamp::from_micros(OPENED_AT)?;
    let caller = Caller { operator_id: operator(), actor: generator.actor().clone(), at };
    let ids = RequestIds::new(caller.operator_id.0);
    let name = "Demonstration, Shenzhen".to_owned();
    commands.register_operator(&caller, &ids, "DEMOSZX01".parse()?, name, ZoneName::shanghai(), BookingMode::Principal).await?;
    let tariff_id = generator.tariff_id();
    for version in generator.tariff(at) {
        let ids = RequestIds::new(tariff_id.0);
        commands.publish_tariff(&caller, &ids, tariff_id, "分时电价".to_owned(), version.effective_from, version.terms).await?;
    }
    let meter = Meter::start("registering stations of Shenzhen", rows.len() as u64);
    stream::iter(&rows)
        .map(|row| async {
            station(commands, &caller, row, tariff_id).await.with_context(|| format!("station {}", row.station_id))?;
            meter.add(1);
            Ok::<_, anyhow::Error>(())
        })
        .buffer_unordered(IN_FLIGHT)
        .try_collect::<()>()
        .await?;
    Ok(rows.len())
}

async fn station(commands: &Commands, caller: &Caller, row: &Row, tariff_id: domain::ids::TariffId) -> anyhow::Result<()> {
    let station_id = StationId::derived(caller.operator_id.0, &format!("station {}", row.station_id));
    let ids = RequestIds::new(station_id.0);
    // The last thing that is done for a station: where it is, all is.
    let last = ConnectorId::derived(station_id.0, &format!("connector {}", row.charge_count));
    if commands.origin(&StreamId::connector(last)).await?.is_some() {
        return Ok(());
    }
    let details = StationDetails {
        name: format!("深圳 {} 号充电站（名称虚构）", row.station_id),
        address: format!("深圳市, traffic zone {} (address made up)", row.zone),
        place: Place { longitude: row.longitude, latitude: row.latitude, datum: Datum::Gcj02 },
    };
    commands.register_station(caller, &ids, station_id, row.station_id.to_string(), details, ZoneName::shanghai()).await?;
    commands.assign_tariff(caller, &ids, station_id, tariff_id).await?;
    for number in 1..=row.charge_count {
        let pile_id = PileId::derived(station_id.0, &format!("pile {number}"));
        let details =
            PileDetails { model: String::new(), current: CurrentKind::Dc, rated_power: Power::new(Decimal::from(60)).unwrap_or_default() };
        let code = format!("{:09}{number:05}", row.station_id);
        commands.register_pile(caller, &RequestIds::new(pile_id.0), pile_id, station_id, code, details).await?;
        let connector_id = ConnectorId::derived(station_id.0, &format!("connector {number}"));
        commands.register_connector(caller, &RequestIds::new(connector_id.0), connector_id, pile_id, 1).await?;
    }
    Ok(())
}
