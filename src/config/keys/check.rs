//! Walks a tree along a [`Shape`], in the order and with the texts of the original (config.md §6).

use serde_json::{Map, Value};

use super::notation::{Object, Others, Range, Shape};

/// Greatest whole number that a JavaScript number holds exactly.
const INT_MAX: f64 = 9_007_199_254_740_991.0;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Dot-joined path.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// Path of the text to point at, where it is another one.
    pub at: Option<String>,
    /// Segments of the keys that nobody knows, when that is what is wrong.
    pub unknown: Vec<Vec<String>>,
    /// Whether the value cannot be understood at all; rules over its object are then left out.
    hard: bool,
}

/// Checks `value`, inserting defaults and removing dropped keys on the way.
pub fn check(shape: &Shape, value: &mut Value) -> Vec<Found> {
    let mut walk = Walk { path: Vec::new(), found: Vec::new() };
    walk.check(shape, value);
    walk.found
}

struct Walk {
    path: Vec<String>,
    found: Vec<Found>,
}

impl Walk {
    fn report(&mut self, hard: bool, message: impl Into<String>) {
        self.found.push(Found {
            path: self.path.join("."),
            message: message.into(),
            at: None,
            unknown: Vec::new(),
            hard,
        });
    }

    fn below(&mut self, segment: &str, check: impl FnOnce(&mut Self)) {
        self.path.push(segment.to_owned());
        check(self);
        self.path.pop();
    }

    fn mismatch(&mut self, shape: &Shape, received: &str) {
        let message = match expectation(shape) {
            Expectation::Type(name) => format!("Invalid input: expected {name}, received {received}"),
            Expectation::Text(text) => text,
        };
        self.report(true, message);
    }

    fn check(&mut self, shape: &Shape, value: &mut Value) {
        match (shape, value) {
            (Shape::Any, _) | (Shape::Bool, Value::Bool(_)) => {}
            (Shape::Str { min, max }, Value::String(text)) => {
                let length = text.encode_utf16().count();
                if let Some(min) = min.filter(|&min| length < min) {
                    self.report(false, format!("Too small: expected string to have >={min} characters"));
                }
                if let Some(max) = max.filter(|&max| length > max) {
                    self.report(false, format!("Too big: expected string to have <={max} characters"));
                }
            }
            (Shape::Hex, Value::String(text)) => {
                let digits = text.strip_prefix('#').unwrap_or(text);
                if digits.len() != 6 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                    self.report(false, "expected hex color (RRGGBB)");
                }
            }
            (Shape::Command, Value::Array(words)) => self.command(words),
            (Shape::Number(range), Value::Number(number)) => {
                self.number(range, number.as_f64().unwrap_or(f64::INFINITY));
            }
            (Shape::Words { words, .. }, Value::String(text)) if words.contains(&text.as_str()) => {}
            (Shape::List(item), Value::Array(items)) => {
                for (index, value) in items.iter_mut().enumerate() {
                    self.below(&index.to_string(), |walk| walk.check(item, value));
                }
            }
            (Shape::Map { slug, value: shape }, Value::Object(object)) => {
                for (key, value) in object {
                    self.below(key, |walk| {
                        if *slug && !is_slug(key) {
                            walk.report(true, "Invalid key in record");
                        } else {
                            walk.check(shape, value);
                        }
                    });
                }
            }
            (Shape::Object(object), Value::Object(value)) => self.object(object, value),
            (Shape::Union(branches), value) => self.union(branches, value),
            (shape, value) => self.mismatch(shape, type_name(value)),
        }
    }

    fn command(&mut self, words: &[Value]) {
        let before = self.found.len();
        for (index, word) in words.iter().enumerate().filter(|(_, word)| !word.is_string()) {
            let received = type_name(word);
            self.below(&index.to_string(), |walk| {
                walk.report(true, format!("Invalid input: expected string, received {received}"))
            });
        }
        let program = words.first().and_then(Value::as_str).unwrap_or_default();
        if self.found.len() == before && !is_safe_executable(program) {
            self.below("0", |walk| walk.report(false, "expected safe executable name or path"));
        }
    }

    fn number(&mut self, range: &Range, number: f64) {
        if range.int && number.fract() != 0.0 {
            return self.report(true, "Invalid input: expected int, received number");
        }
        if range.int && number > INT_MAX {
            return self.report(true, format!("Too big: expected int to be <={INT_MAX}"));
        }
        if range.int && number < -INT_MAX {
            return self.report(true, format!("Too small: expected int to be >=-{INT_MAX}"));
        }
        if let Some(limit) = range.above.filter(|&limit| number <= limit) {
            self.report(false, format!("Too small: expected number to be >{limit}"));
        } else if let Some(limit) = range.min.filter(|&limit| number < limit) {
            self.report(false, format!("Too small: expected number to be >={limit}"));
        } else if let Some(limit) = range.max.filter(|&limit| number > limit) {
            self.report(false, format!("Too big: expected number to be <={limit}"));
        }
    }

    fn object(&mut self, shape: &Object, object: &mut Map<String, Value>) {
        let before = self.found.len();
        for field in &shape.fields {
            if let (None, Some(default)) = (object.get(field.key), &field.default) {
                object.insert(field.key.to_owned(), default.clone());
            }
            self.below(field.key, |walk| match object.get_mut(field.key) {
                Some(value) => walk.check(&field.shape, value),
                None if field.required => walk.mismatch(&field.shape, "undefined"),
                None => {}
            });
        }
        let known = |key: &String| shape.fields.iter().any(|field| field.key == key);
        match &shape.others {
            Others::Dropped => object.retain(|key, _| known(key)),
            Others::Shaped(shape) => {
                for (key, value) in object.iter_mut().filter(|(key, _)| !known(key)) {
                    self.below(key, |walk| walk.check(shape, value));
                }
            }
            Others::Refused => self.refuse(object.keys().filter(|key| !known(key)).collect()),
        }
        if let Some(rule) = shape.rule
            && !self.found[before..].iter().any(|found| found.hard)
        {
            rule.check(object, &mut |segments, message| {
                let path =
                    self.path.iter().map(String::as_str).chain(segments.iter().copied()).collect::<Vec<_>>().join(".");
                self.found.push(Found { path, message, at: None, unknown: Vec::new(), hard: false });
            });
        }
    }

    fn refuse(&mut self, keys: Vec<&String>) {
        let [first, ..] = keys.as_slice() else { return };
        let names: Vec<_> = keys.iter().map(|key| format!("\"{key}\"")).collect();
        let noun = if keys.len() == 1 { "key" } else { "keys" };
        self.report(false, format!("Unrecognized {noun}: {}", names.join(", ")));
        self.below(first, |walk| {
            let at = walk.path.join(".");
            if let Some(found) = walk.found.last_mut() {
                found.at = Some(at);
            }
        });
        let unknown = keys.iter().map(|key| [self.path.as_slice(), &[(*key).clone()]].concat()).collect();
        if let Some(found) = self.found.last_mut() {
            found.unknown = unknown;
        }
    }

    /// The first branch that fits wins. Otherwise the one branch that was at least understood tells what is wrong.
    fn union(&mut self, branches: &[std::sync::Arc<Shape>], value: &mut Value) {
        let mut understood = Vec::new();
        for branch in branches {
            let mut candidate = value.clone();
            let mut walk = Walk { path: self.path.clone(), found: Vec::new() };
            walk.check(branch, &mut candidate);
            if walk.found.is_empty() {
                *value = candidate;
                return;
            }
            if !walk.found.iter().any(|found| found.hard) {
                understood.push(walk.found);
            }
        }
        match understood.len() {
            1 => self.found.extend(understood.remove(0)),
            _ => self.report(true, "Invalid input"),
        }
    }
}

enum Expectation {
    Type(&'static str),
    Text(String),
}

fn expectation(shape: &Shape) -> Expectation {
    match shape {
        Shape::Str { .. } | Shape::Hex => Expectation::Type("string"),
        Shape::Bool => Expectation::Type("boolean"),
        Shape::Number(_) => Expectation::Type("number"),
        Shape::List(_) | Shape::Command => Expectation::Type("array"),
        Shape::Map { .. } => Expectation::Type("record"),
        Shape::Object(_) => Expectation::Type("object"),
        Shape::Words { words, listed } => {
            let quoted = words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join("|");
            Expectation::Text(match (listed, words.len()) {
                (true, _) => format!("Invalid option: expected one of {quoted}"),
                (false, 1) => format!("Invalid input: expected {quoted}"),
                (false, _) => "Invalid input".to_owned(),
            })
        }
        Shape::Any | Shape::Union(_) => Expectation::Text("Invalid input".to_owned()),
    }
}

/// Returns the type of a value as the original calls it.
pub fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn is_slug(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// Nothing that a shell acts on; a path may hold spaces, a bare name may not.
fn is_safe_executable(text: &str) -> bool {
    let text = text.trim();
    if text.is_empty() || text.contains(|c: char| "\0\r\n;&|`$<>\"'".contains(c)) {
        return false;
    }
    let drive = text.as_bytes();
    let is_path = text.starts_with(['.', '~'])
        || text.contains(['/', '\\'])
        || (drive.len() > 2 && drive[0].is_ascii_alphabetic() && drive[1] == b':');
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte);
    is_path || (!text.starts_with('-') && text.bytes().all(bare))
}
