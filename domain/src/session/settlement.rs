//! A bill meets the money: what is there is applied, what is missing is receivable, what is too much goes back.

use super::decide::{Decision, SessionError};
use super::event::{PaymentMode, SessionEvent};
use super::state::{Course, Paid, Session};
use crate::ids::PaymentId;
use crate::pricing::Bill;
use crate::units::Money;

impl Session {
    pub(super) fn settle(&self, captured: Money) -> Decision {
        if captured.is_negative() {
            return Err(SessionError::AmountNotPositive { amount: captured });
        }
        match self {
            Session::Billed { course, bill, note, paid, is_settled, .. } => {
                let newly = (captured - paid.captured_ever).max(Money::ZERO);
                // A capture that is heard of after the settlement counts all the same.
                if *is_settled && newly.is_zero() {
                    return Ok(vec![]);
                }
                Ok(settlements(course, bill, note.as_deref(), paid, newly))
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
}

impl Course {
    /// What was paid before, if it is there.
    fn prepayment(&self) -> Option<(PaymentId, Money)> {
        match self.terms.mode {
            PaymentMode::Prepaid { payment_id, amount, .. } => (!self.is_unfunded).then_some((payment_id, amount)),
            PaymentMode::Wallet { .. } | PaymentMode::Postpaid => None,
        }
    }
}

/// What is there is applied to what is open: the prepayment as a whole, once, so that its rest goes back; and what the wallet gave since the last time. A
/// higher price after a correction stays receivable. What is paid above the bill, after a lower price or because a payment came twice, goes back to where
/// it came from, the latest payment first, each in a settlement of its own.
fn settlements(course: &Course, bill: &Bill, note: Option<&str>, paid: &Paid, captured: Money) -> Vec<SessionEvent> {
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
        note: note.map(str::to_owned),
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
