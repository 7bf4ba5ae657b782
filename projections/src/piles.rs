//! Piles: what stands at a station.

use domain::event::Event;
use domain::ids::{OperatorId, PileId, StationId};
use domain::log::{Position, Revision};
use domain::pile::{PileDetails, PileEvent};
use domain::time::Timestamp;
use domain::units::Power;

use crate::fold::{Keyed, Moment, ProjectionError};
use crate::row;
use crate::value::word;

row! {
    /// A charging pile (充电桩).
    pub struct PileRow in "piles" {
        key {
            /// Which.
            pile_id: PileId,
        }
        /// Whose: the tenant.
        operator_id: OperatorId,
        /// Where.
        station_id: StationId,
        /// The code that it gives itself on the wire, or the operator's own.
        code: String,
        /// The maker's model; empty when unknown.
        model: String,
        /// `ac` or `dc`.
        current: String,
        /// The most that one connector gives.
        rated_power_kw: Power,
        /// Whether it was taken out of service.
        retired: bool,
        /// When it was put into service.
        registered_at: Timestamp,
        /// The revision of its stream that this row holds.
        revision: Revision,
        /// The position that this row holds.
        position: Position,
    }
    index(operator_id, station_id);
    index(operator_id, code);
}

/// The projection of [`PileRow`].
#[derive(Debug)]
pub struct Piles;

impl Keyed for Piles {
    type Row = PileRow;
    const VERSION: u32 = 1;
    const HANDLES: &'static [&'static str] = &["pile.registered", "pile.changed", "pile.retired"];

    fn keys(moment: &Moment<'_>) -> Result<Vec<(PileId,)>, ProjectionError> {
        let Event::Pile(event) = moment.event() else { return Ok(Vec::new()) };
        let id = match event {
            PileEvent::Registered { pile_id, .. } | PileEvent::Changed { pile_id, .. } | PileEvent::Retired { pile_id } => *pile_id,
        };
        Ok(vec![(id,)])
    }

    fn evolve(key: &(PileId,), row: Option<PileRow>, moment: &Moment<'_>) -> Result<Option<PileRow>, ProjectionError> {
        let Event::Pile(event) = moment.event() else { return Ok(row) };
        let missing = || ProjectionError::no_row(key);
        let mut row = match event {
            PileEvent::Registered { pile_id, station_id, code, details } => PileRow {
                pile_id: *pile_id,
                operator_id: moment.operator_id(),
                station_id: *station_id,
                code: code.clone(),
                model: details.model.clone(),
                current: word(&details.current),
                rated_power_kw: details.rated_power,
                retired: false,
                registered_at: moment.occurred_at(),
                revision: moment.recorded.revision,
                position: moment.position(),
            },
            PileEvent::Changed { details: PileDetails { model, current, rated_power }, .. } => {
                PileRow { model: model.clone(), current: word(current), rated_power_kw: *rated_power, ..row.ok_or_else(missing)? }
            }
            PileEvent::Retired { .. } => PileRow { retired: true, ..row.ok_or_else(missing)? },
        };
        row.revision = moment.recorded.revision;
        row.position = moment.position();
        Ok(Some(row))
    }
}
