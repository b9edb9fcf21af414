//! The loop of a run: from a message to the end of the turn.
//!
//! Runs on one job thread, under its session's lane, so that a transcript has one run at a time. The user's message is
//! in the transcript before a model hears of it, every answer and tool result before the next step, and the last answer
//! before the run says that it is over. Not here: who may start a run and who hears of it (`gateway`).

mod mailbox;
mod resume;
mod turn;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

pub use self::mailbox::{Letter, Mailbox};
pub use self::resume::{Promise, give_up, was_read};
use super::events::{RunEvent, RunSink};
use super::levels;
use super::message::{Block, Content, Message, ToolResultMessage, Usage};
use super::models::{self, Model};
use super::prompt::{self, PromptInput};
use super::providers::ToolSpec;
use super::sessions::{Entry, Sessions};
use super::speaker::Speaker;
use super::tools::{self, Host, ToolContext, Toolbox};
use super::transcript::Transcript;
use super::workspace;
use crate::base::cancel::{CancelReason, CancelToken};
use crate::base::clock::{Clock, UnixMs};
use crate::base::ids::{AgentId, RunId, SessionKey};
use crate::base::rng::Rng;
use crate::base::route::Route;
use crate::base::text::ellipsize;
use crate::config::live::Live;
use crate::config::paths::Paths;
use crate::config::types::Config;
use crate::net::fetch::Fetch;
use crate::skills;

/// The channel of runs that came by none.
pub const CHANNEL_DEFAULT: &str = "webchat";
/// Limit of a run when nobody names one (agent.md §8).
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(600);
/// Most rounds of tool calls in one run: a model that goes in circles is stopped.
const ROUNDS_MAX: usize = 200;
/// Least that is read of a transcript for a turn, in bytes: pictures are long.
const HISTORY_BYTES_MIN: usize = 4 * 1024 * 1024;
/// Longest text of a tool result in an event, in characters (agent.md §8).
const EVENT_TEXT_CHARS_MAX: usize = 8000;

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

/// What is asked for; kept in the journal of runs until it is done.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunRequest {
    /// Its id.
    pub run_id: RunId,
    /// Where it takes place.
    pub session_key: SessionKey,
    /// Whose session that is.
    pub agent_id: AgentId,
    /// A transcript to go on with instead of the session's current one.
    pub session_id: Option<String>,
    /// What the user said, as the model gets it.
    pub message: String,
    /// What the user typed, when that is something else.
    #[serde(default)]
    pub typed: Option<String>,
    /// Images with it.
    pub images: Vec<Block>,
    /// Lines put in front of the message: system events that wait for the next prompt.
    pub prefix_lines: Vec<String>,
    /// Thinking level of this run alone.
    pub thinking: Option<String>,
    /// More instructions for the system prompt.
    pub extra_system_prompt: Option<String>,
    /// The channel it came by.
    pub channel: String,
    /// Its limit, instead of the configured one.
    pub timeout: Option<Duration>,
    /// The model of this run alone, as people write it.
    #[serde(default)]
    pub model: Option<String>,
    /// The global lane it waits in, instead of `main`.
    #[serde(default)]
    pub lane: Option<String>,
    /// Who spoke, when it was a person in a chat.
    #[serde(default)]
    pub speaker: Option<Speaker>,
    /// Where its replies go beside the clients that watch the session.
    #[serde(default)]
    pub route: Option<Route>,
}

impl RunRequest {
    /// A message of nobody in particular, under the usual conditions.
    pub fn new(run_id: RunId, agent_id: AgentId, session_key: SessionKey, message: impl Into<String>) -> Self {
        Self {
            run_id,
            session_key,
            agent_id,
            session_id: None,
            message: message.into(),
            typed: None,
            images: Vec::new(),
            prefix_lines: Vec::new(),
            thinking: None,
            extra_system_prompt: None,
            channel: CHANNEL_DEFAULT.to_owned(),
            timeout: None,
            model: None,
            lane: None,
            speaker: None,
            route: None,
        }
    }
}

/// A run that came to its end.
#[derive(Debug, Clone)]
pub struct RunOutcome {
    /// Visible texts, in order.
    pub texts: Vec<String>,
    /// When it began.
    pub started_at: UnixMs,
    /// How long it took.
    pub duration_ms: u64,
    /// The session's transcript id.
    pub session_id: String,
    /// Who answered.
    pub provider: String,
    /// With which model.
    pub model: String,
    /// Tokens of all its turns.
    pub usage: Usage,
    /// Whether it was aborted.
    pub aborted: bool,
}

impl RunOutcome {
    /// What comes of a message that needs no run of its own.
    pub fn none(now_ms: UnixMs, aborted: bool) -> Self {
        Self {
            texts: Vec::new(),
            started_at: now_ms,
            duration_ms: 0,
            session_id: String::new(),
            provider: String::new(),
            model: String::new(),
            usage: Usage::default(),
            aborted,
        }
    }

    /// Returns `result` of the `agent` response (agent.md §8).
    pub fn to_json(&self) -> Value {
        let payloads: Vec<Value> = self.texts.iter().map(|text| json!({"text": text, "mediaUrl": null})).collect();
        let usage = json!({
            "input": self.usage.input, "output": self.usage.output, "cacheRead": self.usage.cache_read,
            "cacheWrite": self.usage.cache_write, "total": self.usage.total_tokens,
        });
        let agent_meta = json!({
            "sessionId": self.session_id, "provider": self.provider, "model": self.model, "usage": usage,
        });
        json!({
            "payloads": payloads,
            "meta": {"durationMs": self.duration_ms, "agentMeta": agent_meta, "aborted": self.aborted},
        })
    }
}

/// A run that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunError {
    /// What to tell the user.
    pub message: String,
    /// Whether its deadline ended it.
    pub timed_out: bool,
    /// When it began, if it did.
    pub started_at: Option<UnixMs>,
}

impl RunError {
    /// A run that did not even begin.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), timed_out: false, started_at: None }
    }
}

/// Returns whether a run shows its tool calls.
pub fn is_verbose(agent: &Agent, request: &RunRequest) -> bool {
    let entry = agent.sessions.entry(&request.session_key);
    let config = agent.live.get();
    let level = entry.and_then(|entry| entry.verbose_level).or_else(|| config.agents.defaults.verbose_default.clone());
    level.is_some_and(|level| level != "off")
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
        around.mailbox.open(true);
        let ended = run.go();
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
        texts: run.texts,
        usage: run.usage,
        aborted,
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
    tools: Vec<ToolSpec>,
    thinking: String,
    system_prompt: String,
    skill_variables: Vec<(String, String)>,
    texts: Vec<String>,
    usage: Usage,
    /// Tokens of the conversation as the last turn counted them.
    context_tokens: u64,
    /// Provider and model of the last turn.
    spoke: (String, String),
    /// Providers that answered in this run, and with which stored credential.
    asked_with: BTreeMap<String, Option<String>>,
    is_aborted: bool,
    /// How often its time was over and another model got as much again.
    deadlines_passed: usize,
    /// Whether it will be carried on when the gateway stops.
    survives: bool,
    /// Whether the model was done before the run was cut off.
    is_over: bool,
}

impl<'a> Run<'a> {
    /// Opens the session and puts the user's message into its transcript, unless it is there from before.
    fn begin(
        agent: &'a Agent,
        config: &'a Config,
        request: &'a RunRequest,
        around: &Around<'a>,
        promise: Option<&Promise<'_>>,
        started_at: UnixMs,
    ) -> Result<Self, Stop> {
        let key = &request.session_key;
        let disk = |what: &str, error: std::io::Error| Stop::Failed(format!("{what}: {error}"));
        let before = match promise {
            Some(promise) => resume::progress(agent, request, promise),
            None => Ok(None),
        };
        let before = before.map_err(|error| disk("cannot read the transcript", error))?;
        let session_id = before.as_ref().map(|it| it.session_id.as_str()).or(request.session_id.as_deref());
        let (entry, _) =
            agent.sessions.open(key, session_id, started_at).map_err(|error| disk("cannot open the session", error))?;
        let chain = models(config, request, &entry)?;
        let workspace = workspace::ensure(config, &agent.paths, &request.agent_id)
            .map_err(|error| disk("cannot prepare the workspace", error))?;
        let mut transcript =
            agent.sessions.transcript(key, &entry).map_err(|error| disk("cannot open the transcript", error))?;
        if let Some(before) = &before {
            before
                .close_calls(&mut transcript, started_at)
                .map_err(|error| disk("cannot write the transcript", error))?;
        }
        let mut messages = transcript
            .messages_within(history_bytes_max(&chain))
            .map_err(|error| disk("cannot read the transcript", error))?;
        let thinking = request.thinking.clone().unwrap_or_else(|| thinking_level(agent, key, Some(&entry)));
        let Some(model) = chain.first() else { return Err(Stop::Failed("no model is configured".to_owned())) };
        note_model(&mut transcript, &entry, model, &thinking, started_at)
            .and_then(|()| {
                if before.is_none() {
                    messages.push(resume::append_request(&mut transcript, request, promise, started_at)?);
                }
                Ok(())
            })
            .map_err(|error| disk("cannot write the transcript", error))?;
        around.sink.emit(RunEvent::Start { started_at });
        let tools = tools::offered(config, &request.agent_id, key, model);
        let is_over = before.as_ref().is_some_and(|it| it.is_over);
        let (texts, usage, context_tokens, spoke) =
            before.map_or_else(Default::default, |it| (it.texts, it.usage, it.context_tokens, it.spoke));
        let spoke = spoke.unwrap_or_else(|| (model.provider.clone(), model.id.clone()));
        if let Some(text) = texts.last().filter(|_| is_over) {
            around.sink.emit(RunEvent::Assistant { text: text.clone(), delta: text.clone() });
        }
        let briefing = around.host.briefing(&request.agent_id);
        let skill_variables =
            skills::prompt::variables(&briefing.skills, config, &|name| std::env::var_os(name).is_some());
        let system_prompt = prompt::system_prompt(&PromptInput {
            config,
            agent: &request.agent_id,
            key,
            workspace: &workspace,
            model,
            tools: &tools.iter().map(|tool| (tool.name, tool.description)).collect::<Vec<_>>(),
            thinking: &thinking,
            reasoning: entry.reasoning_level.as_deref().unwrap_or("off"),
            channel: &request.channel,
            skills: skills::prompt::list(&briefing.skills).as_deref(),
            heartbeat_prompt: briefing.heartbeat_prompt.as_deref(),
            extra: request.extra_system_prompt.as_deref(),
        });
        Ok(Self {
            fetch: Fetch::new(around.cancel),
            agent,
            config,
            request,
            around: *around,
            entry,
            transcript,
            chain,
            workspace,
            messages,
            tools,
            thinking,
            system_prompt,
            skill_variables,
            texts,
            usage,
            context_tokens,
            spoke,
            asked_with: BTreeMap::new(),
            is_aborted: false,
            deadlines_passed: 0,
            survives: promise.is_some(),
            is_over,
        })
    }

    /// Turns and tool calls until the model is done, or somebody stops it.
    fn go(&mut self) -> Result<(), Stop> {
        if self.is_over {
            return Ok(());
        }
        for _ in 0..ROUNDS_MAX {
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
            if self.stopped()? {
                return Ok(());
            }
            self.read_mail()?;
        }
        Err(Stop::Failed(format!("the model asked for tools {ROUNDS_MAX} times in a row; the run was stopped")))
    }

    /// Puts what the user has said meanwhile behind what is there.
    fn read_mail(&mut self) -> Result<(), Stop> {
        for letter in self.around.mailbox.take() {
            (letter.reading)();
            let said =
                resume::append_said(&mut self.transcript, &letter.request, &letter.entry_id, self.agent.clock.now_ms())
                    .map_err(|error| Stop::Failed(format!("cannot write the transcript: {error}")))?;
            self.messages.push(said);
            (letter.answered)(true);
        }
        Ok(())
    }

    /// Carries one tool call out, unless it is refused, and puts its result into the transcript: each of the model's calls
    /// gets one.
    fn call(&mut self, id: String, name: String, args: Value, refusal: Option<&str>) -> Result<(), Stop> {
        self.around.sink.emit(RunEvent::ToolStart { name: name.clone(), tool_call_id: id.clone(), args: args.clone() });
        let on_update = |partial_result: Value| {
            self.around.sink.emit(RunEvent::ToolUpdate {
                name: name.clone(),
                tool_call_id: id.clone(),
                partial_result,
            });
        };
        let result = match refusal {
            Some(text) => tools::ToolResult { content: vec![Block::text(text)], details: None, is_error: true },
            None => self.carry_out(&name, &args, &on_update),
        };
        self.around.sink.emit(RunEvent::ToolResult {
            meta: tools::summary(&name, &args),
            is_error: result.is_error,
            result: shown_result(&result),
            name: name.clone(),
            tool_call_id: id.clone(),
        });
        self.append(Message::ToolResult(ToolResultMessage {
            tool_call_id: id,
            tool_name: name,
            content: result.content,
            details: result.details,
            is_error: result.is_error,
            timestamp: self.agent.clock.now_ms(),
        }))
    }

    fn carry_out(&self, name: &str, args: &Value, on_update: &dyn Fn(Value)) -> tools::ToolResult {
        let of_turn = |model: &&Model| (&model.provider, &model.id) == (&self.spoke.0, &self.spoke.1);
        let cx = ToolContext {
            config: self.config,
            agent: &self.request.agent_id,
            session: &self.request.session_key,
            entry: &self.entry,
            channel: &self.request.channel,
            skill_variables: &self.skill_variables,
            speaker: self.request.speaker.as_ref(),
            route: self.request.route.as_ref(),
            model: self.chain.iter().find(of_turn).unwrap_or(&self.chain[0]),
            workspace: &self.workspace,
            paths: &self.agent.paths,
            sessions: &self.agent.sessions,
            toolbox: &self.agent.toolbox,
            host: self.around.host,
            cancel: self.around.cancel,
            clock: &self.agent.clock,
            rng: &self.agent.rng,
            on_update,
        };
        tools::call(&cx, name, args)
    }

    fn append(&mut self, message: Message) -> Result<(), Stop> {
        self.transcript
            .append_message(&message)
            .map_err(|error| Stop::Failed(format!("cannot write the transcript: {error}")))?;
        self.messages.push(message);
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

/// Returns the models to try, in order. The first must be usable; others that are not are skipped with a word in the log.
fn models(config: &Config, request: &RunRequest, entry: &Entry) -> Result<Vec<Model>, Stop> {
    let agent = &request.agent_id;
    let wanted = request.model.as_deref().and_then(|text| models::parse_name(config, text));
    let allowed = wanted.filter(|name| {
        let is_allowed = models::is_allowed(config, agent, name);
        if !is_allowed {
            log::warn!(target: "agent", "run {} goes on with the usual model: {name} is not allowed", request.run_id);
        }
        is_allowed
    });
    let of_run = allowed.map(|name| Entry {
        provider_override: Some(name.provider),
        model_override: Some(name.id),
        ..entry.clone()
    });
    let mut chain = Vec::new();
    for (at, model) in models::chain(config, agent, Some(of_run.as_ref().unwrap_or(entry))).into_iter().enumerate() {
        match model {
            Ok(model) => chain.push(model),
            Err(error) if at == 0 => return Err(Stop::Failed(error)),
            Err(error) => log::warn!(target: "agent", "fallback model skipped: {error}"),
        }
    }
    Ok(chain)
}

/// Returns how much of a transcript is read for a turn: four times what any of the models could take, as bytes of lines,
/// which are longer than what they say.
fn history_bytes_max(chain: &[Model]) -> usize {
    let window = chain.iter().map(|model| model.context_window).max().unwrap_or(0);
    usize::try_from(window.saturating_mul(16)).unwrap_or(usize::MAX).max(HISTORY_BYTES_MIN)
}

/// Notes in the transcript who is going to speak, when that has changed (agent.md §5).
fn note_model(
    transcript: &mut Transcript,
    entry: &Entry,
    model: &Model,
    thinking: &str,
    now_ms: UnixMs,
) -> std::io::Result<()> {
    let is_same = entry.model_provider.as_deref() == Some(&model.provider) && entry.model.as_deref() == Some(&model.id);
    if is_same && transcript.leaf().is_some() {
        return Ok(());
    }
    let fields = |value: Value| match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    transcript.append_entry("model_change", fields(json!({"provider": model.provider, "modelId": model.id})))?;
    transcript.append_entry("thinking_level_change", fields(json!({"thinkingLevel": thinking})))?;
    let data = json!({"timestamp": now_ms, "provider": model.provider, "modelApi": model.api, "modelId": model.id});
    transcript.append_entry("custom", fields(json!({"customType": "model-snapshot", "data": data})))?;
    Ok(())
}

fn user_content(request: &RunRequest) -> Content {
    let mut text = request.prefix_lines.join("\n");
    if !text.is_empty() {
        text.push_str("\n\n");
    }
    text.push_str(&request.message);
    let mut blocks = vec![Block::text(text)];
    blocks.extend(request.images.iter().cloned());
    Content::Blocks(blocks)
}

/// A tool result as events show it: long text cut, images by their size.
fn shown_result(result: &tools::ToolResult) -> Value {
    let content: Vec<Value> = result
        .content
        .iter()
        .map(|block| match block {
            Block::Text { text, .. } => json!({"type": "text", "text": ellipsize(text, EVENT_TEXT_CHARS_MAX)}),
            Block::Image { data, mime_type } => {
                json!({"type": "image", "mimeType": mime_type, "bytes": data.len() / 4 * 3, "omitted": true})
            }
            other => json!(other),
        })
        .collect();
    let mut shown = json!({"content": content});
    if let Some(details) = &result.details {
        shown["details"] = cut_texts(details);
    }
    shown
}

fn cut_texts(value: &Value) -> Value {
    match value {
        Value::String(text) => ellipsize(text, EVENT_TEXT_CHARS_MAX).into(),
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(key, value)| (key.clone(), cut_texts(value))).collect())
        }
        other => other.clone(),
    }
}
