//! How the sandbox reports: at once, or as real channels do, late, twice, out of order, or never. What it does follows from a seed.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// How the sandbox reports and answers.
#[derive(Debug)]
pub enum Behaviour {
    /// At once, once, in order.
    Prompt,
    /// As the real ones: some reports late, some twice, some never; some answers lost although the wish was carried out.
    Realistic(Box<Mutex<ChaCha8Rng>>),
    /// It does what it is asked, and reports nothing: only questions bring news.
    Silent,
}

/// What becomes of one report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Delivery {
    /// How often it is sent: 0, 1 or 2 times.
    pub(crate) times: u8,
    /// How late, the first time.
    pub(crate) delay: Duration,
}

impl Behaviour {
    /// As the real ones do, from a seed.
    #[must_use]
    pub fn realistic(seed: u64) -> Behaviour {
        Behaviour::Realistic(Box::new(Mutex::new(ChaCha8Rng::seed_from_u64(seed))))
    }

    pub(crate) fn delivery(&self) -> Delivery {
        match self {
            Behaviour::Prompt => Delivery { times: 1, delay: Duration::ZERO },
            Behaviour::Silent => Delivery { times: 0, delay: Duration::ZERO },
            Behaviour::Realistic(random) => {
                let mut random = random.lock().unwrap_or_else(PoisonError::into_inner);
                let times = match random.random_range(0..10) {
                    0 => 0,
                    1..=3 => 2,
                    _ => 1,
                };
                Delivery { times, delay: Duration::from_millis(random.random_range(0..40)) }
            }
        }
    }

    /// Whether the answer to a wish that was carried out gets lost on its way.
    pub(crate) fn loses_answer(&self) -> bool {
        match self {
            Behaviour::Prompt | Behaviour::Silent => false,
            Behaviour::Realistic(random) => random.lock().unwrap_or_else(PoisonError::into_inner).random_range(0..8) == 0,
        }
    }
}
