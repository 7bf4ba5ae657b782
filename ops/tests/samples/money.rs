//! Payments with their refunds, and wallets.

use domain::event::Event;
use domain::payment::{Channel, PaymentEvent, Purpose};
use domain::testing::at;
use domain::wallet::{RefundPart, WalletEvent};

use super::{of, who};

pub fn all() -> Vec<Event> {
    let payments = payments().into_iter().chain(refunds()).map(Event::from);
    payments.chain(wallets().into_iter().map(Event::from)).collect()
}

fn payments() -> Vec<PaymentEvent> {
    let (payment_id, user_id, channel, amount) = (who::payment(), who::user(), Channel::Sandbox, of("50.00"));
    let purpose = Purpose::Prepayment { session_id: who::session() };
    let transaction = || "sandbox-0001".to_owned();
    vec![
        PaymentEvent::Initiated {
            payment_id,
            user_id,
            channel,
            purpose,
            amount,
            payment_no: "P2026030110000000000001".to_owned(),
            expires_at: at("2026-03-01T10:15:00+08:00"),
        },
        PaymentEvent::Prepared { payment_id, pay_token: "sandbox:P2026030110000000000001".to_owned() },
        PaymentEvent::Succeeded { payment_id, user_id, channel, purpose, amount, channel_transaction: transaction() },
        PaymentEvent::Failed { payment_id, purpose, reason: "insufficient balance".to_owned() },
        PaymentEvent::Closed { payment_id, purpose },
        PaymentEvent::ReceivedLate { payment_id, user_id, channel, amount, channel_transaction: transaction() },
        PaymentEvent::ReceiptAccepted {
            payment_id,
            user_id,
            channel,
            amount: of("49.99"),
            channel_transaction: transaction(),
            note: "the payer typed the amount".to_owned(),
        },
        PaymentEvent::ReceiptApplied { payment_id, user_id, amount, note: "the account is closed; wanted in the wallet".to_owned() },
        PaymentEvent::DisputesClosed { payment_id, note: "given back at the channel on 2 March".to_owned() },
        PaymentEvent::Disputed {
            payment_id,
            reported: of("49.99"),
            channel_transaction: transaction(),
            reason: "50.00 was asked for".to_owned(),
        },
    ]
}

fn refunds() -> Vec<PaymentEvent> {
    let (payment_id, refund_id, user_id, channel, amount) = (who::payment(), who::refund(), who::user(), Channel::Sandbox, of("27.10"));
    let purpose = Purpose::Prepayment { session_id: who::session() };
    vec![
        PaymentEvent::RefundRequested {
            payment_id,
            refund_id,
            user_id,
            channel,
            amount,
            refund_no: "R2026030110500000000001".to_owned(),
            reason: "rest of a prepayment".to_owned(),
            again: false,
        },
        PaymentEvent::RefundSucceeded {
            payment_id,
            refund_id,
            user_id,
            channel,
            purpose,
            amount,
            of_late_receipt: false,
            channel_refund: "sandbox-refund-0001".to_owned(),
        },
        PaymentEvent::RefundFailed { payment_id, refund_id, user_id, purpose, amount, reason: "the account is closed".to_owned() },
        PaymentEvent::RefundDisputed {
            payment_id,
            refund_id,
            reported: Some(of("27.00")),
            channel_refund: Some("sandbox-refund-0001".to_owned()),
            reason: "27.10 was asked for".to_owned(),
        },
    ]
}

fn wallets() -> Vec<WalletEvent> {
    let (user_id, session_id, payment_id, refund_id) = (who::user(), who::session(), who::payment(), who::refund());
    let (balance, held) = (of("100.00"), of("30.00"));
    let amount = of("20.00");
    let parts = vec![RefundPart { payment_id, refund_id, amount }];
    vec![
        WalletEvent::ToppedUp { user_id, payment_id, amount, balance, held },
        WalletEvent::Held { user_id, session_id, amount, balance, held },
        WalletEvent::Released { user_id, session_id, amount, balance, held },
        WalletEvent::Captured { user_id, session_id, due: of("22.90"), amount, balance, held },
        WalletEvent::Credited { user_id, session_id, amount, balance, held },
        WalletEvent::RefundRequested { user_id, refund_id, amount, parts, reason: Some("moved away".to_owned()), balance, held },
        WalletEvent::RefundPartSucceeded { user_id, payment_id, refund_id, amount, balance, held },
        WalletEvent::RefundPartFailed { user_id, payment_id, refund_id, amount, balance, held },
    ]
}
