//! Tools, each called by a scripted model against the real gateway, and what comes back to the model.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::eventually;
use crate::support::gateway::Gateway;
use crate::support::node_host::NodeHost;
use crate::support::provider::{Answer, Provider};

const MAIN: &str = "agent:main:main";

/// Runs one call through the agent that works without a model; returns the tool's result message.
pub fn call(client: &mut Client, tool: &str, args: &Value) -> Value {
    call_in(client, MAIN, tool, args)
}

fn call_in(client: &mut Client, session: &str, tool: &str, args: &Value) -> Value {
    let run = next_run();
    let params = json!({ "sessionKey": session, "message": format!("!tool {tool} {args}"), "idempotencyKey": run });
    client.request("chat.send", params).expect("started");
    let end = client.chat_end(&run);
    assert_eq!(end["state"], "final", "{end}");
    let history = client.request("chat.history", json!({ "sessionKey": session })).expect("history");
    let messages = history["messages"].as_array().expect("messages").clone();
    messages.into_iter().rev().find(|it| it["role"] == "toolResult").expect("a tool result")
}

fn next_run() -> String {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    format!("tool-run-{}", NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
}

pub fn text(result: &Value) -> String {
    let blocks = result["content"].as_array().into_iter().flatten();
    blocks.filter_map(|block| block["text"].as_str()).collect::<Vec<_>>().join("\n")
}

/// The error of a tool that failed.
pub fn error(result: &Value) -> String {
    assert_eq!(result["isError"], false, "{result}");
    assert_eq!(result["details"]["status"], "error", "{result}");
    result["details"]["error"].as_str().expect("an error").to_owned()
}

fn is_alive(pid: &str) -> bool {
    // A zombie is not alive, but it is still there.
    Path::new(&format!("/proc/{}", pid.trim())).exists()
}

#[test]
fn files_are_written_edited_and_read() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.client();
    let wrote = call(&mut client, "write", &json!({ "path": "notes/a.txt", "content": "one\ntwo\n" }));
    assert_eq!(text(&wrote), "Successfully wrote 8 bytes to notes/a.txt");
    let edited =
        call(&mut client, "edit", &json!({ "file_path": "notes/a.txt", "old_string": "two", "new_string": "2" }));
    assert_eq!(text(&edited), "Successfully replaced text in notes/a.txt.");
    assert_eq!(text(&call(&mut client, "read", &json!({ "path": "notes/a.txt" }))), "one\n2\n");
    let missed = call(&mut client, "edit", &json!({ "path": "notes/a.txt", "oldText": "three", "newText": "3" }));
    assert!(error(&missed).starts_with("Could not find the exact text in notes/a.txt."), "{missed}");
    assert!(error(&call(&mut client, "read", &json!({ "path": "none" }))).starts_with("ENOENT: no such file"));
    let full = call(&mut client, "write", &json!({ "path": "/dev/full", "content": "x" }));
    assert!(error(&full).contains("not a regular file"), "{full}");
    // The session goes on after each of them.
    assert_eq!(text(&call(&mut client, "exec", &json!({ "command": "cat notes/a.txt" }))), "one\n2");
}

#[test]
fn a_patch_changes_all_of_its_files_or_none() {
    let config = json!({
        "tools": { "exec": { "applyPatch": { "enabled": true } } },
        "models": { "providers": { "openai": { "baseUrl": "", "apiKey": "k", "api": "openai-completions", "models": [{
            "id": "m", "name": "m", "reasoning": false, "input": ["text"], "contextWindow": 32000, "maxTokens": 1000,
            "cost": { "input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0 },
        }] } } },
        "agents": { "defaults": { "model": { "primary": "openai/m" } } },
    });
    let patch = |middle: &str| json!({ "input": format!("*** Begin Patch\n{middle}\n*** End Patch") });
    let bad = patch("*** Add File: b.txt\n+new\n*** Update File: a.txt\n@@\n-nothing of it\n+x");
    let good = patch("*** Add File: b.txt\n+new\n*** Update File: a.txt\n@@\n one\n-two\n+2");
    let provider = Provider::start(move |index, _| match index {
        0 => Answer::Tool("write", json!({ "path": "a.txt", "content": "one\ntwo\n" })),
        1 => Answer::Tool("apply_patch", bad.clone()),
        2 => Answer::Tool("exec", json!({ "command": "ls b.txt" })),
        3 => Answer::Tool("apply_patch", good.clone()),
        4 => Answer::Tool("exec", json!({ "command": "cat a.txt b.txt" })),
        _ => Answer::Text(vec!["done"]),
    });
    let mut config = config;
    config["models"]["providers"]["openai"]["baseUrl"] = provider.url().into();
    let gateway = Gateway::start(config);
    let mut client = gateway.client();
    let params = json!({ "sessionKey": MAIN, "message": "go", "idempotencyKey": "p" });
    client.request("chat.send", params).expect("started");
    assert_eq!(client.chat_end("p")["state"], "final");
    let requests = provider.requests();
    let results: Vec<String> = requests[5]["messages"]
        .as_array()
        .expect("messages")
        .iter()
        .filter(|it| it["role"] == "tool")
        .map(|it| it["content"].as_str().map_or_else(|| it["content"].to_string(), str::to_owned))
        .collect();
    assert!(results[1].contains("these lines were not found"), "{results:?}");
    assert!(results[2].contains("exited with code"), "nothing was written: {results:?}");
    assert!(
        results[3].contains("Success. Updated the following files:\\nA b.txt\\nM a.txt")
            || results[3].contains("Success. Updated the following files:\nA b.txt\nM a.txt"),
        "{results:?}"
    );
    assert!(results[4].contains("one") && results[4].contains('2') && results[4].contains("new"), "{results:?}");
}

#[test]
fn commands_run_and_fail_as_the_model_expects() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.client();
    let ran = call(
        &mut client,
        "exec",
        &json!({ "command": "echo out; echo $X >&2; pwd", "env": { "X": "y" }, "workdir": "~" }),
    );
    assert_eq!(text(&ran), format!("out\ny\n{}", gateway.home.path().canonicalize().unwrap().display()));
    assert_eq!((&ran["details"]["status"], &ran["details"]["exitCode"]), (&json!("completed"), &json!(0)));
    assert_eq!(text(&call(&mut client, "exec", &json!({ "command": "true" }))), "(no output)");
    let failed = call(&mut client, "exec", &json!({ "command": "echo no; exit 3" }));
    assert_eq!(error(&failed), "no\n\nCommand exited with code 3");
    let late = call(&mut client, "exec", &json!({ "command": "echo start; sleep 60", "timeout": 0.3 }));
    assert_eq!(error(&late), "start\n\nCommand timed out after 0.3 seconds");
    let killed = call(&mut client, "exec", &json!({ "command": "kill -SEGV $$" }));
    assert_eq!(error(&killed), "Command aborted by signal SIGSEGV");
    let nowhere = call(&mut client, "exec", &json!({ "command": "true", "workdir": "no/such/place" }));
    assert!(error(&nowhere).contains("is not a directory"), "{nowhere}");
    let tty = call(&mut client, "exec", &json!({ "command": "tty >/dev/null && stty size", "pty": true }));
    assert_eq!(text(&tty), "30 120");
    let no_tty = call(&mut client, "exec", &json!({ "command": "test -t 0 || cat; echo end" }));
    assert_eq!(text(&no_tty), "end", "its stdin is empty");
    let elsewhere = call(&mut client, "exec", &json!({ "command": "true", "host": "gateway" }));
    assert_eq!(
        error(&elsewhere),
        "exec host not allowed (requested gateway; configure tools.exec.host=gateway to allow)."
    );
    let elevated = call(&mut client, "exec", &json!({ "command": "true", "elevated": true }));
    assert!(error(&elevated).starts_with("elevated is not available right now (runtime=direct)."), "{elevated}");
    assert!(error(&elevated).contains("allowFrom (tools.elevated.allowFrom.webchat)"), "{elevated}");
}

#[test]
fn a_hundred_megabytes_are_bounded() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.client();
    let before = gateway.memory_peak_bytes();
    let big =
        call(&mut client, "exec", &json!({ "command": "yes 0123456789abcdef | head -c 100000000; echo; echo end" }));
    let text = text(&big);
    assert!(text.len() < 210_000 && text.ends_with("end"), "{} bytes", text.len());
    assert!(text.starts_with("[output cut"), "{}", &text[..40]);
    if let (Some(before), Some(after)) = (before, gateway.memory_peak_bytes()) {
        assert!(after - before < 64 * 1024 * 1024, "{} MiB", (after - before) / 1024 / 1024);
    }
}

#[test]
fn a_command_leaves_nothing_behind() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.client();
    let ran = call(
        &mut client,
        "exec",
        &json!({ "command": "sleep 60 & echo $!; setsid sleep 60 & echo $!; (setsid sleep 60 & echo $!)" }),
    );
    let pids = text(&ran);
    assert_eq!(pids.lines().count(), 3, "{pids}");
    assert!(!pids.lines().any(is_alive), "{pids}");
    let late = call(
        &mut client,
        "exec",
        &json!({ "command": "setsid sleep 60 & echo $!; trap '' TERM; sleep 60; sleep 60", "timeout": 0.2 }),
    );
    let error = error(&late);
    assert!(!is_alive(error.lines().next().unwrap_or_default()), "{error}");
}

#[test]
fn an_abort_ends_the_command_and_all_it_started() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.client();
    let file = gateway.home.path().join("pids");
    let command =
        format!("sleep 60 & echo $! > {0}; setsid sleep 60 & echo $! >> {0}; echo $$ >> {0}; wait", file.display());
    let message = format!("!tool exec {}", json!({ "command": command, "timeout": 60 }));
    client
        .request("chat.send", json!({ "sessionKey": MAIN, "message": message, "idempotencyKey": "abort-me" }))
        .expect("started");
    let read = || std::fs::read_to_string(&file).unwrap_or_default();
    eventually("the command runs", || read().lines().count() == 3);
    client.request("chat.abort", json!({ "sessionKey": MAIN, "runId": "abort-me" })).expect("aborted");
    eventually("all of it is gone", || !read().lines().any(is_alive));
    assert_eq!(text(&call(&mut client, "exec", &json!({ "command": "echo next" }))), "next");
}

#[test]
fn the_end_of_the_gateway_is_the_end_of_its_commands() {
    for by_force in [false, true] {
        let mut gateway = Gateway::start(json!({}));
        let mut client = gateway.client();
        let file = gateway.home.path().join("pids");
        let command =
            format!("setsid sleep 60 & echo $! > {0}; sleep 60 & echo $! >> {0}; echo $$ >> {0}; wait", file.display());
        let started = call(&mut client, "exec", &json!({ "command": command, "background": true }));
        assert_eq!(started["details"]["status"], "running", "{started}");
        let read = || std::fs::read_to_string(&file).unwrap_or_default();
        eventually("the command runs", || read().lines().count() == 3);
        let pids = read();
        if by_force {
            let home = gateway.kill();
            eventually("all of it is gone after a kill", || !pids.lines().any(is_alive));
            drop(home);
        } else {
            assert_eq!(gateway.stop().code, Some(0));
            assert!(!pids.lines().any(is_alive), "{pids}");
        }
    }
}

#[test]
fn a_command_in_the_background_is_followed_up() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.client();
    assert_eq!(text(&call(&mut client, "process", &json!({ "action": "list" }))), "No running or recent sessions.");
    let started = call(
        &mut client,
        "exec",
        &json!({ "command": "while read line; do echo got:$line; done; exit 4", "background": true }),
    );
    let id = started["details"]["sessionId"].as_str().expect("a name").to_owned();
    assert!(text(&started).starts_with(&format!("Command still running (session {id}, pid ")), "{started}");
    let process = |client: &mut Client, mut args: Value| {
        args["sessionId"] = id.as_str().into();
        call(client, "process", &args)
    };
    assert!(text(&call(&mut client, "process", &json!({ "action": "list" }))).starts_with(&format!("{id} running")));
    let wrote = process(&mut client, json!({ "action": "write", "data": "one\n" }));
    assert_eq!(text(&wrote), format!("Wrote 4 bytes to session {id}."));
    let mut seen = String::new();
    eventually("the answer comes", || {
        seen.push_str(&text(&process(&mut client, json!({ "action": "poll" }))));
        seen.contains("got:one")
    });
    assert!(seen.contains("Process still running."), "{seen}");
    process(&mut client, json!({ "action": "write", "data": "two\n", "eof": true }));
    let mut last = Value::Null;
    eventually("it ends", || {
        last = process(&mut client, json!({ "action": "poll" }));
        text(&last).contains("Process exited with code 4.")
    });
    assert_eq!((&last["details"]["status"], &last["details"]["exitCode"]), (&json!("failed"), &json!(4)));
    let log = process(&mut client, json!({ "action": "log", "offset": 1, "limit": 1 }));
    assert_eq!((text(&log).as_str(), &log["details"]["totalLines"]), ("got:two", &json!(2)));
    let closed = process(&mut client, json!({ "action": "write", "data": "x" }));
    assert_eq!(text(&closed), format!("No active session found for {id}"));
    assert_eq!(text(&process(&mut client, json!({ "action": "remove" }))), format!("Removed session {id}."));
    let gone = process(&mut client, json!({ "action": "poll" }));
    assert_eq!((text(&gone), &gone["details"]["status"]), (format!("No session found for {id}"), &json!("failed")));
    // Its end is told to the session's next prompt.
    let params = json!({ "sessionKey": MAIN, "message": "hello", "idempotencyKey": "after" });
    client.request("chat.send", params).expect("started");
    client.chat_end("after");
    let history = client.request("chat.history", json!({ "sessionKey": MAIN })).expect("history").to_string();
    assert!(history.contains("Exec failed (") && history.contains("code 4"), "{history}");
}

#[test]
fn a_terminal_takes_keys_and_a_kill_ends_the_tree() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.client();
    let started = call(
        &mut client,
        "exec",
        &json!({ "command": "setsid sleep 60 & echo child:$!; cat", "pty": true, "yieldMs": 300 }),
    );
    let id = started["details"]["sessionId"].as_str().expect("a name").to_owned();
    let keys = json!({ "action": "send-keys", "sessionId": id, "literal": "abc", "keys": ["Enter"] });
    assert_eq!(text(&call(&mut client, "process", &keys)), format!("Sent 4 bytes to session {id}."));
    let mut seen = String::new();
    eventually("it is echoed", || {
        seen.push_str(&text(&call(&mut client, "process", &json!({ "action": "poll", "sessionId": id }))));
        seen.matches("abc").count() >= 2
    });
    let child = seen.split("child:").nth(1).and_then(|it| it.split_whitespace().next()).expect("a pid").to_owned();
    assert!(is_alive(&child));
    let other = call_in(&mut client, "agent:other:main", "process", &json!({ "action": "kill", "sessionId": id }));
    assert_eq!(text(&other), format!("No active session found for {id}"), "another agent does not see it");
    let killed = call(&mut client, "process", &json!({ "action": "kill", "sessionId": id }));
    assert_eq!(text(&killed), format!("Killed session {id}."));
    assert!(!is_alive(&child));
}

#[test]
fn the_policy_decides_what_a_model_sees_and_may_call() {
    let provider = Provider::start(|index, _| match index {
        0 => Answer::Tool("exec", json!({ "command": "echo no" })),
        _ => Answer::Text(vec!["ok"]),
    });
    let config = json!({ "tools": { "profile": "coding", "deny": ["group:runtime"] } });
    let gateway = Gateway::with_provider(&provider, config);
    let mut client = gateway.client();
    client
        .request("chat.send", json!({ "sessionKey": MAIN, "message": "go", "idempotencyKey": "p1" }))
        .expect("started");
    assert_eq!(client.chat_end("p1")["state"], "final");
    let requests = provider.requests();
    let names: Vec<&str> = requests[0]["tools"]
        .as_array()
        .expect("tools")
        .iter()
        .filter_map(|it| it["function"]["name"].as_str())
        .collect();
    assert!(names.contains(&"read") && names.contains(&"sessions_list"), "{names:?}");
    assert!(!names.contains(&"exec") && !names.contains(&"process") && !names.contains(&"cron"), "{names:?}");
    let result = requests[1]["messages"].as_array().unwrap().iter().find(|it| it["role"] == "tool").expect("a result");
    let result = result["content"].to_string();
    assert!(result.contains("Tool exec not found: it is not allowed here (tools)"), "{result}");
}

#[test]
fn what_belongs_into_a_sandbox_is_not_run_outside_of_one() {
    let gateway = Gateway::start(json!({ "agents": { "defaults": { "sandbox": { "mode": "all" } } } }));
    let mut client = gateway.client();
    let marker = gateway.home.path().join("ran");
    for (tool, args) in [
        ("exec", json!({ "command": format!("touch {}", marker.display()) })),
        ("write", json!({ "path": marker, "content": "x" })),
        ("read", json!({ "path": "/etc/hostname" })),
        ("process", json!({ "action": "list" })),
    ] {
        let refused = call(&mut client, tool, &args);
        assert!(error(&refused).contains("has no sandbox"), "{tool}: {refused}");
    }
    assert!(!marker.exists());
    let denied = call(&mut client, "cron", &json!({ "action": "list" }));
    assert!(text(&denied).contains("not allowed here (tools.sandbox.tools)"), "{denied}");
    assert!(text(&call(&mut client, "sessions_list", &json!({}))).contains("\"sessions\""));
}

#[test]
fn broken_calls_and_a_vanished_workspace_are_told_to_the_model() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.client();
    let bad = call(&mut client, "exec", &json!({ "command": 7, "host": "moon" }));
    assert_eq!(bad["isError"], true);
    let said = text(&bad);
    assert!(
        said.starts_with("Validation failed for tool \"exec\":\n  - command: must be string\n  - host: must be equal"),
        "{said}"
    );
    assert_eq!(text(&call(&mut client, "nonsense", &json!({}))), "Tool nonsense not found");
    std::fs::remove_dir_all(gateway.home.path().join("clawd")).expect("the workspace is removed");
    let ran = call(&mut client, "exec", &json!({ "command": "echo here" }));
    assert!(text(&ran).contains("here") || error(&ran).contains("is not a directory"), "{ran}");
    assert_eq!(text(&call(&mut client, "exec", &json!({ "command": "echo still", "workdir": "/" }))), "still");
}

fn approving(config: Value) -> Gateway {
    let mut all = json!({ "tools": { "exec": { "host": "gateway" } } });
    for (key, value) in config.as_object().into_iter().flatten() {
        all["tools"]["exec"][key] = value.clone();
    }
    Gateway::start(all)
}

/// What the session is told next.
fn told(client: &mut Client, what: &str) -> String {
    let mut seen = String::new();
    eventually(what, || {
        let run = next_run();
        let params = json!({ "sessionKey": MAIN, "message": "anything?", "idempotencyKey": run });
        client.request("chat.send", params).expect("started");
        client.chat_end(&run);
        let history = client.request("chat.history", json!({ "sessionKey": MAIN, "limit": 6 })).expect("history");
        seen = history["messages"].to_string();
        seen.contains("Exec ")
    });
    seen
}

#[test]
fn a_command_waits_for_a_person_and_its_result_comes_later() {
    let gateway = approving(json!({}));
    let mut client = gateway.client();
    let pending = call(&mut client, "exec", &json!({ "command": "echo approved-$((40+2))" }));
    let id = pending["details"]["approvalId"].as_str().expect("an id").to_owned();
    assert_eq!(pending["details"]["status"], "approval-pending");
    assert_eq!(
        text(&pending),
        format!("Approval required (id {}). Approve to run; updates will arrive after completion.", &id[..8])
    );
    let asked = client.event("exec.approval.requested", |it| it["id"] == id.as_str());
    assert_eq!(asked["request"]["command"], "echo approved-$((40+2))");
    assert_eq!((&asked["request"]["host"], &asked["request"]["sessionKey"]), (&json!("gateway"), &json!(MAIN)));
    client.request("exec.approval.resolve", json!({ "id": id, "decision": "allow-once" })).expect("resolved");
    let seen = told(&mut client, "the result arrives");
    assert!(seen.contains(&format!("Exec finished (gateway id={id}, session=")), "{seen}");
    assert!(seen.contains("code 0") && seen.contains("approved-42"), "{seen}");
}

#[test]
fn a_command_that_is_denied_does_not_run() {
    let gateway = approving(json!({}));
    let mut client = gateway.client();
    let marker = gateway.home.path().join("ran");
    let pending = call(&mut client, "exec", &json!({ "command": format!("touch {}", marker.display()) }));
    let id = pending["details"]["approvalId"].as_str().expect("an id").to_owned();
    client.event("exec.approval.requested", |it| it["id"] == id.as_str());
    client.request("exec.approval.resolve", json!({ "id": id, "decision": "deny" })).expect("resolved");
    let seen = told(&mut client, "the denial arrives");
    assert!(seen.contains(&format!("Exec denied (gateway id={id}, user-denied): touch")), "{seen}");
    assert!(!marker.exists());
    let never = call(&mut client, "exec", &json!({ "command": "true", "security": "deny" }));
    assert_eq!(error(&never), "exec denied: host=gateway security=deny");
}

#[test]
fn what_was_allowed_for_good_runs_unasked() {
    let gateway = approving(json!({}));
    let mut client = gateway.client();
    let pending = call(&mut client, "exec", &json!({ "command": "uname -s" }));
    let id = pending["details"]["approvalId"].as_str().expect("an id").to_owned();
    client.event("exec.approval.requested", |it| it["id"] == id.as_str());
    client.request("exec.approval.resolve", json!({ "id": id, "decision": "allow-always" })).expect("resolved");
    told(&mut client, "the result arrives");
    assert_eq!(text(&call(&mut client, "exec", &json!({ "command": "uname -s" }))), "Linux");
    let hidden = call(&mut client, "exec", &json!({ "command": "uname -s \"$(touch x)\"" }));
    assert_eq!(hidden["details"]["status"], "approval-pending", "{hidden}");
    let policy = client.request("exec.approvals.get", json!({})).expect("policy");
    let used = &policy["file"]["agents"]["main"]["allowlist"][0];
    assert!(used["pattern"].as_str().is_some_and(|it| it.ends_with("/uname")), "{policy}");
    assert_eq!(used["lastUsedCommand"], "uname -s");
}

#[test]
fn without_anybody_to_ask_the_allowlist_decides() {
    let gateway = approving(json!({ "ask": "off" }));
    let mut client = gateway.client();
    assert_eq!(error(&call(&mut client, "exec", &json!({ "command": "uname" }))), "exec denied: allowlist miss");
    let gateway = approving(json!({ "ask": "off", "security": "full" }));
    let mut client = gateway.client();
    assert_eq!(text(&call(&mut client, "exec", &json!({ "command": "echo free" }))), "free");
    let asked = call(&mut client, "exec", &json!({ "command": "echo free", "ask": "always" }));
    assert_eq!(asked["details"]["status"], "approval-pending", "stricter at the model's wish: {asked}");
}

#[test]
fn a_stop_ends_what_waits_for_approval() {
    let mut gateway = approving(json!({}));
    let mut client = gateway.client();
    call(&mut client, "exec", &json!({ "command": "echo never" }));
    client.event("exec.approval.requested", |_| true);
    let begun = Instant::now();
    assert_eq!(gateway.stop().code, Some(0));
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[test]
fn sessions_are_listed_read_and_written_to() {
    let gateway = Gateway::start(json!({ "agents": { "list": [{ "id": "main", "default": true }, { "id": "ops" }] } }));
    let mut client = gateway.client();
    call_in(&mut client, "agent:main:side", "exec", &json!({ "command": "echo side" }));
    call_in(&mut client, "agent:ops:main", "exec", &json!({ "command": "echo ops" }));
    let listed = call(&mut client, "sessions_list", &json!({ "messageLimit": 2 }));
    let rows = listed["details"]["sessions"].as_array().expect("sessions");
    let keys: Vec<&str> = rows.iter().filter_map(|row| row["key"].as_str()).collect();
    assert!(keys.contains(&"main") && keys.contains(&"agent:main:side"), "{keys:?}");
    assert!(!keys.contains(&"agent:ops:main"), "another agent's: {keys:?}");
    assert!(rows.iter().all(|row| row["messages"].is_array() && row["transcriptPath"].is_string()), "{listed}");
    let history =
        call(&mut client, "sessions_history", &json!({ "sessionKey": "agent:main:side", "includeTools": true }));
    assert!(text(&history).contains("echo side"), "{history}");
    let forbidden = call(&mut client, "sessions_history", &json!({ "sessionKey": "agent:ops:main" }));
    assert_eq!(forbidden["details"]["status"], "forbidden", "{forbidden}");
    let sent = call(&mut client, "sessions_send", &json!({ "sessionKey": "agent:main:side", "message": "ping" }));
    assert_eq!(sent["details"]["status"], "ok", "{sent}");
    assert!(sent["details"]["reply"].as_str().is_some_and(|it| it.ends_with("You said: ping")), "{sent}");
    let thrown = call(
        &mut client,
        "sessions_send",
        &json!({ "sessionKey": "agent:main:side", "message": "x", "timeoutSeconds": 0 }),
    );
    assert_eq!(thrown["details"]["status"], "accepted", "{thrown}");
    let own = call(&mut client, "sessions_send", &json!({ "sessionKey": "main", "message": "x" }));
    assert_eq!(own["details"]["status"], "error", "{own}");
    let nobody = call(&mut client, "sessions_send", &json!({ "message": "x" }));
    assert_eq!(nobody["details"]["error"], "Either sessionKey or label is required");
    let status = call(&mut client, "session_status", &json!({ "sessionKey": "agent:main:side" }));
    assert!(text(&status).contains("🧵 Session: agent:main:side") && text(&status).contains("🕒 Time: "), "{status}");
    let unknown = call(&mut client, "session_status", &json!({ "sessionKey": "agent:main:none" }));
    assert_eq!(error(&unknown), "Unknown sessionKey: agent:main:none");
    let agents = call(&mut client, "agents_list", &json!({}));
    assert_eq!(
        agents["details"],
        json!({ "requester": "main", "allowAny": false, "agents": [{ "id": "main", "configured": true }] })
    );
}

#[test]
fn a_subagent_works_apart_and_its_result_is_announced() {
    let provider = Provider::start(|_, request| {
        let said = request["messages"]
            .as_array()
            .and_then(|it| it.iter().rev().find(|it| it["role"] == "user"))
            .map(Value::to_string);
        let said = said.unwrap_or_default();
        let has_result =
            request["messages"].as_array().is_some_and(|it| it.last().is_some_and(|it| it["role"] == "tool"));
        match said {
            _ if has_result => Answer::Text(vec!["Started."]),
            said if said.contains("A background task") => Answer::Text(vec!["The answer is forty-two."]),
            said if said.contains("compute it") => Answer::Text(vec!["Found 42."]),
            _ => Answer::Tool("sessions_spawn", json!({ "task": "compute it", "label": "sum" })),
        }
    });
    let gateway = Gateway::with_provider(&provider, json!({}));
    let mut client = gateway.client();
    client
        .request("chat.send", json!({ "sessionKey": MAIN, "message": "find out", "idempotencyKey": "s1" }))
        .expect("started");
    assert_eq!(client.chat_end("s1")["state"], "final");
    let announced = client.event("chat", |it| {
        it["sessionKey"] == MAIN && it["state"] == "final" && it["message"].to_string().contains("forty-two")
    });
    assert_ne!(announced["runId"], "s1");
    let child = provider.requests().into_iter().find(|it| {
        it["messages"].to_string().contains("compute it") && it["messages"].to_string().contains("Subagent Context")
    });
    let child = child.expect("the sub-agent's turn");
    let names: Vec<&str> =
        child["tools"].as_array().expect("tools").iter().filter_map(|it| it["function"]["name"].as_str()).collect();
    assert!(names.contains(&"exec") && !names.contains(&"sessions_spawn") && !names.contains(&"gateway"), "{names:?}");
    let trigger = provider
        .requests()
        .into_iter()
        .map(|it| it["messages"].to_string())
        .find(|it| it.contains("A background task"));
    let trigger = trigger.expect("the announcement");
    assert!(
        trigger.contains("A background task \\\"sum\\\" just completed successfully.")
            || trigger.contains("just completed successfully"),
        "{trigger}"
    );
    assert!(trigger.contains("Found 42.") && trigger.contains("Stats: runtime "), "{trigger}");
    let file = gateway.home.state_dir().join("subagents/runs.json");
    eventually("it is written down as done", || {
        std::fs::read_to_string(&file).unwrap_or_default().contains("\"cleanupHandled\": true")
    });
    let sessions = client.request("sessions.list", json!({ "spawnedBy": MAIN })).expect("sessions");
    assert_eq!(sessions["count"], 1, "{sessions}");
}

#[test]
fn subagents_spawn_nobody_and_only_whom_they_may() {
    let gateway = Gateway::start(json!({ "agents": { "list": [{ "id": "main", "default": true }, { "id": "ops" }] } }));
    let mut client = gateway.client();
    let other = call(&mut client, "sessions_spawn", &json!({ "task": "x", "agentId": "ops" }));
    assert_eq!(
        other["details"],
        json!({ "status": "forbidden", "error": "agentId is not allowed for sessions_spawn (allowed: none)" })
    );
    let level = call(&mut client, "sessions_spawn", &json!({ "task": "x", "thinking": "wild" }));
    assert!(
        level["details"]["error"]
            .as_str()
            .is_some_and(|it| it.starts_with("Invalid thinking level \"wild\". Use one of: off")),
        "{level}"
    );
    let nested = call_in(&mut client, "agent:main:subagent:x", "sessions_spawn", &json!({ "task": "x" }));
    assert!(text(&nested).starts_with("Tool sessions_spawn not found"), "{nested}");
}

#[test]
fn the_gateway_is_managed_from_within() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.client();
    let job = json!({
        "name": "remind", "schedule": { "kind": "every", "everyMs": 3_600_000 }, "sessionTarget": "main",
        "wakeMode": "next-heartbeat", "payload": { "kind": "systemEvent", "text": "Stretch." },
    });
    let added = call(&mut client, "cron", &json!({ "action": "add", "job": job, "contextMessages": 3 }));
    let id = added["details"]["id"].as_str().unwrap_or_else(|| panic!("{added}")).to_owned();
    assert_eq!(added["details"]["agentId"], "main");
    let told = added["details"]["payload"]["text"].as_str().expect("text");
    assert!(told.starts_with("Stretch.\n\nRecent context:\n- User: "), "{told}");
    let listed = call(&mut client, "cron", &json!({ "action": "list" }));
    assert!(text(&listed).contains(&id), "{listed}");
    let run = call(&mut client, "cron", &json!({ "action": "run", "id": id }));
    assert_eq!(run["details"]["reason"], "not-due", "{run}");
    assert_eq!(call(&mut client, "cron", &json!({ "action": "remove", "jobId": id }))["details"]["removed"], true);
    let missing = call(&mut client, "cron", &json!({ "action": "remove" }));
    assert_eq!(error(&missing), "jobId required (id accepted for backward compatibility)");
    let woken = call(&mut client, "cron", &json!({ "action": "wake", "text": "look" }));
    assert_eq!(woken["details"], json!({ "ok": true }));
    let config = call(&mut client, "gateway", &json!({ "action": "config.get" }));
    assert_eq!(config["details"]["ok"], true);
    assert!(config["details"]["result"]["hash"].is_string(), "{config}");
    let restart = call(&mut client, "gateway", &json!({ "action": "restart" }));
    assert_eq!(error(&restart), "Gateway restart is disabled. Set commands.restart=true to enable.");
    let nodes = call(&mut client, "nodes", &json!({ "action": "status" }));
    assert_eq!(nodes["details"]["nodes"], json!([]));
    let run = call(&mut client, "nodes", &json!({ "action": "run", "node": "x", "command": ["ls"] }));
    assert!(error(&run).contains("requires a paired companion app or node host (no nodes available)"), "{run}");
    let canvas = call(&mut client, "canvas", &json!({ "action": "hide" }));
    assert_eq!(error(&canvas), "node required");
    let message = call(&mut client, "message", &json!({ "action": "send", "target": "+1555", "message": "hi" }));
    assert!(error(&message).len() > 10, "{message}");
    let speech = call(&mut client, "tts", &json!({ "text": "hi" }));
    assert!(speech["details"]["error"].is_string() || text(&speech).contains("MEDIA:"), "{speech}");
}

#[test]
fn the_web_is_reached_but_nothing_inside() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.client();
    for url in [
        format!("http://127.0.0.1:{}/", gateway.port),
        format!("http://localhost:{}/", gateway.port),
        format!("http://[::ffff:127.0.0.1]:{}/", gateway.port),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "http://0x7f.1/".to_owned(),
    ] {
        let refused = error(&call(&mut client, "web_fetch", &json!({ "url": url })));
        assert!(refused.starts_with("Blocked: ") || refused.starts_with("Web fetch failed: "), "{url}: {refused}");
        assert!(!refused.contains("<html"), "{refused}");
    }
    let file = call(&mut client, "web_fetch", &json!({ "url": "file:///etc/passwd" }));
    assert_eq!(error(&file), "Invalid URL: must be http or https");
    let search = call(&mut client, "web_search", &json!({ "query": "x" }));
    assert_eq!(search["details"]["error"], "missing_brave_api_key");
    let image = call(&mut client, "image", &json!({ "image": "http://127.0.0.1/x.png" }));
    assert!(error(&image).starts_with("Blocked: "), "{image}");
}

#[test]
fn a_search_is_asked_once_and_its_key_is_shown_nowhere() {
    let provider = Provider::always(Answer::Json(json!({
        "choices": [{ "message": { "content": "Because of Rayleigh." } }], "citations": ["https://example.com/sky"],
    })));
    let config = json!({ "tools": { "web": { "search": { "provider": "perplexity", "perplexity": {
        "apiKey": "pplx-secret", "baseUrl": provider.url(),
    } } } } });
    let gateway = Gateway::start(config);
    let mut client = gateway.client();
    let found = call(&mut client, "web_search", &json!({ "query": "Why is the sky blue" }));
    assert_eq!(found["details"]["content"], "Because of Rayleigh.", "{found}");
    let again = call(&mut client, "web_search", &json!({ "query": "why is the sky BLUE" }));
    assert_eq!(again["details"]["cached"], true, "{again}");
    let requests = provider.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0]["messages"], json!([{ "role": "user", "content": "Why is the sky blue" }]));
    assert!(!format!("{found}{again}").contains("pplx-secret"));
}

#[test]
fn notes_are_found_and_read() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.client();
    call(&mut client, "write", &json!({ "path": "MEMORY.md", "content": "# Me\nLikes tea.\n" }));
    call(
        &mut client,
        "write",
        &json!({ "path": "memory/2026-01-02.md", "content": "Met Ada.\nAda's birthday is in May.\n" }),
    );
    let found = call(&mut client, "memory_search", &json!({ "query": "birthday of Ada" }));
    let first = &found["details"]["results"][0];
    assert_eq!((&first["path"], &first["startLine"]), (&json!("memory/2026-01-02.md"), &json!(1)), "{found}");
    let line = call(&mut client, "memory_get", &json!({ "path": "memory/2026-01-02.md", "from": 2, "lines": 1 }));
    assert_eq!(line["details"]["text"], "Ada's birthday is in May.");
    let outside = call(&mut client, "memory_get", &json!({ "path": "memory/../../.clawdbot/clawdbot.json" }));
    assert!(outside["details"]["error"].is_string() && outside["details"]["text"] == "", "{outside}");
}

#[test]
fn commands_run_on_a_node_under_both_policies() {
    let gateway = Gateway::start(json!({ "tools": { "exec": { "host": "node", "security": "full", "ask": "off" } } }));
    let mut client = gateway.client();
    let nobody = call(&mut client, "exec", &json!({ "command": "echo x" }));
    assert!(error(&nobody).starts_with("exec host=node requires a paired node (none available)."), "{nobody}");
    let node = NodeHost::open(&gateway);
    let ran = call(&mut client, "exec", &json!({ "command": "echo there-$((40+2))", "env": { "A": "b" } }));
    assert_eq!((text(&ran).as_str(), &ran["details"]["status"]), ("there-42", &json!("completed")));
    let words = json!({ "action": "run", "node": "build-box", "command": ["echo", "by words"] });
    let ran = call(&mut client, "nodes", &words);
    assert_eq!(ran["details"]["stdout"], "by words\n", "{ran}");
    let described = call(&mut client, "nodes", &json!({ "action": "describe", "node": node.id() }));
    assert_eq!(described["details"]["displayName"], "Build Box");

    // The model's own wish to be asked: a person decides, and the node tells how it ended.
    let pending = call(&mut client, "exec", &json!({ "command": "echo asked-$((40+2))", "ask": "always" }));
    let id = pending["details"]["approvalId"].as_str().expect("an id").to_owned();
    assert_eq!(pending["details"]["host"], "node");
    client.event("exec.approval.requested", |it| it["id"] == id.as_str());
    client.request("exec.approval.resolve", json!({ "id": id, "decision": "allow-once" })).expect("resolved");
    let seen = told(&mut client, "the result arrives");
    assert!(seen.contains("Exec finished (node=") && seen.contains("asked-42"), "{seen}");
    let other = call(&mut client, "exec", &json!({ "command": "true", "node": "no-such" }));
    assert!(error(&other).starts_with("unknown node: no-such"), "{other}");
}
