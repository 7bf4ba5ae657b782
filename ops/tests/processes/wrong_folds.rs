//! Folds that are wrong on purpose, as a release had them, found and mended with what the runbook names: an update that is lost, a sum that is counted twice, and a panic.
//!
//! The faulty release is a runner in this process, with the faulty fold in the place of the right one; the release that mends it is the command line.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use domain::ids::{OperatorId, SessionId, StationId};
use domain::log::{EventStore, Filter, Position};
use embedded::EmbeddedStore;
use jiff::civil::Date;
use projections::bills::{BillRow, Bills};
use projections::daily_statistics::{DailyStatistics, DailyStatisticsRow};
use projections::fold::{Keyed, Moment, Projection, ProjectionError, keyed};
use projections::port::ReadStore;
use projections::runner::{Options, Runner};
use projections::sessions::{SessionRow, Sessions};
use read_models::{ReadModels, Settings};
use serde_json::{Value, json};

use crate::serving::{Ledger, PATIENCE, json_of, many_sessions, of, text_of};

/// Which bill, counted from the first of the log, a fault is about.
const BILL: usize = 2;

/// The positions of the events with the faults; each test has a process of its own or a place of its own.
static LOST: AtomicU64 = AtomicU64::new(0);
static TWICE: AtomicU64 = AtomicU64::new(0);
static TOO_MUCH: AtomicU64 = AtomicU64::new(0);

fn is(moment: &Moment<'_>, faulty: &AtomicU64) -> bool {
    moment.position().0 == faulty.load(Ordering::Relaxed)
}

/// Forgets one update. Nobody counted the version up when it was mended: it has the number of the right one.
struct LostUpdate;

impl Keyed for LostUpdate {
    type Row = SessionRow;
    const VERSION: u32 = Sessions::VERSION;
    const HANDLES: &'static [&'static str] = Sessions::HANDLES;
    fn keys(moment: &Moment<'_>) -> Result<Vec<(SessionId,)>, ProjectionError> {
        Sessions::keys(moment)
    }
    fn evolve(key: &(SessionId,), row: Option<SessionRow>, moment: &Moment<'_>) -> Result<Option<SessionRow>, ProjectionError> {
        if is(moment, &LOST) { Ok(row) } else { Sessions::evolve(key, row, moment) }
    }
}

/// Counts one bill twice, in a version before the one that mends it.
struct CountedTwice;

impl Keyed for CountedTwice {
    type Row = DailyStatisticsRow;
    const VERSION: u32 = DailyStatistics::VERSION - 1;
    const HANDLES: &'static [&'static str] = DailyStatistics::HANDLES;
    fn keys(moment: &Moment<'_>) -> Result<Vec<(OperatorId, StationId, Date)>, ProjectionError> {
        DailyStatistics::keys(moment)
    }
    fn evolve(
        key: &(OperatorId, StationId, Date),
        row: Option<DailyStatisticsRow>,
        moment: &Moment<'_>,
    ) -> Result<Option<DailyStatisticsRow>, ProjectionError> {
        let once = DailyStatistics::evolve(key, row, moment)?;
        if is(moment, &TWICE) { DailyStatistics::evolve(key, once, moment) } else { Ok(once) }
    }
}

/// Panics at one event.
struct Panicking;

impl Keyed for Panicking {
    type Row = BillRow;
    const VERSION: u32 = Bills::VERSION;
    const HANDLES: &'static [&'static str] = Bills::HANDLES;
    fn keys(moment: &Moment<'_>) -> Result<Vec<(SessionId, String)>, ProjectionError> {
        Bills::keys(moment)
    }
    fn evolve(key: &(SessionId, String), row: Option<BillRow>, moment: &Moment<'_>) -> Result<Option<BillRow>, ProjectionError> {
        assert!(!is(moment, &TOO_MUCH), "a bill of this kind was never thought of");
        Bills::evolve(key, row, moment)
    }
}

fn log(ledger: &Ledger) -> Arc<dyn EventStore> {
    Arc::new(EmbeddedStore::open_read_only(ledger.data()).unwrap())
}

/// Where the bill is made that a fault is about, and what it says.
async fn a_bill(ledger: &Ledger, faulty: &AtomicU64) -> Value {
    let billed = log(ledger).read_all(Position(0), &Filter::types(["session.billed"]), 100).await.unwrap().events;
    let event = &billed[BILL];
    faulty.store(event.position.0, Ordering::Relaxed);
    serde_json::to_value(&event.clone().decode().unwrap().event).unwrap()["session"]["billed"].clone()
}

/// The release with the faulty fold: every read model at the head of the log, or halted before it.
async fn served_by_the_faulty_release(ledger: &Ledger, faulty: Arc<dyn Projection>) {
    let store: Arc<dyn ReadStore> = Arc::new(ReadModels::new(&ledger.database().url(), Settings::default()).unwrap());
    let name = faulty.definition().name;
    let others = projections::all().into_iter().filter(|projection| projection.definition().name != name);
    let names: Vec<&str> = projections::all().iter().map(|projection| projection.definition().name).collect();
    let log = log(ledger);
    let head = log.head().await.unwrap().position;
    let runner = Runner::start(log, &store, others.chain([faulty]), Options::default());
    for name in names {
        // One that halts is at its end, too.
        let _ = runner.wait_for(&[name], head, PATIENCE).await;
    }
    runner.stop().await;
}

/// What the release that mends it answers, and whether it found something wrong.
fn says(ledger: &Ledger, arguments: &[&str]) -> (i32, Value) {
    let output = ledger.run(&[arguments, &["--json"]].concat());
    (output.status.code().unwrap(), json_of(&output))
}

fn counts(diff: &Value) -> [u64; 3] {
    ["changed", "only_here", "only_there"].map(|what| diff[what].as_u64().unwrap_or_else(|| panic!("{what} in {diff}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_update_is_found_by_a_rebuild_shown_row_by_row_and_swapped_out() {
    let Some(ledger) = Ledger::of(&many_sessions(8)) else { return };
    let billed = a_bill(&ledger, &LOST).await;
    let session = billed["refs"]["session_id"].as_str().unwrap();
    served_by_the_faulty_release(&ledger, keyed::<LostUpdate>()).await;
    let total = format!("SELECT coalesce((SELECT (total_yuan * 100)::bigint FROM read.sessions WHERE session_id = '{session}'), 0)");
    assert_eq!(ledger.database().number(&total).await, 0, "the bill is lost");

    let rebuilt = says(&ledger, &["projection", "rebuild", "sessions", "--no-swap"]);
    assert_eq!((rebuilt.0, &rebuilt.1["rebuilt"][0]["phase"]), (0, &json!("ready")), "{}", rebuilt.1);
    let (status, diff) = says(&ledger, &["projection", "diff", "sessions"]);
    assert_eq!((status, counts(&diff)), (1, [1, 0, 0]), "exactly the row that is wrong: {diff}");
    assert_eq!(diff["samples"].as_array().unwrap().len(), 1);
    assert_eq!(diff["samples"][0]["key"], json!({ "session_id": session }));
    let (here, there) = (&diff["samples"][0]["here"], &diff["samples"][0]["there"]);
    assert_eq!((&here["total_yuan"], &there["total_yuan"]), (&billed["bill"]["total"], &Value::Null), "{diff}");
    assert!(diff["totals"].as_array().unwrap().iter().any(|total| total["column"] == "total_yuan"), "its money: {diff}");
    assert_eq!(ledger.database().number(&total).await, 0, "nothing has changed for those who read");

    assert_eq!(says(&ledger, &["projection", "swap", "sessions"]).0, 0);
    assert_ne!(ledger.database().number(&total).await, 0);
    let (status, repaired) = says(&ledger, &["projection", "repair", "sessions", "--key", session, "--dry-run"]);
    assert_eq!((status, &repaired["cells"]), (0, &json!({})), "the row is what its events make it");
    let (status, again) = says(&ledger, &["projection", "rebuild", "sessions"]);
    assert_eq!((status, counts(&again["rebuilt"][0]["diff"])), (0, [0, 0, 0]), "and every other row, too: {again}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_counted_twice_is_put_right_by_the_release_whose_version_counts_up() {
    let Some(ledger) = Ledger::of(&many_sessions(60)) else { return };
    let billed = a_bill(&ledger, &TWICE).await;
    served_by_the_faulty_release(&ledger, keyed::<CountedTwice>()).await;
    let counted = "SELECT sum(session_count)::bigint FROM read.daily_statistics";
    assert_eq!(ledger.database().number(counted).await, 61, "one of them twice");
    let list = ledger.run(&["projection", "list"]);
    let line = text_of(&list).lines().find(|line| line.starts_with("daily_statistics__b1")).map(str::to_owned);
    assert!(line.as_ref().is_some_and(|line| line.contains("outdated")), "{line:?}");

    // The release is started, and nothing else is done.
    let serving = ledger.serve("projector");
    let is_swapped = |listed: &Value| {
        let builds = listed["projections"].as_array().unwrap();
        builds.iter().any(|build| build["name"] == "daily_statistics" && build["number"] == 2 && build["state"] == "serving")
    };
    ledger.until(is_swapped).await;
    assert_eq!(ledger.database().number(counted).await, 60);
    drop(serving);
    let (status, diff) = says(&ledger, &["projection", "diff", "daily_statistics"]);
    assert_eq!((status, counts(&diff)), (1, [1, 0, 0]), "the day of the bill, and no other: {diff}");
    let sample = &diff["samples"][0];
    assert_eq!(sample["key"]["station_id"], billed["refs"]["station_id"]);
    let count = |side: &str| sample[side]["session_count"].as_i64().unwrap();
    assert_eq!(count("there") - count("here"), 1, "{diff}");
    assert_eq!(diff["fields"]["session_count"], 1);
    // The way back is the wrong figure, frozen; and the way forward again.
    assert_eq!(says(&ledger, &["projection", "rollback", "daily_statistics"]).0, 0);
    assert_eq!(ledger.database().number(counted).await, 61);
    assert_eq!(says(&ledger, &["projection", "rebuild", "daily_statistics"]).0, 0);
    assert_eq!(ledger.database().number(counted).await, 60);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fold_that_panics_halts_alone_quotes_its_event_and_goes_on_with_the_release_that_mends_it() {
    let Some(ledger) = Ledger::of(&many_sessions(8)) else { return };
    let billed = a_bill(&ledger, &TOO_MUCH).await;
    served_by_the_faulty_release(&ledger, keyed::<Panicking>()).await;
    let (status, listed) = says(&ledger, &["projection", "list"]);
    assert_eq!(status, 1, "something is wrong");
    for build in listed["projections"].as_array().unwrap() {
        let halts = build["name"] == "bills";
        assert_eq!((build["halt"].is_object(), build["position"] == listed["head"]), (halts, !halts), "it alone: {build}");
    }
    assert_eq!(of(&listed, "bills")["halt"]["position"], TOO_MUCH.load(Ordering::Relaxed));
    let shown = text_of(&ledger.run(&["projection", "show", "bills"]));
    for part in ["a bill of this kind was never thought of", "session.billed", billed["bill"]["bill_number"].as_str().unwrap()] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    let bills = "SELECT count(*) FROM read.bills";
    assert_eq!(ledger.database().number(bills).await, i64::try_from(BILL).unwrap(), "those before it are there");

    let serving = ledger.serve("projector");
    ledger.until(|listed| of(listed, "bills")["position"] == listed["head"]).await;
    drop(serving);
    assert_eq!(ledger.database().number(bills).await, 8);
    let (status, rebuilt) = says(&ledger, &["projection", "rebuild", "bills"]);
    assert_eq!((status, counts(&rebuilt["rebuilt"][0]["diff"])), (0, [0, 0, 0]), "none twice, none left out: {rebuilt}");
}
