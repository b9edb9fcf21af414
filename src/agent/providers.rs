//! Model providers: one trait, one file per wire format.
//!
//! A provider makes one turn of a model: it is given the conversation and streams what the model says. Runs on the job's
//! thread and blocks there. Not here: retries and fallbacks (`failover`), the loop of a run (`run`).

mod offline;
mod openai;

use std::time::Duration;

use serde_json::Value;

use super::message::{AssistantMessage, Message};
use super::models::Model;
use crate::base::clock::Clock;
use crate::net::fetch::Fetch;

/// One turn that is asked for.
pub struct TurnRequest<'a> {
    /// Who speaks.
    pub model: &'a Model,
    /// The system prompt.
    pub system_prompt: &'a str,
    /// The conversation, ending with what is to be answered.
    pub messages: &'a [Message],
    /// Tools on offer: name, description, JSON Schema of the parameters.
    pub tools: &'a [ToolSpec],
    /// off, minimal, low, medium, high, xhigh.
    pub thinking: &'a str,
    /// `temperature`, `maxTokens` of the configuration.
    pub params: &'a serde_json::Map<String, Value>,
}

/// A tool as a model sees it.
#[derive(Debug, Clone)]
pub struct ToolSpec {
    /// Name.
    pub name: &'static str,
    /// What it does, for the model.
    pub description: &'static str,
    /// JSON Schema of its arguments.
    pub parameters: Value,
}

/// Why a turn failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProviderError {
    /// The run's token was cancelled.
    Cancelled,
    /// The server refused or failed.
    Failed {
        /// HTTP status, if it came to that.
        status: Option<u16>,
        /// What to tell the user; begins with the status, if there is one.
        message: String,
        /// How long the server asks to wait.
        retry_after: Option<Duration>,
    },
}

impl ProviderError {
    fn failed(message: impl Into<String>) -> Self {
        Self::Failed { status: None, message: message.into(), retry_after: None }
    }
}

/// Speaks for one family of model servers.
pub trait Provider {
    /// Makes one turn; `on_text` gets each piece of visible text as it arrives.
    ///
    /// # Errors
    /// When no complete answer came. What was streamed until then is the caller's to keep.
    fn turn(&self, request: &TurnRequest<'_>, on_text: &mut dyn FnMut(&str))
    -> Result<AssistantMessage, ProviderError>;
}

/// Returns the provider that speaks `model`'s wire format.
///
/// # Errors
/// A text for the user when this version does not speak it.
pub fn provider_for<'a>(
    model: &Model,
    fetch: &'a Fetch,
    clock: &'a dyn Clock,
) -> Result<Box<dyn Provider + 'a>, String> {
    match model.api.as_str() {
        "offline" => Ok(Box::new(offline::Offline { clock })),
        "openai-completions" => Ok(Box::new(openai::OpenAi { fetch, clock })),
        other => Err(format!(
            "model {}/{} uses the wire format \"{other}\", which this version does not speak yet; \
             choose a model with api \"openai-completions\" (OpenAI, OpenRouter, Ollama, llama.cpp and others)",
            model.provider, model.id
        )),
    }
}
