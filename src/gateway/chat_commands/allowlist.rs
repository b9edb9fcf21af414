//! `/allowlist`: who may write to the bot, shown and changed from a chat.

use std::sync::Arc;

use serde_json::Value;

use super::config::{change, refusal};
use super::{Ctx, Executed, Turn};
use crate::base::text::text_of;
use crate::channels;

/// Shows or changes a channel's lists.
pub(super) fn manage(cx: &Arc<Ctx>, turn: &Turn, args: &str) -> anyhow::Result<Executed> {
    let wish = Wish::parse(args);
    let named = wish.channel.as_deref().or_else(|| turn.route.as_ref().map(|route| route.channel.as_str()));
    let Some(channel) = named.and_then(channels::normalize) else {
        return Executed::answer("⚠️ Unknown channel. Add channel=<id> to the command.");
    };
    let config = cx.config.get();
    let section = config.channel(channel);
    if wish.action == "list" {
        let lists = wish.lists.iter().map(|list| format!("{list}: {}", joined(&section[*list])));
        let lists: Vec<String> = lists.collect();
        return Executed::answer(format!(
            "🧾 Allowlist of {channel}\n{}\nPeople who were paired are shown by `clawdbot pairing list {channel}`.",
            lists.join("\n")
        ));
    }
    let usage = "⚠️ Usage: /allowlist list|add|remove [dm|group|all] <entry> [channel=<id>]";
    let Some(entry) = wish.entry.filter(|_| matches!(wish.action.as_str(), "add" | "remove")) else {
        return Executed::answer(usage);
    };
    if config.tree["commands"]["config"] != true {
        return Executed::answer("⚠️ /allowlist edits are disabled. Set commands.config=true to enable.");
    }
    if let Some(refusal) = refusal(&config, turn) {
        return Executed::answer(format!("⚠️ {refusal}"));
    }
    let is_it = |it: &Value| text_of(it).eq_ignore_ascii_case(&entry);
    for list in &wish.lists {
        let mut entries = section[*list].as_array().cloned().unwrap_or_default();
        match wish.action.as_str() {
            "add" if !entries.iter().any(is_it) => entries.push(entry.as_str().into()),
            _ => entries.retain(|it| wish.action == "add" || !is_it(it)),
        }
        if let Err(error) = change(cx, &format!("channels.{channel}.{list}"), Value::Array(entries)) {
            return Executed::answer(format!("⚠️ {error}"));
        }
    }
    let done = if wish.action == "add" { "added to" } else { "removed from" };
    Executed::answer(format!("✅ {entry} {done} {} of {channel}.", wish.lists.join(", ")))
}

struct Wish {
    action: String,
    /// Keys of the lists.
    lists: Vec<&'static str>,
    entry: Option<String>,
    channel: Option<String>,
}

impl Wish {
    fn parse(args: &str) -> Self {
        let mut wish = Self { action: "list".to_owned(), lists: vec!["allowFrom"], entry: None, channel: None };
        for (at, word) in args.split_whitespace().enumerate() {
            let lower = word.to_lowercase();
            match (at, lower.as_str()) {
                (0, "list" | "add" | "remove") => wish.action = lower,
                (_, "dm") => wish.lists = vec!["allowFrom"],
                (_, "group") => wish.lists = vec!["groupAllowFrom"],
                (_, "all") => wish.lists = vec!["allowFrom", "groupAllowFrom"],
                _ => match lower.split_once('=') {
                    Some(("channel", channel)) => wish.channel = Some(channel.to_owned()),
                    Some(_) => {}
                    None if matches!(lower.as_str(), "config" | "store") => {}
                    None => wish.entry = Some(word.to_owned()),
                },
            }
        }
        if wish.action == "list" && !args.to_lowercase().split_whitespace().any(|word| matches!(word, "dm" | "group")) {
            wish.lists = vec!["allowFrom", "groupAllowFrom"];
        }
        wish
    }
}

fn joined(list: &Value) -> String {
    let entries: Vec<String> = list.as_array().into_iter().flatten().map(text_of).collect();
    if entries.is_empty() { "(empty)".to_owned() } else { entries.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_are_read() {
        let wish = Wish::parse("add group +49 123 channel=telegram");
        assert_eq!(
            (wish.action.as_str(), wish.lists, wish.entry.as_deref()),
            ("add", vec!["groupAllowFrom"], Some("123"))
        );
        assert_eq!(wish.channel.as_deref(), Some("telegram"));
        assert_eq!(Wish::parse("").lists.len(), 2);
    }
}
