//! The health snapshot: made at most once at a time, kept, broadcast when it is new (protocol.md §8.1).
//!
//! Owns the last snapshot and its version. A refresh is a job of lane `disk` (it reads session indexes). Callers that
//! come while one is under way wait for that one, and connects within a second of each other share one: N clients cause
//! one refresh and one event, not N of each.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::ctx::Ctx;
use super::ticket::Ticket;
use super::work::Due;
use super::{events, nodes};
use crate::agent::{listing, session};
use crate::base::clock::UnixMs;
use crate::channels;
use crate::channels::channel::{Account, Channel, Setting};
use crate::config::types::Config;

/// A cached snapshot older than this is not answered.
pub const CACHE_MS: UnixMs = 60_000;
/// Least time between two refreshes that nobody waits for.
const REFRESH_SPACING: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct State {
    latest: Option<Arc<Value>>,
    /// The same as JSON text.
    text: Arc<str>,
    made_at_ms: UnixMs,
    version: u64,
    is_refreshing: bool,
    /// When the last refresh was started.
    started_at: Option<Instant>,
    /// Whether one is armed for the end of the spacing.
    is_armed: bool,
    /// Callers that wait for the refresh under way.
    waiting: Vec<Ticket>,
}

/// The store.
#[derive(Debug)]
pub struct HealthStore {
    state: Mutex<State>,
}

impl HealthStore {
    /// Returns a store without a snapshot.
    pub fn new() -> Self {
        let state = State {
            latest: None,
            text: "".into(),
            made_at_ms: 0,
            version: 1,
            is_refreshing: false,
            started_at: None,
            is_armed: false,
            waiting: Vec::new(),
        };
        Self { state: Mutex::new(state) }
    }

    /// Returns the last snapshot, if any, and the version.
    pub fn latest(&self) -> (Option<Arc<Value>>, u64) {
        let state = self.lock();
        (state.latest.clone(), state.version)
    }

    /// Returns the snapshot as JSON text if it is younger than [`CACHE_MS`].
    pub fn cached(&self, now_ms: UnixMs) -> Option<Arc<str>> {
        let state = self.lock();
        let is_fresh = state.latest.is_some() && now_ms.saturating_sub(state.made_at_ms) < CACHE_MS;
        is_fresh.then(|| state.text.clone())
    }

    /// Returns the version.
    pub fn version(&self) -> u64 {
        self.lock().version
    }

    /// Joins the refresh under way or claims the next one; returns whether the caller must start it.
    fn join(&self, ticket: Option<Ticket>, now: Instant) -> bool {
        let mut state = self.lock();
        state.waiting.extend(ticket);
        let must_start = !std::mem::replace(&mut state.is_refreshing, true);
        if must_start {
            state.started_at = Some(now);
        }
        must_start
    }

    /// Returns how long a refresh that nobody waits for has to wait; `None` when one is armed already.
    fn spacing(&self, now: Instant) -> Option<Duration> {
        let mut state = self.lock();
        let since = state.started_at.map_or(REFRESH_SPACING, |at| now.saturating_duration_since(at));
        let left = REFRESH_SPACING.saturating_sub(since);
        if left.is_zero() {
            return Some(left);
        }
        (!std::mem::replace(&mut state.is_armed, true)).then_some(left)
    }

    fn complete(&self, snapshot: Arc<Value>, now_ms: UnixMs) -> (u64, Vec<Ticket>) {
        let text = snapshot.to_string().into();
        let mut state = self.lock();
        state.latest = Some(snapshot);
        state.text = text;
        state.made_at_ms = now_ms;
        state.version += 1;
        state.is_refreshing = false;
        (state.version, std::mem::take(&mut state.waiting))
    }

    fn give_up(&self) -> Vec<Ticket> {
        let mut state = self.lock();
        state.is_refreshing = false;
        std::mem::take(&mut state.waiting)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for HealthStore {
    fn default() -> Self {
        Self::new()
    }
}

/// Starts a refresh, at once or when the last one is a second old.
pub fn refresh_soon(cx: &Arc<Ctx>) {
    match cx.health.spacing(cx.clock.now()) {
        Some(Duration::ZERO) => refresh(cx, None),
        Some(left) => drop(cx.timer.arm(left, Due::HealthSoon)),
        None => {}
    }
}

/// Starts the refresh that was armed.
pub fn refresh_armed(cx: &Arc<Ctx>) {
    cx.health.lock().is_armed = false;
    refresh(cx, None);
}

/// Answers the ticket with the next snapshot.
pub fn refresh_then(cx: &Arc<Ctx>, ticket: Ticket) {
    refresh(cx, Some(ticket));
}

fn refresh(cx: &Arc<Ctx>, ticket: Option<Ticket>) {
    if !cx.health.join(ticket, cx.clock.now()) {
        return;
    }
    let job_cx = cx.clone();
    let submitted = cx.jobs.submit(vec!["disk".to_owned()], move || {
        // If making it panics, those who wait must not wait for ever.
        let guard = GiveUp(&job_cx.health);
        let snapshot = Arc::new(make(&job_cx));
        std::mem::forget(guard);
        let (version, waiting) = job_cx.health.complete(snapshot.clone(), job_cx.clock.now_ms());
        let presence_version = job_cx.presence.version();
        nodes::broadcast(&job_cx, events::HEALTH, &*snapshot, Some((presence_version, version)), None);
        for ticket in waiting {
            ticket.finish(Ok((*snapshot).clone()));
        }
    });
    if let Err(error) = submitted {
        log::warn!(target: "gateway/health", "health refresh not started: {error}");
        drop(cx.health.give_up());
    }
}

struct GiveUp<'a>(&'a HealthStore);

impl Drop for GiveUp<'_> {
    fn drop(&mut self) {
        drop(self.0.give_up());
    }
}

/// Returns the health of a channel: that of its preferred account, and each account's.
fn channel_health(cx: &Ctx, config: &Config, channel: &dyn Channel) -> Value {
    let at = cx.channels_at(config);
    let accounts = channel.accounts(&at);
    let by_id: Map<String, Value> =
        accounts.iter().map(|account| (account.id.clone(), health_of(cx, &at, channel, account))).collect();
    let mut health = health_of(cx, &at, channel, &channel.default_account(&at));
    health["accounts"] = by_id.into();
    health
}

fn health_of(cx: &Ctx, at: &Setting<'_>, channel: &dyn Channel, account: &Account) -> Value {
    channel.health(at, account, &cx.channels.state(channel.info().id, &account.id))
}

/// Makes a snapshot.
fn make(cx: &Ctx) -> Value {
    let started = cx.clock.now();
    let config = cx.config.get();
    let now_ms = cx.clock.now_ms();
    let default_agent = session::default_agent(&config);
    let mut agents = Vec::new();
    let mut default_sessions = json!({});
    let mut heartbeat_seconds = 0;
    for agent in session::agent_ids(&config) {
        let heartbeat = super::heartbeat::settings(&config, &agent);
        let sessions = json!(listing::health_sessions(&cx.sessions, &agent, now_ms));
        let entry = session::agent_entry(&config, &agent);
        let mut row = json!({"agentId": agent.as_str()});
        if let Some(name) = entry.and_then(|entry| entry.name.as_deref()) {
            row["name"] = name.into();
        }
        row["isDefault"] = (agent == default_agent).into();
        row["heartbeat"] = heartbeat.to_health();
        row["sessions"] = sessions.clone();
        if agent == default_agent {
            heartbeat_seconds = heartbeat.every_ms.unwrap_or(0) / 1000;
            default_sessions = sessions;
        }
        agents.push(row);
    }
    let channels = channels::active(&cx.channels_at(&config));
    let took = cx.clock.now().saturating_duration_since(started);
    let mut health = json!({
        "ok": true,
        "ts": now_ms,
        "durationMs": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        "channels": channels.iter().map(|it| (it.info().id.to_owned(), channel_health(cx, &config, *it))).collect::<Map<_, _>>(),
        "channelOrder": channels.iter().map(|it| it.info().id).collect::<Vec<_>>(),
        "channelLabels": channels.iter().map(|it| (it.info().id.to_owned(), it.info().label.into())).collect::<Map<_, _>>(),
        "heartbeatSeconds": heartbeat_seconds,
        "defaultAgentId": default_agent.as_str(),
        "agents": agents,
        "sessions": default_sessions,
    });
    if let Some(problem) = cx.config.problem() {
        health["configProblem"] = problem.into();
    }
    health
}
