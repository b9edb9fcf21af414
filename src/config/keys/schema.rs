//! The table of keys as a JSON schema (draft-07), from which clients build their forms (config.md §9).
//!
//! Made anew whenever somebody asks. It accepts what [`super::check`](fn@super::check) accepts; conditions over several
//! keys are not in it. Unlike the original's it demands nothing that has a default, and it describes the channels whether
//! or not they are used.

use serde_json::{Map, Value, json};

use super::notation::{Field, Object, Others, Range, Shape};

/// Greatest whole number that a JavaScript number holds exactly.
const INT_MAX: i64 = 9_007_199_254_740_991;

/// Returns the schema of the whole configuration.
pub fn schema() -> Value {
    let mut schema = json!({"$schema": "http://json-schema.org/draft-07/schema#", "title": "ClawdbotConfig"});
    if let (Value::Object(schema), Value::Object(root)) = (&mut schema, of(super::root())) {
        schema.extend(root);
    }
    schema
}

fn of(shape: &Shape) -> Value {
    match shape {
        Shape::Any => json!({}),
        Shape::Str { min, max } => {
            let mut schema = json!({"type": "string"});
            put(&mut schema, "minLength", min.map(Value::from));
            put(&mut schema, "maxLength", max.map(Value::from));
            schema
        }
        Shape::Hex => json!({"type": "string", "pattern": "^#?[0-9a-fA-F]{6}$"}),
        Shape::Command => json!({"type": "array", "items": {"type": "string"}}),
        Shape::Bool => json!({"type": "boolean"}),
        Shape::Number(range) => number(range),
        Shape::Words { words, listed: true } => json!({"type": "string", "enum": words}),
        Shape::Words { words, listed: false } => match words.as_slice() {
            [word] => constant(word),
            words => json!({"anyOf": words.iter().map(|word| constant(word)).collect::<Vec<_>>()}),
        },
        Shape::List(item) => json!({"type": "array", "items": of(item)}),
        Shape::Map { slug, value } => {
            let mut names = json!({"type": "string"});
            put(&mut names, "pattern", slug.then(|| "^[a-z0-9-]+$".into()));
            json!({"type": "object", "propertyNames": names, "additionalProperties": of(value)})
        }
        Shape::Object(shape) => object(shape),
        Shape::Union(branches) => {
            json!({"anyOf": branches.iter().flat_map(|branch| alternatives(branch)).collect::<Vec<_>>()})
        }
    }
}

/// Words stand beside the other branches of a union, where forms look for them.
fn alternatives(branch: &Shape) -> Vec<Value> {
    match branch {
        Shape::Words { words, listed: false } => words.iter().map(|word| constant(word)).collect(),
        other => vec![of(other)],
    }
}

fn constant(word: &str) -> Value {
    json!({"type": "string", "const": word})
}

fn number(range: &Range) -> Value {
    let mut schema = json!({"type": if range.int { "integer" } else { "number" }});
    let least = range.int.then(|| Value::from(-INT_MAX)).filter(|_| range.above.is_none());
    let most = range.int.then(|| Value::from(INT_MAX));
    put(&mut schema, "exclusiveMinimum", range.above.map(plain));
    put(&mut schema, "minimum", range.min.map(plain).or(least));
    put(&mut schema, "maximum", range.max.map(plain).or(most));
    schema
}

/// Whole numbers without a fraction, as people write them.
fn plain(number: f64) -> Value {
    if number.fract() == 0.0 { Value::from(number as i64) } else { Value::from(number) }
}

fn object(shape: &Object) -> Value {
    let property = |field: &Field| {
        let mut schema = of(&field.shape);
        put(&mut schema, "default", field.default.clone());
        (field.key.to_owned(), schema)
    };
    // A key of two included shapes counts once, the later one.
    let properties: Map<String, Value> = shape.fields.iter().map(property).collect();
    let mut schema = json!({"type": "object", "properties": properties});
    let required: Vec<&str> =
        shape.fields.iter().filter(|field| field.required && field.default.is_none()).map(|field| field.key).collect();
    put(&mut schema, "required", (!required.is_empty()).then(|| json!(required)));
    let others = match &shape.others {
        Others::Refused => Some(json!(false)),
        // Dropped on reading: nothing to offer in a form.
        Others::Dropped => None,
        Others::Shaped(shape) => Some(of(shape)),
    };
    put(&mut schema, "additionalProperties", others);
    schema
}

fn put(schema: &mut Value, key: &str, value: Option<Value>) {
    if let Some(value) = value {
        schema[key] = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::SeededRng;
    use crate::config::keys;

    fn accepts(tree: &Value) -> bool {
        static VALIDATOR: std::sync::LazyLock<jsonschema::Validator> =
            std::sync::LazyLock::new(|| jsonschema::draft7::new(&schema()).expect("a schema"));
        VALIDATOR.is_valid(tree)
    }

    #[test]
    fn sections_stand_in_their_order() {
        let schema = schema();
        assert_eq!((&schema["type"], &schema["additionalProperties"]), (&json!("object"), &json!(false)));
        let sections: Vec<&str> =
            schema["properties"].as_object().expect("object").keys().map(String::as_str).collect();
        assert_eq!((sections.len(), sections[0], sections[30]), (31, "meta", "plugins"));
    }

    /// Walks shape and schema side by side.
    fn compare(shape: &Shape, schema: &Value, path: &str) {
        match shape {
            Shape::Object(object) => {
                for field in &object.fields {
                    let path = format!("{path}.{}", field.key);
                    let below = &schema["properties"][field.key];
                    assert!(below.is_object(), "{path} is not in the schema");
                    compare(&field.shape, below, &path);
                }
            }
            Shape::Map { value, .. } => compare(value, &schema["additionalProperties"], &format!("{path}.*")),
            Shape::List(item) => compare(item, &schema["items"], &format!("{path}[]")),
            _ => assert!(schema.is_object(), "{path}"),
        }
    }

    #[test]
    fn every_key_of_the_table_is_in_it() {
        compare(keys::root(), &schema(), "");
    }

    #[test]
    fn it_accepts_and_refuses_what_the_checker_does() {
        for (tree, is_right) in [
            (json!({}), true),
            (json!({"gateway": {"port": 1, "bind": "lan", "tls": {"enabled": true, "dropped": 1}}}), true),
            (json!({"gateway": {"port": 0}}), false),
            (json!({"gateway": {"port": 1.5}}), false),
            (json!({"gateway": {"bind": "x"}}), false),
            (json!({"nope": 1}), false),
            (json!({"env": {"A": "b", "vars": {"C": "d"}}}), true),
            (json!({"env": {"A": 1}}), false),
            (
                json!({"channels": {"discord": {"token": 1}, "telegram": {"dmPolicy": "open", "allowFrom": ["*", 1]}}}),
                true,
            ),
            (json!({"channels": {"telegram": {"streamMode": "x"}}}), false),
            (
                json!({"agents": {"list": [{"id": "a", "model": {"primary": "p/m"}}, {"id": "b", "model": "p/m"}]}}),
                true,
            ),
            (json!({"agents": {"list": [{}]}}), false),
            (json!({"commands": {"native": "auto", "nativeSkills": false}}), true),
            (json!({"commands": {"native": "on"}}), false),
            (json!({"ui": {"seamColor": "#00ff00"}}), true),
            (json!({"ui": {"seamColor": "green"}}), false),
            (json!({"browser": {"profiles": {"a-1": {"color": "00ff00", "cdpPort": 1}}}}), true),
            (json!({"browser": {"profiles": {"A": {"color": "00ff00", "cdpPort": 1}}}}), false),
        ] {
            assert_eq!(accepts(&tree), is_right, "schema: {tree}");
            assert_eq!(keys::check(&mut tree.clone()).is_empty(), is_right, "checker: {tree}");
        }
    }

    /// A value of the shape, now and then one that is not.
    fn invent(shape: &Shape, rng: &SeededRng, depth: usize) -> Value {
        if rng.below(40) == 0 {
            return [json!(null), json!("?"), json!(-1), json!([]), json!({}), json!(true)][rng.below(6) as usize]
                .clone();
        }
        match shape {
            Shape::Any => json!({"x": 1}),
            Shape::Str { min, .. } => "s".repeat(min.unwrap_or(0).max(rng.below(3) as usize)).into(),
            Shape::Hex => json!("00ff00"),
            Shape::Command => json!(["program", "argument"]),
            Shape::Bool => json!(rng.below(2) == 0),
            Shape::Number(range) => {
                let least = range.min.or(range.above.map(|above| above + 1.0)).unwrap_or(0.0);
                plain(range.max.unwrap_or(least + 5.0).min(least + rng.below(3) as f64))
            }
            Shape::Words { words, .. } => words[rng.below(words.len() as u64) as usize].into(),
            Shape::List(item) => (0..rng.below(3)).map(|_| invent(item, rng, depth + 1)).collect(),
            Shape::Map { value, .. } => {
                (0..rng.below(3)).map(|at| (format!("k{at}"), invent(value, rng, depth + 1))).collect()
            }
            Shape::Union(branches) => invent(&branches[rng.below(branches.len() as u64) as usize], rng, depth),
            Shape::Object(object) => {
                let is_there = |field: &&Field| field.required || rng.below(1 + depth as u64) == 0;
                let fields = object.fields.iter().filter(is_there);
                fields.map(|field| (field.key.to_owned(), invent(&field.shape, rng, depth + 1))).collect()
            }
        }
    }

    #[test]
    fn it_accepts_whatever_the_checker_accepts() {
        let mut accepted = 0;
        for seed in crate::base::rng::testing::seeds(400) {
            let rng = SeededRng::new(seed);
            // One section at a time: in a whole tree something is nearly always wrong.
            let Shape::Object(root) = keys::root() else { panic!("no object") };
            let field = &root.fields[seed as usize % root.fields.len()];
            let tree = json!({field.key: invent(&field.shape, &rng, 0)});
            if keys::check(&mut tree.clone()).is_empty() {
                accepted += 1;
                assert!(accepts(&tree), "seed {seed}: the schema refuses {tree}");
            }
        }
        assert!(accepted > 100 || std::env::var_os("SIM_SEED").is_some(), "hardly anything was accepted: {accepted}");
    }
}
