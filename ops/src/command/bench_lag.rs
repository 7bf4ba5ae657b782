//! `bench lag`: how long after its acknowledgement an event is in every read model, while so many come in a second.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;
use domain::log::{EventStore, Position};
use hdrhistogram::Histogram;
use projections::port::ReadStore;
use projections::runner::{Options, Runner};
use read_models::{ReadModels, Settings};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::bench::machine;
use super::bench_rebuild::{beside, with_database};
use crate::compose::embedded_path;
use crate::config::Config;
use crate::multiplied::Multiplied;
use crate::output::{Answer, grouped, wrong_usage};

/// Between two appends of what has come meanwhile.
const TICK: Duration = Duration::from_millis(5);
/// Before anything is measured: stations, tariffs, people, and some sessions.
const BEFORE: u64 = 20_000;
/// Nobody is this late.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn run(config: &Config, events_per_s: u64, seconds: u64) -> anyhow::Result<Answer> {
    let Some(url) = &config.database_url else { wrong_usage!("no database is configured: set CHARGELEDGER_DATABASE_URL") };
    let directory = beside(config)?;
    let mut history = Multiplied::of(embedded_path(config, "bench lag")?)?;
    let store = Arc::new(embedded::EmbeddedStore::open(directory.path())?);
    let mut written = 0;
    while written < BEFORE {
        written += history.go_on(&store, 2_048).await?;
    }
    let read_models = Arc::new(ReadModels::new(
        &with_database(url.reveal(), &format!("chargeledger_bench_{}", std::process::id())),
        Settings::default(),
    )?);
    let (log, port): (Arc<dyn EventStore>, Arc<dyn ReadStore>) = (store.clone(), read_models.clone());
    let runner = Arc::new(Runner::start(log, &port, projections::all(), Options::default()));
    if let Err(error) = runner.wait_for_head(PATIENCE).await? {
        bail!("the read models do not catch up: {error}");
    }
    let (acknowledged, waiting) = mpsc::unbounded_channel();
    let measuring = tokio::spawn(measure(runner.clone(), waiting));
    let began = Instant::now();
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut sent = 0;
    while began.elapsed() < Duration::from_secs(seconds) {
        tick.tick().await;
        let due = events_per_s * u64::try_from(began.elapsed().as_millis())? / 1000;
        if due > sent {
            sent += history.go_on(&store, usize::try_from(due - sent)?).await?;
            acknowledged.send((store.head().await?.position, Instant::now()))?;
        }
    }
    drop(acknowledged);
    let took = began.elapsed().as_secs_f64();
    let lags = measuring.await?;
    if let Some(runner) = Arc::into_inner(runner) {
        runner.stop().await;
    }
    read_models.drop_database().await?;
    let lags = lags?;
    let millis = |quantile: f64| lags.value_at_quantile(quantile) as f64 / 1000.0;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate is not negative and far below the bound")]
    let rate = (sent as f64 / took).round() as u64;
    let text = format!(
        "{}\n{} events/s for {seconds} s into {} read models, each append acknowledged when it was durable\nin every read model after: p50 {:.0} ms, p99 {:.0} ms, at most {:.0} ms",
        machine(),
        grouped(rate),
        projections::all().len(),
        millis(0.5),
        millis(0.99),
        millis(1.0)
    );
    let json = json!({ "bench": "lag", "machine": machine(), "events_per_s": rate, "seconds": seconds, "p50_ms": millis(0.5), "p99_ms": millis(0.99), "max_ms": millis(1.0) });
    Answer::new(&json, text)
}

/// Waits for every position in every read model, in microseconds since it was acknowledged.
async fn measure(runner: Arc<Runner>, mut waiting: mpsc::UnboundedReceiver<(Position, Instant)>) -> anyhow::Result<Histogram<u64>> {
    let names: Vec<&str> = projections::all().iter().map(|projection| projection.definition().name).collect();
    let mut lags = Histogram::new(3)?;
    while let Some((position, since)) = waiting.recv().await {
        runner.wait_for(&names, position, PATIENCE).await?;
        lags.record(u64::try_from(since.elapsed().as_micros())?)?;
    }
    Ok(lags)
}
