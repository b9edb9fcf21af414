//! `message`: sending through a chat channel, as far as channels offer it.

use serde_json::{Map, Value, json};

use super::arguments::Arguments;
use super::{Tool, ToolContext, ToolResult, always};
use crate::base::rng::uuid;

/// Most targets of one broadcast.
const TARGETS_MAX: usize = 50;
/// Channels that are no chat network.
const INTERNAL: [&str; 3] = ["webchat", "node", "last"];

pub(super) const TOOL: Tool = Tool {
    name: "message",
    description: "Send messages through chat channels: send, broadcast (several targets), poll. The answer to the message at \
                  hand needs no tool.",
    parameters: &[
        (
            "action",
            "send|broadcast|poll|react|reactions|read|edit|delete|pin|unpin|list-pins|thread-create|thread-list|thread-reply|search|sticker*",
            "What to do",
        ),
        ("channel", "string", "Channel, default the one that is configured"),
        ("target", "string", "Whom: a number, a chat id, a name, as the channel writes it"),
        ("targets", "string[]", "Whom, for broadcast"),
        ("accountId", "string", "Account of the channel"),
        ("dryRun", "boolean", "Only say what would be sent"),
        ("message", "string", "The text"),
        ("media", "string", "Path or URL of a file"),
        ("filename", "string", ""),
        ("buffer", "string", "Base64 of a file"),
        ("contentType", "string", ""),
        ("caption", "string", "Text with a file"),
        ("replyTo", "string", "Id of the message to reply to"),
        ("threadId", "string", ""),
        ("asVoice", "boolean", ""),
        ("gifPlayback", "boolean", ""),
        ("bestEffort", "boolean", ""),
        ("messageId", "string", ""),
        ("emoji", "string", ""),
        ("remove", "boolean", ""),
        ("pollQuestion", "string", ""),
        ("pollOption", "string[]", ""),
        ("pollDurationHours", "number", ""),
        ("pollMulti", "boolean", ""),
        ("buttons", "any[]", "Rows of {text, callback_data}"),
        ("gatewayUrl", "string", ""),
        ("gatewayToken", "string", ""),
        ("timeoutMs", "number", ""),
    ],
    is_local: false,
    is_wanted: always,
    run,
};

fn run(cx: &ToolContext<'_>, args: &Arguments<'_>) -> Result<ToolResult, String> {
    match args.required("action")? {
        "send" => {
            let target = args.text("target").map(str::to_owned).or_else(|| own_target(cx));
            let target = target.ok_or("target required")?;
            Ok(ToolResult::json(send(cx, args, &target)?))
        }
        "broadcast" => broadcast(cx, args),
        "poll" => poll(cx, args),
        other => Err(format!("Message action {other} not supported for channel {}.", shown_channel(cx, args))),
    }
}

/// Returns the channel of a call: the named one, else that of the conversation; `None` leaves it to the gateway.
fn channel<'a>(cx: &'a ToolContext<'_>, args: &Arguments<'a>) -> Option<&'a str> {
    args.text("channel").or(Some(cx.channel)).filter(|channel| !INTERNAL.contains(channel))
}

fn shown_channel<'a>(cx: &'a ToolContext<'_>, args: &Arguments<'a>) -> &'a str {
    channel(cx, args).unwrap_or(cx.channel)
}

/// Returns where this conversation's answers go, when the call is for its channel.
fn own_target(cx: &ToolContext<'_>) -> Option<String> {
    let route = cx.entry.delivery_context.as_ref();
    route.and_then(|route| route.to.clone()).or_else(|| cx.entry.last_to.clone())
}

fn send(cx: &ToolContext<'_>, args: &Arguments<'_>, target: &str) -> Result<Value, String> {
    if args.text("buffer").is_some() {
        return Err("buffer is not supported by this version; write the file and pass its path as media".to_owned());
    }
    let text = args.text("message").or_else(|| args.text("caption")).unwrap_or_default();
    let media = args.text("media");
    if text.is_empty() && media.is_none() {
        return Err("message required".to_owned());
    }
    let mut params = Map::new();
    params.insert("to".to_owned(), target.into());
    params.insert("message".to_owned(), text.into());
    if let Some(media) = media {
        params.insert("mediaUrl".to_owned(), media.into());
    }
    route(cx, args, &mut params);
    if let Some(gif) = args.flag("gifPlayback") {
        params.insert("gifPlayback".to_owned(), gif.into());
    }
    params.insert("sessionKey".to_owned(), cx.session.as_str().into());
    if args.flag("dryRun") == Some(true) {
        return Ok(json!({"dryRun": true, "channel": channel(cx, args), "to": target, "params": params}));
    }
    params.insert("idempotencyKey".to_owned(), uuid(&**cx.rng).into());
    cx.call_for(args, "send", params.into())
}

fn route(cx: &ToolContext<'_>, args: &Arguments<'_>, params: &mut Map<String, Value>) {
    for (name, value) in [("channel", channel(cx, args)), ("accountId", args.text("accountId"))] {
        if let Some(value) = value {
            params.insert(name.to_owned(), value.into());
        }
    }
}

fn broadcast(cx: &ToolContext<'_>, args: &Arguments<'_>) -> Result<ToolResult, String> {
    let targets = args.list("targets");
    if targets.is_empty() {
        return Err("targets required".to_owned());
    }
    if targets.len() > TARGETS_MAX {
        return Err(format!("at most {TARGETS_MAX} targets at a time"));
    }
    let results: Vec<Value> = targets
        .iter()
        .map(|target| match send(cx, args, target) {
            Ok(result) => json!({"to": target, "ok": true, "result": result}),
            Err(error) => json!({"to": target, "ok": false, "error": error}),
        })
        .collect();
    Ok(ToolResult::json(json!({"results": results})))
}

fn poll(cx: &ToolContext<'_>, args: &Arguments<'_>) -> Result<ToolResult, String> {
    let options = args.list("pollOption");
    if options.len() < 2 {
        return Err("pollOption requires at least two values".to_owned());
    }
    let mut params = Map::new();
    params.insert("to".to_owned(), args.required("target")?.into());
    params.insert("question".to_owned(), args.required("pollQuestion")?.into());
    if args.flag("pollMulti") == Some(true) {
        params.insert("maxSelections".to_owned(), options.len().into());
    }
    params.insert("options".to_owned(), options.into());
    if let Some(hours) = args.count("pollDurationHours") {
        params.insert("durationHours".to_owned(), hours.into());
    }
    route(cx, args, &mut params);
    params.insert("idempotencyKey".to_owned(), uuid(&**cx.rng).into());
    Ok(ToolResult::json(cx.call_for(args, "poll", params.into())?))
}
