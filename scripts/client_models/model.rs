//! The schema file as types that a language can write down: every object, union and list of words has a name.
//!
//! A shape inside another gets the name of the definition that it equals, else one made of where it stands
//! (`HelloOk.server` is `HelloOkServer`); the same shape is never named twice.

use std::path::Path;

use serde_json::{Map, Value};

/// Everything a client may say and hear.
pub struct Protocol {
    /// The protocol's number.
    pub version: u64,
    /// In the order of the schema file, a shape's parts before it.
    pub types: Vec<Named>,
    /// In the order of `schemas/methods.json`.
    pub methods: Vec<Method>,
    /// Name, and the type of the payload where there is one.
    pub events: Vec<(String, Option<String>)>,
}

pub struct Method {
    pub name: String,
    pub params: Option<String>,
    pub result: Option<String>,
}

pub struct Named {
    pub name: String,
    pub shape: Shape,
}

pub enum Shape {
    /// `is_open`: there may be more fields than these.
    Object { fields: Vec<Field>, is_open: bool },
    /// One of these texts.
    Words(Vec<String>),
    /// One of these objects, told apart by the value of `tag`, or by which has the field that a case is named after.
    Union { tag: Option<String>, cases: Vec<Case> },
}

pub struct Field {
    pub name: String,
    pub kind: Type,
    pub is_required: bool,
}

pub struct Case {
    /// The tag's value, or the field that only this case has.
    pub name: String,
    /// The named object.
    pub object: String,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Type {
    Any,
    Text,
    Bool,
    Int,
    Number,
    /// This text or number and no other.
    Constant(Value),
    List(Box<Type>),
    Map(Box<Type>),
    /// `null` means something else than absence.
    Nullable(Box<Type>),
    Named(String),
}

impl Protocol {
    /// Reads `schemas/`.
    ///
    /// # Errors
    /// When a file cannot be read or says something that has no model.
    pub fn read(schemas: &Path) -> Result<Self, Box<dyn std::error::Error>> {
        let file = |name: &str| -> Result<Value, Box<dyn std::error::Error>> {
            let text = std::fs::read_to_string(schemas.join(name)).map_err(|error| format!("read {name}: {error}"))?;
            Ok(serde_json::from_str(&text)?)
        };
        let schema = file("protocol.schema.json")?;
        let definitions = schema["definitions"].as_object().ok_or("no definitions in the schema file")?;
        let mut reader = Reader { definitions, seen: Vec::new(), types: Vec::new() };
        for (name, schema) in definitions {
            reader.define(name, schema)?;
        }
        let names = file("methods.json")?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let entries = |key: &str| names[key].as_object().cloned().unwrap_or_default();
        let method =
            |(name, it): (String, Value)| Method { name, params: text(&it["params"]), result: text(&it["result"]) };
        Ok(Self {
            version: names["protocol"].as_u64().ok_or("no protocol number")?,
            types: reader.types,
            methods: entries("methods").into_iter().map(method).collect(),
            events: entries("events").into_iter().map(|(name, it)| (name, text(&it["payload"]))).collect(),
        })
    }
}

struct Reader<'a> {
    definitions: &'a Map<String, Value>,
    /// Shapes that have a name.
    seen: Vec<(&'a Value, String)>,
    types: Vec<Named>,
}

type Read<T> = Result<T, String>;

impl<'a> Reader<'a> {
    fn define(&mut self, name: &str, schema: &'a Value) -> Read<()> {
        if self.types.iter().any(|it| it.name == name) {
            return Ok(());
        }
        let shape = self.shape(name, schema)?;
        let shape = shape.ok_or_else(|| format!("{name} is neither an object nor a union: {schema}"))?;
        self.seen.push((schema, name.to_owned()));
        self.types.push(Named { name: name.to_owned(), shape });
        Ok(())
    }

    /// What needs a name; `None` for plain values.
    fn shape(&mut self, name: &str, schema: &'a Value) -> Read<Option<Shape>> {
        if let Some(properties) = schema["properties"].as_object() {
            let required = schema["required"].as_array().map_or(&[][..], Vec::as_slice);
            let mut fields = Vec::new();
            for (key, value) in properties {
                let kind = self.kind(&format!("{name}{}", capital(key)), value)?;
                fields.push(Field { name: key.clone(), kind, is_required: required.iter().any(|it| it == key) });
            }
            return Ok(Some(Shape::Object { fields, is_open: schema["additionalProperties"] != false }));
        }
        let Some(branches) = schema["anyOf"].as_array() else { return Ok(None) };
        let words: Vec<&str> = branches.iter().filter_map(|it| it["const"].as_str()).collect();
        if words.len() == branches.len() {
            return Ok(Some(Shape::Words(words.into_iter().map(str::to_owned).collect())));
        }
        let objects: Vec<&Map<String, Value>> = branches.iter().filter_map(|it| it["properties"].as_object()).collect();
        if objects.len() == branches.len() { self.union(name, branches, &objects).map(Some) } else { Ok(None) }
    }

    fn union(&mut self, name: &str, branches: &'a [Value], objects: &[&Map<String, Value>]) -> Read<Shape> {
        let is_tag = |key: &&String| objects.iter().all(|it| it.get(*key).is_some_and(|it| it["const"].is_string()));
        let tag = objects[0].keys().find(is_tag).cloned();
        let mut cases = Vec::new();
        for (branch, object) in branches.iter().zip(objects) {
            let is_own = |key: &&String| objects.iter().filter(|it| it.contains_key(*key)).count() == 1;
            let case = match &tag {
                Some(tag) => object[tag]["const"].as_str(),
                None => object.keys().find(is_own).map(String::as_str),
            };
            let case = case.ok_or_else(|| format!("{name}: nothing tells {branch} from the others"))?;
            let Type::Named(object) = self.kind(&format!("{name}{}", capital(case)), branch)? else {
                return Err(format!("{name}: {branch} is no object"));
            };
            cases.push(Case { name: case.to_owned(), object });
        }
        Ok(Shape::Union { tag, cases })
    }

    /// The type of a value; `name` is what it is called if it needs a name and has none.
    fn kind(&mut self, name: &str, schema: &'a Value) -> Read<Type> {
        if let Some(value) = schema.get("const") {
            return Ok(Type::Constant(value.clone()));
        }
        if let Some(known) = self.known(schema)? {
            return Ok(Type::Named(known));
        }
        if let Some(shape) = self.shape(name, schema)? {
            self.seen.push((schema, name.to_owned()));
            self.types.push(Named { name: name.to_owned(), shape });
            return Ok(Type::Named(name.to_owned()));
        }
        let one = |name: &str| name.strip_suffix('s').unwrap_or(name).to_owned();
        match schema["type"].as_str() {
            Some("string") => Ok(Type::Text),
            Some("boolean") => Ok(Type::Bool),
            Some("integer") => Ok(Type::Int),
            Some("number") => Ok(Type::Number),
            Some("array") => Ok(Type::List(Box::new(self.kind(&one(name), &schema["items"])?))),
            Some("object") => match schema["patternProperties"].as_object().and_then(|it| it.values().next()) {
                Some(values) => Ok(Type::Map(Box::new(self.kind(&one(name), values)?))),
                None => Ok(Type::Map(Box::new(Type::Any))),
            },
            Some(other) => Err(format!("{name}: type {other} has no model")),
            None => self.choice(name, schema),
        }
    }

    /// What may be one of several plain values.
    fn choice(&mut self, name: &str, schema: &'a Value) -> Read<Type> {
        let Some(branches) = schema["anyOf"].as_array() else { return Ok(Type::Any) };
        let (null, rest): (Vec<&Value>, Vec<&Value>) = branches.iter().partition(|it| it["type"] == "null");
        let mut kinds = Vec::new();
        for branch in rest {
            kinds.push(self.kind(name, branch)?);
        }
        // A word among texts is a text.
        if kinds.contains(&Type::Text) {
            kinds.retain(|kind| !matches!(kind, Type::Constant(Value::String(_))));
        }
        let kind = if let [single] = kinds.as_slice() { single.clone() } else { Type::Any };
        Ok(if null.is_empty() { kind } else { Type::Nullable(Box::new(kind)) })
    }

    /// The name of an equal shape. Parameters lend none: that two methods ask for the same is chance.
    fn known(&mut self, schema: &'a Value) -> Read<Option<String>> {
        if schema.get("properties").is_none() && schema.get("anyOf").is_none() {
            return Ok(None);
        }
        let mut definitions = self.definitions.iter().filter(|(name, _)| !name.ends_with("Params"));
        if let Some((name, _)) = definitions.find(|(_, it)| *it == schema) {
            self.define(name, schema)?;
            return Ok(Some(name.clone()));
        }
        Ok(self
            .seen
            .iter()
            .find(|(it, name)| *it == schema && !self.definitions.contains_key(name))
            .map(|it| it.1.clone()))
    }
}

/// `connId` → `ConnId`, `next-heartbeat` → `NextHeartbeat`.
pub fn capital(name: &str) -> String {
    let word = |word: &str| word.chars().next().map_or(String::new(), |it| it.to_uppercase().to_string() + &word[1..]);
    name.split(['.', '-', '_']).map(word).collect()
}
