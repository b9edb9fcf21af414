//! Ids of messages that we sent lately: whose reactions concern us. In memory, bounded. Any worker, one leaf lock.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use crate::base::clock::UnixMs;

/// How long an id is remembered.
const TTL_MS: UnixMs = 24 * 60 * 60_000;
/// Ids per chat, and chats; beyond it the oldest go.
const IDS_MAX: usize = 100;
const CHATS_MAX: usize = 500;

/// See the module.
#[derive(Debug, Default)]
pub struct Sent(Mutex<HashMap<String, VecDeque<(String, UnixMs)>>>);

impl Sent {
    fn key(channel: &str, account: &str, chat: &str) -> String {
        format!("{channel}\n{account}\n{chat}")
    }

    /// Remembers a message of ours.
    pub fn note(&self, channel: &str, account: &str, chat: &str, message_id: &str, now_ms: UnixMs) {
        let mut chats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = Self::key(channel, account, chat);
        if !chats.contains_key(&key) && chats.len() >= CHATS_MAX {
            let oldest = chats.iter().min_by_key(|(_, ids)| ids.back().map(|(_, at)| *at));
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                chats.remove(&oldest);
            }
        }
        let ids = chats.entry(key).or_default();
        ids.push_back((message_id.to_owned(), now_ms));
        while ids.len() > IDS_MAX || ids.front().is_some_and(|(_, at)| now_ms.saturating_sub(*at) > TTL_MS) {
            ids.pop_front();
        }
    }

    /// Returns whether a message is ours.
    pub fn knows(&self, channel: &str, account: &str, chat: &str, message_id: &str) -> bool {
        let chats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ids = chats.get(&Self::key(channel, account, chat));
        ids.is_some_and(|ids| ids.iter().any(|(id, _)| id == message_id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_are_known_for_a_day() {
        let sent = Sent::default();
        sent.note("t", "d", "1", "a", 0);
        assert!(sent.knows("t", "d", "1", "a") && !sent.knows("t", "d", "2", "a"));
        sent.note("t", "d", "1", "b", TTL_MS + 1);
        assert!(!sent.knows("t", "d", "1", "a") && sent.knows("t", "d", "1", "b"));
        (0..CHATS_MAX).for_each(|chat| sent.note("t", "d", &format!("c{chat}"), "x", TTL_MS + 2));
        assert!(!sent.knows("t", "d", "1", "b"));
    }
}
