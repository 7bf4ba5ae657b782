//! A breaker in front of an engine: when call after call gets no answer, callers hear so at once instead of waiting each for its own deadline, and one of them at a time
//! tries whether the engine is back.
//!
//! It is here because the read side is what all engines have in common: the log is read from one, rows are kept in another, the feed goes to a third. Each adapter has
//! one of its own, and decides which calls pass through it, and what counts as an answer: a refusal is one.
//!
//! Deliberately absent: trying again, which is the caller's, and any opinion on how long a call may take.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::{info, warn};

/// For how long nobody may have got an answer: many callers at once fail many times in one bad moment.
const OUTAGE_MIN: Duration = Duration::from_millis(500);
/// For how long callers are turned away before one may try.
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// What is known of an engine, shared by all who call it.
pub struct Breaker {
    /// Its name in the numbers.
    engine: &'static str,
    /// How many calls in a row have to fail.
    failures_max: u32,
    state: Mutex<State>,
}

/// What the last one heard who got through.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refused {
    /// In the engine's words.
    pub reason: String,
}

/// Leave for one call. What became of it is to be said; dropped instead, it was given up on, and nothing is known.
#[must_use]
pub struct Pass<'a> {
    breaker: &'a Breaker,
    leave: Leave,
}

impl Breaker {
    /// In front of an engine that has not been called yet. So many calls in a row, and half a second, without an answer make an outage.
    #[must_use]
    pub fn new(engine: &'static str, failures_max: u32) -> Breaker {
        let breaker = Breaker { engine, failures_max, state: Mutex::default() };
        breaker.show(false);
        breaker
    }

    /// Leave for a call now, or what the last one heard.
    ///
    /// # Errors
    /// When the engine has not answered of late, and this is not the one that tries.
    pub fn admit(&self, now: Instant) -> Result<Pass<'_>, Refused> {
        let leave = self.state().admit(now)?;
        Ok(Pass { breaker: self, leave })
    }

    /// Somebody got an answer, whatever it was; also who needed no leave.
    pub fn answered(&self) {
        let was_open = self.state().answered();
        if was_open {
            info!(engine = self.engine, "the engine answers again");
            self.show(false);
        }
    }

    /// Somebody who needed no leave got no answer.
    pub fn failed(&self, now: Instant, reason: &str) {
        self.note(now, reason, Leave::Plain);
    }

    /// Whether callers are turned away.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(*self.state(), State::Open { .. })
    }

    fn note(&self, now: Instant, reason: &str, leave: Leave) {
        let opens = self.state().failed(now, reason, leave, self.failures_max);
        if opens {
            warn!(engine = self.engine, reason, "the engine does not answer: callers are turned away, and one at a time tries");
            self.show(true);
        }
    }

    fn show(&self, is_open: bool) {
        metrics::gauge!("chargeledger_engine_breaker_open", "engine" => self.engine).set(f64::from(u8::from(is_open)));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker").field("engine", &self.engine).field("is_open", &self.is_open()).finish_non_exhaustive()
    }
}

impl Pass<'_> {
    /// There was an answer, whatever it was.
    pub fn answered(mut self) {
        self.leave = Leave::Plain;
        self.breaker.answered();
    }

    /// There was none.
    pub fn failed(mut self, now: Instant, reason: &str) {
        let leave = std::mem::replace(&mut self.leave, Leave::Plain);
        self.breaker.note(now, reason, leave);
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.leave == Leave::Trial {
            self.breaker.state().gave_up(Instant::now());
        }
    }
}

/// What a call may do for the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leave {
    /// One of many.
    Plain,
    /// The one that finds out.
    Trial,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// Everybody may call. So many in a row got no answer, the first of them then.
    Closed { failures: u32, since: Option<Instant> },
    /// Nobody may until then; who comes after it tries for all, and it is waited for.
    Open { until: Instant, pause: Duration, is_tried: bool, reason: String },
}

impl Default for State {
    fn default() -> State {
        State::Closed { failures: 0, since: None }
    }
}

impl State {
    fn admit(&mut self, now: Instant) -> Result<Leave, Refused> {
        match self {
            State::Closed { .. } => Ok(Leave::Plain),
            State::Open { until, is_tried, .. } if now >= *until && !*is_tried => {
                *is_tried = true;
                Ok(Leave::Trial)
            }
            State::Open { reason, .. } => Err(Refused { reason: reason.clone() }),
        }
    }

    /// Whether this ends an outage.
    fn answered(&mut self) -> bool {
        matches!(std::mem::take(self), State::Open { .. })
    }

    /// Whether this begins one.
    fn failed(&mut self, now: Instant, why: &str, leave: Leave, failures_max: u32) -> bool {
        match self {
            State::Closed { failures, since } => {
                *failures = failures.saturating_add(1);
                let since = *since.get_or_insert(now);
                let opens = *failures >= failures_max && now.duration_since(since) >= OUTAGE_MIN;
                if opens {
                    *self = State::Open { until: now + PAUSE_MIN, pause: PAUSE_MIN, is_tried: false, reason: why.to_owned() };
                }
                opens
            }
            State::Open { until, pause, is_tried, reason } => {
                // Those that were under way when it opened say nothing new.
                if leave == Leave::Trial {
                    *pause = (*pause * 2).min(PAUSE_MAX);
                    (*until, *is_tried) = (now + *pause, false);
                    why.clone_into(reason);
                }
                false
            }
        }
    }

    /// The one that tried did not wait for the answer.
    fn gave_up(&mut self, now: Instant) {
        if let State::Open { until, pause, is_tried, .. } = self {
            (*until, *is_tried) = (now + *pause, false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILURES_MAX: u32 = 3;
    const HALF: Duration = Duration::from_millis(500);
    const MOMENT: Duration = Duration::from_millis(1);

    /// What happens, and how much later.
    #[derive(Clone, Copy)]
    enum Step {
        Answered,
        Failed,
        TrialFailed,
        GaveUp,
        After(Duration),
        Admitted,
    }
    use Step::{Admitted, After, Answered, Failed, GaveUp, TrialFailed};

    /// A breaker after all this, and the moment at which it is.
    struct Given(State, Instant);

    fn given(steps: impl IntoIterator<Item = Step>) -> Given {
        let mut given = Given(State::default(), Instant::now());
        for step in steps {
            match step {
                Answered => drop(given.0.answered()),
                Failed => drop(given.0.failed(given.1, "no answer", Leave::Plain, FAILURES_MAX)),
                TrialFailed => drop(given.0.failed(given.1, "still none", Leave::Trial, FAILURES_MAX)),
                GaveUp => given.0.gave_up(given.1),
                After(pause) => given.1 += pause,
                Admitted => drop(given.0.admit(given.1).unwrap()),
            }
        }
        given
    }

    impl Given {
        fn when_called(mut self) -> Result<Leave, Refused> {
            self.0.admit(self.1)
        }
    }

    /// An outage that has just begun.
    const OUTAGE: [Step; 4] = [Failed, Failed, After(HALF), Failed];

    fn refused(reason: &str) -> Result<Leave, Refused> {
        Err(Refused { reason: reason.to_owned() })
    }

    #[test]
    fn many_failures_in_one_bad_moment_are_no_outage() {
        assert_eq!(given([Failed; 20]).when_called(), Ok(Leave::Plain));
    }

    #[test]
    fn few_failures_over_a_long_time_are_no_outage() {
        assert_eq!(given([Failed, After(HALF), Failed]).when_called(), Ok(Leave::Plain));
    }

    #[test]
    fn an_answer_in_between_forgets_the_failures() {
        assert_eq!(given([Failed, Failed, After(HALF), Answered, Failed]).when_called(), Ok(Leave::Plain));
    }

    #[test]
    fn in_an_outage_callers_hear_at_once_what_the_last_one_heard() {
        assert_eq!(given(OUTAGE).when_called(), refused("no answer"));
        assert_eq!(given(OUTAGE.into_iter().chain([After(PAUSE_MIN - MOMENT)])).when_called(), refused("no answer"));
    }

    #[test]
    fn after_a_pause_one_call_tries_and_the_others_wait_until_it_is_known_however_long_that_takes() {
        let paused = OUTAGE.into_iter().chain([After(PAUSE_MIN)]);
        assert_eq!(given(paused.clone()).when_called(), Ok(Leave::Trial));
        let tried = paused.chain([Admitted, After(PAUSE_MAX * 4)]);
        assert_eq!(given(tried).when_called(), refused("no answer"));
    }

    #[test]
    fn after_each_trial_that_fails_the_pause_is_twice_as_long_up_to_a_bound() {
        let tried = OUTAGE.into_iter().chain([After(PAUSE_MIN), Admitted, TrialFailed]);
        assert_eq!(given(tried.clone().chain([After(PAUSE_MIN * 2 - MOMENT)])).when_called(), refused("still none"));
        assert_eq!(given(tried.clone().chain([After(PAUSE_MIN * 2)])).when_called(), Ok(Leave::Trial));
        let often = tried.chain([After(PAUSE_MAX), Admitted, TrialFailed].repeat(9));
        assert_eq!(given(often.clone().chain([After(PAUSE_MAX - MOMENT)])).when_called(), refused("still none"));
        assert_eq!(given(often.chain([After(PAUSE_MAX)])).when_called(), Ok(Leave::Trial));
    }

    #[test]
    fn calls_that_were_under_way_when_it_opened_do_not_make_the_pause_longer() {
        let late = OUTAGE.into_iter().chain([Failed; 20]).chain([After(PAUSE_MIN)]);
        assert_eq!(given(late).when_called(), Ok(Leave::Trial));
    }

    #[test]
    fn a_trial_that_nobody_waited_for_leaves_the_next_to_another_after_a_pause() {
        let given_up = OUTAGE.into_iter().chain([After(PAUSE_MIN), Admitted, GaveUp]);
        assert_eq!(given(given_up.clone()).when_called(), refused("no answer"));
        assert_eq!(given(given_up.chain([After(PAUSE_MIN)])).when_called(), Ok(Leave::Trial));
    }

    #[test]
    fn whoever_gets_an_answer_lets_everybody_in_again() {
        assert_eq!(given(OUTAGE.into_iter().chain([Answered])).when_called(), Ok(Leave::Plain));
        // The next outage begins from nothing.
        assert_eq!(given(OUTAGE.into_iter().chain([Answered, Failed])).when_called(), Ok(Leave::Plain));
    }

    #[test]
    fn a_pass_says_once_what_became_of_its_call() {
        let (breaker, now) = (Breaker::new("test", 1), Instant::now());
        breaker.failed(now, "no answer");
        breaker.failed(now + OUTAGE_MIN, "no answer");
        assert!(breaker.is_open());
        let later = now + OUTAGE_MIN + PAUSE_MIN;
        breaker.admit(later).unwrap().failed(later, "still none");
        assert_eq!(breaker.admit(later + PAUSE_MIN).err().map(|refused| refused.reason), Some("still none".to_owned()));
        drop(breaker.admit(later + PAUSE_MIN * 2).unwrap());
        assert!(breaker.is_open(), "nothing is known");
        let trial = breaker.admit(Instant::now() + PAUSE_MAX).unwrap();
        trial.answered();
        assert!(!breaker.is_open());
    }
}
