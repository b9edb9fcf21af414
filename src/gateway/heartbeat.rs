//! What the configuration says about heartbeats, as `health` and `status` show it. Running them is not here.

use std::sync::Arc;

use serde_json::{Value, json};

use super::ctx::Ctx;
use crate::agent::session::normalize_agent_id;
use crate::base::ids::AgentId;
use crate::config::types::{Config, Heartbeat};

/// The prompt when none is configured.
const PROMPT: &str = "Read HEARTBEAT.md if it exists in the workspace and follow it. Do not repeat tasks of earlier \
                      conversations. If nothing needs attention, reply HEARTBEAT_OK.";

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
    model: Option<String>,
    ack_max_chars: u64,
}

impl Settings {
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
    let own = |id: &AgentId| config.agents.list.iter().find(|entry| normalize_agent_id(&entry.id) == *id);
    let has_own = config.agents.list.iter().any(|entry| entry.heartbeat.is_some());
    let entry = own(agent).and_then(|entry| entry.heartbeat.as_ref());
    let is_enabled = if has_own { entry.is_some() } else { *agent == crate::agent::session::default_agent(config) };
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
        model: text(&entry.model, &base.model),
        ack_max_chars: entry.ack_max_chars.or(base.ack_max_chars).unwrap_or(300),
    }
}

/// Parses `<number>(ms|s|m|h|d)`, no unit = minutes, in any case.
fn parse_every(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..split].parse().ok()?;
    let unit_ms = match text[split..].trim() {
        "ms" => 1.0,
        "s" => 1000.0,
        "" | "m" => 60_000.0,
        "h" => 3_600_000.0,
        "d" => 86_400_000.0,
        _ => return None,
    };
    Some((number * unit_ms) as u64)
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

/// Asks for a heartbeat of an agent, soon; wishes that come together are one heartbeat. `done` hears what came of it, on
/// any thread.
pub fn request(
    cx: &Arc<Ctx>,
    agent: &AgentId,
    reason: &str,
    done: impl FnOnce(&Arc<Ctx>, HeartbeatOutcome) + Send + 'static,
) {
    log::debug!(target: "gateway/heartbeat", "heartbeat asked for agent={agent} reason={reason}");
    done(cx, HeartbeatOutcome::Skipped("disabled".to_owned()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals() {
        let parsed = ["30m", "1.5h", "10", "0m", "5S", "250ms", "x"].map(parse_every);
        assert_eq!(parsed, [Some(1_800_000), Some(5_400_000), Some(600_000), Some(0), Some(5000), Some(250), None]);
    }
}
