//! `agents set-identity`: name, theme, emoji and avatar of an agent, given or read from its `IDENTITY.md`.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::super::exit::{Failure, Outcome};
use super::super::{Cli, Command, config, output};
use super::entry_mut;
use crate::agent::{session, workspace};
use crate::base::ids::AgentId;
use crate::base::text::unless_blank;
use crate::config::types::Identity;

/// set how an agent shows itself
#[derive(argh::FromArgs, argh::ArgsInfo)]
pub(in crate::cli) struct SetIdentity {
    /// id of the agent (default: the one that works in the workspace)
    #[argh(option, arg_name = "id")]
    agent: Option<String>,
    /// workspace of the agent (default: the current directory)
    #[argh(option, arg_name = "dir")]
    workspace: Option<String>,
    /// IDENTITY.md to read
    #[argh(option, arg_name = "path")]
    identity_file: Option<String>,
    /// read the workspace's IDENTITY.md
    #[argh(switch)]
    from_identity: bool,
    /// name
    #[argh(option, arg_name = "name")]
    name: Option<String>,
    /// theme
    #[argh(option, arg_name = "theme")]
    theme: Option<String>,
    /// emoji
    #[argh(option, arg_name = "emoji")]
    emoji: Option<String>,
    /// path below the workspace, http(s) URL or data URI of a picture
    #[argh(option, arg_name = "value")]
    avatar: Option<String>,
    /// print JSON
    #[argh(switch)]
    json: bool,
}

impl Command for SetIdentity {
    fn run(self, cli: &Cli) -> Outcome {
        let given = self.given();
        let wants_file = self.from_identity || trimmed(&self.identity_file).is_some() || is_empty(&given);
        let file = trimmed(&self.identity_file).map(|path| cli.paths.expand(&path));
        let dir = self.directory(cli, file.as_deref(), wants_file);
        let agent = self.find_agent(cli, dir.as_deref())?;
        let of_file = match (wants_file, file.clone().or_else(|| Some(dir.as_ref()?.join("IDENTITY.md")))) {
            (true, Some(path)) => {
                let found = workspace::file_identity(&path);
                if is_empty(&found) {
                    let shown = cli.paths.shorten(&path);
                    return Err(Failure::text(format!("No identity data found in {shown}.")));
                }
                found
            }
            _ => Identity::default(),
        };
        let fields = [
            ("name", given.name.or(of_file.name)),
            ("emoji", given.emoji.or(of_file.emoji)),
            ("theme", given.theme.or(of_file.theme)),
            ("avatar", given.avatar.or(of_file.avatar)),
        ];
        let identity = self.store(cli, &agent, fields)?;
        if self.json {
            output::json(&json!({
                "agentId": agent.as_str(), "identity": identity, "workspace": dir, "identityFile": file,
            }));
            return Ok(());
        }
        output::line(&cli.updated());
        output::line(&format!("Agent: {agent}"));
        for (title, key) in [("Name", "name"), ("Theme", "theme"), ("Emoji", "emoji"), ("Avatar", "avatar")] {
            if let Some(value) = identity.get(key).and_then(Value::as_str) {
                output::line(&format!("{title}: {value}"));
            }
        }
        if let Some(dir) = dir {
            output::line(&format!("Workspace: {}", cli.paths.shorten(&dir)));
        }
        Ok(())
    }
}

impl SetIdentity {
    fn given(&self) -> Identity {
        Identity {
            name: trimmed(&self.name),
            theme: trimmed(&self.theme),
            emoji: trimmed(&self.emoji),
            avatar: trimmed(&self.avatar),
        }
    }

    /// Returns the workspace that is meant; `None` when an agent and its values are named and none is needed.
    fn directory(&self, cli: &Cli, file: Option<&Path>, wants_file: bool) -> Option<PathBuf> {
        match (file, trimmed(&self.workspace)) {
            (Some(file), _) => file.parent().map(Path::to_owned),
            (None, Some(dir)) => Some(cli.paths.expand(&dir)),
            (None, None) if wants_file || trimmed(&self.agent).is_none() => std::env::current_dir().ok(),
            (None, None) => None,
        }
    }

    fn find_agent(&self, cli: &Cli, dir: Option<&Path>) -> Result<AgentId, Failure> {
        if let Some(id) = trimmed(&self.agent) {
            return Ok(session::normalize_agent_id(&id));
        }
        let Some(dir) = dir else {
            return Err(Failure::text("Select an agent with --agent or provide a workspace via --workspace."));
        };
        let mut agents = session::agent_ids(cli.config());
        agents.retain(|agent| workspace::dir(cli.config(), &cli.paths, agent) == dir);
        let shown = cli.paths.shorten(dir);
        match agents.as_slice() {
            [agent] => Ok(agent.clone()),
            [] => Err(Failure::text(format!(
                "No agent workspace matches {shown}. Pass --agent to target a specific agent."
            ))),
            several => {
                let names: Vec<&str> = several.iter().map(AgentId::as_str).collect();
                let names = names.join(", ");
                Err(Failure::text(format!("Multiple agents match {shown}: {names}. Pass --agent to choose one.")))
            }
        }
    }

    /// Lays the fields that are known over the agent's identity in the file; returns what stands there then.
    fn store(
        &self,
        cli: &Cli,
        agent: &AgentId,
        fields: [(&str, Option<String>); 4],
    ) -> Result<Map<String, Value>, Failure> {
        if fields.iter().all(|(_, value)| value.is_none()) {
            return Err(Failure::text(
                "No identity fields provided. Use --name/--emoji/--theme/--avatar or --from-identity.",
            ));
        }
        let default = session::default_agent(cli.config());
        let mut stored = Map::new();
        config::edit(&cli.paths, |file| {
            let entry = entry_mut(file, agent, &default)?;
            let mut identity = match entry.remove("identity") {
                Some(Value::Object(identity)) => identity,
                _ => Map::new(),
            };
            let known = fields.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.into())));
            identity.extend(known);
            stored.clone_from(&identity);
            entry.insert("identity".to_owned(), Value::Object(identity));
            Ok(())
        })?;
        Ok(stored)
    }
}

fn trimmed(text: &Option<String>) -> Option<String> {
    text.as_deref().and_then(unless_blank).map(str::to_owned)
}

fn is_empty(identity: &Identity) -> bool {
    [&identity.name, &identity.theme, &identity.emoji, &identity.avatar].iter().all(|field| field.is_none())
}
