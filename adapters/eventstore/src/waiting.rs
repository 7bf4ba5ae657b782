//! Waiting for what comes: one reader in the process asks again and again whether there is more, and wakes everybody else.
//!
//! It asks for what lies after its own place, with a deadline like every call. So there is no subscription that could spin after a polite end, fall silent, or
//! resume from a place that is not ours, and a stretch of the server's own events is left behind once.

use std::sync::Arc;
use std::time::Duration;

use domain::log::{Position, StoreError};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::link::Link;
use crate::marks::Marks;

/// Between two looks while things happen, and when nothing has happened for a while.
const PACE_BUSY: Duration = Duration::from_millis(20);
const PACE_QUIET: Duration = Duration::from_millis(100);
const BUSY_FOR: Duration = Duration::from_secs(2);
/// Whoever waits for another one's looking looks for himself this often: that one may stand elsewhere.
const OWN_LOOK_EVERY: Duration = Duration::from_secs(1);
/// How many events one look reads.
const LOOK: usize = 64;

/// Who waits, and what is known to be there.
#[derive(Debug)]
pub(crate) struct Waiting {
    seen: watch::Sender<Position>,
    turn: tokio::sync::Mutex<()>,
}

impl Default for Waiting {
    fn default() -> Waiting {
        Waiting { seen: watch::Sender::new(Position(0)), turn: tokio::sync::Mutex::new(()) }
    }
}

impl Waiting {
    /// An event of the ledger is there.
    pub(crate) fn saw(&self, position: Position) {
        self.seen.send_if_modified(|seen| {
            let is_news = position > *seen;
            if is_news {
                *seen = position;
            }
            is_news
        });
    }

    /// The last event that this process knows to be there.
    pub(crate) fn seen(&self) -> Position {
        *self.seen.borrow()
    }

    /// Returns once there is an event after a position.
    pub(crate) async fn wait_past(&self, link: &Arc<Link>, marks: &Arc<Marks>, position: Position) -> Result<(), StoreError> {
        let mut seen = self.seen.subscribe();
        let begun = Instant::now();
        loop {
            let turn = tokio::select! {
                biased;
                () = past(&mut seen, position) => return Ok(()),
                turn = self.turn.lock() => Some(turn),
                () = tokio::time::sleep(OWN_LOOK_EVERY) => None,
            };
            if self.look(link, marks, position).await? {
                return Ok(());
            }
            // Whoever has the turn keeps it until there is more: he looks for all.
            while turn.is_some() {
                let pace = if begun.elapsed() < BUSY_FOR { PACE_BUSY } else { PACE_QUIET };
                tokio::select! {
                    () = past(&mut seen, position) => return Ok(()),
                    () = tokio::time::sleep(pace) => {}
                }
                if self.look(link, marks, position).await? {
                    return Ok(());
                }
            }
        }
    }

    /// Whether there is an event of the ledger after a position.
    async fn look(&self, link: &Arc<Link>, marks: &Arc<Marks>, position: Position) -> Result<bool, StoreError> {
        let mut at = marks.cursor(link, position).await?;
        loop {
            let stretch = link.read_all(at, LOOK).await?;
            let found = stretch.events.iter().filter_map(|(_, held)| held.as_ref()).map(|held| held.stored.position).max();
            if let Some(found) = found.filter(|found| *found > position) {
                self.saw(found);
                return Ok(true);
            }
            if let Some((last, _)) = stretch.events.last().filter(|(last, _)| *last > at) {
                at = *last;
                marks.learn(position, at);
            }
            if stretch.is_end {
                return Ok(false);
            }
        }
    }
}

/// Returns once something later is known to be there.
async fn past(seen: &mut watch::Receiver<Position>, position: Position) {
    // It cannot end: the sender outlives whoever waits.
    drop(seen.wait_for(|seen| *seen > position).await);
}
