//! What was said in groups since they were last answered: the model gets it with the next message that is meant for it.
//!
//! In memory, per group, bounded. Any worker, one leaf lock.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::base::clock::UnixMs;

/// Groups that are remembered; beyond it the one that was silent longest is forgotten.
const GROUPS_MAX: usize = 500;
/// Messages of one group, whatever is configured.
pub const ENTRIES_MAX: usize = 500;
/// Characters of one of them.
const BODY_CHARS_MAX: usize = 4000;

/// One message that nobody answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Who, as the envelope has it.
    pub sender: String,
    /// What.
    pub body: String,
    /// When.
    pub at: UnixMs,
    /// Its id.
    pub message_id: String,
}

/// See the module.
#[derive(Debug, Default)]
pub struct History(Mutex<HashMap<String, VecDeque<Entry>>>);

impl History {
    /// Remembers a message; `limit` 0 remembers nothing.
    pub fn push(&self, group: &str, mut entry: Entry, limit: usize) {
        if limit == 0 {
            return;
        }
        if let Some((end, _)) = entry.body.char_indices().nth(BODY_CHARS_MAX) {
            entry.body.truncate(end);
        }
        let mut groups = self.lock();
        if !groups.contains_key(group) && groups.len() >= GROUPS_MAX {
            let oldest = groups.iter().min_by_key(|(_, entries)| entries.back().map(|last| last.at));
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                groups.remove(&oldest);
            }
        }
        let entries = groups.entry(group.to_owned()).or_default();
        entries.push_back(entry);
        while entries.len() > limit.min(ENTRIES_MAX) {
            entries.pop_front();
        }
    }

    /// Returns what is remembered of a group.
    pub fn of(&self, group: &str) -> Vec<Entry> {
        self.lock().get(group).map(|entries| entries.iter().cloned().collect()).unwrap_or_default()
    }

    /// Forgets a group's messages: they were told.
    pub fn clear(&self, group: &str) {
        self.lock().remove(group);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, VecDeque<Entry>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_remembered() {
        let history = History::default();
        let entry = |id: u64| Entry { sender: "a".into(), body: "b".repeat(5000), at: id, message_id: id.to_string() };
        (0..5).for_each(|id| history.push("g", entry(id), 3));
        history.push("off", entry(1), 0);
        let ids: Vec<String> = history.of("g").into_iter().map(|entry| entry.message_id).collect();
        assert_eq!(ids, ["2", "3", "4"]);
        assert_eq!(history.of("g")[0].body.len(), BODY_CHARS_MAX);
        history.clear("g");
        assert!(history.of("g").is_empty() && history.of("off").is_empty());
        (0..GROUPS_MAX as u64 + 1).for_each(|id| history.push(&id.to_string(), entry(id), 1));
        assert!(history.of("0").is_empty() && history.of("1").len() == 1);
    }
}
