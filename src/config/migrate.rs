//! Keys of older versions: finding them, and moving what they hold to where it stands now (config.md §7).
//!
//! Works on the file as parsed: [`issues`] finds, [`migrate`] moves, by the steps in `migrate/steps.rs`. Not here: who
//! migrates and when (gateway boot, doctor, `config.patch`), and whether the result is valid (`load`).

mod steps;

use serde_json::Value;

use super::issue::Issue;
use super::tree::get;

/// Old path, what is said about it, whether only a string is old there.
const RULES: [(&str, &str, bool); 28] = [
    ("whatsapp", "whatsapp config moved to channels.whatsapp", false),
    ("telegram", "telegram config moved to channels.telegram", false),
    ("discord", "discord config moved to channels.discord", false),
    ("slack", "slack config moved to channels.slack", false),
    ("signal", "signal config moved to channels.signal", false),
    ("imessage", "imessage config moved to channels.imessage", false),
    ("msteams", "msteams config moved to channels.msteams", false),
    ("routing.allowFrom", "routing.allowFrom was removed; use channels.whatsapp.allowFrom instead", false),
    ("routing.bindings", "routing.bindings was moved; use bindings instead", false),
    ("routing.agents", "routing.agents was moved; use agents.list instead", false),
    ("routing.defaultAgentId", "routing.defaultAgentId was moved; use agents.list[].default instead", false),
    ("routing.agentToAgent", "routing.agentToAgent was moved; use tools.agentToAgent instead", false),
    (
        "routing.groupChat.requireMention",
        "routing.groupChat.requireMention was removed; use channels.whatsapp/telegram/imessage.groups.\"*\".requireMention instead",
        false,
    ),
    (
        "routing.groupChat.mentionPatterns",
        "routing.groupChat.mentionPatterns was moved; use agents.list[].groupChat.mentionPatterns or messages.groupChat.mentionPatterns instead",
        false,
    ),
    ("routing.queue", "routing.queue was moved; use messages.queue instead", false),
    ("routing.transcribeAudio", "routing.transcribeAudio was moved; use tools.media.audio.models instead", false),
    (
        "telegram.requireMention",
        "telegram.requireMention was removed; use channels.telegram.groups.\"*\".requireMention instead",
        false,
    ),
    ("identity", "identity was moved; use agents.list[].identity instead", false),
    ("agent", "agent.* was moved; use agents.defaults and tools.* instead", false),
    ("tools.bash", "tools.bash was removed; use tools.exec instead", false),
    (
        "agent.model",
        "agent.model string was replaced by agents.defaults.model.primary/fallbacks and agents.defaults.models",
        true,
    ),
    ("agent.imageModel", "agent.imageModel string was replaced by agents.defaults.imageModel.primary/fallbacks", true),
    ("agent.allowedModels", "agent.allowedModels was replaced by agents.defaults.models", false),
    ("agent.modelAliases", "agent.modelAliases was replaced by agents.defaults.models.*.alias", false),
    ("agent.modelFallbacks", "agent.modelFallbacks was replaced by agents.defaults.model.fallbacks", false),
    (
        "agent.imageModelFallbacks",
        "agent.imageModelFallbacks was replaced by agents.defaults.imageModel.fallbacks",
        false,
    ),
    ("messages.tts.enabled", "messages.tts.enabled was replaced by messages.tts.auto (always/off)", false),
    ("gateway.token", "gateway.token is ignored; use gateway.auth.token instead", false),
];

/// Returns one issue for every old key that is present, whatever it holds.
pub fn issues(tree: &Value) -> Vec<Issue> {
    let hit = |&&(path, _, only_string): &&(&str, &str, bool)| {
        let segments: Vec<_> = path.split('.').collect();
        get(tree, &segments).is_some_and(|value| !only_string || value.is_string())
    };
    let issue = |&(path, text, _): &(&str, &str, bool)| Issue::new(path, format!("{text} (auto-migrated on load)."));
    RULES.iter().filter(hit).map(issue).collect()
}

/// Moves everything old that can be moved; returns one line for people per change, none when nothing was old.
pub fn migrate(tree: &mut Value) -> Vec<String> {
    let mut changes = Vec::new();
    if tree.is_object() {
        for step in steps::STEPS {
            step(tree, &mut changes);
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn old_keys_are_found() {
        let tree = json!({"agent": {"model": "x"}, "identity": null, "tools": {"bash": {}}, "telegram": {"requireMention": true}});
        let found: Vec<_> = issues(&tree).into_iter().map(|issue| issue.path).collect();
        assert_eq!(found, ["telegram", "telegram.requireMention", "identity", "agent", "tools.bash", "agent.model"]);
        assert_eq!(issues(&json!({"agent": {"model": {}}})).len(), 1);
        assert_eq!(issues(&json!([])), []);
    }

    #[test]
    fn old_keys_are_moved() {
        for (old, new, lines) in [
            (json!({"gateway": {"port": 1}}), json!({"gateway": {"port": 1}}), 0),
            (
                json!({"bindings": [{"match": {"provider": " x ", "accountID": "a"}}]}),
                json!({"bindings": [{"match": {"channel": "x", "accountId": "a"}}]}),
                2,
            ),
            (
                json!({"session": {"sendPolicy": {"rules": [{"match": {"provider": "x"}}]}}}),
                json!({"session": {"sendPolicy": {"rules": [{"match": {"channel": "x"}}]}}}),
                1,
            ),
            (
                json!({"telegram": {"botToken": "a", "name": "n", "requireMention": true}, "channels": {"telegram": {"name": "k"}}}),
                json!({"channels": {"telegram": {"name": "k", "botToken": "a", "groups": {"*": {"requireMention": true}}}}}),
                2,
            ),
            (json!({"routing": {"allowFrom": ["1"]}}), json!({}), 1),
            (
                json!({"routing": {"allowFrom": ["1"], "groupChat": {"requireMention": true}}, "whatsapp": {"selfChatMode": true}}),
                json!({"channels": {
                    "whatsapp": {"selfChatMode": true, "allowFrom": ["1"], "groups": {"*": {"requireMention": true}}},
                    "telegram": {"groups": {"*": {"requireMention": true}}},
                    "imessage": {"groups": {"*": {"requireMention": true}}}}}),
                5,
            ),
            (
                json!({"gateway": {"token": "t", "auth": {"mode": "password"}}}),
                json!({"gateway": {"auth": {"mode": "password", "token": "t"}}}),
                1,
            ),
            (json!({"gateway": {"token": "t"}}), json!({"gateway": {"auth": {"token": "t", "mode": "token"}}}), 1),
            (
                json!({"agent": {"model": "p/a", "modelFallbacks": ["p/b"], "allowedModels": ["p/c"], "modelAliases": {"z": "p/a"},
                    "tools": {"allow": ["x"]}, "bash": {"timeoutSec": 1}, "sandbox": {"mode": "off", "tools": {"deny": ["y"]}}}}),
                json!({
                    "agents": {"defaults": {"model": {"primary": "p/a", "fallbacks": ["p/b"]}, "sandbox": {"mode": "off"},
                        "models": {"p/a": {"alias": "z"}, "p/c": {}, "p/b": {}}}},
                    "tools": {"allow": ["x"], "exec": {"timeoutSec": 1}, "sandbox": {"tools": {"deny": ["y"]}}}}),
                8,
            ),
            (
                json!({"agents": {"defaults": {"model": "p/a"}}}),
                json!({"agents": {"defaults": {"model": {"primary": "p/a", "fallbacks": []}, "models": {"p/a": {}}}}}),
                1,
            ),
            (
                json!({"routing": {"agents": {"w": {"mentionPatterns": ["a"], "workspace": "/w", "sandbox": {"tools": {"allow": []}}}},
                    "defaultAgentId": "w", "bindings": [], "queue": {}, "agentToAgent": {}, "groupChat": {"historyLimit": 3},
                    "transcribeAudio": {"command": ["/bin/whisper", "-x"]}}}),
                json!({
                    "agents": {"list": [{"id": "w", "groupChat": {"mentionPatterns": ["a"]}, "tools": {"sandbox": {"tools": {"allow": []}}},
                        "workspace": "/w", "sandbox": {}, "default": true}]},
                    "bindings": [], "messages": {"queue": {}, "groupChat": {"historyLimit": 3}},
                    "tools": {"agentToAgent": {}, "media": {"audio": {"enabled": true,
                        "models": [{"command": "/bin/whisper", "type": "cli", "args": ["-x"]}]}}}}),
                9,
            ),
            (
                json!({"auth": {"profiles": {"anthropic:claude-cli": {"mode": "token"}}}, "messages": {"tts": {"enabled": true}}}),
                json!({"auth": {"profiles": {"anthropic:claude-cli": {"mode": "oauth"}}}, "messages": {"tts": {"auto": "always"}}}),
                2,
            ),
            (json!({"messages": {"tts": {"enabled": null}}}), json!({"messages": {"tts": {"enabled": null}}}), 0),
            (json!({"telegram": 1}), json!({"telegram": 1}), 0),
            (
                json!({"identity": {"name": "x"}, "agents": {"list": [{"id": "a"}, {"id": "b", "default": true}]}}),
                json!({"agents": {"list": [{"id": "a"}, {"id": "b", "default": true, "identity": {"name": "x"}}]}}),
                1,
            ),
        ] {
            let mut tree = old.clone();
            let changes = migrate(&mut tree);
            assert_eq!(tree, new, "{changes:?}");
            assert_eq!(changes.len(), lines, "{old}: {changes:?}");
        }
    }
}
