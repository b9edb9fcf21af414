//! What the loop asks: greeting, origin check, body caps, and answers that a glance at memory gives. Runs on the loop; no
//! I/O.

use std::sync::Arc;

use serde_json::json;

use super::auth::is_origin_allowed;
use super::client::Client;
use super::ctx::Ctx;
use super::{dispatch, http};
use crate::base::rng::uuid;
use crate::net::http::{RequestHead, Response};
use crate::net::{Greeting, Surface};
use crate::protocol::frame::event_text;

/// The gateway port.
pub struct GatewaySurface(pub Arc<Ctx>);

impl Surface<Client> for GatewaySurface {
    fn answer(&self, client: &Client, frame: &[u8], answers: &mut Vec<u8>) -> bool {
        dispatch::at_once(&self.0, client, frame, answers)
    }

    fn respond(&self, head: &RequestHead) -> Option<Response> {
        http::at_once(&self.0, head)
    }

    fn greet(&self, head: &RequestHead) -> Greeting {
        #[cfg(feature = "canvas")]
        if super::canvas_host::is_live(&self.0, head) {
            return Greeting::Hearer;
        }
        #[cfg(not(feature = "canvas"))]
        let _ = head;
        let nonce = uuid(&*self.0.rng);
        let text = event_text("connect.challenge", &json!({"nonce": nonce, "ts": self.0.clock.now_ms()}));
        Greeting::Client(nonce, text)
    }

    fn refuse_upgrade(&self, head: &RequestHead) -> Option<Response> {
        if is_origin_allowed(head) {
            return None;
        }
        log::warn!(
            target: "gateway/ws",
            "refused a page of another site: origin={} host={}",
            head.header("origin").unwrap_or_default(), head.header("host").unwrap_or_default(),
        );
        let mut response = Response::text(
            403,
            "origin not allowed: open the Control UI from the gateway's own address, or connect without an Origin header",
        );
        response.close = true;
        Some(response)
    }

    fn body_bytes_max(&self, head: &RequestHead) -> usize {
        http::body_bytes_max(&self.0, head)
    }

    fn body_too_large(&self, head: &RequestHead) -> Response {
        http::body_too_large(&self.0, head)
    }
}
