//! node.pair.*, node.rename: the older store of nodes. Handlers run on the lane `pairing`, one at a time.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Method, methods};
use crate::gateway::ctx::Ctx;
use crate::gateway::dispatch::{Call, Reply};
use crate::gateway::events;
use crate::nodes::pairing::NodeInfo;
use crate::protocol::NonEmpty;
use crate::protocol::error::ErrorShape;
use crate::protocol::node_pair::{
    NodePairApproveParams, NodePairListParams, NodePairRejectParams, NodePairRequestParams, NodePairVerifyParams,
    NodeRenameParams,
};

pub(super) const METHODS: &[Method] = methods! {
    "node.pair.request" Pairing NodePairRequestParams request on pairing;
    "node.pair.list" Pairing NodePairListParams list on pairing;
    "node.pair.approve" Pairing NodePairApproveParams approve on pairing;
    "node.pair.reject" Pairing NodePairRejectParams reject on pairing;
    "node.pair.verify" Pairing NodePairVerifyParams verify on pairing;
    "node.rename" Pairing NodeRenameParams rename on pairing;
};

fn request(cx: &Arc<Ctx>, _call: &Call, params: NodePairRequestParams) -> Result<Reply, ErrorShape> {
    let node_id = params.node_id.trim();
    if node_id.is_empty() {
        return Err(ErrorShape::exception("nodeId required"));
    }
    let text = |text: Option<NonEmpty>| text.map(|text| text.0);
    let list = |list: Option<Vec<NonEmpty>>| list.map(|list| list.into_iter().map(|item| item.0).collect());
    let info = NodeInfo {
        display_name: text(params.display_name),
        platform: text(params.platform),
        version: text(params.version),
        core_version: text(params.core_version),
        ui_version: text(params.ui_version),
        device_family: text(params.device_family),
        model_identifier: text(params.model_identifier),
        caps: list(params.caps),
        commands: list(params.commands),
        permissions: None,
        remote_ip: text(params.remote_ip),
    };
    let raised = cx.node_pairing.request(node_id, info, params.silent, cx.clock.now_ms(), &*cx.rng);
    let (request, is_new) = raised.map_err(ErrorShape::exception)?;
    if is_new {
        events::broadcast(&cx.net, events::NODE_PAIR_REQUESTED, &request, None);
    }
    Ok(Reply::Now(json!({"status": "pending", "request": request, "created": is_new})))
}

fn list(cx: &Arc<Ctx>, _call: &Call, _params: NodePairListParams) -> Result<Reply, ErrorShape> {
    let (pending, paired) = cx.node_pairing.list(cx.clock.now_ms());
    // The original lists the tokens too, which no client reads: they are for approve and verify.
    let shown = paired.iter().map(|node| {
        let mut node = json!(node);
        node.as_object_mut().map(|node| node.shift_remove("token"));
        node
    });
    Ok(Reply::Now(json!({"pending": pending, "paired": shown.collect::<Vec<Value>>()})))
}

fn approve(cx: &Arc<Ctx>, _call: &Call, params: NodePairApproveParams) -> Result<Reply, ErrorShape> {
    let id = &*params.request_id;
    let approved = cx.node_pairing.approve(id, cx.clock.now_ms(), &*cx.rng).map_err(ErrorShape::exception)?;
    let node = approved.ok_or_else(|| ErrorShape::invalid("unknown requestId"))?;
    resolved(cx, id, &node.node_id, "approved");
    Ok(Reply::Now(json!({"requestId": id, "node": node})))
}

fn reject(cx: &Arc<Ctx>, _call: &Call, params: NodePairRejectParams) -> Result<Reply, ErrorShape> {
    let id = &*params.request_id;
    let rejected = cx.node_pairing.reject(id, cx.clock.now_ms()).map_err(ErrorShape::exception)?;
    let node_id = rejected.ok_or_else(|| ErrorShape::invalid("unknown requestId"))?.node_id;
    resolved(cx, id, &node_id, "rejected");
    Ok(Reply::Now(json!({"requestId": id, "nodeId": node_id})))
}

fn verify(cx: &Arc<Ctx>, _call: &Call, params: NodePairVerifyParams) -> Result<Reply, ErrorShape> {
    Ok(Reply::Now(match cx.node_pairing.verify(params.node_id.trim(), &params.token) {
        Some(node) => json!({"ok": true, "node": node}),
        None => json!({"ok": false}),
    }))
}

fn rename(cx: &Arc<Ctx>, _call: &Call, params: NodeRenameParams) -> Result<Reply, ErrorShape> {
    let (node_id, name) = (params.node_id.trim(), params.display_name.trim());
    if name.is_empty() {
        return Err(ErrorShape::invalid("displayName required"));
    }
    if !cx.node_pairing.rename(node_id, name).map_err(ErrorShape::exception)? {
        return Err(ErrorShape::invalid("unknown nodeId"));
    }
    Ok(Reply::Now(json!({"nodeId": node_id, "displayName": name})))
}

fn resolved(cx: &Ctx, request_id: &str, node_id: &str, decision: &str) {
    let payload = json!({"requestId": request_id, "nodeId": node_id, "decision": decision, "ts": cx.clock.now_ms()});
    events::broadcast(&cx.net, events::NODE_PAIR_RESOLVED, &payload, None);
}
