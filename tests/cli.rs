//! The commands an operator and their scripts use, with their exit codes.

use serde_json::{Value, json};

use crate::support::gateway::{Gateway, free_port};
use crate::support::home::Home;

#[test]
fn commands_that_ask_a_running_gateway() {
    let gateway = Gateway::start(json!({}));
    let health = gateway.cli(&["health", "--json"]).json();
    assert_eq!((&health["ok"], &health["defaultAgentId"]), (&json!(true), &json!("main")));
    let human = gateway.cli(&["health"]);
    assert_eq!(human.code, Some(0), "{human:?}");
    assert!(human.stdout.contains("main (default)"), "{}", human.stdout);

    let status = gateway.cli(&["status", "--json"]).json();
    assert_eq!(status["gateway"]["reachable"], true, "{status}");
    assert_eq!(status["sessions"]["count"], 0);

    let called = gateway.cli(&["gateway", "call", "health", "--json"]).json();
    assert_eq!(called["ok"], true);
    let with_params =
        gateway.cli(&["gateway", "call", "agent.wait", "--params", r#"{"runId":"x","timeoutMs":1}"#, "--json"]);
    assert_eq!(with_params.json()["status"], "timeout");
    let human = gateway.cli(&["gateway", "call", "health"]);
    assert!(human.stdout.starts_with("Gateway call: health"), "{human:?}");

    let logs = gateway.cli(&["logs", "--json", "--limit", "3"]);
    assert_eq!(logs.code, Some(0), "{logs:?}");
    let lines: Vec<Value> = logs.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines[0]["type"], "meta");
    assert!(lines[1..].iter().all(|line| line["type"] == "log" && line["message"].is_string()), "{lines:?}");
}

#[test]
fn calls_that_fail() {
    let gateway = Gateway::start(json!({}));
    for (args, words) in [
        (&["gateway", "call", "no.such"][..], "unknown method: no.such"),
        (&["gateway", "call", "health", "--params", "{"][..], "Gateway call failed:"),
        (&["agent", "--message", "hi"][..], "Pass --to <E.164>, --session-id, or --agent to choose a session"),
        (&["agent", "--agent", "main"][..], "--message"),
        (&["agent", "--agent", "ghost", "--message", "hi"][..], "Unknown agent id \"ghost\""),
    ] {
        let ran = gateway.cli(args);
        assert_eq!(ran.code, Some(1), "{args:?}: {ran:?}");
        assert!(ran.stderr.contains(words), "{args:?}: {ran:?}");
    }
    // A home of its own: one that was let in before holds a device token, which is sent in place of the flag's.
    let wrong = Home::empty().run(&["gateway", "call", "health", "--token", "wrong", "--url", &gateway.url()]);
    assert_eq!(wrong.code, Some(1), "{wrong:?}");
    assert!(wrong.stderr.contains("unauthorized: gateway token mismatch"), "{wrong:?}");
}

#[test]
fn without_a_gateway() {
    let home = Home::with_config(&json!({ "gateway": { "port": free_port() } }));
    for args in [&["health"][..], &["health", "--json"], &["gateway", "call", "health"], &["logs"]] {
        let ran = home.run(args);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{args:?}: {ran:?}");
        assert!(!ran.stderr.is_empty());
    }
    let status = home.run(&["status", "--json"]).json();
    assert_eq!(status["gateway"]["reachable"], false);
    // The lean build has none.
    if status["memoryPlugin"]["reason"] != "not built in" {
        assert_eq!(
            (&status["memoryPlugin"]["enabled"], &status["memory"]["files"]),
            (&json!(true), &json!(0)),
            "{status}"
        );
    }
    // What is worst comes first, with what to do.
    std::fs::set_permissions(home.config_file(), std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let human = home.run(&["status"]).stdout;
    let audit = human.split("Security audit\n").nth(1).expect("an audit");
    let lines: Vec<&str> = audit.lines().collect();
    assert!(lines[0].starts_with("Summary: 1 critical") && lines[1].starts_with("  CRITICAL "), "{human}");
    assert!(lines[3].starts_with("    Fix: chmod 600 "), "{human}");
    for row in ["│ Tailscale ", "│ Memory ", "skipped (use --deep)", "sessions 0 · default main active unknown"] {
        assert!(human.contains(row), "{row}: {human}");
    }
}

#[test]
fn agent_waits_for_the_answer() {
    let gateway = Gateway::start(json!({}));
    let ran = gateway.cli(&["agent", "--agent", "main", "--message", "hello from a shell"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("You said: hello from a shell"), "{ran:?}");
    let json = gateway.cli(&["agent", "--agent", "main", "--message", "again", "--json"]).json();
    assert_eq!(json["status"], "ok");
    assert!(json["result"]["payloads"][0]["text"].as_str().is_some_and(|text| text.contains("again")), "{json}");
}

#[test]
fn config_get_set_unset() {
    let home = Home::with_config(&json!({}));
    let ok = |args: &[&str]| {
        let ran = home.run(args);
        assert_eq!(ran.code, Some(0), "{args:?}: {ran:?}");
        ran.stdout.trim().to_owned()
    };
    assert_eq!(ok(&["config", "get", "gateway.mode"]), "local");
    assert!(ok(&["config", "set", "gateway.port", "19555"]).contains("Updated gateway.port."));
    assert_eq!(ok(&["config", "get", "gateway.port"]), "19555");
    let file: Value = serde_json::from_str(&std::fs::read_to_string(home.config_file()).unwrap()).unwrap();
    assert_eq!((&file["gateway"]["port"], &file["gateway"]["auth"]["token"]), (&json!(19555), &json!("tok")));
    assert!(ok(&["config", "unset", "gateway.port"]).contains("Removed gateway.port."));
    let ran = home.run(&["config", "get", "gateway.port"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("Config path not found: gateway.port"), "{ran:?}");

    let before = std::fs::read_to_string(home.config_file()).unwrap();
    let bad = home.run(&["config", "set", "gateway.port", "many"]);
    assert_eq!(bad.code, Some(1), "{bad:?}");
    assert!(bad.stderr.contains("Config validation failed: gateway.port"), "{bad:?}");
    assert_eq!(std::fs::read_to_string(home.config_file()).unwrap(), before, "the file is left alone");
}

#[test]
fn setup_makes_a_home_that_works() {
    let home = Home::empty();
    let ran = home.run(&["setup"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("Wrote ") && ran.stdout.contains("Workspace OK: "), "{ran:?}");
    assert!(home.path().join("clawd/AGENTS.md").is_file());
    let again = home.run(&["setup"]);
    assert!(again.stdout.contains("Config OK: "), "{again:?}");
}

#[test]
fn version_help_and_mistakes() {
    let home = Home::empty();
    for args in [&["--version"][..], &["-V"], &["gateway", "--version"]] {
        let ran = home.run(args);
        assert_eq!((ran.code, ran.stdout.trim()), (Some(0), "2026.1.24"), "{args:?}: {ran:?}");
    }
    let help = home.run(&["--help"]);
    assert_eq!(help.code, Some(0));
    assert!(help.stdout.contains("gateway") && help.stdout.contains("status"), "{help:?}");
    for (args, code, words) in [
        (&["frobnicate"][..], 1, "unknown command 'frobnicate'"),
        (&["gateway", "call", "health", "--frob"][..], 1, "unknown option '--frob'"),
        (&["--dev", "--profile", "x", "status"][..], 2, "Cannot combine --dev with --profile"),
        (&["--profile", "a/b", "status"][..], 2, "Invalid --profile"),
    ] {
        let ran = home.run(args);
        assert_eq!(ran.code, Some(code), "{args:?}: {ran:?}");
        assert!(ran.stderr.contains(words), "{args:?}: {ran:?}");
    }
}

#[test]
fn a_command_that_needs_more_scopes_than_the_last_one_works_at_once() {
    let gateway = Gateway::start(json!({}));
    // Probes pair with one scope and keep that token; what comes next asks for more.
    assert_eq!(gateway.cli(&["status", "--json"]).json()["gateway"]["reachable"], true);
    for args in
        [&["health", "--json"][..], &["devices", "list", "--json"], &["status", "--json"], &["health", "--json"]]
    {
        gateway.cli(args).json();
    }
}
