//! Who is at work for whom: workers that exist only while there is something to do, at most so many of each group.
//!
//! A worker that finds nothing leaves, unless something came while all were at work: the one lock that says so is what keeps
//! anything from being forgotten. Owns the counts and when a timer wakes a group; a group with neither is gone. Any thread,
//! one leaf lock. Not here: what the workers do (`chats::pump`, `deliveries`), the timer itself.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::base::clock::UnixMs;

/// The workers by group; one per start.
#[derive(Debug)]
pub struct Crew<K>(Mutex<State<K>>);

#[derive(Debug)]
struct State<K> {
    groups: HashMap<K, Group>,
    is_closed: bool,
}

#[derive(Debug, Default)]
struct Group {
    active: usize,
    /// Something came while all were at work.
    is_wanted: bool,
    /// When the timer wakes them.
    armed: Option<UnixMs>,
}

impl<K> Default for Crew<K> {
    fn default() -> Self {
        Self(Mutex::new(State { groups: HashMap::new(), is_closed: false }))
    }
}

impl<K: Eq + Hash + Clone> Crew<K> {
    /// Nobody joins any more.
    pub fn close(&self) {
        self.lock().is_closed = true;
    }

    /// Returns whether nobody joins any more.
    pub fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    /// Counts one more worker; `false`, and there must be none, when `max` are at work, of whom one will look again, or
    /// after [`Crew::close`].
    pub fn join(&self, key: &K, max: usize) -> bool {
        let mut state = self.lock();
        if state.is_closed {
            return false;
        }
        let group = state.groups.entry(key.clone()).or_default();
        if group.active >= max {
            group.is_wanted = true;
            return false;
        }
        group.active += 1;
        true
    }

    /// Lets a worker go that found nothing to do; `false`, and it must look again, when something came meanwhile.
    pub fn may_leave(&self, key: &K) -> bool {
        let mut state = self.lock();
        if state.groups.get_mut(key).is_some_and(|group| std::mem::take(&mut group.is_wanted)) {
            return false;
        }
        state.left(key);
        true
    }

    /// Lets a worker go that never worked, or cannot go on.
    pub fn leave(&self, key: &K) {
        self.lock().left(key);
    }

    /// Notes that a timer wakes the group then; `false`, and none is needed, when one does no later.
    pub fn arm(&self, key: &K, until: UnixMs) -> bool {
        let mut state = self.lock();
        let group = state.groups.entry(key.clone()).or_default();
        if group.armed.is_some_and(|armed| armed <= until) {
            return false;
        }
        group.armed = Some(until);
        true
    }

    /// Notes that the timer of then has gone off.
    pub fn due(&self, key: &K, until: UnixMs) {
        let mut state = self.lock();
        if let Some(group) = state.groups.get_mut(key).filter(|group| group.armed == Some(until)) {
            group.armed = None;
            state.tidy(key);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<K>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> State<K> {
    fn left(&mut self, key: &K) {
        if let Some(group) = self.groups.get_mut(key) {
            group.active = group.active.saturating_sub(1);
            self.tidy(key);
        }
    }

    fn tidy(&mut self, key: &K) {
        if self.groups.get(key).is_some_and(|group| group.active == 0 && group.armed.is_none()) {
            self.groups.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups<K>(crew: &Crew<K>) -> usize {
        crew.0.lock().expect("no panic").groups.len()
    }

    #[test]
    fn what_came_while_all_were_at_work_is_looked_after() {
        let crew = Crew::default();
        assert!(crew.join(&"a", 2) && crew.join(&"a", 2));
        assert!(crew.join(&"b", 2), "groups do not count for each other");
        assert!(!crew.join(&"a", 2), "two are enough");
        assert!(!crew.may_leave(&"a"), "one looks again");
        assert!(crew.may_leave(&"a"));
        assert!(crew.join(&"a", 2), "its place is free");
        assert!(crew.may_leave(&"a") && crew.may_leave(&"a") && crew.may_leave(&"b"));
        assert_eq!(groups(&crew), 0);
    }

    #[test]
    fn one_that_never_worked_gives_its_place_back() {
        let crew = Crew::default();
        assert!(crew.join(&(), 1) && !crew.join(&(), 1));
        crew.leave(&());
        assert_eq!(groups(&crew), 0);
        assert!(crew.join(&(), 1));
        assert!(crew.may_leave(&()), "what was wanted went with the group");
        crew.leave(&());
        assert!(crew.join(&(), 1), "one too many leaves nothing behind");
    }

    #[test]
    fn a_group_is_woken_at_the_soonest_of_its_times() {
        let crew = Crew::default();
        assert!(crew.join(&(), 1));
        assert!(crew.arm(&(), 50));
        assert!(!crew.arm(&(), 50) && !crew.arm(&(), 60), "it is woken anyway");
        assert!(crew.arm(&(), 40));
        assert!(crew.may_leave(&()));
        assert_eq!(groups(&crew), 1, "its timer runs");
        crew.due(&(), 50);
        assert!(!crew.arm(&(), 45), "the timer that was overtaken changes nothing");
        crew.due(&(), 40);
        assert_eq!(groups(&crew), 0);
        assert!(crew.arm(&(), 60));
    }

    #[test]
    fn nobody_joins_what_is_closed() {
        let crew = Crew::default();
        assert!(crew.join(&(), 2) && !crew.is_closed());
        crew.close();
        assert!(crew.is_closed() && !crew.join(&(), 2));
        assert!(crew.may_leave(&()));
        assert_eq!(groups(&crew), 0);
    }
}
