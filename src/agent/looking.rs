//! A question about a picture, asked of a model that can see: one path for the tool `image` and for the descriptions of
//! pictures that people send (`understanding`).
//!
//! Runs on the asker's thread and blocks there. Not here: which picture, and which model is asked first.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::credentials::{self, Credential};
use super::failover;
use super::message::{Block, Content, Message, UserMessage, blocks_text};
use super::models::Model;
use super::providers::{self, ProviderError, TurnRequest, document};
use crate::base::clock::Clock;
use crate::base::rng::Rng;
use crate::config::types::{Config, ModelRef};
use crate::net::fetch::Fetch;

/// What is asked when nobody says.
pub const PROMPT: &str = "Describe the image.";
/// The provider whose models look at pictures by another interface than they talk by.
const MINIMAX: &str = "minimax";
/// How long that interface may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Largest answer of it that is read.
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;

/// See the module.
pub struct Question<'a> {
    config: &'a Config,
    clock: &'a dyn Clock,
    rng: &'a dyn Rng,
    session_id: &'a str,
    params: Map<String, Value>,
    messages: [Message; 1],
}

impl<'a> Question<'a> {
    /// Puts one together. `tokens_max` is the longest answer; without it the model's own limit holds.
    pub fn new(
        config: &'a Config,
        (clock, rng): (&'a dyn Clock, &'a dyn Rng),
        session_id: &'a str,
        (prompt, picture, mime_type): (&str, &[u8], &str),
        tokens_max: Option<u64>,
    ) -> Self {
        let picture = Block::Image { data: STANDARD.encode(picture), mime_type: mime_type.to_owned() };
        let content = Content::Blocks(vec![Block::text(prompt), picture]);
        let params = tokens_max.map(|tokens| ("maxTokens".to_owned(), tokens.into())).into_iter().collect();
        let messages = [Message::User(UserMessage { content, timestamp: clock.now_ms() })];
        Self { config, clock, rng, session_id, params, messages }
    }

    /// Asks a model with one credential after the other; returns what it says.
    ///
    /// # Errors
    /// As [`credentials::each`].
    pub fn ask(&self, model: &Model, keys: &[Credential], fetch: &Fetch) -> Result<String, ProviderError> {
        credentials::each(keys, fetch, self.clock, &self.config.auth.cooldowns, |key, has_next| {
            credentials::tries(failover::TRIES_MAX, has_next, fetch, self.rng, || match model.provider.as_str() {
                MINIMAX => self.ask_minimax(model, key, fetch),
                _ => self.ask_once(model, key, fetch),
            })
        })
    }

    fn ask_once(&self, model: &Model, credential: &Credential, fetch: &Fetch) -> Result<String, ProviderError> {
        let request = TurnRequest {
            model,
            key: credential.key.as_ref(),
            account: credential.account.as_deref(),
            session_id: self.session_id,
            system_prompt: "You look at images and answer questions about them.",
            messages: &self.messages,
            tools: &[],
            thinking: "off",
            params: &self.params,
        };
        providers::turn(&request, fetch, self.clock, &mut |_: &str| ()).map(|turn| blocks_text(&turn.content))
    }

    fn ask_minimax(&self, model: &Model, credential: &Credential, fetch: &Fetch) -> Result<String, ProviderError> {
        let (mut prompt, mut image) = ("", String::new());
        if let [Message::User(UserMessage { content: Content::Blocks(blocks), .. })] = &self.messages {
            for block in blocks {
                match block {
                    Block::Text { text, .. } => prompt = text,
                    Block::Image { data, mime_type } => image = format!("data:{mime_type};base64,{data}"),
                    Block::Thinking { .. } | Block::ToolCall { .. } => {}
                }
            }
        }
        let mut headers: Vec<(String, String)> = model.headers.clone().into_iter().collect();
        let key = credential.key.as_ref();
        headers.extend(key.map(|key| ("authorization".to_owned(), format!("Bearer {}", key.expose()))));
        let request = document::Request {
            what: "a look at a picture by minimax",
            url: &format!("{}/v1/coding_plan/vlm", origin(&model.base_url)),
            headers: &headers,
            key,
            silence_max: SILENCE_MAX,
            answer_bytes_max: ANSWER_BYTES_MAX,
        };
        let said =
            document::post(&request, json!({"prompt": prompt, "image_url": image}).to_string().as_bytes(), fetch)?;
        // Its refusals come with status 200.
        match said.pointer("/base_resp/status_code").and_then(Value::as_i64) {
            Some(0) => Ok(said["content"].as_str().unwrap_or_default().to_owned()),
            code => {
                let words = said.pointer("/base_resp/status_msg").and_then(Value::as_str).unwrap_or("no reason given");
                let words = document::without_secrets(&request, words);
                Err(ProviderError::failed(format!("{words} ({})", code.unwrap_or(-1))))
            }
        }
    }
}

/// Returns the models that look at pictures where the one of the session cannot, as `agents.defaults.imageModel` names
/// them; `None` when it names none.
pub fn configured(config: &Config) -> Option<Vec<String>> {
    let configured = config.tree.pointer("/agents/defaults/imageModel").cloned();
    match serde_json::from_value::<ModelRef>(configured?).ok()? {
        ModelRef::Plain(name) => Some(vec![name]),
        ModelRef::Chain { primary, fallbacks } => {
            Some(primary.into_iter().chain(fallbacks.into_iter().flatten()).collect())
        }
    }
}

/// Returns scheme and host of a URL.
fn origin(url: &str) -> &str {
    let start = url.find("://").map_or(0, |at| at + 3);
    let end = url[start..].find('/').map_or(url.len(), |at| start + at);
    &url[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins() {
        for (url, expected) in
            [("https://api.minimax.io/anthropic", "https://api.minimax.io"), ("http://h:1", "http://h:1"), ("h/x", "h")]
        {
            assert_eq!(origin(url), expected);
        }
    }
}
