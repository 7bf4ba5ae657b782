//! `serve --roles projector,publisher`: the read models, the feed, or both, from a store that this process only reads. As many as you like run beside the process that
//! writes; one of them all leads each projection, and one the feed, and another takes over when it is gone.
//!
//! There is no API here. `--listen` serves `/healthz`, `/readyz` and `/metrics`, and nothing else.

use std::sync::Arc;

use anyhow::bail;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use domain::log::EventStore;
use metrics_exporter_prometheus::PrometheusHandle;
use nats_feed::FeedError;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tracing::{info, warn};

use crate::cli::ServeRole;
use crate::command::serve::{Roles, told_to_stop};
use crate::compose::{keep_built, observed, open_reading, read_models, start_projections};
use crate::config::Config;
use crate::feeding::{Feeding, Watched, is_ready};
use crate::observing::Observing;

/// Does its work until the process is told to stop, or cannot do any of it.
pub(crate) async fn serve(config: &Config, roles: Roles<'_>, listener: Option<TcpListener>) -> anyhow::Result<()> {
    let mut observing = Observing::start(config, &roles.names())?;
    let projects = roles.has(ServeRole::Projector);
    let database = read_models(config)?;
    if projects && database.is_none() {
        bail!("no database is configured: set CHARGELEDGER_DATABASE_URL");
    }
    let log = observed(config, open_reading(config).await?, observing.traces.clone());
    observing.look_at_the_disk(config);
    let projecting = database.as_ref().filter(|_| projects).map(|database| {
        (start_projections(config, log.clone(), database, observing.observer()), keep_built(config, log.clone(), database))
    });
    let mut feeding = roles.feeding(config, log.clone(), database.as_ref()).await?;
    let listening = match listener {
        Some(listener) => {
            info!(address = %listener.local_addr()?, "serving metrics");
            let router = router(observing.metrics.clone(), log, feeding.as_ref().map(|feeding| feeding.watched()));
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
        projections.stop().await;
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
pub(crate) fn router(metrics: PrometheusHandle, log: Arc<dyn EventStore>, publisher: Option<Watched>) -> Router {
    let text = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    let health = [(header::CONTENT_TYPE, "application/json")];
    Router::new()
        .route("/metrics", get(async move || (text, metrics.render()).into_response()))
        .route("/healthz", get(async move || (health, concat!("{\"status\":\"ok\",\"version\":\"", env!("CARGO_PKG_VERSION"), "\"}"))))
        .route(
            "/readyz",
            get(move || {
                let (log, publisher) = (log.clone(), publisher.clone());
                async move { ready(&*log, publisher.as_ref()).await }
            }),
        )
}

/// As the API says it: whether the ledger can be read; and whether the feed goes on, or stands by for a process that publishes. PostgreSQL does not count: a
/// projection that waits for it is shown as waiting.
async fn ready(log: &dyn EventStore, publisher: Option<&Watched>) -> Response {
    let not = |body: Value| (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response();
    let feed = match publisher {
        Some(publisher) => publisher.status().await.map(Some),
        None => Ok(None),
    };
    match (log.head().await, feed) {
        (Ok(head), Ok(None)) => Json(json!({ "status": "ready", "position": head.position.0 })).into_response(),
        (Ok(head), Ok(Some(feed))) if is_ready(&feed) => {
            Json(json!({ "status": "ready", "position": head.position.0, "feed": feed })).into_response()
        }
        (Ok(_), Ok(Some(feed))) => not(json!({ "status": "not ready", "detail": feed.error, "feed": feed })),
        (Err(error), _) | (_, Err(error)) => {
            warn!(%error, "not ready: the ledger cannot be read");
            not(json!({ "status": "not ready", "detail": "the ledger cannot be read" }))
        }
    }
}
