//! JSON5 text: parsing it, and finding the line of a key in it.
//!
//! The crate `json5` does the parsing; this module bounds the depth, words the error and counts lines. Keys keep
//! their order, whole numbers are integers.

use serde_json::{Number, Value};

/// Deepest nesting of objects and lists.
const DEPTH_MAX: usize = 64;

/// Why a text is not JSON5.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// For people, with line and column.
    pub message: String,
    /// Line, from 1.
    pub line: Option<usize>,
}

impl std::fmt::Display for ParseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

/// Parses a text.
///
/// # Errors
/// What is wrong and where.
pub fn parse(text: &str) -> Result<Value, ParseError> {
    let mut too_deep = None;
    walk(text, |_, depth, line| {
        if depth > DEPTH_MAX {
            too_deep = Some(line);
        }
        too_deep.is_none()
    });
    if let Some(line) = too_deep {
        return Err(ParseError { message: format!("nested deeper than {DEPTH_MAX} at {line}:1"), line: Some(line) });
    }
    match json5::from_str::<Value>(text) {
        Ok(mut value) => {
            whole_numbers(&mut value);
            Ok(value)
        }
        Err(error) => {
            // Without a position the text ended too early.
            let position = error.position().unwrap_or_else(|| json5::Position::from_offset(text.len(), text));
            let (line, column) = (position.line + 1, position.column + 1);
            let what = error.code().map_or_else(|| error.to_string(), |code| code.to_string());
            Err(ParseError { message: format!("SyntaxError: JSON5: {what} at {line}:{column}"), line: Some(line) })
        }
    }
}

/// Writes `1.0` and `1e3` as the integers they are, as JavaScript does.
fn whole_numbers(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(float) =
                number.as_f64().filter(|float| number.is_f64() && float.fract() == 0.0 && float.abs() < 1e15)
            {
                *number = Number::from(float as i64);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(object) => object.values_mut().for_each(whole_numbers),
        _ => {}
    }
}

/// Returns the line, from 1, of the key or list item at a dot-joined path.
pub fn line_of(text: &str, path: &str) -> Option<usize> {
    let mut found = None;
    walk(text, |segments, _, line| {
        if joined_equals(segments, path) {
            found = Some(line);
        }
        found.is_none()
    });
    found
}

fn joined_equals(segments: &[String], path: &str) -> bool {
    let mut rest = path;
    for (index, segment) in segments.iter().enumerate() {
        let Some(next) = rest.strip_prefix(segment.as_str()) else {
            return false;
        };
        rest = next;
        if index + 1 < segments.len() {
            let Some(next) = rest.strip_prefix('.') else {
                return false;
            };
            rest = next;
        }
    }
    rest.is_empty() && !segments.is_empty()
}

/// One open object or list.
struct Frame {
    /// Next index; `None` in an object.
    index: Option<usize>,
    /// Whether the path holds a segment of this frame.
    named: bool,
}

/// Calls `visit(path, depth, line)` at every key, list item and opening bracket until it returns false. Tolerates broken text.
fn walk(text: &str, mut visit: impl FnMut(&[String], usize, usize) -> bool) {
    let mut tokens = Tokens { rest: text, line: 1 };
    let mut frames: Vec<Frame> = Vec::new();
    let mut path: Vec<String> = Vec::new();
    while let Some((line, token)) = tokens.next() {
        if let Token::Punct(close @ ('}' | ']' | ',' | ':')) = token {
            let Some(frame) = frames.last_mut() else { continue };
            if close != ':' && std::mem::take(&mut frame.named) {
                path.pop();
            }
            if matches!(close, '}' | ']') {
                frames.pop();
            }
            continue;
        }
        // A key, or a value: only the first token after `{`, `[` or `,` names something.
        if let Some(frame) = frames.last_mut().filter(|frame| !frame.named) {
            let segment = match (&mut frame.index, &token) {
                (Some(index), _) => {
                    *index += 1;
                    Some((*index - 1).to_string())
                }
                (None, Token::Text(text)) => Some(text.clone()),
                (None, Token::Punct(_)) => None,
            };
            if let Some(segment) = segment {
                frame.named = true;
                path.push(segment);
                if !visit(&path, frames.len(), line) {
                    return;
                }
            }
        }
        if let Token::Punct(open) = token {
            frames.push(Frame { index: (open == '[').then_some(0), named: false });
            if !visit(&[], frames.len(), line) {
                return;
            }
        }
    }
}

enum Token {
    /// One of `{}[],:`.
    Punct(char),
    /// A string without its quotes, or a bare word or number.
    Text(String),
}

struct Tokens<'a> {
    rest: &'a str,
    line: usize,
}

impl Tokens<'_> {
    fn bump(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        self.line += usize::from(c == '\n');
        Some(c)
    }

    fn skip_to(&mut self, end: &str) {
        while !self.rest.is_empty() && !self.rest.starts_with(end) {
            self.bump();
        }
    }

    fn next(&mut self) -> Option<(usize, Token)> {
        loop {
            if self.rest.starts_with("//") {
                self.skip_to("\n");
            } else if self.rest.starts_with("/*") {
                self.skip_to("*/");
                self.bump();
                self.bump();
            }
            let line = self.line;
            match self.bump()? {
                c @ ('{' | '}' | '[' | ']' | ',' | ':') => return Some((line, Token::Punct(c))),
                quote @ ('"' | '\'') => return Some((line, Token::Text(self.string(quote)))),
                c if c.is_whitespace() || c == '/' || c == '\u{feff}' => {}
                c => {
                    let mut word = String::from(c);
                    while let Some(c) =
                        self.rest.chars().next().filter(|c| !c.is_whitespace() && !"{}[],:/\"'".contains(*c))
                    {
                        word.push(c);
                        self.bump();
                    }
                    return Some((line, Token::Text(word)));
                }
            }
        }
    }

    /// The rest of a string; escapes other than a quoted character are not decoded, which costs a line number at worst.
    fn string(&mut self, quote: char) -> String {
        let mut text = String::new();
        while let Some(c) = self.bump() {
            match c {
                '\\' => text.extend(self.bump()),
                c if c == quote => break,
                c => text.push(c),
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json5_is_read_in_order() {
        let value = parse("{ // c\n z: 1.0, 'a': 0x10, \"b\": [+1, 1e3, .5,], }").expect("parse");
        assert_eq!(value, json!({"z": 1, "a": 16, "b": [1, 1000, 0.5]}));
        assert_eq!(value.as_object().expect("object").keys().collect::<Vec<_>>(), ["z", "a", "b"]);
    }

    #[test]
    fn errors_name_the_line() {
        for (text, line) in [("", 1), ("{\n a: 1\n b: 2 }", 3), (&"[".repeat(100_000), 1)] {
            let error = parse(text).expect_err("broken");
            assert_eq!(error.line, Some(line), "{error}");
            assert!(error.message.contains(&format!(" at {line}:")), "{error}");
        }
    }

    #[test]
    fn lines_of_paths() {
        let text = "{\n  a: {\n    // { note\n    \"b.c\": [\n 1,\n { d: '}' /* x: */,\n e: 2 } ] },\n  'f': null }";
        for (path, line) in [("a", 2), ("a.b.c", 4), ("a.b.c.0", 5), ("a.b.c.1.d", 6), ("a.b.c.1.e", 7), ("f", 8)] {
            assert_eq!(line_of(text, path), Some(line), "{path}");
        }
        assert_eq!(line_of(text, "a.x"), None);
        assert_eq!(line_of(text, ""), None);
    }
}
