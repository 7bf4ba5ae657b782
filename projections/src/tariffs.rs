//! Tariffs: the newest version of each. All versions, with the prices that sessions were started under, stand in `tariff_versions`.

use domain::event::Event;
use domain::ids::{OperatorId, TariffId};
use domain::log::{Position, Revision};
use domain::tariff::TariffEvent;
use domain::time::Timestamp;

use crate::fold::{Journal, Keyed, Moment, ProjectionError};
use crate::row;

row! {
    /// A tariff (计费模型).
    pub struct TariffRow in "tariffs" {
        key {
            /// Which.
            tariff_id: TariffId,
        }
        /// Whose: the tenant.
        operator_id: OperatorId,
        /// Its name.
        name: String,
        /// The newest version.
        version: u32,
        /// When the newest version begins to hold.
        effective_from_at: Timestamp,
        /// The prices of the newest version.
        terms: serde_json::Value,
        /// Whether no session may start under it any more.
        withdrawn: bool,
        /// When it last changed.
        updated_at: Timestamp,
        /// The revision of its stream that this row holds.
        revision: Revision,
        /// The position that this row holds.
        position: Position,
    }
    index(operator_id, name);
}

row! {
    /// A version of a tariff. It never changes.
    pub struct TariffVersionRow in "tariff_versions" {
        key {
            /// Of which tariff.
            tariff_id: TariffId,
            /// From 1, without a gap.
            version: u32,
        }
        /// Whose: the tenant.
        operator_id: OperatorId,
        /// Its name.
        name: String,
        /// When it begins to hold.
        effective_from_at: Timestamp,
        /// The prices.
        terms: serde_json::Value,
        /// When it was published.
        published_at: Timestamp,
        /// The position of its event.
        position: Position,
    }
    index(operator_id, effective_from_at);
}

/// The projection of [`TariffRow`].
#[derive(Debug)]
pub struct Tariffs;

impl Keyed for Tariffs {
    type Row = TariffRow;
    const VERSION: u32 = 1;
    const HANDLES: &'static [&'static str] = &["tariff.version_published", "tariff.withdrawn"];

    fn keys(moment: &Moment<'_>) -> Result<Vec<(TariffId,)>, ProjectionError> {
        Ok(match moment.event() {
            Event::Tariff(TariffEvent::VersionPublished { tariff_id, .. } | TariffEvent::Withdrawn { tariff_id }) => vec![(*tariff_id,)],
            _ => vec![],
        })
    }

    fn evolve(key: &(TariffId,), row: Option<TariffRow>, moment: &Moment<'_>) -> Result<Option<TariffRow>, ProjectionError> {
        let Event::Tariff(event) = moment.event() else { return Ok(row) };
        let mut row = match event {
            TariffEvent::VersionPublished { tariff_id, operator_id, name, version, effective_from, terms } => TariffRow {
                tariff_id: *tariff_id,
                operator_id: *operator_id,
                name: name.clone(),
                version: *version,
                effective_from_at: *effective_from,
                terms: json(terms)?,
                withdrawn: row.is_some_and(|row| row.withdrawn),
                updated_at: moment.occurred_at(),
                revision: moment.recorded.revision,
                position: moment.position(),
            },
            TariffEvent::Withdrawn { .. } => TariffRow { withdrawn: true, ..row.ok_or_else(|| ProjectionError::no_row(key))? },
        };
        row.updated_at = moment.occurred_at();
        row.revision = moment.recorded.revision;
        row.position = moment.position();
        Ok(Some(row))
    }
}

/// The projection of [`TariffVersionRow`].
#[derive(Debug)]
pub struct TariffVersions;

impl Journal for TariffVersions {
    type Row = TariffVersionRow;
    const VERSION: u32 = 1;
    const HANDLES: &'static [&'static str] = &["tariff.version_published"];

    fn rows(moment: &Moment<'_>) -> Result<Vec<TariffVersionRow>, ProjectionError> {
        let Event::Tariff(TariffEvent::VersionPublished { tariff_id, operator_id, name, version, effective_from, terms }) = moment.event()
        else {
            return Ok(Vec::new());
        };
        Ok(vec![TariffVersionRow {
            tariff_id: *tariff_id,
            version: *version,
            operator_id: *operator_id,
            name: name.clone(),
            effective_from_at: *effective_from,
            terms: json(terms)?,
            published_at: moment.occurred_at(),
            position: moment.position(),
        }])
    }
}

fn json<T: serde::Serialize>(value: &T) -> Result<serde_json::Value, ProjectionError> {
    serde_json::to_value(value).map_err(|error| ProjectionError::Unknown { what: error.to_string() })
}
