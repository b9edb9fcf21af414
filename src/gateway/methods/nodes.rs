//! node.list, node.describe, node.invoke, node.invoke.result, node.event, exec.approvals.node.*.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{Method, methods};
use crate::devices::pairing::Paired;
use crate::gateway::ctx::Ctx;
use crate::gateway::dispatch::{Call, Reply};
use crate::gateway::nodes::{self, Invoke};
use crate::nodes::registry::{Node, Outcome};
use crate::protocol::approvals::{ExecApprovalsNodeGetParams, ExecApprovalsNodeSetParams};
use crate::protocol::error::ErrorShape;
use crate::protocol::nodes::{
    NodeDescribeParams, NodeEventParams, NodeInvokeParams, NodeInvokeResultParams, NodeListParams,
};

pub(super) const METHODS: &[Method] = methods! {
    "node.list" Read NodeListParams list;
    "node.describe" Read NodeDescribeParams describe;
    "node.invoke" Write NodeInvokeParams invoke;
    "node.invoke.result" Node NodeInvokeResultParams invoke_result via drop_nulls;
    "node.event" Node NodeEventParams event via drop_nulls;
    "exec.approvals.node.get" Admin ExecApprovalsNodeGetParams policy_get;
    "exec.approvals.node.set" Admin ExecApprovalsNodeSetParams policy_set;
};

/// Node clients send `null` for what they do not have, and some send what should be JSON text as JSON.
fn drop_nulls(params: &mut Value) {
    let Some(params) = params.as_object_mut() else { return };
    for key in ["payloadJSON", "error"] {
        if params.get(key).is_some_and(Value::is_null) {
            params.shift_remove(key);
        }
    }
    if params.get("payloadJSON").is_some_and(|text| !text.is_string())
        && let Some(payload) = params.shift_remove("payloadJSON")
    {
        params.insert("payload".to_owned(), payload);
    }
}

/// Every node that is connected or paired, connected ones first.
fn rows(cx: &Ctx) -> Vec<Value> {
    let paired = cx.pairing.paired();
    let is_node = |device: &&Paired| {
        let roles = &device.info.roles;
        roles.iter().any(|role| role == "node") || (roles.is_empty() && device.info.role.as_deref() == Some("node"))
    };
    let devices: BTreeMap<&str, &Paired> =
        paired.values().filter(is_node).map(|device| (device.info.device_id.as_str(), device)).collect();
    let connected = cx.nodes.list();
    let is_connected = |id: &str| connected.iter().any(|node| node.node_id == id);
    let live = connected.iter().map(|node| row(Some(node), devices.get(node.node_id.as_str()).copied()));
    let away = devices.iter().filter(|(id, _)| !is_connected(id)).map(|(_, device)| row(None, Some(device)));
    let mut rows: Vec<Value> = live.chain(away).collect();
    rows.sort_by_cached_key(|row| {
        let name = row["displayName"].as_str().or(row["nodeId"].as_str()).unwrap_or_default().to_lowercase();
        (row["connected"] != true, name, row["nodeId"].as_str().unwrap_or_default().to_owned())
    });
    rows
}

/// One node as clients see it: what it says now, else what it said when it was paired.
fn row(node: Option<&Arc<Node>>, device: Option<&Paired>) -> Value {
    let node = node.map(Arc::as_ref);
    let info = device.map(|device| &device.info);
    let mut row = Map::new();
    let id = node.map(|node| node.node_id.as_str()).or(info.map(|info| info.device_id.as_str()));
    row.insert("nodeId".to_owned(), id.into());
    let from_node = |pick: fn(&Node) -> &Option<String>| node.and_then(|node| pick(node).clone());
    let texts = [
        ("displayName", from_node(|node| &node.display_name).or_else(|| info?.display_name.clone())),
        ("platform", from_node(|node| &node.platform).or_else(|| info?.platform.clone())),
        ("version", from_node(|node| &node.version)),
        ("deviceFamily", from_node(|node| &node.device_family)),
        ("modelIdentifier", from_node(|node| &node.model_identifier)),
        ("remoteIp", from_node(|node| &node.remote_ip).or_else(|| info?.remote_ip.clone())),
    ];
    for (key, text) in texts {
        if let Some(text) = text {
            row.insert(key.to_owned(), text.into());
        }
    }
    let sorted = |list: &[String]| -> Vec<String> {
        let mut list = list.to_vec();
        list.sort();
        list.dedup();
        list
    };
    row.insert("caps".to_owned(), node.map(|node| sorted(&node.caps)).unwrap_or_default().into());
    row.insert("commands".to_owned(), node.map(|node| sorted(&node.commands)).unwrap_or_default().into());
    if let Some(node) = node {
        if let Some(path) = &node.path_env {
            row.insert("pathEnv".to_owned(), path.as_str().into());
        }
        if let Some(permissions) = &node.permissions {
            row.insert("permissions".to_owned(), json!(permissions));
        }
        row.insert("connectedAtMs".to_owned(), node.connected_at_ms.into());
    }
    row.insert("paired".to_owned(), device.is_some().into());
    row.insert("connected".to_owned(), node.is_some().into());
    Value::Object(row)
}

fn list(cx: &Arc<Ctx>, _call: &Call, _params: NodeListParams) -> Result<Reply, ErrorShape> {
    Ok(Reply::Now(json!({"ts": cx.clock.now_ms(), "nodes": rows(cx)})))
}

fn describe(cx: &Arc<Ctx>, _call: &Call, params: NodeDescribeParams) -> Result<Reply, ErrorShape> {
    let id = params.node_id.trim();
    if id.is_empty() {
        return Err(ErrorShape::invalid("nodeId required"));
    }
    let node = rows(cx).into_iter().find(|row| row["nodeId"] == id);
    let Some(Value::Object(node)) = node else { return Err(ErrorShape::invalid("unknown nodeId")) };
    let mut answer = Map::from_iter([("ts".to_owned(), cx.clock.now_ms().into())]);
    answer.extend(node);
    Ok(Reply::Now(Value::Object(answer)))
}

fn invoke(cx: &Arc<Ctx>, call: &Call, params: NodeInvokeParams) -> Result<Reply, ErrorShape> {
    let (node_id, command) = (params.node_id.trim().to_owned(), params.command.trim().to_owned());
    if node_id.is_empty() || command.is_empty() {
        return Err(ErrorShape::invalid("nodeId and command required"));
    }
    // A node that is not there is for `nodes::invoke` to word.
    if let Some(node) = cx.nodes.get(&node_id) {
        nodes::require_allowed(&cx.config.get(), &node, &command)?;
    }
    let ticket = call.ticket(cx);
    let invoke = Invoke {
        node_id: node_id.clone(),
        command: command.clone(),
        params: params.params,
        timeout_ms: params.timeout_ms,
        idempotency_key: Some(params.idempotency_key.0),
    };
    nodes::invoke(cx, invoke, move |result| {
        ticket.finish(result.map(|reply| {
            json!({
                "ok": true, "nodeId": node_id, "command": command,
                "payload": reply.payload, "payloadJSON": reply.payload_json,
            })
        }));
    });
    Ok(Reply::Later)
}

fn invoke_result(cx: &Arc<Ctx>, call: &Call, params: NodeInvokeResultParams) -> Result<Reply, ErrorShape> {
    if *params.node_id != *call.client.node_id() {
        return Err(ErrorShape::invalid("nodeId mismatch"));
    }
    let Some(answer) = cx.nodes.take(&params.id, Some(&params.node_id)) else {
        return Ok(Reply::Now(json!({"ok": true, "ignored": true})));
    };
    answer(Outcome::Done {
        ok: params.ok,
        payload: params.payload,
        payload_json: params.payload_json,
        error: params.error.map(|error| json!(error)),
    });
    Ok(Reply::Now(json!({"ok": true})))
}

fn event(cx: &Arc<Ctx>, call: &Call, params: NodeEventParams) -> Result<Reply, ErrorShape> {
    let payload = match params.payload_json {
        Some(text) => serde_json::from_str(&text).unwrap_or(Value::Null),
        None => params.payload.unwrap_or(Value::Null),
    };
    nodes::event(cx, call.conn, &call.client, &params.event, &payload);
    Ok(Reply::Now(json!({"ok": true})))
}

fn policy_get(cx: &Arc<Ctx>, call: &Call, params: ExecApprovalsNodeGetParams) -> Result<Reply, ErrorShape> {
    policy(cx, call, &params.node_id, "system.execApprovals.get", json!({}))
}

fn policy_set(cx: &Arc<Ctx>, call: &Call, params: ExecApprovalsNodeSetParams) -> Result<Reply, ErrorShape> {
    let mut change = json!({"file": params.file});
    if let Some(base_hash) = params.base_hash {
        change["baseHash"] = base_hash.0.into();
    }
    policy(cx, call, &params.node_id, "system.execApprovals.set", change)
}

/// Asks a node about its policy file: an operator's right, whatever commands the node may be asked for.
fn policy(cx: &Arc<Ctx>, call: &Call, node_id: &str, command: &str, params: Value) -> Result<Reply, ErrorShape> {
    let node_id = node_id.trim().to_owned();
    if node_id.is_empty() {
        return Err(ErrorShape::invalid("nodeId required"));
    }
    let ticket = call.ticket(cx);
    let invoke = Invoke { node_id, command: command.to_owned(), params: Some(params), ..Invoke::default() };
    nodes::invoke(cx, invoke, move |result| ticket.finish(result.map(|reply| reply.payload)));
    Ok(Reply::Later)
}
