//! Keeps the projections' tasks going: one that stands still while the log moves on, or that has ended, is started again from its checkpoint.
//!
//! Starting again is always harmless: rows and checkpoint commit together, and the checkpoint moves by compare-and-set, so that nothing is applied twice
//! even if the old task should still be at it.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

use domain::log::Position;

use crate::feed::Feed;
use crate::measure;
use crate::projector::Projector;
use crate::runner::Running;
use crate::status::{self, State};

/// Whoever is told to end, and does not, is cut off after this.
const STOP_MAX: Duration = Duration::from_secs(20);
/// How long an aborted task is waited for: one that is in the middle of a long fold ends at its next breath.
const ABORT_WAIT: Duration = Duration::from_secs(1);
/// One that has been started again and again without coming further is left alone for longer and longer, up to this.
const PATIENCE_MAX: Duration = Duration::from_secs(600);
/// How often is looked.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A projection's task, and how to start it again.
pub(crate) struct Task {
    projector: Projector,
    handle: JoinHandle<()>,
    /// Where it stood when it was last seen to move, and when that was.
    place: Position,
    moved: Instant,
    patience: Duration,
}

impl Task {
    pub(crate) fn start(projector: Projector, patience: Duration) -> Task {
        let handle = tokio::spawn(projector.clone().run());
        Task { projector, handle, place: Position(0), moved: Instant::now(), patience }
    }

    /// Starts it again if it has ended, or has stood still for too long while there was something to do.
    async fn watch(&mut self, head: Position, stuck_after: Duration) {
        let (state, position) = {
            let progress = self.projector.progress.borrow();
            (progress.state, progress.position)
        };
        // Without a database everybody waits for it, also who has not noticed yet.
        let is_away = self.projector.seen.borrow().away().is_some();
        let has_work = has_work(state, position, head) && !is_away;
        if self.handle.is_finished() {
            self.restart(head, "its task had ended").await;
        } else if position != self.place {
            (self.place, self.moved, self.patience) = (position, Instant::now(), stuck_after);
        } else if !has_work {
            self.moved = Instant::now();
        } else if self.moved.elapsed() >= self.patience {
            self.restart(head, "it stood still while the log moved on").await;
        }
    }

    async fn restart(&mut self, head: Position, reason: &'static str) {
        self.handle.abort();
        // It may be in the middle of a fold that never ends; the new one is started all the same.
        let _ = timeout(ABORT_WAIT, &mut self.handle).await;
        let mut restarts = 0;
        self.projector.progress.send_modify(|progress| {
            progress.restarts += 1;
            restarts = progress.restarts;
        });
        let name = self.projector.projection.definition().name;
        warn!(projection = name, position = %self.place, %head, restarts, reason, "a projection was started again from its checkpoint");
        measure::restarted(name);
        self.handle = tokio::spawn(self.projector.clone().run());
        self.moved = Instant::now();
        self.patience = (self.patience * 2).min(PATIENCE_MAX);
    }
}

/// Whether a projection should be moving.
const fn has_work(state: State, position: Position, head: Position) -> bool {
    match state {
        State::Starting | State::CatchingUp | State::Live => position.0 < head.0,
        // These say themselves what they wait for.
        State::Standby | State::Waiting | State::Halted | State::Outdated | State::Rebuilding => false,
    }
}

/// Looks after the tasks until they are told to stop, and then waits for them.
pub(crate) async fn supervise(
    mut tasks: Vec<Task>,
    running: Arc<Running>,
    feed: Arc<Feed>,
    stuck_after: Duration,
    mut stop: watch::Receiver<bool>,
) {
    let every = (stuck_after / 4).clamp(Duration::from_millis(5), LOOK_EVERY);
    let mut measured = Instant::now();
    loop {
        tokio::select! {
            () = look(&mut tasks, &running, &feed, stuck_after, &mut measured) => {}
            _ = stop.wait_for(|stop| *stop) => break,
        }
        tokio::select! {
            () = sleep(every) => {}
            _ = stop.wait_for(|stop| *stop) => break,
        }
    }
    let aborts: Vec<_> = tasks.iter().map(|task| task.handle.abort_handle()).collect();
    if timeout(STOP_MAX, join_all(tasks.into_iter().map(|task| task.handle))).await.is_err() {
        aborts.iter().for_each(tokio::task::AbortHandle::abort);
    }
}

async fn look(tasks: &mut [Task], running: &Running, feed: &Feed, stuck_after: Duration, measured: &mut Instant) {
    // A log that cannot be read is the projections' own trouble, and they say so.
    if let Ok(head) = feed.store().head().await {
        for task in tasks {
            task.watch(head.position, stuck_after).await;
        }
    }
    if measured.elapsed() >= LOOK_EVERY {
        *measured = Instant::now();
        if let Ok(statuses) = status::look(feed, running.progress(), running.away()).await {
            statuses.iter().for_each(measure::publish);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_is_behind_and_does_not_say_what_it_waits_for_should_be_moving() {
        let moves = |state| (has_work(state, Position(3), Position(4)), has_work(state, Position(4), Position(4)));
        for state in State::ALL {
            let is_expected_to = matches!(state, State::Starting | State::CatchingUp | State::Live);
            assert_eq!(moves(state), (is_expected_to, false), "{state:?}");
        }
    }
}
