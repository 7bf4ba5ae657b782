//! Reading and decoding a store that is there, and the two bounds: reading alone and decoding alone. What a fold adds to it is
//! measured where the folds live.

use std::path::Path;
use std::time::{Duration, Instant};

use domain::log::{Filter, Position, StoreError, StoredEvent};

use crate::OpenError;
use crate::reader::Reader;

/// How many of the events the decoding alone is measured on, again and again: they fit into memory.
const SAMPLE: usize = 50_000;

/// What reading the log costs, in events a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReplayFigures {
    /// Events in the log.
    pub events: u64,
    /// Threads that read and decode in the replay.
    pub threads: usize,
    /// Reading alone, on one thread.
    pub scan_per_s: f64,
    /// Decoding alone, on one thread.
    pub decode_per_s: f64,
    /// Reading and decoding all of it in its order, on all threads.
    pub replay_per_s: f64,
}

/// Measures the store in `directory`, on so many threads.
///
/// # Errors
/// When there is no store, or this release cannot read an event of it.
pub fn replay(directory: &Path, threads: usize) -> Result<ReplayFigures, OpenError> {
    let mut reader = Reader::open(directory)?;
    let events = reader.head()?.events;
    // Not measured: whatever comes first pays for bringing the file into memory.
    let sample = scan(&mut reader, events)?;
    let began = Instant::now();
    scan(&mut reader, events)?;
    let scan_per_s = rate(events, began.elapsed());
    Ok(ReplayFigures { events, threads, scan_per_s, decode_per_s: decode(&sample)?, replay_per_s: whole(directory, threads, events)? })
}

/// Reads all of it, and returns the last events.
fn scan(reader: &mut Reader, events: u64) -> Result<Vec<StoredEvent>, StoreError> {
    let (mut after, mut sample) = (Position(0), Vec::new());
    while after.0 < events {
        let page = reader.scan(after, &Filter::All, 4_096)?;
        after = page.scanned_to;
        if events - after.0 < SAMPLE as u64 {
            sample.extend(page.events);
        }
    }
    Ok(sample)
}

fn decode(sample: &[StoredEvent]) -> Result<f64, StoreError> {
    let copies = sample.to_vec();
    let began = Instant::now();
    for stored in copies {
        decoded(stored)?;
    }
    Ok(rate(sample.len() as u64, began.elapsed()))
}

fn whole(directory: &Path, threads: usize, events: u64) -> Result<f64, OpenError> {
    let began = Instant::now();
    let pages = crate::replay(directory, Position(0), &Filter::All, threads, |page| {
        page.events.into_iter().try_fold(0_u64, |decoded_events, stored| decoded(stored).map(|()| decoded_events + 1))
    })?;
    let mut seen = 0;
    for page in pages {
        seen += page??;
    }
    assert!(seen >= events, "a replay gives every event that was there");
    Ok(rate(seen, began.elapsed()))
}

fn decoded(stored: StoredEvent) -> Result<(), StoreError> {
    let position = stored.position;
    let event = stored.decode().map_err(|error| StoreError::Damaged { position, reason: error.to_string() })?;
    std::hint::black_box(event);
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "a count of events is far below 2^52")]
fn rate(events: u64, took: Duration) -> f64 {
    events as f64 / took.as_secs_f64()
}
