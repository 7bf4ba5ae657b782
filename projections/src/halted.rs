//! At which event a projection stands, for whoever decides about it: only that one can be resumed or quarantined.

use domain::ids::EventId;
use domain::log::{EventStore, Filter, Position, StoreError, StoredEvent};

use crate::port::{Build, BuildState, Halt, ReadStore, ReadStoreError};

/// Why there is nothing to decide.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotHalted {
    /// No such projection.
    #[error("there is no projection {name}")]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// It goes on.
    #[error("{name} has not halted: there is no event to decide about")]
    Running {
        /// Which.
        name: String,
    },
    /// It stands somewhere else.
    #[error("{name} stands at position {position}, not at {asked}")]
    Elsewhere {
        /// Which.
        name: String,
        /// Where it stands.
        position: Position,
        /// Where it was said to stand.
        asked: Position,
    },
    /// It does not stand at an event of this ledger.
    #[error("{name} stands at no event of this ledger: {error}")]
    NoEvent {
        /// Which.
        name: String,
        /// Why it stands.
        error: String,
    },
}

/// The builds of a projection that stand still: the one that serves first. Retired ones are nobody's concern.
#[must_use]
pub fn halted<'a>(builds: &'a [Build], name: &str) -> Vec<(&'a Build, &'a Halt)> {
    let concerns = |build: &&Build| build.name == name && build.state != BuildState::Retired;
    let mut halted: Vec<_> = builds.iter().filter(concerns).filter_map(|build| build.halt.as_ref().map(|halt| (build, halt))).collect();
    halted.sort_by_key(|(build, _)| (build.state != BuildState::Serving, build.number));
    halted
}

/// The event at which a projection stands now, of which `at` says where, if anybody does.
///
/// # Errors
/// When it stands at none, or somewhere else.
pub fn standing_at<'a>(builds: &'a [Build], name: &str, at: Option<Position>) -> Result<&'a Halt, NotHalted> {
    let name_of = || name.to_owned();
    if !builds.iter().any(|build| build.name == name) {
        return Err(NotHalted::Unknown { name: name_of() });
    }
    let halted = halted(builds, name);
    let Some((_, first)) = halted.first().copied() else { return Err(NotHalted::Running { name: name_of() }) };
    let halt = match at {
        None => first,
        Some(asked) => halted.iter().map(|(_, halt)| *halt).find(|halt| halt.position == asked).ok_or_else(|| NotHalted::Elsewhere {
            name: name_of(),
            position: first.position,
            asked,
        })?,
    };
    // A build of another ledger stands at an event that is not in this one.
    if halt.event_type.is_empty() {
        return Err(NotHalted::NoEvent { name: name_of(), error: halt.error.clone() });
    }
    Ok(halt)
}

/// The event that a halt quotes, as the log has it; none when the log has another one there.
///
/// # Errors
/// When the log cannot be read.
pub async fn event_of(log: &dyn EventStore, halt: &Halt) -> Result<Option<StoredEvent>, StoreError> {
    let page = log.read_all(Position(halt.position.0.saturating_sub(1)), &Filter::All, 1).await?;
    Ok(page.events.into_iter().find(|event| event.position == halt.position && event.metadata.event_id == halt.event_id))
}

/// Lets the builds of a projection try again: those that stand at this event, or all. Whoever leads the projection notices within a second. Says how many.
///
/// # Errors
/// When the database cannot.
pub async fn lift(store: &dyn ReadStore, builds: &[Build], name: &str, event: Option<EventId>) -> Result<usize, ReadStoreError> {
    let mut lifted = 0;
    for (build, _) in halted(builds, name).into_iter().filter(|(_, halt)| event.is_none_or(|event| event == halt.event_id)) {
        store.note_halt(build, None).await?;
        lifted += 1;
    }
    Ok(lifted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::Counted;
    use domain::testing::id;

    fn build(number: i64, state: BuildState, halted_at: Option<u64>, event_type: &str) -> Build {
        let halt = halted_at.map(|position| Halt {
            position: Position(position),
            event_id: id(u128::from(position)),
            event_type: event_type.to_owned(),
            stream: "session-1".to_owned(),
            error: "no".to_owned(),
            event: serde_json::Value::Null,
        });
        let (name, projection, counted) = ("journal".to_owned(), "journal".to_owned(), Counted::default());
        Build { name, projection, number, version: 1, state, position: Position(3), last_event: None, counted, halt, pinned: false }
    }

    #[test]
    fn only_the_event_at_which_a_projection_stands_now_can_be_decided_about() {
        let builds = [build(1, BuildState::Serving, Some(7), "session.billed")];
        assert_eq!(standing_at(&builds, "journal", None).map(|halt| halt.position), Ok(Position(7)));
        assert_eq!(standing_at(&builds, "journal", Some(Position(7))).map(|halt| halt.position), Ok(Position(7)));
        let elsewhere = NotHalted::Elsewhere { name: "journal".to_owned(), position: Position(7), asked: Position(8) };
        assert_eq!(standing_at(&builds, "journal", Some(Position(8))), Err(elsewhere));
        assert_eq!(standing_at(&builds, "horoscopes", None), Err(NotHalted::Unknown { name: "horoscopes".to_owned() }));
        let running = [build(1, BuildState::Serving, None, "")];
        assert_eq!(standing_at(&running, "journal", None), Err(NotHalted::Running { name: "journal".to_owned() }));
    }

    #[test]
    fn a_build_of_another_ledger_has_no_event_to_decide_about() {
        let builds = [build(1, BuildState::Serving, Some(3), "")];
        assert_eq!(standing_at(&builds, "journal", None), Err(NotHalted::NoEvent { name: "journal".to_owned(), error: "no".to_owned() }));
    }

    #[test]
    fn the_build_that_serves_comes_first_and_a_retired_one_never() {
        let builds = [
            build(1, BuildState::Retired, Some(5), "session.billed"),
            build(2, BuildState::Filling, Some(9), "session.billed"),
            build(3, BuildState::Serving, Some(7), "session.billed"),
        ];
        assert_eq!(halted(&builds, "journal").iter().map(|(build, _)| build.number).collect::<Vec<_>>(), [3, 2]);
        assert_eq!(standing_at(&builds, "journal", Some(Position(9))).map(|halt| halt.position), Ok(Position(9)));
        assert!(standing_at(&builds, "journal", Some(Position(5))).is_err());
    }
}
