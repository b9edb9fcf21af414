//! What links in messages lead to, as programs of this machine say (`tools.links`).

use std::time::Duration;

use super::{CHARS_MAX, ENTRIES_MAX, Failure, Interpreter, cut, is_allowed, name, program, seconds};
use crate::base::ids::SessionKey;
use crate::config::types::Config;
use crate::net::public::{leads_public, looks_public};

/// Links of one message that are read, unless configured, and at most.
const LINKS: u64 = 3;
const LINKS_MAX: u64 = 10;
/// How long a program may take, unless configured.
const PATIENCE: Duration = Duration::from_secs(30);
/// What ends a sentence, and no link.
const PUNCTUATION: [char; 8] = ['.', ',', ';', ':', '!', '?', '\'', '"'];

/// Returns the links of a text that are read in such a chat: to the public web, each once, in order. `chat` as in
/// [`super::refusal`].
pub fn in_text(text: &str, config: &Config, channel: &str, chat: &str, session: &SessionKey) -> Vec<String> {
    let section = &config.tools.links;
    if section.enabled == Some(false)
        || section.models.is_empty()
        || !is_allowed(section.scope.as_ref(), channel, chat, session)
    {
        return Vec::new();
    }
    let most = section.max_links.unwrap_or(LINKS).clamp(1, LINKS_MAX) as usize;
    let mut found: Vec<String> = Vec::new();
    for link in bare_links(&without_named_links(text)) {
        if found.len() < most && !found.contains(&link) && looks_public(&link) {
            found.push(link);
        }
    }
    found
}

impl Interpreter<'_> {
    /// Returns what the first program says that says anything; who cannot is logged. Nobody is asked about what a name of this
    /// machine or its networks stands for.
    pub fn link(&self, url: &str) -> Option<String> {
        if !leads_public(url) {
            log::info!(target: "agent", "a link is not read: it leads to this machine or its networks");
            return None;
        }
        let section = &self.config.tools.links;
        for entry in section.models.iter().take(ENTRIES_MAX) {
            let patience = seconds(entry.options.timeout_seconds.or(section.timeout_seconds), PATIENCE);
            match program::read_link(entry, url, patience, self).map(|text| cut(&text, CHARS_MAX)) {
                Ok(Some(text)) => return Some(text),
                Ok(None) => log::info!(target: "agent", "{} found nothing to say about a link", name(entry)),
                Err(Failure { text, .. }) => log::warn!(target: "agent", "{} did not read a link: {text}", name(entry)),
            }
            if self.cancel.is_cancelled() {
                break;
            }
        }
        None
    }
}

/// Takes links out of a text that have a name (`[name](link)`): they are told of, not sent.
fn without_named_links(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once('[') {
        out.push_str(before);
        let named = after.split_once(']').and_then(|(_, behind)| {
            let target = behind.strip_prefix('(')?;
            is_web(target).then_some(())?;
            let end = target.find(|c: char| c == ')' || c.is_whitespace())?;
            target[end..].strip_prefix(')')
        });
        match named {
            Some(behind) => {
                out.push(' ');
                rest = behind;
            }
            None => {
                out.push('[');
                rest = after;
            }
        }
    }
    out + rest
}

fn bare_links(text: &str) -> impl Iterator<Item = String> {
    text.split_whitespace().filter_map(|word| {
        let start = word.char_indices().map(|(at, _)| at).find(|at| is_web(&word[*at..]))?;
        Some(word[start..].trim_end_matches(PUNCTUATION).to_owned())
    })
}

fn is_web(text: &str) -> bool {
    ["http://", "https://"]
        .iter()
        .any(|scheme| text.get(..scheme.len()).is_some_and(|it| it.eq_ignore_ascii_case(scheme)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn links_are_found() {
        let found = |text: &str, more: serde_json::Value| {
            let mut links = json!({"models": [{"command": "x"}]});
            links.as_object_mut().expect("object").extend(more.as_object().expect("object").clone());
            let config = Config::of(json!({"tools": {"links": links}}));
            in_text(text, &config, "telegram", "group", &SessionKey::new("agent:main:main")).join(" ")
        };
        let many =
            "https://a.example/1, (HTTP://b.example/x?y=1#z) https://a.example/1 https://c.example. https://d.example";
        for (text, more, expected) in [
            (many, json!({}), "https://a.example/1 HTTP://b.example/x?y=1#z) https://c.example"),
            (many, json!({"maxLinks": 1}), "https://a.example/1"),
            (many, json!({"enabled": false}), ""),
            (many, json!({"models": []}), ""),
            (many, json!({"scope": {"default": "deny"}}), ""),
            ("seht https://a.example/wiki/Köln!", json!({}), "https://a.example/wiki/Köln"),
            ("[see](https://a.example) [x] https://b.example/[1] [y](nothing", json!({}), "https://b.example/[1]"),
            (
                "http://127.0.0.1/ http://localhost:1 https://10.0.0.1/x http://[::1]/ http://2130706433 ftp://a.example",
                json!({}),
                "",
            ),
        ] {
            assert_eq!(found(text, more), expected, "{text}");
        }
    }
}
