//! The session index: what is kept of each session between runs (agent.md §4, §6).
//!
//! Owns one `index::Index` per `sessions.json`, opened when first asked for and kept. Any thread; readers never wait for
//! the disk, writers for each other and for it. Not here: what was said (`agent::transcript`), how keys are spelled
//! (`agent::session`).

mod entry;
mod find;
mod index;
mod patch;
mod reset;
mod retention;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

pub use entry::{DeliveryContext, Entry, Origin};
pub use find::{Query, find};

use self::index::{Index, Slot};
use crate::agent::session;
use crate::agent::transcript::{Transcript, archive_path};
use crate::base::clock::{Clock, UnixMs};
use crate::base::fs::Durability;
use crate::base::ids::{AgentId, SessionKey};
use crate::base::rng::{Rng, uuid};
use crate::base::text::unless_blank;
use crate::config::live::Live;
use crate::config::paths::Paths;
use crate::config::types::Config;
use crate::protocol::sessions::SessionsPatchParams;

/// Characters of a session id that a client names.
const SESSION_ID_LEN_MAX: usize = 128;

/// A session as the index keeps it: its entry is read when asked for.
pub struct Stored {
    /// The session's key.
    pub key: SessionKey,
    slot: Slot,
}

impl Stored {
    /// Returns when the session was last active.
    pub fn updated_at(&self) -> UnixMs {
        self.slot.updated_at
    }

    /// Returns the entry, but for its snapshot of skills; `None` for something that this version cannot read.
    pub fn entry(&self) -> Option<Entry> {
        self.slot.own_entry()
    }

    /// Returns whether a field of the entry may have this value: a quick look before the entry is read.
    pub fn mentions(&self, text: &str) -> bool {
        self.slot.mentions(text)
    }
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
    by_path: BTreeMap<PathBuf, Arc<Index>>,
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
        self.index(&agent)?.get(key.as_str())?.entry()
    }

    /// Returns all sessions of an agent, in the order of their keys.
    pub fn all(&self, agent: &AgentId) -> Vec<Stored> {
        let config = self.config.get();
        let Some(index) = self.index(agent) else { return Vec::new() };
        let prefix = format!("agent:{agent}:");
        let all = index.all().into_iter().filter(|(_, slot)| slot.is_session);
        let all = all.map(|(key, slot)| Stored { key: SessionKey::new(&*key), slot });
        // Agents may share one file (`session.store` without `{agentId}`).
        all.filter(|it| it.key.as_str().starts_with(&prefix) || session::agent_of_key(&config, &it.key) == *agent)
            .collect()
    }

    /// Changes a session's entry, which is made when there is none; returns it as stored. It is on the disk then.
    ///
    /// # Errors
    /// When the change cannot be written, or after [`Sessions::close`]; nothing is changed then.
    pub fn update(&self, key: &SessionKey, change: impl FnOnce(&mut Entry)) -> io::Result<Entry> {
        self.change(key, Durability::Power, Box::new(change))
    }

    /// As [`Sessions::update`], for what nobody was told: after a power cut it may be as before.
    ///
    /// # Errors
    /// As [`Sessions::update`].
    pub fn note(&self, key: &SessionKey, change: impl FnOnce(&mut Entry)) -> io::Result<Entry> {
        self.change(key, Durability::Process, Box::new(change))
    }

    fn change(
        &self,
        key: &SessionKey,
        durability: Durability,
        change: Box<dyn FnOnce(&mut Entry) + '_>,
    ) -> io::Result<Entry> {
        let index = self.opened(key)?;
        let mut index = index.change()?;
        let old = index.entry(key.as_str());
        let old_id = old.as_ref().map(|old| old.session_id.clone());
        let mut entry = old.unwrap_or_default();
        change(&mut entry);
        if entry.session_id.is_empty() {
            entry.session_id = uuid(&*self.rng);
        }
        if entry.updated_at == 0 {
            entry.updated_at = self.clock.now_ms();
        }
        // Which transcript is the session's must be known as surely as what the transcript says.
        let is_same = old_id.is_some_and(|old| old == entry.session_id);
        index.put(key.as_str(), &entry, if is_same { durability } else { Durability::Power })?;
        Ok(entry)
    }

    /// Changes a session as a client asks, all of it or nothing; the session is made when there is none.
    ///
    /// # Errors
    /// As [`Sessions::update`]; within, why the patch is refused.
    pub fn patch(&self, key: &SessionKey, patch: SessionsPatchParams) -> io::Result<Result<Entry, String>> {
        let config = self.config.get();
        let agent = session::agent_of_key(&config, key);
        let index = self.opened(key)?;
        let mut change = index.change()?;
        let mut entry = change.entry(key.as_str()).unwrap_or_default();
        let is_taken = |label: &str| {
            let has =
                |slot: &Slot| slot.mentions(label) && slot.entry().is_some_and(|it| it.label.as_deref() == Some(label));
            index.all().iter().any(|(other, slot)| **other != *key.as_str() && has(slot))
        };
        let session = patch::Session { config: &config, agent: &agent, key, is_taken: &is_taken };
        if let Err(refused) = patch::apply(&session, &mut entry, patch) {
            return Ok(Err(refused));
        }
        if entry.session_id.is_empty() {
            entry.session_id = uuid(&*self.rng);
        }
        entry.updated_at = entry.updated_at.max(self.clock.now_ms());
        change.put(key.as_str(), &entry, Durability::Power)?;
        Ok(Ok(entry))
    }

    /// Forgets a session; returns what was known of it, and whether anything was.
    ///
    /// # Errors
    /// As [`Sessions::update`].
    pub fn remove(&self, key: &SessionKey) -> io::Result<(Option<Entry>, bool)> {
        let agent = session::agent_of_key(&self.config.get(), key);
        let Some(index) = self.index(&agent).filter(|index| index.get(key.as_str()).is_some()) else {
            return Ok((None, false));
        };
        let mut change = index.change()?;
        let Some(slot) = index.get(key.as_str()) else { return Ok((None, false)) };
        change.remove(key.as_str(), self.clock.now_ms())?;
        Ok((slot.entry(), true))
    }

    /// Lets sessions go that nobody uses any more, and brings the files up to date; `is_busy` keeps some. Returns which
    /// went.
    pub fn tidy(&self, is_busy: &dyn Fn(&SessionKey) -> bool) -> Vec<SessionKey> {
        let config = self.config.get();
        let now_ms = self.clock.now_ms();
        let mut gone = Vec::new();
        for agent in session::agent_ids(&config) {
            for it in self.all(&agent) {
                let is_over = retention::is_over(&config, &it.key, it.updated_at(), now_ms) && !is_busy(&it.key);
                let Some(entry) = is_over.then(|| it.entry()).flatten().filter(|it| it.label.is_none()) else {
                    continue;
                };
                match self.remove(&it.key) {
                    Ok(_) => {
                        self.put_aside(&it.key, &entry);
                        self.remove_transcripts(&it.key, &retention::earlier(&entry));
                        gone.push(it.key);
                    }
                    Err(error) => log::warn!(target: "gateway", "cannot let session {} go: {error}", it.key),
                }
            }
        }
        fold(self.indexes());
        gone
    }

    /// Returns the small indexes whose files are behind.
    pub fn behind(&self) -> Vec<Arc<Index>> {
        let mut indexes = self.indexes();
        indexes.retain(|index| index.is_behind());
        indexes
    }

    fn indexes(&self) -> Vec<Arc<Index>> {
        self.stores.lock().unwrap_or_else(PoisonError::into_inner).by_path.values().cloned().collect()
    }

    /// Lets a session that begins anew for each run go on with `next`, and removes the transcripts of its earlier runs but
    /// for the last `retention::EARLIER_KEPT`.
    ///
    /// # Errors
    /// As [`Sessions::update`].
    pub fn turn_over(&self, key: &SessionKey, next: &str) -> io::Result<()> {
        let mut over = Vec::new();
        self.update(key, |entry| {
            let mut ids = retention::earlier(entry);
            if !entry.session_id.is_empty() && entry.session_id != next && !ids.contains(&entry.session_id) {
                ids.push(entry.session_id.clone());
            }
            over = ids.drain(..ids.len().saturating_sub(retention::EARLIER_KEPT)).collect();
            if !ids.is_empty() {
                entry.other.insert(retention::EARLIER.to_owned(), ids.into());
            }
        })?;
        self.remove_transcripts(key, &over);
        Ok(())
    }

    /// Removes transcripts by their ids; only what could be one's name is.
    fn remove_transcripts(&self, key: &SessionKey, ids: &[String]) {
        for id in ids.iter().filter(|id| id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')) {
            let path = self.transcript_path(key, &Entry { session_id: id.clone(), ..Entry::default() });
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    log::warn!(target: "gateway", "cannot remove the transcript {}: {error}", path.display());
                }
                _ => {}
            }
        }
    }

    /// Gives the transcript of a session that is gone another name; returns that, when there was a transcript.
    pub fn put_aside(&self, key: &SessionKey, entry: &Entry) -> Option<PathBuf> {
        if entry.session_id.is_empty() {
            return None;
        }
        let path = self.transcript_path(key, entry);
        let aside = archive_path(&path, "deleted", self.clock.now_ms());
        match std::fs::rename(&path, &aside) {
            Ok(()) => return Some(aside),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => log::warn!(target: "gateway", "cannot put the transcript {} aside: {error}", path.display()),
        }
        None
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
        let entry = self.note(key, |entry| {
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

    /// Refuses every later change, so that a run abandoned at a restart cannot write behind the new start's back; each
    /// file is then as the original expects it.
    pub fn close(&self) {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        stores.is_closed = true;
        stores.by_path.values().for_each(|index| index.close());
    }

    /// Returns where a session's transcript is, whether or not it exists.
    pub fn transcript_path(&self, key: &SessionKey, entry: &Entry) -> PathBuf {
        if let Some(file) = entry.session_file.as_deref().filter(|file| !file.trim().is_empty()) {
            return self.paths.expand(file);
        }
        let agent = session::agent_of_key(&self.config.get(), key);
        // A file may hold anything as an id; it must stay one name below the directory.
        let name: String = entry.session_id.chars().map(|c| if c == '/' || c == '\0' { '-' } else { c }).collect();
        self.paths.sessions_dir(agent.as_str()).join(format!("{name}.jsonl"))
    }

    /// Returns the session whose current transcript is `session_id`.
    pub fn key_of_session(&self, agent: &AgentId, session_id: &str) -> Option<SessionKey> {
        let is_it = |it: &Stored| it.mentions(session_id) && it.entry().is_some_and(|it| it.session_id == session_id);
        self.all(agent).into_iter().find(is_it).map(|it| it.key)
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
        let message = injected(text, now_ms);
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
        store_path(&self.config.get(), &self.paths, agent)
    }

    /// Returns an agent's index; `None` when there is no file, or none that can be read.
    fn index(&self, agent: &AgentId) -> Option<Arc<Index>> {
        let path = self.path(agent);
        // Keys come from clients: an agent that nobody configured must not cost memory for ever.
        let is_known = self.stores.lock().unwrap_or_else(PoisonError::into_inner).by_path.contains_key(&path);
        if !is_known && !Index::is_there(&path) {
            return None;
        }
        match self.index_at(&path) {
            Ok(index) => Some(index),
            Err(error) => {
                log::error!(target: "gateway", "cannot read the session index {}: {error}", path.display());
                None
            }
        }
    }

    /// Returns the index of a session that is going to be changed.
    fn opened(&self, key: &SessionKey) -> io::Result<Arc<Index>> {
        self.index_at(&self.path(&session::agent_of_key(&self.config.get(), key)))
    }

    fn index_at(&self, path: &Path) -> io::Result<Arc<Index>> {
        // Held while a file is read for the first time: two readers of one file would each keep their own index.
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = stores.by_path.get(path) {
            return Ok(index.clone());
        }
        let index = Arc::new(Index::open(path.to_owned())?);
        if stores.is_closed {
            index.close();
        }
        stores.by_path.insert(path.to_owned(), index.clone());
        Ok(index)
    }
}

/// Returns the message of a text that no model spoke (agent.md §5).
pub(super) fn injected(text: &str, now_ms: UnixMs) -> Value {
    json!({
        "role": "assistant",
        "content": [{"type": "text", "text": text}],
        "timestamp": now_ms,
        "stopReason": "injected",
        "usage": {"input": 0, "output": 0, "totalTokens": 0},
    })
}

/// Returns the file of an agent's sessions: what `session.store` says, else `sessions.json` beside its transcripts.
pub fn store_path(config: &Config, paths: &Paths, agent: &AgentId) -> PathBuf {
    match config.session.store.as_deref().and_then(unless_blank) {
        Some(path) => paths.expand(&path.replace("{agentId}", agent.as_str())),
        None => paths.sessions_dir(agent.as_str()).join("sessions.json"),
    }
}

/// Reads a file of sessions as it is, with its journal; a missing one is empty.
///
/// # Errors
/// Any I/O error but "not found".
pub fn read_raw(path: &Path) -> io::Result<serde_json::Map<String, Value>> {
    let all = Index::look_at(path.to_owned())?.all();
    Ok(all.into_iter().map(|(key, slot)| (key.to_string(), slot.value())).collect())
}

fn closed() -> io::Error {
    io::Error::other("sessions are closed")
}

/// Returns whether a client may name a transcript so.
fn is_file_name(id: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    id.len() <= SESSION_ID_LEN_MAX && !id.starts_with('.') && id.chars().all(is_word)
}

/// Brings the files of these indexes up to date.
pub fn fold(indexes: Vec<Arc<Index>>) {
    for index in indexes {
        if let Err(error) = index.tidy() {
            log::warn!(target: "gateway", "cannot bring a session index up to date: {error}");
        }
    }
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
        sessions.close();
        let stored: Value = serde_json::from_str(&std::fs::read_to_string(&path).expect("read")).expect("JSON");
        assert_eq!(stored["agent:main:odd"], json!({"sessionId": 7}));
        assert_eq!(stored["agent:main:main"]["inputTokens"], 0);
    }

    #[test]
    fn sessions_that_nobody_began_go() {
        let dir = TempDir::new("sessions-tidy");
        let (sessions, clock) = sessions(&dir, &json!({}));
        let keys = ["subagent:1", "subagent:2", "subagent:3", "main"]
            .map(|rest| SessionKey::new(format!("agent:main:{rest}")));
        for key in &keys {
            sessions.append_injected(key, "hello").expect("append");
        }
        sessions.update(&keys[2], |entry| entry.label = Some("mine".into())).expect("update");
        let transcript = sessions.transcript_path(&keys[0], &sessions.entry(&keys[0]).expect("entry"));
        assert!(sessions.tidy(&|_| false).is_empty());
        clock.advance(Duration::from_secs(61 * 60));
        assert_eq!(sessions.tidy(&|key| *key == keys[1]), [keys[0].clone()]);
        let left: Vec<SessionKey> = sessions.all(&AgentId::new("main")).into_iter().map(|it| it.key).collect();
        assert_eq!(left, [keys[3].clone(), keys[1].clone(), keys[2].clone()]);
        assert!(!transcript.exists());
        let stored = std::fs::read_to_string(sessions.path(&AgentId::new("main"))).expect("read");
        assert!(!stored.contains("subagent:1") && stored.contains("subagent:3"), "{stored}");
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
