//! Operators: whose books, and how they are kept.

use domain::event::Event;
use domain::ids::{OperatorCode, OperatorId};
use domain::journal::JournalEvent;
use domain::log::{Position, Revision};
use domain::operator::OperatorEvent;
use domain::time::{Timestamp, ZoneName};

use crate::fold::{Keyed, Moment, ProjectionError};
use crate::row;
use crate::value::word;

row! {
    /// An operator (运营商): the tenant.
    pub struct OperatorRow in "operators" {
        key {
            /// Which.
            operator_id: OperatorId,
        }
        /// Its nine-character code.
        code: OperatorCode,
        /// Its name.
        name: String,
        /// The zone of its books.
        books_zone: ZoneName,
        /// How its books treat other owners' stations: `principal` or `agent`.
        booking: String,
        /// The version of the posting rules that it adopted; none before the first adoption.
        rules_version: Option<u32>,
        /// Whether it left.
        closed: bool,
        /// When it joined.
        registered_at: Timestamp,
        /// The revision of its stream that this row holds.
        revision: Revision,
        /// The position that this row holds.
        position: Position,
    }
}

/// The projection of [`OperatorRow`].
#[derive(Debug)]
pub struct Operators;

impl Keyed for Operators {
    type Row = OperatorRow;
    const VERSION: u32 = 2;
    const HANDLES: &'static [&'static str] =
        &["operator.registered", "operator.changed", "operator.booking_changed", "operator.closed", "journal.rules_adopted"];

    fn keys(moment: &Moment<'_>) -> Result<Vec<(OperatorId,)>, ProjectionError> {
        Ok(match moment.event() {
            Event::Operator(
                OperatorEvent::Registered { operator_id, .. }
                | OperatorEvent::Changed { operator_id, .. }
                | OperatorEvent::BookingChanged { operator_id, .. }
                | OperatorEvent::Closed { operator_id },
            )
            | Event::Journal(JournalEvent::RulesAdopted { operator_id, .. }) => vec![(*operator_id,)],
            _ => vec![],
        })
    }

    fn evolve(key: &(OperatorId,), row: Option<OperatorRow>, moment: &Moment<'_>) -> Result<Option<OperatorRow>, ProjectionError> {
        if let Event::Operator(OperatorEvent::Registered { operator_id, code, name, books_zone, booking }) = moment.event() {
            return Ok(Some(OperatorRow {
                operator_id: *operator_id,
                code: code.clone(),
                name: name.clone(),
                books_zone: books_zone.clone(),
                booking: word(booking),
                rules_version: row.and_then(|row| row.rules_version),
                closed: false,
                registered_at: moment.occurred_at(),
                revision: moment.recorded.revision,
                position: moment.position(),
            }));
        }
        let mut row = row.ok_or_else(|| ProjectionError::no_row(key))?;
        match moment.event() {
            Event::Operator(event) => {
                row.revision = moment.recorded.revision;
                match event {
                    OperatorEvent::Registered { .. } => {}
                    OperatorEvent::Changed { name, .. } => row.name.clone_from(name),
                    OperatorEvent::BookingChanged { booking, .. } => row.booking = word(booking),
                    OperatorEvent::Closed { .. } => row.closed = true,
                }
            }
            Event::Journal(JournalEvent::RulesAdopted { rules_version, .. }) => row.rules_version = Some(u32::from(*rules_version)),
            _ => {}
        }
        row.position = moment.position();
        Ok(Some(row))
    }
}
