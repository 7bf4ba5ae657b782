//! Where a wallet's money came from, and so where it can go back to.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{REMEMBERED_MAX, RefundPart};
use crate::ids::{PaymentId, RefundId};
use crate::units::Money;

/// One top-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The payment that brought it.
    pub payment_id: PaymentId,
    /// How much it brought.
    pub amount: Money,
    /// How much of it is neither spent nor gone back nor on its way back.
    pub rest: Money,
    /// How much of it has been spent.
    pub spent: Money,
    /// How much of it is on its way back.
    pub returning: Money,
}

impl Source {
    /// Nothing of it is left to move.
    fn is_over(&self) -> bool {
        self.rest.is_zero() && self.returning.is_zero()
    }
}

/// All top-ups that matter, oldest first, and money in the balance that belongs to none of them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Sources {
    topped_up: VecDeque<Source>,
    /// Credits for bills that were paid from top-ups no longer remembered. It is spent first, and cannot go back by itself.
    unsourced: Money,
}

impl Sources {
    pub(super) fn find(&self, payment_id: PaymentId) -> Option<&Source> {
        self.topped_up.iter().find(|source| source.payment_id == payment_id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Source> {
        self.topped_up.iter()
    }

    /// What could go back to top-ups, were none of it held.
    pub(super) fn rest(&self) -> Money {
        self.topped_up.iter().map(|source| source.rest).sum()
    }

    /// All of it: always the balance.
    #[cfg(test)]
    pub(super) fn total(&self) -> Money {
        self.rest() + self.unsourced
    }

    pub(super) fn top_up(&mut self, payment_id: PaymentId, amount: Money) {
        self.topped_up.push_back(Source { payment_id, amount, rest: amount, spent: Money::ZERO, returning: Money::ZERO });
        self.forget();
    }

    /// Oldest first; what belongs to no top-up before all.
    pub(super) fn spend(&mut self, amount: Money) {
        let taken = amount.min(self.unsourced);
        self.unsourced -= taken;
        let mut due = amount - taken;
        for source in &mut self.topped_up {
            let taken = due.min(source.rest);
            source.rest -= taken;
            source.spent += taken;
            due -= taken;
        }
        self.forget();
    }

    /// The way back from [`Sources::spend`]: what was spent last comes back first.
    pub(super) fn unspend(&mut self, amount: Money) {
        let mut due = amount;
        for source in self.topped_up.iter_mut().rev() {
            let given = due.min(source.spent);
            source.spent -= given;
            source.rest += given;
            due -= given;
        }
        self.unsourced += due;
    }

    /// `amount` divided over the top-ups, oldest first; each part's refund has the id that belongs to it within the wallet's refund.
    pub(super) fn parts(&self, refund_id: RefundId, amount: Money) -> Vec<RefundPart> {
        let mut due = amount;
        let mut parts = vec![];
        for source in self.topped_up.iter().filter(|source| source.rest.is_positive()) {
            if due.is_zero() {
                break;
            }
            let part = due.min(source.rest);
            due -= part;
            let refund_id = RefundId::derived(refund_id.0, &source.payment_id.to_string());
            parts.push(RefundPart { payment_id: source.payment_id, refund_id, amount: part });
        }
        parts
    }

    pub(super) fn send_back(&mut self, part: &RefundPart) {
        self.change(part.payment_id, |source| {
            source.rest -= part.amount;
            source.returning += part.amount;
        });
    }

    pub(super) fn arrived(&mut self, part: &RefundPart) {
        self.change(part.payment_id, |source| source.returning -= part.amount);
        self.forget();
    }

    pub(super) fn came_back(&mut self, part: &RefundPart) {
        self.change(part.payment_id, |source| {
            source.returning -= part.amount;
            source.rest += part.amount;
        });
    }

    fn change(&mut self, payment_id: PaymentId, change: impl FnOnce(&mut Source)) {
        if let Some(source) = self.topped_up.iter_mut().find(|source| source.payment_id == payment_id) {
            change(source);
        }
    }

    /// Top-ups that are over make room, oldest first.
    fn forget(&mut self) {
        let mut over = self.topped_up.iter().filter(|source| source.is_over()).count();
        self.topped_up.retain(|source| {
            let forgotten = source.is_over() && over > REMEMBERED_MAX;
            over -= usize::from(forgotten);
            !forgotten
        });
    }
}
