//! Where publishing goes on: after the stream's last message, if that is of this log and nobody else is writing.

use std::time::Duration;

use domain::log::{EventStore, Filter, Position, StoredEvent};
use tokio::time::{Instant, sleep};
use tracing::info;
use uuid::Uuid;

use crate::error::FeedError;
use crate::stream::FeedStream;
use crate::wire::{Published, Purpose};

/// A stream in which nothing was written for this long is written by nobody.
const QUIET: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often an event is asked for that should be there.
const ASKED_MAX: u32 = 5;

/// Where the next message goes, and which event is next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// The last sequence of the stream.
    pub(crate) sequence: u64,
    /// The last event that was published in its turn.
    pub(crate) position: Position,
}

/// What became of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placed {
    /// It stands there.
    At(u64),
    /// It stands there, under an id of its own, because the server remembered one that is gone.
    Again(u64),
    /// It was there already.
    There,
    /// The stream ends elsewhere.
    Displaced,
}

/// Finds the place. `mine` is the last sequence that this run has written, if it has written any.
pub(crate) async fn find(stream: &FeedStream, log: &dyn EventStore, run: Uuid, mine: Option<u64>) -> Result<Place, FeedError> {
    loop {
        let state = stream.state().await?;
        let Some((at, last)) = stream.last_message().await? else {
            if mine.is_some_and(|mine| mine > 0) {
                // Somebody has emptied it, and may be about to fill it.
                quiet(stream).await?;
                if stream.last_message().await?.is_some() {
                    continue;
                }
            }
            return Ok(Place { sequence: stream.state().await?.last_sequence, position: Position(0) });
        };
        let sequence = state.last_sequence.max(at);
        let theirs = last.publisher != Some(run);
        if theirs && last.purpose != Purpose::Publish && !is_quiet(stream, sequence).await? {
            info!("somebody mends the feed: waiting until that is done");
            quiet(stream).await?;
            continue;
        }
        if theirs && last.purpose == Purpose::Publish && mine.is_some_and(|mine| at > mine) {
            return Err(FeedError::Overtaken { by: last.publisher, sequence: at });
        }
        check(log, &last).await?;
        return Ok(Place { sequence, position: last.reached });
    }
}

/// Whether a message is of this log.
async fn check(log: &dyn EventStore, last: &Published) -> Result<(), FeedError> {
    let (position, reached) = (last.event.position, last.reached);
    let other = |reason: String| Err(FeedError::AnotherLedger { position, reason });
    match at(log, position).await? {
        Some(event) if event.hash == last.event.hash => {}
        Some(_) => return other(format!("at position {position} it has another event than the log")),
        None => return other(format!("it has an event at position {position}, where the log has none")),
    }
    match reached > position && at(log, reached).await?.is_none() {
        true => other(format!("it is at position {reached}, where the log has no event")),
        false => Ok(()),
    }
}

/// The event at a position. That there is none ends a publisher for good, so it is asked for more than once: a server's answer may have been cut short.
async fn at(log: &dyn EventStore, position: Position) -> Result<Option<StoredEvent>, FeedError> {
    for _ in 0..ASKED_MAX {
        let page = log.read_all(Position(position.0.saturating_sub(1)), &Filter::All, 1).await?;
        let found = page.events.into_iter().next().filter(|event| event.position == position);
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

async fn is_quiet(stream: &FeedStream, sequence: u64) -> Result<bool, FeedError> {
    let began = Instant::now();
    while began.elapsed() < QUIET {
        sleep(LOOK_EVERY).await;
        if stream.state().await?.last_sequence != sequence {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Returns when nobody writes any more.
async fn quiet(stream: &FeedStream) -> Result<(), FeedError> {
    loop {
        let sequence = stream.state().await?.last_sequence;
        if is_quiet(stream, sequence).await? {
            return Ok(());
        }
    }
}
