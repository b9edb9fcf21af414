//! Model providers: one function that makes a turn, one file per wire format.
//!
//! A turn is given the conversation and streams what the model says. Runs on the job's thread and blocks there. What the
//! formats share: `history` (what may be sent), `exchange` (the request and its stream), `draft` (the answer as it
//! grows). Not here: retries and fallbacks (`failover`), keys (`credentials`), the loop of a run (`run`).

mod anthropic;
mod code_assist;
mod codex;
mod completions;
mod copilot;
pub mod document;
mod draft;
mod exchange;
mod google;
mod history;
mod offline;
mod responses;

use std::borrow::Cow;
use std::time::Duration;

use serde_json::Value;

pub use self::codex::account as codex_account;

use super::message::{AssistantMessage, Message};
use super::models::{Model, SPOKEN};
use crate::base::clock::Clock;
use crate::base::secret::Secret;
use crate::net::fetch::Fetch;

/// Longest answer that is asked for, in tokens, whatever a model could.
const ANSWER_TOKENS_MAX: u64 = 32_000;
/// Models that reason harder than `high`, whoever serves them.
const XHIGH_MODELS: [&str; 3] = ["gpt-5.1-codex-max", "gpt-5.2", "gpt-5.2-codex"];

/// One turn that is asked for.
pub struct TurnRequest<'a> {
    /// Who speaks.
    pub model: &'a Model,
    /// The key; local servers need none.
    pub key: Option<&'a Secret>,
    /// The account or the project that the key is for, where the provider wants to be told.
    pub account: Option<&'a str>,
    /// The session's transcript, for caches of the provider.
    pub session_id: &'a str,
    /// The system prompt.
    pub system_prompt: &'a str,
    /// The conversation, ending with what is to be answered.
    pub messages: &'a [Message],
    /// Tools on offer: name, description, JSON Schema of the parameters.
    pub tools: &'a [ToolSpec],
    /// off, minimal, low, medium, high, xhigh.
    pub thinking: &'a str,
    /// `temperature`, `maxTokens`, `cacheControlTtl` of the configuration.
    pub params: &'a serde_json::Map<String, Value>,
}

impl TurnRequest<'_> {
    /// Returns the longest answer to ask for.
    fn max_tokens(&self) -> u64 {
        let set = self.params.get("maxTokens").and_then(Value::as_u64).filter(|tokens| *tokens > 0);
        set.unwrap_or(self.model.max_tokens.min(ANSWER_TOKENS_MAX))
    }

    fn temperature(&self) -> Option<&Value> {
        self.params.get("temperature").filter(|value| value.is_number())
    }
}

/// Returns the key as `Authorization`, unless the configuration has another place for it.
fn bearer(request: &TurnRequest<'_>) -> Vec<(&'static str, String)> {
    let key = request.key.filter(|_| request.model.auth_header);
    key.map(|key| ("authorization", format!("Bearer {}", key.expose()))).into_iter().collect()
}

/// Returns how hard an OpenAI model is to think.
fn effort<'a>(request: &TurnRequest<'a>) -> &'a str {
    let takes_xhigh = XHIGH_MODELS.contains(&request.model.id.as_str());
    if request.thinking == "xhigh" && !takes_xhigh { "high" } else { request.thinking }
}

fn data_url(data: &str, mime_type: &str) -> String {
    format!("data:{mime_type};base64,{data}")
}

/// A tool as a model sees it.
#[derive(Debug, Clone)]
pub struct ToolSpec {
    /// Name.
    pub name: Cow<'static, str>,
    /// What it does, for the model.
    pub description: Cow<'static, str>,
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
    /// A failure that came to no status.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed { status: None, message: message.into(), retry_after: None }
    }
}

/// Hears what a model says while it speaks.
pub trait Hearer {
    /// A piece of the text has arrived.
    fn text(&mut self, piece: &str);

    /// A piece of the reasoning has arrived.
    fn thought(&mut self, _piece: &str) {}

    /// Returns how long what was heard may wait for more before `pause` is to be called; `None` when nothing waits.
    fn patience(&self) -> Option<Duration> {
        None
    }

    /// Nothing more has arrived in that time.
    fn pause(&mut self) {}
}

impl<F: FnMut(&str)> Hearer for F {
    fn text(&mut self, piece: &str) {
        self(piece);
    }
}

/// Makes one turn; `hearer` hears each piece of it as it arrives.
///
/// # Errors
/// When no complete answer came. What was streamed until then is the caller's to keep.
pub fn turn(
    request: &TurnRequest<'_>,
    fetch: &Fetch,
    clock: &dyn Clock,
    hearer: &mut dyn Hearer,
) -> Result<AssistantMessage, ProviderError> {
    let model = request.model;
    let mut format: Box<dyn exchange::Format> = match model.api.as_str() {
        "offline" => return Ok(offline::turn(request, clock, hearer)),
        "anthropic-messages" => Box::new(anthropic::Anthropic::default()),
        "google-gemini-cli" => Box::new(code_assist::CodeAssist::default()),
        "google-generative-ai" => Box::new(google::Google::default()),
        "openai-codex-responses" => Box::new(codex::Codex::default()),
        "openai-completions" => Box::new(completions::Completions::default()),
        "openai-responses" => Box::new(responses::Responses::default()),
        other => {
            return Err(ProviderError::failed(format!(
                "model {}/{} uses the wire format \"{other}\", which this version does not speak; it speaks {}",
                model.provider,
                model.id,
                SPOKEN.join(", ")
            )));
        }
    };
    exchange::turn(&mut *format, request, fetch, clock, hearer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::models::offline;

    /// A request with nothing but a conversation.
    pub(super) fn request<'a>(model: &'a Model, messages: &'a [Message]) -> TurnRequest<'a> {
        static NONE: std::sync::LazyLock<serde_json::Map<String, Value>> = std::sync::LazyLock::new(Default::default);
        TurnRequest {
            model,
            key: None,
            account: None,
            session_id: "s",
            system_prompt: "be brief",
            messages,
            tools: &[],
            thinking: "low",
            params: &NONE,
        }
    }

    /// What a format makes of the events of a stream.
    pub(super) fn take(format: &mut dyn exchange::Format, events: &[Value]) -> Result<AssistantMessage, ProviderError> {
        let mut on_text = |_: &str| ();
        let mut draft = draft::Draft::new(&mut on_text);
        for event in events {
            format.take(event, &mut draft)?;
        }
        assert!(draft.is_complete(), "the events end the answer");
        draft.finish(&offline(), 1)
    }
}
