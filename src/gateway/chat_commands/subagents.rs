//! `/subagents`: the agents that this session's agent has started.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Ctx, Executed, Turn, call};
use crate::base::rng::uuid;
use crate::base::text::{collapse_whitespace, duration, ellipsize};
use crate::gateway::subagents::{self, Seen};

/// Messages of `/subagents log` by default, and at most.
const LOG_LEN: (u64, u64) = (20, 200);
/// Characters of each.
const LOG_CHARS_MAX: usize = 500;
const USAGE: &str = "🧭 Usage: /subagents list|stop|log|info|send [number|id] [text]";

/// Shows, stops or addresses sub-agents.
pub(super) fn manage(cx: &Arc<Ctx>, turn: &Turn, args: &str) -> anyhow::Result<Executed> {
    let (action, rest) = args.split_once(char::is_whitespace).unwrap_or((args, ""));
    let seen = subagents::seen(cx, &turn.session);
    let now_ms = cx.clock.now_ms();
    if matches!(action.to_lowercase().as_str(), "" | "list") {
        let lines = seen.iter().enumerate().map(|(at, it)| format!("{}) {}", at + 1, line(it, now_ms)));
        let lines: Vec<String> = lines.collect();
        return Executed::answer(match lines.len() {
            0 => "🧭 Subagents: none for this session.".to_owned(),
            count => format!("🧭 Subagents ({count})\n{}", lines.join("\n")),
        });
    }
    let (target, rest) = rest.trim().split_once(char::is_whitespace).unwrap_or((rest.trim(), ""));
    let found = || {
        let by_number =
            target.trim_start_matches('#').parse::<usize>().ok().and_then(|number| seen.get(number.checked_sub(1)?));
        by_number.or_else(|| {
            seen.iter().find(|it| !target.is_empty() && (it.run.starts_with(target) || it.session == target))
        })
    };
    if action.eq_ignore_ascii_case("stop") && matches!(target.to_lowercase().as_str(), "all" | "*") {
        let count = subagents::stop_of(cx, &turn.session);
        return Executed::answer(format!("⚙️ Stopped {count} sub-agent(s)."));
    }
    let Some(it) = found() else {
        let text = if target.is_empty() { USAGE.to_owned() } else { format!("⚠️ Unknown subagent: {target}") };
        return Executed::answer(text);
    };
    let text = match action.to_lowercase().as_str() {
        "stop" if it.ended_at.is_some() => "⚙️ Subagent already finished.".to_owned(),
        "stop" => {
            subagents::stop(cx, &it.run);
            format!("⚙️ Stop requested for {}.", name(it))
        }
        "info" => format!(
            "ℹ️ Subagent info\n{}\nRun: {}\nSession: {}\nTask: {}",
            line(it, now_ms),
            it.run,
            it.session,
            it.task
        ),
        "log" => log(cx, it, rest),
        "send" if !rest.trim().is_empty() => {
            let run = uuid(&*cx.rng);
            let params =
                json!({"sessionKey": it.session, "message": rest.trim(), "idempotencyKey": run, "lane": "subagent"});
            match call(cx, "agent", params) {
                Ok(_) => format!("✅ Sent to {} (run {}).", name(it), &run[..8]),
                Err(error) => format!("⚠️ {error}"),
            }
        }
        _ => USAGE.to_owned(),
    };
    Executed::answer(text)
}

fn name(it: &Seen) -> String {
    ellipsize(&collapse_whitespace(it.label.as_deref().unwrap_or(&it.task)), 60)
}

fn line(it: &Seen, now_ms: u64) -> String {
    let took = duration(it.ended_at.unwrap_or(now_ms).saturating_sub(it.started_at));
    format!("{} · {} · {took}", it.status, name(it))
}

fn log(cx: &Arc<Ctx>, it: &Seen, args: &str) -> String {
    let limit =
        args.split_whitespace().find_map(|word| word.parse::<u64>().ok()).unwrap_or(LOG_LEN.0).clamp(1, LOG_LEN.1);
    let history = match call(cx, "chat.history", json!({"sessionKey": it.session, "limit": limit})) {
        Ok(history) => history,
        Err(error) => return format!("⚠️ {error}"),
    };
    let said = |message: &Value| {
        let text: Vec<&str> =
            message["content"].as_array().into_iter().flatten().filter_map(|it| it["text"].as_str()).collect();
        let role = message["role"].as_str().unwrap_or_default();
        let role = if role == "user" { "User" } else { "Assistant" };
        (!text.is_empty())
            .then(|| format!("{role}: {}", ellipsize(&collapse_whitespace(&text.join(" ")), LOG_CHARS_MAX)))
    };
    let lines: Vec<String> = history["messages"].as_array().into_iter().flatten().filter_map(said).collect();
    format!(
        "📜 Subagent log: {}\n{}",
        name(it),
        if lines.is_empty() { "(no messages)".to_owned() } else { lines.join("\n") }
    )
}
