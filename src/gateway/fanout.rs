//! What a run says, made into events: `agent` for every step, `chat` for what a chat shows (protocol.md §6.1–6.2).
//!
//! Implements [`RunSink`] on the run's own thread. Owns the throttle of one run's deltas. Not here: the run.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::ctx::Ctx;
use super::runs::Listener;
use super::start_run::failure_payload;
use super::ticket::Outcome;
use super::{events, nodes};
use crate::agent::events::{RunEvent, RunSink};
use crate::base::ids::RunId;
use crate::base::text::ellipsize;
use crate::protocol::error::ErrorShape;

/// Least time between two deltas of one run.
const DELTA_INTERVAL: Duration = Duration::from_millis(150);
/// Longest error of a chat event, in characters.
const ERROR_CHARS_MAX: usize = 240;

/// The sink of one run.
pub struct Fanout {
    cx: Arc<Ctx>,
    run: RunId,
    /// The session key as the client spelled it; chat events are sent only when there is one.
    echo: Option<String>,
    /// Whether tool events are sent: the session is verbose.
    shows_tools: bool,
    /// Who follows this run beside the clients.
    listener: Option<Listener>,
    last_delta: Cell<Option<Instant>>,
    text: RefCell<String>,
}

impl Fanout {
    /// Returns the sink of a run.
    pub fn new(cx: Arc<Ctx>, run: RunId, echo: Option<String>, shows_tools: bool) -> Self {
        let listener = cx.runs.listener(&run);
        Self { cx, run, echo, shows_tools, listener, last_delta: Cell::new(None), text: RefCell::default() }
    }

    fn agent_event(&self, seq: u64, stream: &str, data: Value) {
        let mut payload = json!({"runId": self.run.as_str(), "stream": stream, "data": data});
        if let Some(echo) = &self.echo {
            payload["sessionKey"] = echo.as_str().into();
        }
        payload["seq"] = seq.into();
        payload["ts"] = self.cx.clock.now_ms().into();
        match &self.echo {
            Some(echo) => nodes::broadcast(&self.cx, events::AGENT, &payload, None, Some(echo)),
            None => events::broadcast(&self.cx.net, events::AGENT, &payload, None),
        }
    }

    fn chat_event(&self, seq: u64, state: &str, more: impl FnOnce(&mut Value)) {
        // After an abort the client has its last word already.
        let Some(echo) = self.echo.as_deref().filter(|_| self.cx.runs.active(&self.run).is_some()) else { return };
        let event = if state == "delta" { events::CHAT_DELTA } else { events::CHAT };
        chat_event(&self.cx, event, &self.run, echo, seq, state, more);
    }

    fn assistant(&self, seq: u64, text: String) {
        let now = self.cx.clock.now();
        let is_due = self.last_delta.get().is_none_or(|last| now.saturating_duration_since(last) >= DELTA_INTERVAL);
        if is_due {
            self.last_delta.set(Some(now));
            let message = assistant_message(&text, self.cx.clock.now_ms());
            self.chat_event(seq, "delta", |payload| payload["message"] = message);
        }
        *self.text.borrow_mut() = text;
    }
}

impl RunSink for Fanout {
    fn emit(&self, event: RunEvent) {
        if let Some(Listener(listener)) = &self.listener {
            listener(&event);
        }
        // Clients have seen it grow; reasoning that is shown while it comes is for chats.
        if matches!(event, RunEvent::Said { .. } | RunEvent::Thinking { .. } | RunEvent::Lull) {
            return;
        }
        let seq = self.cx.runs.next_seq(&self.run);
        // First: whoever hears of the end may ask again.
        match &event {
            RunEvent::End { .. } => settle_chat(&self.cx, &self.run, Ok(())),
            RunEvent::Error { error, .. } => settle_chat(&self.cx, &self.run, Err(error.clone())),
            _ => {}
        }
        match event {
            RunEvent::Start { started_at } => {
                self.agent_event(seq, "lifecycle", json!({"phase": "start", "startedAt": started_at}));
            }
            RunEvent::Assistant { text, delta, media } => {
                let mut data = json!({"text": text, "delta": delta});
                if !media.is_empty() {
                    data["mediaUrls"] = media.into();
                }
                self.agent_event(seq, "assistant", data);
                if !text.is_empty() {
                    self.assistant(seq, text);
                }
            }
            RunEvent::Said { .. } | RunEvent::Thinking { .. } | RunEvent::Lull => {}
            // compat: tool events that are not sent leave a hole in the run's numbers.
            RunEvent::ToolStart { .. } | RunEvent::ToolUpdate { .. } | RunEvent::ToolResult { .. }
                if !self.shows_tools => {}
            RunEvent::ToolStart { name, tool_call_id, args } => {
                let data = json!({"phase": "start", "name": name, "toolCallId": tool_call_id, "args": args});
                self.agent_event(seq, "tool", data);
            }
            RunEvent::ToolUpdate { name, tool_call_id, partial_result } => {
                let data = json!({"phase": "update", "name": name, "toolCallId": tool_call_id, "partialResult": partial_result});
                self.agent_event(seq, "tool", data);
            }
            RunEvent::ToolResult { name, tool_call_id, meta, is_error, result } => {
                let mut data = json!({"phase": "result", "name": name, "toolCallId": tool_call_id});
                if let Some(meta) = meta {
                    data["meta"] = meta.into();
                }
                data["isError"] = is_error.into();
                data["result"] = result;
                self.agent_event(seq, "tool", data);
            }
            RunEvent::CompactionStart => self.agent_event(seq, "compaction", json!({"phase": "start"})),
            RunEvent::CompactionEnd { will_retry } => {
                self.agent_event(seq, "compaction", json!({"phase": "end", "willRetry": will_retry}));
            }
            RunEvent::End { started_at, ended_at, aborted } => {
                let mut data = json!({"phase": "end"});
                if let Some(started_at) = started_at {
                    data["startedAt"] = started_at.into();
                }
                data["endedAt"] = ended_at.into();
                if aborted {
                    data["aborted"] = true.into();
                }
                self.agent_event(seq, "lifecycle", data);
                let text = self.text.borrow().trim().to_owned();
                let message = (!text.is_empty()).then(|| assistant_message(&text, self.cx.clock.now_ms()));
                self.chat_event(seq, "final", |payload| {
                    if let Some(message) = message {
                        payload["message"] = message;
                    }
                });
            }
            RunEvent::Error { started_at, ended_at, error } => {
                let mut data = json!({"phase": "error"});
                if let Some(started_at) = started_at {
                    data["startedAt"] = started_at.into();
                }
                data["endedAt"] = ended_at.into();
                data["error"] = error.as_str().into();
                self.agent_event(seq, "lifecycle", data);
                self.chat_event(seq, "error", |payload| {
                    payload["errorMessage"] = ellipsize(&error, ERROR_CHARS_MAX).into()
                });
            }
        }
    }
}

/// Notes how a run of `chat.send` ended, for those who ask again with its key; other runs have no such note.
pub fn settle_chat(cx: &Ctx, run: &RunId, result: Result<(), String>) {
    let outcome = match result {
        Ok(()) => Outcome::Ok(json!({"runId": run.as_str(), "status": "ok"})),
        Err(message) => Outcome::Err {
            payload: Some(failure_payload(run.as_str(), &message)),
            error: ErrorShape::unavailable(message),
        },
    };
    cx.dedupe.replace(&format!("chat:{run}"), outcome, cx.clock.now_ms());
}

/// Broadcasts one chat event.
pub fn chat_event(
    cx: &Ctx,
    event: events::Event,
    run: &RunId,
    echo: &str,
    seq: u64,
    state: &str,
    more: impl FnOnce(&mut Value),
) {
    let mut payload = json!({"runId": run.as_str(), "sessionKey": echo, "seq": seq, "state": state});
    more(&mut payload);
    nodes::broadcast(cx, event, &payload, None, Some(echo));
}

fn assistant_message(text: &str, now_ms: u64) -> Value {
    json!({"role": "assistant", "content": [{"type": "text", "text": text}], "timestamp": now_ms})
}
