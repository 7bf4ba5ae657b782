//! The only framework we own: an aggregate is three pure items.
//!
//! Time, ids and prices arrive inside the command. There is no I/O, no clock and no randomness here, so that the
//! same events give the same state on every machine and in every year.

use crate::event::Event;
use crate::log::Recorded;

/// A state, the commands it takes, the events they become, and why a command is refused.
pub trait Decider: Sized + 'static {
    /// What `decide` needs to know of the past, and no more. `Default` is the aggregate before its first event.
    type State: Default + Clone + Send + Sync + 'static;
    /// What somebody asks for, or reports.
    type Command: Clone + Send + Sync;
    /// What happened. One closed enum per aggregate.
    type Event: Clone + Send + Sync + Into<Event>;
    /// Why a request is refused. Facts are never refused, only judged.
    type Error: std::error::Error + Clone + Send + Sync + 'static;

    /// The events that a command becomes in this state; none when it changes nothing.
    ///
    /// # Errors
    /// When the command is a request that the state does not allow.
    fn decide(state: &Self::State, command: Self::Command) -> Result<Vec<Self::Event>, Self::Error>;

    /// The state after one more event.
    #[must_use]
    fn evolve(state: Self::State, event: &Self::Event) -> Self::State;

    /// This aggregate's event inside the closed [`Event`], if it is one.
    fn event(event: &Event) -> Option<&Self::Event>;

    /// The state after all of a stream's events.
    #[must_use]
    fn fold<'a>(events: impl IntoIterator<Item = &'a Recorded<Event>>) -> Self::State {
        events.into_iter().filter_map(|recorded| Self::event(&recorded.event)).fold(Self::State::default(), Self::evolve)
    }
}
