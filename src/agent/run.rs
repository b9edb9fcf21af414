//! The loop of a run: from a message to the end of the turn.
//!
//! Runs on one job thread, under its session's lane, so that a transcript has one run at a time. The user's message is
//! in the transcript before a model hears of it, every answer and tool result before the next step, and the last answer
//! before the run says that it is over. Not here: who may start a run and who hears of it (`gateway`).

mod call;
mod client_tools;
mod compact;
mod flush;
mod mailbox;
mod opening;
mod request;
mod resume;
mod single;
mod speaking;
mod turn;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

pub use self::client_tools::{ClientCall, ClientSide, ClientTool};
pub use self::compact::Compaction;
pub use self::mailbox::{Letter, Mailbox};
pub use self::request::{CHANNEL_DEFAULT, RunError, RunOutcome, RunRequest, Sent};
pub use self::resume::{Promise, give_up, was_read};
pub use self::single::{SingleCall, SingleFailure, call_one, command_of_person};
use super::events::{RunEvent, RunSink};
use super::levels;
use super::message::{Block, Message, Usage};
use super::models::{self, Model};
use super::providers::ToolSpec;
use super::reply::Said;
use super::sessions::{Entry, Sessions};
use super::tools::{Host, Toolbox};
use super::transcript::Transcript;
use crate::base::cancel::{CancelReason, CancelToken};
use crate::base::clock::Clock;
use crate::base::ids::SessionKey;
use crate::base::rng::Rng;
use crate::config::live::Live;
use crate::config::paths::Paths;
use crate::config::types::Config;
use crate::net::fetch::Fetch;

/// Limit of a run when nobody names one (agent.md §8).
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(600);
/// Most rounds of tool calls in one run: a model that goes in circles is stopped.
const ROUNDS_MAX: usize = 200;

/// What every run needs.
#[derive(Clone)]
pub struct Agent {
    live: Live,
    paths: Paths,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    sessions: Arc<Sessions>,
    /// What tools of all runs share.
    pub toolbox: Arc<Toolbox>,
}

impl Agent {
    /// Puts it together.
    pub fn new(
        live: Live,
        paths: Paths,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
        sessions: Arc<Sessions>,
        toolbox: Arc<Toolbox>,
    ) -> Self {
        Self { live, paths, clock, rng, sessions, toolbox }
    }
}

/// What surrounds a run while it is carried out.
#[derive(Clone, Copy)]
pub struct Around<'a> {
    /// The gateway, for tools.
    pub host: &'a Arc<dyn Host>,
    /// Hears what happens.
    pub sink: &'a dyn RunSink,
    /// Stops the run.
    pub cancel: &'a CancelToken,
    /// Where the user's further messages arrive.
    pub mailbox: &'a Mailbox,
}

/// Returns whether a run shows its tool calls.
pub fn is_verbose(agent: &Agent, request: &RunRequest) -> bool {
    verbose_level(agent, request) != "off"
}

/// Returns how much of its tools' work a run shows: off, on, full.
pub fn verbose_level(agent: &Agent, request: &RunRequest) -> String {
    let entry = agent.sessions.entry(&request.session_key);
    let config = agent.live.get();
    let level = entry.and_then(|entry| entry.verbose_level).or_else(|| config.agents.defaults.verbose_default.clone());
    level.unwrap_or_else(|| "off".to_owned())
}

/// Returns the thinking level of a session: its own, the configured one, else the model's.
pub fn thinking_level(agent: &Agent, key: &SessionKey, entry: Option<&Entry>) -> String {
    if let Some(own) = entry.and_then(|entry| entry.thinking_level.clone()) {
        return own;
    }
    let config = agent.live.get();
    let model = models::resolve(&config, &super::session::agent_of_key(&config, key), entry, None);
    levels::thinking_default(&config, model.as_ref().ok()).to_owned()
}

/// Carries a run out, from where it was cut off if `promise` says that it was. Every run ends with exactly one `End` or
/// `Error` event.
///
/// # Errors
/// With what to tell the user.
pub fn run(
    agent: &Agent,
    request: &RunRequest,
    around: &Around<'_>,
    promise: Option<&Promise<'_>>,
) -> Result<RunOutcome, RunError> {
    let started_at = agent.clock.now_ms();
    let begun = agent.clock.now();
    let config = agent.live.get();
    let limit = limit(&config, request);
    if let Some(deadline) = begun.checked_add(limit) {
        around.cancel.set_deadline(deadline);
    }
    let outcome = Run::begin(agent, &config, request, around, promise, started_at).and_then(|mut run| {
        around.sink.emit(RunEvent::Start { started_at });
        let last = run.said.iter().rposition(|said| !said.text.is_empty()).filter(|_| run.is_over);
        // What was said before the run was cut off may not have reached everybody.
        for (at, said) in run.said.iter().enumerate() {
            if last == Some(at) {
                let text = said.text.clone();
                around.sink.emit(RunEvent::Assistant { delta: text.clone(), text, media: said.media.clone() });
            }
            around.sink.emit(RunEvent::Said { said: said.clone() });
        }
        let ended = run.prepare(promise).and_then(|()| {
            around.mailbox.open(true);
            run.go()
        });
        around.mailbox.close();
        run.settle(&ended);
        ended.map(|()| run)
    });
    let ended_at = agent.clock.now_ms();
    let duration_ms = u64::try_from(agent.clock.now().saturating_duration_since(begun).as_millis()).unwrap_or(u64::MAX);
    let done = |run: Run<'_>, aborted: bool| RunOutcome {
        started_at,
        duration_ms,
        session_id: run.entry.session_id,
        provider: run.spoke.0,
        model: run.spoke.1,
        said: run.said,
        sent: run.sent,
        is_new_session: run.is_new_session,
        usage: run.usage,
        compactions: run.compactions,
        aborted,
        client_calls: run.client_calls,
    };
    match outcome {
        Ok(run) => {
            let aborted = run.is_aborted;
            around.sink.emit(RunEvent::End { started_at: aborted.then_some(started_at), ended_at, aborted });
            Ok(done(run, aborted))
        }
        Err(stop) => {
            let (message, timed_out) = match stop {
                Stop::Failed(message) => (message, false),
                Stop::TimedOut => (timeout_text(limit), true),
                Stop::Shutdown => ("the gateway is stopping".to_owned(), false),
            };
            log::warn!(target: "agent", "run {} failed: {message}", request.run_id);
            around.sink.emit(RunEvent::Error { started_at: Some(started_at), ended_at, error: message.clone() });
            Err(RunError { message, timed_out, started_at: Some(started_at) })
        }
    }
}

/// Sums the older part of a session's conversation up; `None` when it is short enough. `wishes` is what the user asks for
/// in particular.
///
/// # Errors
/// Why it could not be done; the conversation is then as before.
pub fn compact(
    agent: &Agent,
    request: &RunRequest,
    around: &Around<'_>,
    wishes: Option<&str>,
) -> Result<Option<Compaction>, String> {
    let config = agent.live.get();
    if let Some(deadline) = agent.clock.now().checked_add(limit(&config, request)) {
        around.cancel.set_deadline(deadline);
    }
    let worded = |stop: Stop| match stop {
        Stop::Failed(message) => message,
        Stop::TimedOut => "it took too long".to_owned(),
        Stop::Shutdown => "the gateway is stopping".to_owned(),
    };
    let mut run = Run::begin(agent, &config, request, around, None, agent.clock.now_ms()).map_err(worded)?;
    run.compact(compact::Why::Asked(wishes)).map_err(worded)?
}

/// Returns how long a run may take.
pub fn limit(config: &Config, request: &RunRequest) -> Duration {
    let configured = config.agents.defaults.timeout_seconds.map(|seconds| Duration::from_secs(seconds.max(1)));
    request.timeout.or(configured).unwrap_or(TIMEOUT_DEFAULT)
}

fn timeout_text(limit: Duration) -> String {
    format!(
        "the run was stopped after its limit of {} (agents.defaults.timeoutSeconds, or --timeout, raises it)",
        crate::base::text::duration(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX))
    )
}

/// Why a run could not go on.
enum Stop {
    Failed(String),
    TimedOut,
    Shutdown,
}

/// One run under way.
struct Run<'a> {
    agent: &'a Agent,
    config: &'a Config,
    request: &'a RunRequest,
    around: Around<'a>,
    fetch: Fetch,
    entry: Entry,
    transcript: Transcript,
    chain: Vec<Model>,
    workspace: std::path::PathBuf,
    messages: Vec<Message>,
    /// Which entries of the transcript they are; what is only in memory has none.
    ids: Vec<Option<String>>,
    tools: Vec<ToolSpec>,
    thinking: String,
    system_prompt: String,
    skill_variables: Vec<(String, String)>,
    said: Vec<Said>,
    /// What the model has sent by its tool.
    sent: Vec<Sent>,
    is_new_session: bool,
    usage: Usage,
    /// Tokens of the conversation as the last turn counted them.
    context_tokens: u64,
    /// Provider and model of the last turn.
    spoke: (String, String),
    /// Providers that answered in this run, and with which stored credential.
    asked_with: BTreeMap<String, Option<String>>,
    /// The provider whose cache of the conversation this run has used, and its model.
    cache_touched: Option<(String, String)>,
    is_aborted: bool,
    /// How often its time was over and another model got as much again.
    deadlines_passed: usize,
    client_calls: Vec<ClientCall>,
    /// Compactions of the transcript, when this run has made one.
    compactions: Option<u64>,
    /// Whether its message is in the transcript.
    is_said: bool,
    /// Whether it will be carried on when the gateway stops.
    survives: bool,
    /// Whether the model was done before the run was cut off.
    is_over: bool,
}

impl<'a> Run<'a> {
    /// Turns and tool calls until the model is done, or somebody stops it.
    fn go(&mut self) -> Result<(), Stop> {
        if self.is_over || self.is_aborted {
            return Ok(());
        }
        for _ in 0..ROUNDS_MAX {
            self.make_room()?;
            if self.stopped()? {
                return Ok(());
            }
            let Some(turn) = self.turn()? else { return Ok(()) };
            let calls: Vec<(String, String, Value)> = turn
                .content
                .iter()
                .filter_map(|block| match block {
                    Block::ToolCall { id, name, arguments, .. } => Some((id.clone(), name.clone(), arguments.clone())),
                    _ => None,
                })
                .collect();
            if calls.is_empty() {
                // A letter that comes now is read, or goes to a run of its own.
                if self.around.mailbox.close_if_empty() {
                    return Ok(());
                }
                self.read_mail()?;
                continue;
            }
            for (at, (id, name, args)) in calls.into_iter().enumerate() {
                let has_mail = at > 0 && self.around.mailbox.has_mail();
                let refusal = match () {
                    () if self.around.cancel.is_cancelled() => Some("Not run: the run was stopped."),
                    () if has_mail => Some("Not run: the user has said something meanwhile; read that first."),
                    () => None,
                };
                self.call(id, name, args, refusal)?;
            }
            if self.stopped()? || (!self.client_calls.is_empty() && self.around.mailbox.close_if_empty()) {
                return Ok(());
            }
            self.read_mail()?;
        }
        Err(Stop::Failed(format!("the model asked for tools {ROUNDS_MAX} times in a row; the run was stopped")))
    }

    /// Puts what the user has said meanwhile behind what is there.
    fn read_mail(&mut self) -> Result<(), Stop> {
        // One after the other: what cannot be written leaves the rest in the box, for runs of their own.
        while let Some(letter) = self.around.mailbox.next() {
            (letter.reading)();
            let now_ms = self.agent.clock.now_ms();
            let said = match resume::append_said(&mut self.transcript, &letter.request, &letter.entry_id, now_ms) {
                Ok(said) => said,
                Err(error) => {
                    (letter.answered)(false);
                    return Err(Stop::Failed(format!("cannot write the transcript: {error}")));
                }
            };
            self.messages.push(said);
            self.ids.push(Some(letter.entry_id));
            (letter.answered)(true);
        }
        Ok(())
    }

    fn append(&mut self, message: Message) -> Result<(), Stop> {
        let id = self
            .transcript
            .append_message(&message)
            .map_err(|error| Stop::Failed(format!("cannot write the transcript: {error}")))?;
        self.messages.push(message);
        self.ids.push(Some(id));
        Ok(())
    }

    /// Returns whether the user has aborted the run; other stops are errors.
    fn stopped(&mut self) -> Result<bool, Stop> {
        match self.around.cancel.reason() {
            None => Ok(false),
            Some(CancelReason::Aborted) => {
                self.is_aborted = true;
                Ok(true)
            }
            Some(CancelReason::TimedOut) => Err(Stop::TimedOut),
            Some(CancelReason::Shutdown) => Err(Stop::Shutdown),
        }
    }

    /// Writes down in the session index how it went.
    fn settle(&mut self, ended: &Result<(), Stop>) {
        self.note_cache();
        let aborted = matches!(ended, Err(Stop::TimedOut)) || self.is_aborted;
        let now_ms = self.agent.clock.now_ms();
        let context_window = self.chain.first().map(|model| model.context_window);
        let updated = self.agent.sessions.note(&self.request.session_key, |entry| {
            entry.updated_at = now_ms;
            entry.system_sent = Some(true);
            entry.aborted_last_run = Some(aborted);
            entry.model_provider = Some(self.spoke.0.clone());
            entry.model = Some(self.spoke.1.clone());
            entry.context_tokens = context_window;
            if self.usage.total_tokens > 0 {
                entry.input_tokens = Some(self.usage.input);
                entry.output_tokens = Some(self.usage.output);
                entry.total_tokens = Some(self.context_tokens);
            }
        });
        if let Err(error) = updated {
            // The turn itself is in the transcript; the index is behind by its counters only.
            log::error!(target: "agent", "cannot update session {}: {error}", self.request.session_key);
        }
    }
}
