//! The page: a few files embedded in the binary, served without authentication (that is in the handshake).
//!
//! Rules of http.md §7.1–7.2: base path, SPA fallback, injected globals. Not here: what the page does.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use super::exchange::Request;
use super::{NO_BODY, Route, Serve};
use crate::agent::{session, workspace};
use crate::gateway::ctx::Ctx;
use crate::net::http::{RequestHead, Response};

const INDEX: &str = include_str!("page/index.html");
const FILES: [(&str, &str, &[u8]); 3] = [
    ("app.js", "application/javascript; charset=utf-8", include_bytes!("page/app.js")),
    ("app.css", "text/css; charset=utf-8", include_bytes!("page/app.css")),
    ("favicon.svg", "image/svg+xml", include_bytes!("page/favicon.svg")),
];

/// Everything that nobody else claims is the page's; what it does not serve is not found.
pub(super) const ROUTE: Route =
    Route { claims: |_, _| true, glance: self::glance, serve: Serve::Now(self::serve), body: NO_BODY };

/// What the page makes of a request.
enum Found {
    Response(Response),
    /// The page itself, under this base path; making it reads a file.
    Index(String),
}

fn serve(cx: &Arc<Ctx>, request: &Request) -> Response {
    match find(cx, request.head(), &request.path) {
        Found::Response(response) => response,
        Found::Index(base) => file("text/html; charset=utf-8", Bytes::from(index(cx, &base))),
    }
}

fn glance(cx: &Ctx, head: &RequestHead, path: &str) -> Option<Response> {
    match find(cx, head, path) {
        Found::Response(response) => Some(response),
        Found::Index(_) => None,
    }
}

fn find(cx: &Ctx, head: &RequestHead, path: &str) -> Found {
    let config = cx.config.get();
    let settings = &config.gateway.control_ui;
    let not_found = || Found::Response(Response::text(404, "Not Found"));
    if settings.enabled == Some(false) {
        return not_found();
    }
    // compat: the method is judged before the path, so any unclaimed POST is a 405 even outside the base path.
    if head.method != "GET" && head.method != "HEAD" {
        return Found::Response(Response::text(405, "Method Not Allowed"));
    }
    let base = base_path(settings.base_path.as_deref());
    if !base.is_empty() && path == base {
        let query = head.query();
        let query = if query.is_empty() { String::new() } else { format!("?{query}") };
        let mut response = Response::text(302, "");
        response.headers = vec![("Location", format!("{base}/{query}"))];
        return Found::Response(response);
    }
    let Some(rest) = path.strip_prefix(base.as_str()).and_then(|rest| rest.strip_prefix('/')) else {
        return not_found();
    };
    if base.is_empty() && (rest == "ui" || rest.starts_with("ui/")) {
        return not_found();
    }
    let name = rest.rsplit('/').next().unwrap_or(rest);
    // Relative asset links work from nested routes: only the file's own name counts.
    match FILES.iter().find(|(file, ..)| *file == name) {
        Some((_, kind, bytes)) => Found::Response(file(kind, Bytes::from_static(bytes))),
        None => Found::Index(base),
    }
}

fn file(kind: &str, body: Bytes) -> Response {
    let headers = vec![("Cache-Control", "no-cache".to_owned()), ("Content-Type", kind.to_owned())];
    Response { status: 200, headers, body, close: false }
}

/// `x/` → `/x`, `/` → the empty path.
fn base_path(configured: Option<&str>) -> String {
    let trimmed = configured.unwrap_or_default().trim().trim_end_matches('/');
    match trimmed {
        "" => String::new(),
        path if path.starts_with('/') => path.to_owned(),
        path => format!("/{path}"),
    }
}

/// The page with the globals that its script reads.
fn index(cx: &Ctx, base: &str) -> String {
    let config = cx.config.get();
    let identity = workspace::identity(&config, &cx.paths, &session::default_agent(&config));
    let globals = [
        ("__CLAWDBOT_CONTROL_UI_BASE_PATH__", base),
        ("__CLAWDBOT_ASSISTANT_NAME__", identity.name.as_str()),
        ("__CLAWDBOT_ASSISTANT_AVATAR__", identity.avatar.as_str()),
    ];
    let script: String = globals.iter().map(|(name, value)| format!("window.{name}={};", literal(value))).collect();
    INDEX.replacen("</head>", &format!("<script>{script}</script></head>"), 1)
}

/// A JSON string that cannot end the script element it stands in.
fn literal(text: &str) -> String {
    Value::from(text).to_string().replace('<', "\\u003c")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        assert_eq!(base_path(Some("/")), "");
        assert_eq!(base_path(Some("x/")), "/x");
        assert_eq!(literal("</script>"), "\"\\u003c/script>\"");
    }
}
