//! `auth-profiles.json` as it is: read whole, changed in place, written so that a crash leaves the old or the new one.
//!
//! The original reads and writes the same file, so what this version does not know is kept. Any thread that may touch
//! the disk; writers of all processes take turns. Not here: what the fields mean (`order`, `cooldown`).

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};

use super::copilot;
use crate::base::cancel::CancelToken;
use crate::base::fs::{self, Durability, read_text_capped};
use crate::base::secret::Secret;
use crate::base::text::unless_blank;

/// Largest file that is read.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Tries to get the lock, and the first wait between two.
const LOCK_TRIES_MAX: u32 = 10;
const LOCK_WAIT: Duration = Duration::from_millis(20);
/// After how long a lock of the original counts as left behind.
const LOCK_STALE: Duration = Duration::from_secs(30);

/// The content of the file.
#[derive(Clone, Default)]
pub struct Store(Map<String, Value>);

impl Store {
    /// Reads the file in an agent's directory; a missing one is empty. Where there is none, the older `auth.json` counts.
    ///
    /// # Errors
    /// When it cannot be read or is no JSON object.
    pub fn read(dir: &Path) -> io::Result<Self> {
        match read_object(&file(dir))? {
            Some(object) => Ok(Self(object)),
            None => Ok(read_object(&dir.join("auth.json"))?.map(from_legacy).unwrap_or_default()),
        }
    }

    /// Changes the file; nothing is written unless `change` says that something has changed.
    ///
    /// # Errors
    /// When the file cannot be read, written, or had for oneself.
    pub fn update<R>(dir: &Path, change: impl FnOnce(&mut Self) -> Option<R>) -> io::Result<Option<R>> {
        fs::create_dir_private(dir)?;
        let _lock = Lock::take(dir)?;
        let mut store = Self::read(dir)?;
        let Some(result) = change(&mut store) else { return Ok(None) };
        store.0.entry("version").or_insert(1.into());
        let mut text = serde_json::to_vec_pretty(&store.0)?;
        text.push(b'\n');
        fs::write_atomic(&file(dir), &text, fs::MODE_PRIVATE, Durability::Power)?;
        Ok(Some(result))
    }

    /// Yields the credentials that are objects, by id.
    pub fn profiles(&self) -> impl Iterator<Item = (&str, &Map<String, Value>)> {
        let profiles = self.0.get("profiles").and_then(Value::as_object).into_iter().flatten();
        profiles.filter_map(|(id, profile)| Some((id.as_str(), profile.as_object()?)))
    }

    /// Returns one credential.
    pub fn profile(&self, id: &str) -> Option<&Map<String, Value>> {
        self.0.get("profiles")?.get(id)?.as_object()
    }

    /// Stores a credential.
    pub fn put(&mut self, id: &str, profile: Value) {
        self.section("profiles").insert(id.to_owned(), profile);
    }

    /// Returns the order that was set for a provider.
    pub fn order(&self, provider: &str) -> Option<Vec<String>> {
        let order = self.0.get("order")?.as_object()?;
        let (_, ids) = order.iter().find(|(key, _)| super::normalize_provider(key) == provider)?;
        let ids: Vec<String> = ids
            .as_array()?
            .iter()
            .filter_map(|id| Some(id.as_str()?.trim().to_owned()).filter(|id| !id.is_empty()))
            .collect();
        (!ids.is_empty()).then_some(ids)
    }

    /// Sets the order of a provider, or takes it away.
    pub fn set_order(&mut self, provider: &str, ids: &[String]) {
        let order = self.section("order");
        order.retain(|key, _| super::normalize_provider(key) != provider);
        if !ids.is_empty() {
            order.insert(provider.to_owned(), json!(ids));
        }
        if order.is_empty() {
            self.0.remove("order");
        }
    }

    /// Returns what is known of a credential's use.
    pub fn stats(&self, id: &str) -> Map<String, Value> {
        self.0.get("usageStats").and_then(|all| all.get(id)?.as_object()).cloned().unwrap_or_default()
    }

    /// Stores what is known of a credential's use.
    pub fn set_stats(&mut self, id: &str, stats: Map<String, Value>) {
        self.section("usageStats").insert(id.to_owned(), Value::Object(stats));
    }

    /// Notes which credential of a provider worked last.
    pub fn set_last_good(&mut self, provider: &str, id: &str) {
        self.section("lastGood").insert(provider.to_owned(), id.into());
    }

    /// Returns which credential of a provider worked last.
    pub fn last_good(&self, provider: &str) -> Option<&str> {
        self.0.get("lastGood")?.get(provider)?.as_str()
    }

    /// Lays another store over this one: its credentials, orders and counters win.
    pub fn overlay(&mut self, over: &Self) {
        for name in ["profiles", "order", "lastGood", "usageStats"] {
            let entries = over.0.get(name).and_then(Value::as_object).cloned().unwrap_or_default();
            if !entries.is_empty() {
                self.section(name).extend(entries);
            }
        }
    }

    fn section(&mut self, name: &str) -> &mut Map<String, Value> {
        let value = self.0.entry(name).or_insert_with(|| json!({}));
        if !value.is_object() {
            *value = json!({});
        }
        value.as_object_mut().expect("an object since the line above")
    }
}

/// Returns the secret of a credential that is sent as a key; `None` when it has none or it has expired.
pub fn secret(profile: &Map<String, Value>, now_ms: u64) -> Option<Secret> {
    let text = |key: &str| profile.get(key).and_then(Value::as_str).and_then(unless_blank);
    let expires = profile.get("expires").and_then(Value::as_f64).filter(|at| *at > 0.0);
    let holds = expires.is_none_or(|at| (now_ms as f64) < at);
    let found = match text("type")? {
        "api_key" => text("key"),
        "token" => text("token").filter(|_| holds),
        // compat: the original's library keeps GitHub's token as what others are asked with.
        "oauth" if text("provider") == Some(copilot::PROVIDER) => text("refresh"),
        "oauth" => text("access").filter(|_| holds),
        _ => None,
    };
    found.map(Secret::new)
}

/// Returns the file of the credentials in that directory.
pub fn file(dir: &Path) -> PathBuf {
    dir.join("auth-profiles.json")
}

fn read_object(path: &Path) -> io::Result<Option<Map<String, Value>>> {
    let Some(text) = read_text_capped(path, FILE_BYTES_MAX)? else { return Ok(None) };
    // The error of the parser may quote what it found; only its place is told.
    let broken = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    match serde_json::from_str::<Value>(&text) {
        Ok(Value::Object(object)) => Ok(Some(object)),
        Ok(_) => Err(broken("the file is no JSON object".to_owned())),
        Err(error) => Err(broken(format!("no JSON at line {} column {}", error.line(), error.column()))),
    }
}

/// Reads the older file: one credential per provider.
fn from_legacy(old: Map<String, Value>) -> Store {
    let mut store = Store::default();
    for (provider, mut profile) in old {
        let is_one = matches!(profile["type"].as_str(), Some("api_key" | "token" | "oauth"));
        if let Some(fields) = profile.as_object_mut().filter(|_| is_one) {
            fields.entry("provider").or_insert_with(|| provider.as_str().into());
            store.put(&format!("{provider}:default"), profile);
        }
    }
    store
}

/// The right to write. Processes of this kind take turns by a kernel lock on the directory; the original makes a
/// directory beside the file.
struct Lock {
    _dir: File,
    theirs: PathBuf,
}

impl Lock {
    fn take(dir: &Path) -> io::Result<Self> {
        let file = File::open(dir)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => file.lock()?,
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let theirs = dir.join("auth-profiles.json.lock");
        for attempt in 0..LOCK_TRIES_MAX {
            match std::fs::create_dir(&theirs) {
                Ok(()) => return Ok(Self { _dir: file, theirs }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
            let made = std::fs::metadata(&theirs).and_then(|found| found.modified());
            let age = made.ok().and_then(|at| SystemTime::now().duration_since(at).ok());
            if age.is_some_and(|age| age > LOCK_STALE) {
                // Whoever left it is gone; should another be quicker to take it, the next try tells.
                let _ = std::fs::remove_dir(&theirs);
                continue;
            }
            CancelToken::new().sleep(LOCK_WAIT * 2_u32.pow(attempt.min(5)));
        }
        let what = format!("another program holds {}", theirs.display());
        Err(io::Error::new(io::ErrorKind::WouldBlock, what))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // If it is gone already, somebody thought it stale.
        let _ = std::fs::remove_dir(&self.theirs);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fs::testing::TempDir;

    #[test]
    fn changes_keep_what_is_unknown_and_nothing_is_readable_for_others() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = TempDir::new("auth-store");
        let text = r#"{"version": 1, "odd": [1], "profiles": {"p:a": {"type": "api_key", "provider": "p", "key": "k", "x": 2}}}"#;
        std::fs::write(file(dir.path()), text).expect("write");
        Store::update(dir.path(), |store| {
            store.set_stats("p:a", serde_json::from_value(json!({"lastUsed": 5})).expect("object"));
            store.set_last_good("p", "p:a");
            store.set_order("p", &["p:a".to_owned()]);
            Some(())
        })
        .expect("updated");
        let value: Value =
            serde_json::from_str(&std::fs::read_to_string(file(dir.path())).expect("file")).expect("JSON");
        assert_eq!((&value["odd"], &value["profiles"]["p:a"]["x"]), (&json!([1]), &json!(2)));
        assert_eq!((&value["usageStats"]["p:a"]["lastUsed"], &value["lastGood"]["p"]), (&json!(5), &json!("p:a")));
        assert_eq!(value["order"], json!({"p": ["p:a"]}));
        let mode = std::fs::metadata(file(dir.path())).expect("file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!dir.path().join("auth-profiles.json.lock").exists());

        std::fs::write(file(dir.path()), "{").expect("write");
        assert!(Store::update(dir.path(), |_| Some(())).is_err(), "what cannot be read is not written over");
        assert_eq!(std::fs::read_to_string(file(dir.path())).expect("file"), "{");
    }

    #[test]
    fn the_older_file_counts_until_there_is_a_newer() {
        let dir = TempDir::new("auth-legacy");
        std::fs::write(dir.path().join("auth.json"), r#"{"anthropic": {"type": "api_key", "key": "k"}}"#)
            .expect("write");
        let store = Store::read(dir.path()).expect("readable");
        let profile = store.profile("anthropic:default").expect("one");
        assert_eq!((profile["provider"].as_str(), secret(profile, 0)), (Some("anthropic"), Some(Secret::new("k"))));
    }

    #[test]
    fn expired_secrets_are_none() {
        for (profile, expected) in [
            (json!({"type": "token", "token": "t", "expires": 10}), None),
            (json!({"type": "token", "token": "t", "expires": 11}), Some("t")),
            (json!({"type": "oauth", "access": "a", "expires": 9}), None),
            (json!({"type": "oauth", "access": "a", "expires": 99}), Some("a")),
            (json!({"type": "api_key", "key": " k ", "expires": 1}), Some("k")),
            (json!({"type": "odd", "key": "k"}), None),
        ] {
            let profile = profile.as_object().expect("object");
            assert_eq!(secret(profile, 10).map(|it| it.expose().to_owned()).as_deref(), expected, "{profile:?}");
        }
    }
}
