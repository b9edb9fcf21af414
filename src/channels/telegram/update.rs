//! What an update means: the event that every network has (channels.md §12.6).
//!
//! Pure. What is not answered (edits, posts of channels, service messages, polls) becomes nothing. Not here: who may speak.

use std::collections::BTreeMap;

use serde_json::json;

use super::buttons::Scope;
use super::entities;
use super::types::{self, CallbackQuery, Message, ReactionUpdate, Update, User};
use crate::channels::channel::Account;
use crate::channels::inbound::{
    Chat, ChatKind, Event, Forwarded, Inbound, Location, MediaKind, MediaRef, Mentions, Quoted, Reacted, Sender,
};

/// Units of a text from which on the next message may be its rest: the network cuts pastes a little above.
const FULL_UNITS: usize = 4000;
/// The topic that a forum's messages without a topic belong to.
const GENERAL_TOPIC: i64 = 1;

/// Who reads the updates.
pub struct Reader<'a> {
    /// The bot itself.
    pub me: &'a User,
    /// Its account.
    pub account: &'a Account,
}

impl Reader<'_> {
    /// Returns the event of an update, if it has one.
    pub fn event(&self, update: &Update) -> Option<Event> {
        let id = update.update_id.to_string();
        if let Some(message) = &update.message {
            if let Some(to) = message.migrate_to_chat_id {
                return Some(Event::Moved { update_id: id, from: message.chat.id.to_string(), to: to.to_string() });
            }
            return self.message(id, message).map(|inbound| Event::Message(Box::new(inbound)));
        }
        if let Some(query) = &update.callback_query {
            return self.button(id, query).map(|inbound| Event::Message(Box::new(inbound)));
        }
        let reaction = update.message_reaction.as_ref()?;
        self.reaction(id, reaction).map(|reacted| Event::Reaction(Box::new(reacted)))
    }

    fn message(&self, update_id: String, message: &Message) -> Option<Inbound> {
        let (words, marks) = match &message.text {
            Some(text) => (text.as_str(), &message.entities),
            None => (message.caption.as_deref().unwrap_or_default(), &message.caption_entities),
        };
        let mut text = entities::with_links(words, marks).trim().to_owned();
        let media: Vec<MediaRef> = media(message).into_iter().collect();
        if let Some(other) = other_words(message).filter(|_| text.is_empty()) {
            text = other;
        }
        let location = location(message);
        if text.is_empty() && media.is_empty() && location.is_none() {
            return None;
        }
        let own = self.me.username.as_deref().map(str::to_lowercase);
        Some(Inbound {
            update_id,
            message_id: message.message_id.to_string(),
            chat: chat(&message.chat, message.message_thread_id),
            sender: sender(message.from.as_ref(), &message.chat),
            sent_at: message.date.saturating_mul(1000),
            is_full: message.text.is_some() && !words.trim_start().starts_with('/') && units(words) >= FULL_UNITS,
            mentions: Mentions {
                can_tell: own.is_some(),
                is_ours: own.as_ref().is_some_and(|own| words.to_lowercase().contains(&format!("@{own}"))),
                is_any: entities::has_mention(marks),
            },
            text,
            media,
            album: message.media_group_id.clone(),
            quoted: self.quoted(message),
            forwarded: forwarded(message),
            location,
            own_username: self.me.username.clone(),
            ..Inbound::default()
        })
    }

    /// A pressed button speaks for who pressed it.
    fn button(&self, update_id: String, query: &CallbackQuery) -> Option<Inbound> {
        let message = query.message.as_ref()?;
        let text = query.data.as_deref().map(str::trim).filter(|text| !text.is_empty())?;
        let chat = chat(&message.chat, message.message_thread_id);
        if !Scope::of(self.account).covers(chat.kind == ChatKind::Group) {
            return None;
        }
        Some(Inbound {
            update_id,
            message_id: query.id.clone(),
            sender: sender(Some(&query.from), &message.chat),
            sent_at: message.date.saturating_mul(1000),
            text: text.to_owned(),
            mentions: Mentions { can_tell: true, is_ours: true, is_any: false },
            own_username: self.me.username.clone(),
            is_button: true,
            chat,
            ..Inbound::default()
        })
    }

    fn reaction(&self, update_id: String, reaction: &ReactionUpdate) -> Option<Reacted> {
        let is_off = self.account.text("reactionNotifications") == Some("off");
        if is_off || reaction.user.as_ref().is_some_and(|user| user.is_bot) {
            return None;
        }
        let emoji = |list: &[types::ReactionType]| -> Vec<String> {
            list.iter().filter(|it| it.kind == "emoji").filter_map(|it| it.emoji.clone()).collect()
        };
        let old = emoji(&reaction.old_reaction);
        let added: Vec<String> = emoji(&reaction.new_reaction).into_iter().filter(|it| !old.contains(it)).collect();
        (!added.is_empty()).then(|| Reacted {
            update_id,
            chat: chat(&reaction.chat, reaction.message_thread_id),
            sender: match &reaction.user {
                Some(user) => sender(Some(user), &reaction.chat),
                None => Sender::default(),
            },
            message_id: reaction.message_id.to_string(),
            emoji: added,
        })
    }

    fn quoted(&self, message: &Message) -> Option<Quoted> {
        let reply = message.reply_to_message.as_ref()?;
        let quote = message.quote.as_ref().map(|quote| quote.text.trim()).filter(|text| !text.is_empty());
        let words = quote.or(reply.text.as_deref()).or(reply.caption.as_deref()).unwrap_or_default().trim();
        let mut text = words.to_owned();
        if text.is_empty() {
            text = match (media(reply), location(reply)) {
                (Some(media), _) => media.kind.placeholder().to_owned(),
                (None, Some(location)) => location_words(&location),
                (None, None) => other_words(reply)?,
            };
        }
        let name = reply.from.as_ref().and_then(User::name);
        Some(Quoted {
            message_id: Some(reply.message_id).filter(|id| *id != 0).map(|id| id.to_string()),
            sender: name.unwrap_or_else(|| "unknown sender".to_owned()),
            text,
            is_ours: reply.from.as_ref().is_some_and(|from| from.id == self.me.id),
        })
    }
}

fn units(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

fn chat(chat: &types::Chat, thread: Option<i64>) -> Chat {
    let thread = if chat.is_forum { Some(thread.unwrap_or(GENERAL_TOPIC)) } else { thread };
    Chat {
        id: chat.id.to_string(),
        kind: match chat.kind.as_str() {
            "group" | "supergroup" => ChatKind::Group,
            "channel" => ChatKind::Channel,
            _ => ChatKind::Direct,
        },
        title: chat.title.clone(),
        thread: thread.map(|thread| thread.to_string()),
        is_forum: chat.is_forum,
        members: Vec::new(),
    }
}

fn sender(from: Option<&User>, chat: &types::Chat) -> Sender {
    let Some(user) = from else {
        let id = if chat.kind == "private" { chat.id.to_string() } else { String::new() };
        return Sender { id, ..Sender::default() };
    };
    let mut meta = BTreeMap::new();
    let mut add = |key: &str, value: Option<&str>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            meta.insert(key.to_owned(), value.to_owned());
        }
    };
    add("username", user.username.as_deref());
    add("firstName", Some(&user.first_name));
    add("lastName", user.last_name.as_deref());
    Sender {
        id: user.id.to_string(),
        name: user.name(),
        username: user.username.clone(),
        is_bot: user.is_bot,
        meta,
        ..Sender::default()
    }
}

/// Returns the file of a message; of a picture its largest size.
fn media(message: &Message) -> Option<MediaRef> {
    let still = message.sticker.as_ref().filter(|sticker| !sticker.is_animated && !sticker.is_video);
    let (kind, file) = None
        .or(message.photo.last().map(|file| (MediaKind::Image, file)))
        .or(message.video.as_ref().map(|file| (MediaKind::Video, file)))
        .or(message.video_note.as_ref().map(|file| (MediaKind::Video, file)))
        .or(message.audio.as_ref().map(|file| (MediaKind::Audio, file)))
        .or(message.voice.as_ref().map(|file| (MediaKind::Audio, file)))
        .or(message.document.as_ref().map(|file| (MediaKind::Document, file)))
        .or(still.map(|file| (MediaKind::Sticker, file)))?;
    Some(MediaRef {
        kind,
        source: json!({"fileId": file.file_id}),
        mime: file.mime_type.clone(),
        name: file.file_name.clone(),
        size_bytes: file.file_size,
    })
}

/// Returns words for what has neither text nor a file that anybody could look at.
fn other_words(message: &Message) -> Option<String> {
    if let Some(sticker) = message.sticker.as_ref().filter(|sticker| sticker.is_animated || sticker.is_video) {
        let emoji = sticker.emoji.as_deref().map(|emoji| format!(" {emoji}")).unwrap_or_default();
        return Some(format!("{}{emoji}", MediaKind::Sticker.placeholder()));
    }
    let contact = message.contact.as_ref()?;
    let name = [Some(contact.first_name.as_str()), contact.last_name.as_deref()];
    let name = name.into_iter().flatten().collect::<Vec<_>>().join(" ");
    Some(format!("<contact: {}, {}>", name.trim(), contact.phone_number))
}

fn location(message: &Message) -> Option<Location> {
    let venue = message.venue.as_ref();
    let place = venue.map(|venue| &venue.location).or(message.location.as_ref())?;
    Some(Location {
        latitude: place.latitude,
        longitude: place.longitude,
        accuracy_metres: place.horizontal_accuracy,
        name: venue.and_then(|venue| venue.title.clone()),
        address: venue.and_then(|venue| venue.address.clone()),
        is_live: venue.is_none() && place.live_period.is_some_and(|seconds| seconds > 0),
    })
}

fn location_words(location: &Location) -> String {
    let place = format!("{:.6}, {:.6}", location.latitude, location.longitude);
    match &location.name {
        Some(name) => format!("📍 {name} ({place})"),
        None => format!("📍 {place}"),
    }
}

fn forwarded(message: &Message) -> Option<Forwarded> {
    let of_user = |user: &User| {
        let handle = user.username.as_deref().map(|name| format!("@{name}"));
        let name = User { username: None, ..user.clone() }.name();
        match (name, handle) {
            (Some(name), Some(handle)) => format!("{name} ({handle})"),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => format!("user:{}", user.id),
        }
    };
    let of_chat = |chat: &types::Chat, signature: Option<&str>| {
        let title = chat.title.as_deref().map(str::trim).filter(|title| !title.is_empty()).map(str::to_owned);
        let kind = if chat.kind == "channel" { "channel" } else { "chat" };
        let label = title.or(chat.username.as_deref().map(|name| format!("@{name}")));
        let label = label.unwrap_or_else(|| format!("{kind}:{}", chat.id));
        match signature.map(str::trim).filter(|signature| !signature.is_empty()) {
            Some(signature) => format!("{label} ({signature})"),
            None => label,
        }
    };
    let legacy_signature = message.forward_signature.as_deref();
    let found = match &message.forward_origin {
        Some(origin) => {
            let signature = origin.author_signature.as_deref().or(legacy_signature);
            let label = match origin.kind.as_str() {
                "user" => origin.sender_user.as_ref().map(of_user),
                "hidden_user" => origin.sender_user_name.clone(),
                "chat" => origin.sender_chat.as_ref().map(|chat| of_chat(chat, signature)),
                "channel" => origin.chat.as_ref().map(|chat| of_chat(chat, signature)),
                _ => None,
            };
            label.map(|label| (label, origin.date))
        }
        None => None,
    };
    let legacy = || {
        let chat = message.forward_from_chat.as_ref().map(|chat| of_chat(chat, legacy_signature));
        let user = message.forward_from.as_ref().map(of_user);
        let label = chat.or(user).or(message.forward_sender_name.clone())?;
        Some((label, message.forward_date))
    };
    let (label, date) = found.or_else(legacy)?;
    Some(Forwarded { label: label.trim().to_owned(), sent_at: date.map(|seconds| seconds.saturating_mul(1000)) })
}

#[cfg(test)]
mod tests;
