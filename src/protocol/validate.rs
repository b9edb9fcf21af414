//! Judging values by `schemas/protocol.schema.json`.
//!
//! The file is embedded. At first it is only cut into its definitions; each is parsed and compiled when it is first used,
//! alone, because none names another: a gateway pays in time and memory for the methods it is asked. The judge is
//! `jsonschema`; a build without that feature takes `words`, which also says what is wrong. May be called from any thread.

mod words;

use std::collections::BTreeMap;
use std::sync::{LazyLock, OnceLock};

use serde_json::Value;
use serde_json::value::RawValue;

/// The file's definitions by name.
static DEFINITIONS: LazyLock<BTreeMap<&'static str, Definition>> = LazyLock::new(|| {
    #[derive(serde::Deserialize)]
    struct File<'a> {
        #[serde(borrow)]
        definitions: BTreeMap<&'a str, &'a RawValue>,
    }
    let text = include_str!(concat!(env!("OUT_DIR"), "/protocol.schema.json"));
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
    #[cfg(feature = "jsonschema")]
    validator: jsonschema::Validator,
}

impl Compiled {
    fn of(text: &str) -> Self {
        let schema: Value = serde_json::from_str(text).expect("a definition is JSON (tested)");
        Self {
            #[cfg(feature = "jsonschema")]
            validator: jsonschema::draft7::new(&schema).expect("every definition compiles (tested)"),
            schema,
        }
    }

    #[cfg(feature = "jsonschema")]
    fn is_valid(&self, value: &Value) -> bool {
        self.validator.is_valid(value)
    }

    #[cfg(not(feature = "jsonschema"))]
    fn is_valid(&self, value: &Value) -> bool {
        words::issues(&self.schema, value).is_empty()
    }
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
    if definition.is_valid(value) {
        return Ok(());
    }
    let issues = words::issues(&definition.schema, value);
    debug_assert!(!issues.is_empty(), "invalid without a reason: {value}");
    Err(issues.join("; "))
}

fn compiled(name: &'static str) -> &'static Compiled {
    let Definition { raw, compiled } = &DEFINITIONS[name];
    compiled.get_or_init(|| Compiled::of(raw.get()))
}

/// Returns the names of all definitions.
pub fn definitions() -> impl Iterator<Item = &'static str> {
    DEFINITIONS.keys().copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::{Rng as _, SeededRng};
    use serde_json::{Map, json};

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

    /// Values near every definition, right and wrong: both judges must say the same.
    #[test]
    fn the_words_know_every_fault_that_the_judge_knows() {
        let seed = std::env::var("SIM_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(4);
        let rng = SeededRng::new(seed);
        let (mut right, mut wrong) = (0, 0);
        for name in definitions() {
            let definition = compiled(name);
            let judge = jsonschema::draft7::new(&definition.schema).expect("a schema");
            for _ in 0..100 {
                let value = near(&definition.schema, &rng, 0);
                let is_valid = judge.is_valid(&value);
                let issues = words::issues(&definition.schema, &value);
                assert_eq!(issues.is_empty(), is_valid, "SIM_SEED={seed} {name} {value}: {issues:?}");
                if is_valid { right += 1 } else { wrong += 1 }
            }
        }
        assert!(right > 1000 && wrong > 1000, "{right} right, {wrong} wrong");
    }

    /// A value that the schema may like; one part in thirty is something else.
    fn near(schema: &Value, rng: &SeededRng, depth: usize) -> Value {
        const OTHERS: &[&str] =
            &["null", "true", "-1", "0", "1.0", "1.5", "9007199254740993", "\"\"", "\"é\"", "[]", "{}", "[1]"];
        let pick = |count: usize| {
            let mut bytes = [0; 8];
            rng.fill(&mut bytes);
            (u64::from_le_bytes(bytes) % count.max(1) as u64) as usize
        };
        if pick(30) == 0 || depth > 8 {
            return serde_json::from_str(OTHERS[pick(OTHERS.len())]).expect("JSON");
        }
        if let Some(branches) = schema["anyOf"].as_array() {
            return near(&branches[pick(branches.len())], rng, depth + 1);
        }
        if let Some(value) = schema.get("const") {
            return value.clone();
        }
        match schema["type"].as_str() {
            Some("object") => {
                let properties = schema["properties"].as_object().into_iter().flatten();
                let required =
                    |name: &str| schema["required"].as_array().is_some_and(|all| all.iter().any(|it| it == name));
                let mut object: Map<String, Value> = properties
                    .filter(|(name, _)| pick(3) == 0 || (required(name) && pick(40) > 0))
                    .map(|(name, schema)| (name.clone(), near(schema, rng, depth + 1)))
                    .collect();
                let extra = schema["patternProperties"].as_object().and_then(|all| all.values().next());
                let extra = extra.or_else(|| schema.get("additionalProperties")).unwrap_or(&Value::Null);
                if pick(6) == 0 {
                    object.insert("x/y~z".to_owned(), near(extra, rng, depth + 1));
                }
                Value::Object(object)
            }
            Some("array") => (0..pick(4)).map(|_| near(&schema["items"], rng, depth + 1)).collect(),
            Some("string") => Value::from("aé".repeat(pick(4))),
            Some("integer" | "number") => json!(pick(5)),
            Some("boolean") => json!(pick(2) == 0),
            _ => json!({"any": [1, "thing"]}),
        }
    }
}
