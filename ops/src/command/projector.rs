//! `serve --roles projector`: the read models alone, from a store that this process only reads. As many as you like run beside the process that writes; one
//! of them all leads each projection, and another takes over when it is gone.
//!
//! There is no API here. `--listen` serves `/healthz` and `/metrics`, and nothing else.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use axum::Router;
use axum::http::header;
use axum::response::IntoResponse as _;
use axum::routing::get;
use domain::log::EventStore;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tracing::info;

use crate::command::serve::told_to_stop;
use crate::compose::{keep_built, open_reading, read_models, start_projections};
use crate::config::Config;

/// Keeps the read models up to date until the process is told to stop.
pub(crate) async fn serve(config: &Config, listener: Option<TcpListener>) -> anyhow::Result<()> {
    let metrics = PrometheusBuilder::new().install_recorder().context("metrics")?;
    let Some(database) = read_models(config)? else { bail!("no database is configured: set CHARGELEDGER_DATABASE_URL") };
    let log: Arc<dyn EventStore> = open_reading(config)?;
    let projections = start_projections(config, log.clone(), &database);
    let keeping = keep_built(config, log, &database);
    let listening = match listener {
        Some(listener) => {
            info!(address = %listener.local_addr()?, "serving metrics");
            Some(tokio::spawn(async move { axum::serve(listener, router(metrics)).await }))
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
    Ok(())
}

fn router(metrics: PrometheusHandle) -> Router {
    let text = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    let health = [(header::CONTENT_TYPE, "application/json")];
    Router::new()
        .route("/metrics", get(async move || (text, metrics.render()).into_response()))
        .route("/healthz", get(async move || (health, concat!("{\"status\":\"ok\",\"version\":\"", env!("CARGO_PKG_VERSION"), "\"}"))))
}
