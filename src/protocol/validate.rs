//! Judging values by `schemas/protocol.schema.json`, and wording what is wrong.
//!
//! The file is embedded. At first it is only cut into its definitions; each is parsed and compiled with `jsonschema` when
//! it is first used, alone, because none names another: a gateway pays in time and memory for the methods it is asked.
//! Texts and their order are those of the original's validator (protocol.md §2.3). May be called from any thread.

use std::collections::BTreeMap;
use std::sync::{LazyLock, OnceLock};

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{ValidationError, Validator};
use serde_json::Value;
use serde_json::value::RawValue;

/// The file's definitions by name.
static DEFINITIONS: LazyLock<BTreeMap<&'static str, Definition>> = LazyLock::new(|| {
    #[derive(serde::Deserialize)]
    struct File<'a> {
        #[serde(borrow)]
        definitions: BTreeMap<&'a str, &'a RawValue>,
    }
    let text = include_str!("../../schemas/protocol.schema.json");
    let file = serde_json::from_str::<File<'static>>(text).expect("the schema file is JSON (tested)");
    file.definitions.into_iter().map(|(name, raw)| (name, Definition { raw, compiled: OnceLock::new() })).collect()
});

/// A definition: its text, and what it became at its first use. Looking at it takes no lock, and who waits for one to be
/// compiled holds nobody up who needs another.
struct Definition {
    raw: &'static RawValue,
    compiled: OnceLock<Compiled>,
}

struct Compiled {
    schema: Value,
    validator: Validator,
}

/// Checks a value against a definition.
///
/// # Errors
/// Everything that is wrong with it, joined by `; `.
///
/// # Panics
/// When the schema file has no such definition (tested for every method).
pub fn check(definition: &'static str, value: &Value) -> Result<(), String> {
    let definition = compiled(definition);
    if definition.validator.is_valid(value) {
        return Ok(());
    }
    let errors: Vec<ValidationError<'_>> = definition.validator.iter_errors(value).collect();
    let mut parts: Vec<String> = Vec::new();
    describe(&definition.schema, "", &errors, &mut parts);
    let mut seen = std::collections::HashSet::new();
    parts.retain(|part| seen.insert(part.clone()));
    Err(parts.join("; "))
}

fn compiled(name: &'static str) -> &'static Compiled {
    let Definition { raw, compiled } = &DEFINITIONS[name];
    compiled.get_or_init(|| {
        let schema: Value = serde_json::from_str(raw.get()).expect("a definition is JSON (tested)");
        let validator = jsonschema::draft7::new(&schema).expect("every definition compiles (tested)");
        Compiled { schema, validator }
    })
}

/// Appends the texts for `path` and everything below it: missing properties, unknown ones, the rest, then properties in
/// schema order.
fn describe(schema: &Value, path: &str, errors: &[ValidationError<'_>], parts: &mut Vec<String>) {
    let mut here: Vec<&ValidationError<'_>> =
        errors.iter().filter(|error| error.instance_path().as_str() == path).collect();
    here.sort_by_key(|error| match error.kind() {
        ValidationErrorKind::Required { property } => (0, position(schema.get("required"), property)),
        ValidationErrorKind::AdditionalProperties { .. } => (1, 0),
        _ => (2, 0),
    });
    for error in here {
        word(error, parts);
    }
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        for (name, schema) in properties {
            descend(schema, &format!("{path}/{}", escape(name)), errors, parts);
        }
    }
    if let Some(items) = schema.get("items") {
        let mut indexes: Vec<usize> =
            errors.iter().filter_map(|error| child_index(error.instance_path().as_str(), path)).collect();
        indexes.sort_unstable();
        indexes.dedup();
        for index in indexes {
            descend(items, &format!("{path}/{index}"), errors, parts);
        }
    }
    if schema.get("additionalProperties").is_some_and(Value::is_object) || schema.get("patternProperties").is_some() {
        for error in errors.iter().filter(|error| {
            let below = error.instance_path().as_str();
            below.len() > path.len() && below.starts_with(path) && below[path.len()..].starts_with('/')
        }) {
            if schema.get("properties").is_none() {
                word(error, parts);
            }
        }
    }
}

fn descend(schema: &Value, path: &str, errors: &[ValidationError<'_>], parts: &mut Vec<String>) {
    if errors.iter().any(|error| {
        let at = error.instance_path().as_str();
        at == path || (at.starts_with(path) && at[path.len()..].starts_with('/'))
    }) {
        describe(schema, path, errors, parts);
    }
}

fn child_index(path: &str, parent: &str) -> Option<usize> {
    path.strip_prefix(parent)?.strip_prefix('/')?.split('/').next()?.parse().ok()
}

fn position(list: Option<&Value>, item: &Value) -> usize {
    list.and_then(Value::as_array).and_then(|list| list.iter().position(|other| other == item)).unwrap_or(usize::MAX)
}

fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// Words one error as the original's validator does.
fn word(error: &ValidationError<'_>, parts: &mut Vec<String>) {
    let path = error.instance_path().as_str();
    let at = |text: String| if path.is_empty() { text } else { format!("at {path}: {text}") };
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            let place = if path.is_empty() { "root" } else { path };
            parts.extend(unexpected.iter().map(|name| format!("at {place}: unexpected property '{name}'")));
        }
        ValidationErrorKind::AnyOf { context } => {
            for error in context.iter().flatten() {
                word(error, parts);
            }
            parts.push(at("must match a schema in anyOf".to_owned()));
        }
        kind => parts.push(at(simple_text(kind, error))),
    }
}

fn simple_text(kind: &ValidationErrorKind, error: &ValidationError<'_>) -> String {
    match kind {
        ValidationErrorKind::Required { property } => {
            format!("must have required property '{}'", property.as_str().unwrap_or_default())
        }
        ValidationErrorKind::Type { kind: TypeKind::Single(kind) } => format!("must be {kind}"),
        ValidationErrorKind::Type { kind: TypeKind::Multiple(kinds) } => {
            format!("must be {}", kinds.iter().map(|kind| kind.to_string()).collect::<Vec<_>>().join(","))
        }
        ValidationErrorKind::MinLength { limit } => format!("must NOT have fewer than {limit} characters"),
        ValidationErrorKind::MaxLength { limit } => format!("must NOT have more than {limit} characters"),
        ValidationErrorKind::MinItems { limit } => format!("must NOT have fewer than {limit} items"),
        ValidationErrorKind::MaxItems { limit } => format!("must NOT have more than {limit} items"),
        ValidationErrorKind::Minimum { limit } => format!("must be >= {limit}"),
        ValidationErrorKind::Maximum { limit } => format!("must be <= {limit}"),
        ValidationErrorKind::Constant { .. } => "must be equal to constant".to_owned(),
        _ => error.to_string(),
    }
}

/// Returns the names of all definitions.
pub fn definitions() -> impl Iterator<Item = &'static str> {
    DEFINITIONS.keys().copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn texts(definition: &'static str, value: Value) -> String {
        check(definition, &value).expect_err("invalid")
    }

    #[test]
    fn connect_errors_are_worded_as_recorded() {
        assert_eq!(texts("ConnectParams", Value::Null), "must be object");
        let client = json!({"id": "nope", "version": "1", "platform": "x", "mode": "cli"});
        assert_eq!(
            texts("ConnectParams", json!({"minProtocol": 3, "maxProtocol": 3, "client": client})),
            "at /client/id: must be equal to constant; at /client/id: must match a schema in anyOf"
        );
        assert_eq!(
            texts("ConnectParams", json!({"client": {"id": "cli", "mode": "cli"}, "foo": 1, "role": ""})),
            "must have required property 'minProtocol'; must have required property 'maxProtocol'; \
             at root: unexpected property 'foo'; at /client: must have required property 'version'; \
             at /client: must have required property 'platform'; at /role: must NOT have fewer than 1 characters"
        );
    }

    #[test]
    fn absent_and_null_differ() {
        let base = json!({"sessionKey": "main", "message": "hi", "idempotencyKey": "k"});
        assert_eq!(check("ChatSendParams", &base), Ok(()));
        let mut with_null = base.clone();
        with_null["thinking"] = Value::Null;
        assert_eq!(texts("ChatSendParams", with_null), "at /thinking: must be string");
        let mut negative = base;
        negative["timeoutMs"] = json!(-1);
        assert_eq!(texts("ChatSendParams", negative), "at /timeoutMs: must be >= 0");
    }

    #[test]
    fn every_definition_compiles() {
        for name in definitions() {
            assert!(!DEFINITIONS[name].raw.get().contains("$ref"), "{name} is compiled alone");
            compiled(name);
        }
    }
}
