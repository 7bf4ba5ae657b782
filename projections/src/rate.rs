//! How many events a second, lately: for people and metrics.

use tokio::time::Instant;

/// A rate that is older than this many seconds says nothing about now.
const SECONDS_MAX: u64 = 5;

/// A rate, and when it was measured.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rate(Option<(Instant, f64)>);

impl Rate {
    /// So many events took so many seconds. What was measured before counts in, so that the figure does not jump.
    #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
    pub fn measured(&mut self, events: u64, seconds: f64) {
        let now = events as f64 / seconds.max(0.000_001);
        let smooth = self.0.map_or(now, |(_, before)| before * 0.7 + now * 0.3);
        self.0 = Some((Instant::now(), smooth));
    }

    /// Events per second; 0 when nothing was measured for a while.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate is not negative and far below the bound")]
    pub fn events_per_s(self) -> u64 {
        let recent = self.0.filter(|(when, _)| when.elapsed().as_secs() < SECONDS_MAX);
        recent.map_or(0, |(_, rate)| rate as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn a_rate_is_smoothed_and_forgotten_when_nothing_comes() {
        let mut rate = Rate::default();
        assert_eq!(rate.events_per_s(), 0);
        rate.measured(100, 0.1);
        assert_eq!(rate.events_per_s(), 1_000);
        rate.measured(200, 0.1);
        assert_eq!(rate.events_per_s(), 1_300);
        tokio::time::advance(Duration::from_secs(SECONDS_MAX)).await;
        assert_eq!(rate.events_per_s(), 0);
    }
}
