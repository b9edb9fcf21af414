//! The canvas on the gateway's port; its thread answers. Not here: that thread (`gateway::canvas_host`).

use std::sync::Arc;

use super::exchange::{Exchange, Request};
use super::{NO_BODY, Route, Serve, nothing_at_once};
use crate::canvas;
use crate::gateway::ctx::Ctx;
use crate::net::http::Response;

pub(super) const ROUTE: Route = Route {
    // Also without a canvas: the page must not answer in its place.
    claims: |_, path| canvas::claims(path),
    glance: nothing_at_once,
    serve: Serve::Later(serve),
    body: NO_BODY,
};

fn serve(cx: &Arc<Ctx>, request: Request, exchange: Exchange) {
    match &cx.canvas {
        Some(canvas) => canvas.ask(&request, exchange),
        None => exchange.respond(&Response::text(404, "Not Found")),
    }
}
