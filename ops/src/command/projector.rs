//! `serve --roles projector,publisher`: the read models, the feed, or both, from a store that this process only reads. As many as you like run beside the process that
//! writes; one of them all leads each projection, and one the feed, and another takes over when it is gone.
//!
//! There is no API here. `--listen` serves `/healthz`, `/readyz` and `/metrics`, and nothing else.

use std::sync::Arc;

use axum::Router;
use axum::extract::Query;
use axum::http::header;
use axum::response::IntoResponse as _;
use axum::routing::get;
use http_api::health::ReadinessParams;
use http_api::readiness::Roster;
use metrics_exporter_prometheus::PrometheusHandle;
use nats_feed::FeedError;
use tokio::net::TcpListener;
use tracing::info;

use crate::cli::ServeRole;
use crate::command::serve::{Roles, told_to_stop};
use crate::compose::{keep_built, observed, open_reading, read_models, start_projections};
use crate::config::Config;
use crate::feeding::Feeding;
use crate::observing::Observing;
use crate::output::wrong_usage;
use crate::ready::Has;

/// Does its work until the process is told to stop, or cannot do any of it.
pub(crate) async fn serve(config: &Config, roles: Roles<'_>, listener: Option<TcpListener>) -> anyhow::Result<()> {
    let mut observing = Observing::start(config, &roles.names())?;
    let projects = roles.has(ServeRole::Projector);
    let database = read_models(config)?;
    if projects && database.is_none() {
        wrong_usage!("no database is configured: set CHARGELEDGER_DATABASE_URL");
    }
    let log = observed(config, open_reading(config).await?, observing.traces.clone());
    observing.look_at_the_disk(config);
    let projecting = database.as_ref().filter(|_| projects).map(|database| {
        (Arc::new(start_projections(config, log.clone(), database, observing.observer())), keep_built(config, log.clone(), database))
    });
    let mut feeding = roles.feeding(config, log.clone(), database.as_ref()).await?;
    let listening = match listener {
        Some(listener) => {
            info!(address = %listener.local_addr()?, "serving metrics");
            let has = Has { projections: projecting.as_ref().map(|(runner, _)| runner), feeding: feeding.as_ref(), ..Has::default() };
            let router = router(observing.metrics.clone(), has.roster(log));
            Some(tokio::spawn(async move { axum::serve(listener, router).await }))
        }
        None => None,
    };
    info!(roles = roles.names(), "at work, and only reading the ledger");
    let ended = tokio::select! {
        () = told_to_stop() => Ok(()),
        // Who projects goes on projecting; the readiness says what is the matter.
        ended = ended(feeding.as_mut()), if !projects => ended,
    };
    info!("stopping");
    if let Some(feeding) = feeding {
        feeding.stop().await;
    }
    if let Some((projections, keeping)) = projecting {
        drop(keeping);
        // Somebody may be asking how it is at this moment; then it ends with the process.
        if let Some(projections) = Arc::into_inner(projections) {
            projections.stop().await;
        }
    }
    if let Some(listening) = listening {
        listening.abort();
    }
    observing.stop().await;
    Ok(ended?)
}

/// Returns when the publisher cannot go on by itself.
async fn ended(feeding: Option<&mut Feeding>) -> Result<(), FeedError> {
    match feeding {
        Some(feeding) => feeding.ended().await,
        None => std::future::pending().await,
    }
}

/// What a process without the API has to say.
pub(crate) fn router(metrics: PrometheusHandle, roster: Roster) -> Router {
    let text = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    let health = [(header::CONTENT_TYPE, "application/json")];
    Router::new()
        .route("/metrics", get(async move || (text, metrics.render()).into_response()))
        .route("/healthz", get(async move || (health, concat!("{\"status\":\"ok\",\"version\":\"", env!("CARGO_PKG_VERSION"), "\"}"))))
        .route("/readyz", get(async move |Query(asked): Query<ReadinessParams>| roster.answer(asked.role.as_deref()).await.into_response()))
}
