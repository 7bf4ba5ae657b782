//! A process manager's mark moves forward, or not at all; unless the log itself has moved.

use std::convert::Infallible;

use super::ProcessEvent;
use crate::Decider;
use crate::event::Event;
use crate::log::Position;

/// How far a process manager has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Process {
    /// Everything up to here has been reacted to.
    pub position: Position,
}

/// What a process manager reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProcessCommand {
    /// Everything up to here has been reacted to. One that lags behind another of the same name changes nothing.
    Advance {
        /// Which process manager.
        process: String,
        /// How far.
        position: Position,
    },
    /// The log has moved to another engine, where places have other numbers.
    Move {
        /// Which process manager.
        process: String,
        /// How far, in the numbers of the engine where it is now.
        position: Position,
    },
}

impl Decider for Process {
    type Command = ProcessCommand;
    type Event = ProcessEvent;
    type Error = Infallible;

    fn decide(&self, command: ProcessCommand) -> Result<Vec<ProcessEvent>, Infallible> {
        match command {
            ProcessCommand::Advance { position, .. } if position <= self.position => Ok(vec![]),
            ProcessCommand::Move { position, .. } if position == self.position => Ok(vec![]),
            ProcessCommand::Advance { process, position } | ProcessCommand::Move { process, position } => {
                Ok(vec![ProcessEvent::Advanced { process, position }])
            }
        }
    }

    fn evolve(self, event: &ProcessEvent) -> Process {
        match event {
            ProcessEvent::Advanced { position, .. } => Process { position: *position },
        }
    }

    fn event(event: &Event) -> Option<&ProcessEvent> {
        if let Event::Process(event) = event { Some(event) } else { None }
    }
}
