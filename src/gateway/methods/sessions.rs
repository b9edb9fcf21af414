//! sessions.list, sessions.preview, sessions.resolve, sessions.patch, sessions.reset, sessions.delete, sessions.compact.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Method, methods};
use crate::agent::sessions::{Query, find};
use crate::agent::transcript::{self, Compacted};
use crate::agent::{listing, preview, session};
use crate::base::ids::SessionKey;
use crate::gateway::abort;
use crate::gateway::ctx::Ctx;
use crate::gateway::dispatch::{Call, Reply};
use crate::gateway::start_run::lane_of;
use crate::gateway::ticket::SharedTicket;
use crate::gateway::work::{self, Due};
use crate::protocol::error::ErrorShape;
use crate::protocol::sessions::{
    SessionsCompactParams, SessionsDeleteParams, SessionsListParams, SessionsPatchParams, SessionsPreviewParams,
    SessionsResetParams, SessionsResolveParams,
};

/// The lane of everything that changes an index, one after the other: what a client sends in a row happens in that order.
const LANE: &str = "sessions";

pub(super) const METHODS: &[Method] = methods! {
    "sessions.list" Read SessionsListParams list on disk;
    "sessions.preview" Read SessionsPreviewParams preview on disk;
    "sessions.resolve" Admin SessionsResolveParams resolve on sessions, hidden;
    "sessions.patch" Admin SessionsPatchParams patch on sessions;
    "sessions.reset" Admin SessionsResetParams reset on sessions;
    "sessions.delete" Admin SessionsDeleteParams delete;
    "sessions.compact" Admin SessionsCompactParams compact on sessions;
};

/// Rows of a list that takes memory worth giving back.
const LONG_LIST: u64 = 500;
/// Sessions of one preview.
const PREVIEW_KEYS_MAX: usize = 64;
/// Lines that a compaction keeps by default.
const COMPACT_LINES: u64 = 400;
/// How long a deletion waits for the session's run to end.
const DELETE_WAIT: Duration = Duration::from_secs(15);

fn list(cx: &Arc<Ctx>, _call: &Call, params: SessionsListParams) -> Result<Reply, ErrorShape> {
    let filter = listing::Filter {
        limit: params.limit,
        active_minutes: params.active_minutes,
        include_global: params.include_global.unwrap_or(false),
        include_unknown: params.include_unknown.unwrap_or(false),
        include_derived_titles: params.include_derived_titles.unwrap_or(false),
        include_last_message: params.include_last_message.unwrap_or(false),
        label: params.label.map(|label| label.0),
        spawned_by: params.spawned_by.map(|parent| parent.0),
        agent: params.agent_id.map(|id| session::normalize_agent_id(&id)),
        search: params.search,
    };
    let listing = json!(listing::list(&cx.config.get(), &cx.sessions, &filter, cx.clock.now_ms()));
    if listing["count"].as_u64() > Some(LONG_LIST) {
        // What it took is given back once it is sent.
        work::arm_settled(cx);
    }
    Ok(Reply::Now(listing))
}

fn preview(cx: &Arc<Ctx>, _call: &Call, params: SessionsPreviewParams) -> Result<Reply, ErrorShape> {
    let config = cx.config.get();
    let limit = usize::try_from(params.limit.unwrap_or(12)).unwrap_or(usize::MAX).min(50);
    let chars_max = usize::try_from(params.max_chars.unwrap_or(240)).unwrap_or(usize::MAX).min(2000);
    let previews: Vec<serde_json::Value> = params
        .keys
        .iter()
        .take(PREVIEW_KEYS_MAX)
        .map(|given| {
            let key = session::canonical_key(&config, given, None);
            preview::preview(&cx.sessions, &key, given, limit, chars_max)
        })
        .collect();
    Ok(Reply::Now(json!({"ts": cx.clock.now_ms(), "previews": previews})))
}

fn resolve(cx: &Arc<Ctx>, _call: &Call, params: SessionsResolveParams) -> Result<Reply, ErrorShape> {
    let query = Query {
        key: params.key.map(|key| key.0),
        session_id: params.session_id.map(|id| id.0),
        filter: listing::Filter {
            label: params.label.map(|label| label.0),
            spawned_by: params.spawned_by.map(|parent| parent.0),
            agent: params.agent_id.map(|id| session::normalize_agent_id(&id)),
            include_global: params.include_global.unwrap_or(false),
            include_unknown: params.include_unknown.unwrap_or(false),
            ..listing::Filter::default()
        },
    };
    let key = find(&cx.config.get(), &cx.sessions, query).map_err(ErrorShape::invalid)?;
    Ok(Reply::Now(json!({"ok": true, "key": key.as_str()})))
}

fn patch(cx: &Arc<Ctx>, _call: &Call, params: SessionsPatchParams) -> Result<Reply, ErrorShape> {
    let key = canonical(cx, &params.key)?;
    let entry = cx
        .sessions
        .patch(&key, params)
        .map_err(|error| ErrorShape::exception(format!("cannot change session {key}: {error}")))?
        .map_err(ErrorShape::invalid)?;
    let path = cx.sessions.path(&session::agent_of_key(&cx.config.get(), &key));
    Ok(Reply::Now(json!({"ok": true, "path": path, "key": key.as_str(), "entry": entry})))
}

fn reset(cx: &Arc<Ctx>, _call: &Call, params: SessionsResetParams) -> Result<Reply, ErrorShape> {
    let key = canonical(cx, &params.key)?;
    let entry = cx
        .sessions
        .reset(&key)
        .map_err(|error| ErrorShape::exception(format!("cannot reset session {key}: {error}")))?;
    Ok(Reply::Now(json!({"ok": true, "key": key.as_str(), "entry": entry})))
}

/// Stops what runs in the session, then removes it in the session's own lane: behind the run that is ending, before any
/// that comes later.
fn delete(cx: &Arc<Ctx>, call: &Call, params: SessionsDeleteParams) -> Result<Reply, ErrorShape> {
    let key = canonical(cx, &params.key)?;
    if key == cx.main_session() {
        return Err(ErrorShape::invalid(format!("Cannot delete the main session ({key}).")));
    }
    stop_runs(cx, &key);
    let ticket = SharedTicket::new(call.ticket(cx));
    let busy = format!("Session {} is still active; try again in a moment.", params.key.trim());
    let overdue = Due::Overdue { ticket: ticket.clone(), error: ErrorShape::unavailable(busy) };
    let deadline = cx.timer.arm(DELETE_WAIT, overdue);
    let (job_cx, job_ticket) = (cx.clone(), ticket.clone());
    let submitted = cx.jobs.submit(vec![lane_of(&key), LANE.to_owned()], move || {
        // Gone when the client was told that the session is still active; it then stays.
        let Some(ticket) = job_ticket.take() else { return };
        job_cx.timer.disarm(deadline);
        ticket.finish(remove(&job_cx, &key, params.delete_transcript != Some(false)));
    });
    if submitted.is_err() {
        cx.timer.disarm(deadline);
        // Dropping it answers: too busy, or stopping.
        drop(ticket.take());
    }
    Ok(Reply::Later)
}

/// Aborts the session's runs and those of the sessions it started.
fn stop_runs(cx: &Ctx, key: &SessionKey) {
    let is_child = |session: &SessionKey| {
        cx.sessions.entry(session).is_some_and(|it| it.spawned_by.as_deref() == Some(key.as_str()))
    };
    for (run, active) in cx.runs.all() {
        if active.session != *key && !is_child(&active.session) {
            continue;
        }
        cx.accepted.journal.abort(&run, active.session == *key);
        if active.is_chat {
            abort::runs(cx, &[run], "rpc");
        } else {
            cx.runs.abort(&run);
        }
    }
}

fn remove(cx: &Ctx, key: &SessionKey, with_transcript: bool) -> Result<Value, ErrorShape> {
    let (entry, existed) = cx
        .sessions
        .remove(key)
        .map_err(|error| ErrorShape::exception(format!("cannot delete session {key}: {error}")))?;
    cx.system_events.drain(key);
    let archived: Vec<_> =
        entry.filter(|_| with_transcript).and_then(|entry| cx.sessions.put_aside(key, &entry)).into_iter().collect();
    Ok(json!({"ok": true, "key": key.as_str(), "deleted": existed, "archived": archived}))
}

fn compact(cx: &Arc<Ctx>, _call: &Call, params: SessionsCompactParams) -> Result<Reply, ErrorShape> {
    let key = canonical(cx, &params.key)?;
    let answer = |more: Value| {
        let mut answer = json!({"ok": true, "key": key.as_str()});
        answer
            .as_object_mut()
            .into_iter()
            .for_each(|answer| answer.extend(more.as_object().cloned().unwrap_or_default()));
        Ok(Reply::Now(answer))
    };
    let Some(entry) = cx.sessions.entry(&key).filter(|entry| !entry.session_id.is_empty()) else {
        return answer(json!({"compacted": false, "reason": "no sessionId"}));
    };
    let path = cx.sessions.transcript_path(&key, &entry);
    let lines_max = usize::try_from(params.max_lines.unwrap_or(COMPACT_LINES)).unwrap_or(usize::MAX);
    let failed = |error| ErrorShape::exception(format!("cannot compact session {key}: {error}"));
    match transcript::keep_last(&path, lines_max, cx.clock.now_ms()).map_err(failed)? {
        Compacted::Missing => answer(json!({"compacted": false, "reason": "no transcript"})),
        Compacted::Short(kept) => answer(json!({"compacted": false, "kept": kept})),
        Compacted::Cut(archived, kept) => {
            let forget = |entry: &mut crate::agent::sessions::Entry| {
                (entry.input_tokens, entry.output_tokens, entry.total_tokens) = (None, None, None);
                entry.updated_at = cx.clock.now_ms();
            };
            cx.sessions.update(&key, forget).map_err(failed)?;
            answer(json!({"compacted": true, "archived": archived, "kept": kept}))
        }
    }
}

/// Returns the stored key of what a client calls a session.
fn canonical(cx: &Ctx, given: &str) -> Result<SessionKey, ErrorShape> {
    if given.trim().is_empty() {
        return Err(ErrorShape::invalid("key required"));
    }
    Ok(session::canonical_key(&cx.config.get(), given, None))
}
