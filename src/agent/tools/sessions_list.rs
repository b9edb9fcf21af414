//! `sessions_list`: the sessions that the caller may see.

use serde_json::{Value, json};

use super::arguments::Arguments;
use super::sessions::{messages, refusal, shown};
use super::{Tool, ToolContext, ToolResult, always};
use crate::agent::session;
use crate::base::ids::SessionKey;

/// Most messages of each session.
const MESSAGES_MAX: usize = 20;
/// Sessions when the model names no limit, and at most: each row costs the model a few hundred bytes.
const ROWS_DEFAULT: usize = 50;
const ROWS_MAX: usize = 500;
/// Fields that are passed on as they are.
const FIELDS: [&str; 13] = [
    "label",
    "displayName",
    "updatedAt",
    "sessionId",
    "model",
    "contextTokens",
    "totalTokens",
    "thinkingLevel",
    "verboseLevel",
    "systemSent",
    "abortedLastRun",
    "sendPolicy",
    "lastAccountId",
];

pub(super) const TOOL: Tool = Tool {
    name: "sessions_list",
    description: "List sessions, the latest first, with filters and, if wanted, their last messages.",
    parameters: &[
        ("kinds", "string[]", "main, group, cron, hook, node, other"),
        ("limit", "number", "Most sessions"),
        ("activeMinutes", "number", "Only those that were active this recently"),
        ("messageLimit", "number", "Last messages of each, at most 20"),
    ],
    is_local: false,
    is_wanted: always,
    run,
};

fn run(cx: &ToolContext<'_>, args: &Arguments<'_>) -> Result<ToolResult, String> {
    let kinds: Vec<String> = args.list("kinds").iter().map(|kind| kind.trim().to_lowercase()).collect();
    let limit = args.count("limit").unwrap_or(ROWS_DEFAULT).clamp(1, ROWS_MAX);
    let message_limit = args.count("messageLimit").unwrap_or(0).min(MESSAGES_MAX);
    let mut params = json!({"includeGlobal": true, "includeUnknown": false});
    if let Some(minutes) = args.count("activeMinutes") {
        params["activeMinutes"] = minutes.max(1).into();
    }
    let answer = cx.call("sessions.list", params)?;
    let mut rows = Vec::new();
    for session in answer["sessions"].as_array().into_iter().flatten() {
        if rows.len() == limit {
            break;
        }
        let Some(key) = session["key"].as_str().map(SessionKey::new) else { continue };
        let kind = kind(cx, &key, session["kind"].as_str());
        let is_wanted = kinds.is_empty() || kinds.iter().any(|wanted| wanted == kind);
        if is_wanted && refusal(cx, &key, "listing").is_none() {
            rows.push(row(cx, &key, kind, session, message_limit)?);
        }
    }
    Ok(ToolResult::json(json!({"count": rows.len(), "sessions": rows})))
}

fn row(cx: &ToolContext<'_>, key: &SessionKey, kind: &str, session: &Value, limit: usize) -> Result<Value, String> {
    let route = &session["deliveryContext"];
    let last_channel = [&route["channel"], &session["lastChannel"]].into_iter().find(|it| it.is_string());
    let mut row = json!({"key": shown(cx, key), "kind": kind, "channel": channel(key, kind, session, last_channel)});
    for field in FIELDS {
        if !session[field].is_null() {
            row[field] = session[field].clone();
        }
    }
    if route.is_object() {
        row["deliveryContext"] = route.clone();
    }
    if let Some(channel) = last_channel {
        row["lastChannel"] = channel.clone();
    }
    if let Some(to) = [&route["to"], &session["lastTo"]].into_iter().find(|it| it.is_string()) {
        row["lastTo"] = to.clone();
    }
    if let Some(entry) = cx.sessions.entry(key).filter(|entry| !entry.session_id.is_empty()) {
        row["transcriptPath"] = json!(cx.sessions.transcript_path(key, &entry));
    }
    if limit > 0 {
        row["messages"] = messages(cx, key, Some(limit), false)?.into();
    }
    Ok(row)
}

fn kind(cx: &ToolContext<'_>, key: &SessionKey, listed: Option<&str>) -> &'static str {
    let rest = session::rest_of(key.as_str());
    if *key == session::main_key(cx.config, &session::agent_of_key(cx.config, key)) {
        "main"
    } else if rest.starts_with("cron:") {
        "cron"
    } else if rest.starts_with("hook:") {
        "hook"
    } else if rest.starts_with("node-") || rest.starts_with("node:") {
        "node"
    } else if listed == Some("group") || rest.contains(":group:") || rest.contains(":channel:") {
        "group"
    } else {
        "other"
    }
}

/// Returns the channel of a session as far as it is known.
fn channel(key: &SessionKey, kind: &str, session: &Value, last: Option<&Value>) -> String {
    if matches!(kind, "cron" | "hook" | "node") {
        return "internal".to_owned();
    }
    let named = [&session["channel"], last.unwrap_or(&Value::Null)].into_iter().find_map(Value::as_str);
    let of_key = || {
        let mut parts = session::rest_of(key.as_str()).split(':');
        let (channel, kind) = (parts.next()?, parts.next()?);
        matches!(kind, "group" | "channel").then_some(channel)
    };
    named.or_else(of_key).unwrap_or("unknown").to_owned()
}
