//! Stopping runs that somebody wants stopped.

use serde_json::{Value, json};

use super::ctx::Ctx;
use super::events::CHAT;
use super::fanout::{chat_event, settle_chat};
use super::queue;
use crate::base::ids::RunId;

/// Stops runs; each client hears of it before the answer, which this returns.
pub fn runs(cx: &Ctx, runs: &[RunId], stop_reason: &str) -> Value {
    let mut stopped = Vec::new();
    for run in runs {
        let seq = cx.runs.next_seq(run);
        let Some(active) = cx.runs.abort(run) else { continue };
        cx.accepted.journal.abort(run, false);
        let echo = active.echo.as_deref().unwrap_or(active.session.as_str());
        chat_event(cx, CHAT, run, echo, seq, "aborted", |payload| payload["stopReason"] = stop_reason.into());
        settle_chat(cx, run, Ok(()));
        queue::withdraw(cx, &active.session, run);
        stopped.push(run.as_str().to_owned());
    }
    json!({"ok": true, "aborted": !stopped.is_empty(), "runIds": stopped})
}
