//! From a basis to money: the price, its correction, the settlement, later payments, and what it costs so far.

use super::decide::{Decision, SessionError, check_note};
use super::event::{MeterReading, PaymentMode, SessionEvent};
use super::state::{Basis, Course, Paid, Session};
use crate::ids::PaymentId;
use crate::pricing::{self, Bill, BillLine, EnergyPoint, FeeKind, PricingError, Usage};
use crate::tariff::{TariffSnapshot, TaxRates};
use crate::time::Timestamp;
use crate::units::{Energy, Money};

impl Session {
    pub(super) fn price(&self, plugged_until: Option<Timestamp>) -> Decision {
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
                // A forced bill has counted idle time up to then; the rest is known when the vehicle leaves.
                if course.must_wait_for_unplugging(plugged_until) {
                    return Ok(vec![]);
                }
                let terms = &course.terms;
                let number = format!("{}-{}", terms.order_number, paid.bills + 1);
                let mut bill = bill_of(course, basis, plugged_until, number)?;
                if let Some(tariff) = &terms.tariff {
                    bill = bill.with_credits_of(replaced, &tariff.terms.tax);
                }
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

    pub(super) fn settle(&self, captured: Money) -> Decision {
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

    pub(super) fn pay_receivable(&self, payment_id: PaymentId, amount: Money) -> Decision {
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

    /// Takes an amount off a bill, by a corrected bill with lines that say so; the service fee first, then idle time, then energy.
    pub(super) fn credit(&self, amount: Money, note: String) -> Decision {
        check_note(&note)?;
        match self {
            Session::Billed { course, basis, bill, paid, .. } => {
                if !amount.is_positive() || amount > bill.total {
                    return Err(SessionError::CreditNotWithinBill { amount, total: bill.total });
                }
                let terms = &course.terms;
                let tariff = terms.tariff.as_ref().ok_or(SessionError::NoTariff)?;
                let mut lines = bill.lines.clone();
                let mut rest = amount;
                for kind in [FeeKind::Service, FeeKind::Idle, FeeKind::Energy] {
                    let part = rest.min(bill.gross(kind));
                    if part.is_positive() {
                        lines.push(BillLine::credit(kind, basis.ended_at, part));
                        rest -= part;
                    }
                }
                let number = format!("{}-{}", terms.order_number, paid.bills + 1);
                let replaced = (**bill).clone();
                let bill = Bill::of_lines(number, bill.energy, lines, &tariff.terms.tax);
                Ok(vec![SessionEvent::BillCorrected { refs: terms.refs, mode: terms.mode, replaced, bill, note }])
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

    pub(super) fn are_funds_used_up(&self, reading: &MeterReading, energy: Energy) -> bool {
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

impl Bill {
    /// This bill with what has been taken off the one before: a new price does not undo a credit. Prices are never negative, so a negative line is one.
    fn with_credits_of(mut self, replaced: &Bill, tax: &TaxRates) -> Bill {
        self.lines.extend(replaced.lines.iter().filter(|line| line.amount.is_negative()).cloned());
        Bill::of_lines(self.bill_number, self.energy, self.lines, tax)
    }
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
            PaymentMode::Prepaid { payment_id, amount, .. } if !course.are_funds_gone => {
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
