//! Events of a stream as text (`text/event-stream`).

use serde_json::Value;

use super::super::exchange::{Exchange, Stream};
use crate::net::http::Response;

/// What ends a stream of OpenAI's kind.
pub const DONE: &str = "data: [DONE]\n\n";

/// A stream under way, as long as somebody reads it.
pub struct Sender(Option<Stream>);

impl Sender {
    /// Begins to answer with a stream.
    pub fn begin(exchange: Exchange) -> Self {
        Self(Some(exchange.stream(&head())))
    }

    /// Sends events; false when nobody reads them, which stays so.
    pub fn send(&mut self, events: &str) -> bool {
        let is_sent = self.0.as_ref().is_some_and(|stream| stream.send(events.as_bytes()).is_ok());
        if !is_sent {
            self.0 = None;
        }
        is_sent
    }

    /// Sends the last events and ends the answer.
    pub fn end(&mut self, events: &str) {
        if self.send(events)
            && let Some(stream) = self.0.take()
        {
            stream.end();
        }
    }
}

/// Returns an event without a name.
pub fn data(data: &Value) -> String {
    format!("data: {data}\n\n")
}

/// Returns an event that is named by its `type`.
pub fn typed(data: &Value) -> String {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap_or_default())
}

/// Returns the head of a stream.
fn head() -> Response {
    Response {
        status: 200,
        headers: vec![
            ("Content-Type", "text/event-stream; charset=utf-8".to_owned()),
            ("Cache-Control", "no-cache".to_owned()),
            // Proxies that collect answers would make one block of it.
            ("X-Accel-Buffering", "no".to_owned()),
        ],
        body: Default::default(),
        close: false,
    }
}
