//! The canvas: a directory of pages that nodes show, and the page that draws A2UI (http.md §6).
//!
//! Answers requests from files; knows nothing of sockets. Runs on the thread `canvas` alone, because it reads files. Not
//! here: ports and threads (`gateway::canvas_host`), what nodes do with it.

mod files;
pub mod watch;

use std::io;
use std::path::{Path, PathBuf};

use crate::base::fs::create_if_missing;
use crate::base::text::is_truthy;
use crate::config::paths::Paths;
use crate::config::types::Config;

pub use self::files::Found;

/// Where the canvas is on every port.
pub const CANVAS: &str = "/__clawdbot__/canvas";
/// Where the A2UI page is.
pub const A2UI: &str = "/__clawdbot__/a2ui";
/// Where pages hear of changes.
pub const LIVE: &str = "/__clawdbot/ws";
/// What they hear.
pub const RELOAD: &str = "reload";

const DEFAULT_ROOT: &str = "~/clawd/canvas";
const DEFAULT_PAGE: &str = include_str!("canvas/default.html");
const BRIDGE: &str = include_str!("canvas/bridge.js");
const LIVE_RELOAD: &str = include_str!("canvas/live.js");
const A2UI_FILES: [(&str, &str, &str); 2] = [
    ("index.html", "text/html; charset=utf-8", include_str!("canvas/a2ui.html")),
    ("a2ui.bundle.js", "application/javascript; charset=utf-8", include_str!("canvas/a2ui.js")),
];

/// See the module.
#[derive(Debug)]
pub struct Canvas {
    root: PathBuf,
    /// As people write it.
    shown: String,
    is_live: bool,
}

impl Canvas {
    /// Prepares the directory; `None` when there is to be no canvas.
    ///
    /// # Errors
    /// The system's, when the directory cannot be made.
    pub fn open(config: &Config, paths: &Paths, env: impl Fn(&str) -> Option<String>) -> io::Result<Option<Self>> {
        let settings = &config.canvas_host;
        let is_skipped = env("CLAWDBOT_SKIP_CANVAS_HOST").is_some_and(|value| is_truthy(&value));
        if settings.enabled == Some(false) || is_skipped {
            return Ok(None);
        }
        let root = settings.root.as_deref().map(str::trim).filter(|root| !root.is_empty()).unwrap_or(DEFAULT_ROOT);
        let root = paths.expand(root);
        std::fs::create_dir_all(&root)?;
        let root = root.canonicalize()?;
        // Once, and it may be deleted: the directory works without it.
        if let Err(error) = create_if_missing(&root.join("index.html"), DEFAULT_PAGE.as_bytes(), 0o644) {
            log::warn!(target: "canvas", "no first page: {error}");
        }
        let shown = root.display().to_string();
        Ok(Some(Self { root, shown, is_live: settings.live_reload != Some(false) }))
    }

    /// Returns its directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns whether pages hear of changes.
    pub fn is_live(&self) -> bool {
        self.is_live
    }

    /// Finds what a path asks for, which begins with [`CANVAS`] or [`A2UI`] or is [`LIVE`].
    pub fn find(&self, path: &str) -> Found {
        if path == LIVE {
            return if self.is_live { Found::Upgrade } else { Found::Missing };
        }
        if let Some(rest) = below(A2UI, path) {
            return self.a2ui(rest);
        }
        let Some(rest) = below(CANVAS, path) else { return Found::Missing };
        // compat: without live reload, pages are as their owner wrote them, without the bridge, too.
        match files::find(&self.root, rest, self.is_live) {
            Found::Html(html) => Found::Html(self.inject(&html)),
            Found::MissingPage(_) => Found::MissingPage(format!(
                "<!doctype html><meta charset=\"utf-8\" /><title>Clawdbot Canvas</title><pre>Missing file.\nCreate {}</pre>",
                files::escaped(&format!("{}/index.html", self.shown))
            )),
            found => found,
        }
    }

    fn a2ui(&self, rest: &str) -> Found {
        let name = match rest.trim_matches('/') {
            "" => "index.html",
            name => name,
        };
        match A2UI_FILES.iter().find(|(file, ..)| *file == name) {
            Some(("index.html", _, html)) => Found::Html(self.inject(html.as_bytes())),
            Some((_, kind, text)) => Found::Static(kind, text.as_bytes()),
            None => Found::Missing,
        }
    }

    /// Puts the bridge to the node's application into a page, and what reloads it.
    fn inject(&self, html: &[u8]) -> Vec<u8> {
        let live = if self.is_live { LIVE_RELOAD } else { "" };
        let script = format!("\n<script>\n{BRIDGE}{live}</script>\n");
        let end = find_last_ignoring_case(html, b"</body>").unwrap_or(html.len());
        [&html[..end], script.as_bytes(), &html[end..]].concat()
    }
}

/// Returns whether a path is the canvas's.
pub fn claims(path: &str) -> bool {
    path == LIVE || below(CANVAS, path).is_some() || below(A2UI, path).is_some()
}

fn below<'a>(base: &str, path: &'a str) -> Option<&'a str> {
    let rest = path.strip_prefix(base)?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

fn find_last_ignoring_case(text: &[u8], wanted: &[u8]) -> Option<usize> {
    let last = text.len().checked_sub(wanted.len())?;
    (0..=last).rev().find(|&at| text[at..at + wanted.len()].eq_ignore_ascii_case(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bridge_stands_before_the_end_of_the_page() {
        let canvas = Canvas { root: PathBuf::from("/x"), shown: "/x".into(), is_live: false };
        let page = |html: &str| String::from_utf8(canvas.inject(html.as_bytes())).expect("text");
        assert!(page("<body>a</body>b</BODY>c").starts_with("<body>a</body>b\n<script>"));
        assert!(page("<body>a</body>b</BODY>c").ends_with("</script>\n</BODY>c"));
        assert!(page("plain").starts_with("plain\n<script>"));
        assert!(!page("x").contains(LIVE) && page("x").contains("clawdbotCanvasA2UIAction"));
    }
}
