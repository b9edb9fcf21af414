//! Who asked to be let in, and who was: the two files per channel that the original keeps beside its credentials
//! (channels.md §3).
//!
//! A stranger gets a code, at most three strangers of a channel at a time; the owner approves it. The command line writes
//! these files as the gateway does, so every change reads them afresh under the lock directory that the original's library
//! uses. Any thread; may block for the lock. Not here: who is asked for a code (`access`).

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::base::cancel::CancelToken;
use crate::base::clock::{UnixMs, iso_utc, parse_iso};
use crate::base::fs::{Durability, MODE_PRIVATE, create_dir_private, read_text_capped, write_atomic};
use crate::base::order;
use crate::base::rng::Rng;
use crate::base::text::text_of;
use crate::config::paths::Paths;

/// Letters of codes: none that look alike.
const ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
const CODE_LEN: usize = 8;
/// How long a request waits.
const TTL_MS: UnixMs = 60 * 60_000;
/// Requests of a channel at a time.
const PENDING_MAX: usize = 3;
/// Largest file that is read.
const BYTES_MAX: u64 = 1024 * 1024;
/// When a lock counts as left behind, how long it is waited for, and how often one looks.
const LOCK_STALE: Duration = Duration::from_secs(30);
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
const LOCK_STEP: Duration = Duration::from_millis(50);

/// Somebody who wants to be let in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// Id in the network.
    pub id: String,
    /// What the owner types.
    pub code: String,
    /// When it was asked first.
    pub created_at: String,
    /// When last.
    pub last_seen_at: String,
    /// Name, handle and the like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meta: Option<BTreeMap<String, String>>,
}

/// The files of one channel.
pub struct Store {
    requests: PathBuf,
    allowed: PathBuf,
}

impl Store {
    /// Returns the store of a channel; characters that file names cannot have are replaced.
    pub fn new(paths: &Paths, env: &dyn Fn(&str) -> Option<String>, channel: &str) -> Self {
        let dir = paths.credentials_dir(env);
        let unsafe_chars = ['\\', '/', ':', '*', '?', '"', '<', '>', '|'];
        let name = channel.trim().to_lowercase().replace(unsafe_chars, "_").replace("..", "_");
        Self { requests: dir.join(format!("{name}-pairing.json")), allowed: dir.join(format!("{name}-allowFrom.json")) }
    }

    /// Returns who was let in; a file that cannot be read lets nobody in.
    pub fn allowed(&self) -> Vec<String> {
        self.read_allowed().unwrap_or_else(|error| {
            log::warn!(target: "gateway/channels", "cannot read {}: {error}", self.allowed.display());
            Vec::new()
        })
    }

    fn read_allowed(&self) -> io::Result<Vec<String>> {
        let Some(text) = read_text_capped(&self.allowed, BYTES_MAX)? else { return Ok(Vec::new()) };
        let file: Value = serde_json::from_str(&text).map_err(|error| {
            io::Error::new(io::ErrorKind::InvalidData, format!("it is not JSON ({error}); mend it or remove it"))
        })?;
        let entries = file["allowFrom"].as_array().into_iter().flatten();
        let entries = entries.map(text_of);
        Ok(entries.map(|entry| entry.trim().to_owned()).filter(|entry| !entry.is_empty() && entry != "*").collect())
    }

    /// Notes that somebody wants to be let in. Returns the code when the request is new, and `None` when it waits already
    /// or too many do.
    ///
    /// # Errors
    /// Any I/O error, and a lock that is not given up.
    pub fn ask(
        &self,
        id: &str,
        meta: &BTreeMap<String, String>,
        now_ms: UnixMs,
        rng: &dyn Rng,
    ) -> io::Result<Option<String>> {
        let meta: BTreeMap<String, String> = meta
            .iter()
            .map(|(key, value)| (key.clone(), value.trim().to_owned()))
            .filter(|(_, value)| !value.is_empty())
            .collect();
        let meta = (!meta.is_empty()).then_some(meta);
        self.change(now_ms, |requests| {
            let now = iso_utc(now_ms);
            if let Some(known) = requests.iter_mut().find(|request| request.id == id) {
                known.last_seen_at = now;
                known.meta = meta.or(known.meta.take());
                return None;
            }
            if requests.len() >= PENDING_MAX {
                return None;
            }
            let is_free = |code: &String| !requests.iter().any(|request| request.code.eq_ignore_ascii_case(code));
            let code = std::iter::repeat_with(|| new_code(rng)).find(is_free)?;
            let (created_at, last_seen_at) = (now.clone(), now);
            requests.push(Request { id: id.to_owned(), code: code.clone(), created_at, last_seen_at, meta });
            Some(code)
        })
    }

    /// Returns who waits, oldest first.
    ///
    /// # Errors
    /// As [`Store::ask`].
    pub fn waiting(&self, now_ms: UnixMs) -> io::Result<Vec<Request>> {
        let mut waiting = self.change(now_ms, |requests| requests.clone())?;
        order::by_text(&mut waiting, |request| &request.created_at);
        Ok(waiting)
    }

    /// Lets the one with this code in, under the id that `spell` makes of it; `None` when nobody waits with it.
    ///
    /// # Errors
    /// As [`Store::ask`], and a list of those who were let in that cannot be read: it must not be lost. The request waits on.
    pub fn approve(&self, code: &str, now_ms: UnixMs, spell: impl Fn(&str) -> String) -> io::Result<Option<Request>> {
        let code = code.trim();
        self.change(now_ms, |requests| {
            let found = requests.iter().position(|request| request.code.eq_ignore_ascii_case(code));
            let Some(index) = found else { return Ok(None) };
            // First let in, then forgotten: whatever fails in between, the owner can approve again.
            self.let_in(spell(&requests[index].id))?;
            Ok(Some(requests.remove(index)))
        })?
    }

    fn let_in(&self, entry: String) -> io::Result<()> {
        let _lock = Lock::take(&self.allowed)?;
        let mut allowed = self.read_allowed().map_err(|error| {
            io::Error::new(error.kind(), format!("cannot read {}: {error}", self.allowed.display()))
        })?;
        if !entry.is_empty() && !allowed.contains(&entry) {
            allowed.push(entry);
            write(&self.allowed, &json!({"version": 1, "allowFrom": allowed}))?;
        }
        Ok(())
    }

    /// Reads, forgets what is over, changes and writes the requests.
    fn change<R>(&self, now_ms: UnixMs, change: impl FnOnce(&mut Vec<Request>) -> R) -> io::Result<R> {
        let _lock = Lock::take(&self.requests)?;
        let file = read(&self.requests)?;
        let rows = file["requests"].as_array().cloned().unwrap_or_default();
        let mut requests: Vec<Request> = rows.into_iter().filter_map(|row| serde_json::from_value(row).ok()).collect();
        requests.retain(|request: &Request| {
            parse_iso(&request.created_at).is_some_and(|created| now_ms.saturating_sub(created) <= TTL_MS)
        });
        let excess = requests.len().saturating_sub(PENDING_MAX);
        if excess > 0 {
            order::by_text(&mut requests, |request| &request.last_seen_at);
            requests.drain(..excess);
        }
        let result = change(&mut requests);
        let changed = json!({"version": 1, "requests": requests});
        if changed != file {
            write(&self.requests, &changed)?;
        }
        Ok(result)
    }
}

fn new_code(rng: &dyn Rng) -> String {
    let mut bytes = [0; CODE_LEN];
    rng.fill(&mut bytes);
    bytes.iter().map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()])).collect()
}

/// Returns the file; `null` when it is missing or no JSON.
fn read(path: &Path) -> io::Result<Value> {
    let text = read_text_capped(path, BYTES_MAX)?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
}

fn write(path: &Path, value: &Value) -> io::Result<()> {
    write_atomic(path, format!("{value:#}\n").as_bytes(), MODE_PRIVATE, Durability::Power)
}

/// The lock directory beside a file; gone when dropped.
struct Lock(PathBuf);

impl Lock {
    fn take(file: &Path) -> io::Result<Self> {
        if let Some(parent) = file.parent() {
            create_dir_private(parent)?;
        }
        let mut name = file.as_os_str().to_owned();
        name.push(".lock");
        let path = PathBuf::from(name);
        let patience = CancelToken::new();
        patience.set_deadline(std::time::Instant::now() + LOCK_PATIENCE);
        loop {
            match std::fs::create_dir(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                Err(_) => {}
            }
            let modified = std::fs::metadata(&path).and_then(|meta| meta.modified()).ok();
            let is_stale = modified.and_then(|at| at.elapsed().ok()).is_some_and(|age| age > LOCK_STALE);
            // Whoever loses this race, or may not remove it, waits as for any other lock.
            if is_stale && std::fs::remove_dir(&path).is_ok() {
                continue;
            }
            if !patience.sleep(LOCK_STEP) {
                let text = format!("{} is locked by another program", path.display());
                return Err(io::Error::new(io::ErrorKind::WouldBlock, text));
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir(&self.0) {
            log::warn!(target: "gateway/channels", "cannot remove {}: {error}", self.0.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fs::testing::TempDir;
    use crate::base::rng::SeededRng;

    #[test]
    fn codes_wait_and_are_approved() {
        let dir = TempDir::new("pairing");
        let home = dir.path().display().to_string();
        let paths = Paths::resolve(|name| (name == "HOME").then(|| home.clone()));
        let store = Store::new(&paths, &|_| None, "telegram");
        let (rng, now) = (SeededRng::new(1), 1_795_353_648_869);
        let meta = BTreeMap::from([("username".to_owned(), "ada".to_owned()), ("lastName".to_owned(), " ".to_owned())]);
        let code = store.ask("42", &meta, now, &rng).expect("ask").expect("new");
        assert!(code.len() == 8 && code.bytes().all(|byte| ALPHABET.contains(&byte)), "{code}");
        assert_eq!(store.ask("42", &meta, now + 5, &rng).expect("ask"), None, "it waits already");
        for id in ["1", "2", "3"] {
            store.ask(id, &BTreeMap::new(), now + 10, &rng).expect("ask");
        }
        let waiting = store.waiting(now + 20).expect("read");
        assert_eq!(waiting.iter().map(|it| it.id.as_str()).collect::<Vec<_>>(), ["42", "1", "2"], "three at a time");
        assert_eq!(waiting[0].meta.as_ref().map(|meta| meta.len()), Some(1));
        assert_eq!(store.approve("NOPE", now, str::to_owned).expect("approve"), None);
        let approved =
            store.approve(&format!(" {} ", code.to_lowercase()), now + 30, |id| format!("x{id}")).expect("approve");
        assert_eq!(approved.map(|it| it.id).as_deref(), Some("42"));
        assert_eq!(store.allowed(), ["x42"]);
        assert_eq!(store.waiting(now + 10 + TTL_MS + 1).expect("read"), [], "an hour is enough");
        let text = std::fs::read_to_string(&store.requests).expect("file");
        assert_eq!(text, "{\n  \"version\": 1,\n  \"requests\": []\n}\n");
        assert!(!dir.path().join(".clawdbot/credentials/telegram-pairing.json.lock").exists());
    }

    #[test]
    fn a_list_that_cannot_be_read_is_not_lost() {
        let dir = TempDir::new("pairing-broken");
        let oauth = dir.path().display().to_string();
        let env = |name: &str| (name == "CLAWDBOT_OAUTH_DIR").then(|| oauth.clone());
        let store = Store::new(&Paths::resolve(|_| None), &env, "telegram");
        let (rng, now) = (SeededRng::new(1), 1_795_353_648_869);
        let code = store.ask("42", &BTreeMap::new(), now, &rng).expect("ask").expect("new");
        let waits = || store.waiting(now).expect("read").iter().any(|it| it.id == "42");
        let broken = "{\"version\": 1, \"allowFrom\": [\"7\", ";
        std::fs::write(&store.allowed, broken).expect("write");
        let error = store.approve(&code, now, str::to_owned).expect_err("broken");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
        assert_eq!(std::fs::read_to_string(&store.allowed).expect("file"), broken);
        assert!(waits() && store.allowed().is_empty());
        std::fs::remove_file(&store.allowed).expect("remove");
        std::fs::create_dir(&store.allowed).expect("no file at all");
        assert!(store.approve(&code, now, str::to_owned).is_err() && waits());
        std::fs::remove_dir(&store.allowed).expect("remove");
        std::fs::write(&store.allowed, format!("{broken}\"8\"]}}")).expect("mend");
        assert_eq!(store.approve(&code, now, str::to_owned).expect("approve").map(|it| it.id).as_deref(), Some("42"));
        assert_eq!(store.allowed(), ["7", "8", "42"]);
        assert!(!waits());
    }

    #[test]
    fn ids_make_safe_names() {
        let paths = Paths::resolve(|_| None);
        let store = Store::new(&paths, &|name| (name == "CLAWDBOT_OAUTH_DIR").then(|| "/c".to_owned()), "../A:b");
        assert_eq!(store.requests, Path::new("/c/__a_b-pairing.json"));
    }
}
