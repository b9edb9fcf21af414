//! Tools: what a model may call, and the one way a call is carried out.
//!
//! A row per tool, a file per tool. Runs on the job's thread. Failures are results, never errors: the model reads them.
//! What tools need of the gateway they ask of one narrow trait, [`Host`]. Not here: which calls a model makes (`run`).

mod agents_list;
mod apply_patch;
pub(super) mod arguments;
mod browser;
mod cache;
mod canvas;
mod cron;
mod edit;
pub(super) mod exec;
mod gateway;
mod html;
mod image;
#[cfg(feature = "memory")]
mod memory;
mod message;
mod nodes;
mod policy;
mod process;
mod read;
pub(super) mod sandbox;
mod session_status;
mod sessions;
mod sessions_history;
mod sessions_list;
mod sessions_send;
mod sessions_spawn;
mod tts;
mod web_fetch;
mod web_search;
mod write;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use self::arguments::Arguments;
use self::policy::{Policy, Subject};
use super::message::Block;
use super::models::Model;
use super::processes::Processes;
use super::providers::ToolSpec;
use super::sessions::{Entry, Sessions};
use super::speaker::Speaker;
use super::talk::Talk;
use crate::approvals::store::PolicyStore;
use crate::base::cancel::CancelToken;
use crate::base::clock::Clock;
use crate::base::ids::{AgentId, SessionKey};
use crate::base::rng::Rng;
use crate::base::route::Route;
use crate::base::text::trimmed;
use crate::config::paths::Paths;
use crate::config::types::Config;
use crate::skills::manifest::Skill;

pub use self::sessions_spawn::Subagent;
pub use self::web_fetch::join as join_url;

/// How long a call of a gateway's method may take unless the model says otherwise.
const HOST_CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// What the gateway knows about a run before it begins.
#[derive(Debug, Default)]
pub struct Briefing {
    /// What the model is told of answers that are spoken, where they are.
    pub voice_hint: Option<String>,
    /// The skills that can be used as things are.
    pub skills: Vec<Arc<Skill>>,
    /// What heartbeats ask the agent; `None` when it has none.
    pub heartbeat_prompt: Option<String>,
    /// The chat that it answers.
    pub chat: ChatBriefing,
}

/// What there is to know of the chat that a run answers; nothing of clients of the gateway.
#[derive(Debug, Default)]
pub struct ChatBriefing {
    /// What can be done there beyond words and files (`inlineButtons`).
    pub abilities: Vec<String>,
    /// Whether its network has buttons at all, switched on or not.
    pub has_buttons: bool,
    /// How freely the agent may set reactions there.
    pub reactions: Option<Reactions>,
}

/// How freely an agent may set reactions, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reactions {
    /// The network's name for people.
    pub network: String,
    /// As people do, or only now and then.
    pub is_free: bool,
}

/// The gateway, as tools see it.
pub trait Host: Send + Sync {
    /// Calls a method as an operator of this machine would, and waits for its first answer.
    ///
    /// # Errors
    /// The method's error, or why there was no answer.
    fn call(&self, method: &str, params: Value, within: Duration, cancel: &CancelToken) -> Result<Value, String>;

    /// Leaves a line for the session's next prompt; with a reason its agent looks at it soon.
    fn tell(&self, session: &SessionKey, line: &str, wake: Option<&str>);

    /// Starts a sub-agent, whose end is announced to the session that asked; returns the id of its run.
    ///
    /// # Errors
    /// Why it was not started.
    fn spawn(&self, subagent: Subagent) -> Result<String, String>;

    /// Returns what the gateway knows about an agent's next run.
    fn briefing(&self, agent: &AgentId, route: Option<&Route>) -> Briefing;

    /// Returns the programs that skills speak of.
    fn skill_bins(&self) -> BTreeSet<String>;

    /// Has a session say something to another, and the two go on from there; the other one's run gets the id `run`.
    ///
    /// # Errors
    /// Why it was not said.
    fn talk(&self, run: &str, talk: Talk) -> Result<(), String>;

    /// Plans a restart of the gateway, after which the session is told `note`; returns what is planned.
    ///
    /// # Errors
    /// Why there is none.
    fn restart(&self, delay_ms: Option<u64>, session: &str, note: Option<&str>) -> Result<Value, String>;
}

/// What tools of all runs share.
pub struct Toolbox {
    /// Commands under way.
    pub processes: Processes,
    /// The policy about commands on this machine.
    pub exec_policy: Arc<PolicyStore>,
    pages: cache::Cache,
    searches: cache::Cache,
}

impl Toolbox {
    /// Puts it together.
    pub fn new(exec_policy: Arc<PolicyStore>) -> Self {
        Self { processes: Processes::default(), exec_policy, pages: Default::default(), searches: Default::default() }
    }
}

/// What a tool may use.
pub struct ToolContext<'a> {
    /// The configuration in force.
    pub config: &'a Config,
    /// Whose call it is.
    pub agent: &'a AgentId,
    /// From which session.
    pub session: &'a SessionKey,
    /// That session as it was when the run began.
    pub entry: &'a Entry,
    /// The channel that the run's message came by.
    pub channel: &'a str,
    /// Who asked for the run, if that was a person in a chat.
    pub speaker: Option<&'a Speaker>,
    /// Where the run's replies go, if it came from a chat.
    pub route: Option<&'a Route>,
    /// Variables that the configuration gives to skills, for the commands of this run.
    pub skill_variables: &'a [(String, String)],
    /// The model that calls.
    pub model: &'a Model,
    /// Working directory.
    pub workspace: &'a Path,
    /// Where files are.
    pub paths: &'a Paths,
    /// Session indexes and transcripts.
    pub sessions: &'a Sessions,
    /// What tools of all runs share.
    pub toolbox: &'a Arc<Toolbox>,
    /// The gateway.
    pub host: &'a Arc<dyn Host>,
    /// Stops the call.
    pub cancel: &'a CancelToken,
    /// The clock.
    pub clock: &'a Arc<dyn Clock>,
    /// Randomness.
    pub rng: &'a Arc<dyn Rng>,
    /// Takes what a long call has produced so far, as `{content, details}`.
    pub on_update: &'a dyn Fn(Value),
}

impl ToolContext<'_> {
    fn subject(&self) -> Subject<'_> {
        Subject {
            config: self.config,
            agent: self.agent,
            session: self.session,
            model: (&self.model.provider, &self.model.id),
        }
    }

    fn resolve(&self, given: &str) -> PathBuf {
        read::resolve(given, self.workspace, &self.paths.home)
    }

    fn call(&self, method: &str, params: Value) -> Result<Value, String> {
        self.host.call(method, params, HOST_CALL_TIMEOUT, self.cancel)
    }

    /// Calls a method with the limit that the model may give as `timeoutMs`.
    fn call_for(&self, args: &Arguments<'_>, method: &str, params: Value) -> Result<Value, String> {
        if args.text("gatewayUrl").is_some() {
            return Err("gatewayUrl is not supported: this version calls its own gateway only".to_owned());
        }
        let within = args.number("timeoutMs").map(|ms| Duration::from_millis(ms.clamp(1.0, 3_600_000.0) as u64));
        self.host.call(method, params, within.unwrap_or(HOST_CALL_TIMEOUT), self.cancel)
    }

    /// Returns a value of `tools` in the configuration.
    fn setting(&self, pointer: &str) -> Option<&Value> {
        self.config.tree.pointer(&format!("/tools/{pointer}"))
    }

    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok().and_then(trimmed)
    }
}

/// What a call gave.
#[derive(Debug)]
pub struct ToolResult {
    /// For the model.
    pub content: Vec<Block>,
    /// For programs.
    pub details: Option<Value>,
    /// Set only for calls that could not be made at all.
    pub is_error: bool,
}

impl ToolResult {
    fn text(text: impl Into<String>, details: Option<Value>) -> Self {
        Self { content: vec![Block::text(text)], details, is_error: false }
    }

    /// A document for both.
    fn json(details: Value) -> Self {
        Self::text(format!("{details:#}"), Some(details))
    }

    /// compat: a tool that fails answers with this document, and the call itself counts as made.
    fn failed(tool: &str, error: &str) -> Self {
        Self::json(json!({"status": "error", "tool": tool, "error": error}))
    }

    /// compat: what a model hears of a tool that the client carries out.
    pub(super) fn delegated(tool: &str) -> Self {
        Self::json(json!({"status": "pending", "tool": tool, "message": "Tool execution delegated to client"}))
    }

    fn refused(text: impl Into<String>) -> Self {
        Self { content: vec![Block::text(text)], details: None, is_error: true }
    }
}

type Run = fn(&ToolContext<'_>, &Arguments<'_>) -> Result<ToolResult, String>;

struct Tool {
    name: &'static str,
    description: &'static str,
    /// Name, kind (see [`arguments`]; `*` at the end means required), description.
    parameters: &'static [(&'static str, &'static str, &'static str)],
    /// Whether it touches this machine and so belongs into a sandbox where one is asked for.
    is_local: bool,
    /// Whether the configuration has a use for it.
    is_wanted: fn(&Subject<'_>) -> bool,
    run: Run,
}

/// In the order in which they are offered.
const TOOLS: &[&Tool] = &[
    &read::TOOL,
    &edit::TOOL,
    &write::TOOL,
    &apply_patch::TOOL,
    &exec::TOOL,
    &process::TOOL,
    &browser::TOOL,
    &canvas::TOOL,
    &nodes::TOOL,
    &cron::TOOL,
    &message::TOOL,
    &tts::TOOL,
    &gateway::TOOL,
    &agents_list::TOOL,
    &sessions_list::TOOL,
    &sessions_history::TOOL,
    &sessions_send::TOOL,
    &sessions_spawn::TOOL,
    &session_status::TOOL,
    &web_search::TOOL,
    &web_fetch::TOOL,
    &image::TOOL,
    #[cfg(feature = "memory")]
    &memory::SEARCH,
    #[cfg(feature = "memory")]
    &memory::GET,
];

fn always(_: &Subject<'_>) -> bool {
    true
}

fn policy_of(subject: &Subject<'_>) -> Policy {
    let known: Vec<&str> = TOOLS.iter().map(|tool| tool.name).collect();
    Policy::of(subject, &known)
}

/// Returns the tools that a session's models are offered.
pub fn offered(config: &Config, agent: &AgentId, session: &SessionKey, model: &Model) -> Vec<ToolSpec> {
    let subject = Subject { config, agent, session, model: (&model.provider, &model.id) };
    let policy = policy_of(&subject);
    for ignored in &policy.ignored {
        log::warn!(target: "agent", "an allowlist names no tool of this version and is ignored: {ignored}");
    }
    let is_offered = |tool: &&&Tool| (tool.is_wanted)(&subject) && policy.refusal(tool.name).is_none();
    TOOLS.iter().filter(is_offered).map(|tool| tool.spec()).collect()
}

/// Returns a short summary of a call's arguments.
pub fn summary(name: &str, args: &Value) -> Option<String> {
    TOOLS.iter().find(|tool| tool.name == name)?;
    arguments::summary(args)
}

/// Carries a call out.
pub fn call(cx: &ToolContext<'_>, name: &str, args: &Value) -> ToolResult {
    let Some(tool) = TOOLS.iter().find(|tool| tool.name == name) else {
        return ToolResult::refused(format!("Tool {name} not found"));
    };
    let subject = cx.subject();
    if let Some(source) = policy_of(&subject).refusal(name) {
        return ToolResult::refused(format!("Tool {name} not found: it is not allowed here ({source})"));
    }
    let problems = arguments::problems(tool.parameters, args);
    if !problems.is_empty() {
        let list: String = problems.iter().map(|problem| format!("  - {problem}\n")).collect();
        return ToolResult::refused(format!(
            "Validation failed for tool \"{name}\":\n{list}\nReceived arguments:\n{args:#}"
        ));
    }
    if tool.is_local && sandbox::is_asked_for(cx.config, cx.agent, cx.session) {
        return ToolResult::failed(name, &sandbox::refusal(name, cx.config, cx.agent));
    }
    let none = serde_json::Map::new();
    let args = Arguments::new(args.as_object().unwrap_or(&none));
    (tool.run)(cx, &args).unwrap_or_else(|error| ToolResult::failed(name, &error))
}

/// Tools that a call outside a run cannot have: they work on this machine, or on what a run has before it.
const NOT_ALONE: [&str; 7] = ["exec", "process", "read", "write", "edit", "apply_patch", "image"];

/// Carries a call out that no model has made; `None` when there is no such tool for it. Arguments are the tool's to judge.
pub fn call_alone(
    cx: &ToolContext<'_>,
    name: &str,
    action: Option<&str>,
    mut args: serde_json::Map<String, Value>,
) -> Option<Result<ToolResult, String>> {
    // Rules for models do not concern it.
    let subject = Subject { model: ("", ""), ..cx.subject() };
    let tool = TOOLS.iter().find(|tool| tool.name == name && !NOT_ALONE.contains(&name))?;
    if !(tool.is_wanted)(&subject) || policy_of(&subject).refusal(name).is_some() {
        return None;
    }
    let has_action = tool.parameters.iter().any(|(parameter, ..)| *parameter == "action");
    if let Some(action) = action.filter(|_| has_action && !args.contains_key("action")) {
        args.insert("action".to_owned(), action.into());
    }
    Some((tool.run)(cx, &Arguments::new(&args)))
}

impl Tool {
    fn spec(&self) -> ToolSpec {
        let parameters = arguments::schema(self.parameters);
        ToolSpec { name: self.name.into(), description: self.description.into(), parameters }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(tree: Value) -> String {
        let mut config: Config = serde_json::from_value(tree.clone()).expect("configuration");
        config.tree = tree;
        let model = crate::agent::models::offline();
        let offered = offered(&config, &AgentId::new("main"), &SessionKey::new("agent:main:main"), &model);
        offered.iter().map(|spec| &*spec.name).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn tools_are_offered_in_order() {
        assert_eq!(
            names(json!({})),
            "read edit write exec process canvas nodes cron message tts gateway agents_list sessions_list \
             sessions_history sessions_send sessions_spawn session_status web_search web_fetch memory_search memory_get"
        );
        assert_eq!(names(json!({"tools": {"profile": "minimal"}})), "session_status");
        assert!(names(json!({"browser": {"enabled": true}})).contains(" browser "));
        assert!(!names(json!({"tools": {"web": {"search": {"enabled": false}}}})).contains("web_search"));
    }

    #[test]
    fn rows_are_well_formed() {
        for tool in TOOLS {
            let schema = arguments::schema(tool.parameters);
            assert_eq!(schema["type"], "object", "{}", tool.name);
            assert!(!tool.description.is_empty() && tool.description.len() < 700, "{}", tool.name);
            for (name, kind, _) in tool.parameters {
                assert!(arguments::is_kind(kind), "{}.{name}: {kind}", tool.name);
            }
        }
    }
}
