//! The whole log on all cores, in order: threads read stretches of it side by side and do a caller's work on each page, and the
//! results come out in the order of the log. Memory is bounded, and a slow consumer makes the readers wait.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use domain::log::{Filter, Page, Position, StoreError};

use crate::error::OpenError;
use crate::reader::Reader;

/// Positions in one stretch.
const STRETCH: u64 = 4_096;
/// Results of one thread that wait for the consumer.
const AHEAD: usize = 2;

/// The results of a [`replay`], in the order of the log.
#[derive(Debug)]
pub struct Replay<T> {
    results: Vec<Receiver<Result<T, StoreError>>>,
    stretches: u64,
    given: u64,
}

/// Reads every matching event after `after` that is there when this begins, on so many threads. `work` is done on those threads, once for
/// each stretch of the log and also for one without a match: decode there, and whatever needs no order.
///
/// # Errors
/// When there is no store in `directory`, or it cannot be opened.
pub fn replay<T, F>(directory: &Path, after: Position, filter: &Filter, threads: usize, work: F) -> Result<Replay<T>, OpenError>
where
    T: Send + 'static,
    F: Fn(Page) -> T + Send + Sync + 'static,
{
    let work = Arc::new(work);
    let threads = threads.max(1) as u64;
    let mut readers = (0..threads).map(|_| Reader::open(directory)).collect::<Result<Vec<_>, _>>()?;
    let head = readers.first_mut().map(|reader| reader.head()).transpose()?.unwrap_or_default().position;
    let stretches = head.0.saturating_sub(after.0).div_ceil(STRETCH);
    let mut results = Vec::new();
    for (first, mut reader) in (0..threads).zip(readers) {
        let (send, receive) = sync_channel(AHEAD);
        let (filter, work) = (filter.clone(), work.clone());
        let read = move || {
            let mut stretch = first;
            while stretch < stretches {
                let from = after.0 + stretch * STRETCH;
                let page = read_stretch(&mut reader, Position(from), Position((from + STRETCH).min(head.0)), &filter);
                if !give(&send, page.map(|page| work(page))) {
                    break;
                }
                stretch += threads;
            }
        };
        std::thread::Builder::new()
            .name("ledger-replay".to_owned())
            .spawn(read)
            .map_err(|error| StoreError::Unavailable { reason: format!("no thread to read with: {error}") })?;
        results.push(receive);
    }
    Ok(Replay { results, stretches, given: 0 })
}

/// Whether there is any point in going on.
fn give<T>(send: &SyncSender<Result<T, StoreError>>, result: Result<T, StoreError>) -> bool {
    let is_error = result.is_err();
    send.send(result).is_ok() && !is_error
}

fn read_stretch(reader: &mut Reader, after: Position, end: Position, filter: &Filter) -> Result<Page, StoreError> {
    let mut all = Page { events: Vec::new(), scanned_to: after };
    while all.scanned_to < end {
        let page = reader.scan_until(all.scanned_to, end, filter, usize::MAX)?;
        all.scanned_to = page.scanned_to;
        if all.events.is_empty() {
            all.events = page.events;
        } else {
            all.events.extend(page.events);
        }
    }
    Ok(all)
}

impl<T> Iterator for Replay<T> {
    type Item = Result<T, StoreError>;

    fn next(&mut self) -> Option<Result<T, StoreError>> {
        if self.given == self.stretches {
            return None;
        }
        // Stretches are dealt to the threads in turn, and so are collected in turn.
        let from = usize::try_from(self.given % self.results.len() as u64).unwrap_or_default();
        let result = match self.results.get(from).map(Receiver::recv) {
            Some(Ok(result)) => result,
            Some(Err(_)) | None => Err(StoreError::Unavailable { reason: "a reading thread has stopped".to_owned() }),
        };
        // Nothing comes after an error: what would, has a hole before it.
        self.given = if result.is_ok() { self.given + 1 } else { self.stretches };
        Some(result)
    }
}
