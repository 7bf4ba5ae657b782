//! What can happen to an API key. The secret itself is never in the log.

mod event;

pub use event::*;
