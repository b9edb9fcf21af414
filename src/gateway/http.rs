//! Plain HTTP requests: the list of routes, in precedence order (http.md §1.1).
//!
//! The loop asks here how long a body may be, and for answers that a glance at memory gives; everything else runs on frame
//! workers, and what takes longer goes from there to a job with its [`Exchange`]. Not here: what routes do.

#[cfg(feature = "canvas")]
mod canvas;
mod chats;
#[cfg(feature = "control-ui")]
mod control_ui;
mod exchange;
mod hooks;
#[cfg(feature = "http-api")]
mod openai;
mod probes;
mod reply;
#[cfg(feature = "http-api")]
mod tools_invoke;
mod unknown;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;

pub use self::exchange::{Exchange, Request};
use super::ctx::Ctx;
use crate::base::ids::ConnId;
use crate::config::types::Config;
use crate::net::Peer;
use crate::net::flow::Flow;
use crate::net::http::{RequestHead, Response};

/// Body cap of routes that take none: a small one is read and ignored, so that the answer is the route's own.
const BODY_BYTES_IGNORED: usize = 64 * 1024;
/// Lane of requests that wait for something: media, tools, hooks, chat networks; and of large ones.
pub const LANE: &str = "http";

/// One surface.
struct Route {
    /// Whether a path is its own.
    claims: fn(&Config, &str) -> bool,
    /// Answers if that takes no more than a glance at memory.
    glance: fn(&Ctx, &RequestHead, &str) -> Option<Response>,
    serve: Serve,
    body: BodyRule,
}

/// How long a request's body may be.
struct BodyRule {
    bytes_max: fn(&Config) -> usize,
    /// Whether whoever sends this head may send that much; others are refused by what the head alone says.
    may_send: fn(&Ctx, &RequestHead) -> bool,
    /// Says that it is too long.
    too_large: fn() -> Response,
}

/// Who answers.
enum Serve {
    /// The frame worker, at once.
    Now(fn(&Arc<Ctx>, &Request) -> Response),
    /// Whoever gets the exchange.
    Later(fn(&Arc<Ctx>, Request, Exchange)),
}

/// Every surface, in order of precedence: the first that claims a path has it.
const ROUTES: &[Route] = &[
    probes::PROBES,
    probes::METRICS,
    hooks::ROUTE,
    chats::ROUTE,
    #[cfg(feature = "http-api")]
    tools_invoke::ROUTE,
    #[cfg(feature = "http-api")]
    openai::COMPLETIONS,
    #[cfg(feature = "http-api")]
    openai::RESPONSES,
    #[cfg(feature = "http-api")]
    openai::MODELS,
    unknown::ROUTE,
    #[cfg(feature = "canvas")]
    canvas::ROUTE,
    #[cfg(feature = "control-ui")]
    control_ui::AVATAR,
    #[cfg(feature = "control-ui")]
    control_ui::ROUTE,
];

const NO_BODY: BodyRule = BodyRule {
    bytes_max: |_| BODY_BYTES_IGNORED,
    may_send: |_, _| true,
    too_large: || Response::text(413, "Payload Too Large"),
};

fn nothing_at_once(_: &Ctx, _: &RequestHead, _: &str) -> Option<Response> {
    None
}

fn route(config: &Config, path: &str) -> Option<&'static Route> {
    ROUTES.iter().find(|route| (route.claims)(config, path))
}

/// Answers one request, or has it answered.
pub fn handle(cx: &Arc<Ctx>, conn: ConnId, peer: Peer, body: Bytes, flow: Arc<Flow>) {
    let exchange = Exchange::new(cx, conn, flow, peer.head.clone());
    let Some(path) = peer.head.routed_path() else {
        return exchange.respond(&Response::text(400, "Bad Request: this is no path"));
    };
    let Some(route) = route(&cx.config.get(), &path) else {
        return exchange.respond(&Response::text(404, "Not Found"));
    };
    let request = Request { peer, path, body };
    match route.serve {
        Serve::Now(serve) => {
            let response = catch_unwind(AssertUnwindSafe(|| serve(cx, &request)))
                .unwrap_or_else(|_| Response::text(500, "Internal Server Error"));
            exchange.respond(&response);
        }
        Serve::Later(serve) => {
            let is_large = request.body.len() > BODY_BYTES_IGNORED;
            let job_cx = cx.clone();
            let go = move || {
                // An exchange that a panic drops is answered by that.
                if catch_unwind(AssertUnwindSafe(|| serve(&job_cx, request, exchange))).is_err() {
                    log::error!(target: "gateway/http", "a request failed; it was answered as unavailable");
                }
            };
            // Frames do not wait until megabytes are parsed.
            match is_large {
                false => go(),
                true => later(cx, "a large request was not served", go),
            }
        }
    }
}

/// Has a job go on with a request; where there is no room for it, the log says `lost`. The job's exchange, dropped, answers.
pub fn later(cx: &Ctx, lost: &'static str, job: impl FnOnce() + Send + 'static) {
    if let Err(error) = cx.jobs.submit(vec![LANE.to_owned()], job) {
        log::warn!(target: "gateway/http", "{lost}: {error}");
    }
}

/// Answers a request on the loop if that takes no more than a glance at memory.
pub fn at_once(cx: &Ctx, head: &RequestHead) -> Option<Response> {
    // Who follows the requests in the log follows them on the workers: the loop writes no files.
    if log::log_enabled!(target: "gateway/http", log::Level::Debug) {
        return None;
    }
    let glance = || {
        let path = head.routed_path()?;
        (route(&cx.config.get(), &path)?.glance)(cx, head, &path)
    };
    let response = catch_unwind(AssertUnwindSafe(glance)).ok().flatten()?;
    cx.metrics.http_at_once.add();
    cx.metrics.answered(response.status);
    Some(response)
}

/// Returns how many bytes of body a request may have.
pub fn body_bytes_max(cx: &Ctx, head: &RequestHead) -> usize {
    match body_rule(cx, head) {
        Some(rule) if (rule.may_send)(cx, head) => (rule.bytes_max)(&cx.config.get()),
        _ => BODY_BYTES_IGNORED,
    }
}

/// Says that a body is too long, or that it would not be welcome at any length.
pub fn body_too_large(cx: &Ctx, head: &RequestHead) -> Response {
    match body_rule(cx, head) {
        Some(rule) if !(rule.may_send)(cx, head) => reply::openai_error(401, "unauthorized", "Unauthorized"),
        Some(rule) => (rule.too_large)(),
        None => (NO_BODY.too_large)(),
    }
}

fn body_rule(cx: &Ctx, head: &RequestHead) -> Option<&'static BodyRule> {
    Some(&route(&cx.config.get(), &head.routed_path()?)?.body)
}
