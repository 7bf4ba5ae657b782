//! What can happen to a payment and its refunds.

use serde::{Deserialize, Serialize};

use crate::ids::{PaymentId, RefundId, SessionId, UserId};
use crate::time::Timestamp;
use crate::units::Money;

/// Where money comes in and goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// 微信支付.
    Wechatpay,
    /// 支付宝.
    Alipay,
    /// No real money: behaves as the real ones do, for tests, demonstrations and development.
    Sandbox,
}

impl Channel {
    /// All of them.
    pub const ALL: [Channel; 3] = [Channel::Wechatpay, Channel::Alipay, Channel::Sandbox];

    /// The word in JSON, and in the account's name: `1012.sandbox`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Channel::Wechatpay => "wechatpay",
            Channel::Alipay => "alipay",
            Channel::Sandbox => "sandbox",
        }
    }
}

/// What the money is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Purpose {
    /// Paid before a session, refunded as far as it is not used.
    Prepayment {
        /// For which session.
        session_id: SessionId,
    },
    /// Into the user's wallet.
    TopUp,
    /// For a session that has been billed: its receivable.
    Postpaid {
        /// For which session.
        session_id: SessionId,
    },
}

/// What can happen to a payment. Its refunds live in its stream, so that their sum never exceeds it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum PaymentEvent {
    /// Somebody is to pay.
    Initiated {
        /// Which.
        payment_id: PaymentId,
        /// Who pays.
        user_id: UserId,
        /// Through which channel.
        channel: Channel,
        /// What for.
        purpose: Purpose,
        /// How much.
        amount: Money,
        /// The merchant's number at the channel (`out_trade_no`), unique for ever.
        payment_no: String,
        /// Unpaid at this time, it closes.
        expires_at: Timestamp,
    },
    /// The channel knows it; the user can pay.
    Prepared {
        /// Which.
        payment_id: PaymentId,
        /// What the front end hands to the channel.
        pay_token: String,
    },
    /// The money is there. Posted.
    Succeeded {
        /// Which.
        payment_id: PaymentId,
        /// Who paid.
        user_id: UserId,
        /// Through which channel.
        channel: Channel,
        /// What for.
        purpose: Purpose,
        /// How much.
        amount: Money,
        /// The channel's own number.
        channel_transaction: String,
    },
    /// The channel says it will not come.
    Failed {
        /// Which.
        payment_id: PaymentId,
        /// What for.
        purpose: Purpose,
        /// The channel's reason.
        reason: String,
    },
    /// Closed unpaid.
    Closed {
        /// Which.
        payment_id: PaymentId,
        /// What for.
        purpose: Purpose,
    },
    /// The money came after the payment had closed or failed. Posted to unidentified receipts (2241), and to be sent back.
    ReceivedLate {
        /// Which.
        payment_id: PaymentId,
        /// Who paid.
        user_id: UserId,
        /// Through which channel.
        channel: Channel,
        /// How much.
        amount: Money,
        /// The channel's own number.
        channel_transaction: String,
    },
    /// The channel reports something that contradicts what is known: another amount, or another transaction for the same payment. Nothing is posted;
    /// people look at it.
    Disputed {
        /// Which.
        payment_id: PaymentId,
        /// What the channel says was paid.
        reported: Money,
        /// The channel's own number.
        channel_transaction: String,
        /// What does not fit.
        reason: String,
    },
    /// Staff found that the channel does hold money that it had reported in contradiction to what was agreed. Posted to unidentified receipts (2241).
    ReceiptAccepted {
        /// Which.
        payment_id: PaymentId,
        /// Who paid.
        user_id: UserId,
        /// Through which channel.
        channel: Channel,
        /// How much the channel holds.
        amount: Money,
        /// The channel's own number.
        channel_transaction: String,
        /// Why, for whoever asks later.
        note: String,
    },
    /// Staff made an unidentified receipt the user's prepayment; it goes into the wallet, and is a top-up from here on. Posted.
    ReceiptApplied {
        /// Which.
        payment_id: PaymentId,
        /// Whose it becomes.
        user_id: UserId,
        /// What was left of the receipt.
        amount: Money,
        /// Why, for whoever asks later.
        note: String,
    },
    /// Staff looked into what the channel had reported in contradiction, and nothing is to be booked for it.
    DisputesClosed {
        /// Of which payment.
        payment_id: PaymentId,
        /// What came of it, for whoever asks later.
        note: String,
    },
    /// Money is to go back.
    RefundRequested {
        /// Of which payment.
        payment_id: PaymentId,
        /// Which.
        refund_id: RefundId,
        /// Who gets it.
        user_id: UserId,
        /// Through which channel.
        channel: Channel,
        /// How much.
        amount: Money,
        /// The merchant's number at the channel (`out_refund_no`). A retry uses the same number: a fresh one could refund twice.
        refund_no: String,
        /// Why, for people.
        reason: String,
        /// Whether it gives once more what an earlier refund did not: its channel had refused it for good.
        #[serde(default)]
        again: bool,
    },
    /// The money is back. Posted.
    RefundSucceeded {
        /// Of which payment.
        payment_id: PaymentId,
        /// Which.
        refund_id: RefundId,
        /// Who got it.
        user_id: UserId,
        /// Through which channel.
        channel: Channel,
        /// What the payment was for.
        purpose: Purpose,
        /// How much.
        amount: Money,
        /// Whether the money had come late, and so stood in unidentified receipts (2241).
        of_late_receipt: bool,
        /// The channel's own number.
        channel_refund: String,
    },
    /// The channel refused for good. The amount may be asked for again, under a new id.
    RefundFailed {
        /// Of which payment.
        payment_id: PaymentId,
        /// Which.
        refund_id: RefundId,
        /// Who should have got it.
        user_id: UserId,
        /// What the payment was for.
        purpose: Purpose,
        /// How much.
        amount: Money,
        /// The channel's reason.
        reason: String,
    },
    /// The channel reports an outcome that contradicts what is known of the refund, or is for a refund that nobody asked for. Nothing is posted;
    /// people look at it.
    RefundDisputed {
        /// Of which payment.
        payment_id: PaymentId,
        /// Which.
        refund_id: RefundId,
        /// How much the channel says went back; none when it says that nothing did.
        reported: Option<Money>,
        /// The channel's own number; none when it says that nothing went back.
        channel_refund: Option<String>,
        /// What does not fit.
        reason: String,
    },
}
