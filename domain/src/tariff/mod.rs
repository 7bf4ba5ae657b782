//! Tariffs (计费模型): what a kilowatt-hour and a minute cost, and when.

mod event;
mod terms;

pub use event::*;
pub use terms::*;
