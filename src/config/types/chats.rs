//! Sections about chats: `messages`, `bindings`, and what of them agents have for themselves.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::tts;

/// `messages`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Messages {
    /// Prefix of outbound texts.
    pub response_prefix: Option<String>,
    /// The sign that says that a message was seen; empty is none.
    pub ack_reaction: Option<String>,
    /// Where it is shown: group-mentions (default), group-all, direct, all, off.
    pub ack_reaction_scope: Option<String>,
    /// Whether it goes when the answer is there.
    pub remove_ack_after_reply: Option<bool>,
    /// How quick messages are put together.
    pub inbound: InboundPace,
    /// Groups.
    pub group_chat: GroupChat,
    /// `messages.tts`.
    pub tts: tts::Tts,
}

/// `messages.inbound`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct InboundPace {
    /// How long a message waits for its like, in milliseconds.
    pub debounce_ms: Option<f64>,
    /// The same by channel.
    pub by_channel: BTreeMap<String, f64>,
}

/// `messages.groupChat`, and that of an agent.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GroupChat {
    /// Patterns of being meant; an empty list is none.
    pub mention_patterns: Option<Vec<String>>,
    /// Messages that are remembered; 0 is none.
    pub history_limit: Option<u64>,
}

/// One of `bindings`: which agent answers what.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Binding {
    /// The agent.
    pub agent_id: String,
    /// What it answers.
    #[serde(rename = "match")]
    pub covers: BindingMatch,
}

/// `bindings[].match`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BindingMatch {
    /// The channel.
    pub channel: String,
    /// The account; absent is the default one, `*` is any.
    pub account_id: Option<String>,
    /// The conversation.
    pub peer: Option<BindingPeer>,
    /// A guild (of networks that have such).
    pub guild_id: Option<String>,
    /// A team (of networks that have such).
    pub team_id: Option<String>,
}

/// `bindings[].match.peer`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BindingPeer {
    /// dm, group or channel.
    pub kind: String,
    /// Its id.
    pub id: String,
}

impl Binding {
    /// Returns whether it is of a channel.
    pub fn is_of(&self, channel: &str) -> bool {
        self.covers.channel.trim().eq_ignore_ascii_case(channel)
    }

    /// Returns the account that it names, as accounts are called; `None` when it names none.
    pub fn account(&self) -> Option<String> {
        let account = self.covers.account_id.as_deref().map(|id| id.trim().to_lowercase());
        account.filter(|id| !id.is_empty())
    }
}
