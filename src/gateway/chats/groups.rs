//! Groups: whether a message must be meant for us, what was said before it, what the model is told of the place
//! (channels.md §4).

use serde_json::Value;

use super::handle::Chat;
use super::history::Entry;
use super::routing::Place;
use crate::agent::{session, sessions};
use crate::base::ids::AgentId;
use crate::channels::access::GroupSettings;
use crate::channels::envelope::{self, Style};
use crate::channels::inbound::Inbound;
use crate::channels::mentions::{self, Gate};

/// Messages of a group that are remembered unless configured.
const HISTORY_DEFAULT: u64 = 50;
const HISTORY_HEAD: &str = "[Chat messages since your last reply - for context]";
const CURRENT_HEAD: &str = "[Current message - respond to this]";
/// What a model says that has nothing to say.
const SILENT: &str = "NO_REPLY";

/// Returns what decides whether a message of a group is meant for us.
pub(super) fn gate(chat: &Chat<'_>, place: &Place, message: &Inbound) -> Gate {
    let requires = activation(chat, place).map(|activation| activation != "always");
    let settings = GroupSettings::find(chat.account, &message.chat.id, message.chat.thread.as_deref());
    let requires = requires
        .or_else(|| settings.get("requireMention").and_then(Value::as_bool))
        .or_else(|| GroupSettings::find(chat.account, "*", None).get("requireMention").and_then(Value::as_bool));
    Gate::new(&patterns(chat, &place.agent), requires.unwrap_or(true))
}

/// Returns `mention` or `always` when somebody chose it for this session.
fn activation(chat: &Chat<'_>, place: &Place) -> Option<String> {
    let entry = chat.cx.sessions.entry(&place.session)?;
    entry.group_activation.filter(|activation| matches!(activation.as_str(), "mention" | "always"))
}

fn patterns(chat: &Chat<'_>, agent: &AgentId) -> Vec<String> {
    let own = session::agent_entry(chat.config, agent).and_then(|entry| entry.group_chat.mention_patterns.as_ref());
    match own.or(chat.config.messages.group_chat.mention_patterns.as_ref()) {
        // An empty list is an answer: no patterns.
        Some(list) => list.clone(),
        None => {
            let identity = session::agent_entry(chat.config, agent).and_then(|entry| entry.identity.clone());
            let identity = identity.unwrap_or_default();
            mentions::derived(identity.name.as_deref(), identity.emoji.as_deref())
        }
    }
}

fn history_limit(chat: &Chat<'_>) -> usize {
    let own = chat.account.settings.get("historyLimit").and_then(Value::as_u64);
    let shared = chat.config.messages.group_chat.history_limit;
    usize::try_from(own.or(shared).unwrap_or(HISTORY_DEFAULT)).unwrap_or(usize::MAX)
}

fn history_key(chat: &Chat<'_>, message: &Inbound) -> String {
    format!("{}\n{}\n{}", chat.channel.info().id, chat.account.id, message.chat.place())
}

/// Remembers a message that is not answered.
pub(super) fn remember(chat: &Chat<'_>, message: &Inbound, raw: &str) {
    let entry = Entry {
        sender: envelope::sender_label(&message.sender),
        body: raw.to_owned(),
        at: message.sent_at,
        message_id: message.message_id.clone(),
    };
    chat.cx.chats.history.push(&history_key(chat, message), entry, history_limit(chat));
}

/// Forgets what was told with a message.
pub(super) fn forget(chat: &Chat<'_>, message: &Inbound) {
    chat.cx.chats.history.clear(&history_key(chat, message));
}

/// Puts what was said before in front of a message.
pub(super) fn with_history(chat: &Chat<'_>, message: &Inbound, style: &Style, current: String) -> String {
    let entries = chat.cx.chats.history.of(&history_key(chat, message));
    if entries.is_empty() || history_limit(chat) == 0 {
        return current;
    }
    let from = envelope::conversation(message);
    let lines = entries.iter().map(|entry| {
        let mark = chat.channel.history_mark(&message.chat.id, &entry.message_id);
        let body = format!("{}: {}{mark}", entry.sender, entry.body);
        let at = Some(entry.at).filter(|at| *at > 0);
        envelope::envelope(chat.channel.info(), &from, at, None, style, &body)
    });
    let history: Vec<String> = lines.collect();
    format!("{HISTORY_HEAD}\n{}\n\n{CURRENT_HEAD}\n{current}", history.join("\n"))
}

/// Returns what the model is told beside the message: the group's own instructions, and once what kind of place it is in.
pub(super) fn instructions(chat: &Chat<'_>, message: &Inbound, entry: Option<&sessions::Entry>) -> Option<String> {
    if !message.chat.is_group() {
        return None;
    }
    let is_first = entry.is_none_or(|entry| {
        entry.system_sent != Some(true)
            || entry.other.get("groupActivationNeedsSystemIntro") == Some(&Value::Bool(true))
    });
    let mut parts = Vec::new();
    if is_first {
        parts.push(intro(chat, message, entry));
    }
    let settings = GroupSettings::find(chat.account, &message.chat.id, message.chat.thread.as_deref());
    parts.extend(settings.texts("systemPrompt").into_iter().map(str::to_owned));
    (!parts.is_empty()).then(|| parts.join("\n\n"))
}

fn intro(chat: &Chat<'_>, message: &Inbound, entry: Option<&sessions::Entry>) -> String {
    let label = chat.channel.info().label;
    let settings = GroupSettings::find(chat.account, &message.chat.id, message.chat.thread.as_deref());
    let chosen = entry.and_then(|entry| entry.group_activation.as_deref());
    let is_always = match chosen {
        Some(activation) => activation == "always",
        None => settings.get("requireMention") == Some(&Value::Bool(false)),
    };
    let place = match message.chat.title.as_deref().map(str::trim).filter(|title| !title.is_empty()) {
        Some(title) => format!("You are taking part in the {label} group \"{title}\"."),
        None => format!("You are taking part in a {label} group."),
    };
    let mut lines = vec![place];
    if !message.chat.members.is_empty() {
        lines.push(format!("Its members: {}.", message.chat.members.join(", ")));
    }
    if is_always {
        lines.push("You get every message of the group.".to_owned());
        lines.push(format!("When nothing needs to be said, answer with exactly {SILENT} and nothing else."));
        lines.push("Speak up seldom: when somebody speaks to you, or when you can clearly help.".to_owned());
    } else {
        lines.push("You get a message only when it is meant for you, with what was said before it.".to_owned());
    }
    lines.push("Mostly listen. Write as a person does, without tables.".to_owned());
    lines.push("Speak to the person who wrote the current message.".to_owned());
    lines.join(" ")
}
