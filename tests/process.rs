//! The process: how it starts, refuses to start, stops, and what it leaves on disk.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::service::with_systemctl;
use crate::support::client::{Client, Device, connect_params, now_ms};
use crate::support::gateway::{Gateway, free_port};
use crate::support::home::{Home, Ran};
use crate::support::provider::{Answer, Gate, Provider};
use crate::support::wire;

#[test]
fn signals_stop_it_gracefully() {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let mut gateway = Gateway::start(json!({}));
        let mut client = gateway.client();
        gateway.signal(signal);
        let recording = wire::load("shutdown-sigterm");
        let shutdown = client.wait("shutdown", |frame| frame["event"] == "shutdown");
        let found = wire::differences(&recording.received[0], &shutdown, gateway.home.path(), &[]);
        assert!(found.is_empty(), "{found:?}");
        assert_eq!(Some(client.wait_close()), recording.close);
        let ended = gateway.wait_end();
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
}

#[test]
fn a_run_in_flight_does_not_hold_up_the_stop() {
    let gate = Gate::default();
    let provider = Provider::always(Answer::Hang(gate.clone()));
    let mut gateway = Gateway::with_provider(&provider, json!({}));
    let mut client = gateway.client();
    let params = json!({ "sessionKey": "main", "message": "hello", "idempotencyKey": "r1" });
    client.request("chat.send", params).unwrap();
    provider.wait_requests(1);
    assert_eq!(gateway.stop().code, Some(0));
    gate.open();
}

#[test]
fn a_port_in_use() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let home = Home::with_config(&json!({}));
    let ended = Gateway::run_to_end(&home, port, &[]);
    assert_eq!(ended.code, Some(1));
    let wanted =
        format!("Gateway failed to start: another gateway instance is already listening on ws://127.0.0.1:{port}");
    assert!(ended.stderr.contains(&wanted), "{}", ended.stderr);
    assert!(ended.stderr.contains(&format!("Port {port} is already in use.")), "{}", ended.stderr);
}

/// `ld-linux-x86-64.so.2 ./clawdbot gateway`, as on systems whose loader is not where programs look for it.
#[test]
fn a_loader_that_is_called_by_hand_runs_it() {
    let loaders = ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"];
    let Some(loader) = loaders.into_iter().find(|it| std::path::Path::new(it).exists()) else {
        return crate::support::skipped("a start by the loader: none here");
    };
    let mut home = Home::with_config(&json!({}));
    let program = home.program.clone();
    let unit = home.path().join(".config/systemd/user/clawdbot-gateway.service");
    let path = with_systemctl(&home, &unit.display().to_string());
    let wrapper = home.path().join("by-loader");
    std::fs::write(&wrapper, format!("#!/bin/sh\nexec {loader} '{}' \"$@\"\n", program.display())).unwrap();
    std::fs::set_permissions(&wrapper, std::fs::Permissions::from_mode(0o755)).unwrap();
    home.program = wrapper;

    let mut command = home.command(&["gateway", "install", "--json"]);
    command.env("PATH", &path);
    assert_eq!(Ran::of(command).json()["result"], "installed");
    let text = std::fs::read_to_string(&unit).expect("a unit");
    let program = program.canonicalize().unwrap();
    assert!(text.contains(&format!("ExecStart={} ", program.display())), "{text}");

    let mut gateway = Gateway::start_in(home, &[], &[]);
    assert_eq!(gateway.client().request("health", json!({})).expect("health")["ok"], true);
    let environment = std::fs::read(format!("/proc/{}/environ", gateway.pid())).expect("its environment");
    assert!(!String::from_utf8_lossy(&environment).contains("GLIBC_TUNABLES"), "it goes on as it was started");
    assert_eq!(gateway.stop().code, Some(0));
}

#[test]
fn one_gateway_per_configuration() {
    let mut gateway = Gateway::start(json!({}));
    let ended = Gateway::run_to_end(&gateway.home, free_port(), &[]);
    assert_eq!(ended.code, Some(1));
    let wanted = format!("gateway already running (pid {})", gateway.pid());
    assert!(ended.stderr.contains(&wanted), "{}", ended.stderr);
    assert_eq!(gateway.client().request("health", json!({})).unwrap()["ok"], true);
    assert_eq!(gateway.stop().code, Some(0));
}

#[test]
fn the_lock_of_a_killed_gateway_is_taken_over() {
    let home = Gateway::start(json!({})).kill();
    let gateway = Gateway::start_in(home, &[], &[]);
    assert_eq!(gateway.client().request("health", json!({})).unwrap()["ok"], true);
}

#[test]
fn configurations_it_does_not_start_with() {
    let path = |home: &Home| home.config_file().display().to_string();
    for (name, config, words) in [
        ("not JSON", "{ gateway: ", &["onfig"][..]),
        ("unknown key", r#"{ "gateway": { "mode": "local", "prot": 1 } }"#, &["gateway", "prot"][..]),
        ("wrong type", r#"{ "gateway": { "mode": "local", "port": "many" } }"#, &["gateway.port"][..]),
        (
            "no token",
            r#"{ "gateway": { "mode": "local", "auth": { "mode": "token" } } }"#,
            &["no token is configured"][..],
        ),
        (
            "open to all",
            r#"{ "gateway": { "mode": "local", "bind": "lan" } }"#,
            &["Refusing to bind gateway to lan without auth."][..],
        ),
    ] {
        let home = Home::empty();
        home.write_config(config);
        let ended = Gateway::run_to_end(&home, free_port(), &[]);
        assert_eq!(ended.code, Some(1), "{name}: {ended:?}");
        for word in words {
            assert!(ended.stderr.contains(word), "{name}: no {word:?} in {}", ended.stderr);
        }
        assert_eq!(std::fs::read_to_string(path(&home)).unwrap(), config, "{name}: the file is left alone");
    }
}

#[test]
fn the_mode_gate() {
    let port = free_port().to_string();
    let home = Home::empty();
    let ran = home.run(&["gateway", "--port", &port]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("Missing config. Run `clawdbot setup` or set gateway.mode=local"), "{}", ran.stderr);
    home.write_config("{}");
    let ran = home.run(&["gateway", "--port", &port]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("Gateway start blocked: set gateway.mode=local (current: unset)"), "{}", ran.stderr);
}

#[test]
fn the_log_is_json_lines_without_secrets() {
    let mut gateway = Gateway::start(json!({ "logging": { "level": "debug" } }));
    let mut client = gateway.client();
    client.request("health", json!({})).unwrap();
    let mut bad = Client::open(gateway.port, &[]);
    bad.challenge();
    let mut params = connect_params();
    params["auth"]["token"] = "sk-verysecretverysecret1234567890".into();
    bad.request("connect", params).unwrap_err();
    assert_eq!(gateway.stop().code, Some(0));
    let text = std::fs::read_to_string(gateway.home.log_file()).expect("a log file");
    assert!(!text.contains("verysecretverysecret"), "a token is in the log");
    for line in text.lines() {
        let entry: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(entry["time"].is_string() && entry["_meta"]["logLevelName"].is_string(), "{line}");
    }
    assert!(text.contains("listening on ws://127.0.0.1:"), "{text}");
    assert!(text.contains("shutting down"), "{text}");
}

#[test]
fn what_only_the_owner_may_read() {
    let gateway = Gateway::start(json!({}));
    let mut client = Client::open(gateway.port, &[]);
    let nonce = client.challenge();
    let mut params = connect_params();
    params["device"] = Device::of(6).sign(&params, now_ms(), Some(&nonce));
    client.request("connect", params).expect("paired");
    let paired = gateway.home.state_dir().join("devices/paired.json");
    let mode = std::fs::metadata(&paired).expect("paired.json").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let all: Value = serde_json::from_str(&std::fs::read_to_string(&paired).unwrap()).unwrap();
    assert!(all[Device::of(6).id()]["tokens"]["operator"]["token"].is_string(), "{all}");
}
