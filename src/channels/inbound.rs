//! What comes in: a message as every network has it, and the sink it is handed to.
//!
//! A channel translates what its network tells and hands it over; it may confirm to the network what [`Sink::accept`] has
//! taken, because that is on the disk. Whether anybody may speak, what is answered and by whom is decided behind the sink,
//! the same for all networks. Not here: the network, and the journal behind the sink (`received`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::clock::UnixMs;

/// What happened in a network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Event {
    /// Somebody said something.
    Message(Box<Inbound>),
    /// Somebody reacted to a message.
    Reaction(Box<Reacted>),
    /// A group has another id from now on.
    Moved {
        /// Unique per account, as [`Inbound::update_id`].
        update_id: String,
        /// The old id.
        from: String,
        /// The new one.
        to: String,
    },
}

impl Event {
    /// Returns what tells it apart from all others of its account.
    pub fn update_id(&self) -> &str {
        match self {
            Self::Message(message) => &message.update_id,
            Self::Reaction(reaction) => &reaction.update_id,
            Self::Moved { update_id, .. } => update_id,
        }
    }

    /// Returns the conversation in which order is kept.
    pub fn place(&self) -> String {
        match self {
            Self::Message(message) => message.chat.place(),
            Self::Reaction(reaction) => reaction.chat.place(),
            Self::Moved { from, .. } => from.clone(),
        }
    }
}

/// Kinds of conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ChatKind {
    /// With one person.
    #[default]
    Direct,
    /// With several.
    Group,
    /// A stage, where few speak to many.
    Channel,
}

/// A conversation.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Chat {
    /// Its id in the network; answers go there.
    pub id: String,
    /// Its kind.
    pub kind: ChatKind,
    /// Its name for people.
    pub title: Option<String>,
    /// Thread or topic within it.
    pub thread: Option<String>,
    /// Whether threads are all there is (a forum): then one without a number is the general one.
    pub is_forum: bool,
    /// Who is in it, when the network says so: names for people.
    pub members: Vec<String>,
}

impl Chat {
    /// Returns whether more than one person is there.
    pub fn is_group(&self) -> bool {
        self.kind != ChatKind::Direct
    }

    /// Returns its id with its thread.
    pub fn place(&self) -> String {
        match &self.thread {
            Some(thread) => format!("{}:topic:{thread}", self.id),
            None => self.id.clone(),
        }
    }
}

/// Who speaks.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Sender {
    /// Id in the network.
    pub id: String,
    /// Name for people.
    pub name: Option<String>,
    /// Handle, without `@`.
    pub username: Option<String>,
    /// Phone number, `+` and digits.
    pub e164: Option<String>,
    /// Whether it is a program.
    pub is_bot: bool,
    /// What a pairing request keeps of the sender (`username`, `firstName` …).
    pub meta: BTreeMap<String, String>,
}

/// Kinds of what comes with a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MediaKind {
    /// A picture.
    Image,
    /// A film.
    Video,
    /// Sound, also a voice note.
    Audio,
    /// Any file.
    Document,
    /// A sticker.
    Sticker,
}

impl MediaKind {
    /// Returns the word that stands for a message without text.
    pub fn placeholder(self) -> &'static str {
        match self {
            Self::Image => "<media:image>",
            Self::Video => "<media:video>",
            Self::Audio => "<media:audio>",
            Self::Document => "<media:document>",
            Self::Sticker => "<media:sticker>",
        }
    }
}

/// A file that the network keeps; the channel gets it when it is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MediaRef {
    /// What it is.
    pub kind: MediaKind,
    /// How the channel finds it again.
    pub source: Value,
    /// Type, as the network has it.
    #[serde(default)]
    pub mime: Option<String>,
    /// File name.
    #[serde(default)]
    pub name: Option<String>,
    /// Size, when known.
    #[serde(default)]
    pub size_bytes: Option<u64>,
}

/// The message that this one answers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Quoted {
    /// Its id.
    pub message_id: Option<String>,
    /// Who said it.
    pub sender: String,
    /// What it said, or the placeholder of what it carried.
    pub text: String,
    /// Whether it was ours.
    pub is_ours: bool,
}

/// Where a passed-on message comes from.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Forwarded {
    /// Who, for people.
    pub label: String,
    /// When it was said first.
    pub sent_at: Option<UnixMs>,
}

/// A place on earth.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Location {
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// How far off it may be.
    pub accuracy_metres: Option<f64>,
    /// Name of the place.
    pub name: Option<String>,
    /// Its address.
    pub address: Option<String>,
    /// Whether it moves.
    pub is_live: bool,
}

/// Who is spoken to, as far as the network marks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Mentions {
    /// Whether our own name is known, so that a mention can be told.
    pub can_tell: bool,
    /// Whether we are mentioned.
    pub is_ours: bool,
    /// Whether anybody is.
    pub is_any: bool,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Inbound {
    /// What the network calls this event, unique within the account: it is handled once.
    pub update_id: String,
    /// Id of the message; replies and reactions name it.
    pub message_id: String,
    /// Where.
    pub chat: Chat,
    /// Who.
    pub sender: Sender,
    /// When it was said.
    pub sent_at: UnixMs,
    /// What; empty when there is only media. Links that the network marks are Markdown.
    pub text: String,
    /// What comes with it.
    pub media: Vec<MediaRef>,
    /// Messages of one album: they are answered together.
    pub album: Option<String>,
    /// Whether the text is as long as the network lets it be, so that the next message may be its rest.
    pub is_full: bool,
    /// What it answers.
    pub quoted: Option<Quoted>,
    /// Where it was passed on from.
    pub forwarded: Option<Forwarded>,
    /// A place.
    pub location: Option<Location>,
    /// Who is spoken to.
    pub mentions: Mentions,
    /// How the bot is called in this network, without `@`: `/cmd@name` is ours, and a mention is left out of commands.
    pub own_username: Option<String>,
    /// Whether somebody pressed a button of ours: it counts as spoken to us, and no code is offered.
    pub is_button: bool,
}

/// A reaction.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Reacted {
    /// As [`Inbound::update_id`].
    pub update_id: String,
    /// Where.
    pub chat: Chat,
    /// Who.
    pub sender: Sender,
    /// The message.
    pub message_id: String,
    /// What was added.
    pub emoji: Vec<String>,
}

/// Why nothing more is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AcceptError {
    /// The account is being stopped.
    Stopped,
    /// It could not be written down; trying again may help.
    Disk(String),
}

impl std::fmt::Display for AcceptError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stopped => f.write_str("the account is being stopped"),
            Self::Disk(error) => write!(f, "what was received could not be written down: {error}"),
        }
    }
}

/// Takes what comes in.
pub trait Sink: Send + Sync {
    /// Takes events of one account, in order; they are on the disk when this returns, and will be handled once each, also
    /// after a crash. Waits while too many wait to be handled, so that the network keeps the rest. Handing in an event
    /// again does nothing.
    ///
    /// # Errors
    /// See [`AcceptError`]; then none of them counts.
    fn accept(&self, events: Vec<Event>) -> Result<(), AcceptError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_older_version_wrote_can_be_read() {
        let event = Event::Message(Box::new(Inbound { update_id: "7".to_owned(), ..Inbound::default() }));
        let text = serde_json::to_string(&event).expect("write");
        assert_eq!(serde_json::from_str::<Event>(&text).expect("read"), event);
        let old: Event =
            serde_json::from_str(r#"{"message":{"updateId":"8","chat":{"id":"-1","thread":"3"}}}"#).expect("read");
        assert_eq!((old.update_id(), old.place()), ("8", "-1:topic:3".to_owned()));
    }
}
