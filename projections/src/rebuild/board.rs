//! What everybody can see of a replay while its threads work: how far, how fast, and what stands in the way.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::control::Control;
use super::job::Watcher;
use super::port::{BuildStore, Job, Phase, Wanted};
use crate::measure;

/// How often a rebuild says how far it is, and hears what people want.
pub(super) const NOTE_EVERY: Duration = Duration::from_millis(500);

/// The rebuilds of one replay, as they are shown while its threads work.
pub(super) struct Board {
    jobs: Mutex<Vec<Job>>,
    control: Arc<Control>,
}

impl Board {
    pub(super) fn new(jobs: Vec<Job>, control: Arc<Control>) -> Board {
        Board { jobs: Mutex::new(jobs), control }
    }

    pub(super) fn jobs(&self) -> Vec<Job> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn with(&self, mut change: impl FnMut(&mut Job)) {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).iter_mut().for_each(&mut change);
    }

    pub(super) fn next_pass(&self) {
        self.with(|job| {
            (job.phase, job.error) = (Phase::Replaying, None);
            job.passes += 1;
        });
    }

    pub(super) fn trouble(&self, error: Option<&str>) {
        self.with(|job| job.error = error.map(str::to_owned));
    }

    fn hear(&self, name: &str, wanted: Wanted) {
        self.with(|job| {
            if job.name == name {
                job.wanted = wanted;
            }
        });
    }

    pub(super) fn leave(&self, name: &str) {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).retain(|job| job.name != name);
    }

    /// Writes down how far it is and hears what people want, until it is told to end.
    pub(super) async fn keep_noting(self: Arc<Board>, store: Arc<dyn BuildStore>, watcher: Watcher) {
        let (mut before, mut rate) = ((Instant::now(), 0), 0.0_f64);
        loop {
            let (events, rows) = (self.control.events.load(Ordering::Relaxed), self.control.rows.load(Ordering::Relaxed));
            rate = smoothed(rate, &mut before, events);
            self.with(|job| {
                job.events_done = events.min(job.events_total);
                job.rows = rows;
                job.events_per_s = whole(rate);
                job.eta_s = (rate >= 1.0).then(|| job.events_total.saturating_sub(events) / whole(rate).max(1));
            });
            let mut wanted = Vec::new();
            for mut job in self.jobs() {
                // While the database is away nobody can say anything new.
                job.wanted = store.note(&job).await.unwrap_or(job.wanted);
                self.hear(&job.name, job.wanted);
                wanted.push(job.wanted);
                measure::rebuilding(&job);
                watcher(&job);
            }
            let first = wanted.iter().find(|wanted| **wanted != Wanted::Run);
            self.control.want(first.copied().unwrap_or(Wanted::Run));
            tokio::time::sleep(NOTE_EVERY).await;
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "a count of events is far below 2^52")]
fn smoothed(rate: f64, before: &mut (Instant, u64), events: u64) -> f64 {
    let (at, then) = std::mem::replace(before, (Instant::now(), events));
    let seconds = at.elapsed().as_secs_f64();
    // A new reading of the log begins to count anew.
    if seconds < 0.05 || events < then {
        return rate;
    }
    let now = (events - then) as f64 / seconds;
    if rate == 0.0 { now } else { rate * 0.7 + now * 0.3 }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate is not negative and far below the bound")]
fn whole(rate: f64) -> u64 {
    rate.round() as u64
}
