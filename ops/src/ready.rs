//! The roles of this process, as those see them who ask whether it is ready.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use domain::log::EventStore;
use http_api::readiness::{Role, RoleReadiness, Roster};
use projections::runner::{Runner, State, Status};
use read_models::ReadModels;
use serde_json::json;
use tokio::sync::watch;

use crate::feeding::{Feeding, Watched, is_ready};
use crate::managing::{Managing, Works};

/// What this process has, as far as it has it.
#[derive(Default)]
pub(crate) struct Has<'a> {
    pub(crate) api: bool,
    pub(crate) database: Option<&'a Arc<ReadModels>>,
    pub(crate) projections: Option<&'a Arc<Runner>>,
    pub(crate) feeding: Option<&'a Feeding>,
    pub(crate) managing: Option<&'a Managing>,
}

impl Has<'_> {
    /// As they are asked. The feed counts where nobody comes for anything else: the ledger goes on without it. PostgreSQL does not: a projection that waits for it
    /// is shown as waiting, and another process would wait, too.
    pub(crate) fn roster(self, log: Arc<dyn EventStore>) -> Roster {
        let mut roles: Vec<Box<dyn Role>> = Vec::new();
        if self.api {
            roles.push(Box::new(Serving(self.database.cloned())));
        }
        if let Some(projections) = self.projections {
            roles.push(Box::new(Projecting(Arc::downgrade(projections))));
        }
        if let Some(feeding) = self.feeding {
            roles.push(Box::new(Publishing { feed: feeding.watched(), counts: !self.api }));
        }
        if let Some(managing) = self.managing {
            roles.push(Box::new(Running(managing.watched())));
        }
        Roster::new(log, roles)
    }
}

/// The API.
struct Serving(Option<Arc<ReadModels>>);

#[async_trait]
impl Role for Serving {
    fn name(&self) -> &'static str {
        "api"
    }

    async fn look(&self) -> RoleReadiness {
        let ready = RoleReadiness::ready("live");
        match &self.0 {
            None => ready.although("no database is configured: queries cannot be answered"),
            Some(database) if !database.answers() => ready.although("the read models' database does not answer: queries are refused"),
            Some(_) => ready,
        }
    }
}

/// The read models.
struct Projecting(Weak<Runner>);

#[async_trait]
impl Role for Projecting {
    fn name(&self) -> &'static str {
        "projector"
    }

    async fn look(&self) -> RoleReadiness {
        let Some(runner) = self.0.upgrade() else { return RoleReadiness::not_ready("stopped", "it is stopping") };
        match runner.status().await {
            Ok(statuses) => of_projections(&statuses, runner.is_away()),
            Err(_) => RoleReadiness::not_ready("waiting", "the ledger cannot be read"),
        }
    }
}

/// All projections as one.
fn of_projections(statuses: &[Status], is_away: bool) -> RoleReadiness {
    let states: BTreeSet<&str> = statuses.iter().map(|status| status.state.as_str()).collect();
    let is = |state: State| states.contains(state.as_str());
    if is_away || is(State::Waiting) {
        let detail = if is_away { "the read models' database is away" } else { "the read models' database or the ledger is away" };
        return RoleReadiness::not_ready(State::Waiting.as_str(), detail);
    }
    if is(State::Starting) {
        return RoleReadiness::not_ready(State::Starting.as_str(), "nothing has been looked at yet");
    }
    // What it does most: who stands by for all but one works on that one.
    let works = [State::CatchingUp, State::Rebuilding, State::Live, State::Standby, State::Outdated, State::Halted]
        .into_iter()
        .find(|state| is(*state));
    let ready = RoleReadiness::ready(works.unwrap_or(State::Live).as_str());
    let halted: Vec<&str> = statuses.iter().filter(|status| status.halt.is_some()).map(|status| status.name.as_str()).collect();
    // An operator's matter, which another process cannot do any better.
    if halted.is_empty() { ready } else { ready.although(format!("halted: {}", halted.join(", "))) }
}

/// The feed.
struct Publishing {
    feed: Watched,
    counts: bool,
}

#[async_trait]
impl Role for Publishing {
    fn name(&self) -> &'static str {
        "publisher"
    }

    fn counts(&self) -> bool {
        self.counts
    }

    async fn look(&self) -> RoleReadiness {
        let Ok(status) = self.feed.status().await else { return RoleReadiness::not_ready("waiting", "the ledger cannot be read") };
        let state = status.state.as_str();
        let ready = match is_ready(&status) {
            true => RoleReadiness::ready(state),
            false => RoleReadiness::not_ready(state, status.error.clone().unwrap_or_else(|| "NATS has not answered yet".to_owned())),
        };
        ready.with_feed(json!(status))
    }
}

/// The process managers.
struct Running(watch::Receiver<Works>);

#[async_trait]
impl Role for Running {
    fn name(&self) -> &'static str {
        "processes"
    }

    async fn look(&self) -> RoleReadiness {
        match *self.0.borrow() {
            Works::Starting => RoleReadiness::not_ready("starting", "who runs the process managers is not known yet"),
            Works::Here => RoleReadiness::ready("live"),
            Works::Elsewhere => RoleReadiness::ready("standby"),
            Works::Unknown => {
                RoleReadiness::not_ready("waiting", "who runs the process managers cannot be found out: the database does not answer")
            }
            Works::Failing => RoleReadiness::not_ready("waiting", "the process managers cannot start"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use domain::log::Position;
    use domain::testing::id;
    use projections::port::{Counted, Halt};

    fn status(name: &str, state: State) -> Status {
        Status {
            name: name.to_owned(),
            version: 1,
            build: 1,
            state,
            position: Position(1),
            head: Position(1),
            lag_events: 0,
            lag_seconds: 0,
            counted: Counted::default(),
            events_per_s: 0,
            restarts: 0,
            error: None,
            halt: None,
        }
    }

    fn all(states: &[State], is_away: bool) -> RoleReadiness {
        let statuses: Vec<Status> = states.iter().map(|state| status("bills", *state)).collect();
        of_projections(&statuses, is_away)
    }

    #[test]
    fn who_stands_by_is_ready_and_who_works_says_so() {
        assert_eq!(all(&[State::Standby, State::Standby], false), RoleReadiness::ready("standby"));
        assert_eq!(all(&[State::Standby, State::Live], false), RoleReadiness::ready("live"));
        assert_eq!(all(&[State::CatchingUp, State::Live], false), RoleReadiness::ready("catching_up"));
    }

    #[test]
    fn who_waits_for_the_database_is_not_ready_also_at_the_head() {
        let away = RoleReadiness::not_ready("waiting", "the read models' database is away");
        assert_eq!(all(&[State::Live], true), away);
        assert_ne!(all(&[State::Live, State::Waiting], false), RoleReadiness::ready("live"));
    }

    #[test]
    fn a_halted_projection_is_named_and_the_role_goes_on() {
        let halt = Halt {
            position: Position(4),
            event_id: id(4),
            event_type: "session.billed".to_owned(),
            stream: "session-1".to_owned(),
            error: "no".to_owned(),
            event: serde_json::Value::Null,
        };
        let statuses = [status("bills", State::Live), Status { halt: Some(halt), ..status("sessions", State::Halted) }];
        assert_eq!(of_projections(&statuses, false), RoleReadiness::ready("live").although("halted: sessions"));
    }
}
