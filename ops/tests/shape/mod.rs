//! As much of JSON Schema as the events' schemas use: taking an aggregate's schema apart by variant, whether a value fits, and whether
//! one schema still reads what another one wrote. Patterns and formats are compared, not run.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// Every variant of an aggregate's events: its stored name, and the schema of what it carries.
pub fn variants(aggregate: &str, schema: &Value) -> Vec<(String, Value)> {
    let variants = schema["oneOf"].as_array().expect("an event enum has variants");
    variants.iter().map(|variant| one(aggregate, variant, &schema["$defs"])).collect()
}

fn one(aggregate: &str, variant: &Value, definitions: &Value) -> (String, Value) {
    let (name, content) = variant["properties"].as_object().and_then(|fields| fields.iter().next()).expect("a variant has named fields");
    let mut schema = content.as_object().expect("a variant has named fields").clone();
    schema.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    schema.insert("description".to_owned(), variant["description"].clone());
    let used = reachable(content, definitions);
    if !used.is_empty() {
        schema.insert("$defs".to_owned(), Value::Object(used));
    }
    (format!("{aggregate}.{name}"), Value::Object(schema))
}

fn reachable(schema: &Value, definitions: &Value) -> Map<String, Value> {
    let (mut found, mut open) = (Map::new(), references(schema));
    while let Some(name) = open.pop() {
        if !found.contains_key(&name) {
            open.extend(references(&definitions[&name]));
            found.insert(name.clone(), definitions[&name].clone());
        }
    }
    found
}

fn references(schema: &Value) -> Vec<String> {
    match schema {
        Value::Object(object) => {
            let here = object.get("$ref").and_then(Value::as_str).and_then(|to| to.strip_prefix("#/$defs/")).map(str::to_owned);
            here.into_iter().chain(object.values().flat_map(references)).collect()
        }
        Value::Array(items) => items.iter().flat_map(references).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => vec![],
    }
}

/// Whether `value` is of `schema`'s form.
pub fn fits(schema: &Value, value: &Value) -> Result<(), String> {
    takes(&Form::of(schema, schema), value, "")
}

fn takes(form: &Form<'_>, value: &Value, at: &str) -> Result<(), String> {
    let mut reasons = vec![];
    for way in form.ways() {
        match way.takes(value, at) {
            Ok(()) => return Ok(()),
            Err(reason) => reasons.push(reason),
        }
    }
    Err(reasons.join("; "))
}

/// What was written after `old` and cannot be read after `new`, or the other way round. A field may join as an option and a value may
/// join a list of values; nothing may leave, and nothing may change.
pub fn breaks(old: &Value, new: &Value) -> Vec<String> {
    narrowed(&Form::of(old, old), &Form::of(new, new), "")
}

fn narrowed(old: &Form<'_>, new: &Form<'_>, at: &str) -> Vec<String> {
    let candidates = new.ways();
    old.ways()
        .iter()
        .filter_map(|way| {
            let reasons: Vec<Vec<String>> = candidates.iter().map(|candidate| way.narrowed_to(candidate, at)).collect();
            if reasons.iter().any(Vec::is_empty) {
                return None;
            }
            // The closest candidate says most about what happened.
            reasons.into_iter().min_by_key(Vec::len)
        })
        .flatten()
        .collect()
}

/// A schema inside the document that holds its definitions.
#[derive(Clone)]
struct Form<'a> {
    root: &'a Value,
    schema: Map<String, Value>,
}

impl<'a> Form<'a> {
    fn of(root: &'a Value, schema: &Value) -> Form<'a> {
        let mut schema = schema.as_object().cloned().unwrap_or_default();
        if let Some(to) = schema.get("$ref").and_then(Value::as_str).and_then(|to| to.strip_prefix("#/$defs/")) {
            return Form::of(root, &root["$defs"][to]);
        }
        for words in ["title", "description", "$schema", "$defs"] {
            schema.remove(words);
        }
        Form { root, schema }
    }

    fn inner(&self, schema: &Value) -> Form<'a> {
        Form::of(self.root, schema)
    }

    /// The alternatives: each of one type, or of one constant.
    fn ways(&self) -> Vec<Form<'a>> {
        if let Some(Value::Array(ways)) = self.schema.get("oneOf").or_else(|| self.schema.get("anyOf")) {
            return ways.iter().flat_map(|way| self.inner(way).ways()).collect();
        }
        if let Some(Value::Array(values)) = self.schema.get("enum") {
            return values.iter().map(|value| self.inner(&json!({ "type": self.schema["type"], "const": value }))).collect();
        }
        match self.schema.get("type") {
            Some(Value::Array(types)) => types.iter().map(|of| self.with_type(of)).collect(),
            Some(_) | None => vec![self.clone()],
        }
    }

    fn with_type(&self, of: &Value) -> Form<'a> {
        if of == "null" {
            return self.inner(&json!({ "type": "null" }));
        }
        let mut form = self.clone();
        form.schema.insert("type".to_owned(), of.clone());
        form
    }

    fn fields(&self) -> Map<String, Value> {
        self.schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default()
    }

    fn required(&self) -> BTreeSet<&str> {
        self.schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// The forms of an array's places, with `items` standing for all further ones.
    fn places(&self) -> Vec<Form<'a>> {
        let first = self.schema.get("prefixItems").and_then(Value::as_array).into_iter().flatten();
        first.chain(self.schema.get("items")).map(|item| self.inner(item)).collect()
    }

    fn takes(&self, value: &Value, at: &str) -> Result<(), String> {
        if self.schema.get("const").is_some_and(|constant| constant != value) {
            return Err(format!("{at} is {value}, not {}", self.schema["const"]));
        }
        let of = self.schema.get("type").and_then(Value::as_str).unwrap_or_default();
        match (of, value) {
            ("object", Value::Object(object)) => self.takes_object(object, at),
            ("array", Value::Array(items)) => {
                let places = self.places();
                let last = places.last().ok_or_else(|| format!("{at} says nothing of its items"))?;
                items
                    .iter()
                    .enumerate()
                    .try_for_each(|(index, item)| takes(places.get(index).unwrap_or(last), item, &format!("{at}[{index}]")))
            }
            ("string", Value::String(_)) | ("boolean", Value::Bool(_)) | ("null", Value::Null) => Ok(()),
            ("integer", Value::Number(number)) if number.is_i64() || number.is_u64() => Ok(()),
            _ => Err(format!("{at} is {value}, not of type \"{of}\"")),
        }
    }

    fn takes_object(&self, object: &Map<String, Value>, at: &str) -> Result<(), String> {
        let fields = self.fields();
        if let Some(missing) = self.required().into_iter().find(|field| !object.contains_key(*field)) {
            return Err(format!("{at}.{missing} is missing"));
        }
        object.iter().try_for_each(|(name, value)| {
            let field = fields.get(name).ok_or_else(|| format!("{at}.{name} is not in the schema"))?;
            takes(&self.inner(field), value, &format!("{at}.{name}"))
        })
    }

    fn narrowed_to(&self, new: &Form<'_>, at: &str) -> Vec<String> {
        const COMPARED_APART: [&str; 4] = ["properties", "required", "items", "prefixItems"];
        let rest = |form: &Form<'_>| -> Map<String, Value> {
            form.schema.clone().into_iter().filter(|(word, _)| !COMPARED_APART.contains(&word.as_str())).collect()
        };
        if rest(self) != rest(new) {
            return vec![format!("{at} was {} and is {}", Value::Object(rest(self)), Value::Object(rest(new)))];
        }
        let (places, new_places) = (self.places(), new.places());
        if places.len() != new_places.len() {
            return vec![format!("{at} has another number of items")];
        }
        let places = places.iter().zip(&new_places).flat_map(|(old, new)| narrowed(old, new, &format!("{at}[]")));
        self.fields_narrowed_to(new, at).into_iter().chain(places).collect()
    }

    fn fields_narrowed_to(&self, new: &Form<'_>, at: &str) -> Vec<String> {
        let (fields, new_fields) = (self.fields(), new.fields());
        let changed = fields.iter().flat_map(|(name, field)| match new_fields.get(name) {
            Some(new_field) => narrowed(&self.inner(field), &new.inner(new_field), &format!("{at}.{name}")),
            None => vec![format!("{at}.{name} is gone")],
        });
        let required = new.required().difference(&self.required()).map(|name| format!("{at}.{name} is not optional")).collect::<Vec<_>>();
        let optional = self
            .required()
            .difference(&new.required())
            .filter(|name| new_fields.contains_key(**name))
            .map(|name| format!("{at}.{name} has become optional"))
            .collect::<Vec<_>>();
        changed.chain(required).chain(optional).collect()
    }
}

mod tests {
    use super::*;

    fn form(fields: &Value, required: &[&str]) -> Value {
        json!({ "type": "object", "description": "words", "properties": fields, "required": required,
            "$defs": { "Kind": { "oneOf": [{ "type": "string", "const": "ac" }, { "type": "string", "const": "dc" }] } } })
    }

    fn pile() -> Value {
        form(&json!({ "code": { "type": "string" }, "kind": { "$ref": "#/$defs/Kind" } }), &["code", "kind"])
    }

    #[test]
    fn words_are_not_shape() {
        let mut reworded = pile();
        reworded["description"] = json!("other words");
        reworded["properties"]["code"]["description"] = json!("a code");
        assert_eq!(breaks(&pile(), &reworded), Vec::<String>::new());
    }

    #[test]
    fn an_option_and_a_value_may_join() {
        let mut wider = pile();
        wider["properties"]["model"] = json!({ "type": ["string", "null"] });
        wider["$defs"]["Kind"]["oneOf"].as_array_mut().unwrap().push(json!({ "type": "string", "const": "both" }));
        assert_eq!(breaks(&pile(), &wider), Vec::<String>::new());
        assert_eq!(breaks(&wider, &pile()).len(), 2);
    }

    #[test]
    fn nothing_may_leave_change_or_become_required() {
        let changes = [
            form(&json!({ "kind": { "$ref": "#/$defs/Kind" } }), &["kind"]),
            form(&json!({ "code": { "type": "integer" }, "kind": { "$ref": "#/$defs/Kind" } }), &["code", "kind"]),
            form(&json!({ "code": { "type": "string", "pattern": "^9" }, "kind": { "$ref": "#/$defs/Kind" } }), &["code", "kind"]),
            form(&json!({ "code": { "type": "string" }, "kind": { "$ref": "#/$defs/Kind" } }), &["code"]),
            form(
                &json!({ "code": { "type": "string" }, "kind": { "$ref": "#/$defs/Kind" }, "n": { "type": "integer" } }),
                &["code", "kind", "n"],
            ),
        ];
        for change in changes {
            assert_ne!(breaks(&pile(), &change), Vec::<String>::new(), "{change}");
        }
    }

    #[test]
    fn a_value_fits_or_says_why_not() {
        assert_eq!(fits(&pile(), &json!({ "code": "1", "kind": "ac" })), Ok(()));
        assert_eq!(fits(&pile(), &json!({ "code": "1" })), Err(".kind is missing".to_owned()));
        assert_eq!(fits(&pile(), &json!({ "code": 1, "kind": "ac" })), Err(".code is 1, not of type \"string\"".to_owned()));
        assert!(fits(&pile(), &json!({ "code": "1", "kind": "both" })).is_err());
        assert!(fits(&pile(), &json!({ "code": "1", "kind": "ac", "more": 1 })).is_err());
    }
}
