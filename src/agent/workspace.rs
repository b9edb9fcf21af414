//! An agent's workspace.
use crate::agent::session;
use crate::base::ids::AgentId;
use crate::config::paths::Paths;
use crate::config::types::Config;
use std::path::PathBuf;
/// Returns the workspace directory of an agent.
pub fn dir(config: &Config, paths: &Paths, agent: &AgentId) -> PathBuf {
    let text = |path: &Option<String>| {
        path.as_deref().map(str::trim).filter(|path| !path.is_empty()).map(|path| paths.expand(path))
    };
    if let Some(own) = session::agent_entry(config, agent).and_then(|entry| text(&entry.workspace)) {
        return own;
    }
    if *agent != session::default_agent(config) {
        return paths.home.join(format!("clawd-{agent}"));
    }
    text(&config.agents.defaults.workspace).unwrap_or_else(|| paths.default_workspace())
}
