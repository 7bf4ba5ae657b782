//! Deadlines: what sessions, payments and refunds are waiting for now. A row goes when the waiting is over.
//!
//! `due_at` is there where an event says it. How long the ledger waits for the rest is decided by the process manager, and by nobody else.

use uuid::Uuid;

use domain::event::Event;
use domain::ids::{OperatorId, PaymentId, SessionId};
use domain::log::Position;
use domain::payment::PaymentEvent;
use domain::session::SessionEvent;
use domain::time::Timestamp;

use crate::fold::{Keyed, Moment, ProjectionError};
use crate::payments::{payment_id, purpose_word};
use crate::row;
use crate::sessions::session_id;
use crate::value::words;

words! {
    /// What is waited for.
    pub enum Awaited {
        /// The user's money.
        Payment => "payment",
        /// The device's word that it started.
        Start => "start",
        /// The device's next reading, or the end.
        News => "news",
        /// The device's record of the session.
        Record => "record",
        /// The vehicle's leaving, or the bill without it.
        Bill => "bill",
        /// The channel's word on a refund.
        Refund => "refund",
    }
}

row! {
    /// Something that is waited for.
    pub struct DeadlineRow in "deadlines" {
        key {
            /// The session, the payment or the refund that waits.
            subject_id: Uuid,
        }
        /// Whose: the tenant.
        operator_id: OperatorId,
        /// What is waited for.
        awaits: Awaited,
        /// The session, if it is one's.
        session_id: Option<SessionId>,
        /// The payment, if it is one's.
        payment_id: Option<PaymentId>,
        /// Since when.
        since_at: Timestamp,
        /// Until when, if the event says it.
        due_at: Option<Timestamp>,
        /// The position that this row holds.
        position: Position,
    }
    index(operator_id, since_at);
    index(operator_id, awaits, since_at);
}

/// The projection of [`DeadlineRow`].
#[derive(Debug)]
pub struct Deadlines;

impl Keyed for Deadlines {
    type Row = DeadlineRow;
    const VERSION: u32 = 1;
    const HANDLES: &'static [&'static str] = &[
        "session.starting",
        "session.start_timed_out",
        "session.refused",
        "session.started",
        "session.meter_read",
        "session.stopped",
        "session.faulted",
        "session.abandoned",
        "session.record_accepted",
        "session.closed_by_operator",
        "session.billed",
        "payment.initiated",
        "payment.succeeded",
        "payment.failed",
        "payment.closed",
        "payment.refund_requested",
        "payment.refund_succeeded",
        "payment.refund_failed",
    ];

    fn keys(moment: &Moment<'_>) -> Result<Vec<(Uuid,)>, ProjectionError> {
        Ok(match moment.event() {
            Event::Session(event) => vec![(session_id(event).0,)],
            Event::Payment(
                PaymentEvent::RefundRequested { refund_id, .. }
                | PaymentEvent::RefundSucceeded { refund_id, .. }
                | PaymentEvent::RefundFailed { refund_id, .. },
            ) => vec![(refund_id.0,)],
            Event::Payment(event) => vec![(payment_id(event).0,)],
            _ => vec![],
        })
    }

    fn evolve(key: &(Uuid,), _: Option<DeadlineRow>, moment: &Moment<'_>) -> Result<Option<DeadlineRow>, ProjectionError> {
        let opened = |awaits, session_id, payment_id, due_at| {
            Ok(Some(DeadlineRow {
                subject_id: key.0,
                operator_id: moment.operator_id(),
                awaits,
                session_id,
                payment_id,
                since_at: moment.occurred_at(),
                due_at,
                position: moment.position(),
            }))
        };
        match moment.event() {
            Event::Session(event) => {
                let session = Some(session_id(event));
                match event {
                    SessionEvent::Starting { expires_at, .. } => opened(Awaited::Start, session, None, Some(*expires_at)),
                    SessionEvent::Started { .. } | SessionEvent::MeterRead { .. } => opened(Awaited::News, session, None, None),
                    SessionEvent::Stopped { .. } | SessionEvent::Faulted { .. } => opened(Awaited::Record, session, None, None),
                    SessionEvent::RecordAccepted { .. } | SessionEvent::ClosedByOperator { .. } => {
                        opened(Awaited::Bill, session, None, None)
                    }
                    _ => Ok(None),
                }
            }
            Event::Payment(event) => match event {
                PaymentEvent::Initiated { payment_id, purpose, expires_at, .. } => {
                    opened(Awaited::Payment, purpose_word(*purpose).1, Some(*payment_id), Some(*expires_at))
                }
                PaymentEvent::RefundRequested { payment_id, .. } => opened(Awaited::Refund, None, Some(*payment_id), None),
                _ => Ok(None),
            },
            _ => Ok(None),
        }
    }
}
