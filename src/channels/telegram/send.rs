//! Sending one message (channels.md §12.7), and what an error of the API is worth to whoever sends.
//!
//! Runs on the sender's thread. Words that Telegram does not understand as HTML go out without formats; a picture that it
//! cannot show goes out as a file; a voice note that somebody does not take goes out as its words. Not here: order, attempts
//! and the journal, which the outbox has.

use serde_json::{Map, Value, json};

use super::api::{Api, ApiError, Refusal};
use super::prepare::{Body, Message, Words};
use super::types;
use crate::base::cancel::CancelToken;
use crate::channels::channel::Account;
use crate::channels::message::{Address, SendError, Sent};
use crate::config::paths::Paths;
use crate::media::{self, Kind, LoadError, Loaded};
use crate::net::form::Upload;

/// The topic whose number Telegram refuses, because it is the group itself.
const GENERAL_TOPIC: &str = "1";

/// What a message is sent with.
pub struct Sender<'a> {
    /// The API.
    pub api: &'a Api,
    /// The account.
    pub account: &'a Account,
    /// The chat.
    pub to: &'a Address,
    /// Where files are.
    pub paths: &'a Paths,
    /// Ends it.
    pub cancel: &'a CancelToken,
}

impl Sender<'_> {
    /// Sends a message; returns what Telegram made of it.
    pub fn send(&self, message: &Message) -> Result<types::Message, SendError> {
        match self.attempt(message, &self.to.to) {
            Err(Failure::Api(ApiError::Refused(Refusal { migrate_to: Some(new), .. }))) => {
                log::warn!(target: "gateway/channels/telegram", "{} is {new} now", self.to.to);
                self.attempt(message, &new.to_string())
            }
            result => result,
        }
        .map_err(|failure| match failure {
            Failure::Api(error) => send_error(&error, &self.to.to),
            Failure::Media(error) => error,
        })
    }

    fn attempt(&self, message: &Message, chat: &str) -> Result<types::Message, Failure> {
        match &message.body {
            Body::Text(words) => self.text(message, chat, words),
            Body::File { source, words, is_voice, is_gif, has_text_behind } => {
                let loaded = media::load(self.paths, source, self.cancel).map_err(load_error)?;
                let form = form(&loaded, *is_voice, *is_gif);
                if form.method == "sendVoice" {
                    self.chat_action("record_voice");
                }
                match self.file(message, chat, words.as_ref(), &loaded, form) {
                    Err(Failure::Api(error)) if says(&error, &["VOICE_MESSAGES_FORBIDDEN"]) => match words {
                        Some(words) => self.text(message, chat, words),
                        None if *has_text_behind => Ok(types::Message::default()),
                        None => Err(Failure::Api(error)),
                    },
                    Err(Failure::Api(error))
                        if form.method == "sendPhoto" && says(&error, &["PHOTO_", "IMAGE_PROCESS"]) =>
                    {
                        self.file(message, chat, words.as_ref(), &loaded, DOCUMENT)
                    }
                    result => result,
                }
            }
        }
    }

    fn text(&self, message: &Message, chat: &str, words: &Words) -> Result<types::Message, Failure> {
        let mut params = self.params(message, chat);
        if self.account.settings.get("linkPreview") == Some(&Value::Bool(false)) {
            params.insert("link_preview_options".to_owned(), json!({"is_disabled": true}));
        }
        params.insert("text".to_owned(), words.html.as_str().into());
        params.insert("parse_mode".to_owned(), "HTML".into());
        let sent = self.api.call("sendMessage", &Value::Object(params.clone()));
        let sent = match sent {
            Err(error) if is_format_error(&error) => {
                log::debug!(target: "gateway/channels/telegram", "{error}; sent without formats");
                params.insert("text".to_owned(), words.plain.as_str().into());
                params.shift_remove("parse_mode");
                self.api.call("sendMessage", &Value::Object(params))
            }
            sent => sent,
        };
        sent.map_err(Failure::Api)
    }

    fn file(
        &self,
        message: &Message,
        chat: &str,
        words: Option<&Words>,
        loaded: &Loaded,
        form: Form,
    ) -> Result<types::Message, Failure> {
        if loaded.bytes.len() as u64 > form.bytes_max {
            let text = media::too_large(&loaded.mime, form.bytes_max, Some(loaded.bytes.len() as u64));
            return Err(Failure::Media(SendError::Failed(text)));
        }
        let name = loaded.name.as_deref().filter(|name| !name.is_empty()).unwrap_or(form.name);
        let mime = loaded.mime.as_str();
        let upload = Upload { field: form.field, name, mime, bytes: &loaded.bytes };
        let mut params = self.params(message, chat);
        if let Some(words) = words {
            params.insert("caption".to_owned(), words.html.as_str().into());
            params.insert("parse_mode".to_owned(), "HTML".into());
        }
        let sent = self.api.upload(form.method, &Value::Object(params.clone()), &upload);
        let sent = match (sent, words) {
            (Err(error), Some(words)) if is_format_error(&error) => {
                params.insert("caption".to_owned(), words.plain.as_str().into());
                params.shift_remove("parse_mode");
                self.api.upload(form.method, &Value::Object(params), &upload)
            }
            (sent, _) => sent,
        };
        sent.map_err(Failure::Api)
    }

    /// Returns what all messages have.
    fn params(&self, message: &Message, chat: &str) -> Map<String, Value> {
        let mut params = Map::new();
        params.insert("chat_id".to_owned(), chat.into());
        if let Some(thread) = thread_number(self.to).filter(|_| self.to.thread.as_deref() != Some(GENERAL_TOPIC)) {
            params.insert("message_thread_id".to_owned(), thread.into());
        }
        if let Some(reply_to) = message.reply_to {
            params.insert("reply_to_message_id".to_owned(), reply_to.into());
            // An answer to a message that is gone is an answer still.
            params.insert("allow_sending_without_reply".to_owned(), true.into());
        }
        if let Some(keyboard) = &message.keyboard {
            params.insert("reply_markup".to_owned(), keyboard.clone());
        }
        params
    }

    /// Shows for five seconds that something is being made; failing is no loss.
    pub fn chat_action(&self, action: &str) {
        let mut params = json!({"chat_id": self.to.to, "action": action});
        // Here the general topic has a number.
        if let Some(thread) = thread_number(self.to) {
            params["message_thread_id"] = thread.into();
        }
        if let Err(error) = self.api.call_within::<Value>("sendChatAction", &params, std::time::Duration::from_secs(10))
        {
            log::debug!(target: "gateway/channels/telegram", "{error}");
        }
    }
}

enum Failure {
    Api(ApiError),
    Media(SendError),
}

fn load_error(error: LoadError) -> Failure {
    Failure::Media(match error {
        LoadError::Failed { text, is_remote: true } => SendError::Later { text, after: None },
        error => SendError::Failed(error.to_string()),
    })
}

/// How a file is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Form {
    method: &'static str,
    field: &'static str,
    /// What it is called when it has no name.
    name: &'static str,
    bytes_max: u64,
}

const DOCUMENT: Form =
    Form { method: "sendDocument", field: "document", name: "file.bin", bytes_max: Kind::Document.bytes_max() };

fn form(loaded: &Loaded, is_voice: bool, is_gif: bool) -> Form {
    let mime = loaded.mime.to_ascii_lowercase();
    let name = loaded.name.as_deref().unwrap_or_default().to_ascii_lowercase();
    let size = loaded.bytes.len() as u64;
    let animation =
        Form { method: "sendAnimation", field: "animation", name: "animation.gif", bytes_max: Kind::Video.bytes_max() };
    match mime.split('/').next().unwrap_or_default() {
        _ if mime == "image/gif" || name.ends_with(".gif") => animation,
        "image" if mime.contains("svg") || size > Kind::Image.bytes_max() => DOCUMENT,
        "image" => Form { method: "sendPhoto", field: "photo", name: "image.jpg", bytes_max: Kind::Image.bytes_max() },
        "video" if is_gif => animation,
        "video" => Form { method: "sendVideo", field: "video", name: "video.mp4", bytes_max: Kind::Video.bytes_max() },
        "audio" => {
            let is_opus = mime.contains("ogg") || mime.contains("opus");
            let is_opus = is_opus || [".ogg", ".oga", ".opus"].iter().any(|end| name.ends_with(end));
            if is_voice && is_opus {
                return Form {
                    method: "sendVoice",
                    field: "voice",
                    name: "audio.ogg",
                    bytes_max: Kind::Audio.bytes_max(),
                };
            }
            if is_voice {
                log::info!(target: "gateway/channels/telegram", "{mime} cannot be a voice note; sent as audio");
            }
            Form { method: "sendAudio", field: "audio", name: "audio.ogg", bytes_max: Kind::Audio.bytes_max() }
        }
        _ => DOCUMENT,
    }
}

fn thread_number(to: &Address) -> Option<i64> {
    to.thread.as_deref().and_then(|thread| thread.trim().parse().ok())
}

fn says(error: &ApiError, words: &[&str]) -> bool {
    error.refusal().is_some_and(|refusal| words.iter().any(|word| refusal.description.contains(word)))
}

fn is_format_error(error: &ApiError) -> bool {
    says(error, &["can't parse entities", "parse entities", "find end of the entity"])
}

/// Returns what the protocol tells of a sent message.
pub fn sent(message: &types::Message, to: &Address) -> Sent {
    let mut sent = Map::new();
    let id = if message.message_id == 0 { "unknown".to_owned() } else { message.message_id.to_string() };
    let chat = if message.chat.id == 0 { to.to.clone() } else { message.chat.id.to_string() };
    sent.insert("messageId".to_owned(), id.into());
    sent.insert("chatId".to_owned(), chat.into());
    sent
}

/// Returns what an error is worth: whether trying again helps, and whether it could be noticed.
pub fn send_error(error: &ApiError, to: &str) -> SendError {
    let text = error.to_string();
    match error {
        ApiError::Stopped => {
            SendError::Unclear("the account was stopped while this was being sent; it may have arrived".into())
        }
        ApiError::Lost { is_done: true, .. } => SendError::Unclear(text),
        // A server that hangs up before a word of an answer has most likely done nothing; an answer that is lost is worse
        // than one that comes twice.
        ApiError::Lost { .. } => SendError::Later { text, after: None },
        ApiError::Refused(refusal) => match refusal.code {
            429 => SendError::Later { text, after: refusal.retry_after },
            500.. => SendError::Later { text, after: refusal.retry_after },
            401 => SendError::NotLinked(text),
            400 if refusal.description.to_lowercase().contains("chat not found") => SendError::Failed(format!(
                "Telegram send failed: chat not found (chat_id={to}). Likely: bot not started in DM, bot removed from \
                 group/channel, group migrated (new -100… id), or wrong bot token. Input was: \"{to}\"."
            )),
            _ => SendError::Failed(text),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_go_out_as_what_they_are() {
        let check = |mime: &str, name: &str, is_voice: bool, is_gif: bool| {
            let loaded = Loaded { bytes: Vec::new(), mime: mime.into(), name: Some(name.into()) };
            form(&loaded, is_voice, is_gif).method
        };
        for (mime, name, is_voice, is_gif, method) in [
            ("image/png", "a.png", false, false, "sendPhoto"),
            ("image/gif", "a.gif", false, false, "sendAnimation"),
            ("image/svg+xml", "a.svg", false, false, "sendDocument"),
            ("video/mp4", "a.mp4", false, false, "sendVideo"),
            ("video/mp4", "a.mp4", false, true, "sendAnimation"),
            ("audio/mpeg", "a.mp3", true, false, "sendAudio"),
            ("audio/ogg", "a.ogg", false, false, "sendAudio"),
            ("audio/ogg", "a.ogg", true, false, "sendVoice"),
            ("audio/x", "a.opus", true, false, "sendVoice"),
            ("application/pdf", "a.pdf", true, false, "sendDocument"),
        ] {
            assert_eq!(check(mime, name, is_voice, is_gif), method, "{mime}");
        }
        let large =
            Loaded { bytes: vec![0; Kind::Image.bytes_max() as usize + 1], mime: "image/png".into(), name: None };
        assert_eq!(form(&large, false, false), DOCUMENT);
    }

    #[test]
    fn errors_are_worth_another_attempt_or_not() {
        let refused = |code: u16, description: &str| {
            let retry_after = (code == 429).then_some(std::time::Duration::from_secs(3));
            ApiError::Refused(Refusal {
                method: "sendMessage",
                code,
                description: description.into(),
                retry_after,
                migrate_to: None,
            })
        };
        let lost = |is_done| ApiError::Lost { text: "reset".into(), is_done };
        let kind = |error: &ApiError| match send_error(error, "5") {
            SendError::NotLinked(_) => "link",
            SendError::Failed(_) => "no",
            SendError::Later { after: Some(_), .. } => "wait",
            SendError::Later { .. } => "later",
            SendError::Unclear(_) => "unclear",
        };
        for (error, expected) in [
            (refused(429, "Too Many Requests"), "wait"),
            (refused(502, "Bad Gateway"), "later"),
            (refused(401, "Unauthorized"), "link"),
            (refused(403, "Forbidden: bot was blocked by the user"), "no"),
            (lost(false), "later"),
            (lost(true), "unclear"),
            (ApiError::Stopped, "unclear"),
        ] {
            assert_eq!(kind(&error), expected, "{error}");
        }
        let text = send_error(&refused(400, "Bad Request: chat not found"), "@x").text().to_owned();
        assert!(text.starts_with("Telegram send failed: chat not found (chat_id=@x)."), "{text}");
    }
}
