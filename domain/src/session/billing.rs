//! From a basis to a bill: the price, its correction, what is taken off it, and what it costs so far.

use super::decide::{Decision, SessionError, check_note};
use super::event::SessionEvent;
use super::state::{Basis, Course, Session, Terms};
use crate::pricing::{self, Bill, BillLine, EnergyPoint, FeeKind, LONGEST_DAYS, PricingError, Usage};
use crate::tariff::{TariffSnapshot, TaxRates};
use crate::time::Timestamp;
use crate::units::{Energy, Money};

impl Session {
    pub(super) fn price(&self, plugged_until: Option<Timestamp>) -> Decision {
        match self {
            Session::Finished { course, basis } => {
                if course.must_wait_for_unplugging(basis, plugged_until) {
                    return Ok(vec![]);
                }
                let terms = &course.terms;
                let idle_until = course.idle_until(basis, plugged_until);
                let bill = course.bill(basis, idle_until, terms.order_number.to_string())?.ok_or(SessionError::NoTariff)?;
                let bill = bill.divided(terms.agency.as_deref());
                Ok(vec![SessionEvent::Billed { refs: terms.refs, mode: terms.mode, bill }])
            }
            Session::Billed { course, basis, bill: replaced, paid, .. } => {
                let terms = &course.terms;
                let number = format!("{}-{}", terms.order_number, paid.bills + 1);
                // While nobody knows better, idle time stays as it was billed: asking again later must not lengthen it.
                let idle = replaced.lines.iter().rfind(|line| line.kind == FeeKind::Idle && !is_credit(line));
                let idle_until = course.idle_until(basis, idle.map(|line| line.until));
                let tariff = terms.tariff.as_ref().ok_or(SessionError::NoTariff)?;
                let bill = course.bill(basis, idle_until, number)?.ok_or(SessionError::NoTariff)?;
                let bill = with_credits_of(replaced, bill, basis.ended_at, &tariff.terms.tax).divided(terms.agency.as_deref());
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

    /// Prices for a session that was discovered at a station without any; once, since nobody's prices change afterwards. It is billed in the same breath when what it
    /// delivered is certain: a bill that these prices do not give is refused while a person looks at it.
    pub(super) fn assign_tariff(&self, tariff: TariffSnapshot, note: String) -> Decision {
        check_note(&note)?;
        let terms = self.terms().ok_or(SessionError::Unknown)?;
        match &terms.tariff {
            Some(known) if *known == tariff => return Ok(vec![]),
            Some(_) => return Err(SessionError::HasTariff),
            None => {}
        }
        let assigned = SessionEvent::TariffAssigned { refs: terms.refs, tariff, note };
        let priced = self.clone().evolve_one(&assigned);
        // As when a person closes it: nobody is charged for a vehicle that may have left long ago.
        let plugged_until = priced.basis().map(|basis| basis.ended_at);
        let bill = priced.price(plugged_until)?;
        Ok([assigned].into_iter().chain(bill).collect())
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
                let bill = less(Bill { bill_number, ..replaced.clone() }, amount, basis.ended_at, &tariff.terms.tax)
                    .divided(terms.agency.as_deref());
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
            Session::Finished { course, basis } => {
                course.bill(basis, course.idle_until(basis, Some(at)), course.terms.order_number.to_string())
            }
            Session::Absent | Session::Requested(_) | Session::Authorised(_) | Session::Starting { .. } | Session::NotStarted(_) => {
                Ok(None)
            }
        }
    }
}

impl Terms {
    /// The one way to this session's price: its basis, the believed readings, its tariff. None at a station without a tariff.
    pub(super) fn bill(
        &self,
        basis: &Basis,
        readings: impl IntoIterator<Item = EnergyPoint>,
        idle_until: Option<Timestamp>,
        bill_number: String,
    ) -> Result<Option<Bill>, PricingError> {
        let Some(tariff) = &self.tariff else { return Ok(None) };
        let mut usage = Usage::new(basis.started_at, basis.ended_at, basis.energy, readings)?;
        if let Some(until) = idle_until {
            usage = usage.idle_until(until)?;
        }
        pricing::price(bill_number, tariff, &self.zone, &usage).map(Some)
    }
}

impl Course {
    fn bill(&self, basis: &Basis, idle_until: Option<Timestamp>, bill_number: String) -> Result<Option<Bill>, PricingError> {
        self.terms.bill(basis, self.points.iter().copied(), idle_until, bill_number)
    }

    /// What it costs up to its last believed reading, and with idle time until `at` once it has ended.
    fn cost(&self, at: Timestamp) -> Result<Option<Bill>, PricingError> {
        let (Some(started), Some(last)) = (self.started, self.points.last()) else { return Ok(None) };
        let ended_at = self.ended_at().unwrap_or(last.at).max(started.read_at);
        let basis = Basis { started_at: started.read_at, ended_at, energy: last.energy, record: None };
        let idle_until = self.ended_at().and_then(|_| self.idle_until(&basis, Some(at)));
        self.bill(&basis, idle_until, self.terms.order_number.to_string())
    }

    /// Whether what is set aside is used up at this reading, the latest one.
    pub(super) fn are_funds_used_up(&self, latest: EnergyPoint) -> bool {
        let (Some(funds), Some(started)) = (self.terms.mode.funds(), self.started) else { return false };
        let cost = |started_at| {
            let basis = Basis { started_at, ended_at: latest.at, energy: latest.energy, record: None };
            self.terms.bill(&basis, self.points.iter().copied(), None, String::new())
        };
        // A start from a clock that was never set has no price; the energy has one, at the price of now.
        let bill = cost(started.read_at).or_else(|_| cost(latest.at));
        bill.ok().flatten().is_some_and(|bill| bill.total >= funds)
    }

    /// What an operator's word makes the basis. A start that is too long ago to be billed comes from a clock that was never set; then, as without a
    /// start, all of the energy has the price of the end.
    pub(super) fn basis_by_hand(&self, energy: Energy, ended_at: Timestamp) -> Basis {
        let started_at =
            self.started.map(|started| started.read_at.min(ended_at)).filter(|started_at| is_soon_after(ended_at, *started_at));
        Basis { started_at: started_at.unwrap_or(ended_at), ended_at, energy, record: None }
    }

    /// An operator's word is priced before it is taken, so that nothing is finished that can never be billed.
    pub(super) fn check_price(&self, basis: &Basis) -> Result<(), PricingError> {
        self.bill(basis, None, String::new()).map(|_| ())
    }

    /// When the vehicle left. A time so late that no idle time could be billed until then comes from a clock that was never set.
    fn left_at(&self, basis: &Basis) -> Option<Timestamp> {
        self.unplugged_at.filter(|left_at| is_soon_after(*left_at, basis.ended_at))
    }

    /// Until when the vehicle kept the connector: until it left, or until `plugged_until` as far as that is worth anything. Nobody knows whether the
    /// vehicle was still there when a session was heard of only by its record, was given up, or is long over; such a doubt is not billed.
    fn idle_until(&self, basis: &Basis, plugged_until: Option<Timestamp>) -> Option<Timestamp> {
        let assumed = plugged_until.filter(|until| self.was_watched() && is_soon_after(*until, basis.ended_at));
        self.left_at(basis).or(assumed)
    }

    fn was_watched(&self) -> bool {
        !self.was_given_up && (self.started.is_some() || self.stopped_at.is_some())
    }

    /// Idle time has a price here, and nobody knows yet when the vehicle left.
    fn must_wait_for_unplugging(&self, basis: &Basis, plugged_until: Option<Timestamp>) -> bool {
        let has_idle_fee = self.terms.tariff.as_ref().is_some_and(|tariff| tariff.terms.idle.is_some());
        has_idle_fee && self.was_watched() && self.left_at(basis).is_none() && plugged_until.is_none()
    }
}

/// Not so much later that the time between cannot be billed.
fn is_soon_after(time: Timestamp, earlier: Timestamp) -> bool {
    time.seconds_since(earlier) < LONGEST_DAYS * 86_400
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
