//! The last lines of a session for a list: `sessions.preview` (protocol.md §5.5).

use serde_json::{Value, json};

use crate::agent::sessions::Sessions;
use crate::agent::transcript::{read_messages, strip_envelope};
use crate::base::ids::SessionKey;
use crate::base::text::unless_blank;

/// Messages that are looked at.
const MESSAGES_MAX: usize = 200;
/// Bytes of a transcript's end that are looked at.
const BYTES_MAX: usize = 1024 * 1024;

/// Returns one element of `previews`: the last `limit` items of a session, each cut to `chars_max` characters.
pub fn preview(sessions: &Sessions, key: &SessionKey, given: &str, limit: usize, chars_max: usize) -> Value {
    let answer = |status: &str, items: Vec<Value>| json!({"key": given, "status": status, "items": items});
    let Some(entry) = sessions.entry(key).filter(|entry| !entry.session_id.is_empty()) else {
        return answer("missing", Vec::new());
    };
    let path = sessions.transcript_path(key, &entry);
    match read_messages(&path, MESSAGES_MAX, BYTES_MAX) {
        Ok(messages) => {
            let mut items: Vec<Value> = messages.iter().filter_map(|message| item(message, chars_max)).collect();
            items.drain(..items.len().saturating_sub(limit));
            answer(if items.is_empty() { "empty" } else { "ok" }, items)
        }
        Err(error) => {
            log::warn!(target: "gateway", "cannot read transcript {}: {error}", path.display());
            answer("error", Vec::new())
        }
    }
}

fn item(message: &Value, chars_max: usize) -> Option<Value> {
    let blocks = message["content"].as_array().map(Vec::as_slice).unwrap_or_default();
    let names = blocks.iter().filter_map(|block| block["name"].as_str()).chain(message["toolName"].as_str());
    let names: Vec<&str> = names.filter_map(unless_blank).collect();
    let is_tool = !names.is_empty() || blocks.iter().any(|block| block["type"] == "toolCall");
    let role = match message["role"].as_str() {
        _ if is_tool => "tool",
        Some(role @ ("user" | "assistant" | "system" | "tool")) => role,
        _ => "other",
    };
    let text = text(message, blocks).or_else(|| calls(&names)).or_else(|| media(blocks))?;
    // compat: the envelope goes, the line with the message id stays.
    let text = if role == "user" { strip_envelope(&text) } else { &text };
    Some(json!({"role": role, "text": cut(text, chars_max)}))
}

fn text(message: &Value, blocks: &[Value]) -> Option<String> {
    let text = match message["content"].as_str() {
        Some(text) => text.to_owned(),
        None => {
            let texts = blocks.iter().filter_map(|block| block["text"].as_str());
            texts.filter(|text| !text.trim().is_empty()).collect::<Vec<_>>().join("\n")
        }
    };
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn calls(names: &[&str]) -> Option<String> {
    let shown = names.get(..names.len().min(2)).filter(|shown| !shown.is_empty())?.join(", ");
    let more = names.len().saturating_sub(2);
    Some(if more > 0 { format!("call {shown} +{more}") } else { format!("call {shown}") })
}

fn media(blocks: &[Value]) -> Option<String> {
    let mut kinds = blocks.iter().filter_map(|block| block["type"].as_str()).map(|kind| kind.trim().to_lowercase());
    kinds.find(|kind| !matches!(kind.as_str(), "" | "text" | "toolcall")).map(|kind| format!("[{kind}]"))
}

fn cut(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    let kept: String = text.chars().take(chars_max.saturating_sub(3)).collect();
    format!("{kept}...")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::sessions::tests::sessions;
    use crate::base::fs::testing::TempDir;

    #[test]
    fn items_name_what_a_message_holds() {
        let call = |name: &str| json!({"type": "toolCall", "id": "1", "name": name, "arguments": {}});
        for (message, role, text) in [
            (json!({"role": "user", "content": "[Telegram Ann] hi\n[message_id: 4]"}), "user", "hi\n[message_id: 4]"),
            (json!({"role": "assistant", "content": [call("a"), call("b"), call("c")]}), "tool", "call a, b +1"),
            (
                json!({"role": "toolResult", "toolName": "exec", "content": [{"type": "text", "text": "hi"}]}),
                "tool",
                "hi",
            ),
            (json!({"role": "user", "content": [{"type": "image", "data": ""}]}), "user", "[image]"),
            (
                json!({"role": "assistant", "content": "0123456789012345678901234567890"}),
                "assistant",
                "012345678901234567890123456...",
            ),
        ] {
            assert_eq!(item(&message, 30), Some(json!({"role": role, "text": text})));
        }
        assert_eq!(item(&json!({"role": "assistant", "content": []}), 20), None);
    }

    #[test]
    fn statuses() {
        let dir = TempDir::new("preview");
        let (sessions, _) = sessions(&dir, &json!({}));
        let key = SessionKey::new("agent:main:main");
        let status = |limit| preview(&sessions, &key, "main", limit, 240);
        assert_eq!(status(5), json!({"key": "main", "status": "missing", "items": []}));
        sessions.update(&key, |_| ()).expect("update");
        assert_eq!(status(5)["status"], "empty");
        for text in ["one", "two"] {
            sessions.append_injected(&key, text).expect("append");
        }
        let last = json!([{"role": "assistant", "text": "two"}]);
        assert_eq!(status(1), json!({"key": "main", "status": "ok", "items": last}));
    }
}
