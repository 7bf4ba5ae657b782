//! Stations: where they are, in WGS 84 for distances and as published for people. How many connectors are free is counted over `connectors`
//! where it is asked.

use domain::event::Event;
use domain::ids::{OperatorCode, OperatorId, StationId, TariffId};
use domain::log::{Position, Revision};
use domain::station::{StationDetails, StationEvent};
use domain::time::{Timestamp, ZoneName};

use crate::fold::{Keyed, Moment, ProjectionError};
use crate::geo;
use crate::row;
use crate::value::word;

row! {
    /// A charging station (充电站).
    pub struct StationRow in "stations" {
        key {
            /// Which.
            station_id: StationId,
        }
        /// Whose: the tenant.
        operator_id: OperatorId,
        /// The operator's own code for it.
        code: String,
        /// Its name.
        name: String,
        /// Its address, as people write it.
        address: String,
        /// East of Greenwich in WGS 84, degrees, for distances.
        longitude: f64,
        /// North of the equator in WGS 84, degrees, for distances.
        latitude: f64,
        /// East of Greenwich, exactly as published.
        published_longitude: String,
        /// North of the equator, exactly as published.
        published_latitude: String,
        /// What the published place refers to: `WGS-84` or `GCJ-02`.
        published_datum: String,
        /// Its zone.
        zone: ZoneName,
        /// The tariff of sessions that start here.
        tariff_id: Option<TariffId>,
        /// Whose it is, when it is not its operator's: whom 2202 is kept by.
        owner_id: Option<OperatorId>,
        /// The owner's organisation code.
        owner_code: Option<OperatorCode>,
        /// The owner's name.
        owner_name: Option<String>,
        /// Whether it was taken out of service.
        retired: bool,
        /// When it was put into service.
        registered_at: Timestamp,
        /// The revision of its stream that this row holds.
        revision: Revision,
        /// The position that this row holds.
        position: Position,
    }
    index(operator_id, name);
    index(operator_id, latitude, longitude);
    index(operator_id, code);
    contains(name, address, code);
}

/// The projection of [`StationRow`].
#[derive(Debug)]
pub struct Stations;

impl Keyed for Stations {
    type Row = StationRow;
    const VERSION: u32 = 2;
    const HANDLES: &'static [&'static str] =
        &["station.registered", "station.changed", "station.tariff_assigned", "station.ownership_changed", "station.retired"];

    fn keys(moment: &Moment<'_>) -> Result<Vec<(StationId,)>, ProjectionError> {
        let Event::Station(event) = moment.event() else { return Ok(Vec::new()) };
        let id = match event {
            StationEvent::Registered { station_id, .. }
            | StationEvent::Changed { station_id, .. }
            | StationEvent::TariffAssigned { station_id, .. }
            | StationEvent::OwnershipChanged { station_id, .. }
            | StationEvent::Retired { station_id } => *station_id,
        };
        Ok(vec![(id,)])
    }

    fn evolve(key: &(StationId,), row: Option<StationRow>, moment: &Moment<'_>) -> Result<Option<StationRow>, ProjectionError> {
        let Event::Station(event) = moment.event() else { return Ok(row) };
        let missing = || ProjectionError::no_row(key);
        let mut row = match event {
            StationEvent::Registered { station_id, operator_id, code, details, zone } => {
                let mut row = StationRow {
                    station_id: *station_id,
                    operator_id: *operator_id,
                    code: code.clone(),
                    name: String::new(),
                    address: String::new(),
                    longitude: 0.0,
                    latitude: 0.0,
                    published_longitude: String::new(),
                    published_latitude: String::new(),
                    published_datum: String::new(),
                    zone: zone.clone(),
                    tariff_id: row.and_then(|row| row.tariff_id),
                    owner_id: None,
                    owner_code: None,
                    owner_name: None,
                    retired: false,
                    registered_at: moment.occurred_at(),
                    revision: moment.recorded.revision,
                    position: moment.position(),
                };
                describe(&mut row, details);
                row
            }
            StationEvent::Changed { details, .. } => {
                let mut row = row.ok_or_else(missing)?;
                describe(&mut row, details);
                row
            }
            StationEvent::TariffAssigned { tariff_id, .. } => StationRow { tariff_id: Some(*tariff_id), ..row.ok_or_else(missing)? },
            StationEvent::OwnershipChanged { ownership, .. } => StationRow {
                owner_id: ownership.as_ref().map(|ownership| ownership.owner_id),
                owner_code: ownership.as_ref().map(|ownership| ownership.owner_code.clone()),
                owner_name: ownership.as_ref().map(|ownership| ownership.owner_name.clone()),
                ..row.ok_or_else(missing)?
            },
            StationEvent::Retired { .. } => StationRow { retired: true, ..row.ok_or_else(missing)? },
        };
        row.revision = moment.recorded.revision;
        row.position = moment.position();
        Ok(Some(row))
    }
}

fn describe(row: &mut StationRow, details: &StationDetails) {
    let point = geo::wgs84(&details.place);
    row.name.clone_from(&details.name);
    row.address.clone_from(&details.address);
    row.longitude = point.longitude;
    row.latitude = point.latitude;
    row.published_longitude = details.place.longitude.to_string();
    row.published_latitude = details.place.latitude.to_string();
    row.published_datum = word(&details.place.datum);
}
