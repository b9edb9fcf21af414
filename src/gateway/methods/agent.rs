//! agent, agent.wait, agent.identity.get, agents.list, models.list.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Method, methods};
use crate::agent::run::{CHANNEL_DEFAULT, RunRequest};
use crate::agent::run_journal::Origin;
use crate::agent::{models, session, workspace};
use crate::base::ids::{AgentId, RunId, SessionKey};
use crate::base::route::Route;
use crate::base::text;
use crate::base::text::unless_blank;
use crate::channels;
use crate::config::types::Config;
use crate::gateway::accepted;
use crate::gateway::attachments;
use crate::gateway::ctx::Ctx;
use crate::gateway::dispatch::{Call, Reply};
use crate::gateway::start_run::{Start, failure_payload};
use crate::gateway::targets::{self, Aim};
use crate::gateway::ticket::Outcome;
use crate::gateway::work::Due;
use crate::protocol::agent::{AgentIdentityParams, AgentParams, AgentWaitParams, AgentsListParams, ModelsListParams};
use crate::protocol::error::ErrorShape;

pub(super) const METHODS: &[Method] = methods! {
    "agent" Write AgentParams agent;
    "agent.wait" Write AgentWaitParams wait;
    "agent.identity.get" Read AgentIdentityParams identity;
    "agents.list" Read AgentsListParams list_agents;
    "models.list" Read ModelsListParams list_models;
};

/// How long `agent.wait` waits by default.
const WAIT_MS_DEFAULT: u64 = 30_000;
/// Channels that may be named and are no chat network.
const NO_NETWORKS: [&str; 2] = ["last", "webchat"];

/// Two-phase: accepted at once, the result later on the same id.
fn agent(cx: &Arc<Ctx>, call: &Call, params: AgentParams) -> Result<Reply, ErrorShape> {
    let key = format!("agent:{}", params.idempotency_key.0);
    if let Some(outcome) = cx.dedupe.get(&key) {
        return replay(&key, outcome, call, cx);
    }
    let config = cx.config.get();
    let images = attachments::images(params.attachments.as_deref().unwrap_or_default())?;
    let target = target(cx, &config, &params)?;
    let run = params.idempotency_key.0.clone();
    let told = json!({"runId": run, "status": "accepted", "acceptedAt": cx.clock.now_ms()});
    let now_ms = cx.clock.now_ms();
    if let Some(outcome) = cx.dedupe.get_or_begin(&key, || Outcome::Ok(told.clone()), now_ms) {
        return replay(&key, outcome, call, cx);
    }
    let ticket = call.ticket(cx);
    let early = ticket.early();
    cx.dedupe.ride(&key, ticket);
    let refuse = |message: &str| {
        early.send(&told);
        cx.dedupe.arrive(&key, failed(&run, message), cx.clock.now_ms());
        Ok(Reply::Later)
    };
    let Some(Target { agent_id, session_key, session_id, echo }) = target else {
        return refuse("Error: Pass --to <E.164>, --session-id, or --agent to choose a session");
    };
    if params.message.trim().is_empty() {
        return refuse("Error: Message (--message) is required");
    }
    if let Err(error) = describe(cx, &session_key, &params) {
        return refuse(&format!("cannot change the session: {error}"));
    }
    let route = match route(cx, &session_key, &params) {
        Ok(route) => route,
        Err(error) => return refuse(&format!("Error: {error}")),
    };
    let request = RunRequest {
        session_id,
        route,
        images,
        thinking: params.thinking,
        extra_system_prompt: params.extra_system_prompt,
        channel: params.channel.unwrap_or_else(|| CHANNEL_DEFAULT.to_owned()),
        timeout: params.timeout.filter(|&seconds| seconds > 0).map(Duration::from_secs),
        lane: params.lane.filter(|lane| matches!(lane.as_str(), "subagent" | "nested")),
        ..RunRequest::new(RunId::new(run), agent_id, session_key, params.message.0)
    };
    let start = Start { request, echo, is_chat: false, takes_system_events: false };
    // Told before the job exists, so that no event of the run can precede it.
    accepted::accept(cx, start, Origin::Agent, Box::new(move || early.send(&told)));
    Ok(Reply::Later)
}

/// Returns where the answer is delivered, if that is wished.
fn route(cx: &Ctx, key: &SessionKey, params: &AgentParams) -> Result<Option<Route>, String> {
    if params.deliver != Some(true) {
        return Ok(None);
    }
    let aim = Aim {
        channel: params.reply_channel.as_deref().or(params.channel.as_deref()),
        to: params.reply_to.as_deref().or(params.to.as_deref()),
        account: params.reply_account_id.as_deref().or(params.account_id.as_deref()),
        thread: params.thread_id.as_deref(),
    };
    let route = targets::resolve(cx, key, &aim)?;
    match targets::obstacle(cx, &route) {
        Some(why) => Err(why),
        None => Ok(Some(route)),
    }
}

/// Notes in the session's entry what the caller says of it: its name, and which session it works for.
fn describe(cx: &Ctx, key: &SessionKey, params: &AgentParams) -> io::Result<()> {
    let text = |text: Option<&str>| text.and_then(text::unless_blank).map(str::to_owned);
    let label = text(params.label.as_ref().map(|label| label.0.as_str()));
    let spawned_by = text(params.spawned_by.as_deref()).map(|given| given.to_lowercase());
    if label.is_none() && spawned_by.is_none() {
        return Ok(());
    }
    cx.sessions.update(key, |entry| {
        entry.label = label.or(entry.label.take());
        entry.spawned_by = spawned_by.or(entry.spawned_by.take());
    })?;
    Ok(())
}

fn failed(run: &str, message: &str) -> Outcome {
    Outcome::Err { error: ErrorShape::unavailable(message), payload: Some(failure_payload(run, message)) }
}

/// Answers a request that was made before: as then, and at its end if that is still to come.
fn replay(key: &str, outcome: Outcome, call: &Call, cx: &Arc<Ctx>) -> Result<Reply, ErrorShape> {
    let ticket = call.ticket(cx);
    match &outcome {
        Outcome::Ok(payload) if payload["status"] == "accepted" => {
            // It may still be on its way to the disk.
            let (early, payload) = (ticket.early(), payload.clone());
            let (ride_cx, key) = (cx.clone(), key.to_owned());
            accepted::after(
                cx,
                Box::new(move || {
                    early.send(&payload);
                    ride_cx.dedupe.ride(&key, ticket);
                }),
            );
        }
        _ => ticket.finish(outcome),
    }
    Ok(Reply::Later)
}

/// Where a run takes place.
struct Target {
    agent_id: AgentId,
    session_key: SessionKey,
    session_id: Option<String>,
    echo: Option<String>,
}

/// Finds agent and session; `None` when nothing selects one.
fn target(cx: &Ctx, config: &Config, params: &AgentParams) -> Result<Option<Target>, ErrorShape> {
    for channel in [&params.channel, &params.reply_channel].into_iter().flatten() {
        let channel = channel.to_lowercase();
        let is_known = NO_NETWORKS.contains(&channel.as_str()) || channels::by_id(&channel).is_some();
        if !channel.is_empty() && !is_known {
            return Err(ErrorShape::invalid(format!("invalid agent params: unknown channel: {channel}")));
        }
    }
    let agent = params.agent_id.as_deref().map(session::normalize_agent_id);
    if let Some(agent) = &agent
        && !session::agent_ids(config).contains(agent)
    {
        let given = params.agent_id.as_deref().unwrap_or_default();
        return Err(ErrorShape::invalid(format!("invalid agent params: unknown agent id \"{given}\"")));
    }
    let text = |text: &Option<String>| text.as_deref().and_then(unless_blank).map(str::to_owned);
    let echo = text(&params.session_key);
    let session_id = text(&params.session_id);
    let key = match (&echo, &session_id, &agent, text(&params.to)) {
        (Some(given), ..) => {
            let key = session::canonical_key(config, given, agent.as_ref());
            let owner = session::agent_of_key(config, &key);
            if let Some(agent) = agent.as_ref().filter(|agent| **agent != owner) {
                return Err(ErrorShape::invalid(format!(
                    "invalid agent params: agent \"{agent}\" does not match session key agent \"{owner}\""
                )));
            }
            key
        }
        (None, Some(id), ..) => {
            let owner = agent.clone().unwrap_or_else(|| session::default_agent(config));
            cx.sessions
                .key_of_session(&owner, id)
                .unwrap_or_else(|| session::canonical_key(config, &format!("session:{id}"), Some(&owner)))
        }
        (None, None, Some(agent), _) => session::main_key(config, agent),
        (None, None, None, Some(_)) => cx.main_session(),
        (None, None, None, None) => return Ok(None),
    };
    if !session::send_policy(config, &key, cx.sessions.entry(&key).as_ref()) {
        return Err(ErrorShape::invalid("send blocked by session policy"));
    }
    let agent_id = session::agent_of_key(config, &key);
    // compat: events echo the key as sent; without one the original names the session it chose.
    let echo = echo.or_else(|| Some(key.as_str().to_owned()));
    Ok(Some(Target { agent_id, session_key: key, session_id, echo }))
}

fn wait(cx: &Arc<Ctx>, call: &Call, params: AgentWaitParams) -> Result<Reply, ErrorShape> {
    let run = RunId::new(params.run_id.0);
    if let Some(finished) = cx.runs.finished(&run) {
        return Ok(Reply::Now(finished.to_wait_result(&run)));
    }
    let timeout_ms = params.timeout_ms.unwrap_or(WAIT_MS_DEFAULT);
    if timeout_ms == 0 {
        return Ok(Reply::Now(json!({"runId": run.as_str(), "status": "timeout"})));
    }
    let timeout = Duration::from_millis(timeout_ms);
    let waiter = match cx.runs.wait(&run, timeout, call.ticket(cx)) {
        Ok(waiter) => waiter,
        Err(ticket) => {
            ticket.finish(Err(ErrorShape::busy("too many callers wait for runs; try again later")));
            return Ok(Reply::Later);
        }
    };
    // The run may have ended between the look and the wait; then nobody else would answer.
    if let Some(finished) = cx.runs.finished(&run) {
        if let Some(ticket) = cx.runs.give_up(&waiter) {
            ticket.finish(Ok(finished.to_wait_result(&run)));
        }
    } else {
        cx.timer.arm(timeout, Due::AgentWait { waiter, run });
    }
    Ok(Reply::Later)
}

fn identity(cx: &Arc<Ctx>, _call: &Call, params: AgentIdentityParams) -> Result<Reply, ErrorShape> {
    let config = cx.config.get();
    let given = params.agent_id.as_deref().map(session::normalize_agent_id);
    let of_key = params
        .session_key
        .as_deref()
        .and_then(unless_blank)
        .map(|key| session::agent_of_key(&config, &session::canonical_key(&config, key, given.as_ref())));
    if let (Some(given), Some(of_key)) = (&given, &of_key)
        && given != of_key
    {
        return Err(ErrorShape::invalid(format!(
            "invalid agent.identity.get params: agent \"{given}\" does not match session key agent \"{of_key}\""
        )));
    }
    let agent = given.or(of_key).unwrap_or_else(|| session::default_agent(&config));
    let identity = workspace::identity(&config, &cx.paths, &agent);
    Ok(Reply::Now(json!({"agentId": agent.as_str(), "name": identity.name, "avatar": identity.avatar})))
}

fn list_agents(cx: &Arc<Ctx>, _call: &Call, _params: AgentsListParams) -> Result<Reply, ErrorShape> {
    let config = cx.config.get();
    let default = session::default_agent(&config);
    let mut ids = session::agent_ids(&config);
    crate::base::order::by_key(&mut ids, |id| u64::from(*id != default));
    let agents: Vec<Value> = ids
        .iter()
        .map(|id| {
            let entry = session::agent_entry(&config, id);
            let mut row = json!({"id": id.as_str()});
            if let Some(name) = entry.and_then(|entry| entry.name.as_deref()) {
                row["name"] = name.into();
            }
            if let Some(identity) = entry.and_then(|entry| entry.identity.as_ref()) {
                let fields = [
                    ("name", &identity.name),
                    ("theme", &identity.theme),
                    ("emoji", &identity.emoji),
                    ("avatar", &identity.avatar),
                ];
                let given =
                    fields.iter().filter_map(|(key, value)| Some(((*key).to_owned(), value.as_deref()?.into())));
                row["identity"] = Value::Object(given.collect());
            }
            row
        })
        .collect();
    let scope = config.session.scope.as_deref().unwrap_or("per-sender");
    Ok(Reply::Now(json!({"defaultId": default.as_str(), "mainKey": "main", "scope": scope, "agents": agents})))
}

fn list_models(cx: &Arc<Ctx>, _call: &Call, _params: ModelsListParams) -> Result<Reply, ErrorShape> {
    Ok(Reply::Now(json!({"models": models::catalog(&cx.config.get())})))
}
