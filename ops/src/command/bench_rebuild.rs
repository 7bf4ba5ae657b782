//! `bench rebuild`: a long history with the shape of the real one, rebuilt; beside a plain projector, and beside what the database and the decoder could do.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use domain::log::{EventStore, Position};
use embedded::EmbeddedStore;
use projections::fold::Projection;
use projections::port::ReadStore;
use projections::rebuild::port::{Begin, BuildStore};
use projections::rebuild::{Finish, Options, Rebuilder};
use projections::runner::{Options as RunnerOptions, Runner};
use read_models::{ReadModels, Settings};
use serde_json::json;

use super::bench::{machine, memory_peak_kib, memory_peak_reset, whole};
use super::rebuild::{projection, tell};
use crate::compose::embedded_path;
use crate::config::Config;
use crate::multiplied::multiply;
use crate::output::{Answer, grouped, wrong_usage};
use crate::progress::Meter;

/// For how long the plain projector is watched.
const PLAIN: Duration = Duration::from_secs(10);
/// How many rows COPY alone is measured with.
const COPIED_ROWS: usize = 200_000;

/// A directory beside the store, on the same disk; gone when this ends.
pub(crate) fn beside(config: &Config) -> anyhow::Result<tempfile::TempDir> {
    let path = embedded_path(config, "this measurement")?;
    Ok(tempfile::Builder::new().prefix("bench-").tempdir_in(path.parent().unwrap_or(Path::new(".")))?)
}

/// Makes the long history.
pub(crate) async fn generate(config: &Config, to: &Path, events: u64) -> anyhow::Result<Answer> {
    let meter = Meter::start("generating events", events);
    multiply(embedded_path(config, "bench multiply")?, to, events, |written| meter.set(written, events)).await?;
    drop(meter);
    Answer::new(&json!({ "events": events }), format!("{} events", grouped(events)))
}

/// What rebuilding came to.
struct Figures {
    what: String,
    rows: u64,
    seconds: f64,
    replay_seconds: f64,
    events_per_s: u64,
    passes: u32,
    memory_peak_kib: u64,
}

pub(crate) async fn run(config: &Config, events: u64) -> anyhow::Result<Answer> {
    let Some(url) = &config.database_url else { wrong_usage!("no database is configured: set CHARGELEDGER_DATABASE_URL") };
    let directory = beside(config)?;
    let model = embedded_path(config, "bench rebuild")?.display();
    // By a process of its own, so that what it leaves in memory is not counted as the rebuild's.
    let generated = Command::new(std::env::current_exe()?)
        .args(["bench", "multiply", "--events", &events.to_string()])
        .arg(directory.path())
        .env("CHARGELEDGER_EVENT_STORE", format!("embedded:{model}"))
        .stdout(Stdio::null())
        .status()?;
    anyhow::ensure!(generated.success(), "the history could not be generated");
    let log = Arc::new(EmbeddedStore::open_read_only(directory.path())?);
    let bound = embedded::bench::replay(directory.path(), Options::default().cores)?;
    let database = format!("chargeledger_bench_{}", std::process::id());
    let read_models = Arc::new(ReadModels::new(&with_database(url.reveal(), &database), Settings::default())?);
    let measured = measure(&log, &read_models).await;
    let dropped = read_models.drop_database().await;
    let (figures, plain, copies) = measured?;
    dropped?;
    let held = log.head().await?.events;
    let mut text = format!("{}\n{} generated events, shaped like those of {}\n\n", machine(), grouped(held), model);
    text.push_str("rebuild of            rows   seconds   replay s      events/s   passes   peak memory\n");
    for one in &figures {
        text.push_str(&format!(
            "{:14}  {:>10}  {:>8.1}  {:>8.1}  {:>12}  {:>7}  {:>8} MiB\n",
            one.what,
            grouped(one.rows),
            one.seconds,
            one.replay_seconds,
            grouped(one.events_per_s),
            one.passes,
            one.memory_peak_kib / 1024
        ));
    }
    let ratio = |what: &str| figures.iter().find(|one| one.what == what).map_or(0.0, |one| one.events_per_s as f64 / plain as f64);
    text.push_str(&format!(
        "\na plain projector of sessions, one event, one upsert, one transaction: {} events/s; the rebuild of sessions is {:.0} times that\n",
        grouped(plain),
        ratio("sessions")
    ));
    for (name, rows_per_s, rows) in &copies {
        let seconds = *rows as f64 / (*rows_per_s).max(1) as f64;
        text.push_str(&format!(
            "COPY alone of the rows of {name}, without indexes: {} rows/s, so all {} would take {seconds:.1} s\n",
            grouped(*rows_per_s),
            grouped(*rows)
        ));
    }
    text.push_str(&format!(
        "decoding alone, one thread: {} events/s; reading and decoding on {} threads: {} events/s\n",
        grouped(whole(bound.decode_per_s)),
        bound.threads,
        grouped(whole(bound.replay_per_s))
    ));
    let json = json!({
        "bench": "rebuild",
        "machine": machine(),
        "events": held,
        "rebuilds": figures.iter().map(|one| json!({
            "what": one.what,
            "rows": one.rows,
            "seconds": one.seconds,
            "replay_seconds": one.replay_seconds,
            "events_per_s": one.events_per_s,
            "passes": one.passes,
            "memory_peak_kib": one.memory_peak_kib,
        })).collect::<Vec<_>>(),
        "plain_events_per_s": plain,
        "copy_rows_per_s": copies.iter().map(|(name, rate, _)| ((*name).to_owned(), (*rate).into())).collect::<serde_json::Map<_, _>>(),
        "decode_events_per_s": whole(bound.decode_per_s),
        "read_and_decode_events_per_s": whole(bound.replay_per_s),
    });
    Answer::new(&json, text)
}

type Measured = (Vec<Figures>, u64, Vec<(&'static str, u64, u64)>);

async fn measure(log: &Arc<EmbeddedStore>, read_models: &Arc<ReadModels>) -> anyhow::Result<Measured> {
    let mut figures = Vec::new();
    let mut copies = Vec::new();
    for name in ["sessions", "journal"] {
        figures.push(rebuilt(log, read_models, name, vec![projection(name)?]).await?);
    }
    for (name, figure) in ["sessions", "journal"].into_iter().zip(&figures) {
        copies.push((name, copy_alone(read_models, name, figure.rows).await?, figure.rows));
    }
    read_models.drop_database().await?;
    let plain = plain(log, read_models).await?;
    read_models.drop_database().await?;
    figures.push(rebuilt(log, read_models, "all", projections::all()).await?);
    Ok((figures, plain, copies))
}

async fn rebuilt(
    log: &Arc<EmbeddedStore>,
    store: &Arc<ReadModels>,
    what: &str,
    which: Vec<Arc<dyn Projection>>,
) -> anyhow::Result<Figures> {
    memory_peak_reset();
    let began = Instant::now();
    let meter = Arc::new(Meter::start("rebuilding", 0));
    let replayed = Arc::new(std::sync::OnceLock::new());
    let (shown, ended) = (meter.clone(), replayed.clone());
    let watcher: projections::rebuild::Watcher = Arc::new(move |job| match job.phase {
        projections::rebuild::port::Phase::Replaying => shown.set(job.events_done, job.events_total),
        // The first phase after it.
        _ => drop(ended.set(began.elapsed())),
    });
    let options = Options { finish: Finish::Swap, ..Options::default() };
    let jobs = Rebuilder::new(log.clone(), store.clone(), options, watcher).rebuild(which, "bench").await?;
    let jobs = jobs.into_iter().collect::<Result<Vec<_>, _>>().with_context(|| format!("the rebuild of {what}"))?;
    let seconds = began.elapsed().as_secs_f64();
    let events = jobs.iter().filter_map(|job| job.account.as_ref()).map(|account| account.events).max().unwrap_or(0);
    drop(meter);
    let figures = Figures {
        what: what.to_owned(),
        rows: jobs.iter().map(|job| job.rows).max().unwrap_or(0),
        seconds: (seconds * 10.0).round() / 10.0,
        replay_seconds: (replayed.get().map_or(0.0, Duration::as_secs_f64) * 10.0).round() / 10.0,
        events_per_s: whole(events as f64 / seconds),
        passes: jobs.iter().map(|job| job.passes).max().unwrap_or(0),
        memory_peak_kib: memory_peak_kib(),
    };
    // The whole takes long, and this much is known.
    tell(&format!("{what}: {} events/s, {} passes, {} MiB", grouped(figures.events_per_s), figures.passes, figures.memory_peak_kib / 1024));
    Ok(figures)
}

/// COPY of rows that are there, into a table without indexes, on all cores.
async fn copy_alone(store: &Arc<ReadModels>, name: &'static str, rows: u64) -> anyhow::Result<u64> {
    let definition = projection(name)?.definition();
    let builds = store.builds().await?;
    let build = builds.iter().find(|build| build.name == name).context("it was rebuilt a moment ago")?;
    let sample = store.some_rows(&definition, build, COPIED_ROWS.min(usize::try_from(rows).unwrap_or(COPIED_ROWS))).await?;
    let begin = Begin { name: format!("copy_of_{name}"), until: Position(1), events: 1, is_as_of: true, by: "bench".to_owned() };
    let begun = store.begin(&definition, &begin).await?;
    let halves: Vec<Vec<_>> = {
        let cores = Options::default().cores;
        let each = sample.len().div_ceil(cores);
        sample.chunks(each.max(1)).map(<[_]>::to_vec).collect()
    };
    let began = Instant::now();
    let mut copying = tokio::task::JoinSet::new();
    for (number, rows) in (1_u64..).zip(halves) {
        let (store, build) = (store.clone(), begun.build.clone());
        copying.spawn_blocking(move || store.filler(&definition, &build)?.fill(&(number..number + 1), &mut rows.into_iter()));
    }
    while let Some(copied) = copying.join_next().await {
        copied??;
    }
    let seconds = began.elapsed().as_secs_f64();
    store.drop_build(&begun.build).await?;
    Ok(whole(sample.len() as f64 / seconds))
}

/// What most event-sourcing libraries do: one event, one upsert, one transaction.
async fn plain(log: &Arc<EmbeddedStore>, store: &Arc<ReadModels>) -> anyhow::Result<u64> {
    let port: Arc<dyn ReadStore> = store.clone();
    let log: Arc<dyn EventStore> = log.clone();
    let options = RunnerOptions { batch_events_max: 1, ..RunnerOptions::default() };
    let runner = Runner::start(log, &port, vec![projection("sessions")?], options);
    let events = |status: Vec<projections::runner::Status>| status.first().map_or(0, |status| status.counted.total());
    // Opening is not measured.
    while events(runner.status().await?) < 500 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (began, before) = (Instant::now(), events(runner.status().await?));
    tokio::time::sleep(PLAIN).await;
    let done = events(runner.status().await?) - before;
    let rate = whole(done as f64 / began.elapsed().as_secs_f64());
    tell(&format!("a plain projector: {} events/s", grouped(rate)));
    runner.stop().await;
    Ok(rate)
}

/// The same server, another database.
pub(crate) fn with_database(url: &str, database: &str) -> String {
    let (server, options) = url.split_once('?').map_or((url, String::new()), |(server, options)| (server, format!("?{options}")));
    let after_host = server.find("://").map_or(0, |at| at + 3);
    let server = server[after_host..].find('/').map_or(server, |at| &server[..after_host + at]);
    format!("{server}/{database}{options}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_database_of_the_same_server_is_named() {
        assert_eq!(with_database("postgresql://a@%2Ftmp%2Fx/ledger?x=1", "b"), "postgresql://a@%2Ftmp%2Fx/b?x=1");
        assert_eq!(with_database("postgres://a@host:5432", "b"), "postgres://a@host:5432/b");
    }
}
