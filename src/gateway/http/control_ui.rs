//! The page: a few files embedded in the binary, served without authentication (that is in the handshake).
//!
//! Rules of http.md §7.1–7.2: base path, SPA fallback, injected globals. Not here: what the page does.

mod avatar;

use std::sync::{Arc, LazyLock};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use bytes::Bytes;
use serde_json::Value;

use super::exchange::Request;
use super::{NO_BODY, Route, Serve, nothing_at_once};
use crate::agent::{session, workspace};
use crate::config::types::Config;
use crate::gateway::ctx::Ctx;
use crate::net::http::{RequestHead, Response};
use crate::net::partial::names;

const INDEX: &str = include_str!("page/index.html");
/// A file of the page, also as browsers take it compressed.
struct PageFile {
    name: &'static str,
    kind: &'static str,
    plain: &'static [u8],
    gzipped: &'static [u8],
}

macro_rules! page_file {
    ($name:literal, $kind:literal) => {
        PageFile {
            name: $name,
            kind: $kind,
            plain: include_bytes!(concat!("page/", $name)),
            gzipped: include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".gz")),
        }
    };
}

const FILES: [PageFile; 3] = [
    page_file!("app.js", "application/javascript; charset=utf-8"),
    page_file!("app.css", "text/css; charset=utf-8"),
    page_file!("favicon.svg", "image/svg+xml"),
];

/// Names of the files' contents, so that a browser that has one gets no other.
static TAGS: LazyLock<[String; 3]> = LazyLock::new(|| {
    FILES.each_ref().map(|file| {
        let digest = ring::digest::digest(&ring::digest::SHA256, file.plain);
        format!("\"{}\"", &STANDARD_NO_PAD.encode(digest)[..22])
    })
});

/// Avatars of agents, below the page's own path.
pub(super) const AVATAR: Route = Route {
    claims: |config, path| avatar_of(config, path).is_some(),
    glance: nothing_at_once,
    serve: Serve::Now(avatar::serve),
    body: NO_BODY,
};

/// Returns what follows `<base>/avatar/`.
fn avatar_of<'a>(config: &Config, path: &'a str) -> Option<&'a str> {
    let settings = &config.gateway.control_ui;
    let base = base_path(settings.base_path.as_deref());
    let rest = path.strip_prefix(base.as_str())?.strip_prefix("/avatar/")?;
    (settings.enabled != Some(false)).then_some(rest)
}

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
        Found::Index(base) => {
            let script = globals(cx, &base);
            let page = INDEX.replacen("</head>", &format!("<script>{script}</script></head>"), 1);
            with_policy(file("text/html; charset=utf-8", Bytes::from(page)), &script)
        }
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
    match FILES.iter().position(|file| file.name == name) {
        Some(at) => Found::Response(asset(head, &FILES[at], &TAGS[at])),
        None => Found::Index(base),
    }
}

fn file(kind: &str, body: Bytes) -> Response {
    let headers = vec![
        ("Cache-Control", "no-cache".to_owned()),
        ("Content-Type", kind.to_owned()),
        ("X-Content-Type-Options", "nosniff".to_owned()),
    ];
    Response { status: 200, headers, body, close: false }
}

fn asset(head: &RequestHead, asset: &PageFile, tag: &str) -> Response {
    let is_known = head.header("if-none-match").is_some_and(|tags| names(tags, Some(tag), true));
    let takes_gzip = head.header("accept-encoding").is_some_and(accepts_gzip);
    let body = if takes_gzip { asset.gzipped } else { asset.plain };
    let mut response = file(asset.kind, Bytes::from_static(body)).with("ETag", tag).with("Vary", "Accept-Encoding");
    if is_known {
        response.status = 304;
        response.body = Bytes::new();
    } else if takes_gzip {
        response = response.with("Content-Encoding", "gzip");
    }
    response
}

fn accepts_gzip(list: &str) -> bool {
    list.split(',').any(|entry| {
        let mut parts = entry.split(';').map(str::trim);
        let is_gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip") || name == "*");
        let is_refused = parts.any(|part| part.strip_prefix("q=").and_then(|q| q.parse().ok()) == Some(0.0f32));
        is_gzip && !is_refused
    })
}

/// What the page may do: run its own scripts and the one that is put into it, speak WebSocket, show pictures; and nobody
/// may put it into a frame.
fn with_policy(response: Response, script: &str) -> Response {
    let digest = ring::digest::digest(&ring::digest::SHA256, script.as_bytes());
    let policy = format!(
        "default-src 'none'; script-src 'self' 'sha256-{}'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob: https: \
         http:; media-src 'self' data: blob:; font-src 'self'; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'",
        STANDARD.encode(digest)
    );
    response
        .with("Content-Security-Policy", policy)
        .with("X-Frame-Options", "DENY")
        .with("Referrer-Policy", "no-referrer")
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

/// The globals that the page's script reads, as a script.
fn globals(cx: &Ctx, base: &str) -> String {
    let config = cx.config.get();
    let agent = session::default_agent(&config);
    let identity = workspace::identity(&config, &cx.paths, &agent);
    // A file of the workspace is served at a place of its own.
    let avatar = match avatar::is_file(&identity.avatar) {
        true => format!("{base}/avatar/{agent}"),
        false => identity.avatar,
    };
    let globals = [
        ("__CLAWDBOT_CONTROL_UI_BASE_PATH__", base),
        ("__CLAWDBOT_ASSISTANT_NAME__", identity.name.as_str()),
        ("__CLAWDBOT_ASSISTANT_AVATAR__", avatar.as_str()),
    ];
    globals.iter().map(|(name, value)| format!("window.{name}={};", literal(value))).collect()
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
        for (list, is_taken) in
            [("gzip, br", true), ("br;q=1, *", true), ("GZIP;q=0.5", true), ("gzip;q=0", false), ("br", false)]
        {
            assert_eq!(accepts_gzip(list), is_taken, "{list}");
        }
        assert_eq!(base_path(Some("/")), "");
        assert_eq!(base_path(Some("x/")), "/x");
        assert_eq!(literal("</script>"), "\"\\u003c/script>\"");
    }
}
