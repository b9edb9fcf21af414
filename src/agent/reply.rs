//! From what a model wrote to what is said in a chat: files, the message that is answered, and the words (agent.md §9).
//!
//! Pure. Not here: what a growing message shows (`stream`), parts of long answers (`blocks`).

pub mod blocks;

use crate::agent::message::{Block, blocks_text};
use crate::agent::stream;

/// What models say when nothing needs attention.
const ALL_IS_WELL: &str = "HEARTBEAT_OK";
/// Longest address of a file.
const MEDIA_CHARS_MAX: usize = 4096;

/// The message that a reply answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplyTo {
    /// The one that the run answers.
    Current,
    /// Another one, by its id.
    Id(String),
}

/// One message of an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// The words; empty when there are only files.
    pub text: String,
    /// Files, by URL or path.
    pub media: Vec<String>,
    /// The message that it answers.
    pub reply_to: Option<ReplyTo>,
    /// Whether sound is a voice note.
    pub is_voice: bool,
    /// What the model thought before.
    pub reasoning: Option<String>,
}

impl Said {
    /// Returns whether nothing is said.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty() && self.media.is_empty()
    }
}

/// Reads what a model wrote.
pub fn parse(raw: &str) -> Said {
    let tags = tags(raw);
    let visible = stream::finished(raw);
    let is_silent = visible.is_empty();
    // A silent text still sends its files.
    let source = if is_silent { stream::without_tags(raw) } else { visible };
    let (text, media) = take_media(&source);
    let text = if is_silent { String::new() } else { collapse_paragraphs(text.trim()) };
    Said { text, media, reply_to: tags.0, is_voice: tags.1, reasoning: None }
}

/// Reads a model's turn.
pub fn said(content: &[Block]) -> Said {
    let thoughts = content.iter().filter_map(|block| match block {
        Block::Thinking { thinking, .. } if !thinking.trim().is_empty() => Some(thinking.trim()),
        _ => None,
    });
    let mut reasoning = thoughts.collect::<Vec<_>>().join("\n\n");
    let text = blocks_text(content);
    if reasoning.is_empty() {
        reasoning = stream::thoughts(&text);
    }
    Said { reasoning: (!reasoning.is_empty()).then_some(reasoning), ..parse(&text) }
}

/// Finds the message to answer, the last one named, and whether sound is a voice note.
fn tags(raw: &str) -> (Option<ReplyTo>, bool) {
    let (mut named, mut is_current, mut is_voice) = (None, false, false);
    let mut rest = raw;
    while let Some(at) = rest.find("[[") {
        rest = &rest[at + 2..];
        let Some(end) = rest.find("]]") else { break };
        let body = rest[..end].trim();
        let lower = body.to_ascii_lowercase();
        if let Some(id) = lower.starts_with("reply_to:").then(|| body["reply_to:".len()..].trim()) {
            named = Some(id.to_owned()).filter(|id| !id.is_empty()).or(named);
        }
        is_current |= lower == "reply_to_current";
        is_voice |= lower == "audio_as_voice";
    }
    (named.map(ReplyTo::Id).or(is_current.then_some(ReplyTo::Current)), is_voice)
}

/// Takes the lines out that name files, outside of code.
pub fn take_media(text: &str) -> (String, Vec<String>) {
    if !text.contains("MEDIA:") {
        return (text.to_owned(), Vec::new());
    }
    let (mut kept, mut media) = (Vec::new(), Vec::new());
    let mut is_code = false;
    for line in text.lines() {
        let bare = line.trim_start();
        is_code ^= bare.starts_with("```");
        let named = bare.strip_prefix("MEDIA:").filter(|_| !is_code).map(addresses).unwrap_or_default();
        if named.is_empty() {
            kept.push(line);
        } else {
            media.extend(named);
        }
    }
    (kept.join("\n").trim_end().to_owned(), media)
}

/// Reads the addresses of one line; a local path may hold blanks.
fn addresses(rest: &str) -> Vec<String> {
    let rest = rest.trim();
    let is_local = |text: &str| ["/", "./", "../", "~"].iter().any(|start| text.starts_with(start));
    let cleaned = |text: &str| {
        let text = text.trim_matches(['"', '\'', '`']);
        text.strip_prefix("file://").unwrap_or(text).to_owned()
    };
    let is_good = |text: &str| {
        let lower = text.to_ascii_lowercase();
        let is_url = lower.starts_with("http://") || lower.starts_with("https://");
        (is_url || is_local(text)) && text.chars().count() <= MEDIA_CHARS_MAX
    };
    let whole = cleaned(rest);
    let is_quoted = rest.len() > 1 && rest.starts_with(['"', '\'', '`']) && rest.ends_with(['"', '\'', '`']);
    if (is_quoted || is_local(&whole)) && is_good(&whole) {
        return vec![whole];
    }
    rest.split_whitespace().map(cleaned).filter(|text| is_good(text)).collect()
}

/// Takes the token for "nothing to report" off both ends, as often as it stands there.
pub fn strip_all_is_well(text: &str) -> &str {
    let mut text = text;
    loop {
        let before = text;
        text = text.strip_prefix(ALL_IS_WELL).unwrap_or(text);
        text = text.strip_suffix(ALL_IS_WELL).unwrap_or(text).trim();
        if text == before {
            return text;
        }
    }
}

/// Says a paragraph that is written several times in a row once.
fn collapse_paragraphs(text: &str) -> String {
    let mut paragraphs: Vec<&str> = Vec::new();
    let mut is_code = false;
    for paragraph in text.split("\n\n") {
        let is_repeated = !is_code && !paragraph.trim().is_empty() && paragraphs.last() == Some(&paragraph);
        if paragraph.matches("```").count() % 2 == 1 {
            is_code = !is_code;
        }
        if !is_repeated {
            paragraphs.push(paragraph);
        }
    }
    paragraphs.join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_files_and_words() {
        let current = Some(ReplyTo::Current);
        for (raw, text, media, reply_to) in [
            ("[[reply_to_current]] yes", "yes", vec![], current.clone()),
            ("[[ reply_to: 42 ]]no [[reply_to_current]]", "no", vec![], Some(ReplyTo::Id("42".into()))),
            (
                "look\nMEDIA: https://x.example/a.png \"https://x.example/b.png\"",
                "look",
                vec!["https://x.example/a.png", "https://x.example/b.png"],
                None,
            ),
            ("MEDIA:`/tmp/a b.png`", "", vec!["/tmp/a b.png"], None),
            ("MEDIA:file:///tmp/a.png", "", vec!["/tmp/a.png"], None),
            ("MEDIA: later", "MEDIA: later", vec![], None),
            ("```\nMEDIA:/tmp/x\n```", "```\nMEDIA:/tmp/x\n```", vec![], None),
            ("NO_REPLY\nMEDIA:/tmp/x.png", "", vec!["/tmp/x.png"], None),
            ("same\n\nsame\n\nother", "same\n\nother", vec![], None),
            ("<think>hm</think>", "", vec![], None),
        ] {
            let said = parse(raw);
            assert_eq!(
                (said.text.as_str(), said.media, said.reply_to),
                (text, media.iter().map(|it: &&str| (*it).to_owned()).collect(), reply_to),
                "{raw}"
            );
        }
        assert_eq!(strip_all_is_well("HEARTBEAT_OK all good HEARTBEAT_OK"), "all good");
        assert!(parse("[[audio_as_voice]]\nMEDIA:/tmp/a.ogg").is_voice);
    }
}
