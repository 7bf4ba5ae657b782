//! What can happen to a session. Small in number, stored for ever.

use serde::{Deserialize, Serialize};

use crate::agency::AgencyTerms;
use crate::ids::{ConnectorId, OrderNumber, PaymentId, PileId, SessionId, StationId, UserId};
use crate::payment::Channel;
use crate::pricing::Bill;
use crate::tariff::TariffSnapshot;
use crate::time::{Timestamp, ZoneName};
use crate::units::{Energy, Money, Power, ReportedEnergy};

/// Who and where: what folds group sessions by. The operator is in the metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SessionRefs {
    /// The session.
    pub session_id: SessionId,
    /// The station.
    pub station_id: StationId,
    /// The pile.
    pub pile_id: PileId,
    /// The connector.
    pub connector_id: ConnectorId,
    /// The driver; none for a session that only a device knows of.
    pub user_id: Option<UserId>,
}

/// How a session is to be paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", tag = "mode")]
pub enum PaymentMode {
    /// Paid before (预付); the rest goes back.
    Prepaid {
        /// The payment that has to succeed first.
        payment_id: PaymentId,
        /// How much.
        amount: Money,
        /// Through which channel.
        channel: Channel,
    },
    /// From the wallet: a hold (冻结) first, captured at the end.
    Wallet {
        /// How much to hold.
        hold: Money,
    },
    /// Billed first, paid later.
    Postpaid,
}

impl PaymentMode {
    /// What is set aside for the session before it starts, if anything.
    #[must_use]
    pub const fn funds(self) -> Option<Money> {
        match self {
            PaymentMode::Prepaid { amount, .. } => Some(amount),
            PaymentMode::Wallet { hold } => Some(hold),
            PaymentMode::Postpaid => None,
        }
    }
}

/// Why a session did not come about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RefusalReason {
    /// The wallet does not have what the hold asks for.
    InsufficientFunds,
    /// The prepayment failed or closed.
    PaymentFailed,
    /// Another session has the connector.
    ConnectorOccupied,
    /// The connector is faulted, offline, retired or unknown.
    ConnectorUnavailable,
    /// The device could not be told to start.
    DeviceUnreachable,
    /// The device said no.
    DeviceRefused,
    /// The user gave up before it started.
    Cancelled,
}

/// Why energy stopped flowing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// The driver, in the app.
    User,
    /// The driver, at the pile or by unplugging.
    Local,
    /// The vehicle is full.
    VehicleFull,
    /// The funds are used up.
    FundsExhausted,
    /// The operator's staff.
    Operator,
    /// A fault of the pile.
    DeviceFault,
    /// A fault of the vehicle.
    VehicleFault,
    /// Power was lost, or the pile restarted.
    PowerLoss,
    /// It started after it had been given up: what was set aside for it has gone back.
    StartedLate,
    /// The device does not say.
    Unknown,
}

/// A register reading: a fact, whatever it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MeterReading {
    /// What the meter's register shows, kWh.
    pub register: ReportedEnergy,
    /// When it was read.
    pub read_at: Timestamp,
}

/// What a device claims at the end of a session (交易记录): the basis of the bill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TransactionRecord {
    /// The device's number for it.
    pub transaction_number: String,
    /// When charging began.
    pub started_at: Timestamp,
    /// When charging ended.
    pub ended_at: Timestamp,
    /// The register at the beginning.
    pub meter_start: ReportedEnergy,
    /// The register at the end.
    pub meter_end: ReportedEnergy,
    /// The energy delivered.
    pub energy: ReportedEnergy,
    /// Why it ended.
    pub reason: StopReason,
}

/// What is odd about an accepted record. It is billed all the same; people can look for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Oddity {
    /// No energy was delivered.
    ZeroEnergy,
    /// It ended when it began.
    ZeroDuration,
    /// It lasted more than a day.
    LongDuration,
    /// More energy than the pile's rated power gives in the time.
    EnergyAboveRatedPower,
    /// There was no request for it: the device alone knows of it.
    NotRequested,
    /// It had been given up before the record came.
    Late,
    /// It says that it ended more than a month before it was reported: the device was cut off for long, or its clock was never set.
    LongAgo,
}

/// Why a fact is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum DisputeReason {
    /// A reading below the one before it.
    MeterBackwards,
    /// A reading at the beginning of the scale: the meter was reset.
    MeterReset,
    /// A negative or unreadable number.
    NotAnEnergy,
    /// A reading older than the one before it.
    OutOfOrder,
    /// It is dated later than it was received: the device's clock is ahead, and no price goes by it.
    InTheFuture,
    /// A reading for a session that is not charging.
    NotCharging,
    /// A record below the last believed reading.
    BelowLastReading,
    /// A record whose registers do not give its energy.
    RegistersDisagree,
    /// A record that ends before it begins.
    EndsBeforeStart,
    /// A record, or a start, that says something else than the first.
    ContradictsFirst,
    /// A record that has no price: longer than is billed without a person looking at it, or dearer than an amount of money can be.
    Unpriceable,
}

/// What can happen to a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SessionEvent {
    /// Somebody wants to charge.
    Requested {
        /// Who and where.
        refs: SessionRefs,
        /// The number that people see.
        order_number: OrderNumber,
        /// How it will be paid.
        mode: PaymentMode,
        /// The prices it will have, whatever the tariff becomes.
        tariff: TariffSnapshot,
        /// The station's zone.
        zone: ZoneName,
        /// The most that the connector gives.
        rated_power: Option<Power>,
        /// How its bills are divided between the station's owner and the operator, whatever the terms become; none when they are booked whole.
        agency: Option<Box<AgencyTerms>>,
    },
    /// A device reports a session that nobody asked for: started with a card while offline, or under a number that was lost.
    Discovered {
        /// Who and where.
        refs: SessionRefs,
        /// The number that people see.
        order_number: OrderNumber,
        /// The prices in force at the station; without them it cannot be billed.
        tariff: Option<TariffSnapshot>,
        /// The station's zone.
        zone: ZoneName,
        /// The most that the connector gives.
        rated_power: Option<Power>,
        /// How its bills are divided between the station's owner and the operator, whatever the terms become; none when they are booked whole.
        agency: Option<Box<AgencyTerms>>,
    },
    /// Staff gave it the prices that its station lacked when it was discovered.
    TariffAssigned {
        /// Who and where.
        refs: SessionRefs,
        /// Its prices, for good.
        tariff: TariffSnapshot,
        /// Why these, for whoever asks later.
        note: String,
    },
    /// The money is in order: paid, held, or to be paid later.
    Authorised {
        /// Who and where.
        refs: SessionRefs,
    },
    /// It will not come about. Funds go back.
    Refused {
        /// Who and where.
        refs: SessionRefs,
        /// How it would have been paid.
        mode: PaymentMode,
        /// Why.
        reason: RefusalReason,
    },
    /// The connector is ours and the device is told to start.
    Starting {
        /// Who and where.
        refs: SessionRefs,
        /// After this the device must not start any more.
        expires_at: Timestamp,
    },
    /// The device did not start in time. Funds go back; a record may still come.
    StartTimedOut {
        /// Who and where.
        refs: SessionRefs,
        /// How it would have been paid.
        mode: PaymentMode,
    },
    /// Energy flows.
    Started {
        /// Who and where.
        refs: SessionRefs,
        /// The first reading.
        meter: MeterReading,
    },
    /// A reading that is believed.
    MeterRead {
        /// The session.
        session_id: SessionId,
        /// What was read.
        reading: MeterReading,
        /// The energy since the start.
        energy: Energy,
    },
    /// A reading that is kept, and not believed.
    MeterDisputed {
        /// The session.
        session_id: SessionId,
        /// What was read.
        reading: MeterReading,
        /// Why it is not believed.
        reason: DisputeReason,
    },
    /// Somebody asked for the end.
    StopRequested {
        /// Who and where.
        refs: SessionRefs,
        /// Why.
        reason: StopReason,
    },
    /// Energy no longer flows.
    Stopped {
        /// Who and where.
        refs: SessionRefs,
        /// Why.
        reason: StopReason,
        /// The last reading, if the device gave one.
        meter: Option<MeterReading>,
        /// When.
        stopped_at: Timestamp,
    },
    /// The device reports a fault in the middle of it; its record may still come.
    Faulted {
        /// Who and where.
        refs: SessionRefs,
        /// The device's own code.
        code: String,
        /// When.
        faulted_at: Timestamp,
    },
    /// Nothing has been heard of it for too long. An operator closes it, or its record comes after all.
    Abandoned {
        /// Who and where.
        refs: SessionRefs,
    },
    /// The vehicle left the connector.
    Unplugged {
        /// Who and where.
        refs: SessionRefs,
        /// When; at the latest, when it was reported.
        unplugged_at: Timestamp,
        /// What the device said, when that was in the future.
        claimed_at: Option<Timestamp>,
    },
    /// The device's record is believed.
    RecordAccepted {
        /// Who and where.
        refs: SessionRefs,
        /// What it says.
        record: TransactionRecord,
        /// The energy that will be billed.
        energy: Energy,
        /// What is odd about it.
        oddities: Vec<Oddity>,
    },
    /// The device's record is kept, and not believed.
    RecordDisputed {
        /// Who and where.
        refs: SessionRefs,
        /// What it says.
        record: TransactionRecord,
        /// Why it is not believed.
        reason: DisputeReason,
    },
    /// An operator ended it by hand, or decided a dispute.
    ClosedByOperator {
        /// Who and where.
        refs: SessionRefs,
        /// The energy that will be billed.
        energy: Energy,
        /// When charging ended.
        ended_at: Timestamp,
        /// Why, for whoever asks later.
        note: String,
    },
    /// It has its price. Posted.
    Billed {
        /// Who and where.
        refs: SessionRefs,
        /// How it is to be paid.
        mode: PaymentMode,
        /// The lines and their sums.
        bill: Bill,
    },
    /// The price was wrong: the new bill replaces the old one, which stays. The difference is posted.
    BillCorrected {
        /// Who and where.
        refs: SessionRefs,
        /// How it is to be paid.
        mode: PaymentMode,
        /// The bill that is replaced.
        replaced: Bill,
        /// The bill that holds now.
        bill: Bill,
        /// Why.
        note: String,
    },
    /// What was there has been applied to the bill. Posted, as far as a prepayment was applied.
    Settled {
        /// Who and where.
        refs: SessionRefs,
        /// How it was paid.
        mode: PaymentMode,
        /// What the bill that holds now comes to.
        due: Money,
        /// What this settlement takes from the prepayment; negative when a corrected bill gives some of it back.
        prepaid_applied: Money,
        /// What this settlement takes from what the wallet gave for it; negative when some of that goes back.
        captured: Money,
        /// What goes back to the payment it came from.
        refund: Money,
        /// To which payment.
        refund_to: Option<PaymentId>,
        /// What is still to be paid.
        receivable: Money,
        /// Why the bill that is settled here replaced another: what goes back because of it goes back with this reason. None for a session's first bill.
        note: Option<String>,
    },
    /// A later payment paid what was left. Posted by `payment.succeeded`.
    ReceivablePaid {
        /// Who and where.
        refs: SessionRefs,
        /// By which payment.
        payment_id: PaymentId,
        /// How much of it.
        amount: Money,
        /// What was paid too much, and goes back.
        excess: Money,
        /// What is still to be paid.
        receivable: Money,
    },
}
