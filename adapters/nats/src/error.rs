//! What can be the matter with the feed, and what to do about it.

use domain::log::{Position, StoreError};
use uuid::Uuid;

use crate::wire::WireError;

/// Why the feed cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// NATS cannot be reached, or does not answer in time. Nothing is lost: wait and try again.
    #[error("NATS is unavailable: {reason}")]
    Unavailable {
        /// What is the matter.
        reason: String,
    },
    /// The server does not do it.
    #[error("NATS refuses: {reason}")]
    Refused {
        /// Why.
        reason: String,
    },
    /// What NATS holds under this name was made otherwise.
    #[error("{what} {name} is not as it should be: {differences}. {mend}")]
    Differs {
        /// A stream, or a consumer.
        what: &'static str,
        /// Its name.
        name: String,
        /// What is different.
        differences: String,
        /// What to do.
        mend: String,
    },
    /// Somebody else wrote where this publisher was about to.
    #[error("another publisher ({}) writes the feed, at sequence {sequence}: of two, one must be stopped", by.map_or_else(|| "unknown".to_owned(), |by| by.to_string()))]
    Overtaken {
        /// Its run.
        by: Option<Uuid>,
        /// Where.
        sequence: u64,
    },
    /// What the feed holds is not of this log.
    #[error(
        "the feed is of another ledger, or of a later state of this one: {reason}. `chargeledger feed rebuild` makes it again from this ledger"
    )]
    AnotherLedger {
        /// Where, in the log.
        position: Position,
        /// What does not fit.
        reason: String,
    },
    /// What stands in the stream is no event.
    #[error("sequence {sequence}: {source}")]
    Message {
        /// Where.
        sequence: u64,
        /// What is wrong.
        source: WireError,
    },
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] StoreError),
    /// What a consumer keeps cannot be read or written.
    #[error("the consumer's inbox: {reason}")]
    Inbox {
        /// Why.
        reason: String,
    },
}

impl FeedError {
    /// Whether waiting may help. What an operator mends with NATS running is found mended.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            FeedError::Unavailable { .. } | FeedError::Refused { .. } | FeedError::Differs { .. } | FeedError::Log(_) => true,
            FeedError::Overtaken { .. } | FeedError::AnotherLedger { .. } | FeedError::Message { .. } | FeedError::Inbox { .. } => false,
        }
    }

    pub(crate) fn unavailable(error: &(dyn std::error::Error + 'static)) -> FeedError {
        FeedError::Unavailable { reason: chain(error) }
    }
}

/// An error with what is behind it.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = cause.source();
    }
    text
}
