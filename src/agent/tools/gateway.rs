//! `gateway`: this gateway's configuration, restart and update.

use serde_json::{Map, Value, json};

use super::arguments::Arguments;
use super::{Tool, ToolContext, ToolResult, always};
use crate::config::keys::hints::{REDACTED, cover};

pub(super) const TOOL: Tool = Tool {
    name: "gateway",
    description: "This gateway: restart, config.get, config.schema, config.patch (merges a part, the safe way), \
                  config.apply (replaces all of it), update.run.",
    parameters: &[
        ("action", "restart|config.get|config.schema|config.apply|config.patch|update.run*", "What to do"),
        ("delayMs", "number", "For restart"),
        ("reason", "string", "For restart"),
        ("gatewayUrl", "string", ""),
        ("gatewayToken", "string", ""),
        ("timeoutMs", "number", ""),
        ("raw", "string", "JSON5 text for config.apply and config.patch"),
        ("baseHash", "string", "Hash of the configuration that was seen; read when absent"),
        ("sessionKey", "string", "Session that is told when it is done, default this one"),
        ("note", "string", "What that session is told"),
        ("restartDelayMs", "number", ""),
    ],
    is_local: false,
    is_wanted: always,
    run,
};

fn run(cx: &ToolContext<'_>, args: &Arguments<'_>) -> Result<ToolResult, String> {
    let action = args.required("action")?;
    let answer = match action {
        "restart" => {
            if cx.config.commands.restart != Some(true) {
                return Err("Gateway restart is disabled. Set commands.restart=true to enable.".to_owned());
            }
            let delay_ms = args.number("delayMs").map(|ms| ms.max(0.0) as u64);
            let note = args.text("note").or_else(|| args.text("reason"));
            let answer = cx.host.restart(delay_ms, args.text("sessionKey").unwrap_or(cx.session.as_str()), note)?;
            return Ok(ToolResult::json(answer));
        }
        "config.get" | "config.schema" => cx.call_for(args, action, json!({}))?,
        "config.apply" | "config.patch" => {
            let mut params = told(cx, args);
            let raw = args.required("raw")?;
            if raw.contains(REDACTED) {
                return Err(format!(
                    "raw contains {REDACTED}, which stands for a secret that is not shown: leave that key out and use \
                     config.patch, which keeps what it does not name"
                ));
            }
            params.insert("raw".to_owned(), raw.into());
            let base_hash = match args.text("baseHash") {
                Some(hash) => hash.into(),
                None => cx.call_for(args, "config.get", json!({}))?["hash"].take(),
            };
            if !base_hash.is_null() {
                params.insert("baseHash".to_owned(), base_hash);
            }
            cx.call_for(args, action, params.into())?
        }
        "update.run" => {
            let mut params = told(cx, args);
            if let Some(timeout) = args.value("timeoutMs") {
                params.insert("timeoutMs".to_owned(), timeout.clone());
            }
            cx.call_for(args, action, params.into())?
        }
        other => return Err(format!("Unknown action: {other}")),
    };
    Ok(ToolResult::json(json!({"ok": true, "result": redacted(answer)})))
}

/// Takes the secrets out of an answer: what a model sees is kept in transcripts and sent to its provider. References to
/// variables stay.
fn redacted(mut answer: Value) -> Value {
    let secrets = cover(&mut answer, false);
    // The file's own text has them too.
    if let Some(Value::String(raw)) = answer.get_mut("raw") {
        for secret in &secrets {
            *raw = raw.replace(secret.as_str(), REDACTED);
        }
    }
    answer
}

/// Returns who is told when it is done, and when that is.
fn told(cx: &ToolContext<'_>, args: &Arguments<'_>) -> Map<String, Value> {
    let mut params = args.only(&["note", "restartDelayMs"]);
    params.insert("sessionKey".to_owned(), args.text("sessionKey").unwrap_or(cx.session.as_str()).into());
    params
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let answer = json!({
            "raw": "{token: 's3cret', a: {apiKey: '${KEY}'}}", "hash": "h",
            "config": {"auth": {"token": "s3cret"}, "a": {"apiKey": "${KEY}", "keys": ["k"]}},
        });
        let shown = redacted(answer);
        assert_eq!(shown["raw"], "{token: '__REDACTED__', a: {apiKey: '${KEY}'}}");
        assert_eq!(shown["config"], json!({"auth": {"token": REDACTED}, "a": {"apiKey": "${KEY}", "keys": ["k"]}}));
    }
}
