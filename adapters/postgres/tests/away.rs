//! A database that does not answer: who asks hears so at once after a while, one at a time tries, and everything goes on as soon as it is back.

mod support;

use std::time::{Duration, Instant};

use domain::ids::OperatorId;
use domain::testing::id;
use projections::port::{ReadStore as _, ReadStoreError};
use projections::query::{Query, QueryError, ReadQueries as _};
use read_models::{ReadModels, Settings};
use support::way::{Way, way_to};
use support::{Database, PATIENCE, on_postgres};
use tokio::sync::watch;

/// The database at the end of a way that is open yet. A question is given up on after a second and a half.
async fn through_a_way(database: &Database) -> (ReadModels, watch::Sender<Way>) {
    let (url, way) = way_to(&database.url()).await;
    let settings = Settings { query_timeout: Duration::from_millis(500), query_connections_max: 2, ..Settings::default() };
    (ReadModels::new(&url, settings).unwrap(), way)
}

const PATIENCE_OF_ONE: Duration = Duration::from_millis(1_500);
/// Nobody waits for anything so long in whom nothing is asked.
const AT_ONCE: Duration = Duration::from_millis(400);

async fn asked(read_models: &ReadModels) -> Result<(), QueryError> {
    read_models.page(&Query::of("bills", id::<OperatorId>(1))).await.map(drop)
}

/// Asks until somebody is turned away at once, and says with which words.
async fn until_turned_away(read_models: &ReadModels) -> String {
    let began = Instant::now();
    let mut in_a_row = 0;
    loop {
        assert!(began.elapsed() < PATIENCE, "nobody was turned away");
        let asking = Instant::now();
        let told = asked(read_models).await;
        let Err(QueryError::Store(ReadStoreError::Unavailable { reason })) = told else { panic!("{told:?}") };
        in_a_row = if asking.elapsed() < AT_ONCE { in_a_row + 1 } else { 0 };
        if in_a_row == 20 {
            return reason;
        }
    }
}

async fn until_answered(read_models: &ReadModels) {
    let began = Instant::now();
    while asked(read_models).await.is_err() {
        assert!(began.elapsed() < PATIENCE, "it is back, and nobody is let in");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The views, so that there is something to ask.
async fn made(database: &Database) {
    let read_models = database.read_models();
    for projection in projections::all() {
        read_models.open(&projection.definition(), true).await.unwrap();
    }
}

#[test]
fn whoever_asks_a_silent_database_is_turned_away_at_once_until_it_answers_again() {
    on_postgres(|database| async move {
        made(&database).await;
        let (read_models, way) = through_a_way(&database).await;
        asked(&read_models).await.unwrap();
        way.send_replace(Way::Silent);
        let asking = Instant::now();
        assert!(asked(&read_models).await.is_err());
        assert!(asking.elapsed() >= PATIENCE_OF_ONE - Duration::from_millis(100), "the first one waits: {:?}", asking.elapsed());
        let reason = until_turned_away(&read_models).await;
        assert!(reason.contains("it has not answered for 1.5 s") || reason.contains("timed out") || reason.contains("imeout"), "{reason}");
        way.send_replace(Way::Open);
        until_answered(&read_models).await;
    });
}

#[test]
fn one_at_a_time_tries_whether_the_database_is_back() {
    on_postgres(|database| async move {
        made(&database).await;
        let (read_models, way) = through_a_way(&database).await;
        asked(&read_models).await.unwrap();
        way.send_replace(Way::Silent);
        until_turned_away(&read_models).await;
        // Ten at once, for as long as some of them try: of each ten, one waits at most.
        for _ in 0..5 {
            let ten = futures::future::join_all((0..10).map(|_| async {
                let asking = Instant::now();
                assert!(asked(&read_models).await.is_err());
                asking.elapsed() >= AT_ONCE
            }));
            let waited = ten.await.into_iter().filter(|waited| *waited).count();
            assert!(waited <= 1, "{waited} waited");
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    });
}

#[test]
fn those_who_lead_are_not_turned_away_and_let_everybody_in_when_they_get_an_answer() {
    on_postgres(|database| async move {
        made(&database).await;
        let (read_models, way) = through_a_way(&database).await;
        let mut leadership = read_models.leadership();
        way.send_replace(Way::Cut);
        assert!(leadership.lead(&[("bills", 1)]).await.is_err());
        // The pause between two trials has grown to seconds.
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(4) {
            assert!(asked(&read_models).await.is_err());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        way.send_replace(Way::Open);
        let refused = asked(&read_models).await;
        assert!(leadership.lead(&[("bills", 1)]).await.is_ok());
        assert_eq!(asked(&read_models).await, Ok(()), "before: {refused:?}");
    });
}

#[test]
fn a_refusal_is_an_answer() {
    on_postgres(|database| async move {
        let read_models = database.read_models();
        read_models.prepare().await.unwrap();
        // There are no views yet: the server says so each time.
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(1) {
            let told = asked(&read_models).await;
            assert!(matches!(told, Err(QueryError::Store(ReadStoreError::Missing { .. }))), "{told:?}");
        }
    });
}
