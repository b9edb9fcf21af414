//! The words around an answer: prefix, usage footer, notices, what tools do (agent.md §9–10).

use std::sync::Arc;

use serde_json::Value;

use crate::agent::reply::{ReplyTo, Said, strip_all_is_well};
use crate::agent::run::{self, RunOutcome, RunRequest};
use crate::agent::{models, session, workspace};
use crate::base::route::Route;
use crate::base::text::{ellipsize, tokens};
use crate::channels::reply::{Reply, ReplyKind};
use crate::gateway::ctx::Ctx;

/// Characters of a tool's arguments, and of its output, in a chat.
const ARGS_CHARS_MAX: usize = 160;
const OUTPUT_CHARS_MAX: usize = 1500;

/// How much of the tools' work is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verbose {
    Off,
    On,
    Full,
}

impl Verbose {
    pub(super) fn of(cx: &Ctx, request: &RunRequest) -> Self {
        match run::verbose_level(&cx.agent, request).as_str() {
            "off" => Self::Off,
            "full" => Self::Full,
            _ => Self::On,
        }
    }

    /// Returns the line that tells of a call.
    pub(super) fn start(self, name: &str, args: &Value) -> Option<String> {
        if self == Self::Off {
            return None;
        }
        let summary = crate::agent::tools::summary(name, args).unwrap_or_default();
        let colon = if summary.is_empty() { "" } else { ": " };
        Some(format!("{} {name}{colon}{}", emoji(name), ellipsize(&summary, ARGS_CHARS_MAX)))
    }

    /// Returns what a call gave.
    pub(super) fn result(self, name: &str, result: &Value) -> Option<String> {
        if self != Self::Full {
            return None;
        }
        let blocks = result["content"].as_array().into_iter().flatten();
        let text: Vec<&str> = blocks.filter_map(|block| block["text"].as_str()).collect();
        let text = text.join("\n");
        (!text.trim().is_empty())
            .then(|| format!("{} {name}\n```\n{}\n```", emoji(name), ellipsize(text.trim(), OUTPUT_CHARS_MAX)))
    }
}

fn emoji(name: &str) -> &'static str {
    match name {
        "exec" | "process" => "🛠️",
        "read" => "📖",
        "write" | "edit" | "apply_patch" => "✍️",
        "web_search" => "🔎",
        "web_fetch" | "browser" => "🌐",
        "message" | "sessions_send" => "✉️",
        "cron" => "⏰",
        "nodes" | "canvas" => "📱",
        "memory_search" | "memory_get" => "🧠",
        "image" => "🖼️",
        "sessions_spawn" => "🧑‍🔧",
        _ => "🧩",
    }
}

/// Returns one message of an answer as a reply. A path without a beginning is of the agent's workspace, as for its tools.
pub(super) fn reply(cx: &Ctx, request: &RunRequest, route: &Route, said: &Said) -> Reply {
    let reply_to = match &said.reply_to {
        Some(ReplyTo::Id(id)) => Some(id.clone()),
        Some(ReplyTo::Current) => route.reply_to.clone(),
        None => None,
    };
    Reply {
        text: strip_all_is_well(&said.text).to_owned(),
        media: said.media.iter().map(|named| place_of(cx, request, named)).collect(),
        reply_to,
        is_voice: said.is_voice,
        ..Reply::default()
    }
}

fn place_of(cx: &Ctx, request: &RunRequest, named: &str) -> String {
    if named.contains("://") || named.starts_with(['/', '~']) {
        return named.to_owned();
    }
    let workspace = workspace::dir(&cx.config.get(), &cx.paths, &request.agent_id);
    workspace.join(named.strip_prefix("./").unwrap_or(named)).display().to_string()
}

/// Returns what is said at the end of a run; with `is_streamed` its messages are out already.
pub(super) fn last_words(
    cx: &Arc<Ctx>,
    request: &RunRequest,
    route: &Route,
    outcome: &RunOutcome,
    is_streamed: bool,
) -> Vec<Reply> {
    let notice = |text: String| Reply { text, kind: ReplyKind::Notice, ..Reply::default() };
    let entry = cx.sessions.entry(&request.session_key).unwrap_or_default();
    let shows_reasoning = entry.reasoning_level.as_deref() == Some("on");
    let mut replies = Vec::new();
    if Verbose::of(cx, request) != Verbose::Off {
        if outcome.is_new_session {
            replies.push(notice(format!("🧭 New session: {}", outcome.session_id)));
        }
        if let Some(count) = outcome.compactions {
            replies.push(notice(format!("🧹 Auto-compaction complete (count {count}).")));
        }
    }
    // Whoever was written to by a tool needs no second message.
    let is_told = |said: &Said| outcome.sent.iter().any(|sent| sent.leads_to(route) || sent.text == said.text);
    for said in outcome.said.iter().filter(|said| !is_told(said)) {
        if let Some(reasoning) = said.reasoning.as_deref().filter(|_| shows_reasoning) {
            replies.push(Reply { text: self::reasoning(reasoning), kind: ReplyKind::Reasoning, ..Reply::default() });
        }
        let reply = reply(cx, request, route, said);
        let says_something = !reply.text.is_empty() || !reply.media.is_empty();
        if says_something && !is_streamed {
            let text = prefixed(cx, request, Some(outcome), reply.text);
            replies.push(Reply { text, ..reply });
        }
    }
    if let Some(footer) = footer(request, outcome, entry.response_usage.as_deref()) {
        match replies.iter_mut().rev().find(|reply| reply.kind == ReplyKind::Final && !reply.text.is_empty()) {
            Some(last) => last.text = format!("{}\n{footer}", last.text),
            None if is_streamed => replies.push(notice(footer)),
            None => {}
        }
    }
    replies
}

/// Returns what a model thought, as chats show it.
pub(super) fn reasoning(thoughts: &str) -> String {
    let lines: Vec<String> = thoughts.trim().lines().map(|line| format!("_{}_", line.trim())).collect();
    format!("Reasoning:\n{}", lines.join("\n").replace("__", ""))
}

/// Puts the configured prefix in front of a text, unless it is there already.
pub(super) fn prefixed(cx: &Ctx, request: &RunRequest, outcome: Option<&RunOutcome>, text: String) -> String {
    let config = cx.config.get();
    let Some(template) = config.messages.response_prefix.as_deref().filter(|prefix| !prefix.is_empty()) else {
        return text;
    };
    if text.is_empty() {
        return text;
    }
    let name = || {
        let own = session::agent_entry(&config, &request.agent_id).and_then(|entry| entry.identity.as_ref());
        own.and_then(|identity| identity.name.clone())
            .or_else(|| Some(workspace::identity(&config, &cx.paths, &request.agent_id).name))
    };
    let prefix = if template == "auto" {
        let Some(name) = name().filter(|name| !name.trim().is_empty()) else { return text };
        format!("[{}]", name.trim())
    } else {
        let entry = cx.sessions.entry(&request.session_key);
        let (provider, model) = outcome.map_or_else(
            || {
                let name = models::chosen_name(&config, &request.agent_id, entry.as_ref());
                (name.provider, name.id)
            },
            |outcome| (outcome.provider.clone(), outcome.model.clone()),
        );
        let think = run::thinking_level(&cx.agent, &request.session_key, entry.as_ref());
        filled(template, &|variable| {
            Some(match variable {
                "model" => model.clone(),
                "modelfull" => format!("{provider}/{model}"),
                "provider" => provider.clone(),
                "thinkinglevel" | "think" => think.clone(),
                "identity.name" | "identityname" => name()?,
                _ => return None,
            })
        })
    };
    if text.starts_with(&prefix) { text } else { format!("{prefix} {text}") }
}

/// Replaces `{variables}`; what is unknown stays as it is written.
fn filled(template: &str, value: &dyn Fn(&str) -> Option<String>) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some(at) = rest.find('{') {
        out.push_str(&rest[..at]);
        let Some(end) = rest[at..].find('}') else {
            rest = &rest[at..];
            break;
        };
        let written = &rest[at..=at + end];
        let known = value(&written[1..written.len() - 1].trim().to_lowercase());
        out.push_str(known.as_deref().unwrap_or(written));
        rest = &rest[at + end + 1..];
    }
    out.push_str(rest);
    out
}

/// Returns the line about what the answer took.
fn footer(request: &RunRequest, outcome: &RunOutcome, mode: Option<&str>) -> Option<String> {
    let mode = mode.filter(|mode| matches!(*mode, "tokens" | "on" | "full"))?;
    let usage = &outcome.usage;
    if usage.input + usage.output == 0 {
        return None;
    }
    let mut line = format!("Usage: {} in / {} out", tokens(usage.input), tokens(usage.output));
    if usage.cost.total > 0.0 {
        line.push_str(&format!(" · est ${:.4}", usage.cost.total));
    }
    if mode == "full" {
        line.push_str(&format!(" · session {}", request.session_key));
    }
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn variables_are_filled_in() {
        let value = |name: &str| (name == "model").then(|| "m1".to_owned());
        assert_eq!(filled("[{Model}] {who} {", &value), "[m1] {who} {");
    }

    #[test]
    fn calls_are_told_as_wished() {
        let args = json!({"command": "ls -l"});
        assert_eq!(Verbose::Off.start("exec", &args), None);
        assert_eq!(Verbose::On.start("exec", &args).as_deref(), Some("🛠️ exec: ls -l"));
        let result = json!({"content": [{"type": "text", "text": "a\nb\n"}]});
        assert_eq!(Verbose::On.result("exec", &result), None);
        assert_eq!(Verbose::Full.result("exec", &result).as_deref(), Some("🛠️ exec\n```\na\nb\n```"));
    }
}
