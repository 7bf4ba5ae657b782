//! Notices over NATS: the receiver of what goes out of the read model of that name, in a stream of its own.
//!
//! The stream's last message says how far it has received, and each message names the sequence before it: what a process had sent and did not come to note is not sent
//! again, and two processes cannot both send.

use async_nats::HeaderMap;
use async_nats::client::RequestErrorKind;
use async_nats::header::{HeaderName, NATS_EXPECTED_STREAM};
use async_nats::jetstream::stream::RawMessageErrorKind;
use async_trait::async_trait;
use domain::log::Position;
use projections::outbox::{Message, Receiver, SendError};

use crate::connect::Nats;
use crate::error::FeedError;
use crate::publish::{EXPECTED_LAST_SEQUENCE, Stored, stored};
use crate::stream::{FeedStream, StreamSettings};
use crate::wire::{EVENT_ID, MESSAGE_ID, POSITION};

/// The stream that notices go to.
pub const NOTICES: &str = "LEDGER_NOTICES";
/// What the subjects of its messages begin with; what the notice is about follows.
pub const NOTICES_PREFIX: &str = "ledger.notices.";

impl StreamSettings {
    /// The stream of notices.
    #[must_use]
    pub fn notices(replicas: usize, bytes_max: Option<u64>) -> StreamSettings {
        StreamSettings {
            name: NOTICES.to_owned(),
            prefix: NOTICES_PREFIX.to_owned(),
            description: "Receipts, refunds, disputes and faults, each announced once".to_owned(),
            replicas,
            bytes_max,
        }
    }
}

/// Where the stream ends.
#[derive(Debug, Clone, Copy)]
struct End {
    sequence: u64,
    position: Option<Position>,
}

/// The stream as a receiver.
pub struct NoticeStream {
    nats: Nats,
    settings: StreamSettings,
    /// As far as is known; asked again after whatever went wrong.
    end: Option<(FeedStream, End)>,
}

impl NoticeStream {
    /// A receiver that has not been asked yet.
    #[must_use]
    pub fn new(nats: Nats, settings: StreamSettings) -> NoticeStream {
        NoticeStream { nats, settings, end: None }
    }

    async fn end(&mut self) -> Result<(FeedStream, End), FeedError> {
        if let Some(known) = &self.end {
            return Ok(known.clone());
        }
        let stream = FeedStream::open(&self.nats, &self.settings).await?;
        let state = stream.state().await?;
        let mut position = None;
        for sequence in (state.first_sequence..=state.last_sequence).rev().take_while(|_| state.messages > 0) {
            position = position_of(&stream, sequence).await?;
            if position.is_some() {
                break;
            }
        }
        let found = (stream, End { sequence: state.last_sequence, position });
        self.end = Some(found.clone());
        Ok(found)
    }

    async fn put(&mut self, message: &Message) -> Result<(), FeedError> {
        let (stream, mut end) = self.end().await?;
        let mut id = message.id.to_string();
        loop {
            let mut headers = HeaderMap::new();
            headers.insert(HeaderName::from_static(MESSAGE_ID), id.as_str());
            headers.insert(HeaderName::from_static(EVENT_ID), message.id.to_string());
            headers.insert(HeaderName::from_static(POSITION), message.position.to_string());
            headers.insert(EXPECTED_LAST_SEQUENCE, end.sequence.to_string());
            headers.insert(NATS_EXPECTED_STREAM, self.settings.name.as_str());
            let subject = stream.subject(&message.kind);
            let asked = self.nats.client.request_with_headers(subject, headers, message.body.to_string().into());
            let answer = self.nats.asked(asked, |error| error.kind() == RequestErrorKind::NoResponders).await?;
            match stored(&answer)? {
                Stored::At(sequence) => {
                    end = End { sequence, position: Some(message.position) };
                    self.end = Some((stream, end));
                    return Ok(());
                }
                // It is there already; or it was, and the server has not forgotten its id yet.
                Stored::Known(sequence) if position_of(&stream, sequence).await? == Some(message.position) => return Ok(()),
                Stored::Known(_) => id = format!("{}/{}", message.id, end.sequence + 1),
                Stored::Displaced => return Err(FeedError::Unavailable { reason: "another process sends notices".to_owned() }),
            }
        }
    }

    fn failed(&mut self, error: &FeedError) -> SendError {
        self.end = None;
        SendError::Receiver { reason: error.to_string() }
    }
}

/// The position that a message comes from.
async fn position_of(stream: &FeedStream, sequence: u64) -> Result<Option<Position>, FeedError> {
    let named = stream.nats.context.get_stream_no_info(&stream.settings.name).await.map_err(|error| FeedError::unavailable(&error))?;
    match named.get_raw_message(sequence).await {
        Ok(found) => Ok(found.headers.get(POSITION).and_then(|position| position.as_str().parse().ok()).map(Position)),
        Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(FeedError::unavailable(&error)),
    }
}

#[async_trait]
impl Receiver for NoticeStream {
    async fn received(&mut self) -> Result<Option<Position>, SendError> {
        match self.end().await {
            Ok((_, end)) => Ok(end.position),
            Err(error) => Err(self.failed(&error)),
        }
    }

    async fn send(&mut self, messages: &[Message]) -> Result<(), SendError> {
        for message in messages {
            if let Err(error) = self.put(message).await {
                return Err(self.failed(&error));
            }
        }
        Ok(())
    }
}
