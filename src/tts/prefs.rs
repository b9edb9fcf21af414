//! The preferences of speech: `{tts: {auto?, provider?, maxLength?, summarize?}}`, in the original's file.
//!
//! The configuration may move the file while the gateway runs, so the store is opened where it is asked for; the last one
//! stays open. What nobody here knows is kept.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};

use super::{Auto, Provider};
use crate::base::fs::Durability;
use crate::base::store::JsonStore;
use crate::config::tree;

/// The whole file.
pub(super) type File = Map<String, Value>;
/// The file's store.
pub(super) type Store = JsonStore<File>;

/// The store that was asked for last.
#[derive(Default)]
pub(super) struct Prefs(Mutex<Option<Arc<Store>>>);

impl Prefs {
    /// Returns the store of the file at `path`.
    pub(super) fn at(&self, path: &Path) -> io::Result<Arc<Store>> {
        if let Some(store) = self.opened(path) {
            return Ok(store);
        }
        // Outside the lock; whoever comes first is taken by all, because two stores would overwrite each other.
        let store = Arc::new(JsonStore::open(path.to_owned(), Durability::Process)?);
        let mut last = self.lock();
        match last.as_ref().filter(|last| last.path() == Some(path)) {
            Some(first) => Ok(first.clone()),
            None => Ok(last.insert(store).clone()),
        }
    }

    /// Refuses later changes of the file in use.
    pub(super) fn close(&self) {
        // Taken out of the lock first: closing takes the store's own.
        let last = self.lock().clone();
        if let Some(store) = last {
            store.close();
        }
    }

    fn opened(&self, path: &Path) -> Option<Arc<Store>> {
        self.lock().as_ref().filter(|last| last.path() == Some(path)).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Arc<Store>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the preferred mode, if there is one.
pub(super) fn auto(file: &File) -> Option<Auto> {
    let tts = file.get("tts")?;
    let named = tts.get("auto").and_then(Value::as_str).and_then(Auto::parse);
    // An older form of the file.
    let switched = || tts.get("enabled").and_then(Value::as_bool).map(|on| if on { Auto::Always } else { Auto::Off });
    named.or_else(switched)
}

/// Returns the preferred provider, if there is one.
pub(super) fn provider(file: &File) -> Option<Provider> {
    file.get("tts")?.get("provider").and_then(Value::as_str).and_then(Provider::parse)
}

/// Returns the preferred length of spoken answers, in characters.
pub(super) fn chars_max(file: &File) -> Option<usize> {
    usize::try_from(file.get("tts")?.get("maxLength")?.as_u64()?).ok()
}

/// Returns whether longer ones are to be shortened.
pub(super) fn shortens(file: &File) -> Option<bool> {
    file.get("tts")?.get("summarize")?.as_bool()
}

pub(super) fn set_auto(file: &mut File, auto: Auto) {
    change(file, |tts| {
        tts.shift_remove("enabled");
        tts.insert("auto".to_owned(), auto.as_str().into());
    });
}

/// Sets one preference.
pub(super) fn set(file: &mut File, name: &str, value: Value) {
    change(file, |tts| {
        tts.insert(name.to_owned(), value);
    });
}

fn change(file: &mut File, change: impl FnOnce(&mut File)) {
    let mut whole = Value::Object(std::mem::take(file));
    change(tree::object_mut(&mut whole, &["tts"]));
    if let Value::Object(whole) = whole {
        *file = whole;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fs::testing::TempDir;
    use serde_json::json;

    #[test]
    fn changes_keep_the_rest() {
        let dir = TempDir::new("tts-prefs");
        let path = dir.path().join("tts.json");
        std::fs::write(&path, r#"{"a": 1, "tts": {"enabled": false, "maxLength": 9}}"#).expect("write");
        let prefs = Prefs::default();
        let store = prefs.at(&path).expect("open");
        assert_eq!(auto(&store.get()), Some(Auto::Off));
        store.update(|file| set_auto(file, Auto::Always)).expect("update");
        store.update(|file| set(file, "provider", Provider::ElevenLabs.as_str().into())).expect("update");
        let expected = json!({"a": 1, "tts": {"maxLength": 9, "auto": "always", "provider": "elevenlabs"}});
        let text = std::fs::read_to_string(&path).expect("read");
        assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON"), expected);
        assert!(Arc::ptr_eq(&store, &prefs.at(&path).expect("open")));
        let other = prefs.at(&dir.path().join("other.json")).expect("open");
        assert_eq!((auto(&other.get()), provider(&other.get())), (None, None));
    }
}
