//! The feed as a process has it: where NATS is, how the streams are to be, the publisher, and the sender of notices.

use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use domain::log::{EventStore, StoreError};
use nats_feed::notices::NoticeStream;
use nats_feed::progress::{self, Progress, State, Status};
use nats_feed::{Credentials, FeedError, Nats, Publisher, StreamSettings, Window};
use projections::notices::Notices;
use projections::outbox::{Outbox, Sender};
use projections::port::ReadStore as _;
use read_models::ReadModels;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::{Config, NatsCredentials, NatsUrl};
use crate::output::wrong_usage;

/// How the stream of all events is to be.
pub(crate) fn stream(config: &Config) -> StreamSettings {
    StreamSettings::events(config.nats_replicas.0, config.nats_max_bytes.map(|bytes| bytes.0))
}

/// How the stream of notices is to be.
fn notices(config: &Config) -> StreamSettings {
    StreamSettings::notices(config.nats_replicas.0, config.nats_max_bytes.map(|bytes| bytes.0))
}

/// Where NATS is, for what cannot do without.
pub(crate) fn url(config: &Config) -> anyhow::Result<&NatsUrl> {
    match &config.nats_url {
        Some(url) => Ok(url),
        None => wrong_usage!("no NATS is configured: set CHARGELEDGER_NATS_URL, like nats://localhost:4222"),
    }
}

/// With what this process shows who it is, if that is more than the address has in it.
fn credentials(config: &Config) -> anyhow::Result<Option<Credentials>> {
    let read = |setting: &NatsCredentials| {
        Credentials::read(setting.reveal()).map_err(|reason| anyhow!("CHARGELEDGER_NATS_CREDENTIALS: {reason}"))
    };
    config.nats_credentials.as_ref().map(read).transpose()
}

/// A connection, now.
pub(crate) async fn connect(config: &Config) -> anyhow::Result<Nats> {
    let url = url(config)?;
    Nats::connect(url.reveal(), "chargeledger", credentials(config)?.as_ref()).await.with_context(|| format!("{url}"))
}

/// What publishes in this process.
pub(crate) struct Feeding {
    log: Arc<dyn EventStore>,
    publisher: Publisher,
    /// Notices come from a read model: without a database there are none.
    notices: Option<JoinHandle<()>>,
    stop: watch::Sender<bool>,
}

/// The publisher, as those see it who ask how it is.
#[derive(Clone)]
pub(crate) struct Watched {
    log: Arc<dyn EventStore>,
    progress: watch::Receiver<Progress>,
}

impl Watched {
    pub(crate) async fn status(&self) -> Result<Status, StoreError> {
        let progress = self.progress.borrow().clone();
        progress::status(&*self.log, &progress).await
    }
}

impl Feeding {
    /// Starts publishing, if a NATS is configured. Where the role was asked for by its name, it has to be.
    pub(crate) async fn start(
        config: &Config,
        is_named: bool,
        log: Arc<dyn EventStore>,
        database: Option<&Arc<ReadModels>>,
    ) -> anyhow::Result<Option<Feeding>> {
        if config.nats_url.is_none() && !is_named {
            return Ok(None);
        }
        let url = url(config).context("the role publisher publishes to NATS")?;
        let nats = Nats::lazily(url.reveal(), "chargeledger publisher", credentials(config)?.as_ref()).await?;
        let leadership = database.map(|database| database.leadership());
        let (stop, stopped) = watch::channel(false);
        let notices = database.map(|database| {
            let outbox: Arc<dyn Outbox> = database.clone();
            let receiver = NoticeStream::new(nats.clone(), notices(config));
            tokio::spawn(Sender::<Notices, _>::new(outbox, receiver).run(stopped))
        });
        let publisher = Publisher::start(nats, stream(config), log.clone(), leadership, Window::default());
        Ok(Some(Feeding { log, publisher, notices, stop }))
    }

    /// For those who ask how it is.
    pub(crate) fn watched(&self) -> Watched {
        Watched { log: self.log.clone(), progress: self.publisher.progress() }
    }

    /// Returns when it cannot go on by itself.
    pub(crate) async fn ended(&mut self) -> Result<(), FeedError> {
        self.publisher.ended().await
    }

    /// Lets what is under way be acknowledged.
    pub(crate) async fn stop(self) {
        // Nobody listens where there is no database.
        let _ = self.stop.send(true);
        if let Some(notices) = self.notices {
            let _ = notices.await;
        }
        self.publisher.stop().await;
    }
}

/// Whether whoever asks may count on the feed: it goes on, or stands by for one that does.
pub(crate) fn is_ready(status: &Status) -> bool {
    match status.state {
        State::CatchingUp | State::Live | State::Standby => true,
        State::Starting | State::Waiting | State::Stopped => false,
    }
}
