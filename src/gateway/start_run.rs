//! Starting a run: one way for every origin (architecture §6).
//!
//! Registers the run, submits the job under its session's lane and `main`, and settles everybody who waits when it
//! ends. Runs on the worker that got the request, then on the job's thread. Not here: what a run does (`agent::run`), and
//! what makes it outlive the gateway (`accepted`).

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::accepted::{self, End};
use super::ctx::Ctx;
use super::events::CHAT;
use super::fanout::{Fanout, chat_event};
use super::feedback;
use super::queue;
use super::replies::{self, Overheard};
use super::runs::{Active, Finished};
use super::{tool_host, work};
use crate::agent::events::{RunEvent, RunSink};
use crate::agent::run::{self, Around, Mailbox, Promise, RunError, RunOutcome, RunRequest};
use crate::agent::run_journal::Accepted;
use crate::base::cancel::{CancelReason, CancelToken};
use crate::base::clock::iso_utc;
use crate::base::ids::{RunId, SessionKey};
use crate::channels::reply::{Reply, ReplyKind};
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

/// Starts a run whose id is free (see [`super::runs::Runs::begin`]) and that ends with the gateway.
///
/// `settled` is called exactly once, also when the run cannot be started.
pub fn start(cx: &Arc<Ctx>, start: Start, settled: Settled) {
    if let Some(ready) = Ready::register(cx, start, settled) {
        ready.submit();
    }
}

/// Returns the lane in which everything happens that must not meet a run of the session.
pub fn lane_of(session: &SessionKey) -> LaneName {
    format!("session:{session}")
}

/// A run that is registered and may begin.
pub struct Ready {
    cx: Arc<Ctx>,
    run: RunId,
    start: Start,
    cancel: CancelToken,
    mailbox: Arc<Mailbox>,
    guard: Unsettled,
}

impl Ready {
    /// Registers a run; `None`, and it is settled, when its id is taken.
    pub fn register(cx: &Arc<Ctx>, start: Start, settled: Settled) -> Option<Self> {
        let cancel = CancelToken::new();
        let run = start.request.run_id.clone();
        let mailbox = Arc::<Mailbox>::default();
        let active = Active {
            cancel: cancel.clone(),
            session: start.request.session_key.clone(),
            echo: start.echo.clone(),
            is_chat: start.is_chat,
            mailbox: mailbox.clone(),
        };
        if !cx.runs.begin(&run, active) {
            settled(cx, Err(RunError::new(format!("a run with id {run} is active already"))));
            return None;
        }
        // If the job panics or is dropped by a stop, this still settles the run.
        let guard = Unsettled {
            cx: cx.clone(),
            run: run.clone(),
            session: start.request.session_key.clone(),
            echo: start.echo.clone(),
            settled: Some(settled),
            accepted: None,
        };
        Some(Self { cx: cx.clone(), run, start, cancel, mailbox, guard })
    }

    /// Returns its id.
    pub fn run(&self) -> &RunId {
        &self.run
    }

    /// From now on the run outlives the gateway: it is in the journal.
    pub fn survive(&mut self, accepted: Accepted) {
        self.guard.accepted = Some(accepted);
    }

    /// Queues it.
    pub fn submit(self) {
        self.queue(Self::go);
    }

    /// Queues the end of a run that is not carried on.
    pub fn submit_end(self, end: End) {
        self.queue(move |ready| ready.end(end));
    }

    /// Settles a run that was not accepted.
    pub fn refuse(self, error: RunError) {
        self.guard.settle(Err(error));
    }

    /// Returns what is asked for.
    pub fn request(&self) -> &RunRequest {
        &self.start.request
    }

    /// Returns where it takes place.
    pub fn session(&self) -> &SessionKey {
        &self.start.request.session_key
    }

    /// Returns whether somebody stopped it.
    pub fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// Returns the id that its message has in the transcript, if one was promised.
    pub fn entry_id(&self) -> Option<String> {
        self.guard.accepted.as_ref().map(|accepted| accepted.entry_id.clone())
    }

    /// Ends it without a run, because somebody stopped it; its message is in the transcript all the same.
    pub fn stop(self) {
        self.queue(|ready| {
            if let Some(accepted) = &ready.guard.accepted
                && let Err(error) =
                    run::give_up(&ready.cx.agent, &ready.start.request, &promise(&ready.cx, accepted), None)
            {
                log::error!(target: "gateway", "a stopped message is missing in {}: {error}", ready.session());
            }
            ready.leave(true);
        });
    }

    /// Ends it without a run: another one answers its message, or nobody does.
    pub fn leave(self, aborted: bool) {
        if let Some(route) = &self.start.request.route {
            feedback::take_sign(&self.cx, route);
        }
        let now_ms = self.cx.clock.now_ms();
        if let Some(echo) = self.start.echo.as_deref().filter(|_| !aborted && self.start.request.route.is_none()) {
            let seq = self.cx.runs.next_seq(&self.run);
            chat_event(&self.cx, CHAT, &self.run, echo, seq, "final", |_| ());
        }
        self.guard.settle(Ok(RunOutcome::none(now_ms, aborted)));
    }

    /// Queues it with a request that answers these messages too; the journal knows before it begins.
    pub fn submit_with(self, merged: Option<RunRequest>, others: Vec<Self>) {
        let Some(merged) = merged else { return self.submit() };
        self.queue(move |mut ready| {
            ready.start.request = merged.clone();
            if let Some(accepted) = &mut ready.guard.accepted {
                accepted.request = merged;
                accepted.supersedes = others.iter().map(|other| other.run.clone()).collect();
                if let Err(error) = ready.cx.accepted.journal.accept(vec![accepted.clone()]) {
                    // At worst they are answered once more after a crash.
                    log::error!(target: "gateway", "run {} answers others too, which is not written down: {error}", ready.run);
                }
            }
            others.into_iter().for_each(|other| other.leave(false));
            ready.go();
        });
    }

    fn queue(self, act: impl FnOnce(Self) + Send + 'static) {
        self.cx.queue.began(self.session(), &self.run);
        let (cx, run) = (self.cx.clone(), self.run.clone());
        if let Err(error) = cx.jobs.submit(accepted::lanes(&self.start.request), move || act(self)) {
            log::warn!(target: "gateway", "run {run} was not started: {error}");
        }
    }

    /// Carries it out on this thread, a job's that holds the session's lane.
    pub fn go(self) {
        self.cx.queue.began(self.session(), &self.run);
        let Self { cx, run, start, cancel, mailbox, guard } = self;
        let Start { mut request, echo, takes_system_events, .. } = start;
        if guard.accepted.is_some() && !cx.accepted.journal.begin(&run, cx.clock.now_ms()) {
            // It stays in the journal, for the next start.
            return;
        }
        if takes_system_events {
            request.prefix_lines = waiting_lines(&cx, &request.session_key);
        }
        let shows_tools = run::is_verbose(&cx.agent, &request);
        let fanout = Fanout::new(cx.clone(), run, echo, shows_tools);
        let sink = Overheard::new(&cx, &request, &fanout);
        let host = tool_host::of(&cx);
        let outcome = match &guard.accepted {
            None => run::run(
                &cx.agent,
                &request,
                &Around { host: &host, sink: &sink, cancel: &cancel, mailbox: &mailbox },
                None,
            ),
            Some(accepted) => {
                let sink = Surviving { sink: &sink, cancel: &cancel };
                let around = Around { host: &host, sink: &sink, cancel: &cancel, mailbox: &mailbox };
                run::run(&cx.agent, &request, &around, Some(&promise(&cx, accepted)))
            }
        };
        let is_put_down = outcome.is_err() && cancel.reason() == Some(CancelReason::Shutdown);
        if !(guard.accepted.is_some() && is_put_down) {
            // First: a run that has ended is not looked at again, and somebody waits for its replies.
            sink.settle(&outcome);
            guard.settle(outcome);
        }
    }

    /// Says that the run is not carried on: in its session, and to whoever asked for it.
    fn end(self, end: End) {
        let Self { cx, run, start, guard, .. } = self;
        let Some(accepted) = &guard.accepted else { return };
        let (notice, error) = match &end {
            End::Aborted => (None, "the run was aborted".to_owned()),
            End::Deleted(why) => (None, format!("the run was not carried on: {why}")),
            End::Lost(why) => {
                (Some(accepted::notice(&start.request, why)), format!("the run was not carried on: {why}"))
            }
        };
        if !matches!(end, End::Deleted(_))
            && let Err(error) = run::give_up(&cx.agent, &start.request, &promise(&cx, accepted), notice.as_deref())
        {
            log::error!(target: "gateway", "session {} does not say what became of run {run}: {error}", start.request.session_key);
        }
        if let (Some(notice), Some(route)) = (notice, &start.request.route) {
            // Under the name of the answer: one that is on its way already takes its place.
            let reply = Reply { text: notice, kind: ReplyKind::Notice, ..Reply::default() };
            replies::promise(&cx, &run, &start.request.session_key, route, "final", vec![reply]);
        }
        let sink = Fanout::new(cx.clone(), run, start.echo, false);
        sink.emit(RunEvent::Error { started_at: accepted.begun_at, ended_at: cx.clock.now_ms(), error: error.clone() });
        guard.settle(Err(RunError::new(error)));
    }
}

/// Returns what is known of an accepted run from before this start.
fn promise<'a>(cx: &Ctx, accepted: &'a Accepted) -> Promise<'a> {
    let is_older = accepted.accepted_at < cx.accepted.started_at_ms || accepted.begun_at.is_some();
    Promise { entry_id: &accepted.entry_id, resumed_from: is_older.then_some(accepted.accepted_at) }
}

/// The sink of a run that is carried on after a stop: that stop is not its end.
struct Surviving<'a> {
    sink: &'a dyn RunSink,
    cancel: &'a CancelToken,
}

impl RunSink for Surviving<'_> {
    fn emit(&self, event: RunEvent) {
        if !(matches!(event, RunEvent::Error { .. }) && self.cancel.reason() == Some(CancelReason::Shutdown)) {
            self.sink.emit(event);
        }
    }

    fn lull(&self) -> Option<Duration> {
        self.sink.lull()
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
    session: SessionKey,
    echo: Option<String>,
    settled: Option<Settled>,
    /// What the journal knows of it, if it outlives the gateway.
    accepted: Option<Accepted>,
}

impl Unsettled {
    fn settle(mut self, outcome: Result<RunOutcome, RunError>) {
        self.finish(outcome);
    }

    fn finish(&mut self, outcome: Result<RunOutcome, RunError>) {
        let Some(settled) = self.settled.take() else { return };
        let now_ms = self.cx.clock.now_ms();
        // First: whoever hears of the end may ask again, also after a restart.
        if let Some(accepted) = &self.accepted {
            self.cx.accepted.journal.end(accepted::ended(accepted, &outcome, now_ms));
        }
        let finished = Finished {
            error: outcome.as_ref().err().map(|error| error.message.clone()),
            started_at: outcome.as_ref().map_or_else(|error| error.started_at, |outcome| Some(outcome.started_at)),
            ended_at: now_ms,
        };
        let result = finished.to_wait_result(&self.run);
        for ticket in self.cx.runs.finish(&self.run, finished) {
            ticket.finish(Ok(result.clone()));
        }
        settled(&self.cx, outcome);
        queue::ended(&self.cx, &self.session, &self.run);
        work::arm_settled(&self.cx);
    }

    /// Leaves the run for the next start; who waits is told to ask again.
    fn put_down(&mut self, accepted: &Accepted) {
        drop(self.settled.take());
        if let Some(key) = accepted::dedupe_key(&accepted.origin, &self.run) {
            self.cx.dedupe.abandon(&key);
        }
        for ticket in self.cx.runs.put_down(&self.run) {
            ticket.finish(Ok(json!({"runId": self.run, "status": "timeout"})));
        }
        queue::ended(&self.cx, &self.session, &self.run);
    }
}

impl Drop for Unsettled {
    fn drop(&mut self) {
        if self.settled.is_none() {
            return;
        }
        if let Some(accepted) = self.accepted.take_if(|_| self.cx.accepted.journal.is_paused()) {
            return self.put_down(&accepted);
        }
        let error =
            "the run could not be finished: the gateway is stopping, too busy, or failed (see its log)".to_owned();
        let sink = Fanout::new(self.cx.clone(), self.run.clone(), self.echo.clone(), false);
        sink.emit(RunEvent::Error { started_at: None, ended_at: self.cx.clock.now_ms(), error: error.clone() });
        self.finish(Err(RunError::new(error)));
    }
}

/// Returns the payload of a failed run's final answer.
pub fn failure_payload(run: &str, message: &str) -> serde_json::Value {
    json!({"runId": run, "status": "error", "summary": message})
}
