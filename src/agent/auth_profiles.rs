//! The credentials of an agent, as far as others may know of them: which there are, never what they are (agent.md §14).
//!
//! Reads `auth-profiles.json`; secrets do not enter these types. Any thread that may touch the disk. Not here: choosing
//! and refreshing credentials.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::agent::models::normalize_provider;
use crate::agent::session;
use crate::base::fs::read_text_capped;
use crate::base::ids::AgentId;
use crate::config::paths::Paths;
use crate::config::types::Config;

/// Largest file that is read.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

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
}

/// Returns the directory of an agent's credentials.
pub fn agent_dir(config: &Config, paths: &Paths, agent: &AgentId) -> PathBuf {
    let own = session::agent_entry(config, agent).and_then(|entry| entry.agent_dir.as_deref());
    match own.map(str::trim).filter(|dir| !dir.is_empty()) {
        Some(dir) => paths.expand(dir),
        None => paths.agent_dir(agent.as_str()).join("agent"),
    }
}

/// Returns the file of the credentials in that directory.
pub fn file(agent_dir: &Path) -> PathBuf {
    agent_dir.join("auth-profiles.json")
}

/// Reads the credentials that can be used; a missing or broken file has none.
pub fn read(agent_dir: &Path) -> Vec<Profile> {
    #[derive(Deserialize)]
    struct Store {
        #[serde(default)]
        profiles: BTreeMap<String, Map<String, Value>>,
    }
    let file = file(agent_dir);
    let store = match read_text_capped(&file, FILE_BYTES_MAX) {
        Ok(None) => return Vec::new(),
        Ok(Some(text)) => serde_json::from_str::<Store>(&text).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    match store {
        Ok(store) => store.profiles.iter().filter_map(|(id, profile)| of(id, profile)).collect(),
        Err(error) => {
            log::warn!(target: "agent", "cannot read {}: {error}", file.display());
            Vec::new()
        }
    }
}

fn of(id: &str, profile: &Map<String, Value>) -> Option<Profile> {
    let text = |key: &str| profile.get(key).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty());
    let (kind, secret) = match text("type")? {
        "api_key" => (Kind::ApiKey, text("key")),
        "token" => (Kind::Token, text("token")),
        "oauth" => (Kind::OAuth, text("access").or(text("refresh"))),
        _ => return None,
    };
    secret?;
    let expires_at_ms = profile.get("expires").and_then(Value::as_f64).filter(|at| *at > 0.0).map(|at| at as u64);
    Some(Profile { id: id.to_owned(), provider: normalize_provider(text("provider")?), kind, expires_at_ms })
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
