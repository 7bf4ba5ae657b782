//! Bills: every one that was ever sent, with its lines. A replaced bill stays and says by which one.

use domain::event::Event;
use domain::ids::{OperatorId, SessionId, StationId, UserId};
use domain::log::Position;
use domain::pricing::{Bill, FeeKind};
use domain::session::{PaymentMode, SessionEvent, SessionRefs};
use domain::time::Timestamp;
use domain::units::{Energy, Money};

use crate::fold::{Keyed, Moment, ProjectionError};
use crate::row;

row! {
    /// A bill (账单).
    pub struct BillRow in "bills" {
        key {
            /// Of which session: two of one second can have the same order number.
            session_id: SessionId,
            /// Its number: the order number, `-2` and on for corrections.
            bill_number: String,
        }
        /// Whose: the tenant.
        operator_id: OperatorId,
        /// At which station.
        station_id: StationId,
        /// Who owes it.
        user_id: Option<UserId>,
        /// How it is paid: `prepaid`, `wallet` or `postpaid`.
        mode: String,
        /// When it was made.
        billed_at: Timestamp,
        /// The energy that is billed.
        energy_kwh: Energy,
        /// Its energy fee (电费), tax included.
        energy_fee_yuan: Money,
        /// Its service fee (服务费), tax included.
        service_fee_yuan: Money,
        /// Its idle fee (占位费), tax included.
        idle_fee_yuan: Money,
        /// The tax in it.
        tax_yuan: Money,
        /// The sum of its lines, tax included.
        total_yuan: Money,
        /// Whose the station was, when the bill is booked as an agent's.
        owner_id: Option<OperatorId>,
        /// What of it is the owner's.
        owner_part_yuan: Option<Money>,
        /// What of it is kept as commission, tax included.
        commission_yuan: Option<Money>,
        /// Its lines: interval, quantity, unit price, rule, amount.
        lines: serde_json::Value,
        /// The sums by kind of fee, apart into net and tax.
        fees: serde_json::Value,
        /// The bill that it replaced.
        replaces: Option<String>,
        /// The bill that holds now, if this one does not.
        replaced_by: Option<String>,
        /// Why it replaced the other.
        note: Option<String>,
        /// Whether a generator of sample data made the session up.
        generated: bool,
        /// The position that this row holds.
        position: Position,
    }
    index(operator_id, billed_at);
    index(operator_id, session_id);
    index(operator_id, user_id, billed_at);
    index(operator_id, station_id, billed_at);
}

/// The projection of [`BillRow`].
#[derive(Debug)]
pub struct Bills;

impl Keyed for Bills {
    type Row = BillRow;
    const VERSION: u32 = 3;
    const HANDLES: &'static [&'static str] = &["session.billed", "session.bill_corrected"];

    fn keys(moment: &Moment<'_>) -> Result<Vec<(SessionId, String)>, ProjectionError> {
        Ok(match moment.event() {
            Event::Session(SessionEvent::Billed { refs, bill, .. }) => vec![(refs.session_id, bill.bill_number.clone())],
            Event::Session(SessionEvent::BillCorrected { refs, replaced, bill, .. }) => {
                vec![(refs.session_id, replaced.bill_number.clone()), (refs.session_id, bill.bill_number.clone())]
            }
            _ => vec![],
        })
    }

    fn evolve(key: &(SessionId, String), row: Option<BillRow>, moment: &Moment<'_>) -> Result<Option<BillRow>, ProjectionError> {
        match moment.event() {
            Event::Session(SessionEvent::Billed { refs, mode, bill }) => issued(refs, mode, bill, moment).map(Some),
            Event::Session(SessionEvent::BillCorrected { refs, mode, replaced, bill, note }) => {
                if key.1 == bill.bill_number {
                    let row = issued(refs, mode, bill, moment)?;
                    return Ok(Some(BillRow { replaces: Some(replaced.bill_number.clone()), note: Some(note.clone()), ..row }));
                }
                let row = row.ok_or_else(|| ProjectionError::no_row(key))?;
                Ok(Some(BillRow { replaced_by: Some(bill.bill_number.clone()), position: moment.position(), ..row }))
            }
            _ => Ok(row),
        }
    }
}

fn issued(refs: &SessionRefs, mode: &PaymentMode, bill: &Bill, moment: &Moment<'_>) -> Result<BillRow, ProjectionError> {
    let json = |value: serde_json::Result<serde_json::Value>| value.map_err(|error| ProjectionError::Unknown { what: error.to_string() });
    Ok(BillRow {
        session_id: refs.session_id,
        bill_number: bill.bill_number.clone(),
        operator_id: moment.operator_id(),
        station_id: refs.station_id,
        user_id: refs.user_id,
        mode: mode_word(mode).to_owned(),
        billed_at: moment.occurred_at(),
        energy_kwh: bill.energy,
        energy_fee_yuan: bill.gross(FeeKind::Energy),
        service_fee_yuan: bill.gross(FeeKind::Service),
        idle_fee_yuan: bill.gross(FeeKind::Idle),
        tax_yuan: bill.fees.iter().map(|fee| fee.tax).sum(),
        total_yuan: bill.total,
        owner_id: bill.division.as_ref().map(|division| division.owner_id),
        owner_part_yuan: bill.division.as_ref().map(|division| division.owner_part),
        commission_yuan: bill.division.as_ref().map(|division| division.commission()),
        lines: json(serde_json::to_value(&bill.lines))?,
        fees: json(serde_json::to_value(&bill.fees))?,
        replaces: None,
        replaced_by: None,
        note: None,
        generated: moment.generated(),
        position: moment.position(),
    })
}

/// The word for how a session is paid.
pub(crate) const fn mode_word(mode: &PaymentMode) -> &'static str {
    match mode {
        PaymentMode::Prepaid { .. } => "prepaid",
        PaymentMode::Wallet { .. } => "wallet",
        PaymentMode::Postpaid => "postpaid",
    }
}
