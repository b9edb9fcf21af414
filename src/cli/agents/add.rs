//! `agents add`: one more agent with a workspace and state of its own.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::super::exit::{Failure, Outcome};
use super::super::{Cli, Command, config, output};
use super::{ACCOUNT_DEFAULT, agent_of, bindings, describe, entry_mut};
use crate::agent::{auth_profiles, session, workspace};
use crate::base::fs::create_dir_private;
use crate::base::ids::AgentId;
use crate::channels;
use crate::config::{load, tree};

/// make one more agent
#[derive(argh::FromArgs, argh::ArgsInfo)]
pub(in crate::cli) struct Add {
    /// name of the agent; its id is made from it
    #[argh(positional)]
    name: Option<String>,
    /// directory of its workspace
    #[argh(option, arg_name = "dir")]
    workspace: Option<String>,
    /// its model (default: that of all agents)
    #[argh(option, arg_name = "id")]
    model: Option<String>,
    /// directory of its credentials (default: below the state directory)
    #[argh(option, arg_name = "dir")]
    agent_dir: Option<String>,
    /// channel, or channel:account, whose messages it gets; may be repeated
    #[argh(option, arg_name = "channel[:account]")]
    bind: Vec<String>,
    /// ask nothing
    #[argh(switch)]
    #[allow(dead_code)] // Nothing is ever asked.
    non_interactive: bool,
    /// print JSON
    #[argh(switch)]
    json: bool,
}

impl Command for Add {
    fn run(self, cli: &Cli) -> Outcome {
        let given =
            |text: &Option<String>| text.as_deref().map(str::trim).filter(|it| !it.is_empty()).map(str::to_owned);
        let Some(workspace) = given(&self.workspace) else {
            // There is no wizard here, so the hint at it is left out.
            return Err(Failure::text("Non-interactive mode requires --workspace."));
        };
        let Some(name) = given(&self.name) else {
            return Err(Failure::text("Agent name is required in non-interactive mode."));
        };
        let agent = session::normalize_agent_id(&name);
        if agent.as_str() == "main" {
            return Err(Failure::text("\"main\" is reserved. Choose another name."));
        }
        if session::agent_entry(cli.config(), &agent).is_some() {
            return Err(Failure::text(format!("Agent \"{agent}\" already exists.")));
        }
        let rules = Rules::of(&self.bind, &agent, &cli.snapshot().config)?;
        if agent.as_str() != name && !self.json {
            output::line(&format!("Normalized agent id to \"{agent}\"."));
        }
        let workspace = cli.paths.expand(&workspace);
        let agent_dir = match given(&self.agent_dir) {
            Some(dir) => cli.paths.expand(&dir),
            None => auth_profiles::agent_dir(cli.config(), &cli.paths, &agent),
        };
        let model = given(&self.model);
        let default = session::default_agent(cli.config());
        config::edit(&cli.paths, |file| {
            let entry = entry_mut(file, &agent, &default)?;
            entry.insert("name".to_owned(), name.as_str().into());
            entry.insert("workspace".to_owned(), workspace.display().to_string().into());
            entry.insert("agentDir".to_owned(), agent_dir.display().to_string().into());
            entry.extend(model.as_deref().map(|model| ("model".to_owned(), model.into())));
            append(file, &rules.added)
        })?;
        let sessions = make_directories(cli, &agent)?;
        let made = Made { agent, name, workspace, agent_dir, model, sessions, rules };
        if self.json {
            output::json(&made.to_json());
        } else {
            made.print(cli);
        }
        Ok(())
    }
}

/// What was made.
struct Made {
    agent: AgentId,
    name: String,
    workspace: PathBuf,
    agent_dir: PathBuf,
    model: Option<String>,
    sessions: PathBuf,
    rules: Rules,
}

impl Made {
    fn to_json(&self) -> Value {
        let mut all = json!({
            "agentId": self.agent.as_str(), "name": self.name, "workspace": self.workspace, "agentDir": self.agent_dir,
        });
        if let Some(model) = &self.model {
            all["model"] = model.as_str().into();
        }
        let added: Vec<String> = self.rules.added.iter().map(|rule| describe(&rule["match"])).collect();
        all["bindings"] = json!({"added": added, "skipped": self.rules.skipped, "conflicts": self.rules.conflicts});
        all
    }

    fn print(&self, cli: &Cli) {
        let path = |path: &Path| cli.paths.shorten(path);
        output::line(&cli.updated());
        output::line(&format!("Workspace OK: {}", path(&self.workspace)));
        output::line(&format!("Sessions OK: {}", path(&self.sessions)));
        output::line(&format!("Agent: {}", self.agent));
        output::line(&format!("Workspace: {}", path(&self.workspace)));
        output::line(&format!("Agent dir: {}", path(&self.agent_dir)));
        if let Some(model) = &self.model {
            output::line(&format!("Model: {model}"));
        }
        if !self.rules.conflicts.is_empty() {
            output::error_line("Skipped bindings already claimed by another agent:");
            self.rules.conflicts.iter().for_each(|rule| output::error_line(&format!("- {rule}")));
        }
    }
}

fn make_directories(cli: &Cli, agent: &AgentId) -> Result<PathBuf, Failure> {
    let config = load::load(&cli.paths).typed;
    workspace::ensure(&config, &cli.paths, agent)
        .map_err(|error| Failure::error(format!("make the workspace: {error}")))?;
    let sessions = cli.paths.sessions_dir(agent.as_str());
    create_dir_private(&sessions).map_err(|error| Failure::error(format!("make {}: {error}", sessions.display())))?;
    Ok(sessions)
}

fn append(config: &mut Value, rules: &[Value]) -> Result<(), String> {
    if rules.is_empty() {
        return Ok(());
    }
    let root = tree::object_mut(config, &[]);
    match root.entry("bindings").or_insert_with(|| json!([])) {
        Value::Array(list) => list.extend(rules.iter().cloned()),
        _ => return Err("Error: bindings is not a list in the configuration file; edit it there".to_owned()),
    }
    Ok(())
}

/// What becomes of the wished routing rules.
#[derive(Debug, Default, PartialEq)]
struct Rules {
    added: Vec<Value>,
    /// The agent has them already.
    skipped: Vec<String>,
    /// Another agent has them.
    conflicts: Vec<String>,
}

impl Rules {
    fn of(specs: &[String], agent: &AgentId, config: &Value) -> Result<Self, Failure> {
        let (parsed, errors): (Vec<_>, Vec<_>) =
            specs.iter().map(|spec| spec.trim()).filter(|spec| !spec.is_empty()).map(parse).partition(Result::is_ok);
        let errors: Vec<String> = errors.into_iter().filter_map(Result::err).collect();
        if !errors.is_empty() {
            return Err(Failure::text(errors.join("\n")));
        }
        let mut rules = Self::default();
        for matches in parsed.into_iter().flatten() {
            let claimed = bindings(config).chain(&rules.added).find(|rule| key(&rule["match"]) == key(&matches));
            match claimed.map(agent_of) {
                None => rules.added.push(json!({"agentId": agent.as_str(), "match": matches})),
                Some(owner) if owner == *agent => rules.skipped.push(describe(&matches)),
                Some(owner) => rules.conflicts.push(format!("{} (agent={owner})", describe(&matches))),
            }
        }
        Ok(rules)
    }
}

fn parse(spec: &str) -> Result<Value, String> {
    let (name, account) = spec.split_once(':').map_or((spec, None), |(name, account)| (name, Some(account.trim())));
    let channel = channels::normalize(name).ok_or_else(|| format!("Unknown channel \"{name}\"."))?;
    let binds_accounts = channels::by_id(channel).is_some_and(|channel| channel.capabilities().binds_accounts);
    match account {
        Some("") => Err(format!("Invalid binding \"{spec}\" (empty account id).")),
        Some(account) => Ok(json!({"channel": channel, "accountId": account})),
        None if binds_accounts => Ok(json!({"channel": channel, "accountId": ACCOUNT_DEFAULT})),
        None => Ok(json!({"channel": channel})),
    }
}

/// Returns what makes two rules the same.
fn key(matches: &Value) -> [String; 6] {
    let text = |value: &Value| value.as_str().unwrap_or_default().trim().to_owned();
    let account = Some(text(&matches["accountId"])).filter(|account| !account.is_empty());
    [
        text(&matches["channel"]),
        account.unwrap_or_else(|| ACCOUNT_DEFAULT.to_owned()),
        text(&matches["peer"]["kind"]),
        text(&matches["peer"]["id"]),
        text(&matches["guildId"]),
        text(&matches["teamId"]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(specs: &[&str], config: Value) -> Result<Rules, Failure> {
        let specs: Vec<String> = specs.iter().map(|spec| (*spec).to_owned()).collect();
        Rules::of(&specs, &AgentId::new("ops"), &config)
    }

    #[test]
    fn rules_are_added_unless_somebody_has_them() {
        let config = json!({"bindings": [
            {"agentId": "main", "match": {"channel": "telegram"}},
            {"agentId": "ops", "match": {"channel": "slack", "accountId": "default"}},
        ]});
        let found =
            rules(&["telegram:default", " slack ", "whatsapp", "telegram:work", "imsg", "imessage", ""], config);
        let found = found.expect("rules");
        assert_eq!(found.conflicts, ["telegram accountId=default (agent=main)"]);
        assert_eq!(found.skipped, ["slack", "imessage"]);
        let added: Vec<String> = found.added.iter().map(|rule| describe(&rule["match"])).collect();
        assert_eq!(added, ["whatsapp accountId=default", "telegram accountId=work", "imessage"]);
    }

    #[test]
    fn odd_rules_are_named() {
        let error = rules(&["fax", "slack:"], json!({})).expect_err("refused");
        assert_eq!(error, Failure::text("Unknown channel \"fax\".\nInvalid binding \"slack:\" (empty account id)."));
    }
}
