//! What `sessions.patch` may change of a session, and the words with which it refuses (protocol.md §5.5).
//!
//! Pure: an entry and a patch in, the changed entry or one text out. A refused patch changes nothing. Not here: storing
//! the entry (`agent::sessions`).

use super::Entry;
use crate::agent::models::{self, Name};
use crate::agent::{levels, session};
use crate::base::ids::{AgentId, SessionKey};
use crate::config::types::Config;
use crate::protocol::sessions::{ResponseUsage, SessionsPatchParams};
use crate::protocol::{NonEmpty, Patched};

/// Characters of a label.
const LABEL_LEN_MAX: usize = 64;

/// Whose entry it is, and what else counts.
pub(super) struct Session<'a> {
    pub(super) config: &'a Config,
    pub(super) agent: &'a AgentId,
    pub(super) key: &'a SessionKey,
    /// Whether another session of the store has this label.
    pub(super) is_taken: &'a dyn Fn(&str) -> bool,
}

impl Session<'_> {
    /// Returns the model of the session's next turn.
    fn model_of(&self, entry: &Entry) -> Name {
        models::chosen_name(self.config, self.agent, Some(entry))
    }
}

/// Applies a patch. The order is the original's, as the first refusal is the one that is told.
pub(super) fn apply(session: &Session<'_>, entry: &mut Entry, patch: SessionsPatchParams) -> Result<(), String> {
    spawned_by(session, entry, patch.spawned_by)?;
    set(&mut entry.label, patch.label, |text| label(session, &text.0))?;
    let sets_thinking = matches!(patch.thinking_level, Patched::Set(_));
    thinking(session, entry, patch.thinking_level)?;
    set(&mut entry.verbose_level, patch.verbose_level, |word| {
        word_of(levels::verbose(&word), "verboseLevel", &["on", "off"])
    })?;
    set(&mut entry.reasoning_level, patch.reasoning_level, |word| {
        word_of(levels::reasoning(&word), "reasoningLevel", &["on", "off", "stream"])
    })?;
    entry.reasoning_level.take_if(|word| word == "off");
    set(&mut entry.response_usage, patch.response_usage, |usage| {
        Ok(if usage == ResponseUsage::On { ResponseUsage::Tokens } else { usage }.as_str().to_owned())
    })?;
    entry.response_usage.take_if(|word| word == "off");
    set(&mut entry.elevated_level, patch.elevated_level, |word| {
        word_of(levels::elevated(&word), "elevatedLevel", &["on", "off", "ask", "full"])
    })?;
    set(&mut entry.exec_host, patch.exec_host, |word| one_of(&word, "execHost", &["sandbox", "gateway", "node"]))?;
    set(&mut entry.exec_security, patch.exec_security, |word| {
        one_of(&word, "execSecurity", &["deny", "allowlist", "full"])
    })?;
    set(&mut entry.exec_ask, patch.exec_ask, |word| one_of(&word, "execAsk", &["off", "on-miss", "always"]))?;
    set(&mut entry.exec_node, patch.exec_node, |node| trimmed(&node, "execNode"))?;
    model(session, entry, patch.model)?;
    xhigh(session, entry, sets_thinking)?;
    set(&mut entry.send_policy, patch.send_policy, |policy| Ok(policy.as_str().to_owned()))?;
    set(&mut entry.group_activation, patch.group_activation, |activation| Ok(activation.as_str().to_owned()))
}

fn set<T>(
    field: &mut Option<String>,
    patch: Patched<T>,
    value: impl FnOnce(T) -> Result<String, String>,
) -> Result<(), String> {
    match patch {
        Patched::Keep => {}
        Patched::Clear => *field = None,
        Patched::Set(given) => *field = Some(value(given)?),
    }
    Ok(())
}

fn trimmed(text: &str, field: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err(format!("invalid {field}: empty")),
        text => Ok(text.to_owned()),
    }
}

fn one_of(text: &str, field: &str, words: &[&'static str]) -> Result<String, String> {
    let word = text.trim().to_lowercase();
    word_of(words.iter().find(|known| **known == word).copied(), field, words)
}

fn word_of(word: Option<&str>, field: &str, words: &[&str]) -> Result<String, String> {
    word.map(str::to_owned).ok_or_else(|| {
        let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
        format!("invalid {field} (use {})", quoted.join("|"))
    })
}

fn label(session: &Session<'_>, text: &str) -> Result<String, String> {
    let label = trimmed(text, "label")?;
    if label.chars().count() > LABEL_LEN_MAX {
        return Err(format!("invalid label: too long (max {LABEL_LEN_MAX})"));
    }
    if (session.is_taken)(&label) { Err(format!("label already in use: {label}")) } else { Ok(label) }
}

fn thinking(session: &Session<'_>, entry: &mut Entry, patch: Patched<NonEmpty>) -> Result<(), String> {
    let level = match patch {
        Patched::Keep => return Ok(()),
        Patched::Clear => None,
        Patched::Set(word) => Some(levels::thinking(&word).ok_or_else(|| {
            let more = if levels::has_xhigh(&session.model_of(entry)) { "|xhigh" } else { "" };
            format!("invalid thinkingLevel (use {}{more})", levels::THINKING.join("|"))
        })?),
    };
    // compat: `off` leaves nothing behind; but where that would bring thinking back, as the original's does for models
    // that reason, it is kept.
    let is_plain = || {
        let model = models::resolve(session.config, session.agent, Some(entry), None).ok();
        levels::thinking_default(session.config, model.as_ref()) == "off"
    };
    entry.thinking_level = level.filter(|&level| level != "off" || !is_plain()).map(str::to_owned);
    Ok(())
}

fn spawned_by(session: &Session<'_>, entry: &mut Entry, patch: Patched<NonEmpty>) -> Result<(), String> {
    let refuse = |text: &str| Err(text.to_owned());
    let parent = match patch {
        Patched::Keep => return Ok(()),
        Patched::Clear if entry.spawned_by.is_some() => return refuse("spawnedBy cannot be cleared once set"),
        Patched::Clear => return Ok(()),
        Patched::Set(parent) => trimmed(&parent, "spawnedBy")?,
    };
    if !session::is_subagent(session.key) {
        return refuse("spawnedBy is only supported for subagent:* sessions");
    }
    if entry.spawned_by.as_ref().is_some_and(|known| *known != parent) {
        return refuse("spawnedBy cannot be changed once set");
    }
    entry.spawned_by = Some(parent);
    Ok(())
}

fn model(session: &Session<'_>, entry: &mut Entry, patch: Patched<NonEmpty>) -> Result<(), String> {
    let chosen = match patch {
        Patched::Keep => return Ok(()),
        Patched::Clear => None,
        Patched::Set(text) => {
            let text = trimmed(&text, "model")?;
            let name = models::parse_name(session.config, &text).ok_or_else(|| format!("invalid model: {text}"))?;
            if !models::is_allowed(session.config, session.agent, &name) {
                return Err(format!("model not allowed: {name}"));
            }
            Some(name).filter(|name| *name != session.model_of(&Entry::default()))
        }
    };
    let before = (entry.provider_override.take(), entry.model_override.take());
    (entry.provider_override, entry.model_override) = chosen.map(|name| (name.provider, name.id)).unzip();
    if before != (entry.provider_override.clone(), entry.model_override.clone()) {
        // It was the window of the model before.
        entry.context_tokens = None;
    }
    Ok(())
}

/// Refuses a level that the model does not have; one that was set before a change of models is lowered.
fn xhigh(session: &Session<'_>, entry: &mut Entry, sets_thinking: bool) -> Result<(), String> {
    if entry.thinking_level.as_deref() != Some("xhigh") || levels::has_xhigh(&session.model_of(entry)) {
        return Ok(());
    }
    if sets_thinking {
        return Err(format!("thinkingLevel \"xhigh\" is only supported for {}", levels::xhigh_models()));
    }
    entry.thinking_level = Some("high".to_owned());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// Applies a patch to an entry under a key; gives what changed of the entry, or the refusal.
    fn patched(key: &str, entry: Value, patch: Value) -> Result<Value, String> {
        let config: Config = serde_json::from_value(json!({
            "agents": {"defaults": {"model": {"primary": "openai/gpt-5.2"},
                "models": {"openai/gpt-5.2": {}, "mock/m1": {"alias": "Fast"}}}},
            "models": {"providers": {"mock": {"baseUrl": "http://h/v1", "models": [{"id": "m1", "name": "M1"}]}}},
        }))
        .expect("configuration");
        let mut patch = patch;
        patch["key"] = key.into();
        let mut entry: Entry = serde_json::from_value(entry).expect("entry");
        let (agent, key) = (AgentId::new("main"), SessionKey::new(key));
        let session = Session { config: &config, agent: &agent, key: &key, is_taken: &|label| label == "Taken" };
        apply(&session, &mut entry, serde_json::from_value(patch).expect("patch"))?;
        let mut shown = serde_json::to_value(entry).expect("JSON");
        let object = shown.as_object_mut().expect("object");
        object.retain(|key, _| !matches!(key.as_str(), "sessionId" | "updatedAt"));
        Ok(shown)
    }

    #[test]
    fn fields_are_set_normalised_and_cleared() {
        let slow = json!({"providerOverride": "mock", "modelOverride": "m1"});
        let with = |field: &str, value: Value| {
            let mut entry = slow.clone();
            entry[field] = value;
            entry
        };
        for (entry, patch, wanted) in [
            (json!({}), json!({"label": " My label "}), json!({"label": "My label"})),
            (json!({"label": "x"}), json!({"label": null}), json!({})),
            (json!({"label": "x"}), json!({}), json!({"label": "x"})),
            (json!({}), json!({"thinkingLevel": "THINK"}), json!({"thinkingLevel": "minimal"})),
            // The default model reasons, so that `off` must be said; the other one does not think anyway.
            (json!({}), json!({"thinkingLevel": "xhigh"}), json!({"thinkingLevel": "xhigh"})),
            (with("thinkingLevel", json!("low")), json!({"thinkingLevel": "off"}), slow.clone()),
            (json!({"thinkingLevel": "low"}), json!({"thinkingLevel": null}), json!({})),
            (json!({}), json!({"verboseLevel": "no"}), json!({"verboseLevel": "off"})),
            (json!({"reasoningLevel": "on"}), json!({"reasoningLevel": "off"}), json!({})),
            (json!({}), json!({"responseUsage": "on"}), json!({"responseUsage": "tokens"})),
            (json!({"responseUsage": "full"}), json!({"responseUsage": "off"}), json!({})),
            (json!({}), json!({"elevatedLevel": "off"}), json!({"elevatedLevel": "off"})),
            (json!({}), json!({"execHost": " Node ", "execNode": " n "}), json!({"execHost": "node", "execNode": "n"})),
            (
                json!({}),
                json!({"execSecurity": "full", "execAsk": "on-miss"}),
                json!({"execSecurity": "full", "execAsk": "on-miss"}),
            ),
            (json!({"contextTokens": 5}), json!({"model": "fast"}), slow.clone()),
            (slow.clone(), json!({"model": "openai/gpt-5.2"}), json!({})),
            (slow.clone(), json!({"model": null}), json!({})),
            (json!({"thinkingLevel": "xhigh"}), json!({"model": "mock/m1"}), with("thinkingLevel", json!("high"))),
            (
                json!({}),
                json!({"sendPolicy": "deny", "groupActivation": "always"}),
                json!({"sendPolicy": "deny", "groupActivation": "always"}),
            ),
        ] {
            assert_eq!(patched("agent:main:main", entry, patch.clone()), Ok(wanted), "{patch}");
        }
        let child = json!({"spawnedBy": "agent:main:main"});
        assert_eq!(patched("agent:main:subagent:1", json!({}), child.clone()), Ok(child));
    }

    #[test]
    fn refusals_are_worded_as_the_originals() {
        for (key, entry, patch, text) in [
            ("k", json!({}), json!({"label": "Taken"}), "label already in use: Taken"),
            ("k", json!({}), json!({"label": "  "}), "invalid label: empty"),
            (
                "k",
                json!({}),
                json!({"thinkingLevel": "x"}),
                "invalid thinkingLevel (use off|minimal|low|medium|high|xhigh)",
            ),
            (
                "k",
                json!({"providerOverride": "mock", "modelOverride": "m1"}),
                json!({"thinkingLevel": "x"}),
                "invalid thinkingLevel (use off|minimal|low|medium|high)",
            ),
            (
                "k",
                json!({}),
                json!({"model": "mock/m1", "thinkingLevel": "xhigh"}),
                "thinkingLevel \"xhigh\" is only supported for openai/gpt-5.2, openai-codex/gpt-5.2-codex or \
                 openai-codex/gpt-5.1-codex",
            ),
            ("k", json!({}), json!({"verboseLevel": "x"}), "invalid verboseLevel (use \"on\"|\"off\")"),
            ("k", json!({}), json!({"reasoningLevel": "x"}), "invalid reasoningLevel (use \"on\"|\"off\"|\"stream\")"),
            (
                "k",
                json!({}),
                json!({"elevatedLevel": "x"}),
                "invalid elevatedLevel (use \"on\"|\"off\"|\"ask\"|\"full\")",
            ),
            ("k", json!({}), json!({"execHost": "x"}), "invalid execHost (use \"sandbox\"|\"gateway\"|\"node\")"),
            (
                "k",
                json!({}),
                json!({"execSecurity": "x"}),
                "invalid execSecurity (use \"deny\"|\"allowlist\"|\"full\")",
            ),
            ("k", json!({}), json!({"execAsk": "x"}), "invalid execAsk (use \"off\"|\"on-miss\"|\"always\")"),
            ("k", json!({}), json!({"execNode": " "}), "invalid execNode: empty"),
            ("k", json!({}), json!({"model": " "}), "invalid model: empty"),
            ("k", json!({}), json!({"model": "nope/none"}), "model not allowed: nope/none"),
            ("k", json!({}), json!({"spawnedBy": "x"}), "spawnedBy is only supported for subagent:* sessions"),
            (
                "subagent:1",
                json!({"spawnedBy": "x"}),
                json!({"spawnedBy": "y"}),
                "spawnedBy cannot be changed once set",
            ),
            (
                "subagent:1",
                json!({"spawnedBy": "x"}),
                json!({"spawnedBy": null}),
                "spawnedBy cannot be cleared once set",
            ),
        ] {
            assert_eq!(patched(key, entry, patch.clone()), Err(text.to_owned()), "{patch}");
        }
    }
}
