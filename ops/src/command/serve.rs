//! `serve`: the API, the read models and the process managers, all in one process or some of them. The API and the process managers write the store; a process
//! with the read models alone only reads it ([`crate::command::projector`]).

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use axum::middleware;
use commands::key::KeyDirectory;
use domain::log::EventStore;
use embedded::OpenError;
use http_api::live::Hub;
use http_api::presence::{Presence, watch_silence};
use http_api::{Api, Limits};
use projections::query::ReadQueries;
use projections::rebuild::port::BuildStore;
use read_models::ReadModels;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::cli::{Serve, ServeRole};
use crate::command::projector;
use crate::compose::{World, Writing, keep_built, read_models, start_projections};
use crate::config::Config;
use crate::feeding::Feeding;
use crate::managing::Managing;
use crate::observing::Observing;
use crate::output::Answer;
use crate::ready::Has;

pub(crate) async fn run(config: &Config, options: &Serve) -> anyhow::Result<Answer> {
    let config = &Config { auto_rebuild: options.auto_rebuild.unwrap_or(config.auto_rebuild), ..config.clone() };
    let roles = Roles::of(options);
    let writes = roles.has(ServeRole::Api) || roles.has(ServeRole::Processes);
    let listens = roles.has(ServeRole::Api) || options.listen.is_some();
    let listener = if listens { Some(bind(config.listen).await?) } else { None };
    match writes {
        true => serve(config, roles, listener).await?,
        false => projector::serve(config, roles, listener).await?,
    }
    Ok(Answer::silent())
}

/// Takes the address.
pub(crate) async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("{address} cannot be listened on"))
}

/// Returns when the process is told to stop.
pub(crate) async fn told_to_stop() {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) else {
        warn!("signals cannot be heard");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// Whoever meets another writer hears what can run beside it.
fn only_one_writes(error: anyhow::Error) -> anyhow::Error {
    match error.downcast_ref::<OpenError>() {
        Some(OpenError::Locked { .. }) => error.context(
            "the roles api and processes write the ledger, and one process writes; beside it, only --roles projector,publisher can be served",
        ),
        _ => error,
    }
}

/// What a process does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Roles<'a> {
    roles: &'a [ServeRole],
    /// Whether somebody has named them: then what a role needs must be configured.
    are_named: bool,
}

impl<'a> Roles<'a> {
    /// All that is configured.
    pub(crate) const ALL: Roles<'static> = Roles { roles: &ServeRole::ALL, are_named: false };

    fn of(options: &'a Serve) -> Roles<'a> {
        match options.roles.is_empty() {
            true => Roles::ALL,
            false => Roles { roles: &options.roles, are_named: true },
        }
    }

    pub(crate) fn has(self, role: ServeRole) -> bool {
        self.roles.contains(&role)
    }

    /// The roles' names, as they are asked for.
    pub(crate) fn names(self) -> String {
        let names = self.roles.iter().filter_map(clap::ValueEnum::to_possible_value).map(|value| value.get_name().to_owned());
        names.collect::<Vec<_>>().join(",")
    }

    /// Starts the publisher, if this process is one.
    pub(crate) async fn feeding(
        self,
        config: &Config,
        log: Arc<dyn EventStore>,
        database: Option<&Arc<ReadModels>>,
    ) -> anyhow::Result<Option<Feeding>> {
        match self.has(ServeRole::Publisher) {
            true => Feeding::start(config, self.are_named, log, database).await,
            false => Ok(None),
        }
    }
}

/// Runs these roles until the process is told to stop, then lets everything finish what is in hand.
pub(crate) async fn serve(config: &Config, roles: Roles<'_>, listener: Option<TcpListener>) -> anyhow::Result<()> {
    let mut observing = Observing::start(config, &roles.names())?;
    let writing = Writing::open(config, World::Configured, observing.traces.clone()).await.map_err(only_one_writes)?;
    observing.look_at_the_disk(config);
    let log = writing.log.clone();
    let database = read_models(config)?;
    let managers = match roles.has(ServeRole::Processes) {
        true => Some(Managing::start(config, &writing, database.as_ref()).await?),
        false => None,
    };
    if database.is_none() {
        warn!("no database is configured (CHARGELEDGER_DATABASE_URL): commands go on, queries cannot be answered");
    }
    let projections = match &database {
        Some(database) if roles.has(ServeRole::Projector) => {
            Some(Arc::new(start_projections(config, log.clone(), database, observing.observer())))
        }
        Some(_) | None => None,
    };
    let keeping = match (&database, &projections) {
        (Some(database), Some(_)) => Some(keep_built(config, log.clone(), database)),
        _ => None,
    };
    let feeding = roles.feeding(config, log.clone(), database.as_ref()).await?;
    let (stop, stopped) = watch::channel(false);
    let has = Has {
        api: roles.has(ServeRole::Api),
        database: database.as_ref(),
        projections: projections.as_ref(),
        feeding: feeding.as_ref(),
        managing: managers.as_ref(),
    };
    let roster = has.roster(log.clone());
    let api = match listener {
        Some(listener) if !roles.has(ServeRole::Api) => {
            info!(address = %listener.local_addr()?, "serving metrics");
            let router = projector::router(observing.metrics.clone(), roster);
            let mut stopped = stopped.clone();
            Some(tokio::spawn(async move {
                axum::serve(listener, router).with_graceful_shutdown(async move { drop(stopped.wait_for(|stop| *stop).await) }).await
            }))
        }
        Some(listener) => {
            info!(address = %listener.local_addr()?, "serving");
            let keys = KeyDirectory::follow(log.clone()).await.context("the API keys cannot be read")?;
            let presence = Presence::follow(log.clone()).await.context("the devices cannot be read")?;
            let limits = Limits::default();
            tokio::spawn(watch_silence(presence.clone(), writing.commands.clone(), limits.silence_max, stopped.clone()));
            let hub = Hub::follow(log.clone(), stopped.clone());
            let mut api = Api::new(writing.commands.clone(), keys, hub, presence, limits);
            api.queries = database.clone().map(|database| database as Arc<dyn ReadQueries>);
            api.builds = database.clone().map(|database| database as Arc<dyn BuildStore>);
            api.swap_approval = config.swap_approval;
            api.runner.clone_from(&projections);
            api.roster = roster;
            let metrics = observing.metrics.clone();
            api.metrics = Some(Arc::new(move || metrics.render()));
            let router = match &observing.traces {
                Some(traces) => api.router().layer(middleware::from_fn_with_state(traces.clone(), observe::trace_request)),
                None => api.router(),
            };
            let mut stopped = stopped.clone();
            Some(tokio::spawn(async move {
                axum::serve(listener, router).with_graceful_shutdown(async move { drop(stopped.wait_for(|stop| *stop).await) }).await
            }))
        }
        None => None,
    };
    told_to_stop().await;
    info!("stopping");
    // Everybody who listens is told; nobody listening is all right.
    let _ = stop.send(true);
    if let Some(api) = api {
        match tokio::time::timeout(std::time::Duration::from_secs(10), api).await {
            Ok(ended) => ended??,
            Err(_) => warn!("some requests were cut off"),
        }
    }
    if let Some(managers) = managers {
        managers.stop().await;
    }
    if let Some(feeding) = feeding {
        feeding.stop().await;
    }
    // What it has filled stays, and the next process goes on from there.
    drop(keeping);
    // A request that was cut off may still hold it; then it ends with the process.
    if let Some(projections) = projections.and_then(Arc::into_inner) {
        projections.stop().await;
    }
    drop(log);
    writing.close().await;
    observing.stop().await;
    Ok(())
}
