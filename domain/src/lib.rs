//! The charging ledger's domain, pure: no I/O, no runtime, no clock, no randomness; no floats near money or energy.
//!
//! | module | what |
//! |---|---|
//! | [`decider`] | the one trait: state, decide, evolve |
//! | [`snapshot`] | a state as bytes, for streams that grow for years |
//! | [`log`] | what a stored event is, the hash chain, the event store's port |
//! | [`recorded`] | what another engine has recorded, on its way into this one |
//! | [`event`] | the closed set of events and their stored form; [`upcast`] reads old forms |
//! | [`units`], [`ids`], [`time`], [`text`], [`sealed`] | exact quantities, identities, instants, bounded texts, personal data |
//! | [`session`] | one charging session, from request to settlement |
//! | [`payment`], [`wallet`] | money in, money back, money set aside |
//! | [`station`], [`pile`], [`connector`] | what is there to charge at; the connector is the lock |
//! | [`tariff`], [`pricing`] | what it costs, and the bill |
//! | [`agency`] | whose a station is, and how a bill is divided between its owner and the operator |
//! | [`journal`], [`audit`] | event → balanced entries; the books summed again from the raw log |
//! | [`operator`], [`user`], [`key`] | tenants, drivers, API keys |
//! | [`request`], [`process`] | client idempotency keys, process managers' progress |
//! | [`projection`] | what people decided about a projection |

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod agency;
pub mod audit;
pub mod connector;
pub mod decider;
pub mod event;
pub mod ids;
pub mod journal;
pub mod key;
pub mod log;
pub mod operator;
pub mod payment;
pub mod pile;
pub mod pricing;
pub mod process;
pub mod projection;
pub mod recorded;
pub mod request;
pub mod sealed;
pub mod session;
pub mod snapshot;
pub mod station;
pub mod tariff;
#[cfg(any(test, feature = "testing"))]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
pub mod testing;
pub mod text;
pub mod time;
pub mod units;
pub mod upcast;
pub mod user;
pub mod wallet;

pub use decider::Decider;
