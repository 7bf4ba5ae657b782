//! How far a process manager has got. Only a mark: what it did is in the streams that it wrote to.

mod decide;
mod event;
#[cfg(test)]
mod tests;

pub use decide::*;
pub use event::*;
