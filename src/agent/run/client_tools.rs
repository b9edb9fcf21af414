//! Tools that the client carries out: offered to the model beside the agent's own; a call of one ends the run, and the
//! client gets it. What comes of it is told in a later run.
//!
//! Not here: how a client names its tools and hears of calls (`gateway::http`).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::agent::providers::ToolSpec;

/// What a client brings along beside its message.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ClientSide {
    /// Tools it carries out.
    pub tools: Vec<ClientTool>,
    /// Longest answer of a turn, in tokens.
    pub tokens_max: Option<u64>,
}

/// A tool of the client's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClientTool {
    /// Name; one of the agent's own is hidden by it.
    pub name: String,
    /// What it does, for the model.
    #[serde(default)]
    pub description: String,
    /// JSON Schema of its arguments.
    pub parameters: Value,
}

/// A call that waits for the client.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientCall {
    /// The model's id of it.
    pub id: String,
    /// Which tool.
    pub name: String,
    /// Its arguments.
    pub arguments: Value,
}

impl ClientSide {
    /// Returns whether the client carries this tool out.
    pub fn has(&self, name: &str) -> bool {
        self.tools.iter().any(|tool| tool.name == name)
    }

    /// Adds its tools to the agent's own.
    pub(super) fn offer(&self, tools: &mut Vec<ToolSpec>) {
        tools.retain(|tool| !self.has(&tool.name));
        tools.extend(self.tools.iter().map(|tool| ToolSpec {
            name: tool.name.clone().into(),
            description: tool.description.clone().into(),
            parameters: tool.parameters.clone(),
        }));
    }
}
