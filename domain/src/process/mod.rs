//! The progress of a process manager.

mod event;

pub use event::*;
