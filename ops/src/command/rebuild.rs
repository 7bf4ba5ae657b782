//! `projection rebuild|diff|swap|rollback|repair|drop|pause|cancel`: beside a serving process, which goes on reading and writing meanwhile. The work is done
//! here, by this process, with a reader of the log of its own; the database's registry is all that the two share.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::bail;
use commands::projection::Compared;
use domain::log::{EventStore, Filter, Position};
use domain::time::Timestamp;
use projections::fold::Projection;
use projections::port::{Build, BuildState, ReadStore as _};
use projections::rebuild::port::{BuildStore, Diff, Job, Phase, Wanted, may_name_a_view_of_the_past};
use projections::rebuild::{Finish, Options, RebuildError, Rebuilder, Watcher, position_at};
use read_models::ReadModels;
use serde_json::json;

use crate::cli::{Budget, Rebuild, Through};
use crate::compose::{Writing, needed_read_models, open_reading, staff};
use crate::config::Config;
use crate::output::{Answer, grouped, table, wrong_usage};
use crate::progress::Meter;
use crate::server::Way;

/// Who asks.
const BY: &str = "command line";

/// The log and the read models, as a rebuild needs them.
pub(crate) struct Workshop {
    log: Arc<dyn EventStore>,
    store: Arc<ReadModels>,
}

impl Workshop {
    pub(crate) async fn open(config: &Config) -> anyhow::Result<Workshop> {
        let store = needed_read_models(config)?;
        Ok(Workshop { log: open_reading(config).await?, store })
    }

    fn rebuilder(&self, options: Options, watcher: Watcher) -> Rebuilder {
        Rebuilder::new(self.log.clone(), self.store.clone(), options, watcher)
    }

    /// A position, or the last one that had been recorded at a time.
    async fn position(&self, text: &str) -> anyhow::Result<Position> {
        if let Ok(position) = text.parse::<u64>() {
            let head = self.log.head().await?.position;
            return match position {
                0 => wrong_usage!("the first position is 1"),
                ahead if ahead > head.0 => bail!("the ledger's last position is {}", grouped(head.0)),
                position => Ok(Position(position)),
            };
        }
        let Ok(time) = text.parse::<Timestamp>() else { wrong_usage!("{text} is neither a position nor a time like 2026-11-21T08:00:00Z") };
        match position_at(&*self.log, time).await? {
            Position(0) => bail!("nothing had been recorded by {time}; what was imported counts from its import"),
            position => Ok(position),
        }
    }
}

/// The projection of this name.
pub(crate) fn projection(name: &str) -> anyhow::Result<Arc<dyn Projection>> {
    let all = projections::all();
    let names: Vec<&str> = all.iter().map(|projection| projection.definition().name).collect();
    let Some(place) = names.iter().position(|known| *known == name) else {
        wrong_usage!("there is no projection {name}; there are: {}", names.join(", "))
    };
    Ok(all[place].clone())
}

pub(crate) fn options(budget: &Budget, finish: Finish) -> Options {
    let default = Options::default();
    Options {
        cores: budget.cores.unwrap_or(default.cores).max(1),
        memory_bytes: budget.memory_mb.map_or(default.memory_bytes, |megabytes| megabytes << 20),
        db_rows_per_s_max: budget.max_db_rows_per_s,
        finish,
        ..default
    }
}

pub(crate) async fn rebuild(config: &Config, what: &Rebuild) -> anyhow::Result<Answer> {
    let wanted = match (what.all, what.names.is_empty()) {
        (true, true) => projections::all(),
        (false, false) => what.names.iter().map(|name| projection(name)).collect::<anyhow::Result<_>>()?,
        _ => wrong_usage!("name the projections to rebuild, or say --all"),
    };
    // clap lets neither of the two words stand without the other.
    let past = match (&what.until, &what.name) {
        (Some(until), Some(name)) => {
            let [one] = &wanted[..] else { wrong_usage!("--as makes one view of the past: name one projection") };
            if !may_name_a_view_of_the_past(name) {
                wrong_usage!("--as {name}: up to 40 small letters, digits and single _, a letter first, and no projection's name");
            }
            Some((one, until, name))
        }
        _ => None,
    };
    let workshop = Workshop::open(config).await?;
    let watch = Arc::new(Watch::new());
    let finish = match (what.no_swap, what.approve || config.swap_approval) {
        (true, _) => Finish::Keep,
        (false, true) => Finish::Approve,
        (false, false) => Finish::Swap,
    };
    let rebuilder = workshop.rebuilder(options(&what.budget, finish), watch.watcher());
    let began = std::time::Instant::now();
    if let Some((one, until, name)) = past {
        let until = workshop.position(until).await?;
        let job = rebuilder.rebuild_as_of(one.clone(), until, name, BY).await?;
        watch.done();
        let text = format!("read.{name} shows {} as it was at position {}", one.definition().name, grouped(until.0));
        return Answer::new(&json!({ "view": format!("read.{name}"), "job": job }), text);
    }
    let results = rebuilder.rebuild(wanted, BY).await?;
    watch.done();
    finished(&results, began.elapsed())
}

fn finished(results: &[Result<Job, RebuildError>], took: std::time::Duration) -> anyhow::Result<Answer> {
    let mut text = String::new();
    let (mut jobs, mut failures) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(job) => {
                let rows = job.diff.as_ref().map_or_else(|| "the first build".to_owned(), differing);
                let how = match job.phase {
                    Phase::Swapped => "serves",
                    Phase::AwaitingApproval => "differs, and waits to be swapped in",
                    _ => "is kept beside the one that serves",
                };
                let _ = writeln!(text, "{:24}  {how}; {rows}", format!("{}__b{}", job.name, job.number));
                jobs.push(job);
            }
            Err(error) => {
                let _ = writeln!(text, "failed: {error}");
                failures.push(error.to_string());
            }
        }
    }
    let accounted = jobs.iter().filter(|job| job.account.as_ref().is_some_and(projections::rebuild::port::Account::is_complete)).count();
    let events = jobs.iter().filter_map(|job| job.account.as_ref()).map(|account| account.events).max().unwrap_or(0);
    let _ = writeln!(text, "{accounted} of {} account for all {} events; {:.1} s", results.len(), grouped(events), took.as_secs_f64());
    let json = json!({ "rebuilt": jobs, "failed": failures, "seconds": (took.as_secs_f64() * 10.0).round() / 10.0 });
    let mut answer = Answer::new(&json, text)?;
    answer.is_fine = failures.is_empty();
    Ok(answer)
}

fn differing(diff: &Diff) -> String {
    match diff.rows_differing() {
        0 => format!("no row of {} differs", grouped(diff.same)),
        rows => format!(
            "{} rows differ: {} only here, {} only there, {} changed",
            grouped(rows),
            grouped(diff.only_here),
            grouped(diff.only_there),
            grouped(diff.changed)
        ),
    }
}

pub(crate) async fn diff(config: &Config, name: &str, against: Option<i64>, as_of: Option<&str>) -> anyhow::Result<Answer> {
    let (workshop, one) = (Workshop::open(config).await?, projection(name)?);
    let watch = Arc::new(Watch::new());
    let rebuilder = workshop.rebuilder(Options::default(), watch.watcher());
    let found = match as_of {
        None => rebuilder.diff(one, against).await?,
        Some(moment) => {
            // A view of the past that is made for this question, and dropped with the answer.
            let view = format!("{name}_then");
            let until = workshop.position(moment).await?;
            rebuilder.rebuild_as_of(one.clone(), until, &view, BY).await?;
            let found = rebuilder.diff_as_of(one, &view).await;
            for build in workshop.store.builds().await?.into_iter().filter(|build| build.name == view) {
                workshop.store.drop_build(&build).await?;
            }
            found?
        }
    };
    watch.done();
    let mut answer = Answer::new(&found, shown(&found))?;
    answer.is_fine = found.rows_differing() == 0;
    Ok(answer)
}

fn shown(diff: &Diff) -> String {
    let place = |table: &str, position: Position| format!("{table} at {}", grouped(position.0));
    let mut text = format!("here:   {}\nthere:  {}\n\n", place(&diff.here, diff.here_position), place(&diff.there, diff.there_position));
    let mut counts = vec![
        ("the same", grouped(diff.same)),
        ("only here", grouped(diff.only_here)),
        ("only there", grouped(diff.only_there)),
        ("changed", grouped(diff.changed)),
    ];
    if diff.not_compared > 0 {
        counts.push(("changed since, not compared", grouped(diff.not_compared)));
    }
    text.push_str(&table(&counts));
    for (title, columns) in [("columns only here", &diff.columns_only_here), ("columns only there", &diff.columns_only_there)] {
        if !columns.is_empty() {
            let _ = writeln!(text, "{title}: {}", columns.join(", "));
        }
    }
    if !diff.fields.is_empty() {
        text.push_str("\nchanged cells, in so many rows:\n");
        for (column, rows) in &diff.fields {
            let _ = writeln!(text, "  {column:24} {:>12}", grouped(*rows));
        }
    }
    if !diff.totals.is_empty() {
        text.push_str("\nmoney of the rows that differ, in yuan:\n");
        let _ = writeln!(text, "  {:36}  {:10}  {:20} {:>16} {:>16}", "operator", "day", "column", "here", "there");
        for total in &diff.totals {
            let operator = total.operator_id.as_deref().unwrap_or("–");
            let day = total.day.as_deref().unwrap_or("–");
            let _ = writeln!(text, "  {operator:36}  {day:10}  {:20} {:>16} {:>16}", total.column, total.here_yuan, total.there_yuan);
        }
    }
    if !diff.samples.is_empty() {
        text.push_str("\nsome of them:\n");
        for sample in &diff.samples {
            let side = |side: &Option<serde_json::Value>| side.as_ref().map_or_else(|| "no row".to_owned(), ToString::to_string);
            let _ = writeln!(text, "  {}\n    here:  {}\n    there: {}", sample.key, side(&sample.here), side(&sample.there));
        }
    }
    text
}

/// Puts a rebuilt build behind its view.
pub(crate) async fn swap(config: &Config, name: &str, note: Option<&str>, through: &Through) -> anyhow::Result<Answer> {
    let one = projection(name)?;
    match note {
        None if config.swap_approval => bail!("swaps need approval here: say with --approve why the difference is right"),
        None => {}
        Some(note) => match Way::find(config, through).await? {
            Way::Through(server) => {
                let swapped = server.post(&format!("/v1/projections/{name}/swap"), &json!({ "note": note })).await?;
                return Answer::new(&swapped, format!("{name} is swapped in, and the approval recorded"));
            }
            Way::Direct(writing) => {
                let approved = approve(config, &writing, name, note).await;
                writing.close().await;
                approved?;
            }
        },
    }
    let workshop = Workshop::open(config).await?;
    let watch = Arc::new(Watch::new());
    let job = workshop.rebuilder(Options::default(), watch.watcher()).swap_in(one).await?;
    watch.done();
    Answer::new(&job, format!("{}__b{} serves", job.name, job.number))
}

/// Writes down that somebody has looked at the difference.
async fn approve(config: &Config, writing: &Writing, name: &str, note: &str) -> anyhow::Result<()> {
    let store = needed_read_models(config)?;
    let waits = |job: &Job| job.name == name && matches!(job.phase, Phase::AwaitingApproval | Phase::Ready);
    let Some(job) = store.jobs().await?.into_iter().find(waits) else { bail!("no rebuilt build of {name} waits to be swapped in") };
    let Some(diff) = job.diff else { bail!("build {} of {name} has not been compared yet", job.number) };
    // A view is everybody's; the approval stands in the books of the one that was there first.
    let operators = writing.store.read_all(Position(0), &Filter::types(["operator.registered"]), 1).await?;
    let Some(first) = operators.events.first() else { bail!("no operator is registered, so that nobody could agree") };
    let (caller, ids) = staff(&writing.commands, first.metadata.operator_id);
    let compared = Compared { build: job.number.unsigned_abs(), position: diff.here_position, rows_differing: diff.rows_differing() };
    writing.commands.approve_swap(&caller, &ids, name, compared, note.to_owned()).await?;
    Ok(())
}

pub(crate) async fn rollback(config: &Config, name: &str) -> anyhow::Result<Answer> {
    let (workshop, one) = (Workshop::open(config).await?, projection(name)?);
    let version = one.definition().version;
    let watch = Arc::new(Watch::new());
    let job = workshop.rebuilder(Options::default(), watch.watcher()).roll_back(one).await?;
    watch.done();
    let serving = workshop.store.builds().await?.into_iter().find(|build| build.name == name && build.state == BuildState::Serving);
    let frozen = match serving.filter(|build| build.version != version) {
        Some(build) => {
            format!(", frozen at {}: version {} filled it, and this is version {version}", grouped(build.position.0), build.version)
        }
        None => String::new(),
    };
    Answer::new(&job, format!("{}__b{} serves again{frozen}; nothing replaces it until you rebuild or swap", job.name, job.number))
}

pub(crate) async fn repair(config: &Config, name: &str, key: &str, dry_run: bool) -> anyhow::Result<Answer> {
    let (workshop, one) = (Workshop::open(config).await?, projection(name)?);
    let repaired = projections::rebuild::repair(&*workshop.log, &*workshop.store, one, key, !dry_run).await?;
    let mut text = format!("{} {}, folded from {} events up to {}\n", name, repaired.key, repaired.events, grouped(repaired.position.0));
    match (repaired.was_there, repaired.belongs_there) {
        _ if repaired.was_right() => text.push_str("the row is right"),
        (true, false) => text.push_str("there is a row, and there should be none\n"),
        (false, true) => text.push_str("there is no row, and there should be one\n"),
        _ => {}
    }
    for (column, (there, belongs)) in &repaired.cells {
        let _ = writeln!(text, "  {column:24} {there}  →  {belongs}");
    }
    if repaired.written {
        text.push_str("put right");
    } else if !repaired.was_right() {
        text.push_str("nothing was written: this was a dry run");
    }
    let mut answer = Answer::new(&repaired, text)?;
    answer.is_fine = repaired.was_right() || repaired.written;
    Ok(answer)
}

/// Drops a view of the past, or a build that does not serve.
pub(crate) async fn drop_build(config: &Config, name: &str, number: Option<i64>) -> anyhow::Result<Answer> {
    let workshop = Workshop::open(config).await?;
    let fits = |build: &Build| build.name == name && number.map_or(build.state == BuildState::AsOf, |number| build.number == number);
    let builds: Vec<Build> = workshop.store.builds().await?.into_iter().filter(fits).collect();
    if builds.is_empty() {
        bail!("there is no view of the past named {name}; to drop a projection's build, give its number with --build");
    }
    for build in &builds {
        if build.state == BuildState::Serving {
            bail!("{} serves, and is not dropped", build.table_name());
        }
        workshop.store.drop_build(build).await?;
    }
    let names: Vec<String> = builds.iter().map(Build::table_name).collect();
    Answer::new(&json!({ "dropped": names }), format!("dropped {}", names.join(", ")))
}

/// Pauses, resumes or cancels a rebuild, whichever process does it. Nothing when none is under way.
pub(crate) async fn steer(config: &Config, name: &str, wanted: Wanted) -> anyhow::Result<Option<Answer>> {
    let workshop = Workshop::open(config).await?;
    if !workshop.store.want(name, wanted).await? {
        return Ok(None);
    }
    // Where nobody works on it any more, nobody hears of it either.
    if wanted == Wanted::Cancel && workshop.store.lease(name).await?.is_some() {
        for build in workshop.store.builds().await?.into_iter().filter(|build| build.name == name && build.state == BuildState::Filling) {
            workshop.store.drop_build(&build).await?;
            if let Some(job) = workshop.store.jobs().await?.into_iter().find(|job| job.name == name && job.number == build.number) {
                workshop.store.note(&Job { phase: Phase::Cancelled, ..job }).await?;
            }
        }
    }
    let word = match wanted {
        Wanted::Run => "goes on",
        Wanted::Pause => "pauses",
        Wanted::Cancel => "is cancelled",
    };
    Ok(Some(Answer::new(&json!({ "name": name, "wanted": wanted }), format!("the rebuild of {name} {word}"))?))
}

/// One line about a rebuild that is under way.
pub(crate) fn line(job: &Job) -> String {
    let percent = job.per_mille() / 10;
    let rate = if job.events_per_s > 0 { format!(", {} events/s", grouped(job.events_per_s)) } else { String::new() };
    let eta = job.eta_s.map_or(String::new(), |seconds| format!(", {seconds} s left"));
    let wanted = match job.wanted {
        Wanted::Run => "",
        Wanted::Pause => ", paused",
        Wanted::Cancel => ", being cancelled",
    };
    let error = job.error.as_ref().map_or(String::new(), |error| format!(": {error}"));
    let phase = projections::value::word(&job.phase).replace('_', " ");
    format!("{}__b{}  {phase} {percent} %{rate}{eta}{wanted}{error}", job.name, job.number)
}

/// Shows how far rebuilds are while they run.
struct Watch(Mutex<Shown>);

struct Shown {
    meter: Option<Meter>,
    phases: HashMap<String, Phase>,
    troubles: HashMap<String, String>,
}

impl Watch {
    fn new() -> Watch {
        Watch(Mutex::new(Shown { meter: None, phases: HashMap::new(), troubles: HashMap::new() }))
    }

    fn watcher(self: &Arc<Watch>) -> Watcher {
        let watch = self.clone();
        Arc::new(move |job| watch.show(job))
    }

    fn show(&self, job: &Job) {
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = shown.phases.insert(job.name.clone(), job.phase);
        match job.phase {
            Phase::Replaying => {
                let meter = shown.meter.get_or_insert_with(|| Meter::start("replaying events", job.events_total));
                meter.set(job.events_done, job.events_total);
            }
            _ if before != Some(job.phase) => {
                shown.meter = None;
                tell(&line(job));
            }
            _ => {}
        }
        let trouble = job.error.clone().unwrap_or_default();
        let known = shown.troubles.insert(job.name.clone(), trouble.clone()).unwrap_or_default();
        if trouble != known && !trouble.is_empty() && job.phase != Phase::Failed {
            tell(&format!("waiting: {trouble}"));
        }
    }

    fn done(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).meter = None;
    }
}

pub(crate) fn tell(line: &str) {
    use std::io::Write as _;
    // Nobody reads standard error any more: there is nobody left to tell.
    let _ = writeln!(std::io::stderr(), "{line}");
}
