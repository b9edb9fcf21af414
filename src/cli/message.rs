//! `message`: saying and doing things in chats, through the gateway (cli.md §13).

use argh::{ArgsInfo, FromArgs};
use serde_json::{Map, Value, json};

use super::exit::{Failure, Outcome};
use super::rpc::{self, ClientOptions, items};
use super::{Cli, Command, output};
use crate::base::rng::{SystemRng, uuid};
use crate::base::text::text_of;
use crate::channels;

/// How long the gateway may take for one action.
const TIMEOUT_MS: u64 = 60_000;

/// Declares a command with the options that all of them share: `--channel --account --json --dry-run --verbose`.
macro_rules! message_command {
    ($(#[$meta:meta])* $vis:vis struct $name:ident = $action:literal { $($fields:tt)* } $($params:tt)*) => {
        $(#[$meta])*
        #[derive(FromArgs, ArgsInfo)]
        $vis struct $name {
            $($fields)*
            /// channel (default: the only one that is configured)
            #[argh(option, arg_name = "channel")]
            channel: Option<String>,
            /// account (default: the channel's)
            #[argh(option, arg_name = "id")]
            account: Option<String>,
            /// print JSON
            #[argh(switch)]
            json: bool,
            /// only say what would be done
            #[argh(switch)]
            dry_run: bool,
            /// accepted for compatibility
            #[argh(switch)]
            #[allow(dead_code)] // Scripts written for the original pass it.
            verbose: bool,
        }

        impl Command for $name {
            fn run(self, cli: &Cli) -> Outcome {
                let params = (|$name: &Self| -> Result<Value, Failure> { $($params)* })(&self)?;
                let shared = Shared { channel: self.channel, account: self.account, json: self.json, dry_run: self.dry_run };
                perform(cli, $action, shared, params)
            }
        }
    };
}

/// What all commands share.
struct Shared {
    channel: Option<String>,
    account: Option<String>,
    json: bool,
    dry_run: bool,
}

#[allow(non_snake_case)] // The command itself, under its own name.
mod commands {
    use super::*;

    message_command! {
        /// send a message
        pub(in crate::cli) struct Send = "send" {
            /// whom
            #[argh(option, short = 't', arg_name = "dest")]
            target: String,
            /// text
            #[argh(option, short = 'm', arg_name = "text")]
            message: Option<String>,
            /// picture or file, by path or URL
            #[argh(option, arg_name = "path-or-url")]
            media: Option<String>,
            /// rows of buttons as JSON
            #[argh(option, arg_name = "json")]
            buttons: Option<String>,
            /// a card as JSON, for channels that have them
            #[argh(option, arg_name = "json")]
            card: Option<String>,
            /// message to answer
            #[argh(option, arg_name = "id")]
            reply_to: Option<String>,
            /// thread or topic
            #[argh(option, arg_name = "id")]
            thread_id: Option<String>,
            /// play a video as an animation
            #[argh(switch)]
            gif_playback: bool,
        }
        let json = |text: &Option<String>, name: &str| match text {
            None => Ok(Value::Null),
            Some(text) => serde_json::from_str::<Value>(text).map_err(|_| Failure::error(format!("{name} must be valid JSON"))),
        };
        json(&Send.card, "--card")?;
        if Send.message.as_deref().is_none_or(|text| text.trim().is_empty()) && Send.media.is_none() {
            return Err(Failure::error("message required"));
        }
        Ok(json!({
            "to": Send.target, "message": Send.message, "media": Send.media, "buttons": json(&Send.buttons, "--buttons")?,
            "replyTo": Send.reply_to, "threadId": Send.thread_id, "gifPlayback": Send.gif_playback,
        }))
    }

    message_command! {
        /// send one message to several targets
        pub(in crate::cli) struct Broadcast = "broadcast" {
            /// whom; may be repeated, and more may follow
            #[argh(option, arg_name = "dest")]
            targets: Vec<String>,
            /// more targets
            #[argh(positional, arg_name = "dest")]
            more: Vec<String>,
            /// text
            #[argh(option, short = 'm', arg_name = "text")]
            message: Option<String>,
            /// picture or file, by path or URL
            #[argh(option, arg_name = "path-or-url")]
            media: Option<String>,
        }
        let targets: Vec<&String> = Broadcast.targets.iter().chain(&Broadcast.more).collect();
        Ok(json!({"targets": targets, "message": Broadcast.message, "media": Broadcast.media}))
    }

    message_command! {
        /// ask a question with answers to choose from
        pub(in crate::cli) struct Poll = "poll" {
            /// whom
            #[argh(option, short = 't', arg_name = "dest")]
            target: String,
            /// question
            #[argh(option, arg_name = "text")]
            poll_question: String,
            /// answer to choose; repeat it
            #[argh(option, arg_name = "text")]
            poll_option: Vec<String>,
            /// let people choose several
            #[argh(switch)]
            poll_multi: bool,
            /// how long it is open
            #[argh(option, arg_name = "n")]
            poll_duration_hours: Option<u64>,
            /// accepted for compatibility
            #[argh(option, short = 'm', arg_name = "text")]
            #[allow(dead_code)] // Scripts written for the original pass it.
            message: Option<String>,
        }
        Ok(json!({
            "to": Poll.target, "pollQuestion": Poll.poll_question, "pollOption": Poll.poll_option,
            "pollMulti": Poll.poll_multi, "pollDurationHours": Poll.poll_duration_hours,
        }))
    }

    message_command! {
        /// set or remove a reaction
        pub(in crate::cli) struct React = "react" {
            /// chat
            #[argh(option, short = 't', arg_name = "dest")]
            target: String,
            /// message
            #[argh(option, arg_name = "id")]
            message_id: String,
            /// emoji; none takes ours away
            #[argh(option, arg_name = "emoji")]
            emoji: Option<String>,
            /// take it away
            #[argh(switch)]
            remove: bool,
            /// who wrote the message, in a WhatsApp group
            #[argh(option, arg_name = "id")]
            participant: Option<String>,
            /// whether the message is ours (WhatsApp)
            #[argh(switch)]
            from_me: bool,
            /// who wrote the message (Signal)
            #[argh(option, arg_name = "id")]
            target_author: Option<String>,
            /// who wrote the message (Signal)
            #[argh(option, arg_name = "id")]
            target_author_uuid: Option<String>,
        }
        Ok(json!({
            "to": React.target, "messageId": React.message_id, "emoji": React.emoji, "remove": React.remove,
            "participant": React.participant, "fromMe": React.from_me, "targetAuthor": React.target_author,
            "targetAuthorUuid": React.target_author_uuid,
        }))
    }

    message_command! {
        /// show the reactions to a message
        pub(in crate::cli) struct Reactions = "reactions" {
            /// chat
            #[argh(option, short = 't', arg_name = "dest")]
            target: String,
            /// message
            #[argh(option, arg_name = "id")]
            message_id: String,
            /// most of them
            #[argh(option, arg_name = "n")]
            limit: Option<u64>,
        }
        Ok(json!({"to": Reactions.target, "messageId": Reactions.message_id, "limit": Reactions.limit}))
    }

    message_command! {
        /// show the messages of a chat
        pub(in crate::cli) struct Read = "read" {
            /// chat
            #[argh(option, short = 't', arg_name = "dest")]
            target: String,
            /// most of them
            #[argh(option, arg_name = "n")]
            limit: Option<u64>,
            /// only ones before this one
            #[argh(option, arg_name = "id")]
            before: Option<String>,
            /// only ones after this one
            #[argh(option, arg_name = "id")]
            after: Option<String>,
            /// the ones around this one
            #[argh(option, arg_name = "id")]
            around: Option<String>,
            /// those of threads, too
            #[argh(switch)]
            include_thread: bool,
        }
        Ok(json!({
            "to": Read.target, "limit": Read.limit, "before": Read.before, "after": Read.after, "around": Read.around,
            "includeThread": Read.include_thread,
        }))
    }

    message_command! {
        /// change a message of ours
        pub(in crate::cli) struct Edit = "edit" {
            /// chat
            #[argh(option, short = 't', arg_name = "dest")]
            target: String,
            /// message
            #[argh(option, arg_name = "id")]
            message_id: String,
            /// new text
            #[argh(option, short = 'm', arg_name = "text")]
            message: String,
            /// thread or topic
            #[argh(option, arg_name = "id")]
            thread_id: Option<String>,
        }
        Ok(json!({
            "to": Edit.target, "messageId": Edit.message_id, "message": Edit.message, "threadId": Edit.thread_id,
        }))
    }

    message_command! {
        /// take a message back
        pub(in crate::cli) struct Delete = "delete" {
            /// chat
            #[argh(option, short = 't', arg_name = "dest")]
            target: String,
            /// message
            #[argh(option, arg_name = "id")]
            message_id: String,
        }
        Ok(json!({"to": Delete.target, "messageId": Delete.message_id}))
    }

    message_command! {
        /// pin a message
        pub(in crate::cli) struct Pin = "pin" {
            /// chat
            #[argh(option, short = 't', arg_name = "dest")]
            target: String,
            /// message
            #[argh(option, arg_name = "id")]
            message_id: String,
        }
        Ok(json!({"to": Pin.target, "messageId": Pin.message_id}))
    }

    message_command! {
        /// unpin a message
        pub(in crate::cli) struct Unpin = "unpin" {
            /// chat
            #[argh(option, short = 't', arg_name = "dest")]
            target: String,
            /// message
            #[argh(option, arg_name = "id")]
            message_id: Option<String>,
        }
        Ok(json!({"to": Unpin.target, "messageId": Unpin.message_id}))
    }

    message_command! {
        /// show the pinned messages of a chat
        pub(in crate::cli) struct Pins = "list-pins" {
            /// chat
            #[argh(option, short = 't', arg_name = "dest")]
            target: String,
        }
        Ok(json!({"to": Pins.target}))
    }
}
pub(super) use commands::{Broadcast, Delete, Edit, Pin, Pins, Poll, React, Reactions, Read, Send, Unpin};

fn answers_sends_itself(channel: &str) -> bool {
    channels::by_id(channel).is_some_and(|channel| channel.capabilities().answers_sends_itself)
}

fn perform(cli: &Cli, action: &str, shared: Shared, params: Value) -> Outcome {
    let given: Map<String, Value> =
        params.as_object().cloned().unwrap_or_default().into_iter().filter(|(_, value)| !value.is_null()).collect();
    let options = ClientOptions { timeout: std::time::Duration::from_millis(TIMEOUT_MS), ..ClientOptions::default() };
    let wanted = json!({
        "action": action, "channel": shared.channel, "accountId": shared.account, "dryRun": shared.dry_run,
        "idempotencyKey": uuid(&SystemRng), "params": given,
    });
    let payload = rpc::call(cli, &options, "message.action", wanted).map_err(plain)?;
    let channel = payload["channel"].as_str().map(str::to_owned).or(shared.channel).unwrap_or_else(|| only(cli));
    if shared.json {
        let handled_by = match (shared.dry_run, action) {
            (true, _) => "dry-run",
            (false, "send" | "poll") if !answers_sends_itself(&channel) => "core",
            _ => "plugin",
        };
        output::json(&json!({
            "action": action, "channel": channel, "dryRun": shared.dry_run, "handledBy": handled_by, "payload": payload,
        }));
        return Ok(());
    }
    if shared.dry_run {
        output::line(&format!("[dry-run] would run {action} via {channel}"));
        return Ok(());
    }
    for line in words(action, &channel, &payload) {
        output::line(&line);
    }
    Ok(())
}

/// Returns the error without the gateway's word before it: `Error: ` comes once.
fn plain(error: rpc::CallError) -> Failure {
    let text = error.to_string();
    Failure::error(text.strip_prefix("Error: ").unwrap_or(&text))
}

/// Returns the channel that is meant when none is named.
fn only(cli: &Cli) -> String {
    use crate::base::clock::Clock as _;
    let at = channels::channel::Setting::of_process(cli.config(), &cli.paths, crate::base::clock::SystemClock.now_ms());
    channels::active(&at).first().map_or_else(|| "unknown".to_owned(), |channel| channel.info().id.to_owned())
}

/// Words what was done.
fn words(action: &str, channel: &str, payload: &Value) -> Vec<String> {
    let text = |value: &Value| text_of(value);
    let id =
        |value: &Value| if value["messageId"].is_null() { "unknown".to_owned() } else { text(&value["messageId"]) };
    let good = |line: String| output::verdict(true, &line);
    match action {
        "send" | "poll" => {
            let result = if payload["result"].is_object() { &payload["result"] } else { payload };
            let what = if action == "poll" { "Poll sent" } else { "Sent" };
            let mut lines = vec![good(format!("✅ {what} via gateway ({channel}). Message ID: {}", id(result)))];
            if !result["pollId"].is_null() {
                lines.push(format!("Poll id: {}", text(&result["pollId"])));
            }
            lines
        }
        "react" => vec![good(match (payload["added"].as_str(), payload["removed"].as_bool()) {
            (Some(emoji), _) => format!("✅ Reaction added: {emoji}"),
            (None, Some(true)) => "✅ Reaction removed.".to_owned(),
            _ => "✅ Reaction updated.".to_owned(),
        })],
        "broadcast" => {
            let rows = items(&payload["results"]);
            let count = rows.iter().filter(|row| row["ok"] == true).count();
            let table: Vec<Vec<String>> = rows
                .iter()
                .map(|row| {
                    let state = if row["ok"] == true { "ok" } else { "failed" };
                    let error = row["error"].as_str().unwrap_or_default();
                    vec![text(&row["channel"]), text(&row["to"]), state.to_owned(), error.to_owned()]
                })
                .collect();
            let failed = rows.len() - count;
            vec![
                good(format!("✅ Broadcast complete ({count}/{} succeeded, {failed} failed)", rows.len())),
                output::table(&["Channel", "Target", "Status", "Error"], &table),
            ]
        }
        _ => vec![good(format!("✅ {action} via {channel}.")), format!("{payload:#}")],
    }
}
