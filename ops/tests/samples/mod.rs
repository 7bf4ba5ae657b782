//! One event of every type, every field filled: what the golden files under `schemas/events/` show. An event without a sample here
//! fails `every_event_has_one_sample`.

mod estate;
mod money;
mod people;
mod session;
mod tariff;

use domain::event::Event;

/// One of each, aggregate by aggregate.
pub fn all() -> Vec<Event> {
    [session::all(), money::all(), estate::all(), tariff::all(), people::all()].concat()
}

/// The ids that the samples share, so that they read as one story.
mod who {
    use domain::ids::{ConnectorId, OperatorId, PaymentId, PileId, RefundId, SessionId, StationId, TariffId, UserId};
    use domain::testing::id;

    pub fn operator() -> OperatorId {
        id(0x0190_0000_0000_7000_8000_0000_0000_0001)
    }
    pub fn station() -> StationId {
        id(0x0190_0000_0000_7000_8000_0000_0000_0002)
    }
    pub fn pile() -> PileId {
        id(0x0190_0000_0000_7000_8000_0000_0000_0003)
    }
    pub fn connector() -> ConnectorId {
        id(0x0190_0000_0000_7000_8000_0000_0000_0004)
    }
    pub fn tariff() -> TariffId {
        id(0x0190_0000_0000_7000_8000_0000_0000_0005)
    }
    pub fn user() -> UserId {
        id(0x0190_0000_0000_7000_8000_0000_0000_0006)
    }
    pub fn session() -> SessionId {
        id(0x0190_0000_0000_7000_8000_0000_0000_0007)
    }
    pub fn payment() -> PaymentId {
        id(0x0190_0000_0000_7000_8000_0000_0000_0008)
    }
    pub fn refund() -> RefundId {
        id(0x0190_0000_0000_7000_8000_0000_0000_0009)
    }
}

/// A quantity, code or zone from its text.
fn of<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}
