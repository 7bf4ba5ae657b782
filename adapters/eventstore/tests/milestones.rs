//! A start costs the same on a short log and on a long one, and what makes it so is nobody's truth.

mod server;
mod standin;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use domain::log::{EventStore, Expected, Filter, Head, Position};
use domain::testing::event_store::{event, stream};
use esdb::{EsdbStore, EsdbUrl, Patience};
use standin::StandIn;
use standin::log::{Believed, proposal};

const MILESTONES: &str = "chargeledger.milestones";
const EVERY: u64 = 4_096;
const RUN: u64 = 256;

async fn open(stand_in: &StandIn) -> Arc<EsdbStore> {
    let url: EsdbUrl = stand_in.url().parse().unwrap();
    Arc::new(EsdbStore::open(&url, Patience::default()).await.unwrap())
}

/// The log grows by so many events, which nobody counts.
async fn grow(stand_in: &StandIn, runs: std::ops::Range<u64>) {
    let store = open(stand_in).await;
    for run in runs {
        let events = (0..RUN).map(|n| event(u128::from(run * RUN + n + 1))).collect();
        store.append(&stream(u128::from(run) + 1), Expected::NoStream, events).await.unwrap();
    }
}

/// What a process that has just started hears of the end, and how many calls that took.
async fn started(stand_in: &StandIn) -> (Head, usize) {
    let before = stand_in.faults().calls.load(Ordering::SeqCst);
    let store = open(stand_in).await;
    let head = store.head().await.unwrap();
    // Where a reader goes on that has seen all but the last one, and one that has seen nothing lately.
    let last = store.read_all(Position(head.position.0 - 1), &Filter::All, 10).await.unwrap();
    assert_eq!(last.events.len(), 1);
    (head, stand_in.faults().calls.load(Ordering::SeqCst) - before)
}

fn kept(stand_in: &StandIn) -> usize {
    stand_in.cluster.log.lock().unwrap().stream(MILESTONES).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_costs_no_more_on_a_log_of_twice_the_length() {
    let stand_in = StandIn::start().await;
    grow(&stand_in, 0..40).await;
    let (head, at_first) = started(&stand_in).await;
    assert_eq!((head.events, kept(&stand_in)), (40 * RUN, 2));
    let (again, short) = started(&stand_in).await;
    grow(&stand_in, 40..80).await;
    started(&stand_in).await;
    let (head, long) = started(&stand_in).await;
    assert_eq!((head.events, kept(&stand_in)), (80 * RUN, 5));
    assert!(again.position < head.position && at_first > 12, "the first one counts: {at_first} calls");
    assert!(short <= 12 && long <= 12, "{short} calls, then {long}");

    // A reader that comes back from afar, and those who count for themselves.
    let store = open(&stand_in).await;
    let first = store.read_all(Position(0), &Filter::All, 1).await.unwrap().events[0].clone();
    let middle = Position(u64::midpoint(first.position.0, head.position.0));
    let before = stand_in.faults().calls.load(Ordering::SeqCst);
    let found = store.read_all(middle, &Filter::All, 1).await.unwrap().events[0].position;
    assert!(stand_in.faults().calls.load(Ordering::SeqCst) - before < 30);
    assert!(found > middle && found.0 - middle.0 < 5_000, "{found} is the next after {middle}");
    let counted = store.count_types(Position(0), head.position).await.unwrap();
    assert_eq!(counted.values().sum::<u64>(), head.events, "milestones are no part of the log");
    stand_in.assert_no_sins();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_count_at_once_keep_each_milestone_once() {
    let stand_in = StandIn::start().await;
    grow(&stand_in, 0..35).await;
    let (one, other) = (open(&stand_in).await, open(&stand_in).await);
    let (first, second) = futures::join!(one.head(), other.head());
    assert_eq!((first.unwrap().events, second.unwrap().events), (35 * RUN, 35 * RUN));
    assert_eq!(kept(&stand_in), 2);
    grow(&stand_in, 35..70).await;
    let (first, second) = futures::join!(one.head(), other.head());
    assert_eq!((first.unwrap().events, second.unwrap().events), (70 * RUN, 70 * RUN));
    assert_eq!(kept(&stand_in), 4);
    stand_in.assert_no_sins();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn milestones_that_do_not_fit_the_log_are_left_alone_and_it_is_counted() {
    let stand_in = StandIn::start().await;
    grow(&stand_in, 0..20).await;
    let (head, _) = started(&stand_in).await;
    assert_eq!(kept(&stand_in), 1);
    let moved = StandIn::start().await;
    // As a copy of stream after stream makes them: every place is another.
    let milestone = stand_in.cluster.log.lock().unwrap().stream(MILESTONES).next().unwrap().data.clone();
    let copied = proposal("chargeledger.milestone", "application/octet-stream", b"", &milestone);
    moved.cluster.log.lock().unwrap().append(MILESTONES, Believed::NoStream, vec![copied]).unwrap();
    grow(&moved, 0..20).await;
    let (there, _) = started(&moved).await;
    assert_eq!((there.events, kept(&moved)), (20 * RUN, 1));
    assert_ne!(there.position, head.position);
    for nonsense in [&b"x"[..], b"{\"events\":4096}"] {
        let odd = StandIn::start().await;
        let data = proposal("order.placed", "application/json", b"", nonsense);
        odd.cluster.log.lock().unwrap().append(MILESTONES, Believed::NoStream, vec![data]).unwrap();
        grow(&odd, 0..17).await;
        assert_eq!(started(&odd).await.0.events, 17 * RUN);
        odd.assert_no_sins();
    }
    moved.assert_no_sins();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_may_not_keep_milestones_counts_for_itself() {
    let stand_in = StandIn::start().await;
    grow(&stand_in, 0..35).await;
    *stand_in.faults().read_only.lock().unwrap() = Some(MILESTONES.to_owned());
    let store = open(&stand_in).await;
    assert_eq!((store.head().await.unwrap().events, kept(&stand_in)), (35 * RUN, 0));
    *stand_in.faults().read_only.lock().unwrap() = None;
    grow(&stand_in, 35..50).await;
    assert_eq!(store.head().await.unwrap().events, 50 * RUN);
    assert_eq!(kept(&stand_in), usize::try_from(50 * RUN / EVERY).unwrap(), "with those that were left");
    stand_in.assert_no_sins();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_before_22_6_keeps_milestones_too() {
    let stand_in = StandIn::start().await;
    stand_in.faults().is_old.store(true, Ordering::SeqCst);
    grow(&stand_in, 0..35).await;
    started(&stand_in).await;
    let (head, calls) = started(&stand_in).await;
    assert_eq!((head.events, kept(&stand_in)), (35 * RUN, 2));
    assert!(calls <= 12, "{calls}");
    stand_in.assert_no_sins();
}
