//! `JsonStore<T>`: one value kept in one JSON file.
//!
//! Readers clone an `Arc<T>` snapshot and never wait for a write. A writer takes the store's write lock, changes a
//! copy, writes the file atomically, then swaps the snapshot: a failed write changes nothing. The write lock is the
//! only lock of the project held across I/O, and only writers wait for it. May be used from any thread.

use std::convert::Infallible;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use serde::{Serialize, de::DeserializeOwned};

use super::clock::{Clock as _, SystemClock};
use super::fs::{self, Durability};

/// Largest state file that is read, in bytes.
pub const STORE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// One value of type `T` and the file it lives in. A store without a path keeps it in memory only.
#[derive(Debug)]
pub struct JsonStore<T> {
    path: Option<PathBuf>,
    durability: Durability,
    snapshot: RwLock<Arc<T>>,
    write: Mutex<Writer>,
}

#[derive(Debug)]
struct Writer {
    closed: bool,
}

impl<T: Clone + Default + Serialize + DeserializeOwned> JsonStore<T> {
    /// Opens the store; a missing file is `T::default()`.
    ///
    /// A file that cannot be parsed is moved aside (`<file>.corrupt-<ms>`) and logged, so that nothing is lost and
    /// the product starts.
    ///
    /// # Errors
    /// I/O errors, and files over [`STORE_BYTES_MAX`].
    pub fn open(path: PathBuf, durability: Durability) -> io::Result<Self> {
        let value = load(&path)?;
        Ok(Self {
            path: Some(path),
            durability,
            snapshot: RwLock::new(Arc::new(value)),
            write: Mutex::new(Writer { closed: false }),
        })
    }

    /// Returns the current value.
    pub fn get(&self) -> Arc<T> {
        self.snapshot.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes a copy of the value, writes it, and makes it current; returns what `change` returned.
    ///
    /// # Errors
    /// The write's error, or `Other` once the store is closed; the value is then unchanged.
    pub fn update<R>(&self, change: impl FnOnce(&mut T) -> R) -> io::Result<R> {
        let result = self.try_update(|value| Ok::<R, Infallible>(change(value)))?;
        Ok(result.unwrap_or_else(|never| match never {}))
    }

    /// As [`JsonStore::update`], for a change that may be refused: then nothing is written.
    ///
    /// # Errors
    /// As [`JsonStore::update`]; within, what `change` refused with.
    pub fn try_update<R, E>(&self, change: impl FnOnce(&mut T) -> Result<R, E>) -> io::Result<Result<R, E>> {
        let writer = self.write.lock().unwrap_or_else(PoisonError::into_inner);
        if writer.closed {
            return Err(io::Error::other("store is closed"));
        }
        let mut value = T::clone(&self.get());
        let result = match change(&mut value) {
            Ok(result) => result,
            Err(refused) => return Ok(Err(refused)),
        };
        if let Some(path) = &self.path {
            let mut text = serde_json::to_vec_pretty(&value)?;
            text.push(b'\n');
            fs::write_atomic(path, &text, fs::MODE_PRIVATE, self.durability)?;
        }
        *self.snapshot.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
        Ok(Ok(result))
    }

    /// Refuses every later update, so that a job abandoned at a restart cannot write behind the new start's back.
    pub fn close(&self) {
        self.write.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
    }

    /// Returns the file's path; `None` for a store in memory.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }
}

fn load<T: Default + DeserializeOwned>(path: &Path) -> io::Result<T> {
    let Some(text) = fs::read_text_capped(path, STORE_BYTES_MAX)? else {
        return Ok(T::default());
    };
    match serde_json::from_str(&text) {
        Ok(value) => Ok(value),
        Err(error) => {
            let aside = fs::set_aside(path, SystemClock.now_ms())?;
            log::error!(
                target: "gateway",
                "state file {} could not be read ({error}); it was moved to {} and starts empty",
                path.display(), aside.display(),
            );
            Ok(T::default())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fs::testing::TempDir;
    use std::collections::BTreeMap;

    type Map = BTreeMap<String, u32>;

    #[test]
    fn updates_survive_reopening_and_failed_writes_change_nothing() {
        let dir = TempDir::new("store");
        let path = dir.path().join("s/map.json");
        let store = JsonStore::<Map>::open(path.clone(), Durability::Process).expect("open");
        store.update(|map| map.insert("a".into(), 1)).expect("update");
        let refused = store.try_update(|map| map.insert("a".into(), 2).map_or(Ok(()), Err)).expect("no write");
        assert_eq!((refused, store.get()["a"]), (Err(1), 1));
        assert_eq!(JsonStore::<Map>::open(path, Durability::Process).expect("open").get()["a"], 1);
        store.close();
        assert!(store.update(|map| map.insert("b".into(), 2)).is_err());
        assert!(!store.get().contains_key("b"));
    }

    #[test]
    fn a_corrupt_file_is_kept_aside() {
        let dir = TempDir::new("store-bad");
        let path = dir.path().join("map.json");
        std::fs::write(&path, "{oops").expect("write");
        let store = JsonStore::<Map>::open(path, Durability::Process).expect("open");
        assert!(store.get().is_empty());
        let kept = std::fs::read_dir(dir.path())
            .expect("dir")
            .filter_map(Result::ok)
            .any(|entry| entry.file_name().to_string_lossy().starts_with("map.json.corrupt-"));
        assert!(kept);
    }
}
