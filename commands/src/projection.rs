//! What people decide about a projection. Which projections there are, and at which event one stands, is for whoever calls to know: commands do not see the read models.

use domain::Decider as _;
use domain::ids::EventId;
use domain::log::{Position, Revision, StreamId};
use domain::projection::{Projection, ProjectionCommand, ProjectionEvent};

use crate::Commands;
use crate::error::CommandError;
use crate::handle::Done;
use crate::request::{Caller, RequestIds};

/// How many decisions are read at a time.
const PAGE: usize = 512;

/// An event that a projection is to step over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Poison {
    /// Where.
    pub position: Position,
    /// Which.
    pub event_id: EventId,
    /// Its stored name.
    pub event_type: String,
}

/// A build that was compared with the one that serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compared {
    /// Which build.
    pub build: u64,
    /// Where both stood.
    pub position: Position,
    /// How many rows differed.
    pub rows_differing: u64,
}

impl Commands {
    /// Lets a projection step over an event, for ever. The same event again changes nothing: the first reason stands.
    ///
    /// # Errors
    /// When there is no reason.
    pub async fn quarantine_event(
        &self,
        caller: &Caller,
        ids: &RequestIds,
        projection: &str,
        poison: Poison,
        reason: String,
    ) -> Result<Done<Projection>, CommandError> {
        let Poison { position, event_id, event_type } = poison;
        let envelope = caller.envelope(ids.command("quarantine event"), event_id.0);
        let command = ProjectionCommand::Quarantine { projection: projection.to_owned(), position, event_id, event_type, reason };
        Ok(self.ledger.handle::<Projection>(&StreamId::projection(projection), command, &envelope).await?)
    }

    /// What a request to quarantine an event decided when it was carried out before; none when it was not.
    ///
    /// # Errors
    /// When the event store cannot be read.
    pub async fn quarantined_before(&self, ids: &RequestIds, projection: &str) -> Result<Option<ProjectionEvent>, CommandError> {
        let (stream, command_id) = (StreamId::projection(projection), ids.command("quarantine event"));
        if !self.ledger.has_done::<Projection>(&stream, command_id).await? {
            return Ok(None);
        }
        let mut from = Revision(0);
        loop {
            let page = self.ledger.store().read_stream(&stream, from, PAGE).await.map_err(CommandError::Store)?;
            let is_last = page.len() < PAGE;
            for stored in page {
                from = stored.revision.next();
                if stored.metadata.command_id == command_id {
                    let recorded = stored.decode().map_err(CommandError::Unreadable)?;
                    return Ok(Projection::event(&recorded.event).cloned());
                }
            }
            if is_last {
                return Ok(None);
            }
        }
    }

    /// Takes down that somebody looked at what differs and lets a build take the place of the one that serves.
    ///
    /// # Errors
    /// When the note cannot be.
    pub async fn approve_swap(
        &self,
        caller: &Caller,
        ids: &RequestIds,
        projection: &str,
        compared: Compared,
        note: String,
    ) -> Result<Done<Projection>, CommandError> {
        let Compared { build, position, rows_differing } = compared;
        let command_id = ids.command("approve swap");
        let envelope = caller.envelope(command_id, command_id.0);
        let command = ProjectionCommand::ApproveSwap { projection: projection.to_owned(), build, position, rows_differing, note };
        Ok(self.ledger.handle::<Projection>(&StreamId::projection(projection), command, &envelope).await?)
    }
}
