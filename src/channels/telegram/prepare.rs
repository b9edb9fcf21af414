//! From a reply to the messages that Telegram needs for it (channels.md §12.7). Pure: touches no network.
//!
//! Text is formatted before it is cut, so no tag is ever cut in half. Media goes first with the text below it; text that is
//! too long for that follows as messages of its own. Not here: sending them (`send`).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::account::{cut, tables, text_units};
use super::buttons;
use super::html::html;
use crate::channels::channel::Account;
use crate::channels::markdown::{Styled, parse};
use crate::channels::message::{Address, Part};
use crate::channels::reply::{Reply, ReplyKind};

/// Most of the text below a file, in UTF-16 units.
const CAPTION_UNITS_MAX: usize = 1024;

/// One message, as it stands in the journal of deliveries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// What it carries.
    pub body: Body,
    /// The message that it quotes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<i64>,
    /// Buttons, as the API takes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keyboard: Option<Value>,
}

/// What a message carries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Body {
    /// Words.
    Text(Words),
    /// A file.
    File {
        /// URL or path.
        source: String,
        /// Words below it.
        words: Option<Words>,
        /// Whether sound is a voice note.
        is_voice: bool,
        /// Whether a film plays as an animation.
        is_gif: bool,
        /// Whether the text follows in messages of its own.
        has_text_behind: bool,
    },
}

/// Words, formatted and not: the second is sent when Telegram does not understand the first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Words {
    /// In Telegram's HTML.
    pub html: String,
    /// Without formats.
    pub plain: String,
}

impl Words {
    fn of(styled: &Styled) -> Self {
        Self { html: html(styled), plain: styled.text.clone() }
    }
}

/// Splits a reply.
///
/// # Errors
/// Why it cannot be sent, for whoever wrote it.
pub fn prepare(account: &Account, to: &Address, reply: &Reply) -> Result<Vec<Part>, String> {
    let keyboard = match buttons::keyboard(account, &to.to, reply.buttons.as_ref()) {
        // Words of our own are worth saying without them.
        Err(_) if reply.kind == ReplyKind::Notice => None,
        judged => judged?,
    };
    let mut messages = bodies(account, reply);
    if messages.is_empty() {
        return Err("Message must be non-empty for Telegram sends".to_owned());
    }
    // Buttons stand below what is read last.
    let last_text = messages.iter().rposition(|it| matches!(it.body, Body::Text(_)));
    let place = last_text.unwrap_or(0);
    messages[place].keyboard = keyboard;
    // What is no number names no message of Telegram's.
    let reply_to = reply.reply_to.as_deref().and_then(|id| id.trim().parse::<i64>().ok());
    let quoting = match account.text("replyToMode") {
        Some("off") => 0,
        Some("all") => messages.len(),
        _ => 1,
    };
    messages.iter_mut().take(quoting).for_each(|message| message.reply_to = reply_to);
    messages.iter().map(|message| serde_json::to_value(message).map_err(|error| error.to_string())).collect()
}

fn bodies(account: &Account, reply: &Reply) -> Vec<Message> {
    let message = |body: Body| Message { body, reply_to: None, keyboard: None };
    let styled = parse(reply.text.trim_end(), tables(account));
    let texts = || -> Vec<Message> {
        let pieces = styled.chunks(text_units(account), cut(account));
        pieces.iter().map(|piece| message(Body::Text(Words::of(piece)))).collect()
    };
    let sources: Vec<&String> = reply.media.iter().filter(|source| !source.trim().is_empty()).collect();
    if sources.is_empty() {
        return texts();
    }
    let fits = styled.text.encode_utf16().count() <= CAPTION_UNITS_MAX;
    let has_text = !styled.text.trim().is_empty();
    let mut messages = Vec::new();
    for (index, source) in sources.into_iter().enumerate() {
        let is_first = index == 0;
        messages.push(message(Body::File {
            source: source.trim().to_owned(),
            words: (is_first && has_text && fits).then(|| Words::of(&styled)),
            is_voice: reply.is_voice,
            is_gif: reply.is_gif,
            has_text_behind: is_first && has_text && !fits,
        }));
        if is_first && has_text && !fits {
            messages.extend(texts());
        }
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Shows each message as what it carries, whom it quotes, and whether it has buttons.
    fn shown(settings: Value, reply: Reply) -> Result<Vec<String>, String> {
        let account = Account { id: "default".into(), settings: settings.as_object().cloned().unwrap_or_default() };
        let parts = prepare(&account, &Address { to: "5".into(), thread: None }, &reply)?;
        let show = |part: &Part| {
            let message: Message = serde_json::from_value(part.clone()).expect("ours");
            let what = match message.body {
                Body::Text(words) if words.html.len() > 40 => format!("text {}", words.html.len()),
                Body::Text(words) => words.html,
                Body::File { source, words, has_text_behind, .. } => {
                    format!(
                        "{source}[{}]{}",
                        words.map(|it| it.html).unwrap_or_default(),
                        if has_text_behind { "+" } else { "" }
                    )
                }
            };
            let reply_to = message.reply_to.map(|id| format!(" >{id}")).unwrap_or_default();
            format!("{what}{reply_to}{}", if message.keyboard.is_some() { " #" } else { "" })
        };
        Ok(parts.iter().map(show).collect())
    }

    fn reply(text: &str, media: &[&str]) -> Reply {
        Reply {
            text: text.into(),
            media: media.iter().map(|it| (*it).to_owned()).collect(),
            reply_to: Some("9".into()),
            ..Reply::default()
        }
    }

    #[test]
    fn replies_become_messages() {
        let check = |settings: Value, text: &str, media: &[&str]| shown(settings, reply(text, media)).expect("parts");
        assert_eq!(check(json!({}), "**hi**", &[]), ["<b>hi</b> >9"]);
        assert_eq!(check(json!({"textChunkLimit": 3}), "one two", &[]), ["one >9", "two"]);
        assert_eq!(check(json!({"textChunkLimit": 3, "replyToMode": "all"}), "one two", &[]), ["one >9", "two >9"]);
        assert_eq!(check(json!({"replyToMode": "off"}), "x", &[]), ["x"]);
        assert_eq!(check(json!({"chunkMode": "newline"}), "x\n\ny", &[]), ["x >9", "y"]);
        assert_eq!(check(json!({}), "*c*", &["a.png", "b.png"]), ["a.png[<i>c</i>] >9", "b.png[]"]);
        let long = "w ".repeat(600);
        assert_eq!(check(json!({}), &long, &["a.png", "b.png"]), ["a.png[]+ >9", "text 1199", "b.png[]"]);
        assert_eq!(check(json!({}), "", &["a.png"]), ["a.png[] >9"]);
        assert!(shown(json!({}), reply(" \n", &[" "])).is_err());
    }

    #[test]
    fn buttons_stand_below_the_last_words() {
        let buttons = json!([[{"text": "y", "callback_data": "y"}]]);
        let with = |text: &str, media: &[&str], settings: Value| {
            shown(settings, Reply { buttons: Some(buttons.clone()), reply_to: None, ..reply(text, media) })
        };
        assert_eq!(with("one two", &[], json!({"textChunkLimit": 3})).expect("parts"), ["one", "two #"]);
        assert_eq!(with("c", &["a.png", "b.png"], json!({})).expect("parts"), ["a.png[c] #", "b.png[]"]);
        assert!(with("c", &[], json!({"capabilities": []})).expect_err("off").contains("disabled"));
    }
}
