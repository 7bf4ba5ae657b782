//! What a session remembers for its next decision.

use std::sync::Arc;

use super::event::{MeterReading, PaymentMode, SessionEvent, SessionRefs, TransactionRecord};
use crate::ids::{OrderNumber, PaymentId};
use crate::pricing::{Bill, EnergyPoint};
use crate::tariff::TariffSnapshot;
use crate::time::{Timestamp, ZoneName};
use crate::units::{Energy, Money, Power, ReportedEnergy};

/// A session, as far as it has come.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Session {
    /// Nobody has heard of it.
    #[default]
    Absent,
    /// Waits for its money.
    Requested(Arc<Terms>),
    /// The money is in order; waits for its connector.
    Authorised(Arc<Terms>),
    /// The device has been told.
    Starting {
        /// What was agreed.
        terms: Arc<Terms>,
        /// After this it times out.
        expires_at: Timestamp,
    },
    /// Refused, or timed out. A device may still report that it charged after all.
    NotStarted(Arc<Terms>),
    /// Energy flows.
    Charging(Course),
    /// Energy no longer flows, or nobody knows; waits for the device's record.
    Ended {
        /// What is known of it.
        course: Course,
        /// How it came to an end.
        how: Ending,
    },
    /// What will be billed is known.
    Finished {
        /// What is known of it.
        course: Course,
        /// What will be billed.
        basis: Basis,
    },
    /// It has its price.
    Billed {
        /// What is known of it.
        course: Course,
        /// What was billed.
        basis: Basis,
        /// The bill that holds now.
        bill: Box<Bill>,
        /// How far the bill has been paid.
        paid: Paid,
        /// Whether what was there has been applied to the bill that holds now.
        is_settled: bool,
    },
}

/// What was agreed when it was requested.
#[derive(Debug, Clone, PartialEq)]
pub struct Terms {
    /// Who and where.
    pub refs: SessionRefs,
    /// The number that people see.
    pub order_number: OrderNumber,
    /// How it will be paid.
    pub mode: PaymentMode,
    /// Its prices; none for a discovered session at a station without a tariff.
    pub tariff: Option<TariffSnapshot>,
    /// The station's zone.
    pub zone: ZoneName,
    /// The most that the connector gives.
    pub rated_power: Option<Power>,
    /// Nobody asked for it.
    pub is_discovered: bool,
}

/// How charging went so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Course {
    /// What was agreed.
    pub terms: Arc<Terms>,
    /// The first reading; none when the start was never reported.
    pub started: Option<MeterReading>,
    /// The last believed register.
    pub last_register: Option<ReportedEnergy>,
    /// Energy since the start, at each believed reading, in order of time.
    pub points: Vec<EnergyPoint>,
    /// Somebody has asked for the end.
    pub is_stop_requested: bool,
    /// When energy stopped to flow.
    pub stopped_at: Option<Timestamp>,
    /// When the vehicle left.
    pub unplugged_at: Option<Timestamp>,
    /// The money set aside for it has gone back: it had been given up before it was heard of again.
    pub are_funds_gone: bool,
    /// Records that were not believed, so that each is kept once.
    pub disputed: Vec<TransactionRecord>,
}

/// How charging came to an end without a believed record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The device reported the end.
    Stopped,
    /// The device reported a fault.
    Faulted,
    /// Nothing was heard for too long.
    Abandoned,
}

/// What a bill is based on.
#[derive(Debug, Clone, PartialEq)]
pub struct Basis {
    /// When charging began.
    pub started_at: Timestamp,
    /// When charging ended.
    pub ended_at: Timestamp,
    /// The energy delivered.
    pub energy: Energy,
    /// The device's record; none when an operator closed the session by hand.
    pub record: Option<TransactionRecord>,
}

/// How far a bill has been paid.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Paid {
    /// From the prepayment.
    pub prepaid: Money,
    /// From the wallet.
    pub captured: Money,
    /// By later payments.
    pub later: Vec<(PaymentId, Money)>,
    /// Given back from the later payments after a correction.
    pub returned: Money,
    /// How many bills there have been.
    pub bills: u32,
    /// How often what was there has been applied. The first time settles the prepayment as a whole: its rest goes back then.
    pub settlements: u32,
}

impl Paid {
    /// All together.
    #[must_use]
    pub fn total(&self) -> Money {
        self.prepaid + self.captured + self.later.iter().map(|(_, amount)| *amount).sum::<Money>() - self.returned
    }
}

impl Session {
    /// What was agreed; none while absent.
    #[must_use]
    pub fn terms(&self) -> Option<&Terms> {
        match self {
            Session::Absent => None,
            Session::Requested(terms) | Session::Authorised(terms) | Session::Starting { terms, .. } | Session::NotStarted(terms) => {
                Some(terms)
            }
            Session::Charging(course)
            | Session::Ended { course, .. }
            | Session::Finished { course, .. }
            | Session::Billed { course, .. } => Some(&course.terms),
        }
    }

    /// How charging went; none before it began.
    #[must_use]
    pub fn course(&self) -> Option<&Course> {
        match self {
            Session::Absent | Session::Requested(_) | Session::Authorised(_) | Session::Starting { .. } | Session::NotStarted(_) => None,
            Session::Charging(course)
            | Session::Ended { course, .. }
            | Session::Finished { course, .. }
            | Session::Billed { course, .. } => Some(course),
        }
    }

    /// The bill that holds now.
    #[must_use]
    pub fn bill(&self) -> Option<&Bill> {
        match self {
            Session::Billed { bill, .. } => Some(bill),
            Session::Absent
            | Session::Requested(_)
            | Session::Authorised(_)
            | Session::Starting { .. }
            | Session::NotStarted(_)
            | Session::Charging(_)
            | Session::Ended { .. }
            | Session::Finished { .. } => None,
        }
    }

    pub(super) fn evolve_one(self, event: &SessionEvent) -> Session {
        match event {
            SessionEvent::Requested { refs, order_number, mode, tariff, zone, rated_power } => Session::Requested(Arc::new(Terms {
                refs: *refs,
                order_number: order_number.clone(),
                mode: *mode,
                tariff: Some(tariff.clone()),
                zone: zone.clone(),
                rated_power: *rated_power,
                is_discovered: false,
            })),
            SessionEvent::Discovered { refs, order_number, tariff, zone, rated_power } => Session::NotStarted(Arc::new(Terms {
                refs: *refs,
                order_number: order_number.clone(),
                mode: PaymentMode::Postpaid,
                tariff: tariff.clone(),
                zone: zone.clone(),
                rated_power: *rated_power,
                is_discovered: true,
            })),
            SessionEvent::Authorised { .. } => match self {
                Session::Requested(terms) => Session::Authorised(terms),
                other => other,
            },
            SessionEvent::Starting { expires_at, .. } => match self {
                Session::Authorised(terms) => Session::Starting { terms, expires_at: *expires_at },
                other => other,
            },
            SessionEvent::Refused { .. } | SessionEvent::StartTimedOut { .. } => match self {
                Session::Requested(terms) | Session::Authorised(terms) | Session::Starting { terms, .. } => Session::NotStarted(terms),
                other => other,
            },
            SessionEvent::Started { meter, .. } => self.on_course(|course| {
                course.started = Some(*meter);
                course.last_register = Some(meter.register);
                course.points = vec![EnergyPoint { at: meter.read_at, energy: Energy::ZERO }];
            }),
            SessionEvent::MeterRead { reading, energy, .. } => self.on_course(|course| {
                course.last_register = Some(reading.register);
                course.points.push(EnergyPoint { at: reading.read_at, energy: *energy });
            }),
            SessionEvent::MeterDisputed { .. } => self,
            SessionEvent::StopRequested { .. } => self.on_course(|course| course.is_stop_requested = true),
            SessionEvent::Stopped { stopped_at, .. } => {
                self.on_course(|course| course.stopped_at = Some(*stopped_at)).ended(Ending::Stopped)
            }
            SessionEvent::Faulted { faulted_at, .. } => self
                .on_course(|course| {
                    course.stopped_at.get_or_insert(*faulted_at);
                })
                .ended(Ending::Faulted),
            SessionEvent::Abandoned { .. } => self.on_course(|_| ()).ended(Ending::Abandoned),
            SessionEvent::Unplugged { unplugged_at, .. } => match self {
                Session::Absent | Session::Requested(_) | Session::Authorised(_) | Session::Starting { .. } | Session::NotStarted(_) => {
                    self
                }
                other => other.on_course(|course| course.unplugged_at = Some(*unplugged_at)),
            },
            SessionEvent::RecordAccepted { record, energy, .. } => self.finished(Basis {
                started_at: record.started_at,
                ended_at: record.ended_at,
                energy: *energy,
                record: Some(record.clone()),
            }),
            SessionEvent::RecordDisputed { record, .. } => self.on_course(|course| course.disputed.push(record.clone())),
            SessionEvent::ClosedByOperator { energy, ended_at, .. } => {
                let started_at =
                    self.course().and_then(|course| course.started).map_or(*ended_at, |started| started.read_at.min(*ended_at));
                self.finished(Basis { started_at, ended_at: *ended_at, energy: *energy, record: None })
            }
            SessionEvent::Billed { bill, .. } => match self {
                Session::Finished { course, basis } => Session::Billed {
                    course,
                    basis,
                    bill: Box::new(bill.clone()),
                    paid: Paid { bills: 1, ..Paid::default() },
                    is_settled: false,
                },
                other => other,
            },
            SessionEvent::BillCorrected { bill, .. } => match self {
                Session::Billed { course, basis, mut paid, .. } => {
                    paid.bills += 1;
                    Session::Billed { course, basis, bill: Box::new(bill.clone()), paid, is_settled: false }
                }
                other => other,
            },
            SessionEvent::Settled { mode, prepaid_applied, captured, refund, .. } => match self {
                Session::Billed { course, basis, bill, mut paid, .. } => {
                    paid.prepaid += *prepaid_applied;
                    paid.captured += *captured;
                    paid.settlements += 1;
                    // What goes back without having been taken out of the prepayment comes out of a later payment.
                    if prepaid_applied.is_zero() && (*mode == PaymentMode::Postpaid || paid.settlements > 1) {
                        paid.returned += *refund;
                    }
                    Session::Billed { course, basis, bill, paid, is_settled: true }
                }
                other => other,
            },
            SessionEvent::ReceivablePaid { payment_id, amount, .. } => match self {
                Session::Billed { course, basis, bill, mut paid, is_settled } => {
                    paid.later.push((*payment_id, *amount));
                    Session::Billed { course, basis, bill, paid, is_settled }
                }
                other => other,
            },
        }
    }

    /// Changes the course, opening one when a device reports before it was expected to.
    fn on_course(self, change: impl FnOnce(&mut Course)) -> Session {
        let open = |terms: Arc<Terms>, are_funds_gone: bool| Course {
            terms,
            started: None,
            last_register: None,
            points: Vec::new(),
            is_stop_requested: false,
            stopped_at: None,
            unplugged_at: None,
            are_funds_gone,
            disputed: Vec::new(),
        };
        match self {
            Session::Absent => Session::Absent,
            Session::Requested(terms) | Session::Authorised(terms) | Session::Starting { terms, .. } => {
                let mut course = open(terms, false);
                change(&mut course);
                Session::Charging(course)
            }
            Session::NotStarted(terms) => {
                let mut course = open(terms, true);
                change(&mut course);
                Session::Charging(course)
            }
            Session::Charging(mut course) => {
                change(&mut course);
                Session::Charging(course)
            }
            Session::Ended { mut course, how } => {
                change(&mut course);
                Session::Ended { course, how }
            }
            Session::Finished { mut course, basis } => {
                change(&mut course);
                Session::Finished { course, basis }
            }
            Session::Billed { mut course, basis, bill, paid, is_settled } => {
                change(&mut course);
                Session::Billed { course, basis, bill, paid, is_settled }
            }
        }
    }

    fn ended(self, how: Ending) -> Session {
        match self {
            Session::Charging(course) | Session::Ended { course, .. } => Session::Ended { course, how },
            other => other,
        }
    }

    fn finished(self, basis: Basis) -> Session {
        match self.on_course(|_| ()) {
            Session::Charging(course) | Session::Ended { course, .. } | Session::Finished { course, .. } => {
                Session::Finished { course, basis }
            }
            Session::Billed { course, bill, paid, is_settled, .. } => Session::Billed { course, basis, bill, paid, is_settled },
            other => other,
        }
    }
}
