//! What a device reports is a fact: kept whatever it says, and judged here. The same fact again changes nothing, whatever message it comes in.

use rust_decimal::Decimal;

use super::decide::{Decision, DeviceFact, Discovery, SessionError};
use super::event::{DisputeReason, MeterReading, Oddity, SessionEvent, SessionRefs, StopReason, TransactionRecord};
use super::state::{Basis, Course, Ending, Session, Terms};
use crate::pricing::EnergyPoint;
use crate::time::Timestamp;
use crate::units::{Energy, Power};

/// A session longer than this is odd (a day).
const LONG_MICROS: i64 = 24 * HOUR_MICROS;
const HOUR_MICROS: i64 = 3_600_000_000;
/// A record's registers may differ from its energy by this much (0.0100 kWh): some devices add their own losses (云快充 计损电量) to one and not to
/// the other.
const REGISTER_TOLERANCE: Decimal = Decimal::from_parts(100, 0, 0, false, Energy::SCALE);

/// A device's clock may be ahead of ours by this much (a quarter of an hour) before what it dates is not believed.
const AHEAD_SECONDS: i64 = 900;
/// A record that is reported later than this after its end is odd (a month).
const LONG_AGO_SECONDS: i64 = 31 * 86_400;

/// Whether something is dated so much later than it was received that its clock is not believed.
#[must_use]
pub fn is_ahead(claimed: Timestamp, received_at: Timestamp) -> bool {
    claimed.seconds_since(received_at) > AHEAD_SECONDS
}

impl Session {
    /// What is dated in the future happened at the latest when we heard of it: a reading is believed at that time, what the device said of it is kept beside it as
    /// disputed, a record with such a time is disputed as a whole, since its prices would go by that clock, and a vehicle left when that was reported, with the
    /// claim in the same event, since idle time is billed until then. A stop and a fault keep their times: no price goes by them.
    pub(super) fn receive(&self, fact: DeviceFact, received_at: Timestamp, discovery: Option<Box<Discovery>>) -> Decision {
        let believed = |reading: MeterReading| MeterReading { read_at: received_at, ..reading };
        let ahead = |reading: &MeterReading| is_ahead(reading.read_at, received_at);
        let (fact, claim) = match fact {
            DeviceFact::Started { meter } if ahead(&meter) => (DeviceFact::Started { meter: believed(meter) }, Some(meter)),
            DeviceFact::Meter { reading } if ahead(&reading) => (DeviceFact::Meter { reading: believed(reading) }, Some(reading)),
            DeviceFact::Stopped { reason, meter: Some(meter), stopped_at } if ahead(&meter) => {
                (DeviceFact::Stopped { reason, meter: Some(believed(meter)), stopped_at }, Some(meter))
            }
            DeviceFact::Started { .. }
            | DeviceFact::Meter { .. }
            | DeviceFact::Stopped { .. }
            | DeviceFact::Faulted { .. }
            | DeviceFact::Unplugged { .. }
            | DeviceFact::Record { .. } => (fact, None),
        };
        let Some(claim) = claim else { return self.report(fact, discovery, Some(received_at)) };
        // It has been judged before, at the time when it first came.
        if self.course().is_some_and(|course| course.disputed_readings.contains(&claim)) {
            return Ok(vec![]);
        }
        let mut events = self.report(fact, discovery, Some(received_at))?;
        let after = events.iter().fold(self.clone(), Session::evolve_one);
        events.extend(after.course().into_iter().flat_map(|course| course.dispute(claim, DisputeReason::InTheFuture)));
        Ok(events)
    }

    /// Facts are kept whatever they say, and judged; by the time they were received at as well, when that is known.
    pub(super) fn report(&self, fact: DeviceFact, discovery: Option<Box<Discovery>>, received_at: Option<Timestamp>) -> Decision {
        match self {
            Session::Absent => discover(fact, *discovery.ok_or(SessionError::Unknown)?, received_at),
            Session::Requested(terms) | Session::Authorised(terms) | Session::Starting { terms, .. } | Session::NotStarted(terms) => {
                Ok(self.report_early(terms, fact, received_at))
            }
            Session::Charging(course)
            | Session::Ended { course, .. }
            | Session::Finished { course, .. }
            | Session::Billed { course, .. } => Ok(self.report_on(course, fact, received_at)),
        }
    }

    /// The first that is heard of it from the device.
    fn report_early(&self, terms: &Terms, fact: DeviceFact, received_at: Option<Timestamp>) -> Vec<SessionEvent> {
        let refs = terms.refs;
        match fact {
            // A reading shows that energy flows: the start has been lost on its way, or comes later.
            DeviceFact::Started { meter } | DeviceFact::Meter { reading: meter } => self.start(refs, meter),
            // A stop before its start: the record will say what happened.
            DeviceFact::Stopped { reason, meter, stopped_at } => vec![SessionEvent::Stopped { refs, reason, meter, stopped_at }],
            // Nothing has been charged. The connector's own stream keeps the fault; if it keeps the device from starting, the start times out and the money
            // goes back.
            DeviceFact::Faulted { .. } | DeviceFact::Unplugged { .. } => vec![],
            DeviceFact::Record { record } => match judge_record(&record, terms, None, received_at) {
                Ok(energy) => {
                    let is_late = matches!(self, Session::NotStarted(_)) && !terms.is_discovered;
                    let oddities = oddities(&record, energy, terms, is_late, received_at);
                    vec![SessionEvent::RecordAccepted { refs, record, energy, oddities }]
                }
                Err(reason) => ended_by(refs, at_the_latest(record.ended_at, received_at), record, reason),
            },
        }
    }

    fn start(&self, refs: SessionRefs, meter: MeterReading) -> Vec<SessionEvent> {
        let mut events = vec![SessionEvent::Started { refs, meter }];
        // Meters that do not know their register say -1. Energy flows all the same, and is counted from the first register that is believed.
        if meter.register.judge().is_err() {
            events.push(SessionEvent::MeterDisputed { session_id: refs.session_id, reading: meter, reason: DisputeReason::NotAnEnergy });
        }
        events.extend(self.must_stop_at_once().map(|reason| SessionEvent::StopRequested { refs, reason }));
        events
    }

    /// Why a session that starts now is to be stopped again.
    fn must_stop_at_once(&self) -> Option<StopReason> {
        match self {
            Session::NotStarted(terms) => (!terms.is_discovered).then_some(StopReason::StartedLate),
            Session::Starting { stop_requested, .. } => *stop_requested,
            Session::Requested(terms) => terms.mode.funds().map(|_| StopReason::FundsExhausted),
            Session::Absent
            | Session::Authorised(_)
            | Session::Charging(_)
            | Session::Ended { .. }
            | Session::Finished { .. }
            | Session::Billed { .. } => None,
        }
    }

    fn report_on(&self, course: &Course, fact: DeviceFact, received_at: Option<Timestamp>) -> Vec<SessionEvent> {
        let refs = course.terms.refs;
        match fact {
            DeviceFact::Started { meter } => {
                let reason = if course.started.is_some() { DisputeReason::ContradictsFirst } else { DisputeReason::OutOfOrder };
                course.dispute(meter, reason)
            }
            DeviceFact::Meter { reading } if self.may_be_charging() => {
                let mut events = course.read(reading);
                if let [SessionEvent::MeterRead { energy, .. }] = *events
                    && !course.is_stop_requested
                    && course.are_funds_used_up(EnergyPoint { at: reading.read_at, energy })
                {
                    events.push(SessionEvent::StopRequested { refs, reason: StopReason::FundsExhausted });
                }
                events
            }
            DeviceFact::Meter { reading } => course.dispute(reading, DisputeReason::NotCharging),
            DeviceFact::Stopped { reason, meter, stopped_at } if self.may_be_charging() => {
                let last = meter.map(|reading| course.read(reading)).into_iter().flatten();
                last.chain([SessionEvent::Stopped { refs, reason, meter, stopped_at }]).collect()
            }
            DeviceFact::Stopped { reason, meter, stopped_at } if course.stopped_at.is_none() && self.basis().is_none() => {
                vec![SessionEvent::Stopped { refs, reason, meter, stopped_at }]
            }
            // Once it has ended, the connector's own stream keeps the fault; the session has nothing to do with it.
            DeviceFact::Faulted { code, faulted_at } if self.may_be_charging() => vec![SessionEvent::Faulted { refs, code, faulted_at }],
            DeviceFact::Unplugged { unplugged_at } if course.unplugged_at.is_none() => {
                let believed = at_the_latest(unplugged_at, received_at);
                let claimed_at = (believed != unplugged_at).then_some(unplugged_at);
                vec![SessionEvent::Unplugged { refs, unplugged_at: believed, claimed_at }]
            }
            DeviceFact::Stopped { .. } | DeviceFact::Faulted { .. } | DeviceFact::Unplugged { .. } => vec![],
            DeviceFact::Record { record } => self.report_record(course, record, received_at),
        }
    }

    /// Energy flows, as far as anybody knows. Silence alone does not end it: a device that was offline goes on reporting afterwards.
    fn may_be_charging(&self) -> bool {
        match self {
            Session::Charging(_) => true,
            Session::Ended { course, how: Ending::Abandoned } => course.ended_at().is_none(),
            Session::Absent
            | Session::Requested(_)
            | Session::Authorised(_)
            | Session::Starting { .. }
            | Session::NotStarted(_)
            | Session::Ended { how: Ending::Stopped | Ending::Faulted, .. }
            | Session::Finished { .. }
            | Session::Billed { .. } => false,
        }
    }

    fn report_record(&self, course: &Course, record: TransactionRecord, received_at: Option<Timestamp>) -> Vec<SessionEvent> {
        let terms = &course.terms;
        let refs = terms.refs;
        let first = self.basis().and_then(|basis| basis.record.as_ref());
        // Devices repeat a record until it is confirmed. One that was not believed stays so, also after an operator has decided the dispute.
        if first == Some(&record) || course.disputed_records.contains(&record) {
            return vec![];
        }
        if first.is_some() {
            return vec![SessionEvent::RecordDisputed { refs, record, reason: DisputeReason::ContradictsFirst }];
        }
        match judge_record(&record, terms, Some(course), received_at) {
            Ok(energy) => {
                let is_closed_by_hand = self.basis().is_some();
                let oddities = oddities(&record, energy, terms, course.was_given_up || is_closed_by_hand, received_at);
                vec![SessionEvent::RecordAccepted { refs, record, energy, oddities }]
            }
            Err(reason) if self.may_be_charging() => {
                let ended_at = at_the_latest(record.ended_at, received_at);
                let last = course.points.last().map_or(ended_at, |point| point.at);
                ended_by(refs, ended_at.max(last), record, reason)
            }
            Err(reason) => vec![SessionEvent::RecordDisputed { refs, record, reason }],
        }
    }
}

/// A session that nobody has heard of. A fault or an unplugging alone is none: nothing was charged, and the connector's own stream keeps it.
fn discover(fact: DeviceFact, discovery: Discovery, received_at: Option<Timestamp>) -> Decision {
    if let DeviceFact::Faulted { .. } | DeviceFact::Unplugged { .. } = fact {
        return Ok(vec![]);
    }
    let Discovery { refs, order_number, tariff, zone, rated_power, agency } = discovery;
    let found = SessionEvent::Discovered { refs, order_number, tariff, zone, rated_power, agency };
    let facts = Session::Absent.evolve_one(&found).report(fact, None, received_at)?;
    Ok([found].into_iter().chain(facts).collect())
}

/// A record comes at the end. Not believed, it still says that energy no longer flows, so that the session does not stay charging until somebody
/// wonders.
fn ended_by(refs: SessionRefs, stopped_at: Timestamp, record: TransactionRecord, reason: DisputeReason) -> Vec<SessionEvent> {
    let stopped = SessionEvent::Stopped { refs, reason: record.reason, meter: None, stopped_at };
    vec![stopped, SessionEvent::RecordDisputed { refs, record, reason }]
}

/// When something happened that a device dates like this: at the latest, when it came.
fn at_the_latest(claimed: Timestamp, received_at: Option<Timestamp>) -> Timestamp {
    received_at.filter(|received_at| is_ahead(claimed, *received_at)).unwrap_or(claimed)
}

impl Course {
    /// Whether a reading has been reported before, believed or not.
    fn knows(&self, reading: &MeterReading) -> bool {
        let is_believed = || {
            let energy = self.first_register.and_then(|first| reading.register.judge().ok()?.since(first));
            energy.is_some_and(|energy| self.points.iter().rev().any(|point| *point == EnergyPoint { at: reading.read_at, energy }))
        };
        self.started == Some(*reading) || self.disputed_readings.contains(reading) || is_believed()
    }

    /// A reading while energy flows. A message without one changes nothing: the last energy stands.
    fn read(&self, reading: MeterReading) -> Vec<SessionEvent> {
        match self.judge(&reading) {
            Ok(_) if self.knows(&reading) => vec![],
            Ok(energy) => vec![SessionEvent::MeterRead { session_id: self.terms.refs.session_id, reading, energy }],
            Err(reason) => self.dispute(reading, reason),
        }
    }

    fn dispute(&self, reading: MeterReading, reason: DisputeReason) -> Vec<SessionEvent> {
        if self.knows(&reading) {
            return vec![];
        }
        vec![SessionEvent::MeterDisputed { session_id: self.terms.refs.session_id, reading, reason }]
    }

    /// The energy since the start, or why the reading is not believed.
    fn judge(&self, reading: &MeterReading) -> Result<Energy, DisputeReason> {
        let register = reading.register.judge().map_err(|_| DisputeReason::NotAnEnergy)?;
        // Asked first: the register of an old reading is a lower one, and nothing is wrong with the meter.
        if self.points.last().is_some_and(|point| reading.read_at < point.at) {
            return Err(DisputeReason::OutOfOrder);
        }
        let energy = register.since(self.first_register.unwrap_or(register)).ok_or(DisputeReason::MeterReset)?;
        if self.last_register.is_some_and(|last| register < last) {
            return Err(DisputeReason::MeterBackwards);
        }
        Ok(energy)
    }

    /// The last believed energy.
    pub(super) fn energy(&self) -> Energy {
        self.points.last().map_or(Energy::ZERO, |point| point.energy)
    }
}

/// The energy that a record stands for, or why it is not believed.
fn judge_record(
    record: &TransactionRecord,
    terms: &Terms,
    course: Option<&Course>,
    received_at: Option<Timestamp>,
) -> Result<Energy, DisputeReason> {
    let energy = record.energy.judge().map_err(|_| DisputeReason::NotAnEnergy)?;
    if received_at.is_some_and(|received_at| is_ahead(record.started_at.max(record.ended_at), received_at)) {
        return Err(DisputeReason::InTheFuture);
    }
    if record.ended_at < record.started_at {
        return Err(DisputeReason::EndsBeforeStart);
    }
    let (Ok(from), Ok(to)) = (record.meter_start.judge(), record.meter_end.judge()) else { return Err(DisputeReason::NotAnEnergy) };
    let between = to.since(from).ok_or(DisputeReason::RegistersDisagree)?;
    if (between.value() - energy.value()).abs() > REGISTER_TOLERANCE {
        return Err(DisputeReason::RegistersDisagree);
    }
    if course.is_some_and(|course| energy < course.energy()) {
        return Err(DisputeReason::BelowLastReading);
    }
    // Asked here, where a person still hears of it: a basis that cannot be billed would leave the session without a bill for ever.
    let basis = Basis { started_at: record.started_at, ended_at: record.ended_at, energy, record: None };
    let readings = course.map_or(&[][..], |course| &course.points);
    match terms.bill(&basis, readings.iter().copied(), None, String::new()) {
        Ok(_) => Ok(energy),
        Err(_) => Err(DisputeReason::Unpriceable),
    }
}

fn oddities(record: &TransactionRecord, energy: Energy, terms: &Terms, is_late: bool, received_at: Option<Timestamp>) -> Vec<Oddity> {
    let is_long_ago = received_at.is_some_and(|received_at| received_at.seconds_since(record.ended_at) > LONG_AGO_SECONDS);
    let micros = record.ended_at.micros() - record.started_at.micros();
    // kWh × an hour ≤ kW × the time, without a division.
    let most = |power: Power| power.value() * Decimal::from(micros);
    let is_above_rated = terms.rated_power.is_some_and(|power| energy.value() * Decimal::from(HOUR_MICROS) > most(power));
    [
        (energy.is_zero(), Oddity::ZeroEnergy),
        (micros == 0, Oddity::ZeroDuration),
        (micros > LONG_MICROS, Oddity::LongDuration),
        (is_above_rated, Oddity::EnergyAboveRatedPower),
        (terms.is_discovered, Oddity::NotRequested),
        (is_late, Oddity::Late),
        (is_long_ago, Oddity::LongAgo),
    ]
    .into_iter()
    .filter_map(|(applies, oddity)| applies.then_some(oddity))
    .collect()
}
