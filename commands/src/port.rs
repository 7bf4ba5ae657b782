//! What commands need of the world: a clock, ids, payment channels, devices, and the keys of personal data. Adapters implement these.

use std::collections::BTreeMap;

use async_trait::async_trait;
use domain::ids::{CommandId, PaymentId, RefundId, UserId};
use domain::payment::Channel;
use domain::sealed::LookupHash;
use domain::session::{SessionRefs, StopReason};
use domain::time::Timestamp;
use domain::units::Money;
use uuid::Uuid;

/// What time it is. Tests move it.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// Fresh ids and fresh secrets. Tests make them repeatable.
pub trait IdSource: Send + Sync + 'static {
    /// A UUIDv7: in time order, so that inserts stay local.
    fn uuid(&self) -> Uuid;
    /// 32 bytes that nobody can guess.
    fn secret(&self) -> [u8; 32];
}

/// What a channel is asked to collect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayOrder {
    /// Our number at the channel (`out_trade_no`).
    pub payment_no: String,
    /// How much.
    pub amount: Money,
    /// Shown to the payer.
    pub description: String,
    /// Unpaid at this time, the channel refuses it.
    pub expires_at: Timestamp,
    /// When it was asked for.
    pub ordered_at: Timestamp,
    /// A generator of sample data made the payer up and plays it: no real channel should ask anybody for this.
    pub is_made_up: bool,
}

/// What a channel is asked to give back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundOrder {
    /// The payment's number at the channel.
    pub payment_no: String,
    /// Our number for the refund (`out_refund_no`): asked again with the same number, it is the same refund.
    pub refund_no: String,
    /// How much.
    pub amount: Money,
    /// Shown to the payer.
    pub reason: String,
    /// When it was asked for.
    pub ordered_at: Timestamp,
}

/// What a channel says happened. It may say so late, twice, out of order, or never; each is harmless.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChannelReport {
    /// The payer paid.
    Paid {
        /// Our number.
        payment_no: String,
        /// How much.
        amount: Money,
        /// The channel's number.
        channel_transaction: String,
        /// When.
        paid_at: Timestamp,
    },
    /// The payment will not come.
    PaymentFailed {
        /// Our number.
        payment_no: String,
        /// The channel's reason.
        reason: String,
        /// When.
        failed_at: Timestamp,
    },
    /// The refund arrived.
    Refunded {
        /// Our number.
        refund_no: String,
        /// The channel's number.
        channel_refund: String,
        /// How much.
        amount: Money,
        /// When.
        refunded_at: Timestamp,
    },
    /// The channel refused the refund for good.
    RefundFailed {
        /// Our number.
        refund_no: String,
        /// The channel's reason.
        reason: String,
        /// When.
        failed_at: Timestamp,
    },
}

/// Why a channel did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    /// Nobody knows what became of it: ask again with the same number.
    #[error("the {channel} channel did not answer: {reason}")]
    Unknown {
        /// Which channel.
        channel: &'static str,
        /// What happened.
        reason: String,
    },
    /// It said no, and always will.
    #[error("the {channel} channel refused: {reason}")]
    Refused {
        /// Which channel.
        channel: &'static str,
        /// What it said.
        reason: String,
    },
}

impl ChannelError {
    /// Whether asking again with the same number can help.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            ChannelError::Unknown { .. } => true,
            ChannelError::Refused { .. } => false,
        }
    }
}

/// Where money comes in and goes back. Everything is safe to repeat with the same number.
#[async_trait]
pub trait PaymentChannel: Send + Sync + 'static {
    /// Which one it is.
    fn channel(&self) -> Channel;
    /// Makes the payment known to the channel; answers what the front end needs to let the user pay.
    async fn prepare(&self, order: PayOrder) -> Result<String, ChannelError>;
    /// Closes an unpaid payment. [`ChannelError::Refused`] when it has been paid.
    async fn close(&self, payment_no: &str, at: Timestamp) -> Result<(), ChannelError>;
    /// Asks for a refund; the outcome comes as a report.
    async fn refund(&self, order: RefundOrder) -> Result<(), ChannelError>;
    /// What the channel knows of a payment, for when its report never comes.
    async fn query(&self, payment_no: &str) -> Result<Option<ChannelReport>, ChannelError>;
    /// What the channel knows of a refund, for when its report never comes.
    async fn query_refund(&self, refund_no: &str) -> Result<Option<ChannelReport>, ChannelError>;
}

/// Our number at the channel for a payment: its id without dashes, 32 characters, which every channel's `out_trade_no` holds.
#[must_use]
pub fn payment_no(payment: PaymentId) -> String {
    payment.0.simple().to_string()
}

/// The payment behind our number.
#[must_use]
pub fn payment_of(payment_no: &str) -> Option<PaymentId> {
    (payment_no.len() == 32).then(|| Uuid::try_parse(payment_no).ok().map(PaymentId)).flatten()
}

/// Our number at the channel for a refund: the payment's number, then the refund's, 64 characters, which every channel's `out_refund_no` holds.
#[must_use]
pub fn refund_no(payment: PaymentId, refund: RefundId) -> String {
    format!("{}{}", payment.0.simple(), refund.0.simple())
}

/// The reason as a channel takes it: one line, no longer than its `reason` or `refund_reason` may be, an ellipsis where something is missing. The same text always
/// comes out the same, because a number that is asked for again must be asked for with the same content.
#[must_use]
pub fn refund_reason(channel: Channel, reason: &str) -> String {
    let most = match channel {
        // The sandbox takes as little as the strictest, so that what works with it works with all.
        Channel::Wechatpay | Channel::Sandbox => 80,
        Channel::Alipay => 256,
    };
    let line: String = reason.trim().chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
    if line.chars().count() <= most {
        return line;
    }
    line.chars().take(most - 1).chain(['…']).collect()
}

/// The payment and the refund behind our number.
#[must_use]
pub fn refund_of(refund_no: &str) -> Option<(PaymentId, RefundId)> {
    let (payment, refund) = refund_no.split_at_checked(32)?;
    let payment = payment_of(payment)?;
    let refund = payment_of(refund)?;
    Some((payment, RefundId(refund.0)))
}

/// A device is to begin. It carries an expiry and is never replayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartOrder {
    /// So that a repetition is recognised.
    pub command_id: CommandId,
    /// Who and where.
    pub refs: SessionRefs,
    /// The session's transaction number on the device.
    pub transaction_number: String,
    /// After this the device must not begin any more.
    pub expires_at: Timestamp,
    /// What may be spent, when there is a limit.
    pub funds: Option<Money>,
}

/// A device is to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopOrder {
    /// So that a repetition is recognised.
    pub command_id: CommandId,
    /// Who and where.
    pub refs: SessionRefs,
    /// Why.
    pub reason: StopReason,
}

/// Why a device could not be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// No connection to it.
    #[error("the device is not connected")]
    Unreachable,
    /// It said no.
    #[error("the device refused: {reason}")]
    Refused {
        /// What it said.
        reason: String,
    },
}

/// The way to the devices. What they answer and report comes back as device events.
#[async_trait]
pub trait DeviceGateway: Send + Sync + 'static {
    /// Tells a device to begin.
    async fn start(&self, order: StartOrder) -> Result<(), DeviceError>;
    /// Tells a device to end.
    async fn stop(&self, order: StopOrder) -> Result<(), DeviceError>;
}

/// Why the key store could not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubjectKeyError {
    /// Somebody else has this phone number.
    #[error("this is known as another user's")]
    Taken {
        /// Whose.
        owner: UserId,
    },
    /// The store could not.
    #[error("the key store is unavailable: {reason}")]
    Unavailable {
        /// What is the matter.
        reason: String,
    },
}

/// All that a key store has, for moving it elsewhere. It is never printed.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct AllKeys {
    /// The key of the look-up hashes, if there is one yet.
    pub lookup_key: Option<[u8; 32]>,
    /// Each subject's key.
    pub subjects: BTreeMap<Uuid, [u8; 32]>,
    /// The index: whose a look-up hash is.
    pub lookups: BTreeMap<String, Uuid>,
}

/// The keys of personal data, one per subject, and the index for looking people up. Not derivable from the log: backed up with it.
#[async_trait]
pub trait SubjectKeys: Send + Sync + 'static {
    /// The subject's key; `fresh` becomes it when there is none yet.
    async fn get_or_create(&self, subject: UserId, fresh: [u8; 32]) -> Result<[u8; 32], SubjectKeyError>;
    /// The subject's key; none when it never existed or has been destroyed.
    async fn get(&self, subject: UserId) -> Result<Option<[u8; 32]>, SubjectKeyError>;
    /// Destroys the subject's key and its entries in the index. Repeating it changes nothing.
    async fn destroy(&self, subject: UserId) -> Result<(), SubjectKeyError>;
    /// Enters `lookup` for `subject`; the subject's own entry is no obstacle.
    async fn claim(&self, lookup: &LookupHash, subject: UserId) -> Result<(), SubjectKeyError>;
    /// Who has this entry.
    async fn find(&self, lookup: &LookupHash) -> Result<Option<UserId>, SubjectKeyError>;
    /// The key of the look-up hashes; `fresh` becomes it when there is none yet.
    async fn lookup_key(&self, fresh: [u8; 32]) -> Result<[u8; 32], SubjectKeyError>;
}

/// The number under which a device knows a session: its id without dashes. A protocol with numbers of its own maps it (云快充: 32 digits).
#[must_use]
pub fn transaction_number(session: domain::ids::SessionId) -> String {
    session.0.simple().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_cut_where_its_channel_would_refuse_it() {
        for (channel, most) in [(Channel::Wechatpay, 80), (Channel::Sandbox, 80), (Channel::Alipay, 256)] {
            let fits = "线".repeat(most);
            assert_eq!(refund_reason(channel, &fits), fits);
            let cut = refund_reason(channel, &format!("{fits}!"));
            assert_eq!((cut.chars().count(), cut.chars().last()), (most, Some('…')));
            assert_eq!(refund_reason(channel, &cut), cut);
        }
    }

    #[test]
    fn a_reason_is_one_line() {
        assert_eq!(refund_reason(Channel::Wechatpay, " the cable\nwas broken\t"), "the cable was broken");
    }
}
