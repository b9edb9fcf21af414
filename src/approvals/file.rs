//! The policy file, `~/.clawdbot/exec-approvals.json`: what a user decided about commands, in the original's format.
//!
//! Owns the file; it is read afresh each time, because companion apps and editors write it too. Writes are atomic and
//! 0600, under a lock of this process and guarded by the hash that the writer saw. A file that cannot be read is never
//! overwritten unasked, and allows nothing. The socket's token is stored for companion apps and never handed out. Runs on
//! any thread that may wait for a disk.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::policy::{Ask, Security, Strictness};
use crate::base::clock::UnixMs;
use crate::base::fs::{Durability, MODE_PRIVATE, read_text_capped, write_atomic};
use crate::base::rng::{Rng, hex, uuid};

/// Largest policy file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// The only version there is.
const VERSION: u64 = 1;
/// Random bytes of the socket's token.
const TOKEN_BYTES: usize = 24;
/// The agent that is meant when none is named.
const AGENT_DEFAULT: &str = "main";
/// The entry that holds for every agent.
const AGENT_ANY: &str = "*";

/// The file's content.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyFile {
    version: u64,
    /// Where companion apps listen.
    #[serde(default)]
    pub socket: Socket,
    /// What holds where an agent's entry says nothing.
    #[serde(default)]
    pub defaults: Policy,
    /// Entries by agent; `*` is every agent.
    #[serde(default)]
    pub agents: BTreeMap<String, AgentPolicy>,
    /// Keys this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Where companion apps listen.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Socket {
    /// Path of the socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Its secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    /// Keys this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Socket").field("path", &self.path).finish_non_exhaustive()
    }
}

/// How strict; what is absent is inherited.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Policy {
    /// `deny`, `allowlist`, `full`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security: Option<String>,
    /// `off`, `on-miss`, `always`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ask: Option<String>,
    /// What holds when nobody answers: a security.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ask_fallback: Option<String>,
    /// Whether programs named by skills count as allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_allow_skills: Option<bool>,
    /// Keys this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// One agent's entry.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AgentPolicy {
    /// How strict.
    #[serde(flatten)]
    pub policy: Policy,
    /// What was allowed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowlist: Vec<AllowlistEntry>,
}

/// One thing that was allowed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AllowlistEntry {
    /// Its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Pattern of paths.
    pub pattern: String,
    /// When it was used last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<UnixMs>,
    /// For what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_used_command: Option<String>,
    /// Which file that was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_resolved_path: Option<String>,
    /// Keys this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Default for PolicyFile {
    fn default() -> Self {
        Self {
            version: VERSION,
            socket: Socket::default(),
            defaults: Policy::default(),
            agents: BTreeMap::new(),
            extra: Map::new(),
        }
    }
}

impl PolicyFile {
    /// Reads a file's text.
    ///
    /// # Errors
    /// Why it is no policy file.
    pub fn parse(text: &str) -> Result<Self, String> {
        let file: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if file.version != VERSION {
            return Err(format!("version {} is not known here", file.version));
        }
        Ok(file.normalised())
    }

    /// Returns the file without blank texts and with the older agent name `default` merged into `main`.
    fn normalised(mut self) -> Self {
        let filled = |text: Option<String>| text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        self.socket.path = filled(self.socket.path.take());
        self.socket.token = filled(self.socket.token.take());
        if let Some(legacy) = self.agents.remove("default") {
            let main = self.agents.entry(AGENT_DEFAULT.to_owned()).or_default();
            let policy = &mut main.policy;
            policy.security = policy.security.take().or(legacy.policy.security);
            policy.ask = policy.ask.take().or(legacy.policy.ask);
            policy.ask_fallback = policy.ask_fallback.take().or(legacy.policy.ask_fallback);
            policy.auto_allow_skills = policy.auto_allow_skills.or(legacy.policy.auto_allow_skills);
            let key = |entry: &AllowlistEntry| entry.pattern.trim().to_lowercase();
            for entry in legacy.allowlist {
                if main.allowlist.iter().all(|known| key(known) != key(&entry)) {
                    main.allowlist.push(entry);
                }
            }
        }
        self
    }

    /// Returns what holds for an agent under the tool's own settings: the stricter of both.
    ///
    /// What the file does not say is the tool's; what it says in words that nobody knows is the strictest, since a typing
    /// error must not open a door.
    pub fn strictness(&self, agent: Option<&str>, tool_security: Security, tool_ask: Ask) -> Strictness {
        let mut levels: Vec<&Policy> = self.levels(agent).into_iter().flatten().map(|agent| &agent.policy).collect();
        levels.push(&self.defaults);
        let first = |pick: fn(&Policy) -> Option<&String>| levels.iter().find_map(|level| pick(level));
        let security = |text: &String| Security::parse(text.trim()).unwrap_or(Security::Deny);
        let file_security = first(|policy| policy.security.as_ref()).map_or(tool_security, security);
        let file_ask =
            first(|policy| policy.ask.as_ref()).map_or(tool_ask, |text| Ask::parse(text.trim()).unwrap_or(Ask::Always));
        Strictness {
            security: tool_security.min(file_security),
            ask: tool_ask.max(file_ask),
            fallback: first(|policy| policy.ask_fallback.as_ref()).map_or(Security::Deny, security),
            allows_skills: levels.iter().find_map(|level| level.auto_allow_skills).unwrap_or(false),
        }
    }

    /// Returns what is allowed to an agent: the entries for all, then its own.
    pub fn allowlist(&self, agent: Option<&str>) -> Vec<AllowlistEntry> {
        let levels = self.levels(agent);
        levels.into_iter().rev().flatten().flat_map(|agent| agent.allowlist.iter().cloned()).collect()
    }

    /// Returns the file as clients may see it: without the socket's token and what this version does not know.
    pub fn shown(&self) -> Value {
        let mut file = self.clone();
        file.extra.clear();
        file.socket.token = None;
        file.socket.extra.clear();
        file.defaults.extra.clear();
        for agent in file.agents.values_mut() {
            agent.policy.extra.clear();
            agent.allowlist.iter_mut().for_each(|entry| entry.extra.clear());
        }
        let mut shown = serde_json::to_value(&file).unwrap_or_default();
        if file.socket.path.is_none()
            && let Some(shown) = shown.as_object_mut()
        {
            shown.shift_remove("socket");
        }
        shown
    }

    /// Adds a pattern for an agent; false when it is there.
    pub fn allow(&mut self, agent: Option<&str>, pattern: &str, now_ms: UnixMs) -> bool {
        let pattern = pattern.trim();
        let allowlist = &mut self.agents.entry(agent.unwrap_or(AGENT_DEFAULT).to_owned()).or_default().allowlist;
        if pattern.is_empty() || allowlist.iter().any(|entry| entry.pattern.trim() == pattern) {
            return false;
        }
        allowlist.push(AllowlistEntry {
            pattern: pattern.to_owned(),
            last_used_at: Some(now_ms),
            ..AllowlistEntry::default()
        });
        true
    }

    /// Takes a pattern of an agent out, and the agent's entry when nothing is left of it; false when it is not there.
    pub fn disallow(&mut self, agent: Option<&str>, pattern: &str) -> bool {
        let name = agent.unwrap_or(AGENT_DEFAULT);
        let Some(entry) = self.agents.get_mut(name) else { return false };
        let count = entry.allowlist.len();
        entry.allowlist.retain(|known| known.pattern.trim() != pattern.trim());
        let is_removed = entry.allowlist.len() < count;
        if is_removed && entry.is_empty() {
            self.agents.remove(name);
        }
        is_removed
    }

    /// Notes that an entry let a command run.
    pub fn note_use(&mut self, agent: Option<&str>, pattern: &str, command: &str, path: &Path, now_ms: UnixMs) {
        for name in [agent.unwrap_or(AGENT_DEFAULT), AGENT_ANY] {
            let entries = self.agents.get_mut(name).into_iter().flat_map(|agent| &mut agent.allowlist);
            for entry in entries.filter(|entry| entry.pattern == pattern) {
                entry.last_used_at = Some(now_ms);
                entry.last_used_command = Some(command.to_owned());
                entry.last_resolved_path = Some(path.display().to_string());
            }
        }
    }

    /// The agent's entry, then the one for all; one alone when they are the same.
    fn levels(&self, agent: Option<&str>) -> [Option<&AgentPolicy>; 2] {
        let name = agent.unwrap_or(AGENT_DEFAULT);
        [self.agents.get(name).filter(|_| name != AGENT_ANY), self.agents.get(AGENT_ANY)]
    }

    /// Takes over from the stored file what a client is not shown and cannot send.
    fn keep_hidden(&mut self, stored: &Self) {
        fn keep(extra: &mut Map<String, Value>, stored: &Map<String, Value>) {
            for (key, value) in stored {
                extra.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
        keep(&mut self.extra, &stored.extra);
        self.socket.path = self.socket.path.take().or_else(|| stored.socket.path.clone());
        self.socket.token = self.socket.token.take().or_else(|| stored.socket.token.clone());
        keep(&mut self.socket.extra, &stored.socket.extra);
        keep(&mut self.defaults.extra, &stored.defaults.extra);
        for (name, agent) in &mut self.agents {
            let Some(known) = stored.agents.get(name) else { continue };
            keep(&mut agent.policy.extra, &known.policy.extra);
            for entry in agent.allowlist.iter_mut().filter(|entry| entry.id.is_some()) {
                if let Some(known) = known.allowlist.iter().find(|known| known.id == entry.id) {
                    keep(&mut entry.extra, &known.extra);
                }
            }
        }
    }

    /// Fills in what every stored file has; returns whether anything was missing.
    fn complete(&mut self, socket_path: &Path, rng: &dyn Rng) -> bool {
        let mut is_changed = false;
        if self.socket.path.is_none() {
            self.socket.path = Some(socket_path.display().to_string());
            is_changed = true;
        }
        if self.socket.token.is_none() {
            let mut bytes = [0_u8; TOKEN_BYTES];
            rng.fill(&mut bytes);
            self.socket.token = Some(URL_SAFE_NO_PAD.encode(bytes));
            is_changed = true;
        }
        for entry in self.agents.values_mut().flat_map(|agent| &mut agent.allowlist) {
            if entry.id.as_ref().is_none_or(String::is_empty) {
                entry.id = Some(uuid(rng));
                is_changed = true;
            }
        }
        is_changed
    }
}

impl AgentPolicy {
    fn is_empty(&self) -> bool {
        let Policy { security, ask, ask_fallback, auto_allow_skills, extra } = &self.policy;
        self.allowlist.is_empty()
            && [security, ask, ask_fallback].iter().all(|text| text.as_ref().is_none_or(String::is_empty))
            && auto_allow_skills.is_none()
            && extra.is_empty()
    }
}

/// The file as it is.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Where it is.
    pub path: PathBuf,
    /// Whether it is there.
    pub exists: bool,
    /// Hex SHA-256 of its text; of nothing when it is not there.
    pub hash: String,
    /// Its content; empty when it cannot be read.
    pub file: PolicyFile,
    /// Why it cannot be read.
    pub fault: Option<String>,
}

impl Snapshot {
    /// Returns what holds for an agent; nothing runs under a policy that cannot be read.
    pub fn strictness(&self, agent: Option<&str>, tool_security: Security, tool_ask: Ask) -> Strictness {
        match self.fault {
            Some(_) => Strictness::CLOSED,
            None => self.file.strictness(agent, tool_security, tool_ask),
        }
    }
}

/// Why a file was not replaced.
#[derive(Debug)]
pub enum ReplaceError {
    /// The writer did not say which file it saw.
    BaseHashMissing,
    /// The writer saw another file.
    Changed,
    /// What it wrote is no policy file.
    Invalid(String),
    /// The disk.
    Io(io::Error),
}

impl From<io::Error> for ReplaceError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The file's owner in this process.
#[derive(Debug)]
pub struct PolicyStore {
    path: PathBuf,
    write: Mutex<()>,
}

impl PolicyStore {
    /// Returns the store of the file at `path`; reads nothing yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path, write: Mutex::new(()) }
    }

    /// Returns where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file.
    ///
    /// # Errors
    /// I/O errors but "not there"; a file that is no policy is no error but a fault of the snapshot.
    pub fn load(&self) -> io::Result<Snapshot> {
        let text = match read_text_capped(&self.path, FILE_BYTES_MAX) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Ok(self.snapshot(true, &[], Err(error.to_string())));
            }
            text => text?,
        };
        Ok(match text {
            None => self.snapshot(false, &[], Ok(PolicyFile::default())),
            Some(text) => self.snapshot(true, text.as_bytes(), PolicyFile::parse(&text)),
        })
    }

    /// Reads the file, and first makes it or fills in what is missing.
    ///
    /// # Errors
    /// I/O errors.
    pub fn load_complete(&self, rng: &dyn Rng) -> io::Result<Snapshot> {
        let _write = self.lock();
        self.complete(rng)
    }

    /// Puts another file in the place of the one with this hash. What clients are not shown is kept; a file that cannot
    /// be read is moved aside.
    ///
    /// # Errors
    /// [`ReplaceError`]; the file is as it was then.
    pub fn replace(
        &self,
        file: Value,
        base_hash: Option<&str>,
        now_ms: UnixMs,
        rng: &dyn Rng,
    ) -> Result<Snapshot, ReplaceError> {
        let _write = self.lock();
        let stored = self.complete(rng)?;
        let base_hash = base_hash.map(str::trim).filter(|hash| !hash.is_empty());
        if base_hash.ok_or(ReplaceError::BaseHashMissing)? != stored.hash {
            return Err(ReplaceError::Changed);
        }
        let file: PolicyFile =
            serde_json::from_value(file).map_err(|error| ReplaceError::Invalid(error.to_string()))?;
        let mut file = file.normalised();
        file.keep_hidden(&stored.file);
        file.complete(&self.socket_path(), rng);
        self.write(&file, &stored, now_ms)?;
        Ok(self.load()?)
    }

    /// Changes the file as it is now; nothing is written when `change` returns false.
    ///
    /// # Errors
    /// I/O errors, and `InvalidData` for a file that cannot be read.
    pub fn update(
        &self,
        now_ms: UnixMs,
        rng: &dyn Rng,
        change: impl FnOnce(&mut PolicyFile) -> bool,
    ) -> io::Result<Snapshot> {
        let _write = self.lock();
        let stored = self.load()?;
        if let Some(fault) = &stored.fault {
            let text = format!("{} cannot be read ({fault}); mend or remove it", self.path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let mut file = stored.file.clone();
        if !change(&mut file) {
            return Ok(stored);
        }
        file.complete(&self.socket_path(), rng);
        self.write(&file, &stored, now_ms)?;
        self.load()
    }

    fn complete(&self, rng: &dyn Rng) -> io::Result<Snapshot> {
        let mut stored = self.load()?;
        if let Some(fault) = &stored.fault {
            log::warn!(
                target: "gateway",
                "exec approvals {} cannot be read ({fault}): no command is allowed until it is mended or replaced",
                self.path.display(),
            );
            return Ok(stored);
        }
        if !stored.file.complete(&self.socket_path(), rng) && stored.exists {
            return Ok(stored);
        }
        self.write_text(&stored.file)?;
        self.load()
    }

    fn write(&self, file: &PolicyFile, stored: &Snapshot, now_ms: UnixMs) -> io::Result<()> {
        if stored.fault.is_some() {
            let aside = PathBuf::from(format!("{}.corrupt-{now_ms}", self.path.display()));
            std::fs::rename(&self.path, &aside)?;
            log::warn!(target: "gateway", "exec approvals that could not be read were moved to {}", aside.display());
        }
        self.write_text(file)
    }

    fn write_text(&self, file: &PolicyFile) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(file)?;
        text.push(b'\n');
        write_atomic(&self.path, &text, MODE_PRIVATE, Durability::Power)
    }

    fn snapshot(&self, exists: bool, text: &[u8], file: Result<PolicyFile, String>) -> Snapshot {
        let hash = hex(&Sha256::digest(text));
        let (file, fault) = match file {
            Ok(file) => (file, None),
            Err(fault) => (PolicyFile::default(), Some(fault)),
        };
        Snapshot { path: self.path.clone(), exists, hash, file, fault }
    }

    fn socket_path(&self) -> PathBuf {
        self.path.with_extension("sock")
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.write.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
