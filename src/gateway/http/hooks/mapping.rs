//! Mapped hooks: which mapping a request is for, and what it makes of it (http.md §5.5). Pure.

use serde_json::{Map, Value, json};

use super::template::{Seen, render};
use crate::config::types::http::{HookMapping, HookMatch, Hooks};

/// Returns the mapping that a request is for: the configuration's own first, then those of presets.
pub fn find(hooks: &Hooks, seen: &Seen<'_>) -> Option<HookMapping> {
    let presets = hooks.presets.iter().filter(|preset| *preset == "gmail").map(|_| gmail());
    hooks.mappings.iter().cloned().chain(presets).find(|mapping| fits(mapping, seen))
}

fn fits(mapping: &HookMapping, seen: &Seen<'_>) -> bool {
    let Some(HookMatch { path, source }) = &mapping.matches else { return true };
    let is_path = path.as_deref().is_none_or(|path| path.trim_matches('/') == seen.path.trim_matches('/'));
    is_path && source.as_deref().is_none_or(|source| seen.payload["source"] == source)
}

/// The preset of Gmail's watcher.
fn gmail() -> HookMapping {
    HookMapping {
        id: Some("gmail".to_owned()),
        matches: Some(HookMatch { path: Some("gmail".to_owned()), source: None }),
        action: Some("agent".to_owned()),
        wake_mode: Some("now".to_owned()),
        name: Some("Gmail".to_owned()),
        session_key: Some("hook:gmail:{{messages[0].id}}".to_owned()),
        message_template: Some(
            "New email from {{messages[0].from}}\nSubject: {{messages[0].subject}}\n{{messages[0].snippet}}\n\
             {{messages[0].body}}"
                .to_owned(),
        ),
        ..HookMapping::default()
    }
}

/// Returns what a mapping makes of a request, as the fields of an action: `kind`, and those of `/wake` or `/agent`.
pub fn action(mapping: &HookMapping, seen: &Seen<'_>) -> Map<String, Value> {
    let rendered = |template: &Option<String>| render(template.as_deref().unwrap_or_default(), seen);
    let optional = |template: &Option<String>| {
        let text = rendered(template);
        if text.trim().is_empty() { Value::Null } else { Value::from(text) }
    };
    let wake_mode = mapping.wake_mode.as_deref().unwrap_or("now");
    let fields = if mapping.action.as_deref() == Some("wake") {
        json!({"kind": "wake", "text": rendered(&mapping.text_template), "mode": wake_mode})
    } else {
        json!({
            "kind": "agent", "message": rendered(&mapping.message_template), "wakeMode": wake_mode,
            "name": optional(&mapping.name), "sessionKey": optional(&mapping.session_key), "deliver": mapping.deliver,
            "channel": mapping.channel, "to": optional(&mapping.to), "model": optional(&mapping.model),
            "thinking": optional(&mapping.thinking), "timeoutSeconds": mapping.timeout_seconds,
        })
    };
    match fields {
        Value::Object(fields) => fields.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        _ => Map::new(),
    }
}

/// Lays over an action what a transform returned.
pub fn overlay(action: &mut Map<String, Value>, over: &Map<String, Value>) {
    const FIELDS: [&str; 12] = [
        "kind",
        "text",
        "mode",
        "message",
        "wakeMode",
        "name",
        "sessionKey",
        "deliver",
        "channel",
        "to",
        "model",
        "thinking",
    ];
    for (name, value) in over {
        if FIELDS.contains(&name.as_str()) || name == "timeoutSeconds" {
            action.insert(name.clone(), value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hooks(value: Value) -> Hooks {
        serde_json::from_value(value).expect("hooks")
    }

    fn made(hooks: &Hooks, path: &str, payload: &Value) -> Option<Value> {
        let none = Map::new();
        let seen = Seen { path, headers: &none, query: &none, payload, now: "" };
        find(hooks, &seen).map(|mapping| Value::Object(action(&mapping, &seen)))
    }

    #[test]
    fn the_first_that_fits_is_taken() {
        let hooks = hooks(json!({"presets": ["gmail", "unknown"], "mappings": [
            {"match": {"path": "/a/b/"}, "action": "wake", "textTemplate": "T {{x}}", "wakeMode": "next-heartbeat"},
            {"match": {"source": "ci"}, "messageTemplate": "M {{x}}", "name": "{{none}}", "deliver": false},
            {"match": {"path": "gmail", "source": "other"}, "messageTemplate": "never"},
        ]}));
        let payload = json!({"x": 1});
        assert_eq!(
            made(&hooks, "a/b", &payload),
            Some(json!({"kind": "wake", "text": "T 1", "mode": "next-heartbeat"}))
        );
        assert_eq!(made(&hooks, "zzz", &payload), None);
        assert_eq!(
            made(&hooks, "zzz", &json!({"source": "ci", "x": "y"})),
            Some(json!({"kind": "agent", "message": "M y", "wakeMode": "now", "deliver": false}))
        );
        let mail = made(&hooks, "gmail/", &json!({"messages": [{"id": "m1", "from": "a@b"}]})).expect("the preset");
        assert_eq!((&mail["sessionKey"], &mail["name"]), (&json!("hook:gmail:m1"), &json!("Gmail")));
        assert!(mail["message"].as_str().is_some_and(|text| text.starts_with("New email from a@b\nSubject: \n")));
    }

    #[test]
    fn a_mapping_without_a_match_takes_all() {
        let hooks = hooks(json!({"mappings": [{"messageTemplate": "x"}]}));
        assert!(made(&hooks, "anything/at/all", &json!(null)).is_some());
    }
}
