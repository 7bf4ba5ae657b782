//! NATS does not answer: who asks hears so at once after a while, and is let in again as soon as it is back.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Nats;
use crate::error::FeedError;
use crate::stream::{FeedStream, StreamSettings};
use crate::testing::{PATIENCE, Servers, until};

/// Nobody waits for anything so long in whom nothing is asked.
const AT_ONCE: Duration = Duration::from_millis(400);

async fn asked(nats: &Nats) -> Result<FeedStream, FeedError> {
    FeedStream::open(nats, &StreamSettings::events(1, None)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_asks_a_server_that_is_gone_is_turned_away_at_once_until_it_is_back() {
    let Some(mut servers) = Servers::start(1) else { return };
    let nats = servers.connect().await;
    asked(&nats).await.unwrap();
    servers.kill(0);
    let (began, mut in_a_row) = (Instant::now(), 0);
    while in_a_row < 20 {
        assert!(began.elapsed() < PATIENCE, "nobody was turned away");
        let asking = Instant::now();
        let told = asked(&nats).await;
        assert!(matches!(told, Err(FeedError::Unavailable { .. })), "{told:?}");
        in_a_row = if asking.elapsed() < AT_ONCE { in_a_row + 1 } else { 0 };
    }
    servers.restart(0);
    until("it is asked again", async || asked(&nats).await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_an_answer() {
    let Some(servers) = Servers::start(1) else { return };
    let nats = servers.connect().await;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(1) {
        let told = nats.ask::<Value>("STREAM.INFO.nothing".to_owned(), &json!({})).await;
        assert!(told.is_err_and(|told| told.code().is_some()), "the server itself says so, each time");
    }
}
