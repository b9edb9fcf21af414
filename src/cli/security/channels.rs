//! Who may write to the assistant: policies of direct messages and of groups.

use serde_json::Value;

use super::{Finding, Severity};
use crate::channels;
use crate::channels::channel::Channel;
use crate::channels::pairing::Store;
use crate::cli::environment;
use crate::config::paths::Paths;
use crate::config::types::Config;

pub(super) fn findings(paths: &Paths, config: &Config) -> Vec<Finding> {
    let mut found = Vec::new();
    for channel in channels::all() {
        let (id, label) = (channel.info().id, channel.info().label);
        let section = config.channel(id);
        if !section.is_object() || section["enabled"] == false {
            continue;
        }
        let stored = Store::new(paths, &environment::var, id).allowed();
        direct(id, label, section, &stored, config, &mut found);
        groups(channel, section, &stored, config, &mut found);
    }
    found
}

fn direct(id: &str, label: &str, section: &Value, stored: &[String], config: &Config, found: &mut Vec<Finding>) {
    let configured = texts(&section["allowFrom"]);
    let is_wild = configured.iter().any(|it| it == "*");
    let policy = section["dmPolicy"].as_str().unwrap_or("pairing");
    if policy == "open" {
        let detail = format!("channels.{id}.dmPolicy is open: everybody may write to the assistant.");
        let title = format!("{label}: direct messages are open");
        let finding = Finding::new(format!("channels.{id}.dm.open"), Severity::Critical, &title, detail);
        found.push(finding.fix("Use pairing or allowlist."));
        if !is_wild {
            let detail = format!("open needs \"*\" in channels.{id}.allowFrom.");
            let title = format!("{label}: open, and yet not");
            found.push(Finding::new(format!("channels.{id}.dm.open_invalid"), Severity::Warn, &title, detail));
        }
    }
    if policy == "disabled" {
        let detail = format!("channels.{id}.dmPolicy is disabled: direct messages are not read.");
        let title = format!("{label}: direct messages are off");
        found.push(Finding::new(format!("channels.{id}.dm.disabled"), Severity::Info, &title, detail));
        return;
    }
    let mut people: Vec<&String> = configured.iter().filter(|it| *it != "*").chain(stored).collect();
    people.sort();
    people.dedup();
    let scope = config.session.dm_scope.as_deref().unwrap_or("main");
    if scope == "main" && (is_wild || people.len() > 1) {
        let detail = "Several people write into the main session, so each may learn what another said.";
        let title = format!("{label}: people share one session");
        let finding = Finding::new(format!("channels.{id}.dm.scope_main_multiuser"), Severity::Warn, &title, detail);
        found.push(finding.fix("Set session.dmScope to per-channel-peer."));
    }
}

fn groups(channel: &dyn Channel, section: &Value, stored: &[String], config: &Config, found: &mut Vec<Finding>) {
    let (id, label) = (channel.info().id, channel.info().label);
    let default = config.channel("defaults")["groupPolicy"].as_str();
    let policy = section["groupPolicy"].as_str().or(default).unwrap_or("allowlist");
    let groups = section["groups"].as_object();
    let is_reachable = policy == "open" || policy == "allowlist" && groups.is_some_and(|groups| !groups.is_empty());
    if policy == "open" {
        let detail = format!("channels.{id}.groupPolicy is open: everybody in a group may ask the assistant.");
        let title = format!("{label}: groups are open");
        let finding =
            Finding::new(format!("channels.{id}.warning.group_policy_open"), Severity::Critical, &title, detail);
        found.push(finding.fix(format!("Set channels.{id}.groupPolicy to allowlist and groupAllowFrom to people.")));
    }
    let has_commands = channel.capabilities().has_native_commands && config.commands.text != Some(false);
    if !has_commands || !is_reachable {
        return;
    }
    let allowed = texts(&section["groupAllowFrom"]);
    let has_own_list = |group: &Value| {
        let topics = group["topics"].as_object().into_iter().flat_map(|topics| topics.values());
        std::iter::once(group).chain(topics).any(|it| !texts(&it["allowFrom"]).is_empty())
    };
    let any_own_list = groups.is_some_and(|groups| groups.values().any(has_own_list));
    if allowed.iter().chain(stored).any(|it| it == "*") {
        let detail = "\"*\" lets every member of a group give commands.";
        let title = format!("{label}: everybody in a group may give commands");
        let finding =
            Finding::new(format!("channels.{id}.groups.allowFrom.wildcard"), Severity::Critical, &title, detail);
        found.push(finding.fix(format!("Name people in channels.{id}.groupAllowFrom instead.")));
    } else if allowed.is_empty() && stored.is_empty() && !any_own_list {
        let detail = "Groups are let in, and no list says whose commands count there.";
        let title = format!("{label}: nobody is named for commands in groups");
        let finding =
            Finding::new(format!("channels.{id}.groups.allowFrom.missing"), Severity::Critical, &title, detail);
        found.push(finding.fix(format!("Pair yourself, or set channels.{id}.groupAllowFrom.")));
    }
}

/// Returns the entries of a list of ids, which may be written as numbers.
fn texts(list: &Value) -> Vec<String> {
    let text = |it: &Value| match it {
        Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    list.as_array().into_iter().flatten().filter_map(text).collect()
}
