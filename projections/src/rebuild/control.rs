//! What a rebuild shares with those who watch and steer it: how far it is, whether it is to go on, and how fast it may write.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::port::Wanted;

/// Steers the threads of a rebuild, and counts what they have done.
#[derive(Debug)]
pub(crate) struct Control {
    wanted: Mutex<Wanted>,
    changed: Condvar,
    stopped: AtomicBool,
    rows_per_s_max: Option<u64>,
    /// Until when the rows that were written use up the budget.
    paid_until: Mutex<Instant>,
    /// Events that were looked at in this pass.
    pub(crate) events: AtomicU64,
    /// Rows that were written.
    pub(crate) rows: AtomicU64,
}

impl Control {
    pub(crate) fn new(rows_per_s_max: Option<u64>) -> Control {
        Control {
            wanted: Mutex::new(Wanted::Run),
            changed: Condvar::new(),
            stopped: AtomicBool::new(false),
            rows_per_s_max: rows_per_s_max.filter(|rows| *rows > 0),
            paid_until: Mutex::new(Instant::now()),
            events: AtomicU64::new(0),
            rows: AtomicU64::new(0),
        }
    }

    /// Says what the threads shall do from now on.
    pub(crate) fn want(&self, wanted: Wanted) {
        let mut now = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        // What was given up is not begun again by whoever had not heard of it.
        if *now != Wanted::Cancel {
            *now = wanted;
        }
        drop(now);
        self.changed.notify_all();
    }

    /// One of the threads has failed: the others need not go on.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.changed.notify_all();
    }

    /// Waits while the rebuild is paused. Whether to go on.
    pub(crate) fn go_on(&self) -> bool {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        while *wanted == Wanted::Pause && !self.stopped.load(Ordering::Relaxed) {
            wanted = self.changed.wait_timeout(wanted, Duration::from_millis(200)).unwrap_or_else(PoisonError::into_inner).0;
        }
        *wanted != Wanted::Cancel && !self.stopped.load(Ordering::Relaxed)
    }

    /// A new reading of the log begins.
    pub(crate) fn begin_pass(&self) {
        self.stopped.store(false, Ordering::Relaxed);
        self.events.store(0, Ordering::Relaxed);
    }

    /// Counts a row on its way to the database, and waits when the budget is used up. All threads share the budget.
    pub(crate) fn writes_row(&self) {
        self.rows.fetch_add(1, Ordering::Relaxed);
        let Some(rows_per_s) = self.rows_per_s_max else { return };
        let each = Duration::from_secs(1) / u32::try_from(rows_per_s).unwrap_or(u32::MAX);
        let wait = {
            let mut paid_until = self.paid_until.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            // What was not used a while ago is not saved up.
            *paid_until = (*paid_until).max(now.checked_sub(Duration::from_millis(100)).unwrap_or(now)) + each;
            paid_until.saturating_duration_since(now)
        };
        // Whoever is to end does not wait for its turn.
        let is_over = self.stopped.load(Ordering::Relaxed) || *self.wanted.lock().unwrap_or_else(PoisonError::into_inner) == Wanted::Cancel;
        if wait > Duration::from_millis(5) && !is_over {
            std::thread::sleep(wait);
        }
    }
}
