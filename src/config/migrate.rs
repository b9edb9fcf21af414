//! Keys of older versions: finding them, and moving what they hold to where it stands now (config.md §7).
//!
//! Works on the file as parsed. Not here: who migrates and when (gateway boot, doctor, `config.patch`).

use serde_json::Value;

use super::load::Issue;
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
