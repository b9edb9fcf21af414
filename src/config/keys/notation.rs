//! The notation of `table.txt`, read into [`Shape`]s. Its head says what the signs mean.
//!
//! A recursive descent over the text; shapes refer only to shapes above them, so the result is a tree with sharing.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::rules::Rule;

/// What a value may be.
#[derive(Debug)]
pub enum Shape {
    /// Anything.
    Any,
    /// A string of so many UTF-16 units.
    Str {
        /// Least length.
        min: Option<usize>,
        /// Greatest length.
        max: Option<usize>,
    },
    /// Six hexadecimal digits, with or without `#`.
    Hex,
    /// A list of strings: a program, without anything a shell would act on, and its arguments.
    Command,
    /// `true` or `false`.
    Bool,
    /// A number.
    Number(Range),
    /// One of these words.
    Words {
        /// The words.
        words: Vec<&'static str>,
        /// Whether an error lists them.
        listed: bool,
    },
    /// A list.
    List(Arc<Shape>),
    /// Any keys with values of one shape.
    Map {
        /// Whether its keys must be lower-case slugs.
        slug: bool,
        /// What the values are.
        value: Arc<Shape>,
    },
    /// Known keys.
    Object(Object),
    /// One of several.
    Union(Vec<Arc<Shape>>),
}

/// Limits of a number.
#[derive(Debug, Clone, Copy, Default)]
pub struct Range {
    /// Whether it is whole.
    pub int: bool,
    /// It is greater than this.
    pub above: Option<f64>,
    /// Least value.
    pub min: Option<f64>,
    /// Greatest value.
    pub max: Option<f64>,
}

/// An object with known keys.
#[derive(Debug)]
pub struct Object {
    /// Its keys in order.
    pub fields: Vec<Field>,
    /// What happens to other keys.
    pub others: Others,
    /// A condition over several keys.
    pub rule: Option<Rule>,
}

/// One key of an [`Object`].
#[derive(Debug, Clone)]
pub struct Field {
    /// The key.
    pub key: &'static str,
    /// Whether it must be there.
    pub required: bool,
    /// What it holds.
    pub shape: Arc<Shape>,
    /// What is inserted when it is absent.
    pub default: Option<Value>,
}

/// What happens to keys that an [`Object`] does not know.
#[derive(Debug)]
pub enum Others {
    /// They are wrong.
    Refused,
    /// They are removed.
    Dropped,
    /// They have this shape.
    Shaped(Arc<Shape>),
}

/// Reads a table; the last shape is the whole configuration.
///
/// # Errors
/// What is wrong and what stands there.
pub fn parse(text: &'static str) -> Result<Arc<Shape>, String> {
    let mut parser = Parser { rest: text, shapes: HashMap::new() };
    let mut last = None;
    while parser.peek().is_some() {
        parser.expect("@")?;
        let name = parser.word()?;
        parser.expect("=")?;
        let shape = parser.union()?;
        parser.shapes.insert(name, shape.clone());
        last = Some(shape);
    }
    last.ok_or_else(|| "empty".to_owned())
}

struct Parser {
    rest: &'static str,
    shapes: HashMap<&'static str, Arc<Shape>>,
}

impl Parser {
    fn skip(&mut self) {
        loop {
            self.rest = self.rest.trim_start();
            let Some(comment) = self.rest.strip_prefix('#') else { return };
            self.rest = comment.split_once('\n').map_or("", |(_, rest)| rest);
        }
    }

    fn peek(&mut self) -> Option<char> {
        self.skip();
        self.rest.chars().next()
    }

    fn take(&mut self, text: &str) -> bool {
        self.skip();
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, text: &str) -> Result<(), String> {
        if self.take(text) { Ok(()) } else { Err(self.wrong(text)) }
    }

    fn wrong(&self, expected: &str) -> String {
        let here: String = self.rest.chars().take(40).collect();
        format!("expected {expected} at {here:?}")
    }

    fn take_while(&mut self, allowed: impl Fn(char) -> bool) -> &'static str {
        let end = self.rest.find(|c| !allowed(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn word(&mut self) -> Result<&'static str, String> {
        self.skip();
        let word = self.take_while(|c| c.is_ascii_alphanumeric() || "_-+/".contains(c));
        if word.is_empty() { Err(self.wrong("a word")) } else { Ok(word) }
    }

    fn number(&mut self) -> Result<f64, String> {
        let from = self.rest;
        self.take_while(|c| c.is_ascii_digit());
        if self.rest.starts_with('.') && !self.rest.starts_with("..") {
            self.rest = &self.rest[1..];
            self.take_while(|c| c.is_ascii_digit());
        }
        from[..from.len() - self.rest.len()].parse().map_err(|_| self.wrong("a number"))
    }

    fn union(&mut self) -> Result<Arc<Shape>, String> {
        let listed = self.take("enum ");
        let mut branches = Vec::new();
        let mut words = Vec::new();
        loop {
            match self.branch()? {
                Branch::Word(word) => words.push(word),
                Branch::Shape(shape) => branches.push(shape),
            }
            if !self.take("|") {
                break;
            }
        }
        if !words.is_empty() {
            branches.push(Arc::new(Shape::Words { words, listed }));
        }
        Ok(if branches.len() == 1 { branches.remove(0) } else { Arc::new(Shape::Union(branches)) })
    }

    fn branch(&mut self) -> Result<Branch, String> {
        let mut shape = match self.peek() {
            Some('{') => self.braces()?,
            Some('(') => {
                self.expect("(")?;
                let inner = self.union()?;
                self.expect(")")?;
                inner
            }
            Some('@') => self.reference()?,
            _ => match self.word()? {
                "any" => Arc::new(Shape::Any),
                "bool" => Arc::new(Shape::Bool),
                "hex" => Arc::new(Shape::Hex),
                "command" => Arc::new(Shape::Command),
                "str" => {
                    let (min, max) = self.limits()?;
                    let length = |limit: Option<f64>| limit.map(|limit| limit as usize);
                    Arc::new(Shape::Str { min: length(min), max: length(max) })
                }
                name @ ("int" | "num") => self.range(name == "int")?,
                word => return Ok(Branch::Word(word)),
            },
        };
        while self.take("[]") {
            shape = Arc::new(Shape::List(shape));
        }
        Ok(Branch::Shape(shape))
    }

    fn reference(&mut self) -> Result<Arc<Shape>, String> {
        self.expect("@")?;
        let name = self.word()?;
        self.shapes.get(name).cloned().ok_or_else(|| format!("no shape @{name} above"))
    }

    fn range(&mut self, int: bool) -> Result<Arc<Shape>, String> {
        let mut range = Range { int, ..Range::default() };
        if self.rest.starts_with(">=") {
            self.rest = &self.rest[2..];
            range.min = Some(self.number()?);
        } else if self.rest.starts_with('>') {
            self.rest = &self.rest[1..];
            range.above = Some(self.number()?);
        } else {
            (range.min, range.max) = self.limits()?;
        }
        Ok(Arc::new(Shape::Number(range)))
    }

    /// `(1..5)`, either side optional, or nothing.
    fn limits(&mut self) -> Result<(Option<f64>, Option<f64>), String> {
        if !self.rest.starts_with('(') {
            return Ok((None, None));
        }
        self.rest = &self.rest[1..];
        let min = if self.rest.starts_with("..") { None } else { Some(self.number()?) };
        self.expect("..")?;
        let max = if self.rest.starts_with(')') { None } else { Some(self.number()?) };
        self.expect(")")?;
        Ok((min, max))
    }

    fn braces(&mut self) -> Result<Arc<Shape>, String> {
        self.expect("{")?;
        if self.take("*") {
            let slug = self.take("slug");
            self.expect(":")?;
            let value = self.union()?;
            self.expect("}")?;
            return Ok(Arc::new(Shape::Map { slug, value }));
        }
        let mut fields = Vec::new();
        while !self.take("}") {
            if self.take("...") {
                match &*self.reference()? {
                    Shape::Object(object) => fields.extend(object.fields.iter().cloned()),
                    _ => return Err(self.wrong("an object before")),
                }
            } else {
                let key = self.word()?;
                let required = self.take("*");
                let shape = self.union()?;
                let default = if self.take("=") { Some(self.literal()?) } else { None };
                fields.push(Field { key, required, shape, default });
            }
            if !self.take(",") && self.peek() != Some('}') {
                return Err(self.wrong("`,` or `}`"));
            }
        }
        let others = if self.take("~") {
            Others::Dropped
        } else if self.take("+") {
            Others::Shaped(self.union()?)
        } else {
            Others::Refused
        };
        let rule = if self.take("!") {
            let name = self.word()?;
            Some(Rule::by_name(name).ok_or_else(|| format!("no rule {name}"))?)
        } else {
            None
        };
        Ok(Arc::new(Shape::Object(Object { fields, others, rule })))
    }

    fn literal(&mut self) -> Result<Value, String> {
        if self.take("{}") {
            return Ok(Value::Object(Map::new()));
        }
        let word = self.word()?;
        Ok(match word {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            word => word.parse::<i64>().map_or_else(|_| Value::from(word), Value::from),
        })
    }
}

enum Branch {
    Word(&'static str),
    Shape(Arc<Shape>),
}
