//! What a wallet's decisions need to know of its past.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::sources::Sources;
use super::{RefundPart, Source, WalletEvent};
use crate::ids::{RefundId, SessionId};
use crate::units::Money;

/// How many sessions, refunds and spent top-ups that are over a wallet remembers, each.
pub const REMEMBERED_MAX: usize = 64;

/// A session whose hold is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Past {
    pub(super) session_id: SessionId,
    /// What its bill took and has not been given back; none when there was no capture.
    pub(super) captured: Option<Money>,
}

/// A user's wallet.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Wallet {
    balance: Money,
    held: Money,
    pub(super) holds: BTreeMap<SessionId, Money>,
    pub(super) past: VecDeque<Past>,
    pub(super) sources: Sources,
    /// Parts of refunds on their way, by the part's own id.
    pub(super) returning: BTreeMap<RefundId, RefundPart>,
    pub(super) refunds: VecDeque<(RefundId, Money)>,
}

impl Wallet {
    /// What the user has, held or not.
    #[must_use]
    pub fn balance(&self) -> Money {
        self.balance
    }

    /// What is set aside.
    #[must_use]
    pub fn held(&self) -> Money {
        self.held
    }

    /// What can be held, taken or given back now.
    #[must_use]
    pub fn available(&self) -> Money {
        self.balance - self.held
    }

    /// What can go back to the payments it came from now.
    #[must_use]
    pub fn refundable(&self) -> Money {
        self.available().min(self.sources.rest())
    }

    /// What has left the balance and has not arrived: still owed to the user, and so still in 2205.
    #[must_use]
    pub fn returning(&self) -> Money {
        self.returning.values().map(|part| part.amount).sum()
    }

    /// What is set aside for a session.
    #[must_use]
    pub fn hold(&self, session_id: SessionId) -> Option<Money> {
        self.holds.get(&session_id).copied()
    }

    /// The top-ups that are remembered, oldest first.
    pub fn sources(&self) -> impl Iterator<Item = &Source> {
        self.sources.iter()
    }

    pub(super) fn past(&self, session_id: SessionId) -> Option<&Past> {
        self.past.iter().find(|past| past.session_id == session_id)
    }

    /// Whether there may have been sessions that are no longer remembered: what they took is known to themselves alone.
    pub(super) fn has_forgotten_sessions(&self) -> bool {
        self.past.len() >= REMEMBERED_MAX
    }

    pub(super) fn after(mut self, event: &WalletEvent) -> Wallet {
        match event {
            WalletEvent::ToppedUp { payment_id, amount, balance, held, .. } => {
                self.sources.top_up(*payment_id, *amount);
                self.stands_at(*balance, *held)
            }
            WalletEvent::Held { session_id, amount, balance, held, .. } => {
                self.holds.insert(*session_id, *amount);
                self.stands_at(*balance, *held)
            }
            WalletEvent::Released { session_id, balance, held, .. } => {
                self.holds.remove(session_id);
                self.remember(*session_id, None);
                self.stands_at(*balance, *held)
            }
            WalletEvent::Captured { session_id, amount, balance, held, .. } => {
                if let Some(hold) = self.holds.remove(session_id).map(|hold| hold - hold.min(*amount)).filter(|rest| rest.is_positive()) {
                    self.holds.insert(*session_id, hold);
                }
                self.sources.spend(*amount);
                self.remember(*session_id, Some(*amount));
                self.stands_at(*balance, *held)
            }
            WalletEvent::Credited { session_id, amount, balance, held, .. } => {
                self.sources.unspend(*amount);
                if let Some(past) = self.past.iter_mut().find(|past| past.session_id == *session_id) {
                    past.captured = past.captured.map(|captured| captured - *amount);
                }
                self.stands_at(*balance, *held)
            }
            WalletEvent::RefundRequested { refund_id, amount, parts, balance, held, .. } => {
                for part in parts {
                    self.sources.send_back(part);
                    self.returning.insert(part.refund_id, *part);
                }
                self.refunds.push_back((*refund_id, *amount));
                if self.refunds.len() > REMEMBERED_MAX {
                    self.refunds.pop_front();
                }
                self.stands_at(*balance, *held)
            }
            WalletEvent::RefundPartSucceeded { refund_id, balance, held, .. } => {
                if let Some(part) = self.returning.remove(refund_id) {
                    self.sources.arrived(&part);
                }
                self.stands_at(*balance, *held)
            }
            WalletEvent::RefundPartFailed { refund_id, balance, held, .. } => {
                if let Some(part) = self.returning.remove(refund_id) {
                    self.sources.came_back(&part);
                }
                self.stands_at(*balance, *held)
            }
        }
    }

    fn stands_at(self, balance: Money, held: Money) -> Wallet {
        Wallet { balance, held, ..self }
    }

    /// A capture and the release of what it left over are one past session.
    fn remember(&mut self, session_id: SessionId, captured: Option<Money>) {
        match self.past.iter_mut().find(|past| past.session_id == session_id) {
            Some(past) => past.captured = captured.or(past.captured),
            None => self.past.push_back(Past { session_id, captured }),
        }
        if self.past.len() > REMEMBERED_MAX {
            self.past.pop_front();
        }
    }
}
