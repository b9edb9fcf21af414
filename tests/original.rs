//! The original's own command line against this gateway. Runs where `CLAWDBOT_ORIGINAL` says how to start it
//! (`node …/dist/entry.js`); it takes a second or two per command.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::TOKEN;
use crate::support::gateway::Gateway;

struct Original<'a> {
    words: Vec<String>,
    gateway: &'a Gateway,
}

impl Original<'_> {
    fn run(&self, args: &[&str]) -> String {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).args(args).env_clear().current_dir(self.gateway.home.path());
        command.env("HOME", self.gateway.home.path()).env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("CLAWDBOT_GATEWAY_PORT", self.gateway.port.to_string()).env("CLAWDBOT_GATEWAY_TOKEN", TOKEN);
        let output = command.output().expect("the original starts");
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{args:?}: {}\n{stdout}\n{stderr}", output.status);
        stdout.into_owned()
    }

    fn json(&self, args: &[&str]) -> Value {
        let text = self.run(args);
        // `gateway call` says first what it calls.
        let start = text.find(['{', '[']).unwrap_or_else(|| panic!("{args:?} printed no JSON: {text}"));
        serde_json::from_str(&text[start..]).unwrap_or_else(|error| panic!("{args:?}: {error}\n{text}"))
    }
}

#[test]
fn its_commands_work_here() {
    let Ok(program) = std::env::var("CLAWDBOT_ORIGINAL") else {
        eprintln!("skipped: CLAWDBOT_ORIGINAL does not say how to run the original");
        return;
    };
    let gateway = Gateway::start(json!({}));
    let original = Original { words: program.split_whitespace().map(str::to_owned).collect(), gateway: &gateway };

    assert_eq!(original.json(&["health", "--json"])["ok"], true);
    let status = original.json(&["status", "--json"]);
    assert_eq!(status["gateway"]["reachable"], true, "{status}");
    assert_eq!(original.json(&["gateway", "call", "status"])["heartbeat"]["defaultAgentId"], "main");
    let presence = original.json(&["system", "presence", "--json"]);
    assert!(presence.as_array().is_some_and(|rows| rows.iter().any(|row| row["mode"] == "gateway")), "{presence}");

    let said = original.run(&["agent", "--message", "hello from afar", "--session-id", "s1"]);
    assert!(said.contains("You said: hello from afar"), "{said}");
    let call = "!tool exec {\"command\": \"echo from-the-shell\"}";
    let answer = original.json(&["agent", "--message", call, "--session-id", "s1", "--json"]);
    let text = answer["result"]["payloads"][0]["text"].as_str().unwrap_or_default();
    assert!(text.contains("from-the-shell"), "{answer}");
    let sessions = original.json(&["sessions", "--json"]);
    assert_eq!(sessions["sessions"][0]["sessionId"], "s1", "{sessions}");

    let words = original.json(&["gateway", "call", "voicewake.set", "--params", r#"{"triggers":["hey"]}"#]);
    assert_eq!(words, json!({ "triggers": ["hey"] }));
    assert_eq!(original.json(&["gateway", "call", "tts.status"])["provider"], "edge");
    let wizard = original.json(&["gateway", "call", "wizard.start"]);
    assert_eq!(wizard["step"]["title"], "Clawdbot onboarding", "{wizard}");

    let logs = original.run(&["logs", "--limit", "50"]);
    assert!(logs.contains("listening on ws://"), "{logs}");
}
