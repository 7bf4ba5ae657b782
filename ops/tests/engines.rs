//! How a process says what its engines are like: the room on the log's disk, the engines that do not answer, and which of its roles is ready.

mod database;
mod serving;

use std::time::{Duration, Instant};

use serving::{Ledger, PATIENCE, Serving};

/// The number of a metric, once it is there.
async fn measured(serving: &Serving, metric: &str) -> f64 {
    let began = Instant::now();
    loop {
        let text = serving.get("/metrics").await.unwrap_or_default();
        if let Some(number) = text.lines().find_map(|line| line.strip_prefix(metric)?.trim().parse().ok()) {
            return number;
        }
        assert!(began.elapsed() < PATIENCE, "{metric} in {text}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_process_on_the_embedded_store_says_what_room_its_disk_has() {
    let Some(ledger) = Ledger::new() else { return };
    for serving in [ledger.serve("api,processes"), ledger.serve("projector")] {
        assert!(measured(&serving, "chargeledger_store_free_bytes ").await > 0.0);
    }
}
