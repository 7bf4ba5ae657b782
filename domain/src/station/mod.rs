//! A station (充电站): a place with piles, and the tariff that sessions there take. Its piles and their states are not here:
//! they have streams of their own.

mod decide;
mod event;
#[cfg(test)]
mod tests;

pub use decide::*;
pub use event::*;
