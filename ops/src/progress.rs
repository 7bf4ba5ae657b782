//! How far long work has come: a bar with rate and remaining time on a terminal, a plain line now and then otherwise.

use std::io::{IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::output::grouped;

/// Between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Long work, under way.
pub(crate) struct Meter {
    what: &'static str,
    total: u64,
    began: Instant,
    bar: Option<ProgressBar>,
    done: AtomicU64,
    next_line_ms: AtomicU64,
}

impl Meter {
    pub(crate) fn start(what: &'static str, total: u64) -> Meter {
        let bar = std::io::stderr().is_terminal().then(|| {
            let form = "{msg} [{bar:30}] {human_pos}/{human_len}  {per_sec}, {eta} left";
            let style = ProgressStyle::with_template(form).unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(total).with_style(style).with_message(what)
        });
        let next_line_ms = AtomicU64::new(millis(LINE_EVERY));
        Meter { what, total, began: Instant::now(), bar, done: AtomicU64::new(0), next_line_ms }
    }

    pub(crate) fn add(&self, more: u64) {
        let done = self.done.fetch_add(more, Ordering::Relaxed) + more;
        self.show(done, self.total);
    }

    /// For work that says itself how far it is, and of how much.
    pub(crate) fn set(&self, done: u64, total: u64) {
        self.done.store(done, Ordering::Relaxed);
        self.show(done, total);
    }

    fn show(&self, done: u64, total: u64) {
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(done);
            return;
        }
        let elapsed = millis(self.began.elapsed());
        let due = self.next_line_ms.load(Ordering::Relaxed);
        let next = elapsed + millis(LINE_EVERY);
        if elapsed >= due && self.next_line_ms.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            let rate = done * 1000 / elapsed.max(1);
            let left = total.saturating_sub(done) / rate.max(1);
            let line = format!("{}: {} of {}, {}/s, {left} s left", self.what, grouped(done), grouped(total), grouped(rate));
            let _ = writeln!(std::io::stderr(), "{line}");
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
