//! The gate before the database: those who wait for an answer pass it, and hear at once when nobody gets one.
//!
//! Queries, and the keys of personal data, go through the gate: requests come in without bound, and each would wait for its own time-out. Those who write read models do not:
//! a projector, a rebuild and a sender each wait with growing pauses already and are few; turned away they would only come back later. What they meet is told here,
//! so that requests are turned away before one has waited, and let in as soon as anybody gets an answer: the connection that leads connects again every second.

use std::future::Future;
use std::time::{Duration, Instant};

use deadpool_postgres::{Object, Pool, PoolError, TimeoutType};
use projections::breaker::{Breaker, Pass};
use projections::port::ReadStoreError;

use crate::error;

/// Calls in a row without an answer before others are turned away.
const FAILURES_MAX: u32 = 4;
/// What the server cuts off by itself is on its way by then: whoever hears nothing for longer is not being answered.
const GRACE: Duration = Duration::from_secs(1);

/// What stands before one database.
#[derive(Debug)]
pub(crate) struct Gate {
    breaker: Breaker,
    answer_max: Duration,
}

/// One who got through, and has a connection.
pub(crate) struct Asking<'a> {
    pass: Pass<'a>,
    answer_max: Duration,
}

impl Gate {
    /// Before a database whose server cuts statements off after so long.
    pub(crate) fn new(engine: &'static str, statement_max: Duration) -> Gate {
        Gate { breaker: Breaker::new(engine, FAILURES_MAX), answer_max: statement_max + GRACE }
    }

    /// A connection for one question.
    pub(crate) async fn connection(&self, pool: &Pool) -> Result<(Object, Asking<'_>), ReadStoreError> {
        let refused = |reason| ReadStoreError::Unavailable { reason };
        let pass = self.breaker.admit(Instant::now()).map_err(|told| refused(told.reason))?;
        match pool.get().await {
            Ok(client) => Ok((client, Asking { pass, answer_max: self.answer_max })),
            // All of them in use: that says nothing about the server.
            Err(error @ PoolError::Timeout(TimeoutType::Wait)) => Err(error::pool(&error)),
            Err(PoolError::Backend(error)) => Err(pass_on(pass, &error)),
            Err(other) => {
                pass.failed(Instant::now(), &other.to_string());
                Err(error::pool(&other))
            }
        }
    }

    /// What is known from somebody who did not have to pass.
    pub(crate) fn note(&self, error: &tokio_postgres::Error) {
        match error::is_answer(error) {
            true => self.breaker.answered(),
            false => self.breaker.failed(Instant::now(), &error::describe(error)),
        }
    }

    /// The same of one who waited for a connection.
    pub(crate) fn note_pool(&self, error: &PoolError) {
        if let PoolError::Backend(error) = error {
            self.note(error);
        }
    }

    /// Whether nobody is turned away.
    pub(crate) fn lets_in(&self) -> bool {
        !self.breaker.is_open()
    }

    /// The server has answered somebody who did not have to pass.
    pub(crate) fn answered(&self) {
        self.breaker.answered();
    }
}

impl Asking<'_> {
    /// What the database says to it, if it says something.
    pub(crate) async fn answer<T>(self, question: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, ReadStoreError> {
        match tokio::time::timeout(self.answer_max, question).await {
            Ok(Ok(answer)) => {
                self.pass.answered();
                Ok(answer)
            }
            Ok(Err(error)) => Err(pass_on(self.pass, &error)),
            Err(_) => {
                let reason = format!("it has not answered for {} s", self.answer_max.as_secs_f32());
                self.pass.failed(Instant::now(), &reason);
                Err(ReadStoreError::Unavailable { reason })
            }
        }
    }
}

fn pass_on(pass: Pass<'_>, error: &tokio_postgres::Error) -> ReadStoreError {
    match error::is_answer(error) {
        true => pass.answered(),
        false => pass.failed(Instant::now(), &error::describe(error)),
    }
    error::database(error)
}
