//! `serve --roles projector`: the read models alone, from a store that this process only reads. As many as you like run beside the process that writes; one
//! of them all leads each projection, and another takes over when it is gone.
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
use serde_json::json;
use tokio::net::TcpListener;
use tracing::{info, warn};

use crate::command::serve::told_to_stop;
use crate::compose::{keep_built, observed, open_reading, read_models, start_projections};
use crate::config::Config;
use crate::observing::Observing;

/// Keeps the read models up to date until the process is told to stop.
pub(crate) async fn serve(config: &Config, listener: Option<TcpListener>) -> anyhow::Result<()> {
    let observing = Observing::start(config, "projector")?;
    let Some(database) = read_models(config)? else { bail!("no database is configured: set CHARGELEDGER_DATABASE_URL") };
    let log = observed(open_reading(config)?, observing.traces.clone());
    let projections = start_projections(config, log.clone(), &database, observing.observer());
    let keeping = keep_built(config, log.clone(), &database);
    let listening = match listener {
        Some(listener) => {
            info!(address = %listener.local_addr()?, "serving metrics");
            let router = router(observing.metrics.clone(), log.clone());
            Some(tokio::spawn(async move { axum::serve(listener, router).await }))
        }
        None => None,
    };
    info!("projecting, and only reading the ledger");
    told_to_stop().await;
    info!("stopping");
    drop(keeping);
    projections.stop().await;
    if let Some(listening) = listening {
        listening.abort();
    }
    observing.stop().await;
    Ok(())
}

fn router(metrics: PrometheusHandle, log: Arc<dyn EventStore>) -> Router {
    let text = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    let health = [(header::CONTENT_TYPE, "application/json")];
    Router::new()
        .route("/metrics", get(async move || (text, metrics.render()).into_response()))
        .route("/readyz", get(async move || ready(log.as_ref()).await))
        .route("/healthz", get(async move || (health, concat!("{\"status\":\"ok\",\"version\":\"", env!("CARGO_PKG_VERSION"), "\"}"))))
}

/// As the API says it: whether the ledger can be read. PostgreSQL does not count: a projection that waits for it is shown as waiting.
async fn ready(log: &dyn EventStore) -> Response {
    match log.head().await {
        Ok(head) => Json(json!({ "status": "ready", "position": head.position.0 })).into_response(),
        Err(error) => {
            warn!(%error, "not ready: the ledger cannot be read");
            (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "status": "not ready", "detail": "the ledger cannot be read" }))).into_response()
        }
    }
}
