//! `cron`: the gateway's jobs, and waking an agent.

use serde_json::{Value, json};

use super::arguments::Arguments;
use super::{Tool, ToolContext, ToolResult, always};
use crate::base::text::{collapse_whitespace, ellipsize};

/// Most messages that a reminder may carry along, and their length in characters, each and together.
const CONTEXT_MESSAGES_MAX: usize = 10;
const CONTEXT_CHARS_MAX: usize = 220;
const CONTEXT_CHARS_ALL_MAX: usize = 700;
/// What comes before them.
const CONTEXT_MARK: &str = "\n\nRecent context:\n";

pub(super) const TOOL: Tool = Tool {
    name: "cron",
    description: "Manage the gateway's cron jobs (status, list, add, update, remove, run, runs) and wake the agent. \
                  contextMessages adds recent messages of this session to the text of a reminder.",
    parameters: &[
        ("action", "status|list|add|update|remove|run|runs|wake*", "What to do"),
        ("gatewayUrl", "string", ""),
        ("gatewayToken", "string", ""),
        ("timeoutMs", "number", ""),
        ("includeDisabled", "boolean", "For list"),
        (
            "job",
            "object",
            "For add: {name, schedule: {kind: at|every|cron, atMs | everyMs | expr, tz?}, sessionTarget: main|isolated, \
             wakeMode: now|next-heartbeat, payload: {kind: systemEvent, text} | {kind: agentTurn, message}}",
        ),
        ("jobId", "string", "The job, for update, remove, run, runs"),
        ("id", "string", "Older name of jobId"),
        ("patch", "object", "For update: the fields to change"),
        ("text", "string", "For wake"),
        ("mode", "now|next-heartbeat", "For wake, default next-heartbeat"),
        ("contextMessages", "number", "For add: messages to carry along, 0 to 10"),
    ],
    is_local: false,
    is_wanted: always,
    run,
};

fn run(cx: &ToolContext<'_>, args: &Arguments<'_>) -> Result<ToolResult, String> {
    let id = || args.text("jobId").ok_or("jobId required (id accepted for backward compatibility)");
    let (method, params) = match args.required("action")? {
        "status" => ("cron.status", json!({})),
        "list" => ("cron.list", json!({"includeDisabled": args.flag("includeDisabled").unwrap_or(false)})),
        "add" => ("cron.add", job(cx, args)?),
        "update" => {
            let id = id()?;
            let patch = args.value("patch").filter(|patch| patch.is_object()).ok_or("patch required")?;
            ("cron.update", json!({"id": id, "patch": patch}))
        }
        "remove" => ("cron.remove", json!({"id": id()?})),
        "run" => ("cron.run", json!({"id": id()?})),
        "runs" => ("cron.runs", json!({"id": id()?})),
        "wake" => {
            let mode = args.text("mode").unwrap_or("next-heartbeat");
            ("wake", json!({"mode": mode, "text": args.required("text")?}))
        }
        other => return Err(format!("Unknown action: {other}")),
    };
    Ok(ToolResult::json(cx.call_for(args, method, params)?))
}

/// Returns the job as it is added: the caller's agent's, with recent messages when they are wanted.
fn job(cx: &ToolContext<'_>, args: &Arguments<'_>) -> Result<Value, String> {
    let mut job = args.value("job").filter(|job| job.is_object()).ok_or("job required")?.clone();
    // Some models wrap it once more.
    for wrapper in ["data", "job"] {
        if job.get("schedule").is_none() && job[wrapper].is_object() {
            job = job[wrapper].take();
        }
    }
    if job.get("agentId").is_none() {
        job["agentId"] = cx.agent.as_str().into();
    }
    let count = args.count("contextMessages").unwrap_or(0).min(CONTEXT_MESSAGES_MAX);
    let text = job["payload"]["text"].as_str().filter(|text| !text.trim().is_empty()).map(str::to_owned);
    if let Some(text) = text.filter(|_| count > 0 && job["payload"]["kind"] == "systemEvent") {
        let lines = recent(cx, count);
        if !lines.is_empty() {
            let own = text.split(CONTEXT_MARK).next().unwrap_or_default().trim();
            job["payload"]["text"] = format!("{own}{CONTEXT_MARK}{}", lines.join("\n")).into();
        }
    }
    Ok(job)
}

/// Returns the last messages of this session, short; none when they cannot be read.
fn recent(cx: &ToolContext<'_>, count: usize) -> Vec<String> {
    let params = json!({"sessionKey": cx.session.as_str(), "limit": count});
    let Ok(history) = cx.call("chat.history", params) else { return Vec::new() };
    let mut lines = Vec::new();
    let mut length = 0;
    for message in history["messages"].as_array().into_iter().flatten() {
        let who = match message["role"].as_str() {
            Some("user") => "User",
            Some("assistant") => "Assistant",
            _ => continue,
        };
        let text = collapse_whitespace(&super::sessions::text_of(message));
        if text.is_empty() {
            continue;
        }
        let line = format!("- {who}: {}", ellipsize(&text, CONTEXT_CHARS_MAX));
        length += line.chars().count();
        if length > CONTEXT_CHARS_ALL_MAX {
            break;
        }
        lines.push(line);
    }
    lines
}
