//! The committed OpenAPI document is the one that the routes give. `UPDATE_GOLDEN=1` rewrites it; the difference is read like code.

use std::path::Path;

use serde_json::Value;

#[test]
fn the_committed_document_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/openapi.json");
    let current = http_api::openapi();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let text = serde_json::to_string_pretty(&current).unwrap();
        std::fs::write(&path, text + "\n").unwrap();
    }
    let committed: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap_or_default()).unwrap_or_default();
    assert!(committed == current, "schemas/openapi.json is not current; run with UPDATE_GOLDEN=1 and read the difference");
}

#[test]
fn amounts_are_never_json_numbers() {
    let document = http_api::openapi();
    let mut wrong = Vec::new();
    walk(&document, &mut |name, schema| {
        let is_amount = ["_yuan", "_kwh", "_kw", "_yuan_per_kwh", "_yuan_per_minute"].iter().any(|unit| name.ends_with(unit));
        if is_amount && matches!(schema["type"].as_str(), Some("number" | "integer")) {
            wrong.push(name.to_owned());
        }
    });
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// Every property of every schema.
fn walk(value: &Value, see: &mut impl FnMut(&str, &Value)) {
    match value {
        Value::Object(object) => {
            if let Some(Value::Object(properties)) = object.get("properties") {
                properties.iter().for_each(|(name, schema)| see(name, schema));
            }
            object.values().for_each(|value| walk(value, see));
        }
        Value::Array(values) => values.iter().for_each(|value| walk(value, see)),
        _ => {}
    }
}
