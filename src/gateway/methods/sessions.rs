//! sessions.list, sessions.preview, sessions.reset.

use std::sync::Arc;

use serde_json::json;

use super::{Method, methods};
use crate::agent::{listing, preview, session};
use crate::gateway::ctx::Ctx;
use crate::gateway::dispatch::{Call, Reply};
use crate::protocol::error::ErrorShape;
use crate::protocol::sessions::{SessionsListParams, SessionsPreviewParams, SessionsResetParams};

pub(super) const METHODS: &[Method] = methods! {
    "sessions.list" Read SessionsListParams list on disk;
    "sessions.preview" Read SessionsPreviewParams preview on disk;
    "sessions.reset" Admin SessionsResetParams reset on disk;
};

/// Sessions of one preview.
const PREVIEW_KEYS_MAX: usize = 64;

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
    Ok(Reply::Now(json!(listing::list(&cx.config.get(), &cx.sessions, &filter, cx.clock.now_ms()))))
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

fn reset(cx: &Arc<Ctx>, _call: &Call, params: SessionsResetParams) -> Result<Reply, ErrorShape> {
    let key = session::canonical_key(&cx.config.get(), &params.key, None);
    let entry = cx
        .sessions
        .reset(&key)
        .map_err(|error| ErrorShape::exception(format!("cannot reset session {key}: {error}")))?;
    Ok(Reply::Now(json!({"ok": true, "key": key.as_str(), "entry": entry})))
}
