//! The audit trail: who did what, when, in one row for each event. What was said stays in the log, under the same position.

use uuid::Uuid;

use domain::ids::{CommandId, EventId, OperatorId};
use domain::log::{Position, Revision};
use domain::time::Timestamp;

use crate::fold::{Journal, Moment, ProjectionError};
use crate::row;

row! {
    /// One event, without what it says.
    pub struct AuditRow in "audit_trail" {
        key {
            /// Its place in the log.
            position: Position,
        }
        /// Whose: the tenant.
        operator_id: OperatorId,
        /// Its stored name.
        event_type: String,
        /// Its stream.
        stream: String,
        /// Its place in the stream.
        revision: Revision,
        /// Which.
        event_id: EventId,
        /// The command that became it.
        command_id: CommandId,
        /// The event that caused the command.
        causation_id: Option<EventId>,
        /// One id for all that belongs to one story.
        correlation_id: Uuid,
        /// What kind of party did it: `user`, `partner`, `device`, `system` or `staff`.
        actor_kind: String,
        /// Who did it.
        actor: String,
        /// When the world did it.
        occurred_at: Timestamp,
        /// When we recorded it.
        recorded_at: Timestamp,
    }
    index(operator_id);
    index(operator_id, stream);
    index(operator_id, correlation_id);
}

/// The projection of [`AuditRow`].
#[derive(Debug)]
pub struct AuditTrail;

impl Journal for AuditTrail {
    type Row = AuditRow;
    const VERSION: u32 = 1;
    const HANDLES: &'static [&'static str] = &[
        "connector.came_online",
        "connector.fault_cleared",
        "connector.faulted",
        "connector.occupied",
        "connector.registered",
        "connector.released",
        "connector.retired",
        "connector.went_offline",
        "journal.rules_adopted",
        "key.created",
        "key.revoked",
        "operator.booking_changed",
        "operator.changed",
        "operator.closed",
        "operator.registered",
        "payment.closed",
        "payment.disputed",
        "payment.disputes_closed",
        "payment.failed",
        "payment.initiated",
        "payment.prepared",
        "payment.receipt_accepted",
        "payment.receipt_applied",
        "payment.received_late",
        "payment.refund_disputed",
        "payment.refund_failed",
        "payment.refund_requested",
        "payment.refund_succeeded",
        "payment.succeeded",
        "pile.changed",
        "pile.registered",
        "pile.retired",
        "projection.event_quarantined",
        "projection.swap_approved",
        "session.abandoned",
        "session.authorised",
        "session.bill_corrected",
        "session.billed",
        "session.closed_by_operator",
        "session.discovered",
        "session.faulted",
        "session.meter_disputed",
        "session.meter_read",
        "session.receivable_paid",
        "session.record_accepted",
        "session.record_disputed",
        "session.refused",
        "session.requested",
        "session.settled",
        "session.start_timed_out",
        "session.started",
        "session.starting",
        "session.stop_requested",
        "session.stopped",
        "session.tariff_assigned",
        "session.unplugged",
        "station.changed",
        "station.ownership_changed",
        "station.registered",
        "station.retired",
        "station.tariff_assigned",
        "tariff.version_published",
        "tariff.withdrawn",
        "user.changed",
        "user.closed",
        "user.erased",
        "user.registered",
        "wallet.captured",
        "wallet.credited",
        "wallet.held",
        "wallet.refund_part_failed",
        "wallet.refund_part_succeeded",
        "wallet.refund_requested",
        "wallet.released",
        "wallet.topped_up",
    ];

    fn rows(moment: &Moment<'_>) -> Result<Vec<AuditRow>, ProjectionError> {
        let metadata = &moment.recorded.metadata;
        Ok(vec![AuditRow {
            position: moment.position(),
            operator_id: metadata.operator_id,
            event_type: moment.event_type.to_owned(),
            stream: moment.recorded.stream.as_str().to_owned(),
            revision: moment.recorded.revision,
            event_id: metadata.event_id,
            command_id: metadata.command_id,
            causation_id: metadata.causation_id,
            correlation_id: metadata.correlation_id,
            actor_kind: metadata.actor.kind.as_str().to_owned(),
            actor: metadata.actor.id.as_ref().to_owned(),
            occurred_at: metadata.occurred_at,
            recorded_at: metadata.recorded_at,
        }])
    }
}
