//! Which piles have been heard of: heartbeats stay in memory, only going offline and coming back are events.
//!
//! A pile is watched from its first heartbeat on; one that never sends any is never taken for silent. After a restart everything begins anew: a pile that died
//! in between is noticed by its first heartbeat, or by people.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use commands::device::ConnectorReport;
use commands::following::{Following, follow};
use commands::{Caller, CommandError, Commands};
use domain::connector::ConnectorEvent;
use domain::event::Event;
use domain::ids::{CommandId, ConnectorId, OperatorId, PileId};
use domain::log::{Actor, EventStore, Filter, Position, StoreError, StoredEvent};
use domain::time::Timestamp;
use tokio::sync::watch;
use tracing::{error, info, warn};

/// Which piles have been heard of.
#[derive(Debug, Default)]
pub struct Presence {
    state: Mutex<State>,
    follower: OnceLock<Following>,
}

#[derive(Debug, Default)]
struct State {
    connectors: HashMap<PileId, Vec<ConnectorId>>,
    seen: HashMap<PileId, Seen>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    operator_id: OperatorId,
    at: Timestamp,
    is_silent: bool,
}

impl Presence {
    /// Reads which connectors belong to which pile, and follows the log from then on in a task of its own.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn follow(store: Arc<dyn EventStore>) -> Result<Arc<Presence>, StoreError> {
        let presence = Arc::new(Presence::default());
        let following = follow(store, Filter::types(["connector.registered"]), "connectors", &presence, Presence::read).await?;
        // It is set once, here.
        let _ = presence.follower.set(following);
        Ok(presence)
    }

    fn read(&self, stored: StoredEvent) {
        let position = stored.position;
        match stored.decode() {
            Ok(recorded) => {
                if let Event::Connector(ConnectorEvent::Registered { connector_id, pile_id, .. }) = recorded.event {
                    self.lock().connectors.entry(pile_id).or_default().push(connector_id);
                }
            }
            Err(error) => error!(%position, %error, "an event about a connector cannot be read"),
        }
    }

    /// A pile has been heard of. Answers whether that is news: it was silent, or nothing was known.
    pub fn heard(&self, pile_id: PileId, operator_id: OperatorId, at: Timestamp) -> bool {
        let before = self.lock().seen.insert(pile_id, Seen { operator_id, at, is_silent: false });
        before.is_none_or(|before| before.is_silent)
    }

    /// A pile that is watched has been heard of by something else than a heartbeat.
    pub fn also_heard(&self, pile_id: PileId, at: Timestamp) {
        if let Some(seen) = self.lock().seen.get_mut(&pile_id).filter(|seen| !seen.is_silent) {
            seen.at = at;
        }
    }

    /// The connectors of a pile.
    #[must_use]
    pub fn connectors(&self, pile_id: PileId) -> Vec<ConnectorId> {
        self.lock().connectors.get(&pile_id).cloned().unwrap_or_default()
    }

    /// The piles that have just become silent; each is answered once.
    fn newly_silent(&self, before: Timestamp) -> Vec<(PileId, OperatorId)> {
        let mut state = self.lock();
        let silent = state.seen.iter_mut().filter(|(_, seen)| !seen.is_silent && seen.at < before);
        silent
            .map(|(pile_id, seen)| {
                seen.is_silent = true;
                (*pile_id, seen.operator_id)
            })
            .collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Marks the connectors of piles that have become silent as offline, until told to stop.
pub async fn watch_silence(presence: Arc<Presence>, commands: Arc<Commands>, silence_max: Duration, mut stop: watch::Receiver<bool>) {
    let mut tick = tokio::time::interval((silence_max / 4).max(Duration::from_millis(10)));
    loop {
        tokio::select! {
            _ = stop.changed() => return,
            _ = tick.tick() => {}
        }
        let now = commands.ledger.clock().now();
        let seconds = i64::try_from(silence_max.as_secs()).unwrap_or(i64::MAX).max(1);
        for (pile_id, operator_id) in presence.newly_silent(now.plus_seconds(-seconds)) {
            info!(pile.id = %pile_id, "a pile is silent");
            let caller = Caller { operator_id, actor: Actor::system("presence"), at: now };
            if let Err(error) = report_pile(&presence, &commands, &caller, pile_id, &ConnectorReport::Offline).await {
                warn!(pile.id = %pile_id, %error, "its connectors could not be marked offline");
            }
        }
    }
}

/// Reports the same of all connectors of a pile; answers where the last news landed.
///
/// # Errors
/// When the ledger cannot take it.
pub async fn report_pile(
    presence: &Presence,
    commands: &Commands,
    caller: &Caller,
    pile_id: PileId,
    report: &ConnectorReport,
) -> Result<Option<Position>, CommandError> {
    let mut last = None;
    for connector_id in presence.connectors(pile_id) {
        let command_id = CommandId(commands.ledger.ids().uuid());
        last = last.max(commands.connector_report(caller, command_id, connector_id, report.clone()).await?);
    }
    Ok(last)
}

#[cfg(test)]
mod tests {
    use domain::testing::{at, id};

    use super::*;

    #[test]
    fn a_pile_is_silent_once_and_its_next_heartbeat_is_news() {
        let presence = Presence::default();
        let (pile, operator) = (id(1), id(2));
        assert!(presence.heard(pile, operator, at("2026-03-01T10:00:00+08:00")), "the first word is news");
        assert!(!presence.heard(pile, operator, at("2026-03-01T10:00:30+08:00")));
        assert!(presence.newly_silent(at("2026-03-01T10:00:30+08:00")).is_empty());
        assert_eq!(presence.newly_silent(at("2026-03-01T10:02:00+08:00")), [(pile, operator)]);
        assert!(presence.newly_silent(at("2026-03-01T10:03:00+08:00")).is_empty(), "it is said once");
        assert!(presence.heard(pile, operator, at("2026-03-01T10:04:00+08:00")));
    }
}
