//! Receivables: sessions that are not wholly paid. A row is there for as long as something is owed; its age counts from `since_at`.

use domain::event::Event;
use domain::ids::{OperatorId, SessionId, StationId, UserId};
use domain::log::Position;
use domain::session::SessionEvent;
use domain::time::Timestamp;
use domain::units::Money;

use crate::bills::mode_word;
use crate::fold::{Keyed, Moment, ProjectionError};
use crate::row;

row! {
    /// What is owed, or was, for a session that its prepayment or wallet did not cover (应收账款).
    pub struct ReceivableRow in "receivables" {
        key {
            /// For which session.
            session_id: SessionId,
        }
        /// Whose: the tenant.
        operator_id: OperatorId,
        /// Who owes it; none for a session that only a device knows of.
        user_id: Option<UserId>,
        /// At which station.
        station_id: StationId,
        /// How the session was to be paid: `prepaid`, `wallet` or `postpaid`.
        mode: Option<String>,
        /// What the bill comes to.
        due_yuan: Money,
        /// What is still to be paid; nothing once it is paid, or the bill came down.
        open_yuan: Money,
        /// Since when.
        since_at: Timestamp,
        /// When a part of it was last paid.
        paid_at: Option<Timestamp>,
        /// The position that this row holds.
        position: Position,
    }
    index(operator_id, since_at);
    index(operator_id, user_id, since_at);
}

/// The projection of [`ReceivableRow`].
#[derive(Debug)]
pub struct Receivables;

impl Keyed for Receivables {
    type Row = ReceivableRow;
    const VERSION: u32 = 2;
    const HANDLES: &'static [&'static str] = &["session.settled", "session.receivable_paid"];

    fn keys(moment: &Moment<'_>) -> Result<Vec<(SessionId,)>, ProjectionError> {
        Ok(match moment.event() {
            Event::Session(SessionEvent::Settled { refs, .. } | SessionEvent::ReceivablePaid { refs, .. }) => vec![(refs.session_id,)],
            _ => vec![],
        })
    }

    fn evolve(_: &(SessionId,), row: Option<ReceivableRow>, moment: &Moment<'_>) -> Result<Option<ReceivableRow>, ProjectionError> {
        let (refs, mode, due, open, paid_at) = match moment.event() {
            Event::Session(SessionEvent::Settled { refs, mode, due, receivable, .. }) => {
                (refs, Some(mode_word(mode).to_owned()), Some(*due), *receivable, None)
            }
            Event::Session(SessionEvent::ReceivablePaid { refs, receivable, .. }) => {
                (refs, None, None, *receivable, Some(moment.occurred_at()))
            }
            _ => return Ok(row),
        };
        // Most sessions never owe anything; what once was owed stays to be read.
        if !open.is_positive() && row.is_none() {
            return Ok(None);
        }
        Ok(Some(ReceivableRow {
            session_id: refs.session_id,
            operator_id: moment.operator_id(),
            user_id: refs.user_id,
            station_id: refs.station_id,
            mode: mode.or_else(|| row.as_ref().and_then(|row| row.mode.clone())),
            due_yuan: due.or_else(|| row.as_ref().map(|row| row.due_yuan)).unwrap_or(open),
            open_yuan: open,
            since_at: row.as_ref().map_or(moment.occurred_at(), |row| row.since_at),
            paid_at: paid_at.or_else(|| row.as_ref().and_then(|row| row.paid_at)),
            position: moment.position(),
        }))
    }
}
