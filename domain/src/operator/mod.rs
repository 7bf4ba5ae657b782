//! An operator: the tenant whose data nobody else sees, and whose books the journal keeps.

mod decide;
mod event;
#[cfg(test)]
mod tests;

pub use decide::*;
pub use event::*;
