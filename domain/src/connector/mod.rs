//! What can happen to a connector. That one session occupies it at a time holds because occupying is an event in its own stream.

mod event;

pub use event::*;
