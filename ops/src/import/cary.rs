//! The Town of Cary, North Carolina: session details of its public chargers as its open-data portal publishes them.

use domain::pile::CurrentKind;
use domain::station::Datum;
use domain::time::ZoneName;
use domain::units::Power;
use rust_decimal::Decimal;

use super::{Charger, Fields, Format, ImportedSession, RowError};

pub(crate) struct Cary;

impl Format for Cary {
    fn name(&self) -> &'static str {
        "cary"
    }

    fn separator(&self) -> u8 {
        b';'
    }

    fn columns(&self) -> &'static [&'static str] {
        &[
            "start_date",
            "station_name",
            "charging_time_hh_mm_ss",
            "energy_kwh",
            "address_1",
            "address_2",
            "city",
            "state_province",
            "zip_postal_code",
            "model_number",
            "latitude",
            "longitude",
        ]
    }

    fn session(&self, row: &Fields<'_>) -> Result<ImportedSession, RowError> {
        let started_at = row.time("start_date")?;
        let parts = ["address_1", "address_2", "city", "state_province", "zip_postal_code"].map(|column| row.text(column));
        let parts: Vec<&str> = parts.into_iter().collect::<Result<_, _>>()?;
        Ok(ImportedSession {
            station: row.required("station_name")?.to_owned(),
            address: parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", "),
            place: row.place("longitude", "latitude", Datum::Wgs84)?,
            model: row.text("model_number")?.to_owned(),
            started_at,
            ended_at: started_at.plus_seconds(row.seconds("charging_time_hh_mm_ss")?),
            energy: row.energy("energy_kwh")?,
        })
    }

    /// The makers' data sheets say 30 A at 208/240 V for the AC chargers. The grid's voltage moves: 252 V is the most that American utilities may supply
    /// (ANSI C84.1), so 7.56 kW is the most that can be real.
    fn charger(&self, model: &str) -> Charger {
        let (current, watts, connectors) = if model.starts_with("CPE250") {
            (CurrentKind::Dc, 62_500, 1)
        } else if model.starts_with("CT4") {
            (CurrentKind::Ac, 7_560, 2)
        } else if model.starts_with("8EM1") {
            (CurrentKind::Ac, 7_560, 1)
        } else {
            // Unknown: the most that the American AC plug (SAE J1772) carries, 80 A.
            (CurrentKind::Ac, 20_160, 1)
        };
        Charger { current, rated_power: Power::new(Decimal::new(watts, 3)).unwrap_or_default(), connectors }
    }

    fn zone(&self) -> ZoneName {
        // The database is compiled in, so that the name is known.
        "America/New_York".parse().unwrap_or_else(|_| ZoneName::shanghai())
    }

    fn operator_name(&self) -> &'static str {
        "Town of Cary"
    }
}
