//! How people write a Telegram chat (channels.md §12.7), and what the API takes.

use crate::channels::message::Address;

/// Spells a target: `<chat>` or `<chat>:topic:<n>`; `None` when nothing is left of it.
pub fn spell(given: &str) -> Option<String> {
    let (chat, thread) = split(given);
    let chat = name(chat)?;
    Some(thread.map_or_else(|| chat.clone(), |thread| format!("{chat}:topic:{thread}")))
}

/// Returns whether it is an address, and no name of a person or group.
pub fn is_explicit(given: &str) -> bool {
    let lower = given.trim().to_lowercase();
    let starts = ["telegram:", "tg:", "@", "https://t.me/", "http://t.me/", "t.me/"];
    let is_number = lower.strip_prefix('-').unwrap_or(&lower).starts_with(|c: char| c.is_ascii_digit());
    is_number || starts.iter().any(|start| lower.starts_with(start))
}

/// Splits a target that [`spell`] wrote.
pub fn address(target: &str) -> Address {
    let (chat, thread) = split(target);
    Address { to: chat.to_owned(), thread: thread.map(str::to_owned) }
}

/// Takes prefixes off and the topic apart.
fn split(given: &str) -> (&str, Option<&str>) {
    let mut rest = given.trim();
    while let Some(bare) = ["telegram:", "tg:", "group:"].iter().find_map(|prefix| {
        let head = rest.get(..prefix.len())?;
        head.eq_ignore_ascii_case(prefix).then(|| rest[prefix.len()..].trim())
    }) {
        rest = bare;
    }
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if let Some((chat, thread)) = rest.rsplit_once(":topic:").filter(|(_, thread)| is_number(thread)) {
        return (chat.trim(), Some(thread));
    }
    match rest.rsplit_once(':').filter(|(chat, thread)| is_number(thread) && !chat.contains(':')) {
        Some((chat, thread)) => (chat.trim(), Some(thread)),
        None => (rest, None),
    }
}

/// Spells a chat: its number, or `@name`.
fn name(chat: &str) -> Option<String> {
    let lower = chat.to_ascii_lowercase();
    let link = ["https://t.me/", "http://t.me/", "t.me/"].iter().find(|link| lower.starts_with(**link));
    let is_word =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if let Some(name) = link.map(|link| &chat[link.len()..]).filter(|name| is_word(name)) {
        return Some(format!("@{name}"));
    }
    let is_number = chat.strip_prefix('-').unwrap_or(chat).bytes().all(|byte| byte.is_ascii_digit());
    match chat {
        "" | "@" | "-" => None,
        chat if !chat.starts_with('@') && !is_number && is_word(chat) && chat.len() >= 5 => Some(format!("@{chat}")),
        chat => Some(chat.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_spelled_as_the_api_takes_them() {
        for (given, expected) in [
            (" 42 ", Some("42")),
            ("telegram:group:-100123", Some("-100123")),
            ("tg:@Name", Some("@Name")),
            ("https://t.me/some_chat", Some("@some_chat")),
            ("somebody", Some("@somebody")),
            ("abc", Some("abc")),
            ("-100123:topic:7", Some("-100123:topic:7")),
            ("-100123:7", Some("-100123:topic:7")),
            ("Telegram:-100123:topic:7", Some("-100123:topic:7")),
            ("telegram:", None),
            ("", None),
        ] {
            assert_eq!(spell(given).as_deref(), expected, "{given}");
        }
        for (given, expected) in [("-100123:topic:4", true), ("@ada", true), ("TG:5", true), ("ada", false)] {
            assert_eq!(is_explicit(given), expected, "{given}");
        }
        assert_eq!(address("-1:topic:7"), Address { to: "-1".into(), thread: Some("7".into()) });
        assert_eq!(address("@a"), Address { to: "@a".into(), thread: None });
    }
}
