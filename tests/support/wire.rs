//! Recorded exchanges (`tests/wire/*.json`) and what it means to behave as recorded.
//!
//! A recording holds `sent`, `received` and `close`; times, ids, names of the machine and paths are those of the
//! recording and vary. [`differences`] compares a frame with the recorded one under these rules:
//! - `at`, `ts`, `seq`, numbers of a field ending in `Ms`/`At` and other counters of time: any integer;
//! - uuids and other random hexadecimal texts: any of the same length; `<…>`: any text;
//! - `/home/user/…` stands for the test's home, `gateway-host` and `192.0.2.10` for this machine's name and address;
//! - `error.details.hint` may be there or not: what mends a refusal is this gateway's to say;
//! - an object marked `_truncated` lost fields after recording: only those left are compared;
//! - paths given as `ignore` (JSON pointers, `*` for one segment) are not looked at.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;

/// One recorded exchange.
pub struct Recording {
    pub name: String,
    pub sent: Vec<Value>,
    pub received: Vec<Value>,
    pub close: Option<(u16, String)>,
    /// What second connections (a node, an approver) sent and received meanwhile.
    pub peers: Vec<(String, Recording)>,
}

pub fn load(name: &str) -> Recording {
    load_with(name, &[])
}

/// What another connection sent and received in the same case.
pub fn load_peer(name: &str, peer: &str) -> Recording {
    let found = load(name).peers.into_iter().find(|(other, _)| other == peer);
    found.unwrap_or_else(|| panic!("{name} has no peer {peer}")).1
}

/// Loads a recording with texts replaced: ids of the recording by those of the test.
pub fn load_with(name: &str, replace: &[(&str, &str)]) -> Recording {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire").join(format!("{name}.json"));
    let mut text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    for (from, to) in replace {
        text = text.replace(from, to);
    }
    read(name, &serde_json::from_str(&text).expect("a recording is JSON"))
}

fn read(name: &str, all: &Value) -> Recording {
    let list = |key: &str| all[key].as_array().cloned().unwrap_or_default();
    let close = all["close"].as_object().map(|close| {
        (u16::try_from(close["code"].as_u64().unwrap()).unwrap(), close["reason"].as_str().unwrap().to_owned())
    });
    let peers = all["peers"].as_object().into_iter().flatten();
    let peers = peers.map(|(peer, all)| (peer.clone(), read(&format!("{name}/{peer}"), all))).collect();
    Recording { name: name.to_owned(), sent: list("sent"), received: list("received"), close, peers }
}

impl Recording {
    /// The only peer.
    pub fn peer(&self) -> &Recording {
        &self.peers.first().expect("a recording with a peer").1
    }
}

/// What differs, one line each.
pub fn differences(expected: &Value, actual: &Value, home: &Path, ignore: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let comparison = Comparison { home: home.to_string_lossy().into_owned(), ignore };
    comparison.compare("", expected, actual, &mut found);
    found
}

struct Comparison<'a> {
    home: String,
    ignore: &'a [&'a str],
}

impl Comparison<'_> {
    fn compare(&self, at: &str, expected: &Value, actual: &Value, found: &mut Vec<String>) {
        if self.ignore.iter().any(|pattern| pointer_matches(pattern, at)) {
            return;
        }
        match (expected, actual) {
            (Value::Object(expected), Value::Object(actual)) => {
                let shortened = expected.contains_key("_truncated");
                for (key, value) in expected.iter().filter(|(key, _)| !key.starts_with('_')) {
                    let at = format!("{at}/{key}");
                    match actual.get(key) {
                        Some(there) => self.compare(&at, value, there, found),
                        None if self.ignore.iter().any(|pattern| pointer_matches(pattern, &at)) => {}
                        None => found.push(format!("{at}: missing")),
                    }
                }
                for (key, value) in actual.iter().filter(|(key, _)| !shortened && !expected.contains_key(*key)) {
                    let at = format!("{at}/{key}");
                    if is_own_hint(&at, value) {
                        continue;
                    }
                    if !self.ignore.iter().any(|pattern| pointer_matches(pattern, &at)) {
                        found.push(format!("{at}: not in the recording"));
                    }
                }
            }
            (Value::Array(expected), Value::Array(actual)) => {
                if expected.len() != actual.len() {
                    found.push(format!("{at}: {} entries instead of {}", actual.len(), expected.len()));
                }
                for (index, (expected, actual)) in expected.iter().zip(actual).enumerate() {
                    self.compare(&format!("{at}/{index}"), expected, actual, found);
                }
            }
            (Value::Number(_), Value::Number(there)) if varies(at) && there.is_u64() => {}
            (Value::String(expected), Value::String(actual)) if self.same_text(expected, actual) => {}
            (expected, actual) if expected == actual => {}
            _ => found.push(format!("{at}: {actual} instead of {expected}")),
        }
    }

    fn same_text(&self, expected: &str, actual: &str) -> bool {
        let expected = expected.replace("/home/user", &self.home);
        if let Some((before, after)) = expected.split_once("gateway-host").or_else(|| expected.split_once("192.0.2.10"))
        {
            return actual.starts_with(before)
                && (actual.len() >= before.len())
                && (after.is_empty() || !actual.is_empty());
        }
        let placeholder = expected.starts_with('<') && expected.ends_with('>');
        placeholder
            || expected == *actual
            || (is_random(&expected) && is_random(actual) && expected.len() == actual.len())
    }
}

/// Details that hold a hint and nothing else, or the hint among recorded ones.
fn is_own_hint(at: &str, value: &Value) -> bool {
    let holds_only_it = value.as_object().is_some_and(|it| it.len() == 1 && it.contains_key("hint"));
    at == "/error/details/hint" || (at == "/error/details" && holds_only_it)
}

/// Notes which random texts of a frame stand for which recorded ones.
pub fn learn(expected: &Value, actual: &Value, known: &mut HashMap<String, String>) {
    match (expected, actual) {
        (Value::Object(expected), Value::Object(actual)) => {
            for (key, value) in expected {
                learn(value, actual.get(key).unwrap_or(&Value::Null), known);
            }
        }
        (Value::Array(expected), Value::Array(actual)) => {
            expected.iter().zip(actual).for_each(|(expected, actual)| learn(expected, actual, known));
        }
        (Value::String(expected), Value::String(actual)) if is_random(expected) => {
            known.insert(expected.clone(), actual.clone());
        }
        _ => {}
    }
}

/// The random texts of a frame.
pub fn random_texts(frame: &Value, found: &mut Vec<String>) {
    match frame {
        Value::Object(fields) => fields.values().for_each(|value| random_texts(value, found)),
        Value::Array(items) => items.iter().for_each(|value| random_texts(value, found)),
        Value::String(text) if is_random(text) => found.push(text.clone()),
        _ => {}
    }
}

/// A uuid, or at least eight hexadecimal digits of a token or id.
fn is_random(text: &str) -> bool {
    text.len() >= 8
        && text.chars().all(|it| it.is_ascii_hexdigit() || it == '-')
        && text.chars().any(|it| it.is_ascii_digit())
}

fn varies(at: &str) -> bool {
    let name = at.rsplit('/').next().unwrap_or_default();
    let counters = at.ends_with("stateVersion/presence") || at.ends_with("stateVersion/health");
    counters
        || matches!(name, "ts" | "seq" | "timestamp" | "age" | "pid" | "size" | "cursor")
        || name.ends_with("Ms")
        || name.ends_with("At")
}

fn pointer_matches(pattern: &str, at: &str) -> bool {
    let mut at = at.split('/');
    pattern.split('/').all(|want| at.next().is_some_and(|there| want == "*" || want == there)) && at.next().is_none()
}
