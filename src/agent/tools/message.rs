//! `message`: saying and doing things in chats. The gateway does it (`message.action`); here is who may speak where.

use serde_json::{Value, json};

use super::arguments::Arguments;
use super::{Tool, ToolContext, ToolResult, always};
use crate::base::rng::uuid;

/// Actions that say something, which a conversation may do elsewhere only where that is allowed.
const CROSSING: [&str; 9] = [
    "send",
    "broadcast",
    "poll",
    "reply",
    "sendWithEffect",
    "sendAttachment",
    "thread-create",
    "thread-reply",
    "sticker",
];
/// Channels that are no chat network.
const INTERNAL: [&str; 3] = ["webchat", "node", "last"];

pub(super) const TOOL: Tool = Tool {
    name: "message",
    description: "Say and do things in chats: send, broadcast (several targets), poll, react, edit, delete, as far as the \
                  channel can. The answer to the message at hand needs no tool.",
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
    let action = args.required("action")?;
    let channel = args.text("channel").filter(|channel| !INTERNAL.contains(channel));
    let channel = judge_context(cx, args, action, channel)?;
    let own = ["action", "channel", "accountId", "dryRun", "gatewayUrl", "gatewayToken", "timeoutMs"];
    let names: Vec<&str> = TOOL.parameters.iter().map(|(name, ..)| *name).filter(|name| !own.contains(name)).collect();
    let mut params = args.only(&names);
    if let Some(media) = args.text("media").filter(|media| !media.contains("://") && !media.starts_with('~')) {
        // A file of the workspace is meant, wherever the gateway was started.
        params.insert("media".to_owned(), cx.resolve(media).display().to_string().into());
    }
    if let Some(target) = params.remove("target") {
        params.insert("to".to_owned(), target);
    }
    let wanted = json!({
        "action": action, "channel": channel, "accountId": args.text("accountId"), "sessionKey": cx.session.as_str(),
        "dryRun": args.flag("dryRun").unwrap_or(false), "idempotencyKey": uuid(&**cx.rng), "params": params,
    });
    Ok(ToolResult::json(cx.call_for(args, "message.action", wanted)?))
}

/// A conversation of one chat says things in others only where that is allowed. Returns the channel to take: a broadcast by
/// all of them stays in its own where it may not leave it.
fn judge_context<'a>(
    cx: &'a ToolContext<'_>,
    args: &Arguments<'_>,
    action: &str,
    channel: Option<&'a str>,
) -> Result<Option<&'a str>, String> {
    if !CROSSING.contains(&action) || INTERNAL.contains(&cx.channel) {
        return Ok(channel);
    }
    let context = cx.entry.delivery_context.as_ref();
    let own = context.and_then(|it| it.channel.as_deref()).or(cx.entry.last_channel.as_deref());
    let own_to = context.and_then(|it| it.to.as_deref()).or(cx.entry.last_to.as_deref());
    let (Some(own), Some(own_to)) = (own, own_to) else { return Ok(channel) };
    let rule = |name: &str| cx.setting(&format!("message/{name}")).and_then(Value::as_bool);
    if rule("allowCrossContextSend") == Some(true) {
        return Ok(channel);
    }
    let may_leave = rule("crossContext/allowAcrossProviders") == Some(true);
    let is_everywhere = action == "broadcast" && matches!(channel, None | Some("all"));
    if is_everywhere && may_leave {
        return Ok(channel);
    }
    let wanted = channel.filter(|_| !is_everywhere).unwrap_or(own);
    if wanted != own {
        return match may_leave {
            true => Ok(channel),
            false => Err(format!(
                "Cross-context messaging denied: action={action} target provider \"{wanted}\" while bound to \"{own}\"."
            )),
        };
    }
    let bare = |to: &str| to.strip_prefix(&format!("{own}:")).unwrap_or(to).to_owned();
    let targets = args.list("targets");
    let mut targets = args.text("target").into_iter().chain(targets.iter().map(String::as_str));
    let elsewhere = targets.find(|target| bare(target) != bare(own_to));
    if let Some(target) = elsewhere.filter(|_| rule("crossContext/allowWithinProvider") == Some(false)) {
        return Err(format!(
            "Cross-context messaging denied: action={action} target=\"{target}\" while bound to \"{own_to}\" (channel={own})."
        ));
    }
    Ok(if is_everywhere { Some(own) } else { channel })
}
