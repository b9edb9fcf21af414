//! The headless node host: what it runs, what it refuses, and how it stays connected; real processes on both sides.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::gateway::{Gateway, free_port};
use crate::support::home::Home;
use crate::support::node_host::{NodeHost, invoke, post_invoke};
use crate::support::{PATIENCE, eventually};

fn run(operator: &mut Client, host: &NodeHost, params: Value) -> Result<Value, Value> {
    invoke(operator, &host.id(), "system.run", params)
}

fn message(answer: Result<Value, Value>) -> String {
    answer.expect_err("a refusal")["message"].as_str().expect("a message").to_owned()
}

/// Whether a process is there and no zombie.
fn is_running(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

#[test]
fn a_host_joins_and_runs_commands() {
    let gateway = Gateway::start(json!({}));
    let host = NodeHost::open(&gateway);
    let mut operator = gateway.client();
    let node = operator.request("node.describe", json!({"nodeId": host.id()})).expect("known");
    assert_eq!(
        (&node["displayName"], &node["connected"], &node["paired"]),
        (&json!("Build Box"), &json!(true), &json!(true))
    );
    assert_eq!(node["caps"], json!(["system"]));
    let commands = ["system.execApprovals.get", "system.execApprovals.set", "system.run", "system.which"];
    assert_eq!(node["commands"], json!(commands));
    assert!(node["pathEnv"].as_str().is_some_and(|path| path.contains("/bin")), "{node}");

    let found = invoke(&mut operator, &host.id(), "system.which", json!({"bins": ["sh", "no-such", "../sh"]})).unwrap();
    assert_eq!(found["bins"].as_object().map(|bins| bins.keys().collect::<Vec<_>>()), Some(vec![&"sh".to_owned()]));

    let script = "pwd; echo \"$GIVEN $NODE_OPTIONS$CLAWDBOT_GATEWAY_TOKEN\"; echo wrong >&2; exit 3";
    let env = json!({"GIVEN": "yes", "NODE_OPTIONS": "--require=x"});
    let params = json!({"command": ["/bin/sh", "-c", script], "cwd": "/usr", "env": env});
    let done = run(&mut operator, &host, params).unwrap();
    let expected = json!({
        "exitCode": 3, "timedOut": false, "success": false, "stdout": "/usr\nyes \n", "stderr": "wrong\n", "error": null,
    });
    assert_eq!(done, expected);

    for (params, error) in [
        (json!({"command": ["no-such-program"]}), "spawn no-such-program ENOENT"),
        (json!({"command": ["/etc/passwd"]}), "spawn /etc/passwd EACCES"),
        (json!({"command": ["ls"], "cwd": "/no/such"}), "working directory /no/such does not exist"),
    ] {
        let done = run(&mut operator, &host, params).unwrap();
        assert_eq!((&done["error"], &done["success"]), (&json!(error), &json!(false)));
        assert_eq!(done.get("exitCode"), None);
    }
    for (command, params, words) in [
        ("system.run", json!({"command": []}), "command required"),
        ("system.run", json!({"command": ["ls"], "cwd": 5}), "INVALID_REQUEST"),
        ("system.which", json!({}), "INVALID_REQUEST: bins required"),
    ] {
        let text = message(invoke(&mut operator, &host.id(), command, params));
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn time_and_output_have_limits() {
    let gateway = Gateway::start(json!({}));
    let host = NodeHost::open(&gateway);
    let mut operator = gateway.client();
    let script = "sleep 300 & echo $!; echo begun >&2; wait";
    let done = run(&mut operator, &host, json!({"command": ["/bin/sh", "-c", script], "timeoutMs": 500})).unwrap();
    assert_eq!(
        (&done["timedOut"], &done["success"], &done["stderr"]),
        (&json!(true), &json!(false), &json!("begun\n"))
    );
    let grandchild = done["stdout"].as_str().expect("a pid").to_owned();
    eventually("the whole group is gone", || !is_running(&grandchild));

    let done =
        run(&mut operator, &host, json!({"command": ["/bin/sh", "-c", "yes | head -c 1000000; echo end"]})).unwrap();
    let stdout = done["stdout"].as_str().expect("text");
    assert!(stdout.starts_with("y\ny\n") && stdout.ends_with("\n... (truncated)"), "{} bytes", stdout.len());
    assert_eq!((stdout.len(), &done["exitCode"]), (200_000 + "\n... (truncated)".len(), &json!(0)));

    // A grandchild that holds the pipes open does not hold up the answer.
    let start = Instant::now();
    let done = run(&mut operator, &host, json!({"command": ["/bin/sh", "-c", "sleep 60 & echo $!"]})).unwrap();
    assert!(start.elapsed() < Duration::from_secs(30), "{done}");
    let pid = done["stdout"].as_str().expect("a pid").trim().parse::<i32>().expect("a number");
    // SAFETY: the process was started for this test alone.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

#[test]
fn a_stuck_command_delays_no_other_and_there_is_a_bound() {
    let gateway = Gateway::start(json!({}));
    let mut host = NodeHost::open(&gateway);
    let mut operator = gateway.client();
    let pids = host.home.path().join("pids");
    let script = format!("echo $$ >> {}; exec sleep 300", pids.display());
    for number in 0..16 {
        post_invoke(
            &mut operator,
            &host.id(),
            "system.run",
            json!({"command": ["/bin/sh", "-c", script], "runId": number.to_string()}),
        );
    }
    let begun = |path: &Path| std::fs::read_to_string(path).unwrap_or_default().lines().count();
    eventually("all of them run", || begun(&pids) == 16);
    let refused = message(run(&mut operator, &host, json!({"command": ["true"]})));
    assert!(refused.starts_with("node is busy: 16 commands are running"), "{refused}");
    let text = std::fs::read_to_string(&pids).expect("pids");
    let first = text.lines().next().expect("a pid");
    // SAFETY: the process was started for this test alone.
    unsafe { libc::kill(first.parse().expect("a number"), libc::SIGKILL) };
    eventually("one has room", || run(&mut operator, &host, json!({"command": ["true"]})).is_ok());
    assert_eq!(host.stop(), Some(0));
    assert!(text.lines().all(|pid| !is_running(pid)), "a stop ends what it runs");
}

#[test]
fn the_policy_decides() {
    let gateway = Gateway::start(json!({}));
    let allowlist = json!([{"pattern": "/**/printf"}]);
    let policy = json!({"version": 1, "agents": {"main": {"security": "allowlist", "ask": "off", "allowlist": allowlist}, "shy": {"security": "deny"}}});
    let host = NodeHost::with_policy(&gateway, &policy);
    let mut operator = gateway.client();
    let ok = run(&mut operator, &host, json!({"command": ["printf", "hi"], "agentId": "main"})).unwrap();
    assert_eq!(ok["stdout"], "hi");
    let shell = |line: &str| json!({"command": ["/bin/sh", "-lc", line], "rawCommand": line, "agentId": "main"});
    assert_eq!(run(&mut operator, &host, shell("printf a | printf b")).unwrap()["stdout"], "b");
    for (params, text) in [
        (json!({"command": ["id"], "agentId": "main"}), "SYSTEM_RUN_DENIED: allowlist miss"),
        (shell("printf $(id)"), "SYSTEM_RUN_DENIED: allowlist miss"),
        // What is said to run is not what would run.
        (
            json!({"command": ["/bin/sh", "-lc", "id"], "rawCommand": "printf x", "agentId": "main"}),
            "SYSTEM_RUN_DENIED: allowlist miss",
        ),
        (
            json!({"command": ["printf", "x"], "agentId": "main", "env": {"PATH": "/tmp:/bin", "HOME": "/tmp"}}),
            "SYSTEM_RUN_DENIED: allowlist miss",
        ),
        (json!({"command": ["printf", "x"], "agentId": "shy", "approved": true}), "SYSTEM_RUN_DISABLED: security=deny"),
        // Nothing is said of this one: the default asks, and nobody was asked.
        (json!({"command": ["id"], "agentId": "other"}), "SYSTEM_RUN_DENIED: approval required"),
        (
            json!({"command": ["printf", "x"], "agentId": "main", "needsScreenRecording": true}),
            "PERMISSION_MISSING: screenRecording",
        ),
    ] {
        assert_eq!(message(run(&mut operator, &host, params.clone())), text, "{params}");
    }
    let once = json!({"command": ["id"], "agentId": "other", "approved": true, "approvalDecision": "allow-once"});
    assert_eq!(run(&mut operator, &host, once).unwrap()["exitCode"], 0);
    assert!(run(&mut operator, &host, json!({"command": ["id"], "agentId": "other"})).is_err());
    let always = json!({"command": ["id"], "agentId": "other", "approvalDecision": "allow-always"});
    assert_eq!(run(&mut operator, &host, always).unwrap()["exitCode"], 0);
    assert_eq!(run(&mut operator, &host, json!({"command": ["id"], "agentId": "other"})).unwrap()["exitCode"], 0);
}

#[test]
fn the_policy_file_is_read_and_written_from_afar() {
    let gateway = Gateway::start(json!({}));
    let host = NodeHost::open(&gateway);
    let mut operator = gateway.client();
    let node = host.id();
    let shown = operator.request("exec.approvals.node.get", json!({"nodeId": node})).expect("shown");
    assert_eq!(shown["file"]["defaults"]["security"], "full");
    assert_eq!(shown.pointer("/file/socket/token"), None, "secrets stay there");
    let file = json!({"version": 1, "defaults": {"security": "deny"}});
    let set = |operator: &mut Client, hash: Option<&Value>| {
        let mut params = json!({"nodeId": node, "file": file});
        if let Some(hash) = hash {
            params["baseHash"] = hash.clone();
        }
        operator.request("exec.approvals.node.set", params)
    };
    assert!(message(set(&mut operator, None)).contains("exec approvals base hash required; reload and retry"));
    assert!(message(set(&mut operator, Some(&json!("00")))).contains("exec approvals changed; reload and retry"));
    let changed = set(&mut operator, Some(&shown["hash"])).expect("replaced");
    assert_eq!(changed["file"]["defaults"], json!({"security": "deny"}));
    assert_eq!(message(run(&mut operator, &host, json!({"command": ["true"]}))), "SYSTEM_RUN_DISABLED: security=deny");
    let unknown = operator.request("exec.approvals.node.get", json!({"nodeId": "nobody"}));
    assert_eq!(message(unknown), "node not connected");
}

#[test]
fn the_gateway_hears_how_commands_end() {
    let gateway = Gateway::start(json!({}));
    let host = NodeHost::open(&gateway);
    let mut operator = gateway.client();
    run(&mut operator, &host, json!({"command": ["printf", "some words"], "sessionKey": "main", "runId": "r1"}))
        .unwrap();
    eventually("the session hears of it", || {
        let status = operator.request("status", json!({})).expect("status");
        status["queuedSystemEvents"].to_string().contains("some words") || {
            let history = operator.request("chat.history", json!({"sessionKey": "main"})).expect("history");
            history.to_string().contains("some words")
        }
    });
}

#[test]
fn it_comes_back_when_the_gateway_does() {
    let mut gateway = Gateway::start(json!({}));
    let port = gateway.port;
    let mut host = NodeHost::open(&gateway);
    let mut operator = gateway.client();
    let marker = host.home.path().join("go-on");
    let script = format!("while [ ! -e {} ]; do sleep 0.05; done; echo survived", marker.display());
    post_invoke(
        &mut operator,
        &host.id(),
        "system.run",
        json!({"command": ["/bin/sh", "-c", script], "sessionKey": "main"}),
    );
    // The answer to a later request says that the earlier one has begun.
    run(&mut operator, &host, json!({"command": ["true"]})).unwrap();
    assert_eq!(gateway.stop().code, Some(0));
    host.wait_said("node host gateway closed (1012)", 1);
    let gateway = Gateway::start_on(port, gateway.kill());
    host.wait_connected(2);
    let mut operator = gateway.client();
    assert_eq!(run(&mut operator, &host, json!({"command": ["printf", "x"]})).unwrap()["stdout"], "x");
    std::fs::write(marker, "").expect("marker");
    eventually("the command that went on is told of", || {
        let status = operator.request("status", json!({})).expect("status");
        let history = operator.request("chat.history", json!({"sessionKey": "main"})).expect("history");
        format!("{status}{history}").contains("survived")
    });
    assert_eq!(host.stop(), Some(0));
}

#[test]
fn without_a_gateway_it_says_so_and_stops_when_told() {
    let mut host = NodeHost::start(Home::with_config(&json!({})), free_port(), &[]);
    host.wait_said("node host gateway connect failed", 2);
    assert_eq!(host.stop(), Some(0));

    let gateway = Gateway::start(json!({}));
    let home = Home::empty();
    let mut refused = NodeHost::start(home, gateway.port, &["--tls-fingerprint", "aa"]);
    refused.wait_said("node host gateway connect failed", 1);
    assert_eq!(refused.stop(), Some(0));
}

#[test]
fn it_keeps_who_it_is() {
    let gateway = Gateway::start(json!({}));
    let mut host = NodeHost::open(&gateway);
    let read = |host: &NodeHost| -> Value {
        serde_json::from_str(&std::fs::read_to_string(host.home.state_dir().join("node.json")).unwrap()).unwrap()
    };
    let first = read(&host);
    assert_eq!(
        (&first["version"], &first["displayName"], &first["gateway"]["port"]),
        (&json!(1), &json!("Build Box"), &json!(gateway.port))
    );
    assert_eq!(host.stop(), Some(0));
    let status = host.home.run(&["node", "status", "--json"]).json();
    assert_eq!(status["node"]["nodeId"], first["nodeId"]);
    assert_eq!(status["service"]["loaded"], false);
}

/// Accepts one node on a listening socket and greets it.
fn accept_node(listener: &std::net::TcpListener, tick_interval_ms: u64) -> tungstenite::WebSocket<std::net::TcpStream> {
    let (stream, _) = listener.accept().expect("a node");
    stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
    let mut socket = tungstenite::accept(stream).expect("upgrade");
    let say = |socket: &mut tungstenite::WebSocket<_>, frame: Value| {
        socket.send(tungstenite::Message::text(frame.to_string())).expect("sent");
    };
    say(&mut socket, json!({"type": "event", "event": "connect.challenge", "payload": {"nonce": "n"}}));
    let request: Value = serde_json::from_str(socket.read().expect("connect").to_text().expect("text")).expect("JSON");
    assert_eq!((&request["method"], &request["params"]["role"]), (&json!("connect"), &json!("node")));
    let hello = json!({"type": "hello-ok", "policy": {"tickIntervalMs": tick_interval_ms}});
    say(&mut socket, json!({"type": "res", "id": request["id"], "ok": true, "payload": hello}));
    socket
}

#[test]
fn a_gateway_that_goes_quiet_is_left_for_a_new_connection() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let mut host = NodeHost::start(Home::with_config(&json!({})), port, &[]);
    let mut quiet = accept_node(&listener, 200);
    let close = loop {
        match quiet.read().expect("a close frame") {
            tungstenite::Message::Close(frame) => break frame.expect("a reason"),
            _ => continue,
        }
    };
    assert_eq!((u16::from(close.code), close.reason.as_str()), (4000, "tick timeout"));
    let _again = accept_node(&listener, 60_000);
    host.wait_connected(2);
    assert_eq!(host.stop(), Some(0));
}
