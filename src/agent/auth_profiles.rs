//! The credentials of agents: the file they are kept in, the order of their use, how long one rests that failed, how
//! tokens are renewed (agent.md §14).
//!
//! Here: which there are, never what they are; secrets leave `store` for whoever sends them, and for nobody else. Any
//! thread that may touch the disk. Not here: choosing one for a turn (`agent::credentials`).

pub mod cooldown;
pub mod copilot;
pub mod gemini_cli;
mod issuer;
pub mod oauth;
pub mod order;
pub mod store;

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

pub use self::store::{Store, file};
use crate::agent::models::normalize_provider;
use crate::agent::session;
use crate::base::ids::AgentId;
use crate::base::text::trimmed;
use crate::config::paths::Paths;
use crate::config::types::Config;

/// The agent whose credentials all others inherit.
const MAIN: &str = "main";

/// What kind of credential it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A key that does not expire.
    ApiKey,
    /// A token that somebody pasted.
    Token,
    /// A token that is renewed.
    OAuth,
}

impl Kind {
    /// Returns its name in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ApiKey => "api_key",
            Self::Token => "token",
            Self::OAuth => "oauth",
        }
    }
}

/// One credential.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// Its id.
    pub id: String,
    /// The provider it is for, normalised.
    pub provider: String,
    /// What it is.
    pub kind: Kind,
    /// When it expires, in milliseconds since 1970.
    pub expires_at_ms: Option<u64>,
    /// Whether it can be renewed then.
    pub is_renewable: bool,
}

/// Returns the directory of an agent's credentials and models.
pub fn agent_dir(config: &Config, paths: &Paths, agent: &AgentId) -> PathBuf {
    let own = session::agent_entry(config, agent).and_then(|entry| entry.agent_dir.as_deref());
    let set = |name: &str| std::env::var(name).ok().and_then(trimmed);
    let of_env = || set("CLAWDBOT_AGENT_DIR").or_else(|| set("PI_CODING_AGENT_DIR"));
    match own.map(str::trim).filter(|dir| !dir.is_empty()) {
        Some(dir) => paths.expand(dir),
        None => match of_env().filter(|_| agent.as_str() == MAIN) {
            Some(dir) => paths.expand(&dir),
            None => paths.agent_dir(agent.as_str()).join("agent"),
        },
    }
}

/// Returns the directories whose credentials an agent may use: its own, then those it inherits.
pub fn dirs(config: &Config, paths: &Paths, agent: &AgentId) -> Vec<PathBuf> {
    let mut dirs = vec![agent_dir(config, paths, agent)];
    let main = main_dir(config, paths);
    if !dirs.contains(&main) {
        dirs.push(main);
    }
    dirs
}

/// Returns the directory of the credentials that all agents may use.
pub fn main_dir(config: &Config, paths: &Paths) -> PathBuf {
    agent_dir(config, paths, &AgentId::new(MAIN))
}

/// Reads the credentials that can be used; a missing or broken file has none.
pub fn read(agent_dir: &Path) -> Vec<Profile> {
    let store = read_store(agent_dir);
    store.profiles().filter_map(|(id, profile)| of(id, profile)).collect()
}

/// Reads a file of credentials; one that cannot be read counts as empty, and says so in the log.
pub fn read_store(agent_dir: &Path) -> Store {
    Store::read(agent_dir).unwrap_or_else(|error| {
        log::warn!(target: "agent", "cannot read {}: {error}", file(agent_dir).display());
        Store::default()
    })
}

/// Returns what a credential is; `None` when it has no secret.
pub(super) fn of(id: &str, profile: &Map<String, Value>) -> Option<Profile> {
    let text = |key: &str| profile.get(key).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty());
    let (kind, secret) = match text("type")? {
        "api_key" => (Kind::ApiKey, text("key")),
        "token" => (Kind::Token, text("token")),
        "oauth" => (Kind::OAuth, text("access").or(text("refresh"))),
        _ => return None,
    };
    secret?;
    // What runs out of Copilot's is only what its token is traded for.
    let is_copilot = text("provider").is_some_and(|provider| normalize_provider(provider) == copilot::PROVIDER);
    let expires_at_ms = profile
        .get("expires")
        .filter(|_| !is_copilot)
        .and_then(Value::as_f64)
        .filter(|at| *at > 0.0)
        .map(|at| at as u64);
    let is_renewable = oauth::is_renewable(profile);
    Some(Profile {
        id: id.to_owned(),
        provider: normalize_provider(text("provider")?),
        kind,
        expires_at_ms,
        is_renewable,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fs::testing::TempDir;
    use serde_json::json;

    #[test]
    fn credentials_are_listed_without_their_secrets() {
        let dir = TempDir::new("profiles");
        assert_eq!(read(dir.path()), []);
        let store = json!({"version": 1, "profiles": {
            "a:1": {"type": "oauth", "provider": "Anthropic", "access": "sk-secret", "expires": 5},
            "b:1": {"type": "api_key", "provider": "z-ai", "key": "sk-secret"},
            "c:1": {"type": "token", "provider": "x", "token": " "},
            "d:1": {"type": "odd", "provider": "x", "key": "k"},
        }});
        std::fs::write(file(dir.path()), store.to_string()).expect("write");
        let profiles = read(dir.path());
        let shown: Vec<_> = profiles.iter().map(|it| (it.id.as_str(), it.provider.as_str(), it.kind)).collect();
        assert_eq!(shown, [("a:1", "anthropic", Kind::OAuth), ("b:1", "zai", Kind::ApiKey)]);
        assert_eq!(profiles[0].expires_at_ms, Some(5));
        assert!(!format!("{profiles:?}").contains("secret"));
        std::fs::write(file(dir.path()), "{").expect("write");
        assert_eq!(read(dir.path()), []);
    }
}
