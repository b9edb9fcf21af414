//! The head of a `SKILL.md`: what stands between its two `---` lines, as a JSON object.
//!
//! Reads the part of YAML that skills are written in: `key: value`, quoted texts, block texts (`|`, `>`), nested maps and
//! lists by indentation, and JSON values. It is more lenient than YAML where people write plain sentences: a colon in
//! a description is just a colon, while a YAML parser would drop the whole skill. A full YAML library (saphyr-parser)
//! added 119 KB to a stripped binary and would have needed such a lenient reader beside it. Pure functions.

use serde_json::{Map, Value};

use crate::base::text::unless_blank;
use crate::config::json5;

/// Maps and lists within each other; what is deeper counts as nothing.
const DEPTH_MAX: usize = 32;

/// Returns the keys of the head; empty when the text does not begin with one.
pub fn parse(text: &str) -> Map<String, Value> {
    let mut lines = text.lines();
    if !lines.next().is_some_and(|line| line.starts_with("---")) {
        return Map::new();
    }
    let mut head = Vec::new();
    for line in lines {
        if line.starts_with("---") {
            return Reader { lines: head, at: 0 }.mapping(0, 0);
        }
        head.push(line);
    }
    // Without an end it is no head.
    Map::new()
}

/// Returns a scalar as text, trimmed; `None` for anything else and for nothing.
pub fn text_of(value: Option<&Value>) -> Option<String> {
    let text = match value? {
        Value::String(text) => text.trim().to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    (!text.is_empty()).then_some(text)
}

struct Reader<'a> {
    lines: Vec<&'a str>,
    at: usize,
}

impl<'a> Reader<'a> {
    /// Returns the next line with something on it, with its indentation.
    fn peek(&mut self) -> Option<(usize, &'a str)> {
        while let Some(line) = self.lines.get(self.at) {
            let content = line.trim();
            if !content.is_empty() && !content.starts_with('#') {
                return Some((indentation(line), content));
            }
            self.at += 1;
        }
        None
    }

    fn mapping(&mut self, indent: usize, depth: usize) -> Map<String, Value> {
        let mut map = Map::new();
        while let Some((here, content)) = self.peek().filter(|(here, _)| *here >= indent) {
            self.at += 1;
            // Whatever is no entry is passed over: one odd line must not cost the skill.
            if let Some((key, rest)) = split_entry(content).filter(|_| here == indent) {
                let value = self.value(rest, indent, depth + 1);
                map.insert(key.to_owned(), value);
            }
        }
        map
    }

    fn sequence(&mut self, indent: usize, depth: usize) -> Vec<Value> {
        let mut items = Vec::new();
        while let Some((here, content)) = self.peek() {
            let Some(rest) = item_of(content).filter(|_| here == indent) else { break };
            self.at += 1;
            items.push(match split_entry(rest) {
                Some((key, value)) => {
                    // The item's first entry stands behind the dash, its others below that entry.
                    let indent = indent + content.len() - rest.len();
                    let first = self.value(value, indent, depth + 1);
                    let mut map = Map::from_iter([(key.to_owned(), first)]);
                    map.extend(self.mapping(indent, depth + 1));
                    Value::Object(map)
                }
                // The next dash below is the next item, not a list of this one.
                None if rest.is_empty() => self.nested(indent, indent + 1, depth + 1),
                None => self.value(rest, indent, depth + 1),
            });
        }
        items
    }

    /// Reads the value of an entry whose key stands at `indent`; `rest` is what follows the colon.
    fn value(&mut self, rest: &str, indent: usize, depth: usize) -> Value {
        if depth > DEPTH_MAX {
            self.deeper(indent);
            return Value::Null;
        }
        match rest.as_bytes().first() {
            None | Some(b'#') => self.nested(indent, indent, depth),
            Some(b'|' | b'>') => Value::String(self.block_text(rest, indent)),
            Some(b'{' | b'[') => self.json(rest, indent),
            Some(_) => {
                let below = self.deeper(indent);
                let parts =
                    std::iter::once(rest).chain(below.into_iter().map(str::trim)).filter(|part| !part.is_empty());
                scalar(&parts.collect::<Vec<_>>().join(" "))
            }
        }
    }

    /// Reads what stands below a key that has nothing beside it; the dashes of its list may stand right below it.
    fn nested(&mut self, indent: usize, items_from: usize, depth: usize) -> Value {
        let Some((here, content)) = self.peek() else { return Value::Null };
        if here >= items_from && item_of(content).is_some() {
            return Value::Array(self.sequence(here, depth));
        }
        if here <= indent {
            return Value::Null;
        }
        if content.starts_with(['{', '[']) {
            return self.json("", indent);
        }
        if split_entry(content).is_some() {
            return Value::Object(self.mapping(here, depth));
        }
        let parts: Vec<&str> = self.deeper(indent).into_iter().filter_map(unless_blank).collect();
        scalar(&parts.join(" "))
    }

    /// Takes the lines that are indented further than `indent`, blank ones between them too.
    fn deeper(&mut self, indent: usize) -> Vec<&'a str> {
        let rest = &self.lines[self.at..];
        let is_below = |line: &&str| line.trim().is_empty() || indentation(line) > indent;
        let count = rest.iter().take_while(|line| is_below(line)).count();
        let taken = rest[..count].to_vec();
        self.at += count;
        taken
    }

    /// Reads a JSON value, on one line or several.
    fn json(&mut self, rest: &str, indent: usize) -> Value {
        if let Ok(value) = json5::parse(rest) {
            return value;
        }
        let mut text = std::iter::once(rest).chain(self.deeper(indent)).collect::<Vec<_>>().join("\n");
        if let Some((_, end)) = self.peek().filter(|(_, content)| content.starts_with(['}', ']'])) {
            self.at += 1;
            text.push_str(end);
        }
        json5::parse(&text)
            .ok()
            .or_else(|| Flow::parse(text.trim()))
            .unwrap_or_else(|| Value::String(text.trim().to_owned()))
    }

    fn block_text(&mut self, header: &str, indent: usize) -> String {
        let lines = self.deeper(indent);
        let margin =
            lines.iter().filter(|line| !line.trim().is_empty()).map(|line| indentation(line)).min().unwrap_or(0);
        let lines = lines.into_iter().map(|line| line.get(margin..).unwrap_or_default().trim_end());
        if header.starts_with('|') {
            return lines.collect::<Vec<_>>().join("\n").trim().to_owned();
        }
        let mut text = String::new();
        for line in lines {
            // A folded text breaks its lines only at blank ones.
            match (line.is_empty(), text.is_empty() || text.ends_with('\n')) {
                (true, _) => text.push('\n'),
                (false, true) => text.push_str(line),
                (false, false) => text.extend([" ", line]),
            }
        }
        text.trim().to_owned()
    }
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start_matches([' ', '\t']).len()
}

/// Returns what follows the dash of a list's item.
fn item_of(content: &str) -> Option<&str> {
    let rest = content.strip_prefix('-')?;
    (rest.is_empty() || rest.starts_with(' ')).then(|| rest.trim_start())
}

/// Splits `key: value`. Keys are single words, so that a sentence with a colon is none.
fn split_entry(content: &str) -> Option<(&str, &str)> {
    let (key, rest) = content.split_once(':')?;
    let key = key.trim_end();
    let quoted = ['"', '\''].iter().find_map(|quote| key.strip_prefix(*quote)?.strip_suffix(*quote));
    let key = quoted.unwrap_or(key);
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let is_entry = !key.is_empty() && key.chars().all(is_word) && (rest.is_empty() || rest.starts_with([' ', '\t']));
    is_entry.then(|| (key, rest.trim()))
}

/// A value in braces or brackets whose texts need no quotes, as YAML allows them.
struct Flow<'a> {
    rest: &'a str,
}

impl<'a> Flow<'a> {
    /// Reads a whole text; `None` when it is not one such value.
    fn parse(text: &'a str) -> Option<Value> {
        let mut flow = Self { rest: text };
        let value = flow.value(0)?;
        flow.rest.trim().is_empty().then_some(value)
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        if depth > DEPTH_MAX {
            return None;
        }
        self.rest = self.rest.trim_start();
        if self.take('[') {
            let mut items = Vec::new();
            while !self.ends(']')? {
                let before = self.rest.len();
                items.push(self.value(depth + 1)?);
                // A brace that closes nothing is taken by nobody.
                if self.rest.len() == before {
                    return None;
                }
            }
            return Some(Value::Array(items));
        }
        if self.take('{') {
            let mut map = Map::new();
            while !self.ends('}')? {
                let key = self.token(&[':', ',', '}'])?;
                let key = text_of(Some(&scalar(key)))?;
                let value = if self.take(':') { self.value(depth + 1)? } else { Value::Null };
                map.insert(key, value);
            }
            return Some(Value::Object(map));
        }
        self.token(&[',', ']', '}']).map(scalar)
    }

    /// Passes a comma; returns whether the collection ends here, `None` when the text does.
    fn ends(&mut self, close: char) -> Option<bool> {
        self.rest = self.rest.trim_start_matches(|c: char| c == ',' || c.is_whitespace());
        (!self.rest.is_empty()).then(|| self.take(close))
    }

    fn take(&mut self, wanted: char) -> bool {
        let rest = self.rest.strip_prefix(wanted);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Takes a text up to one of `stops`, which do not count within quotes.
    fn token(&mut self, stops: &[char]) -> Option<&'a str> {
        let quote = self.rest.chars().next().filter(|c| matches!(c, '"' | '\''));
        let quoted = match quote {
            // The end of the quotes: one that no backslash and no other quote precedes.
            Some(quote) => {
                2 + self.rest[1..]
                    .match_indices(quote)
                    .map(|(at, _)| at)
                    .find(|at| !self.rest[..=*at].ends_with('\\'))?
            }
            None => 0,
        };
        let end = quoted + self.rest[quoted..].find(stops)?;
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        Some(token.trim())
    }
}

fn scalar(text: &str) -> Value {
    let text = text.trim();
    if text.starts_with('"') {
        let inside = || text.trim_matches('"').to_owned();
        return Value::String(serde_json::from_str(text).unwrap_or_else(|_| inside()));
    }
    if let Some(inside) = text.strip_prefix('\'') {
        return Value::String(inside.strip_suffix('\'').unwrap_or(inside).replace("''", "'"));
    }
    let text = text.split_once(" #").map_or(text, |(before, _)| before.trim_end());
    match text {
        "" | "~" | "null" => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => match text.parse::<serde_json::Number>() {
            Ok(number) => Value::Number(number),
            Err(_) => Value::String(text.to_owned()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::SeededRng;
    use serde_json::json;

    fn check(head: &str, expected: Value) {
        assert_eq!(Value::Object(parse(&format!("---\n{head}\n---\nbody: no\n"))), expected, "{head}");
    }

    #[test]
    fn scalars() {
        check(
            "name: a-b\ndescription: Does x: y, and z. # why",
            json!({"name": "a-b", "description": "Does x: y, and z."}),
        );
        check("d: \"a \\\"b\\\"\"\ne: 'it''s'", json!({"d": "a \"b\"", "e": "it's"}));
        check("a: true\nb: 1.5\nc: ~\nd:\ne: v1", json!({"a": true, "b": 1.5, "c": null, "d": null, "e": "v1"}));
        check("d: one\n  two\n\n  three\ne: x", json!({"d": "one two three", "e": "x"}));
        check("d:\n  Use when: asked\n  or not", json!({"d": "Use when: asked or not"}));
        check("d: |\n  a\n    b\n\n  c\ne: >-\n  a\n  b\n\n  c", json!({"d": "a\n  b\n\nc", "e": "a b\nc"}));
        check("# note\n???\n  stray: 1\n\"k\": v\r\nurl: https://x/y", json!({"k": "v", "url": "https://x/y"}));
    }

    #[test]
    fn maps_lists_and_json() {
        let wanted =
            json!({"metadata": {"clawdbot": {"os": ["linux"], "install": [{"id": "a", "bins": ["x", "y"]}, 2]}}});
        check(r#"metadata: {"clawdbot":{"os":["linux"],install:[{id:"a","bins":["x","y"],},2]}}"#, wanted.clone());
        check(
            "metadata:\n  {\n    clawdbot: {os: ['linux'],\n install: [{id: 'a', bins: ['x', 'y']}, 2]}\n  }",
            wanted.clone(),
        );
        check("metadata: {\n  clawdbot: {os: ['linux'], install: [{id: 'a', bins: ['x', 'y']}, 2]}\n}", wanted.clone());
        let block = "metadata:\n  clawdbot:\n    os: [linux]\n    install:\n    - id: a\n      bins:\n        - x\n        - y\n    - 2";
        let wanted_bare = wanted.clone();
        check(block, wanted);
        let bare = "metadata: {clawdbot: {os: [linux], install: [{id: a, bins: ['x', \"y\"]}, 2]}}";
        check(bare, wanted_bare);
        check(
            "m: {u: https://x/y?a=1, e: , 'q, 1': \"a\\\"}\", f: no}",
            json!({"m": {"u": "https://x/y?a=1", "e": null, "q, 1": "a\"}", "f": "no"}}),
        );
        for broken in ["{a: [b}", "[}", "{a: ]", "{:}", "[a", "{a", "{a: \"b}", "[[]", "{a: b} c"] {
            check(&format!("m: {broken}"), json!({"m": broken}));
        }
        check("tools: [a, b\nlist:\n- a: 1\n-\n- b", json!({"tools": "[a, b", "list": [{"a": 1}, null, "b"]}));
    }

    #[test]
    fn what_is_no_head_is_nothing() {
        for text in ["", "name: a", "---\nname: a", "----\n", "---\n---"] {
            assert_eq!(parse(text), Map::new(), "{text}");
        }
        check(&format!("a: {}", "[".repeat(50_000)), json!({"a": "[".repeat(50_000)}));
        let deep: String = (0..200).map(|level| format!("{}k:\n", " ".repeat(level))).collect();
        assert!(parse(&format!("---\n{deep}---")).contains_key("k"));
    }

    #[test]
    fn no_text_takes_long_or_panics() {
        let pieces = [
            "a", ": ", ":", ",", "{", "}", "[", "]", "\"", "'", "\\", "\n", "\n  ", "\n- ", "|", ">", "#", " ", "é",
            "~", "---",
        ];
        for seed in crate::base::rng::testing::seeds(512) {
            let rng = SeededRng::new(seed);
            let piece = || pieces[usize::try_from(rng.below(pieces.len() as u64)).unwrap_or(0)];
            let text: String = (0..60).map(|_| piece()).collect();
            // What is read is never more than what was written.
            let read = serde_json::to_string(&parse(&format!("---\nk: {text}\n---\n"))).expect("JSON");
            assert!(read.len() < 4096, "SIM_SEED={seed}: {text:?} became {read}");
        }
    }

    #[test]
    fn texts_of_values() {
        for (value, text) in [(json!(" a "), Some("a")), (json!(1), Some("1")), (json!(""), None), (json!([1]), None)] {
            assert_eq!(text_of(Some(&value)).as_deref(), text, "{value}");
        }
    }
}
