//! `serve --roles projector`: the read models alone, from a store that this process only reads. As many as you like run beside the process that writes; one
//! of them all leads each projection, and another takes over when it is gone.
//!
//! There is no API here. `--listen` serves `/healthz` and `/metrics`, and nothing else.

use anyhow::bail;
use axum::Router;
use axum::http::header;
use axum::response::IntoResponse as _;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tracing::info;

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
    let keeping = keep_built(config, log, &database);
    let listening = match listener {
        Some(listener) => {
            info!(address = %listener.local_addr()?, "serving metrics");
            let metrics = router(observing.metrics.clone());
            Some(tokio::spawn(async move { axum::serve(listener, metrics).await }))
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

fn router(metrics: PrometheusHandle) -> Router {
    let text = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    let health = [(header::CONTENT_TYPE, "application/json")];
    Router::new()
        .route("/metrics", get(async move || (text, metrics.render()).into_response()))
        .route("/healthz", get(async move || (health, concat!("{\"status\":\"ok\",\"version\":\"", env!("CARGO_PKG_VERSION"), "\"}"))))
}
