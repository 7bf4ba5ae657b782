//! Which posting rules the books follow.

mod event;

pub use event::*;
