//! What holds after any sequence of commands, also repeated and senseless ones.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::Decider as _;
use crate::ids::{PaymentId, RefundId, SessionId, UserId};
use crate::testing::id;
use crate::units::Money;

/// Few ids and small amounts, so that commands meet.
fn commands() -> impl Strategy<Value = Vec<WalletCommand>> {
    let user_id: UserId = id(1);
    let amount = || (-1_i64..60).prop_map(Money::from_fen);
    let session = || (0_u128..6).prop_map(id::<SessionId>);
    let part = || {
        (0_u128..8, 0_u128..8)
            .prop_map(|(refund, payment)| RefundId::derived(id::<RefundId>(refund).0, &id::<PaymentId>(payment).to_string()))
    };
    let command = prop_oneof![
        4 => (0_u128..8, amount()).prop_map(move |(payment, amount)| WalletCommand::TopUp { user_id, payment_id: id(payment), amount }),
        3 => (session(), amount()).prop_map(move |(session_id, amount)| WalletCommand::Hold { user_id, session_id, amount }),
        3 => (session(), amount()).prop_map(move |(session_id, due)| WalletCommand::Capture { user_id, session_id, due }),
        1 => session().prop_map(move |session_id| WalletCommand::Release { user_id, session_id }),
        1 => (session(), amount()).prop_map(move |(session_id, amount)| WalletCommand::Credit { user_id, session_id, amount }),
        2 => (0_u128..8, amount()).prop_map(move |(refund, amount)| WalletCommand::RequestRefund { user_id, refund_id: id(refund), amount, reason: None }),
        2 => part().prop_map(move |refund_id| WalletCommand::ReportRefundPartSucceeded { user_id, refund_id }),
        2 => part().prop_map(move |refund_id| WalletCommand::ReportRefundPartFailed { user_id, refund_id }),
    ];
    proptest::collection::vec(command, 0..80)
}

/// The balance and the held sum, added up by somebody who trusts no field but the amounts.
fn moved(event: &WalletEvent) -> (Money, Money) {
    match *event {
        WalletEvent::ToppedUp { amount, .. } | WalletEvent::Credited { amount, .. } | WalletEvent::RefundPartFailed { amount, .. } => {
            (amount, Money::ZERO)
        }
        WalletEvent::Held { amount, .. } => (Money::ZERO, amount),
        WalletEvent::Released { amount, .. } => (Money::ZERO, -amount),
        WalletEvent::Captured { amount, .. } | WalletEvent::RefundRequested { amount, .. } => (-amount, Money::ZERO),
        WalletEvent::RefundPartSucceeded { .. } => (Money::ZERO, Money::ZERO),
    }
}

proptest! {
    #[test]
    fn what_is_available_is_never_negative_and_every_statement_line_adds_up(commands in commands()) {
        let mut wallet = Wallet::default();
        let mut balance = Money::ZERO;
        let mut returned: BTreeMap<PaymentId, Money> = BTreeMap::new();
        let mut topped_up: BTreeMap<PaymentId, Money> = BTreeMap::new();
        for command in commands {
            let Ok(events) = wallet.decide(command) else { continue };
            for event in events {
                let held_before = wallet.held();
                wallet = wallet.evolve(&event);
                let (balance_moved, held_moved) = moved(&event);
                balance += balance_moved;
                prop_assert_eq!(event.balance(), balance);
                // A capture says by its fields how much of the hold it took; every other event says it by its amount.
                if let WalletEvent::Captured { amount, .. } = event {
                    let from_hold = held_before - event.held();
                    prop_assert!(!from_hold.is_negative() && from_hold <= amount);
                } else {
                    prop_assert_eq!(event.held(), held_before + held_moved);
                }
                prop_assert!(!wallet.available().is_negative());
                prop_assert!(!wallet.held().is_negative());
                prop_assert_eq!(wallet.sources.total(), wallet.balance());
                prop_assert_eq!(wallet.holds.values().copied().sum::<Money>(), wallet.held());
                match event {
                    WalletEvent::ToppedUp { payment_id, amount, .. } => *topped_up.entry(payment_id).or_default() += amount,
                    WalletEvent::RefundRequested { amount, parts, .. } => {
                        prop_assert_eq!(parts.iter().map(|part| part.amount).sum::<Money>(), amount);
                        parts.iter().for_each(|part| *returned.entry(part.payment_id).or_default() += part.amount);
                    }
                    WalletEvent::RefundPartFailed { payment_id, amount, .. } => *returned.entry(payment_id).or_default() -= amount,
                    WalletEvent::Held { .. } | WalletEvent::Released { .. } | WalletEvent::Captured { .. }
                    | WalletEvent::Credited { .. } | WalletEvent::RefundPartSucceeded { .. } => {}
                }
            }
        }
        for (payment_id, returned) in returned {
            prop_assert!(returned <= topped_up[&payment_id], "no payment gets back more than it brought");
        }
    }
}

#[test]
fn a_long_lived_wallet_stays_small() {
    let user_id: UserId = id(1);
    let mut wallet = Wallet::default();
    for number in 0..1_000_u128 {
        let session_id: SessionId = id(number);
        let commands = [
            WalletCommand::TopUp { user_id, payment_id: id(number), amount: Money::from_fen(3_000) },
            WalletCommand::Hold { user_id, session_id, amount: Money::from_fen(2_000) },
            WalletCommand::Capture { user_id, session_id, due: Money::from_fen(2_000) },
            WalletCommand::RequestRefund { user_id, refund_id: id(number), amount: Money::from_fen(1_000), reason: None },
        ];
        for command in commands {
            wallet = wallet.decide(command).unwrap().iter().fold(wallet, Wallet::evolve);
        }
        for refund_id in wallet.returning.keys().copied().collect::<Vec<_>>() {
            let command = WalletCommand::ReportRefundPartSucceeded { user_id, refund_id };
            wallet = wallet.decide(command).unwrap().iter().fold(wallet, Wallet::evolve);
        }
    }
    assert_eq!(wallet.balance(), Money::ZERO);
    assert!(wallet.holds.is_empty() && wallet.returning.is_empty());
    assert_eq!((wallet.past.len(), wallet.refunds.len()), (REMEMBERED_MAX, REMEMBERED_MAX));
    assert!(wallet.sources.iter().count() <= REMEMBERED_MAX);
    // A credit for a session that is long forgotten is in the balance, and has no payment that it could go back to.
    let credit = WalletCommand::Credit { user_id, session_id: id(0), amount: Money::from_fen(200_000) };
    let wallet = wallet.decide(credit).unwrap().iter().fold(wallet, Wallet::evolve);
    let refundable = Money::from_fen(i64::try_from(REMEMBERED_MAX).unwrap() * 2_000);
    assert_eq!((wallet.available(), wallet.refundable()), (Money::from_fen(200_000), refundable));
    let amount = refundable + Money::from_fen(1);
    let refused = wallet.decide(WalletCommand::RequestRefund { user_id, refund_id: id(9_999), amount, reason: None });
    assert_eq!(refused, Err(WalletError::NotRefundable { amount, refundable }));
    // It is spent before the rest.
    let due = Money::from_fen(200_000) - refundable;
    let capture = WalletCommand::Capture { user_id, session_id: id(9_999), due };
    let wallet = wallet.decide(capture).unwrap().iter().fold(wallet, Wallet::evolve);
    assert_eq!((wallet.available(), wallet.refundable()), (refundable, refundable));
}
