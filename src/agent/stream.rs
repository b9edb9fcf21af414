//! From what a model writes to what people see: hidden parts and control tokens are taken out (agent.md §9.1).
//!
//! Works on the whole text of one message each time somebody looks, because a tag may arrive in pieces. Pure.

use crate::agent::reply;

/// How a line begins that names files.
const MEDIA: &str = "MEDIA:";
/// A whole message that says nothing.
pub const SILENT: &str = "NO_REPLY";

/// The visible text of one message while it grows.
#[derive(Debug, Default)]
pub struct Visible {
    raw: String,
    shown: String,
}

impl Visible {
    /// Takes a piece of raw text.
    pub fn add(&mut self, piece: &str) {
        self.raw.push_str(piece);
    }

    /// Returns the whole visible text and what was added to it since the last look, if anything was.
    pub fn look(&mut self) -> Option<(String, String)> {
        let clean = without_media_so_far(clean(&self.raw));
        if is_silent_so_far(&clean) {
            return None;
        }
        // Text that shrinks again (a tag turned out to be one) is shown when it has caught up.
        let delta = clean.strip_prefix(self.shown.as_str()).filter(|delta| !delta.is_empty())?.to_owned();
        self.shown.clone_from(&clean);
        Some((clean, delta))
    }
}

/// Returns a message without hidden parts and tags, silent or not.
pub fn without_tags(raw: &str) -> String {
    clean(raw)
}

/// Returns the visible part of a finished message; empty when it is silent.
pub fn finished(raw: &str) -> String {
    let clean = clean(raw);
    if is_silent(&clean) { String::new() } else { clean }
}

/// Takes the lines out that name files, and a last line that may become one.
fn without_media_so_far(text: String) -> String {
    let start = text.rfind('\n').map_or(0, |at| at + 1);
    let last = text[start..].trim_start();
    let may_become = !last.is_empty() && MEDIA.starts_with(last) || last.starts_with(MEDIA);
    let text = if may_become { text[..start].trim_end().to_owned() } else { text };
    reply::without_media(&text)
}

fn is_silent_so_far(clean: &str) -> bool {
    SILENT.starts_with(clean.trim()) || is_silent(clean)
}

/// Silent is a text that begins with the token as a word, or ends with it as a word.
fn is_silent(clean: &str) -> bool {
    let text = clean.trim();
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let starts = text.strip_prefix(SILENT).is_some_and(|rest| !rest.starts_with(is_word));
    let ends = text.strip_suffix(SILENT).is_some_and(|rest| !rest.ends_with(is_word));
    starts || ends
}

/// Takes out reasoning, `<final>` tags and reply tags, outside of code; the end is trimmed.
fn clean(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    let mut is_code = false;
    while !rest.is_empty() {
        if rest.starts_with("```") {
            is_code = !is_code;
            out.push_str("```");
            rest = &rest[3..];
        } else if is_code {
            rest = copy_until(rest, &mut out, "`");
        } else if let Some(after) = hidden(rest) {
            rest = after;
        } else if rest.starts_with('`') {
            // Inline code is copied whole.
            let end = rest[1..].find(['`', '\n']).map_or(rest.len(), |end| end + 2);
            out.push_str(&rest[..end]);
            rest = &rest[end..];
        } else {
            rest = copy_until(rest, &mut out, "`<[");
        }
    }
    let trimmed = out.trim_end().len();
    out.truncate(trimmed);
    let start = out.len() - out.trim_start_matches('\n').len();
    out.drain(..start);
    out
}

/// Copies at least one character, up to the next one of `stops`.
fn copy_until<'a>(rest: &'a str, out: &mut String, stops: &str) -> &'a str {
    let first = rest.chars().next().map_or(0, char::len_utf8);
    let end = rest[first..].find(|c| stops.contains(c)).map_or(rest.len(), |at| first + at);
    out.push_str(&rest[..end]);
    &rest[end..]
}

/// Returns what follows a hidden part at the start of `text`, or `None` when nothing is hidden there.
fn hidden(text: &str) -> Option<&str> {
    if let Some(body) = text.strip_prefix("[[") {
        let Some(end) = body.find("]]") else {
            // It may still become a tag.
            return is_reply_tag_so_far(body).then_some("");
        };
        return is_reply_tag(&body[..end]).then_some(&body[end + 2..]);
    }
    let body = text.strip_prefix('<')?;
    let Some(end) = body.find('>') else {
        let so_far = body.trim_start_matches('/').to_ascii_lowercase();
        return ["thinking", "final"].iter().any(|tag| tag.starts_with(&so_far)).then_some("");
    };
    let (tag, after) = (body[..end].trim().to_ascii_lowercase(), &body[end + 1..]);
    match tag.as_str() {
        "think" | "thinking" => {
            let close = format!("</{tag}>");
            let at = after.to_ascii_lowercase().find(&close);
            Some(at.map_or("", |at| &after[at + close.len()..]))
        }
        "/think" | "/thinking" | "final" | "/final" => Some(after),
        _ => None,
    }
}

fn is_reply_tag(body: &str) -> bool {
    let body = body.trim().to_ascii_lowercase();
    body == "reply_to_current" || body == "audio_as_voice" || body.starts_with("reply_to:")
}

fn is_reply_tag_so_far(body: &str) -> bool {
    let body = body.trim().to_ascii_lowercase();
    ["reply_to_current", "audio_as_voice", "reply_to:"].iter().any(|tag| tag.starts_with(&body))
        || body.starts_with("reply_to:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_parts_are_taken_out() {
        for (raw, shown) in [
            ("plain ", "plain"),
            ("<think>a<b</think>yes", "yes"),
            ("<final>ok</final>", "ok"),
            ("[[ reply_to_current ]] hi", " hi"),
            ("a < b and [[x]]", "a < b and [[x]]"),
            ("`<think>` is a tag", "`<think>` is a tag"),
            ("```\n<think>x</think>\n```", "```\n<think>x</think>\n```"),
            ("NO_REPLY", ""),
            ("NO_REPLY.", ""),
            ("NO_REPLYING", "NO_REPLYING"),
            ("<think>never closed", ""),
        ] {
            assert_eq!(finished(raw), shown, "{raw}");
        }
    }

    #[test]
    fn text_grows_and_never_shrinks() {
        let mut visible = Visible::default();
        let mut shown = String::new();
        for piece in ["<th", "ink>x</thi", "nk>Hel", "lo", " NO", " more", " [[reply", "_to_current]]"] {
            visible.add(piece);
            if let Some((text, delta)) = visible.look() {
                assert_eq!(text, format!("{shown}{delta}"));
                shown = text;
            }
        }
        assert_eq!(shown, "Hello NO more");
        let mut silent = Visible::default();
        assert!(["NO_", "REPLY", " "].iter().all(|piece| {
            silent.add(piece);
            silent.look().is_none()
        }));
    }
}
