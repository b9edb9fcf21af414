//! One tool call of a run: its events, its result, its place in the transcript.

use serde_json::{Value, json};

use super::{ClientCall, Run, Sent, Stop};
use crate::agent::events::RunEvent;
use crate::agent::message::{Block, Message, ToolResultMessage};
use crate::agent::models::Model;
use crate::agent::tools::{self, ToolContext};
use crate::base::text::ellipsize;

/// Longest text of a tool result in an event, in characters (agent.md §8).
const EVENT_TEXT_CHARS_MAX: usize = 8000;

impl Run<'_> {
    /// Carries one tool call out, unless it is refused, and puts its result into the transcript: each of the model's calls
    /// gets one.
    pub(super) fn call(&mut self, id: String, name: String, args: Value, refusal: Option<&str>) -> Result<(), Stop> {
        self.around.sink.emit(RunEvent::ToolStart { name: name.clone(), tool_call_id: id.clone(), args: args.clone() });
        let on_update = |partial_result: Value| {
            self.around.sink.emit(RunEvent::ToolUpdate {
                name: name.clone(),
                tool_call_id: id.clone(),
                partial_result,
            });
        };
        let result = match refusal {
            Some(text) => tools::ToolResult { content: vec![Block::text(text)], details: None, is_error: true },
            None if self.request.client.has(&name) => {
                self.client_calls.push(ClientCall { id: id.clone(), name: name.clone(), arguments: args.clone() });
                tools::ToolResult::delegated(&name)
            }
            None => self.carry_out(&name, &args, &on_update),
        };
        if !result.is_error && name == "message" && args["action"].as_str().is_none_or(|action| action == "send") {
            let text = |name: &str| args[name].as_str().map(str::to_owned);
            let to = text("target").or_else(|| text("to"));
            let text_sent = text("message").unwrap_or_default();
            let has_failed = result.details.as_ref().is_some_and(|details| details["status"] == "error");
            if !has_failed {
                self.sent.push(Sent { channel: text("channel"), to, text: text_sent });
            }
        }
        self.around.sink.emit(RunEvent::ToolResult {
            meta: tools::summary(&name, &args),
            is_error: result.is_error,
            result: shown_result(&result),
            name: name.clone(),
            tool_call_id: id.clone(),
        });
        self.append(Message::ToolResult(ToolResultMessage {
            tool_call_id: id,
            tool_name: name,
            content: result.content,
            details: result.details,
            is_error: result.is_error,
            timestamp: self.agent.clock.now_ms(),
        }))
    }

    fn carry_out(&self, name: &str, args: &Value, on_update: &dyn Fn(Value)) -> tools::ToolResult {
        let of_turn = |model: &&Model| (&model.provider, &model.id) == (&self.spoke.0, &self.spoke.1);
        let cx = ToolContext {
            config: self.config,
            agent: &self.request.agent_id,
            session: &self.request.session_key,
            entry: &self.entry,
            channel: &self.request.channel,
            skill_variables: &self.skill_variables,
            speaker: self.request.speaker.as_ref(),
            route: self.request.route.as_ref(),
            model: self.chain.iter().find(of_turn).unwrap_or(&self.chain[0]),
            workspace: &self.workspace,
            paths: &self.agent.paths,
            sessions: &self.agent.sessions,
            toolbox: &self.agent.toolbox,
            host: self.around.host,
            cancel: self.around.cancel,
            clock: &self.agent.clock,
            rng: &self.agent.rng,
            on_update,
        };
        tools::call(&cx, name, args)
    }
}

/// A tool result as events show it: long text cut, images by their size.
fn shown_result(result: &tools::ToolResult) -> Value {
    let content: Vec<Value> = result
        .content
        .iter()
        .map(|block| match block {
            Block::Text { text, .. } => json!({"type": "text", "text": ellipsize(text, EVENT_TEXT_CHARS_MAX)}),
            Block::Image { data, mime_type } => {
                json!({"type": "image", "mimeType": mime_type, "bytes": data.len() / 4 * 3, "omitted": true})
            }
            other => json!(other),
        })
        .collect();
    let mut shown = json!({"content": content});
    if let Some(details) = &result.details {
        shown["details"] = cut_texts(details);
    }
    shown
}

fn cut_texts(value: &Value) -> Value {
    match value {
        Value::String(text) => ellipsize(text, EVENT_TEXT_CHARS_MAX).into(),
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(key, value)| (key.clone(), cut_texts(value))).collect())
        }
        other => other.clone(),
    }
}
