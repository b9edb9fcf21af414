//! Swift models: `Codable` structures with whole numbers as `Int`, and enumerations for unions.
//!
//! Lists of words become open (`RawRepresentable`) types, so that a word of a newer gateway does not make a frame
//! unreadable.

use super::model::{Case, Field, Named, Protocol, Shape, Type, capital};

/// Its name in `schemas/`.
pub const FILE: &str = "ClawdbotProtocol.swift";

/// Keywords that cannot name a member as they are.
const RESERVED: [&str; 46] = [
    "as",
    "associatedtype",
    "break",
    "case",
    "catch",
    "class",
    "continue",
    "default",
    "defer",
    "deinit",
    "do",
    "else",
    "enum",
    "extension",
    "fallthrough",
    "false",
    "fileprivate",
    "for",
    "func",
    "guard",
    "if",
    "import",
    "in",
    "init",
    "inout",
    "internal",
    "is",
    "let",
    "nil",
    "operator",
    "private",
    "protocol",
    "public",
    "repeat",
    "rethrows",
    "return",
    "self",
    "static",
    "struct",
    "subscript",
    "super",
    "switch",
    "throw",
    "throws",
    "true",
    "try",
];

const HEAD: &str = r#"// Models of the gateway's WebSocket protocol for Swift clients, made from schemas/ by scripts/schema-gen.sh.
// Absent fields are nil. Do not edit.

import Foundation

/// Any JSON value; whole numbers stay whole.
public enum JSONValue: Codable, Hashable, Sendable {
    case null
    case bool(Bool)
    case int(Int)
    case double(Double)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])

    public init(from decoder: Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let value = try? container.decode(Bool.self) {
            self = .bool(value)
        } else if let value = try? container.decode(Int.self) {
            self = .int(value)
        } else if let value = try? container.decode(Double.self) {
            self = .double(value)
        } else if let value = try? container.decode(String.self) {
            self = .string(value)
        } else if let value = try? container.decode([JSONValue].self) {
            self = .array(value)
        } else {
            self = .object(try container.decode([String: JSONValue].self))
        }
    }

    public func encode(to encoder: Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .null: try container.encodeNil()
        case .bool(let value): try container.encode(value)
        case .int(let value): try container.encode(value)
        case .double(let value): try container.encode(value)
        case .string(let value): try container.encode(value)
        case .array(let value): try container.encode(value)
        case .object(let value): try container.encode(value)
        }
    }
}

/// A value whose `null` is said on purpose: `Nullable<String>?` is absent when nil.
public enum Nullable<Wrapped: Codable & Hashable & Sendable>: Codable, Hashable, Sendable {
    case null
    case value(Wrapped)

    public init(from decoder: Decoder) throws {
        let container = try decoder.singleValueContainer()
        self = container.decodeNil() ? .null : .value(try container.decode(Wrapped.self))
    }

    public func encode(to encoder: Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .null: try container.encodeNil()
        case .value(let value): try container.encode(value)
        }
    }
}
"#;

/// The file.
pub fn write(protocol: &Protocol) -> String {
    let mut out = HEAD.to_owned();
    out.push_str("\n/// The protocol number to offer in `connect`.\n");
    out.push_str(&format!("public let protocolVersion = {}\n", protocol.version));
    for named in &protocol.types {
        out.push('\n');
        out.push_str(&definition(named));
    }
    out.push_str("\n/// Names of methods.\n");
    out.push_str(&words("MethodName", protocol.methods.iter().map(|it| it.name.as_str())));
    out.push_str("\n/// Names of events.\n");
    out.push_str(&words("EventName", protocol.events.iter().map(|it| it.0.as_str())));
    out
}

fn definition(named: &Named) -> String {
    match &named.shape {
        Shape::Object { fields, is_open } => object(&named.name, fields, *is_open),
        Shape::Words(list) => words(&named.name, list.iter().map(String::as_str)),
        Shape::Union { tag, cases } => union(&named.name, tag.as_deref(), cases),
    }
}

fn object(name: &str, fields: &[Field], is_open: bool) -> String {
    let doc = if is_open { "/// There may be more fields than these; they are not kept.\n" } else { "" };
    if fields.is_empty() {
        return format!("{doc}public struct {name}: Codable, Hashable, Sendable {{\n    public init() {{}}\n}}\n");
    }
    let mut out = format!("{doc}public struct {name}: Codable, Hashable, Sendable {{\n");
    for field in fields {
        out.push_str(&format!("    public var {}: {}\n", member(&field.name), optional(field)));
    }
    let parameters: Vec<String> = fields.iter().map(parameter).collect();
    out.push_str(&format!("\n    public init(\n        {}\n    ) {{\n", parameters.join(",\n        ")));
    for field in fields {
        let name = member(&field.name);
        out.push_str(&format!("        self.{name} = {name}\n"));
    }
    out.push_str("    }\n\n    private enum CodingKeys: String, CodingKey {\n");
    for field in fields {
        out.push_str(&format!("        case {} = {:?}\n", member(&field.name), field.name));
    }
    out.push_str("    }\n}\n");
    out
}

fn parameter(field: &Field) -> String {
    let default = match &field.kind {
        _ if !field.is_required => " = nil".to_owned(),
        Type::Constant(value) => format!(" = {value}"),
        _ => String::new(),
    };
    format!("{}: {}{default}", member(&field.name), optional(field))
}

fn optional(field: &Field) -> String {
    format!("{}{}", kind(&field.kind), if field.is_required { "" } else { "?" })
}

fn words<'a>(name: &str, words: impl Iterator<Item = &'a str>) -> String {
    let constants: String =
        words.map(|word| format!("    public static let {} = Self(rawValue: {word:?})\n", member(word))).collect();
    format!(
        "public struct {name}: RawRepresentable, Codable, Hashable, Sendable {{\n{constants}\n    \
         public var rawValue: String\n\n    public init(rawValue: String) {{\n        self.rawValue = rawValue\n    }}\n}}\n"
    )
}

fn union(name: &str, tag: Option<&str>, cases: &[Case]) -> String {
    let mut out = format!("public enum {name}: Codable, Hashable, Sendable {{\n");
    for case in cases {
        out.push_str(&format!("    case {}({})\n", member(&case.name), case.object));
    }
    let keys: Vec<String> =
        tag.map_or_else(|| cases.iter().map(|it| it.name.clone()).collect(), |tag| vec![tag.to_owned()]);
    out.push_str("\n    private enum CodingKeys: String, CodingKey {\n");
    for key in &keys {
        out.push_str(&format!("        case {} = {key:?}\n", member(key)));
    }
    out.push_str("    }\n\n    public init(from decoder: Decoder) throws {\n");
    out.push_str("        let container = try decoder.container(keyedBy: CodingKeys.self)\n");
    let unknown = "throw DecodingError.dataCorrupted(\n            DecodingError.Context(codingPath: decoder.codingPath, debugDescription: \"";
    match tag {
        Some(tag) => {
            out.push_str(&format!("        switch try container.decode(String.self, forKey: .{}) {{\n", member(tag)));
            for case in cases {
                out.push_str(&format!(
                    "        case {:?}: self = .{}(try {}(from: decoder))\n",
                    case.name,
                    member(&case.name),
                    case.object
                ));
            }
            out.push_str(&format!("        default: {unknown}unknown {tag} of {name}\"))\n        }}\n"));
        }
        None => {
            for case in cases {
                let name = member(&case.name);
                out.push_str(&format!("        if container.contains(.{name}) {{\n            self = .{name}(try {}(from: decoder))\n            return\n        }}\n", case.object));
            }
            out.push_str(&format!("        {unknown}no {name}\"))\n"));
        }
    }
    out.push_str("    }\n\n    public func encode(to encoder: Encoder) throws {\n        switch self {\n");
    for case in cases {
        out.push_str(&format!("        case .{}(let value): try value.encode(to: encoder)\n", member(&case.name)));
    }
    out.push_str("        }\n    }\n}\n");
    out
}

fn kind(kind: &Type) -> String {
    match kind {
        Type::Any => "JSONValue".into(),
        Type::Text | Type::Constant(serde_json::Value::String(_)) => "String".into(),
        Type::Bool => "Bool".into(),
        Type::Int | Type::Constant(_) => "Int".into(),
        Type::Number => "Double".into(),
        Type::List(item) => format!("[{}]", self::kind(item)),
        Type::Map(value) => format!("[String: {}]", self::kind(value)),
        Type::Nullable(value) => format!("Nullable<{}>", self::kind(value)),
        Type::Named(name) => name.clone(),
    }
}

/// A wire name as a member's: `next-heartbeat` → `nextHeartbeat`, keywords in backticks.
fn member(name: &str) -> String {
    let name = capital(name);
    let start: String = name.chars().take(1).flat_map(char::to_lowercase).collect();
    let name = format!("{start}{}", name.chars().skip(1).collect::<String>());
    if RESERVED.contains(&name.as_str()) { format!("`{name}`") } else { name }
}
