//! What may be asked of a session, and when it is refused.

use super::event::{MeterReading, PaymentMode, RefusalReason, SessionEvent, SessionRefs, StopReason, TransactionRecord};
use super::state::{Ending, Session, Terms};
use crate::agency::AgencyTerms;
use crate::ids::{OrderNumber, PaymentId};
use crate::pricing::PricingError;
use crate::tariff::TariffSnapshot;
use crate::time::{Timestamp, ZoneName};
use crate::units::{Energy, Money, Power};

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
    /// A device reports, and its clock is compared with ours. `discovery` as in [`SessionCommand::Report`].
    Receive {
        /// What it reports.
        fact: DeviceFact,
        /// When that was received.
        received_at: Timestamp,
        /// Where it belongs, when it is unknown.
        discovery: Option<Box<Discovery>>,
    },
    /// What a device reported, told by somebody who knows when: its times are taken as they are. `discovery` is there for a session that nobody has heard of.
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
    /// Give a session that was discovered at a station without a tariff its prices; what is certain already is billed with them.
    AssignTariff {
        /// The prices.
        tariff: Box<TariffSnapshot>,
        /// Why these.
        note: String,
    },
    /// Price it, when all that its price needs is there; correct the bill, when the device has told more since.
    Bill {
        /// Also while the vehicle keeps the connector: idle time counts until then. Of no effect on a correction.
        plugged_until: Option<Timestamp>,
    },
    /// Apply what is there to the bill.
    Settle {
        /// All that has been captured from the wallet for it, what earlier settlements knew of included.
        captured: Money,
    },
    /// Take an amount off its bill.
    Credit {
        /// How much.
        amount: Money,
        /// Why.
        note: String,
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
    /// How its bills are divided; none when they are booked whole.
    pub agency: Option<Box<AgencyTerms>>,
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
    /// How its bills are divided; none when they are booked whole.
    pub agency: Option<Box<AgencyTerms>>,
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
    /// It has been refused or has timed out, or the device began before its money came. Money that comes for it now goes back.
    #[error("the session did not come about; money that comes for it goes back")]
    DidNotStart,
    /// Its money is not in order yet.
    #[error("the session waits for its money")]
    NotAuthorised,
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
    /// What was paid before has not been applied to the bill yet; it is in a moment.
    #[error("the session's bill is being settled; try again")]
    NotSettled,
    /// The station had no tariff: it cannot be priced.
    #[error("the session has no price: its station had no tariff when it was first heard of; assign one to the session")]
    NoTariff,
    /// The prices of a session never change.
    #[error("the session has its prices already")]
    HasTariff,
    /// What is set aside or paid must be more than nothing.
    #[error("{amount} cannot be set aside or paid for a session")]
    AmountNotPositive {
        /// What was asked.
        amount: Money,
    },
    /// No more than the bill can be taken off it, and no less than a fen.
    #[error("{amount} cannot be taken off a bill of {total}")]
    CreditNotWithinBill {
        /// What was asked.
        amount: Money,
        /// What the bill comes to.
        total: Money,
    },
    /// Somebody will ask why.
    #[error("this needs a note of 1 to {NOTE_CHARS_MAX} characters")]
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

pub(super) type Decision = Result<Vec<SessionEvent>, SessionError>;

impl Session {
    pub(super) fn decide_one(&self, command: SessionCommand) -> Decision {
        match command {
            SessionCommand::Request(request) => self.request(*request),
            SessionCommand::Authorise => self.authorise(),
            SessionCommand::Refuse { reason } => self.refuse(reason),
            SessionCommand::BeginStart { expires_at } => self.begin_start(expires_at),
            SessionCommand::TimeOutStart => Ok(self.time_out_start()),
            SessionCommand::RequestStop { reason } => self.request_stop(reason),
            SessionCommand::Receive { fact, received_at, discovery } => self.receive(fact, received_at, discovery),
            SessionCommand::Report { fact, discovery } => self.report(fact, discovery, None),
            SessionCommand::Abandon => Ok(self.abandon()),
            SessionCommand::CloseByOperator { energy, ended_at, note } => self.close(energy, ended_at, note),
            SessionCommand::AssignTariff { tariff, note } => self.assign_tariff(*tariff, note),
            SessionCommand::Bill { plugged_until } => self.price(plugged_until),
            SessionCommand::Settle { captured } => self.settle(captured),
            SessionCommand::Credit { amount, note } => self.credit(amount, note),
            SessionCommand::PayReceivable { payment_id, amount } => self.pay_receivable(payment_id, amount),
        }
    }

    fn request(&self, request: Request) -> Decision {
        let Session::Absent = self else { return Err(SessionError::AlreadyRequested) };
        if let Some(amount) = request.mode.funds().filter(|amount| !amount.is_positive()) {
            return Err(SessionError::AmountNotPositive { amount });
        }
        let Request { refs, order_number, mode, tariff, zone, rated_power, agency } = request;
        Ok(vec![SessionEvent::Requested { refs, order_number, mode, tariff, zone, rated_power, agency }])
    }

    fn authorise(&self) -> Decision {
        match self {
            Session::Absent => Err(SessionError::Unknown),
            Session::Requested(terms) => Ok(vec![SessionEvent::Authorised { refs: terms.refs }]),
            Session::NotStarted(_) => Err(SessionError::DidNotStart),
            Session::Authorised(_) | Session::Starting { .. } => Ok(vec![]),
            Session::Charging(course)
            | Session::Ended { course, .. }
            | Session::Finished { course, .. }
            | Session::Billed { course, .. } => match course.terms.mode {
                // The device was faster than the money: it is billed as a receivable, and a prepayment that comes now would be one too many.
                PaymentMode::Prepaid { .. } if course.is_unfunded => Err(SessionError::DidNotStart),
                PaymentMode::Prepaid { .. } | PaymentMode::Wallet { .. } | PaymentMode::Postpaid => Ok(vec![]),
            },
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
            Session::Absent => Err(SessionError::Unknown),
            Session::Requested(_) => Err(SessionError::NotAuthorised),
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
        let refs = self.terms().ok_or(SessionError::Unknown)?.refs;
        match self {
            Session::Absent => Err(SessionError::Unknown),
            Session::Charging(course) if course.is_stop_requested => Ok(vec![]),
            // The device has been told to start and nobody knows whether it did, so it is told to stop. If it does not start, the start times out.
            Session::Starting { stop_requested: None, .. } | Session::Charging(_) => Ok(vec![SessionEvent::StopRequested { refs, reason }]),
            Session::Starting { stop_requested: Some(_), .. } => Ok(vec![]),
            Session::Ended { .. } | Session::Finished { .. } | Session::Billed { .. } => Ok(vec![]),
            Session::Requested(_) | Session::Authorised(_) | Session::NotStarted(_) => Err(SessionError::NotCharging),
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
        check_note(&note)?;
        match self {
            Session::Absent => Err(SessionError::Unknown),
            Session::Requested(_) | Session::Authorised(_) | Session::Starting { .. } | Session::NotStarted(_) => {
                Err(SessionError::NotCharging)
            }
            Session::Finished { .. } | Session::Billed { .. } => Err(SessionError::AlreadyFinished),
            Session::Charging(course) | Session::Ended { course, .. } => {
                if let Some(started) = course.started.filter(|started| ended_at < started.read_at) {
                    return Err(SessionError::EndsBeforeStart { started_at: started.read_at, ended_at });
                }
                course.check_price(&course.basis_by_hand(energy, ended_at))?;
                Ok(vec![SessionEvent::ClosedByOperator { refs: course.terms.refs, energy, ended_at, note }])
            }
        }
    }
}

pub(super) fn check_note(note: &str) -> Result<(), SessionError> {
    let chars = note.trim().chars().count();
    if chars == 0 || chars > NOTE_CHARS_MAX { Err(SessionError::NoteMissing) } else { Ok(()) }
}

fn refused(terms: &Terms, reason: RefusalReason) -> SessionEvent {
    SessionEvent::Refused { refs: terms.refs, mode: terms.mode, reason }
}
