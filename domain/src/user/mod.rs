//! What can happen to a user.

mod event;

pub use event::*;
