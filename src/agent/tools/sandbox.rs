//! Sandboxes: whether the configuration asks for one (agent.md §24).
//!
//! This version has none. A session that is to be sandboxed is refused every tool that would touch this machine, because
//! outside of the sandbox is the one place where it must not run. Pure.

use serde_json::Value;

use crate::agent::session;
use crate::base::ids::{AgentId, SessionKey};
use crate::config::types::Config;

/// Returns whether the configuration wants this session's tools in a sandbox.
pub fn is_asked_for(config: &Config, agent: &AgentId, key: &SessionKey) -> bool {
    match mode(config, agent) {
        "all" => true,
        "non-main" => *key != session::main_key(config, agent),
        _ => false,
    }
}

/// Returns what to tell the model about a tool that needs the sandbox.
pub fn refusal(tool: &str, config: &Config, agent: &AgentId) -> String {
    format!(
        "{tool} was not run: this session must run in a sandbox (agents.defaults.sandbox.mode \"{}\"), and this version \
         has no sandbox. It is never run outside of one. Whoever owns the configuration can set the mode to \"off\".",
        mode(config, agent)
    )
}

fn mode<'a>(config: &'a Config, agent: &AgentId) -> &'a str {
    let own = session::agent_tree(config, agent);
    let mode = |place: &'a Value| place["sandbox"]["mode"].as_str();
    own.and_then(mode).or_else(|| mode(&config.tree["agents"]["defaults"])).unwrap_or("off")
}
