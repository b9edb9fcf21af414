//! Working on a configuration tree: paths, merges.
//!
//! Pure functions on JSON values. Not here: what the keys mean (`keys`) and where the tree comes from (`load`).

use serde_json::{Map, Value};

use crate::base::text::trimmed;

/// Largest list index that a path may make; a typing error must not fill the memory.
const INDEX_MAX: usize = 1000;

/// Splits `a.b[0].c` into its segments; a backslash takes the next character as it is.
///
/// # Errors
/// A text for people when a bracket is empty or open.
pub fn parse_path(text: &str) -> Result<Vec<String>, String> {
    let mut segments = Vec::new();
    let mut current = String::new();
    let mut chars = text.trim().chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => current.extend(chars.next()),
            '.' => segments.push(std::mem::take(&mut current)),
            '[' => {
                segments.push(std::mem::take(&mut current));
                let (inside, rest) =
                    chars.as_str().split_once(']').ok_or_else(|| format!("Invalid path (missing \"]\"): {text}"))?;
                if inside.trim().is_empty() {
                    return Err(format!("Invalid path (empty \"[]\"): {text}"));
                }
                segments.push(inside.to_owned());
                chars = rest.chars();
            }
            c => current.push(c),
        }
    }
    segments.push(current);
    Ok(segments.into_iter().filter_map(trimmed).collect())
}

/// Returns the value at `path`; the empty path is the tree itself.
pub fn get<'a, S: AsRef<str>>(tree: &'a Value, path: &[S]) -> Option<&'a Value> {
    path.iter().try_fold(tree, |value, segment| match value {
        Value::Object(object) => object.get(segment.as_ref()),
        Value::Array(items) => items.get(index(segment.as_ref())?),
        _ => None,
    })
}

/// Returns the object at `path`, made (in place of anything that is not one) where it is missing.
pub fn object_mut<'a>(tree: &'a mut Value, path: &[&str]) -> &'a mut Map<String, Value> {
    let mut object = as_object(tree);
    for segment in path {
        object = as_object(object.entry(*segment).or_insert(Value::Null));
    }
    object
}

fn as_object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(object) => object,
        _ => unreachable!("just made an object"),
    }
}

/// Puts `value` at `path`, making objects, and lists where the next segment is a number.
///
/// # Errors
/// A text for people when a list is addressed by a word, or the path is empty.
pub fn set<S: AsRef<str>>(tree: &mut Value, path: &[S], value: Value) -> Result<(), String> {
    let [segment, rest @ ..] = path else {
        return Err("Path is empty.".to_owned());
    };
    let segment = segment.as_ref();
    let slot = match tree {
        Value::Array(items) => {
            let index = index(segment)
                .filter(|&index| index <= INDEX_MAX.max(items.len()))
                .ok_or_else(|| format!("Expected numeric index for array segment \"{segment}\""))?;
            if index >= items.len() {
                items.resize(index + 1, Value::Null);
            }
            &mut items[index]
        }
        Value::Object(object) => object.entry(segment).or_insert(Value::Null),
        _ => return Err(format!("Cannot traverse into \"{segment}\" (not an object)")),
    };
    let Some(next) = rest.first() else {
        *slot = value;
        return Ok(());
    };
    if !slot.is_object() && !slot.is_array() {
        *slot = if index(next.as_ref()).is_some() { Value::Array(Vec::new()) } else { Value::Object(Map::new()) };
    }
    set(slot, rest, value)
}

/// Removes what is at `path`; returns whether something was there.
pub fn unset<S: AsRef<str>>(tree: &mut Value, path: &[S]) -> bool {
    let [segment, rest @ ..] = path else {
        return false;
    };
    let segment = segment.as_ref();
    match tree {
        Value::Object(object) if rest.is_empty() => object.shift_remove(segment).is_some(),
        Value::Object(object) => object.get_mut(segment).is_some_and(|value| unset(value, rest)),
        Value::Array(items) => match index(segment).filter(|&index| index < items.len()) {
            Some(index) if rest.is_empty() => {
                items.remove(index);
                true
            }
            Some(index) => unset(&mut items[index], rest),
            None => false,
        },
        _ => false,
    }
}

/// Removes objects that hold nothing, at any depth below the root.
pub fn prune(tree: &mut Value) {
    if let Value::Object(object) = tree {
        object.values_mut().for_each(prune);
        object.retain(|_, value| !value.as_object().is_some_and(Map::is_empty));
    }
}

fn index(segment: &str) -> Option<usize> {
    segment.bytes().all(|byte| byte.is_ascii_digit()).then(|| segment.parse().ok())?
}

/// Merges `over` into `base` as includes do: objects recurse, lists are joined, anything else is replaced.
pub fn merge_joining(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => merge_objects(base, over, merge_joining),
        (Value::Array(base), Value::Array(over)) => base.extend(over),
        (base, over) => *base = over,
    }
}

/// Merges `over` into `base` as runtime overrides do: objects recurse, anything else is replaced.
pub fn merge_replacing(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => merge_objects(base, over, merge_replacing),
        (base, over) => *base = over,
    }
}

fn merge_objects(base: &mut Map<String, Value>, over: Map<String, Value>, merge: fn(&mut Value, Value)) {
    for (key, value) in over {
        match base.get_mut(&key) {
            Some(slot) => merge(slot, value),
            None => {
                base.insert(key, value);
            }
        }
    }
}

/// Adds to `base` what only `under` has, objects recursively.
pub fn merge_missing(base: &mut Map<String, Value>, under: Map<String, Value>) {
    for (key, value) in under {
        match (base.get_mut(&key), value) {
            (Some(Value::Object(slot)), Value::Object(value)) => merge_missing(slot, value),
            (Some(_), _) => {}
            (None, value) => {
                base.insert(key, value);
            }
        }
    }
}

/// Applies a JSON merge patch (RFC 7396): null deletes, objects recurse, anything else replaces.
pub fn merge_patch(base: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *base = patch;
        return;
    };
    let object = as_object(base);
    for (key, value) in patch {
        if value.is_null() {
            object.shift_remove(&key);
        } else {
            merge_patch(object.entry(key).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths() {
        for (text, expect) in [
            ("a.b[0].c", vec!["a", "b", "0", "c"]),
            (" a..b ", vec!["a", "b"]),
            (r"models.x\.y", vec!["models", "x.y"]),
            ("", vec![]),
        ] {
            assert_eq!(parse_path(text).expect(text), expect, "{text}");
        }
        assert!(parse_path("a[").is_err() && parse_path("a[]").is_err());
    }

    #[test]
    fn get_set_unset() {
        let mut tree = json!({"a": 1, "l": [{"x": 1}]});
        set(&mut tree, &["n", "0", "k"], json!(true)).expect("set");
        set(&mut tree, &["l", "0", "x"], json!(2)).expect("set");
        set(&mut tree, &["a", "b"], json!(3)).expect("set");
        assert_eq!(tree, json!({"a": {"b": 3}, "l": [{"x": 2}], "n": [{"k": true}]}));
        assert!(set(&mut tree, &["l", "x"], json!(1)).is_err());
        assert!(set(&mut tree, &["l", "999999"], json!(1)).is_err());
        assert!(unset(&mut tree, &["l", "0"]) && !unset(&mut tree, &["l", "0"]) && unset(&mut tree, &["a"]));
        assert_eq!(get(&tree, &["n", "0", "k"]), Some(&json!(true)));
        assert_eq!(get(&tree, &["n", "k"]), None);
    }

    #[test]
    fn merges() {
        let base = json!({"o": {"a": 1, "b": [1]}, "k": 1});
        let over = json!({"o": {"b": [2], "c": 3}, "k": null});
        for (merge, expect) in [
            (merge_joining as fn(&mut Value, Value), json!({"o": {"a": 1, "b": [1, 2], "c": 3}, "k": null})),
            (merge_replacing, json!({"o": {"a": 1, "b": [2], "c": 3}, "k": null})),
            (merge_patch, json!({"o": {"a": 1, "b": [2], "c": 3}})),
        ] {
            let mut tree = base.clone();
            merge(&mut tree, over.clone());
            assert_eq!(tree, expect);
        }
        let mut tree = json!({"a": 1});
        merge_patch(&mut tree, json!({"a": {"x": null, "y": 1}}));
        assert_eq!(tree, json!({"a": {"y": 1}}));
    }
}
