//! health, status, presence, system events, heartbeat, logs.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Any, Method, methods, nothing};
use crate::agent::{listing, session};
use crate::base::text::{age, trimmed};
use crate::channels;
use crate::channels::channel::{Account, Channel, Setting};
use crate::channels::state::State;
use crate::gateway::ctx::Ctx;
use crate::gateway::dispatch::{Call, Reply};
use crate::gateway::{health, heartbeat, work};
use crate::logging::{self, tail};
use crate::presence::{PresenceChange, PresenceEntry, SystemPresence};
use crate::protocol::error::ErrorShape;
use crate::protocol::system::{LogsTailParams, WakeMode, WakeParams};

pub(super) const METHODS: &[Method] = methods! {
    "health" Read Any health after cached_health;
    "status" Read Any status on disk;
    "system-presence" Read Any nothing after presence;
    "system-event" Admin Any system_event;
    "last-heartbeat" Read Any nothing after last_heartbeat;
    "set-heartbeats" Admin Any set_heartbeats;
    "wake" Write WakeParams wake;
    "logs.tail" Read LogsTailParams logs_tail on disk;
};

/// Makes a new snapshot: nobody gets here who may have the last one.
/// How long trying the channels' credentials may take for `health`: its callers wait ten seconds.
const PROBE_MAX: Duration = Duration::from_secs(8);

fn health(cx: &Arc<Ctx>, call: &Call, params: Any) -> Result<Reply, ErrorShape> {
    let config = cx.config.get();
    let ticket = call.ticket(cx);
    if params["probe"] != true || cx.channels_at(&config).is_skipped {
        health::refresh_then(cx, ticket);
        return Ok(Reply::Later);
    }
    let job_cx = cx.clone();
    let submitted = cx.jobs.submit(vec!["side".to_owned()], move || {
        let config = job_cx.config.get();
        super::channels::probe(&job_cx, &job_cx.channels_at(&config), PROBE_MAX);
        health::refresh_then(&job_cx, ticket);
    });
    if let Err(error) = submitted {
        log::warn!(target: "gateway/health", "channels are not tried: {error}");
    }
    Ok(Reply::Later)
}

fn cached_health(cx: &Ctx, params: &Value) -> Option<String> {
    let is_probe = params.get("probe").and_then(Value::as_bool) == Some(true);
    cx.health.cached(cx.clock.now_ms()).filter(|_| !is_probe).map(|text| text.to_string())
}

fn status(cx: &Arc<Ctx>, _call: &Call, _params: Any) -> Result<Reply, ErrorShape> {
    let config = cx.config.get();
    let agents: Vec<Value> = session::agent_ids(&config)
        .iter()
        .map(|agent| {
            let settings = heartbeat::settings(&config, agent);
            json!({
                "agentId": agent.as_str(), "enabled": settings.is_enabled, "every": settings.every, "everyMs": settings.every_ms,
            })
        })
        .collect();
    let at = cx.channels_at(&config);
    let channels = channels::active(&at);
    let mut status = Map::new();
    let linkable = channels.iter().find_map(|channel| {
        let account = channel.default_account(&at);
        let state = cx.channels.state(channel.info().id, &account.id);
        let summary = channel.summary(&at, &account, &state);
        let linked = summary["linked"].as_bool()?;
        let info = channel.info();
        Some(json!({"id": info.id, "label": info.label, "linked": linked, "authAgeMs": summary["authAgeMs"]}))
    });
    status.extend(linkable.map(|link| ("linkChannel".to_owned(), link)));
    let lines: Vec<String> = channels.iter().flat_map(|channel| channel_lines(&at, *channel)).collect();
    let rest = json!({
        "heartbeat": {"defaultAgentId": session::default_agent(&config).as_str(), "agents": agents},
        "channelSummary": lines,
        "queuedSystemEvents": cx.system_events.peek(&cx.main_session()),
        "sessions": listing::status_sessions(&config, &cx.sessions, cx.clock.now_ms()),
    });
    if let Value::Object(rest) = rest {
        status.extend(rest);
    }
    if let Some(problem) = cx.config.problem() {
        status.insert("configProblem".to_owned(), problem.into());
    }
    Ok(Reply::Now(Value::Object(status)))
}

/// Returns what people are told of a channel: a line of its own, and one for each account that could connect.
fn channel_lines(at: &Setting<'_>, channel: &dyn Channel) -> Vec<String> {
    let accounts = channel.accounts(at);
    let summary = channel.summary(at, &channel.default_account(at), &State::default());
    let word = match (summary["linked"].as_bool(), summary["configured"] == true) {
        _ if !accounts.iter().any(Account::is_enabled) => "disabled",
        (Some(true), _) => "linked",
        (Some(false), _) => "not linked",
        (None, true) => "configured",
        (None, false) => "not configured",
    };
    let mut line = format!("{}: {word}", channel.info().label);
    if let Some(e164) = summary["self"]["e164"].as_str() {
        line.push_str(&format!(" {e164}"));
    }
    if let Some(age_ms) = summary["authAgeMs"].as_u64() {
        line.push_str(&format!(" auth {}", age(age_ms)));
    }
    let mut lines = vec![line];
    for account in accounts.iter().filter(|account| channel.is_configured(at, account)) {
        let row = channel.snapshot(at, account, &State::default());
        let text = |key: &str| row[key].as_str().filter(|text| *text != "none");
        let details = [
            (!account.is_enabled()).then(|| "disabled".to_owned()),
            text("dmPolicy").map(|policy| format!("dm:{policy}")),
            text("tokenSource").map(|source| format!("token:{source}")),
        ];
        let details: Vec<String> = details.into_iter().flatten().collect();
        let name = account.text("name").map(|name| format!(" ({name})")).unwrap_or_default();
        let details = if details.is_empty() { String::new() } else { format!(" ({})", details.join(", ")) };
        lines.push(format!("  - {}{name}{details}", account.id));
    }
    lines
}

fn presence(cx: &Ctx, _params: &Value) -> Option<String> {
    serde_json::to_string(&cx.presence.list(cx.clock.now_ms()).0).ok()
}

fn system_event(cx: &Arc<Ctx>, _call: &Call, params: Any) -> Result<Reply, ErrorShape> {
    let text = |key: &str| params.get(key).and_then(Value::as_str).map(str::to_owned);
    let list = |key: &str| -> Vec<String> {
        let items = params.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let texts: Option<Vec<String>> = items.iter().map(|item| item.as_str().map(str::to_owned)).collect();
        texts.unwrap_or_default()
    };
    let said = text("text").and_then(trimmed);
    let Some(said) = said else { return Err(ErrorShape::invalid("text required")) };
    let now_ms = cx.clock.now_ms();
    let last_input = params.get("lastInputSeconds").and_then(Value::as_f64).filter(|seconds| *seconds >= 0.0);
    let entry = PresenceEntry {
        device_id: text("deviceId"),
        instance_id: text("instanceId"),
        host: text("host"),
        ip: text("ip"),
        mode: text("mode"),
        version: text("version"),
        platform: text("platform"),
        device_family: text("deviceFamily"),
        model_identifier: text("modelIdentifier"),
        reason: text("reason"),
        last_input_seconds: last_input.map(|seconds| seconds as u64),
        roles: list("roles"),
        scopes: list("scopes"),
        ..PresenceEntry::default()
    };
    let change = cx.presence.system_event(SystemPresence { text: said.clone(), entry }, now_ms);
    let line = if said.starts_with("Node:") { presence_line(&change) } else { Some(said) };
    if let Some(line) = line {
        cx.system_events.push(&cx.main_session(), &line, now_ms);
    }
    work::broadcast_presence(cx);
    Ok(Reply::Now(json!({"ok": true})))
}

/// Says what changed about a node, or nothing: presence beacons must not fill the queue.
fn presence_line(change: &PresenceChange) -> Option<String> {
    let PresenceChange { before, after, .. } = change;
    let is_routine = |reason: &Option<String>| {
        let reason = reason.as_deref().unwrap_or_default().to_lowercase();
        reason == "heartbeat" || reason.starts_with("periodic")
    };
    let is_new_place = before.host != after.host || before.ip != after.ip;
    let is_new_reason = before.reason != after.reason && !is_routine(&after.reason);
    if !is_new_place && before.version == after.version && before.mode == after.mode && !is_new_reason {
        return None;
    }
    let mut parts = Vec::new();
    if is_new_place {
        let ip = after.ip.as_deref().map(|ip| format!(" ({ip})")).unwrap_or_default();
        parts.push(format!("Node: {}{ip}", after.host.as_deref().unwrap_or("unknown")));
    }
    for (label, before, after) in [("app", &before.version, &after.version), ("mode", &before.mode, &after.mode)] {
        if let Some(after) = after.as_ref().filter(|_| before != after) {
            parts.push(format!("{label} {after}"));
        }
    }
    if let Some(reason) = after.reason.as_ref().filter(|_| is_new_reason) {
        parts.push(format!("reason {reason}"));
    }
    Some(parts.join(" · ")).filter(|line| !line.is_empty())
}

fn last_heartbeat(cx: &Ctx, _params: &Value) -> Option<String> {
    Some(cx.heartbeats.last().unwrap_or(Value::Null).to_string())
}

fn set_heartbeats(cx: &Arc<Ctx>, _call: &Call, params: Any) -> Result<Reply, ErrorShape> {
    let Some(enabled) = params["enabled"].as_bool() else {
        return Err(ErrorShape::invalid("invalid set-heartbeats params: enabled (boolean) required"));
    };
    cx.heartbeats.switch(enabled);
    Ok(Reply::Now(json!({"ok": true, "enabled": enabled})))
}

/// Leaves a line for the default agent's main session, and wakes the agent if it is to be read at once.
fn wake(cx: &Arc<Ctx>, _call: &Call, params: WakeParams) -> Result<Reply, ErrorShape> {
    let text = params.text.trim();
    if text.is_empty() {
        return Ok(Reply::Now(json!({"ok": false})));
    }
    let key = cx.main_session();
    cx.system_events.push(&key, text, cx.clock.now_ms());
    if matches!(params.mode, WakeMode::Now) {
        let config = cx.config.get();
        heartbeat::request(cx, &session::agent_of_key(&config, &key), "wake", |_, _| ());
    }
    Ok(Reply::Now(json!({"ok": true})))
}

fn logs_tail(cx: &Arc<Ctx>, _call: &Call, params: LogsTailParams) -> Result<Reply, ErrorShape> {
    let file = logging::current_file().unwrap_or_else(|| cx.paths.log_file(&cx.config.get(), cx.clock.now_ms()));
    let limit = params.limit.unwrap_or(tail::LINES_DEFAULT);
    let bytes = params.max_bytes.unwrap_or(tail::BYTES_DEFAULT);
    tail::tail(&file, params.cursor, limit, bytes)
        .map(|tail| Reply::Now(json!(tail)))
        .map_err(|error| ErrorShape::unavailable(format!("log read failed: {error}")))
}
