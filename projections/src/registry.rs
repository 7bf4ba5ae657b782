//! What the registry of builds says, looked at now and then for all projections together; and which of them this process leads.
//!
//! Whoever changes something from outside (a halt that is lifted, a build that is swapped in) changes the registry and nothing else: this is where a
//! running process hears of it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::port::{Build, BuildState, Leadership, ReadStore, ReadStoreError};

/// How often leadership is asked for, and how often the registry is looked at by a process that leads everything.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often the registry is looked at while another process leads something: requests wait for what it writes.
const LOOK_EVERY_BEHIND: Duration = Duration::from_millis(250);
/// A database that has not answered by then is away.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// What was there to be seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// When looking began; what happened after it may be missing.
    at: Option<Instant>,
    /// Every build; none when they could not be read.
    builds: Option<Vec<Build>>,
    /// What this process leads.
    led: HashSet<&'static str>,
    /// Why it leads nothing, when nobody can.
    pub(crate) error: Option<String>,
    /// Why the builds could not be read, when the database does not answer.
    unanswered: Option<String>,
}

impl Seen {
    /// Whether anything has been looked at yet.
    pub(crate) fn is_something(&self) -> bool {
        self.at.is_some()
    }

    /// What is the matter with the database, if it is away: then nobody can move.
    pub(crate) fn away(&self) -> Option<&str> {
        self.error.as_deref().or(self.unanswered.as_deref())
    }

    /// Whether this process leads a projection.
    pub(crate) fn leads(&self, name: &str) -> bool {
        self.led.contains(name)
    }

    /// The build behind a view, if the registry could be read.
    pub(crate) fn serving(&self, name: &str) -> Option<&Build> {
        self.builds.iter().flatten().find(|build| build.name == name && build.state == BuildState::Serving)
    }

    /// Whether who has had this build open since then must open again: it is no longer what it was, a newer build of its version serves, or another
    /// process leads.
    pub(crate) fn displaces(&self, build: &Build, since: Instant) -> bool {
        if !self.leads(&build.name) {
            return true;
        }
        let Some(builds) = self.builds_after(since) else { return false };
        let of_projection = || builds.iter().filter(|other| other.name == build.name);
        let own = of_projection().find(|other| other.number == build.number);
        own.is_none_or(|own| own.state != build.state)
            || of_projection()
                .any(|other| other.number > build.number && other.version == build.version && other.state == BuildState::Serving)
    }

    /// Whether a halt that was noted then is noted no longer.
    pub(crate) fn lifts(&self, build: &Build, noted: Instant) -> bool {
        let own = self.builds_after(noted).and_then(|builds| builds.iter().find(|other| is_same(other, build)));
        own.is_some_and(|own| own.halt.is_none())
    }

    /// The builds, if they were looked at after this.
    fn builds_after(&self, moment: Instant) -> Option<&[Build]> {
        self.builds.as_deref().filter(|_| self.at.is_some_and(|at| at > moment))
    }
}

fn is_same(one: &Build, other: &Build) -> bool {
    one.name == other.name && one.number == other.number
}

/// Looks, for as long as somebody wants to know.
pub(crate) async fn watch(
    store: Arc<dyn ReadStore>,
    mut leadership: Box<dyn Leadership>,
    projections: Vec<(&'static str, u32)>,
    seen: watch::Sender<Arc<Seen>>,
) {
    let mut look = Seen::default();
    let mut asked: Option<Instant> = None;
    while !seen.is_closed() {
        let at = Instant::now();
        if asked.is_none_or(|asked| at.duration_since(asked) >= LOOK_EVERY) {
            asked = Some(at);
            (look.led, look.error) = match in_time(leadership.lead(&projections)).await {
                Ok(led) => (led, None),
                Err(error) => (HashSet::new(), Some(error.to_string())),
            };
        }
        look.at = Some(Instant::now());
        // What cannot be read says nothing about the builds.
        (look.builds, look.unanswered) = match in_time(store.builds()).await {
            Ok(builds) => (Some(builds), None),
            Err(error @ ReadStoreError::Unavailable { .. }) => (None, Some(error.to_string())),
            // Somebody dropped all of it: whoever has a build open must open it again, and so make it again.
            Err(ReadStoreError::Missing { .. }) => (Some(Vec::new()), None),
            Err(_) => (None, None),
        };
        seen.send_replace(Arc::new(look.clone()));
        sleep(if look.led.len() == projections.len() { LOOK_EVERY } else { LOOK_EVERY_BEHIND }).await;
    }
}

async fn in_time<T>(asked: impl Future<Output = Result<T, ReadStoreError>>) -> Result<T, ReadStoreError> {
    let late = || ReadStoreError::Unavailable { reason: format!("it has not answered for {} s", ANSWER_MAX.as_secs()) };
    timeout(ANSWER_MAX, asked).await.unwrap_or_else(|_| Err(late()))
}

/// Returns when there is something new to be seen; never when nobody looks any more.
pub(crate) async fn news(seen: &mut watch::Receiver<Arc<Seen>>) {
    if seen.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::{Counted, Halt};
    use domain::log::Position;
    use domain::testing::id;

    fn build(number: i64, version: u32, state: BuildState) -> Build {
        let (name, projection) = ("journal".to_owned(), "journal".to_owned());
        let (position, counted) = (Position(3), Counted::default());
        Build { name, projection, number, version, state, position, last_event: None, counted, halt: None, pinned: false }
    }

    fn halted(build: Build) -> Build {
        let halt = Halt {
            position: Position(4),
            event_id: id(4),
            event_type: "session.billed".to_owned(),
            stream: "session-1".to_owned(),
            error: "no".to_owned(),
            event: serde_json::Value::Null,
        };
        Build { halt: Some(halt), ..build }
    }

    /// What a leader sees a moment after `opened`.
    fn seen(builds: Vec<Build>, opened: Instant) -> Seen {
        Seen { at: Some(opened + Duration::from_millis(1)), builds: Some(builds), led: ["journal"].into(), ..Seen::default() }
    }

    #[test]
    fn a_projector_opens_again_when_its_build_was_swapped_out_or_dropped() {
        let (opened, own) = (Instant::now(), build(1, 1, BuildState::Serving));
        assert!(!seen(vec![own.clone(), build(2, 1, BuildState::Filling)], opened).displaces(&own, opened));
        assert!(seen(vec![build(1, 1, BuildState::Retired), build(2, 1, BuildState::Serving)], opened).displaces(&own, opened));
        assert!(seen(vec![], opened).displaces(&own, opened));
    }

    #[test]
    fn a_build_that_served_before_is_gone_on_with_while_another_version_serves() {
        let (opened, own) = (Instant::now(), build(2, 2, BuildState::Retired));
        assert!(!seen(vec![build(1, 1, BuildState::Serving), own.clone()], opened).displaces(&own, opened));
        assert!(seen(vec![own.clone(), build(3, 2, BuildState::Serving)], opened).displaces(&own, opened));
    }

    #[test]
    fn what_was_seen_before_says_nothing_of_what_was_done_after() {
        let (opened, own) = (Instant::now(), build(1, 1, BuildState::Serving));
        let old = Seen { at: Some(opened), ..seen(vec![], opened) };
        assert!(!old.displaces(&own, opened));
        let old = Seen { at: Some(opened), ..seen(vec![own.clone()], opened) };
        assert!(!old.lifts(&own, opened), "looked at before the halt was noted");
    }

    #[test]
    fn a_halt_is_lifted_when_it_is_noted_no_longer() {
        let (noted, own) = (Instant::now(), build(1, 1, BuildState::Serving));
        assert!(!seen(vec![halted(own.clone())], noted).lifts(&own, noted));
        assert!(seen(vec![own.clone()], noted).lifts(&own, noted));
    }

    #[test]
    fn a_database_that_does_not_answer_is_away_also_for_who_leads() {
        let unanswered = Some("it has not answered for 5 s".to_owned());
        let silent = Seen { unanswered, builds: None, ..seen(vec![], Instant::now()) };
        assert_eq!((silent.leads("journal"), silent.away()), (true, Some("it has not answered for 5 s")));
        assert_eq!(seen(vec![], Instant::now()).away(), None);
    }

    #[test]
    fn who_does_not_lead_writes_nothing() {
        let (opened, own) = (Instant::now(), build(1, 1, BuildState::Serving));
        assert!(Seen { led: HashSet::new(), ..seen(vec![own.clone()], opened) }.displaces(&own, opened));
    }
}
