//! TypeScript models: interfaces, unions of words, and what each method takes and answers.

use super::model::{Field, Named, Protocol, Shape, Type};

/// Its name in `schemas/`.
pub const FILE: &str = "clawdbot-protocol.ts";

/// Longest line.
const WIDTH: usize = 120;

const HEAD: &str = "\
// Models of the gateway's WebSocket protocol for TypeScript clients, made from schemas/ by scripts/schema-gen.sh.
// Fields with `?` may be absent; a field that may be `null` says so. Do not edit.

";

const TAIL: &str = "
/** Name of a method. */
export type MethodName = keyof Methods;

/** Name of an event. */
export type EventName = keyof Events;

/** A request of one method. */
export type RequestOf<M extends MethodName> = Omit<RequestFrame, \"method\" | \"params\"> & {
  method: M;
  params: Methods[M][\"params\"];
};

/** One kind of event. */
export type EventOf<E extends EventName> = Omit<EventFrame, \"event\" | \"payload\"> & {
  event: E;
  payload: Events[E];
};
";

/// The file.
pub fn write(protocol: &Protocol) -> String {
    let mut out = format!("{HEAD}export const PROTOCOL_VERSION = {};\n", protocol.version);
    for named in &protocol.types {
        out.push('\n');
        out.push_str(&definition(named));
    }
    out.push_str("\n/** What each method takes and answers. */\nexport interface Methods {\n");
    for method in &protocol.methods {
        let params = method.params.as_deref().unwrap_or("{ [key: string]: unknown }");
        let result = method.result.as_deref().unwrap_or("unknown");
        out.push_str(&format!("  {:?}: {{ params: {params}; result: {result} }};\n", method.name));
    }
    out.push_str("}\n\n/** What each event carries. */\nexport interface Events {\n");
    for (name, payload) in &protocol.events {
        out.push_str(&format!("  {name:?}: {};\n", payload.as_deref().unwrap_or("unknown")));
    }
    out.push_str("}\n");
    out.push_str(TAIL);
    out
}

fn definition(named: &Named) -> String {
    let name = &named.name;
    match &named.shape {
        Shape::Object { fields, is_open: false } if fields.is_empty() => {
            format!("export type {name} = {{ [key: string]: never }};\n")
        }
        Shape::Object { fields, is_open } => {
            let more = if *is_open { "  [key: string]: unknown;\n" } else { "" };
            let fields: String = fields.iter().map(field).collect();
            format!("export interface {name} {{\n{fields}{more}}}\n")
        }
        Shape::Words(words) => alias(name, words.iter().map(|word| format!("{word:?}"))),
        Shape::Union { cases, .. } => alias(name, cases.iter().map(|case| case.object.clone())),
    }
}

fn alias(name: &str, branches: impl Iterator<Item = String>) -> String {
    let branches: Vec<String> = branches.collect();
    let line = format!("export type {name} = {};\n", branches.join(" | "));
    if line.len() <= WIDTH {
        return line;
    }
    let lines: String = branches.iter().map(|branch| format!("\n  | {branch}")).collect();
    format!("export type {name} ={lines};\n")
}

fn field(field: &Field) -> String {
    let optional = if field.is_required { "" } else { "?" };
    format!("  {}{optional}: {};\n", field.name, kind(&field.kind))
}

fn kind(kind: &Type) -> String {
    match kind {
        Type::Any => "unknown".into(),
        Type::Text => "string".into(),
        Type::Bool => "boolean".into(),
        Type::Int | Type::Number => "number".into(),
        Type::Constant(value) => value.to_string(),
        Type::List(item) if matches!(**item, Type::Nullable(_)) => format!("({})[]", self::kind(item)),
        Type::List(item) => format!("{}[]", self::kind(item)),
        Type::Map(value) => format!("{{ [key: string]: {} }}", self::kind(value)),
        Type::Nullable(value) => format!("{} | null", self::kind(value)),
        Type::Named(name) => name.clone(),
    }
}
