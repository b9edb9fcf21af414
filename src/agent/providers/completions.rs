//! OpenAI Chat Completions, as OpenAI, OpenRouter, Ollama, llama.cpp and many others serve it (agent.md §13.2).
//!
//! Requests stream; a server that ignores that and answers one JSON document is understood too. Not here: the exchange
//! itself (`exchange`), which server and key (`models`, `credentials`).

use serde_json::{Value, json};

use super::draft::Draft;
use super::exchange::{Call, Format};
use super::history::{Answered, Ids, Piece, Turn, attach_images, part, turns};
use super::{ProviderError, ToolSpec, TurnRequest, bearer, data_url, effort};
use crate::agent::message::{Block, Message, StopReason, Usage};
use crate::agent::models::Model;
use crate::base::text::text_of;

/// Longest tool-call id that OpenAI takes.
const CALL_ID_LEN_MAX: usize = 40;
/// Slots of an answer: text and reasoning have one each, calls follow.
const TEXT: u64 = 0;
const THINKING: u64 = 1;
const CALLS: u64 = 2;
/// Fields in which servers send reasoning.
const REASONING_FIELDS: [&str; 3] = ["reasoning_content", "reasoning", "reasoning_text"];

#[derive(Default)]
pub(super) struct Completions {
    calls: u64,
    index: Option<u64>,
}

impl Format for Completions {
    fn call(&self, request: &TurnRequest<'_>) -> Result<Call, ProviderError> {
        let url = format!("{}/chat/completions", request.model.base_url);
        Ok(Call { url, headers: bearer(request), body: body(request) })
    }

    fn take(&mut self, event: &Value, draft: &mut Draft<'_>) -> Result<(), ProviderError> {
        self.take_choice(event, "delta", draft)
    }

    fn take_document(&mut self, document: &Value, draft: &mut Draft<'_>) -> Result<(), ProviderError> {
        self.take_choice(document, "message", draft)
    }
}

impl Completions {
    fn take_choice(&mut self, chunk: &Value, field: &str, draft: &mut Draft<'_>) -> Result<(), ProviderError> {
        if let Some(usage) = chunk.get("usage").filter(|usage| usage.is_object()) {
            draft.usage = read_usage(usage);
        }
        let Some(choice) = chunk.pointer("/choices/0") else { return Ok(()) };
        if let Some(delta) = choice.get(field) {
            self.take_delta(delta, draft)?;
        }
        draft.stop = match choice.get("finish_reason").and_then(Value::as_str) {
            None => draft.stop,
            Some("content_filter") => {
                return Err(ProviderError::failed("the provider's content filter stopped the answer"));
            }
            Some("length") => Some(StopReason::Length),
            Some("tool_calls" | "function_call") => Some(StopReason::ToolUse),
            // compat: the original takes other reasons for errors; servers of this format have many words for an end.
            Some(_) => Some(StopReason::Stop),
        };
        Ok(())
    }

    fn take_delta(&mut self, delta: &Value, draft: &mut Draft<'_>) -> Result<(), ProviderError> {
        let text = |key: &str| delta.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        if let Some((field, thinking)) = REASONING_FIELDS.into_iter().find_map(|field| Some((field, text(field)?))) {
            draft.thinking(THINKING, thinking)?;
            if let Some(Block::Thinking { thinking_signature, .. }) = draft.block(THINKING) {
                *thinking_signature = Some(field.to_owned());
            }
        }
        if let Some(content) = text("content") {
            draft.text(TEXT, content)?;
        }
        for part in delta.get("tool_calls").and_then(Value::as_array).into_iter().flatten() {
            self.take_call(part, draft)?;
        }
        for detail in delta.get("reasoning_details").and_then(Value::as_array).into_iter().flatten() {
            let is_encrypted = detail["type"] == "reasoning.encrypted" && detail["data"].is_string();
            let call = detail["id"].as_str().filter(|_| is_encrypted).and_then(|id| draft.call_of(id));
            if let Some(Block::ToolCall { thought_signature, .. }) = call {
                *thought_signature = Some(detail.to_string());
            }
        }
        Ok(())
    }

    fn take_call(&mut self, part: &Value, draft: &mut Draft<'_>) -> Result<(), ProviderError> {
        let id = part.get("id").and_then(Value::as_str).filter(|id| !id.is_empty());
        let index = part.get("index").and_then(Value::as_u64);
        let text = |path: &str| part.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let (name, arguments) = (text("/function/name"), text("/function/arguments"));
        let same_index = index.is_none() || index == self.index;
        // A new index or a new id begins a call; some servers send only one of the two.
        let slot = match draft.last_call() {
            Some((slot, known, known_name))
                if same_index && id.is_none_or(|id| known.is_empty() || known.as_str() == id) =>
            {
                if let Some(id) = id {
                    id.clone_into(known);
                }
                known_name.push_str(name);
                slot
            }
            _ => {
                self.calls += 1;
                self.index = index;
                let slot = CALLS + self.calls;
                draft.call(slot, id.unwrap_or_default(), name)?;
                slot
            }
        };
        draft.arguments(slot, arguments)
    }
}

fn body(request: &TurnRequest<'_>) -> Value {
    let model = request.model;
    let quirks = Quirks::of(model);
    let mut body = json!({
        "model": model.id,
        "stream": true,
        "stream_options": {"include_usage": true},
    });
    body["messages"] = messages(request, quirks).into();
    if quirks.store {
        body["store"] = false.into();
    }
    body[quirks.max_tokens_field] = request.max_tokens().into();
    if let Some(temperature) = request.temperature() {
        body["temperature"] = temperature.clone();
    }
    if !request.tools.is_empty() {
        body["tools"] = request.tools.iter().map(tool).collect();
    } else if request.messages.iter().any(|message| matches!(message, Message::ToolResult(_))) {
        // Some servers refuse a history with tool traffic unless the field is there.
        body["tools"] = json!([]);
    }
    if model.reasoning && quirks.zai_thinking {
        body["thinking"] = json!({"type": if request.thinking == "off" { "disabled" } else { "enabled" }});
    } else if model.reasoning && quirks.reasoning_effort && request.thinking != "off" {
        body["reasoning_effort"] = effort(request).into();
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
    zai_thinking: bool,
    is_mistral: bool,
    /// Copilot takes what a model said as one text: a list makes some models answer everything again.
    joins_text: bool,
    /// Anthropic's models behind OpenRouter keep a cache only where they are told to.
    marks_cache: bool,
}

impl Quirks {
    fn of(model: &Model) -> Self {
        let is = |names: &[&str]| names.iter().any(|name| model.provider == *name || model.base_url.contains(name));
        let is_plain =
            is(&["cerebras", "x.ai", "xai", "mistral", "chutes", "z.ai", "zai", "opencode", "github-copilot"]);
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
            reasoning_effort: compat.supports_reasoning_effort.unwrap_or(!is(&[
                "x.ai",
                "xai",
                "z.ai",
                "zai",
                "github-copilot",
            ])),
            max_tokens_field,
            zai_thinking: is(&["z.ai", "zai"]),
            is_mistral: is(&["mistral"]),
            joins_text: model.provider == "github-copilot",
            marks_cache: model.provider == "openrouter" && model.id.starts_with("anthropic/"),
        }
    }
}

fn messages(request: &TurnRequest<'_>, quirks: Quirks) -> Vec<Value> {
    let model = request.model;
    let role = if model.reasoning && quirks.developer_role { "developer" } else { "system" };
    let ids = if quirks.is_mistral { Ids::Nine } else { Ids::Word(CALL_ID_LEN_MAX) };
    let mut out = vec![json!({"role": role, "content": request.system_prompt})];
    // Images follow all results of a turn: nothing may stand between these.
    let mut images: Vec<Value> = Vec::new();
    for turn in turns(request.messages, model, ids) {
        if !matches!(turn, Turn::Result(_)) {
            attach_images(&mut out, &mut images, "text");
        }
        match turn {
            Turn::User(pieces) => {
                let parts: Vec<Value> = pieces.iter().filter_map(|piece| part(piece, "text", image)).collect();
                out.push(json!({"role": "user", "content": parts}));
            }
            Turn::Assistant(pieces) => out.extend(assistant(&pieces, quirks)),
            Turn::Result(result) => {
                out.push(tool_result(&result, quirks));
                let more = result.images.iter().map(|(data, mime)| image(data, mime));
                images.extend(more);
            }
        }
    }
    attach_images(&mut out, &mut images, "text");
    if quirks.marks_cache {
        mark_cache(&mut out);
    }
    out
}

fn image(data: &str, mime_type: &str) -> Value {
    json!({"type": "image_url", "image_url": {"url": data_url(data, mime_type)}})
}

fn tool_result(result: &Answered<'_>, quirks: Quirks) -> Value {
    let mut message = json!({"role": "tool", "tool_call_id": result.id, "content": result.text_or_hint()});
    if quirks.is_mistral {
        message["name"] = result.name.into();
    }
    message
}

fn assistant(pieces: &[Piece<'_>], quirks: Quirks) -> Option<Value> {
    let mut texts = Vec::new();
    let mut calls = Vec::new();
    let mut details = Vec::new();
    let mut thinking = None;
    for piece in pieces {
        match piece {
            Piece::Text { text, .. } => texts.push(json!({"type": "text", "text": text})),
            Piece::Thinking { text, .. } if quirks.is_mistral => texts.push(json!({"type": "text", "text": text})),
            Piece::Thinking { text, signature: Some(field) } if REASONING_FIELDS.contains(field) => {
                thinking = Some((*field, *text));
            }
            Piece::Call { id, name, arguments, signature } => {
                let arguments = text_of(arguments);
                calls.push(json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}));
                details.extend(signature.and_then(|text| serde_json::from_str::<Value>(text).ok()));
            }
            Piece::Thinking { .. } | Piece::Image { .. } => {}
        }
    }
    if texts.is_empty() && calls.is_empty() {
        return None;
    }
    let content = match texts.as_slice() {
        [] => Value::Null,
        texts if quirks.joins_text => texts.iter().filter_map(|part| part["text"].as_str()).collect::<String>().into(),
        _ => texts.into(),
    };
    let mut message = json!({"role": "assistant", "content": content});
    if let Some((field, text)) = thinking {
        message[field] = text.into();
    }
    if !calls.is_empty() {
        message["tool_calls"] = calls.into();
    }
    if !details.is_empty() {
        message["reasoning_details"] = details.into();
    }
    Some(message)
}

/// Marks the last text that people or the model said, up to which a cache is kept.
fn mark_cache(messages: &mut [Value]) {
    for message in messages.iter_mut().rev().filter(|it| it["role"] == "user" || it["role"] == "assistant") {
        let parts = message["content"].as_array_mut().into_iter().flatten();
        if let Some(text) = parts.rev().find(|part| part["type"] == "text") {
            text["cache_control"] = json!({"type": "ephemeral"});
            return;
        }
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
    use super::super::history::tests::{messages as history, model};
    use super::super::tests::{request, take};
    use super::*;
    use crate::agent::message::AssistantMessage;

    fn delta(delta: Value) -> Value {
        json!({"choices": [{"delta": delta}]})
    }

    fn answer(events: &[Value]) -> AssistantMessage {
        take(&mut Completions::default(), events).expect("an answer")
    }

    #[test]
    fn tool_calls_are_put_together() {
        let part = |index: u64, id: &str, name: &str, arguments: &str| {
            let function = json!({"name": name, "arguments": arguments});
            delta(json!({"tool_calls": [{"index": index, "id": id, "function": function}]}))
        };
        let turn = answer(&[
            part(0, "a", "exec", "{\"comm"),
            part(0, "", "", "and\":1}"),
            part(1, "b", "read", "oops"),
            json!({"choices": [{"delta": {}, "finish_reason": "tool_calls"}]}),
        ]);
        let calls: Vec<_> = turn
            .content
            .iter()
            .map(|block| match block {
                Block::ToolCall { id, name, arguments, .. } => (id.as_str(), name.as_str(), arguments.clone()),
                _ => panic!("a call"),
            })
            .collect();
        assert_eq!(calls, [("a", "exec", json!({"command": 1})), ("b", "read", json!("oops"))]);
    }

    #[test]
    fn usage_agrees_with_the_total() {
        let usage = read_usage(&json!({"prompt_tokens": 11, "completion_tokens": 9, "total_tokens": 20,
            "prompt_tokens_details": {"cached_tokens": 4}}));
        assert_eq!((usage.input, usage.cache_read, usage.output, usage.total_tokens), (7, 4, 9, 20));
    }

    #[test]
    fn reasoning_goes_back_in_the_field_it_came_in() {
        let turn = answer(&[
            delta(json!({"reasoning": "because"})),
            delta(json!({"content": "yes"})),
            json!({"choices": [{"finish_reason": "stop"}]}),
        ]);
        let mut own = model("p", "m", "openai-completions");
        let mut said = history(json!([{"role": "user", "content": "hi"}]));
        said.push(Message::Assistant(AssistantMessage {
            provider: Some("p".into()),
            model: Some("m".into()),
            api: Some("openai-completions".into()),
            ..turn
        }));
        let sent = body(&request(&own, &said));
        assert_eq!(sent["messages"][2]["reasoning"], "because", "{sent}");
        assert_eq!(sent["messages"][1]["content"], json!([{"type": "text", "text": "hi"}]));
        own.id = "other".into();
        let sent = body(&request(&own, &said));
        assert_eq!(sent["messages"][2]["content"][0]["text"], "because");
    }

    #[test]
    fn servers_have_their_quirks() {
        let said = history(json!([
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": [{"type": "toolCall", "id": "call_1", "name": "x", "arguments": {}}]},
            {"role": "toolResult", "toolCallId": "call_1", "toolName": "x", "isError": false, "content": []},
        ]));
        let sent = body(&request(&model("mistral", "m", "openai-completions"), &said));
        assert_eq!(sent["messages"][3]["name"], "x");
        assert_eq!(sent["messages"][3]["tool_call_id"].as_str().map(str::len), Some(9));
        assert!(sent.get("store").is_none() && sent["max_tokens"].is_u64(), "{sent}");
        let sent = body(&request(&model("openrouter", "anthropic/claude", "openai-completions"), &said));
        assert_eq!(sent["messages"][1]["content"][0]["cache_control"]["type"], "ephemeral");
        let spoken = history(
            json!([{"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]),
        );
        let sent = body(&request(&model("github-copilot", "claude", "openai-completions"), &spoken));
        assert_eq!((&sent["messages"][1]["content"], sent.get("store")), (&json!("ab"), None));
        let mut zai = model("zai", "glm", "openai-completions");
        zai.reasoning = true;
        assert_eq!(body(&request(&zai, &said))["thinking"]["type"], "enabled");
    }
}
