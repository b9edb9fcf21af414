//! Arguments of a call: their JSON schema, whether they fit it, and how they are read.
//!
//! A parameter's kind is written as `string`, `number`, `boolean`, `object`, `any`, as choices `a|b|c`, or as a list of
//! one of them with `[]`; a `*` at the end means required. Models are met half-way: numbers and truth values may come as
//! text, a single value where a list belongs, and a few parameters under an older name. Pure.

use crate::base::text::{text_of, unless_blank};
use serde_json::{Map, Value, json};

type Parameters = [(&'static str, &'static str, &'static str)];

/// Other names under which models give these parameters.
const ALIASES: [(&str, &str); 5] = [
    ("path", "file_path"),
    ("oldText", "old_string"),
    ("newText", "new_string"),
    ("jobId", "id"),
    ("runTimeoutSeconds", "timeoutSeconds"),
];
/// Arguments that tell best what a call is about; the first two that are there are its summary.
const TELLING: [&str; 16] = [
    "action",
    "command",
    "path",
    "file_path",
    "url",
    "query",
    "sessionKey",
    "sessionId",
    "label",
    "task",
    "target",
    "node",
    "jobId",
    "image",
    "text",
    "message",
];
/// Longest part of a summary, in characters.
const SUMMARY_CHARS_MAX: usize = 200;

/// The arguments of one call.
#[derive(Clone, Copy)]
pub struct Arguments<'a>(&'a Map<String, Value>);

impl<'a> Arguments<'a> {
    /// Takes those of a call that fits its schema.
    pub fn new(args: &'a Map<String, Value>) -> Self {
        Self(args)
    }

    /// Returns an argument as it came.
    pub fn value(&self, name: &str) -> Option<&'a Value> {
        let alias = ALIASES.iter().find(|(usual, _)| *usual == name).map(|(_, alias)| *alias);
        let given = |name: &str| self.0.get(name).filter(|value| !value.is_null());
        given(name).or_else(|| alias.and_then(given))
    }

    /// Returns a text without blanks around it; `None` when there is none.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.raw(name).and_then(unless_blank)
    }

    /// Returns a text as it came.
    pub fn raw(&self, name: &str) -> Option<&'a str> {
        self.value(name).and_then(Value::as_str)
    }

    /// Returns a text that must be there.
    ///
    /// # Errors
    /// Says which is missing.
    pub fn required(&self, name: &str) -> Result<&'a str, String> {
        self.text(name).ok_or_else(|| format!("{name} required"))
    }

    /// Returns a finite number.
    pub fn number(&self, name: &str) -> Option<f64> {
        let value = self.value(name)?;
        value.as_f64().or_else(|| value.as_str()?.trim().parse().ok()).filter(|number: &f64| number.is_finite())
    }

    /// Returns a number as a count, zero for negative ones.
    pub fn count(&self, name: &str) -> Option<usize> {
        self.number(name).map(|number| number.max(0.0) as usize)
    }

    /// Returns whether something is wanted.
    pub fn flag(&self, name: &str) -> Option<bool> {
        let value = self.value(name)?;
        value.as_bool().or_else(|| match value.as_str()?.trim() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        })
    }

    /// Returns a list of texts; one text alone is a list of one.
    pub fn list(&self, name: &str) -> Vec<String> {
        match self.value(name) {
            Some(Value::Array(items)) => items.iter().map(text_of).collect(),
            Some(Value::String(text)) => vec![text.clone()],
            _ => Vec::new(),
        }
    }

    /// Returns those of the named arguments that were given, as they came.
    pub fn only(&self, names: &[&str]) -> Map<String, Value> {
        let given = names.iter().filter_map(|name| Some(((*name).to_owned(), self.value(name)?.clone())));
        given.collect()
    }
}

/// Returns the JSON schema of a tool's parameters.
pub fn schema(parameters: &Parameters) -> Value {
    let mut properties = Map::new();
    for (name, kind, text) in parameters {
        let mut property = kind_schema(kind.trim_end_matches('*'));
        if !text.is_empty() {
            property["description"] = (*text).into();
        }
        properties.insert((*name).to_owned(), property);
    }
    let required: Vec<&str> = parameters.iter().filter(|row| row.1.ends_with('*')).map(|row| row.0).collect();
    let mut schema = json!({"type": "object", "properties": properties});
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

fn kind_schema(kind: &str) -> Value {
    if let Some(item) = kind.strip_suffix("[]") {
        return json!({"type": "array", "items": kind_schema(item)});
    }
    match kind {
        "any" => json!({}),
        _ if kind.contains('|') => json!({"type": "string", "enum": kind.split('|').collect::<Vec<_>>()}),
        _ => json!({"type": kind}),
    }
}

/// Returns whether a row's kind is written as it should be.
#[cfg(test)]
pub fn is_kind(kind: &str) -> bool {
    let mut kind = kind.trim_end_matches('*');
    while let Some(item) = kind.strip_suffix("[]") {
        kind = item;
    }
    kind.contains('|') || ["string", "number", "boolean", "object", "any"].contains(&kind)
}

/// Returns what is wrong with a call's arguments.
pub fn problems(parameters: &Parameters, args: &Value) -> Vec<String> {
    let Some(args) = args.as_object() else { return vec!["root: must be object".to_owned()] };
    let reader = Arguments::new(args);
    let mut problems = Vec::new();
    for (name, kind, _) in parameters {
        match reader.value(name) {
            None if kind.ends_with('*') => problems.push(format!("{name}: must have required property '{name}'")),
            None => {}
            Some(value) => {
                let kind = kind.trim_end_matches('*');
                if !fits(value, kind) {
                    problems.push(format!("{name}: must be {}", in_words(kind)));
                }
            }
        }
    }
    problems
}

fn in_words(kind: &str) -> String {
    match kind {
        _ if kind.ends_with("[]") => "array".to_owned(),
        _ if kind.contains('|') => format!("equal to one of the allowed values: {}", kind.replace('|', ", ")),
        _ => kind.to_owned(),
    }
}

fn fits(value: &Value, kind: &str) -> bool {
    if let Some(item) = kind.strip_suffix("[]") {
        return match value {
            Value::Array(items) => items.iter().all(|value| fits(value, item)),
            value => !item.ends_with(']') && fits(value, item),
        };
    }
    match kind {
        "any" => true,
        "string" => value.is_string(),
        "number" => value.is_number() || value.as_str().is_some_and(|text| text.trim().parse::<f64>().is_ok()),
        "boolean" => value.is_boolean() || matches!(value.as_str().map(str::trim), Some("true" | "false")),
        "object" => value.is_object(),
        choices => value.as_str().is_some_and(|text| choices.split('|').any(|choice| choice == text)),
    }
}

/// Returns a short summary of a call's arguments.
pub fn summary(args: &Value) -> Option<String> {
    let texts = TELLING.iter().filter_map(|name| args.get(*name)?.as_str());
    let mut parts: Vec<String> = Vec::new();
    for text in texts.filter_map(unless_blank).take(2) {
        parts.push(crate::base::text::ellipsize(text, SUMMARY_CHARS_MAX));
        // Only an action needs to be told what it is about.
        if !args.get("action").is_some_and(Value::is_string) {
            break;
        }
    }
    (!parts.is_empty()).then(|| parts.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: &Parameters = &[
        ("path", "string*", "A file"),
        ("limit", "number", ""),
        ("mode", "now|later", ""),
        ("keys", "string[]", ""),
        ("env", "object", ""),
        ("pty", "boolean", ""),
    ];

    #[test]
    fn schemas_say_what_rows_say() {
        assert_eq!(
            schema(ROWS),
            json!({"type": "object", "properties": {
                "path": {"type": "string", "description": "A file"},
                "limit": {"type": "number"},
                "mode": {"type": "string", "enum": ["now", "later"]},
                "keys": {"type": "array", "items": {"type": "string"}},
                "env": {"type": "object"},
                "pty": {"type": "boolean"},
            }, "required": ["path"]})
        );
    }

    #[test]
    fn arguments_are_checked() {
        for (args, expected) in [
            (json!({"path": "x"}), ""),
            (json!({"file_path": "x", "limit": "3", "pty": "true", "keys": "a", "mode": null}), ""),
            (json!({}), "path: must have required property 'path'"),
            (json!({"path": null}), "path: must have required property 'path'"),
            (json!({"path": 1}), "path: must be string"),
            (json!({"path": "x", "limit": "many"}), "limit: must be number"),
            (json!({"path": "x", "mode": "soon"}), "mode: must be equal to one of the allowed values: now, later"),
            (json!({"path": "x", "keys": [1]}), "keys: must be array"),
            (json!({"path": "x", "env": []}), "env: must be object"),
            (json!("oops"), "root: must be object"),
        ] {
            assert_eq!(problems(ROWS, &args).join("; "), expected, "{args}");
        }
    }

    #[test]
    fn calls_are_summed_up() {
        assert_eq!(summary(&json!({"command": " ls ", "text": "no"})).as_deref(), Some("ls"));
        assert_eq!(
            summary(&json!({"action": "kill", "sessionId": "tidal-harbor"})).as_deref(),
            Some("kill tidal-harbor")
        );
        assert_eq!(summary(&json!({"x": 1})), None);
    }
}
