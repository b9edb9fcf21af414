//! Plain HTTP requests: the route list, in precedence order (http.md §1.1). Runs on frame workers.

#[cfg(feature = "control-ui")]
mod control_ui;

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::ctx::Ctx;
use crate::base::ids::ConnId;
use crate::net::LoopMsg;
use crate::net::http::{RequestHead, Response};

/// Answers one request.
pub fn handle(cx: &Arc<Ctx>, conn: ConnId, address: SocketAddr, head: &RequestHead, _body: &[u8]) {
    let response = catch_unwind(AssertUnwindSafe(|| route(cx, head)))
        .unwrap_or_else(|_| Response::text(500, "Internal Server Error"));
    log::debug!(target: "gateway/http", "{} {} -> {} from {}", head.method, head.path(), response.status, address.ip());
    let (response, keep_alive) = response.encode(Some(head), cx.clock.now_ms());
    cx.net.send(LoopMsg::HttpReply { conn, response, keep_alive });
}

fn route(cx: &Ctx, head: &RequestHead) -> Response {
    ROUTES.iter().find_map(|route| route(cx, head)).unwrap_or_else(|| Response::text(404, "Not Found"))
}

/// Every surface, in order of precedence: the first that answers has the request.
const ROUTES: &[fn(&Ctx, &RequestHead) -> Option<Response>] = &[
    #[cfg(feature = "control-ui")]
    control_ui::serve,
];
