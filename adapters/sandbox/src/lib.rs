//! The sandbox payment channel and the simulated device gateway: they behave as the real ones do, and say in every record that they are not.
//!
//! | module | what |
//! |---|---|
//! | [`channel`] | a payment channel with its own books, its own statement, and a payer |
//! | [`behaviour`] | how late, how often and in which order it reports, from a seed |
//! | [`mod@copy`] | a copy of its books while they are being written to |
//! | [`gateway`] | devices that begin and end when told |

pub mod behaviour;
mod books;
pub mod channel;
pub mod copy;
pub mod gateway;

pub use behaviour::Behaviour;
pub use books::{Statement, StatementDay};
pub use channel::{Reports, SandboxChannel, deliver};
pub use gateway::{DeviceMood, SimulatedGateway, StartedDevice, speak};
