//! What goes out: where to, the messages into which a channel splits a reply, and what came of it.
//!
//! Pure data. Not here: the order, the journal and the attempts (`outbox`, and `gateway::deliveries` on top of it).

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Where something goes within an account.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Address {
    /// The chat, as [`super::channel::Channel::target`] spelled it.
    pub to: String,
    /// Thread or topic within it.
    pub thread: Option<String>,
}

/// A question to be sent.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Poll {
    /// The question.
    pub question: String,
    /// What can be chosen.
    pub options: Vec<String>,
    /// How many of them.
    pub selections_max: usize,
    /// How long it is open, where the network knows that.
    pub duration_hours: Option<u64>,
}

/// One message of a network, as its channel wrote it; kept in the journal until it is out.
pub type Part = Value;

/// What was sent: the network's ids, as the protocol names them (`messageId`, `chatId`, `toJid` …).
pub type Sent = Map<String, Value>;

/// Why nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendError {
    /// The account has no credentials: somebody must link it.
    NotLinked(String),
    /// The network refuses it for good, or it cannot be sent as it is.
    Failed(String),
    /// Nothing arrived, for sure enough; it is tried again, not before `after`.
    Later {
        /// What happened.
        text: String,
        /// How long the network asks to wait.
        after: Option<Duration>,
    },
    /// Nobody knows whether it arrived, and a second time would be noticed.
    Unclear(String),
}

impl SendError {
    /// Returns what happened, for people.
    pub fn text(&self) -> &str {
        match self {
            Self::NotLinked(text) | Self::Failed(text) | Self::Later { text, .. } | Self::Unclear(text) => text,
        }
    }
}

/// A reaction to be set.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reaction {
    /// The message.
    pub message_id: String,
    /// The emoji; empty takes ours away.
    pub emoji: String,
    /// Whether ours is taken away.
    pub is_removal: bool,
    /// More that a network needs (`participant`, `fromMe`).
    pub more: Map<String, Value>,
}
