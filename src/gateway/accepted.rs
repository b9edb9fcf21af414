//! Runs that somebody was told of: written down before the answer leaves, carried on after a restart.
//!
//! Accepting waits for the disk, so it happens in lane [`LANE`]: whatever was asked for while the last write was under
//! way goes into the next one together. Owns the journal of runs and what waits for it. Not here: what the journal keeps
//! (`agent::run_journal`), how far a run came (`agent::run::resume`).

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::bounded;
use serde_json::{Value, json};

use super::ctx::Ctx;
use super::fanout::settle_chat;
use super::hooks;
use super::queue;
use super::runs::Finished;
use super::start_run::{Ready, Settled, Start, failure_payload, lane_of};
use super::subagents;
use super::talks;
use super::ticket::Outcome;
use crate::agent::run::{self, RunError, RunOutcome};
use crate::agent::run_journal::{Accepted, Ended, Origin, RunJournal};
use crate::agent::transcript::{self, strip_envelope};
use crate::base::clock::UnixMs;
use crate::base::ids::RunId;
use crate::base::text::{collapse_whitespace, ellipsize};
use crate::protocol::error::ErrorShape;

/// Lane of the journal.
const LANE: &str = "journal";
/// Runs that may wait for the disk at a time.
const WAITING_MAX: usize = 1000;
/// A run during which the gateway went down this often is not tried again: it may be the reason.
const CRASHES_MAX: u32 = 3;
/// A run that had not begun when the gateway went down is still carried out this long after it was accepted.
const WAIT_MS_MAX: UnixMs = 60 * 60_000;
/// Characters of a message in the notice that it was not answered.
const QUOTE_CHARS_MAX: usize = 80;

/// See the module.
pub struct Acceptance {
    /// The journal of runs.
    pub journal: RunJournal,
    /// When the gateway started.
    pub started_at_ms: UnixMs,
    waiting: Mutex<Vec<Waiting>>,
}

/// A run on its way into the journal.
struct Waiting {
    accepted: Accepted,
    ready: Ready,
    told: Told,
}

/// Called once the run is in the journal; dropped when it cannot be.
pub type Told = Box<dyn FnOnce() + Send>;

impl Acceptance {
    /// Puts it together.
    pub fn new(journal: RunJournal, started_at_ms: UnixMs) -> Self {
        Self { journal, started_at_ms, waiting: Mutex::default() }
    }

    fn take(&self) -> Vec<Waiting> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Accepts a run whose id is free: writes it down, calls `told`, and starts it. It is settled in the way of its origin.
pub fn accept(cx: &Arc<Ctx>, start: Start, origin: Origin, told: Told) {
    let accepted = record(cx, &start, origin.clone());
    let settled = settled(&accepted);
    let Some(ready) = Ready::register(cx, start, settled) else { return };
    let is_first = {
        let mut waiting = cx.accepted.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= WAITING_MAX {
            drop(waiting);
            return refuse(cx, &origin, ready, "too many runs wait to be accepted; try again later");
        }
        waiting.push(Waiting { accepted, ready, told });
        waiting.len() == 1
    };
    if is_first {
        let flush = Flush { cx: cx.clone(), has_begun: false };
        // A flush that is not taken is dropped, and with it what waits.
        if let Err(error) = cx.jobs.submit(vec![LANE.to_owned()], move || flush.go()) {
            log::warn!(target: "gateway", "no run can be accepted: {error}");
        }
    }
}

/// Calls `told` once everything is in the journal that is on its way there.
pub fn after(cx: &Ctx, told: Told) {
    // Dropped when the job is not taken, which answers.
    if let Err(error) = cx.jobs.submit(vec![LANE.to_owned()], told) {
        log::debug!(target: "gateway", "nobody is told: {error}");
    }
}

/// Returns what the journal keeps of a run.
fn record(cx: &Ctx, start: &Start, origin: Origin) -> Accepted {
    Accepted {
        request: start.request.clone(),
        origin,
        echo: start.echo.clone(),
        takes_system_events: start.takes_system_events,
        accepted_at: cx.clock.now_ms(),
        entry_id: transcript::new_id(&*cx.rng),
        begun_at: None,
        crashes: 0,
        is_aborted: false,
        is_deleted: false,
        is_read: false,
        supersedes: Vec::new(),
    }
}

/// Accepts a run and carries it out on this thread, a job's that holds the session's lane; `None` when a stop of the
/// gateway cut it off, and it goes on after the next start.
pub fn accept_here(cx: &Arc<Ctx>, start: Start, origin: Origin) -> Option<Result<RunOutcome, RunError>> {
    let accepted = record(cx, &start, origin);
    if let Err(error) = cx.accepted.journal.accept(vec![accepted.clone()]) {
        return Some(Err(RunError::new(format!("the run could not be written down: {error}"))));
    }
    here(cx, start, accepted)
}

/// Accepts a run on this thread, which waits for the disk, and starts it. It is settled in the way of its origin.
///
/// # Errors
/// When it cannot be written down; it is not started then, and not settled.
pub fn accept_now(cx: &Arc<Ctx>, start: Start, origin: Origin) -> io::Result<()> {
    let accepted = record(cx, &start, origin);
    cx.accepted.journal.accept(vec![accepted.clone()])?;
    if let Some(mut ready) = Ready::register(cx, start, settled(&accepted)) {
        ready.survive(accepted);
        ready.submit();
    }
    Ok(())
}

/// Carries a run on that was accepted before this start, in the same way.
pub fn carry_on_here(cx: &Arc<Ctx>, accepted: Accepted) -> Option<Result<RunOutcome, RunError>> {
    let mut request = accepted.request.clone();
    match verdict(cx, &accepted) {
        Ok(left) => request.timeout = Some(left),
        Err(End::Aborted) => return Some(Err(give_up(cx, &accepted, "it was aborted"))),
        Err(End::Deleted(why) | End::Lost(why)) => return Some(Err(give_up(cx, &accepted, &why))),
    }
    let start = Start { request, echo: accepted.echo.clone(), is_chat: false, takes_system_events: false };
    here(cx, start, accepted)
}

fn here(cx: &Arc<Ctx>, start: Start, accepted: Accepted) -> Option<Result<RunOutcome, RunError>> {
    let (sender, receiver) = bounded(1);
    // The receiver waits below.
    let settled = move |_: &Arc<Ctx>, outcome| drop(sender.send(outcome));
    if let Some(mut ready) = Ready::register(cx, start, Box::new(settled)) {
        ready.survive(accepted);
        ready.go();
    }
    receiver.recv().ok()
}

/// Ends a run that is not carried on, whose origin says so itself.
pub fn give_up(cx: &Ctx, accepted: &Accepted, why: &str) -> RunError {
    let error = RunError::new(format!("the run was cut off by a stop of the gateway and not carried on: {why}"));
    cx.accepted.journal.end(ended(accepted, &Err(error.clone()), cx.clock.now_ms()));
    error
}

/// Writes down what waits. Dropped instead, it lets go what waits.
struct Flush {
    cx: Arc<Ctx>,
    has_begun: bool,
}

impl Flush {
    fn go(mut self) {
        self.has_begun = true;
        let cx = &self.cx;
        let waiting = cx.accepted.take();
        let records = waiting.iter().map(|it| it.accepted.clone()).collect();
        let written = cx.accepted.journal.accept(records);
        for Waiting { accepted, mut ready, told } in waiting {
            match &written {
                Ok(()) => {
                    told();
                    let waits = may_wait(&accepted.origin);
                    ready.survive(accepted);
                    if waits { queue::place(cx, ready) } else { ready.submit() }
                }
                Err(error) => {
                    let text = format!("the run could not be written down, so it was not accepted: {error}");
                    refuse(cx, &accepted.origin, ready, &text);
                }
            }
        }
    }
}

impl Drop for Flush {
    fn drop(&mut self) {
        if !self.has_begun {
            // Outside the lock, because it settles runs.
            drop(self.cx.accepted.take());
        }
    }
}

/// Returns whether what is under way in its session decides about a run.
fn may_wait(origin: &Origin) -> bool {
    matches!(origin, Origin::Chat | Origin::Channel)
}

/// Settles a run that nobody was told of; the same request may be made again.
fn refuse(cx: &Arc<Ctx>, origin: &Origin, ready: Ready, text: &str) {
    log::error!(target: "gateway", "run {}: {text}", ready.run());
    let key = dedupe_key(origin, ready.run());
    ready.refuse(RunError::new(text));
    if let Some(key) = key {
        cx.dedupe.forget(&key);
    }
}

/// Returns under which key the answer to a run's origin is kept.
pub fn dedupe_key(origin: &Origin, run: &RunId) -> Option<String> {
    match origin {
        Origin::Chat => Some(format!("chat:{run}")),
        Origin::Agent => Some(format!("agent:{run}")),
        Origin::Channel => Some(format!("channel:{run}")),
        Origin::Node
        | Origin::Cron { .. }
        | Origin::Hook(_)
        | Origin::Subagent
        | Origin::Announcement { .. }
        | Origin::Talk { .. } => None,
    }
}

/// Notes that something was done for a request, so that it is not done again after a restart.
pub fn note_done(cx: &Ctx, origin: Origin, run: &RunId, error: Option<String>) {
    let at = cx.clock.now_ms();
    let run = run.clone();
    cx.accepted.journal.end(Ended { run, origin, at, started_at: None, error, timed_out: false, result: None });
}

/// Returns what the journal keeps of a run's end.
pub fn ended(accepted: &Accepted, outcome: &Result<RunOutcome, RunError>, at: UnixMs) -> Ended {
    let error = outcome.as_ref().err();
    let keeps_result = matches!(
        accepted.origin,
        Origin::Agent | Origin::Cron { .. } | Origin::Hook(_) | Origin::Subagent | Origin::Talk { .. }
    );
    Ended {
        run: accepted.request.run_id.clone(),
        origin: accepted.origin.clone(),
        at,
        started_at: outcome.as_ref().map_or_else(|error| error.started_at, |outcome| Some(outcome.started_at)),
        error: error.map(|error| error.message.clone()),
        timed_out: error.is_some_and(|error| error.timed_out),
        result: outcome.as_ref().ok().filter(|_| keeps_result).map(RunOutcome::to_json),
    }
}

/// Returns what the origin of a run is told at its end.
fn settled(accepted: &Accepted) -> Settled {
    let accepted = accepted.clone();
    Box::new(move |cx, outcome| {
        let run = &accepted.request.run_id;
        match accepted.origin.clone() {
            Origin::Chat => settle_chat(cx, run, outcome.map(|_| ()).map_err(|error| error.message)),
            Origin::Agent => {
                let answer = agent_answer(&ended(&accepted, &outcome, cx.clock.now_ms()));
                cx.dedupe.arrive(&format!("agent:{run}"), answer, cx.clock.now_ms());
            }
            Origin::Channel => note_answered(cx, run),
            Origin::Talk { .. } => talks::settled(cx, &ended(&accepted, &outcome, cx.clock.now_ms())),
            Origin::Subagent => subagents::settled(cx, &ended(&accepted, &outcome, cx.clock.now_ms())),
            Origin::Hook(ref end) => hooks::settled(cx, end, &ended(&accepted, &outcome, cx.clock.now_ms())),
            Origin::Announcement { of } => subagents::announced(cx, &of, outcome.err().map(|error| error.message)),
            Origin::Node | Origin::Cron { .. } => {}
        }
    })
}

/// Remembers that a message of a chat network was dealt with.
fn note_answered(cx: &Ctx, run: &RunId) {
    cx.dedupe.put(&format!("channel:{run}"), Outcome::Ok(Value::Null), cx.clock.now_ms());
}

/// Returns the final answer of `agent`.
fn agent_answer(ended: &Ended) -> Outcome {
    let run = ended.run.as_str();
    let Some(error) = &ended.error else {
        return Outcome::Ok(json!({"runId": run, "status": "ok", "summary": "completed", "result": ended.result}));
    };
    let shape = match ended.timed_out {
        true => ErrorShape::agent_timeout(error.as_str()),
        false => ErrorShape::unavailable(error.as_str()),
    };
    Outcome::Err { error: shape, payload: Some(failure_payload(run, error)) }
}

/// Makes known again what was accepted before this start, before anybody can ask.
pub fn restore(cx: &Ctx) {
    let now_ms = cx.clock.now_ms();
    for ended in cx.accepted.journal.recent() {
        let Some(key) = dedupe_key(&ended.origin, &ended.run) else { continue };
        if ended.origin == Origin::Agent {
            cx.dedupe.put(&key, agent_answer(&ended), ended.at);
        } else {
            cx.dedupe.put(&key, Outcome::Ok(Value::Null), ended.at);
            if ended.origin != Origin::Channel {
                settle_chat(cx, &ended.run, ended.error.clone().map_or(Ok(()), Err));
            }
        }
        let finished = Finished { error: ended.error, started_at: ended.started_at, ended_at: ended.at };
        drop(cx.runs.finish(&ended.run, finished));
    }
    for accepted in cx.accepted.journal.unfinished() {
        let run = &accepted.request.run_id;
        let Some(key) = dedupe_key(&accepted.origin, run) else { continue };
        let status = match accepted.origin {
            Origin::Agent => json!({"runId": run, "status": "accepted", "acceptedAt": accepted.accepted_at}),
            _ => json!({"runId": run, "status": "in_flight"}),
        };
        cx.dedupe.put(&key, Outcome::Ok(status), now_ms);
    }
}

/// Carries on what was accepted before this start and has not ended.
pub fn resume(cx: &Arc<Ctx>, left: Vec<Accepted>) {
    // What had begun goes first: what waited then waits for it again.
    let (begun, waiting): (Vec<_>, Vec<_>) = left.into_iter().partition(|accepted| accepted.begun_at.is_some());
    for accepted in begun.into_iter().chain(waiting) {
        // A cron job carries its own runs on.
        if matches!(accepted.origin, Origin::Cron { .. }) {
            continue;
        }
        resume_one(cx, accepted);
    }
}

fn resume_one(cx: &Arc<Ctx>, accepted: Accepted) {
    let end = verdict(cx, &accepted);
    let mut request = accepted.request.clone();
    if let Ok(left) = end {
        request.timeout = Some(left);
    }
    log::info!(
        target: "gateway",
        "run {} in {} was cut off by a stop of the gateway; {}",
        request.run_id, request.session_key,
        match &end {
            Ok(_) => "it goes on".to_owned(),
            Err(End::Aborted) => "it was aborted before".to_owned(),
            Err(End::Lost(why) | End::Deleted(why)) => format!("it does not go on: {why}"),
        },
    );
    let start = Start {
        request,
        echo: accepted.echo.clone(),
        is_chat: matches!(accepted.origin, Origin::Chat | Origin::Node | Origin::Channel),
        takes_system_events: accepted.takes_system_events && accepted.begun_at.is_none(),
    };
    let Some(mut ready) = Ready::register(cx, start, settled(&accepted)) else { return };
    let waits = may_wait(&accepted.origin) && accepted.begun_at.is_none();
    let is_answered = waits && is_answered(cx, &accepted);
    ready.survive(accepted);
    match end {
        Ok(_) if is_answered => ready.leave(false),
        Ok(_) if waits => queue::place(cx, ready),
        Ok(_) => ready.submit(),
        Err(end) => ready.submit_end(end),
    }
}

/// Returns whether a message that never had a run was read by another one.
fn is_answered(cx: &Ctx, accepted: &Accepted) -> bool {
    let was_read = || run::was_read(&cx.agent, &accepted.request, &accepted.entry_id, accepted.accepted_at);
    accepted.is_read && was_read().unwrap_or_default()
}

/// Why a run is not carried on.
pub enum End {
    /// Somebody stopped it.
    Aborted,
    /// Its session is gone.
    Deleted(String),
    /// It cannot be.
    Lost(String),
}

/// Returns how long a run may still take, or why it is not carried on.
fn verdict(cx: &Ctx, accepted: &Accepted) -> Result<Duration, End> {
    let limit = run::limit(&cx.config.get(), &accepted.request);
    if accepted.is_deleted {
        return Err(End::Deleted("its session was deleted".to_owned()));
    }
    if accepted.is_aborted {
        return Err(End::Aborted);
    }
    if accepted.crashes >= CRASHES_MAX {
        return Err(End::Lost(format!("the gateway went down {} times while it ran", accepted.crashes)));
    }
    let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
    let (since, patience_ms) = match accepted.begun_at {
        Some(begun_at) => (begun_at, limit_ms),
        None => (accepted.accepted_at, limit_ms.max(WAIT_MS_MAX)),
    };
    let left_ms = patience_ms.saturating_sub(cx.clock.now_ms().saturating_sub(since));
    if left_ms == 0 {
        return Err(End::Lost("its time was over when the gateway came back".to_owned()));
    }
    Ok(Duration::from_millis(left_ms.min(limit_ms)))
}

/// Words for people about a message that was not answered.
pub fn notice(request: &run::RunRequest, why: &str) -> String {
    // In the user's own words: what is put around them is for the model.
    let message = request.typed.as_deref().unwrap_or(&request.message);
    let quote = ellipsize(&collapse_whitespace(strip_envelope(message)), QUOTE_CHARS_MAX);
    format!("⚠️ This message was not answered, because {why}: “{quote}”. Send it again if you still want an answer.")
}

/// Returns the lanes of a run.
pub fn lanes(request: &run::RunRequest) -> Vec<String> {
    vec![lane_of(&request.session_key), request.lane.clone().unwrap_or_else(|| "main".to_owned())]
}
