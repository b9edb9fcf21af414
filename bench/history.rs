//! Sessions that were there before: an index and transcripts as gateways write them.

use anyhow::Result;
use serde_json::{Value, json};

use crate::home::Home;

const SESSIONS: &str = ".clawdbot/agents/main/sessions";
/// Some moment; everything happened in the seconds after it.
const THEN_MS: u64 = 1_760_000_000_000;

/// Gives the main session a conversation of so many turns: a question and an answer each.
pub fn write(home: &Home, turns: usize) -> Result<()> {
    let id = session_id(0);
    index(home, 1)?;
    let cwd = home.path().display().to_string();
    let mut lines = vec![json!({"type": "session", "version": 3, "id": id, "timestamp": stamp(0), "cwd": cwd})];
    for turn in 0..turns {
        let (question, answer) = (turn * 2, turn * 2 + 1);
        let text = format!("Question {turn}: what is to be done today, and in which order?");
        lines.push(entry(question, json!({"role": "user", "content": [{"type": "text", "text": text}]})));
        let text = format!("Answer {turn}: {}", "first the small things, then the large one; ".repeat(6));
        lines.push(entry(
            answer,
            json!({"role": "assistant", "content": [{"type": "text", "text": text}], "api": "openai-completions",
                "provider": "test", "model": "m", "stopReason": "stop", "usage": {"input": 100, "output": 60, "cacheRead": 0,
                "cacheWrite": 0, "totalTokens": 160, "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0, "total": 0}}}),
        ));
    }
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    home.write(&format!("{SESSIONS}/{id}.jsonl"), &text)
}

/// Writes an index of so many sessions; the first is the main one.
pub fn index(home: &Home, count: usize) -> Result<()> {
    let mut entries = serde_json::Map::new();
    for number in 0..count {
        let key = if number == 0 { "agent:main:main".to_owned() } else { format!("agent:main:s{number}") };
        let now =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        entries.insert(
            key,
            json!({"sessionId": session_id(number), "updatedAt": now - number as u64, "chatType": "direct",
                "label": format!("session {number}"), "inputTokens": 100, "outputTokens": 60, "totalTokens": 160, "modelProvider": "test", "model": "m"}),
        );
    }
    home.write(&format!("{SESSIONS}/sessions.json"), &serde_json::to_string_pretty(&Value::Object(entries))?)
}

fn entry(number: usize, mut message: Value) -> Value {
    message["timestamp"] = json!(THEN_MS + number as u64);
    let parent = number.checked_sub(1).map(|parent| format!("{parent:08x}"));
    json!({"type": "message", "id": format!("{number:08x}"), "parentId": parent, "timestamp": stamp(number), "message": message})
}

fn stamp(number: usize) -> String {
    format!("2025-10-09T08:{:02}:{:02}.000Z", number / 60 % 60, number % 60)
}

fn session_id(number: usize) -> String {
    format!("00000000-0000-4000-8000-{number:012x}")
}
