//! Whatever happens, and wherever a projector is stopped: the rows in the database are the rows that the same fold makes in memory.

mod support;

use std::time::Duration;

use projections::runner::{Options, Runner, State};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use support::history::History;
use support::{Database, Log, PATIENCE, on_postgres, stored};
use tokio::runtime::{Builder, Runtime};

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

/// These, or those that are asked for.
fn seeds(usual: &[u64]) -> Vec<u64> {
    let asked = std::env::var("CHARGELEDGER_TEST_SEEDS").ok();
    asked.map_or_else(|| usual.to_vec(), |text| text.split(',').map(|seed| seed.parse().unwrap()).collect())
}

#[test]
fn after_a_random_history_with_restarts_live_equals_folded_in_memory() {
    for seed in seeds(&[1, 2, 3]) {
        follow(seed, 6, 250);
    }
}

/// A process: a runner in a runtime of its own. Killing it ends every task wherever it waits, and all connections with it; nothing is given up in order.
struct Process {
    runtime: Runtime,
    runner: Runner,
}

impl Process {
    fn start(database: &Database, log: &Log, options: Options) -> Process {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let runner = {
            let _inside = runtime.enter();
            log.run(&database.read_models(), projections::all(), options)
        };
        Process { runtime, runner }
    }

    fn kill(self) {
        self.runtime.shutdown_background();
        drop(self.runner);
    }
}

/// Follows a random history with processes that come, are killed, and lose their connections.
fn follow_with_processes(seed: u64) {
    on_postgres(|database: Database| async move {
        let mut random = ChaCha8Rng::seed_from_u64(seed ^ 0x1ead);
        let mut history = History::new(seed).await;
        let log = history.log().clone();
        let mut processes: Vec<Process> = Vec::new();
        database.read_models().prepare().await.unwrap();
        for _ in 0..12 {
            let options =
                Options { page_events: random.random_range(1..50), batch_events_max: random.random_range(1..100), ..Options::default() };
            match random.random_range(0..4) {
                0 if !processes.is_empty() => processes.swap_remove(random.random_range(0..processes.len())).kill(),
                1 if !processes.is_empty() => database.sql(CUT).await,
                _ if processes.len() < 3 => processes.push(Process::start(&database, &log, options)),
                _ => {}
            }
            history.go_on(120).await;
        }
        if processes.is_empty() {
            processes.push(Process::start(&database, &log, Options::default()));
        }
        for process in &processes {
            process.runner.wait_for_head(PATIENCE).await.unwrap().unwrap_or_else(|error| panic!("{error}, seed {seed}"));
        }
        processes.into_iter().for_each(Process::kill);
        live_equals_folded(&database, &log, seed).await;
        let head = domain::log::EventStore::head(&*log.store).await.unwrap();
        let accounted = "SELECT count(*) FROM build.registry WHERE applied + ignored + quarantined <> ";
        assert_eq!(database.number(&format!("{accounted}{}", head.events)).await, 0, "every event once, seed {seed}");
    });
}

/// Every connection but this one.
const CUT: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";

#[test]
fn after_a_random_history_with_processes_that_come_and_are_killed_live_equals_folded_in_memory() {
    for seed in seeds(&[21, 22]) {
        follow_with_processes(seed);
    }
}

#[test]
fn two_processes_that_project_the_same_apply_nothing_twice() {
    on_postgres(|database: Database| async move {
        let mut history = History::new(11).await;
        let log = history.log().clone();
        let small = Options { page_events: 7, batch_events_max: 20, ..Options::default() };
        let (one, other) = (database.read_models(), database.read_models());
        let runners = [log.run(&one, projections::all(), small.clone()), log.run(&other, projections::all(), small)];
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
