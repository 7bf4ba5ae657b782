//! The whole system on real engines with a clock that is moved by hand: from plug to settled money, with everything broken on purpose.
//!
//! | module | what |
//! |---|---|
//! | [`world`] | a small network with its users, its sandbox channel and its devices |
//! | [`broken`] | an event store whose answers get lost, and devices that do as they please |
//! | [`books`] | what has to hold whatever happened, and how each check is seen to fail |
//! | [`stories`] | one session a test: every mode, and every way out |
//! | [`ahead`] | a session that is asked for while its connector is still in use |
//! | [`agency`] | stations of somebody else, booked as an agent |
//! | [`refunds`] | refunds that are asked for while the ledger is about to give money back itself |
//! | [`deadlines`] | what must not wait for ever |
//! | [`steps`] | every step of the process managers twice, failing once, and interrupted |
//! | [`simulation`] | many sessions at once, all faults, from a seed |

mod agency;
mod ahead;
mod books;
mod broken;
mod deadlines;
mod refunds;
mod simulation;
mod steps;
mod stories;
mod world;
