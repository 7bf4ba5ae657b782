//! The projectors on a real PostgreSQL: what is written is what is folded, whatever happens in between.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use domain::ids::{ConnectorId, PileId, SessionId, StationId};
use domain::log::{Position, StreamId};
use domain::session::{MeterReading, SessionEvent, SessionRefs, StopReason};
use domain::testing::{at, id};
use domain::units::ReportedEnergy;
use projections::fold::{Keyed, Moment, Projection, ProjectionError, keyed};
use projections::port::{Batch, Counted, Opened, ReadStore as _, ReadStoreError};
use projections::runner::{Options, State};
use projections::session_errors::SessionErrors;
use projections::sessions::{SessionRow, Sessions};
use projections::wallets::Wallets;
use support::{Database, Log, PATIENCE, on_postgres, stored};

fn refs(number: u128) -> SessionRefs {
    SessionRefs {
        session_id: id::<SessionId>(number),
        station_id: id::<StationId>(10),
        pile_id: id::<PileId>(11),
        connector_id: id::<ConnectorId>(12),
        user_id: None,
    }
}

async fn begin(log: &Log, number: u128) -> Position {
    let meter = MeterReading { register: "10.5".parse::<ReportedEnergy>().unwrap(), read_at: at("2026-03-01T08:00:00Z") };
    let event = SessionEvent::Started { refs: refs(number), meter };
    log.append(StreamId::session(id(number)), event, at("2026-03-01T08:00:01Z")).await
}

async fn end(log: &Log, number: u128) -> Position {
    let event =
        SessionEvent::Stopped { refs: refs(number), reason: StopReason::VehicleFull, meter: None, stopped_at: at("2026-03-01T09:00:00Z") };
    log.append(StreamId::session(id(number)), event, at("2026-03-01T09:00:01Z")).await
}

fn sessions() -> Vec<Arc<dyn Projection>> {
    vec![keyed::<Sessions>()]
}

#[test]
fn what_is_written_is_what_is_folded() {
    on_postgres(|database: Database| async move {
        let (log, read_models) = (Log::default(), database.read_models());
        for number in 0..50 {
            begin(&log, number).await;
        }
        for number in 0..25 {
            end(&log, number).await;
        }
        log.catch_up(&read_models, sessions()).await;
        let projection = keyed::<Sessions>();
        assert_eq!(stored(&read_models, &*projection).await, log.folded(&*projection).await);
        assert_eq!(database.number("SELECT count(*) FROM read.sessions WHERE status = 'stopped'").await, 25);
    });
}

#[test]
fn a_live_projection_follows_and_a_request_can_wait_for_it() {
    on_postgres(|database: Database| async move {
        let (log, read_models) = (Log::default(), database.read_models());
        let runner = log.run(&read_models, sessions(), Options::default());
        for number in 0..20 {
            let position = begin(&log, number).await;
            runner.wait_for(&["sessions"], position, PATIENCE).await.unwrap();
            assert_eq!(database.number("SELECT count(*) FROM read.sessions").await, i64::try_from(number).unwrap() + 1);
        }
        let status = runner.status().await.unwrap().remove(0);
        assert_eq!((status.state, status.lag_events, status.counted.applied), (State::Live, 0, 20));
        runner.stop().await;
    });
}

#[test]
fn the_checkpoint_moves_only_from_where_it_stands() {
    on_postgres(|database: Database| async move {
        let (log, read_models) = (Log::default(), database.read_models());
        begin(&log, 1).await;
        let definition = keyed::<Sessions>().definition();
        let opened = read_models.open(&definition, true).await.unwrap();
        let Opened::Build(build) = opened else { panic!("{opened:?}") };
        let rows = log.folded(&*keyed::<Sessions>()).await;
        let changes = projections::fold::Changes { inserts: rows, ..Default::default() };
        let counted = Counted { applied: 1, ..Counted::default() };
        // Another projector has been here: this batch begins where the build no longer stands.
        let batch = Batch { from: Position(7), to: Position(8), last_event: None, changes, counted };
        let refused = read_models.commit(&definition, &build, &batch).await;
        assert!(matches!(refused, Err(ReadStoreError::Superseded { .. })), "{refused:?}");
        assert_eq!(database.number("SELECT count(*) FROM read.sessions").await, 0, "rows without their checkpoint");
        // And the right one is taken once.
        let batch = Batch { from: Position(0), to: Position(1), ..batch };
        read_models.commit(&definition, &build, &batch).await.unwrap();
        let again = read_models.commit(&definition, &build, &batch).await;
        assert!(matches!(again, Err(ReadStoreError::Superseded { .. })), "{again:?}");
        assert_eq!(database.number("SELECT applied FROM build.registry WHERE name = 'sessions'").await, 1);
    });
}

static FAULTY: AtomicBool = AtomicBool::new(true);

/// Sessions, but for one that it cannot apply while it is faulty.
struct Fussy;

impl Keyed for Fussy {
    type Row = SessionRow;
    const VERSION: u32 = 1;
    const HANDLES: &'static [&'static str] = Sessions::HANDLES;
    fn keys(moment: &Moment<'_>) -> Result<Vec<(SessionId,)>, ProjectionError> {
        Sessions::keys(moment)
    }
    fn evolve(key: &(SessionId,), row: Option<SessionRow>, moment: &Moment<'_>) -> Result<Option<SessionRow>, ProjectionError> {
        assert!(key.0 != id(3) || !FAULTY.load(Ordering::Relaxed), "session 3 is too much");
        Sessions::evolve(key, row, moment)
    }
}

#[test]
fn a_projection_halts_alone_with_the_event_quoted_and_goes_on_when_it_is_told_to() {
    on_postgres(|database: Database| async move {
        let (log, read_models) = (Log::default(), database.read_models());
        for number in 1..=5 {
            begin(&log, number).await;
        }
        let runner = log.run(&read_models, vec![keyed::<Fussy>(), keyed::<SessionErrors>()], Options::default());
        let waited = runner.wait_for(&["sessions"], Position(5), PATIENCE).await;
        assert!(matches!(waited, Err(projections::runner::WaitError::Halted { .. })), "{waited:?}");
        runner.wait_for(&["session_errors"], Position(5), PATIENCE).await.expect("the others go on");
        let status = runner.status().await.unwrap().into_iter().find(|status| status.name == "sessions").unwrap();
        assert_eq!((status.state, status.position, status.lag_events), (State::Halted, Position(2), 3));
        let of_sessions = || async { read_models.builds().await.unwrap().into_iter().find(|build| build.name == "sessions").unwrap() };
        let halt = of_sessions().await.halt.expect("written down");
        assert_eq!((halt.position, halt.event_type.as_str()), (Position(3), "session.started"));
        assert!(halt.error.contains("session 3 is too much"), "{}", halt.error);
        assert!(halt.event.to_string().contains("\"register\":\"10.5\""), "{}", halt.event);
        FAULTY.store(false, Ordering::Relaxed);
        assert!(runner.resume("sessions"));
        while of_sessions().await.position < Position(5) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert_eq!(of_sessions().await.halt, None);
        let applied = database.number("SELECT applied FROM build.registry WHERE name = 'sessions'").await;
        assert_eq!(applied, 5, "none twice, none left out");
        runner.stop().await;
    });
}

#[test]
fn an_event_of_a_newer_release_stops_those_who_handle_it_and_nobody_else() {
    on_postgres(|database: Database| async move {
        let (log, read_models) = (Log::default(), database.read_models());
        begin(&log, 1).await;
        let unknown = log.raw("session.started", 9, at("2026-03-01T08:10:00Z"));
        log.append_raw(StreamId::session(id(1)), unknown).await;
        end(&log, 1).await;
        let runner = log.run(&read_models, vec![keyed::<Sessions>(), keyed::<Wallets>()], Options::default());
        runner.wait_for(&["wallets"], Position(3), PATIENCE).await.expect("it is not theirs");
        runner.wait_for(&["sessions"], Position(3), PATIENCE).await.expect_err("halted");
        let builds = read_models.builds().await.unwrap();
        let halted: Vec<_> = builds.iter().filter_map(|build| build.halt.as_ref()).collect();
        assert_eq!(halted.len(), 1);
        assert!(halted[0].position == Position(2) && halted[0].error.contains("newer release"), "{halted:?}");
        runner.stop().await;
    });
}

#[test]
fn cut_connections_are_waited_out_and_nothing_is_lost() {
    on_postgres(|database: Database| async move {
        let (log, read_models) = (Log::default(), database.read_models());
        read_models.prepare().await.unwrap();
        let runner = log.run(&read_models, vec![keyed::<Sessions>(), keyed::<SessionErrors>()], Options::default());
        for number in 0..60 {
            begin(&log, number).await;
            if number % 10 == 5 {
                database.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()").await;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        runner.wait_for_head(PATIENCE).await.unwrap().unwrap();
        runner.stop().await;
        let projection = keyed::<Sessions>();
        assert_eq!(stored(&read_models, &*projection).await, log.folded(&*projection).await);
        assert_eq!(database.number("SELECT applied FROM build.registry WHERE name = 'sessions'").await, 60);
    });
}

#[test]
fn a_server_that_is_down_is_waited_for() {
    on_postgres(|_| async move {
        let log = Log::default();
        begin(&log, 1).await;
        let nowhere =
            Arc::new(read_models::ReadModels::new("postgres://nobody@127.0.0.1:1/none", read_models::Settings::default()).unwrap());
        let runner = log.run(&nowhere, sessions(), Options::default());
        runner.wait_for(&["sessions"], Position(1), std::time::Duration::from_millis(300)).await.expect_err("not there");
        let status = runner.status().await.unwrap().remove(0);
        assert!(status.state == State::Waiting && status.error.is_some(), "{status:?}");
        runner.stop().await;
    });
}

#[test]
fn a_dropped_database_comes_back_from_the_log() {
    on_postgres(|database: Database| async move {
        let (log, read_models) = (Log::default(), database.read_models());
        let runner = log.run(&read_models, sessions(), Options::default());
        let position = begin(&log, 1).await;
        runner.wait_for(&["sessions"], position, PATIENCE).await.unwrap();
        database.drop_it().await;
        begin(&log, 2).await;
        let there = async {
            loop {
                let builds = read_models.builds().await;
                if builds.is_ok_and(|builds| builds.iter().any(|build| build.position == Position(2))) {
                    break;
                }
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, there).await.expect("it comes back by itself");
        assert_eq!(database.number("SELECT count(*) FROM read.sessions").await, 2);
        runner.stop().await;
    });
}

#[test]
fn a_view_of_another_ledger_is_not_written_on() {
    on_postgres(|database: Database| async move {
        let (ours, theirs, read_models) = (Log::default(), Log::default(), database.read_models());
        begin(&ours, 1).await;
        begin(&theirs, 1).await;
        begin(&theirs, 2).await;
        ours.catch_up(&read_models, sessions()).await;
        let runner = theirs.run(&read_models, sessions(), Options::default());
        runner.wait_for(&["sessions"], Position(2), PATIENCE).await.expect_err("halted");
        let status = runner.status().await.unwrap().remove(0);
        assert!(status.error.unwrap().contains("another"), "says why");
        runner.stop().await;
        assert_eq!(database.number("SELECT count(*) FROM read.sessions").await, 1);
        let noted = "SELECT count(*) FROM build.registry WHERE halt IS NOT NULL";
        assert_eq!(database.number(noted).await, 1, "whoever asks from another process hears of it");
        ours.catch_up(&read_models, sessions()).await;
        assert_eq!(database.number(noted).await, 0, "with its own ledger it goes on");
    });
}
