//! Generates `schemas/protocol.schema.json` from the parameter types, and holds the file against them.
//!
//! Repair a drift with `scripts/schema-gen.sh`.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use super::{
    agent, approvals, browser, channels, chat, config, connect, cron, devices, node_pair, nodes, outbound, sessions,
    skills, system, talk, wizard,
};

fn constants(values: &[&str]) -> Schema {
    let branches: Vec<Value> = values.iter().map(|value| json!({"const": value, "type": "string"})).collect();
    json_schema!({"anyOf": branches})
}

/// The schema of a text that is one of these words.
pub(super) fn words(values: &[&str]) -> Schema {
    constants(values)
}

pub(super) fn client_ids(_: &mut SchemaGenerator) -> Schema {
    constants(&connect::CLIENT_IDS)
}

pub(super) fn client_modes(_: &mut SchemaGenerator) -> Schema {
    constants(&connect::CLIENT_MODES)
}

pub(super) fn wake_modes(_: &mut SchemaGenerator) -> Schema {
    constants(&["now", "next-heartbeat"])
}

/// The constant 1 of a versioned file.
pub(super) fn one(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"const": 1, "type": "number"})
}

/// Marks a schema whose `null` is the wire's and not that of an `Option`.
pub(super) const KEEPS_NULL: &str = "nullable";

/// A text that may be `null`: stands in for `String` where the original's schema names both.
pub(super) struct NullableText;

impl JsonSchema for NullableText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "NullableText".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [{"type": "string"}, {"type": "null"}], KEEPS_NULL: true})
    }
}

pub(super) fn wizard_modes(_: &mut SchemaGenerator) -> Schema {
    constants(&["local", "remote"])
}

/// A text that may be null, and is then something else than absent.
pub(super) fn text_or_null(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"anyOf": [{"minLength": 1, "type": "string"}, {"type": "null"}], KEEPS_NULL: true})
}

/// `last` or a channel's id.
pub(super) fn channel_or_last(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"anyOf": [{"const": "last", "type": "string"}, {"minLength": 1, "type": "string"}]})
}

/// Returns the whole file.
pub(crate) fn generate() -> Value {
    let mut definitions = Map::new();
    for define in [
        outbound::define,
        connect::define,
        agent::define,
        approvals::define,
        browser::define,
        channels::define,
        chat::define,
        config::define,
        cron::define,
        devices::define,
        node_pair::define,
        nodes::define,
        sessions::define,
        skills::define,
        system::define,
        talk::define,
        wizard::define,
    ] {
        define(&mut definitions);
    }
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": "https://clawdbot.dev/protocol.schema.json",
        "title": "Clawdbot Gateway Protocol",
        "description": "Parameters and frames of the control plane, generated from src/protocol.",
        "definitions": definitions,
    })
}

pub(super) fn add<T: JsonSchema>(definitions: &mut Map<String, Value>) {
    let mut settings = schemars::generate::SchemaSettings::draft07();
    settings.meta_schema = None;
    settings.inline_subschemas = true;
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    clean(&mut schema);
    definitions.insert(T::schema_name().into_owned(), schema);
}

/// Makes of a derived schema the one the original writes: without what is Rust's (titles, docs, number formats, the `null`
/// of what may be absent), and with its spelling of maps, unions and anything.
fn clean(schema: &mut Value) {
    if *schema == json!(true) {
        *schema = json!({});
    }
    let Value::Object(object) = schema else { return };
    // First, because what is inside an `Option` comes to light.
    if !object.contains_key(KEEPS_NULL) {
        remove_null(object);
    }
    for key in ["title", "description", "format", KEEPS_NULL] {
        object.remove(key);
    }
    if object.get("default") == Some(&Value::Null) {
        object.remove("default");
    }
    if let Some(branches) = object.remove("oneOf") {
        object.insert("anyOf".into(), branches);
    }
    let is_object = object.get("type") == Some(&json!("object"));
    if is_object && !object.contains_key("properties") {
        match object.remove("additionalProperties") {
            Some(values) if values != json!(false) => {
                object.insert("patternProperties".into(), json!({"^(.*)$": values}));
            }
            closed => {
                if !object.contains_key("patternProperties") {
                    object.extend(closed.map(|closed| ("additionalProperties".to_owned(), closed)));
                    object.insert("properties".into(), json!({}));
                }
            }
        }
    }
    for (key, value) in object {
        match (key.as_str(), value) {
            // Their keys are names of the wire, such as `title`.
            ("properties" | "patternProperties", Value::Object(named)) => named.values_mut().for_each(clean),
            ("anyOf", Value::Array(branches)) => branches.iter_mut().for_each(clean),
            ("items", value) => clean(value),
            _ => {}
        }
    }
}

/// Takes back that an absent value may be `null`, too.
fn remove_null(object: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|kind| kind != "null");
        match types.as_slice() {
            [] => drop(object.insert("type".into(), "null".into())),
            [single] => {
                let single = single.clone();
                object.insert("type".into(), single);
            }
            _ => {}
        }
    }
    if let Some(Value::Array(branches)) = object.get("anyOf")
        && let [Value::Object(only), null] = branches.as_slice()
        && null.get("type") == Some(&json!("null"))
    {
        let only = only.clone();
        object.remove("anyOf");
        object.extend(only);
    }
}

#[test]
fn schemas_match_the_types() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/protocol.schema.json");
    let text = format!("{}\n", serde_json::to_string_pretty(&generate()).expect("JSON"));
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        std::fs::write(path, &text).expect("write the schema file");
    }
    let stored = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(stored, text, "schemas/ differs from the types; run scripts/schema-gen.sh and look at the change");
}
