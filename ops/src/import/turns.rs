//! Who goes next: so many at once, and of those who wait, whoever has the most left to do.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;

/// Turns, as many at once as it was made for.
pub(crate) struct Turns(Mutex<Queue>);

struct Queue {
    free: usize,
    waiting: BinaryHeap<Waiting>,
}

/// A turn; it is over when this is dropped.
pub(crate) struct Turn<'a>(&'a Turns);

struct Waiting {
    left: usize,
    go: oneshot::Sender<()>,
}

impl Turns {
    pub(crate) fn of(at_once: usize) -> Turns {
        Turns(Mutex::new(Queue { free: at_once, waiting: BinaryHeap::new() }))
    }

    /// Waits for a turn; whoever has more left goes first.
    pub(crate) async fn take(&self, left: usize) -> Turn<'_> {
        let (go, may_go) = oneshot::channel();
        {
            let mut queue = self.lock();
            if queue.free > 0 {
                queue.free -= 1;
                return Turn(self);
            }
            queue.waiting.push(Waiting { left, go });
        }
        // The other end is in the queue, and is not dropped before it has been told.
        let _ = may_go.await;
        Turn(self)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        while let Some(next) = queue.waiting.pop() {
            // Whoever has gone away in the meantime needs no turn.
            if next.go.send(()).is_ok() {
                return;
            }
        }
        queue.free += 1;
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Waiting) -> Ordering {
        self.left.cmp(&other.left)
    }
}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Waiting) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Waiting) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Waiting {}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    #[tokio::test]
    async fn whoever_has_the_most_left_goes_next() {
        let turns = Turns::of(1);
        let first = turns.take(1).await;
        let (mut short, mut long) = (Box::pin(turns.take(2)), Box::pin(turns.take(9)));
        assert!(short.as_mut().now_or_never().is_none() && long.as_mut().now_or_never().is_none());
        drop(first);
        assert!(short.as_mut().now_or_never().is_none());
        let long = long.as_mut().now_or_never();
        assert!(long.is_some());
        drop(long);
        assert!(short.as_mut().now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_turn_that_nobody_waits_for_any_more_goes_to_the_next() {
        let turns = Turns::of(1);
        let first = turns.take(1).await;
        let (mut gone, mut here) = (Box::pin(turns.take(9)), Box::pin(turns.take(2)));
        assert!(gone.as_mut().now_or_never().is_none() && here.as_mut().now_or_never().is_none());
        drop(gone);
        drop(first);
        assert!(here.as_mut().now_or_never().is_some());
    }
}
