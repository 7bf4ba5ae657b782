//! What this process shows of itself while it serves: numbers for Prometheus, and traces where a collector is configured.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use observe::Traces;
use projections::observer::Observer;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::config::{Config, EventStoreUrl};

/// Durations are counted up to these, in seconds, so that several processes can be added up.
const SECONDS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// How often the disk of the store is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// The numbers and the traces of this process.
pub(crate) struct Observing {
    /// Looks at the disk of the embedded store.
    looking: Option<JoinHandle<()>>,
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
        Ok(Observing { looking: None, metrics, traces })
    }

    /// Begins to look at the disk of a store that is open now; one on a server has none here.
    pub(crate) fn look_at_the_disk(&mut self, config: &Config) {
        if let EventStoreUrl::Embedded(path) = &config.event_store {
            self.looking = Some(tokio::spawn(look_at_the_disk(path.clone())));
        }
    }

    /// Who is told of events once a view holds them.
    pub(crate) fn observer(&self) -> Option<Arc<dyn Observer>> {
        self.traces.clone().map(|traces| traces as Arc<dyn Observer>)
    }

    /// Sends what is left.
    pub(crate) async fn stop(self) {
        if let Some(looking) = self.looking {
            looking.abort();
        }
        if let Some(traces) = self.traces {
            // It waits for the collector, which is not this runtime's to wait for.
            let _ = tokio::task::spawn_blocking(move || traces.stop()).await;
        }
    }
}

/// Says what room is left where the store lies, for as long as the process serves. A disk that does not answer keeps its last number, and holds up nobody.
async fn look_at_the_disk(store: PathBuf) {
    let mut was_refused = false;
    loop {
        let directory = store.clone();
        let looked = tokio::task::spawn_blocking(move || embedded::disk::free_bytes(&directory)).await;
        let refused = match looked {
            Ok(Ok(free_bytes)) => {
                #[allow(clippy::cast_precision_loss, reason = "a gauge is a float; no money in it")]
                metrics::gauge!("chargeledger_store_free_bytes").set(free_bytes as f64);
                None
            }
            Ok(Err(error)) => Some(error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        if let Some(error) = &refused
            && !was_refused
        {
            warn!(error, store = %store.display(), "what room is left for the store is not known");
        }
        was_refused = refused.is_some();
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
