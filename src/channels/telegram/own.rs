//! Which messages the bot sent, so that reactions to them can be told from others (channels.md §12.7, §12.9).
//!
//! Bounded: the oldest go. One leaf lock, any thread. Not here: what a reaction does.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a message counts.
const TTL: Duration = Duration::from_secs(24 * 3600);
/// How many are kept, over all chats.
const KEPT_MAX: usize = 5000;

/// See the module.
pub struct OwnMessages {
    /// Chat, message and when, oldest first.
    sent: Mutex<VecDeque<(i64, i64, Instant)>>,
}

impl OwnMessages {
    /// Knows none.
    pub const fn new() -> Self {
        Self { sent: Mutex::new(VecDeque::new()) }
    }

    /// Notes one.
    pub fn add(&self, chat: i64, message: i64, now: Instant) {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        while sent.len() >= KEPT_MAX || sent.front().is_some_and(|(_, _, at)| now.saturating_duration_since(*at) > TTL)
        {
            sent.pop_front();
        }
        sent.push_back((chat, message, now));
    }

    /// Returns whether the bot sent it, as far as is known.
    pub fn has(&self, chat: i64, message: i64) -> bool {
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.iter().any(|(its_chat, its, _)| (*its_chat, *its) == (chat, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go() {
        let own = OwnMessages::new();
        let start = Instant::now();
        (0..=KEPT_MAX as i64).for_each(|id| own.add(1, id, start));
        assert!(!own.has(1, 0) && own.has(1, 1) && own.has(1, KEPT_MAX as i64) && !own.has(2, 1));
        own.add(2, 5, start + TTL + Duration::from_secs(1));
        assert!(!own.has(1, 2) && own.has(2, 5));
    }
}
