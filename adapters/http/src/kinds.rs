//! Every kind of problem that this API answers with: one table, which the OpenAPI document lists and nothing else extends.

use axum::http::StatusCode;

macro_rules! kinds {
    ($($name:ident $status:ident $text:literal $title:literal;)*) => {
        /// What went wrong, for programs.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[allow(missing_docs, reason = "the title says it")]
        pub enum Kind {
            $($name,)*
        }

        impl Kind {
            /// All of them.
            pub const ALL: &[Kind] = &[$(Kind::$name),*];

            /// The last part of its type.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Kind::$name => $text,)* }
            }

            /// The same for every problem of the kind.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Kind::$name => $title,)* }
            }

            /// The HTTP status.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(Kind::$name => StatusCode::$status,)* }
            }
        }
    };
}

kinds! {
    MalformedJson BAD_REQUEST "malformed-json" "The body is not JSON";
    InvalidQuery BAD_REQUEST "invalid-query" "A query parameter cannot be";
    InvalidCursor BAD_REQUEST "invalid-cursor" "The cursor is not one of this list";
    InvalidId BAD_REQUEST "invalid-id" "An id in the path is none";
    InvalidHeader BAD_REQUEST "invalid-header" "A header cannot be";
    UnreadableBody BAD_REQUEST "unreadable-body" "The body could not be read";
    Unauthenticated UNAUTHORIZED "unauthenticated" "No valid API key";
    Forbidden FORBIDDEN "forbidden" "The key's role may not do this";
    NoSuchPath NOT_FOUND "no-such-path" "There is nothing at this path";
    NotFound NOT_FOUND "not-found" "There is no such thing";
    MethodNotAllowed METHOD_NOT_ALLOWED "method-not-allowed" "This path does not take this method";
    NotAcceptable NOT_ACCEPTABLE "not-acceptable" "The answer has no acceptable form";
    BodyTooLarge PAYLOAD_TOO_LARGE "body-too-large" "The body is too large";
    UnsupportedMediaType UNSUPPORTED_MEDIA_TYPE "unsupported-media-type" "The body must be application/json";
    InvalidBody UNPROCESSABLE_ENTITY "invalid-body" "The body does not say what it should";
    PreconditionFailed PRECONDITION_FAILED "precondition-failed" "The resource has changed";
    IdempotencyKeyReused UNPROCESSABLE_ENTITY "idempotency-key-reused" "This Idempotency-Key came with another request";
    CommandReused CONFLICT "command-reused" "This id came with something else";
    TooManyRequests TOO_MANY_REQUESTS "too-many-requests" "Too many requests";
    PositionAhead CONFLICT "position-ahead" "The ledger has not come that far";

    TextInvalid UNPROCESSABLE_ENTITY "text-invalid" "A text cannot be";
    AmountInvalid UNPROCESSABLE_ENTITY "amount-invalid" "The amount cannot be";

    SessionAlreadyRequested CONFLICT "session-already-requested" "The session exists already";
    SessionDidNotStart CONFLICT "session-did-not-start" "The session did not come about";
    SessionNotAuthorised CONFLICT "session-not-authorised" "The session waits for its money";
    SessionAlreadyStarted CONFLICT "session-already-started" "The session has begun";
    SessionNotCharging CONFLICT "session-not-charging" "The session is not charging";
    SessionFinished CONFLICT "session-finished" "The session is finished";
    SessionNotBilled CONFLICT "session-not-billed" "The session has no bill";
    SessionNotSettled CONFLICT "session-not-settled" "The session's bill is being settled";
    SessionHasTariff CONFLICT "session-has-tariff" "The session has its prices already";
    SessionWithoutTariff CONFLICT "session-without-tariff" "The session cannot be priced";
    CreditNotWithinBill UNPROCESSABLE_ENTITY "credit-not-within-bill" "The credit is not within the bill";
    NoteMissing UNPROCESSABLE_ENTITY "note-missing" "This needs a note";
    EndsBeforeStart UNPROCESSABLE_ENTITY "ends-before-start" "The end is before the beginning";
    NotPriceable UNPROCESSABLE_ENTITY "not-priceable" "This cannot be priced";
    StartTimedOut CONFLICT "start-timed-out" "The device did not start in time";
    InsufficientFunds CONFLICT "insufficient-funds" "The wallet does not have as much";
    PaymentNotMade CONFLICT "payment-not-made" "The payment failed or was closed";
    DeviceUnreachable CONFLICT "device-unreachable" "The device is not connected";
    DeviceRefused CONFLICT "device-refused" "The device refused";
    Cancelled CONFLICT "cancelled" "It was cancelled before it started";

    ConnectorOccupied CONFLICT "connector-occupied" "Another session has the connector";
    ConnectorFaulted CONFLICT "connector-faulted" "The connector reports a fault";
    ConnectorOffline CONFLICT "connector-offline" "The connector is offline";
    ConnectorUnavailable CONFLICT "connector-unavailable" "The connector takes no session";
    ConnectorNumberInvalid UNPROCESSABLE_ENTITY "connector-number-invalid" "The connector's number cannot be";
    AlreadyRegistered CONFLICT "already-registered" "It is registered already";
    Retired CONFLICT "retired" "It is out of service for good";
    PowerInvalid UNPROCESSABLE_ENTITY "power-invalid" "The rated power cannot be";
    OwnershipInvalid UNPROCESSABLE_ENTITY "ownership-invalid" "A station cannot be owned on these terms";
    PlaceInvalid UNPROCESSABLE_ENTITY "place-invalid" "This is not a place on the earth";

    NoTariffInForce CONFLICT "no-tariff-in-force" "The station has no tariff in force";
    TariffTermsInvalid UNPROCESSABLE_ENTITY "tariff-terms-invalid" "The tariff's terms cannot be published";
    TariffWithdrawn CONFLICT "tariff-withdrawn" "The tariff has been withdrawn";
    TariffVersionOrder CONFLICT "tariff-version-order" "The version would change what has been published";

    PaymentExists CONFLICT "payment-exists" "The payment exists already, with other terms";
    PaymentAlreadyPaid CONFLICT "payment-already-paid" "The payment has been paid";
    PaymentOpen CONFLICT "payment-open" "The payment is still open";
    ReceiptNotUnidentified CONFLICT "receipt-not-unidentified" "The receipt does not wait for a decision";
    RefundUnderWay CONFLICT "refund-under-way" "A refund is under way";
    PaymentNotPaid CONFLICT "payment-not-paid" "The payment has not been paid";
    ExceedsRefundable CONFLICT "exceeds-refundable" "There is not as much to give back";
    RefundExists CONFLICT "refund-exists" "The refund exists already, with other terms";
    ChannelNotConfigured UNPROCESSABLE_ENTITY "channel-not-configured" "The payment channel is not configured";
    ChannelRefused CONFLICT "channel-refused" "The payment channel refused";
    ChannelUnknown SERVICE_UNAVAILABLE "channel-unavailable" "The payment channel did not answer";
    NotOwed CONFLICT "not-owed" "The session does not owe as much";
    HoldConflict CONFLICT "hold-conflict" "The wallet's hold does not allow it";

    UserExists CONFLICT "user-exists" "The user is registered already";
    PhoneTaken CONFLICT "phone-taken" "Another user has this phone number";
    UserClosed CONFLICT "user-closed" "The user's account is closed";
    UserErased CONFLICT "user-erased" "The user has been erased";
    PersonalDataInvalid UNPROCESSABLE_ENTITY "personal-data-invalid" "The personal data cannot be";

    KeyExists CONFLICT "key-exists" "The key exists already";
    KeyRevoked CONFLICT "key-revoked" "The key is revoked";
    OperatorClosed CONFLICT "operator-closed" "The operator is closed";

    RulesInvalid UNPROCESSABLE_ENTITY "rules-invalid" "There are no such posting rules";
    RulesNotNewer CONFLICT "rules-not-newer" "Books never go back to rules that they have left";

    ProjectionNotHalted CONFLICT "projection-not-halted" "The projection does not stand at this event";
    RebuildRunning CONFLICT "rebuild-running" "A rebuild of this name is under way";
    RebuildNotRunning CONFLICT "rebuild-not-running" "No rebuild of this name is under way";
    RebuildHalted CONFLICT "rebuild-halted" "The rebuild met an event that it cannot apply";
    RebuildCancelled CONFLICT "rebuild-cancelled" "The rebuild was given up";
    RebuildNotAccounted CONFLICT "rebuild-not-accounted" "The build does not account for every event";
    NoSuchBuild CONFLICT "no-such-build" "There is no build to do it with";
    BuildServes CONFLICT "build-serves" "The build is behind its view";

    Busy SERVICE_UNAVAILABLE "busy" "Too many write here at once";
    TimedOut SERVICE_UNAVAILABLE "timed-out" "It took too long";
    NotReady SERVICE_UNAVAILABLE "not-ready" "The process is not ready";
    StoreUnavailable SERVICE_UNAVAILABLE "store-unavailable" "The ledger cannot be reached";
    ReadModelsUnavailable SERVICE_UNAVAILABLE "read-models-unavailable" "Queries are not answered at the moment";
    ReadModelBehind SERVICE_UNAVAILABLE "read-model-behind" "The read model has not come that far";
    Internal INTERNAL_SERVER_ERROR "internal" "Something went wrong here";
}
