//! The streams of the wire formats of models, as their servers send them, and what two of these refuse.

use serde_json::{Value, json};

use super::provider::Asked;

/// A part of an answer.
#[derive(Clone)]
pub enum Part {
    /// Reasoning with its signature.
    Thinking(&'static str, &'static str),
    Text(&'static str),
    /// A call: id, tool, the text of its arguments.
    Call(&'static str, &'static str, &'static str),
}

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    Completions,
    Anthropic,
    Responses,
    Google,
    /// Responses, as ChatGPT's subscriptions are served it.
    Codex,
    /// Google in an envelope.
    CodeAssist,
}

impl Wire {
    /// Those that official clients speak.
    pub const PUBLIC: [Self; 4] = [Self::Completions, Self::Anthropic, Self::Responses, Self::Google];
    pub const ALL: [Self; 6] =
        [Self::Completions, Self::Anthropic, Self::Responses, Self::Google, Self::Codex, Self::CodeAssist];

    /// Its name in configurations.
    pub fn api(self) -> &'static str {
        match self {
            Self::Completions => "openai-completions",
            Self::Anthropic => "anthropic-messages",
            Self::Responses => "openai-responses",
            Self::Google => "google-generative-ai",
            Self::Codex => "openai-codex-responses",
            Self::CodeAssist => "google-gemini-cli",
        }
    }

    /// The provider that tests name it by: two formats belong to one provider each.
    pub fn provider(self) -> &'static str {
        match self {
            Self::Codex => "openai-codex",
            Self::CodeAssist => "google-gemini-cli",
            _ => "test",
        }
    }

    /// Why its server would refuse a request that the others would take.
    pub fn objection(self, asked: &Asked) -> Option<&'static str> {
        let body = &asked.body;
        match self {
            Self::Codex => match () {
                () if asked.header("chatgpt-account-id").is_none() => Some("no account"),
                () if asked.header("openai-beta") != Some("responses=experimental") => Some("not a beta"),
                () if body["store"] != false => Some("Store must be set to false"),
                () if !body["instructions"].is_string() => Some("Instructions are required"),
                () if body.get("max_output_tokens").is_some() => Some("Unsupported parameter: max_output_tokens"),
                () => None,
            },
            Self::CodeAssist => match () {
                () if !body["project"].is_string() => Some("no project"),
                () if !body["model"].is_string() => Some("no model"),
                () if !body["request"]["contents"].is_array() => Some("no contents"),
                () if body["request"]["systemInstruction"].get("role").is_some() => Some("a role that is none"),
                () => None,
            },
            _ => None,
        }
    }

    /// The format that a request to this path speaks.
    pub fn of(path: &str) -> Self {
        let path = path.split('?').next().unwrap_or_default();
        match () {
            () if path.ends_with("/v1/messages") => Self::Anthropic,
            () if path.ends_with("/codex/responses") => Self::Codex,
            () if path.ends_with("/responses") => Self::Responses,
            () if path.ends_with("/v1internal:streamGenerateContent") => Self::CodeAssist,
            () if path.ends_with(":streamGenerateContent") => Self::Google,
            () => Self::Completions,
        }
    }

    /// A whole answer. It has cost 11 tokens, 4 of them cached, and 9 for the answer.
    pub fn stream(self, parts: &[Part]) -> String {
        let end = if self == Self::Completions { "data: [DONE]\n\n" } else { "" };
        self.events(parts).iter().map(|event| self.event(event)).collect::<String>() + end
    }

    fn events(self, parts: &[Part]) -> Vec<Value> {
        match self {
            Self::Completions => completions(parts),
            Self::Anthropic => anthropic(parts),
            Self::Responses | Self::Codex => responses(parts),
            Self::Google => google(parts),
            Self::CodeAssist => {
                google(parts).into_iter().map(|inner| json!({"response": inner, "traceId": "t"})).collect()
            }
        }
    }

    /// An error after some text.
    pub fn error(self, kind: &str, message: &str) -> String {
        // Up to the event that brings the second half.
        let events = self.events(&[Part::Text("part")]);
        let count = events.iter().position(|event| event.to_string().contains("\"rt\"")).expect("a half") + 1;
        let begun: String = events[..count].iter().map(|event| self.event(event)).collect();
        let event = match self {
            Self::Completions | Self::Google | Self::CodeAssist => {
                json!({"error": {"message": message, "code": 503, "status": kind}})
            }
            Self::Anthropic => json!({"type": "error", "error": {"type": kind, "message": message}}),
            Self::Responses | Self::Codex => {
                json!({"type": "response.failed", "response": {"status": "failed", "error": {"code": kind, "message": message}}})
            }
        };
        begun + &self.event(&event)
    }

    fn event(self, event: &Value) -> String {
        match self {
            Self::Completions => format!(": keep-alive\n\ndata: {event}\n\n"),
            Self::Google | Self::CodeAssist => format!("data: {event}\r\n\r\n"),
            Self::Anthropic | Self::Responses | Self::Codex => {
                format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or("x"))
            }
        }
    }
}

/// Cuts a text in two, as streams do.
fn halves(text: &str) -> [&str; 2] {
    let middle = (text.len() / 2..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    let (first, second) = text.split_at(middle);
    [first, second]
}

fn completions(parts: &[Part]) -> Vec<Value> {
    let chunk = |delta: Value, reason: Value| {
        json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})
    };
    let mut out = vec![chunk(json!({"role": "assistant", "content": ""}), Value::Null)];
    let mut index = 0;
    for part in parts {
        match part {
            Part::Thinking(text, _) => {
                out.extend(halves(text).map(|text| chunk(json!({"reasoning_content": text}), Value::Null)))
            }
            Part::Text(text) => out.extend(halves(text).map(|text| chunk(json!({"content": text}), Value::Null))),
            Part::Call(id, name, arguments) => {
                let call = |call: Value| chunk(json!({"tool_calls": [call]}), Value::Null);
                let [first, second] = halves(arguments);
                out.push(call(
                    json!({"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": ""}}),
                ));
                out.push(call(json!({"index": index, "function": {"arguments": first}})));
                out.push(call(json!({"index": index, "function": {"arguments": second}})));
                index += 1;
            }
        }
    }
    out.push(chunk(json!({}), (if index > 0 { "tool_calls" } else { "stop" }).into()));
    let usage = json!({"prompt_tokens": 11, "completion_tokens": 9, "total_tokens": 20, "prompt_tokens_details": {"cached_tokens": 4}});
    out.push(json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], "usage": usage}));
    out
}

fn anthropic(parts: &[Part]) -> Vec<Value> {
    let usage =
        json!({"input_tokens": 7, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 0, "output_tokens": 1});
    let mut out = vec![
        json!({"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant", "model": "m",
            "content": [], "stop_reason": null, "stop_sequence": null, "usage": usage}}),
        json!({"type": "ping"}),
    ];
    for (index, part) in parts.iter().enumerate() {
        let delta = |delta: Value| json!({"type": "content_block_delta", "index": index, "delta": delta});
        let start = |block: Value| json!({"type": "content_block_start", "index": index, "content_block": block});
        match part {
            Part::Thinking(text, signature) => {
                out.push(start(json!({"type": "thinking", "thinking": "", "signature": ""})));
                out.extend(halves(text).map(|text| delta(json!({"type": "thinking_delta", "thinking": text}))));
                out.push(delta(json!({"type": "signature_delta", "signature": signature})));
            }
            Part::Text(text) => {
                out.push(start(json!({"type": "text", "text": "", "citations": null})));
                out.extend(halves(text).map(|text| delta(json!({"type": "text_delta", "text": text}))));
            }
            Part::Call(id, name, arguments) => {
                out.push(start(json!({"type": "tool_use", "id": id, "name": name, "input": {}})));
                out.extend(
                    halves(arguments).map(|text| delta(json!({"type": "input_json_delta", "partial_json": text}))),
                );
            }
        }
        out.push(json!({"type": "content_block_stop", "index": index}));
    }
    let reason = if parts.iter().any(|part| matches!(part, Part::Call(..))) { "tool_use" } else { "end_turn" };
    out.push(json!({"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": null}, "usage": {"output_tokens": 9}}));
    out.push(json!({"type": "message_stop"}));
    out
}

fn responses(parts: &[Part]) -> Vec<Value> {
    let mut out =
        vec![json!({"type": "response.created", "response": {"id": "resp_1", "status": "in_progress", "output": []}})];
    let mut items = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let event = |kind: &str, more: Value| {
            let mut event = json!({"type": format!("response.{kind}"), "output_index": index});
            event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            event
        };
        let (first, item) = match part {
            Part::Thinking(text, signature) => {
                let item = |summary: Value| json!({"type": "reasoning", "id": format!("rs_{index}"), "summary": summary, "encrypted_content": signature});
                (item(json!([])), item(json!([{"type": "summary_text", "text": text}])))
            }
            Part::Text(text) => {
                let item = |content: Value| json!({"type": "message", "id": format!("msg_{index}"), "role": "assistant", "status": "completed", "content": content});
                (item(json!([])), item(json!([{"type": "output_text", "text": text, "annotations": []}])))
            }
            Part::Call(id, name, arguments) => {
                let item = |arguments: &str| json!({"type": "function_call", "id": format!("fc_{index}"), "call_id": id, "name": name, "arguments": arguments, "status": "completed"});
                (item(""), item(arguments))
            }
        };
        out.push(event("output_item.added", json!({"item": first})));
        match part {
            Part::Text(_) => {
                let empty = json!({"type": "output_text", "text": "", "annotations": []});
                out.push(event(
                    "content_part.added",
                    json!({"item_id": first["id"], "content_index": 0, "part": empty}),
                ));
            }
            Part::Thinking(..) => {
                let part =
                    json!({"item_id": first["id"], "summary_index": 0, "part": {"type": "summary_text", "text": ""}});
                out.push(event("reasoning_summary_part.added", part));
            }
            Part::Call(..) => {}
        }
        let (kind, text) = match part {
            Part::Thinking(text, _) => ("reasoning_summary_text.delta", text),
            Part::Text(text) => ("output_text.delta", text),
            Part::Call(_, _, arguments) => ("function_call_arguments.delta", arguments),
        };
        out.extend(halves(text).map(|text| {
            event(kind, json!({"item_id": first["id"], "content_index": 0, "summary_index": 0, "delta": text}))
        }));
        out.push(event("output_item.done", json!({"item": item})));
        items.push(item);
    }
    let usage = json!({"input_tokens": 11, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 9,
        "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 20});
    out.push(json!({"type": "response.completed", "response": {"id": "resp_1", "status": "completed", "output": items, "usage": usage}}));
    out
}

fn google(parts: &[Part]) -> Vec<Value> {
    let chunk = |part: Value| json!({"candidates": [{"content": {"role": "model", "parts": [part]}, "index": 0}]});
    let mut out = Vec::new();
    for part in parts {
        match part {
            Part::Thinking(text, signature) => {
                let [first, second] = halves(text);
                out.push(chunk(json!({"text": first, "thought": true})));
                out.push(chunk(json!({"text": second, "thought": true, "thoughtSignature": signature})));
            }
            Part::Text(text) => out.extend(halves(text).map(|text| chunk(json!({"text": text})))),
            Part::Call(id, name, arguments) => {
                // Arguments are never text here; what is no JSON cannot be sent.
                let args: Value = serde_json::from_str(arguments).unwrap_or_else(|_| json!({"broken": arguments}));
                out.push(chunk(json!({"functionCall": {"id": id, "name": name, "args": args}})));
            }
        }
    }
    let usage =
        json!({"promptTokenCount": 11, "cachedContentTokenCount": 4, "candidatesTokenCount": 9, "totalTokenCount": 20});
    out.push(json!({"candidates": [{"content": {"role": "model", "parts": [{"text": ""}]}, "finishReason": "STOP", "index": 0}], "usageMetadata": usage}));
    out
}
