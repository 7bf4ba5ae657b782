//! The port of the database that keeps the read models: builds, their rows, their checkpoints.
//!
//! Rows and checkpoint commit together; the checkpoint moves by compare-and-set. Nothing here rebuilds: a build is a number, so
//! that a second one can be filled beside the one that serves.

use std::collections::HashSet;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use domain::ids::EventId;
use domain::log::Position;

use crate::fold::{Changes, Definition};
use crate::value::Value;

/// What a build is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BuildState {
    /// Being filled beside the one that serves.
    Filling,
    /// Behind the view in schema `read`.
    Serving,
    /// Served before; kept for the way back.
    Retired,
    /// Shows a position of the past, for people to look at.
    AsOf,
}

/// What became of the ledger's events up to the checkpoint: together they are all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counted {
    /// Handled.
    pub applied: u64,
    /// Of types that the projection does not handle.
    pub ignored: u64,
    /// Stepped over by an operator's decision.
    pub quarantined: u64,
}

impl Counted {
    /// All of them.
    #[must_use]
    pub const fn total(self) -> u64 {
        self.applied + self.ignored + self.quarantined
    }
}

impl std::ops::Add for Counted {
    type Output = Counted;
    fn add(self, more: Counted) -> Counted {
        Counted {
            applied: self.applied + more.applied,
            ignored: self.ignored + more.ignored,
            quarantined: self.quarantined + more.quarantined,
        }
    }
}

/// An event that a projection cannot apply.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Halt {
    /// Where.
    pub position: Position,
    /// Which.
    pub event_id: EventId,
    /// Its stored name.
    pub event_type: String,
    /// Its stream.
    pub stream: String,
    /// What is the matter.
    pub error: String,
    /// What the event says.
    pub event: serde_json::Value,
}

/// One build of a projection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Build {
    /// The projection's name; another one for a view of the past.
    pub name: String,
    /// The projection whose fold fills it.
    pub projection: String,
    /// Counts up with each build of the projection.
    pub number: i64,
    /// The version of the fold that fills it.
    pub version: u32,
    /// What it is for.
    pub state: BuildState,
    /// How far it has got: the rows hold exactly the events up to here.
    pub position: Position,
    /// The last event up to there. Another event in that place means another ledger.
    pub last_event: Option<EventId>,
    /// What became of the events.
    pub counted: Counted,
    /// Why it stands still, if it does.
    pub halt: Option<Halt>,
    /// Somebody went back to it: nothing takes its place by itself.
    pub pinned: bool,
}

impl Build {
    /// The name of its table.
    #[must_use]
    pub fn table_name(&self) -> String {
        format!("{}__b{}", self.name, self.number)
    }
}

/// What a projector finds.
#[derive(Debug, Clone, PartialEq)]
pub enum Opened {
    /// A build to write on.
    Build(Build),
    /// A build of another version of the fold serves, and is left as it is until a rebuild takes its place.
    Outdated(Build),
    /// The first build is to be filled by a rebuild, or is being filled by one.
    Filling,
}

/// What a projector writes at once.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Where the build has to stand.
    pub from: Position,
    /// Where it will stand.
    pub to: Position,
    /// The last event of the batch, if it has any: a stretch of the log may be empty.
    pub last_event: Option<EventId>,
    /// What happens to its rows.
    pub changes: Changes,
    /// What became of the events, to be added.
    pub counted: Counted,
}

/// Why the read models' database did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadStoreError {
    /// Not now: nothing was written. Wait and try again.
    #[error("the read models' database is unavailable: {reason}")]
    Unavailable {
        /// What is the matter.
        reason: String,
    },
    /// The database's disk is full: nothing was written. Somebody has to make room; then it may be tried again.
    #[error("the disk of the read models' database is full: {reason}")]
    Full {
        /// What the database wanted to write, as it says it.
        reason: String,
    },
    /// The build does not stand where the batch begins, is gone, or is not what it was: another projector was faster, somebody dropped it or swapped it out.
    #[error("build {build} no longer stands at {from} as it did")]
    Superseded {
        /// The build's table.
        build: String,
        /// Where it should have stood.
        from: Position,
    },
    /// The tables are not there any more.
    #[error("the read models' tables are missing: {reason}")]
    Missing {
        /// Which, as the database says it.
        reason: String,
    },
    /// The database does not take these rows. Trying again will not help.
    #[error("the read models' database refuses: {reason}")]
    Refused {
        /// Why.
        reason: String,
    },
}

impl ReadStoreError {
    /// Whether the same request may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            ReadStoreError::Unavailable { .. }
            | ReadStoreError::Full { .. }
            | ReadStoreError::Superseded { .. }
            | ReadStoreError::Missing { .. } => true,
            ReadStoreError::Refused { .. } => false,
        }
    }
}

/// The database that keeps the read models.
#[async_trait]
pub trait ReadStore: Send + Sync + 'static {
    /// Makes whatever is missing (database, schemas, registry, the view) and says which build to write on: the one that serves, or one that served before if
    /// that is what this version of the fold fills. Where there is none at all it makes the first one, if it `may_begin`.
    async fn open(&self, definition: &Definition, may_begin: bool) -> Result<Opened, ReadStoreError>;

    /// The rows under these keys, those that are there.
    async fn load(&self, definition: &Definition, build: &Build, keys: &[Vec<Value>]) -> Result<Vec<Vec<Value>>, ReadStoreError>;

    /// Writes the rows and moves the checkpoint, all or nothing. Refused as superseded unless the build stands where the batch begins, and is in the state
    /// that the caller believes it to be in.
    async fn commit(&self, definition: &Definition, build: &Build, batch: &Batch) -> Result<(), ReadStoreError>;

    /// Notes why a build stands still, or that it does so no longer.
    async fn note_halt(&self, build: &Build, halt: Option<&Halt>) -> Result<(), ReadStoreError>;

    /// Says that a build has caught up after many events: a good moment to look at what the tables hold now, so that queries find their indexes.
    async fn caught_up(&self, definition: &Definition, build: &Build) -> Result<(), ReadStoreError>;

    /// Every build there is.
    async fn builds(&self) -> Result<Vec<Build>, ReadStoreError>;

    /// A claim to lead projections, of its own.
    fn leadership(&self) -> Box<dyn Leadership>;
}

/// The claim of one process to lead projections: of each, one process writes at a time. Dropping it gives all of them up, as the end of the process does.
#[async_trait]
pub trait Leadership: Send + 'static {
    /// Which of these this claim leads from now on: those that it has led, and those that nobody led. After an error it leads none. Each version of a fold
    /// has a leader of its own: while a release is rolled out, the older one goes on with the build that it knows.
    async fn lead(&mut self, projections: &[(&'static str, u32)]) -> Result<HashSet<&'static str>, ReadStoreError>;
}
