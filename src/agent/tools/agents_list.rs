//! `agents_list`: whom this agent may have work for it.

use serde_json::{Value, json};

use super::arguments::Arguments;
use super::{Tool, ToolContext, ToolResult, always};
use crate::agent::session;
use crate::base::ids::AgentId;
use crate::config::types::Config;

pub(super) const TOOL: Tool = Tool {
    name: "agents_list",
    description: "List the agents that sessions_spawn may start.",
    parameters: &[],
    is_local: false,
    is_wanted: always,
    run,
};

fn run(cx: &ToolContext<'_>, _args: &Arguments<'_>) -> Result<ToolResult, String> {
    let allowed = allowed(cx.config, cx.agent);
    let known = session::agent_ids(cx.config);
    let mut ids = vec![cx.agent.clone()];
    let more = match &allowed {
        Allowed::Any => known.clone(),
        Allowed::These(ids) => ids.clone(),
    };
    for id in more {
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    // The requester first, the others by name.
    ids[1..].sort();
    let agents: Vec<Value> = ids
        .iter()
        .map(|id| {
            let mut row = json!({"id": id.as_str()});
            if let Some(name) = session::agent_entry(cx.config, id).and_then(|entry| entry.name.as_deref()) {
                row["name"] = name.into();
            }
            row["configured"] = known.contains(id).into();
            row
        })
        .collect();
    Ok(ToolResult::json(json!({
        "requester": cx.agent.as_str(), "allowAny": matches!(allowed, Allowed::Any), "agents": agents,
    })))
}

/// Whom an agent may start.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Allowed {
    /// Everybody.
    Any,
    /// These, and itself.
    These(Vec<AgentId>),
}

impl Allowed {
    /// Returns whether this one may be started.
    pub fn covers(&self, agent: &AgentId) -> bool {
        match self {
            Self::Any => true,
            Self::These(ids) => ids.contains(agent),
        }
    }
}

/// Reads `agents.list[].subagents.allowAgents`.
pub(super) fn allowed(config: &Config, agent: &AgentId) -> Allowed {
    let names = setting(config, agent, "allowAgents").and_then(Value::as_array);
    let names: Vec<&str> = names.into_iter().flatten().filter_map(Value::as_str).map(str::trim).collect();
    if names.contains(&"*") {
        return Allowed::Any;
    }
    Allowed::These(names.into_iter().filter(|name| !name.is_empty()).map(session::normalize_agent_id).collect())
}

/// Returns a value of an agent's own `subagents`.
pub(super) fn setting<'a>(config: &'a Config, agent: &AgentId, name: &str) -> Option<&'a Value> {
    session::agent_tree(config, agent)?["subagents"].get(name)
}
