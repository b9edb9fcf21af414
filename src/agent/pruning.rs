//! Old tool results grow short once the provider's cache has gone cold anyway (agent.md §15).
//!
//! In memory only: the transcript keeps everything. Pure rules. Not here: when the cache was last warm (`transcript`).

use serde_json::Value;

use crate::agent::message::{Block, Content, Message};
use crate::agent::models::Model;
use crate::base::clock::UnixMs;
use crate::base::text::{fits_pattern, parse_duration_ms};
use crate::config::types::Config;

/// Characters per token, and of a picture.
const CHARS_PER_TOKEN: u64 = 4;
const IMAGE_CHARS: u64 = 8000;

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    ttl_ms: UnixMs,
    keep_last_assistants: usize,
    soft_ratio: f64,
    hard_ratio: f64,
    prunable_chars_min: u64,
    allow: Vec<String>,
    deny: Vec<String>,
    soft: Soft,
    placeholder: Option<String>,
}

/// How a result is shortened.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Soft {
    chars_max: usize,
    head: usize,
    tail: usize,
}

impl Settings {
    /// Returns those of the configuration for a model; `None` when nothing is pruned. Only providers whose cache has a
    /// lifetime have any; `has_credentials` says whether Anthropic's are at hand, which switches it on by itself.
    pub fn of(config: &Config, model: &Model, has_credentials: impl FnOnce() -> bool) -> Option<Self> {
        let is_cached =
            model.provider == "anthropic" || (model.provider == "openrouter" && model.id.starts_with("anthropic/"));
        let set = &config.tree["agents"]["defaults"]["contextPruning"];
        let mode = set["mode"].as_str();
        let is_on = || match mode {
            Some(mode) => mode == "cache-ttl",
            None => has_credentials(),
        };
        if !is_cached || !is_on() {
            return None;
        }
        let ttl_default = if mode.is_none() { 60 * 60_000 } else { 5 * 60_000 };
        let number = |value: &Value, default: f64| value.as_f64().filter(|it| *it >= 0.0).unwrap_or(default);
        let count = |value: &Value, default: f64| number(value, default) as usize;
        let list = |value: &Value| -> Vec<String> {
            let words = value.as_array().into_iter().flatten().filter_map(Value::as_str);
            words.map(|word| word.trim().to_lowercase()).filter(|word| !word.is_empty()).collect()
        };
        let (soft, hard) = (&set["softTrim"], &set["hardClear"]);
        let placeholder = hard["placeholder"].as_str().unwrap_or("[Old tool result content cleared]");
        Some(Self {
            ttl_ms: set["ttl"]
                .as_str()
                .and_then(|ttl| parse_duration_ms(ttl, 60_000.0))
                .map(|ms| ms as UnixMs)
                .unwrap_or(ttl_default),
            keep_last_assistants: count(&set["keepLastAssistants"], 3.0),
            soft_ratio: number(&set["softTrimRatio"], 0.3),
            hard_ratio: number(&set["hardClearRatio"], 0.5),
            prunable_chars_min: number(&set["minPrunableToolChars"], 50_000.0) as u64,
            allow: list(&set["tools"]["allow"]),
            deny: list(&set["tools"]["deny"]),
            soft: Soft {
                chars_max: count(&soft["maxChars"], 4000.0),
                head: count(&soft["headChars"], 1500.0),
                tail: count(&soft["tailChars"], 1500.0),
            },
            placeholder: (hard["enabled"] != false).then(|| placeholder.to_owned()),
        })
    }

    /// Returns whether the cache has gone cold since it was last used.
    pub fn is_cold(&self, touched_at: Option<UnixMs>, now_ms: UnixMs) -> bool {
        self.ttl_ms > 0 && touched_at.is_some_and(|at| now_ms.saturating_sub(at) >= self.ttl_ms)
    }

    /// Shortens old tool results of a conversation for a window of so many tokens; returns how many.
    pub fn prune(&self, messages: &mut [Message], window: u64) -> usize {
        let Some(protected_from) = self.protected_from(messages) else { return 0 };
        let chars_max = (window * CHARS_PER_TOKEN).max(1) as f64;
        let mut total: u64 = messages.iter().map(chars).sum();
        let ratio = |total: u64| total as f64 / chars_max;
        if ratio(total) < self.soft_ratio {
            return 0;
        }
        let first_user = messages.iter().position(|it| matches!(it, Message::User(_))).unwrap_or(messages.len());
        let prunable: Vec<usize> = (first_user..protected_from).filter(|at| self.is_prunable(&messages[*at])).collect();
        let mut count = 0;
        for at in &prunable {
            let before = chars(&messages[*at]);
            if let Message::ToolResult(result) = &mut messages[*at]
                && let Some(short) = self.soft.shortened(&result.content)
            {
                result.content = vec![Block::text(short)];
                total = total + chars(&messages[*at]) - before;
                count += 1;
            }
        }
        let Some(placeholder) = &self.placeholder else { return count };
        let left: u64 = prunable.iter().map(|at| chars(&messages[*at])).sum();
        if left < self.prunable_chars_min {
            return count;
        }
        for at in prunable {
            if ratio(total) < self.hard_ratio {
                break;
            }
            let before = chars(&messages[at]);
            if let Message::ToolResult(result) = &mut messages[at] {
                result.content = vec![Block::text(placeholder.as_str())];
                count += 1;
            }
            total = total + chars(&messages[at]) - before;
        }
        count
    }

    /// Returns where the newest turns begin, which stay; `None` when there are not that many.
    fn protected_from(&self, messages: &[Message]) -> Option<usize> {
        let assistants = messages.iter().enumerate().rev().filter(|(_, it)| matches!(it, Message::Assistant(_)));
        match self.keep_last_assistants {
            0 => Some(messages.len()),
            count => assistants.map(|(at, _)| at).nth(count - 1),
        }
    }

    fn is_prunable(&self, message: &Message) -> bool {
        let Message::ToolResult(result) = message else { return false };
        let name = result.tool_name.to_lowercase();
        let is_in = |list: &[String]| list.iter().any(|pattern| fits_pattern(pattern, &name));
        let has_image = result.content.iter().any(|block| matches!(block, Block::Image { .. }));
        !has_image && !is_in(&self.deny) && (self.allow.is_empty() || is_in(&self.allow))
    }
}

impl Soft {
    fn shortened(self, content: &[Block]) -> Option<String> {
        let text = crate::agent::message::blocks_text(content);
        let count = text.chars().count();
        if count <= self.chars_max || self.head + self.tail >= count {
            return None;
        }
        let head: String = text.chars().take(self.head).collect();
        let tail: String = text.chars().skip(count - self.tail).collect();
        Some(format!(
            "{head}\n...\n{tail}\n\n[Tool result trimmed: kept first {} chars and last {} chars of {count} chars.]",
            self.head, self.tail
        ))
    }
}

fn chars(message: &Message) -> u64 {
    let count = |text: &str| text.chars().count() as u64;
    let block = |block: &Block| match block {
        Block::Text { text, .. } => count(text),
        Block::Thinking { thinking, .. } => count(thinking),
        Block::Image { .. } => IMAGE_CHARS,
        Block::ToolCall { arguments, .. } => count(&arguments.to_string()),
    };
    match message {
        Message::User(user) => match &user.content {
            Content::Text(text) => count(text),
            Content::Blocks(blocks) => blocks.iter().map(block).sum(),
        },
        Message::Assistant(turn) => turn.content.iter().map(block).sum(),
        Message::ToolResult(result) => result.content.iter().map(block).sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn settings(set: Value) -> Option<Settings> {
        let config = Config { tree: json!({"agents": {"defaults": {"contextPruning": set}}}), ..Config::default() };
        let model = Model { provider: "anthropic".into(), ..crate::agent::models::offline() };
        Settings::of(&config, &model, || false)
    }

    /// Results of these sizes in characters, each behind its call, then three words of the assistant.
    fn messages(sizes: &[usize]) -> Vec<Message> {
        let mut out = vec![json!({"role": "user", "content": "go"})];
        for (at, size) in sizes.iter().enumerate() {
            out.push(json!({"role": "assistant", "content": []}));
            let text = "x".repeat(*size);
            out.push(json!({"role": "toolResult", "toolCallId": at.to_string(), "toolName": "exec", "isError": false,
                "content": [{"type": "text", "text": text}]}));
        }
        (0..3).for_each(|_| out.push(json!({"role": "assistant", "content": [{"type": "text", "text": "ok"}]})));
        out.into_iter().map(|it| serde_json::from_value(it).expect("a message")).collect()
    }

    fn sizes(messages: &[Message]) -> Vec<u64> {
        messages.iter().filter(|it| matches!(it, Message::ToolResult(_))).map(chars).collect()
    }

    #[test]
    fn it_is_off_unless_asked_for() {
        assert_eq!(settings(json!({})), None);
        assert_eq!(settings(json!({"mode": "off"})), None);
        let on = settings(json!({"mode": "cache-ttl", "ttl": "10m"})).expect("on");
        assert!(on.is_cold(Some(0), 600_000) && !on.is_cold(Some(1), 600_000) && !on.is_cold(None, 600_000));
    }

    #[test]
    fn old_results_are_shortened_then_cleared() {
        let soft = settings(json!({"mode": "cache-ttl", "hardClear": {"enabled": false}})).expect("on");
        let mut short = messages(&[10_000, 100]);
        assert_eq!(soft.prune(&mut short, 1_000_000), 0, "there is room");
        assert_eq!(soft.prune(&mut short, 5000), 1);
        assert!(sizes(&short)[0] < 3200 && sizes(&short)[1] == 100, "{:?}", sizes(&short));
        let hard = settings(json!({"mode": "cache-ttl", "minPrunableToolChars": 10})).expect("on");
        let mut cleared = messages(&[3000, 3000, 3000]);
        hard.prune(&mut cleared, 2000);
        assert_eq!(sizes(&cleared), [33, 33, 3000], "as many as it takes");
        let spared = settings(json!({"mode": "cache-ttl", "tools": {"deny": ["ex*"]}})).expect("on");
        assert_eq!(spared.prune(&mut messages(&[90_000]), 2000), 0);
    }
}
