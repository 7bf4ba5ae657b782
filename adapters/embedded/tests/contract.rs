//! The embedded store keeps the port's contract.

use std::sync::Arc;

use domain::testing::event_store::{contract, recorded_at_never_runs_backwards_along_the_log};
use embedded::EmbeddedStore;
use tempfile::TempDir;

fn fresh() -> (EmbeddedStore, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    (EmbeddedStore::open(directory.path()).unwrap(), directory)
}

contract!(fresh());
domain::testing::recorded::contract!(fresh());

#[tokio::test]
async fn the_whole_log_is_in_the_order_of_time() {
    let (store, _directory) = fresh();
    recorded_at_never_runs_backwards_along_the_log(Arc::new(store)).await;
}
