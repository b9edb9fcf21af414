//! One message of a chat, from the journal to the run that answers it (channels.md §3–§5).
//!
//! Who may speak, whether the message is meant for us, which agent answers in which session, its files, its envelope: in
//! this order, so that nothing is fetched for a stranger. Runs on a job of the pump; what it does outside is done once, also
//! when it is repeated after a crash: the run and every note carry the message's id. Not here: the run (`inbox`).

use std::sync::Arc;

use serde_json::{Value, json};

use super::routing::{self, Peer, Place};
use super::understanding::{Leave, Understood};
use super::{ack, files, groups, pump, record};
use crate::agent::speaker::{self, Speaker};
use crate::base::ids::RunId;
use crate::base::route::Route;
use crate::channels;
use crate::channels::access::{self, NOT_AUTHORISED, Rules, Verdict};
use crate::channels::batch;
use crate::channels::channel::{Account, Channel, Setting};
use crate::channels::envelope::{self, Style};
use crate::channels::inbound::{ChatKind, Event, Inbound, Reacted};
use crate::channels::mentions::command_text;
use crate::channels::pairing::Store;
use crate::channels::received::Item;
use crate::channels::reply::{Reply, ReplyKind};
use crate::config::types::Config;
use crate::config::write;
use crate::gateway::ctx::Ctx;
use crate::gateway::deliveries;
use crate::gateway::inbox::{self, Turn};

/// Handles events that belong together; `false` when they must be brought again.
pub fn batch(cx: &Arc<Ctx>, items: &[Item]) -> bool {
    let Some(first) = items.first() else { return true };
    let config = cx.config.get();
    let at = cx.channels_at(&config);
    let Some(channel) = channels::find(&at, &first.channel) else {
        log::warn!(target: "gateway/channels", "a message for {} is dropped: the channel is switched off", first.channel);
        return true;
    };
    let Ok(account) = channels::account(channel, &at, Some(&first.account)) else {
        log::warn!(target: "gateway/channels", "a message for {} is dropped: account {} is gone", first.channel, first.account);
        return true;
    };
    let chat = Chat { cx, config: &config, at: &at, channel, account: &account };
    match &first.event {
        Event::Message(_) => {
            let messages = items.iter().filter_map(|item| match &item.event {
                Event::Message(message) => Some((**message).clone()),
                _ => None,
            });
            let parts: Vec<Inbound> = messages.collect();
            let id = parts.last().map(|last| last.update_id.clone()).unwrap_or_default();
            batch::merge(parts).is_none_or(|message| chat.message(&message, &id, first.at))
        }
        Event::Reaction(reaction) => {
            chat.reaction(reaction);
            true
        }
        Event::Moved { from, to, .. } => {
            chat.moved(from, to);
            true
        }
    }
}

/// How a message counts whose sender may speak.
#[derive(Debug, Clone, Copy)]
enum Heard {
    /// It is a command of the network's menu, by somebody who may give it.
    Command,
    /// It is anything else.
    Message {
        /// Whether its sender may command.
        is_authorised: bool,
        /// Whether it is a command in words.
        is_command: bool,
    },
}

/// What a message is handled with.
#[derive(Clone, Copy)]
pub(super) struct Chat<'a> {
    pub(super) cx: &'a Arc<Ctx>,
    pub(super) config: &'a Config,
    pub(super) at: &'a Setting<'a>,
    pub(super) channel: &'static dyn Channel,
    pub(super) account: &'a Account,
}

/// Returns what kind of chat a message came from, as agents and rules know it.
pub(super) fn kind_of(message: &Inbound) -> speaker::ChatKind {
    match message.chat.kind {
        ChatKind::Direct => speaker::ChatKind::Direct,
        ChatKind::Group => speaker::ChatKind::Group,
        ChatKind::Channel => speaker::ChatKind::Channel,
    }
}

impl Chat<'_> {
    fn id(&self) -> &'static str {
        self.channel.info().id
    }

    fn message(&self, message: &Inbound, update_id: &str, received_at: u64) -> bool {
        let raw = envelope::raw_body(message);
        if raw.is_empty() {
            return true;
        }
        let is_command = pump::is_command(message);
        let store = Store::new(self.at.paths, self.at.env, self.id());
        let paired = store.allowed();
        let rules = Rules {
            paired: &paired,
            default_group_policy: self.config.channel("defaults")["groupPolicy"].as_str(),
            uses_access_groups: self.config.commands.use_access_groups != Some(false),
            is_command,
        };
        let id = format!("{}:{}:{update_id}", self.id(), self.account.id);
        let caps = self.channel.capabilities();
        if is_command && !message.is_button && self.is_native(message) {
            match access::judge_native(message, self.account, self.channel.info(), caps, &rules) {
                Ok(()) => return self.heard(message, &raw, &id, received_at, Heard::Command),
                Err(text) => return self.say(message, &id, text),
            }
        }
        let is_authorised = match access::judge(message, self.account, caps, &rules) {
            Verdict::Heard { is_authorised } => is_authorised,
            Verdict::Pairing => return self.offer_code(&store, message, &id),
            Verdict::Dropped(why) => {
                log::info!(target: "gateway/channels", "{} {}: a message of {} is dropped: {why}", self.id(), message.chat.id, message.sender.id);
                return true;
            }
        };
        if is_command && !is_authorised && !message.chat.is_group() && caps.has_native_commands {
            return self.say(message, &id, NOT_AUTHORISED);
        }
        self.heard(message, &raw, &id, received_at, Heard::Message { is_authorised, is_command })
    }

    /// Hands a message on whose sender may speak here.
    fn heard(&self, message: &Inbound, raw: &str, id: &str, received_at: u64, heard: Heard) -> bool {
        self.cx.channels.handle(self.id(), &self.account.id).update(|state| {
            state.last_inbound_at = state.last_inbound_at.max(Some(received_at));
        });
        let place = routing::place(self.config, &Peer::of(self.id(), &self.account.id, message));
        let (is_authorised, is_meant) = match heard {
            Heard::Command => (true, true),
            Heard::Message { is_authorised, is_command } if message.chat.is_group() => {
                let gate = groups::gate(self, &place, message);
                let mention = gate.judge(message, is_command && is_authorised);
                if mention.is_skipped {
                    groups::remember(self, message, raw);
                    return true;
                }
                ack::show(self, message, Some((gate.requires_mention, mention)));
                (is_authorised, mention.is_meant)
            }
            Heard::Message { is_authorised, .. } => {
                ack::show(self, message, None);
                (is_authorised, true)
            }
        };
        let turn = match self.turn(message, raw, &place, RunId::new(id), is_authorised, is_meant) {
            Ok(turn) => turn,
            Err(again) => return !again,
        };
        let is_taken = inbox::receive_and_wait(self.cx, turn);
        if is_taken && message.chat.is_group() {
            groups::forget(self, message);
        }
        is_taken
    }

    /// Returns whether a message is a command as the network's menu gives them.
    fn is_native(&self, message: &Inbound) -> bool {
        let wants = self.channel.capabilities().has_native_commands && self.account.wants_native_commands(self.config);
        wants && command_text(&message.text, message.own_username.as_deref()).starts_with('/')
    }

    /// Makes of a message what a session takes; `Err(true)` when it must be tried again, `Err(false)` when there is nothing
    /// to answer.
    fn turn(
        &self,
        message: &Inbound,
        raw: &str,
        place: &Place,
        id: RunId,
        is_authorised: bool,
        was_mentioned: bool,
    ) -> Result<Turn, bool> {
        let leave = Leave::of(self, message, place).ok_or(true)?;
        let mut files = files::fetch(self, message, &id)?;
        let entry = self.cx.sessions.entry(&place.session);
        let understood = Understood::of(self, place, entry.as_ref(), &files, &leave);
        drop(leave);
        if self.cx.received.is_closed() {
            // A stop cuts descriptions off; after the next start they are made anew.
            return Err(true);
        }
        let with_words = understood.message(message);
        let told = with_words.as_ref().unwrap_or(message);
        let style = Style::of(self.config);
        let from = envelope::conversation(message);
        let sent_at = Some(message.sent_at).filter(|at| *at > 0);
        let previous = entry.as_ref().map(|entry| entry.updated_at).filter(|at| *at > 0);
        let mut body = envelope::body(told);
        if message.chat.is_group() {
            body = format!("{}: {body}", envelope::sender_label(&message.sender));
        }
        let mut text = envelope::envelope(self.channel.info(), &from, sent_at, previous, &style, &body);
        if message.chat.is_group() {
            text = groups::with_history(self, message, &style, text);
        }
        let mut lines: Vec<String> = envelope::media_note(&understood.take_from(&mut files)).into_iter().collect();
        if !lines.is_empty() {
            lines.push(files::HINT.to_owned());
        }
        lines.extend(files.failed.iter().map(|why| format!("[media missing: {why}]")));
        lines.push(understood.with_links(text));
        lines.push(format!("[message_id: {}]", message.message_id));
        let extra = groups::instructions(self, message, entry.as_ref());
        if let Err(error) = record::note(self, message, place) {
            log::error!(target: "gateway/channels", "session {} cannot be written: {error}", place.session);
            return Err(true);
        }
        let said = understood.said();
        let raw = if message.text.trim().is_empty() { said.as_deref().unwrap_or(raw) } else { message.text.as_str() };
        Ok(Turn {
            id,
            session: place.session.clone(),
            agent: place.agent.clone(),
            echo: None,
            raw: command_text(raw, message.own_username.as_deref()),
            text: lines.join("\n"),
            images: files.images.into_iter().map(|(_, image)| image).collect(),
            speaker: self.speaker(message, is_authorised, was_mentioned),
            route: Some(self.route(message)),
            thinking: None,
            extra_system_prompt: extra,
            timeout: None,
        })
    }

    fn speaker(&self, message: &Inbound, is_authorised: bool, was_mentioned: bool) -> Speaker {
        Speaker {
            channel: self.id().to_owned(),
            account: Some(self.account.id.clone()),
            chat: kind_of(message),
            id: Some(message.sender.id.clone()).filter(|id| !id.is_empty()),
            name: message.sender.name.clone(),
            username: message.sender.username.clone(),
            is_authorised,
            was_mentioned,
            message_id: Some(message.message_id.clone()),
            is_native: self.is_native(message),
        }
    }

    pub(super) fn route(&self, message: &Inbound) -> Route {
        Route {
            channel: self.id().to_owned(),
            account: self.account.id.clone(),
            to: message.chat.id.clone(),
            thread: message.chat.thread.clone(),
            reply_to: Some(message.message_id.clone()).filter(|id| !id.is_empty()),
        }
    }

    /// Says something to where a message came from, once for that message; `false` when it must be tried again.
    pub(super) fn say(&self, message: &Inbound, id: &str, reply: impl Into<Reply>) -> bool {
        let route = self.route(message);
        let reply = Reply { kind: ReplyKind::Notice, ..reply.into() };
        let delivery = deliveries::of(self.cx, format!("{id}/note"), &route, &reply);
        let promised = deliveries::promise(self.cx, vec![delivery]);
        if let Err(error) = &promised {
            log::error!(target: "gateway/channels", "{} {}: {error}", self.id(), message.chat.id);
        }
        promised.is_ok()
    }

    /// Offers a stranger a code, once.
    fn offer_code(&self, store: &Store, message: &Inbound, id: &str) -> bool {
        let who = message.sender.e164.as_deref().unwrap_or(&message.chat.id);
        let code = match store.ask(who, &message.sender.meta, self.at.now_ms, &*self.cx.rng) {
            Ok(code) => code,
            Err(error) => {
                log::error!(target: "gateway/channels", "the pairing requests of {} cannot be written: {error}", self.id());
                return false;
            }
        };
        let Some(code) = code else {
            log::debug!(target: "gateway/channels", "{} {who}: a stranger waits already, or too many do", self.id());
            return true;
        };
        log::info!(target: "gateway/channels", "{} pairing request of {who}", self.id());
        let shown = message.sender.e164.as_deref().unwrap_or(&message.sender.id);
        let label = self.channel.capabilities().id_label;
        // compat: the last line has a placeholder where the code would be.
        let approve = self.at.paths.hint(&format!("pairing approve {} <code>", self.id()));
        let text = format!(
            "Clawdbot: access not configured.\n\n{label}: {shown}\n\nPairing code: {code}\n\nAsk the bot owner to approve with:\n{approve}"
        );
        self.say(message, id, text)
    }

    /// Tells the session of a chat that somebody reacted to a message of ours.
    fn reaction(&self, reaction: &Reacted) {
        let mode = self.account.text("reactionNotifications").unwrap_or("own");
        let is_own = || self.cx.chats.sent.knows(self.id(), &self.account.id, &reaction.chat.id, &reaction.message_id);
        if reaction.sender.is_bot || mode == "off" || (mode != "all" && !is_own()) {
            return;
        }
        let message = Inbound { chat: reaction.chat.clone(), sender: reaction.sender.clone(), ..Inbound::default() };
        let place = routing::place(self.config, &Peer::of(self.id(), &self.account.id, &message));
        let sender = &reaction.sender;
        let label = match (&sender.name, &sender.username) {
            (Some(name), Some(handle)) => format!("{name} (@{handle})"),
            (Some(name), None) => name.clone(),
            (None, Some(handle)) => format!("@{handle}"),
            (None, None) => format!("id:{}", sender.id),
        };
        for emoji in &reaction.emoji {
            let label_of = self.channel.info().label;
            let text = format!("{label_of} reaction added: {emoji} by {label} on msg {}", reaction.message_id);
            self.cx.system_events.push(&place.session, &text, self.at.now_ms);
        }
    }

    /// Moves the settings of a group that has another id now.
    fn moved(&self, from: &str, to: &str) {
        if self.account.settings.get("configWrites") == Some(&json!(false)) {
            return log::warn!(target: "gateway/channels", "{} group {from} is {to} now; configWrites is off, so its settings stay", self.id());
        }
        let (channel, account) = (self.id(), &self.account.id);
        let move_in = |groups: Option<&mut Value>| {
            let groups = groups.and_then(Value::as_object_mut);
            if let Some(groups) = groups.filter(|groups| !groups.contains_key(to))
                && let Some(settings) = groups.shift_remove(from)
            {
                groups.insert(to.to_owned(), settings);
            }
        };
        if self.account.settings.get("groups").is_none_or(|groups| groups.get(from).is_none()) {
            return;
        }
        let written = write::edit(self.at.paths, |tree| {
            move_in(tree.pointer_mut(&format!("/channels/{channel}/groups")));
            let accounts = tree.pointer_mut(&format!("/channels/{channel}/accounts")).and_then(Value::as_object_mut);
            // Ids are the keys as people write them, trimmed and in lower case.
            let own = accounts.into_iter().flatten().filter(|(id, _)| id.trim().to_lowercase() == *account);
            own.for_each(|(_, own)| move_in(own.get_mut("groups")));
            Ok(())
        });
        match written {
            Ok(_) => log::info!(target: "gateway/channels", "{channel} group {from} is {to} now; its settings moved"),
            Err(error) => log::error!(target: "gateway/channels", "{channel} group {from} is {to} now, but: {error}"),
        }
    }
}
