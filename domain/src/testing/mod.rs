//! For tests: `given(events).when(command).then(events)`, builders of ids and times, and the contract of the event store.

pub mod event_store;
pub mod recorded;

use uuid::Uuid;

use crate::decider::Decider;
use crate::time::Timestamp;

/// What has happened so far.
#[derive(Debug)]
pub struct Given<D: Decider>(Vec<D::Event>);

/// What came of a command.
#[derive(Debug)]
pub struct When<D: Decider>(Result<Vec<D::Event>, D::Error>);

/// Starts a test of one decision.
pub fn given<D: Decider>(events: impl IntoIterator<Item = D::Event>) -> Given<D> {
    Given(events.into_iter().collect())
}

impl<D: Decider> Given<D> {
    /// Decides one command.
    #[must_use]
    pub fn when(self, command: D::Command) -> When<D> {
        let state = self.0.iter().fold(D::default(), D::evolve);
        When(state.decide(command))
    }
}

impl<D: Decider> When<D>
where
    D::Event: PartialEq + std::fmt::Debug,
    D::Error: PartialEq,
{
    /// It became exactly these events.
    #[track_caller]
    pub fn then(self, events: impl IntoIterator<Item = D::Event>) {
        assert_eq!(self.0, Ok(events.into_iter().collect::<Vec<_>>()));
    }

    /// It changed nothing.
    #[track_caller]
    pub fn then_nothing(self) {
        self.then([]);
    }

    /// It was refused.
    #[track_caller]
    pub fn then_refused(self, error: D::Error) {
        assert_eq!(self.0, Err(error));
    }
}

/// The id with this number in it; any id type.
#[must_use]
pub fn id<T: From<Uuid>>(number: u128) -> T {
    Uuid::from_u128(number).into()
}

/// A time from its RFC 3339 text.
///
/// # Panics
/// When the text is none.
#[must_use]
#[track_caller]
pub fn at(text: &str) -> Timestamp {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}
