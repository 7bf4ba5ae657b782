//! What may be asked of a session, what may be reported of it, and what comes of that.

use super::event::{
    DisputeReason, MeterReading, Oddity, PaymentMode, RefusalReason, SessionEvent, SessionRefs, StopReason, TransactionRecord,
};
use super::state::{Basis, Course, Ending, Paid, Session, Terms};
use crate::ids::{OrderNumber, PaymentId};
use crate::pricing::{self, Bill, EnergyPoint, PricingError, Usage};
use crate::tariff::TariffSnapshot;
use crate::time::{Timestamp, ZoneName};
use crate::units::{Energy, Money, Power, ReportedEnergy};

/// A session longer than this is odd (a day).
const LONG_SECONDS: i64 = 24 * 3600;
/// A record's registers may differ from its energy by this much: some devices add their own losses (云快充 计损电量) to one and not to the other.
const REGISTER_TOLERANCE: &str = "0.0100";
/// How many records that were not believed are remembered, so that each is kept once.
const DISPUTED_MAX: usize = 16;
/// An operator's note is at most this long.
const NOTE_CHARS_MAX: usize = 500;

/// What a session is asked or told.
#[derive(Debug, Clone, PartialEq)]
pub enum SessionCommand {
    /// Somebody wants to charge.
    Request(Box<Request>),
    /// The money is in order.
    Authorise,
    /// It shall not come about.
    Refuse {
        /// Why.
        reason: RefusalReason,
    },
    /// The connector is ours: the device is to be told.
    BeginStart {
        /// After this the device must not start any more.
        expires_at: Timestamp,
    },
    /// The device has not answered in time.
    TimeOutStart,
    /// Somebody wants it to end.
    RequestStop {
        /// Why.
        reason: StopReason,
    },
    /// A device reports. `discovery` is there for a session that nobody has heard of.
    Report {
        /// What it reports.
        fact: DeviceFact,
        /// Where it belongs, when it is unknown.
        discovery: Option<Box<Discovery>>,
    },
    /// Nothing has been heard of it for too long.
    Abandon,
    /// An operator ends it by hand, or decides a dispute.
    CloseByOperator {
        /// The energy to be billed.
        energy: Energy,
        /// When charging ended.
        ended_at: Timestamp,
        /// Why.
        note: String,
    },
    /// Price it, when all that its price needs is there; correct the bill, when its basis has changed.
    Bill {
        /// Also while the vehicle keeps the connector: idle time counts until now.
        plugged_until: Option<Timestamp>,
    },
    /// Apply what is there to the bill.
    Settle {
        /// What has been captured from the wallet for it.
        captured: Money,
    },
    /// A later payment for it has arrived.
    PayReceivable {
        /// Which.
        payment_id: PaymentId,
        /// How much.
        amount: Money,
    },
}

/// What a request for a session says.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Who and where.
    pub refs: SessionRefs,
    /// The number that people see.
    pub order_number: OrderNumber,
    /// How it will be paid.
    pub mode: PaymentMode,
    /// Its prices.
    pub tariff: TariffSnapshot,
    /// The station's zone.
    pub zone: ZoneName,
    /// The most that the connector gives.
    pub rated_power: Option<Power>,
}

/// What is known of a session that only a device has heard of.
#[derive(Debug, Clone, PartialEq)]
pub struct Discovery {
    /// Who and where.
    pub refs: SessionRefs,
    /// The number that people see.
    pub order_number: OrderNumber,
    /// The prices in force at the station.
    pub tariff: Option<TariffSnapshot>,
    /// The station's zone.
    pub zone: ZoneName,
    /// The most that the connector gives.
    pub rated_power: Option<Power>,
}

/// What a device reports of a session: facts, whatever they say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceFact {
    /// Energy flows.
    Started {
        /// The first reading.
        meter: MeterReading,
    },
    /// A reading.
    Meter {
        /// What was read.
        reading: MeterReading,
    },
    /// Energy no longer flows.
    Stopped {
        /// Why.
        reason: StopReason,
        /// The last reading.
        meter: Option<MeterReading>,
        /// When.
        stopped_at: Timestamp,
    },
    /// Something broke.
    Faulted {
        /// The device's own code.
        code: String,
        /// When.
        faulted_at: Timestamp,
    },
    /// The vehicle left.
    Unplugged {
        /// When.
        unplugged_at: Timestamp,
    },
    /// What the device claims at the end.
    Record {
        /// The claim.
        record: TransactionRecord,
    },
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The id is in use.
    #[error("the session exists already")]
    AlreadyRequested,
    /// Nobody has heard of it.
    #[error("there is no such session")]
    Unknown,
    /// It has been refused or has timed out; money that came for it goes back.
    #[error("the session did not come about")]
    DidNotStart,
    /// It cannot be taken back any more; stop it.
    #[error("the session has begun; it can only be stopped")]
    AlreadyStarted,
    /// There is nothing to stop.
    #[error("the session is not charging")]
    NotCharging,
    /// Its basis is settled; a device's true record is the only thing that can change it.
    #[error("the session is finished")]
    AlreadyFinished,
    /// It has no bill yet.
    #[error("the session has not been billed")]
    NotBilled,
    /// The station had no tariff: it cannot be priced.
    #[error("the session has no tariff; assign one to the station")]
    NoTariff,
    /// What is set aside must be more than nothing.
    #[error("{amount} cannot be set aside for a session")]
    AmountNotPositive {
        /// What was asked.
        amount: Money,
    },
    /// Somebody will ask why.
    #[error("closing by hand needs a note of 1 to {NOTE_CHARS_MAX} characters")]
    NoteMissing,
    /// An end before the beginning.
    #[error("the session began at {started_at}; it cannot have ended at {ended_at}")]
    EndsBeforeStart {
        /// The beginning.
        started_at: Timestamp,
        /// The end that was given.
        ended_at: Timestamp,
    },
    /// It cannot be priced.
    #[error(transparent)]
    Price(#[from] PricingError),
}

type Decision = Result<Vec<SessionEvent>, SessionError>;

impl Session {
    pub(super) fn decide_one(&self, command: SessionCommand) -> Decision {
        match command {
            SessionCommand::Request(request) => self.request(*request),
            SessionCommand::Authorise => self.authorise(),
            SessionCommand::Refuse { reason } => self.refuse(reason),
            SessionCommand::BeginStart { expires_at } => self.begin_start(expires_at),
            SessionCommand::TimeOutStart => Ok(self.time_out_start()),
            SessionCommand::RequestStop { reason } => self.request_stop(reason),
            SessionCommand::Report { fact, discovery } => self.report(fact, discovery),
            SessionCommand::Abandon => Ok(self.abandon()),
            SessionCommand::CloseByOperator { energy, ended_at, note } => self.close(energy, ended_at, note),
            SessionCommand::Bill { plugged_until } => self.price(plugged_until),
            SessionCommand::Settle { captured } => self.settle(captured),
            SessionCommand::PayReceivable { payment_id, amount } => self.pay_receivable(payment_id, amount),
        }
    }

    fn request(&self, request: Request) -> Decision {
        let Session::Absent = self else { return Err(SessionError::AlreadyRequested) };
        let aside = match request.mode {
            PaymentMode::Prepaid { amount, .. } => Some(amount),
            PaymentMode::Wallet { hold } => Some(hold),
            PaymentMode::Postpaid => None,
        };
        if let Some(amount) = aside.filter(|amount| !amount.is_positive()) {
            return Err(SessionError::AmountNotPositive { amount });
        }
        let Request { refs, order_number, mode, tariff, zone, rated_power } = request;
        Ok(vec![SessionEvent::Requested { refs, order_number, mode, tariff, zone, rated_power }])
    }

    fn authorise(&self) -> Decision {
        match self {
            Session::Absent => Err(SessionError::Unknown),
            Session::Requested(terms) => Ok(vec![SessionEvent::Authorised { refs: terms.refs }]),
            Session::NotStarted(_) => Err(SessionError::DidNotStart),
            // The money may arrive after the device has begun on its own.
            Session::Authorised(_)
            | Session::Starting { .. }
            | Session::Charging(_)
            | Session::Ended { .. }
            | Session::Finished { .. }
            | Session::Billed { .. } => Ok(vec![]),
        }
    }

    fn refuse(&self, reason: RefusalReason) -> Decision {
        match self {
            Session::Absent => Err(SessionError::Unknown),
            Session::Requested(terms) | Session::Authorised(terms) => Ok(vec![refused(terms, reason)]),
            // Once the device has been told, only what the device says can end it.
            Session::Starting { terms, .. } if matches!(reason, RefusalReason::DeviceRefused | RefusalReason::DeviceUnreachable) => {
                Ok(vec![refused(terms, reason)])
            }
            Session::NotStarted(_) => Ok(vec![]),
            Session::Starting { .. } | Session::Charging(_) | Session::Ended { .. } | Session::Finished { .. } | Session::Billed { .. } => {
                Err(SessionError::AlreadyStarted)
            }
        }
    }

    fn begin_start(&self, expires_at: Timestamp) -> Decision {
        match self {
            Session::Absent | Session::Requested(_) => Err(SessionError::Unknown),
            Session::Authorised(terms) => Ok(vec![SessionEvent::Starting { refs: terms.refs, expires_at }]),
            Session::NotStarted(_) => Err(SessionError::DidNotStart),
            Session::Starting { .. } | Session::Charging(_) | Session::Ended { .. } | Session::Finished { .. } | Session::Billed { .. } => {
                Ok(vec![])
            }
        }
    }

    fn time_out_start(&self) -> Vec<SessionEvent> {
        match self {
            Session::Starting { terms, .. } => vec![SessionEvent::StartTimedOut { refs: terms.refs, mode: terms.mode }],
            Session::Absent
            | Session::Requested(_)
            | Session::Authorised(_)
            | Session::NotStarted(_)
            | Session::Charging(_)
            | Session::Ended { .. }
            | Session::Finished { .. }
            | Session::Billed { .. } => vec![],
        }
    }

    fn request_stop(&self, reason: StopReason) -> Decision {
        match self {
            Session::Absent => Err(SessionError::Unknown),
            Session::Charging(course) if course.is_stop_requested => Ok(vec![]),
            Session::Charging(course) => Ok(vec![SessionEvent::StopRequested { refs: course.terms.refs, reason }]),
            Session::Ended { .. } | Session::Finished { .. } | Session::Billed { .. } => Ok(vec![]),
            Session::Requested(_) | Session::Authorised(_) | Session::Starting { .. } | Session::NotStarted(_) => {
                Err(SessionError::NotCharging)
            }
        }
    }

    fn abandon(&self) -> Vec<SessionEvent> {
        match self {
            Session::Charging(course) | Session::Ended { course, how: Ending::Stopped | Ending::Faulted } => {
                vec![SessionEvent::Abandoned { refs: course.terms.refs }]
            }
            Session::Absent
            | Session::Requested(_)
            | Session::Authorised(_)
            | Session::Starting { .. }
            | Session::NotStarted(_)
            | Session::Ended { how: Ending::Abandoned, .. }
            | Session::Finished { .. }
            | Session::Billed { .. } => vec![],
        }
    }

    fn close(&self, energy: Energy, ended_at: Timestamp, note: String) -> Decision {
        let chars = note.trim().chars().count();
        if chars == 0 || chars > NOTE_CHARS_MAX {
            return Err(SessionError::NoteMissing);
        }
        match self {
            Session::Absent => Err(SessionError::Unknown),
            Session::Requested(_) | Session::Authorised(_) | Session::Starting { .. } | Session::NotStarted(_) => {
                Err(SessionError::NotCharging)
            }
            Session::Finished { .. } | Session::Billed { .. } => Err(SessionError::AlreadyFinished),
            Session::Charging(course) | Session::Ended { course, .. } => match course.started {
                Some(started) if ended_at < started.read_at => Err(SessionError::EndsBeforeStart { started_at: started.read_at, ended_at }),
                Some(_) | None => Ok(vec![SessionEvent::ClosedByOperator { refs: course.terms.refs, energy, ended_at, note }]),
            },
        }
    }

    fn price(&self, plugged_until: Option<Timestamp>) -> Decision {
        match self {
            Session::Finished { course, basis } => {
                if course.must_wait_for_unplugging(plugged_until) {
                    return Ok(vec![]);
                }
                let terms = &course.terms;
                let bill = bill_of(course, basis, plugged_until, terms.order_number.to_string())?;
                Ok(vec![SessionEvent::Billed { refs: terms.refs, mode: terms.mode, bill }])
            }
            Session::Billed { course, basis, bill: replaced, paid, .. } => {
                let terms = &course.terms;
                let number = format!("{}-{}", terms.order_number, paid.bills + 1);
                let bill = bill_of(course, basis, plugged_until, number)?;
                if bill.lines == replaced.lines && bill.energy == replaced.energy {
                    return Ok(vec![]);
                }
                let note = "the device's record came after the bill".to_owned();
                Ok(vec![SessionEvent::BillCorrected { refs: terms.refs, mode: terms.mode, replaced: (**replaced).clone(), bill, note }])
            }
            Session::Absent => Err(SessionError::Unknown),
            // Not all is known yet: whoever reports the rest asks again.
            Session::Requested(_)
            | Session::Authorised(_)
            | Session::Starting { .. }
            | Session::NotStarted(_)
            | Session::Charging(_)
            | Session::Ended { .. } => Ok(vec![]),
        }
    }

    fn settle(&self, captured: Money) -> Decision {
        match self {
            Session::Billed { is_settled: true, .. } => Ok(vec![]),
            Session::Billed { course, bill, paid, .. } => Ok(settlements(course, bill, paid, captured)),
            Session::Absent => Err(SessionError::Unknown),
            Session::Requested(_)
            | Session::Authorised(_)
            | Session::Starting { .. }
            | Session::NotStarted(_)
            | Session::Charging(_)
            | Session::Ended { .. }
            | Session::Finished { .. } => Err(SessionError::NotBilled),
        }
    }

    fn pay_receivable(&self, payment_id: PaymentId, amount: Money) -> Decision {
        match self {
            Session::Billed { paid, .. } if paid.later.iter().any(|(known, _)| *known == payment_id) => Ok(vec![]),
            Session::Billed { course, bill, paid, .. } => {
                let open = (bill.total - paid.total()).max(Money::ZERO);
                let applied = amount.min(open);
                Ok(vec![SessionEvent::ReceivablePaid {
                    refs: course.terms.refs,
                    payment_id,
                    amount: applied,
                    excess: amount - applied,
                    receivable: open - applied,
                }])
            }
            Session::Absent => Err(SessionError::Unknown),
            Session::Requested(_)
            | Session::Authorised(_)
            | Session::Starting { .. }
            | Session::NotStarted(_)
            | Session::Charging(_)
            | Session::Ended { .. }
            | Session::Finished { .. } => Err(SessionError::NotBilled),
        }
    }

    /// Facts are kept whatever they say, and judged.
    fn report(&self, fact: DeviceFact, discovery: Option<Box<Discovery>>) -> Decision {
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

    /// What the session costs so far, idle time included, by the same rules as its bill. None while there is nothing to price.
    ///
    /// # Errors
    /// When it cannot be priced.
    pub fn cost_so_far(&self, at: Timestamp) -> Result<Option<Bill>, PricingError> {
        match self {
            Session::Billed { bill, .. } => Ok(Some((**bill).clone())),
            Session::Charging(course) | Session::Ended { course, .. } => course.cost(at),
            Session::Finished { course, basis } => match bill_of(course, basis, Some(at), course.terms.order_number.to_string()) {
                Ok(bill) => Ok(Some(bill)),
                Err(SessionError::Price(error)) => Err(error),
                Err(_) => Ok(None),
            },
            Session::Absent | Session::Requested(_) | Session::Authorised(_) | Session::Starting { .. } | Session::NotStarted(_) => {
                Ok(None)
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
    fn energy(&self) -> Energy {
        self.points.last().map_or(Energy::ZERO, |point| point.energy)
    }

    fn cost(&self, at: Timestamp) -> Result<Option<Bill>, PricingError> {
        let (Some(tariff), Some(started)) = (&self.terms.tariff, self.started) else { return Ok(None) };
        let ended_at = self.stopped_at.unwrap_or_else(|| self.points.last().map_or(started.read_at, |point| point.at));
        let basis = Basis { started_at: started.read_at, ended_at: ended_at.max(started.read_at), energy: self.energy(), record: None };
        let idle_until = self.stopped_at.map(|_| self.unplugged_at.unwrap_or(at));
        self.bill(&basis, tariff, idle_until, self.terms.order_number.to_string()).map(Some)
    }

    /// The one way to this session's price: its basis, the believed readings, its tariff.
    fn bill(
        &self,
        basis: &Basis,
        tariff: &TariffSnapshot,
        idle_until: Option<Timestamp>,
        bill_number: String,
    ) -> Result<Bill, PricingError> {
        let mut usage = Usage::new(basis.started_at, basis.ended_at, basis.energy, self.points.iter().copied())?;
        if let Some(until) = idle_until {
            usage = usage.idle_until(until)?;
        }
        pricing::price(bill_number, tariff, &self.terms.zone, &usage)
    }

    fn are_funds_used_up(&self, reading: &MeterReading, energy: Energy) -> bool {
        let funds = match self.terms.mode {
            PaymentMode::Prepaid { amount, .. } => amount,
            PaymentMode::Wallet { hold } => hold,
            PaymentMode::Postpaid => return false,
        };
        let mut course = self.clone();
        course.points.push(EnergyPoint { at: reading.read_at, energy });
        // A price that cannot be computed now is for the bill to complain of.
        course.cost(reading.read_at).ok().flatten().is_some_and(|bill| bill.total >= funds)
    }

    /// Idle time has a price here, and nobody knows yet when the vehicle left.
    fn must_wait_for_unplugging(&self, plugged_until: Option<Timestamp>) -> bool {
        let has_idle_fee = self.terms.tariff.as_ref().is_some_and(|tariff| tariff.terms.idle.is_some());
        has_idle_fee && self.unplugged_at.is_none() && plugged_until.is_none()
    }
}

fn refused(terms: &Terms, reason: RefusalReason) -> SessionEvent {
    SessionEvent::Refused { refs: terms.refs, mode: terms.mode, reason }
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

fn bill_of(course: &Course, basis: &Basis, plugged_until: Option<Timestamp>, bill_number: String) -> Result<Bill, SessionError> {
    let tariff = course.terms.tariff.as_ref().ok_or(SessionError::NoTariff)?;
    Ok(course.bill(basis, tariff, course.unplugged_at.or(plugged_until), bill_number)?)
}

/// The first settlement takes what the prepayment or the wallet gave and sends the rest back. A later one, after a correction, leaves a higher price
/// receivable and gives a lower price's difference back to where the money came from, the latest first.
fn settlements(course: &Course, bill: &Bill, paid: &Paid, captured: Money) -> Vec<SessionEvent> {
    let terms = &course.terms;
    let due = bill.total;
    let settled = |prepaid_applied, captured, refund, refund_to, receivable| SessionEvent::Settled {
        refs: terms.refs,
        mode: terms.mode,
        due,
        prepaid_applied,
        captured,
        refund,
        refund_to,
        receivable,
    };
    if paid.settlements == 0 {
        return vec![match terms.mode {
            PaymentMode::Prepaid { payment_id, amount } if !course.are_funds_gone => {
                let applied = amount.min(due);
                settled(applied, Money::ZERO, amount - applied, Some(payment_id), due - applied)
            }
            PaymentMode::Prepaid { .. } | PaymentMode::Postpaid => settled(Money::ZERO, Money::ZERO, Money::ZERO, None, due),
            PaymentMode::Wallet { .. } => settled(Money::ZERO, captured, Money::ZERO, None, due - captured),
        }];
    }
    let open = due - paid.total();
    if !open.is_negative() {
        return vec![settled(Money::ZERO, Money::ZERO, Money::ZERO, None, open)];
    }
    let mut back = -open;
    let mut events = Vec::new();
    let mut returned = paid.returned;
    for (payment_id, amount) in paid.later.iter().rev() {
        // What earlier corrections gave back came from the latest payments.
        let gone = returned.min(*amount);
        returned -= gone;
        let part = back.min(*amount - gone);
        if part.is_positive() {
            events.push(settled(Money::ZERO, Money::ZERO, part, Some(*payment_id), Money::ZERO));
            back -= part;
        }
    }
    let part = back.min(paid.captured);
    if part.is_positive() {
        events.push(settled(Money::ZERO, -part, Money::ZERO, None, Money::ZERO));
        back -= part;
    }
    if let (PaymentMode::Prepaid { payment_id, .. }, true) = (terms.mode, back.is_positive()) {
        events.push(settled(-back, Money::ZERO, back, Some(payment_id), Money::ZERO));
    }
    events
}
