//! What payment channels report. The real ones sign what they say, and are checked in their own adapters; the sandbox has no signature, so that it takes a key
//! of ours, and only for payments of that key's operator.

use std::sync::Arc;

use axum::extract::State;
use commands::handle::Loaded;
use commands::port::{ChannelReport, payment_of, refund_of};
use domain::ids::PaymentId;
use domain::payment::Channel;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Api;
use crate::answer::Answer;
use crate::asked::Segment;
use crate::auth::Asker;
use crate::idempotency::Body;
use crate::payments::PaymentAnswer;
use crate::problem::Problem;
use crate::wire::{PositiveYuan, Reason, Time, TransactionNumber};

pub(crate) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(webhook))
}

/// What the sandbox channel says happened.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum SandboxReport {
    /// The payer paid.
    Paid {
        /// Our number of the payment.
        payment_no: TransactionNumber,
        /// How much.
        amount_yuan: PositiveYuan,
        /// The channel's own number.
        channel_transaction: TransactionNumber,
        /// When.
        paid_at: Time,
    },
    /// The payment will not come.
    PaymentFailed {
        /// Our number of the payment.
        payment_no: TransactionNumber,
        /// Why.
        reason: Reason,
        /// When.
        failed_at: Time,
    },
    /// The refund arrived.
    Refunded {
        /// Our number of the refund.
        refund_no: TransactionNumber,
        /// The channel's own number.
        channel_refund: TransactionNumber,
        /// How much.
        amount_yuan: PositiveYuan,
        /// When.
        refunded_at: Time,
    },
    /// The channel refused the refund for good.
    RefundFailed {
        /// Our number of the refund.
        refund_no: TransactionNumber,
        /// Why.
        reason: Reason,
        /// When.
        failed_at: Time,
    },
}

/// A payment channel reports
///
/// Saying it again, late or out of order changes nothing that it should not.
#[utoipa::path(post, path = "/v1/webhooks/{channel}", operation_id = "channelReport", tag = "payments", request_body = SandboxReport,
    params(("channel" = String, Path, description = "Which channel: `sandbox`.", pattern = "^[a-z]{1,20}$")),
    responses((status = 200, description = "Recorded; the payment as it stands now.", body = PaymentAnswer)))]
async fn webhook(
    State(api): State<Arc<Api>>,
    Segment(channel): Segment,
    asker: Asker,
    Body(report): Body<SandboxReport>,
) -> Result<Answer<PaymentAnswer>, Problem> {
    if channel != Channel::Sandbox.as_str() || api.commands.channel(Channel::Sandbox).is_err() {
        return Err(Problem::not_found("webhook of channel", &channel));
    }
    let (payment_id, report) = of(report)?;
    api.commands.payment(&asker.caller, payment_id).await?;
    let done = api.commands.channel_report(report).await?;
    PaymentAnswer::answer(&Loaded { state: done.state, revision: done.revision }, done.position)
}

fn of(report: SandboxReport) -> Result<(PaymentId, ChannelReport), Problem> {
    let payment = |no: &TransactionNumber| payment_of(&no.0).ok_or_else(|| Problem::not_found("payment", &no.0));
    let refund = |no: &TransactionNumber| refund_of(&no.0).map(|(payment, _)| payment).ok_or_else(|| Problem::not_found("refund", &no.0));
    Ok(match report {
        SandboxReport::Paid { payment_no, amount_yuan, channel_transaction, paid_at } => (
            payment(&payment_no)?,
            ChannelReport::Paid {
                payment_no: payment_no.0,
                amount: amount_yuan.0,
                channel_transaction: channel_transaction.0,
                paid_at: paid_at.0,
            },
        ),
        SandboxReport::PaymentFailed { payment_no, reason, failed_at } => {
            (payment(&payment_no)?, ChannelReport::PaymentFailed { payment_no: payment_no.0, reason: reason.0, failed_at: failed_at.0 })
        }
        SandboxReport::Refunded { refund_no, channel_refund, amount_yuan, refunded_at } => (
            refund(&refund_no)?,
            ChannelReport::Refunded {
                refund_no: refund_no.0,
                channel_refund: channel_refund.0,
                amount: amount_yuan.0,
                refunded_at: refunded_at.0,
            },
        ),
        SandboxReport::RefundFailed { refund_no, reason, failed_at } => {
            (refund(&refund_no)?, ChannelReport::RefundFailed { refund_no: refund_no.0, reason: reason.0, failed_at: failed_at.0 })
        }
    })
}
