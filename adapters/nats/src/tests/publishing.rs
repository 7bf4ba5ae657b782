//! Publishing: in order, once, by one.

use serde_json::json;

use super::{all, caught_up, grow, is_the_log, log, messages, start};
use crate::connect::Nats;
use crate::error::FeedError;
use crate::progress::{State, status};
use crate::stream::{FeedStream, StreamSettings};
use crate::testing::{Servers, until};

fn settings() -> StreamSettings {
    StreamSettings::events(1, None)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_is_published_in_the_log_s_order_with_all_that_the_log_knows_of_it() {
    let Some(servers) = Servers::start(1) else { return };
    let (nats, log) = (servers.connect().await, log(1_000).await);
    let publisher = start(&nats, &settings(), &log);
    caught_up(&publisher, &log).await;
    grow(&log, 3).await;
    caught_up(&publisher, &log).await;
    is_the_log(&nats, &settings(), &log).await;
    let progress = publisher.progress();
    until("it is live", async || progress.borrow().state == State::Live).await;
    let seen = publisher.status().await.unwrap();
    assert_eq!((seen.lag_events, seen.lag_seconds, seen.published), (0, 0, 1_003));
    publisher.stop().await;

    let client = &nats.client;
    let found: serde_json::Value =
        serde_json::from_slice(&client.request("$JS.API.STREAM.MSG.GET.LEDGER_EVENTS", r#"{"seq":1}"#.into()).await.unwrap().payload)
            .unwrap();
    assert_eq!(found["message"]["subject"], "ledger.events.session.meter_read");
    let first = &all(&*log).await[0];
    let headers = messages(&nats, &settings()).await;
    assert!(headers.iter().all(|(_, message)| message.is_intact()));
    assert_eq!(headers[0].1.event.hash, first.hash);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_goes_on_after_the_last_message_of_the_stream() {
    let Some(servers) = Servers::start(1) else { return };
    let (nats, log) = (servers.connect().await, log(120).await);
    for more in [0, 80, 0, 1] {
        grow(&log, more).await;
        let publisher = start(&nats, &settings(), &log);
        caught_up(&publisher, &log).await;
        publisher.stop().await;
    }
    is_the_log(&nats, &settings(), &log).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_publishers_the_loser_stops_and_says_so() {
    let Some(servers) = Servers::start(1) else { return };
    let (nats, other, log) = (servers.connect().await, servers.connect().await, log(10).await);
    let mut first = start(&nats, &settings(), &log);
    caught_up(&first, &log).await;
    let mut second = start(&other, &settings(), &log);
    caught_up(&second, &log).await;
    for _ in 0..20 {
        grow(&log, 50).await;
    }
    let (loser, winner) = tokio::select! {
        ended = first.ended() => (ended, &second),
        ended = second.ended() => (ended, &first),
    };
    assert!(matches!(loser, Err(FeedError::Overtaken { by: Some(_), .. })), "{loser:?}");
    caught_up(winner, &log).await;
    is_the_log(&nats, &settings(), &log).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ledger_goes_on_without_nats_and_the_feed_catches_up() {
    let Some(mut servers) = Servers::start(1) else { return };
    let log = log(10).await;
    servers.kill(0);
    let nats = Nats::lazily(&servers.urls(), "test", None).await.unwrap();
    let publisher = start(&nats, &settings(), &log);
    let progress = publisher.progress();
    until("it waits", async || progress.borrow().state == State::Waiting).await;
    let waiting = status(&*log, &progress.borrow().clone()).await.unwrap();
    assert_eq!((waiting.lag_events, waiting.lag_seconds > 0), (10, true), "{waiting:?}");
    for round in 0..3 {
        servers.restart(0);
        caught_up(&publisher, &log).await;
        grow(&log, 300).await;
        if round < 2 {
            // Somewhere in the middle of it.
            servers.kill(0);
            grow(&log, 100).await;
        }
    }
    caught_up(&publisher, &log).await;
    assert_eq!(publisher.status().await.unwrap().lag_events, 0);
    publisher.stop().await;
    is_the_log(&servers.connect().await, &settings(), &log).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_was_made_otherwise_is_named_and_left_as_it_is() {
    let Some(servers) = Servers::start(1) else { return };
    let (nats, log) = (servers.connect().await, log(10).await);
    let theirs = json!({"name": "LEDGER_EVENTS", "subjects": ["ledger.events.>"], "storage": "memory", "retention": "limits", "discard": "old",
        "num_replicas": 1, "max_consumers": -1, "max_msgs": 100, "max_bytes": -1, "max_age": 0, "duplicate_window": 120_000_000_000_u64});
    nats.ask::<serde_json::Value>("STREAM.CREATE.LEDGER_EVENTS".to_owned(), &theirs).await.unwrap();
    let error = FeedStream::open(&nats, &settings()).await.unwrap_err();
    let text = error.to_string();
    for part in [
        "storage is Memory instead of File",
        "discard is Old instead of New",
        "max-msgs is 100 instead of -1",
        "nats stream edit LEDGER_EVENTS",
        "--recreate",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let publisher = start(&nats, &settings(), &log);
    let progress = publisher.progress();
    until("it says what is wrong", async || progress.borrow().error.as_deref() == Some(&text)).await;
    assert!(matches!(FeedStream::mend(&nats, &settings(), false).await, Err(FeedError::Refused { .. })), "storage cannot be changed");
    // Mended by an operator, it goes on by itself.
    FeedStream::mend(&nats, &settings(), true).await.unwrap();
    caught_up(&publisher, &log).await;
    is_the_log(&nats, &settings(), &log).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_of_another_ledger_is_not_written_on() {
    let Some(servers) = Servers::start(1) else { return };
    let (nats, long) = (servers.connect().await, log(20).await);
    let publisher = start(&nats, &settings(), &long);
    caught_up(&publisher, &long).await;
    publisher.stop().await;
    let shorter = log(10).await;
    let ended = start(&nats, &settings(), &shorter).ended().await;
    assert!(ended.as_ref().is_err_and(|error| error.to_string().contains("where the log has none")), "{ended:?}");
    is_the_log(&nats, &settings(), &long).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_was_emptied_or_lost_its_end_is_filled_again_by_itself() {
    let Some(servers) = Servers::start(1) else { return };
    let (nats, log) = (servers.connect().await, log(200).await);
    let publisher = start(&nats, &settings(), &log);
    caught_up(&publisher, &log).await;
    let stream = FeedStream::open(&nats, &settings()).await.unwrap();
    stream.purge().await.unwrap();
    let refilled = async || stream.state().await.unwrap().messages == 200;
    until("it is filled again", refilled).await;
    caught_up(&publisher, &log).await;
    is_the_log(&nats, &settings(), &log).await;
    publisher.stop().await;

    // The server remembers the ids of messages that are gone, for as long as its window is.
    let last = stream.state().await.unwrap().last_sequence;
    for sequence in last - 9..=last {
        nats.ask::<serde_json::Value>("STREAM.MSG.DELETE.LEDGER_EVENTS".to_owned(), &json!({ "seq": sequence })).await.unwrap();
    }
    assert_eq!(stream.state().await.unwrap().messages, 190);
    let publisher = start(&nats, &settings(), &log);
    caught_up(&publisher, &log).await;
    is_the_log(&nats, &settings(), &log).await;
}
