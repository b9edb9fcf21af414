//! `/debug`: values laid over the configuration until the gateway starts anew, for trying something out.
//!
//! Nothing of it is written to a file. What is read only at a start cannot be changed like this, and says so.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::config::{assignment, covered, path_of};
use super::{Ctx, Executed};
use crate::config::tree;
use crate::gateway::reload;

/// Shows or changes the overrides.
pub(super) fn manage(cx: &Arc<Ctx>, args: &str) -> anyhow::Result<Executed> {
    if cx.config.get().tree["commands"]["debug"] != true {
        return Executed::answer("⚠️ /debug is disabled. Set commands.debug=true to enable.");
    }
    let (action, rest) = args.split_once(char::is_whitespace).unwrap_or((args, ""));
    let rest = rest.trim();
    let text = match action.to_lowercase().as_str() {
        "" | "show" => Ok(show(&cx.config.overrides())),
        "set" => set(cx, rest),
        "unset" if rest.is_empty() => Err("Usage: /debug unset path".to_owned()),
        "unset" => unset(cx, rest),
        "reset" => reload::override_with(cx, Map::new())
            .map(|()| "⚙️ Debug overrides cleared; using config on disk.".to_owned()),
        _ => Err("Usage: /debug show|set|unset|reset".to_owned()),
    };
    Executed::answer(text.unwrap_or_else(|error| format!("⚠️ {error}")))
}

fn show(overrides: &Map<String, Value>) -> String {
    if overrides.is_empty() {
        return "⚙️ Debug overrides: (none)".to_owned();
    }
    format!("⚙️ Debug overrides (memory-only):\n```json\n{:#}\n```", covered("", Value::Object(overrides.clone())))
}

fn set(cx: &Arc<Ctx>, rest: &str) -> Result<String, String> {
    let (path, value) = assignment("debug", rest)?;
    let parts = path_of(path)?;
    let mut overrides = Value::Object(cx.config.overrides());
    tree::set(&mut overrides, &parts, value.clone())?;
    let Value::Object(overrides) = overrides else { return Err("Invalid path.".to_owned()) };
    reload::override_with(cx, overrides)?;
    Ok(format!("⚙️ Debug override set: {path}={}", covered(path, value)))
}

fn unset(cx: &Arc<Ctx>, path: &str) -> Result<String, String> {
    let parts = path_of(path)?;
    let mut overrides = Value::Object(cx.config.overrides());
    if !tree::unset(&mut overrides, &parts) {
        return Ok(format!("⚙️ No debug override found for {path}."));
    }
    tree::prune(&mut overrides);
    let Value::Object(overrides) = overrides else { return Err("Invalid path.".to_owned()) };
    reload::override_with(cx, overrides)?;
    Ok(format!("⚙️ Debug override removed for {path}."))
}
