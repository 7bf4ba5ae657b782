//! Commands in numbers, for whatever recorder the process has.

use domain::decider::Decider;
use domain::log::StreamId;

use crate::handle::{Done, HandleError};

/// Counts what became of commands on one aggregate.
pub(crate) fn carried_out<D: Decider>(stream: &StreamId, commands: usize, result: &Result<Done<D>, HandleError<D::Error>>) {
    let outcome = match result {
        Ok(done) if done.repeated => "repeated",
        Ok(done) if done.events.is_empty() => "unchanged",
        Ok(_) => "done",
        Err(HandleError::Refused(_)) => "refused",
        Err(HandleError::Moved { .. }) => "moved",
        Err(HandleError::Busy { .. }) => "busy",
        Err(HandleError::CommandReused { .. }) => "reused",
        Err(HandleError::Store(_)) => "unavailable",
        Err(HandleError::Unreadable(_)) => "unreadable",
    };
    metrics::counter!("chargeledger_commands_total", "aggregate" => stream.category().to_owned(), "outcome" => outcome)
        .increment(commands as u64);
}
