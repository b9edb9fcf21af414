//! `nodes run`: a command on a node, within its policy, and after somebody was asked where that says so.
//!
//! The question goes to the gateway before the command does; the node hears the answer with the command and judges
//! again by its own file.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Calls, nodes_command, outcome, text};
use crate::agent::session::default_agent;
use crate::approvals::file::PolicyFile;
use crate::approvals::policy::{Ask, Decision, Security};
use crate::base::text::unless_blank;
use crate::cli::exit::{Failure, Outcome};
use crate::cli::{Cli, Command, output};

/// How long a person may take to answer.
const APPROVAL_WAIT_MS: u64 = 120_000;
/// How much longer the gateway may take to say so.
const APPROVAL_GRACE_MS: u64 = 10_000;

nodes_command! {
    /// run a command on a node; options of the command go after --
    pub(in super::super) struct Run: 35_000 {
        /// command and its arguments
        #[argh(positional, arg_name = "command")]
        command: Vec<String>,
        /// node: id, name or address (default: tools.exec.node)
        #[argh(option, arg_name = "idOrNameOrIp")]
        node: Option<String>,
        /// working directory on the node
        #[argh(option, arg_name = "path")]
        cwd: Option<String>,
        /// variable for the command; may be given several times
        #[argh(option, arg_name = "key=val")]
        env: Vec<String>,
        /// command line for the node's shell, in place of a command
        #[argh(option, arg_name = "command")]
        raw: Option<String>,
        /// agent whose policy counts (default: the default agent)
        #[argh(option, arg_name = "id")]
        agent: Option<String>,
        /// ask more than the configuration does: off, on-miss or always
        #[argh(option, arg_name = "mode")]
        ask: Option<String>,
        /// allow less than the configuration does: deny, allowlist or full
        #[argh(option, arg_name = "mode")]
        security: Option<String>,
        /// how long the command may take in milliseconds
        #[argh(option, arg_name = "ms")]
        command_timeout: Option<u64>,
        /// only where the node may record its screen
        #[argh(switch)]
        needs_screen_recording: bool,
        /// how long the node may take in milliseconds (default 30000)
        #[argh(option, arg_name = "ms", default = "30_000")]
        invoke_timeout: u64,
    }
}

impl Command for Run {
    fn run(self, cli: &Cli) -> Outcome {
        match self.invoke(cli) {
            Ok(answer) if self.json => {
                output::json(&answer);
                Ok(())
            }
            Ok(answer) => show(&answer["payload"]),
            Err(message) => outcome("run", Err(message)),
        }
    }
}

impl Run {
    fn invoke(&self, cli: &Cli) -> Result<Value, String> {
        let calls = self.calls(cli);
        let agent = given(self.agent.as_deref()).unwrap_or_else(|| default_agent(cli.config()).to_string());
        let settings = Settings::of(cli, &agent);
        let raw = given(self.raw.as_deref());
        match (&raw, self.command.is_empty()) {
            (Some(_), false) => return Err("use --raw or argv, not both".to_owned()),
            (None, true) => return Err("command required".to_owned()),
            _ => {}
        }
        let node = given(self.node.as_deref()).or_else(|| settings.node.clone());
        let node = node.ok_or("node required (set --node or tools.exec.node)")?;
        let (node_id, node) = calls.node(&node)?;
        let argv = match &raw {
            Some(raw) => shell_command(raw, text(&node, "platform")),
            None => self.command.clone(),
        };
        let shown = raw.clone().unwrap_or_else(|| argv.join(" "));
        let decision = self.approval(&calls, &node_id, &agent, &settings, &shown)?;
        let mut params = json!({
            "command": argv, "cwd": self.cwd, "env": self.environment(&settings), "timeoutMs": self.command_timeout,
            "needsScreenRecording": self.needs_screen_recording, "agentId": agent, "rawCommand": raw,
            "approvalDecision": decision.map(Decision::as_str),
        });
        params = super::without_nulls(params);
        params["approved"] = decision.is_some().into();
        calls.invoke_id(&node_id, "system.run", params, Some(self.invoke_timeout), None)
    }

    /// Returns what was decided, nothing when the node is to judge alone.
    fn approval(
        &self,
        calls: &Calls<'_>,
        node_id: &str,
        agent: &str,
        settings: &Settings,
        command: &str,
    ) -> Result<Option<Decision>, String> {
        let security = match self.security.as_deref().map(|text| Security::parse(&text.trim().to_lowercase())) {
            None => settings.security,
            Some(Some(asked)) => settings.security.min(asked),
            Some(None) => return Err("invalid --security (use deny|allowlist|full)".to_owned()),
        };
        let ask = match self.ask.as_deref().map(|text| Ask::parse(&text.trim().to_lowercase())) {
            None => settings.ask,
            Some(Some(asked)) => settings.ask.max(asked),
            Some(None) => return Err("invalid --ask (use off|on-miss|always)".to_owned()),
        };
        let snapshot = calls.call("exec.approvals.node.get", json!({"nodeId": node_id}))?;
        if !snapshot["file"].is_object() {
            return Err("exec approvals unavailable".to_owned());
        }
        let file = PolicyFile::parse(&snapshot["file"].to_string());
        let file = file.map_err(|error| format!("exec approvals unavailable: {error}"))?;
        let strictness = file.strictness(Some(agent), security, ask);
        if strictness.security == Security::Deny {
            return Err("exec denied: host=node security=deny".to_owned());
        }
        if strictness.ask == Ask::Off {
            return Ok(None);
        }
        // compat: only the node can tell whether its allowlist covers the command, so `on-miss` asks each time.
        let asked = super::without_nulls(json!({
            "command": command, "cwd": self.cwd, "host": "node", "security": strictness.security.as_str(),
            "ask": strictness.ask.as_str(), "agentId": agent, "timeoutMs": APPROVAL_WAIT_MS,
        }));
        let wait = Duration::from_millis(APPROVAL_WAIT_MS + APPROVAL_GRACE_MS);
        let answer = calls.waiting_at_least(wait).call("exec.approval.request", asked)?;
        match answer["decision"].as_str().and_then(Decision::parse) {
            Some(Decision::Deny) => Err("exec denied: user denied".to_owned()),
            Some(decision) => Ok(Some(decision)),
            None => match strictness.fallback {
                Security::Full => Ok(Some(Decision::AllowOnce)),
                Security::Allowlist => Ok(None),
                Security::Deny => Err("exec denied: approval required (approval UI not available)".to_owned()),
            },
        }
    }

    /// Returns the variables that were given; `PATH` gets the configured directories in front.
    fn environment(&self, settings: &Settings) -> Option<BTreeMap<String, String>> {
        let pair = |pair: &String| {
            let (key, value) = pair.split_once('=')?;
            let key = key.trim();
            (!key.is_empty()).then(|| (key.to_owned(), value.to_owned()))
        };
        let mut pairs: BTreeMap<String, String> = self.env.iter().filter_map(pair).collect();
        if let Some(path) = pairs.get_mut("PATH").filter(|path| !path.is_empty()) {
            let mut parts: Vec<&str> = Vec::new();
            for part in settings.path_prepend.iter().map(String::as_str).chain(path.split(':').map(str::trim)) {
                if !part.is_empty() && !parts.contains(&part) {
                    parts.push(part);
                }
            }
            *path = parts.join(":");
        }
        (!pairs.is_empty()).then_some(pairs)
    }
}

/// `tools.exec` as it is for one agent.
struct Settings {
    security: Security,
    ask: Ask,
    node: Option<String>,
    path_prepend: Vec<String>,
}

impl Settings {
    fn of(cli: &Cli, agent: &str) -> Self {
        let config = cli.config();
        let all = &config.tools.exec;
        let entry = config.agents.list.iter().find(|entry| entry.id.eq_ignore_ascii_case(agent));
        let own = entry.and_then(|entry| entry.tools.as_ref()).map_or(&Value::Null, |tools| &tools["exec"]);
        let word = |key: &str, all: &Option<String>| given(own[key].as_str()).or_else(|| given(all.as_deref()));
        let own_prepend = own["pathPrepend"].as_array();
        let own_prepend = own_prepend.map(|it| it.iter().filter_map(Value::as_str).map(str::to_owned).collect());
        Self {
            security: word("security", &all.security)
                .as_deref()
                .and_then(Security::parse)
                .unwrap_or(Security::Allowlist),
            ask: word("ask", &all.ask).as_deref().and_then(Ask::parse).unwrap_or(Ask::OnMiss),
            node: word("node", &all.node),
            path_prepend: own_prepend.unwrap_or_else(|| all.path_prepend.clone()),
        }
    }
}

/// Prints what the command printed; its failure is this one's.
fn show(payload: &Value) -> Outcome {
    let empty = Map::new();
    let payload = payload.as_object().unwrap_or(&empty);
    let stream = |name: &str| payload.get(name).and_then(Value::as_str).unwrap_or_default();
    // A closed pipe is no failure of the command.
    let _ = std::io::stdout().lock().write_all(stream("stdout").as_bytes());
    let _ = std::io::stderr().lock().write_all(stream("stderr").as_bytes());
    let is_true = |name: &str| payload.get(name) == Some(&Value::Bool(true));
    if is_true("timedOut") {
        return Err(Failure::text("run timed out"));
    }
    match payload.get("exitCode").and_then(Value::as_i64) {
        Some(code) if code != 0 && !is_true("success") => Err(Failure::text(format!("run exit {code}"))),
        // The program was not found, or a signal ended it; the original takes both for success.
        None if !is_true("success") => {
            let error = payload.get("error").and_then(Value::as_str).unwrap_or("the command did not end by itself");
            Err(Failure::text(format!("run failed: {error}")))
        }
        _ => Ok(()),
    }
}

/// Returns the words that have the node's shell run a command line.
fn shell_command(raw: &str, platform: &str) -> Vec<String> {
    let shell: &[&str] = match platform.trim().to_lowercase().starts_with("win") {
        true => &["cmd.exe", "/d", "/s", "/c"],
        false => &["/bin/sh", "-lc"],
    };
    shell.iter().copied().chain([raw]).map(str::to_owned).collect()
}

fn given(text: Option<&str>) -> Option<String> {
    text.and_then(unless_blank).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_did_not_succeed_fails() {
        let check = |payload: Value, expected: Option<&str>| {
            assert_eq!(show(&payload), expected.map_or(Ok(()), |text| Err(Failure::text(text))), "{payload}");
        };
        check(json!({"exitCode": 0, "success": true}), None);
        check(json!({"exitCode": 3, "success": false}), Some("run exit 3"));
        check(json!({"timedOut": true}), Some("run timed out"));
        check(json!({"success": false, "error": "spawn x ENOENT"}), Some("run failed: spawn x ENOENT"));
    }

    #[test]
    fn shells_by_platform() {
        assert_eq!(shell_command("ls | wc", "linux"), ["/bin/sh", "-lc", "ls | wc"]);
        assert_eq!(shell_command("dir", "Windows"), ["cmd.exe", "/d", "/s", "/c", "dir"]);
    }
}
