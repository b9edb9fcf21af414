//! The menu of commands that people see in Telegram (channels.md §12.11).

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::channels::channel::{Account, Reception};

/// Longest name of a command.
const NAME_CHARS_MAX: usize = 32;
/// Longest description that the API takes, in characters.
const DESCRIPTION_CHARS_MAX: usize = 256;
/// Most commands that the API takes.
const COMMANDS_MAX: usize = 100;

/// Returns the menu of an account; `None` when nothing is to be changed.
pub fn menu(reception: &Reception<'_>) -> Option<Vec<Value>> {
    let wants_native = reception.account.wants_native_commands(&reception.live.get());
    let native = if wants_native { reception.commands } else { &[][..] };
    let list = build(native, reception.account, &mut |issue| {
        log::warn!(target: "gateway/channels/telegram", "[{}] {issue}", reception.account.id);
    });
    (!list.is_empty() || !wants_native).then_some(list)
}

/// Lists native commands, then the account's own; what cannot be one is told and left out.
fn build(native: &[(String, String)], account: &Account, issue: &mut dyn FnMut(String)) -> Vec<Value> {
    let mut names = HashSet::new();
    let mut list = Vec::new();
    let mut add = |name: &str, description: &str| {
        let description: String = description.trim().chars().take(DESCRIPTION_CHARS_MAX).collect();
        list.push(json!({"command": name, "description": description}));
    };
    for (name, description) in native {
        // The API has no hyphens in names.
        let name = name.to_lowercase().replace('-', "_");
        if is_name(&name) && !description.trim().is_empty() && names.insert(name.clone()) {
            add(&name, description);
        }
    }
    let custom = account.settings.get("customCommands").and_then(Value::as_array);
    for (index, entry) in custom.into_iter().flatten().enumerate() {
        let given = entry["command"].as_str().unwrap_or_default().trim();
        let name = given.strip_prefix('/').unwrap_or(given).to_lowercase();
        let description = entry["description"].as_str().unwrap_or_default().trim();
        let place = format!("channels.telegram.customCommands[{index}]");
        if !is_name(&name) {
            issue(format!("{place}: \"{given}\" is no command name (a-z, 0-9, _; at most {NAME_CHARS_MAX})"));
        } else if description.is_empty() {
            issue(format!("{place}: \"/{name}\" needs a description"));
        } else if !names.insert(name.clone()) {
            issue(format!("{place}: \"/{name}\" is there already"));
        } else {
            add(&name, description);
        }
    }
    if list.len() > COMMANDS_MAX {
        issue(format!("only the first {COMMANDS_MAX} of {} commands fit into the menu", list.len()));
        list.truncate(COMMANDS_MAX);
    }
    list
}

fn is_name(name: &str) -> bool {
    (1..=NAME_CHARS_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn menus_hold_native_and_own_commands() {
        let custom = json!([
            {"command": "/Deploy", "description": " Deploys "},
            {"command": "help", "description": "again"},
            {"command": "no-hyphens", "description": "x"},
            {"command": "empty", "description": " "},
        ]);
        let mut settings = serde_json::Map::new();
        settings.insert("customCommands".into(), custom);
        let account = Account { id: "default".into(), settings };
        let native = [("help".to_owned(), "Shows help".to_owned()), ("dock-x".to_owned(), "Docks".to_owned())];
        let mut issues = Vec::new();
        let list = build(&native, &account, &mut |issue| issues.push(issue));
        let names: Vec<&str> = list.iter().filter_map(|it| it["command"].as_str()).collect();
        assert_eq!((names.as_slice(), issues.len()), (&["help", "dock_x", "deploy"][..], 3));
        assert_eq!(list[2]["description"], "Deploys");
    }
}
