//! Sessions: one row each, for the history, the search and the live view. What it cost in lines stands in `bills`.

use domain::event::Event;
use domain::ids::{ConnectorId, OperatorId, PaymentId, PileId, SessionId, StationId, TariffId, UserId};
use domain::log::{Position, Revision};
use domain::session::{PaymentMode, SessionEvent, SessionRefs, TransactionRecord};
use domain::time::{Timestamp, ZoneName};
use domain::units::{Energy, Money};

use crate::fold::{Keyed, Moment, ProjectionError};
use crate::row;
use crate::value::{word, words};

words! {
    /// Where a session is on its way.
    pub enum SessionStatus {
        /// Somebody wants to charge.
        Requested => "requested",
        /// The money is in order.
        Authorised => "authorised",
        /// It will not come about.
        Refused => "refused",
        /// The device was told to start.
        Starting => "starting",
        /// The device did not start in time.
        StartTimedOut => "start_timed_out",
        /// Energy flows.
        Charging => "charging",
        /// The device reported a fault in the middle of it.
        Faulted => "faulted",
        /// Nothing has been heard of it for too long.
        Abandoned => "abandoned",
        /// Energy no longer flows.
        Stopped => "stopped",
        /// Its record is not believed; people decide.
        Disputed => "disputed",
        /// What it delivered is certain; its price is to come.
        Recorded => "recorded",
        /// It has its price.
        Billed => "billed",
        /// It is paid, or what is left is receivable.
        Settled => "settled",
    }
}

row! {
    /// One charging session (充电过程), from request to settlement.
    pub struct SessionRow in "sessions" {
        key {
            /// Which.
            session_id: SessionId,
        }
        /// Whose station: the tenant.
        operator_id: OperatorId,
        /// The number that people see.
        order_number: Option<String>,
        /// Where it is on its way.
        status: SessionStatus,
        /// How it is paid: `prepaid`, `wallet` or `postpaid`.
        mode: Option<String>,
        /// The driver.
        user_id: Option<UserId>,
        /// The station.
        station_id: StationId,
        /// The pile.
        pile_id: PileId,
        /// The connector.
        connector_id: ConnectorId,
        /// When the ledger first heard of it.
        opened_at: Timestamp,
        /// When charging began, as the record says once there is one.
        started_at: Option<Timestamp>,
        /// When charging ended, as the record says once there is one.
        ended_at: Option<Timestamp>,
        /// When the vehicle left.
        unplugged_at: Option<Timestamp>,
        /// Until when the device may start.
        expires_at: Option<Timestamp>,
        /// The energy: while charging the last reading's, then what is billed.
        energy_kwh: Option<Energy>,
        /// When the meter was last read.
        read_at: Option<Timestamp>,
        /// Why it ended.
        stop_reason: Option<String>,
        /// Why it did not come about.
        refusal_reason: Option<String>,
        /// The device's fault code.
        fault_code: Option<String>,
        /// The device's number for it.
        transaction_number: Option<String>,
        /// What is odd about its record: a list of words.
        oddities: Option<serde_json::Value>,
        /// Why its record or last disputed reading is not believed.
        dispute_reason: Option<String>,
        /// How many facts about it are not believed.
        dispute_count: u32,
        /// What an operator wrote on closing or correcting it.
        note: Option<String>,
        /// Under which tariff.
        tariff_id: Option<TariffId>,
        /// Which version of it.
        tariff_version: Option<u32>,
        /// The station's zone.
        zone: Option<ZoneName>,
        /// The payment that came before it.
        payment_id: Option<PaymentId>,
        /// What was prepaid, or held in the wallet.
        authorised_yuan: Option<Money>,
        /// The number of the bill that holds.
        bill_number: Option<String>,
        /// What the bill comes to, tax included.
        total_yuan: Option<Money>,
        /// What has been paid towards it: prepayment, wallet and later payments.
        paid_yuan: Money,
        /// What has been decided to go back.
        refund_yuan: Money,
        /// What is still to be paid.
        receivable_yuan: Money,
        /// Whether only a device knew of it.
        discovered: bool,
        /// Whether a generator of sample data asked for it.
        generated: bool,
        /// When the ledger last heard of it.
        updated_at: Timestamp,
        /// The revision of its stream that this row holds.
        revision: Revision,
        /// The position that this row holds.
        position: Position,
    }
    index(operator_id, opened_at);
    index(operator_id, user_id, opened_at);
    index(operator_id, station_id, opened_at);
    index(operator_id, pile_id, opened_at);
    index(operator_id, status, opened_at);
    index(operator_id, order_number);
    words(order_number, transaction_number, note, dispute_reason, fault_code);
}

/// The projection of [`SessionRow`].
#[derive(Debug)]
pub struct Sessions;

impl Keyed for Sessions {
    type Row = SessionRow;
    const VERSION: u32 = 1;
    const HANDLES: &'static [&'static str] = HANDLES;

    fn keys(moment: &Moment<'_>) -> Result<Vec<(SessionId,)>, ProjectionError> {
        let Event::Session(event) = moment.event() else { return Ok(Vec::new()) };
        Ok(vec![(session_id(event),)])
    }

    fn evolve(key: &(SessionId,), row: Option<SessionRow>, moment: &Moment<'_>) -> Result<Option<SessionRow>, ProjectionError> {
        let Event::Session(event) = moment.event() else { return Ok(row) };
        let mut row = match (row, refs(event)) {
            (Some(row), _) => row,
            (None, Some(refs)) => opened(refs, moment),
            (None, None) => return Err(ProjectionError::no_row(key)),
        };
        row.updated_at = moment.occurred_at();
        row.revision = moment.recorded.revision;
        row.position = moment.position();
        apply(&mut row, event);
        Ok(Some(row))
    }
}

/// All events of a session.
pub(crate) const HANDLES: &[&str] = &[
    "session.requested",
    "session.discovered",
    "session.authorised",
    "session.refused",
    "session.starting",
    "session.start_timed_out",
    "session.started",
    "session.meter_read",
    "session.meter_disputed",
    "session.stop_requested",
    "session.stopped",
    "session.tariff_assigned",
    "session.faulted",
    "session.abandoned",
    "session.unplugged",
    "session.record_accepted",
    "session.record_disputed",
    "session.closed_by_operator",
    "session.billed",
    "session.bill_corrected",
    "session.settled",
    "session.receivable_paid",
];

/// Which session an event is of.
pub(crate) fn session_id(event: &SessionEvent) -> SessionId {
    match event {
        SessionEvent::MeterRead { session_id, .. } | SessionEvent::MeterDisputed { session_id, .. } => *session_id,
        other => refs(other).map_or(SessionId::from(uuid::Uuid::nil()), |refs| refs.session_id),
    }
}

/// Who and where, if the event says so.
pub(crate) fn refs(event: &SessionEvent) -> Option<&SessionRefs> {
    match event {
        SessionEvent::MeterRead { .. } | SessionEvent::MeterDisputed { .. } => None,
        SessionEvent::Requested { refs, .. }
        | SessionEvent::Discovered { refs, .. }
        | SessionEvent::Authorised { refs }
        | SessionEvent::Refused { refs, .. }
        | SessionEvent::Starting { refs, .. }
        | SessionEvent::StartTimedOut { refs, .. }
        | SessionEvent::Started { refs, .. }
        | SessionEvent::StopRequested { refs, .. }
        | SessionEvent::Stopped { refs, .. }
        | SessionEvent::Faulted { refs, .. }
        | SessionEvent::Abandoned { refs }
        | SessionEvent::TariffAssigned { refs, .. }
        | SessionEvent::Unplugged { refs, .. }
        | SessionEvent::RecordAccepted { refs, .. }
        | SessionEvent::RecordDisputed { refs, .. }
        | SessionEvent::ClosedByOperator { refs, .. }
        | SessionEvent::Billed { refs, .. }
        | SessionEvent::BillCorrected { refs, .. }
        | SessionEvent::Settled { refs, .. }
        | SessionEvent::ReceivablePaid { refs, .. } => Some(refs),
    }
}

fn opened(refs: &SessionRefs, moment: &Moment<'_>) -> SessionRow {
    SessionRow {
        session_id: refs.session_id,
        operator_id: moment.operator_id(),
        order_number: None,
        status: SessionStatus::Requested,
        mode: None,
        user_id: refs.user_id,
        station_id: refs.station_id,
        pile_id: refs.pile_id,
        connector_id: refs.connector_id,
        opened_at: moment.occurred_at(),
        started_at: None,
        ended_at: None,
        unplugged_at: None,
        expires_at: None,
        energy_kwh: None,
        read_at: None,
        stop_reason: None,
        refusal_reason: None,
        fault_code: None,
        transaction_number: None,
        oddities: None,
        dispute_reason: None,
        dispute_count: 0,
        note: None,
        tariff_id: None,
        tariff_version: None,
        zone: None,
        payment_id: None,
        authorised_yuan: None,
        bill_number: None,
        total_yuan: None,
        paid_yuan: Money::ZERO,
        refund_yuan: Money::ZERO,
        receivable_yuan: Money::ZERO,
        discovered: false,
        generated: moment.generated(),
        updated_at: moment.occurred_at(),
        revision: moment.recorded.revision,
        position: moment.position(),
    }
}

fn apply(row: &mut SessionRow, event: &SessionEvent) {
    match event {
        SessionEvent::Requested { order_number, mode, tariff, zone, .. } => {
            row.order_number = Some(order_number.to_string());
            row.tariff_id = Some(tariff.tariff_id);
            row.tariff_version = Some(tariff.version);
            row.zone = Some(zone.clone());
            paid_by(row, mode);
            row.status = SessionStatus::Requested;
        }
        SessionEvent::Discovered { order_number, tariff, zone, .. } => {
            row.order_number = Some(order_number.to_string());
            row.tariff_id = tariff.as_ref().map(|tariff| tariff.tariff_id);
            row.tariff_version = tariff.as_ref().map(|tariff| tariff.version);
            row.zone = Some(zone.clone());
            row.discovered = true;
            paid_by(row, &PaymentMode::Postpaid);
        }
        SessionEvent::Authorised { .. } => row.status = SessionStatus::Authorised,
        SessionEvent::Refused { reason, .. } => {
            row.refusal_reason = Some(word(reason));
            row.status = SessionStatus::Refused;
        }
        SessionEvent::Starting { expires_at, .. } => {
            row.expires_at = Some(*expires_at);
            row.status = SessionStatus::Starting;
        }
        SessionEvent::StartTimedOut { .. } => row.status = SessionStatus::StartTimedOut,
        SessionEvent::Started { meter, .. } => {
            row.started_at = Some(meter.read_at);
            row.read_at = Some(meter.read_at);
            row.energy_kwh = Some(Energy::ZERO);
            comes_to(row, SessionStatus::Charging);
        }
        SessionEvent::MeterRead { reading, energy, .. } => {
            row.read_at = Some(reading.read_at);
            row.energy_kwh = Some(*energy);
        }
        SessionEvent::MeterDisputed { reason, .. } => disputed(row, word(reason)),
        SessionEvent::StopRequested { reason, .. } => row.stop_reason = Some(word(reason)),
        SessionEvent::Stopped { reason, stopped_at, .. } => {
            row.stop_reason = Some(word(reason));
            row.ended_at = Some(*stopped_at);
            comes_to(row, SessionStatus::Stopped);
        }
        SessionEvent::Faulted { code, .. } => {
            row.fault_code = Some(code.clone());
            comes_to(row, SessionStatus::Faulted);
        }
        SessionEvent::Abandoned { .. } => comes_to(row, SessionStatus::Abandoned),
        SessionEvent::TariffAssigned { tariff, .. } => {
            row.tariff_id = Some(tariff.tariff_id);
            row.tariff_version = Some(tariff.version);
        }
        SessionEvent::Unplugged { unplugged_at, .. } => row.unplugged_at = Some(*unplugged_at),
        SessionEvent::RecordAccepted { record, energy, oddities, .. } => {
            claimed(row, record);
            row.energy_kwh = Some(*energy);
            row.oddities = if oddities.is_empty() { None } else { serde_json::to_value(oddities).ok() };
            row.status = SessionStatus::Recorded;
        }
        SessionEvent::RecordDisputed { record, reason, .. } => {
            disputed(row, word(reason));
            // A record that contradicts the one that was billed changes nothing but the count.
            if row.status < SessionStatus::Recorded {
                claimed(row, record);
                row.status = SessionStatus::Disputed;
            }
        }
        SessionEvent::ClosedByOperator { energy, ended_at, note, .. } => {
            row.energy_kwh = Some(*energy);
            row.ended_at = Some(*ended_at);
            row.note = Some(note.clone());
            row.status = SessionStatus::Recorded;
        }
        SessionEvent::Billed { mode, bill, .. } => {
            paid_by(row, mode);
            priced(row, bill);
            row.status = SessionStatus::Billed;
        }
        SessionEvent::BillCorrected { bill, note, .. } => {
            priced(row, bill);
            row.note = Some(note.clone());
            row.status = SessionStatus::Billed;
        }
        SessionEvent::Settled { due, refund, receivable, .. } => {
            row.paid_yuan = *due - *receivable;
            row.refund_yuan += *refund;
            row.receivable_yuan = *receivable;
            row.status = SessionStatus::Settled;
        }
        SessionEvent::ReceivablePaid { amount, excess, receivable, .. } => {
            row.paid_yuan += *amount;
            row.refund_yuan += *excess;
            row.receivable_yuan = *receivable;
        }
    }
}

/// What a device tells late changes nothing about a session whose energy is certain.
fn comes_to(row: &mut SessionRow, status: SessionStatus) {
    if row.status < SessionStatus::Recorded {
        row.status = status;
    }
}

fn paid_by(row: &mut SessionRow, mode: &PaymentMode) {
    let (word, payment_id, authorised) = match mode {
        PaymentMode::Prepaid { payment_id, amount, .. } => ("prepaid", Some(*payment_id), Some(*amount)),
        PaymentMode::Wallet { hold } => ("wallet", None, Some(*hold)),
        PaymentMode::Postpaid => ("postpaid", None, None),
    };
    row.mode = Some(word.to_owned());
    row.payment_id = payment_id;
    row.authorised_yuan = authorised;
}

fn claimed(row: &mut SessionRow, record: &TransactionRecord) {
    row.transaction_number = Some(record.transaction_number.clone());
    row.started_at = Some(record.started_at);
    row.ended_at = Some(record.ended_at);
    row.stop_reason = Some(word(&record.reason));
}

fn disputed(row: &mut SessionRow, reason: String) {
    row.dispute_reason = Some(reason);
    row.dispute_count += 1;
}

fn priced(row: &mut SessionRow, bill: &domain::pricing::Bill) {
    row.bill_number = Some(bill.bill_number.clone());
    row.total_yuan = Some(bill.total);
    row.energy_kwh = Some(bill.energy);
}
