//! The contract of [`EventStore`]: one function a rule, and [`contract!`](crate::event_store_contract), which makes a test of each.
//!
//! Every rule gets a store of its own, empty. Positions may have gaps and need not begin at 1: what one engine promises beyond the
//! port (contiguous positions, durability) is tested where that engine lives.

use std::sync::Arc;

use futures::StreamExt as _;
use futures::future::join_all;
use uuid::Uuid;

pub use crate::event_store_contract as contract;
use crate::ids::{EventId, SessionId};
use crate::log::{
    APPEND_BYTES_MAX, Actor, ActorKind, AppendError, EventStore, Expected, Filter, Hash, Metadata, NewEvent, Position, Revision,
    StoreError, StoredEvent, StreamId,
};
use crate::testing::id;
use crate::time::Timestamp;

/// Makes a test of every rule. The expression makes a new empty store each time, and what must outlive it (a directory):
/// `contract!((MemoryStore::default(), ()))`.
#[macro_export]
macro_rules! event_store_contract {
    (@recorded $fresh:expr; $($rule:ident)*) => {
        $crate::event_store_contract! { @each $fresh; recorded; $($rule)* }
    };
    (@each $fresh:expr; $contract:ident; $($rule:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $rule() {
            let (store, _kept) = $fresh;
            let rule = $crate::testing::$contract::$rule(::std::sync::Arc::new(store));
            // A reader that missed an event would wait for it for ever.
            ::tokio::time::timeout(::std::time::Duration::from_secs(60), rule).await.expect("a rule comes to its end");
        }
    )*};
    ($fresh:expr) => {
        $crate::event_store_contract! { $fresh;
            of_two_writers_one_wins
            a_stream_that_exists_is_not_begun_again
            a_stream_that_is_missing_is_not_continued
            a_full_repeat_answers_with_its_first_place
            a_repeat_recorded_at_another_time_is_still_a_repeat
            a_repeat_is_known_after_the_stream_has_grown
            the_same_id_with_another_body_is_refused
            an_id_of_the_stream_is_not_appended_again
            a_partly_repeated_batch_is_refused
            an_id_twice_in_one_append_is_refused
            an_append_without_events_is_refused
            an_append_above_the_limit_is_refused
            what_is_read_is_what_was_appended
            positions_strictly_increase_under_many_writers
            a_stream_is_read_in_bounded_pages
            a_missing_stream_reads_as_empty
            the_log_is_read_in_bounded_pages
            a_filter_moves_past_what_it_does_not_want
            types_are_counted_as_they_are_read
            the_head_is_the_last_event
            waiting_ends_when_an_event_comes
            a_slow_subscriber_misses_nothing
            a_filtered_subscriber_misses_nothing
            a_stream_is_a_hash_chain
            recorded_at_never_runs_backwards_in_a_stream
        }
    };
    ($fresh:expr; $($rule:ident)*) => {
        $crate::event_store_contract! { @each $fresh; event_store; $($rule)* }
    };
}

/// The stream with this number.
#[must_use]
pub fn stream(number: u128) -> StreamId {
    StreamId::session(id::<SessionId>(number))
}

/// An event with the id of this number, which its payload names.
#[must_use]
pub fn event(number: u128) -> NewEvent {
    typed(number, "session.meter_read")
}

/// The same of another type.
#[must_use]
pub fn typed(number: u128, event_type: &str) -> NewEvent {
    let metadata = Metadata {
        event_id: id(number),
        command_id: id(number + (1 << 100)),
        causation_id: number.is_multiple_of(2).then(|| id(number + (2 << 100))),
        correlation_id: Uuid::from_u128(7),
        actor: Actor::new(ActorKind::Device, "pile 7"),
        operator_id: id(9),
        occurred_at: micros(1_700_000_000_000_000),
        recorded_at: micros(1_700_000_000_500_000),
    };
    NewEvent { event_type: event_type.into(), version: 1, metadata, payload: format!("event {number}").into_bytes() }
}

fn micros(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros).unwrap()
}

fn recorded_at(mut event: NewEvent, at: i64) -> NewEvent {
    event.metadata.recorded_at = micros(at);
    event
}

fn ids(events: &[StoredEvent]) -> Vec<EventId> {
    events.iter().map(|event| event.metadata.event_id).collect()
}

async fn all<S: EventStore>(store: &S, stream: &StreamId) -> Vec<StoredEvent> {
    store.read_stream(stream, Revision(0), 10_000).await.unwrap()
}

/// Every event of the log, read in pages of this size.
async fn whole_log<S: EventStore>(store: &S, filter: &Filter, page: usize) -> Vec<StoredEvent> {
    let (mut after, mut events) = (Position(0), Vec::new());
    loop {
        let found = store.read_all(after, filter, page).await.unwrap();
        assert!(found.events.len() <= page, "a page has at most {page} events");
        assert!(found.events.iter().all(|event| event.position > after && event.position <= found.scanned_to), "a page is what it scanned");
        if found.scanned_to <= after {
            return events;
        }
        after = found.scanned_to;
        events.extend(found.events);
    }
}

/// Of two writers that believe the same, one wins, and the other learns what is so.
pub async fn of_two_writers_one_wins<S: EventStore>(store: Arc<S>) {
    store.append(&stream(1), Expected::NoStream, vec![event(1)]).await.unwrap();
    let (a, b) = (vec![event(2)], vec![event(3)]);
    let at = Expected::Exact(Revision(0));
    let (one, two) = (stream(1), stream(1));
    let (first, second) = futures::join!(store.append(&one, at, a), store.append(&two, at, b));
    let (won, lost) = if first.is_ok() { (first, second) } else { (second, first) };
    assert_eq!(won.unwrap().revision, Revision(1));
    assert_eq!(lost, Err(AppendError::Conflict { stream: stream(1), expected: at, actual: Some(Revision(1)) }));
    assert_eq!(all(&*store, &stream(1)).await.len(), 2);
}

/// `NoStream` holds only before the first event.
pub async fn a_stream_that_exists_is_not_begun_again<S: EventStore>(store: Arc<S>) {
    store.append(&stream(1), Expected::NoStream, vec![event(1)]).await.unwrap();
    let refused = store.append(&stream(1), Expected::NoStream, vec![event(2)]).await;
    assert_eq!(refused, Err(AppendError::Conflict { stream: stream(1), expected: Expected::NoStream, actual: Some(Revision(0)) }));
}

/// `Exact` holds neither on a missing stream nor beyond the end of one.
pub async fn a_stream_that_is_missing_is_not_continued<S: EventStore>(store: Arc<S>) {
    let at = Expected::Exact(Revision(0));
    let refused = store.append(&stream(1), at, vec![event(1)]).await;
    assert_eq!(refused, Err(AppendError::Conflict { stream: stream(1), expected: at, actual: None }));
    store.append(&stream(1), Expected::NoStream, vec![event(1)]).await.unwrap();
    let at = Expected::Exact(Revision(5));
    let refused = store.append(&stream(1), at, vec![event(2)]).await;
    assert_eq!(refused, Err(AppendError::Conflict { stream: stream(1), expected: at, actual: Some(Revision(0)) }));
    assert_eq!(all(&*store, &stream(1)).await.len(), 1);
}

/// A writer that lost the answer asks again, and hears the same.
pub async fn a_full_repeat_answers_with_its_first_place<S: EventStore>(store: Arc<S>) {
    let batch = || vec![event(1), event(2), event(3)];
    let first = store.append(&stream(1), Expected::NoStream, batch()).await.unwrap();
    assert!(!first.repeated);
    assert_eq!(first.revision, Revision(2));
    let again = store.append(&stream(1), Expected::NoStream, batch()).await.unwrap();
    assert!(again.repeated);
    assert_eq!((again.revision, again.first_position, again.position), (first.revision, first.first_position, first.position));
    assert_eq!(all(&*store, &stream(1)).await.len(), 3);
}

/// `recorded_at` is ours: a retry has another one.
pub async fn a_repeat_recorded_at_another_time_is_still_a_repeat<S: EventStore>(store: Arc<S>) {
    store.append(&stream(1), Expected::NoStream, vec![recorded_at(event(1), 1_000)]).await.unwrap();
    let again = store.append(&stream(1), Expected::NoStream, vec![recorded_at(event(1), 2_000)]).await.unwrap();
    assert!(again.repeated);
    assert_eq!(all(&*store, &stream(1)).await[0].metadata.recorded_at, micros(1_000));
}

/// A retry may come late.
pub async fn a_repeat_is_known_after_the_stream_has_grown<S: EventStore>(store: Arc<S>) {
    store.append(&stream(1), Expected::NoStream, vec![event(1)]).await.unwrap();
    let first = store.append(&stream(1), Expected::Exact(Revision(0)), vec![event(2), event(3)]).await.unwrap();
    store.append(&stream(1), Expected::Exact(Revision(2)), vec![event(4), event(5)]).await.unwrap();
    let again = store.append(&stream(1), Expected::Exact(Revision(0)), vec![event(2), event(3)]).await.unwrap();
    assert!(again.repeated);
    assert_eq!((again.revision, again.first_position, again.position), (Revision(2), first.first_position, first.position));
    assert_eq!(all(&*store, &stream(1)).await.len(), 5);
}

/// One id cannot stand for two things, whichever field tells them apart.
pub async fn the_same_id_with_another_body_is_refused<S: EventStore>(store: Arc<S>) {
    store.append(&stream(1), Expected::NoStream, vec![event(1)]).await.unwrap();
    let edits: [fn(&mut NewEvent); 9] = [
        |event| event.payload.push(b'!'),
        |event| event.version = 2,
        |event| event.event_type = "session.stopped".into(),
        |event| event.metadata.command_id = id(77),
        |event| event.metadata.causation_id = Some(id(78)),
        |event| event.metadata.correlation_id = Uuid::from_u128(79),
        |event| event.metadata.actor = Actor::system("another"),
        |event| event.metadata.operator_id = id(80),
        |event| event.metadata.occurred_at = micros(81),
    ];
    for (n, edit) in edits.into_iter().enumerate() {
        let mut other = event(1);
        edit(&mut other);
        let refused = store.append(&stream(1), Expected::NoStream, vec![other]).await;
        assert_eq!(refused, Err(AppendError::IdReused { stream: stream(1), event_id: id(1) }), "edit {n}");
    }
    assert_eq!(all(&*store, &stream(1)).await.len(), 1);
}

/// At the tail, too, an id that the stream has already is refused, whatever it says.
pub async fn an_id_of_the_stream_is_not_appended_again<S: EventStore>(store: Arc<S>) {
    store.append(&stream(1), Expected::NoStream, vec![event(1), event(2)]).await.unwrap();
    let refused = store.append(&stream(1), Expected::Exact(Revision(1)), vec![event(3), event(1)]).await;
    assert_eq!(refused, Err(AppendError::IdReused { stream: stream(1), event_id: id(1) }));
    assert_eq!(all(&*store, &stream(1)).await.len(), 2);
    store.append(&stream(2), Expected::NoStream, vec![event(1)]).await.expect("another stream is another story");
}

/// Some of it there, some not: the command decided otherwise the second time, and that is a fault to be seen.
pub async fn a_partly_repeated_batch_is_refused<S: EventStore>(store: Arc<S>) {
    store.append(&stream(1), Expected::NoStream, vec![event(1), event(2)]).await.unwrap();
    for batch in [vec![event(1), event(2), event(3)], vec![event(1), event(9)], vec![event(9), event(2)], vec![event(2), event(1)]] {
        let refused = store.append(&stream(1), Expected::NoStream, batch).await;
        assert!(matches!(refused, Err(AppendError::IdReused { .. })), "{refused:?}");
    }
    assert_eq!(all(&*store, &stream(1)).await.len(), 2);
}

/// All of an append or nothing, also when it contradicts itself.
pub async fn an_id_twice_in_one_append_is_refused<S: EventStore>(store: Arc<S>) {
    let refused = store.append(&stream(1), Expected::NoStream, vec![event(1), event(2), event(1)]).await;
    assert_eq!(refused, Err(AppendError::IdReused { stream: stream(1), event_id: id(1) }));
    assert_eq!(all(&*store, &stream(1)).await, []);
}

/// Nothing is not an append, on a missing stream or on one that is there.
pub async fn an_append_without_events_is_refused<S: EventStore>(store: Arc<S>) {
    assert_eq!(store.append(&stream(1), Expected::NoStream, vec![]).await, Err(StoreError::Empty.into()));
    store.append(&stream(1), Expected::NoStream, vec![event(1)]).await.unwrap();
    let refused = store.append(&stream(1), Expected::Exact(Revision(0)), vec![]).await;
    assert_eq!(refused, Err(StoreError::Empty.into()));
}

/// The limit holds for one event and for many together, and what fits goes in.
pub async fn an_append_above_the_limit_is_refused<S: EventStore>(store: Arc<S>) {
    let sized = |number, bytes| NewEvent { payload: vec![7; bytes], ..event(number) };
    for batch in [vec![sized(1, APPEND_BYTES_MAX)], vec![sized(1, APPEND_BYTES_MAX / 2), sized(2, APPEND_BYTES_MAX / 2)]] {
        let refused = store.append(&stream(1), Expected::NoStream, batch).await;
        assert!(matches!(refused, Err(AppendError::Store(StoreError::TooLarge { bytes_max: APPEND_BYTES_MAX, .. }))), "{refused:?}");
    }
    assert_eq!(all(&*store, &stream(1)).await, []);
    store.append(&stream(1), Expected::NoStream, vec![sized(1, APPEND_BYTES_MAX / 2)]).await.unwrap();
    assert_eq!(all(&*store, &stream(1)).await[0].payload.len(), APPEND_BYTES_MAX / 2);
}

/// Every field comes back, the odd ones too.
pub async fn what_is_read_is_what_was_appended<S: EventStore>(store: Arc<S>) {
    let kinds = [ActorKind::User, ActorKind::Partner, ActorKind::Device, ActorKind::System, ActorKind::Staff];
    let mut given: Vec<NewEvent> = kinds
        .into_iter()
        .zip(1_u16..)
        .map(|(kind, n)| {
            let mut event = typed(n.into(), "station.registered");
            event.version = n;
            event.metadata.actor = Actor::new(kind, "充电桩 7");
            event.payload = vec![0xff, 0x00, 0x81];
            event
        })
        .collect();
    given[1].payload = vec![];
    given[2].metadata.actor = Actor::new(ActorKind::System, "");
    given[3].metadata.occurred_at = micros(-62_135_596_800_000_000);
    given[4].metadata.occurred_at = micros(253_402_207_199_999_999);
    store.append(&stream(1), Expected::NoStream, given.clone()).await.unwrap();
    let by_stream = all(&*store, &stream(1)).await;
    for (n, (stored, new)) in by_stream.iter().zip(&given).enumerate() {
        assert!(new.is_repeated_by(stored), "{stored:?}");
        assert_eq!((&stored.stream, stored.revision), (&stream(1), Revision(n as u64)));
        assert_eq!(stored.metadata.recorded_at, new.metadata.recorded_at);
    }
    assert_eq!(by_stream.len(), given.len());
    assert_eq!(whole_log(&*store, &Filter::All, 100).await, by_stream, "the log and the stream hold the same");
}

/// Writers of many streams at once: no position twice, and each stream in its order.
pub async fn positions_strictly_increase_under_many_writers<S: EventStore>(store: Arc<S>) {
    join_all((1..=32_u128).map(|writer| {
        let store = store.clone();
        async move {
            for n in 0..16_u64 {
                let expected = n.checked_sub(1).map_or(Expected::NoStream, |last| Expected::Exact(Revision(last)));
                let landed = store.append(&stream(writer), expected, vec![event(writer * 1_000 + u128::from(n))]).await.unwrap();
                assert_eq!(landed.revision, Revision(n));
                assert_eq!(landed.first_position, landed.position);
            }
        }
    }))
    .await;
    let log = whole_log(&*store, &Filter::All, 50).await;
    assert_eq!(log.len(), 32 * 16);
    assert!(log.is_sorted_by(|a, b| a.position < b.position), "positions strictly increase");
    for writer in 1..=32 {
        let revisions: Vec<_> = log.iter().filter(|event| event.stream == stream(writer)).map(|event| event.revision.0).collect();
        assert_eq!(revisions, (0..16).collect::<Vec<_>>());
    }
}

/// From any revision, never more than asked for.
pub async fn a_stream_is_read_in_bounded_pages<S: EventStore>(store: Arc<S>) {
    store.append(&stream(1), Expected::NoStream, (1..=10).map(event).collect()).await.unwrap();
    let read = |from, limit| {
        let store = store.clone();
        async move { ids(&store.read_stream(&stream(1), Revision(from), limit).await.unwrap()) }
    };
    assert_eq!(read(0, 4).await, [1, 2, 3, 4].map(id));
    assert_eq!(read(4, 4).await, [5, 6, 7, 8].map(id));
    assert_eq!(read(8, 4).await, [9, 10].map(id));
    assert_eq!(read(10, 4).await, []);
}

/// A stream without events is not an error.
pub async fn a_missing_stream_reads_as_empty<S: EventStore>(store: Arc<S>) {
    assert_eq!(all(&*store, &stream(1)).await, []);
    store.append(&stream(2), Expected::NoStream, vec![event(1)]).await.unwrap();
    assert_eq!(all(&*store, &stream(1)).await, []);
}

/// Pages of any size give the same log.
pub async fn the_log_is_read_in_bounded_pages<S: EventStore>(store: Arc<S>) {
    for n in 1..=20 {
        store.append(&stream(n), Expected::NoStream, vec![event(n)]).await.unwrap();
    }
    let whole = whole_log(&*store, &Filter::All, 1_000).await;
    assert_eq!(ids(&whole), (1..=20).map(id).collect::<Vec<_>>());
    for page in [1, 3, 20] {
        assert_eq!(whole_log(&*store, &Filter::All, page).await, whole);
    }
    let after = store.read_all(whole[9].position, &Filter::All, 1_000).await.unwrap();
    assert_eq!(after.events, whole[10..]);
    assert_eq!(after.scanned_to, whole[19].position);
}

/// A reader that wants few events still learns how far the log was looked through.
pub async fn a_filter_moves_past_what_it_does_not_want<S: EventStore>(store: Arc<S>) {
    for n in 1..=30_u128 {
        let name = if n == 3 || n == 17 { "payment.succeeded" } else { "session.meter_read" };
        store.append(&stream(n), Expected::NoStream, vec![typed(n, name)]).await.unwrap();
    }
    let head = store.head().await.unwrap().position;
    let wanted = Filter::types(["payment.succeeded", "never.happened"]);
    for page in [1, 2, 100] {
        assert_eq!(ids(&whole_log(&*store, &wanted, page).await), [3, 17].map(id));
    }
    for filter in [wanted, Filter::types(["never.happened"]), Filter::types([])] {
        let mut after = Position(0);
        while after < head {
            let page = store.read_all(after, &filter, 1).await.unwrap();
            assert!(page.scanned_to > after, "a page moves until the head");
            after = page.scanned_to;
        }
        assert_eq!(after, head);
    }
    let end = store.read_all(head, &Filter::All, 10).await.unwrap();
    assert_eq!((end.events.len(), end.scanned_to), (0, head), "an empty page at the head is the end");
}

/// Types are counted as they are read, between any two positions.
pub async fn types_are_counted_as_they_are_read<S: EventStore>(store: Arc<S>) {
    let mut positions = vec![Position(0)];
    for n in 1..=30_u128 {
        let name = if n % 3 == 0 { "payment.succeeded" } else { "session.meter_read" };
        positions.push(store.append(&stream(n), Expected::NoStream, vec![typed(n, name)]).await.unwrap().position);
    }
    let whole = whole_log(&*store, &Filter::All, 100).await;
    for (after, until) in [(0, 30), (0, 0), (7, 7), (7, 20), (29, 30)].map(|(after, until)| (positions[after], positions[until])) {
        let mut read = std::collections::BTreeMap::new();
        for event in whole.iter().filter(|event| event.position > after && event.position <= until) {
            *read.entry(event.event_type.clone()).or_insert(0_u64) += 1;
        }
        assert_eq!(store.count_types(after, until).await.unwrap(), read, "after {after} until {until}");
    }
}

/// The head counts ledger events, and a writer's position is at most the head.
pub async fn the_head_is_the_last_event<S: EventStore>(store: Arc<S>) {
    assert_eq!(store.head().await.unwrap().events, 0);
    store.append(&stream(1), Expected::NoStream, vec![event(1), event(2)]).await.unwrap();
    let last = store.append(&stream(2), Expected::NoStream, vec![event(3)]).await.unwrap();
    let head = store.head().await.unwrap();
    assert_eq!((head.events, head.position), (3, last.position));
}

/// A reader at the end sleeps until there is more, and does not sleep when there is.
pub async fn waiting_ends_when_an_event_comes<S: EventStore>(store: Arc<S>) {
    let (one, batch) = (stream(1), vec![event(1)]);
    let (waited, appended) = futures::join!(store.wait_past(Position(0)), store.append(&one, Expected::NoStream, batch));
    waited.unwrap();
    let appended = appended.unwrap();
    assert_eq!(store.read_all(Position(0), &Filter::All, 10).await.unwrap().events.len(), 1);
    store.wait_past(Position(appended.position.0 - 1)).await.unwrap();
}

async fn write_slowly<S: EventStore>(store: &S, streams: std::ops::Range<u128>, each: u64) {
    join_all(streams.map(|writer| async move {
        for n in 0..each {
            let expected = n.checked_sub(1).map_or(Expected::NoStream, |last| Expected::Exact(Revision(last)));
            let name = if n.is_multiple_of(3) { "session.stopped" } else { "session.meter_read" };
            store.append(&stream(writer), expected, vec![typed(writer * 1_000 + u128::from(n), name)]).await.unwrap();
        }
    }))
    .await;
}

/// Lets everybody else go first, on any runtime.
async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return std::task::Poll::Ready(());
        }
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

/// Reads a subscription in small pages until it has this many events, yielding between pages.
async fn subscribe_slowly<S: EventStore>(store: Arc<S>, after: Position, filter: Filter, events: usize) -> Vec<StoredEvent> {
    let mut pages = store.subscribe_all(after, filter, 7);
    let mut seen: Vec<StoredEvent> = Vec::new();
    while seen.len() < events {
        let page = pages.next().await.expect("a subscription does not end").unwrap();
        seen.extend(page.events);
        for _ in 0..20 {
            yield_now().await;
        }
    }
    seen
}

/// Whatever the writers do meanwhile, a reader sees each event once and in order, from the start or from the middle.
pub async fn a_slow_subscriber_misses_nothing<S: EventStore>(store: Arc<S>) {
    write_slowly(&*store, 100..110, 5).await;
    let middle = store.head().await.unwrap().position;
    let start = subscribe_slowly(store.clone(), Position(0), Filter::All, 50 + 400);
    let later = subscribe_slowly(store.clone(), middle, Filter::All, 400);
    let (from_start, from_middle, ()) = futures::join!(start, later, write_slowly(&*store, 1..21, 20));
    assert!(from_start.is_sorted_by(|a, b| a.position < b.position), "each once, in order");
    assert_eq!(from_start, whole_log(&*store, &Filter::All, 1_000).await);
    assert_eq!(from_middle, from_start[50..]);
}

/// So does one that wants only some.
pub async fn a_filtered_subscriber_misses_nothing<S: EventStore>(store: Arc<S>) {
    let filter = Filter::types(["session.stopped"]);
    let reader = subscribe_slowly(store.clone(), Position(0), filter.clone(), 20 * 7);
    let (seen, ()) = futures::join!(reader, write_slowly(&*store, 1..21, 20));
    assert_eq!(seen, whole_log(&*store, &filter, 1_000).await);
    assert!(seen.iter().all(|event| event.event_type.as_str() == "session.stopped"));
}

/// Each event names the hash of the one before it, and its own covers all it says.
pub async fn a_stream_is_a_hash_chain<S: EventStore>(store: Arc<S>) {
    store.append(&stream(1), Expected::NoStream, vec![event(1), event(2)]).await.unwrap();
    store.append(&stream(2), Expected::NoStream, vec![event(3)]).await.unwrap();
    store.append(&stream(1), Expected::Exact(Revision(1)), vec![event(4)]).await.unwrap();
    let mut last = Hash::START;
    for stored in all(&*store, &stream(1)).await {
        assert_eq!(stored.prev_hash, last);
        assert_eq!(stored.hash, stored.computed_hash());
        last = stored.hash;
    }
    assert_eq!(all(&*store, &stream(2)).await[0].prev_hash, Hash::START);
}

/// A clock that is set back does not reorder a stream.
pub async fn recorded_at_never_runs_backwards_in_a_stream<S: EventStore>(store: Arc<S>) {
    store.append(&stream(1), Expected::NoStream, vec![recorded_at(event(1), 5_000), recorded_at(event(2), 4_000)]).await.unwrap();
    store.append(&stream(1), Expected::Exact(Revision(1)), vec![recorded_at(event(3), 3_000)]).await.unwrap();
    store.append(&stream(1), Expected::Exact(Revision(2)), vec![recorded_at(event(4), 6_000)]).await.unwrap();
    let events = all(&*store, &stream(1)).await;
    assert_eq!(events.iter().map(|event| event.metadata.recorded_at.micros()).collect::<Vec<_>>(), [5_000, 5_000, 5_000, 6_000]);
    assert!(events.iter().all(|event| event.hash == event.computed_hash()), "the hash covers the time that is stored");
}

/// For engines with one writer, whose whole log is in the order of time. Not part of [`contract!`](crate::event_store_contract).
pub async fn recorded_at_never_runs_backwards_along_the_log<S: EventStore>(store: Arc<S>) {
    for (n, at) in [5_000, 4_000, 6_000, 1_000].into_iter().enumerate() {
        store.append(&stream(n as u128), Expected::NoStream, vec![recorded_at(event(n as u128), at)]).await.unwrap();
    }
    let times: Vec<_> = whole_log(&*store, &Filter::All, 10).await.iter().map(|event| event.metadata.recorded_at.micros()).collect();
    assert_eq!(times, [5_000, 5_000, 6_000, 6_000]);
}
