//! Agents and session keys: which agent a request means, how a key is spelled, and whether a session may be answered
//! (agent.md §1.1, §3, §6).
//!
//! Pure functions of the configuration; any thread. Not here: the entries behind the keys (`agent::sessions`).

use serde_json::Value;

use crate::agent::sessions::Entry;
use crate::base::ids::{AgentId, SessionKey};
use crate::config::types::{AgentEntry, Config, SendPolicyMatch};

/// Agent when the configuration names none, or a name is nothing but odd characters.
const AGENT_FALLBACK: &str = "main";
/// Characters of an agent id.
const AGENT_ID_LEN_MAX: usize = 64;
/// Key of the one session of global scope.
const GLOBAL: &str = "global";
/// Key of sessions nobody can name.
const UNKNOWN: &str = "unknown";

/// Returns the id as directories and keys spell it: lower case, `[a-z0-9_-]`, at most 64 characters, `main` if empty.
pub fn normalize_agent_id(given: &str) -> AgentId {
    let lower = given.trim().to_lowercase();
    if is_agent_id(&lower) {
        return AgentId::new(lower);
    }
    let mut id = String::with_capacity(lower.len());
    for c in lower.chars() {
        if is_word_of_id(c) {
            id.push(c);
        } else if !id.ends_with('-') {
            id.push('-');
        }
    }
    let id: String = id.trim_matches('-').chars().take(AGENT_ID_LEN_MAX).collect();
    AgentId::new(if id.is_empty() { AGENT_FALLBACK.to_owned() } else { id })
}

/// Returns whether a text, lower-cased, is an agent's id as it stands: `[A-Za-z0-9_-]`, at most 64 characters, begun by none
/// of the signs.
pub fn is_agent_id(given: &str) -> bool {
    let starts_well = given.starts_with(|c: char| c.is_ascii_alphanumeric());
    starts_well && given.len() <= AGENT_ID_LEN_MAX && given.chars().all(is_word_of_id)
}

fn is_word_of_id(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-')
}

/// Returns every agent in the order of the configuration; never empty.
pub fn agent_ids(config: &Config) -> Vec<AgentId> {
    let mut ids: Vec<AgentId> = Vec::new();
    for entry in &config.agents.list {
        let id = normalize_agent_id(&entry.id);
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    if ids.is_empty() {
        ids.push(AgentId::new(AGENT_FALLBACK));
    }
    ids
}

/// Returns the agent that is meant when none is named: the first marked `default`, else the first, else `main`.
pub fn default_agent(config: &Config) -> AgentId {
    let list = &config.agents.list;
    let chosen = list.iter().find(|entry| entry.default).or(list.first());
    chosen.map_or_else(|| AgentId::new(AGENT_FALLBACK), |entry| normalize_agent_id(&entry.id))
}

/// Returns an agent's entry of `agents.list`, if it has one.
pub fn agent_entry<'a>(config: &'a Config, agent: &AgentId) -> Option<&'a AgentEntry> {
    config.agents.list.iter().find(|entry| normalize_agent_id(&entry.id) == *agent)
}

/// Returns an agent's entry of `agents.list` as it is written, with what has no type.
pub fn agent_tree<'a>(config: &'a Config, agent: &AgentId) -> Option<&'a Value> {
    let list = config.tree["agents"]["list"].as_array()?;
    list.iter().find(|entry| entry["id"].as_str().is_some_and(|id| normalize_agent_id(id) == *agent))
}

/// Returns the key under which the session that a client calls `given` is stored.
///
/// `agent` is whose session is meant when the key does not say; the default agent otherwise.
pub fn canonical_key(config: &Config, given: &str, agent: Option<&AgentId>) -> SessionKey {
    let given = given.trim().to_lowercase();
    let owner = || agent.cloned().unwrap_or_else(|| default_agent(config));
    match given.as_str() {
        "" | "main" => main_key(config, &owner()),
        GLOBAL | UNKNOWN => SessionKey::new(given),
        _ => match parse(&given) {
            Some((agent, "main")) => main_key(config, &normalize_agent_id(agent)),
            _ if given.starts_with("agent:") => SessionKey::new(given),
            _ => SessionKey::new(format!("agent:{}:{given}", owner())),
        },
    }
}

/// Returns the key of an agent's main session.
pub fn main_key(config: &Config, agent: &AgentId) -> SessionKey {
    if config.session.scope.as_deref() == Some(GLOBAL) {
        return SessionKey::new(GLOBAL);
    }
    SessionKey::new(format!("agent:{agent}:main"))
}

/// Returns the agent whose session it is; keys that do not say belong to the default agent.
pub fn agent_of_key(config: &Config, key: &SessionKey) -> AgentId {
    // Normalised again: the id names a directory, and the key may come from a client.
    parse(key.as_str()).map_or_else(|| default_agent(config), |(agent, _)| normalize_agent_id(agent))
}

/// Returns whether it is a sub-agent's session.
pub fn is_subagent(key: &SessionKey) -> bool {
    rest_of(key.as_str()).starts_with("subagent:")
}

/// What kind of conversation a key stands for, as reset rules tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// One person.
    Direct,
    /// A group or room.
    Group,
    /// A thread or topic within something.
    Thread,
}

impl KeyKind {
    /// Reads the kind off the key.
    pub fn of(key: &SessionKey) -> Self {
        let has = |marks: [&str; 2]| marks.iter().any(|mark| key.as_str().contains(mark));
        if has([":thread:", ":topic:"]) {
            Self::Thread
        } else if has([":group:", ":channel:"]) {
            Self::Group
        } else {
            Self::Direct
        }
    }
}

/// Returns whether the session may be answered: the entry's own policy, then the rules, then the default (allow).
pub fn send_policy(config: &Config, key: &SessionKey, entry: Option<&Entry>) -> bool {
    let own = entry.and_then(|entry| entry.send_policy.as_deref()).and_then(allows);
    if let Some(is_allowed) = own {
        return is_allowed;
    }
    let Some(policy) = &config.session.send_policy else { return true };
    let channel = entry
        .and_then(|entry| folded(entry.channel.as_deref()).or_else(|| folded(entry.last_channel.as_deref())))
        .or_else(|| channel_of_key(key));
    let chat_type = entry.and_then(|entry| folded(entry.chat_type.as_deref())).or_else(|| {
        ["group", "channel"].into_iter().find(|kind| key.as_str().contains(&format!(":{kind}:"))).map(str::to_owned)
    });
    let (channel, chat_type) = (channel.as_deref(), chat_type.as_deref());
    let mut is_named = false;
    for rule in policy.rules.iter().filter(|rule| applies(&rule.matches, channel, chat_type, key)) {
        if allows(&rule.action) == Some(false) {
            return false;
        }
        is_named = true;
    }
    is_named || policy.default.as_deref().and_then(allows).unwrap_or(true)
}

/// Returns whether a rule speaks of such a chat (direct, group or channel): what it leaves out fits all.
pub(super) fn applies(
    rule: &SendPolicyMatch,
    channel: Option<&str>,
    chat_type: Option<&str>,
    key: &SessionKey,
) -> bool {
    let same = |wanted: &Option<String>, have: Option<&str>| {
        folded(wanted.as_deref()).is_none_or(|wanted| Some(wanted.as_str()) == have)
    };
    same(&rule.channel, channel)
        && same(&rule.chat_type, chat_type)
        && folded(rule.key_prefix.as_deref()).is_none_or(|prefix| key.as_str().starts_with(&prefix))
}

/// Splits `agent:<id>:<rest>`; empty parts do not count.
fn parse(key: &str) -> Option<(&str, &str)> {
    let rest = key.strip_prefix("agent:")?.trim_start_matches(':');
    let (agent, rest) = rest.split_once(':')?;
    let rest = rest.trim_matches(':');
    (!rest.is_empty()).then_some((agent, rest))
}

/// Returns the key without `agent:<id>:`.
pub(super) fn rest_of(key: &str) -> &str {
    parse(key).map_or(key, |(_, rest)| rest)
}

fn channel_of_key(key: &SessionKey) -> Option<String> {
    let mut parts = rest_of(key.as_str()).split(':').filter(|part| !part.is_empty());
    let (channel, kind) = (parts.next()?, parts.next()?);
    (matches!(kind, "group" | "channel") && parts.next().is_some()).then(|| channel.to_owned())
}

fn allows(policy: &str) -> Option<bool> {
    match policy.trim().to_lowercase().as_str() {
        "allow" => Some(true),
        "deny" => Some(false),
        _ => None,
    }
}

/// Returns a value in the form in which rules compare it.
fn folded(value: Option<&str>) -> Option<String> {
    let value = value?.trim().to_lowercase();
    match value.as_str() {
        "" => None,
        "dm" => Some("direct".to_owned()),
        _ => Some(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn config(value: serde_json::Value) -> Config {
        serde_json::from_value(value).expect("configuration")
    }

    #[test]
    fn agent_ids_are_safe_names() {
        for (given, id) in
            [(" Main ", "main"), ("a/../b", "a-b"), ("", "main"), ("..", "main"), ("Ä x!", "x"), ("ops_2", "ops_2")]
        {
            assert_eq!(normalize_agent_id(given).as_str(), id, "{given}");
        }
        assert_eq!(normalize_agent_id(&"a".repeat(80)).as_str().len(), 64);
    }

    #[test]
    fn keys_are_canonical() {
        let plain = config(json!({"agents": {"list": [{"id": "one"}, {"id": "Ops", "default": true}]}}));
        assert_eq!(agent_ids(&plain), [AgentId::new("one"), AgentId::new("ops")]);
        for (given, key) in [
            ("main", "agent:ops:main"),
            ("", "agent:ops:main"),
            ("agent:ONE:Main", "agent:one:main"),
            ("Cron:X", "agent:ops:cron:x"),
            ("global", "global"),
            ("agent:one:telegram:group:-1", "agent:one:telegram:group:-1"),
        ] {
            assert_eq!(canonical_key(&plain, given, None).as_str(), key, "{given}");
        }
        let key = canonical_key(&plain, "agent:../../x:y", None);
        assert_eq!(agent_of_key(&plain, &key).as_str(), "x");
        assert_eq!(agent_of_key(&plain, &SessionKey::new("unknown")).as_str(), "ops");
        let global = config(json!({"session": {"scope": "global"}}));
        assert_eq!(canonical_key(&global, "agent:main:main", None).as_str(), "global");
    }

    #[test]
    fn send_policy_deny_wins() {
        let config = config(json!({"session": {"sendPolicy": {"default": "deny", "rules": [
            {"action": "allow", "match": {"channel": "telegram"}},
            {"action": "deny", "match": {"chatType": "group"}},
        ]}}}));
        let allowed = |key: &str| send_policy(&config, &SessionKey::new(key), None);
        assert!(!allowed("agent:main:main"));
        assert!(!allowed("agent:main:telegram:group:-1"));
        assert!(allowed("agent:main:telegram:channel:1"));
        let entry = Entry { send_policy: Some("allow".into()), ..Entry::default() };
        assert!(send_policy(&config, &SessionKey::new("agent:main:main"), Some(&entry)));
    }
}
