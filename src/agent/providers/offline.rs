//! The embedded default: answers without any model, so that a fresh install works and says how to connect one.
//!
//! A message of the form `!tool NAME {json}` makes it call that tool, so that the tool loop can be tried offline.

use serde_json::{Value, json};

use super::{Hearer, TurnRequest};
use crate::agent::commands;
use crate::agent::message::{AssistantMessage, Block, Message, StopReason, Usage};
use crate::base::clock::Clock;
use crate::base::text::ellipsize;

/// Longest part of a message that is echoed, in characters.
const ECHO_CHARS_MAX: usize = 500;

pub(super) fn turn(request: &TurnRequest<'_>, clock: &dyn Clock, hearer: &mut dyn Hearer) -> AssistantMessage {
    let now_ms = clock.now_ms();
    let reply = reply(request.messages, &format!("call_{now_ms}"));
    let (block, stop_reason) = match reply {
        Reply::Text(text) => {
            text.split_inclusive(' ').for_each(|piece| hearer.text(piece));
            (Block::text(text), StopReason::Stop)
        }
        Reply::Call(block) => (block, StopReason::ToolUse),
    };
    AssistantMessage {
        content: vec![block],
        api: Some(request.model.api.clone()),
        provider: Some(request.model.provider.clone()),
        model: Some(request.model.id.clone()),
        usage: Usage::default(),
        stop_reason,
        error_message: None,
        timestamp: now_ms,
    }
}

#[derive(Debug, PartialEq)]
enum Reply {
    Text(String),
    Call(Block),
}

fn reply(messages: &[Message], call_id: &str) -> Reply {
    match messages.last() {
        Some(Message::ToolResult(result)) => {
            let text = crate::agent::message::blocks_text(&result.content);
            let verb = if result.is_error { "failed" } else { "answered" };
            Reply::Text(format!("The tool {} {verb}:\n\n```\n{}\n```", result.tool_name, text.trim_end()))
        }
        Some(Message::User(user)) => to_user(user.content.text().trim(), call_id),
        _ => Reply::Text(connect_hint()),
    }
}

fn to_user(said: &str, call_id: &str) -> Reply {
    if said == commands::GREETING_PROMPT {
        return Reply::Text(format!("A new session has begun. {}", connect_hint()));
    }
    if said.contains("HEARTBEAT_OK") {
        // A heartbeat's prompt names its answer for «nothing to report»; nobody is there to read a hint.
        return Reply::Text("HEARTBEAT_OK".to_owned());
    }
    // System lines may stand before what the user typed.
    let call = said.lines().find_map(|line| line.trim().strip_prefix("!tool "));
    if let Some(call) = call {
        return tool_call(call.trim(), call_id);
    }
    Reply::Text(format!("{}\n\nYou said: {}", connect_hint(), ellipsize(said, ECHO_CHARS_MAX)))
}

fn tool_call(call: &str, id: &str) -> Reply {
    let (name, arguments) = call.split_once(char::is_whitespace).unwrap_or((call, ""));
    let arguments = match arguments.trim() {
        "" => json!({}),
        text => match serde_json::from_str::<Value>(text) {
            Ok(value) => value,
            Err(error) => {
                let example = "!tool exec {\"command\": \"uname -a\"}";
                return Reply::Text(format!(
                    "The arguments of that tool call are not JSON ({error}). An example that works: {example}"
                ));
            }
        },
    };
    Reply::Call(Block::ToolCall { id: id.to_owned(), name: name.to_owned(), arguments, thought_signature: None })
}

fn connect_hint() -> String {
    "No model is connected, so this is the gateway's offline agent. To connect one, set OPENAI_API_KEY (or \
     OPENROUTER_API_KEY) before starting the gateway, or add a server under models.providers (Ollama, llama.cpp, any \
     OpenAI-compatible one) and choose it with: clawdbot config set agents.defaults.model.primary provider/model. \
     Commands work already: /help lists them."
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_tool_calls_become_calls() {
        let Reply::Call(Block::ToolCall { name, arguments, .. }) = to_user("!tool exec {\"command\":\"ls\"}", "c")
        else {
            panic!("expected a call");
        };
        assert_eq!((name.as_str(), arguments), ("exec", json!({"command": "ls"})));
        assert!(matches!(to_user("!tool exec {", "c"), Reply::Text(text) if text.contains("not JSON")));
        assert!(matches!(to_user("hi", "c"), Reply::Text(text) if text.ends_with("You said: hi")));
    }
}
