//! `nodes`: paired devices, their pairing, cameras, screens, places and commands.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::arguments::Arguments;
use super::{HOST_CALL_TIMEOUT, Tool, ToolContext, ToolResult, always};
use crate::agent::message::Block;
use crate::base::fs::{Durability, MODE_PRIVATE, write_atomic};
use crate::base::rng::uuid;
use crate::nodes::reference;

/// How long a node has beyond the length of what it records.
const RECORDING_SLACK: Duration = Duration::from_secs(30);
/// Longest recording.
const RECORDING_MS_MAX: f64 = 300_000.0;
/// Largest file that a node may send, in bytes of base64.
const MEDIA_BASE64_MAX: usize = 64 * 1024 * 1024;

pub(super) const TOOL: Tool = Tool {
    name: "nodes",
    description: "Paired nodes (phones, computers): status, describe, pairing, notify, camera, screen, location, run.",
    parameters: &[
        (
            "action",
            "status|describe|pending|approve|reject|notify|camera_snap|camera_list|camera_clip|screen_record|location_get|run*",
            "What to do",
        ),
        ("gatewayUrl", "string", ""),
        ("gatewayToken", "string", ""),
        ("timeoutMs", "number", ""),
        ("node", "string", "Id, name or address of the node"),
        ("requestId", "string", "For approve and reject"),
        ("title", "string", "For notify"),
        ("body", "string", "For notify"),
        ("sound", "string", "For notify"),
        ("priority", "passive|active|timeSensitive", "For notify"),
        ("delivery", "system|overlay|auto", "For notify"),
        ("facing", "front|back|both", "For camera_snap (default both) and camera_clip (front, back)"),
        ("maxWidth", "number", ""),
        ("quality", "number", ""),
        ("delayMs", "number", ""),
        ("deviceId", "string", ""),
        ("duration", "string", "Length of a recording, such as 5s"),
        ("durationMs", "number", ""),
        ("includeAudio", "boolean", ""),
        ("fps", "number", ""),
        ("screenIndex", "number", ""),
        ("outPath", "string", "Where a screen recording goes"),
        ("maxAgeMs", "number", ""),
        ("locationTimeoutMs", "number", ""),
        ("desiredAccuracy", "coarse|balanced|precise", ""),
        ("command", "string[]", "Words of a command for run"),
        ("cwd", "string", ""),
        ("env", "string[]", "NAME=value for run"),
        ("commandTimeoutMs", "number", ""),
        ("invokeTimeoutMs", "number", ""),
        ("needsScreenRecording", "boolean", ""),
    ],
    is_local: false,
    is_wanted: always,
    run,
};

fn run(cx: &ToolContext<'_>, args: &Arguments<'_>) -> Result<ToolResult, String> {
    let action = args.required("action")?;
    act(cx, args, action).map_err(|error| {
        let node = args.text("node").unwrap_or("auto");
        format!("agent={} node={node} gateway=default action={action}: {error}", cx.agent)
    })
}

fn act(cx: &ToolContext<'_>, args: &Arguments<'_>, action: &str) -> Result<ToolResult, String> {
    match action {
        "status" => Ok(ToolResult::json(cx.call_for(args, "node.list", json!({}))?)),
        "pending" => Ok(ToolResult::json(cx.call_for(args, "node.pair.list", json!({}))?)),
        "approve" | "reject" => {
            let params = json!({"requestId": args.required("requestId")?});
            Ok(ToolResult::json(cx.call_for(args, &format!("node.pair.{action}"), params)?))
        }
        "describe" => {
            let params = json!({"nodeId": meant(cx, args)?});
            Ok(ToolResult::json(cx.call_for(args, "node.describe", params)?))
        }
        "notify" => {
            if args.text("title").is_none() && args.text("body").is_none() {
                return Err("title or body required".to_owned());
            }
            let params = args.only(&["title", "body", "sound", "priority", "delivery"]);
            invoke(cx, &meant(cx, args)?, "system.notify", params, within(args))?;
            Ok(ToolResult::json(json!({"ok": true})))
        }
        "camera_list" => Ok(ToolResult::json(invoke(cx, &meant(cx, args)?, "camera.list", Map::new(), within(args))?)),
        "camera_snap" => snap(cx, args),
        "camera_clip" | "screen_record" => record(cx, args, action),
        "location_get" => {
            let mut params = args.only(&["maxAgeMs", "desiredAccuracy"]);
            if let Some(timeout) = args.value("locationTimeoutMs") {
                params.insert("timeoutMs".to_owned(), timeout.clone());
            }
            Ok(ToolResult::json(invoke(cx, &meant(cx, args)?, "location.get", params, within(args))?))
        }
        "run" => command(cx, args),
        other => Err(format!("Unknown action: {other}")),
    }
}

/// Returns the rows of `node.list`.
pub(super) fn listed(cx: &ToolContext<'_>) -> Result<Vec<Value>, String> {
    let answer = cx.call("node.list", json!({}))?;
    Ok(answer["nodes"].as_array().cloned().unwrap_or_default())
}

/// Returns the row that somebody means.
pub(super) fn pick<'a>(nodes: &'a [Value], query: &str) -> Result<&'a Value, String> {
    let id = reference::choose(nodes, query)?;
    nodes.iter().find(|node| node["nodeId"] == *id).ok_or_else(|| format!("unknown node: {query}"))
}

/// Returns the id of the node that a call means; the only one that is connected when it names none and `may_guess`.
pub(super) fn node_id(cx: &ToolContext<'_>, query: Option<&str>, may_guess: bool) -> Result<String, String> {
    let nodes = listed(cx)?;
    let node = match query {
        Some(query) => pick(&nodes, query)?,
        None => {
            let connected: Vec<&Value> = nodes.iter().filter(|node| node["connected"] == true).collect();
            match connected[..] {
                [node] if may_guess => node,
                _ => return Err("node required".to_owned()),
            }
        }
    };
    Ok(node["nodeId"].as_str().unwrap_or_default().to_owned())
}

fn meant(cx: &ToolContext<'_>, args: &Arguments<'_>) -> Result<String, String> {
    node_id(cx, Some(args.required("node")?), false)
}

fn within(args: &Arguments<'_>) -> Option<Duration> {
    let ms = args.number("timeoutMs").filter(|ms| *ms > 0.0)?;
    Some(Duration::from_millis(ms.min(3_600_000.0) as u64))
}

/// Asks a node for a command; returns its payload.
pub(super) fn invoke(
    cx: &ToolContext<'_>,
    node: &str,
    command: &str,
    params: Map<String, Value>,
    within: Option<Duration>,
) -> Result<Value, String> {
    let mut request = json!({"nodeId": node, "command": command, "params": params, "idempotencyKey": uuid(&**cx.rng)});
    if let Some(within) = within {
        request["timeoutMs"] = u64::try_from(within.as_millis()).unwrap_or(u64::MAX).into();
    }
    // The node's own limit comes first, so that what is told is what the node said.
    let patience = within.map_or(HOST_CALL_TIMEOUT * 4, |within| within + Duration::from_secs(2));
    let answer = cx.host.call("node.invoke", request, patience, cx.cancel)?;
    Ok(match &answer["payload"] {
        Value::Null => json!({}),
        payload => payload.clone(),
    })
}

/// A file that a node sent: its format and its base64.
pub(super) fn media<'a>(payload: &'a Value, command: &str, formats: &[&str]) -> Result<(String, &'a str), String> {
    let invalid = || format!("invalid {command} payload");
    let format = payload["format"].as_str().ok_or_else(invalid)?.to_lowercase();
    let base64 = payload["base64"].as_str().filter(|text| !text.is_empty()).ok_or_else(invalid)?;
    if !formats.contains(&format.as_str()) {
        return Err(format!("unsupported {command} format: {format}"));
    }
    if base64.len() > MEDIA_BASE64_MAX {
        return Err(format!("{command}: the file is too large ({} bytes of base64)", base64.len()));
    }
    Ok((format, base64))
}

/// Writes a node's file; returns where it is.
pub(super) fn keep(cx: &ToolContext<'_>, name: &str, base64: &str, path: Option<PathBuf>) -> Result<PathBuf, String> {
    let bytes = STANDARD.decode(base64).map_err(|_| "the node sent something that is no base64".to_owned())?;
    let path = path.unwrap_or_else(|| cx.paths.media_dir().join("tools").join(name));
    write_atomic(&path, &bytes, MODE_PRIVATE, Durability::Process)
        .map_err(|error| format!("write {}: {error}", path.display()))?;
    Ok(path)
}

fn snap(cx: &ToolContext<'_>, args: &Arguments<'_>) -> Result<ToolResult, String> {
    let node = meant(cx, args)?;
    let facings: &[&str] = match args.text("facing") {
        Some("front") => &["front"],
        Some("back") => &["back"],
        _ => &["front", "back"],
    };
    let (mut content, mut details) = (Vec::new(), Vec::new());
    for facing in facings {
        let mut params = args.only(&["maxWidth", "quality", "delayMs", "deviceId"]);
        params.insert("facing".to_owned(), (*facing).into());
        params.insert("format".to_owned(), "jpg".into());
        let payload = invoke(cx, &node, "camera.snap", params, within(args))?;
        let (format, base64) = media(&payload, "camera.snap", &["jpg", "jpeg", "png"])?;
        let (extension, mime_type) = if format == "png" { ("png", "image/png") } else { ("jpg", "image/jpeg") };
        let name = format!("clawdbot-camera-snap-{facing}-{}.{extension}", uuid(&**cx.rng));
        let path = keep(cx, &name, base64, None)?;
        content.push(Block::text(format!("MEDIA:{}", path.display())));
        content.push(Block::Image { data: base64.to_owned(), mime_type: mime_type.to_owned() });
        details.push(json!({"facing": facing, "path": path, "width": payload["width"], "height": payload["height"]}));
    }
    Ok(ToolResult { content, details: Some(details.into()), is_error: false })
}

fn record(cx: &ToolContext<'_>, args: &Arguments<'_>, action: &str) -> Result<ToolResult, String> {
    let is_clip = action == "camera_clip";
    let default_ms = if is_clip { 3000.0 } else { 10_000.0 };
    let duration_ms = match (args.number("durationMs"), args.text("duration")) {
        (Some(ms), _) => ms,
        (None, Some(text)) => parse_duration(text).ok_or_else(|| format!("invalid duration: {text}"))?,
        (None, None) => default_ms,
    };
    let duration_ms = duration_ms.clamp(1.0, RECORDING_MS_MAX);
    let mut params = args.only(&["deviceId", "fps", "screenIndex"]);
    params.insert("durationMs".to_owned(), (duration_ms as u64).into());
    params.insert("includeAudio".to_owned(), args.flag("includeAudio").unwrap_or(true).into());
    params.insert("format".to_owned(), "mp4".into());
    if is_clip {
        let facing = args.text("facing").unwrap_or("front");
        if facing == "both" {
            return Err("invalid facing (front|back)".to_owned());
        }
        params.insert("facing".to_owned(), facing.into());
    } else {
        params.entry("fps").or_insert_with(|| 10.into());
        params.entry("screenIndex").or_insert_with(|| 0.into());
    }
    let limit = within(args).unwrap_or(Duration::from_millis(duration_ms as u64) + RECORDING_SLACK);
    let command = if is_clip { "camera.clip" } else { "screen.record" };
    let payload = invoke(cx, &meant(cx, args)?, command, params, Some(limit))?;
    let (format, base64) = media(&payload, command, &["mp4", "mov", "webm"])?;
    let wanted = args.text("outPath").filter(|_| !is_clip).map(|given| cx.resolve(given));
    let name = format!("clawdbot-{}-{}.{format}", action.replace('_', "-"), uuid(&**cx.rng));
    let path = keep(cx, &name, base64, wanted)?;
    let mut details = json!({"path": path, "durationMs": payload["durationMs"]});
    for field in ["fps", "screenIndex", "hasAudio"] {
        if !payload[field].is_null() {
            details[field] = payload[field].clone();
        }
    }
    Ok(ToolResult::text(format!("FILE:{}", Path::new(&path).display()), Some(details)))
}

/// Parses `500ms`, `5s`, `1m`; a bare number is milliseconds.
fn parse_duration(text: &str) -> Option<f64> {
    let text = text.trim().to_lowercase();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..split].parse().ok()?;
    let unit = match text[split..].trim() {
        "" | "ms" => 1.0,
        "s" => 1000.0,
        "m" => 60_000.0,
        _ => return None,
    };
    Some(number * unit)
}

fn command(cx: &ToolContext<'_>, args: &Arguments<'_>) -> Result<ToolResult, String> {
    let nodes = listed(cx)?;
    if nodes.is_empty() {
        return Err("system.run requires a paired companion app or node host (no nodes available).".to_owned());
    }
    let node = pick(&nodes, args.required("node")?)?;
    if !node["commands"].as_array().into_iter().flatten().any(|command| command == "system.run") {
        return Err("system.run requires a companion app or node host; the selected node does not support system.run."
            .to_owned());
    }
    let words = args.list("command");
    if words.is_empty() {
        return Err("command required (argv array, e.g. ['echo', 'Hello'])".to_owned());
    }
    let mut params = args.only(&["cwd", "needsScreenRecording"]);
    params.insert("command".to_owned(), words.into());
    let env: Map<String, Value> = args
        .list("env")
        .iter()
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.trim().to_owned(), value.into()))
        .collect();
    if !env.is_empty() {
        params.insert("env".to_owned(), env.into());
    }
    let ms = |name: &str| args.number(name).filter(|ms| *ms > 0.0).map(|ms| ms.min(3_600_000.0) as u64);
    if let Some(ms) = ms("commandTimeoutMs") {
        params.insert("timeoutMs".to_owned(), ms.into());
    }
    params.insert("agentId".to_owned(), cx.agent.as_str().into());
    params.insert("sessionKey".to_owned(), cx.session.as_str().into());
    let id = node["nodeId"].as_str().unwrap_or_default();
    Ok(ToolResult::json(invoke(cx, id, "system.run", params, ms("invokeTimeoutMs").map(Duration::from_millis))?))
}
