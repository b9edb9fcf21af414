//! `Requests<R>`: requests that wait for somebody's approval, kept in one file.
//!
//! Owns the file, a map of request ids to requests in the original's format. At most one request per subject (a device, a
//! node), none that is older than [`REQUEST_TTL_MS`], at most [`REQUESTS_MAX`] in all. Expired ones are never handed out
//! and leave the file with its next write. Runs on any thread; who decides over more than one call holds a lock of its
//! own. Not here: what approval means.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::clock::UnixMs;
use super::fs::Durability;
use super::store::JsonStore;

/// How long a request waits for approval.
pub const REQUEST_TTL_MS: UnixMs = 5 * 60_000;
/// Most requests of one kind that wait; the oldest give way.
pub const REQUESTS_MAX: usize = 100;

/// What is asked.
pub trait Request: Clone + Serialize + DeserializeOwned {
    /// Returns its id.
    fn request_id(&self) -> &str;
    /// Returns who asks.
    fn subject(&self) -> &str;
    /// Returns when it was asked.
    fn asked_at_ms(&self) -> UnixMs;
}

/// See the module.
#[derive(Debug)]
pub struct Requests<R> {
    store: JsonStore<BTreeMap<String, R>>,
}

impl<R: Request> Requests<R> {
    /// Opens the file.
    ///
    /// # Errors
    /// I/O errors.
    pub fn open(path: PathBuf) -> io::Result<Self> {
        Ok(Self { store: JsonStore::open(path, Durability::Power)? })
    }

    /// Returns what waits, newest first.
    pub fn list(&self, now_ms: UnixMs) -> Vec<R> {
        let mut waiting: Vec<R> =
            self.store.get().values().filter(|request| is_fresh(*request, now_ms)).cloned().collect();
        super::order::newest_first(&mut waiting, |request| request.asked_at_ms());
        waiting
    }

    /// Returns the request of this id.
    pub fn get(&self, request_id: &str, now_ms: UnixMs) -> Option<R> {
        self.store.get().get(request_id).filter(|request| is_fresh(*request, now_ms)).cloned()
    }

    /// Returns what this subject waits for.
    pub fn of(&self, subject: &str, now_ms: UnixMs) -> Option<R> {
        let waits = |request: &&R| request.subject() == subject && is_fresh(*request, now_ms);
        self.store.get().values().find(waits).cloned()
    }

    /// Adds a request whose subject has none.
    ///
    /// # Errors
    /// I/O errors; it was not added then.
    pub fn add(&self, request: R, now_ms: UnixMs) -> io::Result<()> {
        self.store.update(|waiting| {
            waiting.retain(|_, old| is_fresh(old, now_ms) && old.subject() != request.subject());
            while waiting.len() >= REQUESTS_MAX {
                let oldest = waiting.iter().min_by_key(|(_, old)| old.asked_at_ms()).map(|(id, _)| id.clone());
                let Some(oldest) = oldest else { break };
                waiting.remove(&oldest);
            }
            waiting.insert(request.request_id().to_owned(), request);
        })
    }

    /// Takes a request out; `None` when it does not wait, or no longer.
    ///
    /// # Errors
    /// I/O errors; it waits on then.
    pub fn take(&self, request_id: &str, now_ms: UnixMs) -> io::Result<Option<R>> {
        if self.get(request_id, now_ms).is_none() {
            return Ok(None);
        }
        self.store.update(|waiting| {
            waiting.retain(|_, request| is_fresh(request, now_ms));
            waiting.remove(request_id)
        })
    }

    /// Refuses every later write.
    pub fn close(&self) {
        self.store.close();
    }
}

/// A time that lies in the future by as much is no less stale: a clock was set back.
fn is_fresh(request: &impl Request, now_ms: UnixMs) -> bool {
    now_ms.abs_diff(request.asked_at_ms()) <= REQUEST_TTL_MS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fs::testing::TempDir;
    use serde::Deserialize;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Ask(String, String, UnixMs);

    impl Request for Ask {
        fn request_id(&self) -> &str {
            &self.0
        }
        fn subject(&self) -> &str {
            &self.1
        }
        fn asked_at_ms(&self) -> UnixMs {
            self.2
        }
    }

    fn ask(id: &str, subject: &str, at: UnixMs) -> Ask {
        Ask(id.into(), subject.into(), at)
    }

    #[test]
    fn requests_expire_and_are_taken_once() {
        let dir = TempDir::new("requests");
        let path = dir.path().join("pending.json");
        let requests = Requests::open(path.clone()).expect("open");
        requests.add(ask("1", "a", 1000), 1000).expect("add");
        requests.add(ask("2", "b", 2000), 2000).expect("add");
        assert_eq!(requests.list(2000), [ask("2", "b", 2000), ask("1", "a", 1000)]);
        assert_eq!(requests.of("a", 1000 + REQUEST_TTL_MS), Some(ask("1", "a", 1000)));
        let late = 1001 + REQUEST_TTL_MS;
        assert_eq!((requests.of("a", late), requests.get("1", late)), (None, None));
        assert_eq!(requests.take("1", late).expect("take"), None);
        assert_eq!(Requests::<Ask>::open(path.clone()).expect("open").list(late), [ask("2", "b", 2000)]);
        assert_eq!(requests.take("2", late).expect("take"), Some(ask("2", "b", 2000)));
        assert_eq!(requests.take("2", late).expect("take"), None);
        assert!(!std::fs::read_to_string(path).expect("file").contains('1'), "the expired one is gone too");
    }

    #[test]
    fn a_full_table_forgets_its_oldest() {
        let dir = TempDir::new("requests-full");
        let requests = Requests::open(dir.path().join("pending.json")).expect("open");
        for index in 0..=REQUESTS_MAX as u64 {
            requests.add(ask(&format!("r{index}"), &format!("s{index}"), 1000 + index), 2000).expect("add");
        }
        let waiting = requests.list(2000);
        assert_eq!((waiting.len(), waiting.last()), (REQUESTS_MAX, Some(&ask("r1", "s1", 1001))));
    }
}
