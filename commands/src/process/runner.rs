//! Reads the log and carries out what the process managers want. What belongs to one story (one correlation id) is done in order, stories side by side.
//!
//! How far it came is kept in a `process-…` stream, now and then: after a crash the last stretch is reacted to once more, and every command is recognised.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::event::Event;
use domain::ids::{CommandId, OperatorId};
use domain::log::{Actor, Filter, Position, Recorded, StreamId};
use domain::process::{Process, ProcessCommand};
use domain::time::Timestamp;
use futures::{FutureExt as _, StreamExt as _};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tracing::{error, info, warn};
use uuid::Uuid;

use super::deadlines::{Deadlines, Missed};
use super::{REACTS_TO, Step, react};
use crate::Commands;
use crate::envelope::Envelope;
use crate::error::CommandError;

/// The process whose stream keeps the place.
pub const NAME: &str = "managers";
/// Stories side by side: so many that hardly any waits for another one that happens to have the same worker.
const WORKERS: usize = 512;
/// Events waiting for one worker; a full queue slows the reader down.
const QUEUE: usize = 64;
const PAGE: usize = 1_024;
/// How far it came is kept at least this often, in events that were reacted to and in time.
const KEEP_EVERY: usize = 10_000;
const KEEP_EVERY_SECONDS: u64 = 60;
/// Between two tries of a step that failed for a reason that may pass.
const RETRY_MS_MIN: u64 = 50;
const RETRY_MS_MAX: u64 = 5_000;
/// A channel that does not answer is asked this often at once; then the refund's or payment's deadline asks again.
const CHANNEL_TRIES: u32 = 4;
const DEADLINES_EVERY_MS: u64 = 500;
/// Deadlines met side by side.
const DEADLINES_AT_ONCE: usize = 16;

/// The process managers, running.
pub struct Managers {
    commands: Arc<Commands>,
    progress: Arc<Progress>,
    deadlines: Option<Mutex<Deadlines>>,
    /// What was due is being done: what is due meanwhile waits for its end.
    is_meeting: AtomicBool,
}

/// How far they came.
#[derive(Debug)]
pub struct Progress {
    state: Mutex<InFlight>,
    done: watch::Sender<Position>,
}

#[derive(Debug, Default)]
struct InFlight {
    positions: BTreeSet<u64>,
    read_to: u64,
}

impl Progress {
    fn new(from: Position) -> Progress {
        let state = InFlight { positions: BTreeSet::new(), read_to: from.0 };
        Progress { state: Mutex::new(state), done: watch::Sender::new(from) }
    }

    fn begin(&self, position: Position) {
        self.lock().positions.insert(position.0);
    }

    fn end(&self, position: Position) {
        let mut state = self.lock();
        state.positions.remove(&position.0);
        self.publish(&state);
    }

    fn read_to(&self, position: Position) {
        let mut state = self.lock();
        state.read_to = position.0;
        self.publish(&state);
    }

    fn publish(&self, state: &InFlight) {
        let done = state.positions.first().map_or(state.read_to, |first| first - 1);
        self.done.send_if_modified(|known| std::mem::replace(known, Position(done)) != Position(done));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, InFlight> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything up to here has been reacted to.
    #[must_use]
    pub fn done(&self) -> watch::Receiver<Position> {
        self.done.subscribe()
    }
}

impl Managers {
    /// Managers that go on where the last ones kept their place. With `deadlines`, time is watched too; an import of the past goes without.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn resume(commands: Arc<Commands>, with_deadlines: bool) -> Result<Managers, CommandError> {
        let from = commands.ledger.load::<Process>(&StreamId::process(NAME)).await?.state.position;
        let deadlines = if with_deadlines { Some(Mutex::new(Deadlines::of_log(commands.ledger.store(), from).await?)) } else { None };
        Ok(Managers { commands, progress: Arc::new(Progress::new(from)), deadlines, is_meeting: AtomicBool::new(false) })
    }

    /// How far they came.
    #[must_use]
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Runs until `stop` becomes true; then finishes what is in hand and keeps its place. Dropped in the middle, everything that it had begun ends with it.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let from = *self.progress.done().borrow();
        info!(position = %from, "process managers start");
        let managers = Arc::new(self);
        let mut tasks = JoinSet::new();
        let queues: Vec<_> = (0..WORKERS).map(|_| managers.worker(&mut tasks, stop.clone())).collect();
        let types: Vec<&str> = REACTS_TO.iter().chain(super::deadlines::WATCHES).copied().collect();
        let mut pages = Arc::clone(managers.commands.ledger.store()).subscribe_all(from, Filter::types(types), PAGE);
        let (mut kept, mut read_to, mut has_reacted, mut since_kept) = (from, from, false, 0);
        // What was due at a time is done once everything that had been recorded by then has been seen: it may have met the deadline.
        let mut due_at: Option<(Timestamp, Position)> = None;
        let mut keep = tokio::time::interval(Duration::from_secs(KEEP_EVERY_SECONDS));
        keep.reset();
        let mut tick = tokio::time::interval(Duration::from_millis(DEADLINES_EVERY_MS));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        'reading: loop {
            tokio::select! {
                biased;
                _ = stop.changed() => break,
                _ = tick.tick(), if managers.deadlines.is_some() && due_at.is_none() => match managers.commands.ledger.store().head().await {
                    Ok(head) => due_at = Some((managers.commands.ledger.clock().now(), head.position)),
                    Err(error) => warn!(%error, "deadlines wait: the log cannot be read at the moment"),
                },
                _ = keep.tick(), if has_reacted => {
                    kept = managers.keep_place(kept).await;
                    has_reacted = false;
                }
                page = pages.next() => match page {
                    Some(Ok(page)) => {
                        since_kept += page.events.len();
                        for stored in page.events {
                            let position = stored.position;
                            match stored.decode() {
                                Ok(recorded) => {
                                    has_reacted = true;
                                    managers.watch(&recorded);
                                    managers.progress.begin(position);
                                    let queue = &queues[worker_of(recorded.metadata.correlation_id)];
                                    if queue.send(recorded).await.is_err() {
                                        break 'reading;
                                    }
                                }
                                Err(error) => error!(%position, %error, "an event cannot be read; its reactions are missing"),
                            }
                        }
                        read_to = page.scanned_to;
                        managers.progress.read_to(read_to);
                        if since_kept >= KEEP_EVERY {
                            kept = managers.keep_place(kept).await;
                            since_kept = 0;
                        }
                    }
                    Some(Err(error)) => {
                        warn!(%error, "the log cannot be read at the moment");
                        tokio::time::sleep(Duration::from_millis(RETRY_MS_MIN)).await;
                    }
                    None => break,
                },
            }
            while tasks.try_join_next().is_some() {}
            if let Some((at, head)) = due_at
                && read_to >= head
            {
                due_at = None;
                managers.meet_deadlines(at, &mut tasks);
            }
        }
        drop(queues);
        while tasks.join_next().await.is_some() {}
        // Having reacted to nothing is not worth an event: starting and stopping changes nothing.
        if has_reacted {
            managers.keep_place(kept).await;
        }
        info!(position = %*managers.progress.done().borrow(), "process managers stop");
    }

    fn worker(self: &Arc<Self>, tasks: &mut JoinSet<()>, stop: watch::Receiver<bool>) -> mpsc::Sender<Recorded<Event>> {
        let (queue, mut events) = mpsc::channel::<Recorded<Event>>(QUEUE);
        let managers = Arc::clone(self);
        tasks.spawn(async move {
            while let Some(recorded) = events.recv().await {
                for step in react(&recorded) {
                    if !managers.carry_out(&step, &recorded, &stop).await {
                        return;
                    }
                }
                managers.progress.end(recorded.position);
            }
        });
        queue
    }

    /// Tries until it is done or cannot be; false when it was told to stop before that.
    async fn carry_out(&self, step: &Step, cause: &Recorded<Event>, stop: &watch::Receiver<bool>) -> bool {
        let mut wait_ms = RETRY_MS_MIN;
        let mut tries = 0;
        loop {
            // A fault of ours in one reaction must not end all others; what it has not done can be seen in its story.
            let Ok(performed) = AssertUnwindSafe(self.commands.perform(step, &cause.metadata)).catch_unwind().await else {
                error!(step = step.name, position = %cause.position, "a reaction panicked; it has not been carried out");
                return true;
            };
            let Err(error) = performed else { return true };
            tries += 1;
            let gives_up = matches!(error, CommandError::Channel(_)) && tries >= CHANNEL_TRIES;
            if !error.is_retryable() || gives_up {
                error!(step = step.name, position = %cause.position, %error, "a reaction could not be carried out");
                return true;
            }
            if *stop.borrow() {
                return false;
            }
            warn!(step = step.name, position = %cause.position, %error, wait_ms, "a reaction is tried again");
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
            wait_ms = (wait_ms * 2).min(RETRY_MS_MAX);
        }
    }

    fn watch(&self, recorded: &Recorded<Event>) {
        if let Some(deadlines) = &self.deadlines {
            deadlines.lock().unwrap_or_else(PoisonError::into_inner).observe(recorded);
        }
    }

    /// Does what was due at a time, beside the reading: a channel that answers slowly holds nobody else up.
    fn meet_deadlines(self: &Arc<Self>, at: Timestamp, tasks: &mut JoinSet<()>) {
        let Some(deadlines) = &self.deadlines else { return };
        if self.is_meeting.load(Ordering::Acquire) {
            return;
        }
        let due = deadlines.lock().unwrap_or_else(PoisonError::into_inner).due(at);
        if due.is_empty() {
            return;
        }
        self.is_meeting.store(true, Ordering::Release);
        let managers = Arc::clone(self);
        tasks.spawn(async move {
            futures::stream::iter(due).for_each_concurrent(DEADLINES_AT_ONCE, |missed| managers.meet(missed)).await;
            managers.is_meeting.store(false, Ordering::Release);
        });
    }

    async fn meet(&self, missed: Missed) {
        match self.commands.is_left_to_generator(&missed.step.action).await {
            Ok(false) => {}
            Ok(true) => {
                info!(step = missed.step.name, cause = %missed.cause.event_id, "a deadline has passed; it is left to the import that has not finished");
                if let Some(deadlines) = &self.deadlines {
                    deadlines.lock().unwrap_or_else(PoisonError::into_inner).leave(&missed);
                }
                return;
            }
            Err(error) => return warn!(step = missed.step.name, %error, "a deadline could not be met; it is tried again"),
        }
        info!(step = missed.step.name, cause = %missed.cause.event_id, "a deadline has passed");
        match AssertUnwindSafe(self.commands.perform(&missed.step, &missed.cause)).catch_unwind().await {
            Ok(Ok(())) => {
                if let Some(deadlines) = &self.deadlines {
                    deadlines.lock().unwrap_or_else(PoisonError::into_inner).met(&missed);
                }
            }
            Ok(Err(error)) => warn!(step = missed.step.name, %error, "a deadline could not be met; it is tried again"),
            Err(_) => error!(step = missed.step.name, cause = %missed.cause.event_id, "meeting a deadline panicked; it is tried again"),
        }
    }

    /// Keeps the place in the process's stream; answers the place that is kept.
    async fn keep_place(&self, kept: Position) -> Position {
        let done = *self.progress.done().borrow();
        if done <= kept {
            return kept;
        }
        let id = self.commands.ledger.ids().uuid();
        let envelope = Envelope {
            command_id: CommandId(id),
            causation_id: None,
            correlation_id: id,
            actor: Actor::system("process"),
            operator_id: OperatorId(Uuid::nil()),
            occurred_at: self.commands.ledger.clock().now(),
        };
        let command = ProcessCommand::Advance { process: NAME.to_owned(), position: done };
        match self.commands.ledger.handle::<Process>(&StreamId::process(NAME), command, &envelope).await {
            Ok(_) => done,
            Err(error) => {
                warn!(%error, "the process managers' place was not kept");
                kept
            }
        }
    }
}

fn worker_of(correlation_id: Uuid) -> usize {
    // The low half of an id is random in every version that we make.
    usize::try_from(correlation_id.as_u128() % WORKERS as u128).unwrap_or(0)
}
