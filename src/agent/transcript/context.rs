//! What a model gets to see of a transcript: the branch that ends in the last line, from the last compaction on.
//!
//! The file is read from its end and only as far as needed. The result is a history that providers accept: failed turns
//! and command answers are left out, every tool call has its result, and no result lacks its call.

use std::io;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::open_backwards;
use crate::agent::message::{
    AssistantMessage, Block, Content, Message, StopReason, ToolResultMessage, Usage, UserMessage,
};
use crate::base::clock::UnixMs;

/// Longest history in bytes of its lines; older turns are left out.
const CONTEXT_BYTES_MAX: usize = 128 * 1024 * 1024;
/// Kind of the entries that say when a provider's cache was last used.
pub const CACHE_TOUCH: &str = "clawdbot.cache-ttl";
/// What is around a summary.
const SUMMARY_START: &str =
    "Earlier parts of this conversation were compacted. This is what they came to:\n\n<summary>\n";
const SUMMARY_END: &str = "\n</summary>";

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
    custom_type: Option<String>,
    data: Option<Value>,
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

/// What a model is fed with, oldest first.
#[derive(Debug, Default)]
pub struct History {
    /// The messages.
    pub messages: Vec<Message>,
    /// Which entries of the transcript they are; what is made up has none.
    pub ids: Vec<Option<String>>,
    /// When the provider's cache was last used, as far as that is known.
    pub cache_touched_at: Option<UnixMs>,
}

impl History {
    fn of(found: Vec<(Option<String>, Message)>, cache_touched_at: Option<UnixMs>) -> Self {
        let (ids, messages) = paired(found).into_iter().unzip();
        Self { messages, ids, cache_touched_at }
    }

    /// Leaves out all but the last so many turns of the user.
    pub fn keep_user_turns(&mut self, count: Option<usize>) {
        let Some(count) = count.filter(|count| *count > 0) else { return };
        let users = self.messages.iter().enumerate().rev().filter(|(_, it)| matches!(it, Message::User(_)));
        if let Some(from) = users.map(|(at, _)| at).nth(count - 1) {
            self.messages.drain(..from);
            self.ids.drain(..from);
        }
    }
}

/// Returns what a model is fed with, oldest first; a missing file has nothing.
///
/// # Errors
/// Any I/O error but "not found".
pub fn load_messages(path: &Path) -> io::Result<Vec<Message>> {
    Ok(load_history(path, CONTEXT_BYTES_MAX)?.messages)
}

/// As [`load_messages`], and no more than so many bytes of lines: what is older would not fit the model anyway.
///
/// # Errors
/// As [`load_messages`].
pub fn load_history(path: &Path, bytes_max: usize) -> io::Result<History> {
    let Some(mut lines) = open_backwards(path)? else { return Ok(History::default()) };
    let mut found: Vec<(Option<String>, Message)> = Vec::new();
    let mut cache_touched_at = None;
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
            (_, "custom") if line.custom_type.as_deref() == Some(CACHE_TOUCH) => {
                let at = line.data.as_ref().and_then(|data| data["timestamp"].as_u64());
                cache_touched_at = cache_touched_at.or(at);
            }
            (slot @ None, "compaction") => {
                let summary = line.summary.unwrap_or_default();
                *slot = Some((summary, line.first_kept_entry_id, found.len()));
            }
            _ => {
                let is_kept = compaction.as_ref().is_some_and(|(_, kept, _)| kept.is_some() && *kept == line.id);
                let id = line.id.clone();
                if let Some(mut message) = message_of(line) {
                    if let (Some(_), Message::Assistant(turn)) = (&compaction, &mut message) {
                        // It counted what the summary stands for.
                        turn.usage = Usage::default();
                    }
                    found.push((id, message));
                }
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
        found.push((None, summary_message(&summary)));
    }
    found.reverse();
    Ok(History::of(found, cache_touched_at))
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

/// Returns the message that stands for what was compacted.
pub fn summary_message(summary: &str) -> Message {
    user(format!("{SUMMARY_START}{summary}{SUMMARY_END}"))
}

/// Returns the summary that a message of [`summary_message`] holds.
pub fn summary_of(message: &Message) -> Option<&str> {
    let Message::User(UserMessage { content: Content::Blocks(blocks), .. }) = message else { return None };
    let [Block::Text { text, .. }] = blocks.as_slice() else { return None };
    text.strip_prefix(SUMMARY_START)?.strip_suffix(SUMMARY_END)
}

fn user(text: String) -> Message {
    Message::User(UserMessage { content: Content::Blocks(vec![Block::text(text)]), timestamp: UnixMs::default() })
}

/// Gives each tool call exactly one result, right behind its turn.
fn paired(messages: Vec<(Option<String>, Message)>) -> Vec<(Option<String>, Message)> {
    let mut out = Vec::with_capacity(messages.len());
    let mut open: Vec<(String, String)> = Vec::new();
    for (id, message) in messages {
        match message {
            Message::ToolResult(result) => {
                if let Some(at) = open.iter().position(|(id, _)| *id == result.tool_call_id) {
                    open.remove(at);
                    out.push((id, Message::ToolResult(result)));
                }
            }
            other => {
                close(&mut out, &mut open);
                if let Message::Assistant(turn) = &other {
                    open = calls(turn);
                }
                out.push((id, other));
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
fn close(out: &mut Vec<(Option<String>, Message)>, open: &mut Vec<(String, String)>) {
    for (tool_call_id, tool_name) in open.drain(..) {
        let result = ToolResultMessage {
            tool_call_id,
            tool_name,
            content: vec![Block::text("No result: the run ended before this call did.")],
            details: None,
            is_error: true,
            timestamp: UnixMs::default(),
        };
        out.push((None, Message::ToolResult(result)));
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
        let messages = load_history(&path, bytes_max).expect("load").messages;
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
