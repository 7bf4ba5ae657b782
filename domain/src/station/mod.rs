//! What can happen to a station.

mod event;

pub use event::*;
