//! What can happen to a pile.

mod event;

pub use event::*;
