//! Who may have commands carried out beyond the sandbox: two gates, the switch and the list of senders (agent.md §24).
//!
//! Pure. Not here: what elevation changes for a command (`tools::exec`).

use serde_json::Value;

use crate::agent::session;
use crate::agent::sessions::Entry;
use crate::agent::speaker::Speaker;
use crate::agent::tools::sandbox;
use crate::base::ids::{AgentId, SessionKey};
use crate::config::types::Config;

/// Returns the gates that are shut for a speaker, each with the key that opens it; none means that elevation is allowed.
/// A run that nobody spoke for is let through only by a list that names everybody (`*`).
pub fn shut_gates(
    config: &Config,
    agent: &AgentId,
    channel: &str,
    speaker: Option<&Speaker>,
) -> Vec<(&'static str, String)> {
    let own = session::agent_entry(config, agent).and_then(|entry| entry.tools.as_ref());
    let own = own.map_or(&Value::Null, |tools| &tools["elevated"]);
    let all = &config.tree["tools"]["elevated"];
    let mut shut = Vec::new();
    let list = format!("agents.list[{agent}].tools.elevated");
    for (settings, key, must_list) in [(all, "tools.elevated", true), (own, list.as_str(), false)] {
        if settings["enabled"].as_bool() == Some(false) {
            shut.push(("enabled", format!("{key}.enabled")));
        }
        let allow = settings["allowFrom"][channel].as_array();
        let is_listed = allow.is_some_and(|list| {
            list.iter().any(|entry| match entry {
                Value::String(entry) => names(entry, channel, speaker),
                Value::Number(entry) => names(&entry.to_string(), channel, speaker),
                _ => false,
            })
        });
        if !is_listed && (must_list || !settings["allowFrom"].is_null()) {
            shut.push(("allowFrom", format!("{key}.allowFrom.{channel}")));
        }
    }
    shut
}

/// Returns how far a session's commands are elevated: its own level, else the configured one.
pub fn level<'a>(config: &'a Config, entry: &'a Entry) -> &'a str {
    let configured = config.tree["agents"]["defaults"]["elevatedDefault"].as_str();
    entry.elevated_level.as_deref().or(configured).unwrap_or("on")
}

/// Words for people and models why elevation is refused.
pub fn refusal(
    config: &Config,
    agent: &AgentId,
    session: &SessionKey,
    channel: &str,
    shut: &[(&'static str, String)],
) -> String {
    let runtime = if sandbox::is_asked_for(config, agent, session) { "sandboxed" } else { "direct" };
    let gates: Vec<String> = shut.iter().map(|(gate, key)| format!("{gate} ({key})")).collect();
    format!(
        "elevated is not available right now (runtime={runtime}).\nFailing gates: {}\nFix-it keys:\n- tools.elevated.enabled\n\
         - tools.elevated.allowFrom.{channel}\n- agents.list[].tools.elevated.enabled\n\
         - agents.list[].tools.elevated.allowFrom.{channel}\nSee: clawdbot sandbox explain --session {session}",
        gates.join(", "),
    )
}

/// Returns whether an entry of `allowFrom` means who speaks: everybody (`*`), an id or number, or a username.
///
/// compat: the original also compares names that people give themselves, which anybody can take.
fn names(entry: &str, channel: &str, speaker: Option<&Speaker>) -> bool {
    let bare = |text: &str| {
        let text = text.trim().to_lowercase();
        let text = text.strip_prefix(channel).and_then(|rest| rest.strip_prefix(':')).unwrap_or(&text);
        text.trim_start_matches(['@', '+']).to_owned()
    };
    let entry = bare(entry);
    let is = |text: &Option<String>| text.as_deref().is_some_and(|text| !entry.is_empty() && bare(text) == entry);
    entry == "*" || speaker.is_some_and(|speaker| is(&speaker.id) || is(&speaker.username))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ids_and_usernames_are_people_and_names_are_not() {
        let speaker = Speaker {
            id: Some("12345".into()),
            username: Some("Ada_L".into()),
            name: Some("Ada".into()),
            ..Speaker::default()
        };
        for (entry, expected) in [
            ("*", true),
            ("12345", true),
            ("telegram:12345", true),
            ("@ada_l", true),
            ("Ada", false),
            ("", false),
            ("whatsapp:12345", false),
        ] {
            assert_eq!(names(entry, "telegram", Some(&speaker)), expected, "{entry}");
        }
        assert!(names("+49 1", "whatsapp", Some(&Speaker { id: Some("+49 1".into()), ..Speaker::default() })));
        assert!(!names("12345", "telegram", None));
    }

    #[test]
    fn shut_gates_name_their_keys() {
        let tree = json!({"tools": {"elevated": {"allowFrom": {"telegram": [42], "webchat": ["*"]}}}});
        let config = Config { tree, ..Config::default() };
        let agent = AgentId::new("main");
        assert!(shut_gates(&config, &agent, "webchat", None).is_empty());
        let shut = shut_gates(&config, &agent, "telegram", None);
        assert_eq!(shut, [("allowFrom", "tools.elevated.allowFrom.telegram".to_owned())]);
    }
}
