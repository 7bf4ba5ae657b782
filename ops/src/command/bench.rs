//! `bench append|replay`: what this machine does, beside what it could do. `docs/performance.md` says how to read the figures.

use std::time::Duration;

use embedded::bench::{self, AppendBench, AppendFigures, ReplayFigures};
use serde_json::{Value, json};

use super::audit::threads;
use crate::cli::Bench;
use crate::compose::store_path;
use crate::config::Config;
use crate::output::{Answer, grouped};
use crate::progress::Meter;

pub(crate) async fn run(config: &Config, what: &Bench) -> anyhow::Result<Answer> {
    match what {
        Bench::Append { seconds } => append(config, Duration::from_secs(*seconds)).await,
        Bench::Replay => {
            let directory = store_path(config).to_owned();
            let figures = tokio::task::spawn_blocking(move || bench::replay(&directory, threads())).await??;
            replay(&figures)
        }
    }
}

async fn append(config: &Config, round: Duration) -> anyhow::Result<Answer> {
    // On the disk that the store is on: that is the bound that counts.
    let mut plan = AppendBench::new(store_path(config));
    plan.round = round;
    let meter = Meter::start("bench append", 0);
    let figures = bench::append(&plan, |done, total| meter.set(done as u64, total as u64)).await?;
    drop(meter);
    let json: Vec<Value> = figures
        .iter()
        .map(|one| {
            json!({
                "writers": one.writers,
                "events_per_s": whole(one.store.events_per_s),
                "p50_ms": millis(one.store.p50),
                "p99_ms": millis(one.store.p99),
                "bound_events_per_s": whole(one.bound.events_per_s),
                "bound_p50_ms": millis(one.bound.p50),
                "bound_p99_ms": millis(one.bound.p99),
                "ratio": hundredths(one.ratio),
            })
        })
        .collect();
    let mut text = "writers    events/s   p50 ms   p99 ms   bound events/s   ratio\n".to_owned();
    text.extend(figures.iter().map(append_line));
    Answer::new(&json!({ "bench": "append", "payload_bytes": plan.payload_bytes, "rounds": plan.rounds, "figures": json }), text)
}

fn append_line(one: &AppendFigures) -> String {
    format!(
        "{:>7}  {:>10}  {:>7.3}  {:>7.3}   {:>14}   {:>5.2}\n",
        one.writers,
        grouped(whole(one.store.events_per_s)),
        millis(one.store.p50),
        millis(one.store.p99),
        grouped(whole(one.bound.events_per_s)),
        one.ratio
    )
}

fn replay(figures: &ReplayFigures) -> anyhow::Result<Answer> {
    let json = json!({
        "bench": "replay",
        "events": figures.events,
        "threads": figures.threads,
        "events_per_s": whole(figures.replay_per_s),
        "scan_events_per_s": whole(figures.scan_per_s),
        "decode_events_per_s": whole(figures.decode_per_s),
    });
    let text = format!(
        "{} events, read and decoded in order on {} threads: {} events/s\nbounds, one thread: reading alone {} events/s, decoding alone {} events/s",
        grouped(figures.events),
        figures.threads,
        grouped(whole(figures.replay_per_s)),
        grouped(whole(figures.scan_per_s)),
        grouped(whole(figures.decode_per_s)),
    );
    Answer::new(&json, text)
}

fn millis(time: Duration) -> f64 {
    hundredths(time.as_secs_f64() * 10.0) * 100.0
}

fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate is not negative and far below the bound")]
fn whole(rate: f64) -> u64 {
    rate.round() as u64
}
