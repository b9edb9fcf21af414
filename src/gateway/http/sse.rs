//! Events of a stream as text (`text/event-stream`).

use serde_json::Value;

use crate::net::http::Response;

/// What ends a stream of OpenAI's kind.
pub const DONE: &str = "data: [DONE]\n\n";

/// Returns an event without a name.
pub fn data(data: &Value) -> String {
    format!("data: {data}\n\n")
}

/// Returns an event that is named by its `type`.
pub fn typed(data: &Value) -> String {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap_or_default())
}

/// Returns the head of a stream.
pub fn head() -> Response {
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
