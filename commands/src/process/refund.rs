//! What goes to channels and devices, and what comes back from refunds. Everything is sent under a number that never changes, so that sending it again is the
//! same wish and not a second one.

use domain::event::Event;
use domain::ids::RefundId;
use domain::log::Recorded;
use domain::payment::{PaymentCommand, PaymentEvent, Purpose, Resolution};
use domain::session::SessionEvent;
use domain::wallet::{WalletCommand, WalletEvent};

use super::{Action, Step};
use crate::port::refund_no;

/// What the event calls for.
#[must_use]
pub fn react(recorded: &Recorded<Event>) -> Vec<Step> {
    match &recorded.event {
        Event::Payment(event) => on_payment(event, recorded),
        Event::Session(SessionEvent::StopRequested { refs, reason }) => {
            vec![Step::new("stop device", Action::StopDevice { refs: *refs, reason: *reason })]
        }
        Event::Wallet(WalletEvent::RefundRequested { user_id, parts, reason, .. }) => parts
            .iter()
            .map(|part| {
                let request = PaymentCommand::RequestRefund {
                    payment_id: part.payment_id,
                    refund_id: part.refund_id,
                    amount: part.amount,
                    refund_no: refund_no(part.payment_id, part.refund_id),
                    reason: reason.clone().unwrap_or_else(|| "refund of the wallet".to_owned()),
                };
                let keep = WalletCommand::ReportRefundPartFailed { user_id: *user_id, refund_id: part.refund_id };
                // A part that its payment does not give back stays the user's.
                Step::new("refund part", Action::Payment(part.payment_id, request))
                    .or(Step::new("keep part", Action::Wallet(*user_id, keep)))
            })
            .collect(),
        _ => vec![],
    }
}

fn on_payment(event: &PaymentEvent, recorded: &Recorded<Event>) -> Vec<Step> {
    match event {
        PaymentEvent::Initiated { payment_id, channel, amount, expires_at, .. } => {
            let collect = Action::Collect { payment_id: *payment_id, channel: *channel, amount: *amount, expires_at: *expires_at };
            vec![Step::new("collect", collect)]
        }
        // All of it, unless staff were faster and have decided otherwise.
        PaymentEvent::ReceivedLate { payment_id, channel_transaction, .. } => {
            let refund_id = RefundId::derived(recorded.metadata.event_id.0, "late");
            let give_back = PaymentCommand::ResolveReceipt {
                payment_id: *payment_id,
                channel_transaction: channel_transaction.clone(),
                resolution: Resolution::Return { refund_id, refund_no: refund_no(*payment_id, refund_id) },
                note: "the payment came after it had been closed".to_owned(),
            };
            vec![Step::new("refund", Action::Payment(*payment_id, give_back))]
        }
        PaymentEvent::RefundRequested { payment_id, channel, refund_no, amount, reason, .. } => {
            let give_back = Action::GiveBack {
                payment_id: *payment_id,
                channel: *channel,
                refund_no: refund_no.clone(),
                amount: *amount,
                reason: reason.clone(),
            };
            vec![Step::new("give back", give_back)]
        }
        PaymentEvent::RefundSucceeded { refund_id, user_id, purpose: Purpose::TopUp, .. } => {
            let report = WalletCommand::ReportRefundPartSucceeded { user_id: *user_id, refund_id: *refund_id };
            vec![Step::new("part back", Action::Wallet(*user_id, report))]
        }
        PaymentEvent::RefundFailed { refund_id, user_id, purpose: Purpose::TopUp, .. } => {
            let report = WalletCommand::ReportRefundPartFailed { user_id: *user_id, refund_id: *refund_id };
            vec![Step::new("part not back", Action::Wallet(*user_id, report))]
        }
        _ => vec![],
    }
}
