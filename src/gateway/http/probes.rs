//! `GET /healthz` and `/readyz` for load balancers and containers, and `GET /metrics` for Prometheus.
//!
//! The first two are answered from memory, on the loop; the last only where it is switched on, to whoever shows the
//! gateway's secret. Not here: what is counted (`gateway::metrics`).

use std::sync::Arc;

use super::exchange::Request;
use super::{NO_BODY, Route, Serve, nothing_at_once, reply};
use crate::gateway::ctx::Ctx;
use crate::gateway::metrics;
use crate::net::http::{RequestHead, Response};

pub(super) const PROBES: Route = Route {
    claims: |_, path| path == "/healthz" || path == "/readyz",
    glance: |cx, head, path| Some(probe(cx, head, path)),
    serve: Serve::Now(|cx, request| probe(cx, request.head(), &request.path)),
    body: NO_BODY,
};

pub(super) const METRICS: Route = Route {
    claims: |_, path| path == "/metrics",
    glance: nothing_at_once,
    serve: Serve::Now(|cx, request| measured(cx, request).unwrap_or_else(|response| response)),
    body: NO_BODY,
};

/// Alive is who answers; ready is who may be sent work.
fn probe(cx: &Ctx, head: &RequestHead, path: &str) -> Response {
    if !head.is_asking() {
        return reply::not_allowed("GET, HEAD");
    }
    let is_going = cx.lifecycle.is_restarting() || cx.lifecycle.stopping().is_cancelled();
    let response = match path {
        "/readyz" if is_going => Response::text(503, "stopping\n"),
        "/readyz" => Response::text(200, "ready\n"),
        _ => Response::text(200, "ok\n"),
    };
    response.with("Cache-Control", "no-store")
}

fn measured(cx: &Arc<Ctx>, request: &Request) -> Result<Response, Response> {
    if cx.config.get().gateway.http.endpoints.metrics.enabled != Some(true) {
        return Err(reply::off("metrics"));
    }
    if !request.head().is_asking() {
        return Err(reply::not_allowed("GET, HEAD"));
    }
    reply::require_secret(cx, request)?;
    let mut response = Response::text(200, metrics::page(cx)).with("Cache-Control", "no-store");
    response.headers[0].1 = "text/plain; version=0.0.4; charset=utf-8".to_owned();
    Ok(response)
}
