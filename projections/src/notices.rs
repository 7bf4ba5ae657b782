//! Notices: what the systems around the ledger tell people about. A receipt when a session is settled, money that is back, and, for those who keep the network
//! running, a fault and a record that is not believed. Its rows go out ([`crate::outbox`]): each once, whatever becomes of the view.
//!
//! Absent: names and phone numbers. Who is told, and how, is the receiver's.

use serde_json::json;

use domain::connector::ConnectorEvent;
use domain::event::Event;
use domain::ids::{EventId, OperatorId};
use domain::log::Position;
use domain::payment::PaymentEvent;
use domain::session::SessionEvent;
use domain::time::Timestamp;

use crate::fold::{Journal, Moment, ProjectionError};
use crate::outbox::{Effects, Message};
use crate::row;
use crate::value::words;

words! {
    /// What a notice is about.
    pub enum NoticeKind {
        /// A session is settled: what it cost, what was paid, what goes back.
        Receipt => "receipt",
        /// Money is back where it came from.
        Refund => "refund",
        /// A device's record is not believed: somebody has to look.
        Dispute => "dispute",
        /// A connector is out of order.
        Fault => "fault",
    }
}

row! {
    /// One notice.
    pub struct NoticeRow in "notices" {
        key {
            /// Where the event stands that it comes from.
            position: Position,
        }
        /// Whose: the tenant.
        operator_id: OperatorId,
        /// By this a receiver knows a repetition: the event's id.
        notice_id: EventId,
        /// What it is about.
        kind: NoticeKind,
        /// What it says.
        body: serde_json::Value,
        /// When it happened.
        occurred_at: Timestamp,
    }
    index(operator_id, kind);
}

/// The projection of [`NoticeRow`].
#[derive(Debug)]
pub struct Notices;

impl Journal for Notices {
    type Row = NoticeRow;
    const VERSION: u32 = 1;
    const HANDLES: &'static [&'static str] =
        &["connector.faulted", "payment.refund_succeeded", "session.record_disputed", "session.settled"];

    fn rows(moment: &Moment<'_>) -> Result<Vec<NoticeRow>, ProjectionError> {
        let (kind, body) = match moment.event() {
            Event::Session(SessionEvent::Settled { refs, due, prepaid_applied, captured, refund, receivable, .. }) => (
                NoticeKind::Receipt,
                json!({
                    "session_id": refs.session_id, "station_id": refs.station_id, "user_id": refs.user_id, "due_yuan": due,
                    "prepaid_applied_yuan": prepaid_applied, "captured_yuan": captured, "refund_yuan": refund, "receivable_yuan": receivable,
                }),
            ),
            Event::Session(SessionEvent::RecordDisputed { refs, reason, .. }) => (
                NoticeKind::Dispute,
                json!({ "session_id": refs.session_id, "station_id": refs.station_id, "pile_id": refs.pile_id, "reason": reason }),
            ),
            Event::Payment(PaymentEvent::RefundSucceeded { payment_id, refund_id, user_id, amount, .. }) => {
                (NoticeKind::Refund, json!({ "payment_id": payment_id, "refund_id": refund_id, "user_id": user_id, "amount_yuan": amount }))
            }
            Event::Connector(ConnectorEvent::Faulted { connector_id, station_id, code }) => {
                (NoticeKind::Fault, json!({ "connector_id": connector_id, "station_id": station_id, "code": code }))
            }
            _ => return Ok(Vec::new()),
        };
        Ok(vec![NoticeRow {
            position: moment.position(),
            operator_id: moment.operator_id(),
            notice_id: moment.recorded.metadata.event_id,
            kind,
            body,
            occurred_at: moment.occurred_at(),
        }])
    }
}

impl Effects for Notices {
    fn message(row: NoticeRow) -> Message {
        let NoticeRow { position, operator_id, notice_id, kind, body, occurred_at } = row;
        let kind = kind.as_str().to_owned();
        let body = json!({
            "notice_id": notice_id, "kind": kind, "operator_id": operator_id, "position": position, "occurred_at": occurred_at, "about": body,
        });
        Message { position, id: notice_id, kind, body }
    }
}
