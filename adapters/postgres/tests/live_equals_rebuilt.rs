//! Whatever happens, and wherever a projector is stopped: the rows in the database are the rows that the same fold makes in memory.

mod support;

use std::time::Duration;

use projections::runner::{Options, State};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use support::history::History;
use support::{Database, Log, PATIENCE, on_postgres, stored};

async fn live_equals_folded(database: &Database, log: &Log, seed: u64) {
    let read_models = database.read_models();
    for projection in projections::all() {
        let name = projection.definition().name;
        let (live, folded) = (stored(&read_models, &*projection).await, log.folded(&*projection).await);
        assert_eq!(live.len(), folded.len(), "{name}, seed {seed}: rows");
        for (live, folded) in live.iter().zip(&folded) {
            assert_eq!(live, folded, "{name}, seed {seed}");
        }
    }
}

/// Follows a random history with small batches, stopping and starting at random; each event is applied once.
fn follow(seed: u64, rounds: usize, steps: usize) {
    on_postgres(|database: Database| async move {
        let mut random = ChaCha8Rng::seed_from_u64(seed ^ 0x5eed);
        let mut history = History::new(seed).await;
        let log = history.log().clone();
        for _ in 0..rounds {
            let options =
                Options { page_events: random.random_range(1..50), batch_events_max: random.random_range(1..200), ..Options::default() };
            let read_models = database.read_models();
            let runner = log.run(&read_models, projections::all(), options);
            history.go_on(steps).await;
            tokio::time::sleep(Duration::from_millis(random.random_range(0..150))).await;
            let halted: Vec<_> = runner
                .status()
                .await
                .unwrap()
                .into_iter()
                .filter(|status| status.state == State::Halted)
                .map(|status| status.halt)
                .collect();
            assert_eq!(halted, vec![], "seed {seed}");
            runner.stop().await;
        }
        log.catch_up(&database.read_models(), projections::all()).await;
        live_equals_folded(&database, &log, seed).await;
        let head = domain::log::EventStore::head(&*log.store).await.unwrap();
        let accounted = "SELECT count(*) FROM build.registry WHERE applied + ignored + quarantined <> ";
        assert_eq!(database.number(&format!("{accounted}{}", head.events)).await, 0, "every event is accounted for, seed {seed}");
    });
}

#[test]
fn after_a_random_history_with_restarts_live_equals_folded_in_memory() {
    let seeds = std::env::var("CHARGELEDGER_TEST_SEEDS").ok();
    let seeds: Vec<u64> = seeds.map_or_else(|| vec![1, 2, 3], |text| text.split(',').map(|seed| seed.parse().unwrap()).collect());
    for seed in seeds {
        follow(seed, 6, 250);
    }
}

#[test]
fn two_processes_that_project_the_same_apply_nothing_twice() {
    on_postgres(|database: Database| async move {
        let mut history = History::new(11).await;
        let log = history.log().clone();
        let small = Options { page_events: 7, batch_events_max: 20, ..Options::default() };
        let (one, other) = (database.read_models(), database.read_models());
        let runners = [log.run(&one, projections::all(), small), log.run(&other, projections::all(), small)];
        history.go_on(400).await;
        for runner in &runners {
            runner.wait_for_head(PATIENCE).await.unwrap().unwrap();
        }
        for runner in runners {
            runner.stop().await;
        }
        live_equals_folded(&database, &log, 11).await;
    });
}
