//! `operator register|list`.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::event::Event;
use domain::ids::{OperatorCode, OperatorId};
use domain::log::{EventStore, Filter, Position};
use domain::operator::{BookingMode, OperatorEvent};
use domain::time::ZoneName;
use serde_json::{Value, json};

use crate::cli::Operator;
use crate::compose::{open_reading, staff};
use crate::config::Config;
use crate::output::Answer;
use crate::server::Way;

pub(crate) async fn run(config: &Config, what: Operator) -> anyhow::Result<Answer> {
    match what {
        Operator::Register { code, name, books_zone, booking, through } => {
            register(Way::find_or_make(config, &through).await?, code, name, books_zone, booking).await
        }
        Operator::List => list(config).await,
    }
}

async fn register(way: Way, code: OperatorCode, name: String, books_zone: ZoneName, booking: BookingMode) -> anyhow::Result<Answer> {
    let (operator_id, key_id, secret) = match way {
        Way::Direct(writing) => {
            let (caller, ids) = staff(&writing.commands, OperatorId::of_code(&code));
            let joined = writing.commands.join_operator(&caller, &ids, code.clone(), name, books_zone, booking).await;
            writing.close().await;
            let joined = joined?;
            // Nobody else has these ids, so that the key is always a new one.
            let key = joined.admin_key.ok_or_else(|| anyhow::anyhow!("its first key was made before"))?;
            (json!(OperatorId::of_code(&code)), json!(key.key_id), json!(key.secret))
        }
        Way::Through(server) => {
            let body = json!({ "code": code, "name": name, "books_zone": books_zone, "booking": booking });
            let mut joined = server.post("/v1/operators", &body).await?;
            (joined["operator"]["operator_id"].take(), joined["admin_key"]["key_id"].take(), joined["admin_key"]["secret"].take())
        }
    };
    let shown = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let text = format!(
        "{code} is operator {}. Its first key, of role admin:\n{}\nThis is the only time the secret is shown. Its id is {}.",
        shown(&operator_id),
        shown(&secret),
        shown(&key_id)
    );
    Answer::new(&json!({ "operator_id": operator_id, "code": code, "key_id": key_id, "role": "admin", "secret": secret }), text)
}

async fn list(config: &Config) -> anyhow::Result<Answer> {
    let store: Arc<dyn EventStore> = open_reading(config).await?;
    let filter = Filter::types(["operator.registered", "operator.changed", "operator.booking_changed", "operator.closed"]);
    let mut operators: BTreeMap<OperatorId, Value> = BTreeMap::new();
    let mut after = Position(0);
    loop {
        let page = store.read_all(after, &filter, 512).await?;
        if page.scanned_to <= after {
            break;
        }
        after = page.scanned_to;
        for stored in page.events {
            let recorded = stored.decode()?;
            let Event::Operator(event) = recorded.event else { continue };
            match event {
                OperatorEvent::Registered { operator_id, code, name, books_zone, booking } => {
                    let registered_at = recorded.metadata.recorded_at;
                    let operator = json!({
                        "operator_id": operator_id, "code": code, "name": name, "books_zone": books_zone, "booking": booking,
                        "closed": false, "registered_at": registered_at,
                    });
                    operators.insert(operator_id, operator);
                }
                OperatorEvent::Changed { operator_id, name } => {
                    operators.entry(operator_id).and_modify(|operator| operator["name"] = name.into());
                }
                OperatorEvent::BookingChanged { operator_id, booking } => {
                    operators.entry(operator_id).and_modify(|operator| operator["booking"] = json!(booking));
                }
                OperatorEvent::Closed { operator_id } => {
                    operators.entry(operator_id).and_modify(|operator| operator["closed"] = true.into());
                }
            }
        }
    }
    let line = |operator: &Value| {
        let text = |name: &str| operator[name].as_str().unwrap_or_default().to_owned();
        let closed = if operator["closed"] == true { "  (closed)" } else { "" };
        format!("{}  {}  {}  {}{closed}", text("operator_id"), text("code"), text("books_zone"), text("name"))
    };
    let lines: Vec<String> = operators.values().map(line).collect();
    let text = if lines.is_empty() { "there are no operators".to_owned() } else { lines.join("\n") };
    Answer::new(&json!({ "operators": operators.into_values().collect::<Vec<_>>() }), text)
}
