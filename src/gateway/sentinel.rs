//! The restart sentinel: a note to the next start, for the session that asked for the restart (cli.md §3.9).
//!
//! Owns `<state>/restart-sentinel.json`. Written before a planned restart, read once on the way up: the agent says in the
//! chat where the session was last spoken with what became of it; without one its text becomes a system event of the
//! session, else of the main one.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};

use super::accepted;
use super::ctx::Ctx;
use super::start_run::Start;
use super::targets::{self, Aim};
use crate::agent::run::RunRequest;
use crate::agent::run_journal::Origin;
use crate::agent::session;
use crate::base::fs::{Durability, MODE_PRIVATE, read_text_capped, write_atomic};
use crate::base::ids::{RunId, SessionKey};
use crate::base::rng::uuid;
use crate::base::route::Route;
use crate::base::text::unless_blank;
use crate::config::paths::Paths;

/// Version of the file's form.
const VERSION: u64 = 1;
/// Largest file that is read.
const BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Returns a payload; absent fields are left out.
pub fn payload(
    cx: &Ctx,
    kind: &str,
    status: &str,
    session_key: Option<&str>,
    note: Option<&str>,
    stats: Value,
) -> Value {
    let given = |text: Option<&str>| text.and_then(unless_blank).map(str::to_owned);
    let mut payload = json!({"kind": kind, "status": status, "ts": cx.clock.now_ms()});
    if let Some(key) = given(session_key) {
        payload["sessionKey"] = key.into();
    }
    // compat: null when nothing was said.
    payload["message"] = given(note).into();
    payload["doctorHint"] = format!("Run: {}", cx.paths.hint("doctor --non-interactive")).into();
    payload["stats"] = stats;
    payload
}

/// Leaves the note; returns the answer's `sentinel`. A note that cannot be left does not keep the restart from happening.
pub fn leave(paths: &Paths, payload: Value) -> Value {
    let path = path(paths);
    let text = format!("{:#}\n", json!({"version": VERSION, "payload": payload}));
    let written = write_atomic(&path, text.as_bytes(), MODE_PRIVATE, Durability::Power);
    if let Err(error) = &written {
        log::warn!(target: "gateway", "cannot write {}: {error}", path.display());
    }
    json!({"path": written.is_ok().then_some(path), "payload": payload})
}

/// Passes a note on and removes it.
pub fn announce(cx: &Arc<Ctx>) {
    let path = path(&cx.paths);
    let text = match read_text_capped(&path, BYTES_MAX) {
        Ok(None) => return,
        Ok(Some(text)) => text,
        Err(error) => {
            log::warn!(target: "gateway", "cannot read {}: {error}", path.display());
            String::new()
        }
    };
    let note: Value = serde_json::from_str(&text).unwrap_or_default();
    if note["version"] == VERSION && note["payload"].is_object() {
        let payload = &note["payload"];
        let key = payload["sessionKey"].as_str().and_then(unless_blank);
        let session = key.map_or_else(|| cx.main_session(), |key| session::canonical_key(&cx.config.get(), key, None));
        let text = format!("GatewayRestart:\n{payload:#}");
        match route(cx, &session, payload) {
            Some(route) => tell(cx, session, text, route),
            None => cx.system_events.push(&session, &text, cx.clock.now_ms()),
        }
    }
    if let Err(error) = remove(&path) {
        log::warn!(target: "gateway", "cannot remove {}: {error}", path.display());
    }
}

/// Returns the chat that is to hear of it: the note's own, else the session's last one.
fn route(cx: &Ctx, session: &SessionKey, payload: &Value) -> Option<Route> {
    let given = &payload["deliveryContext"];
    let thread = payload["threadId"].as_str().or(given["threadId"].as_str());
    let aim = Aim {
        channel: given["channel"].as_str(),
        to: given["to"].as_str(),
        account: given["accountId"].as_str(),
        thread,
    };
    // A session that nobody spoke with through a chat has no route, also where a default channel would be.
    let entry = cx.sessions.entry(session).unwrap_or_default();
    let has_chat =
        aim.to.is_some() || entry.last_to.is_some() || entry.delivery_context.is_some_and(|it| it.to.is_some());
    let route = targets::resolve(cx, session, &aim).ok().filter(|_| has_chat)?;
    targets::obstacle(cx, &route).is_none().then_some(route)
}

/// Has the agent say it there.
fn tell(cx: &Arc<Ctx>, session: SessionKey, text: String, route: Route) {
    let agent = session::agent_of_key(&cx.config.get(), &session);
    let run = RunId::new(format!("restart-{}", uuid(&*cx.rng)));
    let request =
        RunRequest { channel: route.channel.clone(), route: Some(route), ..RunRequest::new(run, agent, session, text) };
    let start = Start { request, echo: None, is_chat: false, takes_system_events: false };
    accepted::accept(cx, start, Origin::Channel, Box::new(|| ()));
}

fn remove(path: &std::path::Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn path(paths: &Paths) -> PathBuf {
    paths.state_dir.join("restart-sentinel.json")
}
