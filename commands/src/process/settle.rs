//! From the device's record to the last fen: bill, apply what is there, send back what is too much.

use domain::connector::ConnectorCommand;
use domain::event::Event;
use domain::ids::{PaymentId, RefundId};
use domain::log::Recorded;
use domain::payment::{PaymentCommand, PaymentEvent, Purpose};
use domain::session::{PaymentMode, SessionCommand, SessionEvent, SessionRefs};
use domain::units::Money;
use domain::wallet::{WalletCommand, WalletEvent};

use super::{Action, Step};
use crate::port::refund_no;

/// What the event calls for.
#[must_use]
pub fn react(recorded: &Recorded<Event>) -> Vec<Step> {
    match &recorded.event {
        Event::Session(event) => on_session(event, recorded),
        Event::Wallet(WalletEvent::Captured { session_id, amount, .. }) => {
            vec![Step::new("settle", Action::Session(*session_id, SessionCommand::Settle { captured: *amount }))]
        }
        Event::Payment(PaymentEvent::Succeeded { payment_id, user_id, purpose, amount, .. }) => match purpose {
            Purpose::TopUp => {
                let top_up = WalletCommand::TopUp { user_id: *user_id, payment_id: *payment_id, amount: *amount };
                vec![Step::new("top up", Action::Wallet(*user_id, top_up))]
            }
            Purpose::Postpaid { session_id } => {
                let pay = SessionCommand::PayReceivable { payment_id: *payment_id, amount: *amount };
                let back = refund(recorded, *payment_id, *amount, "nothing was owed for the session");
                vec![Step::new("pay receivable", Action::Session(*session_id, pay)).or(back)]
            }
            Purpose::Prepayment { .. } => vec![],
        },
        Event::Payment(PaymentEvent::ReceiptApplied { payment_id, user_id, amount, .. }) => {
            let top_up = WalletCommand::TopUp { user_id: *user_id, payment_id: *payment_id, amount: *amount };
            vec![Step::new("top up", Action::Wallet(*user_id, top_up))]
        }
        _ => vec![],
    }
}

fn on_session(event: &SessionEvent, recorded: &Recorded<Event>) -> Vec<Step> {
    let bill =
        |refs: &SessionRefs, plugged_until| Step::new("bill", Action::Session(refs.session_id, SessionCommand::Bill { plugged_until }));
    let settle =
        |refs: &SessionRefs| Step::new("settle", Action::Session(refs.session_id, SessionCommand::Settle { captured: Money::ZERO }));
    let release = |refs: &SessionRefs| {
        Step::new("release", Action::Connector(refs.connector_id, ConnectorCommand::Release { session_id: refs.session_id }))
    };
    match event {
        // What cannot be priced waits for a person; the connector must not wait with it.
        SessionEvent::RecordAccepted { refs, .. } => vec![bill(refs, None).or(release(refs))],
        // Whoever closes a session by hand says when it ended. Nobody is charged for a vehicle that may have left long ago.
        SessionEvent::ClosedByOperator { refs, ended_at, .. } => vec![bill(refs, Some(*ended_at)).or(release(refs))],
        SessionEvent::Unplugged { refs, .. } => vec![release(refs), bill(refs, None)],
        // Whatever becomes of the money, the connector must not stay locked.
        SessionEvent::RecordDisputed { refs, .. } | SessionEvent::Abandoned { refs } => vec![release(refs)],
        SessionEvent::Billed { refs, mode, bill } => {
            let pay = match (mode, refs.user_id) {
                (PaymentMode::Wallet { .. }, Some(user_id)) => {
                    let capture = WalletCommand::Capture { user_id, session_id: refs.session_id, due: bill.total };
                    Step::new("capture", Action::Wallet(user_id, capture)).or(settle(refs))
                }
                (PaymentMode::Wallet { .. }, None) | (PaymentMode::Prepaid { .. } | PaymentMode::Postpaid, _) => settle(refs),
            };
            vec![release(refs), pay]
        }
        SessionEvent::BillCorrected { refs, .. } => vec![settle(refs)],
        SessionEvent::Settled { refs, captured, refund: back, refund_to, note, .. } => {
            let mut steps = Vec::new();
            if let Some(payment_id) = refund_to.filter(|_| back.is_positive()) {
                let reason = note.as_deref().unwrap_or("what the session did not use");
                steps.push(refund(recorded, payment_id, *back, reason));
            }
            if let Some(user_id) = refs.user_id.filter(|_| captured.is_negative()) {
                let credit = WalletCommand::Credit { user_id, session_id: refs.session_id, amount: -*captured };
                steps.push(Step::new("credit", Action::Wallet(user_id, credit)));
            }
            steps
        }
        SessionEvent::ReceivablePaid { payment_id, excess, .. } if excess.is_positive() => {
            vec![refund(recorded, *payment_id, *excess, "more than was owed for the session")]
        }
        _ => vec![],
    }
}

/// Money back to a payment, under an id that comes from the cause: the same cause never refunds twice.
fn refund(recorded: &Recorded<Event>, payment_id: PaymentId, amount: Money, reason: &str) -> Step {
    let refund_id = RefundId::derived(recorded.metadata.event_id.0, "refund");
    let request = PaymentCommand::RequestRefund {
        payment_id,
        refund_id,
        amount,
        refund_no: refund_no(payment_id, refund_id),
        reason: reason.to_owned(),
    };
    Step::new("refund", Action::Payment(payment_id, request))
}
