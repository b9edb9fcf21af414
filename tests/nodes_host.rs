//! The headless node host and the commands for nodes: real processes on both sides.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::client::{Client, Device, connect_params};
use crate::support::gateway::{Gateway, free_port};
use crate::support::home::{Home, Ran};
use crate::support::node_host::{NodeHost, invoke, post_invoke};
use crate::support::{PATIENCE, TOKEN};

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

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited for: {what}");
        std::thread::yield_now();
    }
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
    wait_until("the whole group is gone", || !is_running(&grandchild));

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
    wait_until("all of them run", || begun(&pids) == 16);
    let refused = message(run(&mut operator, &host, json!({"command": ["true"]})));
    assert!(refused.starts_with("node is busy: 16 commands are running"), "{refused}");
    let text = std::fs::read_to_string(&pids).expect("pids");
    let first = text.lines().next().expect("a pid");
    // SAFETY: the process was started for this test alone.
    unsafe { libc::kill(first.parse().expect("a number"), libc::SIGKILL) };
    wait_until("one has room", || run(&mut operator, &host, json!({"command": ["true"]})).is_ok());
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
    wait_until("the session hears of it", || {
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
    wait_until("the command that went on is told of", || {
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

/// A `systemctl` that writes down what it is told, and knows one unit.
fn with_systemctl(home: &Home, script: &str) -> String {
    use std::os::unix::fs::PermissionsExt as _;
    let bin = home.path().join("fake-bin");
    std::fs::create_dir_all(&bin).expect("directory");
    let file = bin.join("systemctl");
    std::fs::write(&file, format!("#!/bin/sh\necho \"$*\" >> \"$HOME/systemctl.log\"\n{script}\n")).expect("script");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).expect("mode");
    format!("{}:/usr/bin:/bin", bin.display())
}

fn with_path(home: &Home, path: &str, args: &[&str]) -> Ran {
    let mut command = home.command(args);
    command.env("PATH", path);
    Ran::of(command)
}

#[test]
fn the_service_is_installed_asked_and_removed() {
    let home = Home::with_config(&json!({}));
    let unit = home.path().join(".config/systemd/user/clawdbot-node.service");
    let script = format!(
        "case \"$2\" in is-enabled) test -e {unit} ;; show) printf 'ActiveState=active\\nSubState=running\\nMainPID=7\\n' ;; esac",
        unit = unit.display()
    );
    let path = with_systemctl(&home, &script);
    let cli = |args: &[&str]| with_path(&home, &path, args);
    let absent = cli(&["node", "start"]);
    assert_eq!(absent.code, Some(0), "{absent:?}");
    assert!(absent.stdout.starts_with("Node service disabled.\nStart with: clawdbot node install\n"), "{absent:?}");

    let installed = cli(&["node", "install", "--host", "gw", "--port", "7", "--display-name", "a b", "--json"]).json();
    assert_eq!((&installed["action"], &installed["result"]), (&json!("install"), &json!("installed")));
    assert_eq!(
        installed["service"],
        json!({"label": "systemd", "loaded": true, "loadedText": "enabled", "notLoadedText": "disabled"})
    );
    let text = std::fs::read_to_string(&unit).expect("a unit");
    assert!(text.contains("clawdbot node run --host gw --port 7 --display-name \"a b\"\n"), "{text}");
    assert!(text.contains("Environment=CLAWDBOT_SERVICE_KIND=node\n"), "{text}");
    let log = std::fs::read_to_string(home.path().join("systemctl.log")).expect("a log");
    let wanted = "--user daemon-reload\n--user enable clawdbot-node.service\n--user restart clawdbot-node.service\n";
    assert!(log.contains(wanted), "{log}");

    let again = cli(&["node", "install"]);
    assert!(
        again.stdout.contains("Node service already enabled.\nReinstall with: clawdbot node install --force"),
        "{again:?}"
    );
    let status = cli(&["node", "status", "--json"]).json();
    assert_eq!(
        status["service"]["runtime"],
        json!({"status": "running", "state": "active", "subState": "running", "pid": 7})
    );
    assert_eq!(status.pointer("/service/command/programArguments/2"), Some(&json!("run")));
    let human = cli(&["node", "status"]);
    assert!(
        human.stdout.contains("Service: systemd (enabled)\n") && human.stdout.contains("Runtime: running (pid 7, "),
        "{human:?}"
    );
    for (verb, said) in [("restart", "Restarted"), ("stop", "Stopped")] {
        let ran = cli(&["node", verb]);
        assert_eq!(
            (ran.code, ran.stdout.trim()),
            (Some(0), format!("{said} systemd service: clawdbot-node.service").as_str())
        );
    }
    let removed = cli(&["node", "uninstall"]);
    assert!(removed.stdout.starts_with("Removed systemd service: ") && !unit.exists(), "{removed:?}");
}

#[test]
fn without_systemd_the_service_says_what_to_do() {
    let home = Home::with_config(&json!({}));
    let path = with_systemctl(&home, "echo 'Failed to connect to bus: No medium found' >&2; exit 1");
    let ran = with_path(&home, &path, &["node", "install"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let wanted =
        "Node service check failed: Error: systemctl --user unavailable: Failed to connect to bus: No medium found";
    assert!(ran.stderr.starts_with(wanted) && ran.stderr.contains("`clawdbot node run`"), "{ran:?}");
    let json = with_path(&home, &path, &["node", "stop", "--json"]);
    assert_eq!(json.code, Some(1));
    let answer: Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!((&answer["action"], &answer["ok"], &answer["error"]), (&json!("stop"), &json!(false), &json!(wanted)));
    let status = with_path(&home, &path, &["node", "status"]);
    assert_eq!(status.code, Some(0), "{status:?}");
    assert!(
        status.stdout.contains("Service: systemd (disabled)\nRuntime: unknown (Error: systemctl --user unavailable:"),
        "{status:?}"
    );
    let bad = home.run(&["node", "install", "--port", "0"]);
    assert_eq!((bad.code, bad.stderr.trim()), (Some(1), "Invalid port"));
}

#[test]
fn commands_for_nodes() {
    let gateway = Gateway::start(json!({}));
    let host = NodeHost::open(&gateway);
    let ok = |args: &[&str]| {
        let ran = gateway.cli(args);
        assert_eq!(ran.code, Some(0), "{args:?}: {ran:?}");
        ran.stdout
    };
    let status = ok(&["nodes", "status"]);
    assert!(status.starts_with("Known: 1 · Paired: 1 · Connected: 1\n") && status.contains("Build Box"), "{status}");
    let json = gateway.cli(&["nodes", "status", "--connected", "--json"]).json();
    assert_eq!(json["nodes"][0]["nodeId"], json!(host.id()));
    assert!(ok(&["nodes", "list"]).starts_with("Pending: 0 · Paired: "));
    assert_eq!(ok(&["nodes", "pending"]).trim(), "No pending pairing requests.");
    let described = ok(&["nodes", "describe", "--node", "build-box"]);
    assert!(described.contains("Commands\n- system.execApprovals.get\n"), "{described}");
    let invoked = gateway
        .cli(&[
            "nodes",
            "invoke",
            "--node",
            &host.id()[..8],
            "--command",
            "system.which",
            "--params",
            "{\"bins\":[\"sh\"]}",
        ])
        .json();
    assert!(invoked["payload"]["bins"]["sh"].is_string(), "{invoked}");
    for (args, words) in [
        (
            &["nodes", "describe", "--node", "nobody"][..],
            "nodes describe failed: Error: unknown node: nobody (known: Build Box)",
        ),
        (&["nodes", "approve", "x"], "nodes approve failed: Error: unknown requestId"),
        (&["nodes", "status", "--last-connected", "soon"], "Invalid --last-connected: invalid duration: soon"),
        (&["nodes", "run", "--node", "build box"], "nodes run failed: Error: command required"),
        (&["nodes", "run", "--", "ls"], "nodes run failed: Error: node required (set --node or tools.exec.node)"),
        (&["nodes", "notify", "--node", "build box"], "nodes notify failed: Error: missing --title or --body"),
        (&["nodes", "describe"], "error: required option '--node <idOrNameOrIp>' not specified"),
    ] {
        let ran = gateway.cli(args);
        assert_eq!(ran.code, Some(1), "{args:?}: {ran:?}");
        assert!(ran.stderr.contains(words), "{args:?}: {ran:?}");
    }
}

#[test]
fn nodes_run_asks_where_the_policy_says_so() {
    let gateway = Gateway::start(json!({}));
    let host = NodeHost::with_policy(&gateway, &json!({"version": 1}));
    let mut approver = gateway.client();
    let mut decide = |decision: &str, line: &str| {
        let mut command = gateway.home.command(&["nodes", "run", "--node", "build box", "--raw", line]);
        command.env("CLAWDBOT_GATEWAY_PORT", gateway.port.to_string()).env("CLAWDBOT_GATEWAY_TOKEN", TOKEN);
        let running = std::thread::spawn(move || Ran::of(command));
        let asked = approver.event("exec.approval.requested", |_| true);
        assert_eq!((&asked["request"]["command"], &asked["request"]["host"]), (&json!(line), &json!("node")));
        approver.request("exec.approval.resolve", json!({"id": asked["id"], "decision": decision})).expect("resolved");
        running.join().expect("the command ends")
    };
    let allowed = decide("allow-once", "echo hi; echo no >&2; exit 4");
    assert_eq!((allowed.code, allowed.stdout.as_str()), (Some(1), "hi"), "{allowed:?}");
    assert_eq!(allowed.stderr, "no\nrun exit 4");
    let denied = decide("deny", "echo hi");
    assert_eq!((denied.code, denied.stdout.as_str()), (Some(1), ""), "{denied:?}");
    assert!(denied.stderr.contains("nodes run failed: Error: exec denied: user denied"), "{denied:?}");
    drop(host);
}

#[test]
fn media_of_a_phone_become_files() {
    let gateway = Gateway::start(json!({}));
    let mut params = connect_params();
    params["role"] = "node".into();
    params["scopes"] = json!([]);
    params["client"] =
        json!({"id": "clawdbot-ios", "displayName": "Phone", "version": "1", "platform": "ios 18", "mode": "node"});
    params["caps"] = json!(["camera"]);
    params["commands"] = json!(["camera.snap", "camera.list", "location.get", "canvas.eval", "canvas.hide"]);
    let mut phone = Client::connect_device(gateway.port, &Device::of(11), params);
    let id = Device::of(11).id();
    let mut ask = |args: &[&str], answer: Value| {
        let mut command = gateway.home.command(args);
        command.env("CLAWDBOT_GATEWAY_PORT", gateway.port.to_string()).env("CLAWDBOT_GATEWAY_TOKEN", TOKEN);
        let running = std::thread::spawn(move || Ran::of(command));
        let request = phone.event("node.invoke.request", |_| true);
        let result = json!({"id": request["id"], "nodeId": id, "ok": true, "payloadJSON": answer.to_string()});
        phone.request("node.invoke.result", result).expect("taken");
        (request, running.join().expect("the command ends"))
    };
    let picture = json!({"format": "jpg", "base64": "aGVsbG8=", "width": 2, "height": 1});
    let (request, ran) = ask(
        &["nodes", "camera", "snap", "--node", "phone", "--facing", "front", "--max-width", "9", "--json"],
        picture.clone(),
    );
    let params: Value = serde_json::from_str(request["paramsJSON"].as_str().expect("text")).expect("JSON");
    assert_eq!(params, json!({"facing": "front", "maxWidth": 9, "format": "jpg"}));
    assert_eq!(request["timeoutMs"], 20_000);
    let file = &ran.json()["files"][0];
    assert_eq!((&file["facing"], &file["width"]), (&json!("front"), &json!(2)));
    let path = Path::new(file["path"].as_str().expect("a path"));
    assert!(
        path.starts_with(gateway.home.path().join("tmp")) && path.extension().is_some_and(|it| it == "jpg"),
        "{file}"
    );
    assert_eq!(std::fs::read(path).expect("a file"), b"hello");
    let (_, ran) = ask(&["nodes", "camera", "snap", "--node", "phone", "--facing", "back"], picture);
    assert!(ran.stdout.starts_with("MEDIA:~/tmp/clawdbot-camera-snap-back-"), "{ran:?}");
    let (_, ran) = ask(
        &["nodes", "camera", "snap", "--node", "phone", "--facing", "back"],
        json!({"format": "../x", "base64": "aGk="}),
    );
    assert!(ran.stderr.contains("nodes camera snap failed: Error: invalid camera.snap payload"), "{ran:?}");
    let (_, ran) =
        ask(&["nodes", "location", "get", "--node", "phone"], json!({"lat": 1.5, "lon": -2, "accuracyMeters": 4}));
    assert_eq!(ran.stdout, "1.5,-2 ±4.0m");
    let (request, ran) = ask(&["nodes", "canvas", "hide", "--node", "phone"], json!({}));
    assert_eq!((&request["paramsJSON"], ran.stdout.as_str()), (&Value::Null, "canvas hide ok"));
    let (_, ran) = ask(&["nodes", "canvas", "eval", "--node", "phone", "document.title"], json!({"result": "Clock"}));
    assert_eq!(ran.stdout, "Clock");
}
