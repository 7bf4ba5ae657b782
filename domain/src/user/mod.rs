//! A driver. Nothing readable about a person is in the log: personal fields are sealed before they come here, and the key
//! that opens them is destroyed on erasure. What a user owes or has is in sessions, payments and the wallet.

mod decide;
mod event;
#[cfg(test)]
mod tests;

pub use decide::*;
pub use event::*;
