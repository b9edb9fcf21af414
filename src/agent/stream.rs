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
    files: usize,
}

/// What a look at a growing message shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// The whole visible text.
    pub text: String,
    /// What was added to it since the last look.
    pub delta: String,
    /// The files that it names so far.
    pub media: Vec<String>,
}

impl Visible {
    /// Takes a piece of raw text.
    pub fn add(&mut self, piece: &str) {
        self.raw.push_str(piece);
    }

    /// Returns what there is to see, if anything came since the last look. With `is_over` nothing is held back that might
    /// have become something else.
    pub fn look(&mut self, is_over: bool) -> Option<Look> {
        let clean = clean(&self.raw, is_over);
        let (text, media) = if is_over { reply::take_media(&clean) } else { media_so_far(clean) };
        if if is_over { is_silent(&text) } else { is_silent_so_far(&text, !media.is_empty()) } {
            return None;
        }
        // Text that shrinks again (a tag turned out to be one) is shown when it has caught up.
        let delta = text.strip_prefix(self.shown.as_str())?.to_owned();
        if delta.is_empty() && media.len() <= self.files {
            return None;
        }
        self.shown.clone_from(&text);
        self.files = media.len();
        Some(Look { text, delta, media })
    }
}

/// Returns what a model thought aloud between tags, for models that have no other way; empty when it did not.
pub fn thoughts(raw: &str) -> String {
    let mut thoughts: Vec<&str> = Vec::new();
    let lower = raw.to_ascii_lowercase();
    let mut from = 0;
    while let Some(at) = lower[from..].find("<think").map(|at| from + at) {
        let Some(begin) = lower[at..].find('>').map(|end| at + end + 1) else { break };
        let close = format!("</{}", lower[at + 1..begin].trim_end());
        let end = lower[begin..].find(&close).map(|end| begin + end);
        // Of what is still growing, a tag that begins at the end is no thought.
        let open_end = || raw.rfind('<').filter(|at| *at >= begin && !raw[*at..].contains('>')).unwrap_or(raw.len());
        let inner = raw[begin..end.unwrap_or_else(open_end)].trim();
        if !inner.is_empty() {
            thoughts.push(inner);
        }
        let Some(end) = end else { break };
        from = end + close.len();
    }
    thoughts.join("\n\n")
}

/// Returns a message without hidden parts and tags, silent or not.
pub fn without_tags(raw: &str) -> String {
    clean(raw, true)
}

/// Returns the visible part of a finished message; empty when it is silent.
pub fn finished(raw: &str) -> String {
    let clean = clean(raw, true);
    if is_silent(&clean) { String::new() } else { clean }
}

/// Takes the lines out that name files, and a last line that may become one.
fn media_so_far(text: String) -> (String, Vec<String>) {
    let start = text.rfind('\n').map_or(0, |at| at + 1);
    let last = text[start..].trim_start();
    let may_become = !last.is_empty() && MEDIA.starts_with(last) || last.starts_with(MEDIA);
    let text = if may_become { text[..start].trim_end().to_owned() } else { text };
    reply::take_media(&text)
}

fn is_silent_so_far(clean: &str, has_files: bool) -> bool {
    let text = clean.trim();
    (SILENT.starts_with(text) && !(text.is_empty() && has_files)) || is_silent(clean)
}

/// Silent is a text that begins with the token as a word, or ends with it as a word.
fn is_silent(clean: &str) -> bool {
    let text = clean.trim();
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let starts = text.strip_prefix(SILENT).is_some_and(|rest| !rest.starts_with(is_word));
    let ends = text.strip_suffix(SILENT).is_some_and(|rest| !rest.ends_with(is_word));
    starts || ends
}

/// Takes out reasoning, `<final>` tags and reply tags, outside of code; the end is trimmed. Of the blanks around what is
/// taken out one stays. Unless the message is over, an end that may become a tag is taken out too.
fn clean(raw: &str, is_over: bool) -> String {
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
        } else if let Some(after) = hidden(rest, is_over) {
            let has_blank = out.chars().next_back().is_none_or(char::is_whitespace);
            rest = if has_blank { after.trim_start_matches([' ', '\t']) } else { after };
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
fn hidden(text: &str, is_over: bool) -> Option<&str> {
    if let Some(body) = text.strip_prefix("[[") {
        let Some(end) = body.find("]]") else {
            // It may still become a tag.
            return (!is_over && is_reply_tag_so_far(body)).then_some("");
        };
        return is_reply_tag(&body[..end]).then_some(&body[end + 2..]);
    }
    let body = text.strip_prefix('<')?;
    let Some(end) = body.find('>') else {
        let so_far = body.trim_start_matches('/').to_ascii_lowercase();
        let may_become = ["thinking", "final"].iter().any(|tag| tag.starts_with(&so_far));
        return (!is_over && may_become).then_some("");
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
            ("[[ reply_to_current ]] hi", "hi"),
            ("one [[reply_to:42]] two", "one two"),
            ("ends with [[", "ends with [["),
            ("ends with <", "ends with <"),
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
    fn thoughts_between_tags_are_told_apart() {
        for (raw, expected) in [
            ("<think>a < b</think>yes", "a < b"),
            ("<thinking>one</thinking>x<THINK>Two</THINK>", "one\n\nTwo"),
            ("<think>still going </thi", "still going"),
            ("<thin", ""),
            ("no tags", ""),
        ] {
            assert_eq!(thoughts(raw), expected, "{raw}");
        }
    }

    #[test]
    fn text_grows_and_never_shrinks() {
        let mut visible = Visible::default();
        let mut shown = String::new();
        for piece in ["<th", "ink>x</thi", "nk>Hel", "lo", " NO", " more", " [[reply", "_to_current]]"] {
            visible.add(piece);
            if let Some(Look { text, delta, .. }) = visible.look(false) {
                assert_eq!(text, format!("{shown}{delta}"));
                shown = text;
            }
        }
        assert_eq!(shown, "Hello NO more");
        let mut silent = Visible::default();
        assert!(["NO_", "REPLY", " "].iter().all(|piece| {
            silent.add(piece);
            silent.look(false).is_none()
        }));
        assert_eq!(silent.look(true), None);
        let check = |pieces: &[&str], text: &str, media: &[&str]| {
            let mut visible = Visible::default();
            pieces.iter().for_each(|piece| {
                visible.add(piece);
                visible.look(false);
            });
            visible.look(true);
            assert_eq!((visible.shown.as_str(), visible.files), (text, media.len()), "{pieces:?}");
        };
        // What was held back is shown when nothing more comes.
        check(&["NO"], "NO", &[]);
        check(&["a", " <"], "a <", &[]);
        check(&["MEDIA:/tmp/x.png"], "", &["/tmp/x.png"]);
        check(&["look\nMEDIA:", "/tmp/x.png\nhere"], "look\nhere", &["/tmp/x.png"]);
    }
}
