//! `schemas/methods.json`: methods and events by name, who may use them and the definitions they speak, so that models of
//! clients need no list of their own. Repair a drift with `scripts/schema-gen.sh`.

use serde_json::{Map, Value, json};

use super::{Access, FAMILIES, Method, ORDER, find};
use crate::gateway::events;
use crate::protocol::{PROTOCOL_VERSION, schema_gen};

/// Answers that are not named after their methods.
const ANSWERS: [(&str, &str); 4] = [
    ("cron.add", "CronJob"),
    ("cron.update", "CronJob"),
    ("exec.approvals.get", "ExecApprovalsSnapshot"),
    ("exec.approvals.set", "ExecApprovalsSnapshot"),
];

fn generate() -> Value {
    let schema = schema_gen::generate();
    let is_defined = |name: &String| schema["definitions"].get(name).is_some();
    let mut methods = Map::new();
    methods.insert("connect".into(), json!({"access": "anyone", "params": "ConnectParams", "result": "HelloOk"}));
    let hidden = FAMILIES.iter().flat_map(|family| family.iter()).filter(|row| row.is_hidden);
    for row in ORDER.into_iter().filter_map(find).chain(hidden) {
        methods.insert(row.name.into(), method(row, is_defined));
    }
    let mut events = Map::new();
    for name in events::ADVERTISED {
        let payload = Some(format!("{}Event", camel(name))).filter(is_defined);
        events.insert(name.into(), payload.map_or_else(|| json!({}), |payload| json!({"payload": payload})));
    }
    json!({"protocol": PROTOCOL_VERSION, "methods": methods, "events": events})
}

fn method(row: &Method, is_defined: impl Fn(&String) -> bool) -> Value {
    let access = match row.access {
        Access::Read => "read",
        Access::Write => "write",
        Access::Approvals => "approvals",
        Access::Pairing => "pairing",
        Access::Admin => "admin",
        Access::Node => "node",
    };
    let mut entry = json!({"access": access});
    if row.is_hidden {
        entry["advertised"] = false.into();
    }
    if let Some(params) = row.definition {
        entry["params"] = params.into();
    }
    let stem =
        row.definition.and_then(|params| params.strip_suffix("Params")).map_or_else(|| camel(row.name), Into::into);
    let named = ANSWERS.iter().find(|(method, _)| *method == row.name).map(|(_, answer)| (*answer).to_owned());
    let candidates = named.into_iter().chain([format!("{stem}Result"), format!("{stem}Response")]);
    if let Some(result) = candidates.into_iter().find(is_defined) {
        entry["result"] = result.into();
    }
    entry
}

/// `node.invoke.request` → `NodeInvokeRequest`.
fn camel(name: &str) -> String {
    let capital =
        |word: &str| word.chars().next().map_or(String::new(), |it| it.to_uppercase().to_string() + &word[1..]);
    name.split(['.', '-']).map(capital).collect()
}

#[test]
fn schemas_match_the_methods() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/methods.json");
    let text = format!("{}\n", serde_json::to_string_pretty(&generate()).expect("JSON"));
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        std::fs::write(path, &text).expect("write the file");
    }
    let stored = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(stored, text, "schemas/methods.json differs from the tables; run scripts/schema-gen.sh");
}
