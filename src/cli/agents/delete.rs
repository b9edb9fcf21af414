//! `agents delete`: takes an agent out of the configuration and puts its directories into the trash.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;

use serde_json::{Value, json};

use super::super::exit::{Failure, Outcome};
use super::super::{Cli, Command, config, output};
use super::agent_of;
use crate::agent::{auth_profiles, session, workspace};
use crate::base::clock::{Clock as _, SystemClock};
use crate::base::ids::AgentId;
use crate::base::trash::put_away;
use crate::config::{load, tree};

/// remove an agent, its workspace and its state
#[derive(argh::FromArgs, argh::ArgsInfo)]
pub(in crate::cli) struct Delete {
    /// id of the agent
    #[argh(positional)]
    id: String,
    /// do not ask
    #[argh(switch)]
    force: bool,
    /// print JSON
    #[argh(switch)]
    json: bool,
}

impl Command for Delete {
    fn run(self, cli: &Cli) -> Outcome {
        let given = self.id.trim();
        if given.is_empty() {
            return Err(Failure::text("Agent id is required."));
        }
        let agent = session::normalize_agent_id(given);
        if agent.as_str() != given && !self.json {
            output::line(&format!("Normalized agent id to \"{agent}\"."));
        }
        if agent.as_str() == "main" {
            return Err(Failure::text("\"main\" cannot be deleted."));
        }
        if session::agent_entry(cli.config(), &agent).is_none() {
            return Err(Failure::text(format!("Agent \"{agent}\" not found.")));
        }
        if !self.force && !confirm(&agent)? {
            output::line("Cancelled.");
            return Ok(());
        }
        let workspace_dir = workspace::dir(cli.config(), &cli.paths, &agent);
        let agent_dir = auth_profiles::agent_dir(cli.config(), &cli.paths, &agent);
        let sessions = cli.paths.sessions_dir(agent.as_str());
        let mut removed = Removed::default();
        config::edit(&cli.paths, |file| {
            removed = prune(file, &agent)?;
            Ok(())
        })?;
        let say = |text: String| if self.json { output::error_line(&text) } else { output::line(&text) };
        if !self.json {
            output::line(&cli.updated());
        }
        match user_of(cli, &workspace_dir) {
            Some(other) => {
                say(format!("Kept, agent \"{other}\" works there too: {}", cli.paths.shorten(&workspace_dir)));
            }
            None => trash(cli, &workspace_dir, &say),
        }
        trash(cli, &agent_dir, &say);
        trash(cli, &sessions, &say);
        if self.json {
            output::json(&json!({
                "agentId": agent.as_str(), "workspace": workspace_dir, "agentDir": agent_dir, "sessionsDir": sessions,
                "removedBindings": removed.bindings, "removedAllow": removed.allow,
            }));
        } else {
            output::line(&format!("Deleted agent: {agent}"));
        }
        Ok(())
    }
}

fn confirm(agent: &AgentId) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::text("Non-interactive session. Re-run with --force."));
    }
    let fail = |error: io::Error| Failure::error(format!("read the answer: {error}"));
    let mut stdout = io::stdout();
    write!(stdout, "Delete agent \"{agent}\" and prune workspace/state? [y/N] ")
        .and_then(|()| stdout.flush())
        .map_err(fail)?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).map_err(fail)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// Returns an agent that is left and works in this directory.
fn user_of(cli: &Cli, dir: &Path) -> Option<AgentId> {
    let config = load::load(&cli.paths).typed;
    let agents = session::agent_ids(&config);
    agents.into_iter().find(|agent| workspace::dir(&config, &cli.paths, agent) == dir)
}

fn trash(cli: &Cli, path: &Path, say: &dyn Fn(String)) {
    if !path.exists() {
        return;
    }
    let shown = cli.paths.shorten(path);
    match put_away(path, &cli.paths.home, SystemClock.now_ms()) {
        Ok(_) => say(format!("Moved to Trash: {shown}")),
        Err(error) => say(format!("Failed to move to Trash (manual delete): {shown} ({error})")),
    }
}

/// How much was taken out of the configuration.
#[derive(Debug, Default, PartialEq)]
struct Removed {
    bindings: usize,
    allow: usize,
}

/// Takes an agent out of a configuration: its entry, its routing rules, and its place among those who may be called.
fn prune(config: &mut Value, agent: &AgentId) -> Result<Removed, String> {
    let is_agent = |id: &Value| id.as_str().is_some_and(|id| session::normalize_agent_id(id) == *agent);
    if remove(config, &["agents", "list"], |entry| is_agent(&entry["id"])) == 0 {
        return Err(format!("Error: agent \"{agent}\" stands in an included file; remove it there"));
    }
    Ok(Removed {
        bindings: remove(config, &["bindings"], |binding| agent_of(binding) == *agent),
        allow: remove(config, &["tools", "agentToAgent", "allow"], is_agent),
    })
}

/// Removes items of a list, and the list with its last one; returns how many.
fn remove(config: &mut Value, path: &[&str], is_meant: impl Fn(&Value) -> bool) -> usize {
    let Some(Value::Array(list)) = path.iter().try_fold(&mut *config, |value, key| value.get_mut(key)) else {
        return 0;
    };
    let before = list.len();
    list.retain(|item| !is_meant(item));
    let count = before - list.len();
    if count > 0 && count == before {
        tree::unset(config, path);
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_leaves_nothing_behind() {
        let mut config = json!({
            "agents": {"defaults": {"maxConcurrent": 2}, "list": [{"id": "main"}, {"id": "Ops"}]},
            "bindings": [{"agentId": "ops", "match": {"channel": "slack"}}],
            "tools": {"agentToAgent": {"enabled": true, "allow": ["ops", "main"]}},
        });
        assert_eq!(prune(&mut config, &AgentId::new("ops")), Ok(Removed { bindings: 1, allow: 1 }));
        let wanted = json!({
            "agents": {"defaults": {"maxConcurrent": 2}, "list": [{"id": "main"}]},
            "tools": {"agentToAgent": {"enabled": true, "allow": ["main"]}},
        });
        assert_eq!(config, wanted);
        assert!(prune(&mut config, &AgentId::new("ops")).is_err());
        assert_eq!(config, wanted);
    }
}
