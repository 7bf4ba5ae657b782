//! What must not wait for ever: unpaid orders close, stuck starts fail, silent sessions are given up, refunds without an answer are asked after.
//!
//! A fold over the log: which deadlines are open follows from the events, and time is an input. Deadlines count from when we recorded the cause, so that a late
//! delivery or an import of the past is not late at once.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use domain::event::Event;
use domain::ids::{PaymentId, RefundId, SessionId};
use domain::log::{EventStore, Filter, Metadata, Position, Recorded};
use domain::payment::PaymentEvent;
use domain::session::{SessionCommand, SessionEvent};
use domain::time::Timestamp;

use super::{Action, Step};
use crate::error::CommandError;

/// A channel that has not said what became of a payment is asked after half a minute, then each time after twice as long, and when the payment expires.
const PAYMENT_ASK_SECONDS: i64 = 30;
/// A channel that has not said what became of a refund is asked after a minute, then every ten.
const REFUND_ASK_SECONDS: i64 = 60;
const REFUND_ASK_AGAIN_SECONDS: i64 = 600;
/// A session of which nothing has been heard for six hours is given up.
const SILENCE_SECONDS: i64 = 6 * 3600;
/// A session that has ended is given a day for its record.
const RECORD_SECONDS: i64 = 24 * 3600;
/// A vehicle that keeps its connector for a day after charging is billed without waiting longer.
const UNPLUG_SECONDS: i64 = 24 * 3600;
/// A deadline that could not be met is tried again after this long.
const AGAIN_SECONDS: i64 = 10;
const PAGE: usize = 2_048;

/// The types of events that open or close a deadline.
pub const WATCHES: &[&str] = &[
    "session.started",
    "session.meter_read",
    "session.stopped",
    "session.faulted",
    "session.starting",
    "session.start_timed_out",
    "session.refused",
    "session.record_accepted",
    "session.closed_by_operator",
    "session.abandoned",
    "session.billed",
    "payment.initiated",
    "payment.succeeded",
    "payment.failed",
    "payment.closed",
    "payment.refund_requested",
    "payment.refund_succeeded",
    "payment.refund_failed",
];

/// What a deadline is about. One subject has one deadline at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Subject {
    Session(SessionId),
    Payment(PaymentId),
    Refund(PaymentId, RefundId),
}

/// A deadline that has passed.
#[derive(Debug, Clone, PartialEq)]
pub struct Missed {
    /// The event that opened it; what is done because of it happens when the deadline passed.
    pub cause: Metadata,
    /// What is to be done.
    pub step: Step,
    subject: Subject,
    /// When it is due again, unless it has been met.
    again: Timestamp,
    is_last: bool,
}

/// What is waited for.
#[derive(Debug, Clone)]
struct Awaited {
    cause: Metadata,
    step: Step,
    repeats: Repeats,
}

/// How often a deadline is due.
#[derive(Debug, Clone, Copy)]
enum Repeats {
    /// Once.
    Never,
    /// Until an event ends it.
    Forever,
    /// At growing distances, until a payment expires.
    UntilExpiry(PaymentId, Timestamp),
}

/// The open deadlines.
#[derive(Debug, Default)]
pub struct Deadlines {
    open: BTreeMap<(Timestamp, Subject), Awaited>,
    due_of: HashMap<Subject, Timestamp>,
}

impl Deadlines {
    /// The deadlines that are open at a position of the log.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn of_log(store: &Arc<dyn EventStore>, until: Position) -> Result<Deadlines, CommandError> {
        let mut deadlines = Deadlines::default();
        let filter = Filter::types(WATCHES.iter().copied());
        let mut after = Position(0);
        while after < until {
            let page = store.read_all(after, &filter, PAGE).await.map_err(CommandError::Store)?;
            if page.scanned_to <= after {
                break;
            }
            after = page.scanned_to;
            for stored in page.events.into_iter().filter(|stored| stored.position <= until) {
                deadlines.observe(&stored.decode().map_err(CommandError::Unreadable)?);
            }
        }
        Ok(deadlines)
    }

    /// How many are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether none is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Takes in one event.
    pub fn observe(&mut self, recorded: &Recorded<Event>) {
        match &recorded.event {
            Event::Session(event) => self.observe_session(event, &recorded.metadata),
            Event::Payment(event) => self.observe_payment(event, &recorded.metadata),
            _ => {}
        }
    }

    fn observe_session(&mut self, event: &SessionEvent, cause: &Metadata) {
        let command = |id: SessionId, name, command| Step::new(name, Action::Session(id, command));
        let from = cause.recorded_at;
        match event {
            SessionEvent::Starting { refs, expires_at } => {
                let due = (*expires_at).max(from.plus_seconds(AGAIN_SECONDS));
                let step = command(refs.session_id, "start timed out", SessionCommand::TimeOutStart);
                self.set(Subject::Session(refs.session_id), due, cause, step, Repeats::Never);
            }
            SessionEvent::Started { refs, .. } => self.await_news(refs.session_id, SILENCE_SECONDS, cause),
            SessionEvent::MeterRead { session_id, .. } => self.await_news(*session_id, SILENCE_SECONDS, cause),
            SessionEvent::Stopped { refs, .. } | SessionEvent::Faulted { refs, .. } => {
                self.await_news(refs.session_id, RECORD_SECONDS, cause);
            }
            SessionEvent::RecordAccepted { refs, .. } => {
                let due = from.plus_seconds(UNPLUG_SECONDS);
                let bill = SessionCommand::Bill { plugged_until: Some(cause.occurred_at.plus_seconds(UNPLUG_SECONDS)) };
                let step = command(refs.session_id, "bill while plugged", bill);
                self.set(Subject::Session(refs.session_id), due, cause, step, Repeats::Never);
            }
            SessionEvent::StartTimedOut { refs, .. }
            | SessionEvent::Refused { refs, .. }
            | SessionEvent::Abandoned { refs }
            | SessionEvent::ClosedByOperator { refs, .. }
            | SessionEvent::Billed { refs, .. } => self.clear(Subject::Session(refs.session_id)),
            SessionEvent::Requested { .. }
            | SessionEvent::Discovered { .. }
            | SessionEvent::Authorised { .. }
            | SessionEvent::MeterDisputed { .. }
            | SessionEvent::StopRequested { .. }
            | SessionEvent::TariffAssigned { .. }
            | SessionEvent::Unplugged { .. }
            | SessionEvent::RecordDisputed { .. }
            | SessionEvent::BillCorrected { .. }
            | SessionEvent::Settled { .. }
            | SessionEvent::ReceivablePaid { .. } => {}
        }
    }

    fn observe_payment(&mut self, event: &PaymentEvent, cause: &Metadata) {
        match event {
            PaymentEvent::Initiated { payment_id, expires_at, .. } => {
                let step = Step::new("ask after payment", Action::AskAfterPayment { payment_id: *payment_id });
                let due = cause.recorded_at.plus_seconds(PAYMENT_ASK_SECONDS).min(*expires_at);
                self.set(Subject::Payment(*payment_id), due, cause, step, Repeats::UntilExpiry(*payment_id, *expires_at));
            }
            PaymentEvent::Succeeded { payment_id, .. }
            | PaymentEvent::Failed { payment_id, .. }
            | PaymentEvent::Closed { payment_id, .. } => self.clear(Subject::Payment(*payment_id)),
            PaymentEvent::RefundRequested { payment_id, refund_id, .. } => {
                let ask = Action::AskAfterRefund { payment_id: *payment_id, refund_id: *refund_id };
                let due = cause.recorded_at.plus_seconds(REFUND_ASK_SECONDS);
                self.set(Subject::Refund(*payment_id, *refund_id), due, cause, Step::new("ask after refund", ask), Repeats::Forever);
            }
            PaymentEvent::RefundSucceeded { payment_id, refund_id, .. } | PaymentEvent::RefundFailed { payment_id, refund_id, .. } => {
                self.clear(Subject::Refund(*payment_id, *refund_id));
            }
            PaymentEvent::Prepared { .. }
            | PaymentEvent::ReceivedLate { .. }
            | PaymentEvent::Disputed { .. }
            | PaymentEvent::ReceiptAccepted { .. }
            | PaymentEvent::ReceiptApplied { .. }
            | PaymentEvent::DisputesClosed { .. }
            | PaymentEvent::RefundDisputed { .. } => {}
        }
    }

    fn await_news(&mut self, session_id: SessionId, seconds: i64, cause: &Metadata) {
        let step = Step::new("abandon", Action::Session(session_id, SessionCommand::Abandon));
        self.set(Subject::Session(session_id), cause.recorded_at.plus_seconds(seconds), cause, step, Repeats::Never);
    }

    fn set(&mut self, subject: Subject, due: Timestamp, cause: &Metadata, step: Step, repeats: Repeats) {
        self.put(subject, due, Awaited { cause: cause.clone(), step, repeats });
    }

    fn put(&mut self, subject: Subject, due: Timestamp, awaited: Awaited) {
        self.clear(subject);
        self.due_of.insert(subject, due);
        self.open.insert((due, subject), awaited);
    }

    fn clear(&mut self, subject: Subject) {
        if let Some(due) = self.due_of.remove(&subject) {
            self.open.remove(&(due, subject));
        }
    }

    /// What is due now. It stays open, and is due again soon, until it has been [met](Deadlines::met) or an event ends it: so that what could not be done is done later.
    pub fn due(&mut self, now: Timestamp) -> Vec<Missed> {
        let due: Vec<(Timestamp, Subject)> = self.open.keys().take_while(|(due, _)| *due <= now).copied().collect();
        due.into_iter()
            .filter_map(|(due, subject)| {
                let awaited = self.open.get(&(due, subject))?.clone();
                let (step, again, is_last) = match awaited.repeats {
                    Repeats::Never => (awaited.step.clone(), now.plus_seconds(AGAIN_SECONDS), true),
                    Repeats::Forever => (awaited.step.clone(), now.plus_seconds(REFUND_ASK_AGAIN_SECONDS), false),
                    Repeats::UntilExpiry(_, expires_at) if now < expires_at => {
                        let waited = now.seconds_since(awaited.cause.recorded_at).max(PAYMENT_ASK_SECONDS);
                        (awaited.step.clone(), now.plus_seconds(waited).min(expires_at), false)
                    }
                    Repeats::UntilExpiry(payment_id, _) => {
                        let close = Step::new("payment expired", Action::ClosePayment { payment_id });
                        (close, now.plus_seconds(AGAIN_SECONDS), true)
                    }
                };
                let cause = Metadata { occurred_at: due, ..awaited.cause.clone() };
                self.put(subject, again, awaited);
                Some(Missed { cause, step, subject, again, is_last })
            })
            .collect()
    }

    /// It is somebody else's, who keeps no hours: it is not due again.
    pub fn leave(&mut self, missed: &Missed) {
        if self.due_of.get(&missed.subject) == Some(&missed.again) {
            self.clear(missed.subject);
        }
    }

    /// It has been done. What repeats goes on.
    pub fn met(&mut self, missed: &Missed) {
        // An event may have set another deadline in the meantime.
        if missed.is_last && self.due_of.get(&missed.subject) == Some(&missed.again) {
            self.clear(missed.subject);
        }
    }
}
