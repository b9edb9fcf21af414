//! browser.request: a call of the browser control, carried out by a node that offers it.
//!
//! This version controls no browser of its own; the method is later than the original's 2026.1.24 and its name and form
//! are those under which newer clients ask.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Method, methods};
use crate::base::text::unless_blank;
use crate::gateway::ctx::Ctx;
use crate::gateway::dispatch::{Call, Reply};
use crate::gateway::nodes::{self, Invoke};
use crate::nodes::registry::Node;
use crate::protocol::browser::BrowserRequestParams;
use crate::protocol::error::ErrorShape;

pub(super) const METHODS: &[Method] = methods! {
    "browser.request" Write BrowserRequestParams request, hidden;
};

/// The command of nodes that have a browser.
const COMMAND: &str = "browser.proxy";

fn request(cx: &Arc<Ctx>, call: &Call, params: BrowserRequestParams) -> Result<Reply, ErrorShape> {
    let method = params.method.trim().to_uppercase();
    if !matches!(method.as_str(), "GET" | "POST" | "DELETE") {
        return Err(ErrorShape::invalid("method must be GET, POST, or DELETE"));
    }
    let path = params.path.trim();
    if path.is_empty() {
        return Err(ErrorShape::invalid("path required"));
    }
    let node = browser_node(cx)?;
    nodes::require_allowed(&cx.config.get(), &node, COMMAND)?;
    let mut proxied = json!({"method": method, "path": path});
    for (key, value) in [("query", params.query), ("body", params.body)] {
        if let Some(value) = value {
            proxied[key] = value;
        }
    }
    if let Some(timeout_ms) = params.timeout_ms {
        proxied["timeoutMs"] = timeout_ms.into();
    }
    let invoke = Invoke {
        node_id: node.node_id.clone(),
        command: COMMAND.to_owned(),
        params: Some(proxied),
        timeout_ms: params.timeout_ms,
        idempotency_key: Some(crate::base::rng::uuid(&*cx.rng)),
    };
    let ticket = call.ticket(cx);
    nodes::invoke(cx, invoke, move |result| {
        // Nodes wrap the answer together with files that belong to it.
        ticket.finish(result.map(|reply| match reply.payload {
            Value::Object(mut answer) if answer.contains_key("result") => answer.remove("result").unwrap_or_default(),
            payload => payload,
        }));
    });
    Ok(Reply::Later)
}

/// Finds the node whose browser is used: the configured one, else the only one that offers it.
fn browser_node(cx: &Ctx) -> Result<Arc<Node>, ErrorShape> {
    let config = cx.config.get();
    let settings = &config.gateway.nodes.browser;
    let offering: Vec<Arc<Node>> =
        cx.nodes.list().into_iter().filter(|node| node.commands.iter().any(|command| command == COMMAND)).collect();
    let named = settings.node.as_deref().and_then(unless_blank);
    let unavailable = |text: &str| Err(ErrorShape::unavailable(text));
    match (settings.mode.as_deref(), named, offering.as_slice()) {
        (Some("off"), ..) => unavailable("browser control through nodes is off (gateway.nodes.browser.mode)"),
        (_, Some(named), offering) => {
            let is_it = |node: &&Arc<Node>| node.node_id == named || node.display_name.as_deref() == Some(named);
            let found = offering.iter().find(is_it).cloned();
            found.ok_or_else(|| ErrorShape::unavailable(format!("browser node \"{named}\" is not connected")))
        }
        (Some("manual"), None, _) => unavailable("name the browser's node in gateway.nodes.browser.node"),
        (_, None, [node]) => Ok(node.clone()),
        (_, None, []) => unavailable(
            "browser control is not built into this version yet, and no connected node offers browser.proxy",
        ),
        (_, None, _) => unavailable("several nodes offer a browser: name one in gateway.nodes.browser.node"),
    }
}
