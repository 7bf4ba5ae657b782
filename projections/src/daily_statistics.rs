//! Daily statistics: sessions, energy, revenue by kind and occupied time, by station and day of the station's calendar.
//!
//! A session counts whole, on the day on which its bill begins, when it is billed; a corrected bill moves the difference. A bill without lines, of a
//! session that delivered nothing, begins when its session did. Utilisation is the occupied time over the connectors' time, where it is asked.

use jiff::civil::Date;

use domain::event::Event;
use domain::ids::{OperatorId, OrderNumber, StationId};
use domain::log::Position;
use domain::pricing::{Bill, FeeKind};
use domain::session::{SessionEvent, SessionRefs};
use domain::time::Timestamp;
use domain::units::{Energy, Money};

use crate::fold::{Keyed, Moment, ProjectionError};
use crate::row;

row! {
    /// A station's day.
    pub struct DailyStatisticsRow in "daily_statistics" {
        key {
            /// Whose: the tenant.
            operator_id: OperatorId,
            /// At which station.
            station_id: StationId,
            /// On which day, on the station's calendar.
            local_on: Date,
        }
        /// How many sessions were billed.
        session_count: i64,
        /// The energy that they delivered.
        energy_kwh: Energy,
        /// Energy fees (电费), tax included.
        energy_fee_yuan: Money,
        /// Service fees (服务费), tax included.
        service_fee_yuan: Money,
        /// Idle fees (占位费), tax included.
        idle_fee_yuan: Money,
        /// The tax in all of them.
        tax_yuan: Money,
        /// All fees, tax included.
        total_yuan: Money,
        /// For how long vehicles had the connectors.
        occupied_s: i64,
        /// The position that this row holds.
        position: Position,
    }
    index(operator_id, local_on);
}

/// The projection of [`DailyStatisticsRow`].
#[derive(Debug)]
pub struct DailyStatistics;

type Key = (OperatorId, StationId, Date);

impl Keyed for DailyStatistics {
    type Row = DailyStatisticsRow;
    const VERSION: u32 = 2;
    const HANDLES: &'static [&'static str] = &["session.billed", "session.bill_corrected"];

    fn keys(moment: &Moment<'_>) -> Result<Vec<Key>, ProjectionError> {
        let (replaced, billed) = changes(moment)?;
        let mut keys: Vec<Key> = replaced.into_iter().chain(billed).map(|(key, _)| key).collect();
        keys.dedup();
        Ok(keys)
    }

    fn evolve(key: &Key, row: Option<DailyStatisticsRow>, moment: &Moment<'_>) -> Result<Option<DailyStatisticsRow>, ProjectionError> {
        let (replaced, billed) = changes(moment)?;
        let (operator_id, station_id, local_on) = *key;
        let mut row = row.unwrap_or(DailyStatisticsRow {
            operator_id,
            station_id,
            local_on,
            session_count: 0,
            energy_kwh: Energy::ZERO,
            energy_fee_yuan: Money::ZERO,
            service_fee_yuan: Money::ZERO,
            idle_fee_yuan: Money::ZERO,
            tax_yuan: Money::ZERO,
            total_yuan: Money::ZERO,
            occupied_s: 0,
            position: moment.position(),
        });
        if let Some((_, bill)) = replaced.filter(|(on, _)| on == key) {
            add(&mut row, bill, -1);
            row.energy_kwh = row.energy_kwh.since(bill.energy).ok_or_else(|| ProjectionError::no_row(key))?;
        }
        if let Some((_, bill)) = billed.filter(|(on, _)| on == key) {
            add(&mut row, bill, 1);
            row.energy_kwh += bill.energy;
        }
        row.position = moment.position();
        Ok(Some(row))
    }
}

type Change<'a> = Option<(Key, &'a Bill)>;

/// The bill that no longer counts, and the one that does, each with its day.
fn changes<'a>(moment: &Moment<'a>) -> Result<(Change<'a>, Change<'a>), ProjectionError> {
    match moment.event() {
        Event::Session(SessionEvent::Billed { refs, bill, .. }) => Ok((None, Some((key(refs, bill, moment)?, bill)))),
        Event::Session(SessionEvent::BillCorrected { refs, replaced, bill, .. }) => {
            Ok((Some((key(refs, replaced, moment)?, replaced)), Some((key(refs, bill, moment)?, bill))))
        }
        _ => Ok((None, None)),
    }
}

fn key(refs: &SessionRefs, bill: &Bill, moment: &Moment<'_>) -> Result<Key, ProjectionError> {
    let zone = moment.station_zone(refs.station_id)?;
    // What a bill without lines begins with stands in its number: when it is replaced, the same day has to be found again, and the correction happened at another time.
    let begins = bill.lines.iter().map(|line| line.from).min().or_else(|| ordered_at(bill)).unwrap_or(moment.occurred_at());
    Ok((moment.operator_id(), refs.station_id, zone.date(begins)))
}

/// When the session started, by the order number in the bill's.
fn ordered_at(bill: &Bill) -> Option<Timestamp> {
    let (number, _) = bill.bill_number.split_once('-').unwrap_or((&bill.bill_number, ""));
    number.parse::<OrderNumber>().ok()?.started_at()
}

/// All but the energy, which has no sign.
fn add(row: &mut DailyStatisticsRow, bill: &Bill, sign: i64) {
    let signed = |amount: Money| if sign < 0 { -amount } else { amount };
    let begins = bill.lines.iter().map(|line| line.from).min();
    let ends = bill.lines.iter().map(|line| line.until).max();
    row.session_count += sign;
    row.energy_fee_yuan += signed(bill.gross(FeeKind::Energy));
    row.service_fee_yuan += signed(bill.gross(FeeKind::Service));
    row.idle_fee_yuan += signed(bill.gross(FeeKind::Idle));
    row.tax_yuan += signed(bill.fees.iter().map(|fee| fee.tax).sum());
    row.total_yuan += signed(bill.total);
    row.occupied_s += sign * begins.zip(ends).map_or(0, |(begins, ends)| ends.seconds_since(begins));
}
