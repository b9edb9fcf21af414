//! Heartbeats: what the configuration says of them, who asks for one, and the run (agent.md §17).
//!
//! Owns the wishes under way, the switch of `set-heartbeats` and the last heartbeat. Runs on frame workers; the run itself
//! is a job like any other. Not here: the rules (`heartbeat`), where an answer goes (`targets`).

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use super::ctx::Ctx;
use super::events;
use super::start_run::{self, Start};
use super::targets::{self, Aim};
use super::work::Due;
use crate::agent::run::{RunError, RunOutcome, RunRequest};
use crate::agent::session;
use crate::agent::workspace;
use crate::base::clock::UnixMs;
use crate::base::fs::read_text_capped;
use crate::base::ids::{AgentId, RunId, SessionKey};
use crate::base::rng::uuid;
use crate::base::route::Route;
use crate::base::text::{ellipsize, parse_duration_ms};
use crate::channels::reply::Reply;
use crate::config::types::{Config, Heartbeat};
use crate::heartbeat::{self, ActiveHours, Report};

/// Why a heartbeat is skipped while the agent's main session is busy.
pub const BUSY: &str = "requests-in-flight";
/// The prompt when none is configured.
const PROMPT: &str = "Read HEARTBEAT.md if it exists in the workspace and follow it. Do not repeat tasks of earlier \
                      conversations. If nothing needs attention, reply HEARTBEAT_OK.";
/// The prompt when a command has finished whose end somebody waits for.
const RELAY_PROMPT: &str = "A command that you started earlier has finished; how, and the end of what it said, stands in the \
                            system messages above. Tell the user about it now: what came of it if it went well, what went \
                            wrong if it did not.";
/// Why the agent is woken for that, and how its system event begins.
const RELAY: &str = "exec-event";
const RELAY_MARK: &str = "Exec finished";
/// Fields of a session's entry, as the original spells them.
const LAST_TEXT: &str = "lastHeartbeatText";
const LAST_SENT_AT: &str = "lastHeartbeatSentAt";
/// How long a wish waits for others.
const COALESCE: Duration = Duration::from_millis(250);
/// Wishes that may join; one more is told that it was skipped.
const WISHES_MAX: usize = 1000;
/// Longest preview of an answer, in characters.
const PREVIEW_CHARS_MAX: usize = 200;
/// Why the clock asks.
const INTERVAL: &str = "interval";
const EMPTY_FILE: &str = "empty-heartbeat-file";

/// One agent's heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Whether this agent has one.
    pub is_enabled: bool,
    /// The interval as written.
    pub every: String,
    /// The interval; `None` when it is off.
    pub every_ms: Option<u64>,
    prompt: String,
    target: String,
    to: Option<String>,
    model: Option<String>,
    ack_max_chars: u64,
    hours: Option<ActiveHours>,
}

impl Settings {
    /// Returns how many characters an acknowledgement may have beside its token.
    pub fn ack_chars_max(&self) -> usize {
        usize::try_from(self.ack_max_chars).unwrap_or(usize::MAX)
    }

    /// Returns what the agent is asked.
    pub fn prompt(&self) -> &str {
        &self.prompt
    }

    /// Returns the shape of `health.agents[].heartbeat`.
    pub fn to_health(&self) -> Value {
        let mut value = json!({
            "enabled": self.is_enabled,
            "every": self.every,
            "everyMs": self.every_ms,
            "prompt": self.prompt,
            "target": self.target,
        });
        if let Some(model) = &self.model {
            value["model"] = model.as_str().into();
        }
        value["ackMaxChars"] = self.ack_max_chars.into();
        value
    }
}

/// Returns an agent's settings. Only the default agent has a heartbeat unless some entry of the list names its own.
pub fn settings(config: &Config, agent: &AgentId) -> Settings {
    let has_own = config.agents.list.iter().any(|entry| entry.heartbeat.is_some());
    let entry = agent_heartbeat(config, agent);
    let is_enabled = if has_own { entry.is_some() } else { *agent == session::default_agent(config) };
    let defaults = Heartbeat::default();
    let base = config.agents.defaults.heartbeat.as_ref().unwrap_or(&defaults);
    let entry = entry.unwrap_or(&defaults);
    let text = |own: &Option<String>, base: &Option<String>| own.clone().or_else(|| base.clone());
    let every = text(&entry.every, &base.every).unwrap_or_else(|| "30m".to_owned());
    let every_ms = if is_enabled { parse_every(&every).filter(|&ms| ms > 0) } else { None };
    Settings {
        is_enabled,
        every: if is_enabled { every } else { "disabled".to_owned() },
        every_ms,
        prompt: text(&entry.prompt, &base.prompt).unwrap_or_else(|| PROMPT.to_owned()),
        target: text(&entry.target, &base.target).unwrap_or_else(|| "last".to_owned()),
        to: text(&entry.to, &base.to),
        model: text(&entry.model, &base.model),
        ack_max_chars: entry.ack_max_chars.or(base.ack_max_chars).unwrap_or(300),
        hours: entry.active_hours.as_ref().or(base.active_hours.as_ref()).and_then(|hours| {
            let zone = match hours.timezone.as_deref().map(str::trim) {
                None | Some("" | "user") => config.agents.defaults.user_timezone.as_deref(),
                Some("local") => None,
                zone => zone,
            };
            ActiveHours::parse(hours.start.as_deref(), hours.end.as_deref(), zone)
        }),
    }
}

fn agent_heartbeat<'a>(config: &'a Config, agent: &AgentId) -> Option<&'a Heartbeat> {
    let entry = session::agent_entry(config, agent);
    entry.and_then(|entry| entry.heartbeat.as_ref())
}

/// No unit means minutes.
fn parse_every(text: &str) -> Option<u64> {
    parse_duration_ms(text, 60_000.0).map(|ms| ms as u64)
}

/// What came of a wish for a heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeartbeatOutcome {
    /// The agent was asked, and answered.
    Ran,
    /// The agent was not asked, and why (agent.md §17).
    Skipped(String),
    /// The run failed.
    Failed(String),
}

type Done = Box<dyn FnOnce(&Arc<Ctx>, HeartbeatOutcome) + Send>;

/// A wish that waits for others to join it.
#[derive(Default)]
struct Wish {
    /// The first one's.
    reason: String,
    done: Vec<Done>,
}

#[derive(Default)]
struct State {
    wishes: HashMap<AgentId, Wish>,
    /// The event of the last heartbeat.
    last: Option<Value>,
    /// Counts schedules; timers of an older one do nothing.
    schedule: u64,
}

/// The switch, the wishes and the last heartbeat. Any thread; one leaf lock.
#[derive(Default)]
pub struct Heartbeats {
    is_off: AtomicBool,
    state: Mutex<State>,
}

impl Heartbeats {
    /// Switches all heartbeats on or off, until the process ends.
    pub fn switch(&self, is_on: bool) {
        self.is_off.store(!is_on, Ordering::Relaxed);
    }

    /// Returns the event of the last heartbeat.
    pub fn last(&self) -> Option<Value> {
        self.lock().last.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks for a heartbeat of an agent, soon; wishes that come together are one heartbeat. `done` hears what came of it, on
/// any thread; it is dropped uncalled when the gateway stops first.
pub fn request(
    cx: &Arc<Ctx>,
    agent: &AgentId,
    reason: &str,
    done: impl FnOnce(&Arc<Ctx>, HeartbeatOutcome) + Send + 'static,
) {
    let mut state = cx.heartbeats.lock();
    let is_first = !state.wishes.contains_key(agent);
    let wish = state.wishes.entry(agent.clone()).or_default();
    if is_first {
        wish.reason = reason.to_owned();
    }
    if wish.done.len() >= WISHES_MAX {
        drop(state);
        return done(cx, HeartbeatOutcome::Skipped(BUSY.to_owned()));
    }
    wish.done.push(Box::new(done));
    drop(state);
    if is_first {
        cx.timer.arm(COALESCE, Due::Heartbeat { agent: agent.clone() });
    }
}

/// Plans the heartbeats of all agents anew: at the start, and when the configuration changed.
pub fn schedule(cx: &Ctx) {
    let schedule = {
        let mut state = cx.heartbeats.lock();
        state.schedule += 1;
        state.schedule
    };
    let config = cx.config.get();
    for agent in session::agent_ids(&config) {
        if let Some(every_ms) = settings(&config, &agent).every_ms {
            cx.timer.arm(Duration::from_millis(every_ms), Due::HeartbeatInterval { agent, schedule });
        }
    }
}

/// An agent's interval is over.
pub fn interval(cx: &Arc<Ctx>, agent: AgentId, schedule: u64) {
    if cx.heartbeats.lock().schedule != schedule {
        return;
    }
    let Some(every_ms) = settings(&cx.config.get(), &agent).every_ms else { return };
    cx.timer.arm(Duration::from_millis(every_ms), Due::HeartbeatInterval { agent: agent.clone(), schedule });
    request(cx, &agent, INTERVAL, |_, _| ());
}

/// Grants what was wished for.
pub fn due(cx: &Arc<Ctx>, agent: &AgentId) {
    let Some(Wish { reason, done }) = cx.heartbeats.lock().wishes.remove(agent) else { return };
    let config = cx.config.get();
    let settings = settings(&config, agent);
    let key = heartbeat_session(&config, agent);
    let is_interval = reason == INTERVAL;
    if let Some(why) = refusal(cx, &config, agent, &settings, &key, is_interval) {
        log::debug!(target: "gateway/heartbeat", "heartbeat skipped agent={agent} reason={reason}: {why}");
        if why == EMPTY_FILE {
            let event = json!({"status": "skipped", "reason": why, "durationMs": 0});
            publish(cx, event);
        }
        return settle(cx, done, &HeartbeatOutcome::Skipped(why.to_owned()));
    }
    run(cx, agent, &key, settings, reason, done);
}

fn settle(cx: &Arc<Ctx>, done: Vec<Done>, outcome: &HeartbeatOutcome) {
    for done in done {
        done(cx, outcome.clone());
    }
}

/// Returns where an agent's heartbeats take place; another agent's session is not it.
fn heartbeat_session(config: &Config, agent: &AgentId) -> SessionKey {
    let own = agent_heartbeat(config, agent).and_then(|heartbeat| heartbeat.session.as_deref());
    let named = own.or(config.agents.defaults.heartbeat.as_ref().and_then(|heartbeat| heartbeat.session.as_deref()));
    let key = named.map(|named| session::canonical_key(config, named, Some(agent)));
    key.filter(|key| session::agent_of_key(config, key) == *agent).unwrap_or_else(|| session::main_key(config, agent))
}

/// Says why an agent is left alone, if it is.
fn refusal(
    cx: &Ctx,
    config: &Config,
    agent: &AgentId,
    settings: &Settings,
    key: &SessionKey,
    is_interval: bool,
) -> Option<&'static str> {
    if cx.heartbeats.is_off.load(Ordering::Relaxed) || settings.every_ms.is_none() {
        return Some("disabled");
    }
    if settings.hours.as_ref().is_some_and(|hours| !hours.contains(cx.clock.now_ms())) {
        return Some("quiet-hours");
    }
    // Whoever asks for one by name waits in the lane; the clock does not pile up work behind a busy agent.
    if is_interval && cx.jobs.depth("main") > 0 {
        return Some(BUSY);
    }
    // The original leaves the agent alone here also when it was called, so that nothing that waits for it is ever read
    // in a fresh workspace.
    let file = workspace::dir(config, &cx.paths, agent).join("HEARTBEAT.md");
    let text = read_text_capped(&file, workspace::FILE_BYTES_MAX).ok().flatten();
    let asks_for_nothing = text.is_some_and(|text| heartbeat::is_empty_file(&text));
    (is_interval && asks_for_nothing && cx.system_events.peek(key).is_empty()).then_some(EMPTY_FILE)
}

fn run(cx: &Arc<Ctx>, agent: &AgentId, key: &SessionKey, settings: Settings, reason: String, done: Vec<Done>) {
    let before = cx.sessions.entry(key).map(|entry| entry.updated_at);
    let started_ms = cx.clock.now_ms();
    let run = RunId::new(format!("heartbeat-{}", uuid(&*cx.rng)));
    let relays = reason == RELAY && cx.system_events.peek(key).iter().any(|line| line.contains(RELAY_MARK));
    let prompt = if relays { RELAY_PROMPT } else { settings.prompt.as_str() };
    let request = RunRequest {
        model: settings.model.clone(),
        is_heartbeat: true,
        ..RunRequest::new(run, agent.clone(), key.clone(), prompt)
    };
    let start = Start { request, echo: Some(key.as_str().to_owned()), is_chat: false, takes_system_events: true };
    let key = key.clone();
    let finish = move |cx: &Arc<Ctx>, result: Result<RunOutcome, RunError>| {
        let duration_ms = cx.clock.now_ms().saturating_sub(started_ms);
        let outcome = match result {
            Ok(outcome) => {
                let told = told(cx, &key, &outcome, &Asked { settings: &settings, reason: &reason, relays });
                let is_sent = told["status"] == "sent";
                publish(cx, with_duration(told, duration_ms));
                // A heartbeat alone keeps no session alive.
                if !is_sent {
                    restore(cx, &key, before);
                }
                HeartbeatOutcome::Ran
            }
            Err(error) => {
                publish(
                    cx,
                    json!({
                        "status": "failed", "reason": error.message, "durationMs": duration_ms, "indicatorType": "error",
                    }),
                );
                HeartbeatOutcome::Failed(error.message)
            }
        };
        settle(cx, done, &outcome);
    };
    start_run::start(cx, start, Box::new(finish));
}

/// What an agent was asked.
struct Asked<'a> {
    settings: &'a Settings,
    reason: &'a str,
    /// Whether it was to tell of a command.
    relays: bool,
}

/// Sends what an agent answered to where its heartbeats go, and words what became of it.
fn told(cx: &Arc<Ctx>, key: &SessionKey, outcome: &RunOutcome, asked: &Asked<'_>) -> Value {
    // The last text that says something is the answer.
    let answer = outcome.texts().into_iter().rev().find(|text| !text.trim().is_empty()).unwrap_or("");
    let report = match heartbeat::report(answer, asked.settings.ack_chars_max()) {
        // Who waits for a command is told of it, however little there is to say.
        Report::Acknowledged if asked.relays => Report::Text(answer.trim().to_owned()),
        report => report,
    };
    let target = asked.settings.target.as_str();
    let aim = Aim { channel: Some(target), to: asked.settings.to.as_deref(), ..Aim::default() };
    let route = if target == "none" { None } else { targets::resolve(cx, key, &aim).ok() };
    let shows = route.as_ref().map(|route| Visibility::of(cx, route));
    let id = format!("heartbeat:{}:{}", outcome.session_id, outcome.started_at);
    let deliver = |route: &Route, text: &str| {
        let reply = Reply { text: text.to_owned(), ..Reply::default() };
        targets::deliver(cx, &id, route, key, vec![reply])
    };
    let text = match report {
        Report::Text(text) => text,
        report => {
            let status = if report == Report::Empty { "ok-empty" } else { "ok-token" };
            let mut event = json!({"status": status, "reason": asked.reason});
            let is_told = shows.as_ref().is_some_and(|shows| shows.ok)
                && route.as_ref().is_some_and(|route| deliver(route, heartbeat::TOKEN).is_ok());
            if let Some(route) = route.as_ref().filter(|_| is_told) {
                event["channel"] = route.channel.as_str().into();
            }
            event["silent"] = (!is_told).into();
            if shows.as_ref().is_none_or(|shows| shows.indicator) {
                event["indicatorType"] = "ok".into();
            }
            return event;
        }
    };
    let preview = ellipsize(&text, PREVIEW_CHARS_MAX);
    let skipped = |why: &str| json!({"status": "skipped", "reason": why, "preview": preview, "hasMedia": false});
    if is_repeated(cx, key, &text) {
        return skipped("duplicate");
    }
    let (Some(route), Some(shows)) = (&route, shows) else {
        return skipped(if target == "none" { "target-none" } else { "no-target" });
    };
    if !shows.alerts {
        return skipped("alerts-disabled");
    }
    if let Err(error) = deliver(route, &text) {
        return json!({"status": "failed", "reason": error, "indicatorType": "error"});
    }
    note_sent(cx, key, &text);
    let mut event =
        json!({"status": "sent", "to": route.to, "preview": preview, "hasMedia": false, "channel": route.channel});
    if shows.indicator {
        event["indicatorType"] = "alert".into();
    }
    event
}

/// What of heartbeats a chat gets to see.
#[derive(Debug, Clone, Copy)]
struct Visibility {
    ok: bool,
    alerts: bool,
    indicator: bool,
}

impl Visibility {
    /// Reads it: the account's settings, then the channel's, then those of all channels.
    fn of(cx: &Ctx, route: &Route) -> Self {
        let config = cx.config.get();
        let tree = &config.tree["channels"];
        let own = &tree[&route.channel];
        let account = config.channel_account(&route.channel, &route.account);
        let places = [&account["heartbeat"], &own["heartbeat"], &tree["defaults"]["heartbeat"]];
        let flag = |key: &str, default| places.iter().find_map(|it| it[key].as_bool()).unwrap_or(default);
        Self { ok: flag("showOk", false), alerts: flag("showAlerts", true), indicator: flag("useIndicator", true) }
    }
}

fn with_duration(mut event: Value, duration_ms: u64) -> Value {
    event["durationMs"] = duration_ms.into();
    event
}

/// Returns whether the same was said to the user within a day.
fn is_repeated(cx: &Ctx, key: &SessionKey, text: &str) -> bool {
    let Some(entry) = cx.sessions.entry(key) else { return false };
    let last_at = entry.other.get(LAST_SENT_AT).and_then(Value::as_f64).unwrap_or(0.0) as UnixMs;
    heartbeat::is_repeated(text, entry.other.get(LAST_TEXT).and_then(Value::as_str), last_at, cx.clock.now_ms())
}

/// Remembers what a heartbeat has said to the user, so that it is not said again within a day.
fn note_sent(cx: &Ctx, key: &SessionKey, text: &str) {
    let now_ms = cx.clock.now_ms();
    let noted = cx.sessions.update(key, |entry| {
        entry.other.insert(LAST_TEXT.to_owned(), text.into());
        entry.other.insert(LAST_SENT_AT.to_owned(), now_ms.into());
    });
    if let Err(error) = noted {
        log::warn!(target: "gateway/heartbeat", "what was said in {key} may be said again: {error}");
    }
}

fn restore(cx: &Ctx, key: &SessionKey, before: Option<UnixMs>) {
    let Some(before) = before.filter(|before| *before > 0) else { return };
    if let Err(error) = cx.sessions.update(key, |entry| entry.updated_at = before) {
        log::warn!(target: "gateway/heartbeat", "cannot restore the age of {key}: {error}");
    }
}

fn publish(cx: &Ctx, mut event: Value) {
    if let Value::Object(event) = &mut event {
        event.shift_insert(0, "ts".to_owned(), cx.clock.now_ms().into());
    }
    // First: whoever hears of it may ask for it.
    cx.heartbeats.lock().last = Some(event.clone());
    events::broadcast(&cx.net, events::HEARTBEAT, &event, None);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_of_the_list_may_have_its_own() {
        let general = json!({"every": "10m", "prompt": "Look.", "model": "a/b", "ackMaxChars": 5});
        let config = |list: Value| -> Config {
            let agents = json!({"defaults": {"heartbeat": general}, "list": list});
            serde_json::from_value(json!({"agents": agents})).expect("configuration")
        };
        let of = |config: &Config, agent: &str| {
            let settings = settings(config, &AgentId::new(agent));
            (settings.every_ms, settings.prompt, settings.model, settings.ack_max_chars)
        };
        let general = (Some(600_000), "Look.".to_owned(), Some("a/b".to_owned()), 5);
        let plain = config(json!([{"id": "main", "default": true}, {"id": "ops"}]));
        assert_eq!((of(&plain, "main"), of(&plain, "ops").0), (general, None));
        let own = json!({"every": "1h", "prompt": "Check.", "ackMaxChars": 0});
        let some = config(json!([{"id": "main", "default": true}, {"id": "ops", "heartbeat": own}]));
        assert_eq!(of(&some, "main").0, None);
        assert_eq!(of(&some, "ops"), (Some(3_600_000), "Check.".to_owned(), Some("a/b".to_owned()), 0));
    }

    #[test]
    fn intervals() {
        let parsed = ["30m", "1.5h", "10", "0m", "5S", "250ms", "x"].map(parse_every);
        assert_eq!(parsed, [Some(1_800_000), Some(5_400_000), Some(600_000), Some(0), Some(5000), Some(250), None]);
    }
}
