//! Judges what a gateway sends by `schemas/`, so that the models of clients can be trusted.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use jsonschema::error::ValidationErrorKind;
use jsonschema::{ValidationError, Validator};
use serde_json::Value;

static SCHEMA: LazyLock<Value> = LazyLock::new(|| read("protocol.schema.json"));
static NAMES: LazyLock<Value> = LazyLock::new(|| read("methods.json"));
static COMPILED: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);

/// compat: what the original sends (the recordings show it) and does not define.
const UNDEFINED: [(&str, &str); 2] = [("AgentEvent", "sessionKey"), ("ModelsListResult", "input")];

/// Panics when a frame, or what it carries, is not as its definition says; `method` is what a response answers.
pub fn judge(frame: &Value, method: Option<&str>) {
    match frame["type"].as_str() {
        // Requests that are no requests are answered with the id that they had.
        Some("res") if !frame["id"].is_string() => {}
        Some("res") => check("ResponseFrame", frame),
        _ => check("EventFrame", frame),
    }
    let name = |key: &str, of: &str| NAMES[key].get(of);
    let event = frame["event"].as_str().and_then(|event| name("events", event)?["payload"].as_str());
    let result = method.filter(|_| frame["ok"] == true).and_then(|method| name("methods", method)?["result"].as_str());
    if let Some(definition) = event.or(result) {
        check(definition, &without_nulls(&frame["payload"]));
    }
}

/// compat: payloads say null for some values that their definitions let be absent. Clients take the one for the other.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            object.iter().filter(|(_, it)| !it.is_null()).map(|(key, it)| (key.clone(), without_nulls(it))).collect()
        }
        Value::Array(list) => list.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}

fn check(definition: &str, value: &Value) {
    let validator = Arc::clone(
        COMPILED.lock().unwrap_or_else(PoisonError::into_inner).entry(definition.to_owned()).or_insert_with(|| {
            let schema = &SCHEMA["definitions"][definition];
            Arc::new(jsonschema::draft7::new(schema).expect("definitions compile"))
        }),
    );
    let is_known = |error: &ValidationError<'_>| match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            unexpected.iter().all(|key| UNDEFINED.contains(&(definition, key)))
        }
        _ => false,
    };
    let wrong: Vec<String> = validator
        .iter_errors(value)
        .filter(|error| !is_known(error))
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(wrong.is_empty(), "not a {definition}: {wrong:#?}\n{value}");
}

fn read(name: &str) -> Value {
    let path = format!("{}/schemas/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).expect("schemas/")).expect("JSON")
}
