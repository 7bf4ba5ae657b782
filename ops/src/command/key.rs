//! `key create|list|revoke`.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{anyhow, bail};
use commands::CommandError;
use commands::key::KeyDirectory;
use domain::event::Event;
use domain::ids::{ApiKeyId, OperatorId};
use domain::key::{KeyEvent, Role};
use domain::log::{EventStore, Filter, Position, StreamId};
use serde_json::json;

use crate::cli::Key;
use crate::compose::{open_reading, staff};
use crate::config::Config;
use crate::output::Answer;
use crate::server::Way;

/// What to do about an operator that is not there.
const FIND_AN_OPERATOR: &str = "`chargeledger operator list` shows those that are, `chargeledger operator register` lets one join";

pub(crate) async fn run(config: &Config, what: Key) -> anyhow::Result<Answer> {
    match what {
        Key::Create { role, operator, name, through } => create(Way::find(config, &through).await?, role, operator, name).await,
        Key::List { operator } => list(config, operator).await,
        Key::Revoke { key, through } => revoke(Way::find(config, &through).await?, key).await,
    }
}

async fn create(way: Way, role: Role, operator_id: OperatorId, name: String) -> anyhow::Result<Answer> {
    let (key_id, secret) = match way {
        Way::Direct(writing) => {
            let (caller, ids) = staff(&writing.commands, operator_id);
            let made = writing.commands.create_key(&caller, &ids, role, name).await;
            writing.close().await;
            let made = made.map_err(|error| match error {
                CommandError::NotFound { .. } => anyhow!("there is no operator {operator_id}: {}", FIND_AN_OPERATOR),
                error => error.into(),
            })?;
            (made.key_id.to_string(), made.secret)
        }
        Way::Through(server) => {
            let own = server.get("/v1/operators").await?;
            let own = own["items"][0]["operator_id"].as_str().unwrap_or_default();
            if own != operator_id.to_string() {
                bail!("CHARGELEDGER_API_KEY is of operator {own}; a key of operator {operator_id} is made with one of its own");
            }
            let made = server.post("/v1/keys", &json!({ "role": role, "name": name })).await?;
            let text = |name: &str| made[name].as_str().unwrap_or_default().to_owned();
            (text("key_id"), text("secret"))
        }
    };
    let json = json!({ "key_id": key_id, "operator_id": operator_id, "role": role, "secret": secret });
    Answer::new(&json, format!("{secret}\nThis is the only time the secret is shown. Its id is {key_id}."))
}

async fn list(config: &Config, operator: Option<OperatorId>) -> anyhow::Result<Answer> {
    let store: Arc<dyn EventStore> = open_reading(config).await?;
    let filter = Filter::types(["key.created", "key.revoked"]);
    let mut keys: BTreeMap<ApiKeyId, serde_json::Value> = BTreeMap::new();
    let mut lines: BTreeMap<ApiKeyId, String> = BTreeMap::new();
    let mut after = Position(0);
    loop {
        let page = store.read_all(after, &filter, 512).await?;
        if page.scanned_to <= after {
            break;
        }
        after = page.scanned_to;
        for stored in page.events {
            let recorded = stored.decode()?;
            match recorded.event {
                Event::Key(KeyEvent::Created { key_id, operator_id, role, name, .. }) if operator.is_none_or(|one| one == operator_id) => {
                    let made_at = recorded.metadata.recorded_at;
                    let word = serde_json::to_value(role)?;
                    lines.insert(key_id, format!("{key_id}  {:9}  {operator_id}  {made_at}  {name}", word.as_str().unwrap_or_default()));
                    keys.insert(
                        key_id,
                        json!({ "key_id": key_id, "operator_id": operator_id, "role": role, "name": name, "made_at": made_at }),
                    );
                }
                Event::Key(KeyEvent::Revoked { key_id }) => {
                    keys.remove(&key_id);
                    lines.remove(&key_id);
                }
                _ => {}
            }
        }
    }
    let text = if lines.is_empty() { "there are no keys".to_owned() } else { lines.into_values().collect::<Vec<_>>().join("\n") };
    Answer::new(&json!({ "keys": keys.into_values().collect::<Vec<_>>() }), text)
}

async fn revoke(way: Way, key_id: ApiKeyId) -> anyhow::Result<Answer> {
    let changed = match way {
        Way::Direct(writing) => {
            let done = async {
                let origin =
                    writing.commands.origin(&StreamId::api_key(key_id)).await?.ok_or_else(|| anyhow!("there is no key {key_id}"))?;
                let (caller, ids) = staff(&writing.commands, origin.operator_id);
                Ok::<_, anyhow::Error>(writing.commands.revoke_key(&caller, &ids, key_id).await?)
            }
            .await;
            writing.close().await;
            !done?.events.is_empty()
        }
        Way::Through(server) => server.post(&format!("/v1/keys/{key_id}/revoke"), &json!({})).await?["changed"] == true,
    };
    let text = if changed { format!("{key_id} opens nothing any more") } else { format!("{key_id} had been revoked before") };
    Answer::new(&json!({ "key_id": key_id, "revoked": true, "changed": changed }), text)
}

/// Whether each of these secrets, with their roles, opens something.
pub(crate) async fn open_something(store: &dyn EventStore, keys: &[(String, String)]) -> anyhow::Result<bool> {
    let directory = KeyDirectory::default();
    let filter = Filter::types(["key.created", "key.revoked"]);
    let mut after = Position(0);
    loop {
        let page = store.read_all(after, &filter, 512).await?;
        if page.scanned_to <= after {
            return Ok(keys.iter().all(|(_, secret)| directory.authenticate(secret).is_some()));
        }
        after = page.scanned_to;
        for stored in page.events {
            directory.observe(&stored.decode()?);
        }
    }
}
