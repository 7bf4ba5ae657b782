//! Several processes, one database: one of them leads each projection, another takes over when it is gone, and nothing is applied twice. Here a process is a
//! runner with connections of its own; ops/tests has real ones, and kills them.

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::ids::{ConnectorId, PileId, SessionId, StationId};
use domain::log::{Position, StreamId};
use domain::session::{MeterReading, SessionEvent, SessionRefs};
use domain::testing::{at, id};
use domain::units::ReportedEnergy;
use projections::fold::{Keyed, Moment, Projection, ProjectionError, keyed};
use projections::port::{Build, BuildState, Opened, ReadStore, ReadStoreError};
use projections::rebuild::port::BuildStore as _;
use projections::runner::{Options, Runner, State, Status};
use projections::session_errors::SessionErrors;
use projections::sessions::{SessionRow, Sessions};
use read_models::ReadModels;
use support::tampered::{Tampered, TamperedStore};
use support::{Database, Log, PATIENCE, on_postgres, stored};

async fn begin(log: &Log, number: u128) -> Position {
    let refs = SessionRefs {
        session_id: id(number),
        station_id: id::<StationId>(10),
        pile_id: id::<PileId>(11),
        connector_id: id::<ConnectorId>(12),
        user_id: None,
    };
    let meter = MeterReading { register: "10.5".parse::<ReportedEnergy>().unwrap(), read_at: at("2026-03-01T08:00:00Z") };
    log.append(StreamId::session(id(number)), SessionEvent::Started { refs, meter }, at("2026-03-01T08:00:01Z")).await
}

fn sessions() -> Vec<Arc<dyn Projection>> {
    vec![keyed::<Sessions>()]
}

/// The status of the sessions, once it is so.
async fn until(runner: &Runner, is_so: impl Fn(&Status) -> bool) -> Status {
    let so = async {
        loop {
            let status = runner.status().await.unwrap().into_iter().find(|status| status.name == "sessions").unwrap();
            if is_so(&status) {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, so).await.expect("it comes to be so")
}

async fn serving(read_models: &ReadModels) -> Build {
    let builds = read_models.builds().await.unwrap();
    builds.into_iter().find(|build| build.name == "sessions" && build.state == BuildState::Serving).unwrap()
}

async fn all_is_there_once(database: &Database, log: &Log, events: u64) {
    let read_models = database.read_models();
    let projection = keyed::<Sessions>();
    assert_eq!(stored(&read_models, &*projection).await, log.folded(&*projection).await);
    assert_eq!(serving(&read_models).await.counted.applied, events, "none twice, none left out");
}

#[test]
fn one_process_leads_the_other_stands_by_and_a_request_can_wait_at_either() {
    on_postgres(|database: Database| async move {
        let log = Log::default();
        let leader = log.run(&database.read_models(), sessions(), Options::default());
        begin(&log, 1).await;
        leader.wait_for_head(PATIENCE).await.unwrap().unwrap();
        let other = log.run(&database.read_models(), sessions(), Options::default());
        let status = until(&other, |status| status.state == State::Standby && status.position == Position(1)).await;
        assert_eq!((status.build, status.lag_events, status.counted.applied), (1, 0, 1));
        for number in 2..10 {
            let position = begin(&log, number).await;
            other.wait_for(&["sessions"], position, PATIENCE).await.unwrap();
            assert_eq!(database.number("SELECT count(*) FROM read.sessions").await, i64::try_from(number).unwrap());
        }
        assert_eq!(until(&other, |_| true).await.state, State::Standby);
        assert_eq!(until(&leader, |_| true).await.state, State::Live);
        leader.stop().await;
        other.stop().await;
        all_is_there_once(&database, &log, 9).await;
    });
}

#[test]
fn when_the_leader_is_gone_another_goes_on_within_five_seconds() {
    on_postgres(|database: Database| async move {
        let log = Log::default();
        let leader = log.run(&database.read_models(), sessions(), Options::default());
        begin(&log, 1).await;
        leader.wait_for_head(PATIENCE).await.unwrap().unwrap();
        let other = log.run(&database.read_models(), sessions(), Options::default());
        until(&other, |status| status.state == State::Standby).await;
        let gone = Instant::now();
        drop(leader);
        let position = begin(&log, 2).await;
        other.wait_for(&["sessions"], position, PATIENCE).await.unwrap();
        assert!(gone.elapsed() < Duration::from_secs(5), "{:?}", gone.elapsed());
        until(&other, |status| status.state == State::Live).await;
        other.stop().await;
        all_is_there_once(&database, &log, 2).await;
    });
}

#[test]
fn a_leader_that_stops_in_order_is_followed_at_once_although_its_process_lives_on() {
    on_postgres(|database: Database| async move {
        let (log, read_models) = (Log::default(), database.read_models());
        let leader = log.run(&read_models, sessions(), Options::default());
        let position = begin(&log, 1).await;
        leader.wait_for(&["sessions"], position, PATIENCE).await.unwrap();
        leader.stop().await;
        let other = log.run(&database.read_models(), sessions(), Options::default());
        until(&other, |status| status.state == State::Live).await;
        other.stop().await;
        drop(read_models);
    });
}

#[test]
fn whoever_leads_after_the_connections_that_lead_were_cut_nothing_is_applied_twice() {
    on_postgres(|database: Database| async move {
        let log = Log::default();
        let one = log.run(&database.read_models(), sessions(), Options::default());
        let other = log.run(&database.read_models(), sessions(), Options::default());
        let mut number = 0;
        for _ in 0..3 {
            for _ in 0..20 {
                number += 1;
                begin(&log, number).await;
            }
            one.wait_for_head(PATIENCE).await.unwrap().unwrap();
            database.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'chargeledger leader' AND datname = current_database()").await;
        }
        let position = begin(&log, 61).await;
        one.wait_for(&["sessions"], position, PATIENCE).await.unwrap();
        other.wait_for(&["sessions"], position, PATIENCE).await.unwrap();
        one.stop().await;
        other.stop().await;
        all_is_there_once(&database, &log, 61).await;
    });
}

#[test]
fn two_that_both_believe_to_lead_apply_nothing_twice() {
    on_postgres(|database: Database| async move {
        let log = Log::default();
        let both = [(), ()].map(|()| {
            let tampered = Tampered { is_led_by_everybody: true, ..Tampered::default() };
            let store: Arc<dyn ReadStore> = Arc::new(TamperedStore(database.read_models(), tampered));
            let options = Options { batch_events_max: 3, ..Options::default() };
            Runner::start(log.store.clone(), &store, sessions(), options)
        });
        for number in 0..200 {
            begin(&log, number).await;
        }
        for runner in both {
            runner.wait_for(&["sessions"], Position(200), PATIENCE).await.unwrap();
            runner.stop().await;
        }
        all_is_there_once(&database, &log, 200).await;
    });
}

/// Copies the build that serves, as a rebuild would make another one.
const COPY: &str = "CREATE TABLE build.sessions__b2 (LIKE build.sessions__b1 INCLUDING ALL);
    INSERT INTO build.sessions__b2 SELECT * FROM build.sessions__b1;
    INSERT INTO build.registry (name, number, version, shape, state, position, last_event, applied, ignored, quarantined)
        SELECT name, 2, version, shape, 'filling', position, last_event, applied, ignored, quarantined FROM build.registry WHERE name = 'sessions'";

async fn swap(database: &Database) {
    let read_models = database.read_models();
    let build = read_models.builds().await.unwrap().into_iter().find(|build| build.number == 2).unwrap();
    let definition = keyed::<Sessions>().definition();
    read_models.hold(&definition).await.unwrap().swap(&definition, &build, false).await.unwrap();
}

#[test]
fn a_build_that_was_swapped_out_is_written_on_no_more_and_the_new_one_at_once() {
    on_postgres(|database: Database| async move {
        let log = Log::default();
        let runner = log.run(&database.read_models(), sessions(), Options::default());
        begin(&log, 1).await;
        runner.wait_for_head(PATIENCE).await.unwrap().unwrap();
        database.sql(COPY).await;
        swap(&database).await;
        let position = begin(&log, 2).await;
        runner.wait_for(&["sessions"], position, PATIENCE).await.unwrap();
        assert_eq!(database.number("SELECT count(*) FROM read.sessions").await, 2, "readers see the new one");
        assert_eq!(database.number("SELECT count(*) FROM build.sessions__b1").await, 1, "the old one stays as it was");
        assert_eq!(until(&runner, |_| true).await.build, 2);
        runner.stop().await;
    });
}

#[test]
fn a_quiet_projector_notices_a_swap_by_itself() {
    on_postgres(|database: Database| async move {
        let log = Log::default();
        let runner = log.run(&database.read_models(), sessions(), Options::default());
        begin(&log, 1).await;
        runner.wait_for_head(PATIENCE).await.unwrap().unwrap();
        database.sql(COPY).await;
        swap(&database).await;
        until(&runner, |status| status.build == 2 && status.state == State::Live).await;
        runner.stop().await;
    });
}

#[test]
fn a_batch_for_a_build_that_is_not_what_it_was_is_refused() {
    on_postgres(|database: Database| async move {
        let (log, read_models) = (Log::default(), database.read_models());
        begin(&log, 1).await;
        let definition = keyed::<Sessions>().definition();
        let Opened::Build(build) = read_models.open(&definition, true).await.unwrap() else { panic!("the first build serves at once") };
        let batch = projections::port::Batch {
            from: Position(0),
            to: Position(1),
            last_event: None,
            changes: projections::fold::Changes::default(),
            counted: projections::port::Counted::default(),
        };
        let mistaken = Build { state: BuildState::Filling, ..build.clone() };
        let refused = read_models.commit(&definition, &mistaken, &batch).await;
        assert!(matches!(refused, Err(ReadStoreError::Superseded { .. })), "{refused:?}");
        read_models.commit(&definition, &build, &batch).await.unwrap();
    });
}

static IS_FAULTY: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(true);

/// Sessions, with a fault in the fold that shows at session 3 and is mended later.
struct Mended;

impl Keyed for Mended {
    type Row = SessionRow;
    const VERSION: u32 = 1;
    const HANDLES: &'static [&'static str] = Sessions::HANDLES;
    fn keys(moment: &Moment<'_>) -> Result<Vec<(SessionId,)>, ProjectionError> {
        Sessions::keys(moment)
    }
    fn evolve(key: &(SessionId,), row: Option<SessionRow>, moment: &Moment<'_>) -> Result<Option<SessionRow>, ProjectionError> {
        assert!(key.0 != id(3) || !IS_FAULTY.load(std::sync::atomic::Ordering::SeqCst), "session 3 is too much");
        Sessions::evolve(key, row, moment)
    }
}

#[test]
fn a_halt_that_is_lifted_in_the_registry_is_noticed_by_whoever_leads_and_shown_by_whoever_stands_by() {
    on_postgres(|database: Database| async move {
        let log = Log::default();
        let leader = log.run(&database.read_models(), vec![keyed::<Mended>()], Options::default());
        for number in 1..=4 {
            begin(&log, number).await;
        }
        until(&leader, |status| status.state == State::Halted).await;
        let other = log.run(&database.read_models(), vec![keyed::<Mended>()], Options::default());
        until(&other, |status| status.state == State::Standby && status.halt.is_some()).await;
        other.wait_for(&["sessions"], Position(4), PATIENCE).await.expect_err("it will not come");
        IS_FAULTY.store(false, std::sync::atomic::Ordering::SeqCst);
        // As `chargeledger projection resume` does, in a process of its own.
        let outside = database.read_models();
        outside.note_halt(&serving(&outside).await, None).await.unwrap();
        until(&leader, |status| status.position == Position(4) && status.halt.is_none()).await;
        until(&other, |status| status.position == Position(4) && status.halt.is_none()).await;
        leader.stop().await;
        other.stop().await;
        all_is_there_once(&database, &log, 4).await;
    });
}

#[test]
fn a_projection_that_hangs_is_started_again_from_its_checkpoint_and_one_that_waits_for_people_is_not() {
    struct Broken;
    impl Keyed for Broken {
        type Row = <SessionErrors as Keyed>::Row;
        const VERSION: u32 = 1;
        const HANDLES: &'static [&'static str] = Sessions::HANDLES;
        fn keys(moment: &Moment<'_>) -> Result<Vec<<Self::Row as projections::table::Row>::Key>, ProjectionError> {
            panic!("nothing can be applied: {}", moment.event_type)
        }
        fn evolve(
            _: &<Self::Row as projections::table::Row>::Key,
            row: Option<Self::Row>,
            _: &Moment<'_>,
        ) -> Result<Option<Self::Row>, ProjectionError> {
            Ok(row)
        }
    }
    on_postgres(|database: Database| async move {
        let log = Log::default();
        for number in 1..=3 {
            begin(&log, number).await;
        }
        let tampered = Tampered { hangs: true.into(), ..Tampered::default() };
        let store: Arc<dyn ReadStore> = Arc::new(TamperedStore(database.read_models(), tampered));
        let options = Options { stuck_after: Duration::from_secs(2), ..Options::default() };
        let runner = Runner::start(log.store.clone(), &store, vec![keyed::<Sessions>(), keyed::<Broken>()], options);
        let began = Instant::now();
        runner.wait_for(&["sessions"], Position(3), PATIENCE).await.expect("started again");
        assert!(began.elapsed() >= Duration::from_secs(2), "not before its time");
        let status = runner.status().await.unwrap();
        let of = |name: &str| status.iter().find(|status| status.name == name).unwrap();
        assert!(of("sessions").restarts >= 1, "{status:?}");
        assert_eq!((of("session_errors").state, of("session_errors").restarts), (State::Halted, 0));
        runner.stop().await;
        all_is_there_once(&database, &log, 3).await;
    });
}
