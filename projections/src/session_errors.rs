//! Sessions in error: what people have to look at. A row stays when it is over, and says so.

use domain::event::Event;
use domain::ids::{OperatorId, PileId, SessionId, StationId, UserId};
use domain::log::Position;
use domain::session::{SessionEvent, SessionRefs};
use domain::time::Timestamp;

use crate::fold::{Keyed, Moment, ProjectionError};
use crate::row;
use crate::sessions::refs;
use crate::value::{word, words};

words! {
    /// What is the matter with a session.
    pub enum SessionProblem {
        /// There is no tariff to price it with.
        Unpriced => "unpriced",
        /// The device reported a fault in the middle of it.
        Faulted => "faulted",
        /// Nothing has been heard of it for too long.
        Abandoned => "abandoned",
        /// Its record is not believed.
        Disputed => "disputed",
        /// The device did not start in time. Over by itself: its money goes back.
        StartTimedOut => "start_timed_out",
    }
}

row! {
    /// A session in error (异常订单).
    pub struct SessionErrorRow in "session_errors" {
        key {
            /// Which.
            session_id: SessionId,
        }
        /// Whose: the tenant.
        operator_id: OperatorId,
        /// At which station.
        station_id: StationId,
        /// At which pile.
        pile_id: PileId,
        /// The driver.
        user_id: Option<UserId>,
        /// What is, or was, the matter.
        problem: SessionProblem,
        /// More about it: the device's fault code, why the record is not believed.
        detail: Option<String>,
        /// Whether somebody has to do something.
        is_open: bool,
        /// Whether there is no tariff to price it with, whatever else is the matter.
        is_unpriced: bool,
        /// Since when.
        since_at: Timestamp,
        /// When it was over.
        resolved_at: Option<Timestamp>,
        /// The position that this row holds.
        position: Position,
    }
    index(operator_id, is_open, since_at);
    index(operator_id, problem, since_at);
    index(operator_id, station_id, since_at);
}

/// The projection of [`SessionErrorRow`].
#[derive(Debug)]
pub struct SessionErrors;

impl Keyed for SessionErrors {
    type Row = SessionErrorRow;
    const VERSION: u32 = 1;
    const HANDLES: &'static [&'static str] = &[
        "session.discovered",
        "session.start_timed_out",
        "session.tariff_assigned",
        "session.started",
        "session.faulted",
        "session.abandoned",
        "session.record_accepted",
        "session.record_disputed",
        "session.closed_by_operator",
        "session.billed",
    ];

    fn keys(moment: &Moment<'_>) -> Result<Vec<(SessionId,)>, ProjectionError> {
        let Event::Session(event) = moment.event() else { return Ok(Vec::new()) };
        Ok(refs(event).map(|refs| (refs.session_id,)).into_iter().collect())
    }

    fn evolve(_: &(SessionId,), row: Option<SessionErrorRow>, moment: &Moment<'_>) -> Result<Option<SessionErrorRow>, ProjectionError> {
        let Event::Session(event) = moment.event() else { return Ok(row) };
        let problem = |row, refs, problem, detail| Ok(Some(begun(row, refs, problem, detail, moment)));
        match event {
            SessionEvent::Discovered { refs, tariff: None, .. } => problem(row, refs, SessionProblem::Unpriced, None),
            SessionEvent::StartTimedOut { refs, .. } => {
                let row = begun(row, refs, SessionProblem::StartTimedOut, None, moment);
                Ok(Some(SessionErrorRow { is_open: false, resolved_at: Some(moment.occurred_at()), ..row }))
            }
            SessionEvent::Faulted { refs, code, .. } => problem(row, refs, SessionProblem::Faulted, Some(code.clone())),
            SessionEvent::Abandoned { refs } => problem(row, refs, SessionProblem::Abandoned, None),
            SessionEvent::RecordDisputed { refs, reason, .. } => problem(row, refs, SessionProblem::Disputed, Some(word(reason))),
            SessionEvent::Started { .. } | SessionEvent::RecordAccepted { .. } | SessionEvent::ClosedByOperator { .. } => {
                Ok(row.map(|row| certain(row, moment)))
            }
            SessionEvent::TariffAssigned { .. } => Ok(row.map(|row| {
                let is_all = row.problem == SessionProblem::Unpriced;
                let row = SessionErrorRow { is_unpriced: false, position: moment.position(), ..row };
                if is_all { over(row, moment) } else { row }
            })),
            SessionEvent::Billed { .. } => Ok(row.map(|row| over(SessionErrorRow { is_unpriced: false, ..row }, moment))),
            _ => Ok(row),
        }
    }
}

fn begun(
    row: Option<SessionErrorRow>,
    refs: &SessionRefs,
    problem: SessionProblem,
    detail: Option<String>,
    moment: &Moment<'_>,
) -> SessionErrorRow {
    let unpriced = row.as_ref().is_some_and(|row| row.is_unpriced) || problem == SessionProblem::Unpriced;
    SessionErrorRow {
        session_id: refs.session_id,
        operator_id: moment.operator_id(),
        station_id: refs.station_id,
        pile_id: refs.pile_id,
        user_id: refs.user_id,
        problem,
        detail,
        is_open: true,
        is_unpriced: unpriced,
        since_at: row.filter(|row| row.is_open).map_or(moment.occurred_at(), |row| row.since_at),
        resolved_at: None,
        position: moment.position(),
    }
}

/// What it delivered is certain: only the missing price is left to do, if it is missing.
fn certain(row: SessionErrorRow, moment: &Moment<'_>) -> SessionErrorRow {
    if row.is_unpriced {
        return SessionErrorRow { problem: SessionProblem::Unpriced, detail: None, is_open: true, position: moment.position(), ..row };
    }
    over(row, moment)
}

fn over(row: SessionErrorRow, moment: &Moment<'_>) -> SessionErrorRow {
    let resolved_at = row.resolved_at.or(Some(moment.occurred_at()));
    SessionErrorRow { is_open: false, resolved_at, position: moment.position(), ..row }
}
