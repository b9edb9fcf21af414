//! What is wrong with a value, in the original's texts and their order (protocol.md §2.3).
//!
//! A walk over schema and value side by side. It knows the keywords that `schemas/protocol.schema.json` uses and no
//! others; a test lists them, and another holds its verdicts against those of `jsonschema`.

use serde_json::{Map, Value};

/// The keywords that say something about a value.
#[cfg(test)]
const KEYWORDS: [&str; 15] = [
    "type",
    "const",
    "anyOf",
    "properties",
    "required",
    "additionalProperties",
    "patternProperties",
    "items",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minimum",
    "maximum",
    "discriminator",
];

/// Returns everything that is wrong with `value`, each thing once; nothing when it is as the schema wants it.
pub(super) fn issues(schema: &Value, value: &Value) -> Vec<String> {
    let mut walk = Walk { parts: Vec::new(), path: String::new() };
    walk.judge(schema, value);
    let mut seen = std::collections::HashSet::new();
    walk.parts.retain(|part| seen.insert(part.clone()));
    walk.parts
}

struct Walk {
    parts: Vec<String>,
    /// JSON pointer of the value that is looked at.
    path: String,
}

impl Walk {
    /// Missing properties, unknown ones, whatever else is wrong here, then what is wrong below in the schema's order.
    fn judge(&mut self, schema: &Value, value: &Value) {
        let Some(schema) = schema.as_object() else { return };
        if let Value::Object(object) = value {
            self.required(schema, object);
            self.unknown(schema, object);
        }
        self.itself(schema, value);
        match value {
            Value::Object(object) => self.properties(schema, object),
            Value::Array(items) => {
                if let Some(schema) = schema.get("items") {
                    for (index, item) in items.iter().enumerate() {
                        self.below(&index.to_string(), schema, item);
                    }
                }
            }
            _ => {}
        }
    }

    fn required(&mut self, schema: &Map<String, Value>, object: &Map<String, Value>) {
        let names = schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        for name in names.filter(|name| !object.contains_key(*name)) {
            self.say(&format!("must have required property '{name}'"));
        }
    }

    fn unknown(&mut self, schema: &Map<String, Value>, object: &Map<String, Value>) {
        if schema.get("additionalProperties") != Some(&Value::Bool(false)) || schema.contains_key("patternProperties") {
            return;
        }
        for name in object.keys().filter(|name| property(schema, name).is_none()) {
            let place = if self.path.is_empty() { "root" } else { &self.path };
            self.parts.push(format!("at {place}: unexpected property '{name}'"));
        }
    }

    /// Faults of the value as such.
    fn itself(&mut self, schema: &Map<String, Value>, value: &Value) {
        if let Some(kind) = schema.get("type").and_then(Value::as_str)
            && !is_of(kind, value)
        {
            self.say(&format!("must be {kind}"));
        }
        if schema.get("const").is_some_and(|constant| !is_equal(constant, value)) {
            self.say("must be equal to constant");
        }
        let size = match value {
            Value::String(text) => Some((text.chars().count() as f64, "Length", " characters")),
            Value::Array(items) => Some((items.len() as f64, "Items", " items")),
            _ => None,
        };
        if let Some((size, of, unit)) = size {
            self.limit(schema, &format!("min{of}"), |limit| size >= limit, "must NOT have fewer than ", unit);
            self.limit(schema, &format!("max{of}"), |limit| size <= limit, "must NOT have more than ", unit);
        }
        if let Some(number) = value.as_f64() {
            self.limit(schema, "minimum", |limit| number >= limit, "must be >= ", "");
            self.limit(schema, "maximum", |limit| number <= limit, "must be <= ", "");
        }
        if let Some(branches) = schema.get("anyOf").and_then(Value::as_array) {
            self.any_of(branches, value);
        }
    }

    fn limit(
        &mut self,
        schema: &Map<String, Value>,
        keyword: &str,
        holds: impl Fn(f64) -> bool,
        text: &str,
        unit: &str,
    ) {
        if let Some(limit) = schema.get(keyword)
            && !limit.as_f64().is_none_or(holds)
        {
            self.say(&format!("{text}{limit}{unit}"));
        }
    }

    /// Nothing when one branch likes the value; else what each has against it.
    fn any_of(&mut self, branches: &[Value], value: &Value) {
        let before = self.parts.len();
        for branch in branches {
            let start = self.parts.len();
            self.judge(branch, value);
            if self.parts.len() == start {
                self.parts.truncate(before);
                return;
            }
        }
        self.say("must match a schema in anyOf");
    }

    fn properties(&mut self, schema: &Map<String, Value>, object: &Map<String, Value>) {
        for (name, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            if let Some(value) = object.get(name) {
                self.below(name, schema, value);
            }
        }
        // The schemas know one pattern, which every name meets.
        let patterns = schema.get("patternProperties").and_then(Value::as_object).into_iter().flat_map(Map::values);
        for other in patterns.chain(schema.get("additionalProperties").filter(|other| other.is_object())) {
            for (name, value) in object.iter().filter(|(name, _)| property(schema, name).is_none()) {
                self.below(name, other, value);
            }
        }
    }

    fn below(&mut self, name: &str, schema: &Value, value: &Value) {
        let length = self.path.len();
        self.path.push('/');
        self.path.push_str(&name.replace('~', "~0").replace('/', "~1"));
        self.judge(schema, value);
        self.path.truncate(length);
    }

    fn say(&mut self, text: &str) {
        self.parts.push(if self.path.is_empty() { text.to_owned() } else { format!("at {}: {text}", self.path) });
    }
}

fn property<'a>(schema: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    schema.get("properties")?.get(name)
}

/// Tells whether two values are the same; numbers are by their value, so `1` is `1.0`.
fn is_equal(constant: &Value, value: &Value) -> bool {
    match (constant, value) {
        (Value::Number(constant), Value::Number(number)) => constant.as_f64() == number.as_f64(),
        _ => constant == value,
    }
}

/// Tells whether a value has this type; `1.0` is an integer.
fn is_of(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keywords(schema: &Value, found: &mut std::collections::BTreeSet<String>) {
        for (keyword, inner) in schema.as_object().into_iter().flatten() {
            found.insert(keyword.clone());
            match keyword.as_str() {
                "properties" => inner.as_object().expect("schemas").values().for_each(|it| keywords(it, found)),
                "patternProperties" => {
                    for (pattern, schema) in inner.as_object().expect("schemas") {
                        assert_eq!(pattern, "^(.*)$", "every name meets it");
                        keywords(schema, found);
                    }
                }
                "anyOf" => inner.as_array().expect("schemas").iter().for_each(|it| keywords(it, found)),
                "items" | "additionalProperties" => keywords(inner, found),
                _ => {}
            }
        }
    }

    #[test]
    fn every_keyword_of_the_schemas_is_known() {
        let mut found = std::collections::BTreeSet::new();
        for definition in super::super::DEFINITIONS.values() {
            keywords(&serde_json::from_str(definition.raw.get()).expect("JSON"), &mut found);
        }
        found.retain(|keyword| {
            !KEYWORDS.contains(&keyword.as_str()) && keyword != "default" && keyword != "description"
        });
        assert!(found.is_empty(), "{found:?}");
    }
}
