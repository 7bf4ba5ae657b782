//! What one request or one fact does: load, decide, append; and the process managers that span streams.
//!
//! | module | what |
//! |---|---|
//! | [`port`] | clock, ids, payment channels, devices, keys of personal data |
//! | [`handle`], [`envelope`] | load → decide → append, retry on conflict; what surrounds a command |
//! | `hot` | the aggregates that stay in memory |
//! | [`snapshot`] | states of streams that grow for years, beside the log |
//! | [`request`] | who asks, and a client's idempotency key |
//! | [`session`], [`device`] | starting and stopping; what devices report |
//! | [`payment`] | paying, refunding, what channels report |
//! | [`estate`], [`tariff`], [`operator`], [`user`], [`key`] | what has to be there first |
//! | [`projection`] | what people decide about a projection |
//! | [`following`] | small folds in memory that follow the log |
//! | [`process`] | process managers and their runner |
//! | [`error`] | why a request was not done |

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod device;
pub mod envelope;
pub mod error;
pub mod estate;
pub mod following;
pub mod handle;
mod hot;
pub mod key;
mod measure;
pub mod operator;
pub mod payment;
pub mod port;
pub mod process;
pub mod projection;
pub mod request;
pub mod seal;
pub mod session;
pub mod snapshot;
pub mod tariff;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod user;

use std::sync::Arc;

use domain::ids::OperatorId;
use domain::log::{Metadata, StreamId};
use domain::payment::Channel;

pub use envelope::Envelope;
pub use error::CommandError;
pub use handle::{Done, HandleError, Ledger, Loaded};
pub use request::{Caller, RequestIds};

/// Everything that can be asked of the ledger. One file per noun holds what its requests do.
pub struct Commands {
    /// Where commands are carried out.
    pub ledger: Arc<Ledger>,
    /// The configured payment channels.
    pub channels: Vec<Arc<dyn port::PaymentChannel>>,
    /// The way to the devices.
    pub devices: Arc<dyn port::DeviceGateway>,
    /// The keys of personal data.
    pub subjects: Arc<dyn port::SubjectKeys>,
}

impl Commands {
    /// The channel of this name.
    ///
    /// # Errors
    /// When it is not configured.
    pub fn channel(&self, channel: Channel) -> Result<&Arc<dyn port::PaymentChannel>, CommandError> {
        self.channels
            .iter()
            .find(|configured| configured.channel() == channel)
            .ok_or(CommandError::ChannelNotConfigured { channel: channel.as_str() })
    }

    /// How a stream began; none when it does not exist.
    ///
    /// # Errors
    /// When the event store cannot be read.
    pub async fn origin(&self, stream: &StreamId) -> Result<Option<Metadata>, CommandError> {
        self.ledger.origin(stream).await.map_err(CommandError::Store)
    }

    /// How a stream of this operator began.
    ///
    /// # Errors
    /// When there is none, or it is another operator's: the two look alike from outside.
    pub async fn owned(&self, what: &'static str, stream: &StreamId, operator_id: OperatorId) -> Result<Metadata, CommandError> {
        self.origin(stream)
            .await?
            .filter(|origin| origin.operator_id == operator_id)
            .ok_or_else(|| CommandError::NotFound { what, id: stream.key().to_owned() })
    }
}
