//! OpenAI Responses (agent.md §13.3).
//!
//! Reasoning comes encrypted and goes back as the item it was, kept in the signature of its block. Not here: the exchange
//! itself (`exchange`).

use serde_json::{Value, json};

use super::draft::Draft;
use super::exchange::{Call, Format, stated};
use super::history::{Ids, Piece, Turn, attach_images, part, turns};
use super::{ProviderError, TurnRequest, bearer, data_url, effort};
use crate::agent::message::{Block, StopReason, Usage};
use crate::base::hash::sha256_hex;
use crate::base::text::text_of;

/// Longest id of an item or a call.
const ID_LEN_MAX: usize = 64;
/// Asks models that always reason not to, where people switched it off.
const NO_REASONING: &str = "# Juice: 0 !important";

#[derive(Default)]
pub(super) struct Responses {}

impl Format for Responses {
    fn call(&self, request: &TurnRequest<'_>) -> Result<Call, ProviderError> {
        let url = format!("{}/responses", request.model.base_url);
        Ok(Call { url, headers: bearer(request), body: body(request) })
    }

    fn take(&mut self, event: &Value, draft: &mut Draft<'_>) -> Result<(), ProviderError> {
        let slot = event["output_index"].as_u64().unwrap_or(0);
        let delta = event["delta"].as_str().unwrap_or_default();
        match event["type"].as_str().unwrap_or_default() {
            "response.output_item.added" => added(&event["item"], slot, draft),
            "response.output_text.delta" | "response.refusal.delta" => draft.text(slot, delta),
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => draft.thinking(slot, delta),
            "response.reasoning_summary_part.done" => draft.thinking(slot, "\n\n"),
            "response.function_call_arguments.delta" => draft.arguments(slot, delta),
            "response.output_item.done" => done(&event["item"], slot, draft),
            "response.completed" | "response.done" | "response.incomplete" => completed(&event["response"], draft),
            "response.failed" => Err(failed(&event["response"])),
            "error" => Err(stated(event)),
            _ => Ok(()),
        }
    }

    fn take_document(&mut self, document: &Value, draft: &mut Draft<'_>) -> Result<(), ProviderError> {
        for (slot, item) in (0_u64..).zip(document["output"].as_array().into_iter().flatten()) {
            added(item, slot, draft)?;
            done(item, slot, draft)?;
        }
        completed(document, draft)
    }
}

fn added(item: &Value, slot: u64, draft: &mut Draft<'_>) -> Result<(), ProviderError> {
    match item["type"].as_str() {
        Some("reasoning") => draft.thinking(slot, ""),
        Some("function_call") => draft.call(slot, &call_id(item), item["name"].as_str().unwrap_or_default()),
        _ => Ok(()),
    }
}

/// Returns the id of a call as transcripts keep it: the call's and the item's.
fn call_id(item: &Value) -> String {
    let text = |field: &str| item[field].as_str().unwrap_or_default();
    match (text("call_id"), text("id")) {
        ("", id) => id.to_owned(),
        (call, "") => call.to_owned(),
        (call, id) => format!("{call}|{id}"),
    }
}

/// Takes the finished item, which has the last word.
fn done(item: &Value, slot: u64, draft: &mut Draft<'_>) -> Result<(), ProviderError> {
    match item["type"].as_str() {
        Some("reasoning") => {
            let texts = |field: &str| -> Vec<String> {
                let parts = item[field].as_array().into_iter().flatten();
                parts.filter_map(|part| part["text"].as_str().map(str::to_owned)).collect()
            };
            // Open models show the reasoning itself.
            let summary = Some(texts("summary")).filter(|parts| !parts.is_empty()).unwrap_or_else(|| texts("content"));
            let summary = summary.join("\n\n");
            draft.thinking(slot, "")?;
            if let Some(Block::Thinking { thinking, thinking_signature }) = draft.block(slot) {
                *thinking = summary;
                *thinking_signature = Some(item.to_string());
            }
        }
        Some("message") => {
            let parts = item["content"].as_array().into_iter().flatten();
            let texts = parts.filter_map(|part| part["text"].as_str().or_else(|| part["refusal"].as_str()));
            let whole: String = texts.collect();
            let so_far = match draft.block(slot) {
                Some(Block::Text { text, .. }) => text.clone(),
                _ => String::new(),
            };
            // What was streamed has been read already; only what is missing is added.
            if let Some(rest) = whole.strip_prefix(so_far.as_str()) {
                draft.text(slot, rest)?;
            }
            if let (Some(id), Some(Block::Text { text_signature, .. })) = (item["id"].as_str(), draft.block(slot)) {
                *text_signature = Some(id.to_owned());
            }
        }
        Some("function_call") => {
            if draft.block(slot).is_none() {
                added(item, slot, draft)?;
            }
            if let (Some(whole), Some(Block::ToolCall { arguments, id, .. })) =
                (item["arguments"].as_str(), draft.block(slot))
            {
                *arguments = whole.into();
                *id = call_id(item);
            }
        }
        _ => {}
    }
    Ok(())
}

fn completed(response: &Value, draft: &mut Draft<'_>) -> Result<(), ProviderError> {
    if response["usage"].is_object() {
        draft.usage = read_usage(&response["usage"]);
    }
    draft.cost_factor = match response["service_tier"].as_str() {
        Some("flex") => 0.5,
        Some("priority") => 2.0,
        _ => 1.0,
    };
    let reason = response.pointer("/incomplete_details/reason").and_then(Value::as_str);
    draft.stop = Some(match response["status"].as_str() {
        Some("failed" | "cancelled") => return Err(failed(response)),
        Some("incomplete") if reason == Some("content_filter") => {
            return Err(ProviderError::failed("the provider's content filter stopped the answer"));
        }
        Some("incomplete") => StopReason::Length,
        _ => StopReason::Stop,
    });
    draft.is_over = true;
    Ok(())
}

fn failed(response: &Value) -> ProviderError {
    match response.get("error").filter(|error| !error.is_null()) {
        Some(error) => stated(error),
        None => ProviderError::failed("the provider gave the answer up without saying why"),
    }
}

fn read_usage(usage: &Value) -> Usage {
    let number = |path: &str| usage.pointer(path).and_then(Value::as_u64).unwrap_or(0);
    let cache_read = number("/input_tokens_details/cached_tokens");
    let input = number("/input_tokens").saturating_sub(cache_read);
    let output = number("/output_tokens");
    let sum = input.saturating_add(output).saturating_add(cache_read);
    let total_tokens = Some(number("/total_tokens")).filter(|total| *total > 0).unwrap_or(sum);
    Usage { input, output, cache_read, total_tokens, ..Usage::default() }
}

fn body(request: &TurnRequest<'_>) -> Value {
    let model = request.model;
    let mut body = json!({
        "model": model.id,
        "stream": true,
        "max_output_tokens": request.max_tokens(),
    });
    body["input"] = input(request).into();
    if !request.session_id.is_empty() {
        body["prompt_cache_key"] = request.session_id.into();
    }
    if let Some(temperature) = request.temperature() {
        body["temperature"] = temperature.clone();
    }
    if !request.tools.is_empty() {
        body["tools"] = tools(request, &Value::Bool(false));
    }
    if model.reasoning {
        if request.thinking != "off" {
            body["reasoning"] = json!({"effort": effort(request), "summary": "auto"});
        }
        // Models reason anyway; without this, tool calls could not be sent back with what led to them.
        body["include"] = json!(["reasoning.encrypted_content"]);
    }
    body
}

/// Returns the tools; `strict` says whether calls must keep to the letter of their schemas.
pub(super) fn tools(request: &TurnRequest<'_>, strict: &Value) -> Value {
    let tool = |spec: &super::ToolSpec| {
        json!({"type": "function", "name": spec.name, "description": spec.description,
            "parameters": spec.parameters, "strict": strict})
    };
    request.tools.iter().map(tool).collect()
}

fn input(request: &TurnRequest<'_>) -> Vec<Value> {
    let model = request.model;
    let role = if model.reasoning { "developer" } else { "system" };
    let mut out = vec![json!({"role": role, "content": request.system_prompt})];
    out.append(&mut items(request));
    if model.reasoning && request.thinking == "off" && model.id.starts_with("gpt-5") {
        out.push(json!({"role": "developer", "content": [{"type": "input_text", "text": NO_REASONING}]}));
    }
    out
}

/// Returns the conversation without the system prompt.
pub(super) fn items(request: &TurnRequest<'_>) -> Vec<Value> {
    let model = request.model;
    let mut out = Vec::new();
    let mut images: Vec<Value> = Vec::new();
    for (index, turn) in turns(request.messages, model, Ids::Any).iter().enumerate() {
        if !matches!(turn, Turn::Result(_)) {
            attach_images(&mut out, &mut images, "input_text");
        }
        match turn {
            Turn::User(pieces) => {
                let parts: Vec<Value> = pieces.iter().filter_map(|piece| part(piece, "input_text", image)).collect();
                out.push(json!({"role": "user", "content": parts}));
            }
            Turn::Assistant(pieces) => {
                // An item of a call may be named only beside the reasoning that led to it.
                let names_items = pieces.iter().any(|it| matches!(it, Piece::Thinking { signature: Some(_), .. }));
                out.extend(pieces.iter().filter_map(|piece| item(piece, index, names_items)));
            }
            Turn::Result(result) => {
                let (call, _) = split(&result.id);
                out.push(json!({"type": "function_call_output", "call_id": call, "output": result.text_or_hint()}));
                images.extend(result.images.iter().map(|(data, mime_type)| image(data, mime_type)));
            }
        }
    }
    attach_images(&mut out, &mut images, "input_text");
    out
}

fn image(data: &str, mime_type: &str) -> Value {
    json!({"type": "input_image", "detail": "auto", "image_url": data_url(data, mime_type)})
}

fn item(piece: &Piece<'_>, index: usize, names_items: bool) -> Option<Value> {
    Some(match piece {
        // Only items: a signature of another kind is of no use here, and text alone is no reasoning item.
        Piece::Thinking { signature, .. } => {
            serde_json::from_str::<Value>((*signature)?).ok().filter(|item| item["type"] == "reasoning")?
        }
        Piece::Text { text, signature } => {
            let id = match signature {
                None => format!("msg_{index}"),
                Some(id) if id.len() > ID_LEN_MAX => format!("msg_{}", short_hash(id)),
                Some(id) => (*id).to_owned(),
            };
            let content = json!([{"type": "output_text", "text": text, "annotations": []}]);
            json!({"type": "message", "role": "assistant", "content": content, "status": "completed", "id": id})
        }
        Piece::Call { id, name, arguments, .. } => {
            let (call, item) = split(id);
            let arguments = text_of(arguments);
            let mut out = json!({"type": "function_call", "call_id": call, "name": name, "arguments": arguments});
            if let Some(item) = item.filter(|_| names_items) {
                out["id"] = item.into();
            }
            out
        }
        Piece::Image { .. } => return None,
    })
}

/// Splits an id of a transcript into the call's and, if this interface gave it, the item's.
fn split(id: &str) -> (String, Option<String>) {
    let (call, item) = id.split_once('|').map_or((id, None), |(call, item)| (call, Some(item)));
    let word = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' };
    let spell = |text: &str| text.chars().take(ID_LEN_MAX).map(word).collect::<String>();
    (spell(call), item.filter(|item| item.starts_with("fc")).map(spell))
}

fn short_hash(text: &str) -> String {
    sha256_hex(text.as_bytes())[..24].to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::history::tests::{messages as history, model};
    use super::super::tests::{request, take};
    use super::*;

    #[test]
    fn a_stream_becomes_a_message_and_goes_back_as_its_items() {
        let reasoning = json!({"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}],
            "encrypted_content": "xxx"});
        let call = json!({"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "exec",
            "arguments": "{\"a\":1}"});
        let mut message = take(
            &mut Responses {},
            &[
                json!({"type": "response.created", "response": {}}),
                json!({"type": "response.output_item.added", "output_index": 0, "item": {"type": "reasoning"}}),
                json!({"type": "response.reasoning_summary_text.delta", "output_index": 0, "delta": "hm"}),
                json!({"type": "response.output_item.done", "output_index": 0, "item": reasoning}),
                json!({"type": "response.output_item.added", "output_index": 1, "item": {"type": "message", "id": "msg_a"}}),
                json!({"type": "response.output_text.delta", "output_index": 1, "delta": "Hel"}),
                json!({"type": "response.output_item.done", "output_index": 1, "item": {"type": "message", "id": "msg_a",
                    "content": [{"type": "output_text", "text": "Hello"}]}}),
                json!({"type": "response.output_item.added", "output_index": 2, "item": {"type": "function_call",
                    "id": "fc_1", "call_id": "call_1", "name": "exec", "arguments": ""}}),
                json!({"type": "response.function_call_arguments.delta", "output_index": 2, "delta": "{\"a\""}),
                json!({"type": "response.output_item.done", "output_index": 2, "item": call}),
                json!({"type": "response.completed", "response": {"status": "completed", "usage": {"input_tokens": 10,
                    "output_tokens": 4, "total_tokens": 14, "input_tokens_details": {"cached_tokens": 3}}}}),
            ],
        )
        .expect("a message");
        assert_eq!((message.usage.input, message.usage.cache_read, message.usage.total_tokens), (7, 3, 14));
        assert_eq!(message.stop_reason, StopReason::ToolUse);

        let mut own = model("openai", "gpt-5", "openai-responses");
        own.reasoning = true;
        (message.provider, message.model) = (Some("openai".into()), Some("gpt-5".into()));
        message.api = Some("openai-responses".into());
        let said = [crate::agent::message::Message::Assistant(message)];
        let sent = body(&request(&own, &said));
        let items = sent["input"].as_array().expect("items");
        assert_eq!(items[1], reasoning);
        assert_eq!((&items[2]["id"], &items[2]["content"][0]["text"]), (&json!("msg_a"), &json!("Hello")));
        assert_eq!((&items[3]["id"], &items[3]["call_id"]), (&json!("fc_1"), &json!("call_1")));
        assert_eq!(
            items[4],
            json!({"type": "function_call_output", "call_id": "call_1", "output": "No result provided"})
        );
        assert_eq!(sent["include"], json!(["reasoning.encrypted_content"]));

        own.id = "gpt-5-mini".into();
        let sent = body(&request(&own, &said));
        assert!(sent["input"].as_array().expect("items").iter().all(|item| item["type"] != "reasoning"));
        assert!(!sent.to_string().contains("fc_1"), "{sent}");
    }

    #[test]
    fn images_and_foreign_calls_are_sent() {
        let said = history(json!([
            {"role": "user", "content": [{"type": "image", "data": "AA==", "mimeType": "image/png"}]},
            {"role": "assistant", "content": [{"type": "toolCall", "id": "toolu:1", "name": "x", "arguments": {}}]},
            {"role": "toolResult", "toolCallId": "toolu:1", "toolName": "x", "isError": false,
                "content": [{"type": "image", "data": "BB==", "mimeType": "image/png"}]},
        ]));
        let mut own = model("openai", "gpt-5", "openai-responses");
        own.reasoning = true;
        let mut asked = request(&own, &said);
        asked.thinking = "off";
        let sent = body(&asked);
        let items = sent["input"].as_array().expect("items");
        assert_eq!(items[1]["content"][0]["image_url"], "data:image/png;base64,AA==");
        assert_eq!((&items[2]["call_id"], items[2].get("id")), (&json!("toolu_1"), None));
        assert_eq!(items[3]["output"], "(see attached image)");
        assert_eq!(items[4]["content"][1]["image_url"], "data:image/png;base64,BB==");
        assert_eq!(items[5]["content"][0]["text"], NO_REASONING);
    }

    #[test]
    fn failures_inside_the_stream_are_errors() {
        let error = |event: Value| take(&mut Responses {}, &[event]).expect_err("an error");
        let limited = error(json!({"type": "response.failed", "response": {"error": {"code": "rate_limit_exceeded",
            "message": "slow down"}}}));
        assert!(matches!(limited, ProviderError::Failed { status: Some(429), .. }), "{limited:?}");
        let broken = error(json!({"type": "error", "code": "server_error", "message": "sorry"}));
        assert!(matches!(broken, ProviderError::Failed { status: Some(500), .. }), "{broken:?}");
        let cut = take(
            &mut Responses {},
            &[
                json!({"type": "response.output_text.delta", "output_index": 0, "delta": "a"}),
                json!({"type": "response.incomplete", "response": {"status": "incomplete",
                "incomplete_details": {"reason": "max_output_tokens"}, "service_tier": "flex"}}),
            ],
        )
        .expect("a message");
        assert_eq!(cut.stop_reason, StopReason::Length);
    }
}
