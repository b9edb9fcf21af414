//! `$include`: files put together before anything else is looked at (config.md §3).
//!
//! Owns the reading of included files, with their own depth limit. Not here: the main file (`load`).

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::{json5, tree};
use crate::base::fs::read_text_capped;

/// The key.
const KEY: &str = "$include";
/// Longest chain of files below the main one.
const DEPTH_MAX: usize = 10;
/// Most files that are told apart by [`files`].
const FILES_MAX: usize = 64;
/// Largest configuration file, included or not, in bytes.
pub const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Returns whether `value` includes anything.
pub fn is_used(value: &Value) -> bool {
    match value {
        Value::Object(object) => object.iter().any(|(key, value)| key == KEY || is_used(value)),
        Value::Array(items) => items.iter().any(is_used),
        _ => false,
    }
}

/// Resolves every `$include` of `value`, which was read from `file`.
///
/// # Errors
/// The text of the issue.
pub fn resolve(value: Value, file: &Path) -> Result<Value, String> {
    resolve_below(value, &mut vec![normalize(file)])
}

/// Returns the files that the configuration file includes, in any depth, that can be named: also those that cannot be
/// read at the moment. Never more than `FILES_MAX`.
pub fn files(file: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![normalize(file)];
    while let Some(file) = left.pop() {
        let text = read_text_capped(&file, FILE_BYTES_MAX).ok().flatten().unwrap_or_default();
        let Ok(value) = json5::parse(&text) else { continue };
        let mut names = Vec::new();
        names_in(&value, &mut names);
        let from = file.parent().unwrap_or(Path::new("/"));
        for path in names.iter().map(|name| normalize(&from.join(name))) {
            if found.len() < FILES_MAX && !found.contains(&path) {
                found.push(path.clone());
                left.push(path);
            }
        }
    }
    found
}

fn names_in(value: &Value, names: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| names_in(item, names)),
        Value::Object(object) => {
            for (key, value) in object {
                match value {
                    Value::String(name) if key == KEY => names.push(name.clone()),
                    Value::Array(list) if key == KEY => {
                        names.extend(list.iter().filter_map(Value::as_str).map(str::to_owned));
                    }
                    value => names_in(value, names),
                }
            }
        }
        _ => {}
    }
}

/// `chain` holds the files being read, the innermost last.
fn resolve_below(value: Value, chain: &mut Vec<PathBuf>) -> Result<Value, String> {
    match value {
        Value::Array(items) => {
            items.into_iter().map(|item| resolve_below(item, chain)).collect::<Result<Vec<_>, _>>().map(Value::Array)
        }
        Value::Object(mut object) => {
            let Some(include) = object.shift_remove(KEY) else {
                return resolve_object(object, chain);
            };
            let mut included = read_all(&include, chain)?;
            if object.is_empty() {
                return Ok(included);
            }
            if !included.is_object() {
                return Err("Sibling keys require included content to be an object".to_owned());
            }
            tree::merge_joining(&mut included, resolve_object(object, chain)?);
            Ok(included)
        }
        other => Ok(other),
    }
}

fn resolve_object(object: Map<String, Value>, chain: &mut Vec<PathBuf>) -> Result<Value, String> {
    let resolved = object.into_iter().map(|(key, value)| Ok((key, resolve_below(value, chain)?)));
    resolved.collect::<Result<Map<_, _>, String>>().map(Value::Object)
}

fn read_all(include: &Value, chain: &mut Vec<PathBuf>) -> Result<Value, String> {
    match include {
        Value::String(name) => read_one(name, chain),
        Value::Array(names) => {
            let mut merged = Value::Object(Map::new());
            for name in names {
                let name = name.as_str().ok_or_else(|| {
                    format!("Invalid $include array item: expected string, got {}", javascript_type(name))
                })?;
                tree::merge_joining(&mut merged, read_one(name, chain)?);
            }
            Ok(merged)
        }
        other => {
            Err(format!("Invalid $include value: expected string or array of strings, got {}", javascript_type(other)))
        }
    }
}

fn read_one(name: &str, chain: &mut Vec<PathBuf>) -> Result<Value, String> {
    let from = chain.last().and_then(|file| file.parent()).unwrap_or(Path::new("/"));
    let path = normalize(&from.join(name));
    if chain.contains(&path) {
        let names: Vec<_> = chain.iter().chain([&path]).map(|file| file.display().to_string()).collect();
        return Err(format!("Circular include detected: {}", names.join(" -> ")));
    }
    if chain.len() > DEPTH_MAX {
        return Err(format!("Maximum include depth ({DEPTH_MAX}) exceeded at: {name}"));
    }
    let text = read_text_capped(&path, FILE_BYTES_MAX)
        .ok()
        .flatten()
        .ok_or_else(|| format!("Failed to read include file: {name} (resolved: {})", path.display()))?;
    let value = json5::parse(&text)
        .map_err(|error| format!("Failed to parse include file: {name} (resolved: {}): {error}", path.display()))?;
    chain.push(path);
    let resolved = resolve_below(value, chain);
    chain.pop();
    resolved
}

/// Removes `.` and `..` by name, so that the same file has one name in the chain.
fn normalize(path: &Path) -> PathBuf {
    use std::path::Component;
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            other => clean.push(other),
        }
    }
    clean
}

fn javascript_type(value: &Value) -> &'static str {
    match value {
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Null | Value::Array(_) | Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fs::testing::TempDir;
    use serde_json::json;

    #[test]
    fn includes() {
        let dir = TempDir::new("include");
        for (name, text) in [
            ("a.json5", "{ x: 1, l: [1], o: { p: 1, q: 1 } }"),
            ("b.json5", "{ l: [2], o: { q: 2 } }"),
            ("list.json5", "[1, 2]"),
            ("nest.json5", "{ inner: { $include: './sub/../a.json5' } }"),
            ("loop.json5", "{ $include: 'loop.json5' }"),
            ("bad.json5", "{"),
        ] {
            std::fs::write(dir.path().join(name), text).expect("write");
        }
        let main = dir.path().join("main.json");
        let check = |value: Value| resolve(value, &main);
        assert_eq!(check(json!({"k": {"$include": "list.json5"}})), Ok(json!({"k": [1, 2]})));
        assert_eq!(
            check(json!({"$include": ["a.json5", "b.json5"], "l": [3], "x": 9})),
            Ok(json!({"x": 9, "l": [1, 2, 3], "o": {"p": 1, "q": 2}}))
        );
        assert_eq!(check(json!({"$include": "nest.json5"})).expect("nest")["inner"]["x"], json!(1));
        for (value, part) in [
            (json!({"$include": "loop.json5"}), "Circular include detected: "),
            (json!({"$include": "no.json5"}), "Failed to read include file: no.json5 (resolved: /"),
            (json!({"$include": "bad.json5"}), "Failed to parse include file: bad.json5"),
            (json!({"$include": "list.json5", "a": 1}), "Sibling keys require included content to be an object"),
            (json!({"$include": [1]}), "Invalid $include array item: expected string, got number"),
            (json!({"$include": null}), "Invalid $include value: expected string or array of strings, got object"),
        ] {
            let error = check(value).expect_err(part);
            assert!(error.starts_with(part), "{error}");
        }
    }

    #[test]
    fn chains_end_at_ten() {
        let dir = TempDir::new("include-deep");
        for n in 0..12 {
            std::fs::write(dir.path().join(format!("{n}.json")), format!("{{$include: '{}.json'}}", n + 1))
                .expect("write");
        }
        let error = resolve(json!({"$include": "0.json"}), &dir.path().join("main.json")).expect_err("too deep");
        assert_eq!(error, "Maximum include depth (10) exceeded at: 10.json");
    }
}
