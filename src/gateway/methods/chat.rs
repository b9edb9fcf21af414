//! chat.history, chat.send, chat.abort, chat.inject.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Method, methods};
use crate::agent::commands;
use crate::agent::run::RunRequest;
use crate::agent::run_journal::Origin;
use crate::agent::{session, transcript};
use crate::base::ids::{RunId, SessionKey};
use crate::gateway::chat_commands::{self, Executed};
use crate::gateway::ctx::Ctx;
use crate::gateway::dispatch::{Call, Reply};
use crate::gateway::events::{self, CHAT};
use crate::gateway::fanout::{chat_event, settle_chat};
use crate::gateway::start_run::Start;
use crate::gateway::ticket::Outcome;
use crate::gateway::{accepted, attachments, subagents};
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
/// Answer to a message that is nothing but blanks.
const BLANK_REPLY: &str = "I didn't receive any text in your message. Please resend or add a caption.";

fn history(cx: &Arc<Ctx>, _call: &Call, params: ChatHistoryParams) -> Result<Reply, ErrorShape> {
    let config = cx.config.get();
    let key = session::canonical_key(&config, &params.session_key, None);
    let entry = cx.sessions.entry(&key);
    let mut answer = json!({"sessionKey": params.session_key.0});
    let mut messages = Vec::new();
    if let Some(entry) = &entry {
        answer["sessionId"] = entry.session_id.as_str().into();
        let limit = usize::try_from(params.limit.unwrap_or(HISTORY_LEN_DEFAULT)).unwrap_or(usize::MAX);
        let path = cx.sessions.transcript_path(&key, entry);
        messages = transcript::read_messages(&path, limit, HISTORY_BYTES_MAX)
            .map_err(|error| ErrorShape::exception(format!("read transcript {}: {error}", path.display())))?;
    }
    answer["messages"] = messages.into();
    answer["thinkingLevel"] = crate::agent::run::thinking_level(&cx.agent, &key, entry.as_ref()).into();
    Ok(Reply::Now(answer))
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
        let answer = abort_runs(cx, &runs, "stop");
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
    let echo = params.session_key.0;
    let message = params.message;
    if message.trim().is_empty() && images.is_empty() {
        ticket.finish(Ok(started));
        chat_commands::answer(cx, &run, &key, &echo, BLANK_REPLY);
        settle_chat(cx, &run, Ok(()));
        return Ok(Reply::Later);
    }
    let message = match commands::parse(&message).filter(|_| config.commands.text != Some(false)) {
        None => message,
        Some(command) => match chat_commands::execute(cx, &key, command) {
            Ok(Executed::Prompt(prompt)) => prompt,
            executed => {
                ticket.finish(Ok(started));
                answer_command(cx, &run, &key, &echo, executed);
                return Ok(Reply::Later);
            }
        },
    };
    let request = RunRequest {
        run_id: run.clone(),
        agent_id: session::agent_of_key(&config, &key),
        session_key: key,
        session_id: None,
        message,
        images,
        prefix_lines: Vec::new(),
        thinking: params.thinking,
        extra_system_prompt: None,
        channel: "webchat".to_owned(),
        timeout: params.timeout_ms.filter(|&ms| ms > 0).map(Duration::from_millis),
        lane: None,
    };
    let start = Start { request, echo: Some(echo), is_chat: true, takes_system_events: true };
    // Answered before the job exists, so that no event of the run can precede it.
    accepted::accept(cx, start, Origin::Chat, Box::new(move || ticket.finish(Ok(started))));
    Ok(Reply::Later)
}

/// Shows what came of a command that no model answers; it is not carried out again, also after a restart.
fn answer_command(cx: &Arc<Ctx>, run: &RunId, key: &SessionKey, echo: &str, executed: anyhow::Result<Executed>) {
    let error = match executed {
        Ok(Executed::Answer(text) | Executed::Prompt(text)) => {
            chat_commands::answer(cx, run, key, echo, &text);
            None
        }
        Err(error) => {
            let message = format!("Error: {error:#}");
            log::error!(target: "gateway", "command in {key} failed: {error:#}");
            chat_event(cx, CHAT, run, echo, 1, "error", |payload| payload["errorMessage"] = message.as_str().into());
            Some(message)
        }
    };
    settle_chat(cx, run, error.clone().map_or(Ok(()), Err));
    accepted::note_done(cx, Origin::Chat, run, error);
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
    Ok(Reply::Now(abort_runs(cx, &runs, "rpc")))
}

/// Stops runs; each client hears of it before the answer.
pub(super) fn abort_runs(cx: &Ctx, runs: &[RunId], stop_reason: &str) -> Value {
    let mut stopped = Vec::new();
    for run in runs {
        let seq = cx.runs.next_seq(run);
        let Some(active) = cx.runs.abort(run) else { continue };
        cx.accepted.journal.abort(run, false);
        let echo = active.echo.as_deref().unwrap_or(active.session.as_str());
        chat_event(cx, CHAT, run, echo, seq, "aborted", |payload| payload["stopReason"] = stop_reason.into());
        settle_chat(cx, run, Ok(()));
        stopped.push(run.as_str().to_owned());
    }
    json!({"ok": true, "aborted": !stopped.is_empty(), "runIds": stopped})
}

fn inject(cx: &Arc<Ctx>, _call: &Call, params: ChatInjectParams) -> Result<Reply, ErrorShape> {
    let config = cx.config.get();
    let key = session::canonical_key(&config, &params.session_key, None);
    let entry = cx.sessions.entry(&key).ok_or_else(|| ErrorShape::invalid("session not found"))?;
    if !cx.sessions.transcript_path(&key, &entry).exists() {
        return Err(ErrorShape::invalid("transcript file not found"));
    }
    let label = params.label.map(|label| label.trim().to_owned()).filter(|label| !label.is_empty());
    let text = label.map_or_else(|| params.message.0.clone(), |label| format!("[{label}]\n\n{}", params.message.0));
    let (id, message) = cx
        .sessions
        .append_injected(&key, &text)
        .map_err(|error| ErrorShape::unavailable(format!("failed to write transcript: {error}")))?;
    let run = RunId::new(format!("inject-{id}"));
    chat_event(cx, events::CHAT, &run, &params.session_key, 0, "final", |payload| payload["message"] = message);
    Ok(Reply::Now(json!({"ok": true, "messageId": id})))
}
