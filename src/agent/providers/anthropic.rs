//! Anthropic Messages, as Anthropic, MiniMax, the Vercel gateway and others serve it (agent.md §13.1).
//!
//! Deviation from the original: a token of a Claude subscription is sent as such, but this gateway does not introduce
//! itself as another program. Not here: the exchange itself (`exchange`).

use serde_json::{Value, json};

use super::draft::Draft;
use super::exchange::{Call, Format};
use super::history::{Answered, Ids, Piece, Turn, turns};
use super::{ProviderError, TurnRequest, bearer};
use crate::agent::message::{Block, StopReason};

/// The version of the interface that is spoken.
const VERSION: &str = "2023-06-01";
const BETAS: &str = "fine-grained-tool-streaming-2025-05-14,interleaved-thinking-2025-05-14";
const BETA_OAUTH: &str = "oauth-2025-04-20";
const BETA_LONG_CACHE: &str = "extended-cache-ttl-2025-04-11";
/// What tokens of a subscription have in them, and keys have not.
const OAUTH_MARK: &str = "sk-ant-oat";
/// Longest id of a tool call.
const CALL_ID_LEN_MAX: usize = 64;
/// Tokens that are left for the answer when reasoning takes all.
const ANSWER_TOKENS_MIN: u64 = 1024;

#[derive(Default)]
pub(super) struct Anthropic {}

impl Format for Anthropic {
    fn call(&self, request: &TurnRequest<'_>) -> Result<Call, ProviderError> {
        let model = request.model;
        // The base URL comes without the version, but people paste it with.
        let base = model.base_url.strip_suffix("/v1").unwrap_or(&model.base_url);
        let mut headers = Vec::new();
        let mut betas = BETAS.to_owned();
        match request.key.map(crate::base::secret::Secret::expose) {
            Some(key) if key.contains(OAUTH_MARK) => {
                headers.push(("authorization", format!("Bearer {key}")));
                betas = format!("{BETA_OAUTH},{betas}");
            }
            Some(key) => {
                headers.push(("x-api-key", key.to_owned()));
                headers.extend(bearer(request));
            }
            None => {}
        }
        if has_long_cache(request) {
            betas = format!("{betas},{BETA_LONG_CACHE}");
        }
        headers.push(("anthropic-version", VERSION.to_owned()));
        headers.push(("anthropic-beta", betas));
        headers.push(("accept", "application/json".to_owned()));
        Ok(Call { url: format!("{base}/v1/messages"), headers, body: body(request) })
    }

    fn take(&mut self, event: &Value, draft: &mut Draft<'_>) -> Result<(), ProviderError> {
        let slot = event["index"].as_u64().unwrap_or(0);
        let text = |path: &str| event.pointer(path).and_then(Value::as_str).unwrap_or_default();
        match event["type"].as_str().unwrap_or_default() {
            "message_start" => take_usage(&event["message"]["usage"], draft),
            "content_block_start" => match text("/content_block/type") {
                "thinking" => draft.thinking(slot, text("/content_block/thinking"))?,
                // What the provider hides goes back as it came, in the place of a signature.
                "redacted_thinking" => {
                    draft.thinking(slot, "")?;
                    sign(draft, slot, &event["content_block"].to_string());
                }
                "tool_use" => draft.call(slot, text("/content_block/id"), text("/content_block/name"))?,
                "text" => draft.text(slot, text("/content_block/text"))?,
                _ => {}
            },
            "content_block_delta" => match text("/delta/type") {
                "text_delta" => draft.text(slot, text("/delta/text"))?,
                "thinking_delta" => draft.thinking(slot, text("/delta/thinking"))?,
                "signature_delta" => sign(draft, slot, text("/delta/signature")),
                "input_json_delta" => draft.arguments(slot, text("/delta/partial_json"))?,
                _ => {}
            },
            "message_delta" => {
                take_usage(&event["usage"], draft);
                if let Some(reason) = event.pointer("/delta/stop_reason").and_then(Value::as_str) {
                    draft.stop = Some(stop_reason(reason)?);
                }
            }
            "message_stop" => draft.is_over = true,
            _ => {}
        }
        Ok(())
    }
}

fn sign(draft: &mut Draft<'_>, slot: u64, piece: &str) {
    if let Some(Block::Thinking { thinking_signature, .. }) = draft.block(slot) {
        thinking_signature.get_or_insert_default().push_str(piece);
    }
}

fn stop_reason(reason: &str) -> Result<StopReason, ProviderError> {
    match reason {
        "end_turn" | "pause_turn" | "stop_sequence" => Ok(StopReason::Stop),
        "max_tokens" => Ok(StopReason::Length),
        "tool_use" => Ok(StopReason::ToolUse),
        "refusal" => Err(ProviderError::failed("the model refused to answer")),
        other => Err(ProviderError::failed(format!("the answer ended with an unknown reason: {other}"))),
    }
}

/// Takes the counters that are there; the end of a stream often has the output's alone.
fn take_usage(usage: &Value, draft: &mut Draft<'_>) {
    let counters = &mut draft.usage;
    for (field, counter) in [
        ("input_tokens", &mut counters.input),
        ("output_tokens", &mut counters.output),
        ("cache_read_input_tokens", &mut counters.cache_read),
        ("cache_creation_input_tokens", &mut counters.cache_write),
    ] {
        if let Some(count) = usage[field].as_u64() {
            *counter = count;
        }
    }
    let parts = [counters.input, counters.output, counters.cache_read, counters.cache_write];
    counters.total_tokens = parts.iter().fold(0, |sum, count| sum.saturating_add(*count));
}

fn has_long_cache(request: &TurnRequest<'_>) -> bool {
    request.params.get("cacheControlTtl").and_then(Value::as_str) == Some("1h")
}

fn body(request: &TurnRequest<'_>) -> Value {
    let model = request.model;
    let mark = match has_long_cache(request) {
        true => json!({"type": "ephemeral", "ttl": "1h"}),
        false => json!({"type": "ephemeral"}),
    };
    let mut body = json!({"model": model.id, "stream": true});
    // Put there, not through the macro, which would copy all of it.
    body["messages"] = messages(request, &mark).into();
    if !request.system_prompt.trim().is_empty() {
        // The mark covers the tools too, which stand before it.
        body["system"] = json!([{"type": "text", "text": request.system_prompt, "cache_control": mark}]);
    }
    if !request.tools.is_empty() {
        let tool = |spec: &super::ToolSpec| {
            let schema = &spec.parameters;
            let or = |field: &str, other: Value| schema.get(field).cloned().unwrap_or(other);
            json!({"name": spec.name, "description": spec.description, "input_schema": {
                "type": "object", "properties": or("properties", json!({})), "required": or("required", json!([])),
            }})
        };
        body["tools"] = request.tools.iter().map(tool).collect();
    }
    let base = request.max_tokens();
    match budget(request) {
        Some(wanted) => {
            let max_tokens = base.saturating_add(wanted).min(model.max_tokens.max(base));
            let budget = if max_tokens <= wanted { max_tokens.saturating_sub(ANSWER_TOKENS_MIN) } else { wanted };
            body["max_tokens"] = max_tokens.into();
            // compat: a budget below the least one that is taken would be refused; the original sends it.
            if budget >= ANSWER_TOKENS_MIN {
                body["thinking"] = json!({"type": "enabled", "budget_tokens": budget});
                return body;
            }
        }
        None => body["max_tokens"] = base.into(),
    }
    if let Some(temperature) = request.temperature() {
        body["temperature"] = temperature.clone();
    }
    body
}

/// Returns the tokens for reasoning; `None` without.
fn budget(request: &TurnRequest<'_>) -> Option<u64> {
    let tokens = match request.thinking {
        "minimal" => 1024,
        "low" => 2048,
        "medium" => 8192,
        "high" | "xhigh" => 16_384,
        _ => return None,
    };
    request.model.reasoning.then_some(tokens)
}

fn messages(request: &TurnRequest<'_>, mark: &Value) -> Vec<Value> {
    let mut out: Vec<Value> = Vec::new();
    for turn in turns(request.messages, request.model, Ids::Word(CALL_ID_LEN_MAX)) {
        match turn {
            Turn::User(pieces) => push(&mut out, "user", pieces.iter().filter_map(block).collect()),
            Turn::Assistant(pieces) => push(&mut out, "assistant", pieces.iter().filter_map(block).collect()),
            Turn::Result(result) => push(&mut out, "user", vec![tool_result(&result)]),
        }
    }
    let last = out.last_mut().filter(|message| message["role"] == "user");
    let last = last.and_then(|message| message["content"].as_array_mut()?.last_mut());
    if let Some(block) = last {
        block["cache_control"] = mark.clone();
    }
    out
}

/// Adds to the last message if it is of the same role: roles must alternate.
fn push(out: &mut Vec<Value>, role: &str, mut blocks: Vec<Value>) {
    if blocks.is_empty() {
        return;
    }
    let last = out.last_mut().filter(|message| message["role"] == role);
    match last.and_then(|message| message["content"].as_array_mut()) {
        Some(content) => content.append(&mut blocks),
        None => out.push(json!({"role": role, "content": blocks})),
    }
}

fn block(piece: &Piece<'_>) -> Option<Value> {
    Some(match piece {
        Piece::Text { text, .. } => json!({"type": "text", "text": text}),
        Piece::Thinking { text: "", signature: Some(hidden) } => {
            serde_json::from_str::<Value>(hidden).ok().filter(|block| block["type"] == "redacted_thinking")?
        }
        Piece::Thinking { text, signature: Some(signature) } => {
            json!({"type": "thinking", "thinking": text, "signature": signature})
        }
        Piece::Thinking { text, signature: None } => json!({"type": "text", "text": text}),
        Piece::Image { data, mime_type } => image(data, mime_type),
        Piece::Call { id, name, arguments, .. } => {
            // Arguments that were no JSON: the model sees what it wrote, in the only shape that is taken.
            let input = if arguments.is_object() { (*arguments).clone() } else { json!({"invalid": arguments}) };
            json!({"type": "tool_use", "id": id, "name": name, "input": input})
        }
    })
}

fn image(data: &str, mime_type: &str) -> Value {
    json!({"type": "image", "source": {"type": "base64", "media_type": mime_type, "data": data}})
}

fn tool_result(result: &Answered<'_>) -> Value {
    let content = match &result.images[..] {
        [] => Value::String(result.text.clone()),
        images => {
            let text = json!({"type": "text", "text": result.text_or_hint()});
            [text].into_iter().chain(images.iter().map(|(data, mime_type)| image(data, mime_type))).collect()
        }
    };
    json!({"type": "tool_result", "tool_use_id": result.id, "content": content, "is_error": result.is_error})
}

#[cfg(test)]
mod tests {
    use super::super::history::tests::{messages as history, model};
    use super::super::tests::{request, take};
    use super::*;
    use crate::agent::models::Model;
    use crate::base::secret::Secret;

    fn claude() -> Model {
        Model { base_url: "https://x.example".into(), ..model("anthropic", "claude", "anthropic-messages") }
    }

    #[test]
    fn a_stream_becomes_a_message() {
        let message = take(
            &mut Anthropic {},
            &[
                json!({"type": "message_start", "message": {"usage": {"input_tokens": 5, "output_tokens": 1,
                    "cache_read_input_tokens": 7, "cache_creation_input_tokens": 2}}}),
                json!({"type": "ping"}),
                json!({"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}}),
                json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}}),
                json!({"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "sig"}}),
                json!({"type": "content_block_stop", "index": 0}),
                json!({"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "t1",
                    "name": "exec", "input": {}}}),
                json!({"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta",
                    "partial_json": "{\"a\":"}}),
                json!({"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta",
                    "partial_json": "1}"}}),
                json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 9}}),
                json!({"type": "message_stop"}),
            ],
        )
        .expect("a message");
        assert_eq!(message.stop_reason, StopReason::ToolUse);
        let usage = message.usage;
        assert_eq!((usage.input, usage.output, usage.cache_read, usage.cache_write), (5, 9, 7, 2));
        assert_eq!(usage.total_tokens, 23);
        assert_eq!(
            message.content[0],
            Block::Thinking { thinking: "hm".into(), thinking_signature: Some("sig".into()) }
        );
        assert!(matches!(&message.content[1], Block::ToolCall { arguments, .. } if *arguments == json!({"a": 1})));
    }

    #[test]
    fn roles_alternate_and_the_end_is_marked_for_the_cache() {
        let said = history(json!([
            {"role": "user", "content": "one"},
            {"role": "user", "content": "two"},
            {"role": "assistant", "provider": "anthropic", "model": "claude", "api": "anthropic-messages", "content": [
                {"type": "thinking", "thinking": "hm", "thinkingSignature": "sig"},
                {"type": "toolCall", "id": "a.b", "name": "x", "arguments": "oops"},
            ]},
            {"role": "toolResult", "toolCallId": "a.b", "toolName": "x", "isError": true,
                "content": [{"type": "image", "data": "AA==", "mimeType": "image/png"}]},
        ]));
        let sent = body(&request(&claude(), &said));
        let messages = sent["messages"].as_array().expect("messages");
        let roles: Vec<&str> = messages.iter().filter_map(|it| it["role"].as_str()).collect();
        assert_eq!(roles, ["user", "assistant", "user"]);
        assert_eq!(messages[1]["content"][0], json!({"type": "thinking", "thinking": "hm", "signature": "sig"}));
        assert_eq!(messages[1]["content"][1]["input"], json!({"invalid": "oops"}));
        let result = &messages[2]["content"][0];
        assert_eq!((&result["tool_use_id"], &result["is_error"]), (&json!("a_b"), &json!(true)));
        assert_eq!(result["content"][1]["source"]["media_type"], "image/png");
        assert_eq!(result["cache_control"], json!({"type": "ephemeral"}));
        assert_eq!(sent["system"][0]["cache_control"], json!({"type": "ephemeral"}));
    }

    #[test]
    fn reasoning_has_a_budget_and_no_temperature() {
        let said = history(json!([{"role": "user", "content": "hi"}]));
        let mut thinker = claude();
        (thinker.reasoning, thinker.max_tokens) = (true, 64_000);
        let mut asked = request(&thinker, &said);
        asked.thinking = "medium";
        let sent = body(&asked);
        assert_eq!(sent["thinking"], json!({"type": "enabled", "budget_tokens": 8192}));
        assert_eq!(sent["max_tokens"], 32_000 + 8192);
        assert!(sent.get("temperature").is_none());
        thinker.max_tokens = 2048;
        let mut asked = request(&thinker, &said);
        asked.thinking = "high";
        let sent = body(&asked);
        assert_eq!((&sent["thinking"]["budget_tokens"], &sent["max_tokens"]), (&json!(1024), &json!(2048)));
        asked.thinking = "off";
        assert!(body(&asked).get("thinking").is_none());
    }

    #[test]
    fn keys_and_tokens_go_into_different_headers() {
        let said = history(json!([{"role": "user", "content": "hi"}]));
        let claude = claude();
        for (key, header) in [("sk-ant-api-1", "x-api-key"), ("sk-ant-oat01-1", "authorization")] {
            let key = Secret::new(key);
            let mut asked = request(&claude, &said);
            asked.key = Some(&key);
            let call = Anthropic {}.call(&asked).expect("a call");
            assert_eq!(call.url, "https://x.example/v1/messages");
            let found = call.headers.iter().find(|(_, value)| value.contains(key.expose())).map(|(name, _)| *name);
            assert_eq!(found, Some(header));
        }
    }

    #[test]
    fn unknown_ends_are_errors() {
        let end = |reason: &str| {
            take(&mut Anthropic {}, &[json!({"type": "message_delta", "delta": {"stop_reason": reason}})])
        };
        assert!(end("refusal").is_err() && end("novel").is_err() && end("end_turn").is_ok());
    }
}
