//! The original's command line against this gateway.

use serde_json::json;

use crate::support::gateway::Gateway;
use crate::support::original::{Original, json_in};

#[test]
fn its_commands_work_here() {
    let Some(original) = Original::find() else { return };
    let gateway = Gateway::start(json!({}));
    let json = |args: &[&str]| json_in(&original.run(&gateway, args));

    assert_eq!(json(&["health", "--json"])["ok"], true);
    let status = json(&["status", "--json"]);
    assert_eq!(status["gateway"]["reachable"], true, "{status}");
    assert_eq!(json(&["gateway", "call", "status"])["heartbeat"]["defaultAgentId"], "main");
    let presence = json(&["system", "presence", "--json"]);
    assert!(presence.as_array().is_some_and(|rows| rows.iter().any(|row| row["mode"] == "gateway")), "{presence}");

    let said = original.run(&gateway, &["agent", "--message", "hello from afar", "--session-id", "s1"]);
    assert!(said.stdout.contains("You said: hello from afar"), "{said:#?}");
    let call = "!tool exec {\"command\": \"echo from-the-shell\"}";
    let answer = json(&["agent", "--message", call, "--session-id", "s1", "--json"]);
    let text = answer["result"]["payloads"][0]["text"].as_str().unwrap_or_default();
    assert!(text.contains("from-the-shell"), "{answer}");
    let sessions = json(&["sessions", "--json"]);
    assert_eq!(sessions["sessions"][0]["sessionId"], "s1", "{sessions}");

    let entry = json(&["gateway", "call", "sessions.patch", "--params", r#"{"key":"k","label":"L"}"#]);
    assert_eq!(entry["entry"]["label"], "L");
    let hash = json(&["gateway", "call", "config.get"])["hash"].clone();
    let params = json!({ "raw": "{ui:{assistant:{name:'Sam'}}}", "baseHash": hash, "restartDelayMs": 0 }).to_string();
    let patched = json(&["gateway", "call", "config.patch", "--params", &params]);
    assert_eq!(patched["restart"]["signal"], "SIGUSR1");
    gateway.wait_lines("listening on ws://127.0.0.1", 2);
    let name = original.run(&gateway, &["config", "get", "ui.assistant.name"]);
    assert_eq!(name.stdout.trim().lines().last(), Some("Sam"));

    let logs = original.run(&gateway, &["logs", "--limit", "50"]);
    assert!(logs.stdout.contains("listening on ws://"), "{logs:#?}");
}
