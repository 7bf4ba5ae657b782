//! The bench: both publishers publish everything, and nothing of it stays.

use std::sync::Arc;

use domain::log::EventStore;

use super::log;
use crate::bench::publish;
use crate::publish::Window;
use crate::stream::{FeedStream, StreamSettings};
use crate::testing::Servers;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bench_publishes_everything_twice_and_leaves_nothing() {
    let Some(servers) = Servers::start(1) else { return };
    let (nats, log) = (servers.connect().await, log(2_000).await);
    let dynamic: Arc<dyn EventStore> = log;
    let figures = publish(&nats, &dynamic, Window::default()).await.unwrap();
    assert_eq!(figures.events, 2_000);
    assert!(!figures.took.is_zero() && !figures.bound.is_zero());
    for name in ["BARE", "FEED"] {
        let settings = StreamSettings { name: format!("BENCH_{name}"), ..StreamSettings::events(1, None) };
        assert!(FeedStream::find(&nats, &settings).await.unwrap().is_none(), "{name}");
    }
}
