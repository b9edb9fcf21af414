//! The commands `node …` for the service of a node host, and `nodes …` for the nodes of a gateway.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::TOKEN;
use crate::support::client::{Client, Device, connect_params};
use crate::support::gateway::Gateway;
use crate::support::home::{Home, Ran};
use crate::support::node_host::NodeHost;

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
