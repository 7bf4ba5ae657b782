//! Tariffs (计费模型): what a kilowatt-hour and a minute cost, and when. A tariff is published in versions, which never
//! change and take effect in the order of their numbers; a session keeps the version it was started under.
//!
//! Deliberately absent: which station has which tariff (the station says), and arithmetic (see [`crate::pricing`]).

mod check;
mod decide;
mod event;
mod state;
mod terms;
#[cfg(test)]
mod tests;

pub use check::{MOST_ELEMENTS, TermsError};
pub use decide::{LONGEST_NAME, MOST_VERSIONS, TariffCommand, TariffError};
pub use event::*;
pub use state::{Tariff, Version};
pub use terms::*;
