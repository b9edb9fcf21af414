//! What forms say about keys: labels, help, order, and which values are secrets (config.md §9).
//!
//! The texts stand in `hints.txt`, read whenever somebody asks. Not here: what the values may be (`schema`).

use serde_json::{Map, Value, json};

use super::notation::{Others, Shape};

const HINTS: &str = include_str!("hints.txt");

/// Returns the hints by path. Items of lists stand there twice, as forms differ in how they spell their paths: with `[]`
/// and without.
pub fn hints() -> Value {
    let mut hints = Map::new();
    let mut entry = |path: &str, hint: Map<String, Value>| {
        for path in [path.to_owned(), path.replace("[]", "")] {
            let slot = hints.entry(path).or_insert_with(|| json!({}));
            slot.as_object_mut().expect("hints are objects").extend(hint.clone());
        }
    };
    for line in HINTS.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
        match line.strip_prefix("= ") {
            Some(section) => {
                let mut words = section.splitn(3, ' ');
                let (path, order) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
                let label = words.next().unwrap_or(path);
                let order = order.parse::<u64>().unwrap_or_default();
                let hint = [("label", json!(label)), ("group", json!(label)), ("order", json!(order))];
                entry(path, hint.map(|(name, value)| (name.to_owned(), value)).into_iter().collect());
            }
            None => {
                let mut fields = line.split(" | ").map(str::trim);
                let path = fields.next().unwrap_or_default();
                let named = ["label", "help", "placeholder"].into_iter().zip(fields);
                let texts = named.filter(|(_, text)| !text.is_empty());
                entry(path, texts.map(|(name, text)| (name.to_owned(), text.into())).collect());
            }
        }
    }
    secrets(super::root(), "", &mut |path| {
        entry(path, Map::from_iter([("sensitive".to_owned(), true.into())]));
    });
    Value::Object(hints)
}

/// Calls `found` with the path of every text that is a secret by its name.
fn secrets(shape: &Shape, path: &str, found: &mut dyn FnMut(&str)) {
    match shape {
        Shape::Str { .. } if is_secret(path.rsplit('.').next().unwrap_or(path)) => found(path),
        Shape::List(item) => secrets(item, &format!("{path}[]"), found),
        Shape::Map { value, .. } => secrets(value, &format!("{path}.*"), found),
        Shape::Union(branches) => branches.iter().for_each(|branch| secrets(branch, path, found)),
        Shape::Object(object) => {
            for field in &object.fields {
                let below = if path.is_empty() { field.key.to_owned() } else { format!("{path}.{}", field.key) };
                secrets(&field.shape, &below, found);
            }
            if let Others::Shaped(shape) = &object.others {
                secrets(shape, &format!("{path}.*"), found);
            }
        }
        _ => {}
    }
}

/// What stands in the place of a secret that is not shown.
pub const REDACTED: &str = "__REDACTED__";

/// Covers the secrets in a value, all of it where `is_named_secret` says that its own key is a secret's; returns them.
/// References to variables stay.
pub fn cover(value: &mut Value, is_named_secret: bool) -> Vec<String> {
    let mut secrets = Vec::new();
    cover_into(value, is_named_secret, &mut secrets);
    secrets
}

fn cover_into(value: &mut Value, is_named_secret: bool, secrets: &mut Vec<String>) {
    match value {
        Value::String(text) if is_named_secret && !text.is_empty() && !text.starts_with("${") => {
            secrets.push(std::mem::replace(text, REDACTED.to_owned()));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| cover_into(item, is_named_secret, secrets)),
        Value::Object(fields) => {
            for (key, value) in fields {
                cover_into(value, is_secret(key), secrets);
            }
        }
        _ => {}
    }
}

/// `token`, `botToken`, `apiKey` …; but not `tokenFile`, which only says where one is.
pub fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["token", "password", "secret", "apikey"].iter().any(|end| key.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys;

    /// Returns whether the table has such a key.
    fn exists(shape: &Shape, path: &str) -> bool {
        if path.is_empty() {
            return true;
        }
        match shape {
            Shape::List(item) => path.strip_prefix("[]").is_some_and(|rest| exists(item, rest)),
            Shape::Union(branches) => branches.iter().any(|branch| exists(branch, path)),
            Shape::Map { value, .. } => path.strip_prefix(".*").is_some_and(|rest| exists(value, rest)),
            Shape::Object(object) => object.fields.iter().any(|field| {
                let rest = path.strip_prefix('.').and_then(|path| path.strip_prefix(field.key));
                rest.is_some_and(|rest| (rest.is_empty() || rest.starts_with(['.', '['])) && exists(&field.shape, rest))
            }),
            _ => false,
        }
    }

    #[test]
    fn every_hint_is_for_a_key() {
        let mut seen = std::collections::HashSet::new();
        for line in HINTS.lines().filter(|line| !line.starts_with('#') && line.contains(" | ")) {
            let fields: Vec<&str> = line.split(" | ").collect();
            assert!(exists(keys::root(), &format!(".{}", fields[0])), "no such key: {line}");
            assert!(seen.insert(fields[0]), "twice: {line}");
            assert!(fields.len() <= 4 && !fields[1].trim().is_empty(), "{line}");
        }
        assert!(seen.len() > 200);
    }

    #[test]
    fn sections_texts_and_secrets() {
        let hints = hints();
        assert_eq!(
            hints["channels"],
            json!({"label": "Messaging Channels", "group": "Messaging Channels", "order": 150})
        );
        assert_eq!(hints["gateway.remote.url"]["placeholder"], "ws://host:18789");
        assert_eq!(hints["agents.list[].identity.avatar"], hints["agents.list.identity.avatar"]);
        for (path, is_sensitive) in [
            ("gateway.auth.token", true),
            ("channels.telegram.accounts.*.botToken", true),
            ("models.providers.*.apiKey", true),
            ("agents.defaults.memorySearch.chunking.tokens", false),
            ("channels.telegram.tokenFile", false),
        ] {
            assert_eq!(hints[path]["sensitive"] == true, is_sensitive, "{path}");
        }
    }
}
