//! `agents`: which agents there are, and making, naming and removing them; no gateway needed (cli.md §22).
//!
//! Here: `agents list` and what the others share.

mod add;
mod delete;
mod identity;

use serde_json::{Map, Value};

pub(super) use self::add::Add;
pub(super) use self::delete::Delete;
pub(super) use self::identity::SetIdentity;
use super::exit::Outcome;
use super::{Cli, Command, output};
use crate::agent::{auth_profiles, session, workspace};
use crate::base::ids::AgentId;
use crate::base::text::unless_blank;
use crate::channels;
use crate::config::tree;
use crate::config::types::ModelRef;

/// Account that is meant when a binding names none.
const ACCOUNT_DEFAULT: &str = "default";
/// list the agents
#[derive(argh::FromArgs, argh::ArgsInfo)]
pub(super) struct List {
    /// print JSON
    #[argh(switch)]
    json: bool,
    /// show each routing rule
    #[argh(switch)]
    bindings: bool,
}

impl Command for List {
    fn run(self, cli: &Cli) -> Outcome {
        let agents = session::agent_ids(cli.config());
        let rows: Vec<Value> = agents.iter().map(|agent| row(cli, agent, self.bindings)).collect();
        if self.json {
            output::json(&Value::Array(rows));
            return Ok(());
        }
        output::line("Agents:");
        rows.iter().for_each(|row| output::line(&human(cli, row)));
        output::line("Routing rules map channel/account/peer to an agent. Use --bindings for full rules.");
        let probe = cli.paths.hint("channels status --probe");
        output::line(&format!("Channel status reflects local config/creds. For live health: {probe}."));
        Ok(())
    }
}

fn row(cli: &Cli, agent: &AgentId, with_details: bool) -> Value {
    let config = cli.config();
    let entry = session::agent_entry(config, agent);
    let own: Vec<&Value> = bindings(&cli.snapshot().config).filter(|binding| agent_of(binding) == *agent).collect();
    let dir = workspace::dir(config, &cli.paths, agent);
    let of_file = workspace::file_identity(&dir.join("IDENTITY.md"));
    let of_config = entry.and_then(|entry| entry.identity.clone()).unwrap_or_default();
    let trimmed = |text: Option<&str>| text.and_then(unless_blank).map(str::to_owned);
    let name = of_file.name.clone().or_else(|| trimmed(of_config.name.as_deref()));
    let emoji = of_file.emoji.clone().or_else(|| trimmed(of_config.emoji.as_deref()));
    let has_file = [&of_file.name, &of_file.emoji, &of_file.theme, &of_file.avatar].iter().any(|field| field.is_some());
    let source = match () {
        () if has_file => Some("identity"),
        () if name.is_some() || emoji.is_some() => Some("config"),
        () => None,
    };
    let is_default = session::default_agent(config) == *agent;
    let model = entry.and_then(|entry| entry.model.as_ref()).and_then(ModelRef::primary);
    let model = model.or_else(|| config.agents.defaults.model.as_ref().and_then(ModelRef::primary));
    let mut routes: Vec<String> = Vec::new();
    for route in own.iter().filter_map(|binding| route(binding)) {
        if !routes.contains(&route) {
            routes.push(route);
        }
    }
    if routes.is_empty() && is_default {
        routes.push("default (no explicit rules)".to_owned());
    }
    let mut row = Map::new();
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            row.insert(key.to_owned(), value);
        }
    };
    put("id", Some(agent.as_str().into()));
    put("name", trimmed(entry.and_then(|entry| entry.name.as_deref())).map(Value::from));
    put("identityName", name.map(Value::from));
    put("identityEmoji", emoji.map(Value::from));
    put("identitySource", source.map(Value::from));
    put("workspace", Some(dir.display().to_string().into()));
    put("agentDir", Some(auth_profiles::agent_dir(config, &cli.paths, agent).display().to_string().into()));
    put("model", trimmed(model).map(Value::from));
    put("bindings", Some(own.len().into()));
    put("isDefault", Some(is_default.into()));
    let details = own.iter().map(|binding| describe(&binding["match"]).into()).collect();
    put("bindingDetails", Some(Value::Array(details)).filter(|_| with_details && !own.is_empty()));
    put("routes", Some(routes.into()).filter(|routes: &Value| routes != &Value::Array(Vec::new())));
    Value::Object(row)
}

fn human(cli: &Cli, row: &Value) -> String {
    let text = |key: &str| row[key].as_str();
    let id = text("id").unwrap_or_default();
    let default = if row["isDefault"] == true { " (default)" } else { "" };
    let name = text("name").filter(|name| *name != id).map(|name| format!(" ({name})")).unwrap_or_default();
    let mut lines = vec![format!("- {id}{default}{name}")];
    let identity: Vec<&str> = [text("identityEmoji"), text("identityName")].into_iter().flatten().collect();
    if !identity.is_empty() {
        let source = if text("identitySource") == Some("identity") { "IDENTITY.md" } else { "config" };
        lines.push(format!("  Identity: {} ({source})", identity.join(" ")));
    }
    let path = |key: &str| cli.paths.shorten(std::path::Path::new(text(key).unwrap_or_default()));
    lines.push(format!("  Workspace: {}", path("workspace")));
    lines.push(format!("  Agent dir: {}", path("agentDir")));
    lines.extend(text("model").map(|model| format!("  Model: {model}")));
    lines.push(format!("  Routing rules: {}", row["bindings"]));
    let list = |key: &str| row[key].as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>();
    if !list("routes").is_empty() {
        lines.push(format!("  Routing: {}", list("routes").join(", ")));
    }
    if !list("bindingDetails").is_empty() {
        lines.push("  Routing rules:".to_owned());
        lines.extend(list("bindingDetails").iter().map(|rule| format!("    - {rule}")));
    }
    lines.join("\n")
}

fn bindings(config: &Value) -> impl Iterator<Item = &Value> {
    config.get("bindings").and_then(Value::as_array).into_iter().flatten()
}

/// Returns the agent that a binding leads to.
fn agent_of(binding: &Value) -> AgentId {
    session::normalize_agent_id(binding["agentId"].as_str().unwrap_or_default())
}

fn route(binding: &Value) -> Option<String> {
    let channel = channels::normalize(binding["match"]["channel"].as_str()?)?;
    let account = binding["match"]["accountId"].as_str().unwrap_or(ACCOUNT_DEFAULT);
    let label = channels::label(channel).unwrap_or(channel);
    Some(format!("{label} {account}"))
}

/// Describes what a binding applies to, on one line.
fn describe(matches: &Value) -> String {
    let text = |key: &str| matches[key].as_str().filter(|text| !text.is_empty());
    let mut parts = vec![text("channel").unwrap_or_default().to_owned()];
    parts.extend(text("accountId").map(|account| format!("accountId={account}")));
    if let (Some(kind), Some(id)) = (matches["peer"]["kind"].as_str(), matches["peer"]["id"].as_str()) {
        parts.push(format!("peer={kind}:{id}"));
    }
    parts.extend(text("guildId").map(|guild| format!("guild={guild}")));
    parts.extend(text("teamId").map(|team| format!("team={team}")));
    parts.join(" ")
}

/// Returns the entries of `agents.list` for a change, made when missing.
fn list_mut(config: &mut Value) -> Result<&mut Vec<Value>, String> {
    let agents = tree::object_mut(config, &["agents"]);
    match agents.entry("list").or_insert_with(|| Value::Array(Vec::new())) {
        Value::Array(list) => Ok(list),
        _ => Err("Error: agents.list is not a list in the configuration file; edit it there".to_owned()),
    }
}

/// Returns the entry of an agent for a change, made at the end of the list when missing.
fn entry_mut<'a>(
    config: &'a mut Value,
    agent: &AgentId,
    default: &AgentId,
) -> Result<&'a mut Map<String, Value>, String> {
    let list = list_mut(config)?;
    let is_own = |entry: &Value| entry["id"].as_str().is_some_and(|id| session::normalize_agent_id(id) == *agent);
    if !list.iter().any(is_own) {
        // A list that begins with another agent would make that one the default.
        if list.is_empty() && agent != default {
            list.push(serde_json::json!({"id": default.as_str()}));
        }
        list.push(serde_json::json!({"id": agent.as_str()}));
    }
    let entry = list.iter_mut().find(|entry| is_own(entry)).and_then(Value::as_object_mut);
    entry.ok_or_else(|| format!("Error: agent \"{agent}\" has no entry in the configuration file"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn bindings_for_people() {
        let binding = json!({"agentId": "Ops", "match": {"channel": "GChat", "accountId": "work", "peer": {"kind": "dm", "id": "+1"},
            "guildId": "g", "teamId": "t"}});
        assert_eq!(describe(&binding["match"]), "GChat accountId=work peer=dm:+1 guild=g team=t");
        assert_eq!((agent_of(&binding).as_str(), route(&binding).as_deref()), ("ops", Some("Google Chat work")));
        assert_eq!(route(&json!({"match": {"channel": "fax"}})), None);
    }

    #[test]
    fn the_default_agent_stays_the_default() {
        let (main, ops) = (AgentId::new("main"), AgentId::new("ops"));
        let mut config = json!({});
        entry_mut(&mut config, &ops, &main).expect("entry").insert("name".to_owned(), "Ops".into());
        assert_eq!(config, json!({"agents": {"list": [{"id": "main"}, {"id": "ops", "name": "Ops"}]}}));
        entry_mut(&mut config, &ops, &main).expect("entry").insert("name".to_owned(), "O".into());
        assert_eq!(config["agents"]["list"][1]["name"], "O");
        let mut config = json!({"agents": {"list": [{"id": " OPS "}]}});
        entry_mut(&mut config, &ops, &ops).expect("entry");
        assert_eq!(config["agents"]["list"].as_array().map(Vec::len), Some(1));
        assert!(list_mut(&mut json!({"agents": {"list": {}}})).is_err());
    }
}
