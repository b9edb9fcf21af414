//! Plain HTTP requests: the route list, in precedence order (http.md §1.1). Runs on frame workers.

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

/// Answers a request on the loop if that takes no more than a glance at memory.
pub fn at_once(cx: &Ctx, head: &RequestHead) -> Option<Response> {
    // Who follows the requests in the log follows them on the workers: the loop writes no files.
    if log::log_enabled!(target: "gateway/http", log::Level::Debug) {
        return None;
    }
    catch_unwind(AssertUnwindSafe(|| control_ui::glance(cx, head))).ok().flatten()
}

fn route(cx: &Ctx, head: &RequestHead) -> Response {
    control_ui::serve(cx, head).unwrap_or_else(|| Response::text(404, "Not Found"))
}
