//! An event that a projection cannot apply: stepped over only by a decision, then by every build, and always counted.

mod support;

use std::sync::Arc;

use domain::ids::{ConnectorId, EventId, PileId, SessionId, StationId};
use domain::log::{EventStore as _, Filter, NewEvent, Position, StreamId};
use domain::projection::ProjectionEvent;
use domain::session::{MeterReading, SessionEvent, SessionRefs};
use domain::testing::{at, id};
use domain::units::ReportedEnergy;
use projections::fold::{Keyed, Moment, Projection, ProjectionError, keyed};
use projections::port::{Build, Counted, ReadStore as _};
use projections::runner::{Options, State};
use projections::sessions::{SessionRow, Sessions};
use projections::value::Value;
use read_models::ReadModels;
use support::{Database, Log, PATIENCE, on_postgres, stored};

/// Sessions, with a fault in the fold that shows at session 3.
struct Faulty;

impl Keyed for Faulty {
    type Row = SessionRow;
    const VERSION: u32 = 1;
    const HANDLES: &'static [&'static str] = Sessions::HANDLES;
    fn keys(moment: &Moment<'_>) -> Result<Vec<(SessionId,)>, ProjectionError> {
        Sessions::keys(moment)
    }
    fn evolve(key: &(SessionId,), row: Option<SessionRow>, moment: &Moment<'_>) -> Result<Option<SessionRow>, ProjectionError> {
        assert!(key.0 != id(3), "session 3 is too much");
        Sessions::evolve(key, row, moment)
    }
}

fn started(number: u128) -> SessionEvent {
    let refs = SessionRefs {
        session_id: id(number),
        station_id: id::<StationId>(10),
        pile_id: id::<PileId>(11),
        connector_id: id::<ConnectorId>(12),
        user_id: None,
    };
    let meter = MeterReading { register: "10.5".parse::<ReportedEnergy>().unwrap(), read_at: at("2026-03-01T08:00:00Z") };
    SessionEvent::Started { refs, meter }
}

async fn begin(log: &Log, number: u128) -> Position {
    log.append(StreamId::session(id(number)), started(number), at("2026-03-01T08:00:01Z")).await
}

async fn event_at(log: &Log, position: Position) -> EventId {
    log.store.read_all(Position(position.0 - 1), &Filter::All, 1).await.unwrap().events[0].metadata.event_id
}

async fn quarantine(log: &Log, projection: &str, position: Position, event_id: EventId) -> Position {
    let decided = ProjectionEvent::EventQuarantined {
        projection: projection.to_owned(),
        position,
        event_id,
        event_type: "session.started".to_owned(),
        reason: "told by hand".to_owned(),
    };
    log.append(StreamId::projection(projection), decided, at("2026-03-01T10:00:00Z")).await
}

async fn of_sessions(read_models: &ReadModels) -> Build {
    read_models.builds().await.unwrap().into_iter().find(|build| build.name == "sessions").unwrap()
}

fn faulty() -> Vec<Arc<dyn Projection>> {
    vec![keyed::<Faulty>()]
}

fn keys(rows: &[Vec<Value>]) -> Vec<Value> {
    rows.iter().map(|row| row[0].clone()).collect()
}

fn sessions(numbers: &[u128]) -> Vec<Value> {
    numbers.iter().map(|number| Value::Uuid(id::<SessionId>(*number).0)).collect()
}

#[test]
fn an_event_is_stepped_over_once_it_is_decided_and_counted_in_every_build() {
    on_postgres(|database: Database| async move {
        let (log, read_models) = (Log::default(), database.read_models());
        for number in 1..=5 {
            begin(&log, number).await;
        }
        let runner = log.run(&read_models, faulty(), Options::default());
        runner.wait_for(&["sessions"], Position(5), PATIENCE).await.expect_err("it halts, and skips nothing");
        assert_eq!(runner.status().await.unwrap()[0].state, State::Halted);
        let decided = quarantine(&log, "sessions", Position(3), event_at(&log, Position(3)).await).await;
        assert_eq!(of_sessions(&read_models).await.position, Position(2), "a decision alone moves nothing");
        runner.resume("sessions");
        while of_sessions(&read_models).await.position < decided {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        let build = of_sessions(&read_models).await;
        assert_eq!((build.counted, build.halt), (Counted { applied: 4, ignored: 1, quarantined: 1 }, None));
        assert_eq!(build.counted.total(), 6, "all events of the ledger");
        runner.stop().await;
        assert_eq!(keys(&stored(&read_models, &*keyed::<Faulty>()).await), sessions(&[1, 2, 4, 5]));

        // Everything is lost and folded again: the same event is stepped over without anybody being asked, and without a halt.
        database.sql("DROP SCHEMA build, read CASCADE").await;
        let again = database.read_models();
        log.catch_up(&again, faulty()).await;
        assert_eq!(of_sessions(&again).await.counted, Counted { applied: 4, ignored: 1, quarantined: 1 });
        assert_eq!(stored(&again, &*keyed::<Faulty>()).await, log.folded(&*keyed::<Faulty>()).await);
    });
}

#[test]
fn a_decision_for_another_projection_helps_nobody() {
    on_postgres(|database: Database| async move {
        let (log, read_models) = (Log::default(), database.read_models());
        for number in 1..=3 {
            begin(&log, number).await;
        }
        quarantine(&log, "session_errors", Position(3), event_at(&log, Position(3)).await).await;
        quarantine(&log, "sessions", Position(2), event_at(&log, Position(2)).await).await;
        let runner = log.run(&read_models, faulty(), Options::default());
        runner.wait_for(&["sessions"], Position(3), PATIENCE).await.expect_err("halted");
        let build = of_sessions(&read_models).await;
        assert_eq!(build.halt.expect("noted").position, Position(3));
        assert_eq!(build.counted, Counted { applied: 1, ignored: 0, quarantined: 1 }, "what was decided for it is stepped over");
        runner.stop().await;
    });
}

#[test]
fn a_decision_that_comes_while_a_projector_runs_holds_when_it_reaches_the_event() {
    on_postgres(|database: Database| async move {
        let (log, read_models) = (Log::default(), database.read_models());
        begin(&log, 1).await;
        let runner = log.run(&read_models, faulty(), Options::default());
        runner.wait_for_head(PATIENCE).await.unwrap().unwrap();
        // Another process met the event and had it decided before this one came to it.
        let metadata = log.raw("session.started", 1, at("2026-03-01T08:00:01Z")).metadata;
        quarantine(&log, "sessions", Position(3), metadata.event_id).await;
        log.append_raw(StreamId::session(id(3)), NewEvent::encode(&started(3).into(), metadata)).await;
        let decided = begin(&log, 4).await;
        runner.wait_for(&["sessions"], decided, PATIENCE).await.expect("it does not halt");
        assert_eq!(runner.status().await.unwrap()[0].counted.quarantined, 1);
        runner.stop().await;
    });
}
