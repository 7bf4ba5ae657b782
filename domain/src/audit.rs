//! The books, summed again from the raw log, and tied to sums that do not come from the postings.
//!
//! Balanced by construction is not proof. An [`Audit`] takes in every event once, in order, posts it by the rules of its time, and beside that keeps what users have paid before,
//! what bills are open and what channels hold, from the figures that payments, wallets and sessions themselves state. [`Audit::findings`] says where the two differ.
//!
//! Memory is bounded by users and open items, not by the log. What is on its way between two streams (a top-up that has been paid and not yet reached its wallet) is
//! accounted for, so that the tie-outs hold at every position, not only at rest.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use crate::event::Event;
use crate::ids::{OperatorId, PaymentId, SessionId, UserId};
use crate::journal::{Account, AdoptedRules, Customer, postings};
use crate::log::{Position, Recorded};
use crate::payment::{Channel, PaymentEvent, Purpose};
use crate::session::{PaymentMode, SessionEvent};
use crate::units::Money;
use crate::wallet::WalletEvent;

/// At most this many findings are kept; the first ones tell the most.
const FINDINGS_MAX: usize = 1_000;

/// Something that does not agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where in the log, when it belongs to one event.
    pub position: Option<Position>,
    /// What does not agree, with both figures.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some(position) => write!(f, "position {position}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

/// The sums of a trial balance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Of all debits.
    pub debit: Money,
    /// Of all credits.
    pub credit: Money,
    /// How many entries.
    pub entries: u64,
}

/// The books, summed again.
#[derive(Debug, Default)]
pub struct Audit {
    rules: AdoptedRules,
    balances: BTreeMap<Account, Money>,
    totals: Totals,
    findings: Vec<Finding>,
    /// What is left of each prepayment; a payment that is used up is dropped.
    prepayments: HashMap<PaymentId, (UserId, Money)>,
    /// What each wallet says its balance is.
    wallets: HashMap<UserId, Money>,
    /// Top-ups paid and not yet in the wallet, and wallet refunds that have left the balance and not yet the books.
    between_wallet_and_channel: HashMap<UserId, Money>,
    /// What each bill that is not paid still comes to, by what the session says.
    open_bills: HashMap<SessionId, (Customer, Money)>,
    /// Paid for a session and not yet applied to it, or to go back.
    paid_ahead: HashMap<PaymentId, (UserId, Money)>,
    /// Given back to a wallet by a corrected bill, and not yet there.
    credits_due: HashMap<SessionId, (Customer, Money)>,
    received: BTreeMap<Channel, Money>,
    /// What came too late or otherwise than agreed, and is neither back nor anybody's.
    unidentified: Money,
    /// What the bills that hold now leave to the owners of stations, worked out again from their lines and rates.
    owners: BTreeMap<OperatorId, Money>,
}

impl Audit {
    /// Takes in the next event of the log.
    pub fn observe(&mut self, recorded: &Recorded<Event>) {
        if let Err(error) = self.rules.apply(recorded) {
            self.find(recorded.position, error.to_string());
        }
        let rules = self.rules.at(recorded.metadata.operator_id, recorded.position);
        match postings(recorded, rules) {
            Ok(None) => {}
            Ok(Some(entry)) => {
                self.totals.entries += 1;
                for posting in entry.postings() {
                    self.totals.debit += posting.debited();
                    self.totals.credit += posting.credited();
                    *self.balances.entry(posting.account).or_default() += posting.amount;
                }
            }
            Err(error) => self.find(recorded.position, error.to_string()),
        }
        match &recorded.event {
            Event::Payment(event) => self.observe_payment(event, recorded.position),
            Event::Wallet(event) => self.observe_wallet(event),
            Event::Session(event) => {
                self.observe_session(event, recorded.position);
                if rules.divide() {
                    self.observe_division(event, recorded.position);
                }
            }
            _ => {}
        }
    }

    fn observe_payment(&mut self, event: &PaymentEvent, position: Position) {
        match event {
            PaymentEvent::Succeeded { payment_id, user_id, channel, purpose, amount, .. } => {
                *self.received.entry(*channel).or_default() += *amount;
                match purpose {
                    Purpose::Prepayment { .. } => move_by(&mut self.prepayments, *payment_id, *user_id, *amount),
                    Purpose::TopUp => *self.between_wallet_and_channel.entry(*user_id).or_default() += *amount,
                    Purpose::Postpaid { .. } => move_by(&mut self.paid_ahead, *payment_id, *user_id, *amount),
                }
            }
            PaymentEvent::ReceivedLate { channel, amount, .. } | PaymentEvent::ReceiptAccepted { channel, amount, .. } => {
                *self.received.entry(*channel).or_default() += *amount;
                self.unidentified += *amount;
            }
            PaymentEvent::ReceiptApplied { user_id, amount, .. } => {
                self.unidentified -= *amount;
                *self.between_wallet_and_channel.entry(*user_id).or_default() += *amount;
            }
            PaymentEvent::RefundSucceeded { payment_id, user_id, channel, purpose, amount, of_late_receipt, .. } => {
                *self.received.entry(*channel).or_default() -= *amount;
                match purpose {
                    _ if *of_late_receipt => self.unidentified -= *amount,
                    Purpose::Prepayment { .. } => {
                        move_by(&mut self.prepayments, *payment_id, *user_id, -*amount);
                        if self.prepayments.get(payment_id).is_some_and(|(_, rest)| rest.is_negative()) {
                            self.find(position, format!("payment {payment_id} gave back more than was left of it"));
                        }
                    }
                    Purpose::TopUp => *self.between_wallet_and_channel.entry(*user_id).or_default() -= *amount,
                    Purpose::Postpaid { .. } => move_by(&mut self.paid_ahead, *payment_id, *user_id, -*amount),
                }
            }
            PaymentEvent::Initiated { .. }
            | PaymentEvent::Prepared { .. }
            | PaymentEvent::Failed { .. }
            | PaymentEvent::Closed { .. }
            | PaymentEvent::Disputed { .. }
            | PaymentEvent::DisputesClosed { .. }
            | PaymentEvent::RefundRequested { .. }
            | PaymentEvent::RefundFailed { .. }
            | PaymentEvent::RefundDisputed { .. } => {}
        }
    }

    fn observe_wallet(&mut self, event: &WalletEvent) {
        self.wallets.insert(event.user_id(), event.balance());
        match event {
            WalletEvent::ToppedUp { user_id, amount, .. } | WalletEvent::RefundPartFailed { user_id, amount, .. } => {
                *self.between_wallet_and_channel.entry(*user_id).or_default() -= *amount;
            }
            WalletEvent::RefundRequested { user_id, amount, .. } => {
                *self.between_wallet_and_channel.entry(*user_id).or_default() += *amount;
            }
            WalletEvent::Captured { user_id, session_id, amount, .. } => {
                move_by(&mut self.open_bills, *session_id, Customer::User(*user_id), -*amount);
            }
            WalletEvent::Credited { user_id, session_id, amount, .. } => {
                move_by(&mut self.credits_due, *session_id, Customer::User(*user_id), -*amount);
            }
            WalletEvent::Held { .. } | WalletEvent::Released { .. } | WalletEvent::RefundPartSucceeded { .. } => {}
        }
    }

    fn observe_session(&mut self, event: &SessionEvent, position: Position) {
        match event {
            SessionEvent::Billed { refs, bill, .. } => {
                move_by(&mut self.open_bills, refs.session_id, refs.user_id.into(), bill.total);
                let lines: Money = bill.lines.iter().map(|line| line.amount).sum();
                if lines != bill.total {
                    self.find(position, format!("the lines of bill {} sum to {lines}, its total is {}", bill.bill_number, bill.total));
                }
            }
            SessionEvent::BillCorrected { refs, replaced, bill, .. } => {
                move_by(&mut self.open_bills, refs.session_id, refs.user_id.into(), bill.total - replaced.total);
            }
            SessionEvent::Settled { refs, mode, prepaid_applied, captured, refund, refund_to, receivable, .. } => {
                let customer: Customer = refs.user_id.into();
                // What the session says is still to be paid holds from here on, whatever was summed up before.
                self.open_bills.remove(&refs.session_id);
                move_by(&mut self.open_bills, refs.session_id, customer, *receivable);
                match (mode, refund_to, refs.user_id) {
                    // A prepayment that is used up goes back nowhere, and is applied all the same.
                    (PaymentMode::Prepaid { payment_id, .. }, _, Some(user_id)) if !prepaid_applied.is_zero() => {
                        move_by(&mut self.prepayments, *payment_id, user_id, -*prepaid_applied);
                    }
                    // A later payment gives back what a corrected bill no longer asks for.
                    (_, Some(payment_id), Some(user_id)) if !self.prepayments.contains_key(payment_id) => {
                        move_by(&mut self.paid_ahead, *payment_id, user_id, *refund);
                    }
                    _ => {}
                }
                if captured.is_negative() {
                    move_by(&mut self.credits_due, refs.session_id, customer, -*captured);
                }
            }
            SessionEvent::ReceivablePaid { refs, payment_id, amount, receivable, .. } => {
                self.open_bills.remove(&refs.session_id);
                move_by(&mut self.open_bills, refs.session_id, refs.user_id.into(), *receivable);
                if let Some(user_id) = refs.user_id {
                    move_by(&mut self.paid_ahead, *payment_id, user_id, -*amount);
                }
            }
            _ => {}
        }
    }

    /// What a bill leaves to the station's owner: its lines less the commissions, by the rates that it names.
    fn observe_division(&mut self, event: &SessionEvent, position: Position) {
        let (replaced, bill) = match event {
            SessionEvent::Billed { bill, .. } => (None, bill),
            SessionEvent::BillCorrected { replaced, bill, .. } => (Some(replaced), bill),
            _ => return,
        };
        if let Some(division) = &bill.division {
            let part = division.owner_part_of_lines(bill);
            *self.owners.entry(division.owner_id).or_default() += part;
            if part != division.owner_part {
                let (number, stated) = (&bill.bill_number, division.owner_part);
                self.find(position, format!("bill {number} leaves {stated} to the station's owner; its lines and rates leave {part}"));
            }
        }
        if let Some((division, replaced)) = replaced.and_then(|replaced| Some((replaced.division.as_ref()?, replaced))) {
            *self.owners.entry(division.owner_id).or_default() -= division.owner_part_of_lines(replaced);
        }
    }

    fn find(&mut self, position: Position, what: String) {
        self.note(Finding { position: Some(position), what });
    }

    /// Adds a finding from elsewhere: an event that cannot be read, a broken chain.
    pub fn note(&mut self, finding: Finding) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        }
    }

    /// The sums of the trial balance.
    #[must_use]
    pub const fn totals(&self) -> Totals {
        self.totals
    }

    /// Every account that ever moved, debits less credits.
    #[must_use]
    pub const fn balances(&self) -> &BTreeMap<Account, Money> {
        &self.balances
    }

    /// What the books say a channel holds.
    #[must_use]
    pub fn at_channel(&self, channel: Channel) -> Money {
        self.balances.get(&Account::ChannelClearing(channel)).copied().unwrap_or_default()
    }

    /// Everything that does not agree. Empty is good.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        let mut findings = self.findings.clone();
        let mut differ = |what: String| findings.push(Finding { position: None, what });
        if self.totals.debit != self.totals.credit {
            differ(format!("debits of {} and credits of {}", self.totals.debit, self.totals.credit));
        }
        let mut prepaid: BTreeMap<Customer, Money> = BTreeMap::new();
        for (user, amount) in self
            .prepayments
            .values()
            .copied()
            .chain(self.wallets.iter().map(by_user))
            .chain(self.between_wallet_and_channel.iter().map(by_user))
        {
            *prepaid.entry(Customer::User(user)).or_default() += amount;
        }
        let mut owed: BTreeMap<Customer, Money> = BTreeMap::new();
        for (customer, amount) in self.open_bills.values() {
            *owed.entry(*customer).or_default() += *amount;
        }
        for (user, amount) in self.paid_ahead.values() {
            *owed.entry(Customer::User(*user)).or_default() -= *amount;
        }
        for (customer, amount) in self.credits_due.values() {
            *owed.entry(*customer).or_default() -= *amount;
        }
        let mut owners = self.owners.clone();
        for (account, balance) in &self.balances {
            let (independent, source) = match account {
                Account::Prepayment(customer) => (-prepaid.remove(customer).unwrap_or_default(), "prepayments and wallet"),
                Account::Receivable(customer) => (owed.remove(customer).unwrap_or_default(), "open bills"),
                Account::ChannelClearing(channel) => (self.received.get(channel).copied().unwrap_or_default(), "payments less refunds"),
                Account::OperatorPayable(owner) => (-owners.remove(owner).unwrap_or_default(), "owners' parts of bills"),
                Account::Unidentified => (-self.unidentified, "receipts that belong to nothing"),
                _ => continue,
            };
            if independent != *balance {
                differ(format!("account {account} stands at {balance}; {source} come to {independent}"));
            }
        }
        for (customer, amount) in prepaid.into_iter().filter(|(_, amount)| !amount.is_zero()) {
            differ(format!("{customer:?} has {amount} in prepayments and wallet, and nothing in 2205"));
        }
        for (customer, amount) in owed.into_iter().filter(|(_, amount)| !amount.is_zero()) {
            differ(format!("{customer:?} owes {amount} on open bills, and nothing in 1122"));
        }
        for (owner, amount) in owners.into_iter().filter(|(_, amount)| !amount.is_zero()) {
            differ(format!("owner {owner} is left {amount} by bills, and has nothing in 2202"));
        }
        findings
    }
}

fn by_user((user, amount): (&UserId, &Money)) -> (UserId, Money) {
    (*user, *amount)
}

/// Moves an open item, and drops it when nothing is left.
fn move_by<K: std::hash::Hash + Eq, W: Copy>(items: &mut HashMap<K, (W, Money)>, key: K, whose: W, amount: Money) {
    let rest = items.remove(&key).map_or(Money::ZERO, |(_, rest)| rest) + amount;
    if !rest.is_zero() {
        items.insert(key, (whose, rest));
    }
}
