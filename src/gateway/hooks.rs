//! What a hook does: wakes the default agent, or has it answer in a session of the hook's own (http.md §5.3–5.4).
//!
//! Such a run is in the journal before the hook is answered, waits in lane `cron`, and ends with a line for the main
//! session. Its replies take the route that the run's request carries. Not here: requests and mappings
//! (`gateway::http::hooks`), where answers may go (`targets`), delivery (`replies`).

use std::sync::Arc;
use std::time::Duration;

use super::accepted::{self, Told};
use super::cron::choose_model;
use super::ctx::Ctx;
use super::heartbeat;
use super::http;
use super::start_run::Start;
use super::targets::{self, Aim};
use crate::agent::run::RunRequest;
use crate::agent::run_journal::{Ended, HookEnd, Origin};
use crate::agent::{levels, models, session};
use crate::base::ids::RunId;
use crate::base::rng::uuid;
use crate::base::route::Route;
use crate::base::text::ellipsize;
use crate::config::types::Config;

/// Longest summary for the main session, in characters.
const SUMMARY_CHARS_MAX: usize = 2000;
/// Sessions of Gmail's hooks, which have a model of their own.
const GMAIL: &str = "hook:gmail:";

/// Something to do.
#[derive(Debug, Clone)]
pub struct AgentHook {
    /// What.
    pub message: String,
    /// Whose wish it is, for people.
    pub name: String,
    /// Whether the main session looks at the outcome at once.
    pub wakes: bool,
    /// The session, without its agent.
    pub session_key: String,
    /// Whether the answer goes to a chat.
    pub delivers: bool,
    /// Which network; `None` for the last one.
    pub channel: Option<String>,
    /// To whom there.
    pub to: Option<String>,
    /// Model of this session.
    pub model: Option<String>,
    /// Thinking level of this run.
    pub thinking: Option<String>,
    /// Its limit.
    pub timeout_seconds: Option<u64>,
}

/// Refuses to start with hooks that nobody could call, or that everybody could.
///
/// # Errors
/// What to set.
pub fn check(config: &Config) -> anyhow::Result<()> {
    let hooks = &config.hooks;
    let is_blank = |text: &Option<String>| text.as_deref().is_none_or(|text| text.trim().is_empty());
    if hooks.enabled == Some(true) {
        anyhow::ensure!(!is_blank(&hooks.token), "hooks.enabled requires hooks.token");
        let is_root = hooks.path.as_deref().is_some_and(|path| path.trim().trim_matches('/').is_empty());
        anyhow::ensure!(!is_root, "hooks.path may not be '/'");
    }
    Ok(())
}

/// Says what speaks against the model of mails; they are read with the usual one then.
pub fn judge_gmail_model(config: &Config) {
    let model = config.hooks.gmail.model.as_deref().unwrap_or_default();
    for fault in models::faults(config, &session::default_agent(config), "hooks.gmail.model", model) {
        log::warn!(target: "gateway/hooks", "{fault}");
    }
}

/// Tells the main session something; with `wakes` its agent looks at once.
pub fn wake(cx: &Arc<Ctx>, text: &str, wakes: bool) {
    cx.system_events.push(&cx.main_session(), text, cx.clock.now_ms());
    if wakes {
        look(cx, "hook:wake");
    }
}

fn look(cx: &Arc<Ctx>, reason: &str) {
    heartbeat::request(cx, &session::default_agent(&cx.config.get()), reason, |_, _| ());
}

/// Has the agent do something; `told` is called once that is certain, and dropped when it is not.
pub fn agent(cx: &Arc<Ctx>, hook: AgentHook, told: Told) {
    let job_cx = cx.clone();
    http::later(cx, "a hook was not carried out", move || accept(&job_cx, hook, told));
}

fn accept(cx: &Arc<Ctx>, hook: AgentHook, told: Told) {
    let config = cx.config.get();
    let agent_id = session::default_agent(&config);
    // compat: always below the agent, also a key that names one.
    let key = crate::base::ids::SessionKey::new(format!("agent:{agent_id}:{}", hook.session_key.to_lowercase()));
    let gmail = Some(&config.hooks.gmail).filter(|_| hook.session_key.starts_with(GMAIL));
    // One that may not be used is as none: the mail is read all the same. What the hook itself names must be allowed.
    let of_gmail = gmail.and_then(|gmail| gmail.model.clone()).filter(|model| {
        models::parse_name(&config, model).is_some_and(|name| models::is_allowed(&config, &agent_id, &name))
    });
    let model = hook.model.clone().or(of_gmail);
    let known = |thinking: &Option<String>| thinking.as_deref().and_then(levels::thinking);
    let thinking = known(&hook.thinking).or_else(|| known(&gmail?.thinking));
    if let Err(error) = choose_model(cx, &config, &agent_id, &key, model.as_deref()) {
        told();
        return report(cx, &hook.name, hook.wakes, "error", &error);
    }
    let (route, undelivered) = match route(cx, &hook) {
        Ok(route) => (route, None),
        Err(error) => (None, Some(error)),
    };
    let id = uuid(&*cx.rng);
    let mut request = RunRequest {
        // A session of its own for every run: a hook remembers nothing of its last one.
        session_id: Some(id.clone()),
        thinking: thinking.map(str::to_owned),
        timeout: hook.timeout_seconds.map(Duration::from_secs),
        lane: Some("cron".to_owned()),
        ..RunRequest::new(
            RunId::new(id.clone()),
            agent_id,
            key.clone(),
            format!("[hook:{id} {}] {}", hook.name, hook.message),
        )
    };
    if let Some(route) = &route {
        request.channel = route.channel.clone();
    }
    request.route = route;
    let start = Start { request, echo: Some(key.as_str().to_owned()), is_chat: false, takes_system_events: false };
    let end = HookEnd { name: hook.name, wakes: hook.wakes, undelivered };
    accepted::accept(cx, start, Origin::Hook(end), told);
}

/// Finds out where the answer goes; `None` when it is to go nowhere.
fn route(cx: &Ctx, hook: &AgentHook) -> Result<Option<Route>, String> {
    if !hook.delivers {
        return Ok(None);
    }
    let aim = Aim { channel: hook.channel.as_deref(), to: hook.to.as_deref(), ..Aim::default() };
    let route = targets::resolve(cx, &cx.main_session(), &aim)?;
    match targets::obstacle(cx, &route) {
        Some(obstacle) => Err(obstacle),
        None => Ok(Some(route)),
    }
}

/// The run of a hook has ended.
pub fn settled(cx: &Arc<Ctx>, end: &HookEnd, ended: &Ended) {
    let payloads = ended.result.iter().flat_map(|result| result["payloads"].as_array().into_iter().flatten());
    let mut texts = payloads.filter_map(|payload| payload["text"].as_str().map(str::trim));
    let said = texts.rfind(|text| !text.is_empty());
    match (&ended.error, said) {
        (Some(error), _) => report(cx, &end.name, end.wakes, "error", error),
        // An answer that went nowhere is told here.
        (None, Some(said)) if end.undelivered.is_some() => report(cx, &end.name, end.wakes, "error", said),
        (None, said) => report(cx, &end.name, end.wakes, "ok", said.unwrap_or("ok")),
    }
    if let Some(why) = end.undelivered.as_deref().filter(|_| said.is_some()) {
        log::warn!(target: "gateway/hooks", "the answer to hook {} went nowhere: {why}", end.name);
    }
}

fn report(cx: &Arc<Ctx>, name: &str, wakes: bool, status: &str, text: &str) {
    let status = if status == "ok" { String::new() } else { format!(" ({status})") };
    let line = format!("Hook {name}{status}: {}", ellipsize(text.trim(), SUMMARY_CHARS_MAX));
    cx.system_events.push(&cx.main_session(), &line, cx.clock.now_ms());
    if wakes {
        look(cx, &format!("hook:{name}"));
    }
}
