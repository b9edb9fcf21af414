//! Google Generative AI: Gemini over `streamGenerateContent` (agent.md §13.4).
//!
//! Not here: the exchange itself (`exchange`).

use serde_json::{Map, Value, json};

use super::draft::Draft;
use super::exchange::{Call, Format};
use super::history::{Answered, Ids, Piece, Turn, turns};
use super::{ProviderError, TurnRequest, bearer};
use crate::agent::message::{Block, StopReason, Usage};
use crate::agent::models::Model;

/// Keywords of JSON Schema that Gemini refuses.
const SCHEMA_REFUSED: [&str; 22] = [
    "$schema",
    "$id",
    "$ref",
    "$defs",
    "definitions",
    "additionalProperties",
    "patternProperties",
    "examples",
    "default",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "multipleOf",
    "pattern",
    "format",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
    "title",
];

#[derive(Default)]
pub(super) struct Google {
    slot: u64,
    is_thought: Option<bool>,
}

impl Format for Google {
    fn call(&self, request: &TurnRequest<'_>) -> Result<Call, ProviderError> {
        let model = request.model;
        let url = format!("{}/models/{}:streamGenerateContent?alt=sse", model.base_url, model.id);
        let mut headers = bearer(request);
        headers.extend(request.key.map(|key| ("x-goog-api-key", key.expose().to_owned())));
        Ok(Call { url, headers, body: body(request) })
    }

    fn take(&mut self, event: &Value, draft: &mut Draft<'_>) -> Result<(), ProviderError> {
        if let Some(reason) = event.pointer("/promptFeedback/blockReason").and_then(Value::as_str) {
            return Err(ProviderError::failed(format!("the provider refused the prompt: {reason}")));
        }
        for part in event.pointer("/candidates/0/content/parts").and_then(Value::as_array).into_iter().flatten() {
            self.part(part, draft)?;
        }
        if event["usageMetadata"].is_object() {
            draft.usage = read_usage(&event["usageMetadata"]);
        }
        if let Some(reason) = event.pointer("/candidates/0/finishReason").and_then(Value::as_str) {
            draft.stop = Some(match reason {
                _ if draft.has_calls() => StopReason::ToolUse,
                "STOP" => StopReason::Stop,
                "MAX_TOKENS" => StopReason::Length,
                other => return Err(ProviderError::failed(format!("the provider stopped the answer: {other}"))),
            });
        }
        Ok(())
    }
}

impl Google {
    fn part(&mut self, part: &Value, draft: &mut Draft<'_>) -> Result<(), ProviderError> {
        let signature = part["thoughtSignature"].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        if let Some(text) = part["text"].as_str() {
            let is_thought = part["thought"] == true;
            if self.is_thought != Some(is_thought) {
                (self.is_thought, self.slot) = (Some(is_thought), self.slot + 1);
            }
            match is_thought {
                true => draft.thinking(self.slot, text)?,
                false => draft.text(self.slot, text)?,
            }
            if let (
                Some(_),
                Some(Block::Thinking { thinking_signature: kept, .. } | Block::Text { text_signature: kept, .. }),
            ) = (&signature, draft.block(self.slot))
            {
                *kept = signature.clone();
            }
        }
        let call = &part["functionCall"];
        if call.is_object() {
            (self.is_thought, self.slot) = (None, self.slot + 1);
            let name = call["name"].as_str().unwrap_or_default();
            // Without an id, or with one that was there before, the call gets its own at the end.
            let id = call["id"].as_str().unwrap_or_default();
            let id = if draft.call_of(id).is_some() { "" } else { id };
            draft.call(self.slot, id, name)?;
            if let Some(Block::ToolCall { arguments, thought_signature, .. }) = draft.block(self.slot) {
                *arguments = if call["args"].is_null() { json!({}) } else { call["args"].clone() };
                *thought_signature = signature;
            }
        }
        Ok(())
    }
}

fn read_usage(usage: &Value) -> Usage {
    let number = |field: &str| usage[field].as_u64().unwrap_or(0);
    let cache_read = number("cachedContentTokenCount");
    // compat: the original counts cached tokens twice, as input and as read from the cache.
    let input = number("promptTokenCount").saturating_sub(cache_read);
    let output = number("candidatesTokenCount").saturating_add(number("thoughtsTokenCount"));
    let sum = input.saturating_add(output).saturating_add(cache_read);
    let total_tokens = Some(number("totalTokenCount")).filter(|total| *total > 0).unwrap_or(sum);
    Usage { input, output, cache_read, total_tokens, ..Usage::default() }
}

pub(super) fn body(request: &TurnRequest<'_>) -> Value {
    let mut generation = json!({"maxOutputTokens": request.max_tokens()});
    if let Some(temperature) = request.temperature() {
        generation["temperature"] = temperature.clone();
    }
    if let Some(thinking) = thinking(request) {
        generation["thinkingConfig"] = thinking;
    }
    let mut body = json!({"generationConfig": generation});
    body["contents"] = contents(request).into();
    if !request.system_prompt.trim().is_empty() {
        body["systemInstruction"] = json!({"role": "user", "parts": [{"text": request.system_prompt}]});
    }
    if !request.tools.is_empty() {
        let tool = |spec: &super::ToolSpec| json!({"name": spec.name, "description": spec.description, "parameters": plain_schema(&spec.parameters)});
        body["tools"] = json!([{"functionDeclarations": request.tools.iter().map(tool).collect::<Vec<_>>()}]);
    }
    body
}

fn thinking(request: &TurnRequest<'_>) -> Option<Value> {
    let id = &request.model.id;
    let step =
        ["minimal", "low", "medium", "high", "xhigh"].iter().position(|level| *level == request.thinking)?.min(3);
    if !request.model.reasoning {
        return None;
    }
    let levels = |levels: [&str; 4]| json!({"includeThoughts": true, "thinkingLevel": levels[step]});
    let budget = |tokens: [i64; 4]| json!({"includeThoughts": true, "thinkingBudget": tokens[step]});
    Some(match id {
        id if id.contains("3-pro") => levels(["LOW", "LOW", "HIGH", "HIGH"]),
        id if id.contains("3-flash") => levels(["MINIMAL", "LOW", "MEDIUM", "HIGH"]),
        id if id.contains("2.5-pro") => budget([128, 2048, 8192, 32_768]),
        id if id.contains("2.5-flash") => budget([128, 2048, 8192, 24_576]),
        // The model decides.
        _ => budget([-1; 4]),
    })
}

/// Returns a schema of parameters in the part of JSON Schema that Gemini takes.
fn plain_schema(schema: &Value) -> Value {
    let Value::Object(fields) = schema else { return schema.clone() };
    let mut out = Map::new();
    for (key, value) in fields {
        match (key.as_str(), value) {
            (key, _) if SCHEMA_REFUSED.contains(&key) => {}
            // Names of properties are names, whatever they look like.
            ("properties", Value::Object(properties)) => {
                let plain = properties.iter().map(|(name, schema)| (name.clone(), plain_schema(schema))).collect();
                out.insert(key.clone(), Value::Object(plain));
            }
            ("const", value) => {
                out.insert("enum".to_owned(), json!([value]));
            }
            ("type", Value::Array(types)) => {
                out.insert(key.clone(), types.iter().find(|it| *it != "null").cloned().unwrap_or_default());
            }
            (_, Value::Array(items)) => {
                out.insert(key.clone(), items.iter().map(plain_schema).collect());
            }
            (_, value) => {
                out.insert(key.clone(), plain_schema(value));
            }
        }
    }
    Value::Object(out)
}

/// Models of other makers behind Google's interface match calls and results by id instead of by order.
fn needs_ids(model: &Model) -> bool {
    ["claude-", "gpt-oss-"].iter().any(|start| model.id.starts_with(start))
}

fn contents(request: &TurnRequest<'_>) -> Vec<Value> {
    let model = request.model;
    let mut out: Vec<Value> = Vec::new();
    let mut images: Vec<Value> = Vec::new();
    for turn in turns(request.messages, model, Ids::Word(64)) {
        if !matches!(turn, Turn::Result(_)) {
            attach(&mut out, &mut images);
        }
        match turn {
            Turn::User(pieces) => push(&mut out, "user", pieces.iter().filter_map(|it| part(it, model)).collect()),
            Turn::Assistant(pieces) => {
                if out.is_empty() {
                    push(&mut out, "user", vec![json!({"text": "(session bootstrap)"})]);
                }
                push(&mut out, "model", pieces.iter().filter_map(|piece| part(piece, model)).collect());
            }
            Turn::Result(result) => {
                push(&mut out, "user", vec![response(&result, model)]);
                if !is_gemini3(model) {
                    images.extend(result.images.iter().map(|(data, mime_type)| inline(data, mime_type)));
                }
            }
        }
    }
    attach(&mut out, &mut images);
    out
}

fn attach(out: &mut Vec<Value>, images: &mut Vec<Value>) {
    if images.is_empty() {
        return;
    }
    let mut parts = vec![json!({"text": "Tool result image:"})];
    parts.append(images);
    out.push(json!({"role": "user", "parts": parts}));
}

/// Adds to the last content of the same role; results of calls stand alone.
fn push(out: &mut Vec<Value>, role: &str, mut parts: Vec<Value>) {
    let is_result = |part: Option<&Value>| part.is_some_and(|part| part.get("functionResponse").is_some());
    if parts.is_empty() {
        return;
    }
    let kind = is_result(parts.first());
    let last = out.last_mut().filter(|it| it["role"] == role && is_result(it["parts"].get(0)) == kind);
    match last.and_then(|content| content["parts"].as_array_mut()) {
        Some(known) => known.append(&mut parts),
        None => out.push(json!({"role": role, "parts": parts})),
    }
}

fn is_gemini3(model: &Model) -> bool {
    model.id.to_lowercase().contains("gemini-3")
}

/// Returns a signature that may be sent: base64, or the request would be refused as a whole.
fn signed<'a>(signature: &Option<&'a str>) -> Option<&'a str> {
    let is_base64 = |text: &str| {
        let body = text.trim_end_matches('=');
        text.len().is_multiple_of(4)
            && text.len() - body.len() <= 2
            && body.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
    };
    signature.filter(|text| !text.is_empty() && is_base64(text))
}

fn part(piece: &Piece<'_>, model: &Model) -> Option<Value> {
    let (mut part, signature) = match piece {
        Piece::Text { text, signature } => (json!({"text": text}), signed(signature)),
        Piece::Thinking { text, .. } if text.trim().is_empty() => return None,
        Piece::Thinking { text, signature } => (json!({"thought": true, "text": text}), signed(signature)),
        Piece::Image { data, mime_type } => (inline(data, mime_type), None),
        Piece::Call { name, arguments, signature, .. } if is_gemini3(model) && signed(signature).is_none() => {
            let text = format!(
                "[Earlier in this conversation another model called the tool \"{name}\" with the arguments {arguments}. \
                 This note only tells what happened; call tools by function calls.]"
            );
            (json!({"text": text}), None)
        }
        Piece::Call { id, name, arguments, signature } => {
            let args = if arguments.is_object() { (*arguments).clone() } else { json!({"invalid": arguments}) };
            let mut call = json!({"name": name, "args": args});
            if needs_ids(model) {
                call["id"] = id.as_str().into();
            }
            (json!({"functionCall": call}), signed(signature))
        }
    };
    if let Some(signature) = signature {
        part["thoughtSignature"] = signature.into();
    }
    Some(part)
}

fn inline(data: &str, mime_type: &str) -> Value {
    json!({"inlineData": {"mimeType": mime_type, "data": data}})
}

fn response(result: &Answered<'_>, model: &Model) -> Value {
    let key = if result.is_error { "error" } else { "output" };
    let mut response = json!({"name": result.name, "response": {key: result.text_or_hint()}});
    if needs_ids(model) {
        response["id"] = result.id.as_str().into();
    }
    if is_gemini3(model) && !result.images.is_empty() {
        response["parts"] = result.images.iter().map(|(data, mime_type)| inline(data, mime_type)).collect();
    }
    json!({"functionResponse": response})
}

#[cfg(test)]
mod tests {
    use super::super::history::tests::{messages as history, model};
    use super::super::tests::{request, take};
    use super::*;

    fn gemini(id: &str) -> Model {
        Model { reasoning: true, ..model("google", id, "google-generative-ai") }
    }

    fn parts(parts: Value) -> Value {
        json!({"candidates": [{"content": {"parts": parts}}]})
    }

    #[test]
    fn a_stream_becomes_a_message() {
        let message = take(
            &mut Google::default(),
            &[
                parts(json!([{"text": "hm", "thought": true}])),
                parts(json!([{"text": "Hel"}])),
                parts(json!([{"text": "lo", "thoughtSignature": "AAAA"}])),
                parts(json!([{"functionCall": {"name": "exec", "args": {"a": 1}}, "thoughtSignature": "BBBB"},
                    {"functionCall": {"name": "exec"}}])),
                json!({"candidates": [{"finishReason": "STOP"}], "usageMetadata": {"promptTokenCount": 10,
                    "cachedContentTokenCount": 4, "candidatesTokenCount": 3, "thoughtsTokenCount": 2,
                    "totalTokenCount": 15}}),
            ],
        )
        .expect("a message");
        assert_eq!(message.stop_reason, StopReason::ToolUse);
        let usage = message.usage;
        assert_eq!((usage.input, usage.cache_read, usage.output, usage.total_tokens), (6, 4, 5, 15));
        assert_eq!(message.content[1], Block::Text { text: "Hello".into(), text_signature: Some("AAAA".into()) });
        let ids: Vec<&str> = message
            .content
            .iter()
            .filter_map(|block| match block {
                Block::ToolCall { id, .. } => Some(id.as_str()),
                _ => None,
            })
            .collect();
        assert!(ids.len() == 2 && ids[0] != ids[1], "{ids:?}");
    }

    #[test]
    fn a_conversation_is_sent_in_its_shape() {
        let said = history(json!([
            {"role": "assistant", "provider": "google", "model": "gemini-2.5-pro", "api": "google-generative-ai",
                "content": [{"type": "toolCall", "id": "a", "name": "x", "arguments": {}, "thoughtSignature": "AAAA"},
                    {"type": "toolCall", "id": "b", "name": "y", "arguments": {}, "thoughtSignature": "no base64!"}]},
            {"role": "toolResult", "toolCallId": "a", "toolName": "x", "isError": false,
                "content": [{"type": "image", "data": "AA==", "mimeType": "image/png"}]},
            {"role": "toolResult", "toolCallId": "b", "toolName": "y", "isError": true,
                "content": [{"type": "text", "text": "bad"}]},
            {"role": "user", "content": "go on"},
        ]));
        let sent = contents(&request(&gemini("gemini-2.5-pro"), &said));
        let roles: Vec<&str> = sent.iter().filter_map(|it| it["role"].as_str()).collect();
        assert_eq!(roles, ["user", "model", "user", "user"]);
        assert_eq!(sent[1]["parts"][0]["thoughtSignature"], "AAAA");
        assert!(sent[1]["parts"][1].get("thoughtSignature").is_none());
        assert_eq!(sent[2]["parts"][0]["functionResponse"]["response"]["output"], "(see attached image)");
        assert_eq!(sent[2]["parts"][1]["functionResponse"]["response"]["error"], "bad");
        assert_eq!(sent[3]["parts"][0]["text"], "Tool result image:");
        assert_eq!(sent[3]["parts"][2]["text"], "go on");

        let sent = contents(&request(&gemini("gemini-3-pro-preview"), &said));
        assert!(sent[1]["parts"][0]["text"].is_string(), "unsigned for this model: {sent:?}");
        assert!(sent[2]["parts"][0]["functionResponse"]["parts"][0]["inlineData"].is_object());
    }

    #[test]
    fn reasoning_is_asked_for_in_the_models_own_way() {
        let said = history(json!([{"role": "user", "content": "hi"}]));
        for (id, level, expected) in [
            ("gemini-3-pro-preview", "minimal", json!({"includeThoughts": true, "thinkingLevel": "LOW"})),
            ("gemini-3-flash-preview", "medium", json!({"includeThoughts": true, "thinkingLevel": "MEDIUM"})),
            ("gemini-2.5-flash", "xhigh", json!({"includeThoughts": true, "thinkingBudget": 24_576})),
            ("gemini-x", "low", json!({"includeThoughts": true, "thinkingBudget": -1})),
            ("gemini-x", "off", Value::Null),
        ] {
            let model = gemini(id);
            let mut asked = request(&model, &said);
            asked.thinking = level;
            assert_eq!(body(&asked)["generationConfig"]["thinkingConfig"], expected, "{id} {level}");
        }
    }

    #[test]
    fn schemas_lose_what_is_refused() {
        let schema = json!({"type": "object", "additionalProperties": false, "properties": {
            "pattern": {"type": ["string", "null"], "pattern": "x", "description": "d"},
            "kind": {"const": "a"},
        }, "required": ["pattern"]});
        assert_eq!(
            plain_schema(&schema),
            json!({"type": "object", "properties": {
                "pattern": {"type": "string", "description": "d"}, "kind": {"enum": ["a"]},
            }, "required": ["pattern"]})
        );
    }
}
