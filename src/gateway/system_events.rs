//! System events: lines that wait, per session, for that session's next prompt (agent.md §18).
//!
//! In memory, at most 20 per session, consecutive repetitions dropped. Runs on any worker, one leaf lock.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use crate::base::clock::UnixMs;
use crate::base::ids::SessionKey;

const EVENTS_MAX: usize = 20;
/// Sessions with waiting events; beyond it the one that was touched least recently loses its events.
const SESSIONS_MAX: usize = 1000;

/// One waiting line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemEvent {
    /// The line.
    pub text: String,
    /// When it came.
    pub ts: UnixMs,
}

/// The queues.
#[derive(Debug, Default)]
pub struct SystemEvents {
    queues: Mutex<HashMap<SessionKey, VecDeque<SystemEvent>>>,
}

impl SystemEvents {
    /// Queues a line; blank ones and repetitions of the last are dropped.
    pub fn push(&self, session: &SessionKey, text: &str, now_ms: UnixMs) {
        let text = text.trim();
        let mut queues = self.lock();
        if !queues.contains_key(session) && queues.len() >= SESSIONS_MAX {
            let stale =
                queues.iter().min_by_key(|(_, queue)| queue.back().map(|event| event.ts)).map(|(key, _)| key.clone());
            if let Some(stale) = stale {
                queues.remove(&stale);
            }
        }
        let queue = queues.entry(session.clone()).or_default();
        if text.is_empty() || queue.back().is_some_and(|last| last.text == text) {
            return;
        }
        if queue.len() >= EVENTS_MAX {
            queue.pop_front();
        }
        queue.push_back(SystemEvent { text: text.to_owned(), ts: now_ms });
    }

    /// Returns what waits.
    pub fn peek(&self, session: &SessionKey) -> Vec<String> {
        self.lock().get(session).map(|queue| queue.iter().map(|event| event.text.clone()).collect()).unwrap_or_default()
    }

    /// Takes what waits.
    pub fn drain(&self, session: &SessionKey) -> Vec<SystemEvent> {
        self.lock().remove(session).map(Vec::from).unwrap_or_default()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<SessionKey, VecDeque<SystemEvent>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_last_twenty_without_repetitions() {
        let events = SystemEvents::default();
        let key = SessionKey::new("agent:main:main");
        events.push(&key, "same", 1);
        events.push(&key, " same ", 2);
        for index in 0..25 {
            events.push(&key, &format!("event {index}"), 3);
        }
        let texts = events.peek(&key);
        assert_eq!((texts.len(), texts[0].as_str()), (20, "event 5"));
        assert_eq!(events.drain(&key).len(), 20);
        assert!(events.peek(&key).is_empty());
    }
}
