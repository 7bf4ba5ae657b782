//! Making the feed again: everything in it goes, and everything in the log is published once more. Durable consumers stay, get all of it again, and know each event
//! by its id.
//!
//! A publisher that runs meanwhile notices that somebody mends the feed, waits, and goes on afterwards.

use std::sync::Arc;
use std::time::Duration;

use domain::log::{EventStore, Filter, Position};
use tokio::sync::watch;
use tokio::time::sleep;
use uuid::Uuid;

use crate::connect::Nats;
use crate::error::FeedError;
use crate::place::{self, Place, Placed};
use crate::progress::Progress;
use crate::publish::{Ended, Pump, Window, publish_one};
use crate::stream::{FeedStream, StreamSettings};
use crate::wire::Purpose;

/// So often somebody else may write between the emptying and the first event.
const TRIES_MAX: u32 = 1_000;
const PAUSE: Duration = Duration::from_millis(100);

/// Makes the feed again, up to the log's end. Says how many events it published. With `recreate`, the stream is deleted and made anew, and its consumers with it.
///
/// # Errors
/// When NATS is away, the server cannot change the stream, or another publisher does not give way.
pub async fn rebuild(
    nats: &Nats,
    settings: &StreamSettings,
    log: &Arc<dyn EventStore>,
    recreate: bool,
    window: Window,
    progress: &watch::Sender<Progress>,
) -> Result<u64, FeedError> {
    let stream = FeedStream::mend(nats, settings, recreate).await?;
    let until = log.head().await?.position;
    let run = Uuid::now_v7();
    let Some(mut place) = begin(&stream, &**log, run).await? else {
        stream.purge().await?;
        return Ok(0);
    };
    let first = place.sequence;
    progress.send_modify(|progress| progress.acknowledged(place.sequence, place.position, 1));
    let (_stop, stopped) = watch::channel(false);
    let (_lead, leads) = watch::channel(true);
    let pump = Pump { log, stream: &stream, run, purpose: Purpose::Rebuild, window, until: Some(until), progress, stop: stopped, leads };
    let mut remembered = Position(0);
    loop {
        let before = progress.borrow().published;
        match pump.run(place, remembered).await {
            // By sequences: a message whose acknowledgement was lost is there, too.
            Ok(Ended::Finished) => return Ok(progress.borrow().sequence.max(place.sequence) + 1 - first),
            Ok(Ended::Displaced) | Err(FeedError::Unavailable { .. }) => sleep(PAUSE).await,
            Err(error) => return Err(error),
        }
        place = place::find(&stream, &**log, run, Some(progress.borrow().sequence)).await?;
        if progress.borrow().published == before {
            (place, remembered) = pump.carefully(place).await?;
        }
    }
}

/// Empties the stream and puts the first event in: from there on, whoever else publishes is refused, and waits. Nothing where the log is empty.
async fn begin(stream: &FeedStream, log: &dyn EventStore, run: Uuid) -> Result<Option<Place>, FeedError> {
    let Some(first) = log.read_all(Position(0), &Filter::All, 1).await?.events.into_iter().next() else { return Ok(None) };
    for _ in 0..TRIES_MAX {
        stream.purge().await?;
        let state = stream.state().await?;
        if state.messages > 0 {
            // What a publisher had under way came in behind the emptying.
            continue;
        }
        match publish_one(stream, &first, run, Purpose::Rebuild, first.position, state.last_sequence).await? {
            Placed::At(sequence) | Placed::Again(sequence) => return Ok(Some(Place { sequence, position: first.position })),
            Placed::Displaced | Placed::There => {}
        }
    }
    Err(FeedError::Refused {
        reason: "somebody publishes so fast that the feed cannot be emptied: stop the publisher, then try again".to_owned(),
    })
}
