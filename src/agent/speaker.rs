//! Who spoke, where, and what that person may ask for.
//!
//! Data that comes with a message and stays with its run. Not here: how a channel finds out (`channels`).

use serde::{Deserialize, Serialize};

/// What kind of chat it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChatKind {
    /// One person.
    #[default]
    Direct,
    /// A group.
    Group,
    /// A room or broadcast channel.
    Channel,
}

impl ChatKind {
    /// Returns the word that session entries and rules use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Group => "group",
            Self::Channel => "channel",
        }
    }
}

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Speaker {
    /// Channel id; `webchat` for clients of the gateway.
    pub channel: String,
    /// The account that received it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The kind of chat.
    pub chat: ChatKind,
    /// The sender's id in the network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The sender's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The sender's handle, without `@`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Whether the sender may give commands and directives (agent.md §11).
    pub is_authorised: bool,
    /// Whether the bot was addressed; always so in direct chats.
    pub was_mentioned: bool,
    /// The message's id in the network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// Whether the command came through the network's own menu, so that it is one whatever `commands.text` says.
    pub is_native: bool,
}

impl Speaker {
    /// A client of the gateway, which has shown its secret.
    pub fn webchat() -> Self {
        Self { channel: "webchat".to_owned(), is_authorised: true, was_mentioned: true, ..Self::default() }
    }

    /// Returns whether others listen.
    pub fn is_group(&self) -> bool {
        self.chat != ChatKind::Direct
    }
}
