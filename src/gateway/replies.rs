//! What a run says to the chat that it came from: replies, into the outbox before the run counts as ended.
//!
//! Runs on the run's own thread. Each reply has an id made of the run's and its number, so that a run which is carried on
//! after a crash says nothing twice. Not here: sending (`deliveries`), what clients of the gateway see (`fanout`).

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ctx::Ctx;
use super::{deliveries, feedback};
use crate::agent::events::{RunEvent, RunSink};
use crate::agent::run::{RunError, RunOutcome, RunRequest};
use crate::base::ids::{RunId, SessionKey};
use crate::base::route::Route;
use crate::channels::reply::{Reply, ReplyKind};

/// Least time between two drafts of one answer.
const DRAFT_INTERVAL: Duration = Duration::from_millis(300);

/// The sink of a run that came from a chat: passes everything on, and shows the chat that somebody is at work.
pub struct Overheard<'a> {
    /// Hears everything first.
    pub inner: &'a dyn RunSink,
    cx: &'a Arc<Ctx>,
    request: &'a RunRequest,
    last_draft: Cell<Option<Instant>>,
}

impl<'a> Overheard<'a> {
    /// Puts it around another sink.
    pub fn new(cx: &'a Arc<Ctx>, request: &'a RunRequest, inner: &'a dyn RunSink) -> Self {
        Self { inner, cx, request, last_draft: Cell::new(None) }
    }

    fn show(&self, route: &Route, event: &RunEvent) {
        match event {
            RunEvent::Start { .. } => feedback::begun(self.cx, route, self.request.speaker.as_ref()),
            RunEvent::ToolStart { .. } => feedback::working(self.cx, route),
            RunEvent::Assistant { text, .. } => {
                let now = self.cx.clock.now();
                let last = self.last_draft.get();
                if last.is_none_or(|last| now.saturating_duration_since(last) >= DRAFT_INTERVAL) {
                    self.last_draft.set(Some(now));
                    feedback::working(self.cx, route);
                    feedback::draft(self.cx, route, text);
                }
            }
            _ => {}
        }
    }
}

impl RunSink for Overheard<'_> {
    fn emit(&self, event: RunEvent) {
        if let Some(route) = &self.request.route {
            self.show(route, &event);
        }
        self.inner.emit(event);
    }
}

/// Puts replies into the outbox, in order.
pub fn promise(cx: &Arc<Ctx>, run: &RunId, session: &SessionKey, route: &Route, part: &str, replies: Vec<Reply>) {
    let deliveries = replies.into_iter().enumerate().map(|(number, reply)| {
        let thread = reply.thread.or_else(|| route.thread.clone());
        let reply = Reply { thread, session: Some(session.to_string()), ..reply };
        deliveries::of(cx, format!("{run}/{part}/{number}"), route, &reply)
    });
    if let Err(error) = deliveries::promise(cx, deliveries.collect()) {
        log::error!(target: "gateway", "a reply of run {run} is lost: {error}");
    }
}

/// Says how a run ended, if there is somebody to tell.
pub fn settle(cx: &Arc<Ctx>, request: &RunRequest, outcome: &Result<RunOutcome, RunError>) {
    let Some(route) = &request.route else { return };
    let replies = match outcome {
        // Whoever stopped it knows.
        Ok(outcome) if outcome.aborted => Vec::new(),
        Ok(outcome) => {
            let reply = |text: &String| Reply { text: text.clone(), ..Reply::default() };
            outcome.texts.iter().map(reply).collect()
        }
        Err(error) => vec![Reply { text: failure(error), kind: ReplyKind::Notice, ..Reply::default() }],
    };
    promise(cx, &request.run_id, &request.session_key, route, "final", replies);
    feedback::done(cx, route);
}

fn failure(error: &RunError) -> String {
    format!("⚠️ Agent failed before reply: {}\nclawdbot logs --follow shows more.", error.message)
}
