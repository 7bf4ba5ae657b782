//! A pile (充电桩): what it is and where it stands. What its connectors are doing is in their streams.

mod decide;
mod event;
#[cfg(test)]
mod tests;

pub use decide::*;
pub use event::*;
