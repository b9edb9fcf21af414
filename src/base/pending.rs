//! `Pending<K, W>`: things awaited, each answered exactly once.
//!
//! A waiter is put in under a key with a deadline. Whoever takes the entry out (result, disconnect, timer, cancel) is
//! the one who answers it, so no answer can come twice. Runs on any thread, behind one leaf lock; it calls nobody.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// The table of waiters of one kind; several may wait under one key.
#[derive(Debug)]
pub struct Pending<K, W> {
    entries: Mutex<HashMap<K, Vec<Entry<W>>>>,
    count_max: usize,
}

#[derive(Debug)]
struct Entry<W> {
    serial: u64,
    deadline: Instant,
    waiter: W,
}

/// Names one waiter, to take exactly that one out at its deadline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingId<K> {
    key: K,
    serial: u64,
}

impl<K: Eq + Hash + Clone, W> Pending<K, W> {
    /// Returns an empty table that holds at most `count_max` waiters.
    pub fn new(count_max: usize) -> Self {
        Self { entries: Mutex::new(HashMap::new()), count_max }
    }

    /// Puts a waiter in.
    ///
    /// # Errors
    /// Gives the waiter back when the table is full.
    pub fn insert(&self, key: K, deadline: Instant, waiter: W) -> Result<PendingId<K>, W> {
        let mut entries = self.lock();
        let count: usize = entries.values().map(Vec::len).sum();
        if count >= self.count_max {
            return Err(waiter);
        }
        let list = entries.entry(key.clone()).or_default();
        let serial = list.last().map_or(0, |entry| entry.serial + 1);
        list.push(Entry { serial, deadline, waiter });
        Ok(PendingId { key, serial })
    }

    /// Takes every waiter of `key` out.
    pub fn take(&self, key: &K) -> Vec<W> {
        self.lock().remove(key).unwrap_or_default().into_iter().map(|entry| entry.waiter).collect()
    }

    /// Takes one waiter out; `None` when it was already answered.
    pub fn take_one(&self, id: &PendingId<K>) -> Option<W> {
        let mut entries = self.lock();
        let list = entries.get_mut(&id.key)?;
        let index = list.iter().position(|entry| entry.serial == id.serial)?;
        let waiter = list.remove(index).waiter;
        if list.is_empty() {
            entries.remove(&id.key);
        }
        Some(waiter)
    }

    /// Takes out everything whose deadline is at or before `now`.
    pub fn take_due(&self, now: Instant) -> Vec<(K, W)> {
        let mut due = Vec::new();
        self.lock().retain(|key, list| {
            let mut index = 0;
            while index < list.len() {
                if list[index].deadline <= now {
                    due.push((key.clone(), list.remove(index).waiter));
                } else {
                    index += 1;
                }
            }
            !list.is_empty()
        });
        due
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<K, Vec<Entry<W>>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn each_waiter_is_taken_once() {
        let now = Instant::now();
        let pending = Pending::new(3);
        let first = pending.insert("a", now + Duration::from_secs(1), 1).expect("room");
        pending.insert("a", now + Duration::from_secs(9), 2).expect("room");
        pending.insert("b", now + Duration::from_secs(9), 3).expect("room");
        assert_eq!(pending.insert("c", now, 4), Err(4));
        assert_eq!(pending.take_due(now + Duration::from_secs(1)), [("a", 1)]);
        assert_eq!(pending.take_one(&first), None);
        assert_eq!(pending.take(&"a"), [2]);
        assert_eq!(pending.take(&"a"), Vec::<i32>::new());
    }
}
