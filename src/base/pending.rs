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
    table: Mutex<Table<K, W>>,
    count_max: usize,
}

#[derive(Debug)]
struct Table<K, W> {
    entries: HashMap<K, Vec<Entry<W>>>,
    /// Counts over all keys: a late timer of a key that is used again must not name its new waiter.
    next_serial: u64,
    is_closed: bool,
}

#[derive(Debug)]
struct Entry<W> {
    serial: u64,
    deadline: Instant,
    waiter: W,
}

/// Why a waiter was not put in; it is given back.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused<W> {
    /// Somebody waits under this key already.
    Taken(W),
    /// The table is full, or closed.
    Full(W),
}

/// Names one waiter, to take exactly that one out at its deadline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingId<K> {
    key: K,
    serial: u64,
}

impl<K> PendingId<K> {
    /// Returns the key under which it waits.
    pub fn key(&self) -> &K {
        &self.key
    }
}

impl<K: Eq + Hash + Clone, W> Pending<K, W> {
    /// Returns an empty table that holds at most `count_max` waiters.
    pub fn new(count_max: usize) -> Self {
        let table = Table { entries: HashMap::new(), next_serial: 0, is_closed: false };
        Self { table: Mutex::new(table), count_max }
    }

    /// Puts a waiter in.
    ///
    /// # Errors
    /// Gives the waiter back when the table is full.
    pub fn insert(&self, key: K, deadline: Instant, waiter: W) -> Result<PendingId<K>, W> {
        self.lock().insert(self.count_max, key, deadline, waiter)
    }

    /// Puts a waiter in unless one waits under its key.
    ///
    /// # Errors
    /// [`Refused`] says why not.
    pub fn insert_only(&self, key: K, deadline: Instant, waiter: W) -> Result<PendingId<K>, Refused<W>> {
        let mut table = self.lock();
        if table.entries.contains_key(&key) {
            return Err(Refused::Taken(waiter));
        }
        table.insert(self.count_max, key, deadline, waiter).map_err(Refused::Full)
    }

    /// Takes every waiter of `key` out.
    pub fn take(&self, key: &K) -> Vec<W> {
        self.lock().entries.remove(key).unwrap_or_default().into_iter().map(|entry| entry.waiter).collect()
    }

    /// Takes one waiter out; `None` when it was already answered.
    pub fn take_one(&self, id: &PendingId<K>) -> Option<W> {
        let mut table = self.lock();
        let list = table.entries.get_mut(&id.key)?;
        let index = list.iter().position(|entry| entry.serial == id.serial)?;
        let waiter = list.remove(index).waiter;
        if list.is_empty() {
            table.entries.remove(&id.key);
        }
        Some(waiter)
    }

    /// Takes out everything whose deadline is at or before `now`.
    pub fn take_due(&self, now: Instant) -> Vec<(K, W)> {
        self.take_entries(|entry| entry.deadline <= now)
    }

    /// Takes out every waiter that `is_wanted` names.
    pub fn take_where(&self, is_wanted: impl Fn(&W) -> bool) -> Vec<(K, W)> {
        self.take_entries(|entry| is_wanted(&entry.waiter))
    }

    /// Takes everything out and refuses what comes later.
    pub fn close(&self) -> Vec<(K, W)> {
        self.lock().is_closed = true;
        self.take_entries(|_| true)
    }

    fn take_entries(&self, is_wanted: impl Fn(&Entry<W>) -> bool) -> Vec<(K, W)> {
        let mut taken = Vec::new();
        self.lock().entries.retain(|key, list| {
            taken.extend(list.extract_if(.., |entry| is_wanted(entry)).map(|entry| (key.clone(), entry.waiter)));
            !list.is_empty()
        });
        taken
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Table<K, W>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash + Clone, W> Table<K, W> {
    fn insert(&mut self, count_max: usize, key: K, deadline: Instant, waiter: W) -> Result<PendingId<K>, W> {
        let count: usize = self.entries.values().map(Vec::len).sum();
        if self.is_closed || count >= count_max {
            return Err(waiter);
        }
        let serial = self.next_serial;
        self.next_serial += 1;
        self.entries.entry(key.clone()).or_default().push(Entry { serial, deadline, waiter });
        Ok(PendingId { key, serial })
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

    #[test]
    fn a_late_timer_does_not_name_the_next_waiter_of_its_key() {
        let at = Instant::now();
        let pending = Pending::new(2);
        let first = pending.insert_only("a", at, 1).expect("room");
        assert_eq!(pending.insert_only("a", at, 2), Err(Refused::Taken(2)));
        assert_eq!(pending.take(&"a"), [1]);
        pending.insert_only("a", at, 3).expect("free again");
        assert_eq!(pending.take_one(&first), None);
        pending.insert_only("b", at, 4).expect("room");
        assert_eq!(pending.insert_only("c", at, 5), Err(Refused::Full(5)));
        assert_eq!(pending.take_where(|waiter| *waiter == 4), [("b", 4)]);
        assert_eq!(pending.close(), [("a", 3)]);
        assert_eq!(pending.insert("a", at, 6), Err(6));
    }

    /// Whatever happens in whatever order: no waiter is taken twice or lost, and the table keeps to its bound.
    #[test]
    fn random_use_loses_nobody() {
        const COUNT_MAX: usize = 8;
        for seed in crate::base::rng::testing::seeds(256) {
            let rng = crate::base::rng::SeededRng::new(seed);
            let start = Instant::now();
            let pending = Pending::new(COUNT_MAX);
            let (mut ids, mut inside, mut taken) = (Vec::new(), Vec::new(), Vec::new());
            for step in 0..200_u64 {
                let key = rng.below(4);
                let found: Vec<u64> = match rng.below(7) {
                    0 => pending.take(&key),
                    1 => pending.take_due(start + Duration::from_secs(step / 2)).into_iter().map(|due| due.1).collect(),
                    2 if !ids.is_empty() => {
                        let index = usize::try_from(rng.below(ids.len() as u64)).expect("small");
                        pending.take_one(&ids[index]).into_iter().collect()
                    }
                    3 => pending.take_where(|waiter| waiter % 5 == key).into_iter().map(|found| found.1).collect(),
                    4 => match pending.insert_only(key, start + Duration::from_secs(step + rng.below(9)), step) {
                        Ok(id) => {
                            ids.push(id);
                            inside.push(step);
                            Vec::new()
                        }
                        Err(Refused::Taken(waiter) | Refused::Full(waiter)) => {
                            assert_eq!(waiter, step, "SIM_SEED={seed}: it is given back");
                            Vec::new()
                        }
                    },
                    _ => match pending.insert(key, start + Duration::from_secs(step + rng.below(9)), step) {
                        Ok(id) => {
                            ids.push(id);
                            inside.push(step);
                            Vec::new()
                        }
                        Err(waiter) => {
                            assert!(waiter == step && inside.len() >= COUNT_MAX, "SIM_SEED={seed}");
                            Vec::new()
                        }
                    },
                };
                for waiter in found {
                    let index = inside.iter().position(|other| *other == waiter);
                    inside.remove(index.unwrap_or_else(|| panic!("SIM_SEED={seed}: {waiter} was taken twice")));
                    taken.push(waiter);
                }
                assert!(inside.len() <= COUNT_MAX, "SIM_SEED={seed}");
            }
            let mut rest: Vec<u64> = pending.close().into_iter().map(|left| left.1).collect();
            rest.sort_unstable();
            inside.sort_unstable();
            assert_eq!(rest, inside, "SIM_SEED={seed}: who was not taken is still there");
        }
    }
}
