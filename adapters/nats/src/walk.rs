//! The stream in its order, for those who look at all of it: no acknowledgements, and taken up again where it stood when a server goes away.

use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::{Ordered, OrderedConfig};
use futures::StreamExt as _;

use crate::error::FeedError;
use crate::stream::FeedStream;
use crate::wire::{self, Published, Purpose, WireError};

/// Where a reader begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With the first message that is there.
    Beginning,
    /// With what is published from here on.
    New,
    /// With this sequence, or the next one there is.
    Sequence(u64),
}

impl Start {
    pub(crate) const fn policy(self) -> DeliverPolicy {
        match self {
            Start::Beginning => DeliverPolicy::All,
            Start::New => DeliverPolicy::New,
            Start::Sequence(start_sequence) => DeliverPolicy::ByStartSequence { start_sequence },
        }
    }
}

/// A reader of the stream.
pub struct Walk {
    messages: Ordered,
    prefix: String,
}

/// One message.
#[derive(Debug)]
pub struct Step {
    /// Its sequence.
    pub sequence: u64,
    /// How many more there were when the server sent it.
    pub pending: u64,
    /// The event, if it is one.
    pub message: Result<Published, WireError>,
}

impl Walk {
    /// Begins, with the messages of all types, or of those that a pattern like `session.>` names.
    ///
    /// # Errors
    /// When NATS is away.
    pub async fn start(stream: &FeedStream, start: Start, types: Option<&str>) -> Result<Walk, FeedError> {
        let prefix = stream.settings.prefix.clone();
        let config = OrderedConfig {
            deliver_policy: start.policy(),
            filter_subject: types.map(|types| format!("{prefix}{types}")).unwrap_or_default(),
            ..OrderedConfig::default()
        };
        let handle = stream.nats.context.get_stream_no_info(&stream.settings.name).await.map_err(|error| FeedError::unavailable(&error))?;
        let consumer = handle.create_consumer(config).await.map_err(|error| FeedError::unavailable(&error))?;
        let messages = consumer.messages().await.map_err(|error| FeedError::unavailable(&error))?;
        Ok(Walk { messages, prefix })
    }

    /// The next message, once there is one.
    ///
    /// # Errors
    /// When NATS is away for too long.
    pub async fn next(&mut self) -> Result<Step, FeedError> {
        let message = match self.messages.next().await {
            Some(Ok(message)) => message,
            Some(Err(error)) => return Err(FeedError::unavailable(&error)),
            None => return Err(FeedError::Unavailable { reason: "the connection is closed".to_owned() }),
        };
        let info = message.info().map_err(|error| FeedError::Refused { reason: error.to_string() })?;
        let (sequence, pending) = (info.stream_sequence, info.pending);
        let read = wire::read(&self.prefix, &message.subject, message.headers.as_ref(), &message.payload);
        Ok(Step { sequence, pending, message: read })
    }
}

impl FeedStream {
    /// The first sequence at which an event after this position was published in its turn. What was filled in later stands after it, too.
    ///
    /// # Errors
    /// When NATS is away, or what is there cannot be read.
    pub async fn sequence_after(&self, position: domain::log::Position) -> Result<u64, FeedError> {
        let state = self.state().await?;
        let (mut low, mut high) = (state.first_sequence, state.last_sequence + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.in_turn(middle, high).await? {
                Some((sequence, message)) if message.event.position <= position => low = sequence + 1,
                Some(_) | None => high = middle,
            }
        }
        Ok(low.max(1))
    }

    /// The first message from a sequence on, and before another, that was published in its turn.
    async fn in_turn(&self, from: u64, before: u64) -> Result<Option<(u64, Published)>, FeedError> {
        for sequence in from..before {
            match self.message(sequence).await? {
                Some(message) if message.purpose != Purpose::Refill => return Ok(Some((sequence, message))),
                Some(_) | None => {}
            }
        }
        Ok(None)
    }
}
