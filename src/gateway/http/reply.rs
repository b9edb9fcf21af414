//! What routes have in common: who may ask, bodies as JSON, and errors in the shape that each surface promises.
//!
//! Runs where its callers do. Not here: routes.

use serde_json::{Map, Value, json};

use super::exchange::Request;
use crate::base::text::percent_decoded;
use crate::gateway::auth::{host_name, is_origin_allowed, may_be_rebound, place};
use crate::gateway::ctx::Ctx;
use crate::net::http::{RequestHead, Response};

/// Refuses other methods than `POST`.
///
/// # Errors
/// With the response.
pub fn require_post(request: &Request) -> Result<(), Response> {
    if request.head().method == "POST" { Ok(()) } else { Err(not_allowed("POST")) }
}

/// Says which methods a route takes.
pub fn not_allowed(methods: &str) -> Response {
    Response::text(405, "Method Not Allowed").with("Allow", methods)
}

/// Returns what OpenAI's clients read as an error.
pub fn openai_error(status: u16, kind: &str, message: impl Into<String>) -> Response {
    Response::json(status, &json!({"error": {"message": message.into(), "type": kind}}))
}

/// Says that an API is switched off.
pub fn off(endpoint: &str) -> Response {
    let message = format!("This API is switched off; set gateway.http.endpoints.{endpoint}.enabled to true");
    openai_error(404, "not_found", message)
}

/// Returns what they read when a body is too large.
pub fn too_large() -> Response {
    openai_error(413, "invalid_request_error", "payload too large")
}

/// Returns what OpenAI's clients read as their own mistake.
pub fn invalid_request(message: impl Into<String>) -> Response {
    openai_error(400, "invalid_request_error", message)
}

/// Returns the failure of a run. Clients that repeat failed requests by themselves must not repeat this one: the run is in
/// the session.
pub fn failed_run(message: impl Into<String>) -> Response {
    openai_error(500, "api_error", message).with("x-should-retry", "false")
}

/// Refuses whoever does not show the gateway's secret.
///
/// # Errors
/// With the response.
pub fn require_secret(cx: &Ctx, request: &Request) -> Result<(), Response> {
    let unauthorized = || openai_error(401, "unauthorized", "Unauthorized");
    let head = request.head();
    let config = cx.config.get();
    let place = place(&config, &request.peer);
    let given = bearer(head);
    if cx.auth.check(&request.peer, &place, given, given).is_err() {
        return Err(unauthorized());
    }
    if cx.auth.is_required() {
        return Ok(());
    }
    // Without a secret every page that a browser on this machine has open could ask, were it not for this.
    let asked = host_name(head.header("host").unwrap_or_default()).to_ascii_lowercase();
    let is_local_name = asked.is_empty()
        || asked == "localhost"
        || asked.ends_with(".localhost")
        || asked.ends_with(".ts.net")
        // Nobody far away owns a name without a dot.
        || !asked.contains('.')
        || asked.parse::<std::net::IpAddr>().is_ok();
    if place.has_untrusted_proxy || !is_local_name || !is_origin_allowed(head) || may_be_rebound(head) {
        let message = "Forbidden: without a secret the gateway answers programs on this machine only; set \
                       gateway.auth.token and send it as a bearer token";
        return Err(openai_error(403, "forbidden", message));
    }
    Ok(())
}

/// Returns whether a head shows the gateway's secret, as far as a glance can tell: before a large body is taken in.
pub fn may_send_much(cx: &Ctx, head: &RequestHead) -> bool {
    !cx.auth.is_required() || cx.auth.allow_tailscale || bearer(head).is_some_and(|given| cx.auth.is_secret(given))
}

/// Returns the secret in `Authorization: Bearer`.
pub fn bearer(head: &RequestHead) -> Option<&str> {
    let value = head.header("authorization")?.trim();
    let (scheme, secret) = value.split_once(|c: char| c.is_whitespace())?;
    let secret = secret.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !secret.is_empty()).then_some(secret)
}

/// Reads a body as JSON; an empty one counts as an empty object.
///
/// # Errors
/// What is wrong with it, as the original's parser begins to say it.
pub fn json_body(body: &[u8]) -> Result<Value, String> {
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    if text.is_empty() {
        return Ok(json!({}));
    }
    serde_json::from_str(text).map_err(|error| format!("SyntaxError: the body is not JSON: {error}"))
}

/// Returns the fields of a body; none for what is no object.
pub fn fields(body: Value) -> Map<String, Value> {
    match body {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// Returns the fields of a query, decoded; the first of a name counts.
pub fn query(head: &RequestHead) -> Map<String, Value> {
    let mut fields = Map::new();
    for pair in head.query().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        fields.entry(percent_decoded(name)).or_insert_with(|| percent_decoded(value).into());
    }
    fields
}

/// Returns a trimmed text that is not blank.
pub fn text(value: Option<&Value>) -> Option<&str> {
    value.and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bearers() {
        let check = |value: &str, expected: Option<&str>| {
            let headers = vec![("authorization".to_owned(), value.to_owned())];
            let head = RequestHead { method: "POST".into(), target: "/".into(), is_http11: true, headers };
            assert_eq!(bearer(&head), expected, "{value}");
        };
        check("Bearer tok", Some("tok"));
        check("bEARER   tok ", Some("tok"));
        check("Bearer ", None);
        check("Basic dG9r", None);
        check("tok", None);
    }

    #[test]
    fn queries() {
        let head = RequestHead {
            method: "GET".into(),
            target: "/a?x=1%2B+&y&x=2&%zz=%".into(),
            is_http11: true,
            headers: vec![],
        };
        assert_eq!(Value::Object(query(&head)), json!({"x": "1+ ", "y": "", "%zz": "%"}));
    }

    #[test]
    fn bodies() {
        assert_eq!(json_body(b" "), Ok(json!({})));
        assert_eq!(json_body(b"[1]"), Ok(json!([1])));
        assert!(json_body(b"{nope").is_err_and(|error| error.starts_with("SyntaxError: ")));
    }
}
