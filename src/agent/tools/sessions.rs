//! What the session tools share: which sessions a caller may see, how they are named to models, what their messages are.

use serde_json::{Value, json};

use super::ToolContext;
use super::sandbox;
use crate::agent::session;
use crate::base::ids::{AgentId, SessionKey};

/// Bytes of messages that one answer may have; the newest are kept.
pub(super) const MESSAGES_BYTES_MAX: usize = 80 * 1024;

/// Returns the stored key of the session that a model calls `given`: a key, `main`, or the id of a transcript.
///
/// # Errors
/// When there is no such session.
pub(super) fn resolve(cx: &ToolContext<'_>, given: &str) -> Result<SessionKey, String> {
    let key = session::canonical_key(cx.config, given, Some(cx.agent));
    if given == "main" || given.contains(':') || cx.sessions.entry(&key).is_some() {
        return Ok(key);
    }
    let answer = cx.call("sessions.resolve", json!({"sessionId": given}));
    let found = answer.ok().and_then(|answer| answer["key"].as_str().map(SessionKey::new));
    found.ok_or_else(|| format!("No session found: {given} (use the full sessionKey from sessions_list)"))
}

/// Returns why a caller may not see, or write to, a session.
///
/// `what` is what is done, as a noun: `history`, `messaging`.
pub(super) fn refusal(cx: &ToolContext<'_>, target: &SessionKey, what: &str) -> Option<String> {
    if sandbox::is_asked_for(cx.config, cx.agent, cx.session)
        && cx.config.tree.pointer("/agents/defaults/sandbox/sessionToolsVisibility") != Some(&"all".into())
        && target != cx.session
        && cx.sessions.entry(target).is_none_or(|entry| entry.spawned_by.as_deref() != Some(cx.session.as_str()))
    {
        return Some(format!("Session not visible from this sandboxed agent session: {target}"));
    }
    let other = session::agent_of_key(cx.config, target);
    refusal_between(cx, &other, what)
}

/// Returns why an agent may not deal with another.
pub(super) fn refusal_between(cx: &ToolContext<'_>, other: &AgentId, what: &str) -> Option<String> {
    if other == cx.agent {
        return None;
    }
    let settings = cx.setting("agentToAgent").unwrap_or(&Value::Null);
    if settings["enabled"] != true {
        let doing = if what == "messaging" { "sends" } else { "access" };
        return Some(format!(
            "Agent-to-agent {what} is disabled. Set tools.agentToAgent.enabled=true to allow cross-agent {doing}."
        ));
    }
    let patterns = settings["allow"].as_array().map(Vec::as_slice).unwrap_or_default();
    let covers = |agent: &AgentId| {
        patterns.is_empty()
            || patterns.iter().filter_map(Value::as_str).any(|pattern| {
                let pattern = pattern.trim();
                pattern == "*" || session::normalize_agent_id(pattern) == *agent
            })
    };
    let is_allowed = covers(cx.agent) && covers(other);
    (!is_allowed).then(|| format!("Agent-to-agent {what} denied by tools.agentToAgent.allow."))
}

/// Returns how a session is called to models.
pub(super) fn shown(cx: &ToolContext<'_>, key: &SessionKey) -> String {
    if *key == session::main_key(cx.config, cx.agent) { "main".to_owned() } else { key.to_string() }
}

/// Reads the messages of a session, oldest first; without those of tools unless they are wanted.
///
/// # Errors
/// As `chat.history`.
pub(super) fn messages(
    cx: &ToolContext<'_>,
    key: &SessionKey,
    limit: Option<usize>,
    with_tools: bool,
) -> Result<Vec<Value>, String> {
    let mut params = json!({"sessionKey": key.as_str()});
    if let Some(limit) = limit {
        params["limit"] = limit.clamp(1, 1000).into();
    }
    let mut history = cx.call("chat.history", params)?;
    let Value::Array(mut messages) = history["messages"].take() else { return Ok(Vec::new()) };
    if !with_tools {
        messages.retain(|message| !is_of_tools(message));
    }
    let mut bytes = 0;
    let kept = messages.iter().rev().take_while(|message| {
        bytes += message.to_string().len();
        bytes <= MESSAGES_BYTES_MAX
    });
    let kept = kept.count();
    messages.drain(..messages.len() - kept);
    Ok(messages)
}

/// Returns whether a message is a tool's result, or nothing but calls of tools.
fn is_of_tools(message: &Value) -> bool {
    match message["role"].as_str() {
        Some("toolResult") => true,
        Some("assistant") => {
            let has_calls =
                message["content"].as_array().is_some_and(|blocks| blocks.iter().any(|it| it["type"] == "toolCall"));
            has_calls && text_of(message).trim().is_empty()
        }
        _ => false,
    }
}

/// Returns the text of a message.
pub(super) fn text_of(message: &Value) -> String {
    match &message["content"] {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => {
            let texts =
                blocks.iter().filter(|block| block["type"] == "text").filter_map(|block| block["text"].as_str());
            texts.collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    }
}
