//! Metered energy × tariff → bill lines.

mod bill;

pub use bill::{Bill, BillLine, FeeKind, FeeSum};
