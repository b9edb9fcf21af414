//! One message of a reply on its way into a chat: what the outbox keeps of it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a message is to the conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReplyKind {
    /// An answer, or its last part.
    #[default]
    Final,
    /// A part of an answer that is still being written.
    Block,
    /// What a tool does.
    Tool,
    /// The model's reasoning.
    Reasoning,
    /// A word of the gateway's own: the answer of a command, a notice.
    Notice,
}

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Reply {
    /// What to say; empty when there is media only.
    pub text: String,
    /// Pictures and files, by URL or path.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub media: Vec<String>,
    /// The message that this one answers, before the channel's `replyToMode` has its say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
    /// Thread or topic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread: Option<String>,
    /// Whether sound goes out as a voice note.
    pub is_voice: bool,
    /// Whether a video plays as an animation.
    pub is_gif: bool,
    /// Rows of buttons, as whoever speaks wrote them (`[[{text, callback_data}]]`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub buttons: Option<Value>,
    /// What it is.
    pub kind: ReplyKind,
    /// The session it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
}

impl From<&str> for Reply {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<String> for Reply {
    fn from(text: String) -> Self {
        Self { text, ..Self::default() }
    }
}
