//! The only framework we own: an aggregate is three pure items, a state, `decide` and `evolve`.
//!
//! Time, ids and prices arrive inside the command. There is no I/O, no clock and no randomness here, so that the
//! same events give the same state on every machine and in every year.

use crate::event::Event;
use crate::log::Recorded;

/// The state of an aggregate: what `decide` needs to know of the past, and no more. `Default` is the aggregate before its first event.
pub trait Decider: Default + Clone + Send + Sync + 'static {
    /// What somebody asks for, or reports.
    type Command: Clone + Send + Sync;
    /// What happened. One closed enum per aggregate.
    type Event: Clone + Send + Sync + Into<Event>;
    /// Why a request is refused. Facts are never refused, only judged.
    type Error: std::error::Error + Clone + Send + Sync + 'static;

    /// What tells the code that folds this aggregate from any other ([`shape_of`](crate::snapshot::shape_of)). None for one whose streams end: it is always folded
    /// from the beginning, and has no bytes.
    const SHAPE: Option<u64> = None;

    /// The state as bytes.
    fn to_bytes(&self) -> Option<Vec<u8>> {
        None
    }

    /// The state that these bytes are, when the same code wrote them.
    fn of_bytes(_bytes: &[u8]) -> Option<Self> {
        None
    }

    /// The events that a command becomes in this state; none when it changes nothing.
    ///
    /// # Errors
    /// When the command is a request that the state does not allow.
    fn decide(&self, command: Self::Command) -> Result<Vec<Self::Event>, Self::Error>;

    /// The state after one more event.
    #[must_use]
    fn evolve(self, event: &Self::Event) -> Self;

    /// This aggregate's event inside the closed [`Event`], if it is one.
    fn event(event: &Event) -> Option<&Self::Event>;

    /// The state after one more event of the aggregate's stream.
    #[must_use]
    fn apply(self, recorded: &Recorded<Event>) -> Self {
        match Self::event(&recorded.event) {
            Some(event) => self.evolve(event),
            None => self,
        }
    }
}
