//! Results by idempotency key: a repeated request gets the first one's result and has no second effect.
//!
//! In memory, for five minutes and at most 1000 entries, as the original keeps them. Runs on any worker, one leaf lock.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::ticket::Outcome;
use crate::base::clock::UnixMs;

const TTL_MS: UnixMs = 300_000;
const ENTRIES_MAX: usize = 1000;

/// The cache; keys are `<class>:<idempotencyKey>`.
#[derive(Debug, Default)]
pub struct Dedupe {
    entries: Mutex<HashMap<String, (Outcome, UnixMs)>>,
}

impl Dedupe {
    /// Returns the stored result, or stores `first` for this key and returns `None`: one step, so that of two equal
    /// requests only one runs.
    pub fn get_or_begin(&self, key: &str, first: impl FnOnce() -> Outcome, now_ms: UnixMs) -> Option<Outcome> {
        let mut entries = self.lock();
        if let Some((outcome, _)) = entries.get(key) {
            return Some(outcome.clone());
        }
        entries.insert(key.to_owned(), (first(), now_ms));
        None
    }

    /// Returns the stored result.
    pub fn get(&self, key: &str) -> Option<Outcome> {
        self.lock().get(key).map(|(outcome, _)| outcome.clone())
    }

    /// Stores a result.
    pub fn put(&self, key: &str, outcome: Outcome, now_ms: UnixMs) {
        self.lock().insert(key.to_owned(), (outcome, now_ms));
    }

    /// Drops what is old, and the oldest beyond the limit. Called every minute.
    pub fn sweep(&self, now_ms: UnixMs) {
        let mut entries = self.lock();
        entries.retain(|_, (_, at)| now_ms.saturating_sub(*at) <= TTL_MS);
        if entries.len() > ENTRIES_MAX {
            let mut ages: Vec<UnixMs> = entries.values().map(|(_, at)| *at).collect();
            ages.sort_unstable();
            let oldest_kept = ages[ages.len() - ENTRIES_MAX];
            entries.retain(|_, (_, at)| *at >= oldest_kept);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, (Outcome, UnixMs)>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
