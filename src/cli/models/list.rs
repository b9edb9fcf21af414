//! `models list`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::exit::Outcome;
use super::super::{Cli, Command, output};
use super::{Form, Slot, aliases, allowed};
use crate::agent::models::{self, Name};
use crate::agent::{auth_profiles, session};

/// list the models that are configured
#[derive(argh::FromArgs, argh::ArgsInfo)]
pub(in crate::cli) struct List {
    /// list every model that could be chosen
    #[argh(switch)]
    all: bool,
    /// only models of servers on this machine or network
    #[argh(switch)]
    local: bool,
    /// only models of one provider
    #[argh(option, arg_name = "name")]
    provider: Option<String>,
    /// print JSON
    #[argh(switch)]
    json: bool,
    /// print one name per line
    #[argh(switch)]
    plain: bool,
}

impl Command for List {
    fn run(self, cli: &Cli) -> Outcome {
        let form = Form::of(self.json, self.plain)?;
        let provider = self.provider.as_deref().map(models::normalize_provider).filter(|name| !name.is_empty());
        let configured = configured(cli);
        let mut entries = configured.clone();
        if self.all {
            let catalog = models::catalog(cli.config());
            let name = |row: &Value| Name { provider: field(row, "provider"), id: field(row, "id") };
            let tags = |name: &Name| configured.iter().find(|(known, _)| known == name).map(|(_, tags)| tags.clone());
            entries = catalog.iter().map(name).map(|name| (name.clone(), tags(&name).unwrap_or_default())).collect();
            entries.sort_by_key(|(name, _)| (name.provider.clone(), name.id.clone()));
        }
        entries.retain(|(name, _)| provider.as_ref().is_none_or(|wanted| *wanted == name.provider));
        let dirs = auth_profiles::dirs(cli.config(), &cli.paths, &session::default_agent(cli.config()));
        let stored = dirs.iter().flat_map(|dir| auth_profiles::read(dir)).map(|profile| profile.provider).collect();
        let mut rows: Vec<Value> = entries.into_iter().map(|(name, tags)| row(cli, &stored, &name, tags)).collect();
        rows.retain(|row| !self.local || row["local"] == true);
        match form {
            _ if rows.is_empty() => output::line("No models found."),
            Form::Json => output::json(&json!({"count": rows.len(), "models": rows})),
            Form::Plain => rows.iter().for_each(|row| output::line(&field(row, "key"))),
            Form::Human => {
                output::line(&output::bold(&columns(["Model", "Input", "Ctx", "Local", "Auth", "Tags"])));
                rows.iter().for_each(|row| output::line(&human(row)));
            }
        }
        Ok(())
    }
}

/// Returns the models that the configuration names, each with why, in the order of their weight.
fn configured(cli: &Cli) -> Vec<(Name, Vec<String>)> {
    let config = cli.config();
    let tree = &cli.snapshot().config;
    let mut entries: Vec<(Name, Vec<String>)> = Vec::new();
    let mut add = |name: Name, tag: String| match entries.iter_mut().find(|(known, _)| *known == name) {
        Some((_, tags)) => tags.push(tag),
        None => entries.push((name, vec![tag])),
    };
    add(models::default_name(config, &session::default_agent(config)), "default".to_owned());
    for (slot, first, fallback) in [(Slot::Text, None, "fallback#"), (Slot::Image, Some("image"), "img-fallback#")] {
        let (primary, fallbacks) = slot.read(tree);
        let primary = first.zip(primary).map(|(tag, text)| (text, tag.to_owned()));
        let fallbacks = fallbacks.into_iter().zip(1..).map(|(text, number)| (text, format!("{fallback}{number}")));
        for (text, tag) in primary.into_iter().chain(fallbacks) {
            if let Some(name) = models::parse_name(config, &text) {
                add(name, tag);
            }
        }
    }
    for name in allowed(tree).into_iter().flatten().filter_map(|(key, _)| models::parse_name(config, key)) {
        add(name, "configured".to_owned());
    }
    for (name, tags) in &mut entries {
        let aliases =
            aliases(tree).into_iter().filter(|(_, key)| models::parse_name(config, key).as_ref() == Some(name));
        let aliases: Vec<String> = aliases.map(|(alias, _)| alias).collect();
        if !aliases.is_empty() {
            tags.push(format!("alias:{}", aliases.join(",")));
        }
    }
    entries
}

/// Returns the row of a model; `stored` are the providers with credentials in the agent's directory.
fn row(cli: &Cli, stored: &BTreeSet<String>, name: &Name, mut tags: Vec<String>) -> Value {
    let config = cli.config();
    let Some(model) = models::describe(config, name) else {
        tags.push("missing".to_owned());
        return json!({
            "key": name.to_string(), "name": name.to_string(), "input": "-", "contextWindow": null, "local": null,
            "available": null, "tags": tags, "missing": true,
        });
    };
    let keys = models::keys(config, &name.provider);
    let is_stored = || stored.contains(&name.provider);
    let has_key =
        keys.env.is_some() || keys.configured.is_some() || is_stored() || models::needs_no_key(config, &name.provider);
    json!({
        "key": name.to_string(), "name": model.shown, "input": model.input.join("+"),
        "contextWindow": model.context_window, "local": model.is_local, "available": has_key, "tags": tags,
        "missing": false,
    })
}

fn human(row: &Value) -> String {
    let yes_no = |value: &Value| value.as_bool().map_or("-", |flag| if flag { "yes" } else { "no" });
    let context = match row["contextWindow"].as_u64() {
        None | Some(0) => "-".to_owned(),
        Some(tokens @ 1..1024) => tokens.to_string(),
        Some(tokens) => format!("{}k", (tokens + 512) / 1024),
    };
    let tags: Vec<&str> = row["tags"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let key = field(row, "key");
    let key = if key.chars().count() > 42 { format!("{}...", key.chars().take(39).collect::<String>()) } else { key };
    columns([
        &key,
        row["input"].as_str().unwrap_or("-"),
        &context,
        yes_no(&row["local"]),
        yes_no(&row["available"]),
        &tags.join(","),
    ])
}

fn columns([model, input, context, local, auth, tags]: [&str; 6]) -> String {
    format!("{model:<42} {input:<10} {context:<8} {local:<5} {auth:<5} {tags}").trim_end().to_owned()
}

fn field(row: &Value, key: &str) -> String {
    row[key].as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_for_people() {
        let row = json!({"key": "x/".repeat(30), "input": "text", "contextWindow": 200_000, "local": false,
            "available": null, "tags": ["default", "alias:a"]});
        let wanted = format!("{}...  text       195k     no    -     default,alias:a", &"x/".repeat(30)[..39]);
        assert_eq!(human(&row).split_whitespace().collect::<Vec<_>>(), wanted.split_whitespace().collect::<Vec<_>>());
    }
}
