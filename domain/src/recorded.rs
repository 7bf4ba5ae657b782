//! The way in for what has been recorded elsewhere: a ledger that moves from one engine to another keeps its times and its hashes.

use async_trait::async_trait;

use crate::log::{AppendError, EventStore, Expected, Revision, StoreError, StoredEvent, StreamId};

/// An engine that takes such events. Its contract is `testing::recorded` (feature "testing"); nothing but a migration writes through it.
#[async_trait]
pub trait RecordedLog: EventStore {
    /// Appends consecutive events of one stream as they were recorded, each where its revision says; only the position is the engine's own. Those that are
    /// there already, exactly so, are no fault: a copy that was interrupted goes on.
    ///
    /// # Errors
    /// [`AppendError::Conflict`] when the stream ends elsewhere, [`AppendError::IdReused`] when something else is there, [`StoreError::Damaged`] when an event
    /// does not continue the chain or does not say what was hashed. Nothing was written then.
    async fn append_as_recorded(&self, events: Vec<StoredEvent>) -> Result<(), AppendError>;
}

/// What an event that was recorded is on its way into another log: where it goes, and what it says there.
///
/// # Errors
/// [`StoreError::Empty`] or [`StoreError::Damaged`].
pub fn check_recorded(events: &[StoredEvent]) -> Result<(StreamId, Expected), StoreError> {
    let first = events.first().ok_or(StoreError::Empty)?;
    let expected = first.revision.0.checked_sub(1).map_or(Expected::NoStream, |last| Expected::Exact(Revision(last)));
    let mut next = (first.revision, first.prev_hash);
    for event in events {
        if event.stream != first.stream || (event.revision, event.prev_hash) != next || event.hash != event.computed_hash() {
            let reason = format!(
                "revision {} of {} does not continue what is in front of it, or not as it was hashed",
                event.revision, event.stream
            );
            return Err(StoreError::Damaged { position: event.position, reason });
        }
        next = (event.revision.next(), event.hash);
    }
    Ok((first.stream.clone(), expected))
}

/// Judges recorded events of which the stream holds something where they would be. All of them, exactly, is a repeat.
///
/// # Errors
/// [`AppendError::IdReused`] or [`AppendError::Conflict`].
pub fn judge_recorded(
    expected: Expected,
    actual: Option<Revision>,
    events: &[StoredEvent],
    there: &[StoredEvent],
) -> Result<(), AppendError> {
    let is_there = |(event, there): (&StoredEvent, &StoredEvent)| *there == StoredEvent { position: there.position, ..event.clone() };
    if events.len() == there.len() && events.iter().zip(there).all(is_there) {
        return Ok(());
    }
    let Some(first) = events.first() else { return Err(StoreError::Empty.into()) };
    match events.iter().find(|event| there.iter().any(|there| there.metadata.event_id == event.metadata.event_id)) {
        Some(event) => Err(AppendError::IdReused { stream: event.stream.clone(), event_id: event.metadata.event_id }),
        None => Err(AppendError::Conflict { stream: first.stream.clone(), expected, actual }),
    }
}
