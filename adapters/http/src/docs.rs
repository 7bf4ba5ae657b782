//! The OpenAPI document, made from the routes themselves, and the page that shows it. Committed as `schemas/openapi.json`; a test in `ops` keeps it current.
//!
//! What all operations share is not repeated at each: roles, security, headers, and the problems that any of them may answer with are added here.

use std::sync::Arc;

use axum::Router;
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::{OpenApi, ToSchema};
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::Api;
use crate::auth;
use crate::idempotency::KEY_CHARS_MAX;
use crate::problem::{Kind, PROBLEM_JSON, TYPE_PREFIX};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Charging Ledger",
        description = "An event-sourced ledger for operators of electric-vehicle charging networks: sessions, payments, refunds, tariffs, and the double-entry books behind them.\n\n\
            Amounts, energies and prices are decimal text, never JSON numbers; their unit ends their name (`_yuan`, `_kwh`). Times are RFC 3339 with an offset. Unknown fields are refused.\n\n\
            A command may carry an `Idempotency-Key`: sent again with the same body it has the same outcome, for as long as the ledger is kept. Its answer carries `position`; a query with \
            `X-Min-Position` waits until it sees what stands there.\n\n\
            Errors are RFC 9457 problem documents; `type` says which, `Problem` lists them all. Every key belongs to one operator and sees nothing of another.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    components(schemas(ProblemDocument)),
    tags(
        (name = "sessions", description = "Charging sessions (充电过程), from request to settlement."),
        (name = "stations", description = "Stations, piles and connectors."),
        (name = "tariffs", description = "What charging costs."),
        (name = "users", description = "Drivers. Their personal data is sealed in the ledger and opened for their own operator only."),
        (name = "payments", description = "Money in through a channel, and back."),
        (name = "wallets", description = "Money that users keep here."),
        (name = "ledger", description = "The books."),
        (name = "keys", description = "Who may call, and the operators whose data they see."),
        (name = "devices", description = "What devices report."),
        (name = "projections", description = "The read models and how far they are."),
        (name = "health", description = "How the process is."),
    ),
)]
pub(crate) struct Document;

/// An error (RFC 9457). A kind may add members of its own, like the `session_id` that has a connector.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemDocument {
    /// Which: `urn:ledger:problem:` and the kind.
    r#type: String,
    /// The same for every problem of the kind.
    title: String,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What about this occurrence. Never there for a 5xx.
    detail: Option<String>,
}

pub(crate) fn routes() -> Router<Arc<Api>> {
    // Without a validator nobody outside is asked.
    let config = Config::default().validator_url("none").try_it_out_enabled(true).persist_authorization(true);
    Router::new().merge(SwaggerUi::new("/docs").external_url_unchecked("/openapi.json", crate::openapi()).config(config))
}

/// Adds what all operations share.
pub(crate) fn complete(document: &mut Value) {
    document["components"]["securitySchemes"] = json!({
        "api_key": { "type": "http", "scheme": "bearer", "description": "An API key, `clk_…`. Its role says what it may do, its operator what it sees." }
    });
    document["components"]["schemas"]["Problem"]["properties"]["type"]["enum"] =
        Kind::ALL.iter().map(|kind| format!("{TYPE_PREFIX}{}", kind.as_str())).collect();
    document["components"]["responses"] = problem_responses();
    for name in ["StartPaymentBody", "PayPurposeBody", "DeviceEvent", "SandboxReport"] {
        close_variants(&mut document["components"]["schemas"][name]);
    }
    let Some(paths) = document["paths"].as_object_mut() else { return };
    for (path, item) in paths.iter_mut() {
        let Some(item) = item.as_object_mut() else { continue };
        for (method, operation) in item.iter_mut() {
            if let Some(operation) = operation.as_object_mut() {
                complete_operation(path, method, operation);
            }
        }
    }
}

/// A variant of a tagged enum refuses unknown fields, as a plain body does.
fn close_variants(schema: &mut Value) {
    let Some(variants) = schema["oneOf"].as_array_mut() else { return };
    variants.iter_mut().filter(|variant| variant["type"] == "object").for_each(|variant| variant["additionalProperties"] = json!(false));
}

/// A body that may be left out is not `null` when it is there.
fn drop_null_body(operation: &mut Map<String, Value>) {
    let Some(schema) = operation.get_mut("requestBody").and_then(|body| body.pointer_mut("/content/application~1json/schema")) else {
        return;
    };
    let given = schema["oneOf"].as_array().and_then(|forms| forms.iter().find(|form| form["type"] != "null")).cloned();
    let is_optional = schema["oneOf"].as_array().is_some_and(|forms| forms.iter().any(|form| form["type"] == "null"));
    if let (Some(given), true) = (given, is_optional) {
        *schema = given;
    }
}

/// What every cursor of a read model looks like; only one that a page gave out leads anywhere.
fn say_what_cursors_are(operation: &mut Map<String, Value>) {
    let Some(parameters) = operation.get_mut("parameters").and_then(Value::as_array_mut) else { return };
    for parameter in parameters.iter_mut().filter(|parameter| parameter["name"] == "cursor") {
        if parameter["schema"].get("pattern").is_none() {
            parameter["schema"] = json!({ "type": "string", "pattern": "^eyJ2Ijoi[A-Za-z0-9_-]{20,2000}$" });
        }
    }
}

fn complete_operation(path: &str, method: &str, operation: &mut Map<String, Value>) {
    let Some(roles) = auth::roles(&method.to_uppercase(), path) else {
        operation.insert("security".to_owned(), json!([]));
        add_problems(operation, &[500, 503]);
        if matches!(path, "/metrics" | "/readyz") {
            add_problems(operation, &[404]);
        }
        return;
    };
    let names: Vec<&str> = roles.iter().copied().map(auth::role_name).collect();
    let told = operation.get("description").and_then(Value::as_str).unwrap_or_default();
    let told = format!("{told}{}Roles: {}.", if told.is_empty() { "" } else { "\n\n" }, names.join(", "));
    operation.insert("description".to_owned(), json!(told));
    operation.insert("security".to_owned(), json!([{ "api_key": [] }]));
    operation.insert("x-roles".to_owned(), json!(names));
    drop_null_body(operation);
    say_what_cursors_are(operation);
    add_problems(operation, &[400, 401, 403, 429, 500, 503]);
    // What is explained is named in the query.
    if path.contains('{') || path == "/v1/ledger/explain" {
        add_problems(operation, &[404]);
    }
    // A build that is asked for may not be there, or be in use.
    if path.starts_with("/v1/projections/{name}/") {
        add_problems(operation, &[409]);
    }
    let has_body = operation.contains_key("requestBody");
    if has_body {
        add_problems(operation, &[404, 409, 413, 415, 422]);
    }
    let is_command = has_body
        && !goes_to_the_read_models(path)
        && !matches!(path, "/v1/sessions/price-estimate" | "/v1/users/look-up" | "/v1/webhooks/{channel}");
    if is_command {
        add_parameter(
            operation,
            header(
                "Idempotency-Key",
                "The same key with the same body has the same outcome.",
                &json!({
                    "type": "string", "minLength": 1, "maxLength": KEY_CHARS_MAX, "pattern": "^[\\x21-\\x7E]+$"
                }),
            ),
        );
        // What is decided about a projection is decided about one event: no revision could be behind.
        if path.contains('{') && !path.starts_with("/v1/projections/") {
            add_parameter(
                operation,
                header(
                    "If-Match",
                    "Only if the resource still has this `ETag`.",
                    &json!({
                        "type": "string", "minLength": 1, "pattern": "^(\\*|(W/)?\"[\\x23-\\x2B\\x2D-\\x7E]+\")$"
                    }),
                ),
            );
            add_problems(operation, &[412]);
        }
    }
    if operation.get("x-read-model").is_some() {
        add_parameter(
            operation,
            header(
                "X-Min-Position",
                "Wait until the read model has come this far.",
                &json!({
                    "type": "integer", "format": "int64", "minimum": 0
                }),
            ),
        );
        add_problems(operation, &[409]);
    }
    let is_page = operation.get("parameters").and_then(Value::as_array).is_some_and(|all| all.iter().any(|one| one["name"] == "cursor"));
    if method == "get" && !is_page && !path.ends_with("/live") {
        add_parameter(operation, header("If-None-Match", "Only if it is not this `ETag` any more.", &json!({ "type": "string" })));
        operation["responses"]["304"] = json!({ "description": "It still is." });
    }
    add_answer_headers(operation, method, is_command);
    if is_page {
        operation["responses"]["200"]["headers"]["Link"] =
            json!({ "description": "The next page, `rel=\"next\"`; none on the last.", "schema": { "type": "string" } });
    }
}

/// Orders about builds, which the ledger does not keep: there is nothing to find again under an idempotency key.
fn goes_to_the_read_models(path: &str) -> bool {
    let order = path.strip_prefix("/v1/projections/{name}/").unwrap_or_default();
    order.starts_with("rebuild") || matches!(order, "swap" | "rollback" | "repair")
}

fn add_answer_headers(operation: &mut Map<String, Value>, method: &str, is_command: bool) {
    let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else { return };
    for (status, response) in responses.iter_mut().filter(|(status, _)| status.starts_with('2')) {
        if is_command {
            response["headers"]["X-Position"] =
                json!({ "description": "Where the log stands after it.", "schema": { "type": "integer", "minimum": 0 } });
        }
        if matches!(status.as_str(), "201" | "202") {
            response["headers"]["Location"] = json!({ "description": "Where to look.", "schema": { "type": "string" } });
        }
        if method == "get" {
            response["headers"]["ETag"] = json!({ "description": "Changes whenever the answer does; none where it has no revision.", "schema": { "type": "string" } });
        }
    }
}

fn add_problems(operation: &mut Map<String, Value>, statuses: &[u16]) {
    for status in statuses {
        let answers = operation.entry("responses").or_insert_with(|| json!({}));
        if answers.get(status.to_string()).is_none() {
            answers[status.to_string()] = json!({ "$ref": format!("#/components/responses/Problem{status}") });
        }
    }
}

fn header(name: &str, description: &str, schema: &Value) -> Value {
    json!({ "name": name, "in": "header", "required": false, "description": description, "schema": schema })
}

fn add_parameter(operation: &mut Map<String, Value>, parameter: Value) {
    if let Some(parameters) = operation.entry("parameters").or_insert_with(|| json!([])).as_array_mut() {
        parameters.push(parameter);
    }
}

/// One response for each status that a problem can have, with its kinds.
fn problem_responses() -> Value {
    let mut responses = Map::new();
    let mut statuses: Vec<u16> = Kind::ALL.iter().map(|kind| kind.status().as_u16()).collect();
    statuses.sort_unstable();
    statuses.dedup();
    for status in statuses {
        let kinds: Vec<&Kind> = Kind::ALL.iter().filter(|kind| kind.status().as_u16() == status).collect();
        let told: Vec<String> = kinds.iter().map(|kind| format!("`{}`: {}", kind.as_str(), kind.title())).collect();
        let Some(first) = kinds.first() else { continue };
        let mut response = json!({
            "description": told.join("; ") + ".",
            "content": { PROBLEM_JSON: {
                "schema": { "$ref": "#/components/schemas/Problem" },
                "example": { "type": format!("{TYPE_PREFIX}{}", first.as_str()), "title": first.title(), "status": status },
            } },
        });
        if matches!(status, 429 | 503) {
            response["headers"] =
                json!({ "Retry-After": { "description": "Seconds to wait.", "schema": { "type": "integer", "minimum": 0 } } });
        }
        if status == 401 {
            response["headers"] = json!({ "WWW-Authenticate": { "description": "`Bearer`.", "schema": { "type": "string" } } });
        }
        responses.insert(format!("Problem{status}"), response);
    }
    Value::Object(responses)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_path_says_who_may_call_it_and_nothing_else_is_in_the_table() {
        let document = crate::openapi();
        let mut open = BTreeSet::new();
        let mut guarded = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for method in item.as_object().unwrap().keys() {
                let key = (method.to_uppercase(), path.clone());
                if path.starts_with("/v1/") {
                    guarded.insert(key)
                } else {
                    open.insert(key)
                };
            }
        }
        let table: BTreeSet<_> = auth::ACCESS.iter().map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned())).collect();
        assert_eq!(guarded, table);
        assert!(open.iter().all(|(_, path)| matches!(path.as_str(), "/healthz" | "/readyz" | "/metrics")), "{open:?}");
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = crate::openapi();
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(document.pointer(reference).is_some(), "{reference}");
        }
    }

    #[test]
    fn every_kind_of_problem_is_listed() {
        let document = crate::openapi();
        let listed = document["components"]["schemas"]["Problem"]["properties"]["type"]["enum"].as_array().unwrap().len();
        assert_eq!(listed, Kind::ALL.len());
    }

    #[test]
    fn no_two_operations_share_an_id() {
        let document = crate::openapi();
        let mut seen = BTreeSet::new();
        for item in document["paths"].as_object().unwrap().values() {
            for operation in item.as_object().unwrap().values() {
                assert!(seen.insert(operation["operationId"].as_str().unwrap().to_owned()), "{}", operation["operationId"]);
            }
        }
    }
}
