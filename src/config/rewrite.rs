//! From what a client wants the configuration to be to what is written into the file (config.md §8).
//!
//! Clients edit the effective configuration: defaults filled in, `${NAME}` replaced by secrets, includes expanded. The
//! original writes all of that out. Here the file keeps its own words wherever the client left the meaning alone.
//! Pure. Not here: whether the result is valid (`write`).

use serde_json::{Map, Value};

use super::include;

/// The key of an include.
const INCLUDE: &str = "$include";

/// What becomes of an include of which the client changed something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Includes {
    /// It stays, and what differs is written beside it. Right only if the reader then reads what is wanted.
    Keep,
    /// Its content is written out.
    Dissolve,
}

/// Returns the tree to write, given what the file says now (`source`), what that means (`effective`), and what is wanted.
pub fn express(source: &Value, effective: &Value, wanted: &Value, includes: Includes) -> Value {
    let written = value(Some(source), Some(effective), wanted, includes);
    written.unwrap_or_else(|| Value::Object(Map::new()))
}

/// Returns whether [`Includes`] matters for this file.
pub fn has_includes(source: &Value) -> bool {
    include::is_used(source)
}

/// `None` where nothing needs to be written.
fn value(source: Option<&Value>, effective: Option<&Value>, wanted: &Value, includes: Includes) -> Option<Value> {
    if effective == Some(wanted) || source == Some(wanted) {
        return source.cloned();
    }
    match (source, effective, wanted) {
        (None | Some(Value::Object(_)), Some(Value::Object(effective)), Value::Object(wanted)) => {
            let none = Map::new();
            let source = source.and_then(Value::as_object).unwrap_or(&none);
            object(source, effective, wanted, includes)
        }
        (Some(Value::Array(source)), Some(Value::Array(effective)), Value::Array(wanted))
            if source.len() == effective.len() =>
        {
            Some(Value::Array(list(source, effective, wanted, includes)))
        }
        _ => Some(wanted.clone()),
    }
}

fn object(
    source: &Map<String, Value>,
    effective: &Map<String, Value>,
    wanted: &Map<String, Value>,
    includes: Includes,
) -> Option<Value> {
    if wanted.contains_key(INCLUDE) || (source.contains_key(INCLUDE) && includes == Includes::Dissolve) {
        // Either the client edited the text itself and means what it says, or all of the content is to stand here.
        return Some(Value::Object(wanted.clone()));
    }
    let mut written = Map::new();
    // The file's order first, so that an edit changes few lines of it.
    let known = source.keys().filter(|key| wanted.contains_key(*key));
    for key in known.chain(wanted.keys().filter(|key| !source.contains_key(*key))) {
        if let Some(value) = value(source.get(key), effective.get(key), &wanted[key], includes) {
            written.insert(key.clone(), value);
        }
    }
    if let Some(include) = source.get(INCLUDE) {
        written.shift_insert(0, INCLUDE.to_owned(), include.clone());
    }
    Some(Value::Object(written))
}

fn list(source: &[Value], effective: &[Value], wanted: &[Value], includes: Includes) -> Vec<Value> {
    let same_place = source.len() == wanted.len();
    let items = wanted.iter().enumerate().map(|(index, item)| {
        let at = if same_place { Some(index) } else { effective.iter().position(|there| there == item) };
        let written = at.and_then(|at| value(source.get(at), effective.get(at), item, includes));
        written.unwrap_or_else(|| item.clone())
    });
    items.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tree::merge_patch;
    use serde_json::json;

    fn effective() -> (Value, Value) {
        let source = json!({
            "gateway": {"port": 1, "auth": {"token": "${TOKEN}"}},
            "channels": {"$include": "channels.json", "telegram": {"name": "n"}},
            "agents": {"list": [{"id": "a", "workspace": "~/a"}, {"id": "b", "workspace": "$${X}"}]},
        });
        let effective = json!({
            "gateway": {"port": 1, "auth": {"token": "secret"}},
            "channels": {"telegram": {"name": "n", "botToken": "t", "dmPolicy": "pairing"}},
            "agents": {"list": [{"id": "a", "workspace": "/h/a"}, {"id": "b", "workspace": "${X}"}], "defaults": {"maxConcurrent": 4}},
            "messages": {"ackReactionScope": "group-mentions"},
        });
        (source, effective)
    }

    /// What is written when a patch is applied to the effective configuration, as a patch of the source.
    #[track_caller]
    fn check(patch: Value, wanted_change: Value) {
        let (source, effective) = effective();
        let mut wanted = effective.clone();
        merge_patch(&mut wanted, patch.clone());
        let mut expected = source.clone();
        merge_patch(&mut expected, wanted_change);
        assert_eq!(express(&source, &effective, &wanted, Includes::Keep), expected, "{patch}");
    }

    #[test]
    fn only_changes_are_written() {
        check(json!({}), json!({}));
        check(json!({"gateway": {"port": 2}}), json!({"gateway": {"port": 2}}));
        check(json!({"gateway": {"auth": {"token": "new"}}}), json!({"gateway": {"auth": {"token": "new"}}}));
        check(json!({"messages": {"ackReaction": "x"}}), json!({"messages": {"ackReaction": "x"}}));
        check(json!({"messages": null}), json!({}));
        check(json!({"gateway": null, "ui": {}}), json!({"gateway": null, "ui": {}}));
        check(json!({"channels": {"telegram": {"name": "m"}}}), json!({"channels": {"telegram": {"name": "m"}}}));
        let list = |items: Value| json!({"agents": {"list": items}});
        check(
            list(json!([{"id": "a", "workspace": "/h/a", "name": "A"}, {"id": "b", "workspace": "${X}"}])),
            list(json!([{"id": "a", "workspace": "~/a", "name": "A"}, {"id": "b", "workspace": "$${X}"}])),
        );
        check(list(json!([{"id": "b", "workspace": "${X}"}])), list(json!([{"id": "b", "workspace": "$${X}"}])));
    }

    #[test]
    fn an_edited_text_is_written_as_it_is() {
        let (source, effective) = effective();
        assert_eq!(express(&source, &effective, &source, Includes::Keep), source);
        let mut wanted = source.clone();
        merge_patch(
            &mut wanted,
            json!({"gateway": {"auth": {"token": "${OTHER}"}}, "channels": {"$include": "b.json"}}),
        );
        assert_eq!(express(&source, &effective, &wanted, Includes::Keep), wanted);
    }

    #[test]
    fn includes_can_be_written_out() {
        let (source, effective) = effective();
        let mut wanted = effective.clone();
        merge_patch(&mut wanted, json!({"channels": {"telegram": {"botToken": null}}}));
        assert_eq!(express(&source, &effective, &wanted, Includes::Keep)["channels"], source["channels"]);
        assert_eq!(express(&source, &effective, &wanted, Includes::Dissolve)["channels"], wanted["channels"]);
    }
}
