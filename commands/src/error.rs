//! Why a request was not done: one enum over every aggregate's own refusals. The HTTP edge maps it, in one file.

use std::convert::Infallible;

use domain::connector::ConnectorError;
use domain::event::DecodeError;
use domain::ids::CommandId;
use domain::journal::JournalError;
use domain::key::KeyError;
use domain::log::{Revision, StoreError, StreamId};
use domain::operator::OperatorError;
use domain::payment::PaymentError;
use domain::pile::PileError;
use domain::pricing::PricingError;
use domain::projection::ProjectionError;
use domain::request::RequestError;
use domain::session::SessionError;
use domain::station::StationError;
use domain::tariff::TariffError;
use domain::user::UserError;
use domain::wallet::WalletError;

use crate::handle::HandleError;
use crate::port::{ChannelError, DeviceError, SubjectKeyError};

/// Why a request was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each variant carries the refusal of the aggregate it is named after")]
pub enum CommandError {
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Payment(#[from] PaymentError),
    #[error(transparent)]
    Wallet(#[from] WalletError),
    #[error(transparent)]
    Connector(#[from] ConnectorError),
    #[error(transparent)]
    Pile(#[from] PileError),
    #[error(transparent)]
    Station(#[from] StationError),
    #[error(transparent)]
    Tariff(#[from] TariffError),
    #[error(transparent)]
    Operator(#[from] OperatorError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    User(#[from] UserError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error(transparent)]
    Projection(#[from] ProjectionError),
    #[error(transparent)]
    Pricing(#[from] PricingError),
    #[error(transparent)]
    SubjectKey(#[from] SubjectKeyError),
    #[error(transparent)]
    Channel(#[from] ChannelError),
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// There is none, or it is another operator's: the two look alike from outside.
    #[error("there is no {what} {id}")]
    NotFound {
        /// What was looked for.
        what: &'static str,
        /// By which id.
        id: String,
    },
    /// The station has no tariff in force, so that nothing could be billed.
    #[error("station {station} has no tariff in force; assign one first")]
    NoTariffInForce {
        /// Which.
        station: String,
    },
    /// No such channel is configured.
    #[error("the payment channel {channel} is not configured")]
    ChannelNotConfigured {
        /// Which.
        channel: &'static str,
    },
    /// The session owes nothing (any more), or less than is to be paid.
    #[error("the session owes {owed}; {asked} cannot be paid for it")]
    NotOwed {
        /// What it owes.
        owed: domain::units::Money,
        /// What was to be paid.
        asked: domain::units::Money,
    },
    /// Personal data that cannot be what it should be.
    #[error("{what} is not acceptable: {reason}")]
    PersonalData {
        /// Which field.
        what: &'static str,
        /// Why.
        reason: &'static str,
    },
    /// Others kept writing to the same stream; the same request can be sent again.
    #[error("{stream} is written to by too many at once; try again")]
    Busy {
        /// Which.
        stream: StreamId,
    },
    /// The command's id was used for another command.
    #[error("command {command_id} has been used for something else in {stream}")]
    CommandReused {
        /// The id.
        command_id: CommandId,
        /// Where.
        stream: StreamId,
    },
    /// It is at another revision than the request was meant for.
    #[error("it has changed since; read it again")]
    Moved {
        /// Where it is; none when there is none.
        revision: Option<Revision>,
    },
    #[error(transparent)]
    Store(StoreError),
    #[error(transparent)]
    Unreadable(DecodeError),
}

impl CommandError {
    /// Whether the same request can succeed later without anything else changing.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            CommandError::Busy { .. }
            | CommandError::Store(StoreError::Unavailable { .. })
            | CommandError::SubjectKey(SubjectKeyError::Unavailable { .. }) => true,
            CommandError::Channel(error) => error.is_retryable(),
            CommandError::Session(_)
            | CommandError::Payment(_)
            | CommandError::Wallet(_)
            | CommandError::Connector(_)
            | CommandError::Pile(_)
            | CommandError::Station(_)
            | CommandError::Tariff(_)
            | CommandError::Operator(_)
            | CommandError::Journal(_)
            | CommandError::User(_)
            | CommandError::Key(_)
            | CommandError::Request(_)
            | CommandError::Projection(_)
            | CommandError::Pricing(_)
            | CommandError::SubjectKey(SubjectKeyError::Taken { .. })
            | CommandError::Device(_)
            | CommandError::NotFound { .. }
            | CommandError::NoTariffInForce { .. }
            | CommandError::ChannelNotConfigured { .. }
            | CommandError::NotOwed { .. }
            | CommandError::PersonalData { .. }
            | CommandError::CommandReused { .. }
            | CommandError::Moved { .. }
            | CommandError::Store(_)
            | CommandError::Unreadable(_) => false,
        }
    }

    /// Whether the aggregate said no, as opposed to something having broken.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        !matches!(
            self,
            CommandError::Busy { .. }
                | CommandError::Store(_)
                | CommandError::Unreadable(_)
                | CommandError::CommandReused { .. }
                | CommandError::SubjectKey(SubjectKeyError::Unavailable { .. })
                | CommandError::Channel(ChannelError::Unknown { .. })
        )
    }
}

impl<E: std::error::Error + Into<CommandError>> From<HandleError<E>> for CommandError {
    fn from(error: HandleError<E>) -> CommandError {
        match error {
            HandleError::Refused(refusal) => refusal.into(),
            HandleError::Busy { stream } => CommandError::Busy { stream },
            HandleError::CommandReused { command_id, stream } => CommandError::CommandReused { command_id, stream },
            HandleError::Moved { revision, .. } => CommandError::Moved { revision },
            HandleError::Store(error) => CommandError::Store(error),
            HandleError::Unreadable(error) => CommandError::Unreadable(error),
        }
    }
}

impl From<Infallible> for CommandError {
    fn from(never: Infallible) -> CommandError {
        match never {}
    }
}
