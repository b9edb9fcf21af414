//! The page: a few files embedded in the binary, served without authentication (that is in the handshake).
//!
//! Rules of http.md §7.1–7.2: base path, SPA fallback, injected globals. Not here: what the page does.

use bytes::Bytes;
use serde_json::Value;

use crate::agent::{session, workspace};
use crate::gateway::ctx::Ctx;
use crate::net::http::{RequestHead, Response};

const INDEX: &str = include_str!("page/index.html");
const FILES: [(&str, &str, &[u8]); 3] = [
    ("app.js", "application/javascript; charset=utf-8", include_bytes!("page/app.js")),
    ("app.css", "text/css; charset=utf-8", include_bytes!("page/app.css")),
    ("favicon.svg", "image/svg+xml", include_bytes!("page/favicon.svg")),
];

/// What the page makes of a request.
enum Found {
    Response(Response),
    /// The page itself, under this base path; making it reads a file.
    Index(String),
}

/// Answers a request that nobody else claimed; `None` when the page does not claim it either.
pub fn serve(cx: &Ctx, head: &RequestHead) -> Option<Response> {
    Some(match find(cx, head)? {
        Found::Response(response) => response,
        Found::Index(base) => file("text/html; charset=utf-8", Bytes::from(index(cx, &base))),
    })
}

/// Answers it if that takes no more than a glance at memory.
pub fn glance(cx: &Ctx, head: &RequestHead) -> Option<Response> {
    match find(cx, head)? {
        Found::Response(response) => Some(response),
        Found::Index(_) => None,
    }
}

fn find(cx: &Ctx, head: &RequestHead) -> Option<Found> {
    let config = cx.config.get();
    let settings = &config.gateway.control_ui;
    if settings.enabled == Some(false) {
        return None;
    }
    // compat: the method is judged before the path, so any unclaimed POST is a 405 even outside the base path.
    if head.method != "GET" && head.method != "HEAD" {
        return Some(Found::Response(Response::text(405, "Method Not Allowed")));
    }
    let base = base_path(settings.base_path.as_deref());
    let path = normalise(head.path())?;
    if !base.is_empty() && path == base {
        let query = head.target.split_once('?').map(|(_, query)| format!("?{query}")).unwrap_or_default();
        let mut response = Response::text(302, "");
        response.headers = vec![("Location", format!("{base}/{query}"))];
        return Some(Found::Response(response));
    }
    let rest = path.strip_prefix(base.as_str())?.strip_prefix('/')?;
    if base.is_empty() && (rest == "ui" || rest.starts_with("ui/")) {
        return Some(Found::Response(Response::text(404, "Not Found")));
    }
    let name = rest.rsplit('/').next().unwrap_or(rest);
    // Relative asset links work from nested routes: only the file's own name counts.
    Some(match FILES.iter().find(|(file, ..)| *file == name) {
        Some((_, kind, bytes)) => Found::Response(file(kind, Bytes::from_static(bytes))),
        None => Found::Index(base),
    })
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

/// Collapses `.` and `..` segments; `None` for what cannot be a path.
fn normalise(path: &str) -> Option<String> {
    if !path.starts_with('/') || path.contains('\0') {
        return None;
    }
    let mut segments: Vec<&str> = Vec::new();
    for segment in path[1..].split('/') {
        match segment.to_ascii_lowercase().replace("%2e", ".").as_str() {
            "." => {}
            ".." => {
                segments.pop();
            }
            _ => segments.push(segment),
        }
    }
    Some(format!("/{}", segments.join("/")))
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
        assert_eq!(normalise("/a/./b/../c").as_deref(), Some("/a/c"));
        assert_eq!(normalise("/../../etc").as_deref(), Some("/etc"));
        assert_eq!(literal("</script>"), "\"\\u003c/script>\"");
    }
}
