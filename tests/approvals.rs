//! Exec approvals: asking, deciding, and the policy file.

use serde_json::{Value, json};

use crate::support::client::{Client, connect_params};
use crate::support::gateway::Gateway;
use crate::support::home::{Home, Ran};
use crate::support::replay::Replay;
use crate::support::wire;

fn named(name: &str) -> Value {
    let mut params = connect_params();
    params["client"]["displayName"] = name.into();
    params
}

#[test]
fn a_command_is_asked_about_and_decided() {
    let gateway = Gateway::start(json!({}));
    let mut asker = gateway.client();
    let mut approver = Client::connect_as(gateway.port, named("Approver"));
    let recording = wire::load("exec.approval");
    asker.send(&recording.sent[0]);
    // The asker's own request is refused to the approver as a duplicate only once it is there.
    asker.wait("the question", |frame| frame["event"] == "exec.approval.requested");
    let replay = Replay::of("exec.approval");
    replay.turns(&gateway, &mut approver, &wire::load_peer("exec.approval", "approver"));
    let rest = wire::Recording { received: recording.received[1..].to_vec(), ..recording };
    replay.receive(&gateway, &mut asker, &rest);
    Replay::of("exec.approval-timeout").session(&gateway, &mut asker);
}

#[test]
fn only_those_who_may_approve_hear_of_it() {
    let gateway = Gateway::start(json!({}));
    let mut asker = gateway.client();
    let mut reader = named("reader");
    reader["scopes"] = json!(["operator.read"]);
    let mut reader = Client::connect_as(gateway.port, reader);
    let id = asker.post("exec.approval.request", json!({ "command": "ls", "timeoutMs": 60_000 }));
    let question = asker.event("exec.approval.requested", |_| true);
    let refused = reader.request("exec.approval.resolve", json!({ "id": question["id"], "decision": "deny" }));
    assert_eq!(refused.unwrap_err()["message"], "missing scope: operator.approvals");
    asker.request("exec.approval.resolve", json!({ "id": question["id"], "decision": "deny" })).expect("resolved");
    assert_eq!(asker.response(&id).unwrap()["decision"], "deny");
    reader.request("health", json!({})).expect("an answer after all events");
    let heard = reader.unread().iter().any(|frame| frame["event"].as_str().is_some_and(|it| it.starts_with("exec.")));
    assert!(!heard, "{:?}", reader.unread());
}

#[test]
fn a_request_ends_with_its_connection_and_its_id_is_free_again() {
    let gateway = Gateway::start(json!({}));
    let mut approver = Client::connect_as(gateway.port, named("Approver"));
    let ask = json!({ "id": "same", "command": "ls", "timeoutMs": 60_000 });
    let mut gone = gateway.client();
    gone.post("exec.approval.request", ask.clone());
    approver.event("exec.approval.requested", |it| it["id"] == "same");
    drop(gone);
    let ended = approver.event("exec.approval.resolved", |it| it["id"] == "same");
    assert_eq!((&ended["decision"], ended.get("resolvedBy")), (&json!("deny"), None));
    let late = approver.request("exec.approval.resolve", json!({ "id": "same", "decision": "allow-once" }));
    assert_eq!(late.unwrap_err()["message"], "unknown approval id");
    let mut again = gateway.client();
    let id = again.post("exec.approval.request", ask);
    approver.event("exec.approval.requested", |it| it["id"] == "same");
    approver.request("exec.approval.resolve", json!({ "id": "same", "decision": "allow-once" })).expect("resolved");
    assert_eq!(again.response(&id).unwrap()["decision"], "allow-once");
}

#[test]
fn a_stop_answers_what_waits() {
    let mut gateway = Gateway::start(json!({}));
    let mut asker = gateway.client();
    let id = asker.post("exec.approval.request", json!({ "command": "ls", "timeoutMs": 60_000 }));
    asker.event("exec.approval.requested", |_| true);
    assert_eq!(gateway.stop().code, Some(0));
    let error = asker.response(&id).unwrap_err();
    assert_eq!((&error["code"], &error["retryable"]), (&json!("UNAVAILABLE"), &json!(true)));
}

#[test]
fn a_full_table_refuses() {
    let gateway = Gateway::start(json!({}));
    let mut asker = gateway.client();
    for _ in 0..1000 {
        asker.post("exec.approval.request", json!({ "command": "ls", "timeoutMs": 60_000 }));
    }
    let error = asker.request("exec.approval.request", json!({ "command": "one more" })).unwrap_err();
    assert_eq!((&error["code"], &error["retryable"]), (&json!("UNAVAILABLE"), &json!(true)), "{error}");
    let mut next = gateway.client();
    drop(asker);
    next.event("exec.approval.resolved", |_| true);
    let answer = next.request("exec.approval.request", json!({ "command": "ls", "timeoutMs": 1 }));
    assert_eq!(answer.expect("room again")["decision"], Value::Null);
}

#[test]
fn the_policy_file() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.client();
    let hash = &["/payload/hash"];
    Replay { ignore: hash, ..Replay::of("exec.approvals.get") }.session(&gateway, &mut client);
    let now = client.request("exec.approvals.get", json!({})).unwrap()["hash"].clone();
    let mut recording = wire::load("exec.approvals.set");
    recording.sent.iter_mut().filter_map(|it| it.pointer_mut("/params/baseHash")).for_each(|it| *it = now.clone());
    Replay { ignore: hash, ..Replay::of("exec.approvals.set") }.turns(&gateway, &mut client, &recording);
    let path = gateway.home.state_dir().join("exec-approvals.json");
    let stored: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert!(stored["socket"]["token"].as_str().is_some_and(|token| token.len() == 32), "{stored}");
    let stale = json!({ "file": { "version": 1 }, "baseHash": "0".repeat(64) });
    let error = client.request("exec.approvals.set", stale).unwrap_err();
    assert_eq!(error["message"], "exec approvals changed since last load; re-run exec.approvals.get and retry");

    std::fs::write(&path, "{ broken").unwrap();
    let found = client.request("exec.approvals.get", json!({})).unwrap();
    assert_eq!((&found["exists"], &found["file"]["agents"]), (&json!(true), &json!({})));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "{ broken", "looking does not overwrite");
    let file = json!({ "version": 1, "defaults": { "security": "deny" } });
    client.request("exec.approvals.set", json!({ "file": file, "baseHash": found["hash"] })).expect("mended");
    let kept = std::fs::read_dir(gateway.home.state_dir()).unwrap().flatten();
    assert!(kept.map(|it| it.file_name()).any(|it| it.to_string_lossy().starts_with("exec-approvals.json.corrupt-")));
}

#[test]
fn commands_on_the_local_file_and_the_gateway() {
    let home = Home::empty();
    let local = home.run(&["approvals", "get", "--json"]).json();
    assert_eq!((&local["exists"], &local["file"]["version"]), (&json!(false), &json!(1)));
    assert!(!home.state_dir().join("exec-approvals.json").exists(), "looking makes no file");
    let ran = home.run(&["approvals", "allowlist", "add", "~/x/**/bin/rg"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(
        ran.stdout.starts_with("Writing local approvals.\nTarget: local\n") && ran.stdout.contains("~/x/**/bin/rg")
    );
    assert_eq!(
        home.run(&["approvals", "allowlist", "add", "~/x/**/bin/rg"]).stdout,
        "Writing local approvals.\nAlready allowlisted."
    );
    let ran = home.run(&["exec-approvals", "get"]);
    assert!(ran.stdout.starts_with("Showing local approvals.\n\nApprovals\n"), "{ran:?}");
    assert!(ran.stdout.contains("│ Agents    │ 1") && ran.stdout.contains("Last Used"), "{ran:?}");
    let removed = home.run(&["approvals", "allowlist", "remove", "~/x/**/bin/rg", "--json"]).json();
    assert_eq!((removed["file"]["agents"].clone(), removed.to_string().contains("token")), (json!({}), false));
    assert!(home.run(&["approvals", "allowlist", "remove", "/x"]).stdout.ends_with("Pattern not found."));
    for (args, expected) in [
        (&["approvals", "set"][..], "Provide --file or --stdin."),
        (&["approvals", "set", "--stdin", "--file", "x"], "Use either --file or --stdin (not both)."),
        (&["approvals", "set", "--stdin"], "Failed to parse approvals JSON: "),
        (&["approvals", "allowlist", "add", " "], "Pattern required."),
        (&["approvals", "get", "--node", "x"], "gateway closed (1006"),
    ] {
        let ran = home.run(args);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.stderr.lines().any(|line| line.starts_with(expected)), "{args:?}: {ran:?}");
    }

    let gateway = Gateway::start(json!({}));
    let file = gateway.home.path().join("policy.json5");
    std::fs::write(&file, "{ defaults: { security: 'allowlist' }, agents: { default: { ask: 'always' } } }").unwrap();
    let path = file.display().to_string();
    let set =
        |args: &[&str]| -> Ran { gateway.cli(&[&["approvals", "set", "--gateway", "--file", &path], args].concat()) };
    let after = set(&["--json"]);
    assert_eq!(after.stdout.lines().count(), 1, "{after:?}");
    assert_eq!(after.json()["file"]["agents"], json!({ "main": { "ask": "always" } }));
    let ran = set(&[]);
    assert!(
        ran.stdout.starts_with("Target: gateway\nApprovals\n") && ran.stdout.contains("security=allowlist"),
        "{ran:?}"
    );
    gateway.cli(&["approvals", "allowlist", "add", "--agent", "ops", "/usr/bin/uptime", "--gateway"]);
    let found = gateway.cli(&["approvals", "get", "--gateway", "--json"]).json();
    assert_eq!(found["file"]["agents"]["ops"]["allowlist"][0]["pattern"], "/usr/bin/uptime");
    assert!(found["file"]["agents"]["ops"]["allowlist"][0]["id"].is_string());
    let ran = gateway.cli(&["approvals", "get", "--node", "x"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("unknown node: x"), "{ran:?}");
}
