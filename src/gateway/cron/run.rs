//! One run of a job: from its place in the lane to its answer (agent.md §19).
//!
//! Runs on a job's thread, which holds a slot of lane `cron`, and for an isolated job that of its session. However a run
//! ends, also by a panic or a stop, its job learns of it.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, bounded, select};
use serde_json::json;

use super::{announce, arm};
use crate::agent::run::{RunError, RunOutcome, RunRequest};
use crate::agent::run_journal::{self, Accepted, Origin};
use crate::agent::sessions::Entry;
use crate::agent::{levels, models, prompt, session};
use crate::base::ids::{AgentId, RunId, SessionKey};
use crate::base::rng::uuid;
use crate::channels::reply::Reply;
use crate::config::types::Config;
use crate::cron::delivery::{self, LastRoute};
use crate::cron::scheduler::Ended;
use crate::cron::store::Store;
use crate::cron::when;
use crate::gateway::accepted;
use crate::gateway::ctx::Ctx;
use crate::gateway::heartbeat::{self, HeartbeatOutcome};
use crate::gateway::start_run::{self, Start};
use crate::gateway::targets::{self, Aim};
use crate::gateway::ticket::Ticket;
use crate::protocol::cron::{CronJob, CronPayload, CronStatus, CronTurn, CronWakeMode};

/// Channel of a run whose answer goes nowhere.
const CHANNEL_NONE: &str = "webchat";
/// How long a busy main session is waited for, and how long between two looks.
const BUSY_MAX: Duration = Duration::from_secs(120);
const BUSY_STEP: Duration = Duration::from_millis(250);

/// Queues the run of a claimed job.
pub(super) fn queue(cx: &Arc<Ctx>, store: &Arc<Store>, id: String, by_force: bool, ticket: Option<Ticket>) {
    let mut lanes = Vec::new();
    if let Some(job) = store.get().jobs().iter().find(|job| job.id == id)
        && matches!(job.payload, CronPayload::AgentTurn { .. })
    {
        lanes.push(start_run::lane_of(&own_session(&cx.config.get(), job)));
    }
    lanes.push("cron".to_owned());
    let run = Run { cx: cx.clone(), store: store.clone(), id, by_force, ticket, stage: Stage::Queued };
    // A run that is not taken is dropped, which gives the claim back.
    if let Err(error) = cx.jobs.submit(lanes, move || run.go()) {
        log::warn!(target: "gateway/cron", "a due job waits: {error}");
        arm(cx);
    }
}

/// What is left of a run that a stop of the gateway cut off.
pub(super) enum Left {
    /// It goes on.
    Going(Box<Accepted>),
    /// It had ended; only its job does not know.
    Ended(run_journal::Ended),
}

/// Returns the runs that were cut off and can be carried on, with their jobs, whose claims they take up.
pub(super) fn left(cx: &Ctx, store: &Store) -> Vec<(CronJob, Left)> {
    let journal = &cx.accepted.journal;
    let job_of = |origin: &Origin| match origin {
        Origin::Cron { job } => Some(job.clone()),
        _ => None,
    };
    let mut left = Vec::new();
    for accepted in journal.unfinished() {
        let Some(id) = job_of(&accepted.origin) else { continue };
        match store.note(|scheduler| scheduler.take_up(&id)) {
            Some(job) => left.push((job, Left::Going(Box::new(accepted)))),
            None => drop(accepted::give_up(cx, &accepted, "its cron job is gone")),
        }
    }
    for ended in journal.recent() {
        let Some(id) = job_of(&ended.origin) else { continue };
        let is_of_claim = |job: &CronJob| job.state.running_at_ms.is_some_and(|at| at <= ended.at);
        let is_left = store.get().jobs().iter().any(|job| job.id == id && is_of_claim(job));
        let is_new = left.iter().all(|(job, _)| job.id != id);
        if let Some(job) = (is_left && is_new).then(|| store.note(|scheduler| scheduler.take_up(&id))).flatten() {
            left.push((job, Left::Ended(ended)));
        }
    }
    left
}

/// Queues what is left of a run.
pub(super) fn take_up(cx: &Arc<Ctx>, store: &Arc<Store>, job: &CronJob, left: Left) {
    log::info!(target: "gateway/cron", "a run of job {} was cut off by a stop of the gateway; it goes on", job.id);
    let lanes = vec![start_run::lane_of(&own_session(&cx.config.get(), job)), "cron".to_owned()];
    let stage = Stage::Begun;
    let run = Run { cx: cx.clone(), store: store.clone(), id: job.id.clone(), by_force: false, ticket: None, stage };
    let job = job.clone();
    if let Err(error) = cx.jobs.submit(lanes, move || run.go_on(&job, left)) {
        log::warn!(target: "gateway/cron", "a cut-off run does not go on: {error}");
    }
}

/// A run, from its claim to its end.
struct Run {
    cx: Arc<Ctx>,
    store: Arc<Store>,
    id: String,
    by_force: bool,
    /// Of whoever ran the job by hand.
    ticket: Option<Ticket>,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Queued,
    Begun,
    Over,
}

impl Run {
    fn go(mut self) {
        let now_ms = self.cx.clock.now_ms();
        let Some((job, event)) = self.store.note(|scheduler| scheduler.begin(&self.id, self.by_force, now_ms)) else {
            self.stage = Stage::Over;
            arm(&self.cx);
            self.answer(json!({"ok": true, "ran": false, "reason": "not-due"}));
            return;
        };
        self.stage = Stage::Begun;
        announce(&self.cx, &self.store, &[event]);
        match &job.payload {
            CronPayload::SystemEvent { text, .. } => {
                let ended = tell(&self.cx, &job, text.trim());
                self.finish(&ended);
            }
            CronPayload::AgentTurn { message, turn, .. } => {
                let outcome = ask(&self.cx, &job, message, turn);
                self.conclude(&job, outcome);
            }
        }
    }

    /// Goes on where a stop of the gateway has cut it off.
    fn go_on(mut self, job: &CronJob, left: Left) {
        let outcome = match left {
            Left::Going(accepted) => accepted::carry_on_here(&self.cx, *accepted).map(texts_of),
            Left::Ended(ended) => Some(match ended.error {
                Some(error) => Err(format!("Error: {error}")),
                None => {
                    let result = ended.result.unwrap_or_default();
                    let payloads = result["payloads"].as_array().into_iter().flatten();
                    Ok(payloads.filter_map(|it| it["text"].as_str()).map(str::to_owned).collect())
                }
            }),
        };
        self.conclude(job, outcome);
    }

    /// Tells everybody what an isolated job came to; `None` was put down and goes on after the next start.
    fn conclude(&mut self, job: &CronJob, outcome: Option<Result<Vec<String>, String>>) {
        let Some(outcome) = outcome else {
            self.stage = Stage::Over;
            return;
        };
        let config = self.cx.config.get();
        let agent = agent_of(&config, job);
        let (ended, texts) = match (outcome, &job.payload) {
            (Ok(texts), CronPayload::AgentTurn { turn, .. }) => {
                let last = last_route(self.cx.sessions.entry(&session::main_key(&config, &agent)));
                let ack_chars_max = heartbeat::settings(&config, &agent).ack_chars_max();
                let mut deliver = |texts| deliver(&self.cx, job, turn, &agent, texts);
                (delivery::ended(&texts, turn, &last, ack_chars_max, &mut deliver), texts)
            }
            (Ok(texts), CronPayload::SystemEvent { .. }) => (Ended::error("the job was changed during its run"), texts),
            (Err(error), _) => (Ended::error(error), Vec::new()),
        };
        post(&self.cx, &agent, &delivery::post(job.isolation.as_ref(), &ended, &texts));
        self.finish(&ended);
        if job.wake_mode == CronWakeMode::Now {
            heartbeat::request(&self.cx, &agent, &format!("cron:{}:post", job.id), |_, _| ());
        }
    }

    fn finish(&mut self, ended: &Ended) {
        self.stage = Stage::Over;
        let events = self.store.note(|scheduler| scheduler.finish(&self.id, ended, self.cx.clock.now_ms()));
        if let Some(error) = ended.error.as_deref().filter(|_| ended.status == CronStatus::Error) {
            log::warn!(target: "gateway/cron", "job {} failed: {error}", self.id);
        }
        announce(&self.cx, &self.store, &events);
        arm(&self.cx);
        self.answer(json!({"ok": true, "ran": true}));
    }

    fn is_isolated(&self) -> bool {
        let jobs = self.store.get();
        jobs.jobs().iter().any(|job| job.id == self.id && matches!(job.payload, CronPayload::AgentTurn { .. }))
    }

    fn answer(&mut self, payload: serde_json::Value) {
        if let Some(ticket) = self.ticket.take() {
            ticket.finish(Ok(payload));
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        match self.stage {
            Stage::Over => {}
            // A run that is carried on after the next start keeps its claim in the file.
            Stage::Begun if self.cx.accepted.journal.is_paused() && self.is_isolated() => {}
            // The queue was full, or the gateway is stopping; the ticket answers by itself.
            Stage::Queued => self.store.note(|scheduler| scheduler.give_back(&self.id, self.cx.clock.now_ms())),
            Stage::Begun => self.finish(&Ended::error("the run broke off; see the gateway's log")),
        }
    }
}

/// Returns whose job it is; a name that nobody bears means the default agent.
fn agent_of(config: &Config, job: &CronJob) -> AgentId {
    let named = job.agent_id.as_deref().map(session::normalize_agent_id);
    named
        .filter(|agent| session::agent_entry(config, agent).is_some())
        .unwrap_or_else(|| session::default_agent(config))
}

/// Returns the session of an isolated job.
fn own_session(config: &Config, job: &CronJob) -> SessionKey {
    session::canonical_key(config, &format!("cron:{}", job.id), Some(&agent_of(config, job)))
}

fn post(cx: &Ctx, agent: &AgentId, line: &str) {
    let key = session::main_key(&cx.config.get(), agent);
    cx.system_events.push(&key, line, cx.clock.now_ms());
}

/// A main job: tells the agent's main session something, and wakes the agent.
fn tell(cx: &Arc<Ctx>, job: &CronJob, text: &str) -> Ended {
    if text.is_empty() {
        let error = "main job requires non-empty systemEvent text".to_owned();
        return Ended { status: CronStatus::Skipped, error: Some(error), summary: None };
    }
    let agent = agent_of(&cx.config.get(), job);
    post(cx, &agent, text);
    let reason = format!("cron:{}", job.id);
    let (status, error) = match job.wake_mode {
        CronWakeMode::NextHeartbeat => {
            heartbeat::request(cx, &agent, &reason, |_, _| ());
            (CronStatus::Ok, None)
        }
        CronWakeMode::Now => match wake(cx, &agent, &reason) {
            HeartbeatOutcome::Ran => (CronStatus::Ok, None),
            HeartbeatOutcome::Skipped(reason) => (CronStatus::Skipped, Some(reason)),
            HeartbeatOutcome::Failed(reason) => (CronStatus::Error, Some(reason)),
        },
    };
    Ended { status, error, summary: Some(text.to_owned()) }
}

/// Has a heartbeat of the agent now and waits for its outcome; a busy main session is waited for, within limits.
fn wake(cx: &Arc<Ctx>, agent: &AgentId, reason: &str) -> HeartbeatOutcome {
    let patience = cx.clock.now() + BUSY_MAX;
    let stopping = || HeartbeatOutcome::Failed("the gateway is stopping".to_owned());
    loop {
        let (sender, receiver) = bounded(1);
        heartbeat::request(cx, agent, reason, move |_, outcome| {
            // Nobody listens any more when the gateway is stopping.
            let _ = sender.send(outcome);
        });
        let outcome = select! {
            recv(receiver) -> outcome => outcome.unwrap_or_else(|_| stopping()),
            recv(cx.cron.stopped) -> _ => stopping(),
        };
        if outcome != HeartbeatOutcome::Skipped(heartbeat::BUSY.to_owned()) {
            return outcome;
        }
        if cx.clock.now() >= patience {
            return HeartbeatOutcome::Skipped("timeout waiting for main lane to become idle".to_owned());
        }
        if cx.cron.stopped.recv_timeout(BUSY_STEP) == Err(RecvTimeoutError::Disconnected) {
            return stopping();
        }
    }
}

/// An isolated job: the agent answers in a session of the job's own. Returns what it said, or what went wrong; `None` when
/// the gateway stops and the run goes on after its next start.
fn ask(cx: &Arc<Ctx>, job: &CronJob, message: &str, turn: &CronTurn) -> Option<Result<Vec<String>, String>> {
    let config = cx.config.get();
    let agent_id = agent_of(&config, job);
    let session_key = own_session(&config, job);
    if let Err(error) = choose_model(cx, &config, &agent_id, &session_key, turn.model.as_deref()) {
        return Some(Err(error));
    }
    let last = last_route(cx.sessions.entry(&session::main_key(&config, &agent_id)));
    let named = turn.channel.clone().filter(|channel| channel != "last");
    let zone = prompt::time_zone(&config);
    let is_24_hours = config.agents.defaults.time_format.as_deref() == Some("24");
    let base = format!("[cron:{} {}] {message}", job.id, job.name);
    let time = when::time_line(cx.clock.now_ms(), &zone, is_24_hours);
    // A session of its own for every run: a job remembers nothing of its last one. The run is named after it.
    let session_id = uuid(&*cx.rng);
    if let Err(error) = cx.sessions.turn_over(&session_key, &session_id) {
        return Some(Err(format!("cannot open the session: {error}")));
    }
    let prompt = format!("{}\n{time}", base.trim());
    let request = RunRequest {
        session_id: Some(session_id.clone()),
        thinking: turn.thinking.as_deref().and_then(levels::thinking).map(str::to_owned),
        channel: named.or_else(|| last.channel.clone()).unwrap_or_else(|| CHANNEL_NONE.to_owned()),
        timeout: turn.timeout_seconds.map(|seconds| Duration::from_secs(seconds.max(1))),
        ..RunRequest::new(RunId::new(session_id), agent_id.clone(), session_key.clone(), prompt)
    };
    let echo = Some(session_key.as_str().to_owned());
    let start = Start { request, echo, is_chat: false, takes_system_events: false };
    accepted::accept_here(cx, start, Origin::Cron { job: job.id.clone() }).map(texts_of)
}

/// Promises to send what an isolated job's agent said; seen from the agent's main session, `last` is where that was
/// spoken with.
fn deliver(cx: &Arc<Ctx>, job: &CronJob, turn: &CronTurn, agent: &AgentId, texts: Vec<String>) -> Result<(), String> {
    let config = cx.config.get();
    let main = session::main_key(&config, agent);
    let aim = Aim { channel: turn.channel.as_deref(), to: turn.to.as_deref(), ..Aim::default() };
    let route = targets::resolve(cx, &main, &aim)?;
    let replies = texts.into_iter().map(|text| Reply { text, ..Reply::default() }).collect();
    let id = format!("cron:{}:{}", job.id, job.state.running_at_ms.unwrap_or_default());
    targets::deliver(cx, &id, &route, &own_session(&config, job), replies)
}

fn texts_of(outcome: Result<RunOutcome, RunError>) -> Result<Vec<String>, String> {
    let texts = |outcome: RunOutcome| outcome.texts().into_iter().map(str::to_owned).collect();
    outcome.map(texts).map_err(|error| format!("Error: {}", error.message))
}

/// Puts the model of a job or hook, or none, into its session, whose runs then use it.
pub(in crate::gateway) fn choose_model(
    cx: &Ctx,
    config: &Config,
    agent: &AgentId,
    key: &SessionKey,
    wanted: Option<&str>,
) -> Result<(), String> {
    let name = match wanted {
        None => None,
        Some(wanted) if wanted.trim().is_empty() => return Err("invalid model: empty".to_owned()),
        Some(wanted) => {
            let name = models::parse_name(config, wanted).ok_or_else(|| format!("invalid model: {}", wanted.trim()))?;
            if !models::is_allowed(config, agent, &name) {
                return Err(format!("model not allowed: {name}"));
            }
            Some(name)
        }
    };
    let (provider, model) = name.map(|name| (name.provider, name.id)).unzip();
    let current = cx.sessions.entry(key).unwrap_or_default();
    if (&current.provider_override, &current.model_override) == (&provider, &model) {
        return Ok(());
    }
    let changed = cx.sessions.update(key, |entry| {
        entry.provider_override = provider;
        entry.model_override = model;
    });
    changed.map(drop).map_err(|error| format!("cannot open the session: {error}"))
}

/// Returns where a main session was last answered.
fn last_route(main: Option<Entry>) -> LastRoute {
    let Some(entry) = main else { return LastRoute::default() };
    let context = entry.delivery_context.unwrap_or_default();
    LastRoute { channel: context.channel.or(entry.last_channel), to: context.to.or(entry.last_to) }
}
