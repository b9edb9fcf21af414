//! `POST /tools/invoke`: one call of one of the agent's tools, without a model (http.md §4).
//!
//! Reads the request on a frame worker; the call has a job's thread. Not here: the tools, and who may use which.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::exchange::{Exchange, Request};
use super::{BodyRule, Route, Serve, later, nothing_at_once, reply};
use crate::agent::run::{SingleCall, SingleFailure, call_one};
use crate::agent::session;
use crate::base::cancel::{CancelReason, CancelToken};
use crate::base::ids::RunId;
use crate::base::rng::uuid;
use crate::channels;
use crate::gateway::ctx::Ctx;
use crate::gateway::runs::Active;
use crate::gateway::tool_host;
use crate::net::http::Response;

const BODY_BYTES_MAX: usize = 2 * 1024 * 1024;

pub(super) const ROUTE: Route = Route {
    claims: |_, path| path == "/tools/invoke",
    glance: nothing_at_once,
    serve: Serve::Later(serve),
    body: BodyRule { bytes_max: |_| BODY_BYTES_MAX, may_send: reply::may_send_much, too_large: reply::too_large },
};

/// What a request asks for.
struct Asked {
    tool: String,
    action: Option<String>,
    args: Map<String, Value>,
    session: Option<String>,
    channel: String,
}

fn serve(cx: &Arc<Ctx>, request: Request, exchange: Exchange) {
    let asked = match read(cx, &request) {
        Ok(asked) => asked,
        Err(response) => return exchange.respond(&response),
    };
    let job_cx = cx.clone();
    later(cx, "a tool was not called", move || call(&job_cx, asked, exchange));
}

fn read(cx: &Arc<Ctx>, request: &Request) -> Result<Asked, Response> {
    reply::require_post(request)?;
    reply::require_secret(cx, request)?;
    let body = reply::fields(reply::json_body(&request.body).map_err(reply::invalid_request)?);
    let tool =
        reply::text(body.get("tool")).ok_or_else(|| reply::invalid_request("tools.invoke requires body.tool"))?;
    let channel = request.header("x-clawdbot-message-channel").and_then(channels::normalize);
    Ok(Asked {
        tool: tool.to_owned(),
        action: reply::text(body.get("action")).map(str::to_owned),
        args: reply::fields(body.get("args").cloned().unwrap_or_default()),
        session: reply::text(body.get("sessionKey")).map(str::to_owned),
        channel: channel.unwrap_or("webchat").to_owned(),
    })
}

fn call(cx: &Arc<Ctx>, asked: Asked, exchange: Exchange) {
    let config = cx.config.get();
    let session = session::canonical_key(&config, asked.session.as_deref().unwrap_or("main"), None);
    let cancel = CancelToken::new();
    let client_gone = cancel.clone();
    exchange.flow().on_gone(move || client_gone.cancel(CancelReason::Aborted));
    // Among the runs, so that a stop ends it and a restart waits for it.
    let id = RunId::new(format!("http-{}", uuid(&*cx.rng)));
    let active = Active {
        cancel: cancel.clone(),
        session: session.clone(),
        echo: None,
        is_chat: false,
        mailbox: Arc::default(),
    };
    if !cx.runs.begin(&id, active) {
        return;
    }
    let single = SingleCall {
        agent: &session::agent_of_key(&config, &session),
        session: &session,
        channel: &asked.channel,
        speaker: None,
        tool: &asked.tool,
        action: asked.action.as_deref(),
        args: asked.args,
    };
    let failed = |status, kind: &str, message: &str| {
        Response::json(status, &json!({"ok": false, "error": {"type": kind, "message": message}}))
    };
    let called = catch_unwind(AssertUnwindSafe(|| call_one(&cx.agent, single, &tool_host::of(cx), &cancel)));
    drop(cx.runs.put_down(&id));
    let called =
        called.unwrap_or_else(|_| Err(SingleFailure::Failed("the tool failed; see the gateway's log".to_owned())));
    exchange.respond(&match called {
        Ok(result) => Response::json(200, &json!({"ok": true, "result": result})),
        Err(SingleFailure::NotAvailable) => failed(404, "not_found", &format!("Tool not available: {}", asked.tool)),
        Err(SingleFailure::Failed(message)) => failed(400, "tool_error", &message),
    });
}
