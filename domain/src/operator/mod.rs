//! What can happen to an operator.

mod event;

pub use event::*;
