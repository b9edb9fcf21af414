//! What a model gets to see of a transcript: the branch that ends in the last line, from the last compaction on.
//!
//! The file is read from its end and only as far as needed. The result is a history that providers accept: failed turns
//! and command answers are left out, every tool call has its result, and no result lacks its call.

use std::io;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::open_backwards;
use crate::agent::message::{AssistantMessage, Block, Content, Message, StopReason, ToolResultMessage, UserMessage};
use crate::base::clock::UnixMs;

/// Longest history in bytes of its lines; older turns are left out.
const CONTEXT_BYTES_MAX: usize = 128 * 1024 * 1024;

/// One line, as far as the walk needs it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    #[serde(rename = "type")]
    kind: String,
    id: Option<String>,
    /// Outer `None`: absent; the original leaves it out of injected messages.
    #[serde(default, deserialize_with = "present")]
    parent_id: Option<Option<String>>,
    message: Option<Value>,
    content: Option<Value>,
    summary: Option<String>,
    first_kept_entry_id: Option<String>,
}

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Which line the walk waits for.
enum Wanted {
    /// The next one above.
    Any,
    /// The one with this id.
    Id(String),
}

/// Returns what a model is fed with, oldest first; a missing file has nothing.
///
/// # Errors
/// Any I/O error but "not found".
pub fn load_messages(path: &Path) -> io::Result<Vec<Message>> {
    load_messages_within(path, CONTEXT_BYTES_MAX)
}

/// As [`load_messages`], and no more than so many bytes of lines: what is older would not fit the model anyway.
///
/// # Errors
/// As [`load_messages`].
pub fn load_messages_within(path: &Path, bytes_max: usize) -> io::Result<Vec<Message>> {
    let Some(mut lines) = open_backwards(path)? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    // Set once a compaction is passed: its summary, the entry it kept, and how much had been found by then.
    let mut compaction: Option<(String, Option<String>, usize)> = None;
    let mut has_kept = false;
    let mut wanted = Wanted::Any;
    let mut bytes = 0;
    while let Some(text) = lines.next_line()? {
        let Some(line) = text.parse::<Line>() else { continue };
        if line.kind == "session" {
            break;
        }
        if let Wanted::Id(id) = &wanted
            && line.id.as_ref() != Some(id)
        {
            continue;
        }
        bytes += text.text.len();
        if bytes > bytes_max.min(CONTEXT_BYTES_MAX) {
            log::info!(target: "agent", "transcript {} is very long; its oldest turns are left out", path.display());
            break;
        }
        let is_root = line.parent_id == Some(None);
        wanted = match &line.parent_id {
            Some(Some(id)) => Wanted::Id(id.clone()),
            Some(None) | None => Wanted::Any,
        };
        match (&mut compaction, line.kind.as_str()) {
            (slot @ None, "compaction") => {
                let summary = line.summary.unwrap_or_default();
                *slot = Some((summary, line.first_kept_entry_id, found.len()));
            }
            _ => {
                let is_kept = compaction.as_ref().is_some_and(|(_, kept, _)| kept.is_some() && *kept == line.id);
                found.extend(message_of(line));
                has_kept |= is_kept;
            }
        }
        if is_root || has_kept || compaction.as_ref().is_some_and(|(_, kept, _)| kept.is_none()) {
            break;
        }
    }
    if let Some((summary, _, newer)) = compaction {
        if !has_kept {
            found.truncate(newer);
        }
        found.push(user(summary_text(&summary)));
    }
    found.reverse();
    Ok(paired(found))
}

/// Returns what the model sees of one entry.
fn message_of(line: Line) -> Option<Message> {
    match line.kind.as_str() {
        "message" => {
            let mut message = line.message?;
            if matches!(message["role"].as_str(), Some("custom" | "hookMessage")) {
                message["role"] = "user".into();
            }
            serde_json::from_value(message).ok().filter(is_replayed)
        }
        "custom_message" => Some(Message::User(UserMessage {
            content: serde_json::from_value::<Content>(line.content?).ok()?,
            timestamp: UnixMs::default(),
        })),
        "branch_summary" => Some(user(format!(
            "Another line of this conversation was left; what happened there:\n\n<summary>\n{}\n</summary>",
            line.summary?
        ))),
        _ => None,
    }
}

/// Failed turns and texts that no model spoke stay out.
fn is_replayed(message: &Message) -> bool {
    let Message::Assistant(turn) = message else { return true };
    !matches!(turn.stop_reason, StopReason::Error | StopReason::Aborted | StopReason::Injected)
}

fn summary_text(summary: &str) -> String {
    format!(
        "Earlier parts of this conversation were compacted. This is what they came to:\n\n<summary>\n{summary}\n</summary>"
    )
}

fn user(text: String) -> Message {
    Message::User(UserMessage { content: Content::Blocks(vec![Block::text(text)]), timestamp: UnixMs::default() })
}

/// Gives each tool call exactly one result, right behind its turn.
fn paired(messages: Vec<Message>) -> Vec<Message> {
    let mut out: Vec<Message> = Vec::with_capacity(messages.len());
    let mut open: Vec<(String, String)> = Vec::new();
    for message in messages {
        match message {
            Message::ToolResult(result) => {
                if let Some(at) = open.iter().position(|(id, _)| *id == result.tool_call_id) {
                    open.remove(at);
                    out.push(Message::ToolResult(result));
                }
            }
            other => {
                close(&mut out, &mut open);
                if let Message::Assistant(turn) = &other {
                    open = calls(turn);
                }
                out.push(other);
            }
        }
    }
    close(&mut out, &mut open);
    out
}

fn calls(turn: &AssistantMessage) -> Vec<(String, String)> {
    let calls = turn.content.iter().filter_map(|block| match block {
        Block::ToolCall { id, name, .. } => Some((id.clone(), name.clone())),
        _ => None,
    });
    calls.collect()
}

/// Answers the calls that got no result: the run ended in between.
fn close(out: &mut Vec<Message>, open: &mut Vec<(String, String)>) {
    for (tool_call_id, tool_name) in open.drain(..) {
        out.push(Message::ToolResult(ToolResultMessage {
            tool_call_id,
            tool_name,
            content: vec![Block::text("No result: the run ended before this call did.")],
            details: None,
            is_error: true,
            timestamp: UnixMs::default(),
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fs::testing::TempDir;
    use serde_json::json;

    /// Loads a file of the given lines; shows each message as `role:text`.
    fn shown(lines: &[Value]) -> Vec<String> {
        shown_within(lines, usize::MAX)
    }

    fn shown_within(lines: &[Value], bytes_max: usize) -> Vec<String> {
        let dir = TempDir::new("context");
        let path = dir.path().join("a.jsonl");
        let header = json!({"type": "session", "version": 3, "id": "s"});
        let text: String = std::iter::once(&header).chain(lines).map(|line| format!("{line}\n")).collect();
        std::fs::write(&path, text).expect("write");
        let messages = load_messages_within(&path, bytes_max).expect("load");
        let show = |message: &Message| match message {
            Message::User(user) => format!("user:{}", user.content.text()),
            Message::Assistant(turn) => format!("assistant:{}", crate::agent::message::blocks_text(&turn.content)),
            Message::ToolResult(result) => format!("tool:{}:{}", result.tool_call_id, result.is_error),
        };
        messages.iter().map(show).collect()
    }

    fn said(id: &str, parent: Value, text: &str) -> Value {
        json!({"type": "message", "id": id, "parentId": parent, "message": {"role": "user", "content": text}})
    }

    fn answered(id: &str, parent: &str, content: Value, stop_reason: &str) -> Value {
        let message = json!({"role": "assistant", "content": content, "stopReason": stop_reason});
        json!({"type": "message", "id": id, "parentId": parent, "message": message})
    }

    #[test]
    fn follows_the_branch_of_the_last_line() {
        let lines = [said("a", Value::Null, "1"), said("b", json!("a"), "left"), said("c", json!("a"), "2")];
        assert_eq!(shown(&lines), ["user:1", "user:2"]);
    }

    #[test]
    fn what_would_not_fit_is_not_read() {
        let lines = [said("a", Value::Null, "1"), said("b", json!("a"), "2"), said("c", json!("b"), "3")];
        let line_bytes = lines[2].to_string().len();
        assert_eq!(shown_within(&lines, 2 * line_bytes), ["user:2", "user:3"]);
        assert_eq!(shown_within(&lines, 5 * line_bytes).len(), 3);
    }

    #[test]
    fn injected_lines_without_a_parent_hide_nothing() {
        let mut injected = answered("b", "", json!([{"type": "text", "text": "status"}]), "injected");
        injected.as_object_mut().expect("object").remove("parentId");
        assert_eq!(shown(&[said("a", Value::Null, "1"), injected, said("c", json!("b"), "2")]), ["user:1", "user:2"]);
    }

    #[test]
    fn a_compaction_replaces_what_it_did_not_keep() {
        let compaction = |kept: &str| json!({"type": "compaction", "id": "x", "parentId": "c", "summary": "S", "firstKeptEntryId": kept});
        let lines = |kept| {
            let mut lines = vec![said("a", Value::Null, "1"), said("b", json!("a"), "2"), said("c", json!("b"), "3")];
            lines.extend([compaction(kept), said("d", json!("x"), "4")]);
            lines
        };
        let texts = |kept| -> Vec<String> { shown(&lines(kept)).into_iter().skip(1).collect() };
        assert!(shown(&lines("b"))[0].contains("<summary>\nS\n</summary>"));
        assert_eq!(texts("b"), ["user:2", "user:3", "user:4"]);
        assert_eq!(texts("gone"), ["user:4"]);
    }

    #[test]
    fn calls_and_results_are_paired() {
        let call = |id: &str| json!({"type": "toolCall", "id": id, "name": "exec", "arguments": {}});
        let result = |id: &str, parent: &str, call: &str| {
            let message =
                json!({"role": "toolResult", "toolCallId": call, "toolName": "exec", "content": [], "isError": false});
            json!({"type": "message", "id": id, "parentId": parent, "message": message})
        };
        let lines = [
            said("a", Value::Null, "1"),
            answered("b", "a", json!([call("k1"), call("k2")]), "toolUse"),
            result("c", "b", "k1"),
            answered("d", "c", json!([call("k3")]), "aborted"),
            result("e", "d", "k3"),
            said("f", json!("e"), "2"),
        ];
        assert_eq!(shown(&lines), ["user:1", "assistant:", "tool:k1:false", "tool:k2:true", "user:2"]);
    }
}
