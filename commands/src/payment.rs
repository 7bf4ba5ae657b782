//! Paying, refunding, and what channels report.

use domain::decider::Decider;
use domain::ids::{CommandId, PaymentId, RefundId, SessionId, UserId};
use domain::log::{Actor, Revision, StreamId};
use domain::payment::{Channel, Payment, PaymentCommand, PaymentError, Purpose, Resolution};
use domain::session::{LaterPayment, Session, SessionCommand, SessionError};
use domain::units::Money;
use domain::user::User;
use domain::wallet::{Wallet, WalletCommand};
use uuid::Uuid;

use crate::Commands;
use crate::envelope::Envelope;
use crate::error::CommandError;
use crate::handle::{Done, HandleError, Loaded};
use crate::port::{ChannelReport, payment_no, payment_of, refund_no, refund_of};
use crate::request::{Caller, RequestIds};

/// A payment has this long to be made, in seconds.
const PAY_SECONDS: i64 = 15 * 60;

/// What a user pays for on purpose. Prepayments belong to starting a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayFor {
    /// Into the wallet.
    TopUp,
    /// For what a session still owes.
    Session(SessionId),
}

/// Where money that belongs to nothing goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposal {
    /// Back to the payer.
    Return,
    /// Into the user's wallet.
    Apply,
}

impl Commands {
    /// Begins a payment; the process manager makes it known to the channel.
    ///
    /// # Errors
    /// When the user is unknown, the channel is not configured, or the session does not owe as much.
    pub async fn pay(
        &self,
        caller: &Caller,
        ids: &RequestIds,
        user_id: UserId,
        channel: Channel,
        pay_for: PayFor,
        amount: Money,
    ) -> Result<(PaymentId, Done<Payment>), CommandError> {
        self.channel(channel)?;
        let user = StreamId::user(user_id);
        self.owned("user", &user, caller.operator_id).await?;
        self.ledger.load::<User>(&user).await?.state.active()?;
        let payment_id: PaymentId = ids.id("payment");
        let stream = StreamId::payment(payment_id);
        let (purpose, correlation_id) = match pay_for {
            PayFor::TopUp => (Purpose::TopUp, payment_id.0),
            PayFor::Session(session_id) => {
                let session = self.session(caller, session_id).await?.state;
                // Whose debt it is, is whose account is credited: nobody pays for somebody else.
                let is_theirs = session.terms().is_some_and(|terms| terms.refs.user_id == Some(user_id));
                let owed = if is_theirs { owed(&session) } else { Money::ZERO };
                // A repetition is not refused for what has been paid since.
                if amount > owed && self.origin(&stream).await?.is_none() {
                    return Err(CommandError::NotOwed { owed, asked: amount });
                }
                (Purpose::Postpaid { session_id }, session_id.0)
            }
        };
        let initiate = PaymentCommand::Initiate {
            payment_id,
            user_id,
            channel,
            purpose,
            amount,
            payment_no: payment_no(payment_id),
            expires_at: self.ledger.clock().now().plus_seconds(PAY_SECONDS),
        };
        let envelope = caller.envelope(ids.command("initiate payment"), correlation_id);
        Ok((payment_id, self.ledger.handle::<Payment>(&stream, initiate, &envelope).await?))
    }

    /// A payment of this operator, as it is now.
    ///
    /// # Errors
    /// When there is none.
    pub async fn payment(&self, caller: &Caller, payment_id: PaymentId) -> Result<Loaded<Payment>, CommandError> {
        let stream = StreamId::payment(payment_id);
        self.owned("payment", &stream, caller.operator_id).await?;
        Ok(self.ledger.load::<Payment>(&stream).await?)
    }

    /// Asks for money back on a payment, where the books say it lies: a top-up lies in the wallet; what a session's bill has taken comes back by a credit on that
    /// bill. The rest goes back by itself; where its channel would not take it, and for what came too late to be used, it is asked for here.
    ///
    /// # Errors
    /// When there is not as much to give back, or the session still needs it.
    pub async fn refund_payment(
        &self,
        caller: &Caller,
        ids: &RequestIds,
        payment_id: PaymentId,
        amount: Money,
        reason: String,
    ) -> Result<Refunding, CommandError> {
        let Loaded { state: payment, revision } = self.payment(caller, payment_id).await?;
        let Some(terms) = payment.terms().cloned() else {
            return Err(CommandError::NotFound { what: "payment", id: payment_id.to_string() });
        };
        let refund_id: RefundId = ids.id("refund");
        let refund_no = refund_no(payment_id, refund_id);
        let is_late = payment.receipt().is_some_and(|receipt| receipt.late);
        let (session_id, correlation_id) = match terms.purpose {
            Purpose::TopUp => (None, payment_id.0),
            Purpose::Prepayment { session_id } | Purpose::Postpaid { session_id } => (Some(session_id), session_id.0),
        };
        let request = match session_id {
            _ if is_late => PaymentCommand::RequestRefund { payment_id, refund_id, amount, refund_no, reason },
            // The same request goes the same way again, whatever has become of the money since.
            _ if payment.refund(refund_id).is_some() => PaymentCommand::GiveAgain { payment_id, refund_id, amount, refund_no, reason },
            None => {
                let request = WalletCommand::RequestRefund {
                    user_id: terms.user_id,
                    refund_id: ids.id("wallet refund"),
                    amount,
                    reason: Some(reason),
                };
                let (stream, command_id) = (StreamId::wallet(terms.user_id), ids.command("refund wallet"));
                return self
                    .take_back::<Wallet>(caller, ids, revision, &stream, request, (command_id, ids.id::<RefundId>("wallet refund").0))
                    .await;
            }
            Some(session_id) => {
                let (stream, command_id) = (StreamId::session(session_id), ids.command("credit session"));
                let is_credited = self.ledger.has_done::<Session>(&stream, command_id).await?;
                let given_up = payment.given_up();
                if is_credited || amount > given_up {
                    let session = self.ledger.load::<Session>(&stream).await?.state;
                    let used = used_by(&session, payment_id, &terms.purpose)?;
                    if !is_credited && amount > used {
                        return Err(PaymentError::ExceedsRefundable { amount, refundable: used.max(given_up) }.into());
                    }
                    let credit = SessionCommand::Credit { amount, note: reason };
                    return self.take_back::<Session>(caller, ids, revision, &stream, credit, (command_id, correlation_id)).await;
                }
                PaymentCommand::GiveAgain { payment_id, refund_id, amount, refund_no, reason }
            }
        };
        let envelope = caller.envelope(ids.command("refund payment"), correlation_id);
        let done = self.ledger.handle_at::<Payment>(&StreamId::payment(payment_id), request, &envelope, ids.revision()).await?;
        Ok(Refunding { refund_id: Some(refund_id), position: done.position })
    }

    /// Takes back what lies in a wallet or on a bill. The revision that was asked for is the payment's: it counts unless this very request was done already.
    async fn take_back<D: Decider>(
        &self,
        caller: &Caller,
        ids: &RequestIds,
        revision: Option<Revision>,
        stream: &StreamId,
        command: D::Command,
        (command_id, correlation_id): (CommandId, Uuid),
    ) -> Result<Refunding, CommandError>
    where
        CommandError: From<HandleError<D::Error>>,
    {
        if ids.revision().is_some() && ids.revision() != revision && !self.ledger.has_done::<D>(stream, command_id).await? {
            return Err(CommandError::Moved { revision });
        }
        let done = self.ledger.handle::<D>(stream, command, &caller.envelope(command_id, correlation_id)).await?;
        Ok(Refunding { refund_id: None, position: done.position })
    }

    /// Decides about money that belongs to nothing: all that is left of it goes back to the payer, or into the user's wallet.
    ///
    /// # Errors
    /// When the payment is still open, the receipt is none that belongs to nothing, or a refund of it is under way.
    pub async fn resolve_receipt(
        &self,
        caller: &Caller,
        ids: &RequestIds,
        payment_id: PaymentId,
        channel_transaction: String,
        disposal: Disposal,
        note: String,
    ) -> Result<Done<Payment>, CommandError> {
        let resolution = match disposal {
            Disposal::Return => {
                let refund_id: RefundId = ids.id("refund");
                Resolution::Return { refund_id, refund_no: refund_no(payment_id, refund_id) }
            }
            Disposal::Apply => Resolution::Apply,
        };
        let resolve = PaymentCommand::ResolveReceipt { payment_id, channel_transaction, resolution, note };
        self.on_payment(caller, ids, "resolve receipt", payment_id, resolve).await
    }

    /// Closes what a channel has reported in contradiction and somebody has looked into; nothing is booked.
    ///
    /// # Errors
    /// When there is no such payment, or the note is missing.
    pub async fn close_disputes(
        &self,
        caller: &Caller,
        ids: &RequestIds,
        payment_id: PaymentId,
        note: String,
    ) -> Result<Done<Payment>, CommandError> {
        self.on_payment(caller, ids, "close disputes", payment_id, PaymentCommand::CloseDisputes { payment_id, note }).await
    }

    async fn on_payment(
        &self,
        caller: &Caller,
        ids: &RequestIds,
        name: &str,
        payment_id: PaymentId,
        command: PaymentCommand,
    ) -> Result<Done<Payment>, CommandError> {
        let stream = StreamId::payment(payment_id);
        let origin = self.owned("payment", &stream, caller.operator_id).await?;
        let envelope = caller.envelope(ids.command(name), origin.correlation_id);
        Ok(self.ledger.handle_at::<Payment>(&stream, command, &envelope, ids.revision()).await?)
    }

    /// Asks for money back out of a wallet; it goes to the payments it came from, oldest first.
    ///
    /// # Errors
    /// When there is not as much available.
    pub async fn refund_wallet(
        &self,
        caller: &Caller,
        ids: &RequestIds,
        user_id: UserId,
        amount: Money,
        reason: Option<String>,
    ) -> Result<Done<Wallet>, CommandError> {
        self.owned("user", &StreamId::user(user_id), caller.operator_id).await?;
        let refund_id: RefundId = ids.id("wallet refund");
        let envelope = caller.envelope(ids.command("refund wallet"), refund_id.0);
        let request = WalletCommand::RequestRefund { user_id, refund_id, amount, reason };
        Ok(self.ledger.handle_at::<Wallet>(&StreamId::wallet(user_id), request, &envelope, ids.revision()).await?)
    }

    /// Closes an unpaid payment: at its channel first, so that nobody pays into a closed one.
    ///
    /// # Errors
    /// When it has been paid, or the channel does not answer.
    pub async fn close_payment(&self, caller: &Caller, ids: &RequestIds, payment_id: PaymentId) -> Result<Done<Payment>, CommandError> {
        let stream = StreamId::payment(payment_id);
        let origin = self.owned("payment", &stream, caller.operator_id).await?;
        let command_id = ids.command("close payment");
        let revision = self.ledger.load::<Payment>(&stream).await?.revision;
        // Before the channel hears of it.
        if ids.revision().is_some() && ids.revision() != revision && !self.ledger.has_done::<Payment>(&stream, command_id).await? {
            return Err(CommandError::Moved { revision });
        }
        self.close_unpaid(payment_id, &caller.envelope(command_id, origin.correlation_id)).await
    }

    /// Records what a channel says happened. Saying it again, late or out of order changes nothing that it should not.
    ///
    /// # Errors
    /// When the number is none of ours.
    pub async fn channel_report(&self, report: ChannelReport) -> Result<Done<Payment>, CommandError> {
        let unknown = |number: &str| CommandError::NotFound { what: "payment", id: number.chars().take(64).collect() };
        let (payment_id, command, occurred_at, fingerprint) = match report {
            ChannelReport::Paid { payment_no, amount, channel_transaction, paid_at } => {
                let payment_id = payment_of(&payment_no).ok_or_else(|| unknown(&payment_no))?;
                let fingerprint = format!("paid {amount} {channel_transaction}");
                (payment_id, PaymentCommand::ReportSucceeded { payment_id, amount, channel_transaction }, paid_at, fingerprint)
            }
            ChannelReport::PaymentFailed { payment_no, reason, failed_at } => {
                let payment_id = payment_of(&payment_no).ok_or_else(|| unknown(&payment_no))?;
                let fingerprint = format!("failed {reason}");
                (payment_id, PaymentCommand::ReportFailed { payment_id, reason }, failed_at, fingerprint)
            }
            ChannelReport::Refunded { refund_no, channel_refund, amount, refunded_at } => {
                let (payment_id, refund_id) = refund_of(&refund_no).ok_or_else(|| unknown(&refund_no))?;
                let fingerprint = format!("refunded {refund_id} {amount} {channel_refund}");
                let command = PaymentCommand::ReportRefundSucceeded { payment_id, refund_id, amount, channel_refund };
                (payment_id, command, refunded_at, fingerprint)
            }
            ChannelReport::RefundFailed { refund_no, reason, failed_at } => {
                let (payment_id, refund_id) = refund_of(&refund_no).ok_or_else(|| unknown(&refund_no))?;
                let fingerprint = format!("refund failed {refund_id} {reason}");
                (payment_id, PaymentCommand::ReportRefundFailed { payment_id, refund_id, reason }, failed_at, fingerprint)
            }
        };
        let stream = StreamId::payment(payment_id);
        let origin = self.origin(&stream).await?.ok_or_else(|| unknown(stream.key()))?;
        let envelope = Envelope {
            // The same report is the same command, whenever and however often it comes.
            command_id: CommandId(Uuid::new_v5(&payment_id.0, fingerprint.as_bytes())),
            causation_id: None,
            correlation_id: origin.correlation_id,
            actor: Actor::system("payment channel"),
            operator_id: origin.operator_id,
            occurred_at,
        };
        Ok(self.ledger.handle::<Payment>(&stream, command, &envelope).await?)
    }
}

/// A refund that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refunding {
    /// Its id, when it is known already; a credit or a wallet refund chooses its refunds itself.
    pub refund_id: Option<RefundId>,
    /// What `X-Min-Position` waits for.
    pub position: Option<domain::log::Position>,
}

/// How much of a payment a session's bill has taken: nothing of one that the session has not heard of, and which is either applied to it in a moment or
/// goes back.
///
/// # Errors
/// When there will be a bill, or it is not settled yet.
fn used_by(session: &Session, payment_id: PaymentId, purpose: &Purpose) -> Result<Money, SessionError> {
    let is_unfunded = session.course().is_some_and(|course| course.is_unfunded);
    match (session, purpose) {
        (_, Purpose::TopUp) | (Session::Absent | Session::NotStarted(_), _) => Ok(Money::ZERO),
        (_, Purpose::Prepayment { .. }) if is_unfunded => Ok(Money::ZERO),
        (Session::Billed { paid, .. }, Purpose::Prepayment { .. }) if paid.is_prepayment_settled => Ok(paid.prepaid),
        (Session::Billed { .. }, Purpose::Prepayment { .. }) => Err(SessionError::NotSettled),
        (Session::Billed { paid, .. }, Purpose::Postpaid { .. }) => {
            Ok(paid.later.iter().filter(|later| later.payment_id == payment_id).map(LaterPayment::rest).sum())
        }
        (
            Session::Requested(_)
            | Session::Authorised(_)
            | Session::Starting { .. }
            | Session::Charging(_)
            | Session::Ended { .. }
            | Session::Finished { .. },
            Purpose::Prepayment { .. } | Purpose::Postpaid { .. },
        ) => Err(SessionError::NotBilled),
    }
}

/// What a session still owes.
fn owed(session: &Session) -> Money {
    match session {
        Session::Billed { bill, paid, .. } => (bill.total - paid.total()).max(Money::ZERO),
        Session::Absent
        | Session::Requested(_)
        | Session::Authorised(_)
        | Session::Starting { .. }
        | Session::NotStarted(_)
        | Session::Charging(_)
        | Session::Ended { .. }
        | Session::Finished { .. } => Money::ZERO,
    }
}
