//! Which tools a session may use (agent.md §22).
//!
//! Layers from the configuration, all of which must allow a tool: profile, global lists, per provider or model, per agent,
//! per group chat, sandbox, sub-agent. Within a layer deny wins, and an allowlist that is absent or empty allows all.
//! Pure. Not here: what a tool does; approvals of single commands (`exec`).

use serde_json::Value;

use super::sandbox;
use crate::agent::session;
use crate::base::ids::{AgentId, SessionKey};
use crate::base::text::fits_pattern;
use crate::config::types::Config;

/// Groups of tools.
const GROUPS: [(&str, &[&str]); 10] = [
    ("group:memory", &["memory_search", "memory_get"]),
    ("group:web", &["web_search", "web_fetch"]),
    ("group:fs", &["read", "write", "edit", "apply_patch"]),
    ("group:runtime", &["exec", "process"]),
    ("group:sessions", &["sessions_list", "sessions_history", "sessions_send", "sessions_spawn", "session_status"]),
    ("group:ui", &["browser", "canvas"]),
    ("group:automation", &["cron", "gateway"]),
    ("group:messaging", &["message"]),
    ("group:nodes", &["nodes"]),
    (
        "group:clawdbot",
        &[
            "browser",
            "canvas",
            "nodes",
            "cron",
            "message",
            "gateway",
            "agents_list",
            "sessions_list",
            "sessions_history",
            "sessions_send",
            "sessions_spawn",
            "session_status",
            "memory_search",
            "memory_get",
            "web_search",
            "web_fetch",
            "image",
        ],
    ),
];

/// Profiles that are no free choice.
const PROFILES: [(&str, &[&str]); 3] = [
    ("minimal", &["session_status"]),
    ("coding", &["group:fs", "group:runtime", "group:sessions", "group:memory", "image"]),
    ("messaging", &["group:messaging", "sessions_list", "sessions_history", "sessions_send", "session_status"]),
];

/// What sub-agents may not use unless they are configured to.
const SUBAGENT_DENY: [&str; 11] = [
    "sessions_list",
    "sessions_history",
    "sessions_send",
    "sessions_spawn",
    "gateway",
    "agents_list",
    "whatsapp_login",
    "session_status",
    "cron",
    "memory_search",
    "memory_get",
];

/// What sandboxed sessions may use and may not, unless it is configured.
const SANDBOX_ALLOW: [&str; 12] = [
    "exec",
    "process",
    "read",
    "write",
    "edit",
    "apply_patch",
    "image",
    "sessions_list",
    "sessions_history",
    "sessions_send",
    "sessions_spawn",
    "session_status",
];
const SANDBOX_DENY: [&str; 7] = ["browser", "canvas", "nodes", "cron", "gateway", "telegram", "whatsapp"];

/// Whose tools are asked for.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The configuration in force.
    pub config: &'a Config,
    /// The agent.
    pub agent: &'a AgentId,
    /// The session.
    pub session: &'a SessionKey,
    /// Provider and model id of the turn.
    pub model: (&'a str, &'a str),
}

/// One layer.
struct Layer {
    /// The configuration's key, for people.
    source: String,
    allow: Vec<String>,
    deny: Vec<String>,
}

/// The layers that hold for one session.
pub struct Policy {
    layers: Vec<Layer>,
    /// Allowlists that name nothing that is there: whose, and what they name.
    pub ignored: Vec<String>,
}

impl Policy {
    /// Reads the layers; `known` are the names of all tools.
    pub fn of(subject: &Subject<'_>, known: &[&str]) -> Self {
        let Subject { config, agent, session, model } = *subject;
        let global = &config.tree["tools"];
        let own = session::agent_entry(config, agent).and_then(|entry| entry.tools.as_ref()).unwrap_or(&Value::Null);
        let of_model = |tools: &Value| by_model(&tools["byProvider"], model);
        let mut policy = Self { layers: Vec::new(), ignored: Vec::new() };
        let profile = |tools: &Value| tools["profile"].as_str().map(str::to_owned);
        policy.profile("tools.profile", profile(own).or_else(|| profile(global)));
        policy.profile("tools.byProvider", profile(&of_model(own)).or_else(|| profile(&of_model(global))));
        let own_source = format!("agents.list[{agent}].tools");
        for (source, tools) in [
            ("tools".to_owned(), global.clone()),
            ("tools.byProvider".to_owned(), of_model(global)),
            (own_source.clone(), own.clone()),
            (format!("{own_source}.byProvider"), of_model(own)),
        ] {
            policy.lists(source, &tools, known);
        }
        if let Some((channel, group)) = group_of(session) {
            let tools = &config.tree["channels"][channel]["groups"][group]["tools"];
            policy.lists(format!("channels.{channel}.groups.{group}.tools"), tools, known);
        }
        if sandbox::is_asked_for(config, agent, session) {
            policy.sandbox(&own["sandbox"]["tools"], &global["sandbox"]["tools"]);
        }
        if session::is_subagent(session) {
            let tools = &global["subagents"]["tools"];
            let mut deny: Vec<String> = SUBAGENT_DENY.map(str::to_owned).into();
            deny.extend(names(&tools["deny"]).unwrap_or_default());
            let allow = names(&tools["allow"]).unwrap_or_default();
            policy.layers.push(Layer { source: "tools.subagents.tools".to_owned(), allow, deny });
        }
        policy
    }

    /// Returns which key of the configuration keeps a tool from being used; `None` when it may be.
    pub fn refusal(&self, tool: &str) -> Option<&str> {
        self.layers.iter().find(|layer| !layer.allows(tool)).map(|layer| layer.source.as_str())
    }

    fn profile(&mut self, source: &str, name: Option<String>) {
        let Some(name) = name else { return };
        // `full`, and what nobody knows, limits nothing: the configuration's check has complained about the latter.
        let Some((_, tools)) = PROFILES.iter().find(|(profile, _)| *profile == name.trim()) else { return };
        let allow = expanded(tools.iter().map(|tool| (*tool).to_owned()));
        self.layers.push(Layer { source: format!("{source} \"{name}\""), allow, deny: Vec::new() });
    }

    fn lists(&mut self, source: String, tools: &Value, known: &[&str]) {
        let mut allow = names(&tools["allow"]).unwrap_or_default();
        let deny = names(&tools["deny"]).unwrap_or_default();
        // An allowlist of plugins alone must not take every tool of the core away.
        if !allow.is_empty() && !known.iter().any(|tool| matches_any(&allow, tool)) {
            self.ignored.push(format!("{source}.allow ({})", allow.join(", ")));
            allow.clear();
        }
        if !allow.is_empty() || !deny.is_empty() {
            self.layers.push(Layer { source, allow, deny });
        }
    }

    fn sandbox(&mut self, own: &Value, global: &Value) {
        let list = |key: &str, default: &[&str]| {
            let given = names(&own[key]).or_else(|| names(&global[key]));
            given.unwrap_or_else(|| default.iter().map(|name| (*name).to_owned()).collect())
        };
        let mut allow = list("allow", &SANDBOX_ALLOW);
        if !allow.is_empty() {
            allow.push("image".to_owned());
        }
        self.layers.push(Layer { source: "tools.sandbox.tools".to_owned(), allow, deny: list("deny", &SANDBOX_DENY) });
    }
}

impl Layer {
    fn allows(&self, tool: &str) -> bool {
        if matches_any(&self.deny, tool) {
            return false;
        }
        self.allow.is_empty()
            || matches_any(&self.allow, tool)
            || (tool == "apply_patch" && matches_any(&self.allow, "exec"))
    }
}

/// Returns a list's names in their usual spelling, groups as their members; `None` when there is no list.
fn names(list: &Value) -> Option<Vec<String>> {
    let list = list.as_array()?.iter().filter_map(Value::as_str);
    Some(expanded(list.map(|name| name.trim().to_lowercase()).filter(|name| !name.is_empty())))
}

fn expanded(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut all = Vec::new();
    for name in names {
        match GROUPS.iter().find(|(group, _)| *group == name) {
            Some((_, tools)) => all.extend(tools.iter().map(|tool| (*tool).to_owned())),
            None if name == "bash" => all.push("exec".to_owned()),
            None if name == "apply-patch" => all.push("apply_patch".to_owned()),
            None => all.push(name),
        }
    }
    all
}

fn matches_any(patterns: &[String], tool: &str) -> bool {
    patterns.iter().any(|pattern| fits_pattern(pattern, tool))
}

/// Returns the entry of `byProvider` for a model, else for its provider; names are compared without case.
fn by_model(entries: &Value, (provider, id): (&str, &str)) -> Value {
    let full = format!("{provider}/{id}");
    let find = |wanted: &str| {
        entries.as_object()?.iter().find(|(name, _)| name.trim().eq_ignore_ascii_case(wanted)).map(|(_, entry)| entry)
    };
    find(&full).or_else(|| find(id)).or_else(|| find(provider)).cloned().unwrap_or(Value::Null)
}

/// Returns channel and group of a group's session.
fn group_of(session: &SessionKey) -> Option<(&str, &str)> {
    let mut parts = session.as_str().splitn(5, ':').skip(2);
    let (channel, kind, rest) = (parts.next()?, parts.next()?, parts.next()?);
    // A topic or thread has its group's rules.
    let group = rest.split(":topic:").next()?.split(":thread:").next()?;
    matches!(kind, "group" | "channel").then_some((channel, group))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TOOLS: [&str; 9] =
        ["read", "write", "apply_patch", "exec", "process", "session_status", "sessions_list", "message", "cron"];

    fn allowed_in(session: &str, config: Value) -> String {
        let mut typed: Config = serde_json::from_value(config.clone()).expect("configuration");
        typed.tree = config;
        let agent = AgentId::new("main");
        let subject =
            Subject { config: &typed, agent: &agent, session: &SessionKey::new(session), model: ("openai", "gpt-5") };
        let policy = Policy::of(&subject, &TOOLS);
        TOOLS.into_iter().filter(|tool| policy.refusal(tool).is_none()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn layers() {
        let all = TOOLS.join(" ");
        for (tools, expected) in [
            (json!({}), all.as_str()),
            (json!({"profile": "full"}), &all),
            (json!({"profile": "minimal"}), "session_status"),
            (json!({"profile": "coding"}), "read write apply_patch exec process session_status sessions_list"),
            (json!({"profile": "messaging"}), "session_status sessions_list message"),
            (
                json!({"profile": "coding", "deny": ["group:runtime", "Bash"]}),
                "read write apply_patch session_status sessions_list",
            ),
            (json!({"allow": ["exec"]}), "apply_patch exec"),
            (json!({"allow": ["bash", "read"], "deny": ["apply-patch"]}), "read exec"),
            (
                json!({"allow": ["*"], "deny": ["exec"]}),
                "read write apply_patch process session_status sessions_list message cron",
            ),
            (json!({"allow": ["session*"]}), "session_status sessions_list"),
            (json!({"allow": ["a_plugin"]}), &all),
            (json!({"allow": []}), &all),
            (json!({"deny": ["*"]}), ""),
            (json!({"byProvider": {"OpenAI": {"profile": "minimal"}}}), "session_status"),
            (json!({"byProvider": {"openai": {"deny": ["*"]}, "openai/gpt-5": {"allow": ["cron"]}}}), "cron"),
            (json!({"byProvider": {"other": {"deny": ["*"]}}}), &all),
        ] {
            assert_eq!(allowed_in("agent:main:main", json!({"tools": tools})), expected, "{tools}");
        }
    }

    #[test]
    fn agents_groups_and_sandboxes_have_layers_of_their_own() {
        let agent = |tools: Value| json!({"tools": {"profile": "minimal"}, "agents": {"list": [{"id": "main", "tools": tools}]}});
        assert_eq!(
            allowed_in("agent:main:main", agent(json!({"profile": "messaging"}))),
            "session_status sessions_list message"
        );
        assert_eq!(allowed_in("agent:main:main", agent(json!({"deny": ["session_status"]}))), "");
        let group = json!({"channels": {"telegram": {"groups": {"-1": {"tools": {"allow": ["message"]}}}}}});
        assert_eq!(allowed_in("agent:main:telegram:group:-1:topic:7", group.clone()), "message");
        assert_eq!(allowed_in("agent:main:telegram:group:-2", group), TOOLS.join(" "));
        let boxed = json!({"agents": {"defaults": {"sandbox": {"mode": "non-main"}}}});
        assert_eq!(allowed_in("agent:main:main", boxed.clone()), TOOLS.join(" "));
        assert!(!allowed_in("agent:main:other", boxed).contains("cron"));
    }

    #[test]
    fn subagents_get_less() {
        let session = "agent:main:subagent:1";
        assert_eq!(allowed_in(session, json!({})), "read write apply_patch exec process message");
        let own = json!({"tools": {"subagents": {"tools": {"allow": ["read"], "deny": ["message"]}}}});
        assert_eq!(allowed_in(session, own), "read");
    }
}
