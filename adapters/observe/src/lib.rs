//! What operators see of the ledger's engine and of each story that runs through it: the event store in numbers for Prometheus ([`Observed`]), and traces over
//! OTLP ([`Traces`]), from the HTTP request over the events it became to the read models that hold them.
//!
//! Absent: what HTTP and the projections measure of themselves, and the log lines of the process.

mod projections;
mod request;
mod store;
mod traces;

pub use request::trace_request;
pub use store::Observed;
pub use traces::{TraceError, Traces};
