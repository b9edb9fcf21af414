//! Messages as transcripts keep them and providers are fed from them (agent.md §5).
//!
//! The shapes are a promise: the original reads and writes the same lines. Kinds of message this version does not know
//! stay as raw JSON in the transcript and never reach these types.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::clock::UnixMs;

/// One message; `role` decides the shape.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "camelCase")]
pub enum Message {
    /// What the user (or the gateway in the user's place) said.
    User(UserMessage),
    /// What the model answered.
    Assistant(AssistantMessage),
    /// What a tool call gave.
    ToolResult(ToolResultMessage),
}

/// A user turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserMessage {
    /// Text or blocks.
    pub content: Content,
    /// When it arrived.
    #[serde(default)]
    pub timestamp: UnixMs,
}

/// Content that old files hold as a string and new ones as blocks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Content {
    /// Plain text.
    Text(String),
    /// Blocks.
    Blocks(Vec<Block>),
}

impl Content {
    /// Returns the text of all text blocks, joined by newlines.
    pub fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Blocks(blocks) => blocks_text(blocks),
        }
    }
}

/// Returns the text of all text blocks, joined by newlines.
pub fn blocks_text(blocks: &[Block]) -> String {
    let texts: Vec<&str> = blocks
        .iter()
        .filter_map(|block| match block {
            Block::Text { text, .. } => Some(text.as_str()),
            _ => None,
        })
        .collect();
    texts.join("\n")
}

/// One block of content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Block {
    /// Text.
    Text {
        /// The text.
        text: String,
        /// Provider's signature, replayed as it came.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text_signature: Option<String>,
    },
    /// Reasoning.
    Thinking {
        /// The reasoning.
        thinking: String,
        /// Provider's signature, or the field name it came in.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        thinking_signature: Option<String>,
    },
    /// An image.
    Image {
        /// Base64.
        data: String,
        /// `image/png` and the like.
        mime_type: String,
    },
    /// A tool call of the model.
    ToolCall {
        /// The model's id.
        id: String,
        /// Tool name.
        name: String,
        /// Arguments, an object.
        arguments: Value,
        /// Provider's signature.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        thought_signature: Option<String>,
    },
}

impl Block {
    /// Returns a text block without a signature.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into(), text_signature: None }
    }
}

/// A model's turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AssistantMessage {
    /// Text, reasoning and tool calls in order.
    pub content: Vec<Block>,
    /// Wire format it came over; absent in injected messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<String>,
    /// Provider id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Model id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Tokens and cost.
    #[serde(default)]
    pub usage: Usage,
    /// Why it ended.
    #[serde(default)]
    pub stop_reason: StopReason,
    /// What went wrong, with stop reason `error` or `aborted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// When it ended.
    #[serde(default)]
    pub timestamp: UnixMs,
}

/// Why a model's turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StopReason {
    /// It was done.
    #[default]
    Stop,
    /// It hit the token limit.
    Length,
    /// It wants tools to run.
    ToolUse,
    /// It failed.
    Error,
    /// The run was aborted.
    Aborted,
    /// No model spoke: the gateway or an operator put the text there.
    Injected,
}

/// Tokens of one turn, and what they cost.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Usage {
    /// Prompt tokens that were not cached.
    pub input: u64,
    /// Answer tokens.
    pub output: u64,
    /// Prompt tokens read from a cache.
    pub cache_read: u64,
    /// Prompt tokens written to a cache.
    pub cache_write: u64,
    /// All of them.
    pub total_tokens: u64,
    /// Cost in USD.
    pub cost: UsageCost,
}

/// Cost of one turn in USD.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct UsageCost {
    /// Prompt.
    pub input: f64,
    /// Answer.
    pub output: f64,
    /// Cache reads.
    pub cache_read: f64,
    /// Cache writes.
    pub cache_write: f64,
    /// Sum.
    pub total: f64,
}

/// What a tool call gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolResultMessage {
    /// The call it answers.
    pub tool_call_id: String,
    /// Tool name.
    pub tool_name: String,
    /// Text and images.
    pub content: Vec<Block>,
    /// Machine-readable details.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
    /// Whether it failed.
    pub is_error: bool,
    /// When it ended.
    #[serde(default)]
    pub timestamp: UnixMs,
}
