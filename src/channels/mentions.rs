//! Whether a message in a group is meant for us (channels.md §4.2), and what is left of it as a command. Pure.

use regex_lite::{Regex, RegexBuilder, escape};

use super::inbound::Inbound;

/// What decides in one group.
#[derive(Debug, Default)]
pub struct Gate {
    patterns: Vec<Regex>,
    /// Whether only messages that are meant for us are answered.
    pub requires_mention: bool,
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mention {
    /// Whether the message is meant for us: by name, by reply, or as a command.
    pub is_meant: bool,
    /// Whether it is not answered, but remembered.
    pub is_skipped: bool,
    /// Whether a command was let through that mentions nobody.
    pub is_command_only: bool,
}

impl Gate {
    /// Makes a gate of patterns as the configuration has them; broken ones are left out.
    pub fn new(patterns: &[String], requires_mention: bool) -> Self {
        let compile = |pattern: &String| {
            // A backspace is what JSON makes of a `\b` that was not escaped.
            let pattern = pattern.replace('\u{8}', r"\b");
            RegexBuilder::new(&pattern).case_insensitive(true).build().ok()
        };
        Self { patterns: patterns.iter().filter_map(compile).collect(), requires_mention }
    }

    /// Judges a message of a group. `is_command`: a command of ours, by somebody who may.
    pub fn judge(&self, message: &Inbound, is_command: bool) -> Mention {
        let mentions = message.mentions;
        let is_named = if mentions.is_any && mentions.can_tell {
            // Somebody is named by the network's own means: names in the text say nothing more.
            mentions.is_ours
        } else {
            let text = clean(&message.text);
            mentions.is_ours || (!text.is_empty() && self.patterns.iter().any(|pattern| pattern.is_match(&text)))
        };
        let is_reply = self.requires_mention && message.quoted.as_ref().is_some_and(|quoted| quoted.is_ours);
        let is_command_only = self.requires_mention && is_command && !is_named && !mentions.is_any;
        let is_meant = message.is_button || is_named || is_reply || is_command_only;
        let can_tell = mentions.can_tell || !self.patterns.is_empty();
        Mention { is_meant, is_skipped: self.requires_mention && can_tell && !is_meant, is_command_only }
    }
}

/// Returns the patterns that follow from an agent's name and emoji.
pub fn derived(name: Option<&str>, emoji: Option<&str>) -> Vec<String> {
    let words = |name: &str| name.split_whitespace().map(escape).collect::<Vec<_>>().join(r"\s+");
    let name = name.map(str::trim).filter(|name| !name.is_empty()).map(|name| format!(r"\b@?{}\b", words(name)));
    let emoji = emoji.map(str::trim).filter(|emoji| !emoji.is_empty()).map(escape);
    name.into_iter().chain(emoji).collect()
}

/// Lower case, without characters that nobody sees.
fn clean(text: &str) -> String {
    let is_hidden = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}');
    text.chars().filter(|c| !is_hidden(*c)).collect::<String>().to_lowercase()
}

/// Returns the text from which commands are read: `/cmd@name` is `/cmd` when the name is ours, and a mention of ours before
/// a command is left out.
pub fn command_text(text: &str, own_username: Option<&str>) -> String {
    let text = text.trim();
    let Some(own) = own_username.map(|own| own.trim_start_matches('@')).filter(|own| !own.is_empty()) else {
        return text.to_owned();
    };
    let is_own = |name: &str| name.eq_ignore_ascii_case(own);
    if let Some((first, rest)) = text.split_once(char::is_whitespace)
        && first.strip_prefix('@').is_some_and(is_own)
        && rest.trim_start().starts_with('/')
    {
        return command_text(rest, own_username);
    }
    let first = text.split(char::is_whitespace).next().unwrap_or_default();
    match first.split_once('@') {
        Some((command, name)) if command.starts_with('/') && is_own(name.trim_end_matches(':')) => {
            format!("{command}{}", &text[first.len()..])
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channels::inbound::{Mentions, Quoted};

    fn check(gate: &Gate, text: &str, mentions: Mentions, is_command: bool, is_skipped: bool) {
        let message = Inbound { text: text.to_owned(), mentions, ..Inbound::default() };
        assert_eq!(gate.judge(&message, is_command).is_skipped, is_skipped, "{text} {mentions:?}");
    }

    #[test]
    fn who_is_meant() {
        let gate = Gate::new(&derived(Some("Clawd Bot"), Some("🦞")), true);
        let nobody = Mentions { can_tell: true, ..Mentions::default() };
        let other = Mentions { is_any: true, ..nobody };
        let ours = Mentions { is_ours: true, ..other };
        check(&gate, "hello", nobody, false, true);
        check(&gate, "hello @clawd  bot!", nobody, false, false);
        check(&gate, "hey Clawd\u{200b} Bot", nobody, false, false);
        check(&gate, "🦞?", nobody, false, false);
        check(&gate, "@other what does clawd bot say", other, false, true);
        check(&gate, "@clawd_bot", ours, false, false);
        check(&gate, "/status", nobody, true, false);
        check(&gate, "/status @other", other, true, true);
        check(&Gate::new(&[], true), "hello", Mentions::default(), false, false);
        check(&Gate::new(&["(".into(), "x".into()], false), "hello", nobody, false, false);
        let quoted = Some(Quoted { is_ours: true, ..Quoted::default() });
        let reply = Inbound { text: "yes".into(), quoted, mentions: nobody, ..Inbound::default() };
        assert!(gate.judge(&reply, false).is_meant);
        assert!(!Gate::new(&[], false).judge(&reply, false).is_meant, "a reply counts only where a mention is needed");
    }

    #[test]
    fn commands() {
        for (text, expected) in [
            ("/status@Clawd_Bot now", "/status now"),
            ("/status@other", "/status@other"),
            ("@clawd_bot /think high", "/think high"),
            ("@clawd_bot hello", "@clawd_bot hello"),
            (" /stop ", "/stop"),
        ] {
            assert_eq!(command_text(text, Some("clawd_bot")), expected);
        }
    }
}
