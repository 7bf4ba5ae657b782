//! The port of the database for rebuilds: builds beside the one that serves, filled in parts, compared and put behind the view.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use domain::ids::EventId;
use domain::log::Position;
use domain::time::Timestamp;

use crate::fold::{Changes, Definition, Part};
use crate::port::{Build, Counted, Halt, ReadStore, ReadStoreError};
use crate::value::Value;

/// What people want of a rebuild.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// To go on.
    Run,
    /// To stand still, and keep what it has.
    Pause,
    /// To end, and leave nothing.
    Cancel,
}

/// What a rebuild is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Reading the log and filling fresh tables.
    Replaying,
    /// Making the indexes.
    Indexing,
    /// Applying what was appended meanwhile.
    CatchingUp,
    /// Counting the ledger's events by themselves.
    Accounting,
    /// Comparing with the build that serves.
    Comparing,
    /// Ready; somebody has to agree.
    AwaitingApproval,
    /// Ready; kept beside the one that serves.
    Ready,
    /// Behind the view.
    Swapped,
    /// Somebody gave it up.
    Cancelled,
    /// It could not go on. What is filled stays, and the next attempt goes on from there.
    Failed,
}

impl Phase {
    /// Whether it has come to an end.
    #[must_use]
    pub const fn is_over(self) -> bool {
        match self {
            Phase::Ready | Phase::Swapped | Phase::Cancelled => true,
            Phase::Replaying
            | Phase::Indexing
            | Phase::CatchingUp
            | Phase::Accounting
            | Phase::Comparing
            | Phase::AwaitingApproval
            | Phase::Failed => false,
        }
    }
}

/// A rebuild, as everybody can see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// The name of the build: the projection's, or another one for a view of the past.
    pub name: String,
    /// The build that is made.
    pub number: i64,
    /// What it is doing.
    pub phase: Phase,
    /// Where the replay ends and catching up begins.
    pub until: Position,
    /// How many events of this phase were looked at, and of how many.
    pub events_done: u64,
    /// Of how many.
    pub events_total: u64,
    /// Rows that were written.
    pub rows: u64,
    /// Events per second, lately.
    pub events_per_s: u64,
    /// When this phase will be over, if it goes on like this.
    pub eta_s: Option<u64>,
    /// How often the log is read, because all rows at once would be too much memory.
    pub passes: u32,
    /// Why it could not go on.
    pub error: Option<String>,
    /// The event that it cannot apply, quoted.
    pub halt: Option<Halt>,
    /// The proof that no event is missing.
    pub account: Option<Account>,
    /// What is different from the build that serves.
    pub diff: Option<Diff>,
    /// What people want.
    pub wanted: Wanted,
    /// Who asked for it.
    pub by: String,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it was last heard of.
    pub updated_at: Option<Timestamp>,
}

impl Job {
    /// How much of its phase is done, in tenths of a percent, so that small steps of a long history show. What is ready has everything, whatever its phase counts.
    #[must_use]
    pub fn per_mille(&self) -> u32 {
        if matches!(self.phase, Phase::AwaitingApproval | Phase::Ready | Phase::Swapped) {
            return 1_000;
        }
        let done = u128::from(self.events_done) * 1_000 / u128::from(self.events_total.max(1));
        u32::try_from(done.min(1_000)).unwrap_or(1_000)
    }

    /// The rebuild of a build that nobody has heard of yet.
    #[must_use]
    pub fn of(build: &Build) -> Job {
        Job {
            name: build.name.clone(),
            number: build.number,
            phase: Phase::Replaying,
            until: build.position,
            events_done: 0,
            events_total: 0,
            rows: 0,
            events_per_s: 0,
            eta_s: None,
            passes: 0,
            error: None,
            halt: None,
            account: None,
            diff: None,
            wanted: Wanted::Run,
            by: String::new(),
            started_at: None,
            updated_at: None,
        }
    }
}

/// The proof that a build accounts for every event of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Up to where.
    pub position: Position,
    /// Events that the fold took in.
    pub applied: u64,
    /// Events of types that it does not handle, by type.
    pub ignored: BTreeMap<String, u64>,
    /// Events stepped over by an operator's decision.
    pub quarantined: u64,
    /// The ledger's events up to there, counted by a scan of its own.
    pub events: u64,
    /// What does not agree: event types with the number that was counted while folding and the number in the log.
    pub differing: BTreeMap<String, (u64, u64)>,
}

impl Account {
    /// Whether every event is accounted for.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.differing.is_empty() && self.applied + self.ignored.values().sum::<u64>() + self.quarantined == self.events
    }
}

/// How two builds of a projection differ.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Diff {
    /// The new build's table.
    pub here: String,
    /// Where it stands.
    pub here_position: Position,
    /// The other one's.
    pub there: String,
    /// Where that stands.
    pub there_position: Position,
    /// Rows that are the same in both.
    pub same: u64,
    /// Rows that only the new build has.
    pub only_here: u64,
    /// Rows that only the other one has.
    pub only_there: u64,
    /// Rows that both have, with different cells.
    pub changed: u64,
    /// Rows that were left out, because one of the builds stands further and they have changed since.
    pub not_compared: u64,
    /// Which cells differ, and in how many rows.
    pub fields: BTreeMap<String, u64>,
    /// Columns that only one of them has.
    pub columns_only_here: Vec<String>,
    /// Columns that only the other one has.
    pub columns_only_there: Vec<String>,
    /// Some of the rows that differ.
    pub samples: Vec<Sample>,
    /// Money that differs, by operator and day.
    pub totals: Vec<MoneyDifference>,
}

impl Diff {
    /// How many rows differ.
    #[must_use]
    pub const fn rows_differing(&self) -> u64 {
        self.only_here + self.only_there + self.changed
    }
}

/// A row that differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Its key.
    pub key: serde_json::Value,
    /// Whose it is, if it is one operator's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_id: Option<String>,
    /// The cells that differ, in the new build; all of them where only it has the row.
    pub here: Option<serde_json::Value>,
    /// The same in the other one.
    pub there: Option<serde_json::Value>,
}

/// A sum of money that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoneyDifference {
    /// Whose.
    pub operator_id: Option<String>,
    /// On which day.
    pub day: Option<String>,
    /// Of which column.
    pub column: String,
    /// The sum in the new build, in yuan.
    pub here_yuan: String,
    /// The sum in the other one, in yuan.
    pub there_yuan: String,
}

/// What a rebuild makes.
#[derive(Debug, Clone, PartialEq)]
pub struct Begin {
    /// The build's name: the projection's own, or another one for a view of the past.
    pub name: String,
    /// Where the replay ends.
    pub until: Position,
    /// How many events there are up to there.
    pub events: u64,
    /// Whether it is a view of the past, that nobody goes on with.
    pub is_as_of: bool,
    /// Who asks for it.
    pub by: String,
}

/// Whether a view of the past may be called so: up to 40 small letters, digits and single underscores, a letter first, and not as a projection is called. It goes
/// into SQL as it is.
#[must_use]
pub fn may_name_a_view_of_the_past(name: &str) -> bool {
    let is_plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_') && !name.contains("__");
    name.starts_with(|first: char| first.is_ascii_lowercase()) && is_plain && name.len() <= 40 && crate::definition(name).is_none()
}

/// The fresh tables of a rebuild, new or found half-filled.
#[derive(Debug, Clone, PartialEq)]
pub struct Begun {
    /// The build.
    pub build: Build,
    /// The rebuild.
    pub job: Job,
    /// What is filled already.
    pub filled: Vec<Part>,
}

/// What can be done about a disk that is full.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Room {
    /// What was written for nothing, and has been given back.
    pub given_back_bytes: u64,
    /// Builds that do not serve and could be dropped, with their size.
    pub droppable: Vec<(String, i64, u64)>,
}

/// A connection of one thread that fills a build.
pub trait Filler: Send {
    /// Writes rows and notes that this part is filled, all or nothing. Answers how many rows.
    ///
    /// # Errors
    /// When the database does not take them; then the part is not filled.
    fn fill(&mut self, part: &Part, rows: &mut dyn Iterator<Item = Vec<Value>>) -> Result<u64, ReadStoreError>;
}

/// The right to rebuild; gone when it is dropped, and when the process dies.
#[async_trait]
pub trait Lease: Send + Sync {
    /// Whether it still holds: a connection that broke took it along.
    async fn is_held(&self) -> bool;
}

/// The serving build, held still: its projector waits. Dropping it lets the projector go on.
#[async_trait]
pub trait Held: Send {
    /// The build that serves, where it stands now.
    fn serving(&self) -> Option<&Build>;

    /// Puts `build` behind the view; the one before it is retired and kept, older ones go. One transaction. `pinned`: nothing replaces it by itself.
    async fn swap(self: Box<Self>, definition: &Definition, build: &Build, pinned: bool) -> Result<(), ReadStoreError>;

    /// Changes rows of the build that serves, which stays where it stands.
    async fn correct(self: Box<Self>, definition: &Definition, build: &Build, changes: &Changes) -> Result<(), ReadStoreError>;

    /// Compares both as they stand now, and lets the projector go on as soon as that is certain.
    async fn compare(self: Box<Self>, definition: &Definition, build: &Build) -> Result<Diff, ReadStoreError>;
}

/// The database of the read models, for rebuilds.
#[async_trait]
pub trait BuildStore: ReadStore {
    /// The right to rebuild this name; nothing when another process has it.
    async fn lease(&self, name: &str) -> Result<Option<Box<dyn Lease>>, ReadStoreError>;

    /// Makes fresh tables without indexes, or finds those of a rebuild that was interrupted.
    async fn begin(&self, definition: &Definition, begin: &Begin) -> Result<Begun, ReadStoreError>;

    /// A connection to fill a build with. For a thread that may block.
    fn filler(&self, definition: &Definition, build: &Build) -> Result<Box<dyn Filler>, ReadStoreError>;

    /// The disk is full: gives back what was written into these builds and not finished, and says what else could be dropped.
    async fn make_room(&self, builds: &[Build]) -> Result<Room, ReadStoreError>;

    /// Makes the indexes and looks at what the tables hold.
    async fn make_indexes(&self, definition: &Definition, build: &Build) -> Result<(), ReadStoreError>;

    /// Notes where a filled build stands.
    async fn filled_to(
        &self,
        build: &Build,
        position: Position,
        last_event: Option<EventId>,
        counted: Counted,
    ) -> Result<Build, ReadStoreError>;

    /// Writes down how far a rebuild is, and answers what people want of it.
    async fn note(&self, job: &Job) -> Result<Wanted, ReadStoreError>;

    /// Every rebuild there is or was, the newest of each name first.
    async fn jobs(&self) -> Result<Vec<Job>, ReadStoreError>;

    /// Says what people want of the rebuild of this name. Whether there is one that is not over.
    async fn want(&self, name: &str, wanted: Wanted) -> Result<bool, ReadStoreError>;

    /// Holds the serving build of a projection still.
    async fn hold(&self, definition: &Definition) -> Result<Box<dyn Held>, ReadStoreError>;

    /// Compares two builds whose rows nobody changes meanwhile. With `everything`, rows that have changed between their positions are compared too.
    async fn compare(&self, definition: &Definition, here: &Build, there: &Build, everything: bool) -> Result<Diff, ReadStoreError>;

    /// Puts a view of the past in schema `read`, under its own name.
    async fn show_as_of(&self, definition: &Definition, build: &Build) -> Result<(), ReadStoreError>;

    /// Drops a build that does not serve, with all that belongs to it.
    async fn drop_build(&self, build: &Build) -> Result<(), ReadStoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::{BuildState, Counted};

    fn at(phase: Phase, events_done: u64, events_total: u64) -> u32 {
        let (name, projection, counted) = ("then".to_owned(), "sessions".to_owned(), Counted::default());
        let (state, position) = (BuildState::AsOf, Position(3));
        let build =
            Build { name, projection, number: 1, version: 1, state, position, last_event: None, counted, halt: None, pinned: false };
        Job { phase, events_done, events_total, ..Job::of(&build) }.per_mille()
    }

    #[test]
    fn what_is_ready_is_done_whatever_its_phase_counts() {
        for phase in [Phase::Ready, Phase::AwaitingApproval, Phase::Swapped] {
            assert_eq!((at(phase, 0, 400), at(phase, 0, 0)), (1_000, 1_000));
        }
        assert_eq!((at(Phase::Replaying, 0, 400), at(Phase::Replaying, 1, 400), at(Phase::Replaying, 401, 400)), (0, 2, 1_000));
        assert_eq!((at(Phase::Cancelled, 0, 400), at(Phase::Failed, 0, 400)), (0, 0));
    }

    #[test]
    fn a_view_of_the_past_has_a_plain_name_of_its_own() {
        assert!(may_name_a_view_of_the_past("sessions_in_march_2026"));
        for name in ["", "sessions", "Sessions_then", "1st", "a__b1", "a-b", "a b", "a\"b", &"a".repeat(41)] {
            assert!(!may_name_a_view_of_the_past(name), "{name}");
        }
    }
}
