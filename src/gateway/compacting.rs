//! `/compact`: the older part of a conversation is summed up because somebody asks for it.
//!
//! Runs on a job that holds the session's lane. Not here: how it is done (`agent::run`).

use std::sync::Arc;

use super::ctx::Ctx;
use super::fanout::Fanout;
use super::inbox::Turn;
use super::runs::{Active, Finished};
use super::{queue, tool_host};
use crate::agent::events::{RunEvent, RunSink};
use crate::agent::run::{self, Around, Mailbox, RunRequest};
use crate::base::cancel::CancelToken;
use crate::base::text::tokens;

/// Passes on what clients are told of a compaction.
struct OnlyCompaction(Fanout);

impl RunSink for OnlyCompaction {
    fn emit(&self, event: RunEvent) {
        if matches!(event, RunEvent::CompactionStart | RunEvent::CompactionEnd { .. }) {
            self.0.emit(event);
        }
    }
}

/// Compacts a session; returns what to say of it.
pub fn compact(cx: &Arc<Ctx>, turn: &Turn, wishes: &str) -> String {
    let request = RunRequest {
        channel: turn.speaker.channel.clone(),
        ..RunRequest::new(turn.id.clone(), turn.agent.clone(), turn.session.clone(), "")
    };
    let sink = OnlyCompaction(Fanout::new(cx.clone(), turn.id.clone(), turn.echo.clone(), false));
    let (host, cancel, mailbox) = (tool_host::of(cx), CancelToken::new(), Arc::new(Mailbox::default()));
    // As long as it takes it is something that can be stopped, and that messages wait for.
    let active = Active {
        cancel: cancel.clone(),
        session: turn.session.clone(),
        echo: turn.echo.clone(),
        is_chat: true,
        mailbox: mailbox.clone(),
    };
    cx.runs.begin(&turn.id, active);
    cx.queue.began(&turn.session, &turn.id);
    let around = Around { host: &host, sink: &sink, cancel: &cancel, mailbox: &mailbox };
    let wishes = Some(wishes.trim()).filter(|wishes| !wishes.is_empty());
    let done = run::compact(&cx.agent, &request, &around, wishes);
    let error = done.as_ref().err().cloned();
    drop(cx.runs.finish(&turn.id, Finished { error, started_at: None, ended_at: cx.clock.now_ms() }));
    queue::ended(cx, &turn.session, &turn.id);
    let (label, reason, used, window) = match done {
        Ok(Some(it)) => {
            (format!("Compacted ({} → {})", tokens(it.before), tokens(it.after)), None, Some(it.after), Some(it.window))
        }
        Ok(None) => ("Compaction skipped".to_owned(), Some("the conversation is short enough".to_owned()), None, None),
        Err(error) => ("Compaction failed".to_owned(), Some(error), None, None),
    };
    let entry = cx.sessions.entry(&turn.session).unwrap_or_default();
    let used = used.or(entry.total_tokens).unwrap_or(0);
    let window = window.or(entry.context_tokens).filter(|window| *window > 0);
    let context = match window {
        Some(window) => {
            let percent = (used as f64 / window as f64 * 100.0).round().min(999.0);
            format!("Context {}/{} ({percent}%)", tokens(used), tokens(window))
        }
        None => format!("Context {}", tokens(used)),
    };
    let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
    format!("{label}{reason} • {context}")
}
