//! Commands on a node: `system.run` through the gateway, under this machine's rules and then the node's own.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::approval::Question;
use super::settings::Settings;
use crate::agent::tools::arguments::Arguments;
use crate::agent::tools::nodes::{listed, pick};
use crate::agent::tools::{ToolContext, ToolResult};
use crate::approvals::allowlist::{Allowed, CommandLine, Surroundings, evaluate};
use crate::approvals::file::PolicyFile;
use crate::approvals::policy::{Ask, Decision, Denial, Security};
use crate::base::rng::uuid;

/// Least time that a node gets, and what it gets beyond the command's own.
const TIMEOUT_MIN: Duration = Duration::from_secs(10);
const SLACK: Duration = Duration::from_secs(5);

/// Runs a command on a node, or has a person asked first.
///
/// # Errors
/// Why it did not run, or how it failed.
pub(super) fn run(
    cx: &ToolContext<'_>,
    args: &Arguments<'_>,
    settings: &Settings,
    script: &str,
    env: &[(String, String)],
    timeout: Option<Duration>,
) -> Result<ToolResult, String> {
    let policy = cx.toolbox.exec_policy.load_complete(&**cx.rng).map_err(|error| format!("exec denied: {error}"))?;
    let strictness = policy.strictness(Some(cx.agent.as_str()), settings.security, settings.ask);
    if strictness.security == Security::Deny {
        return Err("exec denied: host=node security=deny".to_owned());
    }
    let node = choose(cx, settings.node.as_deref(), args.text("node"))?;
    let node_id = node["nodeId"].as_str().unwrap_or_default().to_owned();
    let cwd = args.text("workdir").map(str::to_owned);
    let is_windows = node["platform"].as_str().is_some_and(|platform| platform.to_lowercase().starts_with("win"));
    let words = if is_windows { ["cmd.exe", "/d", "/s", "/c"].as_slice() } else { ["/bin/sh", "-lc"].as_slice() };
    let words: Vec<&str> = words.iter().copied().chain([script]).collect();
    let env: serde_json::Map<String, Value> =
        env.iter().map(|(name, text)| (name.clone(), text.as_str().into())).collect();
    let mut params = json!({
        "command": words, "rawCommand": script, "agentId": cx.agent.as_str(), "sessionKey": cx.session.as_str(),
    });
    if let Some(cwd) = &cwd {
        params["cwd"] = cwd.as_str().into();
    }
    if !env.is_empty() {
        params["env"] = Value::Object(env);
    }
    if let Some(timeout) = timeout {
        params["timeoutMs"] = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX).into();
    }
    let within = timeout.unwrap_or(Duration::from_secs(1800)).saturating_add(SLACK).max(TIMEOUT_MIN);
    let invoke =
        json!({"nodeId": node_id, "command": "system.run", "params": params, "idempotencyKey": uuid(&**cx.rng)});
    let is_miss = strictness.security == Security::Allowlist && !is_listed(cx, &node_id, script, cwd.as_deref());
    if strictness.ask == Ask::Always || (strictness.ask == Ask::OnMiss && is_miss) {
        let question = Question::new(cx, "node", script, cwd.map(Into::into).as_ref(), strictness);
        let pending = question.pending();
        let invoke = with_timeout(invoke, within);
        cx.toolbox.processes.thread(move |stop| {
            let denied = |why: &str| {
                question.tell(&format!("Exec denied (node={node_id} id={}, {why}): {}", question.id, question.command));
            };
            let decision = match question.ask(stop) {
                Ok(decision) => decision,
                Err(_) => return denied("approval-request-failed"),
            };
            // What the allowlist means is the node's to say.
            match question.strictness.answered(decision, true) {
                Ok(()) => {}
                Err(Denial::UserDenied) => return denied("user-denied"),
                Err(_) => return denied("approval-timeout"),
            }
            let mut invoke = invoke;
            invoke["params"]["runId"] = question.id.as_str().into();
            if decision.is_some() || question.strictness.fallback == Security::Full {
                let decision = decision.unwrap_or(Decision::AllowOnce);
                invoke["params"]["approved"] = true.into();
                invoke["params"]["approvalDecision"] = decision.as_str().into();
            }
            // How it ends is told by the node itself.
            if question.host.call("node.invoke", invoke, within, stop).is_err() {
                denied("invoke-failed");
            }
        })?;
        return Ok(pending);
    }
    let answer = cx.host.call("node.invoke", with_timeout(invoke, within), within, cx.cancel)?;
    let payload = &answer["payload"];
    let text = |name: &str| payload[name].as_str().unwrap_or_default();
    let output = ["stdout", "stderr", "error"].map(text);
    let all: Vec<&str> = output.into_iter().filter(|text| !text.is_empty()).collect();
    let aggregated = all.join("\n");
    let details = json!({
        "status": if payload["success"] == true { "completed" } else { "failed" },
        "exitCode": payload["exitCode"], "durationMs": payload["durationMs"], "aggregated": aggregated, "cwd": payload["cwd"],
    });
    let aggregated = aggregated.trim();
    Ok(ToolResult::text(if aggregated.is_empty() { "(no output)" } else { aggregated }, Some(details)))
}

/// The gateway's own limit of the call is the node's as well.
fn with_timeout(mut invoke: Value, within: Duration) -> Value {
    invoke["timeoutMs"] = u64::try_from(within.as_millis()).unwrap_or(u64::MAX).into();
    invoke
}

fn choose(cx: &ToolContext<'_>, bound: Option<&str>, asked: Option<&str>) -> Result<Value, String> {
    if let (Some(bound), Some(asked)) = (bound, asked)
        && bound != asked
    {
        return Err(format!("exec node not allowed (bound to {bound})"));
    }
    let nodes = listed(cx)?;
    if nodes.is_empty() {
        return Err(
            "exec host=node requires a paired node (none available). This requires a companion app or node host."
                .to_owned(),
        );
    }
    let node = match bound.or(asked) {
        Some(query) => pick(&nodes, query)?,
        None => {
            let connected: Vec<&Value> = nodes.iter().filter(|node| node["connected"] == true).collect();
            let [node] = connected[..] else {
                return Err(
                    "exec host=node requires a node id when multiple nodes are available (set tools.exec.node or \
                            exec.node)."
                        .to_owned(),
                );
            };
            node
        }
    };
    let commands = node["commands"].as_array().into_iter().flatten();
    if !commands.into_iter().any(|command| command == "system.run") {
        return Err("exec host=node requires a node that supports system.run (companion app or node host).".to_owned());
    }
    Ok(node.clone())
}

/// Looks whether the node's allowlist covers a command, as far as that can be told from here: programs are looked for on
/// this machine. The node looks again by itself.
fn is_listed(cx: &ToolContext<'_>, node_id: &str, script: &str, cwd: Option<&str>) -> bool {
    let Ok(answer) = cx.call("exec.approvals.node.get", json!({"nodeId": node_id})) else { return false };
    let Ok(file) = PolicyFile::parse(&answer["file"].to_string()) else { return false };
    let none = BTreeSet::new();
    let allowlist = file.allowlist(Some(cx.agent.as_str()));
    let allowed = Allowed { allowlist: &allowlist, safe_bins: &none, skill_bins: &none };
    let search_path = std::env::var("PATH").unwrap_or_default();
    let cwd = cwd.map_or_else(|| cx.workspace.to_owned(), Into::into);
    let at = Surroundings { cwd: &cwd, home: &cx.paths.home, search_path: &search_path, variables: &[] };
    evaluate(CommandLine::Shell(script), &at, &allowed).is_allowed()
}
