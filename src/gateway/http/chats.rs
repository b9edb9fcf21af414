//! What chat networks send to the gateway's port: their webhooks (channels.md §12.5).
//!
//! The network says whether a path is its own and whether a sender is who it claims to be. The answer is given on a job's
//! thread, once the event is on the disk. Not here: what a request means (`channels`).

use std::sync::Arc;
use std::time::Duration;

use super::exchange::{Exchange, Request};
use super::{BodyRule, Route, Serve, later, nothing_at_once};
use crate::channels;
use crate::channels::channel::{Account, Webhook};
use crate::gateway::chats;
use crate::gateway::ctx::Ctx;
use crate::net::http::Response;

/// The longest message of Telegram that quotes as long a one is a fifth of this.
const BODY_BYTES_MAX: usize = 256 * 1024;
/// How long an event may wait for room; a network that is not answered sends it again.
const PATIENCE: Duration = Duration::from_secs(8);

pub(super) const ROUTE: Route = Route {
    claims: |config, path| channels::all().any(|channel| channel.claims(config, path)),
    glance: nothing_at_once,
    serve: Serve::Later(serve),
    body: BodyRule {
        bytes_max: |_| BODY_BYTES_MAX,
        may_send: |_, _| true,
        too_large: || Response::text(413, "Payload Too Large"),
    },
};

fn serve(cx: &Arc<Ctx>, request: Request, exchange: Exchange) {
    if request.head().method != "POST" {
        return exchange.respond(&Response::text(404, "Not Found"));
    }
    let job_cx = cx.clone();
    later(cx, "a chat network was not heard", move || go(&job_cx, &request, exchange));
}

fn go(cx: &Arc<Ctx>, request: &Request, exchange: Exchange) {
    let config = cx.config.get();
    let at = cx.channels_at(&config);
    let header = |name: &str| request.header(name).map(str::to_owned);
    let asked = Webhook { path: &request.path, header: &header, body: &request.body };
    let status = channels::active(&at).into_iter().find_map(|channel| {
        let sink = |account: &Account| chats::sink(cx, channel.info().id, &account.id, PATIENCE);
        channel.webhook(&at, &asked, &sink)
    });
    let (status, text) = match status {
        Some(200) => (200, "ok"),
        Some(401) => (401, "unauthorized"),
        Some(status) => (status, "not taken"),
        None => (404, "Not Found"),
    };
    exchange.respond(&Response::text(status, text));
}
