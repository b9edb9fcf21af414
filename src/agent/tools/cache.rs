//! Answers of the web that are kept for a while.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use crate::base::clock::UnixMs;

/// Most answers of one kind; the oldest goes.
const ANSWERS_MAX: usize = 100;

/// See the module.
#[derive(Default)]
pub struct Cache {
    answers: Mutex<VecDeque<(String, UnixMs, Value)>>,
}

impl Cache {
    /// Returns an answer that is younger than `ttl_ms`, marked as one that was kept.
    pub fn get(&self, key: &str, now_ms: UnixMs, ttl_ms: UnixMs) -> Option<Value> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, at_ms, answer) = answers.iter().find(|(other, _, _)| other == key)?;
        if now_ms.saturating_sub(*at_ms) >= ttl_ms {
            return None;
        }
        let mut answer = answer.clone();
        answer["cached"] = true.into();
        Some(answer)
    }

    /// Keeps an answer.
    pub fn put(&self, key: String, now_ms: UnixMs, answer: Value) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.retain(|(other, _, _)| *other != key);
        if answers.len() >= ANSWERS_MAX {
            answers.pop_front();
        }
        answers.push_back((key, now_ms, answer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn answers_grow_old_and_few() {
        let cache = Cache::default();
        for number in 0..=ANSWERS_MAX {
            cache.put(number.to_string(), 1000, json!({"n": number}));
        }
        assert_eq!(cache.get("0", 1000, 500), None);
        assert_eq!(cache.get("1", 1499, 500), Some(json!({"n": 1, "cached": true})));
        assert_eq!(cache.get("1", 1500, 500), None);
    }
}
