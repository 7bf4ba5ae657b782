//! What each event changes in what a session remembers. Nothing is judged here: what happened has been decided.

use std::sync::Arc;

use super::event::{PaymentMode, SessionEvent};
use super::state::{Basis, Course, Ending, LaterPayment, Paid, Session, Terms};
use crate::pricing::EnergyPoint;
use crate::units::{Energy, Money};

/// How many readings and how many records that were not believed are remembered, so that each is kept once, however often a device repeats it.
const DISPUTED_MAX: usize = 16;

impl Session {
    pub(super) fn evolve_one(self, event: &SessionEvent) -> Session {
        match event {
            SessionEvent::Requested { refs, order_number, mode, tariff, zone, rated_power, agency } => {
                Session::Requested(Arc::new(Terms {
                    refs: *refs,
                    order_number: order_number.clone(),
                    mode: *mode,
                    tariff: Some(tariff.clone()),
                    zone: zone.clone(),
                    rated_power: *rated_power,
                    agency: agency.clone(),
                    is_discovered: false,
                }))
            }
            SessionEvent::Discovered { refs, order_number, tariff, zone, rated_power, agency } => Session::NotStarted(Arc::new(Terms {
                refs: *refs,
                order_number: order_number.clone(),
                mode: PaymentMode::Postpaid,
                tariff: tariff.clone(),
                zone: zone.clone(),
                rated_power: *rated_power,
                agency: agency.clone(),
                is_discovered: true,
            })),
            SessionEvent::TariffAssigned { tariff, .. } => self.on_terms(|terms| terms.tariff = Some(tariff.clone())),
            SessionEvent::Authorised { .. } => match self {
                Session::Requested(terms) => Session::Authorised(terms),
                other => other,
            },
            SessionEvent::Starting { expires_at, .. } => match self {
                Session::Authorised(terms) => Session::Starting { terms, expires_at: *expires_at, stop_requested: None },
                other => other,
            },
            SessionEvent::Refused { .. } | SessionEvent::StartTimedOut { .. } => match self {
                Session::Requested(terms) | Session::Authorised(terms) | Session::Starting { terms, .. } => Session::NotStarted(terms),
                other => other,
            },
            SessionEvent::Started { meter, .. } => self.on_course(|course| {
                course.started = Some(*meter);
                course.first_register = meter.register.judge().ok();
                course.last_register = course.first_register;
                course.points = vec![EnergyPoint { at: meter.read_at, energy: Energy::ZERO }];
            }),
            SessionEvent::MeterRead { reading, energy, .. } => self
                .on_course(|course| {
                    course.last_register = reading.register.judge().ok();
                    course.first_register = course.first_register.or(course.last_register);
                    course.points.push(EnergyPoint { at: reading.read_at, energy: *energy });
                })
                .resumed(),
            SessionEvent::MeterDisputed { reading, .. } => self.on_course(|course| remember(&mut course.disputed_readings, *reading)),
            SessionEvent::StopRequested { reason, .. } => match self {
                Session::Starting { terms, expires_at, .. } => Session::Starting { terms, expires_at, stop_requested: Some(*reason) },
                other => other.on_course(|course| course.is_stop_requested = true),
            },
            SessionEvent::Stopped { stopped_at, .. } => {
                self.on_course(|course| course.stopped_at = Some(*stopped_at)).ended(Ending::Stopped)
            }
            SessionEvent::Faulted { faulted_at, .. } => {
                self.on_course(|course| course.faulted_at = Some(*faulted_at)).ended(Ending::Faulted)
            }
            SessionEvent::Abandoned { .. } => self.on_course(|course| course.was_given_up = true).ended(Ending::Abandoned),
            SessionEvent::Unplugged { unplugged_at, .. } => self.on_course(|course| course.unplugged_at = Some(*unplugged_at)),
            SessionEvent::RecordAccepted { record, energy, .. } => self.finished(Basis {
                started_at: record.started_at,
                ended_at: record.ended_at,
                energy: *energy,
                record: Some(record.clone()),
            }),
            SessionEvent::RecordDisputed { record, .. } => self.on_course(|course| remember(&mut course.disputed_records, record.clone())),
            SessionEvent::ClosedByOperator { energy, ended_at, .. } => {
                match self.course().map(|course| course.basis_by_hand(*energy, *ended_at)) {
                    Some(basis) => self.finished(basis),
                    None => self,
                }
            }
            SessionEvent::Billed { bill, .. } => match self {
                Session::Finished { course, basis } => Session::Billed {
                    course,
                    basis,
                    bill: Box::new(bill.clone()),
                    note: None,
                    paid: Paid { bills: 1, ..Paid::default() },
                    is_settled: false,
                },
                other => other,
            },
            SessionEvent::BillCorrected { bill, note, .. } => match self {
                Session::Billed { course, basis, mut paid, .. } => {
                    paid.bills += 1;
                    let (bill, note) = (Box::new(bill.clone()), Some(note.clone()));
                    Session::Billed { course, basis, bill, note, paid, is_settled: false }
                }
                other => other,
            },
            SessionEvent::Settled { mode, prepaid_applied, captured, refund, refund_to, .. } => match self {
                Session::Billed { course, basis, bill, note, mut paid, .. } => {
                    paid.prepaid += *prepaid_applied;
                    paid.is_prepayment_settled = matches!(mode, PaymentMode::Prepaid { .. });
                    paid.captured += *captured;
                    paid.captured_ever += (*captured).max(Money::ZERO);
                    // What goes back to any other payment is the rest of the prepayment, or has been taken off it above.
                    if let Some(later) = paid.later.iter_mut().find(|later| Some(later.payment_id) == *refund_to) {
                        later.returned += *refund;
                    }
                    Session::Billed { course, basis, bill, note, paid, is_settled: true }
                }
                other => other,
            },
            SessionEvent::ReceivablePaid { payment_id, amount, .. } => match self {
                Session::Billed { course, basis, bill, note, mut paid, is_settled } => {
                    paid.later.push(LaterPayment { payment_id: *payment_id, amount: *amount, returned: Money::ZERO });
                    Session::Billed { course, basis, bill, note, paid, is_settled }
                }
                other => other,
            },
        }
    }

    /// Changes what was agreed.
    fn on_terms(mut self, change: impl FnOnce(&mut Terms)) -> Session {
        match &mut self {
            Session::Absent => {}
            Session::Requested(terms) | Session::Authorised(terms) | Session::Starting { terms, .. } | Session::NotStarted(terms) => {
                change(Arc::make_mut(terms));
            }
            Session::Charging(course)
            | Session::Ended { course, .. }
            | Session::Finished { course, .. }
            | Session::Billed { course, .. } => change(Arc::make_mut(&mut course.terms)),
        }
        self
    }

    /// Changes the course, opening one when a device reports before it was expected to.
    fn on_course(self, change: impl FnOnce(&mut Course)) -> Session {
        let mut session = match self {
            Session::Requested(terms) => {
                let waits_for_money = terms.mode != PaymentMode::Postpaid;
                Session::Charging(Course::open(terms, false, waits_for_money))
            }
            Session::Authorised(terms) | Session::Starting { terms, .. } => Session::Charging(Course::open(terms, false, false)),
            Session::NotStarted(terms) => {
                let was_given_up = !terms.is_discovered;
                Session::Charging(Course::open(terms, was_given_up, was_given_up))
            }
            open @ (Session::Absent | Session::Charging(_) | Session::Ended { .. } | Session::Finished { .. } | Session::Billed { .. }) => {
                open
            }
        };
        match &mut session {
            Session::Charging(course)
            | Session::Ended { course, .. }
            | Session::Finished { course, .. }
            | Session::Billed { course, .. } => change(course),
            Session::Absent | Session::Requested(_) | Session::Authorised(_) | Session::Starting { .. } | Session::NotStarted(_) => {}
        }
        session
    }

    fn ended(self, how: Ending) -> Session {
        match self {
            Session::Charging(course) | Session::Ended { course, .. } => Session::Ended { course, how },
            other => other,
        }
    }

    /// A believed reading shows that silence was not the end.
    fn resumed(self) -> Session {
        match self {
            Session::Ended { mut course, how: Ending::Abandoned } => {
                course.was_given_up = course.is_unfunded;
                Session::Charging(course)
            }
            other => other,
        }
    }

    fn finished(self, basis: Basis) -> Session {
        match self.on_course(|_| ()) {
            Session::Charging(course) | Session::Ended { course, .. } | Session::Finished { course, .. } => {
                Session::Finished { course, basis }
            }
            Session::Billed { course, bill, note, paid, is_settled, .. } => Session::Billed { course, basis, bill, note, paid, is_settled },
            other => other,
        }
    }
}

impl Course {
    fn open(terms: Arc<Terms>, was_given_up: bool, is_unfunded: bool) -> Course {
        Course {
            terms,
            started: None,
            first_register: None,
            last_register: None,
            points: Vec::new(),
            is_stop_requested: false,
            stopped_at: None,
            faulted_at: None,
            unplugged_at: None,
            was_given_up,
            is_unfunded,
            disputed_records: Vec::new(),
            disputed_readings: Vec::new(),
        }
    }
}

fn remember<T>(last: &mut Vec<T>, new: T) {
    if last.len() == DISPUTED_MAX {
        last.remove(0);
    }
    last.push(new);
}
