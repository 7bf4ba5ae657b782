//! What a device reports is a fact: kept whatever it says, and judged here.

use super::decide::{Decision, DeviceFact, Discovery, SessionError};
use super::event::{DisputeReason, MeterReading, Oddity, SessionEvent, StopReason, TransactionRecord};
use super::state::{Course, Ending, Session, Terms};
use crate::time::Timestamp;
use crate::units::{Energy, ReportedEnergy};

/// A session longer than this is odd (a day).
const LONG_SECONDS: i64 = 24 * 3600;
/// A record's registers may differ from its energy by this much: some devices add their own losses (云快充 计损电量) to one and not to the other.
const REGISTER_TOLERANCE: &str = "0.0100";
/// How many records that were not believed are remembered, so that each is kept once.
const DISPUTED_MAX: usize = 16;

impl Session {
    /// Facts are kept whatever they say, and judged.
    pub(super) fn report(&self, fact: DeviceFact, discovery: Option<Box<Discovery>>) -> Decision {
        if let Session::Absent = self {
            let Some(discovery) = discovery else { return Err(SessionError::Unknown) };
            let Discovery { refs, order_number, tariff, zone, rated_power } = *discovery;
            let found = SessionEvent::Discovered { refs, order_number, tariff, zone, rated_power };
            let state = Session::Absent.evolve_one(&found);
            let mut events = vec![found];
            events.extend(state.report(fact, None)?);
            return Ok(events);
        }
        Ok(match fact {
            DeviceFact::Started { meter } => self.report_started(meter),
            DeviceFact::Meter { reading } => self.report_meter(reading),
            DeviceFact::Stopped { reason, meter, stopped_at } => self.report_stopped(reason, meter, stopped_at),
            DeviceFact::Faulted { code, faulted_at } => self.report_faulted(code, faulted_at),
            DeviceFact::Unplugged { unplugged_at } => self.report_unplugged(unplugged_at),
            DeviceFact::Record { record } => self.report_record(&record),
        })
    }

    fn report_started(&self, meter: MeterReading) -> Vec<SessionEvent> {
        let Some(terms) = self.terms() else { return vec![] };
        let refs = terms.refs;
        if meter.register.judge().is_err() {
            return vec![SessionEvent::MeterDisputed { session_id: refs.session_id, reading: meter, reason: DisputeReason::NotAnEnergy }];
        }
        match self.course().and_then(|course| course.started) {
            // Devices repeat a start under a new message id until it is confirmed.
            Some(first) if first == meter => vec![],
            Some(_) => {
                vec![SessionEvent::MeterDisputed { session_id: refs.session_id, reading: meter, reason: DisputeReason::ContradictsFirst }]
            }
            None => match self {
                Session::Ended { .. } | Session::Finished { .. } | Session::Billed { .. } => {
                    vec![SessionEvent::MeterDisputed { session_id: refs.session_id, reading: meter, reason: DisputeReason::OutOfOrder }]
                }
                Session::Absent
                | Session::Requested(_)
                | Session::Authorised(_)
                | Session::Starting { .. }
                | Session::NotStarted(_)
                | Session::Charging(_) => vec![SessionEvent::Started { refs, meter }],
            },
        }
    }

    fn report_meter(&self, reading: MeterReading) -> Vec<SessionEvent> {
        let Some(terms) = self.terms() else { return vec![] };
        let session_id = terms.refs.session_id;
        let dispute = |reason| vec![SessionEvent::MeterDisputed { session_id, reading, reason }];
        let Session::Charging(course) = self else {
            // The last reading often comes once more after the stop; that says nothing new.
            let is_known = self.course().is_some_and(|course| course.is_last(&reading));
            return if is_known { vec![] } else { dispute(DisputeReason::NotCharging) };
        };
        if course.is_last(&reading) {
            return vec![];
        }
        match course.judge(&reading) {
            Err(reason) => dispute(reason),
            Ok(energy) => {
                let mut events = vec![SessionEvent::MeterRead { session_id, reading, energy }];
                if !course.is_stop_requested && course.are_funds_used_up(&reading, energy) {
                    events.push(SessionEvent::StopRequested { refs: course.terms.refs, reason: StopReason::FundsExhausted });
                }
                events
            }
        }
    }

    fn report_stopped(&self, reason: StopReason, meter: Option<MeterReading>, stopped_at: Timestamp) -> Vec<SessionEvent> {
        let Some(terms) = self.terms() else { return vec![] };
        let stopped = SessionEvent::Stopped { refs: terms.refs, reason, meter, stopped_at };
        match self {
            Session::Charging(course) => {
                let last = meter.filter(|reading| !course.is_last(reading)).map(|reading| match course.judge(&reading) {
                    Ok(energy) => SessionEvent::MeterRead { session_id: terms.refs.session_id, reading, energy },
                    Err(reason) => SessionEvent::MeterDisputed { session_id: terms.refs.session_id, reading, reason },
                });
                last.into_iter().chain([stopped]).collect()
            }
            // A stop before its start: the record will say what happened.
            Session::Requested(_) | Session::Authorised(_) | Session::Starting { .. } | Session::NotStarted(_) => vec![stopped],
            Session::Ended { how: Ending::Faulted | Ending::Abandoned, .. } => vec![stopped],
            Session::Absent | Session::Ended { how: Ending::Stopped, .. } | Session::Finished { .. } | Session::Billed { .. } => vec![],
        }
    }

    fn report_faulted(&self, code: String, faulted_at: Timestamp) -> Vec<SessionEvent> {
        let Some(terms) = self.terms() else { return vec![] };
        match self {
            Session::Charging(_) | Session::Starting { .. } | Session::Ended { how: Ending::Abandoned, .. } => {
                vec![SessionEvent::Faulted { refs: terms.refs, code, faulted_at }]
            }
            // The connector's own stream keeps the fault; the session has nothing to do with it.
            Session::Absent
            | Session::Requested(_)
            | Session::Authorised(_)
            | Session::NotStarted(_)
            | Session::Ended { how: Ending::Stopped | Ending::Faulted, .. }
            | Session::Finished { .. }
            | Session::Billed { .. } => vec![],
        }
    }

    fn report_unplugged(&self, unplugged_at: Timestamp) -> Vec<SessionEvent> {
        match self.course() {
            Some(course) if course.unplugged_at.is_none() => vec![SessionEvent::Unplugged { refs: course.terms.refs, unplugged_at }],
            Some(_) | None => vec![],
        }
    }

    fn report_record(&self, record: &TransactionRecord) -> Vec<SessionEvent> {
        let Some(terms) = self.terms() else { return vec![] };
        let refs = terms.refs;
        let accepted = |energy, oddities| vec![SessionEvent::RecordAccepted { refs, record: record.clone(), energy, oddities }];
        let dispute = |reason| match self.course() {
            // Each record that is not believed is kept once, however often the device repeats it.
            Some(course) if course.disputed.contains(record) || course.disputed.len() >= DISPUTED_MAX => vec![],
            Some(_) | None => vec![SessionEvent::RecordDisputed { refs, record: record.clone(), reason }],
        };
        match self {
            Session::Finished { basis, .. } | Session::Billed { basis, .. } => match &basis.record {
                // Devices repeat a record until it is confirmed; the same record twice changes nothing.
                Some(first) if first == record => vec![],
                Some(_) => dispute(DisputeReason::ContradictsFirst),
                // It was closed by hand, and here is the truth.
                None => match judge_record(record, None) {
                    Ok(energy) => accepted(energy, oddities(record, energy, terms, true)),
                    Err(reason) => dispute(reason),
                },
            },
            Session::Absent
            | Session::Requested(_)
            | Session::Authorised(_)
            | Session::Starting { .. }
            | Session::NotStarted(_)
            | Session::Charging(_)
            | Session::Ended { .. } => {
                let is_late = match self {
                    Session::NotStarted(terms) => !terms.is_discovered,
                    Session::Ended { how, .. } => *how == Ending::Abandoned,
                    _ => false,
                };
                match judge_record(record, self.course()) {
                    Ok(energy) => accepted(energy, oddities(record, energy, terms, is_late)),
                    Err(reason) => dispute(reason),
                }
            }
        }
    }
}

impl Course {
    /// Whether this is the last believed reading once more.
    fn is_last(&self, reading: &MeterReading) -> bool {
        self.last_register == Some(reading.register) && self.points.last().is_some_and(|point| point.at == reading.read_at)
    }

    /// The energy since the start, or why the reading is not believed.
    fn judge(&self, reading: &MeterReading) -> Result<Energy, DisputeReason> {
        let register = reading.register.judge().map_err(|_| DisputeReason::NotAnEnergy)?;
        let Some(started) = self.started else { return Err(DisputeReason::NotCharging) };
        let last = self.last_register.unwrap_or(started.register);
        if register.value() < started.register.value() {
            return Err(DisputeReason::MeterReset);
        }
        if register.value() < last.value() {
            return Err(DisputeReason::MeterBackwards);
        }
        if self.points.last().is_some_and(|point| reading.read_at < point.at) {
            return Err(DisputeReason::OutOfOrder);
        }
        ReportedEnergy::new(register.value() - started.register.value()).judge().map_err(|_| DisputeReason::NotAnEnergy)
    }

    /// The last believed energy.
    pub(super) fn energy(&self) -> Energy {
        self.points.last().map_or(Energy::ZERO, |point| point.energy)
    }
}

/// The energy that a record stands for, or why it is not believed.
fn judge_record(record: &TransactionRecord, course: Option<&Course>) -> Result<Energy, DisputeReason> {
    let energy = record.energy.judge().map_err(|_| DisputeReason::NotAnEnergy)?;
    if record.ended_at < record.started_at {
        return Err(DisputeReason::EndsBeforeStart);
    }
    let (Ok(from), Ok(to)) = (record.meter_start.judge(), record.meter_end.judge()) else { return Err(DisputeReason::NotAnEnergy) };
    let Some(between) = to.since(from) else { return Err(DisputeReason::RegistersDisagree) };
    let tolerance: Energy = REGISTER_TOLERANCE.parse().unwrap_or(Energy::ZERO);
    if (between.value() - energy.value()).abs() > tolerance.value() {
        return Err(DisputeReason::RegistersDisagree);
    }
    match course {
        Some(course) if energy < course.energy() => Err(DisputeReason::BelowLastReading),
        Some(_) | None => Ok(energy),
    }
}

fn oddities(record: &TransactionRecord, energy: Energy, terms: &Terms, is_late: bool) -> Vec<Oddity> {
    let seconds = record.ended_at.seconds_since(record.started_at);
    // kW × s ≤ kWh × 3600, without a division.
    let is_above_rated = terms
        .rated_power
        .is_some_and(|power| energy.value() * rust_decimal::Decimal::from(3600) > power.value() * rust_decimal::Decimal::from(seconds));
    [
        (energy.is_zero(), Oddity::ZeroEnergy),
        (seconds == 0, Oddity::ZeroDuration),
        (seconds > LONG_SECONDS, Oddity::LongDuration),
        (is_above_rated, Oddity::EnergyAboveRatedPower),
        (terms.is_discovered, Oddity::NotRequested),
        (is_late, Oddity::Late),
    ]
    .into_iter()
    .filter_map(|(applies, oddity)| applies.then_some(oddity))
    .collect()
}
