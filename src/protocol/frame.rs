//! Frames: reading requests, writing responses and events.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

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

/// A request as most are sent, read without making anything of its parameters.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope<'a> {
    r#type: Cow<'a, str>,
    /// The client's id of it.
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    /// Method name.
    #[serde(borrow)]
    pub method: Cow<'a, str>,
    #[serde(default, borrow)]
    params: Option<&'a RawValue>,
}

impl<'a> Envelope<'a> {
    /// Reads one; `None` for what does not pass the frame schema, and for oddities that a closer look may let pass.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let envelope: Self = serde_json::from_slice(bytes).ok()?;
        (envelope.r#type == "req" && !envelope.id.is_empty() && !envelope.method.is_empty()).then_some(envelope)
    }

    /// Returns the parameters; `None` when they are no JSON after all.
    pub fn params(&self) -> Option<Value> {
        match self.params {
            Some(params) => serde_json::from_str(params.get()).ok(),
            None => Some(Value::Null),
        }
    }
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
    if let Some(envelope) = Envelope::read(bytes)
        && let Some(params) = envelope.params()
    {
        let Envelope { id, method, .. } = envelope;
        let params = Some(params).filter(|params| !params.is_null());
        return Ok(Request { id: id.into_owned(), method: method.into_owned(), params });
    }
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

/// Returns the text of a successful response up to its payload, behind which only a brace is missing.
pub fn ok_head(id: &str) -> String {
    format!(r#"{{"type":"res","id":{},"ok":true,"payload":"#, text(&id))
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

fn text(frame: &(impl Serialize + ?Sized)) -> String {
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

    /// Whatever the short way takes, the schema takes, with the same parts.
    #[test]
    fn the_short_way_agrees_with_the_schema() {
        for text in [
            r#"{"type":"req","id":"1","method":"health"}"#,
            r#"{"type":"req","id":"1","method":"health","params":null}"#,
            r#" {"params":{"a":[1,{"b":"\u00e9"}]},"method":"he\u0061lth","id":"\"","type":"req"} "#,
            r#"{"type":"req","id":"","method":"health"}"#,
            r#"{"type":"req","id":"1","method":""}"#,
            r#"{"type":"res","id":"1","method":"health"}"#,
            r#"{"type":"req","id":"1","id":"2","method":"health"}"#,
            r#"{"type":"req","id":"1","method":"health","more":1}"#,
            r#"{"type":"req","id":"1","method":"health","params":1e999}"#,
            r#"{"type":"req","id":"1","method":"health"} x"#,
            "[]",
        ] {
            let slow: Result<Value, _> = serde_json::from_str(text);
            let is_valid = slow.as_ref().is_ok_and(|value| validate::check("RequestFrame", value).is_ok());
            assert_eq!(parse_request(text.as_bytes()).is_ok(), is_valid, "{text}");
            let Some(envelope) = Envelope::read(text.as_bytes()) else { continue };
            let Some(params) = envelope.params() else { continue };
            let value = slow.expect("JSON");
            assert_eq!(
                (&*envelope.id, &*envelope.method),
                (value["id"].as_str().unwrap(), value["method"].as_str().unwrap())
            );
            assert_eq!(params, value["params"], "{text}");
        }
    }

    #[test]
    fn deep_nesting_is_not_json() {
        let deep = "[".repeat(100_000);
        assert!(matches!(parse_request(deep.as_bytes()), Err(BadFrame::NotJson(_))));
    }
}
