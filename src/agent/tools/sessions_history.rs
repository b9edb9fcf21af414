//! `sessions_history`: the messages of a session that the caller may see.

use serde_json::json;

use super::arguments::Arguments;
use super::sessions::{messages, refusal, resolve, shown};
use super::{Tool, ToolContext, ToolResult, always};

pub(super) const TOOL: Tool = Tool {
    name: "sessions_history",
    description: "Read the messages of a session, the newest of them if there are many.",
    parameters: &[
        ("sessionKey", "string*", "Key from sessions_list, main, or a session id"),
        ("limit", "number", "Most messages"),
        ("includeTools", "boolean", "Whether calls and results of tools are shown"),
    ],
    is_local: false,
    is_wanted: always,
    run,
};

fn run(cx: &ToolContext<'_>, args: &Arguments<'_>) -> Result<ToolResult, String> {
    let key = match resolve(cx, args.required("sessionKey")?) {
        Ok(key) => key,
        Err(error) => return Ok(ToolResult::json(json!({"status": "error", "error": error}))),
    };
    if let Some(error) = refusal(cx, &key, "history") {
        return Ok(ToolResult::json(json!({"status": "forbidden", "error": error})));
    }
    let messages = messages(cx, &key, args.count("limit"), args.flag("includeTools") == Some(true))?;
    Ok(ToolResult::json(json!({"sessionKey": shown(cx, &key), "messages": messages})))
}
