//! `session_status`: a card about a session, and its choice of model.

use serde_json::{Value, json};

use super::arguments::Arguments;
use super::sessions::{refusal, resolve};
use super::{Tool, ToolContext, ToolResult, always};
use crate::agent::commands::session_lines;
use crate::agent::credentials::Wallet;
use crate::agent::{models, prompt};
use crate::base::clock::zoned_text;

pub(super) const TOOL: Tool = Tool {
    name: "session_status",
    description: "Show a session's status: time, model, tokens, context, levels. With model, set the session's model \
                  (default resets it).",
    parameters: &[
        ("sessionKey", "string", "Which session, default this one"),
        ("model", "string", "Model to set, or default"),
    ],
    is_local: false,
    is_wanted: always,
    run,
};

fn run(cx: &ToolContext<'_>, args: &Arguments<'_>) -> Result<ToolResult, String> {
    let key = match args.text("sessionKey") {
        None => cx.session.clone(),
        Some(given) => {
            let key = resolve(cx, given).map_err(|_| format!("Unknown sessionKey: {given}"))?;
            if cx.sessions.entry(&key).is_none() {
                return Err(format!("Unknown sessionKey: {given}"));
            }
            key
        }
    };
    if let Some(error) = refusal(cx, &key, "status") {
        return Err(error);
    }
    let mut changed = None;
    if let Some(model) = args.text("model") {
        let wanted = if model.eq_ignore_ascii_case("default") { Value::Null } else { model.into() };
        cx.call("sessions.patch", json!({"key": key.as_str(), "model": wanted})).map_err(|error| {
            if error.contains("not allowed") { format!("Model \"{model}\" is not allowed.") } else { error }
        })?;
        changed = Some(model);
    }
    let entry = cx.sessions.entry(&key);
    let agent = crate::agent::session::agent_of_key(cx.config, &key);
    let model = models::resolve(cx.config, &agent, entry.as_ref(), None);
    let zone = prompt::time_zone(cx.config);
    let mut lines = vec![
        format!("🦞 Clawdbot {}", env!("CARGO_PKG_VERSION")),
        format!("🕒 Time: {} ({zone})", zoned_text(cx.clock.now_ms(), &zone)),
    ];
    let wallet = Wallet::open(cx.config, cx.paths, &agent, cx.clock.now_ms());
    let auth = model.as_ref().ok().and_then(|model| wallet.mode(&model.provider));
    lines.extend(session_lines(&key, entry.as_ref(), &model, auth));
    let details = json!({"ok": true, "sessionKey": key.as_str(), "changedModel": changed.is_some()});
    Ok(ToolResult::text(lines.join("\n"), Some(details)))
}
