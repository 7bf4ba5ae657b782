//! A breaker in front of the server: when call after call fails, callers hear so at once instead of waiting each for its own deadline, and one of them tries now
//! and then whether the server is back.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many calls in a row have to fail, and for how long nobody may have got an answer: many callers at once fail many times in one bad moment.
const FAILURES_MAX: u32 = 8;
const OUTAGE_MIN: Duration = Duration::from_millis(500);
/// For how long callers are turned away before one may try.
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// What is known of the server.
#[derive(Debug, Default)]
pub(crate) struct Breaker(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    failures: u32,
    since: Option<Instant>,
    /// Until when nobody may try; who comes after it tries for all.
    closed_until: Option<Instant>,
    pause: Duration,
    last: String,
}

impl Breaker {
    /// Whether a call may go out now; else what the last one heard.
    pub(crate) fn admit(&self, now: Instant) -> Result<(), String> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match known.closed_until {
            Some(until) if now < until => Err(known.last.clone()),
            Some(_) => {
                // This one tries; the others wait until it is known, or for another pause.
                known.closed_until = Some(now + known.pause);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The server answered, whatever it said.
    pub(crate) fn answered(&self) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.failures > 0 {
            *known = Known::default();
        }
    }

    /// It did not.
    pub(crate) fn failed(&self, now: Instant, reason: &str) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.failures = known.failures.saturating_add(1);
        reason.clone_into(&mut known.last);
        let since = *known.since.get_or_insert(now);
        if known.failures >= FAILURES_MAX && now.duration_since(since) >= OUTAGE_MIN {
            known.pause = (known.pause * 2).clamp(PAUSE_MIN, PAUSE_MAX);
            known.closed_until = Some(now + known.pause);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_failures_in_a_row_callers_are_turned_away_and_one_tries_after_each_pause() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        for _ in 0..2 * FAILURES_MAX {
            assert_eq!(breaker.admit(start), Ok(()), "one bad moment is no outage");
            breaker.failed(start, "refused");
        }
        let start = start + OUTAGE_MIN;
        breaker.failed(start, "refused");
        assert_eq!(breaker.admit(start), Err("refused".to_owned()));
        let later = start + PAUSE_MIN;
        assert_eq!(breaker.admit(later), Ok(()), "one tries");
        assert!(breaker.admit(later).is_err(), "only one");
        breaker.failed(later, "refused");
        assert!(breaker.admit(later + PAUSE_MIN).is_err(), "the pause grows");
        assert_eq!(breaker.admit(later + 2 * PAUSE_MIN), Ok(()));
        breaker.answered();
        assert_eq!(breaker.admit(later), Ok(()), "it is back");
    }

    #[test]
    fn an_answer_in_between_forgets_the_failures() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        for _ in 0..10 * FAILURES_MAX {
            breaker.failed(now, "refused");
            breaker.answered();
        }
        assert_eq!(breaker.admit(now), Ok(()));
    }
}
