//! What can happen to a session. Small in number, stored for ever.

mod event;

pub use event::*;
