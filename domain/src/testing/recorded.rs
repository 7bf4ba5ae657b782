//! The contract of [`RecordedLog`]: what a migration leans on. [`recorded_log_contract!`](crate::recorded_log_contract) makes a test of each rule.

use std::sync::Arc;

use crate::log::{AppendError, Expected, Filter, Hash, NewEvent, Position, Revision, StoreError, StoredEvent};
use crate::recorded::RecordedLog;
pub use crate::recorded_log_contract as contract;
use crate::testing::event_store::{event, stream};
use crate::testing::id;
use crate::time::Timestamp;

/// Makes a test of every rule, as [`crate::event_store_contract`] does.
#[macro_export]
macro_rules! recorded_log_contract {
    ($fresh:expr) => {
        $crate::event_store_contract! { @recorded $fresh;
            what_was_recorded_elsewhere_keeps_its_times_and_hashes
            what_is_there_exactly_so_is_no_fault
            what_does_not_continue_its_stream_is_refused
            what_does_not_say_what_was_hashed_is_refused
            writing_goes_on_behind_what_was_recorded_elsewhere
        }
    };
}

/// Events of a stream as another log has recorded them, at these times.
fn recorded(number: u128, times: &[i64]) -> Vec<StoredEvent> {
    let (mut hash, mut events) = (Hash::START, Vec::new());
    for (n, at) in (0_u64..).zip(times) {
        let mut new: NewEvent = event(number * 100 + u128::from(n));
        new.metadata.recorded_at = Timestamp::from_micros(*at).unwrap();
        let stored = StoredEvent::link(new, Position(1_000 + n), stream(number), Revision(n), hash);
        hash = stored.hash;
        events.push(stored);
    }
    events
}

async fn log<S: RecordedLog>(store: &S) -> Vec<StoredEvent> {
    let mut events = store.read_all(Position(0), &Filter::All, 1_000).await.unwrap().events;
    events.iter_mut().for_each(|event| event.position = Position(0));
    events
}

fn without_places(events: impl IntoIterator<Item = StoredEvent>) -> Vec<StoredEvent> {
    events.into_iter().map(|event| StoredEvent { position: Position(0), ..event }).collect()
}

/// Also where the clocks of several writers did not agree.
pub async fn what_was_recorded_elsewhere_keeps_its_times_and_hashes<S: RecordedLog>(store: Arc<S>) {
    let (one, two) = (recorded(1, &[5_000, 6_000, 6_000]), recorded(2, &[4_000, 5_500]));
    let order = [one[..1].to_vec(), two[..1].to_vec(), one[1..].to_vec(), two[1..].to_vec()];
    for run in order.clone() {
        store.append_as_recorded(run).await.unwrap();
    }
    assert_eq!(log(&*store).await, without_places(order.into_iter().flatten()), "in the order in which they came");
    assert_eq!(store.head().await.unwrap().events, 5);
}

/// A copy that was interrupted goes on.
pub async fn what_is_there_exactly_so_is_no_fault<S: RecordedLog>(store: Arc<S>) {
    let events = recorded(1, &[5_000, 6_000]);
    store.append_as_recorded(events.clone()).await.unwrap();
    store.append_as_recorded(events.clone()).await.unwrap();
    assert_eq!(log(&*store).await.len(), 2);
    let refused = store.append_as_recorded(recorded(1, &[5_000, 7_000])).await;
    assert!(matches!(refused, Err(AppendError::IdReused { .. })), "{refused:?}");
    assert_eq!(log(&*store).await, without_places(events));
}

/// Neither behind a hole nor over something else.
pub async fn what_does_not_continue_its_stream_is_refused<S: RecordedLog>(store: Arc<S>) {
    let events = recorded(1, &[5_000, 6_000, 7_000]);
    let refused = store.append_as_recorded(events[1..].to_vec()).await;
    let expected = Expected::Exact(Revision(0));
    assert_eq!(refused, Err(AppendError::Conflict { stream: stream(1), expected, actual: None }));
    store.append(&stream(1), Expected::NoStream, vec![event(77)]).await.unwrap();
    assert!(store.append_as_recorded(events[1..].to_vec()).await.is_err(), "another chain");
    assert!(store.append_as_recorded(events[..1].to_vec()).await.is_err(), "something else is there");
    assert_eq!(log(&*store).await.len(), 1);
}

/// A copy does not carry damage along.
pub async fn what_does_not_say_what_was_hashed_is_refused<S: RecordedLog>(store: Arc<S>) {
    let mut changed = recorded(1, &[5_000, 6_000]);
    changed[1].payload.push(b'!');
    let mut mixed = recorded(1, &[5_000]);
    mixed.extend(recorded(2, &[5_000]));
    for events in [changed, mixed] {
        let refused = store.append_as_recorded(events).await;
        assert!(matches!(refused, Err(AppendError::Store(StoreError::Damaged { .. }))), "{refused:?}");
    }
    assert_eq!(store.append_as_recorded(Vec::new()).await, Err(StoreError::Empty.into()));
    assert_eq!(log(&*store).await, []);
}

/// The chain goes on, and time does not run backwards in the stream.
pub async fn writing_goes_on_behind_what_was_recorded_elsewhere<S: RecordedLog>(store: Arc<S>) {
    store.append_as_recorded(recorded(1, &[1_800_000_000_000_000])).await.unwrap();
    let landed = store.append(&stream(1), Expected::Exact(Revision(0)), vec![event(7)]).await.unwrap();
    assert_eq!(landed.revision, Revision(1));
    let events = store.read_stream(&stream(1), Revision(0), 10).await.unwrap();
    assert_eq!((events[1].prev_hash, events[1].metadata.event_id), (events[0].hash, id(7)));
    assert!(events[1].metadata.recorded_at >= events[0].metadata.recorded_at);
    assert_eq!(events[1].hash, events[1].computed_hash());
}
