//! Drafts: an answer that is shown while it is written, in private chats with topics (channels.md §12.12).
//!
//! Owns when each draft was last shown. Any thread, one leaf lock. Not here: the final answer, which is an ordinary message.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::account::text_units;
use super::api::Api;
use crate::channels::channel::Account;
use crate::channels::message::Address;

/// Least time between two looks at a draft.
const SPACING: Duration = Duration::from_millis(300);
/// Drafts that are remembered; the oldest go.
const KEPT_MAX: usize = 64;
/// Least growth of a draft in blocks, in characters, unless configured.
const BLOCK_CHARS_MIN: u64 = 200;

/// See the module.
pub struct Drafts {
    shown: Mutex<Vec<Shown>>,
}

struct Shown {
    chat: String,
    id: i64,
    at: Instant,
    text: String,
    is_over: bool,
}

impl Drafts {
    /// Shows none.
    pub const fn new() -> Self {
        Self { shown: Mutex::new(Vec::new()) }
    }

    /// Returns whether an account shows drafts in such a chat.
    pub fn are_wanted(account: &Account, to: &Address, has_topics: bool) -> bool {
        let is_private = to.to.parse::<i64>().is_ok_and(|chat| chat > 0);
        is_private && to.thread.is_some() && has_topics && account.text("streamMode") != Some("off")
    }

    /// Shows a draft as far as it is; `false` when it cannot be shown any more.
    pub fn show(&self, api: &Api, account: &Account, to: &Address, message_id: &str, text: &str) -> bool {
        let id = message_id.trim().parse::<i64>().map_or(1, |id| id.abs().max(1));
        let text = text.trim_end();
        if text.encode_utf16().count() > text_units(account) {
            return false;
        }
        let grown = if account.text("streamMode") == Some("block") { block_chars(account) } else { 1 };
        match self.claim(&to.to, id, text, grown, Instant::now()) {
            Claim::Over => return false,
            Claim::NotNow => return true,
            Claim::Show => {}
        }
        let mut params = json!({"chat_id": to.to, "draft_id": id, "text": text});
        if let Some(thread) = to.thread.as_deref().and_then(|thread| thread.parse::<i64>().ok()) {
            params["message_thread_id"] = thread.into();
        }
        let shown = api.call_within::<Value>("sendMessageDraft", &params, Duration::from_secs(5));
        if let Err(error) = &shown {
            log::debug!(target: "gateway/channels/telegram", "draft ended: {error}");
            let mut all = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
            all.iter_mut().filter(|it| it.chat == to.to && it.id == id).for_each(|it| it.is_over = true);
        }
        shown.is_ok()
    }

    fn claim(&self, chat: &str, id: i64, text: &str, grown: usize, now: Instant) -> Claim {
        let mut all = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let place = all.iter().position(|it| it.chat == chat && it.id == id);
        let Some(shown) = place.map(|place| &mut all[place]) else {
            if text.chars().count() < grown {
                return Claim::NotNow;
            }
            if all.len() >= KEPT_MAX {
                all.remove(0);
            }
            all.push(Shown { chat: chat.to_owned(), id, at: now, text: text.to_owned(), is_over: false });
            return Claim::Show;
        };
        if shown.is_over {
            return Claim::Over;
        }
        let is_soon = now.saturating_duration_since(shown.at) < SPACING;
        let is_little = text.chars().count() < shown.text.chars().count() + grown && text.starts_with(&shown.text);
        if text.is_empty() || text == shown.text || is_soon || is_little {
            return Claim::NotNow;
        }
        (shown.at, shown.text) = (now, text.to_owned());
        Claim::Show
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Claim {
    Show,
    NotNow,
    Over,
}

fn block_chars(account: &Account) -> usize {
    let configured = account.settings.get("draftChunk").and_then(|chunk| chunk["minChars"].as_u64());
    usize::try_from(configured.unwrap_or(BLOCK_CHARS_MIN)).unwrap_or(usize::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drafts_are_spaced_and_grow() {
        let drafts = Drafts::new();
        let start = Instant::now();
        let check = |text: &str, ms: u64| drafts.claim("5", 7, text, 1, start + Duration::from_millis(ms));
        assert_eq!(check("a", 0), Claim::Show);
        assert_eq!(check("ab", 100), Claim::NotNow);
        assert_eq!(check("a", 400), Claim::NotNow);
        assert_eq!(check("abc", 400), Claim::Show);
        // A model that began anew.
        assert_eq!(check("x", 800), Claim::Show);
        let block = |text: &str, ms: u64| drafts.claim("5", 8, text, 5, start + Duration::from_millis(ms));
        assert_eq!(
            (block("four", 0), block("fives", 0), block("fives+", 900)),
            (Claim::NotNow, Claim::Show, Claim::NotNow)
        );
        assert_eq!(block("fives+more", 900), Claim::Show);
    }

    #[test]
    fn drafts_are_for_private_chats_with_topics() {
        let account = |mode: &str| Account {
            id: "default".into(),
            settings: json!({"streamMode": mode}).as_object().cloned().expect("object"),
        };
        let to = |chat: &str, thread: Option<&str>| Address { to: chat.into(), thread: thread.map(str::to_owned) };
        assert!(Drafts::are_wanted(&account("partial"), &to("5", Some("3")), true));
        assert!(!Drafts::are_wanted(&account("partial"), &to("5", None), true));
        assert!(!Drafts::are_wanted(&account("partial"), &to("-5", Some("3")), true));
        assert!(!Drafts::are_wanted(&account("partial"), &to("5", Some("3")), false));
        assert!(!Drafts::are_wanted(&account("off"), &to("5", Some("3")), true));
    }
}
