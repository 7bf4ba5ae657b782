//! The books against independent sums: any history of payments, wallets and bills leaves them balanced and tied out.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::tests::{bill, recorded, refs};
use super::*;
use crate::Decider as _;
use crate::agency::tests::ownership;
use crate::event::Event;
use crate::ids::{PaymentId, RefundId, SessionId, UserId};
use crate::payment::{Channel, Payment, PaymentCommand, PaymentEvent, PaymentStatus, Purpose, RefundOutcome, Resolution};
use crate::pricing::Bill;
use crate::session::{PaymentMode, SessionEvent};
use crate::testing::{at, id};
use crate::units::Money;
use crate::wallet::{RefundPart, Wallet, WalletCommand, WalletEvent};

/// What comes from outside. Numbers are small, so that things meet: payments 0–1 top up, 2–3 are prepayments of sessions 2–3, and 4–5 pay sessions 4–5.
#[derive(Debug, Clone, Copy)]
enum Step {
    Initiate(u128, i64),
    Paid { payment: u128, more: i64, transaction: u8 },
    PaymentFailed(u128),
    Close(u128),
    Resolve { payment: u128, transaction: u8, apply: bool },
    RefundPayment { payment: u128, refund: u128, fen: i64 },
    Refunded { refund: usize, transaction: u8 },
    RefundFailed(usize),
    Hold(u128, i64),
    Release(u128),
    RefundWallet(u128, i64),
    Bill(u128, i64, i64),
    CorrectDown(u128, i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let payment = || 0_u128..6;
    let step = prop_oneof![
        4 => (payment(), 1_i64..9_000).prop_map(|(payment, fen)| Step::Initiate(payment, fen)),
        6 => (payment(), prop_oneof![9 => Just(0_i64), 1 => -1_i64..2], 0_u8..8)
            .prop_map(|(payment, more, transaction)| Step::Paid { payment, more, transaction: transaction / 7 }),
        1 => payment().prop_map(Step::PaymentFailed),
        1 => payment().prop_map(Step::Close),
        2 => (payment(), 0_u8..2, any::<bool>()).prop_map(|(payment, transaction, apply)| Step::Resolve { payment, transaction, apply }),
        2 => (2_u128..6, 0_u128..8, 1_i64..5_000).prop_map(|(payment, refund, fen)| Step::RefundPayment { payment, refund, fen }),
        4 => (0_usize..16, 0_u8..8).prop_map(|(refund, transaction)| Step::Refunded { refund, transaction: transaction / 7 }),
        2 => (0_usize..16).prop_map(Step::RefundFailed),
        1 => (0_u128..2, 1_i64..4_000).prop_map(|(session, fen)| Step::Hold(session, fen)),
        1 => (0_u128..2).prop_map(Step::Release),
        2 => (0_u128..8, 1_i64..5_000).prop_map(|(refund, fen)| Step::RefundWallet(refund, fen)),
        3 => (payment(), 0_i64..4_000, 0_i64..2_000).prop_map(|(session, energy, service)| Step::Bill(session, energy, service)),
        1 => (0_u128..2, 1_i64..2_000).prop_map(|(session, fen)| Step::CorrectDown(session, fen)),
    ];
    proptest::collection::vec(step, 0..120)
}

fn purpose(payment: u128) -> Purpose {
    match payment {
        0..2 => Purpose::TopUp,
        2..4 => Purpose::Prepayment { session_id: id(payment) },
        _ => Purpose::Postpaid { session_id: id(payment) },
    }
}

/// Every bill is divided; rules that do not know how post it whole.
fn divided(energy: Money, service: Money) -> Bill {
    bill(energy, service).divided(Some(&ownership("5", "12.5").terms()))
}

/// One user's payments, wallet and sessions, and the process managers between them at their simplest.
#[derive(Default)]
struct World {
    payments: BTreeMap<PaymentId, Payment>,
    wallet: Wallet,
    /// Every refund that was asked for, for the channel to answer.
    refunds: Vec<(PaymentId, RefundId, Money)>,
    bills: BTreeMap<SessionId, Bill>,
    applied: Money,
    captured: Money,
    log: Vec<Event>,
}

impl World {
    fn user() -> UserId {
        id(2)
    }

    fn run(&mut self, step: Step) {
        let user_id = World::user();
        match step {
            Step::Initiate(payment, fen) => self.pay(PaymentCommand::Initiate {
                payment_id: id(payment),
                user_id,
                channel: Channel::Sandbox,
                purpose: purpose(payment),
                amount: Money::from_fen(fen),
                payment_no: payment.to_string(),
                expires_at: at("2026-03-01T08:45:00Z"),
            }),
            Step::Paid { payment, more, transaction } => {
                let terms = self.payments.get(&id(payment)).and_then(Payment::terms);
                let amount = terms.map_or(Money::ZERO, |terms| terms.amount) + Money::from_fen(more);
                self.pay(PaymentCommand::ReportSucceeded { payment_id: id(payment), amount, channel_transaction: transaction.to_string() });
            }
            Step::PaymentFailed(payment) => {
                self.pay(PaymentCommand::ReportFailed { payment_id: id(payment), reason: "no".to_owned() });
            }
            Step::Close(payment) => self.pay(PaymentCommand::Close { payment_id: id(payment) }),
            Step::Resolve { payment, transaction, apply } => {
                let refund_id = RefundId::derived(id::<PaymentId>(payment).0, "resolved");
                let back = Resolution::Return { refund_id, refund_no: refund_id.to_string() };
                self.pay(PaymentCommand::ResolveReceipt {
                    payment_id: id(payment),
                    channel_transaction: transaction.to_string(),
                    resolution: if apply { Resolution::Apply } else { back },
                    note: "decided".to_owned(),
                });
            }
            // What lies in the wallet comes out of the wallet.
            Step::RefundPayment { payment, .. } if self.is_in_the_wallet(id(payment)) => {}
            Step::RefundPayment { payment, refund, fen } => {
                self.refund(id(payment), RefundId::derived(id::<RefundId>(refund).0, "direct"), Money::from_fen(fen));
            }
            Step::Refunded { refund, transaction } => {
                let Some(&(payment_id, refund_id, amount)) = self.refunds.get(refund) else { return };
                let channel_refund = transaction.to_string();
                self.pay(PaymentCommand::ReportRefundSucceeded { payment_id, refund_id, amount, channel_refund });
            }
            Step::RefundFailed(refund) => {
                let Some(&(payment_id, refund_id, _)) = self.refunds.get(refund) else { return };
                self.pay(PaymentCommand::ReportRefundFailed { payment_id, refund_id, reason: "no".to_owned() });
            }
            Step::Hold(session, fen) => {
                self.move_wallet(WalletCommand::Hold { user_id, session_id: id(session), amount: Money::from_fen(fen) });
            }
            Step::Release(session) => self.move_wallet(WalletCommand::Release { user_id, session_id: id(session) }),
            Step::RefundWallet(refund, fen) => {
                self.move_wallet(WalletCommand::RequestRefund {
                    user_id,
                    refund_id: id(refund),
                    amount: Money::from_fen(fen),
                    reason: None,
                });
            }
            Step::Bill(session, energy, service) => self.bill(session, divided(Money::from_fen(energy), Money::from_fen(service))),
            Step::CorrectDown(session, fen) => self.correct_down(id(session), Money::from_fen(fen)),
        }
    }

    fn is_in_the_wallet(&self, payment_id: PaymentId) -> bool {
        let payment = self.payments.get(&payment_id);
        let is_top_up = payment.and_then(Payment::terms).is_some_and(|terms| terms.purpose == Purpose::TopUp);
        is_top_up && payment.and_then(Payment::receipt).is_some_and(|receipt| !receipt.late)
    }

    fn refund(&mut self, payment_id: PaymentId, refund_id: RefundId, amount: Money) {
        let (refund_no, reason) = (refund_id.to_string(), "rest".to_owned());
        self.pay(PaymentCommand::RequestRefund { payment_id, refund_id, amount, refund_no, reason });
    }

    fn pay(&mut self, command: PaymentCommand) {
        let payment = self.payments.entry(command.payment_id()).or_default();
        let Ok(events) = payment.decide(command) else { return };
        *payment = events.iter().fold(std::mem::take(payment), Payment::evolve);
        for event in events {
            self.log.push(event.clone().into());
            self.follow(&event);
        }
    }

    fn follow(&mut self, event: &PaymentEvent) {
        let user_id = World::user();
        match *event {
            PaymentEvent::Succeeded { payment_id, purpose: Purpose::TopUp, amount, .. } => {
                self.move_wallet(WalletCommand::TopUp { user_id, payment_id, amount });
            }
            PaymentEvent::ReceiptApplied { payment_id, amount, .. } => {
                self.move_wallet(WalletCommand::TopUp { user_id, payment_id, amount });
            }
            PaymentEvent::RefundRequested { payment_id, refund_id, amount, .. } => {
                self.refunds.push((payment_id, refund_id, amount));
            }
            PaymentEvent::RefundSucceeded { refund_id, .. } => {
                self.move_wallet(WalletCommand::ReportRefundPartSucceeded { user_id, refund_id });
            }
            PaymentEvent::RefundFailed { refund_id, .. } => {
                self.move_wallet(WalletCommand::ReportRefundPartFailed { user_id, refund_id });
            }
            _ => {}
        }
    }

    fn move_wallet(&mut self, command: WalletCommand) {
        let Ok(events) = self.wallet.decide(command) else { return };
        for event in events {
            self.wallet = std::mem::take(&mut self.wallet).evolve(&event);
            self.log.push(event.clone().into());
            match event {
                WalletEvent::Captured { amount, .. } => self.captured += amount,
                WalletEvent::Credited { amount, .. } => self.captured -= amount,
                WalletEvent::RefundRequested { parts, .. } => {
                    for RefundPart { payment_id, refund_id, amount } in parts {
                        self.refund(payment_id, refund_id, amount);
                    }
                }
                _ => {}
            }
        }
    }

    /// Sessions 0–1 are paid from the wallet, 2–3 from their prepayment, 4–5 later.
    fn bill(&mut self, session: u128, bill: Bill) {
        let session_id: SessionId = id(session);
        if self.bills.contains_key(&session_id) {
            return;
        }
        let (refs, mode, due) = (refs(Some(World::user())), PaymentMode::Postpaid, bill.total);
        self.bills.insert(session_id, bill.clone());
        self.log.push(SessionEvent::Billed { refs, mode, bill }.into());
        let prepaid = match session {
            0..2 => {
                self.move_wallet(WalletCommand::Capture { user_id: World::user(), session_id, due });
                Money::ZERO
            }
            2..4 => self.payments.get(&id(session)).map_or(Money::ZERO, |payment| match payment.status() {
                PaymentStatus::Succeeded => payment.refundable().min(due),
                _ => Money::ZERO,
            }),
            _ => Money::ZERO,
        };
        self.applied += prepaid;
        let settled = SessionEvent::Settled {
            refs,
            mode,
            due,
            prepaid_applied: prepaid,
            captured: Money::ZERO,
            refund: Money::ZERO,
            refund_to: None,
            receivable: Money::ZERO,
            note: None,
        };
        self.log.push(settled.into());
    }

    fn correct_down(&mut self, session_id: SessionId, amount: Money) {
        let Some(replaced) = self.bills.get(&session_id).cloned() else { return };
        let credit = WalletCommand::Credit { user_id: World::user(), session_id, amount };
        if amount > replaced.total || self.wallet.decide(credit.clone()).is_err() {
            return;
        }
        let bill = divided(replaced.total - amount, Money::ZERO);
        self.bills.insert(session_id, bill.clone());
        let (refs, mode, note) = (refs(Some(World::user())), PaymentMode::Postpaid, "less".to_owned());
        self.log.push(SessionEvent::BillCorrected { refs, mode, replaced, bill, note }.into());
        self.move_wallet(credit);
    }

    /// What payments of some kind have brought and still have, summed from the payments alone.
    fn kept(&self, counts: impl Fn(&Payment) -> bool) -> Money {
        let received = |payment: &Payment| payment.receipt().map_or(Money::ZERO, |receipt| receipt.amount);
        let returned: Money = self
            .refunds
            .iter()
            .filter_map(|(payment_id, refund_id, _)| {
                let payment = &self.payments[payment_id];
                let refund = payment.refund(*refund_id).filter(|_| counts(payment))?;
                matches!(refund.outcome, RefundOutcome::Succeeded { .. }).then_some(refund.amount)
            })
            .sum();
        self.payments.values().filter(|payment| counts(payment)).map(received).sum::<Money>() - returned
    }
}

proptest! {
    #[test]
    fn any_history_leaves_the_books_balanced_and_tied_out(steps in steps(), rules in prop_oneof![Just(RulesVersion::V1), Just(RulesVersion::V2), Just(RulesVersion::V3)]) {
        let mut world = World::default();
        steps.into_iter().for_each(|step| world.run(step));

        let mut sums: BTreeMap<Account, Money> = BTreeMap::new();
        for (event, position) in world.log.iter().zip(1..) {
            let Some(entry) = postings(&recorded(position, event.clone()), rules).unwrap() else { continue };
            prop_assert!(POSTED.contains(&event.name().as_str()));
            prop_assert_eq!(entry.postings().iter().map(|posting| posting.amount).sum::<Money>(), Money::ZERO);
            entry.postings().iter().for_each(|posting| *sums.entry(posting.account).or_default() += posting.amount);
        }

        let sum = |account: Account| sums.get(&account).copied().unwrap_or_default();
        let customer = Customer::User(World::user());
        let is_late = |payment: &Payment| payment.status() == PaymentStatus::ReceivedLate;
        let is_for = |payment: &Payment, wanted: fn(Purpose) -> bool| !is_late(payment) && payment.terms().is_some_and(|terms| wanted(terms.purpose));

        prop_assert_eq!(sum(Account::ChannelClearing(Channel::Sandbox)), world.kept(|_| true));
        prop_assert_eq!(-sum(Account::Unidentified), world.kept(is_late));

        let prepaid = world.kept(|payment| is_for(payment, |purpose| matches!(purpose, Purpose::Prepayment { .. }))) - world.applied;
        prop_assert_eq!(-sum(Account::Prepayment(customer)), prepaid + world.wallet.balance() + world.wallet.returning());

        let billed: Money = world.bills.values().map(|bill| bill.total).sum();
        let later = world.kept(|payment| is_for(payment, |purpose| matches!(purpose, Purpose::Postpaid { .. })));
        prop_assert_eq!(sum(Account::Receivable(customer)), billed - world.applied - world.captured - later);

        let earned: Money = sums.iter().filter(|(account, _)| matches!(account.code(), "2202" | "6001" | "2221")).map(|(_, sum)| -*sum).sum();
        prop_assert_eq!(earned, billed);
    }
}
