//! What can be decided about a projection, and what is refused. That the projection exists, and stands at the event, is for whoever asks to know.

use std::collections::BTreeMap;

use super::ProjectionEvent;
use crate::Decider;
use crate::event::Event;
use crate::ids::EventId;
use crate::log::Position;
use crate::text::{self, TextError};

/// The longest reason and note.
const WORDS_MAX: usize = 500;

/// What has been decided about a projection.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Projection {
    /// The reasons of the events that it steps over.
    quarantined: BTreeMap<EventId, String>,
    /// Of each build, what was approved last: where it was compared, and how many rows differed.
    approved: BTreeMap<u64, (Position, u64)>,
}

/// What somebody decides about a projection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProjectionCommand {
    /// Let it step over an event. The same event again changes nothing: the first reason stands.
    Quarantine {
        /// Which projection.
        projection: String,
        /// Where the event is.
        position: Position,
        /// Which event.
        event_id: EventId,
        /// Its stored name.
        event_type: String,
        /// Why.
        reason: String,
    },
    /// Let a build take the place of the one that serves. The same comparison again changes nothing.
    ApproveSwap {
        /// Which projection.
        projection: String,
        /// Which build.
        build: u64,
        /// The two were compared there.
        position: Position,
        /// How many rows differed.
        rows_differing: u64,
        /// What there is to say about it; may be empty.
        note: String,
    },
}

/// Why a decision is not taken down.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProjectionError {
    /// A text is not one. Nothing is stepped over without a reason.
    #[error(transparent)]
    Text(#[from] TextError),
}

impl Projection {
    /// Why an event is stepped over, if it is.
    #[must_use]
    pub fn reason(&self, event_id: EventId) -> Option<&str> {
        self.quarantined.get(&event_id).map(String::as_str)
    }

    /// Whether a build may serve after this comparison.
    #[must_use]
    pub fn is_approved(&self, build: u64, position: Position, rows_differing: u64) -> bool {
        self.approved.get(&build) == Some(&(position, rows_differing))
    }
}

impl Decider for Projection {
    type Command = ProjectionCommand;
    type Event = ProjectionEvent;
    type Error = ProjectionError;

    fn decide(&self, command: ProjectionCommand) -> Result<Vec<ProjectionEvent>, ProjectionError> {
        match command {
            ProjectionCommand::Quarantine { projection, position, event_id, event_type, reason } => {
                text::required("reason", &reason, WORDS_MAX)?;
                if self.quarantined.contains_key(&event_id) {
                    return Ok(vec![]);
                }
                Ok(vec![ProjectionEvent::EventQuarantined { projection, position, event_id, event_type, reason }])
            }
            ProjectionCommand::ApproveSwap { projection, build, position, rows_differing, note } => {
                text::optional("note", &note, WORDS_MAX)?;
                if self.is_approved(build, position, rows_differing) {
                    return Ok(vec![]);
                }
                Ok(vec![ProjectionEvent::SwapApproved { projection, build, position, rows_differing, note }])
            }
        }
    }

    fn evolve(mut self, event: &ProjectionEvent) -> Projection {
        match event {
            ProjectionEvent::EventQuarantined { event_id, reason, .. } => {
                self.quarantined.entry(*event_id).or_insert_with(|| reason.clone());
            }
            ProjectionEvent::SwapApproved { build, position, rows_differing, .. } => {
                self.approved.insert(*build, (*position, *rows_differing));
            }
        }
        self
    }

    fn event(event: &Event) -> Option<&ProjectionEvent> {
        if let Event::Projection(event) = event { Some(event) } else { None }
    }
}
