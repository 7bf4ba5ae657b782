//! What this process shows of itself while it serves: numbers for Prometheus, and traces where a collector is configured.

use std::sync::Arc;

use anyhow::Context as _;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use observe::Traces;
use projections::observer::Observer;
use tracing::info;

use crate::config::Config;

/// Durations are counted up to these, in seconds, so that several processes can be added up.
const SECONDS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The numbers and the traces of this process.
pub(crate) struct Observing {
    pub(crate) metrics: PrometheusHandle,
    pub(crate) traces: Option<Arc<Traces>>,
}

impl Observing {
    /// Begins to count, and to trace when a collector is configured.
    pub(crate) fn start(config: &Config, roles: &str) -> anyhow::Result<Observing> {
        let builder = PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS);
        let metrics = builder.context("metrics")?.install_recorder().context("metrics")?;
        metrics::gauge!("chargeledger_build_info", "version" => env!("CARGO_PKG_VERSION"), "roles" => roles.to_owned()).set(1.0);
        let traces = match &config.otlp_endpoint {
            Some(endpoint) => {
                info!(endpoint = endpoint.as_str(), ratio = config.trace_ratio.0, "sending traces");
                Some(Arc::new(Traces::start(endpoint.as_str(), config.trace_ratio.0, roles)?))
            }
            None => None,
        };
        Ok(Observing { metrics, traces })
    }

    /// Who is told of events once a view holds them.
    pub(crate) fn observer(&self) -> Option<Arc<dyn Observer>> {
        self.traces.clone().map(|traces| traces as Arc<dyn Observer>)
    }

    /// Sends what is left.
    pub(crate) async fn stop(self) {
        if let Some(traces) = self.traces {
            // It waits for the collector, which is not this runtime's to wait for.
            let _ = tokio::task::spawn_blocking(move || traces.stop()).await;
        }
    }
}
