//! The session index: what is kept of each session between runs (agent.md §4, §6).
//!
//! Owns one store per `sessions.json`, opened when first asked for and kept. Any thread; readers clone snapshots, writers
//! wait for each other and for the disk. Not here: what was said (`agent::transcript`), how keys are spelled
//! (`agent::session`).

mod entry;
mod find;
mod patch;
mod reset;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use entry::{DeliveryContext, Entry, Origin};
pub use find::{Query, find};

use crate::agent::session;
use crate::agent::transcript::Transcript;
use crate::base::clock::{Clock, UnixMs};
use crate::base::fs::Durability;
use crate::base::ids::{AgentId, SessionKey};
use crate::base::rng::{Rng, uuid};
use crate::base::store::JsonStore;
use crate::config::live::Live;
use crate::config::paths::Paths;
use crate::protocol::sessions::SessionsPatchParams;

/// Characters of a session id that a client names.
const SESSION_ID_LEN_MAX: usize = 128;

/// One file: session key → entry.
type Index = BTreeMap<String, Slot>;

/// What stands behind one key of the file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum Slot {
    /// A session.
    Entry(Box<Entry>),
    /// Something this version cannot read: kept as it is, and replaced when the session is used.
    Other(Value),
}

/// See the module.
pub struct Sessions {
    config: Live,
    paths: Paths,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    stores: Mutex<Stores>,
}

#[derive(Default)]
struct Stores {
    by_path: BTreeMap<PathBuf, Arc<JsonStore<Index>>>,
    is_closed: bool,
}

impl Sessions {
    /// Starts without reading anything.
    pub fn new(config: Live, paths: Paths, clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> Self {
        Self { config, paths, clock, rng, stores: Mutex::default() }
    }

    /// Returns a session's entry.
    pub fn entry(&self, key: &SessionKey) -> Option<Entry> {
        let agent = session::agent_of_key(&self.config.get(), key);
        match self.index(&agent).get(key.as_str()) {
            Some(Slot::Entry(entry)) => Some(Entry::clone(entry).migrated()),
            Some(Slot::Other(_)) | None => None,
        }
    }

    /// Returns all sessions of an agent, in the order of their keys.
    pub fn entries(&self, agent: &AgentId) -> Vec<(SessionKey, Entry)> {
        let config = self.config.get();
        let index = self.index(agent);
        let sessions = index.iter().filter_map(|(key, slot)| match slot {
            Slot::Entry(entry) => Some((SessionKey::new(key), Entry::clone(entry).migrated())),
            Slot::Other(_) => None,
        });
        // Agents may share one file (`session.store` without `{agentId}`).
        sessions.filter(|(key, _)| session::agent_of_key(&config, key) == *agent).collect()
    }

    /// Changes a session's entry, which is made when there is none; returns it as stored.
    ///
    /// # Errors
    /// When the file cannot be written, or after [`Sessions::close`]; nothing is changed then.
    pub fn update(&self, key: &SessionKey, change: impl FnOnce(&mut Entry)) -> io::Result<Entry> {
        let agent = session::agent_of_key(&self.config.get(), key);
        let now_ms = self.clock.now_ms();
        self.store(&agent)?.update(|index| {
            let mut entry = match index.get(key.as_str()) {
                Some(Slot::Entry(entry)) => Entry::clone(entry).migrated(),
                Some(Slot::Other(_)) | None => Entry::default(),
            };
            change(&mut entry);
            if entry.session_id.is_empty() {
                entry.session_id = uuid(&*self.rng);
            }
            if entry.updated_at == 0 {
                entry.updated_at = now_ms;
            }
            index.insert(key.as_str().to_owned(), Slot::Entry(Box::new(entry.clone())));
            entry
        })
    }

    /// Changes a session as a client asks, all of it or nothing; the session is made when there is none.
    ///
    /// # Errors
    /// As [`Sessions::update`]; within, why the patch is refused.
    pub fn patch(&self, key: &SessionKey, patch: SessionsPatchParams) -> io::Result<Result<Entry, String>> {
        let config = self.config.get();
        let agent = session::agent_of_key(&config, key);
        let now_ms = self.clock.now_ms();
        self.store(&agent)?.try_update(|index| {
            let mut entry = match index.get(key.as_str()) {
                Some(Slot::Entry(entry)) => Entry::clone(entry).migrated(),
                Some(Slot::Other(_)) | None => Entry::default(),
            };
            let is_taken = |label: &str| {
                let has = |slot: &Slot| matches!(slot, Slot::Entry(entry) if entry.label.as_deref() == Some(label));
                index.iter().any(|(other, slot)| other != key.as_str() && has(slot))
            };
            let session = patch::Session { config: &config, agent: &agent, key, is_taken: &is_taken };
            patch::apply(&session, &mut entry, patch)?;
            if entry.session_id.is_empty() {
                entry.session_id = uuid(&*self.rng);
            }
            entry.updated_at = entry.updated_at.max(now_ms);
            index.insert(key.as_str().to_owned(), Slot::Entry(Box::new(entry.clone())));
            Ok(entry)
        })
    }

    /// Forgets a session; returns what was known of it, and whether anything was.
    ///
    /// # Errors
    /// As [`Sessions::update`].
    pub fn remove(&self, key: &SessionKey) -> io::Result<(Option<Entry>, bool)> {
        let agent = session::agent_of_key(&self.config.get(), key);
        if !self.index(&agent).contains_key(key.as_str()) {
            return Ok((None, false));
        }
        self.store(&agent)?.update(|index| match index.remove(key.as_str()) {
            Some(Slot::Entry(entry)) => (Some(entry.migrated()), true),
            Some(Slot::Other(_)) => (None, true),
            None => (None, false),
        })
    }

    /// Returns the session of a run that begins, and whether it is a new one: a stale or missing session begins anew,
    /// and so does one for which the caller names another transcript.
    ///
    /// # Errors
    /// As [`Sessions::update`]; `InvalidInput` when `session_id` cannot name a file.
    pub fn open(&self, key: &SessionKey, session_id: Option<&str>, now_ms: UnixMs) -> io::Result<(Entry, bool)> {
        let wanted = session_id.map(str::trim).filter(|id| !id.is_empty());
        if let Some(id) = wanted.filter(|id| !is_file_name(id)) {
            let text = format!("session id {id:?} may only hold letters, digits, '.', '_' and '-'");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let policy = reset::Policy::new(&self.config.get(), key, self.entry(key).as_ref());
        let mut is_new = false;
        let entry = self.update(key, |entry| {
            is_new = match wanted {
                Some(id) => id != entry.session_id,
                None => entry.session_id.is_empty() || policy.is_stale(entry.updated_at, now_ms),
            };
            if is_new {
                let id = wanted.map_or_else(|| uuid(&*self.rng), str::to_owned);
                entry.begin(id);
            }
            entry.updated_at = entry.updated_at.max(now_ms);
        })?;
        Ok((entry, is_new))
    }

    /// Begins a session anew and forgets what belonged to the old conversation; settings of the user stay.
    ///
    /// # Errors
    /// As [`Sessions::update`].
    pub fn reset(&self, key: &SessionKey) -> io::Result<Entry> {
        let now_ms = self.clock.now_ms();
        let id = uuid(&*self.rng);
        self.update(key, |entry| *entry = entry.after_reset(id, now_ms))
    }

    /// Refuses every later change, so that a run abandoned at a restart cannot write behind the new start's back.
    pub fn close(&self) {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        stores.is_closed = true;
        stores.by_path.values().for_each(|store| store.close());
    }

    /// Returns where a session's transcript is, whether or not it exists.
    pub fn transcript_path(&self, key: &SessionKey, entry: &Entry) -> PathBuf {
        if let Some(file) = entry.session_file.as_deref().filter(|file| !file.trim().is_empty()) {
            return self.paths.expand(file);
        }
        let agent = session::agent_of_key(&self.config.get(), key);
        // A file may hold anything as an id; it must stay one name below the directory.
        let name: String = entry.session_id.chars().map(|c| if c == '/' || c == '\0' { '-' } else { c }).collect();
        self.paths.agent_dir(agent.as_str()).join("sessions").join(format!("{name}.jsonl"))
    }

    /// Returns the session whose current transcript is `session_id`.
    pub fn key_of_session(&self, agent: &AgentId, session_id: &str) -> Option<SessionKey> {
        self.entries(agent).into_iter().find(|(_, entry)| entry.session_id == session_id).map(|(key, _)| key)
    }

    /// Appends text that no model spoke, as the assistant's; returns the id of the transcript entry and its message.
    /// The session is opened when there is none.
    ///
    /// # Errors
    /// When the index or the transcript cannot be written.
    pub fn append_injected(&self, key: &SessionKey, text: &str) -> io::Result<(String, Value)> {
        let now_ms = self.clock.now_ms();
        let entry = match self.entry(key) {
            Some(entry) if !entry.session_id.is_empty() => entry,
            _ => self.open(key, None, now_ms)?.0,
        };
        let message = json!({
            "role": "assistant",
            "content": [{"type": "text", "text": text}],
            "timestamp": now_ms,
            "stopReason": "injected",
            "usage": {"input": 0, "output": 0, "totalTokens": 0},
        });
        let mut transcript = self.transcript(key, &entry)?;
        let fields = serde_json::Map::from_iter([("message".to_owned(), message.clone())]);
        let id = transcript.append_entry("message", fields)?;
        Ok((id, message))
    }

    /// Opens a session's transcript for writing; the agent's workspace becomes its `cwd`.
    ///
    /// # Errors
    /// As [`Transcript::open`], and after [`Sessions::close`].
    pub fn transcript(&self, key: &SessionKey, entry: &Entry) -> io::Result<Transcript> {
        if self.stores.lock().unwrap_or_else(PoisonError::into_inner).is_closed {
            return Err(closed());
        }
        let config = self.config.get();
        let agent = session::agent_of_key(&config, key);
        let cwd = crate::agent::workspace::dir(&config, &self.paths, &agent);
        let path = self.transcript_path(key, entry);
        Transcript::open(path, &entry.session_id, &cwd, self.clock.clone(), self.rng.clone())
    }

    /// Returns the file of an agent's sessions.
    pub fn path(&self, agent: &AgentId) -> PathBuf {
        let config = self.config.get();
        match config.session.store.as_deref().map(str::trim).filter(|path| !path.is_empty()) {
            Some(path) => self.paths.expand(&path.replace("{agentId}", agent.as_str())),
            None => self.paths.agent_dir(agent.as_str()).join("sessions").join("sessions.json"),
        }
    }

    /// Returns a snapshot of an agent's file; empty when there is none.
    fn index(&self, agent: &AgentId) -> Arc<Index> {
        let path = self.path(agent);
        // Keys come from clients: an agent that nobody configured must not cost memory for ever.
        let is_known = self.stores.lock().unwrap_or_else(PoisonError::into_inner).by_path.contains_key(&path);
        if !is_known && !path.exists() {
            return Arc::default();
        }
        match self.store_at(&path) {
            Ok(store) => store.get(),
            Err(error) => {
                log::error!(target: "gateway", "cannot read the session index {}: {error}", path.display());
                Arc::default()
            }
        }
    }

    fn store(&self, agent: &AgentId) -> io::Result<Arc<JsonStore<Index>>> {
        self.store_at(&self.path(agent))
    }

    fn store_at(&self, path: &Path) -> io::Result<Arc<JsonStore<Index>>> {
        // Held while a file is read for the first time: two readers of one file would each keep their own index.
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = stores.by_path.get(path) {
            return Ok(store.clone());
        }
        let store = Arc::new(JsonStore::open(path.to_owned(), Durability::Power)?);
        if stores.is_closed {
            store.close();
        }
        stores.by_path.insert(path.to_owned(), store.clone());
        Ok(store)
    }
}

fn closed() -> io::Error {
    io::Error::other("sessions are closed")
}

/// Returns whether a client may name a transcript so.
fn is_file_name(id: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    id.len() <= SESSION_ID_LEN_MAX && !id.starts_with('.') && id.chars().all(is_word)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::base::clock::ManualClock;
    use crate::base::fs::testing::TempDir;
    use crate::base::rng::SeededRng;
    use std::time::Duration;

    /// Sessions below a directory with a configuration.
    pub fn sessions(dir: &TempDir, config: &Value) -> (Sessions, Arc<ManualClock>) {
        let home = dir.path().display().to_string();
        let paths = Paths::resolve(|name| (name == "HOME").then(|| home.clone()));
        std::fs::create_dir_all(&paths.state_dir).expect("state directory");
        std::fs::write(&paths.config_file, config.to_string()).expect("configuration");
        let live = Live::new(crate::config::load::load(&paths));
        let clock = Arc::new(ManualClock::new(1_795_353_648_869));
        (Sessions::new(live, paths, clock.clone(), Arc::new(SeededRng::new(7))), clock)
    }

    #[test]
    fn sessions_are_kept_and_begin_anew_when_idle() {
        let dir = TempDir::new("sessions");
        let (sessions, clock) = sessions(&dir, &json!({"session": {"reset": {"mode": "idle", "idleMinutes": 5}}}));
        let key = SessionKey::new("agent:main:main");
        assert!(sessions.entry(&key).is_none());
        let (first, is_new) = sessions.open(&key, None, clock.now_ms()).expect("open");
        assert!(is_new);
        sessions.update(&key, |entry| entry.thinking_level = Some("high".into())).expect("update");
        clock.advance(Duration::from_secs(60));
        let (second, is_new) = sessions.open(&key, None, clock.now_ms()).expect("open");
        assert!(!is_new && second.session_id == first.session_id);
        clock.advance(Duration::from_secs(301));
        let (third, is_new) = sessions.open(&key, None, clock.now_ms()).expect("open");
        assert!(is_new && third.session_id != first.session_id);
        assert_eq!(third.thinking_level.as_deref(), Some("high"));
        assert_eq!(sessions.key_of_session(&AgentId::new("main"), &third.session_id), Some(key.clone()));
        sessions.close();
        assert!(sessions.reset(&key).is_err());
    }

    #[test]
    fn ids_cannot_leave_the_directory() {
        let dir = TempDir::new("sessions-id");
        let (sessions, clock) = sessions(&dir, &json!({}));
        let key = SessionKey::new("agent:main:main");
        assert!(sessions.open(&key, Some("../x"), clock.now_ms()).is_err());
        assert!(sessions.open(&key, Some("abc-1"), clock.now_ms()).expect("open").1);
        let entry = Entry { session_id: "../../x".into(), ..Entry::default() };
        assert!(sessions.transcript_path(&key, &entry).ends_with("sessions/..-..-x.jsonl"));
    }

    #[test]
    fn foreign_fields_survive() {
        let dir = TempDir::new("sessions-foreign");
        let (sessions, _) = sessions(&dir, &json!({}));
        let path = sessions.path(&AgentId::new("main"));
        std::fs::create_dir_all(path.parent().expect("parent")).expect("directory");
        let text = json!({
            "agent:main:main": {"sessionId": "a", "updatedAt": 5, "ttsAuto": "always", "lastProvider": "telegram"},
            "agent:main:odd": {"sessionId": 7},
        });
        std::fs::write(&path, text.to_string()).expect("write");
        let key = SessionKey::new("agent:main:main");
        let entry = sessions.reset(&key).expect("reset");
        assert_eq!(entry.last_channel.as_deref(), Some("telegram"));
        sessions.update(&SessionKey::new("agent:main:b"), |_| ()).expect("update");
        let stored: Value = serde_json::from_str(&std::fs::read_to_string(&path).expect("read")).expect("JSON");
        assert_eq!(stored["agent:main:odd"], json!({"sessionId": 7}));
        assert_eq!(stored["agent:main:main"]["inputTokens"], 0);
    }

    #[test]
    fn injected_text_opens_a_session() {
        let dir = TempDir::new("sessions-inject");
        let (sessions, _) = sessions(&dir, &json!({}));
        let key = SessionKey::new("agent:main:main");
        let (id, message) = sessions.append_injected(&key, "hello").expect("append");
        assert_eq!(id.len(), 8);
        assert_eq!(message["stopReason"], "injected");
        let path = sessions.transcript_path(&key, &sessions.entry(&key).expect("entry"));
        let shown = crate::agent::transcript::read_messages(&path, 10, 10_000).expect("read");
        assert_eq!(shown, [message]);
    }
}
