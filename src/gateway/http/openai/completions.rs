//! `POST /v1/chat/completions`: an agent turn in the shape of OpenAI's chat API (http.md §2).
//!
//! Reads the request on a frame worker; answers on the run's thread. Not here: the run.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::super::exchange::{Exchange, Request};
use super::super::{Route, Serve, nothing_at_once, reply};
use super::conversation::{Conversation, Speaker};
use super::media::{self, Media, Source, Wanted};
use super::sse;
use super::turn::{self, NO_ANSWER, Spoken, Teller, Turn};
use crate::agent::run::{ClientCall, ClientSide, ClientTool, RunError, RunOutcome};
use crate::base::clock::Clock;
use crate::base::ids::RunId;
use crate::base::rng::uuid;
use crate::gateway::ctx::Ctx;
use crate::net::http::Response;

pub(in super::super) const ROUTE: Route = Route {
    claims: |_, path| path == "/v1/chat/completions",
    glance: nothing_at_once,
    serve: Serve::Later(|cx, request, exchange| media::serve(cx, request, exchange, read, ask)),
    body: turn::BODY,
};

/// What a request asks for.
struct Asked {
    model: String,
    is_stream: bool,
    wants_usage: bool,
    turn: Turn,
}

fn read(cx: &Arc<Ctx>, request: &Request) -> Result<(Asked, Vec<Wanted>), Response> {
    let is_enabled = cx.config.get().gateway.http.endpoints.chat_completions.enabled;
    turn::require(cx, request, is_enabled, "chatCompletions")?;
    let body = reply::fields(reply::json_body(&request.body).map_err(reply::invalid_request)?);
    let model = body.get("model").and_then(Value::as_str).unwrap_or("clawdbot").to_owned();
    let messages = body.get("messages").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut conversation = Conversation::default();
    let mut wanted = Vec::new();
    for message in messages {
        hear(&mut conversation, message, messages);
        wanted.extend(pictures(&message["content"]));
    }
    let (tools, sentence) = tools(&body).map_err(reply::invalid_request)?;
    if let Some(sentence) = sentence {
        conversation.instruct(&sentence);
    }
    let message = conversation
        .prompt()
        .or_else(|| wanted.iter().any(Wanted::is_image).then(|| "[image]".to_owned()))
        .ok_or_else(|| reply::invalid_request("Missing user message in `messages`."))?;
    let user = body.get("user").and_then(Value::as_str);
    let (agent, session) = turn::place(cx, request, &model, user, "openai");
    let asked = Asked {
        model,
        is_stream: body.get("stream").is_some_and(is_truthy),
        wants_usage: body.get("stream_options").is_some_and(|options| is_truthy(&options["include_usage"])),
        turn: Turn {
            run: RunId::new(format!("chatcmpl_{}", uuid(&*cx.rng))),
            agent,
            session,
            message,
            images: Vec::new(),
            instructions: conversation.instructions(),
            client: ClientSide { tools, tokens_max: None },
        },
    };
    Ok((asked, wanted))
}

/// compat: what JavaScript takes for true.
fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(is_true) => *is_true,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(_) | Value::Object(_) => true,
    }
}

fn hear(conversation: &mut Conversation, message: &Value, messages: &[Value]) {
    let mut text = text_of(&message["content"]);
    match reply::text(message.get("role")) {
        Some("system" | "developer") => conversation.instruct(&text),
        Some("user") => conversation.say(Speaker::User, &text),
        Some("assistant") => {
            for call in message["tool_calls"].as_array().into_iter().flatten() {
                let function = &call["function"];
                let (Some(name), Some(arguments)) = (function["name"].as_str(), function["arguments"].as_str()) else {
                    continue;
                };
                let line = format!("[called {name} with {arguments}]");
                text = if text.is_empty() { line } else { format!("{text}\n{line}") };
            }
            conversation.say(Speaker::Assistant, &text);
        }
        Some("tool" | "function") => {
            let name = reply::text(message.get("name")).map(str::to_owned);
            let name = name.or_else(|| name_of_call(message["tool_call_id"].as_str()?, messages));
            conversation.say(Speaker::Tool(name), &text);
        }
        _ => {}
    }
}

/// Returns which tool was called under an id.
fn name_of_call(id: &str, messages: &[Value]) -> Option<String> {
    let calls = messages.iter().flat_map(|message| message["tool_calls"].as_array().into_iter().flatten());
    let call = calls.into_iter().find(|call| call["id"] == id)?;
    call["function"]["name"].as_str().map(str::to_owned)
}

fn text_of(content: &Value) -> String {
    let part = |part: &Value| match part["type"].as_str() {
        Some("text" | "input_text") if part["text"].is_string() => part["text"].as_str().map(str::to_owned),
        _ => part["input_text"].as_str().map(str::to_owned),
    };
    match content {
        Value::String(text) => text.trim().to_owned(),
        Value::Array(parts) => {
            let texts: Vec<String> = parts.iter().filter_map(part).filter(|text| !text.is_empty()).collect();
            texts.join("\n").trim().to_owned()
        }
        _ => String::new(),
    }
}

fn pictures(content: &Value) -> Vec<Wanted> {
    let parts = content.as_array().into_iter().flatten();
    parts
        .filter_map(|part| match part["type"].as_str()? {
            "image_url" => {
                let url = part["image_url"]["url"].as_str().or_else(|| part["image_url"].as_str())?;
                // compat: what is no picture is passed over.
                let is_one = ["data:", "http://", "https://"].iter().any(|start| url.starts_with(start));
                is_one.then(|| Wanted::Image(Source::of_url(url)))
            }
            "file" => {
                let file = &part["file"];
                let name = file["filename"].as_str().unwrap_or("file").to_owned();
                Some(Wanted::File { source: Source::of_url(file["file_data"].as_str()?), name })
            }
            _ => None,
        })
        .collect()
}

/// Returns the client's tools as far as its choice leaves them, and what to tell the model about that choice.
fn tools(body: &Map<String, Value>) -> Result<(Vec<ClientTool>, Option<String>), String> {
    let mut tools = Vec::new();
    for (at, tool) in body.get("tools").and_then(Value::as_array).into_iter().flatten().enumerate() {
        if tool["type"] != "function" {
            return Err(format!("tools.{at}.type: only \"function\" is supported"));
        }
        let function = &tool["function"];
        let name = reply::text(function.get("name")).ok_or_else(|| format!("tools.{at}.function.name is required"))?;
        tools.push(ClientTool {
            name: name.to_owned(),
            description: function["description"].as_str().unwrap_or_default().to_owned(),
            parameters: turn::parameters(function.get("parameters")),
        });
    }
    chosen(tools, body.get("tool_choice"))
}

/// Applies a tool choice; both APIs have the same.
///
/// # Errors
/// With what is wrong about it.
pub(super) fn chosen(
    mut tools: Vec<ClientTool>,
    choice: Option<&Value>,
) -> Result<(Vec<ClientTool>, Option<String>), String> {
    match choice {
        None | Some(Value::Null) => Ok((tools, None)),
        Some(Value::String(choice)) => match choice.as_str() {
            "none" => Ok((Vec::new(), None)),
            "required" if tools.is_empty() => Err("Error: tool_choice=required but no tools were provided".to_owned()),
            "required" => Ok((tools, Some("You must call one of the available tools before responding.".to_owned()))),
            _ => Ok((tools, None)),
        },
        Some(choice) => {
            let name = choice["function"]["name"].as_str().or_else(|| choice["name"].as_str());
            let name = name.map(str::trim).unwrap_or_default().to_owned();
            if name.is_empty() {
                return Err("Error: tool_choice.function.name is required".to_owned());
            }
            tools.retain(|tool| tool.name == name);
            if tools.is_empty() {
                return Err(format!("Error: tool_choice requested unknown tool: {name}"));
            }
            Ok((tools, Some(format!("You must call the {name} tool before responding."))))
        }
    }
}

fn ask(cx: &Arc<Ctx>, asked: Asked, media: Media, exchange: Exchange) {
    let Asked { model, is_stream, wants_usage, mut turn } = asked;
    media.add_to(&mut turn);
    let flow = exchange.flow();
    let id = turn.run.as_str().to_owned();
    if !is_stream {
        let settled = move |cx: &Arc<Ctx>, result: Result<RunOutcome, RunError>| {
            exchange.respond(&match result {
                Ok(outcome) => Response::json(200, &completion(&id, &model, &outcome, &*cx.clock)),
                Err(error) => reply::failed_run(error.message),
            });
        };
        return turn::start(cx, turn, &flow, None, Box::new(settled));
    }
    let chunks = Chunks { clock: cx.clock.clone(), id, model, wants_usage };
    let writer = Writer { events: sse::Sender::begin(exchange), spoken: Spoken::default(), chunks };
    turn::stream(cx, turn, &flow, writer);
}

/// A streamed answer under way.
struct Writer {
    events: sse::Sender,
    spoken: Spoken,
    chunks: Chunks,
}

impl Writer {
    fn say(&mut self, is_first: bool, text: &str) -> bool {
        let mut part = String::new();
        if is_first {
            part.push_str(&self.chunks.role());
        }
        if !text.is_empty() {
            part.push_str(&self.chunks.of(&json!({"content": text}), &Value::Null));
        }
        self.events.send(&part)
    }
}

impl Teller for Writer {
    fn hear(&mut self, text: &str, delta: &str) -> bool {
        let is_first = !self.spoken.has_spoken;
        let shown = self.spoken.hear(text, delta);
        self.say(is_first, &shown)
    }

    fn end(&mut self, _cx: &Ctx, result: Result<RunOutcome, RunError>) {
        let is_first = !self.spoken.has_spoken;
        let mut reason = "stop";
        let mut usage = None;
        match &result {
            Ok(outcome) => {
                let calls = &outcome.client_calls;
                if !self.spoken.has_spoken {
                    let text = texts(outcome);
                    self.say(is_first, if calls.is_empty() { &text } else { "" });
                }
                if !calls.is_empty() {
                    reason = "tool_calls";
                    let calls: Vec<Value> = calls.iter().enumerate().map(|(at, call)| indexed(at, call)).collect();
                    self.events.send(&self.chunks.of(&json!({"tool_calls": calls}), &Value::Null));
                }
                usage = Some(usage_of(outcome));
            }
            Err(error) => drop(self.say(is_first, &format!("Error: {}", error.message))),
        }
        let mut rest = self.chunks.of(&json!({}), &reason.into());
        if let Some(usage) = usage.filter(|_| self.chunks.wants_usage) {
            rest.push_str(&self.chunks.usage(usage));
        }
        rest.push_str(sse::DONE);
        self.events.end(&rest);
    }
}

/// What the chunks of one answer have in common.
struct Chunks {
    clock: Arc<dyn Clock>,
    id: String,
    model: String,
    wants_usage: bool,
}

impl Chunks {
    fn envelope(&self) -> Value {
        json!({
            "id": self.id, "object": "chat.completion.chunk", "created": self.clock.now_ms() / 1000, "model": self.model,
        })
    }

    /// compat: without a `finish_reason`.
    fn role(&self) -> String {
        let mut chunk = self.envelope();
        chunk["choices"] = json!([{"index": 0, "delta": {"role": "assistant"}}]);
        sse::data(&chunk)
    }

    fn of(&self, delta: &Value, finish_reason: &Value) -> String {
        let mut chunk = self.envelope();
        chunk["choices"] = json!([{"index": 0, "delta": delta, "finish_reason": finish_reason}]);
        sse::data(&chunk)
    }

    fn usage(&self, usage: Value) -> String {
        let mut chunk = self.envelope();
        chunk["choices"] = json!([]);
        chunk["usage"] = usage;
        sse::data(&chunk)
    }
}

fn completion(id: &str, model: &str, outcome: &RunOutcome, clock: &dyn Clock) -> Value {
    let mut message = json!({"role": "assistant", "content": texts(outcome)});
    let mut reason = "stop";
    if !outcome.client_calls.is_empty() {
        reason = "tool_calls";
        if outcome.texts().is_empty() {
            message["content"] = Value::Null;
        }
        message["tool_calls"] = outcome.client_calls.iter().map(tool_call).collect();
    }
    json!({
        "id": id, "object": "chat.completion", "created": clock.now_ms() / 1000, "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        "usage": usage_of(outcome),
    })
}

fn tool_call(call: &ClientCall) -> Value {
    json!({"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments.to_string()}})
}

fn indexed(at: usize, call: &ClientCall) -> Value {
    let mut value = json!({"index": at});
    if let (Value::Object(fields), Value::Object(call)) = (&mut value, tool_call(call)) {
        fields.extend(call);
    }
    value
}

fn usage_of(outcome: &RunOutcome) -> Value {
    let (input, output, total) = turn::tokens(&outcome.usage);
    json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": total})
}

/// Returns everything that was said.
pub(super) fn texts(outcome: &RunOutcome) -> String {
    let text = outcome.texts().join("\n\n");
    if text.trim().is_empty() { NO_ANSWER.to_owned() } else { text }
}
