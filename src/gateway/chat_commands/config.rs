//! `/config`: the configuration shown and changed from a chat, where that is allowed.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Ctx, Executed, Turn, call};
use crate::config::json5;
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
        "set" => match rest.split_once('=').map(|(path, value)| (path.trim(), value.trim())) {
            Some((path, value)) if !path.is_empty() && !value.is_empty() => {
                let parsed = json5::parse(value).unwrap_or_else(|_| Value::String(value.to_owned()));
                refusal(&config, turn).map_or_else(
                    || change(cx, path, parsed.clone()).map(|()| format!("⚙️ Config updated: {path}={parsed}")),
                    Err,
                )
            }
            Some((path, _)) if !path.is_empty() => Err("Missing value.".to_owned()),
            _ => Err("Usage: /config set path=value".to_owned()),
        },
        "unset" if !rest.is_empty() => refusal(&config, turn)
            .map_or_else(|| change(cx, rest, Value::Null).map(|()| format!("⚙️ Config updated: {rest} removed.")), Err),
        "unset" => Err("Usage: /config unset path".to_owned()),
        _ => Err("Usage: /config show|set|unset".to_owned()),
    };
    Executed::answer(text.unwrap_or_else(|error| format!("⚠️ {error}")))
}

/// Overrides that last until the next start are not kept by this version.
pub(super) fn debug(config: &Config) -> anyhow::Result<Executed> {
    Executed::answer(match config.tree["commands"]["debug"] == true {
        false => "⚠️ /debug is disabled. Set commands.debug=true to enable.",
        true => {
            "⚠️ This version keeps no overrides in memory. /config set changes the file, and most of it takes effect at once."
        }
    })
}

/// Says why a chat may not change the configuration, if it may not.
pub(super) fn refusal(config: &Config, turn: &Turn) -> Option<String> {
    let route = turn.route.as_ref()?;
    let channel = &config.tree["channels"][route.channel.as_str()];
    let own = &channel["accounts"][route.account.as_str()]["configWrites"];
    let set = if own.is_null() { &channel["configWrites"] } else { own };
    (*set == false).then(|| {
        let channel = &route.channel;
        format!("Config writes are disabled for {channel}. Set channels.{channel}.configWrites=true to enable.")
    })
}

fn show(cx: &Arc<Ctx>, path: &str) -> Result<String, String> {
    // What a client gets has its secrets covered.
    let shown = call(cx, "config.get", json!({}))?;
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
    let parts: Vec<&str> = path.split('.').map(str::trim).collect();
    if parts.iter().any(|part| part.is_empty() || part.contains(['[', ']'])) {
        return Err("Invalid path: use names with dots between them, as in messages.queue.mode.".to_owned());
    }
    let patch = parts.iter().rev().fold(value, |value, part| json!({*part: value}));
    let hash = call(cx, "config.get", json!({}))?["hash"].clone();
    let params = json!({"raw": patch.to_string(), "baseHash": hash});
    call(cx, "config.patch", params).map(|_| ()).map_err(|error| format!("Config not changed: {error}"))
}
