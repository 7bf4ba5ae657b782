//! A read model is rebuilt while it serves: whatever happens, the rows are the ones that the same fold makes in memory, and nobody who reads notices.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use domain::ids::SessionId;
use domain::log::{EventStore as _, Position};
use projections::fold::{Definition, Keyed, Moment, Projection, ProjectionError, keyed};
use projections::port::{BuildState, ReadStore as _};
use projections::rebuild::port::{BuildStore as _, Job, Phase, Wanted};
use projections::rebuild::{Finish, Options, RebuildError, Rebuilder, position_at, repair};
use projections::runner::{Options as RunnerOptions, State};
use projections::sessions::{SessionRow, Sessions};
use read_models::ReadModels;
use support::history::History;
use support::{Database, Log, PATIENCE, on_postgres, stored};

/// Small enough that every history takes several stretches and several readings.
fn small() -> Options {
    Options { cores: 2, memory_bytes: 60_000, db_rows_per_s_max: None, finish: Finish::Swap, stretch_events: 64 }
}

fn rebuilder(log: &Log, read_models: &Arc<ReadModels>, options: Options) -> Rebuilder {
    Rebuilder::new(log.store.clone(), read_models.clone(), options, Arc::new(|_: &Job| {}))
}

async fn rebuild(log: &Log, read_models: &Arc<ReadModels>, projections: Vec<Arc<dyn Projection>>, options: Options) -> Vec<Job> {
    let rebuilt = rebuilder(log, read_models, options).rebuild(projections, "a test").await.unwrap();
    rebuilt.into_iter().map(Result::unwrap).collect()
}

/// A ledger with a history, and every read model caught up.
async fn world(database: &Database, seed: u64, steps: usize) -> (History, Log, Arc<ReadModels>) {
    let mut history = History::new(seed).await;
    history.go_on(steps).await;
    let (log, read_models) = (history.log().clone(), database.read_models());
    log.catch_up(&read_models, projections::all()).await;
    (history, log, read_models)
}

async fn is_as_folded(read_models: &ReadModels, log: &Log) {
    for projection in projections::all() {
        assert_eq!(stored(read_models, &*projection).await, log.folded(&*projection).await, "{}", projection.definition().name);
    }
}

fn sessions() -> Definition {
    keyed::<Sessions>().definition()
}

#[test]
fn every_read_model_rebuilt_is_the_one_that_is_folded_in_memory() {
    for seed in [21, 22, 23] {
        on_postgres(|database: Database| async move {
            let (_, log, read_models) = world(&database, seed, 500).await;
            let jobs = rebuild(&log, &read_models, projections::all(), small()).await;
            is_as_folded(&read_models, &log).await;
            let head = log.store.head().await.unwrap();
            for job in &jobs {
                assert_eq!(job.phase, Phase::Swapped, "{}", job.name);
                let account = job.account.as_ref().unwrap();
                assert!(account.is_complete() && account.events == head.events, "{account:?}");
                assert_eq!(job.diff.as_ref().unwrap().rows_differing(), 0, "{}: {:?}", job.name, job.diff);
            }
            assert!(jobs.iter().any(|job| job.passes > 1), "the memory was too small for one reading");
            let retired = database.number("SELECT count(*) FROM build.registry WHERE state = 'retired'").await;
            assert_eq!(usize::try_from(retired), Ok(projections::all().len()), "the way back is kept");
        });
    }
}

#[test]
fn what_is_wrong_is_shown_with_its_money_and_mended() {
    on_postgres(|database: Database| async move {
        let (_, log, read_models) = world(&database, 31, 600).await;
        database
            .sql(
                "UPDATE build.journal__b1 SET debit_yuan = debit_yuan + 1 WHERE debit_yuan > 0 AND position = (SELECT min(position) FROM build.journal__b1);
                 DELETE FROM build.journal__b1 WHERE position = (SELECT max(position) FROM build.journal__b1);",
            )
            .await;
        let journal = projections::all().into_iter().filter(|projection| projection.definition().name == "journal").collect();
        let jobs = rebuild(&log, &read_models, journal, small()).await;
        let diff = jobs[0].diff.as_ref().unwrap();
        assert_eq!((diff.changed, diff.only_there), (1, 0), "{diff:?}");
        assert!(diff.only_here >= 2, "an entry has two postings at least: {diff:?}");
        assert_eq!(diff.fields.get("debit_yuan"), Some(&1));
        assert!(
            diff.totals.iter().any(|total| total.column == "debit_yuan" && total.operator_id.is_some() && total.day.is_some()),
            "{diff:?}"
        );
        let changed = diff.samples.iter().find(|sample| sample.here.is_some() && sample.there.is_some()).unwrap();
        assert_eq!(changed.here.as_ref().unwrap().as_object().unwrap().len(), 1, "only the cell that differs: {changed:?}");
        is_as_folded(&read_models, &log).await;
    });
}

#[test]
fn those_who_read_and_write_do_not_notice_a_swap() {
    on_postgres(|database: Database| async move {
        let (mut history, log, read_models) = world(&database, 41, 400).await;
        let runner = log.run(&read_models, projections::all(), RunnerOptions::default());
        let stop = Arc::new(AtomicBool::new(false));
        let readers: Vec<_> = (0..3)
            .map(|reader| {
                let (url, stop) = (database.url(), stop.clone());
                tokio::spawn(async move {
                    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
                    tokio::spawn(connection);
                    // Prepared once: a plan that was made before the swap is used after it.
                    let books = client.prepare("SELECT count(*), sum(debit_yuan) - sum(credit_yuan) = 0 FROM read.journal").await.unwrap();
                    let count = client.prepare("SELECT count(*) FROM read.sessions").await.unwrap();
                    let (mut reads, mut postings, mut sessions) = (0, 0, 0);
                    while !stop.load(Ordering::Relaxed) {
                        let row = client.query_one(&books, &[]).await.unwrap_or_else(|error| panic!("reader {reader}: {error:?}"));
                        assert!(row.get::<_, bool>(1), "the books balance at every moment");
                        assert!(row.get::<_, i64>(0) >= postings, "a view never goes back");
                        postings = row.get(0);
                        let row = client.query_one(&count, &[]).await.unwrap_or_else(|error| panic!("reader {reader}: {error:?}"));
                        assert!(row.get::<_, i64>(0) >= sessions, "a view never goes back");
                        sessions = row.get(0);
                        reads += 1;
                    }
                    reads
                })
            })
            .collect();
        let wanted = |name: &str| name == "journal" || name == "sessions";
        for _ in 0..3 {
            let both = projections::all().into_iter().filter(|projection| wanted(projection.definition().name)).collect();
            let rebuilding = rebuilder(&log, &read_models, small());
            let (rebuilt, ()) = tokio::join!(rebuilding.rebuild(both, "a test"), history.go_on(150));
            for job in rebuilt.unwrap() {
                let job = job.unwrap();
                assert_eq!((job.phase, job.diff.unwrap().rows_differing()), (Phase::Swapped, 0));
            }
        }
        runner.wait_for_head(PATIENCE).await.unwrap().unwrap();
        stop.store(true, Ordering::Relaxed);
        for reader in readers {
            assert!(reader.await.unwrap() > 10);
        }
        runner.stop().await;
        is_as_folded(&read_models, &log).await;
    });
}

#[test]
fn connections_that_are_cut_are_waited_out() {
    on_postgres(|database: Database| async move {
        let (_, log, read_models) = world(&database, 51, 500).await;
        let cutting = async {
            for _ in 0..8 {
                tokio::time::sleep(std::time::Duration::from_millis(120)).await;
                database.cut_connections().await;
            }
        };
        let slowly = Options { db_rows_per_s_max: Some(4_000), ..small() };
        let (jobs, ()) = tokio::join!(rebuild(&log, &read_models, projections::all(), slowly), cutting);
        assert!(jobs.iter().all(|job| job.phase == Phase::Swapped));
        is_as_folded(&read_models, &log).await;
    });
}

#[test]
fn a_rebuild_is_paused_resumed_and_cancelled() {
    on_postgres(|database: Database| async move {
        let (_, log, read_models) = world(&database, 61, 300).await;
        let all = || projections::all().into_iter().filter(|projection| projection.definition().name == "audit_trail").collect::<Vec<_>>();
        let phase = async |wanted: Phase| {
            while !read_models.jobs().await.unwrap().iter().any(|job| job.name == "audit_trail" && job.phase == wanted) {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        let slow = Options { db_rows_per_s_max: Some(50), ..small() };
        let (models, ledger) = (read_models.clone(), log.clone());
        let running = tokio::spawn(async move { rebuilder(&ledger, &models, slow).rebuild(all(), "a test").await });
        phase(Phase::Replaying).await;
        assert!(read_models.want("audit_trail", Wanted::Cancel).await.unwrap());
        let ended = running.await.unwrap().unwrap();
        assert!(matches!(ended[..], [Err(RebuildError::Cancelled { .. })]), "{ended:?}");
        assert_eq!(database.number("SELECT count(*) FROM build.registry WHERE name = 'audit_trail'").await, 1, "nothing is left of it");
        assert!(!read_models.want("audit_trail", Wanted::Pause).await.unwrap(), "there is none any more");

        let (models, ledger) = (read_models.clone(), log.clone());
        let running =
            tokio::spawn(async move { rebuilder(&ledger, &models, Options { stretch_events: 16, ..slow }).rebuild(all(), "a test").await });
        phase(Phase::Replaying).await;
        assert!(read_models.want("audit_trail", Wanted::Pause).await.unwrap());
        // It stands still once the stretches in hand are written.
        let rows = async || database.number("SELECT coalesce(sum(rows), 0)::bigint FROM build.filled").await;
        let (mut before, mut same) = (rows().await, 0);
        while same < 10 {
            tokio::time::sleep(std::time::Duration::from_millis(150)).await;
            let now = rows().await;
            same = if now == before { same + 1 } else { 0 };
            before = now;
        }
        assert!(!running.is_finished());
        assert!(read_models.want("audit_trail", Wanted::Run).await.unwrap());
        running.abort();
        let jobs = loop {
            // Its threads finish the stretch that they have in hand.
            match rebuilder(&log, &read_models, small()).rebuild(all(), "a test").await.unwrap().remove(0) {
                Err(RebuildError::Busy { .. }) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
                done => break [done.unwrap()],
            }
        };
        assert_eq!(jobs[0].phase, Phase::Swapped);
        is_as_folded(&read_models, &log).await;
    });
}

/// The position of the event that [`Fussy`] cannot apply; 0 when it can apply all.
static TOO_MUCH: AtomicU64 = AtomicU64::new(0);

/// Sessions, but for an event that it cannot apply while it is faulty.
struct Fussy;

impl Keyed for Fussy {
    type Row = SessionRow;
    const VERSION: u32 = Sessions::VERSION;
    const HANDLES: &'static [&'static str] = Sessions::HANDLES;
    fn keys(moment: &Moment<'_>) -> Result<Vec<(SessionId,)>, ProjectionError> {
        Sessions::keys(moment)
    }
    fn evolve(key: &(SessionId,), row: Option<SessionRow>, moment: &Moment<'_>) -> Result<Option<SessionRow>, ProjectionError> {
        assert!(moment.position().0 != TOO_MUCH.load(Ordering::Relaxed), "this event is too much");
        Sessions::evolve(key, row, moment)
    }
}

#[test]
fn a_fold_that_cannot_apply_an_event_stops_its_own_rebuild_and_quotes_it() {
    on_postgres(|database: Database| async move {
        let (_, log, read_models) = world(&database, 71, 500).await;
        let page = log.store.read_all(Position(199), &domain::log::Filter::All, usize::MAX).await.unwrap();
        let handled = page.events.iter().find(|event| Sessions::HANDLES.contains(&event.event_type.as_str())).unwrap();
        let too_much = handled.position;
        TOO_MUCH.store(too_much.0, Ordering::Relaxed);
        let others = projections::all().into_iter().filter(|projection| projection.definition().name != "sessions");
        let with_a_fault: Vec<_> = others.chain([keyed::<Fussy>()]).collect();
        let rebuilt = rebuilder(&log, &read_models, small()).rebuild(with_a_fault, "a test").await.unwrap();
        let (fine, failed): (Vec<_>, Vec<_>) = rebuilt.into_iter().partition(Result::is_ok);
        assert_eq!((fine.len(), failed.len()), (22, 1), "one stops alone");
        let Err(RebuildError::Halted { name, halt }) = &failed[0] else { panic!("{failed:?}") };
        assert_eq!((name.as_str(), halt.position), ("sessions", too_much));
        assert!(halt.error.contains("too much") && !halt.event.is_null(), "{halt:?}");
        let job = read_models.jobs().await.unwrap().into_iter().find(|job| job.name == "sessions").unwrap();
        assert_eq!((job.phase, job.halt.map(|halt| halt.position)), (Phase::Failed, Some(too_much)), "everybody can see it");
        is_as_folded(&read_models, &log).await;
        // With the fault mended it goes on, and takes its place.
        TOO_MUCH.store(0, Ordering::Relaxed);
        let jobs = rebuild(&log, &read_models, vec![keyed::<Fussy>()], small()).await;
        assert_eq!((jobs[0].phase, jobs[0].number), (Phase::Swapped, job.number), "the same build");
    });
}

#[test]
fn a_build_that_misses_an_event_may_not_serve() {
    on_postgres(|database: Database| async move {
        let (_, log, read_models) = world(&database, 81, 200).await;
        let all: Vec<_> = projections::all().into_iter().filter(|projection| projection.definition().name == "wallets").collect();
        rebuild(&log, &read_models, all.clone(), Options { finish: Finish::Keep, ..small() }).await;
        // As if an event had been counted that was not there.
        database.sql("UPDATE build.registry SET applied = applied - 1 WHERE name = 'wallets' AND state = 'filling'").await;
        let refused = rebuilder(&log, &read_models, small()).swap_in(all[0].clone()).await;
        assert!(matches!(&refused, Err(RebuildError::NotAccounted { account, .. }) if !account.is_complete()), "{refused:?}");
        assert_eq!(database.number("SELECT number FROM build.registry WHERE name = 'wallets' AND state = 'serving'").await, 1);
    });
}

#[test]
fn the_way_back_is_caught_up_first() {
    on_postgres(|database: Database| async move {
        let (mut history, log, read_models) = world(&database, 91, 200).await;
        let all: Vec<_> = projections::all().into_iter().filter(|projection| projection.definition().name == "bills").collect();
        rebuild(&log, &read_models, all.clone(), small()).await;
        history.go_on(100).await;
        log.catch_up(&read_models, projections::all()).await;
        let back = rebuilder(&log, &read_models, small()).roll_back(all[0].clone()).await.unwrap();
        assert_eq!((back.number, back.phase), (1, Phase::Swapped));
        is_as_folded(&read_models, &log).await;
        let serving = read_models
            .builds()
            .await
            .unwrap()
            .into_iter()
            .find(|build| build.name == "bills" && build.state == BuildState::Serving)
            .unwrap();
        assert_eq!((serving.number, serving.pinned), (1, true), "nothing takes its place by itself");
        assert_eq!(serving.position, log.store.head().await.unwrap().position);
    });
}

#[test]
fn a_view_of_the_past_stands_beside_the_one_of_today() {
    on_postgres(|database: Database| async move {
        let (mut history, log, read_models) = world(&database, 101, 150).await;
        let then = log.store.head().await.unwrap().position;
        let sessions_then = log.folded(&*keyed::<Sessions>()).await;
        let recorded_then =
            log.store.read_all(Position(then.0 - 1), &domain::log::Filter::All, 1).await.unwrap().events[0].metadata.recorded_at;
        history.go_on(150).await;
        log.catch_up(&read_models, projections::all()).await;
        assert!(position_at(&*log.store, recorded_then).await.unwrap() >= then, "the last event that had been recorded by then");
        let rebuilder = rebuilder(&log, &read_models, small());
        let job = rebuilder.rebuild_as_of(keyed::<Sessions>(), then, "sessions_of_may", "a test").await.unwrap();
        assert_eq!((job.phase, job.until), (Phase::Ready, then));
        let build = read_models.builds().await.unwrap().into_iter().find(|build| build.name == "sessions_of_may").unwrap();
        assert_eq!(read_models.rows(&sessions(), &build).await.unwrap(), sessions_then);
        assert_eq!(usize::try_from(database.number("SELECT count(*) FROM read.sessions_of_may").await).unwrap(), sessions_then.len());
        let diff = rebuilder.diff_as_of(keyed::<Sessions>(), "sessions_of_may").await.unwrap();
        assert!(diff.only_here > 0 && diff.only_there == 0, "what has come since: {diff:?}");
        is_as_folded(&read_models, &log).await;
        read_models.drop_build(&build).await.unwrap();
        assert_eq!(database.number("SELECT count(*) FROM pg_views WHERE schemaname = 'read' AND viewname = 'sessions_of_may'").await, 0);
        let taken = rebuilder.rebuild_as_of(keyed::<Sessions>(), then, "journal", "a test").await;
        assert!(matches!(taken, Err(RebuildError::Database(_))), "{taken:?}");
        let injected = rebuilder.rebuild_as_of(keyed::<Sessions>(), then, "x; DROP SCHEMA read", "a test").await;
        assert!(matches!(injected, Err(RebuildError::Database(_))), "{injected:?}");
    });
}

#[test]
fn one_row_is_folded_again_and_put_right() {
    on_postgres(|database: Database| async move {
        let (_, log, read_models) = world(&database, 111, 200).await;
        let rows = log.folded(&*keyed::<Sessions>()).await;
        let key = rows[0][0].to_json(projections::value::ColumnType::Uuid).as_str().unwrap().to_owned();
        let repaired = async |write: bool| repair(&*log.store, &*read_models, keyed::<Sessions>(), &key, write).await.unwrap();
        assert!(repaired(true).await.was_right(), "nothing to do");
        database.sql(&format!("UPDATE build.sessions__b1 SET energy_kwh = 999 WHERE session_id = '{key}'")).await;
        let shown = repaired(false).await;
        assert_eq!(shown.cells.keys().collect::<Vec<_>>(), ["energy_kwh"], "{shown:?}");
        assert!(!shown.written);
        assert!(repaired(true).await.written);
        is_as_folded(&read_models, &log).await;
        database.sql(&format!("DELETE FROM build.sessions__b1 WHERE session_id = '{key}'")).await;
        let back = repaired(true).await;
        assert_eq!((back.was_there, back.belongs_there, back.written), (false, true, true));
        is_as_folded(&read_models, &log).await;
        let nobodys = "00000000-0000-0000-0000-0000000000ff";
        let none = repair(&*log.store, &*read_models, keyed::<Sessions>(), nobodys, true).await;
        assert!(matches!(none, Err(RebuildError::NoRow { .. })), "{none:?}");
        let none = repair(&*log.store, &*read_models, keyed::<Sessions>(), "not a key", true).await;
        assert!(matches!(none, Err(RebuildError::NoRow { .. })), "{none:?}");
    });
}

#[test]
fn a_difference_waits_for_somebody_to_agree() {
    on_postgres(|database: Database| async move {
        let (_, log, read_models) = world(&database, 121, 200).await;
        database.sql("DELETE FROM build.bills__b1 WHERE session_id = (SELECT min(session_id::text)::uuid FROM build.bills__b1)").await;
        let bills: Vec<_> = projections::all().into_iter().filter(|projection| projection.definition().name == "bills").collect();
        let approve = Options { finish: Finish::Approve, ..small() };
        let jobs = rebuild(&log, &read_models, bills.clone(), approve).await;
        assert_eq!((jobs[0].phase, jobs[0].diff.as_ref().unwrap().only_here), (Phase::AwaitingApproval, 1));
        assert_eq!(database.number("SELECT number FROM build.registry WHERE name = 'bills' AND state = 'serving'").await, 1);
        let swapped = rebuilder(&log, &read_models, approve).swap_in(bills[0].clone()).await.unwrap();
        assert_eq!((swapped.number, swapped.phase), (jobs[0].number, Phase::Swapped));
        is_as_folded(&read_models, &log).await;
        // Without a difference there is nothing to agree to.
        assert_eq!(rebuild(&log, &read_models, bills, approve).await[0].phase, Phase::Swapped);
    });
}

#[test]
fn two_processes_do_not_rebuild_the_same() {
    on_postgres(|database: Database| async move {
        let (_, log, read_models) = world(&database, 131, 100).await;
        let lease = database.read_models().lease("bills").await.unwrap();
        assert!(lease.is_some());
        let bills: Vec<_> = projections::all().into_iter().filter(|projection| projection.definition().name == "bills").collect();
        let busy = rebuilder(&log, &read_models, small()).rebuild(bills.clone(), "a test").await.unwrap();
        assert!(matches!(&busy[..], [Err(RebuildError::Busy { name })] if name == "bills"), "{busy:?}");
        drop(lease);
        rebuild(&log, &read_models, bills, small()).await;
    });
}

#[test]
fn a_new_version_is_left_to_a_rebuild_and_the_old_build_serves_until_then() {
    struct Newer;
    impl Keyed for Newer {
        type Row = SessionRow;
        const VERSION: u32 = Sessions::VERSION + 1;
        const HANDLES: &'static [&'static str] = Sessions::HANDLES;
        fn keys(moment: &Moment<'_>) -> Result<Vec<(SessionId,)>, ProjectionError> {
            Sessions::keys(moment)
        }
        fn evolve(key: &(SessionId,), row: Option<SessionRow>, moment: &Moment<'_>) -> Result<Option<SessionRow>, ProjectionError> {
            let row = Sessions::evolve(key, row, moment)?;
            Ok(row.map(|row| SessionRow { note: Some("newer".to_owned()), ..row }))
        }
    }
    on_postgres(|database: Database| async move {
        let (mut history, log, read_models) = world(&database, 141, 150).await;
        let all = database.number("SELECT count(*) FROM read.sessions").await;
        let newer = log.run(&read_models, vec![keyed::<Newer>()], RunnerOptions::default());
        while newer.status().await.unwrap()[0].state != State::Outdated {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert_eq!(database.number("SELECT count(*) FROM read.sessions WHERE note IS DISTINCT FROM 'newer'").await, all);
        let jobs = rebuild(&log, &read_models, vec![keyed::<Newer>()], small()).await;
        assert_eq!(jobs[0].phase, Phase::Swapped);
        assert_eq!(database.number("SELECT count(*) FROM read.sessions WHERE note = 'newer'").await, all);
        // The projector of the new version goes on with it; that of the old version with the one that it knows, for the way back.
        history.go_on(50).await;
        newer.wait_for_head(PATIENCE).await.unwrap().unwrap();
        log.catch_up(&read_models, vec![keyed::<Sessions>()]).await;
        assert_eq!(stored(&read_models, &*keyed::<Sessions>()).await, log.folded(&*keyed::<Sessions>()).await);
        // Back to the old version: served as it was left, and nothing replaces it by itself.
        let back = rebuilder(&log, &read_models, small()).roll_back(keyed::<Newer>()).await.unwrap();
        assert_eq!(back.phase, Phase::Swapped);
        assert_eq!(database.number("SELECT count(*) FROM read.sessions WHERE note = 'newer'").await, 0);
        newer.stop().await;
    });
}
