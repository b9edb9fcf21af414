//! The original's command line against this gateway: what it asks for, it gets, and what is refused is refused in the
//! original's words.

use serde_json::{Value, json};

use crate::support::gateway::Gateway;
use crate::support::original::{Original, json_in};

/// Parameters of read methods that need some.
const PARAMS: [(&str, &str); 4] = [
    ("logs.tail", r#"{"limit":1}"#),
    ("sessions.preview", r#"{"keys":["main"]}"#),
    ("cron.runs", r#"{"id":"none"}"#),
    ("chat.history", r#"{"sessionKey":"main"}"#),
];

#[test]
fn every_read_method_answers_its_call() {
    let Some(original) = Original::find() else { return };
    let gateway = Gateway::start(json!({}));
    let names = include_str!("../../schemas/methods.json");
    let names: Value = serde_json::from_str(names).expect("JSON");
    let reads = names["methods"].as_object().unwrap().iter().filter(|(_, it)| it["access"] == "read");
    let more = ["config.get", "config.schema", "exec.approvals.get", "node.pair.list", "device.pair.list"];
    for method in reads.map(|it| it.0.as_str()).chain(more) {
        let params = PARAMS.iter().find(|it| it.0 == method).map_or("{}", |it| it.1);
        let ran = original.run(&gateway, &["gateway", "call", method, "--params", params]);
        if method == "node.describe" {
            assert!(ran.stderr.contains("must have required property 'nodeId'"), "{ran:#?}");
        } else {
            json_in(&ran);
        }
    }
}

#[test]
fn its_commands_show_what_is_here() {
    let Some(original) = Original::find() else { return };
    let gateway = Gateway::start(json!({}));
    for (command, shown) in [
        ("health", "Heartbeat interval: 30m (main)"),
        ("health --json", "\"ok\": true"),
        ("status", "reachable"),
        ("gateway health", "OK"),
        ("gateway probe", "Reachable: yes"),
        ("gateway usage-cost --json", "\"days\": 30"),
        ("system presence --json", "\"mode\": \"gateway\""),
        ("system heartbeat last", "null"),
        ("system heartbeat disable", "\"enabled\": false"),
        ("cron status", "\"enabled\": true"),
        ("cron list", "No cron jobs."),
        ("nodes status", "Known: 0"),
        ("nodes list", "Pending: 0"),
        ("nodes pending", "No pending"),
        ("devices list", "Paired (1)"),
        ("approvals get --gateway", "exec-approvals.json"),
        ("channels status", "Gateway reachable."),
        ("channels list", "Chat channels:"),
        ("models list", "Model"),
        ("skills list", "Skills"),
        ("agents list", "main"),
        ("sessions", "Sessions listed: 0"),
        ("logs --limit 50", "listening on ws://"),
    ] {
        let ran = original.run(&gateway, &command.split(' ').collect::<Vec<_>>());
        assert_eq!(ran.code, Some(0), "{command}: {ran:#?}");
        assert!(ran.stdout.contains(shown), "{command}: {ran:#?}");
    }
    for (command, said) in [
        ("gateway call nonsense", "unknown method: nonsense"),
        ("nodes describe --node x", "unknown node: x"),
        ("nodes invoke --node x --command canvas.hide", "unknown node: x"),
        ("devices reject nobody", "unknown requestId"),
    ] {
        let ran = original.run(&gateway, &command.split(' ').collect::<Vec<_>>());
        assert_eq!(ran.code, Some(1), "{command}: {ran:#?}");
        assert!(ran.stderr.contains(said), "{command}: {ran:#?}");
    }
}

#[test]
fn its_commands_change_what_is_here() {
    let Some(original) = Original::find() else { return };
    let gateway = Gateway::start(json!({}));
    let run = |args: &[&str]| original.run(&gateway, args);
    let json = |args: &[&str]| json_in(&run(args));

    let said = run(&["agent", "--message", "hello from afar", "--session-id", "s1"]);
    assert!(said.stdout.contains("You said: hello from afar"), "{said:#?}");
    let call = "!tool exec {\"command\": \"echo from-the-shell\"}";
    let answer = json(&["agent", "--message", call, "--session-id", "s1", "--json"]);
    let text = answer["result"]["payloads"][0]["text"].as_str().unwrap_or_default();
    assert!(text.contains("from-the-shell"), "{answer}");
    let sessions = json(&["sessions", "--json"]);
    assert_eq!(sessions["sessions"][0]["sessionId"], "s1", "{sessions}");
    let entry = json(&["gateway", "call", "sessions.patch", "--params", r#"{"key":"k","label":"L"}"#]);
    assert_eq!(entry["entry"]["label"], "L");

    let event = "Good morning";
    let job = json(&["cron", "add", "--name", "morning", "--cron", "0 7 * * *", "--system-event", event, "--json"]);
    let id = job["id"].as_str().expect("a job's id");
    assert_eq!(json(&["cron", "list", "--json"])["jobs"][0]["id"], id);
    assert_eq!(json(&["cron", "disable", id])["enabled"], false);
    assert_eq!(json(&["cron", "run", id, "--force"])["ran"], true);
    assert_eq!(json(&["cron", "runs", "--id", id])["entries"][0]["status"], "ok");
    assert_eq!(json(&["cron", "rm", id, "--json"])["removed"], true);

    run(&["approvals", "allowlist", "add", "--gateway", "/usr/bin/date"]);
    let approvals = json(&["approvals", "get", "--gateway", "--json"]);
    assert!(approvals.to_string().contains("/usr/bin/date"), "{approvals}");

    let hash = json(&["gateway", "call", "config.get"])["hash"].clone();
    let params = json!({ "raw": "{ui:{assistant:{name:'Sam'}}}", "baseHash": hash, "restartDelayMs": 0 }).to_string();
    let patched = json(&["gateway", "call", "config.patch", "--params", &params]);
    assert_eq!(patched["restart"]["signal"], "SIGUSR1");
    gateway.wait_lines("listening on ws://127.0.0.1", 2);
    let name = run(&["config", "get", "ui.assistant.name"]);
    assert_eq!(name.stdout.trim().lines().last(), Some("Sam"));
}
