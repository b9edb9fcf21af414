//! What must hold beyond the table of keys: agents' directories and avatars, plugins, channels (config.md §6).
//!
//! Each function judges a tree that has passed the step before it and returns issues. Not here: the order of the
//! steps (`load`).

use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use super::issue::Issue;
use super::paths::Paths;
use super::tree::get;
use crate::base::text::unless_blank;

/// Channels of the original's core; aliases are in [`CHANNEL_ALIASES`].
const CHANNELS: [&str; 7] = ["telegram", "whatsapp", "discord", "googlechat", "slack", "signal", "imessage"];
/// Channels that the original has as plugins.
const PLUGIN_CHANNELS: [&str; 10] =
    ["msteams", "bluebubbles", "nostr", "mattermost", "nextcloud-talk", "matrix", "line", "zalo", "zalouser", "tlon"];
const CHANNEL_ALIASES: [&str; 3] = ["imsg", "google-chat", "gchat"];
/// Plugins that a file of the original may name.
const PLUGINS: [&str; 28] = [
    "bluebubbles",
    "copilot-proxy",
    "diagnostics-otel",
    "discord",
    "google-antigravity-auth",
    "google-gemini-cli-auth",
    "googlechat",
    "imessage",
    "line",
    "llm-task",
    "lobster",
    "matrix",
    "mattermost",
    "memory-core",
    "memory-lancedb",
    "msteams",
    "nextcloud-talk",
    "nostr",
    "open-prose",
    "qwen-portal-auth",
    "signal",
    "slack",
    "telegram",
    "tlon",
    "voice-call",
    "whatsapp",
    "zalo",
    "zalouser",
];

fn items<'a>(tree: &'a Value, path: &[&str]) -> impl Iterator<Item = &'a Value> + use<'a> {
    get(tree, path).and_then(Value::as_array).into_iter().flatten()
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str).and_then(unless_blank)
}

/// Returns an issue when two agents would share one directory.
pub fn agent_dirs(tree: &Value, paths: &Paths) -> Option<Issue> {
    let id_of = |value: &Value, key: &str| text(value, key).map(str::to_lowercase);
    let agents: Vec<_> = items(tree, &["agents", "list"]).filter(|agent| agent.is_object()).collect();
    let bound = items(tree, &["bindings"]).filter_map(|binding| id_of(binding, "agentId"));
    let mut ids: Vec<String> = agents.iter().filter_map(|agent| id_of(agent, "id")).chain(bound).collect();
    if agents.is_empty() {
        ids.insert(0, "main".to_owned());
    }
    let mut dirs: Vec<(PathBuf, Vec<String>)> = Vec::new();
    for id in ids {
        let configured = agents
            .iter()
            .find(|agent| id_of(agent, "id").as_ref() == Some(&id))
            .and_then(|agent| text(agent, "agentDir"));
        let dir = configured.map_or_else(|| paths.agent_dir(&id).join("agent"), |dir| lexical(&paths.expand(dir)));
        match dirs.iter_mut().find(|(known, _)| *known == dir) {
            Some((_, ids)) if ids.contains(&id) => {}
            Some((_, ids)) => ids.push(id),
            None => dirs.push((dir, vec![id])),
        }
    }
    let shared = dirs.iter().filter(|(_, ids)| ids.len() > 1);
    let lines: Vec<_> = shared.map(|(dir, ids)| format!("- {}: \"{}\"", dir.display(), ids.join("\", \""))).collect();
    (!lines.is_empty()).then(|| {
        let message = format!(
            "Duplicate agentDir detected (multi-agent config).\nAgents that share a directory overwrite each other's \
             credentials and sessions.\n\nConflicts:\n{}\n\nFix: give each agent its own agents.list[].agentDir, or none.",
            lines.join("\n")
        );
        Issue::new("agents.list", message)
    })
}

/// Returns the avatars that are neither in the agent's workspace nor on the web.
pub fn avatars(tree: &Value, paths: &Paths) -> Vec<Issue> {
    let judge = |(index, agent): (usize, &Value)| {
        let avatar = agent.get("identity").and_then(|identity| text(identity, "avatar"))?;
        let lower = avatar.to_ascii_lowercase();
        if ["data:", "http://", "https://"].iter().any(|scheme| lower.starts_with(scheme)) {
            return None;
        }
        let message = if avatar.starts_with('~') || has_scheme(&lower) {
            "identity.avatar must be a workspace-relative path, http(s) URL, or data URI."
        } else {
            let workspace = lexical(&workspace(tree, agent, paths));
            if lexical(&workspace.join(avatar)).starts_with(&workspace) {
                return None;
            }
            "identity.avatar must stay within the agent workspace."
        };
        Some(Issue::new(format!("agents.list.{index}.identity.avatar"), message))
    };
    items(tree, &["agents", "list"]).enumerate().filter_map(judge).collect()
}

/// `name:`, but not a Windows drive.
fn has_scheme(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let drive = scheme.len() == 1 && rest.starts_with(['/', '\\']);
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+.-".contains(&byte);
    !drive && scheme.starts_with(|c: char| c.is_ascii_lowercase()) && scheme.bytes().all(allowed)
}

fn workspace(tree: &Value, agent: &Value, paths: &Paths) -> PathBuf {
    if let Some(dir) = text(agent, "workspace") {
        return paths.expand(dir);
    }
    let first = items(tree, &["agents", "list"]).next();
    let default =
        items(tree, &["agents", "list"]).find(|agent| agent.get("default") == Some(&Value::Bool(true))).or(first);
    let id = text(agent, "id").unwrap_or("main").to_lowercase();
    if default.is_some_and(|default| text(default, "id").map(str::to_lowercase).as_ref() == Some(&id)) {
        let configured = get(tree, &["agents", "defaults"]).and_then(|defaults| text(defaults, "workspace"));
        return configured.map_or_else(|| paths.default_workspace(), |dir| paths.expand(dir));
    }
    paths.home.join(format!("clawd-{id}"))
}

/// Resolves `.` and `..` by name.
fn lexical(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                clean.pop();
            }
            Component::CurDir => {}
            other => clean.push(other),
        }
    }
    clean
}

/// Judges plugins, channel ids and heartbeat targets; returns issues and warnings.
pub fn plugins_and_channels(tree: &Value, paths: &Paths) -> (Vec<Issue>, Vec<Issue>) {
    let mut issues = Vec::new();
    plugins(tree, paths, &mut issues);
    for id in get(tree, &["channels"]).and_then(Value::as_object).into_iter().flat_map(|channels| channels.keys()) {
        let id = id.trim();
        if !id.is_empty() && id != "defaults" && !CHANNELS.contains(&id) && !PLUGIN_CHANNELS.contains(&id) {
            issues.push(Issue::new(format!("channels.{id}"), format!("unknown channel id: {id}")));
        }
    }
    heartbeat_target(get(tree, &["agents", "defaults"]), "agents.defaults", &mut issues);
    for (index, agent) in items(tree, &["agents", "list"]).enumerate() {
        heartbeat_target(Some(agent), &format!("agents.list.{index}"), &mut issues);
    }
    (issues, plugin_warnings(tree))
}

fn plugins(tree: &Value, paths: &Paths, issues: &mut Vec<Issue>) {
    let missing = |id: &str| Some(format!("plugin not found: {id}")).filter(|_| !PLUGINS.contains(&id));
    for path in
        items(tree, &["plugins", "load", "paths"]).filter_map(Value::as_str).filter(|path| !path.trim().is_empty())
    {
        let path = paths.expand(path);
        if !path.exists() {
            issues.push(Issue::new("plugins.load.paths", format!("plugin: plugin path not found: {}", path.display())));
        }
    }
    for id in
        get(tree, &["plugins", "entries"]).and_then(Value::as_object).into_iter().flat_map(|entries| entries.keys())
    {
        issues.extend(missing(id).map(|message| Issue::new(format!("plugins.entries.{id}"), message)));
    }
    for list in ["allow", "deny"] {
        let ids = items(tree, &["plugins", list]).filter_map(Value::as_str).filter(|id| !id.trim().is_empty());
        issues.extend(ids.filter_map(missing).map(|message| Issue::new(format!("plugins.{list}"), message)));
    }
    let slot = get(tree, &["plugins", "slots", "memory"]).and_then(Value::as_str).map(str::trim).unwrap_or_default();
    if !slot.is_empty() && !slot.eq_ignore_ascii_case("none") {
        issues.extend(missing(slot).map(|message| Issue::new("plugins.slots.memory", message)));
    }
}

fn plugin_warnings(tree: &Value) -> Vec<Issue> {
    let entries = get(tree, &["plugins", "entries"]).and_then(Value::as_object).into_iter().flatten();
    let idle =
        entries.filter(|(_, entry)| entry.get("config").is_some() && entry.get("enabled") != Some(&Value::Bool(true)));
    let warn = |(id, _): (&String, &Value)| {
        Issue::new(format!("plugins.entries.{id}"), "plugin disabled (disabled) but config is present")
    };
    idle.map(warn).collect()
}

fn heartbeat_target(holder: Option<&Value>, at: &str, issues: &mut Vec<Issue>) {
    let Some(target) = holder.and_then(|holder| get(holder, &["heartbeat", "target"])).and_then(Value::as_str) else {
        return;
    };
    let name = target.trim().to_lowercase();
    let known =
        ["last", "none"].iter().chain(&CHANNELS).chain(&PLUGIN_CHANNELS).chain(&CHANNEL_ALIASES).any(|&id| id == name);
    if !known {
        let message = match name.as_str() {
            "" => "heartbeat target must not be empty".to_owned(),
            _ => format!("unknown heartbeat target: {target}"),
        };
        issues.push(Issue::new(format!("{at}.heartbeat.target"), message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn paths() -> Paths {
        Paths::resolve(|name| (name == "HOME").then(|| "/h".to_owned()))
    }

    #[test]
    fn shared_agent_dirs() {
        let list =
            |a: &str, b: &str| json!({"agents": {"list": [{"id": "a", "agentDir": a}, {"id": "b", "agentDir": b}]}});
        assert_eq!(agent_dirs(&list("/x", "/y"), &paths()), None);
        let issue = agent_dirs(&list("~/x", "/h/y/../x"), &paths()).expect("shared");
        assert!(issue.message.contains("\n- /h/x: \"a\", \"b\"\n"), "{}", issue.message);
    }

    #[test]
    fn avatars_stay_inside() {
        for (avatar, wrong) in [
            ("a/b.png", false),
            ("https://h/x", false),
            ("DATA:x", false),
            ("/h/clawd/x.png", false),
            ("../x", true),
            ("/etc/x", true),
            ("~/x", true),
            ("ftp://x", true),
        ] {
            let tree = json!({"agents": {"list": [{"id": "main", "identity": {"avatar": avatar}}]}});
            assert_eq!(!avatars(&tree, &paths()).is_empty(), wrong, "{avatar}");
        }
    }

    #[test]
    fn plugins_channels_and_targets() {
        let tree = json!({
            "plugins": {"entries": {"telegram": {"config": {}}, "x": {}}, "allow": ["y"], "slots": {"memory": "none"}},
            "channels": {"telegram": {}, "matrix": {}, "fax": {}},
            "agents": {"defaults": {"heartbeat": {"target": "pager"}}, "list": [{"id": "a", "heartbeat": {"target": "iMsg"}}]},
        });
        let (issues, warnings) = plugins_and_channels(&tree, &paths());
        let found: Vec<_> = issues.iter().map(|issue| format!("{}: {}", issue.path, issue.message)).collect();
        assert_eq!(
            found,
            [
                "plugins.entries.x: plugin not found: x",
                "plugins.allow: plugin not found: y",
                "channels.fax: unknown channel id: fax",
                "agents.defaults.heartbeat.target: unknown heartbeat target: pager",
            ]
        );
        assert_eq!(warnings.len(), 1);
    }
}
