//! A place in the server's `$all`, from which reading is inclusive.

use eventstore::{Position as ServerPosition, StreamPosition};

/// Where reading begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum Cursor {
    /// At the beginning.
    #[default]
    Start,
    /// At an event that is there. Another place is a mistake that a server answers with an error, or with silence.
    At { commit: u64, prepare: u64 },
}

impl Cursor {
    /// Of an event of the ledger: what is appended by this protocol has one number twice.
    pub(crate) const fn of_event(position: u64) -> Cursor {
        Cursor::At { commit: position, prepare: position }
    }

    pub(crate) fn wire(self) -> StreamPosition<ServerPosition> {
        match self {
            Cursor::Start => StreamPosition::Start,
            Cursor::At { commit, prepare } => StreamPosition::Position(ServerPosition { commit, prepare }),
        }
    }
}

impl From<ServerPosition> for Cursor {
    fn from(at: ServerPosition) -> Cursor {
        Cursor::At { commit: at.commit, prepare: at.prepare }
    }
}
