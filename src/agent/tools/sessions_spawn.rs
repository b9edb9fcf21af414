//! `sessions_spawn`: a sub-agent with a task of its own, whose result is announced to the session that asked.

use std::time::Duration;

use serde_json::json;

use super::agents_list::{allowed, setting};
use super::arguments::Arguments;
use super::{Tool, ToolContext, ToolResult, always};
use crate::agent::{levels, session};
use crate::base::ids::{AgentId, SessionKey};
use crate::base::rng::uuid;
use crate::base::route::Route;
use crate::base::text::collapse_whitespace;

pub(super) const TOOL: Tool = Tool {
    name: "sessions_spawn",
    description: "Start a sub-agent on a task in a session of its own. Returns at once; its result is announced here when it \
                  is done.",
    parameters: &[
        ("task", "string*", "What it is to do, with all it needs to know"),
        ("label", "string", "Short name of the task"),
        ("agentId", "string", "Which agent, from agents_list; default this one"),
        ("model", "string", "Model of the sub-agent"),
        ("thinking", "string", "Thinking level of the sub-agent"),
        ("runTimeoutSeconds", "number", "Its limit; 0 means the usual one"),
        ("timeoutSeconds", "number", "Older name of runTimeoutSeconds"),
        ("cleanup", "delete|keep", "Whether its session is removed afterwards, default keep"),
    ],
    is_local: false,
    is_wanted: always,
    run,
};

/// A sub-agent that is to be started.
#[derive(Debug, Clone)]
pub struct Subagent {
    /// Its agent.
    pub agent: AgentId,
    /// Its session.
    pub session: SessionKey,
    /// The session that asks.
    pub requester: SessionKey,
    /// The channel that the requester's message came by.
    pub requester_channel: String,
    /// Where that one's replies go.
    pub requester_route: Option<Route>,
    /// What it is to do.
    pub task: String,
    /// Short name of that.
    pub label: Option<String>,
    /// Its brief.
    pub system_prompt: String,
    /// Its thinking level.
    pub thinking: Option<String>,
    /// Its limit.
    pub timeout: Option<Duration>,
    /// Whether its session is removed after its end.
    pub is_deleted_after: bool,
}

fn run(cx: &ToolContext<'_>, args: &Arguments<'_>) -> Result<ToolResult, String> {
    let task = args.required("task")?;
    let forbidden = |error: String| Ok(ToolResult::json(json!({"status": "forbidden", "error": error})));
    if session::is_subagent(cx.session) {
        return forbidden("sessions_spawn is not allowed from sub-agent sessions".to_owned());
    }
    let agent = args.text("agentId").map_or_else(|| cx.agent.clone(), session::normalize_agent_id);
    if agent != *cx.agent {
        let allowed = allowed(cx.config, cx.agent);
        if !allowed.covers(&agent) {
            let names = match allowed {
                super::agents_list::Allowed::These(ids) if !ids.is_empty() => {
                    ids.iter().map(AgentId::as_str).collect::<Vec<_>>().join(", ")
                }
                _ => "none".to_owned(),
            };
            return forbidden(format!("agentId is not allowed for sessions_spawn (allowed: {names})"));
        }
        if !session::agent_ids(cx.config).contains(&agent) {
            return Ok(ToolResult::json(json!({"status": "error", "error": format!("unknown agent: {agent}")})));
        }
    }
    let mut thinking = None;
    if let Some(given) = args.text("thinking") {
        let Some(level) = levels::thinking(given) else {
            let error = format!("Invalid thinking level \"{given}\". Use one of: {}", levels::THINKING.join(", "));
            return Ok(ToolResult::json(json!({"status": "error", "error": error})));
        };
        thinking = Some(level.to_owned());
    }
    let child = SessionKey::new(format!("agent:{agent}:subagent:{}", uuid(&**cx.rng)));
    let (applied, warning) = choose_model(cx, args, &agent, &child);
    let seconds = args.number("runTimeoutSeconds").filter(|seconds| *seconds >= 1.0);
    let label = args.text("label").map(str::to_owned);
    let subagent = Subagent {
        system_prompt: brief(cx, task, label.as_deref(), &child),
        agent,
        session: child.clone(),
        requester: cx.session.clone(),
        requester_channel: cx.channel.to_owned(),
        requester_route: cx.route.cloned(),
        task: task.to_owned(),
        label,
        thinking,
        timeout: seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
        is_deleted_after: args.text("cleanup") == Some("delete"),
    };
    Ok(ToolResult::json(match cx.host.spawn(subagent) {
        Ok(run) => {
            let mut answer = json!({"status": "accepted", "childSessionKey": child.as_str(), "runId": run});
            if let Some(applied) = applied {
                answer["modelApplied"] = applied.into();
            }
            if let Some(warning) = warning {
                answer["warning"] = warning.into();
            }
            answer
        }
        Err(error) => json!({"status": "error", "error": error, "childSessionKey": child.as_str()}),
    }))
}

/// Gives the child its model: the wanted one, else the agent's for sub-agents, else the general one; returns whether it
/// was taken, and what there is to say about it.
fn choose_model(
    cx: &ToolContext<'_>,
    args: &Arguments<'_>,
    agent: &AgentId,
    child: &SessionKey,
) -> (Option<bool>, Option<String>) {
    let of = |value: &serde_json::Value| value.as_str().or_else(|| value["primary"].as_str()).map(str::to_owned);
    let configured = || {
        let general = cx.config.tree.pointer("/agents/defaults/subagents/model");
        setting(cx.config, agent, "model").and_then(of).or_else(|| general.and_then(of))
    };
    let Some(wanted) = args.text("model").map(str::to_owned).or_else(configured) else { return (None, None) };
    match cx.call("sessions.patch", json!({"key": child.as_str(), "model": wanted})) {
        Ok(_) => (Some(true), None),
        Err(error) => (Some(false), Some(error)),
    }
}

/// Returns what the sub-agent is told about itself.
fn brief(cx: &ToolContext<'_>, task: &str, label: Option<&str>, child: &SessionKey) -> String {
    let label = label.map(|label| format!("- Label: {label}\n")).unwrap_or_default();
    format!(
        "# Subagent Context\nYou are a sub-agent: another agent started you for one task.\n## Your Role\n- Your task: {}\n\
         - Do it and nothing else; it is all that you are here for.\n- You are not the agent that talks to the user.\n\
         ## Rules\n1. Stay with the task: no side work, no heartbeats, nothing on your own initiative.\n\
         2. Your last message is reported to the agent that started you: say what you did or found, and what it must know. \
         Keep it short.\n3. Talk to nobody else: no message tool unless the task says so, no cron jobs.\n\
         4. You may be stopped when the task is done.\n## Session Context\n{label}- Requester session: {}\n\
         - Requester channel: {}\n- Your session: {child}",
        collapse_whitespace(task),
        cx.session,
        cx.channel,
    )
}
