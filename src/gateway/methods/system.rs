//! health, status, presence, system events, heartbeat, logs.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Any, Method, methods};
use crate::agent::{listing, session};
use crate::gateway::ctx::Ctx;
use crate::gateway::dispatch::{Call, Reply};
use crate::gateway::{health, heartbeat, work};
use crate::logging::{self, tail};
use crate::presence::{PresenceChange, PresenceEntry, SystemPresence};
use crate::protocol::error::ErrorShape;
use crate::protocol::system::LogsTailParams;

pub(super) const METHODS: &[Method] = methods! {
    "health" Read Any health;
    "status" Read Any status on disk;
    "system-presence" Read Any system_presence;
    "system-event" Admin Any system_event;
    "last-heartbeat" Read Any last_heartbeat;
    "logs.tail" Read LogsTailParams logs_tail on disk;
};

fn health(cx: &Arc<Ctx>, call: &Call, params: Any) -> Result<Reply, ErrorShape> {
    let is_probe = params.get("probe").and_then(Value::as_bool) == Some(true);
    match cx.health.cached(cx.clock.now_ms()).filter(|_| !is_probe) {
        Some(snapshot) => Ok(Reply::Now((*snapshot).clone())),
        None => {
            health::refresh_then(cx, call.ticket(cx));
            Ok(Reply::Later)
        }
    }
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
    Ok(Reply::Now(json!({
        "heartbeat": {"defaultAgentId": session::default_agent(&config).as_str(), "agents": agents},
        "channelSummary": [],
        "queuedSystemEvents": cx.system_events.peek(&cx.main_session()),
        "sessions": listing::status_sessions(&config, &cx.sessions, cx.clock.now_ms()),
    })))
}

fn system_presence(cx: &Arc<Ctx>, _call: &Call, _params: Any) -> Result<Reply, ErrorShape> {
    Ok(Reply::Now(json!(cx.presence.list(cx.clock.now_ms()).0)))
}

fn system_event(cx: &Arc<Ctx>, _call: &Call, params: Any) -> Result<Reply, ErrorShape> {
    let text = |key: &str| params.get(key).and_then(Value::as_str).map(str::to_owned);
    let list = |key: &str| -> Vec<String> {
        let items = params.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let texts: Option<Vec<String>> = items.iter().map(|item| item.as_str().map(str::to_owned)).collect();
        texts.unwrap_or_default()
    };
    let said = text("text").map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
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

fn last_heartbeat(_cx: &Arc<Ctx>, _call: &Call, _params: Any) -> Result<Reply, ErrorShape> {
    // No heartbeat has run: this version does not run them yet, and the original answers null until one has.
    Ok(Reply::Now(Value::Null))
}

fn logs_tail(cx: &Arc<Ctx>, _call: &Call, params: LogsTailParams) -> Result<Reply, ErrorShape> {
    let file = logging::current_file().unwrap_or_else(|| cx.paths.default_log_file(cx.clock.now_ms()));
    let limit = params.limit.unwrap_or(tail::LINES_DEFAULT);
    let bytes = params.max_bytes.unwrap_or(tail::BYTES_DEFAULT);
    tail::tail(&file, params.cursor, limit, bytes)
        .map(|tail| Reply::Now(json!(tail)))
        .map_err(|error| ErrorShape::unavailable(format!("log read failed: {error}")))
}
