//! `bench append|replay|rebuild|lag|feed`: what this machine does, beside what it could do. `docs/performance.md` says how to read the figures.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::event::Event;
use domain::ids::SessionId;
use domain::log::{EventType, Filter, Page, Position, Recorded};
use domain::units::Money;
use embedded::Reader;
use embedded::bench::{self, AppendBench, AppendFigures};
use projections::context::Context;
use projections::fold::{Journal as _, Keyed as _, Moment};
use projections::journal::Postings;
use projections::sessions::{SessionRow, Sessions};
use serde_json::{Value, json};

use super::audit::threads;
use super::{bench_feed, bench_lag, bench_rebuild, bench_server};
use crate::cli::Bench;
use crate::compose::embedded_path;
use crate::config::{Config, EventStoreUrl};
use crate::output::{Answer, grouped, table};
use crate::progress::Meter;

/// The whole replay is measured this often; the figure is the median.
const ROUNDS: usize = 5;

pub(crate) async fn run(config: &Config, what: &Bench) -> anyhow::Result<Answer> {
    match what {
        Bench::Append { seconds, event_store } => {
            let round = Duration::from_secs(*seconds);
            match event_store.as_ref().unwrap_or(&config.event_store) {
                EventStoreUrl::Embedded(path) => append(path, round).await,
                EventStoreUrl::Server(url) => bench_server::run(url, round).await,
            }
        }
        Bench::Replay => {
            let directory = embedded_path(config, "bench replay")?.to_owned();
            tokio::task::spawn_blocking(move || replay(&directory)).await?
        }
        Bench::Multiply { to, events } => bench_rebuild::generate(config, to, *events).await,
        Bench::Lag { events_per_s, seconds } => bench_lag::run(config, *events_per_s, *seconds).await,
        Bench::Feed { events } => bench_feed::run(config, *events).await,
        Bench::Rebuild { events } => bench_rebuild::run(config, *events).await,
    }
}

async fn append(directory: &Path, round: Duration) -> anyhow::Result<Answer> {
    // On the disk that the store is on: that is the bound that counts.
    let mut plan = AppendBench::new(directory);
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
    let mut text = format!("{}\n", machine());
    text.push_str("writers    events/s   p50 ms   p99 ms   bound events/s   ratio\n");
    text.extend(figures.iter().map(append_line));
    Answer::new(
        &json!({ "bench": "append", "machine": machine(), "payload_bytes": plan.payload_bytes, "rounds": plan.rounds, "figures": json }),
        text,
    )
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

fn replay(directory: &Path) -> anyhow::Result<Answer> {
    let bounds = bench::replay(directory, threads())?;
    let context = Arc::new(context_of(directory)?);
    let meter = Meter::start("bench replay", ROUNDS as u64);
    let mut folds = Vec::new();
    for _ in 0..ROUNDS {
        folds.push(fold_everything(directory, &context)?);
        meter.add(1);
    }
    drop(meter);
    folds.sort_by_key(|fold| fold.took);
    let fold = &folds[ROUNDS / 2];
    let events_per_s = whole(fold.events as f64 / fold.took.as_secs_f64());
    let json = json!({
        "bench": "replay",
        "machine": machine(),
        "events": bounds.events,
        "threads": bounds.threads,
        "rounds": ROUNDS,
        "events_per_s": events_per_s,
        "read_and_decode_events_per_s": whole(bounds.replay_per_s),
        "scan_events_per_s": whole(bounds.scan_per_s),
        "decode_events_per_s": whole(bounds.decode_per_s),
        "sessions": fold.sessions,
        "debit_yuan": fold.debit,
        "memory_peak_kib": memory_peak_kib(),
    });
    let rows = [
        ("read, decode, fold sessions and journal", events_per_s),
        ("read and decode, in order", whole(bounds.replay_per_s)),
        ("reading alone, one thread", whole(bounds.scan_per_s)),
        ("decoding alone, one thread", whole(bounds.decode_per_s)),
    ]
    .map(|(name, rate)| (name, format!("{:>12} events/s", grouped(rate))));
    let text = format!(
        "{}\n{} events, {} threads, {} sessions, {} yuan of debits; median of {ROUNDS} rounds; peak memory {} KiB\n{}",
        machine(),
        grouped(bounds.events),
        bounds.threads,
        grouped(fold.sessions),
        fold.debit,
        grouped(memory_peak_kib()),
        table(&rows),
    );
    Answer::new(&json, text)
}

/// What one replay of everything came to.
struct Fold {
    events: u64,
    sessions: u64,
    debit: Money,
    took: Duration,
}

/// What a thread makes of a stretch of the log: what needs no order is done there, the entries too.
struct Stretch {
    events: u64,
    sessions: Vec<(SessionId, Recorded<Event>, EventType)>,
    debit: Money,
}

/// Folds the whole log in its order into the rows of every session and the sums of the journal, by the read models' own functions.
fn fold_everything(directory: &Path, context: &Arc<Context>) -> anyhow::Result<Fold> {
    let began = Instant::now();
    let known = context.clone();
    let stretches = embedded::replay(directory, Position(0), &Filter::All, threads(), move |page| stretch_of(page, &known))?;
    let mut rows: HashMap<SessionId, SessionRow> = HashMap::new();
    let mut fold = Fold { events: 0, sessions: 0, debit: Money::ZERO, took: Duration::ZERO };
    for stretch in stretches {
        let stretch = stretch??;
        fold.events += stretch.events;
        fold.debit += stretch.debit;
        for (id, recorded, event_type) in stretch.sessions {
            let moment = Moment { recorded: &recorded, event_type: event_type.as_str(), context };
            let before = rows.remove(&id);
            if let Some(row) = Sessions::evolve(&(id,), before, &moment)? {
                rows.insert(id, row);
            }
        }
    }
    Ok(Fold { sessions: rows.len() as u64, took: began.elapsed(), ..fold })
}

fn stretch_of(page: Page, context: &Context) -> anyhow::Result<Stretch> {
    let mut stretch = Stretch { events: page.events.len() as u64, sessions: Vec::with_capacity(page.events.len()), debit: Money::ZERO };
    for stored in page.events {
        let event_type = stored.event_type.clone();
        let recorded = stored.decode()?;
        let moment = Moment { recorded: &recorded, event_type: event_type.as_str(), context };
        if Postings::HANDLES.contains(&event_type.as_str()) {
            stretch.debit += Postings::rows(&moment)?.iter().map(|row| row.debit_yuan).sum();
        }
        if let Some((id,)) = Sessions::keys(&moment)?.first() {
            stretch.sessions.push((*id, recorded, event_type));
        }
    }
    Ok(stretch)
}

/// The little that folds need beside the event, read first: it answers at a position, so that reading ahead changes nothing.
fn context_of(directory: &Path) -> anyhow::Result<Context> {
    let mut reader = Reader::open(directory)?;
    let head = reader.head()?.position;
    let filter = Filter::types(Context::HANDLES.iter().copied());
    let mut context = Context::default();
    let mut after = Position(0);
    while after < head {
        let page = reader.scan(after, &filter, 4_096)?;
        after = page.scanned_to;
        for stored in page.events {
            context.apply(&stored.decode()?);
        }
    }
    Ok(context)
}

/// Figures without the machine that they were read on say little.
pub(crate) fn machine() -> String {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let build = if cfg!(debug_assertions) { "debug build, whose figures mean nothing" } else { "release build" };
    format!("{}, {} cores, {build}", model.map_or("unknown processor", |(_, model)| model.trim()), threads())
}

/// The most memory that this process has had, as the kernel counts it.
pub(crate) fn memory_peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next());
    peak.and_then(|kib| kib.parse().ok()).unwrap_or(0)
}

/// Lets the kernel count the peak from here on. Where it cannot, the peak is that of the whole process.
pub(crate) fn memory_peak_reset() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

fn millis(time: Duration) -> f64 {
    hundredths(time.as_secs_f64() * 1e3)
}

fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate is not negative and far below the bound")]
pub(crate) fn whole(rate: f64) -> u64 {
    rate.round() as u64
}
