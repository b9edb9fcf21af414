//! OpenAI Chat Completions, as OpenAI, OpenRouter, Ollama, llama.cpp and many others serve it (agent.md §13.2).
//!
//! Requests stream; a server that ignores that and answers one JSON document is understood too. Not here: which server
//! and key (`models`).

use std::io::{BufReader, Read};

use serde_json::{Value, json};

use super::{Provider, ProviderError, ToolSpec, TurnRequest};
use crate::agent::message::{AssistantMessage, Block, Content, Message, StopReason, Usage};
use crate::agent::models::Model;
use crate::agent::usage;
use crate::base::clock::Clock;
use crate::base::text::ellipsize;
use crate::net::fetch::{Answer, Fetch, FetchError};
use crate::net::sse::Events;

/// Most of an error body that is read.
const ERROR_BYTES_MAX: u64 = 64 * 1024;
/// Most of an error body that is shown, in characters.
const ERROR_CHARS_MAX: usize = 600;
/// Largest answer that comes as one document.
const DOCUMENT_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Longest tool-call id that OpenAI takes.
const CALL_ID_BYTES_MAX: usize = 40;
/// Most tool calls in one answer.
const CALLS_MAX: usize = 128;

pub(super) struct OpenAi<'a> {
    pub(super) fetch: &'a Fetch,
    pub(super) clock: &'a dyn Clock,
}

impl Provider for OpenAi<'_> {
    fn turn(
        &self,
        request: &TurnRequest<'_>,
        on_text: &mut dyn FnMut(&str),
    ) -> Result<AssistantMessage, ProviderError> {
        let model = request.model;
        let url = format!("{}/chat/completions", model.base_url.trim_end_matches('/'));
        let mut headers: Vec<(String, String)> =
            model.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        if let Some(key) = model.api_key.as_ref().filter(|_| model.auth_header) {
            headers.push(("authorization".to_owned(), format!("Bearer {}", key.expose())));
        }
        let body = body(request).to_string();
        let answer =
            self.fetch.post_json(&url, &headers, body.as_bytes()).map_err(|error| unreachable(model, error))?;
        if answer.status != 200 {
            return Err(refusal(answer));
        }
        let mut turn = Turn::default();
        if answer.content_type == "application/json" {
            self.read_document(model, answer, &mut turn, on_text)?;
        } else {
            self.read_stream(model, answer, &mut turn, on_text)?;
        }
        turn.finish(model, self.clock.now_ms())
    }
}

impl OpenAi<'_> {
    fn read_stream(
        &self,
        model: &Model,
        answer: Answer,
        turn: &mut Turn,
        on_text: &mut dyn FnMut(&str),
    ) -> Result<(), ProviderError> {
        let mut events = Events::new(BufReader::new(answer.body));
        loop {
            let data = events.next_data().map_err(|error| unreachable(model, self.fetch.read_failure(&error)))?;
            let Some(data) = data else {
                // Shutting a socket down ends a body of unknown length like its server would.
                return turn.is_complete().then_some(()).ok_or_else(|| self.cut_off(model));
            };
            if data.trim() == "[DONE]" {
                return Ok(());
            }
            let chunk: Value = serde_json::from_str(&data).map_err(|error| {
                let start = ellipsize(&data, 120);
                ProviderError::failed(format!("{} sent a broken event ({error}): {start}", model.provider))
            })?;
            turn.take(&chunk, "delta", on_text)?;
        }
    }

    fn read_document(
        &self,
        model: &Model,
        answer: Answer,
        turn: &mut Turn,
        on_text: &mut dyn FnMut(&str),
    ) -> Result<(), ProviderError> {
        let mut text = String::new();
        let read = answer.body.take(DOCUMENT_BYTES_MAX).read_to_string(&mut text);
        read.map_err(|error| unreachable(model, self.fetch.read_failure(&error)))?;
        let document: Value = serde_json::from_str(&text).map_err(|error| {
            let start = ellipsize(text.trim(), 120);
            ProviderError::failed(format!("{} sent no valid JSON ({error}): {start}", model.provider))
        })?;
        turn.take(&document, "message", on_text)
    }

    fn cut_off(&self, model: &Model) -> ProviderError {
        let error = std::io::Error::new(
            std::io::ErrorKind::UnexpectedEof,
            "the connection ended before the answer was complete",
        );
        unreachable(model, self.fetch.read_failure(&error))
    }
}

fn unreachable(model: &Model, error: FetchError) -> ProviderError {
    match error {
        FetchError::Cancelled => ProviderError::Cancelled,
        FetchError::Failed(reason) => {
            ProviderError::failed(format!("connection error: {} at {}: {reason}", model.provider, model.base_url))
        }
    }
}

/// Words what a server says with another status than 200.
fn refusal(answer: Answer) -> ProviderError {
    let mut bytes = Vec::new();
    // What could be read of the explanation is better than none.
    let _ = answer.body.take(ERROR_BYTES_MAX).read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    let parsed: Option<Value> = serde_json::from_str(&text).ok();
    let said = parsed.as_ref().and_then(error_message).unwrap_or_else(|| text.trim().to_owned());
    let said = if said.is_empty() { "status code (no body)".to_owned() } else { ellipsize(&said, ERROR_CHARS_MAX) };
    ProviderError::Failed {
        status: Some(answer.status),
        message: format!("{} {said}", answer.status),
        retry_after: answer.retry_after,
    }
}

fn error_message(value: &Value) -> Option<String> {
    let error = value.get("error")?;
    let message = error.get("message").and_then(Value::as_str).or_else(|| error.as_str());
    message.map(|message| message.trim().to_owned()).filter(|message| !message.is_empty())
}

fn body(request: &TurnRequest<'_>) -> Value {
    let model = request.model;
    let quirks = Quirks::of(model);
    let mut body = json!({
        "model": model.id,
        "messages": messages(request, quirks),
        "stream": true,
        "stream_options": {"include_usage": true},
    });
    if quirks.store {
        body["store"] = false.into();
    }
    let max_tokens = request.params.get("maxTokens").and_then(Value::as_u64).unwrap_or(model.max_tokens.min(32_000));
    body[quirks.max_tokens_field] = max_tokens.into();
    if let Some(temperature) = request.params.get("temperature").filter(|value| value.is_number()) {
        body["temperature"] = temperature.clone();
    }
    if !request.tools.is_empty() {
        body["tools"] = request.tools.iter().map(tool).collect();
    } else if request.messages.iter().any(|message| matches!(message, Message::ToolResult(_))) {
        // Some servers refuse a history with tool traffic unless the field is there.
        body["tools"] = json!([]);
    }
    if model.reasoning && quirks.reasoning_effort && request.thinking != "off" {
        body["reasoning_effort"] = (if request.thinking == "xhigh" { "high" } else { request.thinking }).into();
    }
    body
}

fn tool(spec: &ToolSpec) -> Value {
    json!({"type": "function", "function": {
        "name": spec.name, "description": spec.description, "parameters": spec.parameters, "strict": false,
    }})
}

/// How a server deviates from OpenAI, by configuration or by name.
#[derive(Clone, Copy)]
struct Quirks {
    store: bool,
    developer_role: bool,
    reasoning_effort: bool,
    max_tokens_field: &'static str,
}

impl Quirks {
    fn of(model: &Model) -> Self {
        let is = |names: &[&str]| names.iter().any(|name| model.provider == *name || model.base_url.contains(name));
        let is_plain = is(&["cerebras", "x.ai", "xai", "mistral", "chutes", "z.ai", "zai", "opencode"]);
        let compat = &model.compat;
        let max_tokens_field = match compat.max_tokens_field.as_deref() {
            Some("max_tokens") => "max_tokens",
            Some(_) => "max_completion_tokens",
            None if is(&["mistral", "chutes"]) => "max_tokens",
            None => "max_completion_tokens",
        };
        Self {
            store: compat.supports_store.unwrap_or(!is_plain),
            developer_role: compat.supports_developer_role.unwrap_or(!is_plain),
            reasoning_effort: compat.supports_reasoning_effort.unwrap_or(!is(&["x.ai", "xai", "z.ai", "zai"])),
            max_tokens_field,
        }
    }
}

fn messages(request: &TurnRequest<'_>, quirks: Quirks) -> Vec<Value> {
    let role = if request.model.reasoning && quirks.developer_role { "developer" } else { "system" };
    let takes_images = request.model.input.iter().any(|kind| kind == "image");
    let mut out = vec![json!({"role": role, "content": request.system_prompt})];
    let mut unanswered: Vec<(String, String)> = Vec::new();
    for message in request.messages {
        if !matches!(message, Message::ToolResult(_)) {
            answer_missing(&mut out, &mut unanswered);
        }
        match message {
            Message::User(user) => {
                out.push(json!({"role": "user", "content": user_parts(&user.content, takes_images)}))
            }
            Message::Assistant(turn) => assistant(turn, &mut out, &mut unanswered),
            Message::ToolResult(result) => {
                let id = call_id(&result.tool_call_id);
                let Some(at) = unanswered.iter().position(|(call, _)| *call == id) else { continue };
                unanswered.remove(at);
                let text = crate::agent::message::blocks_text(&result.content);
                let images: Vec<Value> =
                    result.content.iter().filter(|_| takes_images).filter_map(image_part).collect();
                let text = if text.is_empty() && !images.is_empty() { "(see attached image)".to_owned() } else { text };
                out.push(json!({"role": "tool", "tool_call_id": id, "content": text}));
                if !images.is_empty() {
                    let mut parts = vec![json!({"type": "text", "text": "Attached image(s) from tool result:"})];
                    parts.extend(images);
                    out.push(json!({"role": "user", "content": parts}));
                }
            }
        }
    }
    answer_missing(&mut out, &mut unanswered);
    out
}

/// A call that was never answered (a crash, an abort) gets an answer: servers refuse it otherwise.
fn answer_missing(out: &mut Vec<Value>, unanswered: &mut Vec<(String, String)>) {
    for (id, _) in unanswered.drain(..) {
        out.push(json!({"role": "tool", "tool_call_id": id, "content": "No result provided"}));
    }
}

fn user_parts(content: &Content, takes_images: bool) -> Vec<Value> {
    let blocks = match content {
        Content::Text(text) => return vec![json!({"type": "text", "text": text})],
        Content::Blocks(blocks) => blocks,
    };
    blocks
        .iter()
        .filter_map(|block| match block {
            Block::Text { text, .. } => Some(json!({"type": "text", "text": text})),
            Block::Image { .. } if takes_images => image_part(block),
            _ => None,
        })
        .collect()
}

fn image_part(block: &Block) -> Option<Value> {
    match block {
        Block::Image { data, mime_type } => {
            Some(json!({"type": "image_url", "image_url": {"url": format!("data:{mime_type};base64,{data}")}}))
        }
        _ => None,
    }
}

fn assistant(turn: &AssistantMessage, out: &mut Vec<Value>, unanswered: &mut Vec<(String, String)>) {
    if matches!(turn.stop_reason, StopReason::Error | StopReason::Aborted | StopReason::Injected) {
        return;
    }
    let mut texts = Vec::new();
    let mut calls = Vec::new();
    for block in &turn.content {
        match block {
            Block::Text { text, .. } if !text.trim().is_empty() => texts.push(json!({"type": "text", "text": text})),
            Block::ToolCall { id, name, arguments, .. } => {
                let arguments = arguments.as_str().map_or_else(|| arguments.to_string(), str::to_owned);
                let id = call_id(id);
                unanswered.push((id.clone(), name.clone()));
                calls.push(json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}));
            }
            _ => {}
        }
    }
    if texts.is_empty() && calls.is_empty() {
        return;
    }
    let mut message =
        json!({"role": "assistant", "content": if texts.is_empty() { Value::Null } else { texts.into() }});
    if !calls.is_empty() {
        message["tool_calls"] = calls.into();
    }
    out.push(message);
}

fn call_id(id: &str) -> String {
    crate::base::text::cut_bytes(id, CALL_ID_BYTES_MAX).to_owned()
}

/// What has arrived of one turn.
#[derive(Default)]
struct Turn {
    text: String,
    thinking: String,
    thinking_field: Option<&'static str>,
    calls: Vec<Call>,
    usage: Usage,
    finish_reason: Option<String>,
}

#[derive(Default)]
struct Call {
    index: u64,
    id: String,
    name: String,
    arguments: String,
}

impl Turn {
    fn is_complete(&self) -> bool {
        self.finish_reason.is_some()
    }

    /// Takes a chunk of a stream (`field` is `delta`) or a whole document (`message`).
    fn take(&mut self, chunk: &Value, field: &str, on_text: &mut dyn FnMut(&str)) -> Result<(), ProviderError> {
        if chunk.get("error").is_some_and(|error| !error.is_null()) {
            let message = error_message(chunk).unwrap_or_else(|| chunk["error"].to_string());
            let status = chunk["error"]["code"].as_u64().and_then(|code| u16::try_from(code).ok());
            return Err(ProviderError::Failed { status, message, retry_after: None });
        }
        if let Some(usage) = chunk.get("usage").filter(|usage| usage.is_object()) {
            self.usage = read_usage(usage);
        }
        let Some(choice) = chunk.pointer("/choices/0") else { return Ok(()) };
        if let Some(delta) = choice.get(field) {
            self.take_delta(delta, on_text)?;
        }
        if let Some(reason) = choice.get("finish_reason").and_then(Value::as_str) {
            self.finish_reason = Some(reason.to_owned());
        }
        Ok(())
    }

    fn take_delta(&mut self, delta: &Value, on_text: &mut dyn FnMut(&str)) -> Result<(), ProviderError> {
        let text = |key: &str| delta.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        if let Some(content) = text("content") {
            self.text.push_str(content);
            on_text(content);
        }
        let fields = ["reasoning_content", "reasoning", "reasoning_text"];
        if let Some((field, thinking)) = fields.into_iter().find_map(|field| Some((field, text(field)?))) {
            self.thinking_field = Some(field);
            self.thinking.push_str(thinking);
        }
        for part in delta.get("tool_calls").and_then(Value::as_array).into_iter().flatten() {
            self.take_call(part)?;
        }
        Ok(())
    }

    fn take_call(&mut self, part: &Value) -> Result<(), ProviderError> {
        let id = part.get("id").and_then(Value::as_str).filter(|id| !id.is_empty());
        let index = part.get("index").and_then(Value::as_u64);
        // A new index or a new id begins a call; some servers send only one of the two.
        let is_new = self.calls.last().is_none_or(|last| {
            index.is_some_and(|index| index != last.index) || id.is_some_and(|id| !last.id.is_empty() && id != last.id)
        });
        if is_new {
            if self.calls.len() >= CALLS_MAX {
                return Err(ProviderError::failed(format!(
                    "the model asked for more than {CALLS_MAX} tool calls at once"
                )));
            }
            let index = index.unwrap_or(self.calls.len() as u64);
            self.calls.push(Call { index, ..Call::default() });
        }
        let Some(call) = self.calls.last_mut() else { return Ok(()) };
        if let Some(id) = id {
            call.id = id.to_owned();
        }
        let text = |path: &str| part.pointer(path).and_then(Value::as_str).unwrap_or_default();
        call.name.push_str(text("/function/name"));
        call.arguments.push_str(text("/function/arguments"));
        Ok(())
    }

    fn finish(self, model: &Model, now_ms: u64) -> Result<AssistantMessage, ProviderError> {
        if self.finish_reason.as_deref() == Some("content_filter") {
            return Err(ProviderError::failed("the provider's content filter stopped the answer"));
        }
        if self.finish_reason.is_none() && self.text.is_empty() && self.calls.is_empty() {
            return Err(ProviderError::failed(format!("{} answered without any content", model.provider)));
        }
        let mut content = Vec::new();
        if !self.thinking.is_empty() {
            let signature = self.thinking_field.map(str::to_owned);
            content.push(Block::Thinking { thinking: self.thinking, thinking_signature: signature });
        }
        if !self.text.is_empty() {
            content.push(Block::text(self.text));
        }
        let has_calls = !self.calls.is_empty();
        for (at, call) in self.calls.into_iter().enumerate() {
            let arguments = match call.arguments.trim() {
                "" => json!({}),
                // What is no JSON stays as it is: the tool's own check tells the model.
                text => serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())),
            };
            let id = if call.id.is_empty() { format!("call_{now_ms}_{at}") } else { call.id };
            content.push(Block::ToolCall { id, name: call.name, arguments, thought_signature: None });
        }
        let stop_reason = match self.finish_reason.as_deref() {
            _ if has_calls => StopReason::ToolUse,
            Some("length") => StopReason::Length,
            _ => StopReason::Stop,
        };
        Ok(AssistantMessage {
            content,
            api: Some(model.api.clone()),
            provider: Some(model.provider.clone()),
            model: Some(model.id.clone()),
            usage: usage::priced(self.usage, model.cost),
            stop_reason,
            error_message: None,
            timestamp: now_ms,
        })
    }
}

fn read_usage(usage: &Value) -> Usage {
    let number = |path: &str| usage.pointer(path).and_then(Value::as_u64).unwrap_or(0);
    let cache_read = number("/prompt_tokens_details/cached_tokens");
    let input = number("/prompt_tokens").saturating_sub(cache_read);
    // compat: the original adds the reasoning tokens, which OpenAI already counts as completion tokens; the sum below
    // must agree with the server's own total.
    let output = number("/completion_tokens");
    Usage { input, output, cache_read, total_tokens: input + output + cache_read, ..Usage::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(chunks: &[Value]) -> Turn {
        let mut turn = Turn::default();
        for chunk in chunks {
            turn.take(chunk, "delta", &mut |_| ()).expect("well-formed");
        }
        turn
    }

    #[test]
    fn tool_calls_are_put_together() {
        let part = |index: u64, id: &str, name: &str, arguments: &str| {
            let call = json!({"index": index, "id": id, "function": {"name": name, "arguments": arguments}});
            json!({"choices": [{"delta": {"tool_calls": [call]}}]})
        };
        let turn = take(&[part(0, "a", "exec", "{\"comm"), part(0, "", "", "and\":1}"), part(1, "b", "read", "oops")]);
        let calls: Vec<_> =
            turn.calls.iter().map(|call| (call.id.as_str(), call.name.as_str(), call.arguments.as_str())).collect();
        assert_eq!(calls, [("a", "exec", "{\"command\":1}"), ("b", "read", "oops")]);
    }

    #[test]
    fn errors_inside_a_stream_are_errors() {
        let chunk = json!({"error": {"message": "overloaded", "code": 529}});
        let error = Turn::default().take(&chunk, "delta", &mut |_| ()).expect_err("an error");
        assert_eq!(
            error,
            ProviderError::Failed { status: Some(529), message: "overloaded".to_owned(), retry_after: None }
        );
    }

    #[test]
    fn usage_agrees_with_the_total() {
        let usage = read_usage(&json!({"prompt_tokens": 11, "completion_tokens": 9, "total_tokens": 20,
            "prompt_tokens_details": {"cached_tokens": 4}}));
        assert_eq!((usage.input, usage.cache_read, usage.output, usage.total_tokens), (7, 4, 9, 20));
    }
}
