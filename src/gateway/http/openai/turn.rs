//! A request of OpenAI's APIs as an agent run: whose it is, in which session, and who follows it (http.md §2.2).
//!
//! Such a run ends with its client and with the gateway. Runs on the worker that got the request; listeners on the run's
//! thread. Not here: the two APIs.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use super::super::exchange::Request;
use super::super::{BodyRule, reply};
use crate::agent::events::RunEvent;
use crate::agent::message::{Block, Usage};
use crate::agent::run::{ClientSide, RunError, RunOutcome, RunRequest};
use crate::agent::session;
use crate::base::ids::{AgentId, RunId, SessionKey};
use crate::base::rng::uuid;
use crate::gateway::ctx::Ctx;
use crate::gateway::runs::Listener;
use crate::gateway::start_run::{self, Settled, Start};
use crate::net::flow::Flow;
use crate::net::http::Response;
use crate::work::lanes::LANE_WAITING_MAX;

/// compat: what stands for an answer without a word.
pub const NO_ANSWER: &str = "No response from Clawdbot.";

/// What is asked for.
pub struct Turn {
    /// Id of the run.
    pub run: RunId,
    /// Whose session.
    pub agent: AgentId,
    /// Which session.
    pub session: SessionKey,
    /// What the user said.
    pub message: String,
    /// Pictures with it.
    pub images: Vec<Block>,
    /// More instructions for the system prompt.
    pub instructions: Option<String>,
    /// The client's tools and limits.
    pub client: ClientSide,
}

/// Finds the agent and session of a request: headers first, then the model's name and the user.
pub fn place(cx: &Ctx, request: &Request, model: &str, user: Option<&str>, prefix: &str) -> (AgentId, SessionKey) {
    let named = request.header("x-clawdbot-agent-id").or_else(|| request.header("x-clawdbot-agent"));
    // compat: literally `main`, whatever agent is the default.
    let agent = session::normalize_agent_id(named.or_else(|| agent_of_model(model)).unwrap_or("main"));
    if let Some(given) = request.header("x-clawdbot-session-key") {
        let config = cx.config.get();
        let key = session::canonical_key(&config, given, Some(&agent));
        return (session::agent_of_key(&config, &key), key);
    }
    let rest = match user.filter(|user| !user.trim().is_empty()) {
        Some(user) => format!("{prefix}-user:{}", user.to_lowercase()),
        None => format!("{prefix}:{}", uuid(&*cx.rng)),
    };
    let key = SessionKey::new(format!("agent:{agent}:{rest}"));
    (agent, key)
}

/// Reads the agent off `clawdbot:<id>`, `clawdbot/<id>` or `agent:<id>`.
fn agent_of_model(model: &str) -> Option<&str> {
    let model = model.trim();
    let id = ["clawdbot:", "clawdbot/", "agent:"].iter().find_map(|start| {
        model.get(..start.len()).filter(|head| head.eq_ignore_ascii_case(start)).map(|_| &model[start.len()..])
    })?;
    session::is_agent_id(id).then_some(id)
}

/// How large the bodies of both APIs may be.
pub(super) const BODY: BodyRule = BodyRule {
    bytes_max: |config| config.gateway.http.endpoints.responses.body_bytes_max(),
    may_send: reply::may_send_much,
    too_large: reply::too_large,
};

/// Judges what stands before the body of a request for a run: whether the API is on, who asks, and whether there is room.
///
/// # Errors
/// With the response.
pub fn require(cx: &Ctx, request: &Request, is_enabled: Option<bool>, api: &str) -> Result<(), Response> {
    if is_enabled != Some(true) {
        return Err(reply::off(api));
    }
    reply::require_post(request)?;
    reply::require_secret(cx, request)?;
    require_room(cx)
}

/// Refuses a run that would not find room to wait in: before a stream begins, so that clients try again by themselves.
///
/// # Errors
/// With the response.
fn require_room(cx: &Ctx) -> Result<(), Response> {
    if cx.jobs.depth("main") < LANE_WAITING_MAX {
        return Ok(());
    }
    let message = "The gateway is too busy: too many runs wait; try again in a few seconds";
    Err(reply::openai_error(503, "overloaded_error", message).with("Retry-After", "5"))
}

/// One who tells a client what a run says, as it says it.
pub trait Teller: Send + 'static {
    /// Tells what was said; false when nobody reads it.
    fn hear(&mut self, text: &str, delta: &str) -> bool;
    /// Tells how it ended.
    fn end(&mut self, cx: &Ctx, result: Result<RunOutcome, RunError>);
}

/// Starts the run and has it told by `teller`; a client that does not read aborts it. The teller's lock is held while a part
/// is written: nobody else wants it meanwhile.
pub fn stream(cx: &Arc<Ctx>, turn: Turn, flow: &Flow, teller: impl Teller) {
    let run = turn.run.clone();
    let teller = Arc::new(Mutex::new(teller));
    let (hearing, weak) = (teller.clone(), Arc::downgrade(cx));
    let listener = Listener(Arc::new(move |event| {
        let RunEvent::Assistant { text, delta, .. } = event else { return };
        if delta.is_empty() {
            return;
        }
        let is_heard = hearing.lock().unwrap_or_else(PoisonError::into_inner).hear(text, delta);
        if !is_heard && let Some(cx) = weak.upgrade() {
            cx.runs.abort(&run);
        }
    }));
    let settled = move |cx: &Arc<Ctx>, result: Result<RunOutcome, RunError>| {
        teller.lock().unwrap_or_else(PoisonError::into_inner).end(cx, result);
    };
    start(cx, turn, flow, Some(listener), Box::new(settled));
}

/// Starts the run; it is aborted when the client goes away before its answer is complete.
pub fn start(cx: &Arc<Ctx>, turn: Turn, flow: &Flow, listener: Option<Listener>, settled: Settled) {
    let run = turn.run.clone();
    if let Some(listener) = listener {
        cx.runs.listen(&run, listener);
    }
    let echo = Some(turn.session.as_str().to_owned());
    let request = RunRequest {
        images: turn.images,
        extra_system_prompt: turn.instructions,
        client: turn.client,
        ..RunRequest::new(turn.run, turn.agent, turn.session, turn.message)
    };
    start_run::start(cx, Start { request, echo, is_chat: false, takes_system_events: false }, settled);
    // Weak: what waits for a client must not keep a gateway that is stopping.
    let weak = Arc::downgrade(cx);
    flow.on_gone(move || {
        if let Some(cx) = weak.upgrade()
            && cx.runs.abort(&run).is_some()
        {
            log::info!(target: "gateway/http", "run {run} was aborted: its client went away");
        }
    });
}

/// Returns input, output and all tokens as OpenAI counts them: what was read from a cache is input.
pub fn tokens(usage: &Usage) -> (u64, u64, u64) {
    let input = usage.input + usage.cache_read + usage.cache_write;
    let total = if usage.total_tokens > 0 { usage.total_tokens } else { input + usage.output };
    (input, usage.output, total)
}

/// The text of a run as it streams: one behind the other, where a run has several messages, with a blank line between.
#[derive(Default)]
pub struct Spoken {
    /// Whether anything was said.
    pub has_spoken: bool,
    /// Everything that was said.
    pub text: String,
}

impl Spoken {
    /// Takes the text of the current message and what it grew by; returns what to show.
    pub fn hear(&mut self, text: &str, delta: &str) -> String {
        let is_next_message = self.has_spoken && text.len() == delta.len();
        self.has_spoken = true;
        let shown = if is_next_message { format!("\n\n{delta}") } else { delta.to_owned() };
        self.text.push_str(&shown);
        shown
    }
}

/// Returns a tool's parameters, which may be left out.
pub fn parameters(given: Option<&Value>) -> Value {
    given
        .filter(|value| value.is_object())
        .cloned()
        .unwrap_or_else(|| serde_json::json!({"type": "object", "properties": {}}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_of_models() {
        for (model, agent) in [
            ("clawdbot:beta", Some("beta")),
            ("Clawdbot/Ops_2", Some("Ops_2")),
            ("agent:x", Some("x")),
            ("clawdbot", None),
            ("clawdbot:", None),
            ("clawdbot:../x", None),
            ("openai/gpt-5", None),
            ("é", None),
        ] {
            assert_eq!(agent_of_model(model), agent, "{model}");
        }
    }

    #[test]
    fn messages_of_a_run_are_kept_apart() {
        let mut spoken = Spoken::default();
        assert_eq!(spoken.hear("a", "a"), "a");
        assert_eq!(spoken.hear("a b", " b"), " b");
        assert_eq!(spoken.hear("c", "c"), "\n\nc");
        assert_eq!(spoken.text, "a b\n\nc");
    }
}
