//! `POST /v1/responses`: an agent turn in the shape of OpenAI's Responses API (http.md §3).
//!
//! Reads the request on a frame worker; answers on the run's thread. Not here: what a request may say ([`request`]), the
//! run.

mod request;

use std::sync::Arc;

use serde_json::{Value, json};

use self::request::Asked;
use super::super::exchange::{Exchange, Request};
use super::super::{Route, Serve, nothing_at_once, reply};
use super::media::{self, Media, Wanted};
use super::turn::{self, NO_ANSWER, Spoken, Teller, Turn};
use super::{completions, sse};
use crate::agent::run::{ClientCall, ClientSide, RunError, RunOutcome};
use crate::base::clock::UnixMs;
use crate::base::ids::{AgentId, RunId, SessionKey};
use crate::base::rng::{Rng, uuid};
use crate::gateway::ctx::Ctx;
use crate::net::http::Response;

pub(in super::super) const ROUTE: Route = Route {
    claims: |_, path| path == "/v1/responses",
    glance: nothing_at_once,
    serve: Serve::Later(|cx, request, exchange| media::serve(cx, request, exchange, read, ask)),
    body: turn::BODY,
};

/// What is asked for, of whom, and in which session.
type Placed = (Asked, (AgentId, SessionKey));

fn read(cx: &Arc<Ctx>, request: &Request) -> Result<(Placed, Vec<Wanted>), Response> {
    turn::require(cx, request, cx.config.get().gateway.http.endpoints.responses.enabled, "responses")?;
    let body = reply::json_body(&request.body).map_err(reply::invalid_request)?;
    let mut asked = request::read(&body).map_err(reply::invalid_request)?;
    let place = turn::place(cx, request, &asked.model, asked.user.as_deref(), "openresponses");
    let wanted = std::mem::take(&mut asked.wanted);
    Ok(((asked, place), wanted))
}

fn ask(cx: &Arc<Ctx>, (asked, (agent, session)): Placed, media: Media, exchange: Exchange) {
    // compat: what is missing is said after everything else.
    let Some(message) = asked.conversation.prompt() else {
        return exchange.respond(&reply::invalid_request("Missing user message in `input`."));
    };
    let id = format!("resp_{}", uuid(&*cx.rng));
    let mut turn = Turn {
        run: RunId::new(id.clone()),
        agent,
        session,
        message,
        images: Vec::new(),
        instructions: asked.conversation.instructions(),
        client: ClientSide { tools: asked.tools, tokens_max: asked.tokens_max },
    };
    media.add_to(&mut turn);
    let resource = Resource {
        id,
        message_id: format!("msg_{}", uuid(&*cx.rng)),
        created_at: cx.clock.now_ms(),
        model: asked.model,
    };
    let flow = exchange.flow();
    if !asked.is_stream {
        let settled = move |cx: &Arc<Ctx>, result: Result<RunOutcome, RunError>| {
            exchange.respond(&resource.whole(result, &*cx.rng));
        };
        return turn::start(cx, turn, &flow, None, Box::new(settled));
    }
    let events = sse::Sender::begin(exchange);
    let mut writer = Writer { events, spoken: Spoken::default(), resource, sequence: 0 };
    writer.begin();
    turn::stream(cx, turn, &flow, writer);
}

/// What the events and the answer of one request have in common.
struct Resource {
    id: String,
    message_id: String,
    created_at: UnixMs,
    model: String,
}

impl Resource {
    fn json(&self, status: &str, output: &[Value], usage: &Value) -> Value {
        json!({
            "id": self.id, "object": "response", "created_at": self.created_at / 1000, "status": status,
            "model": self.model, "output": output, "usage": usage,
        })
    }

    fn failed(&self, message: &str) -> Value {
        let mut response = self.json("failed", &[], &no_usage());
        response["error"] = json!({"code": "api_error", "message": message});
        response
    }

    fn whole(&self, result: Result<RunOutcome, RunError>, rng: &dyn Rng) -> Response {
        let outcome = match result {
            Ok(outcome) => outcome,
            Err(error) => return Response::json(500, &self.failed(&error.message)).with("x-should-retry", "false"),
        };
        let mut output = Vec::new();
        if outcome.client_calls.is_empty() || !outcome.texts().is_empty() {
            output.push(self.message(&completions::texts(&outcome), "completed"));
        }
        output.extend(outcome.client_calls.iter().map(|call| call_item(call, rng, "completed")));
        Response::json(200, &self.json(status_of(&outcome), &output, &usage_of(&outcome)))
    }

    fn message(&self, text: &str, status: &str) -> Value {
        json!({
            "type": "message", "id": self.message_id, "role": "assistant", "content": [part(text)], "status": status,
        })
    }
}

/// compat: an answer that waits for the client counts as incomplete.
fn status_of(outcome: &RunOutcome) -> &'static str {
    if outcome.client_calls.is_empty() { "completed" } else { "incomplete" }
}

fn part(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": []})
}

fn call_item(call: &ClientCall, rng: &dyn Rng, status: &str) -> Value {
    json!({
        "type": "function_call", "id": format!("call_{}", uuid(rng)), "call_id": call.id, "name": call.name,
        "arguments": call.arguments.to_string(), "status": status,
    })
}

fn usage_of(outcome: &RunOutcome) -> Value {
    let (input, output, total) = turn::tokens(&outcome.usage);
    json!({
        "input_tokens": input, "output_tokens": output, "total_tokens": total,
        "input_tokens_details": {"cached_tokens": outcome.usage.cache_read},
        "output_tokens_details": {"reasoning_tokens": 0},
    })
}

fn no_usage() -> Value {
    json!({"input_tokens": 0, "output_tokens": 0, "total_tokens": 0})
}

/// A streamed answer under way. Its lock is held while a part is written: nobody else wants it meanwhile.
struct Writer {
    events: sse::Sender,
    spoken: Spoken,
    resource: Resource,
    sequence: u64,
}

impl Writer {
    fn begin(&mut self) {
        let response = self.resource.json("in_progress", &[], &no_usage());
        let item = self.resource.message("", "in_progress");
        let mut events = self.event("response.created", json!({"response": response}));
        events += &self.event("response.in_progress", json!({"response": response}));
        events += &self.event("response.output_item.added", json!({"output_index": 0, "item": item}));
        events += &self.of_part("response.content_part.added", json!({"part": part("")}));
        self.events.send(&events);
    }

    fn event(&mut self, kind: &str, fields: Value) -> String {
        let mut event = json!({"type": kind});
        if let (Value::Object(event), Value::Object(fields)) = (&mut event, fields) {
            event.extend(fields);
        }
        event["sequence_number"] = self.sequence.into();
        self.sequence += 1;
        sse::typed(&event)
    }

    /// An event about the text.
    fn of_part(&mut self, kind: &str, fields: Value) -> String {
        let mut all = json!({"item_id": self.resource.message_id, "output_index": 0, "content_index": 0});
        if let (Value::Object(all), Value::Object(fields)) = (&mut all, fields) {
            all.extend(fields);
        }
        self.event(kind, all)
    }

    fn completed(&mut self, outcome: &RunOutcome, rng: &dyn Rng) -> String {
        let text = match self.spoken.has_spoken {
            true => std::mem::take(&mut self.spoken.text),
            false if !outcome.client_calls.is_empty() => String::new(),
            false if outcome.texts().is_empty() => NO_ANSWER.to_owned(),
            false => completions::texts(outcome),
        };
        let mut events = String::new();
        if !self.spoken.has_spoken && !text.is_empty() && text != NO_ANSWER {
            events += &self.of_part("response.output_text.delta", json!({"delta": text}));
        }
        events += &self.of_part("response.output_text.done", json!({"text": text}));
        events += &self.of_part("response.content_part.done", json!({"part": part(&text)}));
        let message = self.resource.message(&text, "completed");
        events += &self.event("response.output_item.done", json!({"output_index": 0, "item": message}));
        let mut output = vec![message];
        for call in &outcome.client_calls {
            let at = output.len();
            let done = call_item(call, rng, "completed");
            let mut begun = done.clone();
            (begun["arguments"], begun["status"]) = ("".into(), "in_progress".into());
            let of_call = |field: &str| json!({"item_id": done["id"], "output_index": at, field: done["arguments"]});
            events += &self.event("response.output_item.added", json!({"output_index": at, "item": begun}));
            events += &self.event("response.function_call_arguments.delta", of_call("delta"));
            let mut arguments = of_call("arguments");
            arguments["name"] = done["name"].clone();
            events += &self.event("response.function_call_arguments.done", arguments);
            events += &self.event("response.output_item.done", json!({"output_index": at, "item": done}));
            output.push(done);
        }
        let response = self.resource.json(status_of(outcome), &output, &usage_of(outcome));
        events + &self.event("response.completed", json!({"response": response}))
    }
}

impl Teller for Writer {
    fn hear(&mut self, text: &str, delta: &str) -> bool {
        let shown = self.spoken.hear(text, delta);
        let event = self.of_part("response.output_text.delta", json!({"delta": shown}));
        self.events.send(&event)
    }

    fn end(&mut self, cx: &Ctx, result: Result<RunOutcome, RunError>) {
        let mut events = match result {
            Ok(outcome) => self.completed(&outcome, &*cx.rng),
            Err(error) => {
                let response = self.resource.failed(&error.message);
                self.event("response.failed", json!({"response": response}))
            }
        };
        events.push_str(sse::DONE);
        self.events.end(&events);
    }
}
