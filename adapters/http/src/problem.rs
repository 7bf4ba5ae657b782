//! Where errors become RFC 9457 problems: the one file. Each aggregate's refusals are matched one by one, so that a new refusal must find its kind here;
//! what broke on our side is logged here once and never shown.

use axum::Json;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use commands::CommandError;
use commands::port::{ChannelError, DeviceError, SubjectKeyError};
use domain::connector::ConnectorError;
use domain::journal::JournalError;
use domain::key::KeyError;
use domain::log::StoreError;
use domain::operator::OperatorError;
use domain::payment::PaymentError;
use domain::pile::PileError;
use domain::pricing::PricingError;
use domain::projection::ProjectionError;
use domain::request::RequestError;
use domain::session::{RefusalReason, SessionError};
use domain::station::StationError;
use domain::tariff::TariffError;
use domain::user::UserError;
use domain::wallet::WalletError;
use projections::port::ReadStoreError;
use projections::query::QueryError;
use projections::rebuild::RebuildError;
use serde_json::{Value, json};
use tracing::error;

pub use crate::kinds::Kind;

/// The media type of every error.
pub const PROBLEM_JSON: &str = "application/problem+json";
/// What every type begins with.
pub const TYPE_PREFIX: &str = "urn:ledger:problem:";

/// An error as the client sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// Which.
    pub kind: Kind,
    /// What about this occurrence; none when it would show our insides.
    pub detail: Option<String>,
    /// Further members: what a program may go on with.
    pub members: serde_json::Map<String, Value>,
    /// When to come back.
    pub retry_after_s: Option<u64>,
}

impl Problem {
    /// A problem with what is particular to this occurrence.
    #[must_use]
    pub fn new(kind: Kind, detail: impl Into<String>) -> Problem {
        let detail = (!kind.status().is_server_error()).then(|| detail.into());
        Problem { detail, ..Problem::bare(kind) }
    }

    /// A problem that its kind says all about.
    #[must_use]
    pub fn bare(kind: Kind) -> Problem {
        let retry_after_s = (kind.status() == axum::http::StatusCode::SERVICE_UNAVAILABLE).then_some(1);
        Problem { kind, detail: None, members: serde_json::Map::new(), retry_after_s }
    }

    /// A problem on our side: its reason goes to the log.
    #[must_use]
    pub fn broken(kind: Kind, reason: &dyn std::fmt::Display) -> Problem {
        error!(problem = kind.as_str(), %reason, "a request was not done");
        Problem::bare(kind)
    }

    /// There is none, or it is another operator's: the two look alike from outside.
    #[must_use]
    pub fn not_found(what: &str, id: &str) -> Problem {
        Problem::new(Kind::NotFound, format!("there is no {what} {id}"))
    }

    /// With one more member.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Problem {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// When the client may come back.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Problem {
        self.retry_after_s = Some(seconds);
        self
    }

    /// The document.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut document = json!({
            "type": format!("{TYPE_PREFIX}{}", self.kind.as_str()),
            "title": self.kind.title(),
            "status": self.kind.status().as_u16(),
        });
        if let Some(detail) = &self.detail {
            document["detail"] = json!(detail);
        }
        self.members.iter().for_each(|(name, value)| document[name] = value.clone());
        document
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.kind.status(), Json(self.to_json())).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.kind == Kind::Unauthenticated {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<RebuildError> for Problem {
    fn from(error: RebuildError) -> Problem {
        let detail = error.to_string();
        match error {
            RebuildError::Log(error) => error.into(),
            RebuildError::Database(error) => QueryError::Store(error).into(),
            // What the fold says may quote the event, which is one operator's.
            RebuildError::Halted { name, halt } => {
                Problem::new(Kind::RebuildHalted, format!("{name} cannot apply the event at position {}", halt.position))
                    .with("position", halt.position.0)
            }
            RebuildError::Busy { name } => Problem::new(Kind::RebuildRunning, format!("{name} is being rebuilt already")),
            RebuildError::Cancelled { .. } => Problem::new(Kind::RebuildCancelled, detail),
            RebuildError::NotAccounted { .. } => Problem::new(Kind::RebuildNotAccounted, detail),
            RebuildError::NoBuild { .. } => Problem::new(Kind::NoSuchBuild, detail),
            RebuildError::NoRow { .. } => Problem::new(Kind::InvalidBody, detail),
        }
    }
}

impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Problem {
        let kind = match &error {
            CommandError::Session(error) => session(error),
            CommandError::Payment(error) => payment(error),
            CommandError::Wallet(error) => wallet(error),
            CommandError::Connector(refusal) => {
                let problem = Problem::new(connector(refusal), error.to_string());
                return match refusal {
                    ConnectorError::Occupied { session } => problem.with("session_id", session.to_string()),
                    ConnectorError::Faulted { code } => problem.with("fault_code", code.clone()),
                    ConnectorError::Absent
                    | ConnectorError::AlreadyRegistered
                    | ConnectorError::NumberZero
                    | ConnectorError::Offline
                    | ConnectorError::Retired => problem,
                };
            }
            CommandError::Pile(error) => pile(error),
            CommandError::Station(error) => station(error),
            CommandError::Tariff(error) => tariff(error),
            CommandError::Operator(error) => operator(error),
            CommandError::User(error) => user(error),
            CommandError::Key(error) => key(error),
            CommandError::Journal(JournalError::UnknownRules(_)) => Kind::RulesInvalid,
            CommandError::Journal(JournalError::NotNewer { .. }) => Kind::RulesNotNewer,
            CommandError::Request(RequestError::KeyReused) => Kind::IdempotencyKeyReused,
            CommandError::Projection(ProjectionError::Text(_)) => Kind::TextInvalid,
            CommandError::Pricing(error) => pricing(error),
            CommandError::SubjectKey(SubjectKeyError::Taken { .. }) => Kind::PhoneTaken,
            CommandError::SubjectKey(SubjectKeyError::Unavailable { .. }) => Kind::StoreUnavailable,
            CommandError::Channel(ChannelError::Unknown { .. }) => Kind::ChannelUnknown,
            CommandError::Channel(ChannelError::Refused { .. }) => Kind::ChannelRefused,
            CommandError::Device(DeviceError::Unreachable) => Kind::DeviceUnreachable,
            CommandError::Device(DeviceError::Refused { .. }) => Kind::DeviceRefused,
            CommandError::NotFound { .. } => Kind::NotFound,
            CommandError::NoTariffInForce { .. } => Kind::NoTariffInForce,
            CommandError::ChannelNotConfigured { .. } => Kind::ChannelNotConfigured,
            CommandError::NotOwed { .. } => Kind::NotOwed,
            CommandError::PersonalData { .. } => Kind::PersonalDataInvalid,
            CommandError::Busy { .. } => Kind::Busy,
            CommandError::CommandReused { .. } => Kind::CommandReused,
            CommandError::Moved { revision } => {
                let at = revision.map_or_else(|| "not there".to_owned(), |revision| format!("at {}", crate::asked::etag(revision)));
                return Problem::new(Kind::PreconditionFailed, format!("the resource is {at}; read it again"));
            }
            CommandError::Store(error) => store(error),
            CommandError::Unreadable(_) => Kind::Internal,
        };
        // The error may name another's data; a 5xx is ours to look into.
        if kind.status().is_server_error() { Problem::broken(kind, &error) } else { Problem::new(kind, error.to_string()) }
    }
}

fn session(error: &SessionError) -> Kind {
    match error {
        SessionError::AlreadyRequested => Kind::SessionAlreadyRequested,
        SessionError::Unknown => Kind::NotFound,
        SessionError::DidNotStart => Kind::SessionDidNotStart,
        SessionError::NotAuthorised => Kind::SessionNotAuthorised,
        SessionError::AlreadyStarted => Kind::SessionAlreadyStarted,
        SessionError::NotCharging => Kind::SessionNotCharging,
        SessionError::AlreadyFinished => Kind::SessionFinished,
        SessionError::NotBilled => Kind::SessionNotBilled,
        SessionError::NotSettled => Kind::SessionNotSettled,
        SessionError::NoTariff => Kind::SessionWithoutTariff,
        SessionError::HasTariff => Kind::SessionHasTariff,
        SessionError::AmountNotPositive { .. } => Kind::AmountInvalid,
        SessionError::CreditNotWithinBill { .. } => Kind::CreditNotWithinBill,
        SessionError::NoteMissing => Kind::NoteMissing,
        SessionError::EndsBeforeStart { .. } => Kind::EndsBeforeStart,
        SessionError::Price(error) => pricing(error),
    }
}

fn pricing(error: &PricingError) -> Kind {
    match error {
        PricingError::EndsBeforeStart { .. } => Kind::EndsBeforeStart,
        PricingError::TooLong { .. } | PricingError::NoElementHolds { .. } | PricingError::AmountOutOfRange => Kind::NotPriceable,
    }
}

fn payment(error: &PaymentError) -> Kind {
    match error {
        PaymentError::NotFound { .. } => Kind::NotFound,
        PaymentError::AlreadyInitiated { .. } => Kind::PaymentExists,
        PaymentError::AmountNotPositive { .. } => Kind::AmountInvalid,
        PaymentError::AlreadyPaid { .. } => Kind::PaymentAlreadyPaid,
        PaymentError::NotPaid { .. } => Kind::PaymentNotPaid,
        PaymentError::StillOpen { .. } => Kind::PaymentOpen,
        PaymentError::NotUnidentified { .. } => Kind::ReceiptNotUnidentified,
        PaymentError::RefundUnderWay { .. } => Kind::RefundUnderWay,
        PaymentError::Text(_) => Kind::TextInvalid,
        PaymentError::ExceedsRefundable { .. } => Kind::ExceedsRefundable,
        PaymentError::RefundIdReused { .. } | PaymentError::RefundNumberReused { .. } => Kind::RefundExists,
    }
}

fn wallet(error: &WalletError) -> Kind {
    match error {
        WalletError::AmountNotPositive { .. } | WalletError::DueNegative { .. } => Kind::AmountInvalid,
        WalletError::TopUpDiffers { .. } => Kind::PaymentExists,
        WalletError::InsufficientFunds { .. } => Kind::InsufficientFunds,
        WalletError::HoldDiffers { .. } | WalletError::HoldOver { .. } => Kind::HoldConflict,
        WalletError::CreditExceedsCapture { .. } => Kind::CreditNotWithinBill,
        WalletError::NotRefundable { .. } => Kind::ExceedsRefundable,
        WalletError::RefundIdReused { .. } => Kind::RefundExists,
    }
}

fn connector(error: &ConnectorError) -> Kind {
    match error {
        ConnectorError::Absent => Kind::NotFound,
        ConnectorError::AlreadyRegistered => Kind::AlreadyRegistered,
        ConnectorError::NumberZero => Kind::ConnectorNumberInvalid,
        ConnectorError::Occupied { .. } => Kind::ConnectorOccupied,
        ConnectorError::Faulted { .. } => Kind::ConnectorFaulted,
        ConnectorError::Offline => Kind::ConnectorOffline,
        ConnectorError::Retired => Kind::Retired,
    }
}

fn pile(error: &PileError) -> Kind {
    match error {
        PileError::Absent => Kind::NotFound,
        PileError::AlreadyRegistered => Kind::AlreadyRegistered,
        PileError::Retired => Kind::Retired,
        PileError::Text(_) => Kind::TextInvalid,
        PileError::NoPower => Kind::PowerInvalid,
    }
}

fn station(error: &StationError) -> Kind {
    match error {
        StationError::Absent => Kind::NotFound,
        StationError::AlreadyRegistered => Kind::AlreadyRegistered,
        StationError::Retired => Kind::Retired,
        StationError::Text(_) => Kind::TextInvalid,
        StationError::OwnedByOperator | StationError::RateAboveWhole { .. } => Kind::OwnershipInvalid,
        StationError::NotAPlace { .. } => Kind::PlaceInvalid,
    }
}

fn tariff(error: &TariffError) -> Kind {
    match error {
        TariffError::NeverPublished | TariffError::OtherOperator => Kind::NotFound,
        TariffError::Withdrawn => Kind::TariffWithdrawn,
        TariffError::NoName | TariffError::NameTooLong { .. } => Kind::TextInvalid,
        TariffError::Terms(_) => Kind::TariffTermsInvalid,
        TariffError::BeforeEarlierVersion { .. } | TariffError::EffectiveBeforePublished { .. } | TariffError::TooManyVersions => {
            Kind::TariffVersionOrder
        }
    }
}

fn operator(error: &OperatorError) -> Kind {
    match error {
        OperatorError::Absent => Kind::NotFound,
        OperatorError::AlreadyRegistered => Kind::AlreadyRegistered,
        OperatorError::Closed => Kind::OperatorClosed,
        OperatorError::Text(_) => Kind::TextInvalid,
    }
}

fn user(error: &UserError) -> Kind {
    match error {
        UserError::Absent => Kind::NotFound,
        UserError::AlreadyRegistered => Kind::UserExists,
        UserError::Closed => Kind::UserClosed,
        UserError::Erased => Kind::UserErased,
    }
}

fn key(error: &KeyError) -> Kind {
    match error {
        KeyError::Absent => Kind::NotFound,
        KeyError::AlreadyCreated => Kind::KeyExists,
        KeyError::Revoked => Kind::KeyRevoked,
        KeyError::Text(_) => Kind::TextInvalid,
        KeyError::NotADigest => Kind::Internal,
    }
}

fn store(error: &StoreError) -> Kind {
    match error {
        StoreError::Unavailable { .. } => Kind::StoreUnavailable,
        StoreError::ReadOnly | StoreError::Damaged { .. } | StoreError::Empty => Kind::Internal,
        StoreError::TooLarge { .. } => Kind::BodyTooLarge,
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Problem {
        Problem::broken(store(&error), &error)
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Problem {
        match &error {
            QueryError::BadCursor => Problem::new(Kind::InvalidCursor, error.to_string()),
            QueryError::BadValue { .. } => Problem::new(Kind::InvalidQuery, error.to_string()),
            QueryError::UnknownView(_) | QueryError::UnknownColumn { .. } => Problem::broken(Kind::Internal, &error),
            QueryError::Store(
                ReadStoreError::Unavailable { .. }
                | ReadStoreError::Full { .. }
                | ReadStoreError::Missing { .. }
                | ReadStoreError::Superseded { .. },
            ) => Problem::broken(Kind::ReadModelsUnavailable, &error),
            QueryError::Store(ReadStoreError::Refused { .. }) => Problem::broken(Kind::Internal, &error),
        }
    }
}

/// Why a session did not come about, as the answer to who asked for it.
#[must_use]
pub fn refusal(reason: &RefusalReason) -> Problem {
    Problem::bare(match reason {
        RefusalReason::InsufficientFunds => Kind::InsufficientFunds,
        RefusalReason::PaymentFailed => Kind::PaymentNotMade,
        RefusalReason::ConnectorOccupied => Kind::ConnectorOccupied,
        RefusalReason::ConnectorUnavailable => Kind::ConnectorUnavailable,
        RefusalReason::DeviceUnreachable => Kind::DeviceUnreachable,
        RefusalReason::DeviceRefused => Kind::DeviceRefused,
        RefusalReason::Cancelled => Kind::Cancelled,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_error_never_shows_its_detail() {
        let error = CommandError::Store(StoreError::Unavailable { reason: "/secret/path is full".to_owned() });
        assert!(!Problem::from(error).to_json().to_string().contains("secret"));
        assert_eq!(Problem::new(Kind::Internal, "secret").detail, None);
    }

    #[test]
    fn an_occupied_connector_says_by_which_session() {
        let session = domain::testing::id(7);
        let problem = Problem::from(CommandError::Connector(ConnectorError::Occupied { session }));
        assert_eq!(problem.kind, Kind::ConnectorOccupied);
        assert_eq!(problem.to_json()["session_id"], session.to_string());
    }

    #[test]
    fn no_two_kinds_share_a_type() {
        let names: std::collections::BTreeSet<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(names.len(), Kind::ALL.len());
    }
}
