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

/// Answers a request on the loop if that takes no more than a glance at memory.
pub fn at_once(cx: &Ctx, head: &RequestHead) -> Option<Response> {
    // Who follows the requests in the log follows them on the workers: the loop writes no files.
    if log::log_enabled!(target: "gateway/http", log::Level::Debug) {
        return None;
    }
    let glance = || SURFACES.iter().find_map(|surface| (surface.glance)(cx, head));
    catch_unwind(AssertUnwindSafe(glance)).ok().flatten()
}

fn route(cx: &Ctx, head: &RequestHead) -> Response {
    let found = SURFACES.iter().find_map(|surface| (surface.serve)(cx, head));
    found.unwrap_or_else(|| Response::text(404, "Not Found"))
}

/// One surface; both answer `None` for what is another's.
struct Surface {
    serve: fn(&Ctx, &RequestHead) -> Option<Response>,
    /// Answers if that takes no more than a glance at memory.
    glance: fn(&Ctx, &RequestHead) -> Option<Response>,
}

/// Every surface, in order of precedence: the first that answers has the request.
const SURFACES: &[Surface] = &[
    #[cfg(feature = "control-ui")]
    Surface { serve: control_ui::serve, glance: control_ui::glance },
];
