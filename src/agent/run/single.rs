//! One call of a tool outside a run: no model asked for it, and nothing of it is in a transcript.
//!
//! Runs on the caller's thread, a job's. Not here: the tools.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::Agent;
use crate::agent::models;
use crate::agent::speaker::Speaker;
use crate::agent::tools::arguments::Arguments;
use crate::agent::tools::{self, Host, ToolContext, ToolResult};
use crate::agent::workspace;
use crate::base::cancel::CancelToken;
use crate::base::ids::{AgentId, SessionKey};

/// What is called, and as whom.
pub struct SingleCall<'a> {
    /// Whose tool it is.
    pub agent: &'a AgentId,
    /// In which session.
    pub session: &'a SessionKey,
    /// By which channel.
    pub channel: &'a str,
    /// Who asks, if that is a person in a chat.
    pub speaker: Option<&'a Speaker>,
    /// Which tool.
    pub tool: &'a str,
    /// `action`, where the arguments name none and the tool has one.
    pub action: Option<&'a str>,
    /// Its arguments.
    pub args: Map<String, Value>,
}

/// Why there is no result.
#[derive(Debug, PartialEq, Eq)]
pub enum SingleFailure {
    /// There is no such tool, or it may not be used here.
    NotAvailable,
    /// The tool says what is wrong.
    Failed(String),
}

/// Carries a call out; returns `{content, details}`.
///
/// # Errors
/// See [`SingleFailure`].
pub fn call_one(
    agent: &Agent,
    call: SingleCall<'_>,
    host: &Arc<dyn Host>,
    cancel: &CancelToken,
) -> Result<Value, SingleFailure> {
    around(agent, call, host, cancel, &|cx, call| tools::call_alone(cx, call.tool, call.action, call.args))
}

/// Carries a command line out that a person typed; returns `{content, details}`. What a model may use does not concern
/// it; the policy about commands and the rules about elevation do.
///
/// # Errors
/// What the command or its refusal says.
pub fn command_of_person(
    agent: &Agent,
    call: SingleCall<'_>,
    host: &Arc<dyn Host>,
    cancel: &CancelToken,
) -> Result<Value, SingleFailure> {
    around(agent, call, host, cancel, &|cx, call| Some(tools::exec::run_for_person(cx, &Arguments::new(&call.args))))
}

type Carry<'a> = &'a dyn Fn(&ToolContext<'_>, SingleCall<'_>) -> Option<Result<ToolResult, String>>;

fn around(
    agent: &Agent,
    call: SingleCall<'_>,
    host: &Arc<dyn Host>,
    cancel: &CancelToken,
    carry_out: Carry<'_>,
) -> Result<Value, SingleFailure> {
    let config = agent.live.get();
    let entry = agent.sessions.entry(call.session);
    let model = models::resolve(&config, call.agent, entry.as_ref(), None).unwrap_or_else(|_| models::offline());
    let workspace = workspace::ensure(&config, &agent.paths, call.agent)
        .map_err(|error| SingleFailure::Failed(format!("cannot prepare the workspace: {error}")))?;
    let cx = ToolContext {
        config: &config,
        agent: call.agent,
        session: call.session,
        entry: &entry.unwrap_or_default(),
        channel: call.channel,
        speaker: call.speaker,
        route: None,
        // Commands cannot be called like this.
        skill_variables: &[],
        model: &model,
        workspace: &workspace,
        paths: &agent.paths,
        sessions: &agent.sessions,
        toolbox: &agent.toolbox,
        host,
        cancel,
        clock: &agent.clock,
        rng: &agent.rng,
        on_update: &|_| (),
    };
    match carry_out(&cx, call) {
        None => Err(SingleFailure::NotAvailable),
        Some(Err(message)) => Err(SingleFailure::Failed(message)),
        Some(Ok(result)) => {
            let mut shown = json!({"content": result.content});
            if let Some(details) = result.details {
                shown["details"] = details;
            }
            Ok(shown)
        }
    }
}
