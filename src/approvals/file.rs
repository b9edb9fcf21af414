//! What the policy file says: a user's decisions about commands, in the original's format (agent.md §23).
//!
//! Pure data and what it means. Keys that this version does not know are kept; the socket's token is stored for companion
//! apps and never handed out. Not here: reading and writing the file (`store`).

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::policy::{Ask, Security, Strictness};
use crate::base::clock::UnixMs;
use crate::base::rng::{Rng, uuid};
use crate::base::text::trimmed;

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
    pub(super) token: Option<String>,
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
    pub(super) fn normalised(mut self) -> Self {
        self.socket.path = self.socket.path.take().and_then(trimmed);
        self.socket.token = self.socket.token.take().and_then(trimmed);
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

    /// Returns whether the file says something that counts for the agent.
    pub fn says(&self, agent: Option<&str>, pick: fn(&Policy) -> bool) -> bool {
        self.levels(agent).into_iter().flatten().any(|entry| pick(&entry.policy)) || pick(&self.defaults)
    }

    /// The agent's entry, then the one for all; one alone when they are the same.
    fn levels(&self, agent: Option<&str>) -> [Option<&AgentPolicy>; 2] {
        let name = agent.unwrap_or(AGENT_DEFAULT);
        [self.agents.get(name).filter(|_| name != AGENT_ANY), self.agents.get(AGENT_ANY)]
    }

    /// Takes over from the stored file what a client is not shown and cannot send.
    pub(super) fn keep_hidden(&mut self, stored: &Self) {
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
    pub(super) fn complete(&mut self, socket_path: &Path, rng: &dyn Rng) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn file(value: Value) -> PolicyFile {
        PolicyFile::parse(&value.to_string()).expect("a policy")
    }

    #[test]
    fn the_stricter_of_tool_and_file_holds() {
        let policy =
            file(json!({"version": 1, "defaults": {"security": "allowlist", "askFallback": "full"}, "agents": {
                "*": {"ask": "always", "allowlist": [{"pattern": "/all"}]},
                "a": {"security": "full", "autoAllowSkills": true, "allowlist": [{"pattern": "/own"}]},
                "typo": {"security": "Full", "ask": "never", "askFallback": "yes"},
            }}));
        let of = |agent, security, ask| policy.strictness(Some(agent), security, ask);
        let found = of("a", Security::Full, Ask::Off);
        assert_eq!((found.security, found.ask, found.fallback), (Security::Full, Ask::Always, Security::Full));
        assert!(found.allows_skills);
        assert_eq!(of("a", Security::Allowlist, Ask::Off).security, Security::Allowlist);
        let other = of("other", Security::Full, Ask::OnMiss);
        assert_eq!((other.security, other.ask, other.allows_skills), (Security::Allowlist, Ask::Always, false));
        assert_eq!(of("typo", Security::Full, Ask::Off), Strictness::CLOSED, "unknown words are the strictest");
        let empty = PolicyFile::default().strictness(None, Security::Full, Ask::Off);
        assert_eq!((empty.security, empty.ask, empty.fallback), (Security::Full, Ask::Off, Security::Deny));
        let patterns = |agent| policy.allowlist(agent).into_iter().map(|entry| entry.pattern).collect::<Vec<_>>();
        assert_eq!(patterns(Some("a")), ["/all", "/own"]);
        assert_eq!((patterns(None), patterns(Some("*"))), (vec!["/all".to_owned()], vec!["/all".to_owned()]));
    }

    #[test]
    fn the_older_agent_name_is_merged() {
        let merged = file(json!({"version": 1, "agents": {
            "default": {"security": "full", "ask": "off", "allowlist": [{"pattern": "/A"}, {"pattern": "/b"}]},
            "main": {"security": "deny", "allowlist": [{"pattern": "/a"}]},
        }}));
        let main = &merged.agents["main"];
        assert_eq!((main.policy.security.as_deref(), main.policy.ask.as_deref()), (Some("deny"), Some("off")));
        let patterns: Vec<&str> = main.allowlist.iter().map(|entry| entry.pattern.as_str()).collect();
        assert_eq!((patterns, merged.agents.len()), (vec!["/a", "/b"], 1));
    }
}
