//! chat.history, chat.send, chat.abort, chat.inject.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::{Method, methods};
use crate::agent::commands;
use crate::agent::speaker::Speaker;
use crate::agent::{session, transcript};
use crate::base::ids::RunId;
use crate::base::text::trimmed;
use crate::gateway::ctx::Ctx;
use crate::gateway::dispatch::{Call, Reply};
use crate::gateway::events;
use crate::gateway::fanout::chat_event;
use crate::gateway::inbox::{self, Turn};
use crate::gateway::ticket::Outcome;
use crate::gateway::{abort, accepted, attachments, subagents};
use crate::protocol::chat::{ChatAbortParams, ChatHistoryParams, ChatInjectParams, ChatSendParams};
use crate::protocol::error::ErrorShape;

pub(super) const METHODS: &[Method] = methods! {
    "chat.history" Read ChatHistoryParams history on disk;
    "chat.send" Write ChatSendParams send;
    "chat.abort" Write ChatAbortParams abort;
    "chat.inject" Admin ChatInjectParams inject on disk, hidden;
};

/// Messages when the caller names no limit.
const HISTORY_LEN_DEFAULT: u64 = 200;
/// Largest history, in bytes of JSON.
const HISTORY_BYTES_MAX: usize = 6 * 1024 * 1024;

fn history(cx: &Arc<Ctx>, _call: &Call, params: ChatHistoryParams) -> Result<Reply, ErrorShape> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct History<'a> {
        session_key: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        session_id: Option<&'a str>,
        messages: Vec<Box<RawValue>>,
        thinking_level: &'a str,
    }
    let config = cx.config.get();
    let key = session::canonical_key(&config, &params.session_key, None);
    let entry = cx.sessions.entry(&key);
    let mut messages = Vec::new();
    if let Some(entry) = &entry {
        let limit = usize::try_from(params.limit.unwrap_or(HISTORY_LEN_DEFAULT)).unwrap_or(usize::MAX);
        let path = cx.sessions.transcript_path(&key, entry);
        messages = transcript::shown_messages(&path, limit, HISTORY_BYTES_MAX)
            .map_err(|error| ErrorShape::exception(format!("read transcript {}: {error}", path.display())))?;
    }
    let history = History {
        session_key: &params.session_key.0,
        session_id: entry.as_ref().map(|entry| entry.session_id.as_str()),
        messages,
        thinking_level: &crate::agent::run::thinking_level(&cx.agent, &key, entry.as_ref()),
    };
    Ok(Reply::Text(serde_json::to_string(&history).expect("names and JSON")))
}

fn send(cx: &Arc<Ctx>, call: &Call, params: ChatSendParams) -> Result<Reply, ErrorShape> {
    let images = attachments::images(params.attachments.as_deref().unwrap_or_default())?;
    let config = cx.config.get();
    let key = session::canonical_key(&config, &params.session_key, None);
    if !session::send_policy(&config, &key, cx.sessions.entry(&key).as_ref()) {
        return Err(ErrorShape::invalid("send blocked by session policy"));
    }
    if commands::is_stop(&params.message) {
        let runs = cx.runs.chats_of(&key);
        let answer = abort::runs(cx, &runs, "stop");
        subagents::stop_of(cx, &key);
        return Ok(Reply::Now(answer));
    }
    let run = RunId::new(params.idempotency_key.0.clone());
    let dedupe_key = format!("chat:{run}");
    let now_ms = cx.clock.now_ms();
    let in_flight = || Outcome::Ok(json!({"runId": run.as_str(), "status": "in_flight"}));
    if let Some(outcome) = cx.dedupe.get_or_begin(&dedupe_key, in_flight, now_ms) {
        let ticket = call.ticket(cx);
        if cx.runs.active(&run).is_some() {
            // It may still be on its way to the disk.
            accepted::after(cx, Box::new(move || ticket.finish(outcome)));
        } else {
            ticket.finish(outcome);
        }
        return Ok(Reply::Later);
    }
    let ticket = call.ticket(cx);
    let started = json!({"runId": run.as_str(), "status": "started"});
    let turn = Turn {
        id: run,
        agent: session::agent_of_key(&config, &key),
        session: key,
        echo: Some(params.session_key.0),
        raw: params.message.clone(),
        text: params.message,
        images,
        speaker: Speaker::webchat(),
        route: None,
        thinking: params.thinking,
        extra_system_prompt: None,
        timeout: params.timeout_ms.filter(|&ms| ms > 0).map(Duration::from_millis),
    };
    // Answered before the job exists, so that no event of the run can precede it.
    inbox::take(cx, turn, Box::new(move || ticket.finish(Ok(started))));
    Ok(Reply::Later)
}

fn abort(cx: &Arc<Ctx>, _call: &Call, params: ChatAbortParams) -> Result<Reply, ErrorShape> {
    let config = cx.config.get();
    let key = session::canonical_key(&config, &params.session_key, None);
    let runs = match params.run_id {
        None => cx.runs.chats_of(&key),
        Some(run) => {
            let run = RunId::new(run.0);
            match cx.runs.active(&run).filter(|active| active.is_chat) {
                None => Vec::new(),
                Some(active) if active.session != key => {
                    return Err(ErrorShape::invalid("runId does not match sessionKey"));
                }
                Some(_) => vec![run],
            }
        }
    };
    Ok(Reply::Now(abort::runs(cx, &runs, "rpc")))
}

fn inject(cx: &Arc<Ctx>, _call: &Call, params: ChatInjectParams) -> Result<Reply, ErrorShape> {
    let config = cx.config.get();
    let key = session::canonical_key(&config, &params.session_key, None);
    let entry = cx.sessions.entry(&key).ok_or_else(|| ErrorShape::invalid("session not found"))?;
    if !cx.sessions.transcript_path(&key, &entry).exists() {
        return Err(ErrorShape::invalid("transcript file not found"));
    }
    let label = params.label.and_then(trimmed);
    let text = label.map_or_else(|| params.message.0.clone(), |label| format!("[{label}]\n\n{}", params.message.0));
    let (id, message) = cx
        .sessions
        .append_injected(&key, &text)
        .map_err(|error| ErrorShape::unavailable(format!("failed to write transcript: {error}")))?;
    let run = RunId::new(format!("inject-{id}"));
    chat_event(cx, events::CHAT, &run, &params.session_key, 0, "final", |payload| payload["message"] = message);
    Ok(Reply::Now(json!({"ok": true, "messageId": id})))
}
