//! Payments: top-ups and what sessions still owe; refunds and closing.

use std::sync::Arc;

use axum::extract::State;
use commands::handle::Loaded;
use commands::payment::PayFor;
use domain::ids::{PaymentId, SessionId, UserId};
use domain::log::Position;
use domain::payment::{Channel, Payment, PaymentStatus, Purpose};
use projections::query::{Query, Test};
use projections::value::Value;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::Api;
use crate::answer::Answer;
use crate::asked::{Id, IfMatch, Limit, Params};
use crate::idempotency::{Nothing, Order};
use crate::problem::{Kind, Problem};
use crate::reading::{Listed, Look, Narrow as _, Page, PageParams, Shown};
use crate::rows::{PaymentRow, RefundRow};
use crate::wire::{PositiveYuan, Reason, Time, Yuan};

pub(crate) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(list, pay)).routes(routes!(one)).routes(routes!(close)).routes(routes!(refunds, refund))
}

/// A payment channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChannelName {
    /// 微信支付.
    Wechatpay,
    /// 支付宝.
    Alipay,
    /// The sandbox: no money moves.
    Sandbox,
}

impl From<ChannelName> for Channel {
    fn from(name: ChannelName) -> Channel {
        match name {
            ChannelName::Wechatpay => Channel::Wechatpay,
            ChannelName::Alipay => Channel::Alipay,
            ChannelName::Sandbox => Channel::Sandbox,
        }
    }
}

impl From<Channel> for ChannelName {
    fn from(channel: Channel) -> ChannelName {
        match channel {
            Channel::Wechatpay => ChannelName::Wechatpay,
            Channel::Alipay => ChannelName::Alipay,
            Channel::Sandbox => ChannelName::Sandbox,
        }
    }
}

/// A payment to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PayBody {
    /// Who pays.
    user_id: Uuid,
    /// Through which channel.
    channel: ChannelName,
    /// How much.
    amount_yuan: PositiveYuan,
    /// What for. A prepayment belongs to starting a session and is not made here.
    purpose: PayPurposeBody,
}

/// What a payment is for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum PayPurposeBody {
    /// Into the wallet.
    TopUp {},
    /// For what a session still owes.
    Session {
        /// Which.
        session_id: Uuid,
    },
}

/// What a payment is for.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum PurposeAnswer {
    /// Before a session.
    Prepayment {
        /// Which.
        session_id: Uuid,
    },
    /// Into the wallet.
    TopUp {},
    /// For what a session still owed.
    Session {
        /// Which.
        session_id: Uuid,
    },
}

/// How a payment stands.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PaymentStatusName {
    /// It waits for its money.
    Open,
    /// The channel says that it will not come.
    Failed,
    /// It was not paid in time, or given up.
    Closed,
    /// The money is there.
    Succeeded,
    /// The money came after it had failed or been closed; it goes back.
    ReceivedLate,
}

/// A payment.
#[derive(Debug, Serialize, ToSchema)]
pub struct PaymentAnswer {
    /// The payment.
    payment_id: Uuid,
    /// Our number at the channel.
    #[schema(pattern = "^[0-9a-f]{32}$")]
    payment_no: String,
    /// How it stands.
    status: PaymentStatusName,
    /// Who pays.
    user_id: Uuid,
    /// Through which channel.
    channel: ChannelName,
    /// What for.
    purpose: PurposeAnswer,
    /// How much.
    amount_yuan: Yuan,
    /// What may still go back of it.
    refundable_yuan: Yuan,
    /// Unpaid then, it closes.
    expires_at: Time,
    /// What the front end hands to the channel, while it waits for its money.
    #[serde(skip_serializing_if = "Option::is_none")]
    pay_token: Option<String>,
    /// The channel's own number, once it is paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_transaction: Option<String>,
    /// The revision of the payment's stream.
    revision: u64,
    /// What `X-Min-Position` of a query waits for; none when nothing happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
}

impl PaymentAnswer {
    fn of(Loaded { state, revision }: &Loaded<Payment>, position: Option<Position>) -> Result<PaymentAnswer, Problem> {
        let missing = || Problem::bare(Kind::NotFound);
        let terms = state.terms().ok_or_else(missing)?;
        Ok(PaymentAnswer {
            payment_id: terms.payment_id.0,
            payment_no: terms.payment_no.clone(),
            status: match state.status() {
                PaymentStatus::Absent => return Err(missing()),
                PaymentStatus::Open => PaymentStatusName::Open,
                PaymentStatus::Failed => PaymentStatusName::Failed,
                PaymentStatus::Closed => PaymentStatusName::Closed,
                PaymentStatus::Succeeded => PaymentStatusName::Succeeded,
                PaymentStatus::ReceivedLate => PaymentStatusName::ReceivedLate,
            },
            user_id: terms.user_id.0,
            channel: terms.channel.into(),
            purpose: match terms.purpose {
                Purpose::Prepayment { session_id } => PurposeAnswer::Prepayment { session_id: session_id.0 },
                Purpose::TopUp => PurposeAnswer::TopUp {},
                Purpose::Postpaid { session_id } => PurposeAnswer::Session { session_id: session_id.0 },
            },
            amount_yuan: Yuan(terms.amount),
            refundable_yuan: Yuan(state.refundable()),
            expires_at: Time(terms.expires_at),
            pay_token: state.pay_token().map(str::to_owned),
            channel_transaction: state.receipt().map(|receipt| receipt.channel_transaction.clone()),
            revision: revision.unwrap_or_default().0,
            position: position.map(|position| position.0),
        })
    }

    pub(crate) fn answer(loaded: &Loaded<Payment>, position: Option<Position>) -> Result<Answer<PaymentAnswer>, Problem> {
        Ok(Answer::ok(PaymentAnswer::of(loaded, position)?).revision(loaded.revision).position(position))
    }
}

/// Begin a payment
///
/// Into the wallet, or for what a session still owes. The channel learns of it at once; its token is in the payment a moment later.
#[utoipa::path(post, path = "/v1/payments", operation_id = "pay", tag = "payments", request_body = PayBody,
    responses((status = 201, description = "It waits for its money.", body = PaymentAnswer)))]
async fn pay(State(api): State<Arc<Api>>, Order { asker, ids, body }: Order<PayBody>) -> Result<Answer<PaymentAnswer>, Problem> {
    let pay_for = match body.purpose {
        PayPurposeBody::TopUp {} => PayFor::TopUp,
        PayPurposeBody::Session { session_id } => PayFor::Session(SessionId(session_id)),
    };
    let (user_id, channel) = (UserId(body.user_id), Channel::from(body.channel));
    let (payment_id, done) = api.commands.pay(&asker.caller, &ids, user_id, channel, pay_for, body.amount_yuan.0).await?;
    let loaded = Loaded { state: done.state, revision: done.revision };
    let answer = PaymentAnswer::of(&loaded, done.position)?;
    Ok(Answer::created(&format!("/v1/payments/{payment_id}"), answer).revision(done.revision).position(done.position))
}

/// Which payments.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PaymentParams {
    /// Of this user.
    user_id: Option<Uuid>,
    /// For this session.
    session_id: Option<Uuid>,
    /// Only those of which the channel has reported contradictions that nobody has looked into; or only the others.
    disputed: Option<bool>,
    /// Initiated at this time or later.
    #[param(inline)]
    from_at: Option<Time>,
    /// Initiated before this time.
    #[param(inline)]
    until_at: Option<Time>,
    /// At most this many.
    #[param(inline)]
    limit: Option<Limit>,
    /// Where the page before ended: its `next`.
    cursor: Option<String>,
}

/// Payments
#[utoipa::path(get, path = "/v1/payments", operation_id = "payments", tag = "payments", params(PaymentParams),
    extensions(("x-read-model" = json!("payments"))),
    responses((status = 200, description = "The latest first.", body = Page<PaymentRow>)))]
async fn list(State(api): State<Arc<Api>>, look: Look, Params(params): Params<PaymentParams>) -> Result<Listed, Problem> {
    let query = Query::of("payments", look.operator_id())
        .by_id("user_id", params.user_id)
        .by_id("session_id", params.session_id)
        .since_at("initiated_at", params.from_at)
        .until_at("initiated_at", params.until_at)
        .latest("initiated_at");
    let query = match params.disputed {
        None => query,
        Some(true) => query.filter("dispute_count", Test::Above(Value::Int(0))),
        Some(false) => query.filter("dispute_count", Test::Is(Value::Int(0))),
    };
    Ok(look.list(&api, query, params.limit, params.cursor.as_deref()).await?.without(PaymentRow::HIDDEN))
}

/// The refunds of a payment
#[utoipa::path(get, path = "/v1/payments/{payment_no}/refunds", operation_id = "refunds", tag = "payments",
    params(("payment_no" = Uuid, Path, description = "Its id, or its number at the channel."), PageParams),
    extensions(("x-read-model" = json!("refunds"))),
    responses((status = 200, description = "Those asked for, with what came of them.", body = Page<RefundRow>)))]
async fn refunds(
    State(api): State<Arc<Api>>,
    Id(payment_id): Id<PaymentId>,
    look: Look,
    Params(params): Params<PageParams>,
) -> Result<Listed, Problem> {
    api.commands.payment(&look.asker.caller, payment_id).await?;
    let query = Query::of("refunds", look.operator_id()).by_id("payment_id", Some(payment_id.0));
    look.list(&api, query, params.limit, params.cursor.as_deref()).await
}

/// A payment
#[utoipa::path(get, path = "/v1/payments/{payment_no}", operation_id = "payment", tag = "payments",
    params(("payment_no" = Uuid, Path, description = "Its id, or its number at the channel.")),
    responses((status = 200, description = "As the ledger knows it.", body = PaymentAnswer)))]
async fn one(State(api): State<Arc<Api>>, Id(payment_id): Id<PaymentId>, look: Look) -> Result<Shown, Problem> {
    let loaded = api.commands.payment(&look.asker.caller, payment_id).await?;
    Ok(look.shown(PaymentAnswer::of(&loaded, None)?))
}

/// Close an unpaid payment
#[utoipa::path(post, path = "/v1/payments/{payment_no}/close", operation_id = "closePayment", tag = "payments", request_body = Option<Nothing>,
    params(("payment_no" = Uuid, Path, description = "Its id, or its number at the channel.")),
    responses((status = 200, description = "It is closed; money that comes all the same goes back.", body = PaymentAnswer)))]
async fn close(
    State(api): State<Arc<Api>>,
    Id(payment_id): Id<PaymentId>,
    precondition: IfMatch,
    Order { asker, ids, body: Nothing {} }: Order<Nothing>,
) -> Result<Answer<PaymentAnswer>, Problem> {
    let ids = precondition.tie(ids, api.commands.payment(&asker.caller, payment_id).await?.revision)?;
    let done = api.commands.close_payment(&asker.caller, &ids, payment_id).await?;
    PaymentAnswer::answer(&Loaded { state: done.state, revision: done.revision }, done.position)
}

/// Money to go back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefundBody {
    /// How much.
    amount_yuan: PositiveYuan,
    /// Why; the payer sees it.
    reason: Reason,
}

/// A refund that is under way.
#[derive(Debug, Serialize, ToSchema)]
pub struct RefundAnswer {
    /// Of which payment.
    payment_id: Uuid,
    /// Its id, when it is known already: money that comes out of a wallet, or off a bill, chooses its refunds itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    refund_id: Option<Uuid>,
    /// How much.
    amount_yuan: Yuan,
    /// What `X-Min-Position` of a query waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
}

/// Give money back
///
/// From where the books say it lies: a top-up comes out of the wallet, a session's payment comes off its bill. The channel is told until it says that the money
/// went, under one number; never more than was paid.
#[utoipa::path(post, path = "/v1/payments/{payment_no}/refunds", operation_id = "refundPayment", tag = "payments", request_body = RefundBody,
    params(("payment_no" = Uuid, Path, description = "Its id, or its number at the channel.")),
    responses((status = 202, description = "It is under way.", body = RefundAnswer)))]
async fn refund(
    State(api): State<Arc<Api>>,
    Id(payment_id): Id<PaymentId>,
    precondition: IfMatch,
    Order { asker, ids, body }: Order<RefundBody>,
) -> Result<Answer<RefundAnswer>, Problem> {
    let revision = api.commands.payment(&asker.caller, payment_id).await?.revision;
    let ids = precondition.tie(ids, revision)?;
    let amount = body.amount_yuan.0;
    let refunding = api.commands.refund_payment(&asker.caller, &ids, payment_id, amount, body.reason.0).await?;
    let answer = RefundAnswer {
        payment_id: payment_id.0,
        refund_id: refunding.refund_id.map(Uuid::from),
        amount_yuan: Yuan(amount),
        position: refunding.position.map(|position| position.0),
    };
    Ok(Answer::accepted(&format!("/v1/payments/{payment_id}/refunds"), answer).position(refunding.position))
}
