//! Frames: reading requests, writing responses and events.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::ErrorShape;
use super::validate;

/// A request that passed the frame schema.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Request {
    /// The client's id of it.
    pub id: String,
    /// Method name.
    pub method: String,
    /// Parameters; absent and `null` are the empty object.
    #[serde(default)]
    pub params: Option<Value>,
}

/// Why a text is not a request.
#[derive(Debug, Clone, PartialEq)]
pub enum BadFrame {
    /// Not JSON at all.
    NotJson(String),
    /// JSON, but not a request frame: the id to answer with, and what is wrong.
    NotRequest {
        /// The frame's id as it is, or `"invalid"`.
        id: Value,
        /// `invalid request frame: …`.
        message: String,
    },
}

/// Parses one message of a client.
///
/// # Errors
/// See [`BadFrame`].
pub fn parse_request(bytes: &[u8]) -> Result<Request, BadFrame> {
    let mut value: Value = serde_json::from_slice(bytes).map_err(|error| BadFrame::NotJson(error.to_string()))?;
    if let Err(issues) = validate::check("RequestFrame", &value) {
        let id = value.get_mut("id").map(Value::take).filter(|id| !id.is_null()).unwrap_or_else(|| "invalid".into());
        return Err(BadFrame::NotRequest { id, message: format!("invalid request frame: {issues}") });
    }
    Request::deserialize(value).map_err(|error| BadFrame::NotRequest {
        id: "invalid".into(),
        message: format!("invalid request frame: {error}"),
    })
}

/// A response on its way out.
#[derive(Debug, Serialize)]
struct Response<'a> {
    r#type: &'static str,
    id: &'a Value,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a ErrorShape>,
}

/// Returns the text of a successful response.
pub fn ok_text(id: &Value, payload: &Value) -> String {
    text(&Response { r#type: "res", id, ok: true, payload: Some(payload), error: None })
}

/// Returns the text of a failed response; `payload` only where the original sends both.
pub fn error_text(id: &Value, error: &ErrorShape, payload: Option<&Value>) -> String {
    text(&Response { r#type: "res", id, ok: false, payload, error: Some(error) })
}

/// Returns the text of an event without a sequence number (challenge, node-directed events).
pub fn event_text(event: &str, payload: &Value) -> String {
    #[derive(Serialize)]
    struct Event<'a> {
        r#type: &'static str,
        event: &'a str,
        payload: &'a Value,
    }
    text(&Event { r#type: "event", event, payload })
}

fn text(frame: &impl Serialize) -> String {
    serde_json::to_string(frame).expect("frames hold only JSON values")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, id: &str, message: &str) {
        let expected = BadFrame::NotRequest {
            id: serde_json::from_str(id).expect("id"),
            message: format!("invalid request frame: {message}"),
        };
        assert_eq!(parse_request(text.as_bytes()), Err(expected), "{text}");
    }

    #[test]
    fn bad_frames_are_worded_as_recorded() {
        check(
            r#"{"type":"event","event":"x"}"#,
            r#""invalid""#,
            "must have required property 'id'; must have required property 'method'; at root: unexpected property 'event'; at /type: must be equal to constant",
        );
        check(
            r#"{"type":"req","id":"q1","method":"health","extra":1}"#,
            r#""q1""#,
            "at root: unexpected property 'extra'",
        );
        check(r#"{"type":"req","id":7,"method":"health"}"#, "7", "at /id: must be string");
        check("null", r#""invalid""#, "must be object");
        assert!(matches!(parse_request(b"{oops"), Err(BadFrame::NotJson(_))));
    }

    #[test]
    fn deep_nesting_is_not_json() {
        let deep = "[".repeat(100_000);
        assert!(matches!(parse_request(deep.as_bytes()), Err(BadFrame::NotJson(_))));
    }
}
