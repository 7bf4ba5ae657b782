//! What people decided about a projection (投影): an event that it is to step over, a build that may be swapped in. What a projection is,
//! and how far it has come, is not here: it can be derived, a decision cannot.

mod decide;
mod event;
#[cfg(test)]
mod tests;

pub use decide::*;
pub use event::*;
