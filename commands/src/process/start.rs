//! From the wish to energy: money first, then the connector, then the device. Whatever fails, everything taken goes back.

use domain::connector::ConnectorCommand;
use domain::event::Event;
use domain::ids::RefundId;
use domain::log::Recorded;
use domain::payment::{PaymentCommand, PaymentEvent, Purpose};
use domain::session::{PaymentMode, RefusalReason, SessionCommand, SessionEvent, SessionRefs};
use domain::wallet::{WalletCommand, WalletEvent};

use super::{Action, Step};
use crate::port::{payment_no, refund_no};

/// A device has this long to begin, in seconds.
const START_SECONDS: i64 = 60;
/// A user has this long to pay before a session, in seconds.
const PAY_SECONDS: i64 = 15 * 60;

/// What the event calls for.
#[must_use]
pub fn react(recorded: &Recorded<Event>) -> Vec<Step> {
    match &recorded.event {
        Event::Session(event) => on_session(event, recorded),
        Event::Payment(event) => on_payment(event, recorded),
        Event::Wallet(WalletEvent::Held { user_id, session_id, .. }) => {
            let release = Action::Wallet(*user_id, WalletCommand::Release { user_id: *user_id, session_id: *session_id });
            vec![Step::new("authorise", Action::Session(*session_id, SessionCommand::Authorise)).or(Step::new("release", release))]
        }
        Event::Connector(domain::connector::ConnectorEvent::Occupied { connector_id, session_id, .. }) => {
            let expires_at = recorded.metadata.recorded_at.plus_seconds(START_SECONDS);
            let release = Action::Connector(*connector_id, ConnectorCommand::Release { session_id: *session_id });
            let begin = Action::Session(*session_id, SessionCommand::BeginStart { expires_at });
            vec![Step::new("begin", begin).or(Step::new("release", release))]
        }
        _ => vec![],
    }
}

fn on_session(event: &SessionEvent, recorded: &Recorded<Event>) -> Vec<Step> {
    let refuse = |refs: &SessionRefs, reason| Step::new("refuse", Action::Session(refs.session_id, SessionCommand::Refuse { reason }));
    match event {
        SessionEvent::Requested { refs, mode, .. } => match (mode, refs.user_id) {
            (PaymentMode::Prepaid { payment_id, amount, channel }, Some(user_id)) => {
                let initiate = PaymentCommand::Initiate {
                    payment_id: *payment_id,
                    user_id,
                    channel: *channel,
                    purpose: Purpose::Prepayment { session_id: refs.session_id },
                    amount: *amount,
                    payment_no: payment_no(*payment_id),
                    expires_at: recorded.metadata.recorded_at.plus_seconds(PAY_SECONDS),
                };
                vec![Step::new("initiate", Action::Payment(*payment_id, initiate)).or(refuse(refs, RefusalReason::PaymentFailed))]
            }
            (PaymentMode::Wallet { hold }, Some(user_id)) => {
                let hold = WalletCommand::Hold { user_id, session_id: refs.session_id, amount: *hold };
                vec![Step::new("hold", Action::Wallet(user_id, hold)).or(refuse(refs, RefusalReason::InsufficientFunds))]
            }
            (PaymentMode::Postpaid, _) => {
                vec![Step::new("authorise", Action::Session(refs.session_id, SessionCommand::Authorise))]
            }
            (PaymentMode::Prepaid { .. } | PaymentMode::Wallet { .. }, None) => vec![refuse(refs, RefusalReason::PaymentFailed)],
        },
        SessionEvent::Authorised { refs } => {
            let occupy = Action::Connector(refs.connector_id, ConnectorCommand::Occupy { session_id: refs.session_id });
            vec![Step::new("occupy", occupy).or(refuse(refs, RefusalReason::ConnectorUnavailable))]
        }
        SessionEvent::Starting { refs, expires_at } => {
            vec![Step::new("start device", Action::StartDevice { refs: *refs, expires_at: *expires_at })]
        }
        SessionEvent::Refused { refs, mode, .. } | SessionEvent::StartTimedOut { refs, mode } => {
            let release = Action::Connector(refs.connector_id, ConnectorCommand::Release { session_id: refs.session_id });
            let mut steps = vec![Step::new("release connector", release)];
            match (mode, refs.user_id) {
                (PaymentMode::Prepaid { payment_id, amount, .. }, _) => {
                    let refund_id = RefundId::derived(recorded.metadata.event_id.0, "unused");
                    let refund = PaymentCommand::RequestRefund {
                        payment_id: *payment_id,
                        refund_id,
                        amount: *amount,
                        refund_no: refund_no(*payment_id, refund_id),
                        reason: "the session did not start".to_owned(),
                    };
                    let close = Action::ClosePayment { payment_id: *payment_id };
                    steps.push(Step::new("close payment", close).or(Step::new("refund", Action::Payment(*payment_id, refund))));
                }
                (PaymentMode::Wallet { .. }, Some(user_id)) => {
                    steps.push(Step::new(
                        "release hold",
                        Action::Wallet(user_id, WalletCommand::Release { user_id, session_id: refs.session_id }),
                    ));
                }
                (PaymentMode::Wallet { .. }, None) | (PaymentMode::Postpaid, _) => {}
            }
            steps
        }
        _ => vec![],
    }
}

fn on_payment(event: &PaymentEvent, recorded: &Recorded<Event>) -> Vec<Step> {
    match event {
        PaymentEvent::Succeeded { payment_id, purpose: Purpose::Prepayment { session_id }, amount, .. } => {
            let refund_id = RefundId::derived(recorded.metadata.event_id.0, "unused");
            let refund = PaymentCommand::RequestRefund {
                payment_id: *payment_id,
                refund_id,
                amount: *amount,
                refund_no: refund_no(*payment_id, refund_id),
                reason: "the session had been given up".to_owned(),
            };
            let authorise = Action::Session(*session_id, SessionCommand::Authorise);
            vec![Step::new("authorise", authorise).or(Step::new("refund", Action::Payment(*payment_id, refund)))]
        }
        PaymentEvent::Failed { purpose: Purpose::Prepayment { session_id }, .. }
        | PaymentEvent::Closed { purpose: Purpose::Prepayment { session_id }, .. } => {
            let refuse = SessionCommand::Refuse { reason: RefusalReason::PaymentFailed };
            vec![Step::new("refuse", Action::Session(*session_id, refuse))]
        }
        _ => vec![],
    }
}
