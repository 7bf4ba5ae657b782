//! The stream of the feed: made when it is missing, checked when it is there. What somebody else has set is never changed in passing.

use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::stream::{Config, DiscardPolicy, Info, RawMessageErrorKind, RetentionPolicy, State, StorageType};
use domain::log::Position;
use serde::Deserialize;
use serde_json::json;
use tracing::info;

use crate::connect::{Answered, Nats};
use crate::error::FeedError;
use crate::wire::{self, Published};

/// The stream that every event of the log goes to.
pub const EVENTS: &str = "LEDGER_EVENTS";
/// What the subjects of its messages begin with; the event's type follows.
pub const EVENTS_PREFIX: &str = "ledger.events.";
/// For how long the server recognises a message's id. Consumers recognise events for ever.
pub const DEDUPE_WINDOW: Duration = Duration::from_secs(120);

/// How a stream is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSettings {
    /// Its name.
    pub name: String,
    /// What its subjects begin with.
    pub prefix: String,
    /// What it is for, in a few words.
    pub description: String,
    /// How many servers keep it.
    pub replicas: usize,
    /// How large it may become; without it, as large as the disk. A full stream refuses: it never drops what is old.
    pub bytes_max: Option<u64>,
}

impl StreamSettings {
    /// The feed of all events.
    #[must_use]
    pub fn events(replicas: usize, bytes_max: Option<u64>) -> StreamSettings {
        StreamSettings {
            name: EVENTS.to_owned(),
            prefix: EVENTS_PREFIX.to_owned(),
            description: "Every event of the ledger, in its order. It can be made again: chargeledger feed rebuild".to_owned(),
            replicas,
            bytes_max,
        }
    }

    fn config(&self) -> Config {
        Config {
            name: self.name.clone(),
            description: Some(self.description.clone()),
            subjects: vec![format!("{}>", self.prefix)],
            storage: StorageType::File,
            retention: RetentionPolicy::Limits,
            // A feed that forgets its beginning in silence would be worse than one that stands still and says so.
            discard: DiscardPolicy::New,
            num_replicas: self.replicas,
            max_bytes: self.bytes_max.map_or(-1, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
            max_messages: -1,
            max_messages_per_subject: -1,
            max_consumers: -1,
            max_message_size: -1,
            duplicate_window: DEDUPE_WINDOW,
            allow_direct: true,
            ..Config::default()
        }
    }

    /// What is different, in words that `nats stream edit` knows.
    fn differences(&self, found: &Config) -> Vec<String> {
        let wanted = self.config();
        let size = |bytes: i64| if bytes < 0 { "unlimited".to_owned() } else { format!("{bytes} bytes") };
        let pairs = [
            ("subjects", wanted.subjects.join(", "), found.subjects.join(", ")),
            ("storage", format!("{:?}", wanted.storage), format!("{:?}", found.storage)),
            ("retention", format!("{:?}", wanted.retention), format!("{:?}", found.retention)),
            ("discard", format!("{:?}", wanted.discard), format!("{:?}", found.discard)),
            ("replicas", wanted.num_replicas.to_string(), found.num_replicas.to_string()),
            ("max-bytes", size(wanted.max_bytes), size(found.max_bytes)),
            ("max-msgs", wanted.max_messages.to_string(), found.max_messages.to_string()),
            ("max-msgs-per-subject", wanted.max_messages_per_subject.to_string(), found.max_messages_per_subject.to_string()),
            ("max-msg-size", wanted.max_message_size.to_string(), found.max_message_size.to_string()),
            ("max-age", format!("{:?}", wanted.max_age), format!("{:?}", found.max_age)),
            ("dupe-window", format!("{:?}", wanted.duplicate_window), format!("{:?}", found.duplicate_window)),
            ("no-ack", wanted.no_ack.to_string(), found.no_ack.to_string()),
            ("sealed", wanted.sealed.to_string(), found.sealed.to_string()),
        ];
        pairs
            .into_iter()
            .filter(|(_, wanted, found)| wanted != found)
            .map(|(what, wanted, found)| format!("{what} is {found} instead of {wanted}"))
            .collect()
    }
}

/// A stream that is as it should be.
#[derive(Debug, Clone)]
pub struct FeedStream {
    pub(crate) nats: Nats,
    pub(crate) settings: StreamSettings,
}

/// The server's answer to questions of which only the end matters.
#[derive(Debug, Deserialize)]
struct Done {}

impl FeedStream {
    /// The stream, made if it is missing.
    ///
    /// # Errors
    /// When NATS is away, or the stream is there and was made otherwise: then nothing is changed.
    pub async fn open(nats: &Nats, settings: &StreamSettings) -> Result<FeedStream, FeedError> {
        let stream = FeedStream { nats: nats.clone(), settings: settings.clone() };
        let found = match stream.look().await {
            Ok(info) => info,
            Err(error) if error.code() == Some(ErrorCode::STREAM_NOT_FOUND) => stream.create().await?,
            Err(error) => return Err(error.into()),
        };
        stream.check(&found)?;
        Ok(stream)
    }

    /// The stream, if it is there; nothing is made.
    ///
    /// # Errors
    /// When NATS is away, or the stream was made otherwise.
    pub async fn find(nats: &Nats, settings: &StreamSettings) -> Result<Option<FeedStream>, FeedError> {
        let stream = FeedStream { nats: nats.clone(), settings: settings.clone() };
        match stream.look().await {
            Ok(info) => stream.check(&info).map(|()| Some(stream)),
            Err(error) if error.code() == Some(ErrorCode::STREAM_NOT_FOUND) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Brings the stream to what it should be, by whatever way the server has: for who makes the feed again.
    ///
    /// # Errors
    /// When NATS is away, or the server cannot change the stream.
    pub async fn mend(nats: &Nats, settings: &StreamSettings, recreate: bool) -> Result<FeedStream, FeedError> {
        let stream = FeedStream { nats: nats.clone(), settings: settings.clone() };
        if recreate {
            match nats.ask::<Done>(format!("STREAM.DELETE.{}", settings.name), &json!({})).await {
                Ok(_) => {}
                Err(error) if error.code() == Some(ErrorCode::STREAM_NOT_FOUND) => {}
                Err(error) => return Err(error.into()),
            }
        } else if let Ok(info) = stream.look().await
            && stream.check(&info).is_err()
        {
            nats.ask::<Info>(format!("STREAM.UPDATE.{}", settings.name), &settings.config()).await?;
        }
        FeedStream::open(nats, settings).await
    }

    async fn look(&self) -> Result<Info, Answered> {
        self.nats.ask(format!("STREAM.INFO.{}", self.settings.name), &json!({})).await
    }

    async fn create(&self) -> Result<Info, FeedError> {
        let info = self.nats.ask(format!("STREAM.CREATE.{}", self.settings.name), &self.settings.config()).await?;
        info!(stream = self.settings.name, replicas = self.settings.replicas, "made the feed's stream");
        Ok(info)
    }

    fn check(&self, info: &Info) -> Result<(), FeedError> {
        let differences = self.settings.differences(&info.config);
        if differences.is_empty() {
            return Ok(());
        }
        let name = &self.settings.name;
        Err(FeedError::Differs {
            what: "the stream",
            name: name.clone(),
            differences: differences.join("; "),
            mend: format!(
                "Change it with `nats stream edit {name}`, or CHARGELEDGER_NATS_REPLICAS and CHARGELEDGER_NATS_MAX_BYTES to what it is; `chargeledger feed rebuild` \
                 changes it and publishes everything again, and with --recreate it makes a new one where the server cannot change it"
            ),
        })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// How far the feed has come: the position of the last event that was published in its turn.
    ///
    /// # Errors
    /// When NATS does not answer, or the last message is none of the feed's.
    pub async fn reached(&self) -> Result<Position, FeedError> {
        Ok(self.last_message().await?.map_or(Position(0), |(_, last)| last.reached))
    }

    /// What the server says of the stream.
    ///
    /// # Errors
    /// When it does not answer, or the stream is gone.
    pub async fn state(&self) -> Result<State, FeedError> {
        Ok(self.look().await?.state)
    }

    /// Which server leads, and which follow and how far behind they are, in words; empty where there is one server.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn members(&self) -> Result<Vec<String>, FeedError> {
        let Some(cluster) = self.look().await?.cluster else { return Ok(Vec::new()) };
        let leader = cluster.leader.map(|name| format!("{name} leads"));
        let word = |current: bool, offline: bool| match (offline, current) {
            (true, _) => "is away",
            (false, true) => "is current",
            (false, false) => "catches up",
        };
        let followers = cluster.replicas.into_iter().map(|peer| format!("{} {}", peer.name, word(peer.current, peer.offline)));
        Ok(leader.into_iter().chain(followers).collect())
    }

    /// The last message that is there, with its sequence. Looked for from the end: servers before 2.10 do not find the last one of a subject when those after it
    /// were deleted.
    pub(crate) async fn last_message(&self) -> Result<Option<(u64, Published)>, FeedError> {
        let state = self.state().await?;
        if state.messages == 0 {
            return Ok(None);
        }
        for sequence in (state.first_sequence..=state.last_sequence).rev() {
            if let Some(message) = self.message(sequence).await? {
                return Ok(Some((sequence, message)));
            }
        }
        Ok(None)
    }

    /// The message at a sequence, if there is one.
    pub(crate) async fn message(&self, sequence: u64) -> Result<Option<Published>, FeedError> {
        // No question is asked here: it only names the stream.
        let stream = self.nats.context.get_stream_no_info(&self.settings.name).await.map_err(|error| FeedError::unavailable(&error))?;
        match stream.get_raw_message(sequence).await {
            Ok(found) => {
                let read = wire::read(&self.settings.prefix, &found.subject, Some(&found.headers), &found.payload);
                read.map(Some).map_err(|source| FeedError::Message { sequence, source })
            }
            Err(error) => match error.kind() {
                RawMessageErrorKind::NoMessageFound => Ok(None),
                RawMessageErrorKind::JetStream(error) => Err(Answered::Refused(error).into()),
                _ => Err(FeedError::unavailable(&error)),
            },
        }
    }

    /// Takes every message out of the stream. Its consumers stay, and get what is published from here on.
    pub(crate) async fn purge(&self) -> Result<(), FeedError> {
        self.nats.ask::<Done>(format!("STREAM.PURGE.{}", self.settings.name), &json!({})).await?;
        Ok(())
    }

    /// The subject of an event of this type.
    pub(crate) fn subject(&self, event_type: &str) -> String {
        format!("{}{event_type}", self.settings.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_different_is_named_with_what_it_should_be() {
        let wanted = StreamSettings::events(3, None);
        assert!(wanted.differences(&wanted.config()).is_empty());
        let found = Config { num_replicas: 1, discard: DiscardPolicy::Old, max_age: Duration::from_secs(60), ..wanted.config() };
        assert_eq!(
            wanted.differences(&found),
            ["discard is Old instead of New", "replicas is 1 instead of 3", "max-age is 60s instead of 0ns"]
        );
    }
}
