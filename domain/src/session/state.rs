//! What a session remembers for its next decision.

use std::sync::Arc;

use super::event::{MeterReading, PaymentMode, SessionRefs, StopReason, TransactionRecord};
use crate::agency::AgencyTerms;
use crate::ids::{OrderNumber, PaymentId};
use crate::pricing::{Bill, EnergyPoint};
use crate::tariff::TariffSnapshot;
use crate::time::{Timestamp, ZoneName};
use crate::units::{Energy, Money, Power};

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
        /// Somebody has asked for the end already: if it starts after all, the device is told to stop again.
        stop_requested: Option<StopReason>,
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
        /// Why it replaced another; none for the first.
        note: Option<String>,
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
    /// How its bills are divided; none when they are booked whole.
    pub agency: Option<Box<AgencyTerms>>,
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
    /// The first believed register: energy is counted from it.
    pub first_register: Option<Energy>,
    /// The last believed register.
    pub last_register: Option<Energy>,
    /// Energy since the start, at each believed reading, in order of time.
    pub points: Vec<EnergyPoint>,
    /// Somebody has asked for the end.
    pub is_stop_requested: bool,
    /// When energy stopped to flow, as the device said.
    pub stopped_at: Option<Timestamp>,
    /// When something broke.
    pub faulted_at: Option<Timestamp>,
    /// When the vehicle left.
    pub unplugged_at: Option<Timestamp>,
    /// It had been refused, had timed out or had been abandoned, and was heard of again.
    pub was_given_up: bool,
    /// What should have been set aside for it is not there: it has gone back, or had not come when the device began on its own. Then it
    /// goes back when it comes.
    pub is_unfunded: bool,
    /// The last records that were not believed.
    pub disputed_records: Vec<TransactionRecord>,
    /// The last readings that were not believed.
    pub disputed_readings: Vec<MeterReading>,
}

impl Course {
    /// When energy stopped to flow, if the device said so.
    #[must_use]
    pub fn ended_at(&self) -> Option<Timestamp> {
        self.stopped_at.or(self.faulted_at)
    }
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
    /// How many bills there have been.
    pub bills: u32,
    /// From the prepayment.
    pub prepaid: Money,
    /// The prepayment has been applied, and its rest has gone back.
    pub is_prepayment_settled: bool,
    /// From the wallet, less what went back.
    pub captured: Money,
    /// All that ever came from the wallet, so that the same capture reported twice counts once.
    pub captured_ever: Money,
    /// By later payments.
    pub later: Vec<LaterPayment>,
}

/// A payment that came after the bill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaterPayment {
    /// Which.
    pub payment_id: PaymentId,
    /// What it paid of the bill.
    pub amount: Money,
    /// What of that went back after a correction.
    pub returned: Money,
}

impl LaterPayment {
    /// What it still pays.
    #[must_use]
    pub fn rest(&self) -> Money {
        self.amount - self.returned
    }
}

impl Paid {
    /// All together.
    #[must_use]
    pub fn total(&self) -> Money {
        self.prepaid + self.captured + self.later.iter().map(LaterPayment::rest).sum::<Money>()
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

    /// What is billed; none before it is known.
    #[must_use]
    pub fn basis(&self) -> Option<&Basis> {
        match self {
            Session::Finished { basis, .. } | Session::Billed { basis, .. } => Some(basis),
            Session::Absent
            | Session::Requested(_)
            | Session::Authorised(_)
            | Session::Starting { .. }
            | Session::NotStarted(_)
            | Session::Charging(_)
            | Session::Ended { .. } => None,
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
}
