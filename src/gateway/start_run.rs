//! Starting a run: one way for every origin (architecture §6).
//!
//! Registers the run, submits the job under its session's lane and `main`, and settles everybody who waits when it
//! ends. Runs on the worker that got the request, then on the job's thread. Not here: what a run does (`agent::run`).

use std::sync::Arc;

use serde_json::json;

use super::ctx::Ctx;
use super::fanout::Fanout;
use super::runs::{Active, Finished};
use super::{tool_host, work};
use crate::agent::events::{RunEvent, RunSink};
use crate::agent::run::{self, RunError, RunOutcome, RunRequest};
use crate::base::cancel::CancelToken;
use crate::base::clock::iso_utc;
use crate::base::ids::{RunId, SessionKey};
use crate::work::lanes::LaneName;

/// A run to be started.
pub struct Start {
    /// What to run.
    pub request: RunRequest,
    /// The session key as the client spelled it.
    pub echo: Option<String>,
    /// Whether `chat.abort` may stop it.
    pub is_chat: bool,
    /// Whether waiting system events go into the prompt (agent.md §18).
    pub takes_system_events: bool,
}

/// Called on the job's thread when the run is over.
pub type Settled = Box<dyn FnOnce(&Arc<Ctx>, Result<RunOutcome, RunError>) + Send>;

/// Starts a run whose id is free (see [`super::runs::Runs::begin`]).
///
/// `settled` is called exactly once, also when the run cannot be started.
pub fn start(cx: &Arc<Ctx>, start: Start, settled: Settled) {
    start_in(cx, "main", start, settled);
}

/// As [`start`], in another global lane than `main`.
pub fn start_in(cx: &Arc<Ctx>, lane: &str, start: Start, settled: Settled) {
    let lanes = vec![lane_of(&start.request.session_key), lane.to_owned()];
    let Some(ready) = Ready::register(cx, start, settled) else { return };
    let run = ready.run.clone();
    if let Err(error) = cx.jobs.submit(lanes, move || ready.go()) {
        log::warn!(target: "gateway", "run {run} was not started: {error}");
    }
}

/// Returns the lane in which everything happens that must not meet a run of the session.
pub fn lane_of(session: &SessionKey) -> LaneName {
    format!("session:{session}")
}

/// Carries a run out on this thread, a job's that holds the session's lane.
///
/// # Errors
/// As [`run::run`], and when the run's id is taken.
pub fn run_here(cx: &Arc<Ctx>, start: Start) -> Result<RunOutcome, RunError> {
    let (sender, receiver) = crossbeam_channel::bounded(1);
    let settled = move |_: &Arc<Ctx>, outcome| sender.send(outcome).expect("the receiver waits below");
    if let Some(ready) = Ready::register(cx, start, Box::new(settled)) {
        ready.go();
    }
    receiver.recv().expect("a run is settled exactly once")
}

/// A run that is registered and may begin.
struct Ready {
    cx: Arc<Ctx>,
    run: RunId,
    start: Start,
    cancel: CancelToken,
    guard: Unsettled,
}

impl Ready {
    /// Registers a run; `None`, and it is settled, when its id is taken.
    fn register(cx: &Arc<Ctx>, start: Start, settled: Settled) -> Option<Self> {
        let cancel = CancelToken::new();
        let run = start.request.run_id.clone();
        let active = Active {
            cancel: cancel.clone(),
            session: start.request.session_key.clone(),
            echo: start.echo.clone(),
            is_chat: start.is_chat,
        };
        if !cx.runs.begin(&run, active) {
            settled(cx, Err(RunError::new(format!("a run with id {run} is active already"))));
            return None;
        }
        // If the job panics or is dropped by a stop, this still settles the run.
        let guard = Unsettled { cx: cx.clone(), run: run.clone(), echo: start.echo.clone(), settled: Some(settled) };
        Some(Self { cx: cx.clone(), run, start, cancel, guard })
    }

    fn go(self) {
        let Self { cx, run, start, cancel, guard } = self;
        let Start { mut request, echo, takes_system_events, .. } = start;
        if takes_system_events {
            request.prefix_lines = waiting_lines(&cx, &request.session_key);
        }
        let shows_tools = run::is_verbose(&cx.agent, &request);
        let sink = Fanout::new(cx.clone(), run, echo, shows_tools);
        let host = tool_host::of(&cx);
        let outcome = run::run(&cx.agent, &request, &host, &sink, &cancel);
        guard.settle(outcome);
    }
}

fn waiting_lines(cx: &Ctx, session: &SessionKey) -> Vec<String> {
    let events = cx.system_events.drain(session);
    events
        .into_iter()
        .filter(|event| {
            let lower = event.text.to_lowercase();
            !lower.contains("heartbeat") && !lower.contains("reason periodic")
        })
        .map(|event| format!("System: [{}] {}", iso_utc(event.ts), event.text))
        .collect()
}

struct Unsettled {
    cx: Arc<Ctx>,
    run: RunId,
    echo: Option<String>,
    settled: Option<Settled>,
}

impl Unsettled {
    fn settle(mut self, outcome: Result<RunOutcome, RunError>) {
        self.finish(outcome);
    }

    fn finish(&mut self, outcome: Result<RunOutcome, RunError>) {
        let Some(settled) = self.settled.take() else { return };
        let finished = Finished {
            error: outcome.as_ref().err().map(|error| error.message.clone()),
            started_at: outcome.as_ref().map_or_else(|error| error.started_at, |outcome| Some(outcome.started_at)),
            ended_at: self.cx.clock.now_ms(),
        };
        let result = finished.to_wait_result(&self.run);
        for ticket in self.cx.runs.finish(&self.run, finished) {
            ticket.finish(Ok(result.clone()));
        }
        settled(&self.cx, outcome);
        work::arm_settled(&self.cx);
    }
}

impl Drop for Unsettled {
    fn drop(&mut self) {
        if self.settled.is_some() {
            let error =
                "the run could not be finished: the gateway is stopping, too busy, or failed (see its log)".to_owned();
            let sink = Fanout::new(self.cx.clone(), self.run.clone(), self.echo.clone(), false);
            sink.emit(RunEvent::Error { started_at: None, ended_at: self.cx.clock.now_ms(), error: error.clone() });
            self.finish(Err(RunError::new(error)));
        }
    }
}

/// Returns the payload of a failed run's final answer.
pub fn failure_payload(run: &str, message: &str) -> serde_json::Value {
    json!({"runId": run, "status": "error", "summary": message})
}
