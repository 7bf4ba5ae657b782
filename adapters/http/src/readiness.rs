//! Which roles of a process are ready, and why one is not: said in the same form by every process, with and without the API.
//!
//! A process is ready when it can read the ledger, and when those of its roles are that *count*: those for which whoever asks would rather go elsewhere. A role can be asked
//! for by itself; then it alone decides.
//!
//! Deliberately absent: causes in a database's or an engine's own words. Nobody who asks here has shown a key; they are in the log.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use axum::Json;
use domain::log::EventStore;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::problem::{Kind, Problem};

const READY: &str = "ready";
const NOT_READY: &str = "not ready";

/// How ready the process is.
#[derive(Debug, Serialize, ToSchema)]
pub struct Readiness {
    /// `ready`.
    status: &'static str,
    /// The last position of the ledger.
    position: u64,
    /// Each role that the process has: `api`, `projector`, `publisher`, `processes`.
    roles: BTreeMap<&'static str, RoleReadiness>,
}

/// How one role of the process is.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RoleReadiness {
    /// `ready`, or `not ready`. Who stands by for another process is ready.
    status: &'static str,
    /// What it is doing: `live`, `catching_up`, `standby`, `starting`, `waiting`, `stopped`.
    state: &'static str,
    /// What is the matter, also where it is ready in spite of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// Of the publisher: how far the feed is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    feed: Option<Value>,
}

impl RoleReadiness {
    /// It does its work, or stands by for one that does.
    #[must_use]
    pub fn ready(state: &'static str) -> RoleReadiness {
        RoleReadiness { status: READY, state, detail: None, feed: None }
    }

    /// It does not.
    #[must_use]
    pub fn not_ready(state: &'static str, detail: impl Into<String>) -> RoleReadiness {
        RoleReadiness { status: NOT_READY, state, detail: Some(detail.into()), feed: None }
    }

    /// What is the matter all the same.
    #[must_use]
    pub fn although(self, detail: impl Into<String>) -> RoleReadiness {
        RoleReadiness { detail: Some(detail.into()), ..self }
    }

    /// With how far the feed is.
    #[must_use]
    pub fn with_feed(self, feed: Value) -> RoleReadiness {
        RoleReadiness { feed: Some(feed), ..self }
    }

    fn is_ready(&self) -> bool {
        self.status == READY
    }
}

/// A role of this process.
#[async_trait]
pub trait Role: Send + Sync + 'static {
    /// As it is served and asked for.
    fn name(&self) -> &'static str;

    /// Whether the process is ready only when this role is.
    fn counts(&self) -> bool {
        false
    }

    /// How it is, where the ledger can be read.
    async fn look(&self) -> RoleReadiness;
}

/// What a process says of its roles.
#[derive(Clone)]
pub struct Roster {
    log: Arc<dyn EventStore>,
    roles: Arc<[Box<dyn Role>]>,
}

impl Roster {
    /// These, all of which need the ledger.
    #[must_use]
    pub fn new(log: Arc<dyn EventStore>, roles: Vec<Box<dyn Role>>) -> Roster {
        Roster { log, roles: roles.into() }
    }

    /// The answer to who asks for the process, or for one of its roles.
    ///
    /// # Errors
    /// When it is not ready, or has no such role.
    pub async fn answer(&self, asked: Option<&str>) -> Result<Json<Readiness>, Problem> {
        let looked_at = || self.roles.iter().filter(|role| asked.is_none_or(|asked| asked == role.name()));
        if let (Some(asked), None) = (asked, looked_at().next()) {
            let has: Vec<&str> = self.roles.iter().map(|role| role.name()).collect();
            let asked: String = asked.chars().take(32).collect();
            return Err(Problem::new(Kind::NotFound, format!("this process has no role {asked}: it has {}", has.join(", "))));
        }
        let head = match self.log.head().await {
            Ok(head) => head,
            Err(error) => {
                let waits = RoleReadiness::not_ready("waiting", "the ledger cannot be read");
                let roles: BTreeMap<_, _> = looked_at().map(|role| (role.name(), waits.clone())).collect();
                return Err(Problem { detail: waits.detail, ..Problem::from(error).with("roles", json!(roles)) });
            }
        };
        let mut roles = BTreeMap::new();
        let mut misses = None;
        for role in looked_at() {
            let look = role.look().await;
            if !look.is_ready() && (role.counts() || asked.is_some()) {
                misses = misses.or(Some(look.detail.clone().unwrap_or_default()));
            }
            roles.insert(role.name(), look);
        }
        match misses {
            None => Ok(Json(Readiness { status: READY, position: head.position.0, roles })),
            Some(detail) => {
                let problem = Problem::bare(Kind::NotReady).with("position", head.position.0).with("roles", json!(roles));
                Err(Problem { detail: Some(detail), ..problem })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use domain::log::Position;
    use memory::MemoryStore;

    struct Plays(&'static str, bool, RoleReadiness);

    #[async_trait]
    impl Role for Plays {
        fn name(&self) -> &'static str {
            self.0
        }
        fn counts(&self) -> bool {
            self.1
        }
        async fn look(&self) -> RoleReadiness {
            self.2.clone()
        }
    }

    fn process(roles: Vec<Plays>) -> Roster {
        Roster::new(Arc::new(MemoryStore::default()), roles.into_iter().map(|role| Box::new(role) as Box<dyn Role>).collect())
    }

    fn away() -> RoleReadiness {
        RoleReadiness::not_ready("waiting", "the database is away")
    }

    fn two(counts: bool) -> Roster {
        process(vec![Plays("api", true, RoleReadiness::ready("live")), Plays("projector", counts, away())])
    }

    #[tokio::test]
    async fn every_role_is_named_and_one_that_does_not_count_changes_nothing() {
        let said = serde_json::to_value(&two(false).answer(None).await.unwrap().0).unwrap();
        let roles = json!({
            "api": {"status": "ready", "state": "live"},
            "projector": {"status": "not ready", "state": "waiting", "detail": "the database is away"},
        });
        assert_eq!(said, json!({"status": "ready", "position": Position(0).0, "roles": roles}));
    }

    #[tokio::test]
    async fn a_role_that_counts_makes_the_process_not_ready_and_says_why() {
        let problem = two(true).answer(None).await.unwrap_err();
        assert_eq!((problem.kind, problem.detail.as_deref()), (Kind::NotReady, Some("the database is away")));
        assert_eq!(problem.to_json()["roles"]["api"]["status"], "ready");
    }

    #[tokio::test]
    async fn a_role_that_is_asked_for_decides_alone() {
        assert!(two(true).answer(Some("api")).await.is_ok());
        assert_eq!(two(false).answer(Some("projector")).await.unwrap_err().kind, Kind::NotReady);
    }

    #[tokio::test]
    async fn a_role_that_the_process_does_not_have_is_not_found() {
        let problem = two(false).answer(Some("publisher")).await.unwrap_err();
        assert_eq!(problem.kind, Kind::NotFound);
        assert_eq!(problem.detail.as_deref(), Some("this process has no role publisher: it has api, projector"));
    }
}
