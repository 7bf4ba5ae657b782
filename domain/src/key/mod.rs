//! API keys: who may call, in which role, for which operator. The secret itself is never in the log.

mod decide;
mod event;
#[cfg(test)]
mod tests;

pub use decide::*;
pub use event::*;
