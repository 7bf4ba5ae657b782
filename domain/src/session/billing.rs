//! From a basis to money: the price, its correction, the settlement, later payments, and what it costs so far.

use super::decide::{Decision, SessionError, check_note};
use super::event::{PaymentMode, SessionEvent};
use super::state::{Basis, Course, Paid, Session};
use crate::ids::PaymentId;
use crate::pricing::{self, Bill, BillLine, EnergyPoint, FeeKind, LONGEST_DAYS, PricingError, Usage};
use crate::tariff::{TariffSnapshot, TaxRates};
use crate::time::Timestamp;
use crate::units::Money;

impl Session {
    pub(super) fn price(&self, plugged_until: Option<Timestamp>) -> Decision {
        match self {
            Session::Finished { course, basis } => {
                if course.must_wait_for_unplugging(basis, plugged_until) {
                    return Ok(vec![]);
                }
                let terms = &course.terms;
                let idle_until = course.idle_until(basis, plugged_until);
                let bill = bill_of(course, basis, idle_until, terms.order_number.to_string())?;
                Ok(vec![SessionEvent::Billed { refs: terms.refs, mode: terms.mode, bill }])
            }
            Session::Billed { course, basis, bill: replaced, paid, .. } => {
                let terms = &course.terms;
                let number = format!("{}-{}", terms.order_number, paid.bills + 1);
                // While nobody knows better, idle time stays as it was billed: asking again later must not lengthen it.
                let idle = replaced.lines.iter().rfind(|line| line.kind == FeeKind::Idle && !is_credit(line));
                let bill = bill_of(course, basis, course.idle_until(basis, idle.map(|line| line.until)), number)?;
                let bill = match &terms.tariff {
                    Some(tariff) => with_credits_of(replaced, bill, basis.ended_at, &tariff.terms.tax),
                    None => bill,
                };
                if bill.lines == replaced.lines && bill.energy == replaced.energy {
                    return Ok(vec![]);
                }
                let note = reason_of_correction(replaced, &bill).to_owned();
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
        if captured.is_negative() {
            return Err(SessionError::AmountNotPositive { amount: captured });
        }
        match self {
            Session::Billed { course, bill, paid, is_settled, .. } => {
                let newly = (captured - paid.captured_ever).max(Money::ZERO);
                // A capture that is heard of after the settlement counts all the same.
                if *is_settled && newly.is_zero() {
                    return Ok(vec![]);
                }
                Ok(settlements(course, bill, paid, newly))
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

    pub(super) fn pay_receivable(&self, payment_id: PaymentId, amount: Money) -> Decision {
        if !amount.is_positive() {
            return Err(SessionError::AmountNotPositive { amount });
        }
        match self {
            Session::Billed { paid, .. } if paid.later.iter().any(|later| later.payment_id == payment_id) => Ok(vec![]),
            // The prepayment is applied by the settlement, and by nothing else.
            Session::Billed { course, .. } if course.prepayment().is_some_and(|(known, _)| known == payment_id) => Ok(vec![]),
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
                let replaced = (**bill).clone();
                let bill_number = format!("{}-{}", terms.order_number, paid.bills + 1);
                let bill = less(Bill { bill_number, ..replaced.clone() }, amount, basis.ended_at, &tariff.terms.tax);
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
            Session::Charging(course) | Session::Ended { course, .. } => course.cost(None, at),
            Session::Finished { course, basis } => {
                let Some(tariff) = &course.terms.tariff else { return Ok(None) };
                course.bill(basis, tariff, course.idle_until(basis, Some(at)), course.terms.order_number.to_string(), None).map(Some)
            }
            Session::Absent | Session::Requested(_) | Session::Authorised(_) | Session::Starting { .. } | Session::NotStarted(_) => {
                Ok(None)
            }
        }
    }
}

impl Course {
    /// What it costs up to its last believed reading, `latest` included if it is one more, and with idle time until `at` once it has ended.
    fn cost(&self, latest: Option<EnergyPoint>, at: Timestamp) -> Result<Option<Bill>, PricingError> {
        let (Some(tariff), Some(started)) = (&self.terms.tariff, self.started) else { return Ok(None) };
        let last = latest.or(self.points.last().copied());
        let ended_at = self.ended_at().or(last.map(|point| point.at)).unwrap_or(started.read_at).max(started.read_at);
        let energy = last.map_or(self.energy(), |point| point.energy);
        let basis = Basis { started_at: started.read_at, ended_at, energy, record: None };
        let idle_until = self.ended_at().and_then(|_| self.idle_until(&basis, Some(at)));
        self.bill(&basis, tariff, idle_until, self.terms.order_number.to_string(), latest).map(Some)
    }

    /// The one way to this session's price: its basis, the believed readings, its tariff.
    fn bill(
        &self,
        basis: &Basis,
        tariff: &TariffSnapshot,
        idle_until: Option<Timestamp>,
        bill_number: String,
        latest: Option<EnergyPoint>,
    ) -> Result<Bill, PricingError> {
        let readings = self.points.iter().copied().chain(latest);
        let mut usage = Usage::new(basis.started_at, basis.ended_at, basis.energy, readings)?;
        if let Some(until) = idle_until {
            usage = usage.idle_until(until)?;
        }
        pricing::price(bill_number, tariff, &self.terms.zone, &usage)
    }

    pub(super) fn are_funds_used_up(&self, latest: EnergyPoint) -> bool {
        let Some(funds) = self.terms.mode.funds() else { return false };
        // A price that cannot be computed now is for the bill to complain of.
        self.cost(Some(latest), latest.at).ok().flatten().is_some_and(|bill| bill.total >= funds)
    }

    /// What was paid before, if it is there.
    fn prepayment(&self) -> Option<(PaymentId, Money)> {
        match self.terms.mode {
            PaymentMode::Prepaid { payment_id, amount, .. } => (!self.is_unfunded).then_some((payment_id, amount)),
            PaymentMode::Wallet { .. } | PaymentMode::Postpaid => None,
        }
    }

    /// When the vehicle left. A time so late that no idle time could be billed until then comes from a clock that was never set.
    fn left_at(&self, basis: &Basis) -> Option<Timestamp> {
        self.unplugged_at.filter(|left| left.seconds_since(basis.ended_at) < LONGEST_DAYS * 86_400)
    }

    /// Until when the vehicle kept the connector: until it left, or until `plugged_until` as far as that is worth anything. Of a session that was heard of
    /// only by its record, or that was given up, nobody knows whether the vehicle was still there; such a doubt is not billed.
    fn idle_until(&self, basis: &Basis, plugged_until: Option<Timestamp>) -> Option<Timestamp> {
        self.left_at(basis).or_else(|| plugged_until.filter(|_| self.was_watched()))
    }

    fn was_watched(&self) -> bool {
        !self.was_given_up && (self.started.is_some() || self.stopped_at.is_some())
    }

    /// Idle time has a price here, and nobody knows yet when the vehicle left.
    fn must_wait_for_unplugging(&self, basis: &Basis, plugged_until: Option<Timestamp>) -> bool {
        let has_idle_fee = self.terms.tariff.as_ref().is_some_and(|tariff| tariff.terms.idle.is_some());
        has_idle_fee && self.was_watched() && self.left_at(basis).is_none() && plugged_until.is_none()
    }

    /// Whether no bill can ever come of this basis.
    pub(super) fn has_no_price(&self, basis: &Basis) -> bool {
        match &self.terms.tariff {
            Some(tariff) => self.bill(basis, tariff, self.left_at(basis), String::new(), None).is_err(),
            None => false,
        }
    }
}

fn bill_of(course: &Course, basis: &Basis, idle_until: Option<Timestamp>, bill_number: String) -> Result<Bill, SessionError> {
    let tariff = course.terms.tariff.as_ref().ok_or(SessionError::NoTariff)?;
    Ok(course.bill(basis, tariff, idle_until, bill_number, None)?)
}

/// Prices are never negative, so that a negative line is a credit.
fn is_credit(line: &BillLine) -> bool {
    line.amount.is_negative()
}

/// A bill with an amount taken off, which is not above its total.
fn less(bill: Bill, amount: Money, at: Timestamp, tax: &TaxRates) -> Bill {
    let mut rest = amount;
    let mut lines = bill.lines.clone();
    for kind in [FeeKind::Service, FeeKind::Idle, FeeKind::Energy] {
        let part = rest.min(bill.gross(kind));
        if part.is_positive() {
            lines.push(BillLine::credit(kind, at, part));
            rest -= part;
        }
    }
    Bill::of_lines(bill.bill_number, bill.energy, lines, tax)
}

/// A new price does not undo what has been taken off the bill before, and a credit does not make it less than nothing.
fn with_credits_of(replaced: &Bill, bill: Bill, at: Timestamp, tax: &TaxRates) -> Bill {
    let credits: Vec<BillLine> = replaced.lines.iter().filter(|line| is_credit(line)).cloned().collect();
    if credits.is_empty() {
        return bill;
    }
    let credited: Money = credits.iter().map(|line| -line.amount).sum();
    let lines = bill.lines.iter().cloned().chain(credits).collect();
    let whole = Bill::of_lines(bill.bill_number.clone(), bill.energy, lines, tax);
    let fits = FeeKind::ALL.into_iter().all(|kind| !whole.gross(kind).is_negative());
    let most = credited.min(bill.total);
    if fits { whole } else { less(bill, most, at, tax) }
}

fn reason_of_correction(replaced: &Bill, bill: &Bill) -> &'static str {
    let charged = |bill: &Bill| bill.lines.iter().filter(|line| line.kind != FeeKind::Idle).cloned().collect::<Vec<_>>();
    if bill.energy == replaced.energy && charged(bill) == charged(replaced) {
        "the vehicle left at another time than was billed"
    } else {
        "the device's record came after the bill"
    }
}

/// What is there is applied to what is open: the prepayment as a whole, once, so that its rest goes back; and what the wallet gave since the last time. A
/// higher price after a correction stays receivable. What is paid above the bill, after a lower price or because a payment came twice, goes back to where
/// it came from, the latest payment first, each in a settlement of its own.
fn settlements(course: &Course, bill: &Bill, paid: &Paid, captured: Money) -> Vec<SessionEvent> {
    let terms = &course.terms;
    let due = bill.total;
    let settled = |prepaid_applied, captured, refund: Money, refund_to, receivable| SessionEvent::Settled {
        refs: terms.refs,
        mode: terms.mode,
        due,
        prepaid_applied,
        captured,
        refund,
        refund_to: refund.is_positive().then_some(refund_to).flatten(),
        receivable,
    };
    let open = due - paid.total();
    let (prepayment, amount) = course.prepayment().unzip();
    let unused = amount.filter(|_| !paid.is_prepayment_settled).unwrap_or(Money::ZERO);
    let applied = unused.min(open.max(Money::ZERO));
    let open = open - applied - captured;
    let mut events = Vec::new();
    if !open.is_negative() || unused.is_positive() || captured.is_positive() {
        events.push(settled(applied, captured, unused - applied, prepayment, open.max(Money::ZERO)));
    }
    let mut back = (-open).max(Money::ZERO);
    let mut part = |most: Money| {
        let part = back.min(most);
        back -= part;
        part
    };
    for later in paid.later.iter().rev() {
        let part = part(later.rest());
        if part.is_positive() {
            events.push(settled(Money::ZERO, Money::ZERO, part, Some(later.payment_id), Money::ZERO));
        }
    }
    let from_wallet = part(paid.captured + captured);
    if from_wallet.is_positive() {
        events.push(settled(Money::ZERO, -from_wallet, Money::ZERO, None, Money::ZERO));
    }
    let from_prepayment = part(paid.prepaid + applied);
    if from_prepayment.is_positive() {
        events.push(settled(-from_prepayment, Money::ZERO, from_prepayment, prepayment, Money::ZERO));
    }
    events
}
