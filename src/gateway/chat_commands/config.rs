//! `/config`: the configuration shown and changed from a chat, where that is allowed.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Ctx, Executed, Turn, call};
use crate::config::json5;
use crate::config::keys::hints::{cover, is_secret};
use crate::config::types::Config;

/// Shows or changes the configuration.
pub(super) fn manage(cx: &Arc<Ctx>, turn: &Turn, args: &str) -> anyhow::Result<Executed> {
    let config = cx.config.get();
    if config.tree["commands"]["config"] != true {
        return Executed::answer("⚠️ /config is disabled. Set commands.config=true to enable.");
    }
    let (action, rest) = args.split_once(char::is_whitespace).unwrap_or((args, ""));
    let rest = rest.trim();
    let text = match action.to_lowercase().as_str() {
        "" | "show" | "get" => show(cx, rest),
        "set" => assignment("config", rest).and_then(|(path, value)| {
            refusal(&config, turn).map_or(Ok(()), Err)?;
            change(cx, path, value.clone())?;
            Ok(format!("⚙️ Config updated: {path}={}", covered(path, value)))
        }),
        "unset" if !rest.is_empty() => refusal(&config, turn)
            .map_or_else(|| change(cx, rest, Value::Null).map(|()| format!("⚙️ Config updated: {rest} removed.")), Err),
        "unset" => Err("Usage: /config unset path".to_owned()),
        _ => Err("Usage: /config show|set|unset".to_owned()),
    };
    Executed::answer(text.unwrap_or_else(|error| format!("⚠️ {error}")))
}

/// Reads `path=value`; a value that is no JSON5 is taken as the text it is.
///
/// # Errors
/// How it is written.
pub(super) fn assignment<'a>(command: &str, rest: &'a str) -> Result<(&'a str, Value), String> {
    match rest.split_once('=').map(|(path, value)| (path.trim(), value.trim())) {
        Some((path, "")) if !path.is_empty() => Err("Missing value.".to_owned()),
        Some((path, value)) if !path.is_empty() => match json5::parse(value) {
            Ok(parsed) => Ok((path, parsed)),
            Err(error) if value.starts_with(['{', '[']) => Err(format!("Invalid JSON: {}", error.message)),
            Err(_) => Ok((path, value.into())),
        },
        _ => Err(format!("Usage: /{command} set path=value")),
    }
}

/// Reads a path of names with dots between them.
///
/// # Errors
/// How it is written.
pub(super) fn path_of(path: &str) -> Result<Vec<&str>, String> {
    let parts: Vec<&str> = path.split('.').map(str::trim).collect();
    if parts.iter().any(|part| part.is_empty() || part.contains(['[', ']'])) {
        return Err("Invalid path: use names with dots between them, as in messages.queue.mode.".to_owned());
    }
    Ok(parts)
}

/// Returns a value as a chat may see it: a secret's is covered.
pub(super) fn covered(path: &str, mut value: Value) -> Value {
    cover(&mut value, is_secret(path.trim()));
    value
}

/// Says why a chat may not change the configuration, if it may not.
pub(super) fn refusal(config: &Config, turn: &Turn) -> Option<String> {
    let route = turn.route.as_ref()?;
    let own = &config.channel_account(&route.channel, &route.account)["configWrites"];
    let set = if own.is_null() { &config.channel(&route.channel)["configWrites"] } else { own };
    (*set == false).then(|| {
        let channel = &route.channel;
        format!("Config writes are disabled for {channel}. Set channels.{channel}.configWrites=true to enable.")
    })
}

fn show(cx: &Arc<Ctx>, path: &str) -> Result<String, String> {
    let mut shown = call(cx, "config.get", json!({}))?;
    // A chat is kept by its network, and read by others.
    cover(&mut shown, false);
    if shown["valid"] == false {
        return Err("Config file is invalid; fix it before using /config.".to_owned());
    }
    let tree = if shown["parsed"].is_object() { &shown["parsed"] } else { &shown["config"] };
    let value = path.split('.').filter(|part| !part.is_empty()).fold(tree, |value, part| {
        part.parse::<usize>().ok().filter(|_| value.is_array()).map_or_else(|| &value[part], |index| &value[index])
    });
    let title = if path.is_empty() { "(raw)" } else { path };
    Ok(format!("⚙️ Config {title}:\n```json\n{value:#}\n```"))
}

/// Sets one value; null takes it out.
pub(super) fn change(cx: &Arc<Ctx>, path: &str, value: Value) -> Result<(), String> {
    let patch = path_of(path)?.iter().rev().fold(value, |value, part| json!({*part: value}));
    let hash = call(cx, "config.get", json!({}))?["hash"].clone();
    let params = json!({"raw": patch.to_string(), "baseHash": hash});
    call(cx, "config.patch", params).map(|_| ()).map_err(|error| format!("Config not changed: {error}"))
}
