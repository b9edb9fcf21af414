//! `sessions.resolve`: which session a key, a transcript id or a label means (protocol.md §5.5).

use super::{Sessions, Stored};
use crate::agent::listing::{Filter, collect};
use crate::agent::session;
use crate::base::ids::SessionKey;
use crate::base::text::trimmed;
use crate::config::types::Config;

/// What is looked for: one of `key`, `session_id` and the filter's label.
#[derive(Debug, Default)]
pub struct Query {
    /// A session key as clients spell it.
    pub key: Option<String>,
    /// Id of a transcript, or a stored key.
    pub session_id: Option<String>,
    /// What narrows the search by id and by label.
    pub filter: Filter,
}

/// Returns the one session that is meant.
///
/// # Errors
/// A text for the client: too little or too much was said, or no session or several are meant.
pub fn find(config: &Config, sessions: &Sessions, query: Query) -> Result<SessionKey, String> {
    let Query { key, session_id, mut filter } = query;
    filter.label = filter.label.and_then(trimmed);
    match (key.and_then(trimmed), session_id.and_then(trimmed), filter.label.clone()) {
        (None, None, None) => Err("Either key, sessionId, or label is required".to_owned()),
        (Some(given), None, None) => {
            let key = session::canonical_key(config, &given, None);
            sessions.entry(&key).map(|_| key).ok_or_else(|| format!("No session found: {given}"))
        }
        (None, Some(id), None) => {
            let mut found = collect(config, sessions, &filter);
            let has_id = |it: &Stored| it.mentions(&id) && it.entry().is_some_and(|entry| entry.session_id == id);
            found.retain(|it| it.key.as_str() == id || has_id(it));
            only(&found, &format!(": {id}"), &format!("for sessionId: {id}"))
        }
        (None, None, Some(label)) => {
            let with = format!("with label: {label}");
            only(&collect(config, sessions, &filter), &format!(" {with}"), &with)
        }
        _ => Err("Provide either key, sessionId, or label (not multiple)".to_owned()),
    }
}

fn only(found: &[Stored], none: &str, several: &str) -> Result<SessionKey, String> {
    match found {
        [] => Err(format!("No session found{none}")),
        [it] => Ok(it.key.clone()),
        _ => {
            let keys: Vec<&str> = found.iter().map(|it| it.key.as_str()).collect();
            Err(format!("Multiple sessions found {several} ({})", keys.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::sessions::Entry;
    use crate::agent::sessions::tests::sessions;
    use crate::base::fs::testing::TempDir;
    use serde_json::json;

    #[test]
    fn one_session_or_a_reason() {
        let dir = TempDir::new("find");
        let (sessions, _) = sessions(&dir, &json!({}));
        let config = sessions.config.get();
        for (key, id, label) in [("main", "s1", "One"), ("a", "s2", "Two"), ("b", "s2", "Two"), ("global", "g", "G")] {
            let key = session::canonical_key(&config, key, None);
            let change = |entry: &mut Entry| (entry.session_id, entry.label) = (id.into(), Some(label.into()));
            sessions.update(&key, change).expect("update");
        }
        let query = |key: &str, id: &str, label: &str| {
            let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
            let filter = Filter { label: text(label), ..Filter::default() };
            find(&config, &sessions, Query { key: text(key), session_id: text(id), filter }).map(String::from)
        };
        let main = || Ok("agent:main:main".to_owned());
        assert_eq!(query("main", "", ""), main());
        assert_eq!(query("", "s1", ""), main());
        assert_eq!(query("", "agent:main:main", ""), main());
        assert_eq!(query("", "", " One "), main());
        for (key, id, label, text) in [
            ("", " ", "", "Either key, sessionId, or label is required"),
            ("a", "", "b", "Provide either key, sessionId, or label (not multiple)"),
            ("nope", "", "", "No session found: nope"),
            ("", "nope", "", "No session found: nope"),
            ("", "g", "", "No session found: g"),
            ("", "", "none", "No session found with label: none"),
            ("", "s2", "", "Multiple sessions found for sessionId: s2 (agent:main:a, agent:main:b)"),
            ("", "", "Two", "Multiple sessions found with label: Two (agent:main:a, agent:main:b)"),
        ] {
            assert_eq!(query(key, id, label), Err(text.to_owned()));
        }
    }
}
