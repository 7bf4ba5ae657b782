//! `bench feed`: a long history published to NATS, beside what a bare publisher does with the same payloads on the same server.

use std::process::{Command, Stdio};
use std::sync::Arc;

use domain::log::EventStore;
use embedded::EmbeddedStore;
use nats_feed::Window;
use serde_json::json;

use super::bench::{machine, whole};
use super::bench_rebuild::beside;
use crate::compose::store_path;
use crate::config::Config;
use crate::feeding;
use crate::output::{Answer, grouped};

/// Each is measured this often; the figure is the best, because others use the machine, too.
const ROUNDS: usize = 3;

pub(crate) async fn run(config: &Config, events: u64) -> anyhow::Result<Answer> {
    let nats = feeding::connect(config).await?;
    let directory = beside(config)?;
    let generated = Command::new(std::env::current_exe()?)
        .args(["bench", "multiply", "--events", &events.to_string()])
        .arg(directory.path())
        .env("CHARGELEDGER_EVENT_STORE", format!("embedded:{}", store_path(config).display()))
        .stdout(Stdio::null())
        .status()?;
    anyhow::ensure!(generated.success(), "the history could not be generated");
    let log: Arc<dyn EventStore> = Arc::new(EmbeddedStore::open_read_only(directory.path())?);
    let (mut best, mut bound, mut held) = (0_u64, 0_u64, 0);
    for _ in 0..ROUNDS {
        let figures = nats_feed::bench::publish(&nats, &log, Window::default()).await?;
        held = figures.events;
        best = best.max(whole(held as f64 / figures.took.as_secs_f64()));
        bound = bound.max(whole(held as f64 / figures.bound.as_secs_f64()));
    }
    let ratio = (best as f64 / bound.max(1) as f64 * 100.0).round() / 100.0;
    let server = nats.server_version();
    let json = json!({
        "bench": "feed",
        "machine": machine(),
        "server": server,
        "events": held,
        "rounds": ROUNDS,
        "events_per_s": best,
        "bound_events_per_s": bound,
        "ratio": ratio,
    });
    let text = format!(
        "{}\nnats-server {server}; {} generated events, shaped like those of {}; best of {ROUNDS} rounds\n\
         publisher, from the log, with all headers, in order, fenced, acknowledged: {:>10} events/s\n\
         a bare publisher of the same payloads:                                     {:>10} events/s\n\
         ratio: {ratio:.2}",
        machine(),
        grouped(held),
        store_path(config).display(),
        grouped(best),
        grouped(bound),
    );
    Answer::new(&json, text)
}
