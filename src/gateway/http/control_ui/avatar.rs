//! `<base>/avatar/<agent>`: the picture of an agent that lies in its workspace, or where it is otherwise (http.md §7.3).
//!
//! Runs on a frame worker. Not here: which avatar an agent has (`agent::workspace`).

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use super::super::exchange::Request;
use super::super::reply;
use super::{avatar_of, base_path};
use crate::agent::{session, workspace};
use crate::base::ids::AgentId;
use crate::base::text::trimmed;
use crate::config::types::Config;
use crate::gateway::ctx::Ctx;
use crate::net::http::Response;

/// Largest picture.
const BYTES_MAX: u64 = 4 * 1024 * 1024;
const TYPES: [(&str, &str); 6] = [
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("gif", "image/gif"),
    ("webp", "image/webp"),
    ("svg", "image/svg+xml"),
];

/// Where an agent's picture is.
enum Avatar {
    File(PathBuf, &'static str),
    Elsewhere(String),
    None,
}

pub(super) fn serve(cx: &Arc<Ctx>, request: &Request) -> Response {
    let not_found = || Response::text(404, "Not Found");
    let config = cx.config.get();
    if !request.head().is_asking() {
        return Response::text(405, "Method Not Allowed");
    }
    let Some(id) = avatar_of(&config, &request.path).filter(|id| session::is_agent_id(id)) else { return not_found() };
    let agent = session::normalize_agent_id(id);
    let found = find(cx, &config, &agent);
    let is_meta = reply::query(request.head()).get("meta").and_then(Value::as_str) == Some("1");
    match found {
        _ if is_meta => {
            let url = match found {
                Avatar::File(..) => {
                    let base = base_path(config.gateway.control_ui.base_path.as_deref());
                    Some(format!("{base}/avatar/{agent}"))
                }
                Avatar::Elsewhere(url) => Some(url),
                Avatar::None => None,
            };
            Response::json(200, &json!({"avatarUrl": url})).with("Cache-Control", "no-cache")
        }
        Avatar::File(path, kind) => match read(&path) {
            Some(body) => {
                let mut response = super::file(kind, body);
                // A picture that is a document, too, runs nothing.
                response =
                    response.with("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox");
                response
            }
            None => not_found(),
        },
        Avatar::Elsewhere(_) | Avatar::None => not_found(),
    }
}

/// Returns whether an avatar is a file, and no sign and no URL.
pub(super) fn is_file(avatar: &str) -> bool {
    let lower = avatar.to_lowercase();
    let is_url = ["http://", "https://", "data:"].iter().any(|start| lower.starts_with(start));
    let is_picture = TYPES.iter().any(|(extension, _)| lower.ends_with(&format!(".{extension}")));
    !is_url && (avatar.contains(['/', '\\']) || is_picture || lower.ends_with(".ico"))
}

fn find(cx: &Ctx, config: &Config, agent: &AgentId) -> Avatar {
    let place = workspace::dir(config, &cx.paths, agent);
    let own = session::agent_entry(config, agent).and_then(|entry| entry.identity.clone()).unwrap_or_default();
    let of_file = || workspace::file_identity(&place.join("IDENTITY.md")).avatar;
    let Some(avatar) = own.avatar.or_else(of_file).and_then(trimmed) else {
        return Avatar::None;
    };
    let lower = avatar.to_lowercase();
    if ["http://", "https://", "data:image/"].iter().any(|start| lower.starts_with(start)) {
        return Avatar::Elsewhere(avatar);
    }
    let path =
        if avatar.starts_with('~') || avatar.starts_with('/') { cx.paths.expand(&avatar) } else { place.join(&avatar) };
    inside(&place, &path).map_or(Avatar::None, |(path, kind)| Avatar::File(path, kind))
}

/// Returns where a picture really is, if that is in the workspace.
fn inside(place: &Path, path: &Path) -> Option<(PathBuf, &'static str)> {
    let (place, path) = (place.canonicalize().ok()?, path.canonicalize().ok()?);
    let extension = path.extension()?.to_string_lossy().to_lowercase();
    let (_, kind) = TYPES.iter().find(|(known, _)| *known == extension)?;
    (path.starts_with(place) && path.is_file()).then_some((path, kind))
}

fn read(path: &Path) -> Option<Bytes> {
    let file = std::fs::File::open(path).ok()?;
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 <= BYTES_MAX).then(|| bytes.into())
}
