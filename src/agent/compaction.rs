//! Making room in a conversation: when, what goes, and how a model is asked to sum it up (agent.md §15).
//!
//! Pure rules over messages. Not here: asking the model and writing the summary down (`agent::run::compact`).

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::agent::message::{Block, Content, Message, StopReason, blocks_text};
use crate::base::text::{collapse_whitespace, ellipsize};
use crate::config::types::Config;

/// Tokens that an answer needs, whatever the configuration says.
const RESERVE_TOKENS_MIN: u64 = 16_384;
/// Tokens that are kept free by default.
const RESERVE_TOKENS_DEFAULT: u64 = 20_000;
/// Tokens of the newest messages that stay as they are.
const KEEP_TOKENS: u64 = 20_000;
/// Tokens of a picture in a tool result.
const IMAGE_TOKENS: u64 = 1200;
/// Characters of a tool result in what is summed up.
const RESULT_CHARS_MAX: usize = 2000;
/// Tool failures that a summary lists, and characters of each.
const FAILURES_MAX: usize = 8;
const FAILURE_CHARS_MAX: usize = 240;
/// Share of the window that one request for a summary may fill, in percent.
const CHUNK_PERCENT: u64 = 40;

/// What stands in place of a summary that could not be had.
pub const FALLBACK: &str = "Summary unavailable due to context limits. Older messages were truncated.";

/// How the model is told to sum up.
pub const SYSTEM_PROMPT: &str = "You condense conversations between a user and an assistant so that the assistant can go on \
     without having read them. You do not answer or continue the conversation; you write the summary and nothing else.";

/// What a summary is to hold.
const INSTRUCTIONS: &str = "Condense the conversation above. Keep, under these headings and only where there is something \
     to say: Goal (what the user wants), Constraints (wishes and rules the user has stated), Progress (done, under way, \
     blocked), Decisions (with their reasons), Next steps, Facts (names, paths, commands, numbers, error texts, exactly as \
     they were). Be brief, leave out greetings and detours, and invent nothing.";
const UPDATE: &str = "A summary of what came before it is given too. Write one summary that covers both: keep what still \
     holds, move on what has moved on, drop what is settled.";
const PREFIX: &str = "It is the beginning of a turn whose end the assistant still sees. Say what was asked, what was done \
     so far, and what the assistant needs to know to understand the rest.";

/// The limits of one model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Tokens of the window.
    pub window: u64,
    /// Tokens that are kept free.
    pub reserve: u64,
    /// Tokens of the newest messages that stay.
    pub keep: u64,
}

impl Limits {
    /// Returns those of a window. A small one is not given away whole: at least half of it can be used.
    pub fn of(config: &Config, window: u64) -> Self {
        let floor = config.tree["agents"]["defaults"]["compaction"]["reserveTokensFloor"].as_u64();
        let reserve = floor.unwrap_or(RESERVE_TOKENS_DEFAULT).max(RESERVE_TOKENS_MIN).min(window / 2);
        Self { window, reserve, keep: KEEP_TOKENS.min(window / 4) }
    }

    /// Returns whether so many tokens are too many.
    pub fn is_full(self, tokens: u64) -> bool {
        tokens > self.window.saturating_sub(self.reserve)
    }

    /// Returns the longest summary, in tokens.
    pub fn summary_tokens_max(self) -> u64 {
        self.reserve * 4 / 5
    }

    /// Returns the characters that one request for a summary may hold.
    fn chunk_chars_max(self) -> usize {
        usize::try_from(self.window * CHUNK_PERCENT / 100 * 4).unwrap_or(usize::MAX).max(4000)
    }
}

/// Returns an estimate of a message's tokens.
pub fn estimate(message: &Message) -> u64 {
    let chars = |text: &str| text.chars().count() as u64;
    let block = |block: &Block, image: u64| match block {
        Block::Text { text, .. } => chars(text),
        Block::Thinking { thinking, .. } => chars(thinking),
        Block::Image { .. } => image * 4,
        Block::ToolCall { name, arguments, .. } => chars(name) + chars(&arguments.to_string()),
    };
    let sum = |blocks: &[Block], image| blocks.iter().map(|it| block(it, image)).sum::<u64>();
    let count = match message {
        Message::User(user) => match &user.content {
            Content::Text(text) => chars(text),
            Content::Blocks(blocks) => sum(blocks, 0),
        },
        Message::Assistant(turn) => sum(&turn.content, 0),
        Message::ToolResult(result) => sum(&result.content, IMAGE_TOKENS),
    };
    count.div_ceil(4)
}

/// Returns the tokens of a conversation: as its last turn counted them, and an estimate of what follows.
pub fn tokens(messages: &[Message]) -> u64 {
    let counted = |message: &Message| match message {
        Message::Assistant(turn) if !matches!(turn.stop_reason, StopReason::Error | StopReason::Aborted) => {
            Some(turn.usage.total_tokens).filter(|tokens| *tokens > 0)
        }
        _ => None,
    };
    let last = messages.iter().enumerate().rev().find_map(|(at, message)| Some((at, counted(message)?)));
    let (rest, known) = last.map_or((messages, 0), |(at, tokens)| (&messages[at + 1..], tokens));
    known + rest.iter().map(estimate).sum::<u64>()
}

/// Where a conversation is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// The first message that stays.
    pub kept_from: usize,
    /// The first message of the turn that is cut, if one is.
    pub turn_from: Option<usize>,
}

/// Finds where to cut, so that about `keep` tokens stay; `None` when there is nothing to take away. A tool result stays
/// with its call.
pub fn cut(messages: &[Message], keep: u64) -> Option<Cut> {
    let mut kept = 0;
    let mut at = messages.len();
    while at > 0 && kept < keep {
        at -= 1;
        kept += estimate(&messages[at]);
    }
    if kept > 2 * keep && at + 1 < messages.len() {
        // One message alone is more than may stay.
        at += 1;
    }
    let may_begin = |message: &Message| !matches!(message, Message::ToolResult(_));
    let behind = (at..messages.len()).find(|at| may_begin(&messages[*at]));
    // When the newest result alone is too long, it stays with its call all the same.
    let kept_from = behind.or_else(|| (0..at).rev().find(|at| may_begin(&messages[*at])))?;
    if kept_from == 0 {
        return None;
    }
    let is_user = |at: usize| matches!(messages[at], Message::User(_));
    let turn_from = if is_user(kept_from) { None } else { (0..kept_from).rev().find(|at| is_user(*at)) };
    Some(Cut { kept_from, turn_from })
}

/// Returns the requests for a summary, in order; each answer is the `before` of the next.
pub fn chunks(messages: &[Message], limits: Limits) -> Vec<String> {
    let chars_max = limits.chunk_chars_max();
    let mut chunks = vec![String::new()];
    for message in messages {
        let text = worded(message, chars_max / 2);
        if chunks.last().is_some_and(|last| !last.is_empty() && last.len() + text.len() > chars_max) {
            chunks.push(String::new());
        }
        if let Some(last) = chunks.last_mut() {
            last.push_str(&text);
        }
    }
    chunks.retain(|chunk| !chunk.trim().is_empty());
    chunks
}

/// Returns the prompt for one summary.
pub fn prompt(conversation: &str, before: Option<&str>, is_prefix: bool, wishes: Option<&str>) -> String {
    let mut text = String::new();
    if let Some(before) = before {
        let _ = write!(text, "<summary>\n{before}\n</summary>\n\n");
    }
    let _ = write!(text, "<conversation>\n{}\n</conversation>\n\n{INSTRUCTIONS}", conversation.trim_end());
    if before.is_some() {
        let _ = write!(text, " {UPDATE}");
    }
    if is_prefix {
        let _ = write!(text, " {PREFIX}");
    }
    if let Some(wishes) = wishes {
        let _ = write!(text, "\n\nThe user asks for this in particular: {wishes}");
    }
    text
}

fn worded(message: &Message, chars_max: usize) -> String {
    let mut text = String::new();
    match message {
        Message::User(user) => {
            let _ = writeln!(text, "[User]: {}", ellipsize(&user.content.text(), chars_max));
        }
        Message::Assistant(turn) => {
            for block in &turn.content {
                let _ = match block {
                    Block::Text { text: said, .. } => writeln!(text, "[Assistant]: {}", ellipsize(said, chars_max)),
                    Block::ToolCall { name, arguments, .. } => {
                        let arguments = ellipsize(&arguments.to_string(), RESULT_CHARS_MAX);
                        writeln!(text, "[Assistant calls {name}]: {arguments}")
                    }
                    Block::Thinking { .. } | Block::Image { .. } => Ok(()),
                };
            }
        }
        Message::ToolResult(result) => {
            let kind = if result.is_error { "fails" } else { "gives" };
            let said = ellipsize(&blocks_text(&result.content), RESULT_CHARS_MAX);
            let _ = writeln!(text, "[{} {kind}]: {said}", result.tool_name);
        }
    }
    text
}

/// Returns what is added to a summary: tools that failed, files that were read and written.
pub fn appendix(messages: &[Message]) -> String {
    let mut text = String::new();
    let failures = messages.iter().filter_map(|message| match message {
        Message::ToolResult(result) if result.is_error => {
            let said = collapse_whitespace(&blocks_text(&result.content));
            Some(format!("- {}: {}", result.tool_name, ellipsize(&said, FAILURE_CHARS_MAX)))
        }
        _ => None,
    });
    let failures: Vec<String> = failures.collect();
    if !failures.is_empty() {
        let _ = write!(text, "\n\n## Tool Failures\n{}", failures[..failures.len().min(FAILURES_MAX)].join("\n"));
        if failures.len() > FAILURES_MAX {
            let _ = write!(text, "\n- and {} more", failures.len() - FAILURES_MAX);
        }
    }
    let (read, modified) = files(messages);
    for (tag, files) in [("read-files", read), ("modified-files", modified)] {
        if !files.is_empty() {
            let list = files.into_iter().collect::<Vec<_>>().join("\n");
            let _ = write!(text, "\n\n<{tag}>\n{list}\n</{tag}>");
        }
    }
    text
}

/// Returns `details` of the transcript's entry.
pub fn details(messages: &[Message]) -> Value {
    let (read, modified) = files(messages);
    json!({"readFiles": read, "modifiedFiles": modified})
}

/// Returns the files that were only read, and those that were written.
fn files(messages: &[Message]) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut read, mut modified) = (BTreeSet::new(), BTreeSet::new());
    let calls =
        messages.iter().filter_map(|message| if let Message::Assistant(turn) = message { Some(turn) } else { None });
    for block in calls.flat_map(|turn| &turn.content) {
        let Block::ToolCall { name, arguments, .. } = block else { continue };
        let path = arguments["path"].as_str().or_else(|| arguments["file_path"].as_str());
        let Some(path) = path.map(str::to_owned) else { continue };
        match name.as_str() {
            "read" => drop(read.insert(path)),
            "write" | "edit" => drop(modified.insert(path)),
            _ => {}
        }
    }
    read.retain(|path| !modified.contains(path));
    (read, modified)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A conversation: `u` is the user, `a` the assistant, `c` a call and its result; the number is the size in tokens.
    fn messages(script: &str) -> Vec<Message> {
        let mut out = Vec::new();
        for (at, word) in script.split(' ').enumerate() {
            let (kind, size) = word.split_at(1);
            let text = "x".repeat(4 * size.parse::<usize>().expect("a size"));
            let block = json!([{"type": "text", "text": text}]);
            let said = match kind {
                "u" => vec![json!({"role": "user", "content": block})],
                "a" => vec![json!({"role": "assistant", "content": block})],
                _ => vec![
                    json!({"role": "assistant", "content": [{"type": "toolCall", "id": at.to_string(), "name": "read",
                        "arguments": {"path": format!("f{at}")}}]}),
                    json!({"role": "toolResult", "toolCallId": at.to_string(), "toolName": "read", "content": block,
                        "isError": size == "3"}),
                ],
            };
            out.extend(said.into_iter().map(|it| serde_json::from_value::<Message>(it).expect("a message")));
        }
        out
    }

    #[test]
    fn the_newest_messages_stay_and_results_stay_with_their_calls() {
        for (script, keep, wanted) in [
            ("u5 a5", 100, None),
            ("u50 a50 u50 a50", 60, Some((2, None))),
            ("u50 a50 u50 a50", 120, Some((1, Some(0)))),
            ("u10 c90 a5 u5", 50, Some((3, Some(0)))),
            ("u10 a5 u5 c90", 20, Some((3, Some(2)))),
        ] {
            let messages = messages(script);
            let found = cut(&messages, keep).map(|it| (it.kept_from, it.turn_from));
            assert_eq!(found, wanted, "{script} {keep}");
        }
    }

    #[test]
    fn tokens_are_counted_where_the_provider_did() {
        let mut conversation = messages("u10 a10 u7");
        assert_eq!(tokens(&conversation), 27);
        let Message::Assistant(turn) = &mut conversation[1] else { panic!("the assistant") };
        turn.usage.total_tokens = 1000;
        assert_eq!(tokens(&conversation), 1007);
        let limits = Limits::of(&Config::default(), 200_000);
        assert!(limits.is_full(180_001) && !limits.is_full(180_000));
        assert_eq!(Limits::of(&Config::default(), 16_000).reserve, 8000);
    }

    #[test]
    fn long_conversations_are_summed_up_in_parts() {
        let limits = Limits { window: 10_000, reserve: 5000, keep: 100 };
        let chunks = chunks(&messages("u3000 a3000 u10"), limits);
        assert_eq!(chunks.len(), 2);
        assert!(chunks.iter().all(|chunk| chunk.len() <= limits.chunk_chars_max()));
        let text = prompt(&chunks[0], Some("old"), true, Some("mind the cat"));
        assert!(
            text.starts_with("<summary>\nold\n</summary>\n\n<conversation>\n[User]: x")
                && text.ends_with("mind the cat")
        );
    }

    #[test]
    fn failures_and_files_are_listed() {
        let text = appendix(&messages("u1 c3 c5"));
        assert!(
            text.contains("## Tool Failures\n- read: xxx") && text.contains("<read-files>\nf1\nf2\n</read-files>"),
            "{text}"
        );
    }
}
