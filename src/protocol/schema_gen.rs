//! Generates `schemas/protocol.schema.json` from the parameter types, and holds the file against them.
//!
//! Repair a drift with `scripts/schema-gen.sh`.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use super::{
    agent, approvals, channels, chat, config, connect, cron, devices, nodes, sessions, skills, system, talk, wizard,
};

fn constants(values: &[&str]) -> Schema {
    let branches: Vec<Value> = values.iter().map(|value| json!({"const": value, "type": "string"})).collect();
    json_schema!({"anyOf": branches})
}

pub(super) fn client_ids(_: &mut SchemaGenerator) -> Schema {
    constants(&connect::CLIENT_IDS)
}

pub(super) fn client_modes(_: &mut SchemaGenerator) -> Schema {
    constants(&connect::CLIENT_MODES)
}

fn generate() -> Value {
    let mut definitions = Map::new();
    definitions.insert("RequestFrame".into(), frame("req", &[("id", true), ("method", true)], &["params"]));
    for define in [
        connect::define,
        agent::define,
        approvals::define,
        channels::define,
        chat::define,
        config::define,
        cron::define,
        devices::define,
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

fn frame(kind: &str, texts: &[(&str, bool)], open: &[&str]) -> Value {
    let mut properties = Map::new();
    properties.insert("type".into(), json!({"const": kind, "type": "string"}));
    let mut required = vec!["type"];
    for (name, is_required) in texts {
        properties.insert((*name).into(), json!({"type": "string", "minLength": 1}));
        if *is_required {
            required.push(name);
        }
    }
    for name in open {
        properties.insert((*name).into(), json!({}));
    }
    json!({"type": "object", "required": required, "properties": properties, "additionalProperties": false})
}

pub(super) fn add<T: JsonSchema>(definitions: &mut Map<String, Value>) {
    let mut settings = schemars::generate::SchemaSettings::draft07();
    settings.meta_schema = None;
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    clean(&mut schema);
    definitions.insert(T::schema_name().into_owned(), schema);
}

/// Removes what is Rust's and not the wire's: titles, docs, number formats, and `null` for what may be absent.
fn clean(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            object.remove("title");
            object.remove("description");
            object.remove("format");
            if object.get("default") == Some(&Value::Null) {
                object.remove("default");
            }
            if let Some(Value::Array(types)) = object.get("type") {
                let kept: Vec<Value> = types.iter().filter(|kind| *kind != "null").cloned().collect();
                if let [single] = kept.as_slice() {
                    object.insert("type".into(), single.clone());
                }
            }
            if let Some(Value::Array(branches)) = object.get("anyOf")
                && let [only, Value::Object(null)] = branches.as_slice()
                && null.get("type") == Some(&json!("null"))
                && let Value::Object(only) = only.clone()
            {
                object.remove("anyOf");
                object.extend(only);
            }
            if object.get("items") == Some(&json!(true)) {
                object.insert("items".into(), json!({}));
            }
            let is_closed = object.get("additionalProperties").is_none_or(|more| *more == json!(false));
            if object.get("type") == Some(&json!("object")) && !object.contains_key("properties") && is_closed {
                object.insert("properties".into(), json!({}));
            }
            object.values_mut().for_each(clean);
        }
        Value::Array(list) => list.iter_mut().for_each(clean),
        _ => {}
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
