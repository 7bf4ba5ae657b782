//! What can happen to a wallet. Its balance is money that users have prepaid; holds set a part of it aside.

mod event;

pub use event::*;
