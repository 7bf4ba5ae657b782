//! A connector (充电枪): the lock that one session holds at a time. Occupying is an event in the connector's own stream, appended at an
//! expected revision, so that of two starts one wins under any interleaving.

mod decide;
mod event;
mod state;
#[cfg(test)]
mod tests;

pub use decide::*;
pub use event::*;
pub use state::*;
