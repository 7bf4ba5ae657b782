//! Carries out what the process managers want: commands under ids that come from their cause, and what goes to channels and devices under numbers that never
//! change. Doing any of it twice is doing it once.

use std::borrow::Cow;

use domain::connector::ConnectorError;
use domain::ids::{CommandId, PaymentId, RefundId};
use domain::log::{Metadata, StreamId};
use domain::payment::{Channel, Payment, PaymentCommand, PaymentStatus};
use domain::session::{RefusalReason, Session, SessionCommand, SessionRefs, StopReason};
use domain::time::Timestamp;
use domain::units::Money;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tracing::debug;

use super::{Action, Step};
use crate::envelope::Envelope;
use crate::error::CommandError;
use crate::handle::Done;
use crate::port::{ChannelError, DeviceError, PayOrder, RefundOrder, StartOrder, StopOrder, payment_no, refund_no, refund_reason};
use crate::{Commands, port};

impl Commands {
    /// Carries out one step, and its other way when it is refused.
    ///
    /// # Errors
    /// When it could not be carried out: [`CommandError::is_retryable`] says whether trying again can help.
    pub fn perform<'a>(&'a self, step: &'a Step, cause: &'a Metadata) -> BoxFuture<'a, Result<(), CommandError>> {
        async move {
            match self.act(step, cause).await {
                Ok(()) => Ok(()),
                Err(error) if error.is_refusal() => {
                    debug!(step = step.name, cause = %cause.event_id, %error, "refused");
                    for other in &step.otherwise {
                        self.perform(&because_of(&error, other), cause).await?;
                    }
                    Ok(())
                }
                Err(error) => Err(error),
            }
        }
        .boxed()
    }

    async fn act(&self, step: &Step, cause: &Metadata) -> Result<(), CommandError> {
        let envelope = |stream: &StreamId| Envelope {
            command_id: CommandId::caused_by(cause.event_id, &format!("{} {stream}", step.name)),
            ..Envelope::caused_by(cause, "process", step.name)
        };
        match &step.action {
            Action::Session(id, command) => {
                let stream = StreamId::session(*id);
                self.ledger.handle::<Session>(&stream, command.clone(), &envelope(&stream)).await?;
            }
            Action::Payment(id, command) => {
                let stream = StreamId::payment(*id);
                self.ledger.handle::<Payment>(&stream, command.clone(), &envelope(&stream)).await?;
            }
            Action::Wallet(id, command) => {
                let stream = StreamId::wallet(*id);
                self.ledger.handle::<domain::wallet::Wallet>(&stream, command.clone(), &envelope(&stream)).await?;
            }
            Action::Connector(id, command) => {
                let stream = StreamId::connector(*id);
                self.ledger.handle::<domain::connector::Connector>(&stream, command.clone(), &envelope(&stream)).await?;
            }
            Action::StartDevice { refs, expires_at } => self.start_device(refs, *expires_at, step.name, cause).await?,
            Action::StopDevice { refs, reason } => self.stop_device(refs, *reason, step.name, cause).await?,
            Action::Collect { payment_id, channel, amount, expires_at } => {
                self.collect(*payment_id, *channel, *amount, *expires_at, step.name, cause).await?;
            }
            Action::AskAfterPayment { payment_id } => self.ask_after_payment(*payment_id).await?,
            Action::ClosePayment { payment_id } => {
                self.close_unpaid(*payment_id, &envelope(&StreamId::payment(*payment_id))).await?;
            }
            Action::GiveBack { payment_id, channel, refund_no, amount, reason } => {
                let order = RefundOrder {
                    payment_no: payment_no(*payment_id),
                    refund_no: refund_no.clone(),
                    amount: *amount,
                    reason: refund_reason(*channel, reason),
                    ordered_at: cause.occurred_at,
                };
                self.give_back(*payment_id, *channel, order, step.name, cause).await?;
            }
            Action::AskAfterRefund { payment_id, refund_id } => self.ask_after_refund(*payment_id, *refund_id, step.name, cause).await?,
        }
        Ok(())
    }

    /// A device is told only while it is still to begin: the order expires, and is never replayed.
    async fn start_device(
        &self,
        refs: &SessionRefs,
        expires_at: Timestamp,
        step: &'static str,
        cause: &Metadata,
    ) -> Result<(), CommandError> {
        let stream = StreamId::session(refs.session_id);
        let session = self.ledger.load::<Session>(&stream).await?.state;
        let Session::Starting { terms, stop_requested: None, .. } = &session else { return Ok(()) };
        // A session of sample data has no device but its generator, which may not be running at the moment.
        if self.ledger.clock().now() > expires_at || self.is_made_up_session(refs.session_id).await? {
            return Ok(());
        }
        let funds = match terms.mode {
            domain::session::PaymentMode::Prepaid { amount, .. } => Some(amount),
            domain::session::PaymentMode::Wallet { hold } => Some(hold),
            domain::session::PaymentMode::Postpaid => None,
        };
        let command_id = CommandId::caused_by(cause.event_id, step);
        let order =
            StartOrder { command_id, refs: *refs, transaction_number: port::transaction_number(refs.session_id), expires_at, funds };
        let reason = match self.devices.start(order).await {
            Ok(()) => return Ok(()),
            Err(DeviceError::Unreachable) => RefusalReason::DeviceUnreachable,
            Err(DeviceError::Refused { .. }) => RefusalReason::DeviceRefused,
        };
        let envelope = Envelope::caused_by(cause, "process", "device did not start");
        self.ledger.handle::<Session>(&stream, SessionCommand::Refuse { reason }, &envelope).await?;
        Ok(())
    }

    async fn stop_device(&self, refs: &SessionRefs, reason: StopReason, step: &'static str, cause: &Metadata) -> Result<(), CommandError> {
        let session = self.ledger.load::<Session>(&StreamId::session(refs.session_id)).await?.state;
        // A device that has been told to start may have started, whether it has said so or not.
        if !matches!(session, Session::Starting { .. } | Session::Charging(_)) {
            return Ok(());
        }
        let order = StopOrder { command_id: CommandId::caused_by(cause.event_id, step), refs: *refs, reason };
        // A device that cannot be reached stops by itself or is given up; the session's deadline sees to it.
        if let Err(error) = self.devices.stop(order).await {
            debug!(session.id = %refs.session_id, %error, "the device was not told to stop");
        }
        Ok(())
    }

    async fn collect(
        &self,
        payment_id: PaymentId,
        channel: Channel,
        amount: Money,
        expires_at: Timestamp,
        step: &'static str,
        cause: &Metadata,
    ) -> Result<(), CommandError> {
        let order = PayOrder {
            payment_no: payment_no(payment_id),
            amount,
            description: "charging".to_owned(),
            expires_at,
            ordered_at: cause.occurred_at,
            is_made_up: self.is_made_up_payment(payment_id).await?,
        };
        let stream = StreamId::payment(payment_id);
        let envelope = Envelope::caused_by(cause, "process", step);
        let command = match self.channel(channel)?.prepare(order).await {
            Ok(pay_token) => PaymentCommand::Prepare { payment_id, pay_token },
            Err(ChannelError::Refused { reason, .. }) => PaymentCommand::ReportFailed { payment_id, reason },
            Err(error @ ChannelError::Unknown { .. }) => return Err(error.into()),
        };
        self.ledger.handle::<Payment>(&stream, command, &envelope).await?;
        Ok(())
    }

    /// Records what the channel knows of a payment that is still open.
    async fn ask_after_payment(&self, payment_id: PaymentId) -> Result<(), CommandError> {
        let payment = self.ledger.load::<Payment>(&StreamId::payment(payment_id)).await?.state;
        let (Some(terms), PaymentStatus::Open) = (payment.terms(), payment.status()) else { return Ok(()) };
        if let Some(report) = self.channel(terms.channel)?.query(&payment_no(payment_id)).await? {
            self.channel_report(report).await?;
        }
        Ok(())
    }

    /// Closes a payment at its channel, and then here. When it has been paid in the meantime, that is recorded instead, and the closing is refused.
    pub(crate) async fn close_unpaid(&self, payment_id: PaymentId, envelope: &Envelope) -> Result<Done<Payment>, CommandError> {
        let stream = StreamId::payment(payment_id);
        let payment = self.ledger.load::<Payment>(&stream).await?.state;
        if let (Some(terms), PaymentStatus::Open) = (payment.terms(), payment.status()) {
            // A channel that is configured no more takes no money either.
            if let Ok(channel) = self.channel(terms.channel) {
                let number = payment_no(payment_id);
                match channel.close(&number, envelope.occurred_at).await {
                    Ok(()) => {}
                    Err(ChannelError::Refused { .. }) => {
                        if let Some(report) = channel.query(&number).await? {
                            self.channel_report(report).await?;
                        }
                    }
                    Err(error @ ChannelError::Unknown { .. }) => return Err(error.into()),
                }
            }
        }
        Ok(self.ledger.handle::<Payment>(&stream, PaymentCommand::Close { payment_id }, envelope).await?)
    }

    async fn give_back(
        &self,
        payment_id: PaymentId,
        channel: Channel,
        order: RefundOrder,
        step: &'static str,
        cause: &Metadata,
    ) -> Result<(), CommandError> {
        let number = order.refund_no.clone();
        match self.channel(channel)?.refund(order).await {
            Ok(()) => Ok(()),
            Err(ChannelError::Refused { reason, .. }) => {
                let Some((_, refund_id)) = port::refund_of(&number) else { return Ok(()) };
                let command = PaymentCommand::ReportRefundFailed { payment_id, refund_id, reason };
                let envelope = Envelope::caused_by(cause, "process", step);
                self.ledger.handle::<Payment>(&StreamId::payment(payment_id), command, &envelope).await?;
                Ok(())
            }
            Err(error @ ChannelError::Unknown { .. }) => Err(error.into()),
        }
    }

    async fn ask_after_refund(
        &self,
        payment_id: PaymentId,
        refund_id: RefundId,
        step: &'static str,
        cause: &Metadata,
    ) -> Result<(), CommandError> {
        let payment = self.ledger.load::<Payment>(&StreamId::payment(payment_id)).await?.state;
        let (Some(terms), Some(refund)) = (payment.terms(), payment.refund(refund_id)) else { return Ok(()) };
        let number = refund_no(payment_id, refund_id);
        match self.channel(terms.channel)?.query_refund(&number).await? {
            Some(report) => self.channel_report(report).await.map(|_| ()),
            None => {
                let order = RefundOrder {
                    payment_no: payment_no(payment_id),
                    refund_no: number,
                    amount: refund.amount,
                    reason: refund_reason(terms.channel, &refund.reason),
                    ordered_at: cause.occurred_at,
                };
                self.give_back(payment_id, terms.channel, order, step, cause).await
            }
        }
    }
}

/// What is refused because another session was faster says so: the driver is told to take another connector, not that this one is broken.
fn because_of<'a>(refusal: &CommandError, other: &'a Step) -> Cow<'a, Step> {
    match (refusal, &other.action) {
        (CommandError::Connector(ConnectorError::Occupied { .. }), Action::Session(id, SessionCommand::Refuse { .. })) => {
            let reason = RefusalReason::ConnectorOccupied;
            Cow::Owned(Step { action: Action::Session(*id, SessionCommand::Refuse { reason }), ..other.clone() })
        }
        _ => Cow::Borrowed(other),
    }
}
