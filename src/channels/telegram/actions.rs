//! What can be done to messages that are there: reactions, edits, deletions (channels.md §10).
//!
//! Runs on the caller's thread; a fault that will pass is tried again here, because nobody journals these. Not here: whether
//! configuration allows them.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::account::tables;
use super::api::{Api, ApiError};
use super::html::html;
use super::send::send_error;
use super::{buttons, target, types};
use crate::base::backoff::Backoff;
use crate::base::cancel::CancelToken;
use crate::base::rng::SystemRng;
use crate::base::text::text_of;
use crate::channels::channel::Account;
use crate::channels::markdown::parse;
use crate::channels::message::{Address, Reaction, SendError, Sent};

/// Attempts of one action.
const ATTEMPTS_MAX: u32 = 3;
/// Longest wait that a server may ask for before somebody else decides.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Sets or takes away a reaction.
pub fn react(api: &Api, to: &Address, reaction: &Reaction) -> Result<Sent, SendError> {
    let emoji = reaction.emoji.trim();
    if reaction.is_removal && emoji.is_empty() {
        return Err(SendError::Failed("Emoji is required to remove a Telegram reaction.".to_owned()));
    }
    let is_removal = reaction.is_removal || emoji.is_empty();
    let list = if is_removal { json!([]) } else { json!([{"type": "emoji", "emoji": emoji}]) };
    let message_id = message_number(Some(&reaction.message_id.as_str().into()))?;
    let params = json!({"chat_id": to.to, "message_id": message_id, "reaction": list});
    call::<Value>(api, "setMessageReaction", &params, &to.to)?;
    let done = if is_removal { json!({"ok": true, "removed": true}) } else { json!({"ok": true, "added": emoji}) };
    Ok(done.as_object().cloned().unwrap_or_default())
}

/// Carries out any other action.
pub fn act(api: &Api, account: &Account, action: &str, params: &Map<String, Value>) -> Result<Value, SendError> {
    let chat = ["chatId", "channelId", "to", "target"].iter().find_map(|key| params.get(*key)).map(text_of);
    let chat = chat.as_deref().and_then(target::spell).map(|target| target::address(&target).to);
    let chat = chat.ok_or_else(|| SendError::Failed(format!("Action {action} requires a target.")))?;
    let message_id = message_number(params.get("messageId"))?;
    match action {
        "delete" => {
            call::<Value>(api, "deleteMessage", &json!({"chat_id": chat, "message_id": message_id}), &chat)?;
            Ok(json!({"ok": true, "deleted": true}))
        }
        "edit" => {
            let text = ["message", "text", "content"].iter().find_map(|key| params.get(*key)?.as_str());
            let text = text.map(str::trim).filter(|text| !text.is_empty());
            let text = text.ok_or_else(|| SendError::Failed("edit needs the new text (message)".to_owned()))?;
            let keyboard = buttons::keyboard(account, &chat, params.get("buttons")).map_err(SendError::Failed)?;
            let styled = parse(text, tables(account));
            let mut params =
                json!({"chat_id": chat, "message_id": message_id, "text": html(&styled), "parse_mode": "HTML"});
            if let Some(keyboard) = keyboard {
                params["reply_markup"] = keyboard;
            }
            let message: types::Message = call(api, "editMessageText", &params, &chat)?;
            Ok(json!({"ok": true, "messageId": message.message_id.to_string(), "chatId": chat}))
        }
        action => Err(SendError::Failed(format!("Message action {action} not supported for channel telegram."))),
    }
}

fn message_number(given: Option<&Value>) -> Result<i64, SendError> {
    let number = given.map(text_of).and_then(|text| text.trim().parse().ok());
    number.ok_or_else(|| SendError::Failed("Message id is required for Telegram actions".to_owned()))
}

/// Calls, and again after a fault that will pass; doing these twice is the same as once.
fn call<T: DeserializeOwned>(api: &Api, method: &'static str, params: &Value, to: &str) -> Result<T, SendError> {
    let mut backoff = Backoff::new(Duration::from_millis(400), WAIT_MAX, 2.0, 0.1);
    for attempt in 1.. {
        let error = match api.call(method, params) {
            Ok(value) => return Ok(value),
            // Somebody was quicker, or it is as wished already.
            Err(error) if error.refusal().is_some_and(|it| it.description.contains("message is not modified")) => {
                return serde_json::from_value(json!({})).map_err(|_| send_error(&error, to));
            }
            Err(error) => error,
        };
        let wait = match (&error, send_error(&error, to)) {
            (ApiError::Stopped, error) => return Err(error),
            (_, SendError::Later { after, .. }) => after.unwrap_or_else(|| backoff.next_delay(&SystemRng)),
            (_, SendError::Unclear(_)) => backoff.next_delay(&SystemRng),
            (_, error) => return Err(error),
        };
        let is_last = attempt >= ATTEMPTS_MAX || wait > WAIT_MAX;
        if is_last || !CancelToken::new().sleep(wait) || api.is_stopped() {
            return Err(send_error(&error, to));
        }
    }
    unreachable!("the last attempt returns")
}
